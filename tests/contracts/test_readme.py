from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_what_the_readme_tells_a_newcomer_to_type_works_as_it_stands(tmp_path: Path) -> None:
    [block] = re.findall(r"```sh\n(.*?)```", README.read_text(), flags=re.DOTALL)
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=tmp_path,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
