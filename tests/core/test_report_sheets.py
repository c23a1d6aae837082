"""One table, five ways to write it: none may say anything else than the others."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import run_summary

from crisp_core.report.analysis.findings import findings
from crisp_core.report.comparison import compare, write_comparison
from crisp_core.report.page import write_report
from crisp_core.report.run_sheets import run_sheets
from crisp_core.report.run_tables import run_tables
from crisp_core.report.sheets.files import FORMATS, write_sheets
from crisp_core.report.sheets.formats import csv_text, json_text, markdown_text
from crisp_core.report.sheets.html import html_text
from crisp_core.report.sheets.latex import latex_text, latex_words
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, words, words_of

METHOD = Heading("method", "Method", kind="words")
DICE = Heading("dice", "Dice", parts=("sd", "p"), sample="16 (8)")
HD95 = Heading("hd95", "HD95", "mm", decimals=1)
SHEET = Sheet(
    "dice",
    "Dice of A & B",
    (METHOD, DICE, HD95),
    (
        (words("fedavg"), Entry(0.7, sd=0.02), Entry(12.34, worst=True)),
        (words("crisp_x"), Entry(0.8, sd=0.01, p=0.0004, best=True), Entry(None)),
    ),
    "100 % of them.",
)


def read_csv(sheet: Sheet) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(sheet))))


def test_a_csv_file_holds_one_line_a_row_and_nothing_where_nothing_is_defined() -> None:
    assert read_csv(SHEET) == [
        {"method": "fedavg", "dice": "0.7", "dice_sd": "0.02", "dice_p": "", "hd95": "12.34"},
        {"method": "crisp_x", "dice": "0.8", "dice_sd": "0.01", "dice_p": "0.0004", "hd95": ""},
    ]


def test_json_rows_have_the_keys_and_the_values_of_the_csv_file() -> None:
    rows = json.loads(json_text(SHEET))["rows"]

    assert [row.pop("marks") for row in rows] == [{"hd95": ["worst"]}, {"dice": ["best"]}]
    assert [
        {key: "" if value is None else str(value) for key, value in row.items()} for row in rows
    ] == read_csv(SHEET)


def test_the_best_is_bold_and_the_worst_has_a_dagger() -> None:
    latex, markdown, html = latex_text(SHEET), markdown_text(SHEET), str(html_text(SHEET))

    assert r"\textbf{0.800} \\ {\scriptsize $\pm$ 0.010} \\ {\scriptsize p \textless{}" in latex
    assert r"12.3 $^\dagger$ \\" in latex
    assert "**0.800 ± 0.010; p &lt; 0.001**" in markdown
    assert "12.3 †" in markdown
    assert 'class="best" data-value="0.8"' in html
    assert 'class="worst" data-value="12.34">12.3 †<' in html


def test_a_latex_table_has_booktabs_rules_and_escapes_what_latex_reads() -> None:
    text = latex_text(SHEET)

    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 2, 1]
    assert r"\caption{Dice of A \& B. 100 \% of them.}" in text
    assert r"crisp\_x & " in text
    assert r"\begin{tabular}{lrr}" in text


def test_every_latex_table_of_a_run_and_a_comparison_closes_and_has_its_columns() -> None:
    summary = run_summary()
    found = findings(summary, list(summary.final))
    whole = compare([("fedavg", 0, summary), ("a_b", 0, run_summary(shift=0.02))])
    sheets = [*run_sheets(summary, run_tables(summary), found).values(), *whole.sheets]

    for sheet in sheets:
        text = latex_text(sheet)
        plain = re.sub(r"\\[&%$#_{}]", "", text)
        opened = list(accumulate((char == "{") - (char == "}") for char in plain))
        assert min(opened) == opened[-1] == 0
        assert plain.count("$") % 2 == 0
        inner = re.sub(r"\\begin\{tabular\}\[t\].*?\\end\{tabular\}", "", plain)
        rows = [line for line in inner.splitlines() if line.endswith(r" \\")]
        assert {row.count("&") for row in rows} == {len(sheet.headings) - 1}
        assert len(rows) == 1 + len(sheet.rows) + sheet.sampled
        body = re.sub(r"\\label\{.*?\}", "", plain)
        assert not re.search(r"[_#]|(?<!\{)%", body)


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_words_become_latex_that_closes_what_it_opens(text: str) -> None:
    plain = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}", "", latex_words(text))

    assert not re.search(r"[&%#_{}~]", plain)
    assert latex_words(text).count("$") % 2 == len(re.findall(r"\\\$", latex_words(text))) % 2


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_a_word_from_elsewhere_is_no_formula_in_a_spreadsheet(word: str) -> None:
    sheet = Sheet("x", "x", (METHOD, HD95), ((words(word), Entry(-1.5)),))

    assert read_csv(sheet) == [{"method": f"'{word}", "hd95": "-1.5"}]


def test_a_row_that_misses_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns but rows of"):
        Sheet("x", "x", (METHOD, HD95), ((words("a"),),))


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        write_sheets([SHEET, SHEET], tmp_path)


@pytest.mark.parametrize(
    ("entry", "heading", "main"),
    [
        (Entry(-0.05), HD95, "\N{MINUS SIGN}0.1"),  # -0.05 is just below it as a binary number
        (Entry(0.02, fall=True), Heading("x", "x", kind="difference"), "▼ +0.020"),
        (Entry(12000), Heading("x", "x", kind="count"), "12,000"),
        (Entry(None), Heading("x", "x", kind="count"), "\N{EN DASH}"),
        (Entry(0.0001), Heading("x", "x", kind="p"), "< 0.001"),
    ],
)
def test_a_figure_is_written_as_its_column_says(entry: Entry, heading: Heading, main: str) -> None:
    assert words_of(entry, heading).main == main


def test_every_table_lies_beside_its_page_in_every_format(tmp_path: Path) -> None:
    write_report(run_summary(), tmp_path / "run")
    write_comparison([("a", 0, run_summary()), ("b", 0, run_summary())], tmp_path / "comparison")

    for page in (tmp_path / "run" / "report.html", tmp_path / "comparison" / "comparison.html"):
        shown = set(re.findall(r'<table class="sheet" id="table-([\w-]+)"', page.read_text()))
        written = {path.name for path in (page.parent / "tables").iterdir()}
        assert written == {f"{name}.{suffix}" for name in shown for suffix in FORMATS}


def test_a_table_of_the_page_says_what_its_file_says(tmp_path: Path) -> None:
    write_report(run_summary(), tmp_path)

    html = (tmp_path / "report.html").read_text()
    table = html.split('id="table-sites"')[1].split("</table>")[0]
    rows = json.loads((tmp_path / "tables" / "sites.json").read_text())["rows"]
    assert [float(value) for value in re.findall(r'"([\d.e+-]+)">0\.\d{3} <small>±', table)][
        ::3
    ] == pytest.approx([row["dice"] for row in rows])
