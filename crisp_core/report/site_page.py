"""One hospital's own page: the federation's templates, its own cases and its own pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crisp_core.report.analysis.findings import findings
from crisp_core.report.analysis.own_cases import own_case_sheet
from crisp_core.report.cautions import site_cautions
from crisp_core.report.page import page_context
from crisp_core.report.rendering import render
from crisp_core.report.run_sheets import run_sheets
from crisp_core.report.run_tables import run_tables
from crisp_core.report.sheets.files import write_sheets
from crisp_core.report.sheets.sheet import Sheet
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.study import Study
from crisp_core.schema.summary import Panel, RunSummary


@dataclass(frozen=True)
class SitePage:
    """What a site knows without the coordinator."""

    study: Study
    model_hash: str
    generation: int
    evaluation: Evaluation
    measured: str
    versions: dict[str, str]
    panels: tuple[Panel, ...]
    risk: RiskRule | None = None

    @property
    def cases(self) -> Sheet:
        """Every case by name, with the flag of its answer."""
        return own_case_sheet(self.evaluation.cases, self.risk)

    @property
    def summary(self) -> RunSummary:
        """The same as the summary of a run in which nobody but this site is known."""
        return RunSummary(
            study=self.study,
            study_hash=self.study.hash(),
            engine="",
            versions=self.versions,
            sites={},
            rounds=(),
            generations=(),
            selected_generation=self.generation,
            converged_at=None,
            final={self.evaluation.site: self.evaluation},
            model_hash=self.model_hash,
            started=self.measured,
            finished=self.measured,
            seconds=self.evaluation.seconds,
            site_seconds=self.evaluation.seconds,
            commands=(),
            warnings=(),
            risk=self.risk,
        )


def write_site_page(page: SitePage, folder: Path) -> Path:
    """Write site.html and every table of it into `folder`.

    Returns:
        The path of site.html. It holds pictures of patients and stays at the site.
    """
    summary = page.summary
    tables = run_tables(summary)
    found = findings(summary, [result.site for result in tables.results])
    write_sheets((*run_sheets(summary, tables, found).values(), page.cases), folder)
    path = folder / "site.html"
    path.write_text(site_page(page), encoding="utf-8")
    return path


def site_page(page: SitePage) -> str:
    """Return the page as HTML."""
    summary = page.summary
    tables = run_tables(summary)
    return render(
        "site.html",
        **page_context(summary, tables, page.panels),
        result=tables.results[0],
        own_cases=page.cases,
        own_cautions=site_cautions(tables.results, tables.passes),
    )
