"""The final figures of every site, computed once from what the sites sent.

A case's figure is the mean over its structures, a site's figure the mean over its cases, a group's
figure the mean over its sites: a large site does not speak for a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from crisp_core.numerics.randomness import keyed_seed
from crisp_core.numerics.statistics import Interval, mean_interval
from crisp_core.schema.messages import CaseFigures, Evaluation, RecursionFigures, StructureFigures
from crisp_core.schema.summary import RunSummary

ALL = "all structures"


@dataclass(frozen=True)
class Metric:
    """A column of the tables: what it is called, how it is read and how it is written."""

    key: str
    label: str
    unit: str
    decimals: int
    higher_is_better: bool
    read: Callable[[StructureFigures], float | None]


def _volume_error_percent(figures: StructureFigures) -> float | None:
    return None if figures.volume_error is None else 100 * abs(figures.volume_error)


def _lesions_found(figures: StructureFigures) -> float | None:
    """Share of the reference's lesions that were found; None where there is none."""
    if figures.lesions_found is None or not figures.lesions_reference:
        return None
    return figures.lesions_found / figures.lesions_reference


DICE = Metric("dice", "Dice", "", 3, higher_is_better=True, read=lambda f: f.dice)
HD95 = Metric("hd95_mm", "HD95", "mm", 1, higher_is_better=False, read=lambda f: f.hd95_mm)
MAIN = (
    DICE,
    HD95,
    Metric("hd95_voxels", "HD95", "voxels", 1, False, lambda f: f.hd95_voxels),
    Metric("sensitivity", "Sensitivity", "", 3, True, lambda f: f.sensitivity),
    Metric("precision", "Precision", "", 3, True, lambda f: f.precision),
    Metric("volume_error_percent", "|Volume error|", "%", 1, False, _volume_error_percent),
)
FURTHER = (
    Metric("surface_dice", "Surface Dice", "", 3, True, lambda f: f.surface_dice),
    Metric("assd_mm", "ASSD", "mm", 2, False, lambda f: f.assd_mm),
    Metric("hd95_union_mm", "HD95, joined", "mm", 1, False, lambda f: f.hd95_union_mm),
    Metric("hd95_max_mm", "HD95, larger side", "mm", 1, False, lambda f: f.hd95_max_mm),
    Metric("volume_error_ml", "Volume error", "ml", 2, False, lambda f: f.volume_error_ml),
    Metric("lesions_found", "Lesions found", "", 3, True, _lesions_found),
    Metric("lesions_false", "False lesions", "a case", 2, False, lambda f: f.lesions_false),
)
METRICS = (*MAIN, *FURTHER)


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: by patient, from words, so that a table does not depend on order."""

    samples: int
    key: str

    def interval(self, values: Sequence[float], patients: Sequence[str], *words: str) -> Interval:
        """Return mean and interval of `values`, one per case."""
        return mean_interval(
            values,
            patients,
            samples=self.samples,
            generator=np.random.default_rng(keyed_seed("report", self.key, *words)),
        )

    def known_interval(
        self, values: Sequence[float | None], patients: Sequence[str], *words: str
    ) -> Interval | None:
        """Return mean and interval of the defined `values`, or None where there is none."""
        known = [(v, p) for v, p in zip(values, patients, strict=True) if v is not None]
        if not known:
            return None
        return self.interval([v for v, _ in known], [p for _, p in known], *words)


@dataclass(frozen=True)
class StructureRow:
    """One structure, or the mean over all of them, at one site."""

    structure: str
    case_count: int
    patient_count: int
    missed_count: int
    """Cases in which reference or prediction of (one of) the structure(s) is empty, not both."""
    absent_count: int
    """Cases in which both are empty: they count as Dice 1 and HD95 0."""
    metrics: dict[str, Interval | None]


@dataclass(frozen=True)
class SiteResult:
    """What the selected model did at one site."""

    site: str
    role: str
    split: str
    overall: StructureRow
    structures: tuple[StructureRow, ...]

    @property
    def dice(self) -> float:
        """The site's mean Dice; 0 for a site that measured no case, so that it is seen first."""
        interval = self.overall.metrics[DICE.key]
        return 0.0 if interval is None else interval.mean


@dataclass(frozen=True)
class GroupMean:
    """A mean over sites, each counted once."""

    mean: float
    sd: float | None
    site_count: int


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Average those values that are defined; None where there is none.

    Examples:
        >>> mean_or_none([0.5, None, 1.0]), mean_or_none([None])
        (0.75, None)
    """
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def case_value(
    recursion: RecursionFigures, metric: Metric, structures: Sequence[str]
) -> float | None:
    """Return the mean of `metric` over those `structures` of a case in which it is defined."""
    present = (recursion.structures[name] for name in structures if name in recursion.structures)
    return mean_or_none(map(metric.read, present))


def group_mean(values: Iterable[float | None]) -> GroupMean | None:
    """Average sites, each counted once; None for no site."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return GroupMean(fmean(known), stdev(known) if len(known) > 1 else None, len(known))


def structure_row(
    evaluation: Evaluation, structures: Sequence[str], name: str, bootstrap: Bootstrap
) -> StructureRow:
    """Summarise one structure, or several as one, over a site's cases."""
    cases = [case for case in evaluation.cases if set(structures) & set(case.answer.structures)]
    patients = [case.patient for case in cases]
    return StructureRow(
        structure=name,
        case_count=len(cases),
        patient_count=len(set(patients)),
        missed_count=_case_count(cases, structures, lambda figures: figures.missed),
        absent_count=_case_count(cases, structures, _is_absent),
        metrics={
            metric.key: bootstrap.known_interval(
                [case_value(case.answer, metric, structures) for case in cases],
                patients,
                *(evaluation.site, name, metric.key),
            )
            for metric in METRICS
        },
    )


def site_results(summary: RunSummary) -> tuple[SiteResult, ...]:
    """Return every measured site: held-out ones first, and in each group the worst Dice first."""
    results = [_site_result(summary, site) for site in sorted(summary.final)]
    return tuple(sorted(results, key=lambda result: (result.role != "held-out", result.dice)))


def of_role(results: Iterable[SiteResult], role: str) -> tuple[SiteResult, ...]:
    """Return the results of the "held-out" or the "source" sites, in their order."""
    return tuple(result for result in results if result.role == role)


def _site_result(summary: RunSummary, site: str) -> SiteResult:
    classes, evaluation = summary.study.classes, summary.final[site]
    bootstrap = Bootstrap(summary.study.evaluation.bootstrap_samples, summary.study_hash)
    return SiteResult(
        site=site,
        role=summary.study.sites[site].role,
        split=evaluation.split,
        overall=structure_row(evaluation, classes, ALL, bootstrap),
        structures=tuple(structure_row(evaluation, (c,), c, bootstrap) for c in classes),
    )


def _case_count(
    cases: Sequence[CaseFigures],
    structures: Sequence[str],
    condition: Callable[[StructureFigures], bool],
) -> int:
    figures = ([case.answer.structures.get(name) for name in structures] for case in cases)
    return sum(any(f is not None and condition(f) for f in row) for row in figures)


def _is_absent(figures: StructureFigures) -> bool:
    return figures.reference_voxels == 0 and figures.predicted_voxels == 0
