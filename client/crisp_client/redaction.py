"""What is taken out of a measurement before it leaves: kept metrics, words that few share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import (
    OPTIONAL,
    CaseFigures,
    Evaluation,
    RecursionFigures,
    StructureFigures,
)
from crisp_core.schema.policy import Policy

FEWEST_OF_A_GROUP = 2
"""Patients that share a group's name before it may leave, whatever the policy says."""
FEWEST_OF_A_STRATUM = 5
"""Patients behind a cell of the failure analysis before its word may leave; likewise."""
Part = TypeVar("Part", bound=Frozen)
Words = dict[str, str]


def redacted(evaluation: Evaluation, policy: Policy) -> Evaluation:
    """Return what `policy` lets out of a measurement.

    Optional metrics that it does not name are left out. A group's name leaves if enough patients
    share it; so does the word of a stratum, and the cases that go without a word must be enough
    patients as well, or none: otherwise they could be told by what the others have.
    """
    kept = set() if policy.metrics is None else set(OPTIONAL) - set(policy.metrics)
    lean = _without(evaluation, kept)
    cases = [_lean_case(case, kept) for case in lean.cases]
    return lean.model_copy(update={"cases": tuple(_common(cases, policy.min_cohort))})


def _without(part: Part, kept: Collection[str]) -> Part:
    """Set the optional fields of a model that must stay to what they are without a value."""
    fields = type(part).model_fields
    update = {
        name: fields[name].get_default(call_default_factory=True) for name in kept if name in fields
    }
    return part.model_copy(update=update)


def _lean_case(case: CaseFigures, kept: Collection[str]) -> CaseFigures:
    recursions = tuple(_lean_recursion(one, kept) for one in case.recursions)
    return _without(case, kept).model_copy(update={"recursions": recursions})


def _lean_recursion(recursion: RecursionFigures, kept: Collection[str]) -> RecursionFigures:
    structures: dict[str, StructureFigures] = {
        name: _without(figures, kept) for name, figures in recursion.structures.items()
    }
    return _without(recursion, kept).model_copy(update={"structures": structures})


def _common(cases: Sequence[CaseFigures], min_cohort: int) -> list[CaseFigures]:
    """Take out words that few patients share."""
    patients = [case.patient for case in cases]
    groups = _frequent(patients, [case.group for case in cases], max(min_cohort, FEWEST_OF_A_GROUP))
    strata: list[Words] = [{} for _ in cases]
    for name in dict.fromkeys(name for case in cases for name in case.strata):
        words = [case.strata.get(name, "") for case in cases]
        told = _told(patients, words, max(min_cohort, FEWEST_OF_A_STRATUM))
        for own, word in zip(strata, words, strict=True):
            if word in told:
                own[name] = word
    return [
        case.model_copy(update={"group": case.group if case.group in groups else "", "strata": own})
        for case, own in zip(cases, strata, strict=True)
    ]


def _told(patients: Sequence[str], words: Sequence[str], fewest: int) -> set[str]:
    """Return the words that may leave; the rarest go until nobody stands alone without one."""
    told = _frequent(patients, words, fewest) - {""}
    sizes = {word: len(members) for word, members in _members(patients, words).items()}
    while told:
        silent = {p for p, word in zip(patients, words, strict=True) if word not in told}
        if not silent or len(silent) >= fewest:
            break
        told.remove(min(told, key=lambda word: (sizes[word], word)))
    return told


def _frequent(patients: Sequence[str], words: Sequence[str], fewest: int) -> set[str]:
    members = _members(patients, words)
    return {word for word, own in members.items() if len(own) >= fewest}


def _members(patients: Sequence[str], words: Sequence[str]) -> Mapping[str, set[str]]:
    members = defaultdict[str, set[str]](set)
    for patient, word in zip(patients, words, strict=True):
        members[word].add(patient)
    return members
