"""What every network here can do: encode an input, perturb its features, decode them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import nn

NoiseAt: TypeAlias = Literal["deepest", "all"]
Maps: TypeAlias = list[torch.Tensor]


class Segmenter(nn.Module, ABC):
    """A network cut in two at its deepest features, where CRISP perturbs it.

    Attributes:
        input_channels: d image channels and, where there are hints, 2C hint channels.
        class_count: C, foreground classes; there are K = C + 1 logits, background first.
        noise_at: "deepest": noise enters the features alone; "all": the skips as well.
    """

    def __init__(
        self, *, input_channels: int, class_count: int, noise_at: NoiseAt = "deepest"
    ) -> None:
        super().__init__()
        self.input_channels = input_channels
        self.class_count = class_count
        self.noise_at: NoiseAt = noise_at

    @abstractmethod
    def encode(self, x: torch.Tensor) -> tuple[Maps, torch.Tensor]:
        """Turn inputs (B, input_channels, H, W) into skips and deepest features, each (B, …)."""

    @abstractmethod
    def decode(self, skips: Maps, features: torch.Tensor) -> torch.Tensor:
        """Turn skips and features into logits (B, K, H, W)."""

    @property
    def style_stages(self) -> tuple[nn.Module, ...]:
        """The modules that complete the first two resolutions; empty where they are not known."""
        return ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K, H, W) of inputs (B, input_channels, H, W)."""
        return self.decode(*self.encode(x))

    def noise_length(self, skips: Maps, features: torch.Tensor) -> int:
        """Count the noise values that one sample takes."""
        return sum(math.prod(m.shape[1:]) for m in self._perturbed(skips, features))

    def perturb(
        self, skips: Maps, features: torch.Tensor, noise: torch.Tensor, sigma: float
    ) -> tuple[Maps, torch.Tensor]:
        """Add sigma * noise to the features and, with noise_at "all", to the skips.

        Args:
            skips: As encoded. Not modified.
            features: As encoded. Not modified.
            noise: (B, noise_length), standard normal, the features' values first.
            sigma: Standard deviation of what is added, in units of the features.
        """
        maps = self._perturbed(skips, features)
        parts = torch.split(noise, [math.prod(m.shape[1:]) for m in maps], dim=1)
        noisy = [
            torch.add(m, part.reshape(m.shape), alpha=sigma)
            for m, part in zip(maps, parts, strict=True)
        ]
        return noisy[1:] or skips, noisy[0]

    def _perturbed(self, skips: Maps, features: torch.Tensor) -> Maps:
        return [features, *skips] if self.noise_at == "all" else [features]


def frame_of(x: torch.Tensor) -> torch.Tensor:
    """Return an empty map (B, 0, H, W): as the first skip it tells `decode` the input's size."""
    return x.new_empty(x.shape[0], 0, *x.shape[2:])


@contextmanager
def evaluating(segmenter: Segmenter) -> Iterator[None]:
    """Compute without gradients, dropout or batch statistics, then return to the former mode."""
    was_training = segmenter.training
    segmenter.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        segmenter.train(was_training)
