from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from crisp_core.numerics.phantom.chest import ChestSpace
from crisp_core.numerics.phantom.vessels import lesion_strength, vessel_patient


def mean_hu(site: str, label: int) -> float:
    case, *_ = vessel_patient(site, 0, seed=0, size=96)
    return float(case.image[case.label == label].mean())


def aerated(site: str) -> np.ndarray:
    case, *_ = vessel_patient(site, 0, seed=0, size=96)
    inside = ndimage.binary_dilation(case.label == 1, iterations=4) & (case.label == 0)
    return case.image[inside]


def test_contrast_agent_makes_vessels_brighter() -> None:
    assert mean_hu("contrast-1", 1) > mean_hu("plain-1", 1) + 100


def test_covid_makes_the_lung_denser() -> None:
    assert np.median(aerated("covid-1")) > np.median(aerated("normal-1")) + 40


@pytest.mark.parametrize("site", ["contrast-2", "covid-1"])
def test_a_chest_is_stored_in_hounsfield_units(site: str) -> None:
    case, *_ = vessel_patient(site, 1, seed=0, size=80)

    assert case.image.dtype == np.int16
    assert case.image.min() == -1024  # noise below the range of a scanner is cut
    assert set(np.unique(case.label)) == {0, 1}
    assert 0.003 < case.label.mean() < 0.04


def test_lesions_like_the_back_and_the_rind_of_the_lung() -> None:
    depth, y = np.float32([-2, -40, -2]), np.float32([-80, -80, 80])
    space = ChestSpace(x=y, y=y, z=y, lung=depth)

    back_rind, deep, front_rind = lesion_strength(space, np.zeros(3, np.float32), 0.5)

    assert back_rind > deep
    assert back_rind > front_rind
