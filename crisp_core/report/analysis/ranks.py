"""What moves between hospitals and what stays: the ranking of the voxels and their probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.report.tables import mean_or_none
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class RankStability:
    """One structure at one site, means over cases."""

    site: str
    role: str
    structure: str
    case_count: int
    auc: float
    """Chance that a voxel of the structure outranks another one."""
    probability: float
    """Mean probability that the structure's voxels get."""


def rank_stabilities(summary: RunSummary, sites: Sequence[str]) -> tuple[RankStability, ...]:
    """Return every structure of every site that sent both figures."""
    found = (
        _stability(summary, site, structure)
        for structure in summary.study.classes
        for site in sites
    )
    return tuple(one for one in found if one)


def rank_sheet(found: Sequence[RankStability]) -> Sheet:
    """List both figures of every structure and site."""
    return Sheet(
        "rank-stability",
        "Ranking and probability",
        (
            *named(("Structure", "Site", "Role")),
            *named(("Cases",), kind="count"),
            Heading("auc", "AUC"),
            Heading("probability", "Mean probability"),
        ),
        tuple(
            (
                *map(words, (one.structure, one.site, one.role)),
                *map(Entry, (one.case_count, one.auc, one.probability)),
            )
            for one in found
        ),
        "AUC: the chance that a voxel of the structure has larger log-odds than another voxel of "
        "the region of interest. Mean probability: over the reference's voxels.",
    )


def _stability(summary: RunSummary, site: str, structure: str) -> RankStability | None:
    cases = (case.answer.structures.get(structure) for case in summary.final[site].cases)
    figures = [one for one in cases if one]
    auc = mean_or_none(one.auc for one in figures)
    probability = mean_or_none(one.positive_probability for one in figures)
    if auc is None or probability is None:
        return None
    role = summary.study.sites[site].role
    count = sum(one.auc is not None for one in figures)
    return RankStability(site, role, structure, count, auc, probability)
