"""The pages in a real browser; slow, and skipped where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

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
    "--dump-dom",
]
PROBE = """<body><iframe id="page" width="{width}" height="800" src="{name}"></iframe><script>
onload = () => {{
  const page = document.getElementById("page").contentDocument.documentElement;
  document.title = "scroll " + page.scrollWidth;
}};
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.mark.parametrize("width", [500, 1400])
@pytest.mark.parametrize("name", ["report.html", "comparison.html"])
def test_a_page_does_not_scroll_sideways(tmp_path: Path, name: str, width: int) -> None:
    write_report(run_summary(), tmp_path, panels({"image": "aGk="}))
    write_comparison([("a", 0, run_summary()), ("b", 0, run_summary())], tmp_path)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(width=width, name=name), encoding="utf-8")

    done = subprocess.run(
        [
            str(BROWSER),
            *QUIET,
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    scroll = done.stdout.split("<title>scroll ")[1].split("<")[0]
    assert int(scroll) <= width
