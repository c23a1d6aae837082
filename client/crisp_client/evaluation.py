"""Measure a model at this site: recursion on the study's grid, figures on the native one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from crisp_client.cases import SiteCases, named
from crisp_client.device import Workbench
from crisp_client.inference import refine_case, restored
from crisp_client.pictures import CaseSlice, keep_panels
from crisp_core.arrays import BoolArray, IntArray
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_case
from crisp_core.files.volumes import Volume
from crisp_core.model.refine import Pass, Refinement
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.agreement import changed_share, mask_agreement
from crisp_core.numerics.metrics import (
    Hd95Definition,
    dice,
    hd95,
    precision,
    sensitivity,
    volume_error,
)
from crisp_core.schema.messages import (
    CaseFigures,
    EvaluatePlan,
    Evaluation,
    RecursionFigures,
    Split,
    StructureFigures,
)

VOXELS = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class NativePass:
    """One recursion on the native grid: labels (D, H, W), masks (D, C, H, W)."""

    labels: IntArray
    core: BoolArray
    support: BoolArray
    entropy: float


def evaluate_cases(
    site: SiteCases, segmenter: Segmenter, plan: EvaluatePlan, bench: Workbench
) -> Evaluation:
    """Measure every case that the plan's purpose calls for.

    Validation takes the validation patients. The final measurement takes all cases of a held-out
    site; at a source its test patients, else its validation patients, else its training cases (the
    answer says which).
    """
    began = time.monotonic()
    split = _split(site, plan)
    measured = [_measure(site, case, segmenter, plan, bench) for case in site.of(split)]
    if plan.purpose == "final":
        keep_panels(site, [one for _, one in measured])
    return Evaluation(
        site=site.settings.site,
        split=split,
        cases=tuple(figures for figures, _ in measured),
        seconds=time.monotonic() - began,
    )


def _split(site: SiteCases, plan: EvaluatePlan) -> Split:
    if plan.purpose == "validation":
        return "validation"
    if site.study.sites[site.settings.site].role == "held-out":
        return "all"
    splits: tuple[Split, ...] = ("test", "validation", "train")
    return next(split for split in splits if site.of(split))


def _measure(
    site: SiteCases, case: Case, segmenter: Segmenter, plan: EvaluatePlan, bench: Workbench
) -> tuple[CaseFigures, CaseSlice]:
    """Refine one case and compare every recursion with its reference."""
    volume, reference = open_case(case, len(site.study.classes))
    refined = _refined(site, case, segmenter, plan, bench)
    passes = [_native(site, case, one) for one in refined.passes]
    figures = CaseFigures(
        case=site.pseudonym(case.case_id),
        patient=site.pseudonym(case.patient_id),
        group=case.group,
        recursions=tuple(
            _recursion(site, number, passes, reference.array, volume.grid.spacing_mm)
            for number in range(len(passes))
        ),
        chosen=refined.chosen + 1,
    )
    return figures, _slice(figures, volume, reference.array, passes[refined.chosen])


def _refined(
    site: SiteCases, case: Case, segmenter: Segmenter, plan: EvaluatePlan, bench: Workbench
) -> Refinement:
    images, key = site.prepared(case).images[None], site.noise_key(case)
    with named(case, f"{plan.purpose} of generation {plan.generation}"):
        return refine_case(segmenter, images, site.study, plan.recursions, key, bench)


def _native(site: SiteCases, case: Case, one: Pass) -> NativePass:
    prepared = site.prepared(case)
    native = restored(one, [prepared.placement], prepared.grid)
    return NativePass(
        labels=native.probabilities.argmax(axis=1).astype(np.uint8),
        core=native.core,
        support=native.support,
        entropy=one.entropy,
    )


def _recursion(
    site: SiteCases,
    number: int,
    passes: Sequence[NativePass],
    reference: IntArray,
    spacing_mm: tuple[float, float, float],
) -> RecursionFigures:
    one = passes[number]
    labels = [torch.from_numpy(each.labels) for each in passes[: number + 1]]
    definition = site.study.evaluation.hd95
    return RecursionFigures(
        structures={
            name: _structure(one, index, reference, spacing_mm, definition)
            for index, name in enumerate(site.study.classes)
        },
        uncertain=float((one.support & ~one.core).any(axis=1).mean()),
        support_coverage=float(one.support.any(axis=1).mean()),
        changed=changed_share(labels[-2], labels[-1]) if number else None,
        entropy=one.entropy,
    )


def _structure(
    one: NativePass,
    index: int,
    labels: IntArray,
    spacing_mm: tuple[float, float, float],
    definition: Hd95Definition,
) -> StructureFigures:
    predicted, reference = one.labels == index + 1, labels == index + 1
    true = torch.from_numpy(reference)
    core_precision, core_recall = mask_agreement(torch.from_numpy(one.core[:, index]), true)
    support_precision, support_recall = mask_agreement(
        torch.from_numpy(one.support[:, index]), true
    )
    return StructureFigures(
        dice=dice(predicted, reference),
        hd95_mm=hd95(predicted, reference, spacing_mm, definition),
        hd95_voxels=hd95(predicted, reference, VOXELS, definition),
        sensitivity=sensitivity(predicted, reference),
        precision=precision(predicted, reference),
        volume_error=volume_error(predicted, reference),
        reference_voxels=int(reference.sum()),
        predicted_voxels=int(predicted.sum()),
        core_precision=core_precision,
        core_recall=core_recall,
        support_precision=support_precision,
        support_recall=support_recall,
    )


def _slice(
    figures: CaseFigures, volume: Volume, reference: IntArray, answer: NativePass
) -> CaseSlice:
    """Cut out the slice in which the reference is largest."""
    place = int((reference > 0).sum(axis=(1, 2)).argmax())
    return CaseSlice(
        case=figures.case,
        dice=fmean(structure.dice for structure in figures.answer.structures.values()),
        image=volume.array[0, place].copy(),
        reference=reference[place].copy(),
        prediction=answer.labels[place].copy(),
        core=answer.core[place].copy(),
        support=answer.support[place].copy(),
    )
