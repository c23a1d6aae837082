"""Every number that the report of one run shows beside the summary itself."""

from __future__ import annotations

from dataclasses import dataclass

from crisp_core.report import curves
from crisp_core.report.cautions import cautions
from crisp_core.report.recursions import PassRow, pass_rows
from crisp_core.report.repeat import TimeSplit, time_split
from crisp_core.report.tables import GroupMean, SiteResult, group_mean, of_role, site_results
from crisp_core.report.training import RoundRow, Score, round_rows, scores
from crisp_core.schema.summary import RunSummary


@dataclass(frozen=True)
class RunTables:
    """Tables, curves and sentences of a run; the page and report.json show the same."""

    results: tuple[SiteResult, ...]
    held_out_dice: GroupMean | None
    source_dice: GroupMean | None
    passes: tuple[PassRow, ...]
    pass_charts: tuple[curves.Chart, ...]
    validation_charts: tuple[curves.Chart, ...]
    loss_charts: tuple[curves.Chart, ...]
    hint_charts: tuple[curves.Chart, ...]
    scores: tuple[Score, ...]
    rounds: tuple[RoundRow, ...]
    time: TimeSplit
    cautions: tuple[str, ...]


def run_tables(summary: RunSummary) -> RunTables:
    """Compute every table of a run; the same summary gives the same numbers."""
    results = site_results(summary)
    sites = [result.site for result in results]
    passes, rounds = pass_rows(summary, sites), round_rows(summary)
    return RunTables(
        results=results,
        held_out_dice=group_mean(result.dice for result in of_role(results, "held-out")),
        source_dice=group_mean(result.dice for result in of_role(results, "source")),
        passes=passes,
        pass_charts=curves.pass_charts(summary, sites),
        validation_charts=curves.validation_charts(summary),
        loss_charts=curves.loss_charts(summary),
        hint_charts=curves.hint_charts(summary),
        scores=scores(summary),
        rounds=rounds,
        time=time_split(summary),
        cautions=cautions(summary, results, passes),
    )
