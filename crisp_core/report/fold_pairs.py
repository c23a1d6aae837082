"""Methods of a leave-one-hospital-out contest against one of them, patient by patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.numerics.significance import holm, paired_p
from crisp_core.report.folds import Fold, methods_of
from crisp_core.report.pairing import default_baseline
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words


@dataclass(frozen=True)
class Pairing:
    """A method against the baseline, patient by patient."""

    method: str
    baseline: str
    difference: float
    """Mean over patients of Dice minus the baseline's, each patient averaged over seeds."""
    patients: int
    better: int
    p: float
    p_holm: float


def pairings_of(folds: Sequence[Fold], baseline: str | None = None) -> Iterator[Pairing]:
    """Compare every method with the baseline on the patients that both have measured.

    Args:
        folds: Of every method.
        baseline: Absent: `fedavg`, else the first method.
    """
    methods = methods_of(folds)
    baseline = baseline or default_baseline(methods)
    others = [method for method in methods if method != baseline]
    plain = _patients(folds, baseline)
    compared = []
    for method in others:
        measured = _patients(folds, method)
        common = [patient for patient in plain if patient in measured]
        if common:
            compared.append((method, [measured[p] for p in common], [plain[p] for p in common]))
    p_values = [paired_p(own, base) for _, own, base in compared]
    for (method, own, base), p, adjusted in zip(compared, p_values, holm(p_values), strict=True):
        apart = [mine - theirs for mine, theirs in zip(own, base, strict=True)]
        yield Pairing(
            method, baseline, fmean(apart), len(apart), sum(a > 0 for a in apart), p, adjusted
        )


def _patients(folds: Sequence[Fold], method: str) -> dict[tuple[str, str], float]:
    """Return (hospital, patient) -> Dice, averaged over the patient's cases and over seeds."""
    found: dict[tuple[str, str], list[float]] = {}
    for fold in folds:
        if fold.method == method:
            for case in fold.cases:
                found.setdefault((fold.held_out, case.patient), []).append(case.answer.dice)
    return {patient: fmean(values) for patient, values in found.items()}


def paired_sheet(pairings: Sequence[Pairing]) -> Sheet:
    """Return the comparisons as a table, one row a method."""
    headings = (
        Heading("method", "Method", kind="words"),
        Heading("baseline", "Against", kind="words"),
        Heading("difference", "Dice, mean difference", kind="difference"),
        Heading("better", "Patients better", kind="count"),
        Heading("patients", "Patients", kind="count"),
        Heading("p", "p", kind="p"),
        Heading("p_holm", "p (Holm)", kind="p"),
    )
    rows = tuple(
        (
            words(one.method),
            words(one.baseline),
            *map(Entry, (one.difference, one.better, one.patients, one.p, one.p_holm)),
        )
        for one in pairings
    )
    return Sheet(
        "paired-dice",
        "Dice, patient by patient",
        headings,
        rows,
        "Each patient is averaged over cases and seeds before methods are compared. p: Wilcoxon's "
        "signed-rank test over the patients of all hospitals, then corrected by Holm.",
    )
