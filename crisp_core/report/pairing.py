"""The same patients under two methods: by how much they differ, and whether that was luck.

A patient is a site and a pseudonym. Cases of a patient are averaged first and then the seeds, so a
patient counts once however many cases and seeds there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from crisp_core.numerics.significance import paired_p
from crisp_core.numerics.statistics import Interval
from crisp_core.report.tables import Bootstrap, Metric, case_value
from crisp_core.schema.summary import RunSummary

Patient = tuple[str, str]
Seeds = Mapping[int, RunSummary]


@dataclass(frozen=True)
class Difference:
    """What changing the method did to the same patients."""

    interval: Interval
    """Mean over the patients, ends drawn by patient."""
    p: float
    """Two-sided, of Wilcoxon's signed-rank test over the patients; not yet corrected."""


def default_baseline(methods: Sequence[str]) -> str:
    """Return whom methods are held against where nobody says: `fedavg`, else the first."""
    return "fedavg" if "fedavg" in methods else methods[0]


def patient_values(
    summary: RunSummary, metric: Metric, sites: Sequence[str]
) -> dict[Patient, float]:
    """Return the answer's `metric` of every patient at `sites`, the mean over their cases."""
    values = defaultdict[Patient, list[float]](list)
    for site in sites:
        if site in summary.final:
            for case in summary.final[site].cases:
                value = case_value(case.answer, metric, summary.study.classes)
                if value is not None:
                    values[site, case.patient].append(value)
    return {patient: fmean(own) for patient, own in values.items()}


def differences(
    method: Seeds, baseline: Seeds, metric: Metric, sites: Sequence[str]
) -> dict[Patient, float]:
    """Return method minus baseline for every patient that both measured with one seed.

    Where a patient was measured with several seeds, their mean.
    """
    apart = defaultdict[Patient, list[float]](list)
    for seed in sorted(set(method) & set(baseline)):
        one = patient_values(method[seed], metric, sites)
        other = patient_values(baseline[seed], metric, sites)
        for patient in sorted(set(one) & set(other)):
            apart[patient].append(one[patient] - other[patient])
    return {patient: fmean(own) for patient, own in sorted(apart.items())}


def difference(
    apart: Mapping[Patient, float], bootstrap: Bootstrap, *words: str
) -> Difference | None:
    """Summarise differences of patients; None if there is no patient."""
    if not apart:
        return None
    values = list(apart.values())
    patients = [f"{site}/{patient}" for site, patient in apart]
    interval = bootstrap.interval(values, patients, *words, "paired")
    return Difference(interval, paired_p(values, [0.0] * len(values)))


def same_patients(runs: Sequence[RunSummary], site: str) -> bool:
    """Tell whether every run that measured all cases of `site` names the same patients.

    Runs that were made with different pseudonym keys do not: one patient would count several times.
    """
    measured = [run.final[site] for run in runs if site in run.final]
    named = {
        frozenset(case.patient for case in evaluation.cases)
        for evaluation in measured
        if evaluation.split == "all"
    }
    return len(named) <= 1
