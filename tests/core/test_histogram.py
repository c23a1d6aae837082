from __future__ import annotations

import pytest
import torch

from crisp_core.numerics.histogram import BINS, foreground_histogram, matched


def image(seed: int = 0, count: int = 2) -> torch.Tensor:
    """Dark air around tissue of random brightness."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((count, 1, 40, 40), -1.0)
    x[:, :, 8:32, 8:32] = 1.2 * torch.rand(count, 1, 24, 24, generator=generator) - 0.4
    return x


def test_the_foreground_is_counted_and_the_air_is_not() -> None:
    counts = foreground_histogram(image())

    assert counts.shape == (2, BINS)
    assert counts.sum(dim=1).tolist() == [576, 576]  # 24 x 24
    assert counts[:, : BINS // 4].sum() == 0


def test_histograms_of_two_sites_add_up_to_that_of_all_their_voxels() -> None:
    x = image(count=4)

    parts = foreground_histogram(x[:1]).sum(0) + foreground_histogram(x[1:]).sum(0)

    assert torch.equal(parts, foreground_histogram(x).sum(0))


def test_a_matched_image_has_the_references_quantiles() -> None:
    x, reference = image(0), (image(1) * 0.4 + 0.5).clamp(-1, 1)
    histogram = foreground_histogram(reference).sum(0)
    tissue = x > x.mean(dim=(1, 2, 3), keepdim=True)

    changed = matched(x, histogram)

    wanted = reference[reference > reference.mean(dim=(1, 2, 3), keepdim=True)]
    levels = torch.tensor([0.1, 0.5, 0.9])
    for index in range(2):
        found = changed[index][tissue[index]].quantile(levels)
        torch.testing.assert_close(found, wanted.quantile(levels), atol=0.02, rtol=0)


def test_matching_keeps_the_order_of_intensities_and_black_black() -> None:
    x = torch.linspace(-1, 1, 1600).reshape(1, 1, 40, 40)

    changed = matched(x, foreground_histogram(image(1)).sum(0))

    assert (changed.flatten().diff() >= 0).all()
    assert changed.min() == -1


def test_an_image_of_one_value_is_left_alone() -> None:
    flat = torch.zeros(1, 1, 8, 8)

    assert torch.equal(matched(flat, torch.ones(BINS)), flat)


@pytest.mark.parametrize("reference", [torch.ones(3), torch.zeros(BINS), -torch.ones(BINS)])
def test_what_is_no_histogram_is_refused(reference: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected 256 counts"):
        matched(image(), reference)
