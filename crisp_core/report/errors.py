"""In which way answers are wrong, counted by site and structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from crisp_core.schema.messages import Evaluation, TaxonomyFigures
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class ErrorRow:
    """The errors of one structure at one site.

    Attributes:
        site: The site.
        structure: The structure.
        case_count: Cases whose errors were sent.
        missed: Cases in which exactly one of reference and prediction is empty.
        absent: Cases in which both are: they count as right.
        under_segmented: Cases with less than 70 % of the reference found.
        distant: Cases with a predicted component more than 10 mm from the reference.
        leakage_ml: Median false positive volume within 10 mm; None without a case.
        offset_mm: Mean centroid offset along D, H, W over the cases that have one.
    """

    site: str
    structure: str
    case_count: int
    missed: int
    absent: int
    under_segmented: int
    distant: int
    leakage_ml: float | None
    offset_mm: tuple[float, float, float] | None


def error_rows(summary: RunSummary) -> tuple[ErrorRow, ...]:
    """Count the errors of every final case, held-out sites first."""
    sites = [s for s in (*summary.study.held_out, *summary.study.sources) if s in summary.final]
    return tuple(
        error_row(summary.final[site], structure)
        for site in sites
        for structure in summary.study.classes
    )


def error_row(evaluation: Evaluation, structure: str) -> ErrorRow:
    """Count the errors of one structure at one site."""
    cases = [case for case in evaluation.cases if structure in case.errors]
    errors = [case.errors[structure] for case in cases]
    figures = [case.answer.structures[structure] for case in cases]
    return ErrorRow(
        site=evaluation.site,
        structure=structure,
        case_count=len(cases),
        missed=sum(one.missed for one in figures),
        absent=sum(one.reference_voxels == one.predicted_voxels == 0 for one in figures),
        under_segmented=sum(one.under_segmented for one in errors),
        distant=sum(one.distant_components > 0 for one in errors),
        leakage_ml=median(one.leakage_ml for one in errors) if errors else None,
        offset_mm=_mean_offset(errors),
    )


def _mean_offset(errors: Sequence[TaxonomyFigures]) -> tuple[float, float, float] | None:
    known = [one.offset_mm for one in errors if one.offset_mm is not None]
    if not known:
        return None
    depth, row, column = (fmean(offset[axis] for offset in known) for axis in range(3))
    return depth, row, column
