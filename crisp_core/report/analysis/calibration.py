"""Is a probability of 0.8 right in 8 of 10 voxels? Site by site, and exactly for all together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from crisp_core.numerics.calibration import ReliabilityBins, joined_bins
from crisp_core.numerics.moments import Moments, joined_moments, moments_of
from crisp_core.report.analysis.groups import Group, groups
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.reliability import Bins
from crisp_core.schema.summary import RunSummary

BACKGROUND = "background"


@dataclass(frozen=True)
class Calibration:
    """The bins of one site, or of the voxels of several together."""

    group: Group
    top_label: ReliabilityBins
    classes: dict[str, ReliabilityBins]
    brier: Moments
    """Of the cases' Brier scores; of no case where nobody sent them."""

    @property
    def error(self) -> float | None:
        """Expected calibration error of the label that wins (ECE)."""
        return self.top_label.expected_calibration_error

    @property
    def class_errors(self) -> dict[str, float | None]:
        """The error of each class's own probability, background among them."""
        return {name: own.expected_calibration_error for name, own in self.classes.items()}

    @property
    def class_error(self) -> float | None:
        """Mean over the classes: the static calibration error."""
        known = [error for error in self.class_errors.values() if error is not None]
        return fmean(known) if known else None


def calibrations(summary: RunSummary, sites: Sequence[str]) -> tuple[Calibration, ...]:
    """Return what the sites sent; a group is left out where one of its sites sent nothing."""
    found = (_calibration(group) for group in groups(summary, sites))
    return tuple(one for one in found if one)


def calibration_sheet(found: Sequence[Calibration]) -> Sheet:
    """List the errors of every site and of each class."""
    classes = list(dict.fromkeys(name for one in found for name in one.classes))
    return Sheet(
        "calibration",
        "Calibration",
        (
            *named(("Site", "Role")),
            *named(("Voxels",), kind="count"),
            Heading("ece", "ECE"),
            Heading("class_ece", "Class-wise ECE"),
            *(Heading(f"ece_of_{name}", name) for name in classes),
            Heading("brier", "Brier", parts=("sd",)),
        ),
        tuple(
            (
                *map(words, (one.group.name, one.group.role)),
                Entry(int(one.top_label.counts.sum())),
                Entry(one.error),
                Entry(one.class_error),
                *(Entry(one.class_errors.get(name)) for name in classes),
                Entry(one.brier.mean, sd=one.brier.sd) if one.brier.count else Entry(None),
            )
            for one in found
        ),
        "Expected calibration error inside the region of interest (the box around reference and "
        "prediction, grown by 10 pixels) of the label that wins; class-wise: of every class's own "
        "probability, and their mean. Brier: squared distance of all probabilities from the truth, "
        "0 to 2, mean over cases. 0 is perfect in each. Sites together: the bins of their voxels "
        "are added, which is exact.",
    )


def bin_sheet(found: Sequence[Calibration]) -> Sheet:
    """List the numbers behind the reliability diagrams."""
    return Sheet(
        "reliability-bins",
        "Reliability, bin by bin",
        (
            *named(("Site", "Class")),
            Heading("low", "From", decimals=2),
            Heading("high", "To", decimals=2),
            *named(("Voxels",), kind="count"),
            Heading("confidence", "Mean confidence"),
            Heading("accuracy", "Share that is right"),
        ),
        tuple(
            row
            for one in found
            for name, bins in {"label that wins": one.top_label, **one.classes}.items()
            for row in _bin_rows(one.group.name, name, bins)
        ),
    )


def _calibration(group: Group) -> Calibration | None:
    sent = [evaluation.reliability for evaluation in group.evaluations]
    if None in sent:
        return None
    whole = [one for one in sent if one is not None]
    names = [name for name in whole[0].classes if all(name in one.classes for one in whole)]
    return Calibration(
        group=group,
        top_label=joined_bins(_bins(one.top_label) for one in whole),
        classes={name: joined_bins(_bins(one.classes[name]) for one in whole) for name in names},
        brier=joined_moments(map(_brier, group.evaluations)),
    )


def _brier(evaluation: Evaluation) -> Moments:
    scores = (case.answer.brier for case in evaluation.cases)
    return moments_of([score for score in scores if score is not None])


def _bins(sent: Bins) -> ReliabilityBins:
    return ReliabilityBins(
        counts=np.array(sent.counts, np.int64),
        confidence_sums=np.array(sent.confidence_sums, np.float64),
        correct_counts=np.array(sent.correct_counts, np.int64),
    )


def _bin_rows(site: str, name: str, bins: ReliabilityBins) -> Iterator[tuple[Entry, ...]]:
    size = bins.counts.size
    for place, count in enumerate(map(int, bins.counts)):
        if count:
            yield (
                words(site),
                words(name),
                Entry(place / size),
                Entry((place + 1) / size),
                Entry(count),
                Entry(float(bins.confidence_sums[place]) / count),
                Entry(int(bins.correct_counts[place]) / count),
            )
