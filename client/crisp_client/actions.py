"""What the coordinator may ask of a site, each as one plain function: request in, departure out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

import numpy as np

from crisp_client.cases import SiteCases, open_cases
from crisp_client.device import Workbench, workbench_of
from crisp_client.evaluation import evaluate_cases
from crisp_client.hints import regenerate
from crisp_client.outbox import Departure
from crisp_client.training import train_round
from crisp_core.arrays import Parameters
from crisp_core.errors import StudyError
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.parameters import load_arrays, to_arrays
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import EvaluatePlan, HintPlan, SiteDescription, TrainPlan
from crisp_core.schema.study import Study

PACKAGES = ("crisp-fl", "torch", "flwr", "numpy")


@dataclass(frozen=True)
class Request:
    """One question of the coordinator, unpacked."""

    settings: SiteSettings
    study: Study
    plan: str
    parameters: Parameters


def describe(request: Request) -> Departure:
    """Count what this site has."""
    site = open_cases(request.settings, request.study)
    train = [site.prepared(case) for case in site.of("train")]
    every = [site.prepared(case) for case in site.cases]
    depth, height, width = np.median([case.grid.spacing_mm for case in every], axis=0)
    figures = SiteDescription(
        site=request.settings.site,
        role=request.study.sites[request.settings.site].role,
        train_cases=len(train),
        validation_cases=len(site.of("validation")),
        test_cases=len(site.of("test")),
        patients=len({case.patient_id for case in site.cases}),
        train_slices=sum(len(prepared.labels) for prepared in train),
        class_voxels={
            name: sum(int((case.labels == number).sum()) for case in every)
            for number, name in enumerate(request.study.classes, start=1)
        },
        spacing_mm_median=(float(depth), float(height), float(width)),
        software={
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        device=str(workbench_of(request.settings).device),
    )
    return Departure(figures=figures, case_count=len(site.cases))


def hints(request: Request) -> Departure:
    """Make the next generation's hints; only their counts and agreement leave."""
    plan = HintPlan.model_validate_json(request.plan)
    site, bench, segmenter = _prepared(request)
    figures = regenerate(site, segmenter, plan.models, bench)
    return Departure(figures=figures, case_count=figures.case_count)


def train(request: Request) -> Departure:
    """Train one round; a site that is held out refuses."""
    plan = TrainPlan.model_validate_json(request.plan)
    if request.study.sites[request.settings.site].role != "source":
        raise StudyError(
            expected="a source site",
            got="a held-out one",
            where=f"site {request.settings.site!r}",
            fix="Held-out sites measure and never train",
        )
    site, bench, segmenter = _prepared(request)
    figures = train_round(site, segmenter, plan, bench)
    arrays = to_arrays(segmenter)
    return Departure(figures=figures, parameters=arrays, case_count=figures.case_count)


def evaluate(request: Request) -> Departure:
    """Measure a model on this site's cases."""
    plan = EvaluatePlan.model_validate_json(request.plan)
    site, bench, segmenter = _prepared(request)
    figures = evaluate_cases(site, segmenter, plan, bench)
    return Departure(figures=figures, case_count=len(figures.cases))


def _prepared(request: Request) -> tuple[SiteCases, Workbench, Segmenter]:
    bench = workbench_of(request.settings)
    segmenter = bench.placed(_network(request.study.canonical()))
    load_arrays(segmenter, request.parameters)
    return open_cases(request.settings, request.study), bench, segmenter


@lru_cache(maxsize=1)
def _network(canonical: str) -> Segmenter:
    """Build the study's network once a process: every use loads all its arrays anew."""
    return segmenter_of(Study.model_validate_json(canonical))
