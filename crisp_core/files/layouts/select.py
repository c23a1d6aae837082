"""Which cases of a data set a site has: conditions on what the data set says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from crisp_core.files.cohort import Case
from crisp_core.numerics.randomness import keyed_seed
from crisp_core.schema.places import Condition, condition


def selected(cases: Sequence[Case], select: Iterable[str]) -> tuple[Case, ...]:
    """Keep the cases for which every condition holds.

    `fold=1/5` keeps a fifth of the patients of each site and vendor, drawn by a hash of their
    names before any other condition: `fold!=1/5` are always all the others.

    Raises:
        ValueError: If a text is no condition.
    """
    kept = tuple(cases)
    for one in map(condition, select):
        folds = _folds(cases, one)
        kept = tuple(case for case in kept if one.holds(_value(case, one.fact, folds)))
    return kept


def _value(case: Case, fact: str, folds: dict[str, str]) -> str:
    values = {
        "site": case.site,
        "vendor": case.vendor,
        "part": case.part,
        "group": case.group,
        "phase": case.phase,
        "split": case.split or "",
        "patient": case.patient_id,
    }
    return folds[case.patient_id] if fact == "fold" else values[fact]


def _folds(cases: Sequence[Case], one: Condition) -> dict[str, str]:
    """Give every patient a fold, such as 2/5."""
    if one.fact != "fold":
        return {}
    count = int(one.values[0].partition("/")[2])
    strata = defaultdict[tuple[str, str], set[str]](set)
    for case in cases:
        strata[case.site, case.vendor].add(case.patient_id)
    return {
        patient: f"{place % count + 1}/{count}"
        for patients in strata.values()
        for place, patient in enumerate(sorted(patients, key=_draw))
    }


def _draw(patient: str) -> tuple[int, str]:
    return keyed_seed("fold", patient), patient
