"""Print how many MB one training step needs above what is there before it.

`python -m benchmarks.step_memory small 64 10 2`: architecture, pixels, batch, perturbations
(0: a plain step). `benchmarks.step_cost` runs it in a fresh process for every figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.findings import memory_growth_mb
from crisp_core.model.build import build_segmenter
from crisp_core.model.segmenter import Segmenter
from crisp_core.model.step import StepFigures, StepOptions, accumulate_gradients
from crisp_core.numerics.randomness import keyed_generator, keyed_normal

CLASS_COUNT = 3
HINT_CHANNELS = 2 * CLASS_COUNT


@dataclass(frozen=True)
class Bench:
    """A network and one batch: inputs (B, 1 + 2C, H, W), labels (B, H, W), region (B, 1, H, W)."""

    segmenter: Segmenter
    inputs: torch.Tensor
    labels: torch.Tensor
    region: torch.Tensor


def bench(architecture: str, size: int, batch: int) -> Bench:
    """Build a network in training mode and draw a batch for it."""
    segmenter = build_segmenter(
        architecture, hint_channels=HINT_CHANNELS, class_count=CLASS_COUNT, norm="group"
    )
    generator = keyed_generator("benchmark", size)
    labels = torch.randint(CLASS_COUNT + 1, (batch, size, size), generator=generator)
    return Bench(
        segmenter=segmenter.train(),
        inputs=torch.randn(batch, segmenter.input_channels, size, size, generator=generator),
        labels=labels,
        region=torch.ones(batch, 1, size, size, dtype=torch.bool),
    )


def training_step(on: Bench, perturbations: int) -> Callable[[], StepFigures]:
    """Return a step with the study's defaults; its gradients start from nothing each time."""
    options = StepOptions(loss="dice_ce", perturbations=perturbations)

    def step() -> StepFigures:
        on.segmenter.zero_grad(set_to_none=True)
        return accumulate_gradients(
            on.segmenter,
            on.inputs,
            on.labels,
            on.region,
            lambda n, shape: keyed_normal(shape, "step", n),
            options,
        )

    return step


def main() -> None:
    """Take one step to warm up, another to measure."""
    architecture, *numbers = sys.argv[1:]
    size, batch, perturbations = map(int, numbers)
    torch.set_num_threads(1)
    on = bench(architecture, size, batch)
    step = training_step(on, perturbations)
    step()
    on.segmenter.zero_grad(set_to_none=True)
    print(memory_growth_mb(step))


if __name__ == "__main__":
    main()
