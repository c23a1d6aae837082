"""What docs/how-to/predict.md tells to type works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from released_samples import small_study, write_model

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "predict.md"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_page_can_be_typed_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    write_model(tmp_path / "runs" / "demo", small_study(classes=("LV", "MYO", "RV")))
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    said = ""
    for words in blocks:
        done = subprocess.run(
            ["bash", "-e", "-c", words],
            cwd=tmp_path,
            env=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said += done.stderr

    assert len(blocks) == 2
    assert "was there already" in said
    assert "reject recorded as number 1" in said
    case = next(path for path in sorted((tmp_path / "answers").iterdir()) if path.is_dir())
    names = {path.name for path in case.iterdir()}
    assert {"labels.nii.gz", "overview.pdf", "prediction.json", "feedback-001.json"} <= names
