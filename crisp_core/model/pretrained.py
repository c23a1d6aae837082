"""Encoder weights out of a safetensors file, whose first convolution may see other channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from crisp_core.errors import WeightsError
from crisp_core.model.parameters import require_same_names

CLASSIFIERS = ("classifier.", "fc.")
"""Names, in published files, of the classification layers that no encoder has."""


def load_encoder(encoder: nn.Module, path: Path, *, image_channels: int) -> None:
    """Load an encoder's weights from a safetensors file.

    The first convolution is widened to the encoder's own inputs: image channels first, then hint
    channels, which start at zero, so that the network first answers as if there were no hints.

    Args:
        encoder: Its state's names must be those in the file, classification layers aside.
        path: A safetensors file. Pickled formats are never read.
        image_channels: How many of the encoder's input channels hold the image.

    Raises:
        WeightsError: If the file cannot be read or does not fit the encoder.
    """
    own, given = encoder.state_dict(), _read(path)
    require_same_names(set(own), set(given), where=f"encoder weights {path.name}")
    first = next(name for name, tensor in own.items() if tensor.ndim == len("OIHW"))
    if given[first].ndim == len("OIHW"):
        given[first] = widened(given[first], own[first].shape[1], image_channels)
    _require_same_shapes(own, given, path)
    encoder.load_state_dict(given)


def widened(weight: torch.Tensor, input_channels: int, image_channels: int) -> torch.Tensor:
    """Fit a first convolution (O, I, h, w) to `input_channels`, the image's first.

    Where the file saw as many image channels, they keep their weights. Otherwise each takes the
    sum over the file's channels divided by their own number: a grey picture, which is the same
    in all channels, is answered as the file's network would have answered it.

    Returns:
        (O, input_channels, h, w); zero beyond `image_channels`.

    Examples:
        >>> widened(torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1, 1), 2, 1).flatten().tolist()
        [7.0, 0.0]
    """
    wide = weight.new_zeros(len(weight), input_channels, *weight.shape[2:])
    if weight.shape[1] == image_channels:
        wide[:, :image_channels] = weight
    else:
        wide[:, :image_channels] = weight.sum(1, keepdim=True) / image_channels
    return wide


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            expected="a readable safetensors file",
            got=type(error).__name__,
            where=f"model.encoder_weights = {str(path)!r}",
            fix="Give the path of a .safetensors file; convert other formats first",
        ) from None
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(CLASSIFIERS)}


def _require_same_shapes(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], path: Path
) -> None:
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise WeightsError(
                expected=f"{name} of shape {tuple(tensor.shape)}",
                got=str(tuple(given[name].shape)),
                where=f"encoder weights {path.name}",
                fix="Use weights of the encoder that model.encoder names",
            )
