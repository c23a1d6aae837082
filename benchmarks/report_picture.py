"""Take the picture of a finished run's report that the documents show.

Example: python -m benchmarks.report_picture runs/demo
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from crisp_server.simulate import reported
from crisp_server.store import RunFolder

PICTURE = Path(__file__).parents[1] / "docs" / "reference" / "report.png"
WIDTH_PX, HEIGHT_PX = 1400, 1500
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def main() -> None:
    """Write the report anew and photograph the top of it in a browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    run = RunFolder.open(parser.parse_args().run)
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("Expected a browser, got none (PATH). apt-get install chromium.")
    summary = reported(run)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603 - our own words, no shell
            [
                *(browser, *QUIET, "--hide-scrollbars", f"--user-data-dir={profile}"),
                *(f"--window-size={WIDTH_PX},{HEIGHT_PX}", f"--screenshot={PICTURE}"),
                (run.path / "report.html").resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
        )
    print(f"{PICTURE}: {summary.study.name}, model {summary.model_hash[:16]}")


if __name__ == "__main__":
    main()
