"""One round of local training: uniform draws from D_k, the accumulated step, a fresh optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType

import torch

from crisp_client.cases import SiteCases, TrainingSlices
from crisp_client.device import Workbench
from crisp_client.hints import TrainingHints
from crisp_core.arrays import Parameters
from crisp_core.errors import DivergedError
from crisp_core.model.mixing import mixing
from crisp_core.model.segmenter import Segmenter
from crisp_core.model.step import StepFigures, StepOptions, accumulate_gradients
from crisp_core.numerics.geometry import apply_affine, draw_affine, null_fill
from crisp_core.numerics.hints import uncertainty_region
from crisp_core.numerics.mixstyle import draw_mix
from crisp_core.numerics.randomness import keyed_generator, keyed_normal
from crisp_core.numerics.recipes import RECIPES, apply_look, draw_look
from crisp_core.numerics.schedule import learning_rate
from crisp_core.schema.messages import TrainFigures, TrainPlan
from crisp_core.schema.study import Study

OUTSIDE_IMAGE = -1.0
HALF = 0.5


@dataclass(frozen=True)
class Batch:
    """Network inputs (B, d + 2C, H, W), labels (B, H, W) and squeeze region (B, 1, H, W)."""

    inputs: torch.Tensor
    labels: torch.Tensor
    region: torch.Tensor


def train_round(
    site: SiteCases,
    segmenter: Segmenter,
    plan: TrainPlan,
    bench: Workbench,
    correction: Parameters = MappingProxyType({}),
) -> TrainFigures:
    """Train `plan.steps` steps in place.

    Args:
        site: The site.
        segmenter: What came, changed in place.
        plan: Of the round.
        bench: Where to compute.
        correction: Weight -> what is added to its gradient in every step.

    Raises:
        HintsMissingError: If hints of this generation made by the named models are not here.
        DivergedError: If the loss is not finite.
    """
    began = time.monotonic()
    study, key = site.study, (site.settings.site, "train", plan.generation, plan.round_number)
    source = BatchSource(site, plan, keyed_generator(study.seed, *key))
    optimizer = _optimizer(segmenter, study)
    optimizer.register_step_pre_hook(_drawn_back(optimizer, study.training.proximal))
    optimizer.register_step_pre_hook(_corrected(segmenter, correction))
    segmenter.train()
    with bench.seeded(study.seed, *key, "dropout"), _mixing(segmenter, study, key):
        steps = [_step(segmenter, optimizer, source, number, bench) for number in _numbers(plan)]
    last = steps[-1]
    return TrainFigures(
        case_count=len(site.of("train")),
        steps=plan.steps,
        loss_first=steps[0].loss,
        loss_last=last.loss,
        squeeze_last=last.squeeze,
        noise_ratio=last.noise_ratio if math.isfinite(last.noise_ratio) else None,
        seconds=time.monotonic() - began,
    )


def _optimizer(segmenter: Segmenter, study: Study) -> torch.optim.Optimizer:
    kind = torch.optim.SGD if study.training.optimizer == "sgd" else torch.optim.Adam
    return kind(segmenter.parameters(), lr=study.training.learning_rate, fused=True)


def _corrected(segmenter: Segmenter, correction: Parameters) -> Callable[..., None]:
    """Return what adds a constant to the gradients before each step."""
    pairs = [
        (weight, torch.tensor(correction[name], device=weight.device))
        for name, weight in segmenter.named_parameters()
        if name in correction
    ]

    def hook(*_: object) -> None:
        for weight, constant in pairs:
            if weight.grad is not None:
                weight.grad.add_(constant)

    return hook


def _drawn_back(optimizer: torch.optim.Optimizer, strength: float) -> Callable[..., None]:
    """Return what adds mu (w - w_sent) to the gradients before each step; nothing for mu = 0.

    Source:
        Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    sent = [weight.detach().clone() for weight in weights] if strength else []

    def hook(*_: object) -> None:
        for weight, start in zip(weights, sent, strict=False):
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - start, alpha=strength)

    return hook


def _mixing(
    segmenter: Segmenter, study: Study, key: tuple[str | int, ...]
) -> AbstractContextManager[None]:
    """Mix feature statistics where the study wants it, from a stream of its own."""
    probability = study.training.mixstyle
    if not probability:
        return nullcontext()
    generator = keyed_generator(study.seed, *key, "mixstyle")
    return mixing(segmenter, lambda n: draw_mix(n, generator=generator, probability=probability))


