from __future__ import annotations

import pytest
import torch
from linear_segmenter import LinearSegmenter

from crisp_core.model.build import build_segmenter
from crisp_core.model.segmenter import evaluating


def test_noise_is_added_to_the_features_sigma_times_and_skips_stay() -> None:
    segmenter = LinearSegmenter(torch.eye(2))
    skips, features = [torch.ones(1, 1, 1, 1)], torch.tensor([10.0, 20.0]).reshape(1, 2, 1, 1)

    same, noisy = segmenter.perturb(skips, features, torch.tensor([[1.0, -2.0]]), sigma=0.5)

    assert noisy.flatten().tolist() == [10.5, 19.0]  # 10 + 0.5 * 1, 20 - 0.5 * 2
    assert same[0] is skips[0]


def test_noise_at_all_reaches_every_map_with_values_of_its_own() -> None:
    segmenter = build_segmenter(class_count=1, noise_at="all")
    skips, features = segmenter.encode(torch.zeros(2, 1, 16, 16))
    length = segmenter.noise_length(skips, features)

    noise = torch.arange(2.0 * length).reshape(2, length)
    noisy_skips, noisy = segmenter.perturb(skips, features, noise, sigma=1.0)

    assert length == 64 * 2 * 2 + 16 * 8 * 8
    added = [(noisy - features), *(a - b for a, b in zip(noisy_skips, skips, strict=True))]
    joined = torch.cat([part.flatten(1) for part in added], dim=1)
    torch.testing.assert_close(joined, noise, rtol=0, atol=1e-3)


def test_a_perturbation_of_sigma_zero_changes_nothing() -> None:
    segmenter = build_segmenter(class_count=1, noise_at="all")
    skips, features = segmenter.encode(torch.randn(2, 1, 16, 16))
    noise = torch.randn(2, segmenter.noise_length(skips, features))

    noisy_skips, noisy = segmenter.perturb(skips, features, noise, sigma=0.0)

    assert torch.equal(noisy, features)
    assert all(torch.equal(a, b) for a, b in zip(noisy_skips, skips, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_computes_without_gradients_and_returns_to_the_former_mode(
    training: bool,
) -> None:
    segmenter = build_segmenter(class_count=1).train(training)

    with evaluating(segmenter):
        logits = segmenter(torch.zeros(1, 1, 16, 16))
        assert not segmenter.training

    assert segmenter.training is training
    assert not logits.requires_grad
