"""Weigh a CRISP step and a hint pass against their parts: `python -m benchmarks.step_cost`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.findings import Findings, cpu_seconds, in_fresh_process, median, publish
from benchmarks.step_memory import Bench, bench, training_step
from crisp_core.model.hinting import HintOptions, KeyedNoise, make_hints
from crisp_core.model.segmenter import Maps, evaluating

TIME_TARGET = 1.15
MEMORY_TARGET = 1.2
HINT_TARGET = 1.2
SLICE_COUNT = 10


@dataclass(frozen=True)
class Setting:
    """A network, the size of its input and how often it is timed."""

    architecture: str
    size: int
    batch: int
    repeats: int


SETTINGS = (Setting("small", 64, 10, repeats=25), Setting("DeepLabV3Plus", 128, 4, repeats=15))
PERTURBATIONS = (2, 10)
NOTES = (
    "Medians of interleaved repeats of the ratio within one repeat, in CPU time, one thread.",
    "Parts of a step: one encode and N + 1 decodes, forward and backward, each timed alone.",
    "Parts of a hint pass: one encode and N decodes, forward. Neither has loss, noise or grades.",
    "A hint pass also makes the unperturbed labels, one decode more than its parts.",
    "A step computes its clean decode twice, so as never to hold two decoders' activations.",
    "Peak MB: growth of resident memory during one step after a first one, a fresh process each.",
)


def encode_both_ways(on: Bench) -> Callable[[], None]:
    """Return one encode, forward and backward."""

    def job() -> None:
        on.segmenter.zero_grad(set_to_none=True)
        skips, features = on.segmenter.encode(on.inputs)
        reached = [one for one in (*skips, features) if one.requires_grad]
        torch.autograd.backward(reached, [torch.ones_like(one) for one in reached])

    return job


def decode_both_ways(on: Bench) -> Callable[[], None]:
    """Return one decode, forward and backward to its own inputs."""
    skips, features = encoded(on)
    leaves = [one.requires_grad_() for one in (*skips, features)]

    def job() -> None:
        on.segmenter.zero_grad(set_to_none=True)
        for leaf in leaves:
            leaf.grad = None
        logits = on.segmenter.decode(leaves[:-1], leaves[-1])
        logits.backward(torch.ones_like(logits))  # type: ignore[no-untyped-call]  # torch has none

    return job


def encoded(on: Bench) -> tuple[Maps, torch.Tensor]:
    """Return skips and features of the batch, without their past."""
    with torch.no_grad():
        return on.segmenter.encode(on.inputs)


def step_row(setting: Setting, perturbations: int) -> dict[str, str | int | float]:
    """Weigh a training step against one encode and N + 1 decodes, and its memory."""
    on = bench(setting.architecture, setting.size, setting.batch)
    jobs = {
        "step": training_step(on, perturbations),
        "encode": encode_both_ways(on),
        "decode": decode_both_ways(on),
        "plain": training_step(on, 0),
    }
    for job in jobs.values():
        job()
    seconds = cpu_seconds(jobs, setting.repeats)
    parts = seconds["encode"] + (perturbations + 1) * seconds["decode"]
    words = (setting.architecture, setting.size, setting.batch)
    plain_mb, crisp_mb = (in_fresh_process("step_memory", *words, n) for n in (0, perturbations))
    return {
        **_what(setting, "training step", perturbations),
        "ms": 1000 * median(seconds["step"]),
        "parts, ms": 1000 * median(parts),
        "time / parts": median(seconds["step"] / parts),
        "wanted at most": TIME_TARGET,
        "time / plain step": median(seconds["step"] / seconds["plain"]),
        "peak MB": crisp_mb,
        "peak MB, plain": plain_mb,
        "memory / plain": crisp_mb / plain_mb,
        "memory wanted at most": MEMORY_TARGET,
    }


@torch.no_grad()
def hint_row(setting: Setting, perturbations: int) -> dict[str, str | int | float]:
    """Weigh the hints of one case against one encode and N decodes, forward."""
    on = bench(setting.architecture, setting.size, SLICE_COUNT)
    images, options = on.inputs[:, :1], HintOptions(perturbations=perturbations)
    with evaluating(on.segmenter):
        skips, features = encoded(on)
        jobs: dict[str, Callable[[], object]] = {
            "pass": lambda: make_hints(
                on.segmenter, images, None, options, KeyedNoise(0, "case", 2)
            ),
            "encode": lambda: on.segmenter.encode(on.inputs),
            "decode": lambda: on.segmenter.decode(skips, features),
        }
        for job in jobs.values():
            job()
        seconds = cpu_seconds(jobs, setting.repeats)
    parts = seconds["encode"] + perturbations * seconds["decode"]
    return {
        **_what(setting, "hint pass", perturbations),
        "ms": 1000 * median(seconds["pass"]),
        "parts, ms": 1000 * median(parts),
        "time / parts": median(seconds["pass"] / parts),
        "wanted at most": HINT_TARGET,
    }


def _what(setting: Setting, what: str, perturbations: int) -> dict[str, str | int]:
    batch = setting.batch if what == "training step" else SLICE_COUNT
    return {
        "network": setting.architecture,
        "input": f"{batch} x {setting.size} x {setting.size}",
        "what": what,
        "N": perturbations,
    }


def main() -> None:
    """Weigh steps and hint passes on every network."""
    torch.set_num_threads(1)
    rows = [
        row(setting, perturbations)
        for setting in SETTINGS
        for row in (step_row, hint_row)
        for perturbations in PERTURBATIONS
    ]
    publish(Findings("step_cost", "A CRISP step and a hint pass against their parts", rows, NOTES))


if __name__ == "__main__":
    main()
