"""Randomness from words: the same key gives the same numbers, whatever came before."""

from __future__ import annotations

import torch

from crisp_core.numerics.keys import keyed_seed

__all__ = ["keyed_generator", "keyed_normal", "keyed_seed"]


def keyed_generator(*key: str | int) -> torch.Generator:
    """Return a fresh CPU generator seeded by words.

    It is always a CPU generator: a site with a GPU draws the same numbers as one without.
    """
    return torch.Generator(device="cpu").manual_seed(keyed_seed(*key))


def keyed_normal(shape: tuple[int, ...], *key: str | int) -> torch.Tensor:
    """Draw float32 standard normal noise of `shape` that depends on the key alone."""
    return torch.randn(shape, generator=keyed_generator(*key), dtype=torch.float32)
