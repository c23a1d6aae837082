"""Normalisation layers: groups instead of batches, and batches that leave no trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

LocalNorm: TypeAlias = Literal["none", "statistics", "all"]
CHANNELS_PER_GROUP = 16
"""Wu and He, "Group Normalization", ECCV 2018, table 3."""


def replace_batch_norm(module: nn.Module) -> None:
    """Put a GroupNorm in the place of every BatchNorm below `module`.

    A BatchNorm averaged over hospitals carries their mean intensity statistics to one that has
    others; a GroupNorm has none to carry. Groups have at least `CHANNELS_PER_GROUP` channels;
    scale and shift are taken over.
    """
    for name, child in module.named_children():
        if isinstance(child, BatchNorm):
            setattr(module, name, _group_norm_like(child))
        else:
            replace_batch_norm(child)


def group_count(channels: int) -> int:
    """Return the largest number of equal groups of at least `CHANNELS_PER_GROUP` channels.

    Examples:
        >>> group_count(64), group_count(24), group_count(8)
        (4, 1, 1)
    """
    most = max(1, channels // CHANNELS_PER_GROUP)
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def running_statistics(module: nn.Module) -> frozenset[str]:
    """Return the names of every BatchNorm's running mean and variance in the module's state."""
    return frozenset(
        f"{name}.{kind}" if name else kind
        for name, child in module.named_modules()
        if isinstance(child, BatchNorm) and child.track_running_stats
        for kind in ("running_mean", "running_var")
    )


def norm_arrays(module: nn.Module) -> frozenset[str]:
    """Return the names of all that every BatchNorm has in the module's state.

    Scale, shift, running mean and variance, and the count of batches; found by the layer's type,
    whatever it is called.
    """
    return frozenset(
        f"{name}.{kind}" if name else kind
        for name, child in module.named_modules()
        if isinstance(child, BatchNorm)
        for kind in child.state_dict()
    )


def local_arrays(module: nn.Module, local: LocalNorm) -> frozenset[str]:
    """Return the names of what stays at a site: nothing, running statistics, or all of BatchNorm.

    Empty, whatever was asked for, where the network has no BatchNorm.

    Source:
        "all": Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch
        Normalization", ICLR 2021. "statistics": Andreux et al., "Siloed Federated Learning for
        Multi-Centric Histopathology Datasets", 2020.
    """
    if local == "none":
        return frozenset()
    names = norm_arrays(module)
    if local == "all":
        return names
    learned = {name for name, _ in module.named_parameters()}
    return names - learned


def estimate_statistics(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Put the statistics of these inputs in the place of every BatchNorm's running ones (AdaBN).

    Mean and variance are those of the batches, each counted alike; scale, shift and every other
    weight stay, and dropout is off. No label is needed.

    Args:
        module: Changed in place; left in evaluation mode.
        batches: Inputs of the module, on its device.

    Source:
        Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016.
    """
    module.eval()
    norms = [
        child
        for child in module.modules()
        if isinstance(child, BatchNorm) and child.track_running_stats
    ]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then averages over the batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            module(batch)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    module.eval()


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let every BatchNorm in training mode use its batch's statistics without remembering them."""
    tracking = [
        child
        for child in module.modules()
        if isinstance(child, BatchNorm) and child.training and child.track_running_stats
    ]
    for child in tracking:
        child.track_running_stats = False
    try:
        yield
    finally:
        for child in tracking:
            child.track_running_stats = True


def _group_norm_like(batch_norm: BatchNorm) -> nn.GroupNorm:
    channels = batch_norm.num_features
    group_norm = nn.GroupNorm(
        group_count(channels), channels, eps=batch_norm.eps, affine=batch_norm.affine
    )
    if batch_norm.affine:
        with torch.no_grad():
            group_norm.weight.copy_(batch_norm.weight)
            group_norm.bias.copy_(batch_norm.bias)
    return group_norm
