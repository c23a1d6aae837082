from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_vectors import DTYPES, GRADED, rule, vector

from crisp_core.numerics.grades import grade_map, log_odds


def random_logits(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.randn(shape, generator=generator, dtype=torch.float64)


def log_odds_by_the_book(column: list[float], c: int) -> float:
    others = [z for j, z in enumerate(column) if j != c]
    top = max(others)
    return column[c] - top - math.log(sum(math.exp(z - top) for z in others))


def binary(scores: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(scores), scores], dim=-3)


def test_two_classes_have_the_difference_of_their_logits_as_log_odds() -> None:
    logits = torch.tensor([1.0, 4.0]).reshape(2, 1, 1)

    assert log_odds(logits).item() == 4.0 - 1.0


def test_log_odds_of_three_equal_logits_are_minus_ln_two() -> None:
    scores = log_odds(torch.zeros(3, 1, 1))

    torch.testing.assert_close(scores, torch.full((2, 1, 1), -math.log(2)))  # p = 1/3


@pytest.mark.parametrize("class_count_with_background", [2, 3, 4, 7])
def test_log_odds_agree_with_the_book(class_count_with_background: int) -> None:
    logits = random_logits(1, (2, class_count_with_background, 2, 3))

    scores = log_odds(logits, with_background=True)

    columns = logits.movedim(1, -1).reshape(-1, class_count_with_background).tolist()
    expected = [[log_odds_by_the_book(column, c) for c in range(len(column))] for column in columns]
    actual = scores.movedim(1, -1).reshape(-1, class_count_with_background)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


def test_log_odds_keep_order_where_a_float32_softmax_has_saturated() -> None:
    logits = torch.tensor([0.0, 200.0]).reshape(2, 1, 1)

    assert torch.softmax(logits, dim=0)[1].item() == 1.0
    assert log_odds(logits).item() == 200.0


@pytest.mark.parametrize("space_dims", [2, 3])
def test_the_class_axis_stands_before_the_space(space_dims: int) -> None:
    logits = random_logits(2, (5, 4) + (2,) * space_dims)

    assert log_odds(logits, space_dims=space_dims).shape == (5, 3) + (2,) * space_dims


@given(st.integers(0, 99), st.floats(-50, 50))
@settings(deadline=None)
def test_one_number_added_to_all_logits_of_a_pixel_changes_nothing(seed: int, shift: float) -> None:
    logits = random_logits(seed, (4, 3, 3))

    torch.testing.assert_close(log_odds(logits + shift), log_odds(logits), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_is_refused(bad: float) -> None:
    logits = torch.zeros(2, 1, 4, 3, 3)
    logits[1, 0, 2, 1, 1] = bad

    with pytest.raises(ValueError, match="NaN"):
        grade_map(logits)


def test_a_single_class_has_no_odds() -> None:
    with pytest.raises(ValueError, match="two classes"):
        log_odds(torch.zeros(1, 2, 2))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_graded_as_its_float32_value(half: torch.dtype) -> None:
    logits = random_logits(3, (2, 2, 4, 6, 6)).to(half)

    assert log_odds(logits).dtype == torch.float32
    assert torch.equal(grade_map(logits), grade_map(logits.float()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GRADED)
def test_grades_equal_the_vectors_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    values = vector(name)

    grades = grade_map(torch.from_numpy(values["logits"]).to(dtype), **rule(values))

    assert grades.dtype == torch.int64
    assert np.array_equal(grades.numpy(), values["G"])


@pytest.mark.parametrize("name", [n for n in GRADED if "clip" not in n and n != "e2e_linear"])
def test_log_odds_equal_the_vectors(name: str) -> None:
    values = vector(name)
    logits = torch.from_numpy(values["logits"])

    scores = log_odds(logits, with_background=True)

    clip = float(values["s_clip"]) or math.inf
    np.testing.assert_allclose(scores.clamp(-clip, clip).numpy(), values["S"], atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_saturated_log_odds_equal_the_vector(dtype: torch.dtype) -> None:
    values = vector("saturated_noclip")

    scores = log_odds(torch.from_numpy(values["logits"]).to(dtype), with_background=True)

    np.testing.assert_allclose(scores.numpy(), values["S"], rtol=1e-5, atol=1e-4)


def test_equal_bins_are_cut_between_the_extremes_of_each_range() -> None:
    logits = torch.zeros(1, 2, 3, 1, 2, dtype=torch.float64)
    logits[0, :, 0] = -1000.0  # with two classes left, S_1 = z_1 - z_2 = -S_2
    logits[0, 0, 1, 0] = torch.tensor([0.0, 4.0])
    logits[0, 1, 1, 0] = torch.tensor([0.0, 8.0])

    by_class = grade_map(logits, 4, "class_fg", "volume")[0, :, 0, 0].tolist()
    jointly = grade_map(logits, 4, "joint_fg", "volume")[0, :, 0, 0].tolist()
    by_slice = grade_map(logits, 4, "class_fg", "slice")[0, :, 0, 0].tolist()

    assert by_class == [[0, 2], [0, 3]]  # S in 0..8: 0, 4 -> 4 * 4 / 8 = 2
    assert jointly == [[2, 3], [2, 3]]  # S in -8..8: 4 * 8 / 16 = 2, 4 * 12 / 16 = 3
    assert by_slice == [[0, 3], [0, 3]]


affine_maps = st.tuples(st.integers(0, 999), st.floats(0.1, 10), st.floats(-20, 20))


@given(affine_maps)
@settings(deadline=None)
def test_grades_keep_under_any_rising_line_through_the_log_odds(
    drawn: tuple[int, float, float],
) -> None:
    seed, gain, offset = drawn
    scores = random_logits(seed, (2, 3, 4, 4))

    before, after = grade_map(binary(scores)), grade_map(binary(gain * scores + offset))

    assert torch.equal(before, after)


@pytest.mark.parametrize("breaking", [{"log_odds_clip": 6.9}, {"range_over": "joint_all"}])
def test_a_clip_or_a_joint_range_destroys_the_rank_property(breaking: dict[str, float]) -> None:
    scores = random_logits(0, (2, 3, 4, 4))

    before = grade_map(binary(scores), **breaking)
    after = grade_map(binary(2 * scores + 5), **breaking)

    assert not torch.equal(before, after)


def test_three_dimensions_only_add_an_axis() -> None:
    flat = random_logits(4, (2, 3, 4, 6, 5))

    deep = grade_map(flat.unsqueeze(3))

    assert torch.equal(deep.squeeze(3), grade_map(flat))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"levels": 1}, "levels must be 2 to 256"),
        ({"range_over": "all"}, "range_over must be"),
        ({"instance": "patient"}, "instance must be"),
    ],
)
def test_an_unknown_option_is_refused(option: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        grade_map(torch.zeros(1, 1, 2, 2, 2), **option)
