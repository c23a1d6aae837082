"""Draw every corruption at every severity, and every change of appearance and style.

Run `python -m benchmarks.artefact_montage`; two PNG files land in docs/reference/artefacts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.phantom_montage import canonical, square
from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.files.phantom_cohort import KINDS
from crisp_core.numerics import appearance, style, tone
from crisp_core.numerics.corrupt import CORRUPTIONS, SEVERITIES, corrupt
from crisp_core.numerics.histogram import foreground_histogram, matched

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference" / "artefacts"
TILE = (120, 120)
CAPTION = 14
SEEDS = (1, 2, 3, 4, 5)
Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def heart() -> FloatArray:
    """Return a phantom's volume (D, H, W), square slices."""
    kind = KINDS["cardiac"]
    case = next(iter(kind.patient(kind.sites[0], 0, seed=0)))
    image, _ = canonical(case)
    return np.stack([square(image[:, :, z]).T for z in range(image.shape[2])])


def grey(plane: AnyArray, low: float, high: float) -> Image.Image:
    """Return a plane as a tile."""
    scaled = np.clip((plane - low) / (high - low), 0, 1) * 255
    return Image.fromarray(scaled.astype(np.uint8)).resize(TILE)


def sheet(rows: Mapping[str, list[Image.Image]]) -> Image.Image:
    """Put named rows of tiles under one another."""
    width = max(len(tiles) for tiles in rows.values()) * TILE[0]
    height = TILE[1] + CAPTION
    page = Image.new("L", (width, height * len(rows)))
    draw = ImageDraw.Draw(page)
    for number, (name, tiles) in enumerate(rows.items()):
        draw.text((3, number * height + 1), name, fill=255)
        for place, tile in enumerate(tiles):
            page.paste(tile, (place * TILE[0], number * height + CAPTION))
    return page


def corruptions() -> Image.Image:
    """Draw a row a corruption, severities from left to right, behind the clean slice."""
    volume = heart()
    low, high, middle = 0.0, float(np.percentile(volume, 99.3)), len(volume) // 2
    rows = {}
    for kind in CORRUPTIONS:
        changed = [
            corrupt(volume, kind, severity, generator=np.random.default_rng(1))
            for severity in SEVERITIES
        ]
        lost = [np.flatnonzero((one != volume).any(axis=(1, 2))) for one in changed]
        shown = int(lost[0][0]) if kind.endswith("-slices") else middle
        planes = [volume, *changed]
        rows[kind] = [grey(plane[shown], low, high) for plane in planes]
    return sheet(rows)


def _appearance(part: str) -> Change:
    def change(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        drawn = appearance.draw_appearance(len(images), generator=generator, probability=1.0)
        return {
            "gamma": lambda: appearance.with_gamma(images, drawn.gamma, drawn.gamma_side),
            "contrast and brightness": lambda: appearance.with_contrast(
                images, drawn.contrast, drawn.brightness
            ),
            "bias field": lambda: appearance.with_bias_field(images, drawn.bias),
            "blur": lambda: appearance.with_blur(images, drawn.blur_sigma_voxels),
            "noise": lambda: appearance.with_noise(images, drawn.noise_sd, drawn.noise_seed),
        }[part]()

    return change


def _style(part: str) -> Change:
    def change(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        drawn = style.draw_style(
            len(images), generator=generator, probability=1.0, texture_probability=1.0
        )
        return {
            "tone curve (histogram shift, then Bezier)": lambda: tone.with_curve(
                images, drawn.curve
            ),
            "low resolution": lambda: style.with_low_resolution(images, drawn.zoom),
            "low frequencies of another slice": lambda: style.with_frequencies(
                images, drawn.partner, drawn.mix
            ),
            "random texture": lambda: style.with_texture(images, drawn.texture, drawn.texture_seed),
        }[part]()

    return change


def _matched(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Match another hospital's foreground: its scanner's curve is a drawn one here."""
    curves = style.draw_style(
        len(images), generator=generator, probability=1.0, inversion_probability=0.0
    ).curve
    other = tone.with_curve(images, curves[:1].expand(len(images), -1))
    return matched(images, foreground_histogram(other).sum(0))


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        **{
            part: _appearance(part)
            for part in ("gamma", "contrast and brightness", "bias field", "blur", "noise")
        },
        **{
            part: _style(part)
            for part in (
                "tone curve (histogram shift, then Bezier)",
                "low resolution",
                "low frequencies of another slice",
                "random texture",
            )
        },
        "histogram matching": _matched,
    }
)


def changes() -> Image.Image:
    """Draw a row an operation: the slice, then five draws."""
    volume = heart()
    low, high = np.percentile(volume, (1, 99))
    scaled = np.clip((volume - low) / (high - low), 0, 1) * 2 - 1
    images = torch.from_numpy(scaled.astype(np.float32))[:, None]
    middle, rows = len(images) // 2, {}
    for name, change in CHANGES.items():
        drawn = [change(images, torch.Generator().manual_seed(seed)) for seed in SEEDS]
        rows[name] = [grey(one[middle, 0].numpy(), -1.1, 1.3) for one in (images, *drawn)]
    return sheet(rows)


def main() -> None:
    """Write both pictures and print their size."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, picture in (("corruptions", corruptions()), ("appearance", changes())):
        path = FOLDER / f"{name}.png"
        picture.quantize(64).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
