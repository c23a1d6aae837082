"""Normalisation layers: groups instead of batches, and batches that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

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
