"""What the coordinator may ask of a site, each as one plain function: request in, departure out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import torch

from crisp_client.cases import SiteCases, open_cases
from crisp_client.control import correction, renewed
from crisp_client.device import Workbench, workbench_of
from crisp_client.evaluation import evaluate_cases
from crisp_client.hints import regenerate
from crisp_client.marks import keep_marks
from crisp_client.measurement import Measurement, keep_measurement
from crisp_client.outbox import Departure, fault_of
from crisp_client.own import OwnArrays, staying
from crisp_client.requests import Request
from crisp_client.survey import site_description
from crisp_client.training import train_round
from crisp_client.unseen import served
from crisp_core.arrays import AnyArray
from crisp_core.errors import PolicyError, StudyError
from crisp_core.files.checkpoint import content_hash
from crisp_core.files.cohort import Case
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.normalisation import local_arrays
from crisp_core.model.parameters import load_arrays, to_arrays
from crisp_core.model.segmenter import Segmenter
from crisp_core.schema.beside import model_of
from crisp_core.schema.messages import EvaluatePlan, Evaluation, HintPlan, TrainPlan
from crisp_core.schema.own import OwnKey
from crisp_core.schema.record import Action
from crisp_core.schema.study import Study


def answered(request: Request) -> Departure:
    """Do what is asked; an error's text goes into the site's log and its code leaves."""
    try:
        return ACTIONS[request.action](request)
    except Exception as error:  # nothing of an error's text may leave
        return fault_of(error, Path(request.settings.work) / "site.log")


def describe(request: Request) -> Departure:
    """Count what this site has."""
    figures = site_description(request.settings, request.study)
    site = open_cases(request.settings, request.study)
    keep_marks(site)
    return Departure(figures=figures, case_count=len(site.cases), patients=_fewest_patients(site))


def hints(request: Request) -> Departure:
    """Make the next generation's hints; only their counts and agreement leave."""
    plan = HintPlan.model_validate_json(request.plan)
    site, bench, segmenter = _prepared(request, plan.own)
    figures = regenerate(site, segmenter, plan.models, bench)
    return Departure(
        figures=figures, case_count=figures.case_count, patients=_patients(site.of("train"))
    )


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
    site, bench, segmenter = _prepared(request, plan.own)
    epochs = _epochs(site, plan)
    if epochs > request.epochs_left:
        raise PolicyError(
            expected=f"at most {request.epochs_left:g} more epochs",
            got=f"{epochs:g}",
            where="max_epochs in policy.toml",
            fix="Raise the limit, or let the study end",
        )
    pull = correction(request.parameters, _own(request).read(plan.own))
    figures = train_round(site, segmenter, plan, bench, pull)
    trained, stays = _own_kept(request, site, segmenter, plan)
    return Departure(
        figures=figures,
        parameters=trained,
        stays=stays,
        case_count=figures.case_count,
        patients=_patients(site.of("train")),
        epochs=epochs,
    )


def evaluate(request: Request) -> Departure:
    """Measure a model on this site's cases."""
    plan = EvaluatePlan.model_validate_json(request.plan)
    site, bench, segmenter = _prepared(request, plan.own)
    network = served(site, segmenter, request.parameters, plan, bench)
    figures = evaluate_cases(site, network, plan, bench)
    if plan.purpose == "final":
        keep_measurement(site.work, _measurement(request, plan, figures))
    patients = len({case.patient for case in figures.cases})
    return Departure(figures=figures, case_count=len(figures.cases), patients=patients)


ACTIONS: Mapping[Action, Callable[[Request], Departure]] = MappingProxyType(
    {"describe": describe, "hints": hints, "train": train, "evaluate": evaluate}
)


def _measurement(request: Request, plan: EvaluatePlan, figures: Evaluation) -> Measurement:
    return Measurement(
        study=Study.model_validate_json(request.study.canonical()),  # without places of data
        model_hash=content_hash(request.parameters),
        generation=plan.generation,
        recursions=plan.recursions,
        evaluation=figures,
        measured=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        risk=plan.risk,
    )


def _patients(cases: Iterable[Case]) -> int:
    return len({case.patient_id for case in cases})


def _fewest_patients(site: SiteCases) -> int:
    """Count the smallest group of patients that this study will ask figures about."""
    if site.study.sites[site.settings.site].role == "held-out":
        return _patients(site.cases)
    splits = (_patients(site.of(split)) for split in ("train", "validation", "test"))
    return min((count for count in splits if count), default=0)


def _epochs(site: SiteCases, plan: TrainPlan) -> float:
    slices = sum(len(site.prepared(case).labels) for case in site.of("train"))
    return plan.steps * site.study.training.batch_size / slices


def _prepared(request: Request, own: OwnKey) -> tuple[SiteCases, Workbench, Segmenter]:
    """Build the network of what came and of what this site keeps for itself."""
    bench = _workbench(request)
    segmenter = bench.placed(_network(request.study.canonical()))
    kept = _own(request).read(own)
    load_arrays(segmenter, model_of(request.parameters) | model_of(kept))
    return open_cases(request.settings, request.study), bench, segmenter


def _own(request: Request) -> OwnArrays:
    return OwnArrays(Path(request.settings.work), request.study)


def _own_kept(
    request: Request, site: SiteCases, segmenter: Segmenter, plan: TrainPlan
) -> tuple[dict[str, AnyArray], frozenset[str]]:
    """Keep what is this site's own; return the arrays that leave and which of them are unchanged.

    What stays leaves as it came: the answer has the same names and shapes in every study.
    """
    study, arrays = site.study, to_arrays(segmenter)
    if not study.keeps_own:
        return arrays, frozenset()
    local = local_arrays(segmenter, study.federation.local_norm)
    sent, before = model_of(request.parameters), _own(request).read(plan.own)
    control = renewed(study, plan, request.parameters, before, arrays)
    own = {name: array for name, array in arrays.items() if name in local}
    _own(request).keep(plan, sent, own | control)
    learned = {name for name, _ in segmenter.named_parameters()}
    stays = frozenset(staying(study, plan, local, learned))
    return {n: sent[n] if n in stays else array for n, array in arrays.items()}, stays


def _workbench(request: Request) -> Workbench:
    """Take the site's device, and of a GPU's memory no more than the policy's share."""
    bench = workbench_of(request.settings)
    if bench.accelerated:
        torch.cuda.set_per_process_memory_fraction(request.gpu_share, bench.device)
    return bench


@lru_cache(maxsize=1)
def _network(canonical: str) -> Segmenter:
    """Build the study's network once a process: every use loads all its arrays anew."""
    return segmenter_of(Study.model_validate_json(canonical))
