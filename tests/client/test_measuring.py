from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crisp_client.measuring.answer import answer_figures, joined_reliability
from crisp_client.measuring.native import NativePass
from crisp_client.measuring.recursion import recursion_figures
from crisp_client.measuring.region import Yardstick, region_of
from crisp_client.measuring.strata import strata_of
from crisp_core.files.cohort import Case
from crisp_core.numerics.metrics import hd95
from crisp_core.schema.messages import OPTIONAL, StructureFigures

SPACING = (8.0, 1.5, 1.25)
SHAPE = (6, 32, 30)
CLASSES = ("ring", "inner")


def labels(*boxes: tuple[int, tuple[slice, ...]]) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    for label, place in boxes:
        array[place] = label
    return array


REFERENCE = labels(
    (1, np.s_[1:5, 12:22, 12:22]),
    (2, np.s_[2:4, 15:19, 15:19]),
)
PREDICTION = labels(
    (1, np.s_[1:5, 12:22, 13:23]),
    (2, np.s_[2:4, 15:19, 16:20]),
)


def native(answer: np.ndarray, sure: float = 0.8) -> NativePass:
    """An answer that gives its label the probability `sure` and the others the same of the rest."""
    kinds = len(CLASSES) + 1
    hot = (answer[:, None] == np.arange(kinds)[None, :, None, None]).astype(np.float32)
    rest = (1 - sure) / (kinds - 1)
    masks = hot[:, 1:].astype(bool)
    return NativePass(
        labels=answer,
        probabilities=(hot * (sure - rest) + rest).astype(np.float32),
        core=masks,
        support=masks,
        information=np.full(SHAPE, 0.25, np.float32),
        entropy=0.5,
    )


def yardstick(reference: np.ndarray = REFERENCE) -> Yardstick:
    return Yardstick(reference, SPACING, CLASSES, "union", tolerance_mm=1.25)


def whole(answer: np.ndarray, reference: np.ndarray = REFERENCE) -> tuple:
    stick, one = yardstick(reference), native(answer)
    region = region_of(stick, one)
    recursion = recursion_figures(stick, one, region, None)
    return recursion, answer_figures(stick, region, recursion)


def test_every_optional_figure_of_a_structure_is_there_in_the_answer() -> None:
    _, answer = whole(PREDICTION)

    ring = answer.recursion.structures["ring"]  # the inner part has two slices and no thirds
    names = set(OPTIONAL) & set(StructureFigures.model_fields)
    assert [name for name in sorted(names) if getattr(ring, name) is None] == []


def test_a_shift_by_one_voxel_has_the_figures_that_one_can_draw() -> None:
    _, answer = whole(PREDICTION)

    inner = answer.recursion.structures["inner"]
    assert inner.dice == pytest.approx(2 * 24 / 64)  # 3 of 4 columns, 4 rows, 2 slices
    assert inner.surface_dice == 1.0  # 1.25 mm is within the tolerance
    assert inner.assd_mm == pytest.approx(1.25 * 16 / 64)  # a column of 8 on each side; all surface
    assert inner.volume_error_ml == 0.0
    assert inner.reference_ml == pytest.approx(32 * 8 * 1.5 * 1.25 / 1000)
    assert inner.positive_probability == pytest.approx((24 * 0.8 + 8 * 0.1) / 32)
    assert (inner.lesions_reference, inner.lesions_found, inner.lesions_false) == (1, 1, 0)
    assert inner.dice_by_third is None  # two slices
    ring = answer.recursion.structures["ring"]
    assert ring.dice_by_third is not None
    assert len(set(ring.dice_by_third)) > 1  # the middle lacks the inner part
    assert answer.errors["inner"].offset_mm == (0.0, 0.0, pytest.approx(1.25))


def test_both_definitions_are_there_whichever_leads() -> None:
    for definition in ("union", "max"):
        stick, one = replace(yardstick(), definition=definition), native(PREDICTION)
        figures = recursion_figures(stick, one, region_of(stick, one), None).structures["ring"]
        masks = PREDICTION == 1, REFERENCE == 1
        assert figures.hd95_union_mm == hd95(*masks, SPACING, "union")
        assert figures.hd95_max_mm == hd95(*masks, SPACING, "max")
        assert figures.hd95_mm == hd95(*masks, SPACING, definition)
        assert figures.hd95_voxels == hd95(*masks, (1, 1, 1), definition)


