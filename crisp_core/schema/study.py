"""A study: who takes part, what is segmented, how it is trained and how it is judged."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.methods import method_word
from crisp_core.schema.places import AlsoPlace, ConditionText, LayoutName, Place, places_of

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
VerdictName = Annotated[str, Field(pattern=r"^[^:]+:[a-z]+$")]
Method = Annotated[str, AfterValidator(method_word)]


class SiteEntry(Frozen):
    """One hospital of the study.

    `data` is the folder (or folders) that a simulation reads, `layout` how files lie there and
    `select` which cases count; they name places on one machine, so they are not part of the
    study's hash.
    """

    role: Literal["source", "held-out"]
    data: tuple[str, ...] = ()
    layout: LayoutName = "house"
    select: tuple[ConditionText, ...] = ()
    also: tuple[AlsoPlace, ...] = ()
    """More places, each with a layout and conditions of its own."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every folder of this site with its layout and conditions."""
        return places_of(self.data, self.layout, self.select, self.also)

    @field_validator("data", "select", mode="before")
    @classmethod
    def _one_word(cls, value: object) -> object:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value


class ModelConfig(Frozen):
    """The network, its normalisation and what enters it."""

    architecture: Literal["small", "DeepLabV3Plus", "Unet", "UnetPlusPlus", "FPN", "MAnet"] = (
        "small"
    )
    encoder: str = "mobilenet_v2"
    encoder_weights: str | None = None
    width: Annotated[int, Field(ge=4, le=256, multiple_of=4)] = 16
    norm: Literal["network", "group"] = "network"
    noise_at: Literal["deepest", "all"] = "deepest"
    channels: Count = 1
    slices_in: Annotated[int, Field(ge=1, le=9)] = 1

    @model_validator(mode="after")
    def _odd_slices(self) -> ModelConfig:
        if self.slices_in % 2 == 0:
            message = "slices_in must be odd: the slice itself and as many neighbours on each side"
            raise ValueError(message)
        return self


class ImagesConfig(Frozen):
    """How a volume becomes network input: in-plane grid and intensity scale."""

    size: tuple[Count, Count] = (128, 128)
    fit: Literal["resize", "crop"] = "resize"
    spacing_mm: Positive | None = None
    percentiles: tuple[Percent, Percent] = (1.0, 99.0)

    @model_validator(mode="after")
    def _rules(self) -> ImagesConfig:
        low, high = self.percentiles
        if low >= high:
            message = f"percentiles must rise, got {low}, {high}"
            raise ValueError(message)
        if self.fit == "resize" and self.spacing_mm is not None:
            message = 'spacing_mm resamples to a true spacing: it goes with fit = "crop"'
            raise ValueError(message)
        return self


class TrainingConfig(Frozen):
    """The optimiser's budget, the same for every method that is compared."""

    steps: Count = 900
    batch_size: Count = 10
    optimizer: Literal["adam", "sgd"] = "adam"
    """Fresh every round; "sgd" has no momentum."""
    learning_rate: Positive = 1e-3
    decay_power: Annotated[float, Field(ge=0)] = 0.9
    loss: Literal["dice", "dice_ce"] = "dice"
    augmentation: Literal["none", "conventional", "frequency-style", "full"] = "conventional"
    proximal: Annotated[float, Field(ge=0)] = 0.0
    """mu of FedProx: how strongly a site's weights are drawn back to those it was sent."""
    mixstyle: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that a batch's features take one another's statistics after two stages."""


class CrispConfig(Frozen):
    """Perturbations, hints, squeeze and recursion (METHOD of the paper and its options)."""

    generations: Count = 3
    hint: Literal["none", "binary", "rank"] = "rank"
    neighbours: Literal[0, 1] = 1
    perturbations: Count = 10
    sigma: Annotated[float, Field(ge=0)] = 0.35
    levels: Annotated[int, Field(ge=2, le=25)] = 5
    range_over: Literal["joint_fg", "class_fg", "joint_all"] = "class_fg"
    instance: Literal["slice", "volume"] = "volume"
    log_odds_clip: Positive | None = None
    squeeze_weight: Annotated[float, Field(ge=0)] = 0.5
    squeeze_norm: Literal["mean_square", "mean_absolute", "printed"] = "mean_square"
    perturbations_in_loss: Count = 2
    stop_perturbed: bool = False
    phase_shares: tuple[Positive, ...] = (4.0, 1.0, 1.0)
    guard: Literal["entropy", "none"] = "entropy"
    stop_when_converged: bool = False

    @model_validator(mode="after")
    def _rules(self) -> CrispConfig:
        if len(self.phase_shares) != self.generations:
            message = (
                f"phase_shares needs one number per generation ({self.generations}), "
                f"got {len(self.phase_shares)}"
            )
            raise ValueError(message)
        if self.perturbations_in_loss > self.perturbations:
            message = "perturbations_in_loss cannot exceed perturbations"
            raise ValueError(message)
        return self


class FederationConfig(Frozen):
    """How often the sites meet, how many must answer and how long to wait."""

    rounds: Count = 2
    quorum: Count | None = None
    timeout_s: Positive = 3600.0
    aggregation: Name = "fedavg"
    """How updates become the next model: a word of `numerics.aggregation.registry`."""
    local_norm: Literal["none", "statistics", "all"] = "none"
    """What of each BatchNorm stays at the site: nothing, its running statistics (SiloBN), or all of
    it (FedBN)."""
    unseen_norm: Literal["mean", "adapt", "ensemble"] = "mean"
    """What a held-out site takes in its place."""
    correction: Literal["none", "scaffold"] = "none"
    """Whether control variates take each site's own direction out of its steps."""
    late: Literal["drop", "next-round"] = "drop"
    admission: Literal["checked", "finite"] = "checked"
    accept_verdict: tuple[VerdictName, ...] = ()
    """Errors of the data verdict that a person has looked at and takes for false alarms."""

    @model_validator(mode="after")
    def _rules(self) -> FederationConfig:
        if self.keeps_own and self.late == "next-round":
            message = (
                'local_norm and correction need late = "drop": an update that comes in a later '
                "round than it was asked in goes with other arrays of its site's own"
            )
            raise ValueError(message)
        return self

    @property
    def keeps_own(self) -> bool:
        """Whether sites keep arrays of their own between rounds."""
        return self.local_norm != "none" or self.correction != "none"


