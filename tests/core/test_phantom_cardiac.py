from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from crisp_core.numerics.phantom.cardiac import cardiac_patient
from crisp_core.numerics.phantom.case import PhantomCase
from crisp_core.numerics.phantom.heart import (
    CONDITIONS,
    contracted,
    draw_heart,
    inner_radius,
    outer_radius,
    taper,
)
from crisp_core.numerics.phantom.scanners import SCANNERS, tissue_signals

IN_PLANE = ndimage.generate_binary_structure(2, 1)


def in_picture_order(case: PhantomCase, site: str) -> np.ndarray:
    order, signs = SCANNERS[site].order, SCANNERS[site].signs
    flipped = np.flip(case.label, [i for i, sign in enumerate(signs) if sign < 0])
    return flipped.transpose(np.argsort(order))


def volume_ml(case: PhantomCase, label: int) -> float:
    return float((case.label == label).sum() * abs(np.linalg.det(case.affine[:3, :3])) / 1000)


@pytest.mark.parametrize("site", SCANNERS)
def test_every_heart_is_a_heart(site: str) -> None:
    for index in range(len(CONDITIONS)):
        for case in cardiac_patient(site, index, seed=3, size=80):
            label = in_picture_order(case, site)
            assert set(np.unique(label)) == {0, 1, 2, 3}
            assert ndimage.label((label == 1) | (label == 2), np.ones((3, 3, 3)))[1] == 1
            for plane in np.moveaxis(label, 2, 0):
                around = ndimage.binary_dilation(plane == 1, IN_PLANE)
                assert set(plane[around]) <= {1, 2}, "the cavity lies inside its muscle"
                assert ndimage.label(plane == 2, np.ones((3, 3)))[1] <= 1, "one ring a slice"


@pytest.mark.parametrize("site", SCANNERS)
def test_volumes_are_those_of_people(site: str) -> None:
    for index, condition in enumerate(CONDITIONS.values()):
        filled, emptied = cardiac_patient(site, index, seed=5, size=56)
        ejected = 1 - volume_ml(emptied, 1) / volume_ml(filled, 1)

        assert 70 <= volume_ml(filled, 1) <= 300
        assert 60 <= volume_ml(filled, 2) <= 320
        assert 50 <= volume_ml(filled, 3) <= 300
        assert volume_ml(emptied, 3) < volume_ml(filled, 3)
        assert ejected == pytest.approx(condition.ejection, abs=0.08)


@given(st.sampled_from(sorted(CONDITIONS)), st.floats(0.1, 0.8), st.integers(0, 99))
@settings(deadline=None)
def test_contraction_ejects_its_share_and_keeps_the_muscle(
    group: str, ejection: float, seed: int
) -> None:
    heart = draw_heart(CONDITIONS[group], np.random.default_rng(seed))

    after = contracted(heart, ejection)

    cavity = [h.radius_mm**2 * h.length_mm for h in (heart, after)]
    muscle = [
        ((h.radius_mm + h.wall_mm) ** 2 - h.radius_mm**2) * h.length_mm for h in (heart, after)
    ]
    assert cavity[1] / cavity[0] == pytest.approx(1 - ejection)
    assert muscle[1] == pytest.approx(muscle[0])
    assert after.base_mm + after.length_mm == pytest.approx(heart.base_mm + heart.length_mm)


@given(st.sampled_from(sorted(CONDITIONS)), st.integers(0, 99))
@settings(deadline=None)
def test_the_outer_wall_is_outside_the_inner_one_at_every_level(group: str, seed: int) -> None:
    heart = draw_heart(CONDITIONS[group], np.random.default_rng(seed))
    angle = np.linspace(-math.pi, math.pi, 24)[:, None]
    z = heart.base_mm + heart.length_mm * np.linspace(0, 1, 20)[None, :]

    wall_mm = outer_radius(heart, angle, z) - inner_radius(heart, angle, z)

    assert wall_mm.min() > 2


def test_taper_is_one_at_the_base_and_nothing_at_the_apex() -> None:
    assert taper(np.array([0.0, 1.0, 2.0])).tolist() == [1, 0, 0]


def test_the_fourth_vendor_turns_bright_blood_dim_beside_fat() -> None:
    ratios = [s["blood"] / s["fat"] for s in map(tissue_signals, SCANNERS.values())]

    assert min(ratios[:3]) > 0.8
    assert ratios[3] < 0.7


def test_the_same_seed_gives_the_same_patient_and_another_seed_does_not() -> None:
    once, again, other = (cardiac_patient("vendor-a", 1, seed=s, size=40) for s in (1, 1, 2))

    assert np.array_equal(once[1].image, again[1].image)
    assert once[1].image.shape != other[1].image.shape or (once[1].image != other[1].image).any()


def middle_mm(case: PhantomCase, label: int) -> np.ndarray:
    index = np.argwhere(case.label == label).mean(axis=0)
    return case.affine[:3] @ np.append(index, 1)


@pytest.mark.parametrize("site", SCANNERS)
def test_the_right_ventricle_lies_to_the_right_and_in_front_of_the_left(site: str) -> None:
    case, _ = cardiac_patient(site, 0, seed=0, size=48)

    rightward, forward, _ = middle_mm(case, 3) - middle_mm(case, 1)

    assert rightward > 5
    assert forward > 5


def test_both_phases_share_one_place_and_differ_in_picture() -> None:
    filled, emptied = cardiac_patient("vendor-d", 0, seed=0, size=48)

    assert (filled.case_id, emptied.case_id) == ("d001_ED", "d001_ES")
    assert np.array_equal(filled.affine, emptied.affine)
    assert (filled.label != emptied.label).any()
