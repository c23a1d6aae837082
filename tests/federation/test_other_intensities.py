"""Two hospitals whose images have other intensities: what FedBN is for."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from federation_on_disk import tiny_study
from hospitals_in_process import Hospitals, trained_rounds

from crisp_core.schema.study import Study
from crisp_server.holdout import site_dice, validate

BRIGHTEST = 1000


def study_of(folder: Path, method: str) -> Study:
    return tiny_study(
        folder,
        method=method,
        federation={"rounds": 8},
        crisp={"generations": 1, "perturbations": 1, "phase_shares": [1]},
        training={
            "steps": 96,
            "batch_size": 4,
            "learning_rate": 0.003,
            "augmentation": "none",
            "loss": "dice_ce",
        },
    )


def negative(path: Path) -> None:
    """Turn bright into dark, which no scaling of a volume takes back."""
    image = nib.load(path)
    array = (BRIGHTEST - np.asarray(image.dataobj)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, image.affine, image.header), path)


def dice_by_site(folder: Path, method: str) -> dict[str, float]:
    study = study_of(folder, method)
    run, results = trained_rounds(study, folder / method)
    sites, rounds = Hospitals(study, folder / method), run.progress().rounds
    measured = validate(study, 1, results[-1].parameters, sites, rounds)
    return {site: site_dice(evaluation) for site, evaluation in measured.items()}


@pytest.mark.slow
@pytest.mark.long
def test_where_one_hospital_has_negatives_both_do_better_with_a_norm_of_their_own(
    tmp_path: Path,
) -> None:
    study_of(tmp_path, "fedavg")  # writes the data
    for path in (tmp_path / "data" / "north" / "images").iterdir():
        negative(path)

    averaged, own = (dice_by_site(tmp_path, method) for method in ("fedavg", "fedbn"))

    assert all(own[site] > averaged[site] + 0.05 for site in averaged)
