"""The drift reference of a released model: what its sources' images and answers looked like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from crisp_core.numerics.drift import FEWEST, sample_of
from crisp_core.schema.drift import (
    DriftReference,
    RateReference,
    SampleReference,
    SourceMedian,
    on_scale,
)
from crisp_core.schema.messages import CaseFigures, SiteDescription, StructureFigures
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.summary import RunSummary

AXES = ("z", "y", "x")
"""D, H, W: between slices, rows, columns."""
MM3_PER_ML = 1000.0


def drift_reference_of(summary: RunSummary) -> DriftReference:
    """Gather the reference of a finished run from its sources.

    Entropies and volumes come from the selected generation's validation, all sources together;
    spacings and intensities from the sources' descriptions, a median each. Fewer than ten
    validation cases leave no sample.
    """
    validation = summary.generations[summary.selected_generation - 1].validation
    cases = [
        (summary.sites[site], case)
        for site, answer in validation.items()
        if site in summary.sites
        for case in answer.cases
    ]
    sources = [summary.sites[name] for name in summary.study.sources if name in summary.sites]
    return DriftReference(
        cases=len(cases),
        samples=_samples(summary.study.classes, cases),
        medians=_medians(sources),
        flagged=_flagged(summary.risk),
    )


def sample_reference(feature: str, values: Sequence[float]) -> SampleReference | None:
    """Summarise a figure; None where it does not vary or too few cases have it."""
    if len(values) < FEWEST or min(values) == max(values):
        return None
    plain = sample_of(values)
    if not plain.levels:
        return None
    scaled = sample_of([on_scale(feature, value) for value in values])
    return SampleReference(
        count=plain.count,
        mean=scaled.mean,
        sd=scaled.sd,
        levels=plain.levels,
        quantiles=plain.quantiles,
    )


def _flagged(rule: RiskRule | None) -> RateReference | None:
    if rule is None:
        return None
    return RateReference(hits=round(rule.flagged * rule.case_count), count=rule.case_count)


def _samples(
    classes: Sequence[str], cases: Sequence[tuple[SiteDescription, CaseFigures]]
) -> dict[str, SampleReference]:
    values = {"entropy": [case.answer.entropy for _, case in cases]}
    for name in classes:
        values[f"volume:{name}"] = [
            _volume_ml(site, case.answer.structures[name]) for site, case in cases
        ]
    found = {name: sample_reference(name, figures) for name, figures in values.items()}
    return {name: sample for name, sample in found.items() if sample is not None}


def _volume_ml(site: SiteDescription, structure: StructureFigures) -> float:
    """Return the predicted volume; by the site's median voxel where none was measured in ml."""
    if structure.reference_ml is not None and structure.volume_error_ml is not None:
        return max(0.0, structure.reference_ml + structure.volume_error_ml)
    return structure.predicted_voxels * prod(site.spacing_mm_median) / MM3_PER_ML


def _medians(sources: Sequence[SiteDescription]) -> dict[str, tuple[SourceMedian, ...]]:
    medians: dict[str, list[SourceMedian]] = {}
    for site in sources:
        cases = site.train_cases + site.validation_cases + site.test_cases
        for name, value in _site_medians(site):
            medians.setdefault(name, []).append(SourceMedian(cases=max(1, cases), value=value))
    return {name: tuple(values) for name, values in medians.items()}


def _site_medians(site: SiteDescription) -> Iterator[tuple[str, float]]:
    """Yield what a description says; a policy may keep a site's profile, but not its spacing."""
    for axis, value in zip(AXES, site.spacing_mm_median, strict=True):
        yield f"spacing:{axis}", value
    for number, (_, middle, high) in enumerate(site.data.percentiles if site.data else (), start=1):
        yield f"intensity:{number}:median", middle
        yield f"intensity:{number}:high", high
