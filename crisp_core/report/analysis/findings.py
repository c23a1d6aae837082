"""Everything that the analysis of one run found, and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crisp_core.report.analysis.calibration import (
    Calibration,
    bin_sheet,
    calibration_sheet,
    calibrations,
)
from crisp_core.report.analysis.coverage import MEASURES, Coverage, coverage_sheet, coverages
from crisp_core.report.analysis.flags import (
    Flags,
    flag_sheet,
    flags,
    reached_sentence,
    rule_sentence,
)
from crisp_core.report.analysis.ranks import RankStability, rank_sheet, rank_stabilities
from crisp_core.report.analysis.strata import strata_sheet
from crisp_core.report.analysis.taxonomy import Errors, error_sheet, errors
from crisp_core.report.analysis.volumes import Agreement, agreement_sheet, agreements
from crisp_core.report.sheets.sheet import Sheet
from crisp_core.report.strata import StratumRow, strata_rows
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class Findings:
    """Each empty where the sites did not send what it takes."""

    rule: RiskRule | None
    flags: tuple[Flags, ...]
    calibrations: tuple[Calibration, ...]
    coverages: tuple[Coverage, ...]
    ranks: tuple[RankStability, ...]
    agreements: tuple[Agreement, ...]
    cells: tuple[StratumRow, ...]
    errors: tuple[Errors, ...]

    @property
    def rule_sentences(self) -> tuple[str, ...]:
        """On what the risk rule stands, and what it caught where it was not set; empty without."""
        if self.rule is None:
            return ()
        return tuple(filter(None, (rule_sentence(self.rule), reached_sentence(self.flags))))

    @property
    def curves(self) -> tuple[Coverage, ...]:
        """Risk over coverage by the guard's own figure, each site for itself."""
        guard = next(iter(MEASURES))
        return tuple(one for one in self.coverages if one.measure == guard and one.group.single)

    @property
    def volumes(self) -> dict[str, tuple[Agreement, ...]]:
        """Structure -> agreement of each site."""
        single = [one for one in self.agreements if one.group.single]
        names = dict.fromkeys(one.structure for one in single)
        return {name: tuple(one for one in single if one.structure == name) for name in names}

    @property
    def rankings(self) -> dict[str, tuple[RankStability, ...]]:
        """Structure -> ranking and probability of each site."""
        names = dict.fromkeys(one.structure for one in self.ranks)
        return {name: tuple(one for one in self.ranks if one.structure == name) for name in names}


def findings(summary: RunSummary, sites: Sequence[str]) -> Findings:
    """Analyse the final measurement of `sites`, in their order."""
    return Findings(
        rule=summary.risk,
        flags=flags(summary, sites),
        calibrations=calibrations(summary, sites),
        coverages=coverages(summary, sites),
        ranks=rank_stabilities(summary, sites),
        agreements=agreements(summary, sites),
        cells=strata_rows(summary),
        errors=errors(summary, sites),
    )


def finding_sheets(found: Findings) -> Iterator[Sheet]:
    """Yield every table that has a row."""
    sheets = (
        flag_sheet(found.flags),
        coverage_sheet(found.coverages),
        calibration_sheet(found.calibrations),
        bin_sheet(found.calibrations),
        rank_sheet(found.ranks),
        strata_sheet(found.cells),
        error_sheet(found.errors),
        agreement_sheet(found.agreements),
    )
    return (sheet for sheet in sheets if sheet.rows)
