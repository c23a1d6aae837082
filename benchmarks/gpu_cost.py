"""What training and hints cost on a GPU at the paper's size: `python -m benchmarks.gpu_cost`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from benchmarks.findings import Findings, Row, median, publish
from benchmarks.step_memory import Bench, bench
from crisp_client.device import Workbench
from crisp_core.model.hinting import HintOptions, KeyedNoise, make_hints
from crisp_core.model.segmenter import evaluating
from crisp_core.model.step import StepOptions, accumulate_gradients
from crisp_core.numerics.randomness import keyed_generator, keyed_normal
from crisp_core.numerics.recipes import RECIPES, apply_look, draw_look

BATCH, SIZE, REPEATS = 10, 256, 20
PERTURBATIONS = (2, 10)
NOTES = (
    "DeepLabV3+ with MobileNetV2, bfloat16 autocast, 10 slices of 256 x 256.",
    f"Medians of {REPEATS} repeats after three that are not counted.",
    "ms: wall time until the GPU has finished.",
    "Noise: the part in which the processor draws perturbations, the same as a site without GPU.",
    "Peak MB: memory of the GPU at its highest above what weights and batch hold.",
    "Look: drawing and applying every change of appearance of a recipe.",
)


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Return the median wall time in ms and the peak of the GPU's memory in MB above before."""
    for _ in range(3):
        job()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    seconds = np.zeros(REPEATS)
    for repeat in range(REPEATS):
        began = time.perf_counter()
        job()
        torch.cuda.synchronize()
        seconds[repeat] = time.perf_counter() - began
    return 1000 * median(seconds), (torch.cuda.max_memory_allocated() - before) / 1e6


def on_gpu(gpu: Workbench) -> Bench:
    """Move a network and its batch to the GPU."""
    on = bench("DeepLabV3Plus", SIZE, BATCH)
    return replace(
        on,
        segmenter=gpu.placed(on.segmenter),
        inputs=on.inputs.to(gpu.device),
        labels=on.labels.to(gpu.device),
        region=on.region.to(gpu.device),
    )


def step_row(gpu: Workbench, perturbations: int) -> Row:
    """Time a training step; none perturbed is a plain one."""
    on, drawn = on_gpu(gpu), 0.0
    options = StepOptions(loss="dice_ce", perturbations=perturbations)
    optimizer = torch.optim.Adam(on.segmenter.parameters(), fused=True)

    def noise(number: int, shape: tuple[int, ...]) -> torch.Tensor:
        nonlocal drawn
        began = time.perf_counter()
        normal = keyed_normal(shape, "step", number)
        drawn += time.perf_counter() - began
        return normal

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with gpu.autocast():
            accumulate_gradients(on.segmenter, on.inputs, on.labels, on.region, noise, options)
        optimizer.step()

    ms, peak = timed(step)
    what = f"training step, N = {perturbations}" if perturbations else "plain training step"
    return {"what": what, "ms": ms, "noise, ms": 1000 * drawn / (REPEATS + 3), "peak MB": peak}


@torch.no_grad()
def hint_row(gpu: Workbench, perturbations: int) -> Row:
    """Time the hints of a case of ten slices."""
    on = on_gpu(gpu)
    images, options = on.inputs[:, :1], HintOptions(perturbations=perturbations)

    def job() -> None:
        with gpu.autocast():
            make_hints(on.segmenter, images, None, options, KeyedNoise(0, "case", 2))

    with evaluating(on.segmenter):
        ms, peak = timed(job)
    return {"what": f"hint pass, N = {perturbations}", "ms": ms, "peak MB": peak}


def look_row(gpu: Workbench, word: str) -> Row:
    """Time a recipe of appearance."""
    images = torch.rand(BATCH, 1, SIZE, SIZE, device=gpu.device)
    generator = keyed_generator("look")
    ms, peak = timed(
        lambda: apply_look(images, draw_look(RECIPES[word], BATCH, generator=generator))
    )
    return {"what": f"look, {word}", "ms": ms, "peak MB": peak}


def main() -> None:
    """Time steps, hint passes and looks."""
    torch.set_num_threads(1)
    gpu = Workbench(torch.device("cuda", 0))
    rows = [step_row(gpu, count) for count in (0, *PERTURBATIONS)]
    rows += [hint_row(gpu, count) for count in PERTURBATIONS]
    rows += [look_row(gpu, word) for word in RECIPES if word != "none"]
    publish(Findings("gpu_cost", torch.cuda.get_device_name(0), rows, NOTES))


if __name__ == "__main__":
    main()
