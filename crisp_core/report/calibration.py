"""Is the model as sure as it is right: each site, and several as if their voxels were pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from crisp_core.numerics.calibration import ReliabilityBins, joined_bins
from crisp_core.numerics.moments import (
    LimitsOfAgreement,
    Moments,
    joined_moments,
    limits_of_agreement,
    moments_of,
)
from crisp_core.schema.messages import Evaluation, StructureFigures
from crisp_core.schema.reliability import Bins


@dataclass(frozen=True)
class CalibrationRow:
    """Calibration inside the region of interest.

    Attributes:
        name: A site, or what several are called together.
        error: ECE of the top label; None without a voxel.
        class_errors: Class (background among them) -> its own ECE.
        static_error: Mean of `class_errors`.
        brier: Mean over cases of the Brier score, with its spread; None where no case has one.
        bins: Of the top label, for the reliability diagram and the confidence histogram.
    """

    name: str
    error: float | None
    class_errors: dict[str, float | None]
    static_error: float | None
    brier: Moments | None
    bins: ReliabilityBins


@dataclass(frozen=True)
class VolumeRow:
    """Predicted less reference volume of one structure, in ml (Bland and Altman).

    Attributes:
        name: A site, or what several are called together.
        structure: Which.
        differences: Count, mean and spread of predicted - reference.
        limits: Bias and 95 % limits; None with fewer than two cases.
        points: (mean of both volumes, difference) of each case.
    """

    name: str
    structure: str
    differences: Moments
    limits: LimitsOfAgreement | None
    points: tuple[tuple[float, float], ...]


def calibration_row(name: str, evaluations: Sequence[Evaluation]) -> CalibrationRow | None:
    """Join the bins of several sites' answers; None if none of them sent any.

    The result is that of all their voxels in one place: bins are sums.
    """
    found = [one.reliability for one in evaluations if one.reliability is not None]
    if not found:
        return None
    top = joined_bins(bins_of(one.top_label) for one in found)
    names = [name for name in found[0].classes if all(name in one.classes for one in found)]
    errors = {
        name: joined_bins(bins_of(one.classes[name]) for one in found).expected_calibration_error
        for name in names
    }
    known = [error for error in errors.values() if error is not None]
    return CalibrationRow(
        name=name,
        error=top.expected_calibration_error,
        class_errors=errors,
        static_error=fmean(known) if known else None,
        brier=_brier(evaluations),
        bins=top,
    )


def volume_row(name: str, structure: str, evaluations: Sequence[Evaluation]) -> VolumeRow:
    """Join the moments of several sites' volume errors."""
    sites = [list(_volumes(one, structure)) for one in evaluations]
    differences = joined_moments(moments_of([error for _, error in site]) for site in sites)
    return VolumeRow(
        name=name,
        structure=structure,
        differences=differences,
        limits=limits_of_agreement(differences),
        points=tuple((reference + error / 2, error) for site in sites for reference, error in site),
    )


def bins_of(bins: Bins) -> ReliabilityBins:
    """Turn bins that a site sent into arrays."""
    return ReliabilityBins(
        counts=np.array(bins.counts),
        confidence_sums=np.array(bins.confidence_sums),
        correct_counts=np.array(bins.correct_counts),
    )


def _brier(evaluations: Iterable[Evaluation]) -> Moments | None:
    sites = [
        [case.answer.brier for case in one.cases if case.answer.brier is not None]
        for one in evaluations
    ]
    joined = joined_moments(map(moments_of, sites))
    return joined if joined.count else None


def _volumes(evaluation: Evaluation, structure: str) -> Iterable[tuple[float, float]]:
    """Yield (reference, error) in ml of each case that has both."""
    for case in evaluation.cases:
        figures: StructureFigures | None = case.answer.structures.get(structure)
        if figures and figures.reference_ml is not None and figures.volume_error_ml is not None:
            yield figures.reference_ml, figures.volume_error_ml
