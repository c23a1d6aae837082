"""The stress test itself: corrupt a case, let the models answer, compare with the reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from crisp_client.cases import named
from crisp_client.device import Workbench
from crisp_client.inference import refine_case
from crisp_client.stress.subject import Subject, Trial
from crisp_core.arrays import BoolArray, IntArray
from crisp_core.files.examine import open_case
from crisp_core.files.preprocess import placement_of, prepare_image, restore_probabilities
from crisp_core.files.volumes import Volume
from crisp_core.numerics.corrupt import corrupt_channels
from crisp_core.numerics.metrics import dice, hd95
from crisp_core.numerics.randomness import keyed_seed
from crisp_core.schema.stress import CLEAN, StressAnswer, StressFigures, StressPlan

AnswerKey = tuple[str, str, str, int]


def stress(
    subjects: Sequence[Subject],
    trials: Sequence[Trial],
    plan: StressPlan,
    bench: Workbench,
    done: Collection[AnswerKey] = (),
) -> Iterator[StressAnswer]:
    """Measure every model on every case after every step of the plan, case by case.

    A case is read once, corrupted once a step, and shown to all models; an artefact depends on
    the plan's seed, the case and the corruption alone, and is the same one at every severity.

    Args:
        subjects: The models of the plan, in its order.
        trials: The cases of the plan, in its order.
        plan: What is tried.
        bench: Where to compute.
        done: Keys of answers that are there already.

    Raises:
        DataError: If a case cannot be used, or a network's answer is not finite, naming the case.
    """
    for trial in trials:
        steps = [
            (subject, step)
            for step in plan.steps
            for subject in subjects
            if (subject.marks.name, trial.name, *step) not in done
        ]
        if steps:
            yield from _of_a_case(trial, steps, plan, bench)


def _of_a_case(
    trial: Trial,
    steps: Sequence[tuple[Subject, tuple[str, int]]],
    plan: StressPlan,
    bench: Workbench,
) -> Iterator[StressAnswer]:
    volume, reference = open_case(trial.case, len(plan.classes))
    shown, last = volume, (CLEAN, 0)
    for subject, step in steps:
        if step != last:
            shown, last = corrupted(volume, trial, *step, seed=plan.seed), step
        labels = answer(subject, shown, trial, step, bench)
        yield StressAnswer(
            model=subject.marks.name,
            case=trial.name,
            patient=trial.patient,
            corruption=step[0],
            severity=step[1],
            structures={
                name: _figures(labels == value, reference.array == value, volume, subject)
                for value, name in enumerate(plan.classes, start=1)
            },
        )


def corrupted(volume: Volume, trial: Trial, kind: str, severity: int, *, seed: int) -> Volume:
    """Return the volume with an artefact, on the same grid."""
    key = keyed_seed(seed, "stress", trial.case.case_id, kind)
    changed = corrupt_channels(
        volume.array, kind, severity, seed=key, spacing_mm=volume.grid.spacing_mm
    )
    return replace(volume, array=changed)


def answer(
    subject: Subject, volume: Volume, trial: Trial, step: tuple[str, int], bench: Workbench
) -> IntArray:
    """Return a model's labels (D, H, W) on the volume's own grid."""
    study, settings = subject.study, subject.preparation
    with named(trial.case, f"{step[0]} at severity {step[1]}"):
        images = prepare_image(volume, settings)[None]
        refined = refine_case(
            subject.segmenter, images, study, subject.marks.recursions, trial.noise_key, bench
        )
    probabilities = refined.answer.probabilities.cpu().numpy()
    own = restore_probabilities(probabilities, placement_of(volume.grid, settings), volume.grid)
    labels: IntArray = own.argmax(axis=1).astype(np.uint8)
    return labels


def _figures(
    predicted: BoolArray, reference: BoolArray, volume: Volume, subject: Subject
) -> StressFigures:
    definition = subject.study.evaluation.hd95
    return StressFigures(
        dice=dice(predicted, reference),
        hd95_mm=hd95(predicted, reference, volume.grid.spacing_mm, definition),
    )
