from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.information import InformationTally
from crisp_core.numerics.uncertainty import mutual_information


def test_two_certain_voices_that_contradict_each_other_carry_ln_2() -> None:
    tally = InformationTally()
    for winner in (0, 1):
        logits = torch.full((1, 2, 1), -50.0)
        logits[:, winner] = 50.0
        tally.add(logits)

    assert tally.mutual_information.item() == pytest.approx(math.log(2))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_it_equals_the_book_on_all_samples_at_once(seed: int, count: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, (count, 2, 3, 4, 5))
    tally = InformationTally()
    for one in logits:
        tally.add(torch.from_numpy(one))
    odds = np.exp(logits)
    probabilities = (odds / odds.sum(axis=2, keepdims=True)).transpose(0, 2, 1, 3, 4)

    expected = mutual_information(probabilities)

    np.testing.assert_allclose(tally.mutual_information.numpy(), expected, atol=2e-6)
    assert (tally.mutual_information >= 0).all()


def test_what_was_added_is_left_alone_and_nothing_has_no_information() -> None:
    logits = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    before = logits.clone()

    tally = InformationTally()
    with pytest.raises(ValueError, match="no perturbation"):
        _ = tally.mutual_information
    tally.add(logits)

    assert torch.equal(logits, before)
