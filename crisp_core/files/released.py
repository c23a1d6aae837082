"""The released model on disk: `model.json` beside `model.safetensors`; nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from statistics import fmean

from crisp_core.arrays import Parameters
from crisp_core.errors import UntrustedError, UsageError, WeightsError
from crisp_core.files.atomic import write_text
from crisp_core.files.checkpoint import content_hash, read_parameters
from crisp_core.files.drift_reference import drift_reference_of
from crisp_core.schema.messages import Evaluation
from crisp_core.schema.released import ReleasedModel, SiteScore
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary

WEIGHTS = "model.safetensors"
CARD = "model.json"
STATISTICS = ".running_mean"
"""How the name of a BatchNorm's statistics ends in a network's state."""


def released_of(summary: RunSummary) -> ReleasedModel:
    """Gather what a finished run says about its model."""
    study = Study.model_validate_json(summary.study.canonical())
    return ReleasedModel(
        study=study,
        study_hash=summary.study_hash,
        model_hash=summary.model_hash,
        generation=summary.selected_generation,
        recursions=summary.pass_count,
        sites={
            name: _score(evaluation, held_out=name in study.held_out)
            for name, evaluation in summary.final.items()
        },
        risk=summary.risk,
        warnings=summary.warnings,
        reference=drift_reference_of(summary),
        versions=summary.versions,
        created=summary.finished,
    )


def write_released(folder: Path, model: ReleasedModel) -> None:
    """Write `model.json` into the folder that holds the weights.

    Raises:
        RunStateError: If the folder cannot be written.
    """
    card = {**model.model_dump(mode="json"), "study": json.loads(model.study.canonical())}
    write_text(folder / CARD, json.dumps(card, indent=1))


def read_released(path: Path) -> tuple[ReleasedModel, Parameters]:
    """Read a model that is whole: its weights are the ones that `model.json` was written for.

    Args:
        path: The folder of both files (a run folder is one), or the path of the weights.

    Raises:
        UsageError: If a file is absent or `model.json` cannot be read.
        RunStateError: If the weights are no readable safetensors file.
        UntrustedError: If the weights, or the study, are not those that `model.json` names.
        WeightsError: If it serves no hospital as it is: its study adapts it to each one's images.
    """
    weights = path if path.suffix == ".safetensors" else path / WEIGHTS
    if not weights.is_file():
        raise _no_model(weights, "none")
    model = read_card(weights.parent)
    parameters, _ = read_parameters(weights)
    if (found := content_hash(parameters)) != model.model_hash:
        raise UntrustedError(
            expected=f"weights {model.model_hash[:12]}, for which {CARD} was written",
            got=found[:12],
            where=str(weights),
            fix="Take both files from one run; a changed file must not be used",
        )
    _insist_on_statistics(model, parameters)
    return model, parameters


def read_card(path: Path) -> ReleasedModel:
    """Read `model.json` alone: what is known of a model, not whether its weights are whole.

    Args:
        path: The folder, or a file in it.

    Raises:
        UsageError: If it is absent or cannot be read.
        UntrustedError: If its study is not the one that it was written for.
    """
    card = (path if path.is_dir() else path.parent) / CARD
    if not card.is_file():
        raise _no_model(card, "none")
    try:
        data = card.read_bytes()
        model = ReleasedModel.model_validate_json(data)
        study = json.dumps(json.loads(data)["study"], sort_keys=True, separators=(",", ":"))
    except (OSError, ValueError) as error:
        raise _no_model(card, _first_line(error)) from None
    if (found := hashlib.sha256(study.encode()).hexdigest()) != model.study_hash:
        raise UntrustedError(
            expected=f"study {model.study_hash[:12]}, which the model was trained for",
            got=found[:12],
            where=str(card),
            fix="Take both files from one run; a changed file must not be used",
        )
    return model


def _insist_on_statistics(model: ReleasedModel, parameters: Parameters) -> None:
    federation = model.study.federation
    adapts = federation.local_norm != "none" and federation.unseen_norm == "adapt"
    if adapts and any(name.endswith(STATISTICS) for name in parameters):
        raise WeightsError(
            expected="a network whose BatchNorm statistics are of images",
            got='those of an untrained one: under unseen_norm = "adapt" each site keeps its own',
            where=CARD,
            fix='Release a model of a study with unseen_norm = "mean"',
        )


def _score(evaluation: Evaluation, *, held_out: bool) -> SiteScore:
    answers = [case.answer.structures for case in evaluation.cases]
    names = answers[0] if answers else ()
    return SiteScore(
        role="held-out" if held_out else "source",
        split=evaluation.split,
        cases=len(answers),
        dice={name: fmean(structures[name].dice for structures in answers) for name in names},
    )


def _first_line(error: Exception) -> str:
    """Say what is wrong with a card, without the page of pydantic."""
    lines = str(error).splitlines()
    return f"a damaged one ({'; '.join(line.strip() for line in lines[:3])})"


def _no_model(file: Path, got: str) -> UsageError:
    return UsageError(
        expected=f"a released model: a folder with {WEIGHTS} and {CARD}",
        got=f"{got} at {file.name}",
        where=str(file.parent),
        fix="Name the folder of a finished run; `crisp report RUN` writes its model.json again",
    )
