from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crisp_core.numerics.agreement import changed_share, coverage, mask_agreement


def mask(*bits: int) -> torch.Tensor:
    return torch.tensor(bits, dtype=torch.bool)


def test_precision_is_of_the_mask_and_recall_of_the_reference() -> None:
    precision, recall = mask_agreement(mask(1, 1, 1, 0, 0), mask(0, 0, 1, 1, 0))

    assert precision == pytest.approx(1 / 3)
    assert recall == pytest.approx(1 / 2)


def test_an_empty_mask_has_no_precision_and_an_empty_reference_no_recall() -> None:
    assert mask_agreement(mask(0, 0), mask(0, 1)) == (None, 0.0)
    assert mask_agreement(mask(0, 1), mask(0, 0)) == (0.0, None)


@given(st.integers(0, 999))
@settings(deadline=None)
def test_a_wider_mask_never_has_less_recall(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    narrow, more, reference = torch.rand(3, 2, 3, 4, generator=generator) < 0.4

    _, before = mask_agreement(narrow, reference)
    _, after = mask_agreement(narrow | more, reference)

    assert before is None or (after is not None and after >= before)


def test_coverage_is_the_share_of_voxels() -> None:
    assert coverage(mask(1, 0, 0, 0)) == 0.25


def test_changed_share_counts_labels_that_differ() -> None:
    assert changed_share(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 2, 2])) == 0.25
    assert changed_share(mask(1, 0), mask(1, 0)) == 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"first is \(2,\) but second is \(1,\)"):
        mask_agreement(mask(1, 0), mask(1))
    with pytest.raises(ValueError, match="no coverage"):
        coverage(mask())
