"""A network one can draw: the features are the input, the logits a linear map of them."""

from __future__ import annotations

import torch
from torch import nn

from crisp_core.model.segmenter import Segmenter


class LinearSegmenter(Segmenter):
    """z = W F at every pixel, F = X."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(input_channels=weight.shape[1], class_count=len(weight) - 1)
        self.weight = nn.Parameter(weight)

    def encode(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        return [], x

    def decode(self, skips: list[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        return torch.einsum("kf,bfhw->bkhw", self.weight, features)
