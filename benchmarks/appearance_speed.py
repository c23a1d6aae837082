"""Time the changes of appearance and style: `python -m benchmarks.appearance_speed`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from benchmarks.findings import Findings, cpu_seconds, median, publish
from crisp_core.numerics import appearance, style, tone
from crisp_core.numerics.histogram import foreground_histogram, matched
from crisp_core.numerics.recipes import RECIPES, Look, Recipe, apply_look, draw_look

SHAPE = (10, 1, 256, 256)
REPEATS = 11
SEEDS = range(8)
TARGET_MS = 25.0
EVERY = Recipe(appearance=1.0, style=1.0, texture=1.0)
NOTES = (
    "CPU time of the process on one thread, medians of interleaved repeats, 10 x 1 x 256 x 256.",
    "Single operations: every sample takes part. A recipe: draws and applies as training does.",
    "Chains: every sample takes part in every operation.",
    "Neighbours on the machine lengthen CPU time too: compare the load with the cores.",
)


def images() -> torch.Tensor:
    """Return slices with a smooth object, so that values lie where those of images do."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(SHAPE[0], 1, 16, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=SHAPE[2:], mode="bicubic")
    return (2 * smooth - 1 + 0.05 * torch.randn(SHAPE, generator=generator)).clamp(-1, 1)


def operations(x: torch.Tensor, look: Look) -> Mapping[str, Callable[[], object]]:
    """Return every operation by itself."""
    a, s = look.appearance, look.style
    reference = foreground_histogram(x).sum(0)
    return {
        "bias field": lambda: appearance.with_bias_field(x, a.bias),
        "gamma": lambda: appearance.with_gamma(x, a.gamma, a.gamma_side),
        "contrast and brightness": lambda: appearance.with_contrast(x, a.contrast, a.brightness),
        "blur": lambda: appearance.with_blur(x, a.blur_sigma_voxels),
        "noise": lambda: appearance.with_noise(x, a.noise_sd, a.noise_seed),
        "low frequencies": lambda: style.with_frequencies(x, s.partner, s.mix),
        "tone curve": lambda: tone.with_curve(x, s.curve),
        "low resolution": lambda: style.with_low_resolution(x, s.zoom),
        "random texture": lambda: style.with_texture(x, s.texture, s.texture_seed),
        "histogram matching": lambda: matched(x, reference),
    }


def chains(x: torch.Tensor, look: Look) -> Mapping[str, Callable[[], object]]:
    """Return chains: appearance and frequencies, then everything, every sample taking part."""
    a, s = look.appearance, look.style
    return {
        "appearance, then low frequencies": lambda: style.with_frequencies(
            appearance.apply_appearance(x, a), s.partner, s.mix
        ),
        "all nine operations": lambda: apply_look(x, look),
    }


def recipes(x: torch.Tensor) -> Mapping[str, Callable[[], object]]:
    """Return every recipe as training uses it, over several seeds in one job."""

    def job(recipe: Recipe) -> Callable[[], object]:
        def run() -> None:
            for seed in SEEDS:
                generator = torch.Generator().manual_seed(seed)
                apply_look(x, draw_look(recipe, len(x), generator=generator))

        return run

    return {word: job(recipe) for word, recipe in RECIPES.items()}


def main() -> None:
    """Time everything in turns."""
    torch.set_num_threads(1)
    x = images()
    look = draw_look(EVERY, len(x), generator=torch.Generator().manual_seed(1))
    parts, whole, words = operations(x, look), chains(x, look), recipes(x)
    jobs = {**parts, **whole, **words}
    for job in jobs.values():
        job()
    seconds = cpu_seconds(jobs, REPEATS)
    rows: list[dict[str, str | float | int | None]] = []
    for name in jobs:
        share = len(SEEDS) if name in words else 1
        kind = "operation" if name in parts else "chain" if name in whole else "recipe"
        rows.append(
            {
                "what": name,
                "kind": kind,
                "ms": 1000 * median(seconds[name]) / share,
                "least ms": 1000 * float(seconds[name].min()) / share,
                "wanted at most": TARGET_MS if kind != "operation" else None,
            }
        )
    publish(Findings("appearance_speed", "Appearance and style on ten slices", rows, NOTES))


if __name__ == "__main__":
    main()
