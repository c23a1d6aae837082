"""The report of one run: a page for people and the same numbers for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from crisp_core.report.analysis.findings import findings
from crisp_core.report.analysis.groups import TOGETHER
from crisp_core.report.figures import site_styles
from crisp_core.report.model_card import write_model_card
from crisp_core.report.palette import ERRORS, css, structure_colour
from crisp_core.report.recursions import FALL
from crisp_core.report.rendering import render
from crisp_core.report.repeat import study_text
from crisp_core.report.run_sheets import run_sheets
from crisp_core.report.run_tables import RunTables, run_tables
from crisp_core.report.scales import UNIT_SCALE
from crisp_core.report.sheets.files import write_sheets
from crisp_core.report.tables import ALL, DICE, case_value, of_role
from crisp_core.schema.summary import Panel, RunSummary

PLACES = ("worst", "median", "best")


def write_report(summary: RunSummary, folder: Path, panels: Sequence[Panel] = ()) -> Path:
    """Write report, model card and every table into `folder`, made if it is not there.

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
    found = findings(summary, [result.site for result in tables.results])
    write_sheets(run_sheets(summary, tables, found).values(), folder)
    write_model_card(summary, folder)
    path = folder / "report.html"
    path.write_text(page(summary, tables, panels), encoding="utf-8")
    return path


def page(summary: RunSummary, tables: RunTables, panels: Sequence[Panel] = ()) -> str:
    """Return the page as HTML."""
    return render(
        "report.html",
        **page_context(summary, tables, panels),
        trained={site for row in tables.rounds for site in row.trained},
        study_text=study_text(summary.study),
    )


def page_context(
    summary: RunSummary, tables: RunTables, panels: Sequence[Panel]
) -> dict[str, object]:
    """Return what the sections that a federation's and a site's page share are filled with."""
    study = summary.study
    order = [result.site for result in tables.results]
    found = findings(summary, order)
    roles = {site: study.sites[site].role for site in [*order, *sorted(study.sites)]}
    return {
        "summary": summary,
        "study": study,
        "tables": tables,
        "found": found,
        "sheets": run_sheets(summary, tables, found),
        "held_out": of_role(tables.results, "held-out"),
        "sources": of_role(tables.results, "source"),
        "styles": {**site_styles(roles), TOGETHER["held-out"]: "h0", TOGETHER["source"]: "s0"},
        "fall": FALL,
        "unit": UNIT_SCALE,
        "structures": {name: css(structure_colour(i)) for i, name in enumerate(study.classes)},
        "error_colours": {name: css(colour) for name, colour in ERRORS.items()},
        "points": _points(summary),
        "panels": _sorted_panels(panels, order),
    }


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
