"""Two hospitals that number their labels otherwise train one network, and LV is LV."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
from federation_on_disk import tiny_options
from layout_samples import acdc, mnms

from crisp_core.errors import StudyError
from crisp_core.schema.methods import with_preset
from crisp_core.schema.study import Study
from crisp_server.simulate import carry_on, start

PATIENTS = {f"A{n}B{n}C{n}": ("Training/Labeled", "A", "1", 0, 3) for n in range(4)}
OTHERS = {f"D{n}E{n}F{n}": ("Testing", "D", "5", 2, 1) for n in range(2)}


def study_of(folder: Path, **sites) -> Study:
    raw = {
        "name": "hearts",
        "seed": 3,
        "classes": ["LV", "MYO", "RV"],
        "method": "fedavg",
        "sites": sites,
        "model": {"width": 8, "norm": "group"},
        "images": {"size": [24, 24]},
        "training": {"steps": 48, "learning_rate": 0.02, "loss": "dice_ce"},
        "crisp": {"generations": 1},
        "federation": {"rounds": 2},
        "evaluation": {"validation_share": 0.25, "bootstrap_samples": 100},
    }
    return Study.model_validate_json(json.dumps(with_preset(raw)))


@pytest.mark.slow
def test_a_site_like_acdc_and_one_like_mnms_train_together(tmp_path):
    hearts = str(mnms(tmp_path / "mnms", {**PATIENTS, **OTHERS}))
    french = str(acdc(tmp_path / "acdc", 4))
    study = study_of(
        tmp_path,
        spain={"role": "source", "data": hearts, "layout": "mnms", "select": "vendor=A"},
        france={"role": "source", "data": french, "layout": "acdc"},
        canada={"role": "held-out", "data": hearts, "layout": "auto", "select": "vendor=D"},
    )

    summary = carry_on(start(study, tmp_path / "run", tiny_options()), lambda _line: None)

    for found in summary.sites.values():  # 0.75² - 0.5² > 0.5² > 0.85² - 0.75²
        voxels = found.class_voxels
        assert voxels["MYO"] > voxels["LV"] > voxels["RV"]
    cavity = [case.answer.structures["LV"].dice for case in summary.final["canada"].cases]
    assert len(cavity) == 4  # ED and ES of two patients
    assert fmean(cavity) > 0.8, cavity


def test_one_folder_at_two_sites_needs_conditions_that_exclude_each_other(tmp_path):
    hearts = str(mnms(tmp_path / "mnms"))
    place = {"data": hearts, "layout": "mnms"}
    study = study_of(
        tmp_path,
        spain={"role": "source", **place, "select": "vendor=A"},
        canada={"role": "held-out", **place, "select": "site=D5"},
    )

    with pytest.raises(StudyError, match="conditions that exclude each other"):
        start(study, tmp_path / "run", tiny_options())
