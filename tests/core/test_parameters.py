from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from crisp_core.errors import WeightsError
from crisp_core.model.build import build_segmenter
from crisp_core.model.normalisation import (
    frozen_running_statistics,
    group_count,
    replace_batch_norm,
)
from crisp_core.model.parameters import load_arrays, to_arrays

ARCHITECTURES = ("small", "DeepLabV3Plus")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameters_to_module_to_parameters_is_identity(architecture: str) -> None:
    given = to_arrays(build_segmenter(architecture, class_count=2, seed=1))
    segmenter = build_segmenter(architecture, class_count=2, seed=2)

    load_arrays(segmenter, given)

    again = to_arrays(segmenter)
    assert list(again) == list(given)
    assert all(np.array_equal(again[name], array) for name, array in given.items())
    assert all(again[name].dtype == array.dtype for name, array in given.items())


def test_arrays_are_copies() -> None:
    layer = nn.Linear(1, 1)

    to_arrays(layer)["weight"][:] = 7

    assert layer.weight.item() != 7


def test_read_only_arrays_load_and_channels_last_networks_give_contiguous_ones() -> None:
    layer = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    arrays = to_arrays(layer)
    for array in arrays.values():
        array.flags.writeable = False

    load_arrays(layer, arrays)

    assert all(array.flags.c_contiguous for array in to_arrays(layer).values())


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weight": np.zeros((1, 2), "f4")}, "missing bias, unknown none"),
        ({"weight": np.zeros((1, 2), "f4"), "bias": np.zeros(2, "f4")}, "array 'bias'"),
        ({"weight": np.zeros((1, 2), "f8"), "bias": np.zeros(1, "f4")}, "of float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_written(
    arrays: dict[str, np.ndarray], words: str
) -> None:
    layer = nn.Linear(2, 1)
    before = to_arrays(layer)

    with pytest.raises(WeightsError, match=words):
        load_arrays(layer, arrays)

    assert all(np.array_equal(array, before[name]) for name, array in to_arrays(layer).items())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_gives_the_same_bytes_and_leaves_torchs_own_stream_alone(
    architecture: str,
) -> None:
    before = torch.random.get_rng_state()

    first, again, other = (
        to_arrays(build_segmenter(architecture, class_count=2, seed=seed)) for seed in (1, 1, 2)
    )

    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_norm_group_leaves_no_batch_norm(architecture: str) -> None:
    segmenter = build_segmenter(architecture, class_count=2, norm="group")

    kinds = {type(module) for module in segmenter.modules()}
    assert nn.BatchNorm2d not in kinds
    assert nn.GroupNorm in kinds


@pytest.mark.parametrize("channels", [1, 15, 16, 24, 40, 96, 144, 1280])
def test_groups_are_equal_and_hold_at_least_sixteen_channels_where_there_are_as_many(
    channels: int,
) -> None:
    count = group_count(channels)

    assert channels % count == 0
    assert channels // count >= min(16, channels)


def test_group_norm_takes_over_scale_and_shift() -> None:
    network = nn.Sequential(nn.BatchNorm2d(16))
    nn.init.constant_(network[0].weight, 3.0)

    replace_batch_norm(network)

    assert network[0].weight.tolist() == [3.0] * 16


def test_frozen_statistics_answer_as_training_does_and_remember_nothing() -> None:
    layer = nn.BatchNorm2d(2).train()
    x = 5 + torch.randn(4, 2, 3, 3)

    with frozen_running_statistics(layer):
        frozen = layer(x)
    untouched = to_arrays(layer)
    trained = layer(x)

    assert torch.equal(frozen, trained)
    assert untouched["running_mean"].tolist() == [0, 0]
    assert untouched["num_batches_tracked"] == 0
    assert to_arrays(layer)["num_batches_tracked"] == 1
