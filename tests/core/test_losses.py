from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.losses import dice_loss, one_hot, segmentation_loss


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (2, 4, 5), generator=generator)


def dice_by_the_book(probabilities: np.ndarray, labels: np.ndarray) -> float:
    scores = []
    for c in range(1, probabilities.shape[1]):
        p, y = probabilities[:, c].ravel(), (labels == c).ravel()
        overlap = sum(p[i] for i in range(p.size) if y[i])
        scores.append(2 * overlap / (sum(p) + sum(y) + 1e-5))
    return float(1 - sum(scores) / len(scores))


def test_one_hot_marks_the_channel_of_the_label() -> None:
    marked = one_hot(torch.tensor([[2, 0]]), 3)

    assert marked[0].T.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_label_without_a_channel_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="labels must be 0 to 2"):
        one_hot(torch.tensor([[0, bad]]), 3)


def test_half_the_structure_found_costs_a_third() -> None:
    reference = one_hot(torch.tensor([[0, 0, 1, 1]]), 2)
    found = one_hot(torch.tensor([[0, 0, 0, 1]]), 2)

    loss = dice_loss(found, reference)

    assert loss.item() == pytest.approx(1 - 2 * 1 / (1 + 2), abs=1e-5)


def test_a_perfect_answer_costs_nothing_and_a_class_without_pixels_counts_as_lost() -> None:
    reference = one_hot(torch.tensor([[0, 1, 1, 0]]), 2)
    with_empty_class = one_hot(torch.tensor([[0, 1, 1, 0]]), 3)

    assert dice_loss(reference, reference).item() == pytest.approx(0, abs=1e-5)
    assert dice_loss(with_empty_class, with_empty_class).item() == pytest.approx(0.5, abs=1e-5)


@given(st.integers(0, 999))
@settings(deadline=None)
def test_dice_loss_agrees_with_the_book(seed: int) -> None:
    logits, labels = random_case(seed)

    loss = segmentation_loss(logits, labels, "dice")

    expected = dice_by_the_book(logits.softmax(1).numpy(), labels.numpy())
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 999))
@settings(deadline=None)
def test_dice_loss_lies_between_0_and_1_and_falls_with_every_true_pixel(seed: int) -> None:
    logits, labels = random_case(seed)
    better = logits + 1.0 * one_hot(labels, 3)

    before, after = segmentation_loss(logits, labels), segmentation_loss(better, labels)

    assert 0 <= after < before <= 1


def test_cross_entropy_is_added_to_dice() -> None:
    labels = torch.tensor([[0, 1]])
    logits = torch.zeros(1, 2, 2)

    added = segmentation_loss(logits, labels, "dice_ce") - segmentation_loss(logits, labels, "dice")

    assert added.item() == pytest.approx(math.log(2))  # every class at 1/2


def test_half_precision_logits_are_scored_in_single() -> None:
    labels = torch.ones(1, 512, 512, dtype=torch.long)  # 262,144 pixels overflow a float16 sum

    loss = segmentation_loss(torch.zeros(1, 2, 512, 512, dtype=torch.float16), labels)

    assert loss.item() == pytest.approx(1 - 2 * 0.5 / 1.5, abs=1e-5)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form must be"):
        segmentation_loss(*random_case(0), "ce")
