"""Measure a model at this site: recursion on the study's grid, figures on the native one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean

from crisp_client.cases import SiteCases, named
from crisp_client.device import Workbench
from crisp_client.inference import refine_case
from crisp_client.measuring.answer import Binned, answer_figures, joined_reliability
from crisp_client.measuring.native import NativePass, native_pass
from crisp_client.measuring.recursion import recursion_figures
from crisp_client.measuring.region import Yardstick, region_of
from crisp_client.measuring.strata import strata_of
from crisp_client.pictures import CaseSlice, keep_panels
from crisp_core.arrays import IntArray
from crisp_core.files.cache import PreparedCase
from crisp_core.files.cohort import Case
from crisp_core.files.examine import open_case
from crisp_core.files.volumes import Volume
from crisp_core.model.evidence import evidence_of
from crisp_core.model.refine import Refinement
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.artefacts import artefact_score
from crisp_core.numerics.uncertainty import predictive_entropy
from crisp_core.schema.messages import (
    CaseFigures,
    EvaluatePlan,
    Evaluation,
    RecursionFigures,
    Split,
)
from crisp_core.schema.study import Study


@dataclass(frozen=True)
class MeasuredCase:
    """One case: figures that may leave, counts that are joined first, a picture that stays."""

    figures: CaseFigures
    bins: Binned
    slice: CaseSlice


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
        keep_panels(site, [one.slice for one in measured])
    return Evaluation(
        site=site.settings.site,
        split=split,
        cases=tuple(one.figures for one in measured),
        seconds=time.monotonic() - began,
        reliability=joined_reliability(site.study.classes, (one.bins for one in measured)),
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
) -> MeasuredCase:
    """Refine one case and compare every recursion with its reference."""
    volume, reference = open_case(case, len(site.study.classes))
    refined = _refined(site, case, segmenter, plan, bench)
    yardstick = _yardstick(site.study, volume, reference.array)
    recursions, native = _recursions(yardstick, refined, site.prepared(case))
    region = region_of(yardstick, native)
    answer = answer_figures(yardstick, region, recursions[refined.chosen])
    recursions[refined.chosen] = answer.recursion
    figures = CaseFigures(
        case=site.pseudonym(case.case_id),
        patient=site.pseudonym(case.patient_id),
        group=case.group,
        recursions=tuple(recursions),
        chosen=refined.chosen + 1,
        evidence=evidence_of(refined),
        strata=strata_of(case, yardstick),
        artefact=artefact_score(volume.array[0]),
        errors=answer.errors,
    )
    return MeasuredCase(figures, answer.bins, _slice(figures, volume, reference.array, native))


def _yardstick(study: Study, volume: Volume, reference: IntArray) -> Yardstick:
    return Yardstick(
        reference=reference,
        spacing_mm=volume.grid.spacing_mm,
        classes=study.classes,
        definition=study.evaluation.hd95,
        tolerance_mm=study.evaluation.tolerance_mm,
    )


def _recursions(
    yardstick: Yardstick, refined: Refinement, prepared: PreparedCase
) -> tuple[list[RecursionFigures], NativePass]:
    """Measure every recursion, at most two of them in memory; return the chosen one as well."""
    figures: list[RecursionFigures] = []
    before: IntArray | None = None
    for number, one in enumerate(refined.passes):
        native = native_pass(one, prepared)
        region = region_of(yardstick, native)
        figures.append(recursion_figures(yardstick, native, region, before))
        before = native.labels
        if number == refined.chosen:
            answer = native
    return figures, answer


def _refined(
    site: SiteCases, case: Case, segmenter: Segmenter, plan: EvaluatePlan, bench: Workbench
) -> Refinement:
    images, key = site.prepared(case).images[None], site.noise_key(case)
    with named(case, f"{plan.purpose} of generation {plan.generation}"):
        return refine_case(segmenter, images, site.study, plan.recursions, key, bench)


def _slice(
    figures: CaseFigures, volume: Volume, reference: IntArray, answer: NativePass
) -> CaseSlice:
    """Cut out the slice in which the reference is largest, or what was found without one."""
    shown = reference if reference.any() else answer.labels
    place = int((shown > 0).sum(axis=(1, 2)).argmax())
    return CaseSlice(
        case=figures.case,
        dice=fmean(structure.dice for structure in figures.answer.structures.values()),
        image=volume.array[0, place].copy(),
        reference=reference[place].copy(),
        prediction=answer.labels[place].copy(),
        core=answer.core[place].copy(),
        support=answer.support[place].copy(),
        entropy=predictive_entropy(answer.probabilities[place]),
    )
