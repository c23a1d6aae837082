"""Who is tried and on what: models from their files, cases from a folder or from a site's place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crisp_client.cases import SiteCases, open_cases
from crisp_client.device import Workbench
from crisp_core.errors import UsageError
from crisp_core.files.cohort import Case, read_cohort, read_cohorts
from crisp_core.files.preprocess import PrepareSettings
from crisp_core.files.released import read_released
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import load_arrays
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.randomness import keyed_seed
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import Split
from crisp_core.schema.stress import StressedModel
from crisp_core.schema.study import Study


@dataclass(frozen=True)
class Subject:
    """A model ready to answer."""

    marks: StressedModel
    study: Study
    segmenter: Segmenter

    @property
    def preparation(self) -> PrepareSettings:
        """How a volume becomes this model's input."""
        images = self.study.images
        return PrepareSettings(
            size=images.size,
            fit=images.fit,
            spacing_mm=images.spacing_mm,
            percentiles=images.percentiles,
        )


@dataclass(frozen=True)
class Trial:
    """A case under the names that appear in files."""

    case: Case
    name: str
    patient: str
    noise_key: str
    """That of the site's own measurements: a clean answer is the one of the run's report."""


@dataclass(frozen=True)
class Trials:
    """The cases of a stress test, where they come from and which they are."""

    data: str
    split: Split
    cases: tuple[Trial, ...]


def load_subject(path: Path, bench: Workbench) -> Subject:
    """Read a released model: a run's folder, a model's folder or its weights.

    Raises:
        UsageError, RunStateError, UntrustedError: As `read_released`.
        WeightsError: If the weights do not fit the network of the study.
    """
    released, parameters = read_released(path)
    segmenter = segmenter_of(released.study)
    load_arrays(segmenter, parameters)
    folder = path.parent if path.suffix == ".safetensors" else path
    marks = StressedModel(
        name=folder.resolve().name,
        model_hash=released.model_hash,
        recursions=released.recursions,
    )
    return Subject(marks, _without_needless_decodes(released.study), bench.placed(segmenter))


def paired(subject: Subject, baseline: Subject) -> tuple[Subject, Subject]:
    """Check that two models answer the same question, and tell them apart by name.

    Raises:
        UsageError: If they segment different structures or take other channels.
    """
    for what, own, other in (
        ("structures", subject.study.classes, baseline.study.classes),
        ("image channels", subject.study.model.channels, baseline.study.model.channels),
    ):
        if own != other:
            raise UsageError(
                expected=f"two models of the same {what}, {own}",
                got=f"{other}",
                where="--baseline",
                fix="Give a baseline that was trained on the same task",
            )
    names = subject.marks.name, baseline.marks.name
    if names[0] != names[1]:
        return subject, baseline
    marks = baseline.marks.model_copy(update={"name": f"{names[1]} (baseline)"})
    return subject, Subject(marks, baseline.study, baseline.segmenter)


def trials_in(folder: Path, class_count: int) -> Trials:
    """Take every case of a folder in house format, under its own name.

    Raises:
        DataError: If the folder is not what it should be.
    """
    name = folder.resolve().name
    cohort = read_cohort(folder, name, class_count)
    trials = (
        Trial(c, c.case_id, c.patient_id, noise_key=f"{name}/{c.case_id}") for c in cohort.cases
    )
    return Trials(name, "all", tuple(trials))


def trials_of(settings: SiteSettings, study: Study) -> Trials:
    """Take the cases of a site that the model has not learned from, under their pseudonyms.

    A site that trained it gives its test patients, else its validation patients, else its
    training cases; any other site gives all.

    Raises:
        DataError: If a folder is not what it should be.
    """
    site, split = _of_site(settings, study)
    trials = (
        Trial(c, site.pseudonym(c.case_id), site.pseudonym(c.patient_id), site.noise_key(c))
        for c in site.of(split)
    )
    return Trials(settings.site, split, tuple(trials))


def some_of(trials: Trials, patient_count: int | None, seed: int) -> Trials:
    """Keep that many patients, whole, chosen by a hash that ignores the others."""
    if patient_count is None:
        return trials
    patients = sorted({one.case.patient_id for one in trials.cases}, key=lambda p: _rank(p, seed))
    kept = set(patients[:patient_count])
    cases = tuple(one for one in trials.cases if one.case.patient_id in kept)
    return Trials(trials.data, trials.split, cases)


def _of_site(settings: SiteSettings, study: Study) -> tuple[SiteCases, Split]:
    if settings.site in study.sites:
        site = open_cases(settings, study)
        splits: tuple[Split, ...] = ("test", "validation", "train")
        own = next(split for split in splits if site.of(split))
        return site, "all" if study.sites[settings.site].role == "held-out" else own
    cohort = read_cohorts(
        [Path(folder) for folder in settings.data],
        settings.site,
        len(study.classes),
        follow_links=settings.follow_links,
    )
    return SiteCases(settings, study, cohort.cases, {}), "all"


def _rank(patient: str, seed: int) -> tuple[int, str]:
    return keyed_seed(seed, "stress", patient), patient


def _without_needless_decodes(study: Study) -> Study:
    """Let a network without hints decode once for its core and support, which nobody reads here."""
    if study.crisp.hint != "none":
        return study
    crisp = study.crisp.model_copy(update={"perturbations": 1, "perturbations_in_loss": 1})
    return study.model_copy(update={"crisp": crisp})
