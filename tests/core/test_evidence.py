from __future__ import annotations

import pytest
import torch

from crisp_core.model.evidence import evidence_of
from crisp_core.model.refine import Pass, Refinement


def one_pass(labels: list[int], core: list[list[int]], support: list[list[int]]) -> Pass:
    """A single row of pixels; `core` and `support` have one row for each of two classes."""
    hot = torch.nn.functional.one_hot(torch.tensor(labels), 3).float()
    masks = [torch.tensor(rows, dtype=torch.bool)[None, :, None] for rows in (core, support)]
    return Pass(
        probabilities=hot.T[None, :, None],
        core=masks[0],
        support=masks[1],
        hint=torch.zeros(0),
        information=torch.zeros(0),
        changed=None,
        entropy=0.25,
        noise_ratio=0.5,
    )


FIRST = one_pass([1, 1, 1, 0], [[0, 0, 0, 0]] * 2, [[1, 1, 1, 1]] * 2)
LAST = one_pass([1, 1, 2, 0], [[1, 0, 0, 0], [0, 0, 0, 1]], [[1, 1, 1, 1], [0, 0, 1, 1]])


def test_the_evidence_of_four_pixels() -> None:
    evidence = evidence_of(Refinement((FIRST, LAST), chosen=1))

    assert evidence.uncertain_fraction == pytest.approx(2 / 3)  # the second and the third pixel
    assert evidence.core_support_agreement == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert evidence.recursion_change == 0.0  # the same foreground, whatever the class
    assert evidence.entropy == 0.25


def test_a_core_of_another_class_makes_no_pixel_certain() -> None:
    crossed = one_pass([1, 0, 0, 0], [[0, 0, 0, 0], [1, 0, 0, 0]], [[1, 1, 1, 1]] * 2)

    assert evidence_of(Refinement((crossed,), 0)).uncertain_fraction == 1.0


def test_nothing_found_is_certain_of_nothing_and_one_pass_has_not_changed() -> None:
    empty = one_pass([0] * 4, [[0] * 4] * 2, [[0] * 4] * 2)

    evidence = evidence_of(Refinement((empty,), 0))

    assert (evidence.uncertain_fraction, evidence.core_support_agreement) == (1.0, 1.0)
    assert evidence.recursion_change is None
    assert evidence_of(Refinement((FIRST, empty), 1)).recursion_change == 1.0
    assert evidence_of(Refinement((empty, empty), 0)).recursion_change == 0.0
