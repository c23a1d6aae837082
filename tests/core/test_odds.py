from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.grades import grade_map, log_odds
from crisp_core.numerics.hints import GradeTally
from crisp_core.numerics.odds import Odds, blocks_of

seeds = st.integers(0, 10**6)


def random_logits(seed: int, scale: float = 6.0, classes: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(3, classes, 5, 4, generator=generator)


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(2, 5), st.sampled_from([1.0, 8.0, 20.0]))
def test_log_odds_agree_with_the_slow_way(seed: int, classes: int, scale: float) -> None:
    logits = random_logits(seed, scale, classes)

    odds = Odds.of(logits)

    expected = log_odds(logits.double())
    torch.testing.assert_close(odds.log_odds().double(), expected, atol=2e-5, rtol=1e-6)
    torch.testing.assert_close(odds.log_odds(with_background=True)[:, 1:], log_odds(logits))


@settings(deadline=None, max_examples=50)
@given(seeds, st.sampled_from([1.0, 8.0, 500.0]))
def test_shares_and_entropy_agree_with_softmax(seed: int, scale: float) -> None:
    logits = random_logits(seed, scale)

    shares, entropy = Odds.of(logits).shares_and_entropy()

    expected = logits.double().softmax(dim=1)
    torch.testing.assert_close(shares.double(), expected, atol=1e-5, rtol=1e-5)
    wanted = torch.special.entr(expected).sum(dim=1)
    torch.testing.assert_close(entropy.double(), wanted, atol=2e-5, rtol=1e-5)


def test_where_a_ratio_overflows_the_logits_answer() -> None:
    logits = torch.tensor([-200.0, 0.0, 0.0, -400.0]).reshape(1, 4, 1, 1)

    odds = Odds.of(logits)

    assert not odds.finite  # exp(200) is no float32
    assert odds.log_odds().flatten().tolist() == pytest.approx([0, 0, -400 - math.log(2)])
    assert odds.shares_and_entropy()[1].item() == pytest.approx(math.log(2))


def test_a_class_that_is_all_but_certain_hides_no_other() -> None:
    logits = torch.tensor([0.0, 80.0, -80.0]).reshape(1, 3, 1, 1)

    assert Odds.of(logits).log_odds().flatten().tolist() == [80.0, -160.0]


@pytest.mark.parametrize(
    ("bad", "place"), [(math.nan, 0), (math.nan, 2), (math.inf, 0), (math.inf, 2), (-math.inf, 2)]
)
def test_a_tally_refuses_what_is_not_finite(bad: float, place: int) -> None:
    logits = random_logits(0)
    logits[1, place, 2, 2] = bad

    with pytest.raises(ValueError, match="NaN or infinite"):
        GradeTally().add(logits.unsqueeze(0))


@settings(deadline=None, max_examples=50)
@given(
    seeds,
    st.sampled_from(["joint_fg", "class_fg", "joint_all"]),
    st.sampled_from(["slice", "volume"]),
    st.sampled_from([None, 4.0]),
)
def test_a_tally_counts_the_grades_of_the_slow_way(
    seed: int, range_over: str, instance: str, clip: float | None
) -> None:
    logits = random_logits(seed).double()[None]  # in float64 no value comes near an edge
    tally = GradeTally(5, range_over, instance, clip)

    tally.add(logits)

    grades = grade_map(logits, 5, range_over, instance, clip)
    assert torch.equal(tally.grade_sums, grades[0].int())


def test_blocks_are_all_items_in_order() -> None:
    x = torch.arange(6).reshape(3, 2)

    firsts, blocks = zip(*blocks_of(x), strict=True)

    assert firsts == (0, 1, 2)
    assert torch.equal(torch.cat(blocks), x)
