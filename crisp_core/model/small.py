"""A small network in the shape of DeepLabV3+, for CPUs and tests."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from crisp_core.model.segmenter import Maps, NoiseAt, Segmenter, frame_of

DILATIONS = (1, 2, 4)


class SmallSegmenter(Segmenter):
    """Three downsamplings, dilated context, one skip at half the input's size.

    All work on the skip is done in `encode`, and the context is summed to it: CRISP decodes
    many times for every time it encodes.
    """

    def __init__(
        self,
        *,
        input_channels: int,
        class_count: int,
        width: int = 16,
        noise_at: NoiseAt = "deepest",
    ) -> None:
        super().__init__(input_channels=input_channels, class_count=class_count, noise_at=noise_at)
        self.shallow = nn.Sequential(
            _convolution(input_channels, width, stride=2), _convolution(width, width)
        )
        self.skip = nn.Conv2d(width, width, kernel_size=1)
        self.deep = nn.Sequential(
            _convolution(width, 2 * width, stride=2),
            _convolution(2 * width, 2 * width),
            _convolution(2 * width, 4 * width, stride=2),
            _convolution(4 * width, 4 * width),
        )
        self.context = _Context(4 * width, width)
        self.fuse = _convolution(width, width)
        self.head = nn.Conv2d(width, class_count + 1, kernel_size=1)
        for layer in (self.skip, self.context.whole, self.context.project, self.head):
            _initialise(layer)

    @property
    def style_stages(self) -> tuple[nn.Module, ...]:
        """Half and a quarter of the input's size."""
        return self.shallow, self.deep[1]

    def encode(self, x: torch.Tensor) -> tuple[Maps, torch.Tensor]:
        """Return skips [(B, 0, H, W), (B, width, H/2, W/2)] and features (B, 4 width, H/8, W/8)."""
        shallow = self.shallow(x)
        return [frame_of(x), self.skip(shallow)], self.deep(shallow)

    def decode(self, skips: Maps, features: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K, H, W)."""
        frame, skip = skips
        joined = functional.relu6(_resized(self.context(features), skip).add_(skip), inplace=True)
        fused = self.fuse(joined)
        return _resized(self.head(fused).contiguous(), frame)  # planes, whatever came before


class _Context(nn.Module):
    """Looks at the features from near, from further away and as a whole."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.near = _convolution(channels, width, kernel_size=1)
        self.far = nn.ModuleList(_convolution(channels, width, dilation=d) for d in DILATIONS)
        self.whole = nn.Conv2d(channels, width, kernel_size=1)
        self.project = nn.Conv2d((len(DILATIONS) + 2) * width, width, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        near = self.near(features)
        whole = self.whole(features.mean((2, 3), keepdim=True)).relu().expand_as(near)
        joined = torch.cat([near, *(far(features) for far in self.far), whole], dim=1)
        projected: torch.Tensor = self.project(joined)
        return projected


def _convolution(
    channels_in: int, channels_out: int, *, kernel_size: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(
            channels_in, channels_out, kernel_size, stride, padding, dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(inplace=True),
    )


def _initialise(layer: nn.Conv2d) -> None:
    """Let a layer without a normalisation behind it keep the scale of what enters it.

    With torch's own, smaller weights a federation of a few hundred steps stayed at background.

    Source:
        He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(cast("nn.Parameter", layer.bias))


def _resized(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, like.shape[2:], mode="bilinear", align_corners=False)
