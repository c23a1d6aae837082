"""Predicted against reference volumes: bias and limits of agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crisp_core.numerics.moments import LimitsOfAgreement, limits_of_agreement, moments_of
from crisp_core.report.analysis.groups import Group, groups
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class Pair:
    """One case's volumes of one structure."""

    case: str
    mean_ml: float
    """Of predicted and reference volume."""
    error_ml: float
    """Predicted - reference."""


@dataclass(frozen=True)
class Agreement:
    """One structure at one site, or at several together."""

    group: Group
    structure: str
    pairs: tuple[Pair, ...]
    limits: LimitsOfAgreement | None
    """None with fewer than two cases."""


def agreements(summary: RunSummary, sites: Sequence[str]) -> tuple[Agreement, ...]:
    """Return every structure at every site whose volumes are known in ml."""
    found = (
        _agreement(group, structure)
        for structure in summary.study.classes
        for group in groups(summary, sites)
    )
    return tuple(one for one in found if one.pairs)


def agreement_sheet(found: Sequence[Agreement]) -> Sheet:
    """List bias and limits of every structure and site."""
    return Sheet(
        "volume-agreement",
        "Volumes: bias and limits of agreement",
        (
            *named(("Structure", "Site", "Role")),
            *named(("Cases",), kind="count"),
            Heading("bias_ml", "Bias", "ml", kind="difference", decimals=2),
            Heading("low_ml", "Lower limit", "ml", kind="difference", decimals=2),
            Heading("high_ml", "Upper limit", "ml", kind="difference", decimals=2),
        ),
        tuple(
            (
                *map(words, (one.structure, one.group.name, one.group.role)),
                Entry(len(one.pairs)),
                *map(Entry, _places(one.limits)),
            )
            for one in found
        ),
        "Predicted \N{MINUS SIGN} reference; 95 % of the differences are expected between the "
        "limits (bias \N{PLUS-MINUS SIGN} 1.96 standard deviations, Bland and Altman 1986). Cases "
        "of one patient are taken as if they were independent.",
    )


def _agreement(group: Group, structure: str) -> Agreement:
    pairs = tuple(
        Pair(case.case, figures.reference_ml + figures.volume_error_ml / 2, figures.volume_error_ml)
        for case in group.cases
        if (figures := case.answer.structures.get(structure))
        and figures.reference_ml is not None
        and figures.volume_error_ml is not None
    )
    limits = limits_of_agreement(moments_of([pair.error_ml for pair in pairs]))
    return Agreement(group, structure, pairs, limits)


def _places(limits: LimitsOfAgreement | None) -> tuple[float | None, ...]:
    return (limits.bias, limits.low, limits.high) if limits else (None, None, None)
