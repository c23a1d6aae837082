from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics.phantom.brain import brain_space, draw_brain, label_brain
from crisp_core.numerics.phantom.case import axis_mm
from crisp_core.numerics.phantom.tumours import HOSPITALS, tissue_signals, tumour_patient

AXES = (axis_mm(48, 3.2), axis_mm(56, 3.2), axis_mm(20, 4.0) + np.float32(22))


@pytest.mark.parametrize("site", HOSPITALS)
def test_fluid_is_dark_and_oedema_bright_at_every_hospital(site: str) -> None:
    signal = tissue_signals(HOSPITALS[site])

    assert signal["fluid"] < 0.5
    assert signal["white"] < signal["grey"] < signal["oedema"]


@pytest.mark.parametrize("site", HOSPITALS)
def test_every_patient_has_a_core_and_oedema_of_a_plausible_size(site: str) -> None:
    for index in range(4):
        case, *_ = tumour_patient(site, index, seed=2, size=64)
        voxel_ml = abs(np.linalg.det(case.affine[:3, :3])) / 1000

        core_ml, oedema_ml = ((case.label == k).sum() * voxel_ml for k in (1, 2))

        assert 1 < core_ml < 120
        assert 2 < oedema_ml < 300


def test_the_tumour_lies_in_the_brain_and_out_of_the_ventricles() -> None:
    space = brain_space(draw_brain("solid", np.random.default_rng(4)), AXES)

    ill = label_brain(space) > 0

    assert ill.any()
    assert (space.surface[ill] < 0).all()
    assert (space.ventricles[ill] > 0).all()


def test_outside_the_brain_the_picture_is_zero() -> None:
    case, *_ = tumour_patient("hospital-1", 0, seed=0, size=64)

    assert (case.image[0] == 0).all()
    assert (case.image[:, 0] == 0).all()


def test_the_middle_of_a_necrotic_tumour_is_darker_than_a_solid_one() -> None:
    def darkness(index: int) -> float:
        case, *_ = tumour_patient("hospital-2", index, seed=0, size=96)
        return float(
            np.percentile(case.image[case.label == 1], 10) / np.median(case.image[case.label == 2])
        )

    assert darkness(0) < darkness(1)