class EvaluationConfig(Frozen):
    """Who is kept for validation, what selects the model and how it is measured."""

    validation_share: Share = 0.25
    select: Literal["worst-site", "last"] = "worst-site"
    hd95: Literal["union", "max"] = "union"
    tolerance_mm: Annotated[float, Field(ge=0)] = 2.0
    """Surfaces this near each other agree, for the normalised surface Dice."""
    catch_rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the failed cases (Dice below 0.7) that the risk flag is set to catch."""
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    sealed_labels: bool = False
    """Held-out sites open no mask before the final measurement; `crisp loho` sets it."""


class Study(Frozen):
    """Everything that decides what a federation computes."""

    name: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    classes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=250)]
    method: Method = "crisp"
    sites: dict[Name, SiteEntry]
    model: ModelConfig = ModelConfig()
    images: ImagesConfig = ImagesConfig()
    training: TrainingConfig = TrainingConfig()
    crisp: CrispConfig = CrispConfig()
    federation: FederationConfig = FederationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _rules(self) -> Study:
        if not self.sources:
            message = 'at least one site must have role = "source"'
            raise ValueError(message)
        if len(set(self.classes)) != len(self.classes) or "background" in self.classes:
            message = "classes must differ from one another and from 'background'"
            raise ValueError(message)
        if (self.federation.quorum or 1) > len(self.sources):
            message = (
                f"quorum {self.federation.quorum} exceeds the {len(self.sources)} source sites"
            )
            raise ValueError(message)
        if self.federation.correction == "scaffold" and self.training.optimizer != "sgd":
            message = (
                'federation.correction = "scaffold" needs training.optimizer = "sgd": its formula '
                "divides by the rate of every step, and Adam's differs from weight to weight"
            )
            raise ValueError(message)
        rounds = self.crisp.generations * self.federation.rounds
        if self.training.steps < rounds:
            message = f"steps must be at least generations x rounds = {rounds}"
            raise ValueError(message)
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sites that train, sorted."""
        return tuple(sorted(name for name, site in self.sites.items() if site.role == "source"))

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the sites that only measure, sorted."""
        return tuple(sorted(name for name, site in self.sites.items() if site.role == "held-out"))

    def sealed(self, site: str) -> bool:
        """Tell whether a site's masks stay closed until the final measurement."""
        return self.evaluation.sealed_labels and self.sites[site].role == "held-out"

    @property
    def quorum(self) -> int:
        """Updates that a round needs; every source unless the study says fewer."""
        return self.federation.quorum or len(self.sources)

    @property
    def keeps_own(self) -> bool:
        """Whether sites keep arrays of their own between rounds."""
        return self.federation.keeps_own

    @property
    def recursions(self) -> int:
        """Passes at inference: one where there are no hints to feed back."""
        return 1 if self.crisp.hint == "none" else self.crisp.generations

    @property
    def input_channels(self) -> int:
        """Channels that enter the network: image channels of all slices, then 2C hints."""
        hints = 0 if self.crisp.hint == "none" else 2 * len(self.classes)
        return self.model.channels * self.model.slices_in + hints

    def canonical(self) -> str:
        """Write the study as sorted JSON, without any place on a disk.

        This text travels: a site builds the network from it and then loads what the coordinator
        sends, so the file of the pretrained weights is the coordinator's own affair. So is what it
        accepts of the data verdict: no hospital has to approve the study anew for that.
        """
        value = self.model_dump(mode="json")
        value["model"].pop("encoder_weights")
        value["federation"].pop("accept_verdict")
        for site in value["sites"].values():
            for place in ("data", "layout", "select", "also"):
                site.pop(place)
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def hash(self) -> str:
        """Return the SHA-256 of the canonical text: the study's name in messages and files."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()
