"""The pages in a real browser; slow, and skipped where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from report_samples import panels, run_summary

from crisp_core.report.comparison import write_comparison
from crisp_core.report.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=2000",
    "--allow-file-access-from-files",
]
PROBE = """<body><iframe id="page" width="{width}" height="800" src="{name}"></iframe><script>
onload = () => {{
  const page = document.getElementById("page").contentDocument;
  const found = {{ scroll: page.documentElement.scrollWidth, ...(() => {{ {script} }})() }};
  document.title = "found " + JSON.stringify(found);
}};
</script>"""
LOOK = """
const entries = page.defaultView.performance.getEntriesByType("resource");
const asked = entries.map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
"""
SORT = """
const table = page.querySelector("table.sheet");
const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const heads = [...table.tHead.rows[0].cells];
const button = heads.find((head) => head.textContent === "Dice").querySelector("button");
const states = [order()];
for (let click = 0; click < 3; click++) {
  button.focus();
  page.activeElement.click();
  states.push(order(), button.parentElement.getAttribute("aria-sort"));
}
"""
FILTER = """
const frame = page.getElementById("table-sites").parentElement;
const field = frame.previousElementSibling.querySelector("input");
field.value = "SOURCE vendor";
field.dispatchEvent(new Event("input"));
const rows = [...frame.querySelectorAll("tbody tr")].filter((row) => row.offsetHeight > 0);
const told = field.nextElementSibling.textContent;
const filtered = [rows.map((row) => row.cells[0].textContent), told];
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    write_report(run_summary(), folder, panels({"image": "aGk="}))
    write_comparison([("a", 0, run_summary()), ("b", 0, run_summary())], folder)
    return folder


def browse(page: Path, *flags: str) -> str:
    """Open a page and return what became of it."""
    words = [str(BROWSER), *QUIET, f"--user-data-dir={page.parent / 'profile'}", *flags]
    done = subprocess.run(
        [*words, page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def asked(pages: Path, name: str, script: str, width: int = 1400) -> Any:
    """Run a script beside the page and return what it returns."""
    probe = pages / "probe.html"
    probe.write_text(PROBE.format(width=width, name=name, script=script), encoding="utf-8")
    return json.loads(browse(probe, "--dump-dom").split("<title>found ")[1].split("</title>")[0])


@pytest.fixture(scope="module")
def report(pages: Path) -> dict[str, Any]:
    """What a reader of the report finds, sorting and filtering its first table."""
    script = f"{LOOK} {SORT} {FILTER} return {{ asked, states, filtered }};"
    return asked(pages, "report.html", script)


def test_a_heading_sorts_its_table_up_down_and_back(report: dict[str, Any]) -> None:
    written = ["vendor-d", "vendor-e", "vendor-b", "vendor-c", "vendor-a"]

    assert report["states"] == [
        written,
        *(written, "ascending"),  # the worst first: Dice rises already
        *(written[::-1], "descending"),
        *(written, None),
    ]


def test_a_filter_leaves_the_rows_that_hold_every_word(report: dict[str, Any]) -> None:
    assert report["filtered"] == [["vendor-b", "vendor-c", "vendor-a"], "3 of 5 rows"]


def test_a_page_asks_for_nothing_but_itself(pages: Path, report: dict[str, Any]) -> None:
    leaking = pages / "leaking.html"
    text = (pages / "report.html").read_text().replace("img-src data:", "img-src *")
    leaking.write_text(text.replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">'))

    assert report["asked"] == []
    assert asked(pages, leaking.name, f"{LOOK} return {{ asked }};")["asked"] == [
        "http://127.0.0.1:9/x.png"
    ]


@pytest.mark.parametrize(
    ("name", "width"),
    [("report.html", 500), ("comparison.html", 500), ("comparison.html", 1400)],
)
def test_a_page_does_not_scroll_sideways(
    pages: Path, report: dict[str, Any], name: str, width: int
) -> None:
    found = asked(pages, name, f"{LOOK} return {{ asked }};", width)

    assert found["scroll"] <= width
    assert found["asked"] == []
    assert report["scroll"] <= 1400