def test_calibration_looks_at_the_box_around_both_and_not_at_the_air() -> None:
    recursion, answer = whole(PREDICTION)

    voxels = 4 * (32 - 2) * (30 - 2)  # 10 around rows 12-21 and columns 12-22, within the image
    top, background, *_ = answer.bins
    assert top.counts.sum() == background.counts.sum() == voxels
    right = int((PREDICTION == REFERENCE)[1:5, 2:32, 2:30].sum())
    assert top.correct_counts.sum() == right
    wrong = voxels - right  # one voxel: 0.2² + 2 0.1² if right, else 0.8² + 0.9² + 0.1²
    assert recursion.brier == pytest.approx((right * 0.06 + wrong * 1.46) / voxels)
    assert recursion.mutual_information == pytest.approx(0.25)
    entropy = -(0.8 * np.log(0.8) + 2 * 0.1 * np.log(0.1))
    assert recursion.mean_entropy == pytest.approx(entropy)


def test_a_case_with_nothing_in_it_and_nothing_found_is_right_and_has_no_region() -> None:
    nothing = labels()

    recursion, answer = whole(nothing, nothing)

    assert (recursion.brier, recursion.mean_entropy, recursion.mutual_information) == (None,) * 3
    assert all(bins.counts.sum() == 0 for bins in answer.bins)
    ring = answer.recursion.structures["ring"]
    assert (ring.dice, ring.hd95_mm, ring.surface_dice, ring.assd_mm) == (1.0, 0.0, 1.0, 0.0)
    assert (ring.auc, ring.positive_probability, ring.missed) == (None, None, False)
    assert (ring.lesions_reference, ring.lesions_predicted) == (0, 0)
    assert not answer.errors["ring"].under_segmented


@pytest.mark.parametrize(("answer", "reference"), [(labels(), REFERENCE), (REFERENCE, labels())])
def test_one_empty_is_missed_and_as_far_as_the_volume_is_long(
    answer: np.ndarray, reference: np.ndarray
) -> None:
    """The whole volume's diagonal, not that of the region that is cut out."""
    _, figures = whole(answer, reference)

    diagonal = float(np.linalg.norm(np.array(SPACING) * SHAPE))
    ring = figures.recursion.structures["ring"]
    assert ring.missed
    assert ring.dice == ring.surface_dice == 0.0
    for distance in (ring.hd95_union_mm, ring.hd95_max_mm, ring.assd_mm):
        assert distance == pytest.approx(diagonal)
    errors = figures.errors["ring"]
    assert errors.offset_mm is None
    assert errors.under_segmented == bool(reference.any())
    assert errors.distant_components == (0 if reference.any() else 1)


def test_ranks_see_what_float32_probabilities_no_longer_tell_apart() -> None:
    """Two voxels whose probability is 1 to all digits; the smaller rest ranks higher."""
    one = native(PREDICTION)
    stick = yardstick()
    region = region_of(stick, one)
    odds = np.zeros((3, 1, 1, 2), np.float32)
    odds[:, 0, 0, 0], odds[:, 0, 0, 1] = (1e-9, 1.0, 1e-9), (1e-12, 1.0, 1e-12)

    ranked = replace(region, probabilities=odds).log_odds(1)

    assert ranked[0, 0, 0] < ranked[0, 0, 1]


def test_the_bins_of_cases_join_to_those_of_their_voxels() -> None:
    _, first = whole(PREDICTION)
    _, second = whole(REFERENCE)

    joined = joined_reliability(CLASSES, [first.bins, second.bins])

    assert joined is not None
    assert list(joined.classes) == ["background", *CLASSES]
    for number, bins in enumerate((joined.top_label, *joined.classes.values())):
        assert (
            sum(bins.counts) == first.bins[number].counts.sum() + second.bins[number].counts.sum()
        )
    assert joined_reliability(CLASSES, []) is None


def test_a_case_says_its_size_and_what_the_table_says_of_phase_and_vendor(tmp_path) -> None:
    case = Case("a", "p", (tmp_path,), tmp_path, phase="ED", vendor="GE")
    plain = Case("a", "p", (tmp_path,), tmp_path)
    foreground_ml = int((REFERENCE > 0).sum()) * 8 * 1.5 * 1.25 / 1000  # 400 voxels

    assert foreground_ml == pytest.approx(6.0)
    assert strata_of(case, yardstick()) == {"size": "1 to 10 ml", "phase": "ED", "vendor": "GE"}
    assert strata_of(plain, yardstick()) == {"size": "1 to 10 ml"}
