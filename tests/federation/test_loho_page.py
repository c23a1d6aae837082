"""The how-to page on leaving one hospital out, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crisp_core.report.folds import read_folds

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "leave-one-hospital-out.md"


@pytest.mark.long
def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    [block] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-e", "-c", block], cwd=tmp_path, env=here, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:].decode()
    folds = read_folds(tmp_path / "runs" / "loho" / "loho.json")
    assert {f.method for f in folds} == {"fedavg", "crisp"}
    assert len(folds) == 2 * 2 * 4  # methods, seeds, hospitals
    assert (tmp_path / "runs" / "loho" / "tables" / "dice.tex").is_file()
