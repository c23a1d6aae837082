from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crisp_core.model.build import build_segmenter
from crisp_core.model.ensemble import ensemble_of
from crisp_core.model.normalisation import (
    estimate_statistics,
    local_arrays,
    norm_arrays,
    running_statistics,
)
from crisp_core.model.parameters import to_arrays
from crisp_core.numerics.randomness import keyed_generator


class OddlyNamed(nn.Module):
    """A BatchNorm that is not called so, and a convolution that is."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.Conv2d(1, 2, 1)
        self.second = nn.Sequential(nn.BatchNorm2d(2), nn.GroupNorm(1, 2))


def test_batch_norms_are_found_by_their_type_and_not_by_their_name() -> None:
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    assert norm_arrays(OddlyNamed()) == {f"second.0.{kind}" for kind in kinds}


def test_fedbn_keeps_all_of_a_batch_norm_silobn_its_statistics_fedavg_nothing() -> None:
    network = OddlyNamed()

    assert local_arrays(network, "none") == frozenset()
    assert local_arrays(network, "all") == norm_arrays(network)
    counted = running_statistics(network) | {"second.0.num_batches_tracked"}
    assert local_arrays(network, "statistics") == counted


def test_nothing_is_local_in_a_network_of_group_norms() -> None:
    network = build_segmenter(class_count=1, width=8, norm="group")

    assert local_arrays(network, "all") == frozenset()


def test_estimated_statistics_are_the_means_over_the_batches() -> None:
    norm = nn.BatchNorm1d(1)
    norm(torch.tensor([[100.0], [300.0]]))  # what was remembered before
    batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [8.0]])]

    estimate_statistics(norm, batches)

    assert norm.running_mean.tolist() == [3.5]  # (1 + 6) / 2
    assert norm.running_var.tolist() == [5.0]  # unbiased: (2 + 8) / 2
    assert (norm.momentum, norm.training) == (0.1, False)


def test_estimating_statistics_moves_no_weight() -> None:
    network = build_segmenter(class_count=1, width=8)
    before = to_arrays(network)

    estimate_statistics(network, [torch.randn(4, 1, 16, 16, generator=keyed_generator("x"))])

    after = to_arrays(network)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == local_arrays(network, "statistics")


def test_a_shifted_scanner_is_undone_by_its_own_statistics() -> None:
    def answer(images: torch.Tensor) -> torch.Tensor:
        estimate_statistics(network, [images])
        with torch.no_grad():
            return network(images)

    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.BatchNorm2d(3))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1, 1))
    images = torch.randn(4, 1, 8, 8, generator=keyed_generator("x"))

    torch.testing.assert_close(answer(images), answer(5 * images + 2), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("noise_at", ["deepest", "all"])
def test_an_ensemble_answers_with_the_mean_probability_of_its_members(noise_at) -> None:
    network = build_segmenter(class_count=2, width=8, noise_at=noise_at).eval()
    arrays = to_arrays(network)
    heads = [{n: arrays[n] * k for n in norm_arrays(network) if n.endswith("bias")} for k in (1, 3)]
    x = torch.randn(2, 1, 16, 16, generator=keyed_generator("x"))

    ensemble = ensemble_of(network, heads).eval()

    with torch.no_grad():
        expected = sum(ensemble_of(network, [h]).eval()(x).softmax(1) for h in heads) / 2
        torch.testing.assert_close(ensemble(x).softmax(1), expected)
        skips, features = ensemble.encode(x)
        noise = torch.zeros(2, ensemble.noise_length(skips, features))
        torch.testing.assert_close(
            ensemble.decode(*ensemble.perturb(skips, features, noise, 1.0)), ensemble(x)
        )
