from __future__ import annotations

import pytest
import torch

from crisp_core.model.build import build_segmenter
from crisp_core.model.small import SmallSegmenter
from crisp_core.numerics.losses import segmentation_loss


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (17, 31), (40, 100)])
def test_logits_have_the_size_of_the_input(size: tuple[int, int]) -> None:
    segmenter = SmallSegmenter(input_channels=7, class_count=3)

    assert segmenter(torch.zeros(2, 7, *size)).shape == (2, 4, *size)


def test_features_are_an_eighth_and_the_skip_a_half_of_the_input() -> None:
    (frame, skip), features = SmallSegmenter(input_channels=1, class_count=1).encode(
        torch.zeros(1, 1, 64, 32)
    )

    assert frame.shape == (1, 0, 64, 32)
    assert skip.shape == (1, 16, 32, 16)
    assert features.shape == (1, 64, 8, 4)


def test_the_small_network_is_small() -> None:
    segmenter = SmallSegmenter(input_channels=7, class_count=3)

    assert 100_000 < sum(p.numel() for p in segmenter.parameters()) < 150_000


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["network", "group"])
def test_the_small_network_learns_bright_squares(norm: str) -> None:
    generator = torch.Generator().manual_seed(0)
    segmenter = build_segmenter(class_count=1, norm=norm).train()
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=3e-3)
    for _ in range(60):
        images, labels = squares(8, generator)
        optimizer.zero_grad()
        loss = segmentation_loss(segmenter(images), labels, "dice_ce")
        loss.backward()
        optimizer.step()

    images, labels = squares(8, generator)
    predicted = segmenter.eval()(images).argmax(1)

    overlap = ((predicted == 1) & (labels == 1)).sum()
    assert 2 * overlap / ((predicted == 1).sum() + (labels == 1).sum()) > 0.8


def squares(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(count, 32, 32, dtype=torch.long)
    for label, (y, x) in zip(
        labels, torch.randint(2, 18, (count, 2), generator=generator).tolist(), strict=True
    ):
        label[y : y + 12, x : x + 12] = 1
    noise = torch.randn(count, 32, 32, generator=generator)
    return (labels + 0.3 * noise)[:, None], labels
