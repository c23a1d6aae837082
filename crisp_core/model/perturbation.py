"""One case, encoded once and decoded many times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from crisp_core.model.segmenter import Maps, Segmenter
from crisp_core.numerics.odds import Odds, blocks_of
from crisp_core.numerics.randomness import keyed_normal

MEMORY_BOUND_BYTES = 2 << 30
"""Encodings of a case beyond this are made anew for every decode instead of being kept."""
PIXELS_PER_CHUNK = 1 << 18
"""Slices are computed together up to this many pixels; part of the result's last bits."""


class Noise(Protocol):
    """Where the perturbations of one case come from."""

    def __call__(self, slice_index: int, n: int, shape: tuple[int, ...], /) -> torch.Tensor:
        """Return standard normal noise of `shape` for perturbation n of a slice."""
        ...


@dataclass(frozen=True)
class KeyedNoise:
    """Noise that depends on study, case, slice, generation and n, and on nothing else.

    Hints are then the same whatever the batch, the order of the cases or the machine's workers.
    """

    study_seed: int
    case: str
    generation: int

    def __call__(self, slice_index: int, n: int, shape: tuple[int, ...], /) -> torch.Tensor:
        """Draw float32 standard normal noise of `shape`."""
        return keyed_normal(shape, self.study_seed, self.case, slice_index, self.generation, n)


@dataclass(frozen=True)
class Chunk:
    """Neighbouring slices of a case that are computed together."""

    first_slice: int
    skips: Maps
    features: torch.Tensor


class EncodedCase:
    """The encodings of one case's slices, chunk by chunk.

    A chunk holds as many slices as fit `PIXELS_PER_CHUNK`, whatever memory there is: kernels
    round differently for other batch sizes, and a case must give the same bits everywhere.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        inputs: torch.Tensor,
        memory_bound_bytes: int = MEMORY_BOUND_BYTES,
    ) -> None:
        """Encode `inputs` (D, input_channels, H, W), in the segmenter's present mode."""
        self._segmenter, self._inputs = segmenter, inputs
        self._kept: list[Chunk] | None = []
        for chunk in self._encoded():
            self._kept.append(chunk)
            if _byte_count(self._kept) > memory_bound_bytes:
                self._kept = None
                break

    @property
    def chunks(self) -> Iterator[Chunk]:
        """All chunks in slice order."""
        return self._encoded() if self._kept is None else iter(self._kept)

    def clean_logits(self) -> torch.Tensor:
        """Decode every slice as it is: (D, K, H, W)."""
        return joined([self._segmenter.decode(c.skips, c.features) for c in self.chunks])

    def perturbed_logits(self, n: int, noise: Noise, sigma: float) -> torch.Tensor:
        """Decode every slice with perturbation n: (D, K, H, W)."""
        return joined([self._perturbed(c, n, noise, sigma) for c in self.chunks])

    def perturbed_odds(self, n: int, noise: Noise, sigma: float) -> Iterator[tuple[int, Odds]]:
        """Decode perturbation n, some slices at a time, each with the number of the first."""
        for chunk in self.chunks:
            for first, block in blocks_of(self._perturbed(chunk, n, noise, sigma)):
                yield chunk.first_slice + first, Odds.of(block)

    def noise_ratio(self, sigma: float) -> float:
        """Compare sigma with the features of the middle chunk, or of the first if none is kept."""
        chunks = self._kept or [next(self.chunks)]
        return noise_ratio(sigma, chunks[len(chunks) // 2].features)

    def _perturbed(self, chunk: Chunk, n: int, noise: Noise, sigma: float) -> torch.Tensor:
        shape = (self._segmenter.noise_length(chunk.skips, chunk.features),)
        places = range(chunk.first_slice, chunk.first_slice + len(chunk.features))
        drawn = torch.stack([noise(place, n, shape) for place in places])
        drawn = drawn.to(chunk.features.device)
        return self._segmenter.decode(
            *self._segmenter.perturb(chunk.skips, chunk.features, drawn, sigma)
        )

    def _encoded(self) -> Iterator[Chunk]:
        height, width = self._inputs.shape[2:]
        count = max(1, PIXELS_PER_CHUNK // (height * width))
        for first in range(0, len(self._inputs), count):
            yield Chunk(first, *self._segmenter.encode(self._inputs[first : first + count]))


def noise_ratio(sigma: float, features: torch.Tensor) -> float:
    """Return sigma / standard deviation of the features; infinite where they do not vary.

    Below 0.2 a perturbation hardly shows, above 1.0 little but noise is left.
    """
    spread = float(features.detach().float().std())
    return sigma / spread if spread > 0 else math.inf


def joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """Put parts of a case after one another; a single one is not copied."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _byte_count(chunks: list[Chunk]) -> int:
    return sum(m.nbytes for chunk in chunks for m in (*chunk.skips, chunk.features))
