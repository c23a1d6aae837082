"""Published networks out of segmentation-models-pytorch, an optional extra."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from crisp_core.errors import MissingExtraError, StudyError
from crisp_core.model.segmenter import Maps, NoiseAt, Segmenter, frame_of

ALL_SKIPS = (1, 2, 3, 4)
SKIP_LEVELS = {
    "DeepLabV3Plus": (2,),
    "Unet": ALL_SKIPS,
    "UnetPlusPlus": ALL_SKIPS,
    "FPN": (2, 3, 4),
    "MAnet": ALL_SKIPS,
}
"""Which of the encoder's maps each decoder reads besides the deepest; level l is H / 2^l."""
STYLE_STAGES = {
    "MobileNetV2Encoder": ("features.1", "features.3"),
    "ResNetEncoder": ("layer1", "layer2"),
}
"""Modules of an encoder at the end of its first two stages, by the encoder's class."""
STRIDE = 32
"""Heights and widths are padded to a multiple of this, and logits cropped back."""


class _Network(Protocol):
    """The parts that every network of the library has."""

    encoder: nn.Module
    decoder: nn.Module
    segmentation_head: nn.Module


class ZooSegmenter(Segmenter):
    """One of `SKIP_LEVELS` over any encoder of segmentation-models-pytorch, untrained."""

    def __init__(
        self,
        architecture: str,
        encoder: str,
        *,
        input_channels: int,
        class_count: int,
        noise_at: NoiseAt = "deepest",
    ) -> None:
        super().__init__(input_channels=input_channels, class_count=class_count, noise_at=noise_at)
        network = _network(architecture, encoder, input_channels, class_count)
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.head = network.segmentation_head
        self._skip_levels = SKIP_LEVELS[architecture]

    @property
    def style_stages(self) -> tuple[nn.Module, ...]:
        """Known for two families of encoders."""
        paths = STYLE_STAGES.get(type(self.encoder).__name__, ())
        return tuple(self.encoder.get_submodule(path) for path in paths)

    def encode(self, x: torch.Tensor) -> tuple[Maps, torch.Tensor]:
        """Return skips [(B, 0, H, W), one map for each level that is read] and deepest features."""
        height, width = x.shape[2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        padded = functional.pad(x, padding, mode="replicate") if any(padding) else x
        maps = self.encoder(padded)
        return [frame_of(x), *(maps[level] for level in self._skip_levels)], maps[-1]

    def decode(self, skips: Maps, features: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K, H, W)."""
        frame, *maps = skips
        pyramid = [frame, *ALL_SKIPS, features]  # a level that the decoder does not read: a number
        for level, skip in zip(self._skip_levels, maps, strict=True):
            pyramid[level] = skip
        logits: torch.Tensor = self.head(self.decoder(pyramid))
        return logits[..., : frame.shape[2], : frame.shape[3]]


def _network(architecture: str, encoder: str, input_channels: int, class_count: int) -> _Network:
    try:
        smp = import_module("segmentation_models_pytorch")
    except ImportError:
        raise MissingExtraError(
            expected=f"segmentation-models-pytorch for architecture {architecture!r}",
            got="an installation without it",
            where="model.architecture",
            fix='Run pip install "crisp-fl[smp]", or set architecture = "small"',
        ) from None
    known = smp.encoders.get_encoder_names()
    if encoder not in known:
        near = difflib.get_close_matches(encoder, known, n=3) or known[:3]
        raise StudyError(
            expected="an encoder of segmentation-models-pytorch",
            got=repr(encoder),
            where="model.encoder",
            fix=f"Nearest: {', '.join(near)}",
        )
    network: _Network = getattr(smp, architecture)(
        encoder, encoder_weights=None, in_channels=input_channels, classes=class_count + 1
    )
    return network
