"""Build a network from a study's words: same words, same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from crisp_core.errors import StudyError
from crisp_core.model.normalisation import replace_batch_norm
from crisp_core.model.pretrained import load_encoder
from crisp_core.model.segmenter import NoiseAt, Segmenter
from crisp_core.model.small import SmallSegmenter
from crisp_core.model.zoo import SKIP_LEVELS, ZooSegmenter
from crisp_core.numerics.randomness import keyed_generator


def build_segmenter(  # noqa: PLR0913 - one keyword for each word of a study's [model] table
    architecture: str = "small",
    *,
    image_channels: int = 1,
    hint_channels: int = 0,
    class_count: int,
    encoder: str = "mobilenet_v2",
    encoder_weights: Path | None = None,
    width: int = 16,
    norm: Literal["network", "group"] = "network",
    noise_at: NoiseAt = "deepest",
    seed: int = 0,
) -> Segmenter:
    """Build a network with weights that depend on the arguments alone.

    Args:
        architecture: "small", or one of `zoo.SKIP_LEVELS`.
        image_channels: d, channels of a slice or of a stack of neighbouring slices.
        hint_channels: 2C, or 0 for a network without hints.
        class_count: C, foreground classes.
        encoder: Encoder of a zoo architecture.
        encoder_weights: Safetensors file with the encoder's weights; None: random ones.
        width: Channels of the small network's first layer.
        norm: "network": as the architecture has it; "group": GroupNorm for every BatchNorm.
        noise_at: Which maps a perturbation touches.
        seed: Of the random weights. torch's own stream is left as it was.

    Raises:
        StudyError: If architecture or encoder is unknown, or the small network is given weights.
        MissingExtraError: If the architecture needs segmentation-models-pytorch.
        WeightsError: If the weights do not fit the encoder.
    """
    channels = image_channels + hint_channels
    _check(architecture, encoder_weights)
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(keyed_generator("initial weights", seed).get_state())
        segmenter: Segmenter
        if architecture == "small":
            segmenter = SmallSegmenter(
                input_channels=channels, class_count=class_count, width=width, noise_at=noise_at
            )
        else:
            segmenter = ZooSegmenter(
                architecture,
                encoder,
                input_channels=channels,
                class_count=class_count,
                noise_at=noise_at,
            )
    if encoder_weights is not None and isinstance(segmenter, ZooSegmenter):
        load_encoder(segmenter.encoder, encoder_weights, image_channels=image_channels)
    if norm == "group":
        replace_batch_norm(segmenter)
    return segmenter


def _check(architecture: str, encoder_weights: Path | None) -> None:
    known = ("small", *SKIP_LEVELS)
    if architecture not in known:
        raise StudyError(
            expected=f"one of {', '.join(known)}",
            got=repr(architecture),
            where="model.architecture",
            fix="Correct the word",
        )
    if architecture == "small" and encoder_weights is not None:
        raise StudyError(
            expected='no encoder weights with architecture "small"',
            got=f"encoder_weights = {str(encoder_weights)!r}",
            where="model",
            fix="Leave encoder_weights out, or choose an architecture with an encoder",
        )
