from __future__ import annotations

from report_samples import run_summary

from crisp_core.report.page import page, run_tables
from crisp_core.schema.description import VerdictLine

LINES = (
    VerdictLine(
        site="vendor-d",
        level="warning",
        what="spacing",
        sentence="slices are <b>9.6</b> mm apart",
        fix="Compare with the scanner",
    ),
    VerdictLine(site="vendor-a", level="ok", what="data", sentence="12 cases, nothing to remark"),
)


def test_the_page_has_every_line_of_the_data_verdict_as_text() -> None:
    summary = run_summary().model_copy(update={"verdict": LINES})

    html = page(summary, run_tables(summary))

    assert "Data verdict" in html
    assert "slices are &lt;b&gt;9.6&lt;/b&gt; mm apart" in html
    assert "12 cases, nothing to remark" in html


def test_a_run_from_before_there_was_a_verdict_has_no_such_table() -> None:
    assert "Data verdict" not in page(run_summary(), run_tables(run_summary()))