def _numbers(plan: TrainPlan) -> range:
    return range(plan.first_step, plan.first_step + plan.steps)


def _insist_on_finite(figures: StepFigures, number: int) -> None:
    if not math.isfinite(figures.loss):
        raise DivergedError(
            expected="a finite loss",
            got=str(figures.loss),
            where=f"training step {number}",
            fix="Lower training.learning_rate, or look for a broken case with crisp-client check",
        )


def _step(
    segmenter: Segmenter,
    optimizer: torch.optim.Optimizer,
    source: BatchSource,
    number: int,
    bench: Workbench,
) -> StepFigures:
    """Take optimiser step `number` of the whole budget."""
    study = source.site.study
    training, crisp = study.training, study.crisp
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(
            number, training.steps, training.learning_rate, training.decay_power
        )
    batch = source.batch(bench.device)
    optimizer.zero_grad(set_to_none=True)
    options = StepOptions(
        loss=training.loss,
        squeeze_weight=crisp.squeeze_weight,
        squeeze_norm=crisp.squeeze_norm,
        perturbations=crisp.perturbations_in_loss,
        sigma=crisp.sigma,
        stop_perturbed=crisp.stop_perturbed,
    )
    with bench.autocast():
        figures = accumulate_gradients(
            segmenter, batch.inputs, batch.labels, batch.region, source.noise(number), options
        )
    _insist_on_finite(figures, number)
    optimizer.step()
    return figures


class BatchSource:
    """Draws samples of D_k: image uniformly, generation uniformly from 1..k."""

    def __init__(self, site: SiteCases, plan: TrainPlan, generator: torch.Generator) -> None:
        self.site, self._plan, self._generator = site, plan, generator
        prepared = [site.prepared(case) for case in site.of("train")]
        self._slices = TrainingSlices(prepared, site.study.model.slices_in)
        self._hinted = site.study.crisp.hint != "none"
        self._hints = TrainingHints(site, plan.models if self._hinted else ())

    def batch(self, device: torch.device) -> Batch:
        """Draw, gather and augment one batch."""
        count = self.site.study.training.batch_size
        numbers = self._draw(len(self._slices.places), count)
        generations = [j + 1 for j in self._draw(self._plan.generation, count)]
        images = self._slices.images(numbers).to(device)
        labels = self._slices.labels(numbers).to(device)
        hints = self._hint_channels(numbers, generations, images).to(device)
        if self.site.study.training.augmentation != "none":
            images, hints, labels = self._augmented(images, hints, labels)
        return Batch(torch.cat([images, hints], dim=1), labels, self._region(hints, images))

    def noise(self, step: int) -> Callable[[int, tuple[int, ...]], torch.Tensor]:
        """Return the step's perturbations: (n, shape) -> standard normal noise."""
        key = (self.site.study.seed, self.site.settings.site, "squeeze", step)
        return lambda n, shape: keyed_normal(shape, *key, n)

    def _draw(self, below: int, count: int) -> list[int]:
        return torch.randint(below, (count,), generator=self._generator).tolist()

    def _hint_channels(
        self, numbers: list[int], generations: list[int], images: torch.Tensor
    ) -> torch.Tensor:
        height, width = images.shape[-2:]
        if not self._hinted:
            return images.new_zeros(len(numbers), 0, height, width)
        channels = [
            self._hints.of_slice(*self._slices.places[number], generation, (height, width))
            for number, generation in zip(numbers, generations, strict=True)
        ]
        return torch.stack(channels)

    def _augmented(
        self, images: torch.Tensor, hints: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Geometry moves images, hints and labels together; appearance touches images only."""
        affine = draw_affine(len(images), generator=self._generator)
        images = apply_affine(images, affine, fill=OUTSIDE_IMAGE)
        if self._hinted:
            hints = apply_affine(hints, affine, fill=null_fill(hints.shape[1] // 2))
        labels = apply_affine(labels[:, None], affine, mode="nearest")[:, 0]
        recipe = RECIPES[self.site.study.training.augmentation]
        look = draw_look(recipe, len(images), generator=self._generator)
        return apply_look(images, look), hints, labels

    def _region(self, hints: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Where the squeeze acts: support without core for binary hints, everywhere for ranks."""
        if self.site.study.crisp.hint != "binary":
            return torch.ones_like(images[:, :1], dtype=torch.bool)
        core, support = (hints > HALF).chunk(2, dim=1)
        return uncertainty_region(core, support)
