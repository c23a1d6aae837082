"""The report of one run: a page for people and the same numbers for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crisp_core.report import curves
from crisp_core.report.cautions import cautions
from crisp_core.report.figures import site_styles
from crisp_core.report.palette import css, structure_colour
from crisp_core.report.recursions import FALL, PassRow, pass_rows
from crisp_core.report.rendering import render
from crisp_core.report.repeat import TimeSplit, study_text, time_split
from crisp_core.report.scales import UNIT_SCALE
from crisp_core.report.tables import (
    ALL,
    DICE,
    METRICS,
    GroupMean,
    SiteResult,
    case_value,
    group_mean,
    of_role,
    site_results,
)
from crisp_core.report.training import RoundRow, Score, round_rows, scores
from crisp_core.schema.summary import Panel, RunSummary

PLACES = ("worst", "median", "best")


@dataclass(frozen=True)
class RunTables:
    """Every number that the page shows beside the summary itself."""

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


def write_report(summary: RunSummary, folder: Path, panels: Sequence[Panel] = ()) -> Path:
    """Write report.html and report.json into `folder`, which is made if it is not there.

    Returns:
        The path of report.html. The page needs no other file and no network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = run_tables(summary)
    value = {
        "degraded": summary.degraded,
        "summary": summary.model_dump(mode="json"),
        "tables": asdict(tables),
    }
    text = json.dumps(value, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    path = folder / "report.html"
    path.write_text(page(summary, tables, panels), encoding="utf-8")
    return path


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


def page(summary: RunSummary, tables: RunTables, panels: Sequence[Panel] = ()) -> str:
    """Return the page as HTML."""
    study = summary.study
    order = [result.site for result in tables.results]
    roles = {site: study.sites[site].role for site in [*order, *sorted(study.sites)]}
    return render(
        "report.html",
        summary=summary,
        study=study,
        tables=tables,
        held_out=of_role(tables.results, "held-out"),
        sources=of_role(tables.results, "source"),
        trained={site for row in tables.rounds for site in row.trained},
        styles=site_styles(roles),
        metrics=METRICS,
        fall=FALL,
        unit=UNIT_SCALE,
        structures={name: css(structure_colour(i)) for i, name in enumerate(study.classes)},
        points=_points(summary),
        panels=_sorted_panels(panels, order),
        study_text=study_text(study),
    )


def _points(summary: RunSummary) -> dict[str, dict[str, dict[str, float]]]:
    """Return structure -> site -> case -> Dice, for the box plots."""
    classes = summary.study.classes
    groups = {ALL: classes} if len(classes) > 1 else {}
    groups |= {name: (name,) for name in classes}
    return {
        name: {
            site: {
                case.case: value
                for case in evaluation.cases
                if (value := case_value(case.answer, DICE, structures)) is not None
            }
            for site, evaluation in summary.final.items()
        }
        for name, structures in groups.items()
    }


def _sorted_panels(panels: Sequence[Panel], order: Sequence[str]) -> dict[str, list[Panel]]:
    """Return site -> panels, in the page's order of sites, the worst case of each first."""
    sites = [*order, *sorted({panel.site for panel in panels} - set(order))]
    grouped = {site: [panel for panel in panels if panel.site == site] for site in sites}
    return {
        site: sorted(own, key=lambda panel: PLACES.index(panel.place))
        for site, own in grouped.items()
        if own
    }
