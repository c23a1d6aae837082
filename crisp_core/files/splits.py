"""Who trains and who validates: whole patients, by a hash that ignores everybody else."""

from __future__ import annotations

from math import floor

from crisp_core.files.cohort import Cohort
from crisp_core.numerics.randomness import keyed_seed

HALF = 0.5


def assign_splits(cohort: Cohort, validation_share: float, seed: int) -> dict[str, str]:
    """Give every case of a cohort its split, patient by patient.

    A split in the site's table wins and holds for all cases of that patient. The other patients
    are ranked by a hash of (seed, patient); the first share of them validates, at least one and
    not all where there are two or more. One more patient moves at most one other.

    Args:
        cohort: The site's cases.
        validation_share: Between 0 and 1; 0 keeps nobody back.
        seed: Of the study.

    Returns:
        "train", "validation" or "test" for every case id.
    """
    said = {case.patient_id: case.split for case in cohort.cases if case.split is not None}
    free = {case.patient_id for case in cohort.cases} - set(said)
    ranked = sorted(free, key=lambda patient: (keyed_seed(seed, "split", patient), patient))
    kept = set(ranked[: _validation_count(len(ranked), validation_share)])
    drawn = {patient: "validation" if patient in kept else "train" for patient in ranked}
    splits = {**drawn, **said}
    return {case.case_id: case.split or splits[case.patient_id] for case in cohort.cases}


def _validation_count(patient_count: int, share: float) -> int:
    if share <= 0:
        return 0
    return max(0, min(patient_count - 1, max(1, floor(share * patient_count + HALF))))
