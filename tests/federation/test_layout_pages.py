"""The how-to pages about data sets, typed word for word on generated files of their shape."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from layout_samples import mnms, nnunet

pytestmark = [pytest.mark.long]

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
PATIENTS = {
    f"{vendor}{n}X{n}Y{n}": ("Training/Labeled", vendor, centre, 0, 3)
    for vendor, centre in {"A": "1", "B": "2", "C": "4", "D": "5"}.items()
    for n in range(4)
}


def follow(page: str, folder: Path) -> None:
    """Write and type the blocks of a page in their order."""
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    text = (PAGES / page).read_text()
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL):
        if language == "toml":
            (folder / "study.toml").write_text(block)
        elif language == "csv":
            [data] = folder.glob("Dataset*")
            (data / "sites.csv").write_text(block)
        elif language == "sh":
            done = subprocess.run(
                ["bash", "-e", "-c", block], cwd=folder, env=here, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr[-2000:]}"


def test_the_page_about_mnms_ends_with_a_report_studies_and_folders(tmp_path):
    mnms(tmp_path / "OpenDataset", PATIENTS)

    follow("mnms.md", tmp_path)

    assert "A0X0Y0_ED" in (tmp_path / "mnms.html").read_text()
    assert (tmp_path / "runs" / "hearts" / "report.html").is_file()
    assert (tmp_path / "paper" / "mnms-full.toml").is_file()
    assert len(list((tmp_path / "house" / "A1" / "images").iterdir())) == 8


def test_the_page_about_nnunet_ends_with_a_report(tmp_path):
    folder = nnunet(tmp_path / "Dataset007_Prostate")
    for part in ("images", "labels"):  # the page has three training cases
        for path in list((folder / f"{part}Ts").iterdir()):
            path.rename(folder / f"{part}Tr" / path.name)

    follow("nnunet-data.md", tmp_path)

    assert (tmp_path / "runs" / "prostate" / "report.html").is_file()
    assert "case_03" in (tmp_path / "prostate.html").read_text()
