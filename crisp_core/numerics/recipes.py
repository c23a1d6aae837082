"""What each word of `training.augmentation` draws; every draw can be written down and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TypeAlias

import torch

from crisp_core.numerics.appearance import AppearanceDraw, apply_appearance, draw_appearance
from crisp_core.numerics.style import StyleDraw, draw_style, restyle

Plain: TypeAlias = Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class Recipe:
    """How likely each family takes part in a sample.

    Attributes:
        appearance: Of bias field, gamma, contrast, brightness, blur and noise, each by itself.
        style: Of histogram shift, Bezier curve, low resolution and frequencies, each by itself.
        texture: Of the random texture network.
        inversion: That a Bezier curve turns dark into bright.
    """

    appearance: float = 0.0
    style: float = 0.0
    texture: float = 0.0
    inversion: float = 0.5


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "none": Recipe(),
        "conventional": Recipe(appearance=0.5),
        "frequency-style": Recipe(appearance=0.5, style=0.5),
        "full": Recipe(appearance=0.5, style=0.5, texture=0.5),
    }
)
"""Every word and what it draws."""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that was drawn for a batch."""

    appearance: AppearanceDraw
    style: StyleDraw

    def plain(self) -> dict[str, dict[str, Plain]]:
        """Return lists of numbers, which JSON can hold; `replayed` is the way back."""
        return {part.name: _plain(getattr(self, part.name)) for part in fields(self)}


def replayed(values: Mapping[str, Mapping[str, Plain]]) -> Look:
    """Return the look whose `plain` form these numbers are."""
    appearance, style = (
        {name: torch.tensor(numbers) for name, numbers in values[part].items()}
        for part in ("appearance", "style")
    )
    return Look(AppearanceDraw(**appearance), StyleDraw(**style))


def draw_look(recipe: Recipe, count: int, *, generator: torch.Generator) -> Look:
    """Draw the look of `count` samples; the generator alone decides it."""
    return Look(
        appearance=draw_appearance(count, generator=generator, probability=recipe.appearance),
        style=draw_style(
            count,
            generator=generator,
            probability=recipe.style,
            texture_probability=recipe.texture,
            inversion_probability=recipe.inversion,
        ),
    )


def apply_look(images: torch.Tensor, look: Look) -> torch.Tensor:
    """Apply appearance, then style.

    Args:
        images: float (B, ch, H, W) around [-1, 1], on any device. Not modified.
        look: One set of parameters per sample.

    Raises:
        ValueError: If the look is for another number of samples.
    """
    changed = apply_appearance(images, look.appearance)
    restyle(changed, look.style)
    return changed


def _plain(draw: AppearanceDraw | StyleDraw) -> dict[str, Plain]:
    return {field.name: getattr(draw, field.name).tolist() for field in fields(draw)}
