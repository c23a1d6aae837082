"""The hospital's policy: read anew at every message, and what it says about a request."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from crisp_client.requests import Request
from crisp_core.arrays import Parameters
from crisp_core.errors import PolicyError
from crisp_core.schema.beside import CONTROL, PERSONAL, model_of
from crisp_core.schema.messages import METRICS, EvaluatePlan, HintPlan, TrainPlan
from crisp_core.schema.policy import ApprovedStudy, Policy
from crisp_core.schema.record import Action

ASK = "Nothing was run; ask the coordinator"


@dataclass(frozen=True)
class Spent:
    """What one study has taken from this site so far, by the site's own ledger."""

    rounds: int = 0
    epochs: float = 0.0
    evaluations: int = 0


def load_policy(path: Path) -> Policy:
    """Read `policy.toml`.

    Raises:
        PolicyError: If it is absent or says something that is not understood: nothing is done then.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            expected="a policy in UTF-8",
            got=getattr(error, "strerror", None) or "an unreadable file",
            where=str(path),
            fix="Without a policy nothing is done: restore the file, or join again",
        ) from None
    return read_policy(text, where=str(path))


def read_policy(text: str, *, where: str) -> Policy:
    """Understand the text of a policy; see `load_policy`."""
    try:
        policy = Policy.model_validate_json(json.dumps(tomllib.loads(text), default=str))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(
            expected="TOML", got=str(error), where=where, fix="Mend that line"
        ) from None
    except ValidationError as error:
        raise _explained(error, where) from None
    for name in set(policy.metrics or ()) - set(METRICS):
        raise PolicyError(
            expected="a known metric", got=repr(name), where=where, fix=_nearest(name, METRICS)
        )
    return policy


def permit(policy: Policy, request: Request, now: datetime, spent: Spent) -> None:
    """Insist that the policy allows a request whose study the coordinator has signed.

    Args:
        policy: Of this site.
        request: What is asked.
        now: Local time at the site.
        spent: What this study has taken already.

    Raises:
        PolicyError: The first rule that is broken.
    """
    approved = [one for one in policy.studies if one.hash == request.study.hash()]
    rules = chain(
        _study_flaws(approved, request),
        _action_flaws(policy, request, now),
        _array_flaws(approved, request),
        _plan_flaws(request),
        _budget_flaws(policy, spent, request.action),
    )
    for error in rules:
        raise error


def is_open(hours: str, now: datetime) -> bool:
    """Say whether work may begin now.

    Examples:
        >>> is_open("22:00-06:00", datetime(2026, 1, 1, 5, 59)), is_open("08:00-24:00",
        ...     datetime(2026, 1, 1, 7, 59))
        (True, False)
    """
    begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in hours.split("-"))
    minute = now.hour * 60 + now.minute
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def architecture_hash(arrays: Parameters) -> str:
    """Return the SHA-256 of names, types and shapes, whatever their order and values.

    Examples:
        >>> import numpy as np
        >>> one, other = {"w": np.zeros(2)}, {"w": np.ones(2)}
        >>> architecture_hash(one) == architecture_hash(other)
        True
    """
    kinds = sorted((name, array.dtype.str, array.shape) for name, array in arrays.items())
    return hashlib.sha256(json.dumps(kinds).encode()).hexdigest()


def _study_flaws(approved: Sequence[ApprovedStudy], request: Request) -> Iterator[PolicyError]:
    study, site, action = request.study, request.settings.site, request.action
    if not approved:
        fix = "Read it with `crisp-client approve`; until then nothing is run"
        yield _wrong("an approved study", f"{study.name!r}, {study.hash()}", "policy.toml", fix)
    entry = study.sites.get(site)
    if entry is None:
        yield _wrong(f"a study of site {site!r}", "one of others", "the study", ASK)
    elif entry.role == "held-out" and action in {"train", "hints"}:
        yield _wrong("describe or evaluate", action, f"held-out site {site!r}", ASK)


def _action_flaws(policy: Policy, request: Request, now: datetime) -> Iterator[PolicyError]:
    if request.action not in policy.actions:
        allowed = ", ".join(policy.actions) or "no action"
        yield _wrong(allowed, request.action, "actions in policy.toml", "Allow it there, or not")
    if not is_open(policy.hours, now):
        yield _wrong(policy.hours, f"{now:%H:%M}", "hours in policy.toml", "Wait until then")


def _array_flaws(approved: Sequence[ApprovedStudy], request: Request) -> Iterator[PolicyError]:
    model, pinned = model_of(request.parameters), {study.architecture for study in approved}
    count = len(request.parameters)
    if request.action == "describe":
        if count:
            yield _wrong("no array", f"{count}", "a question to describe", ASK)
    elif architecture_hash(model) not in pinned or not _fits_beside(request, model):
        got = f"{count} arrays of other names, shapes or types"
        yield _wrong("the arrays of the approved network", got, request.study.name, ASK)


def _fits_beside(request: Request, model: Parameters) -> bool:
    """Whether all that comes beside the model is an array of it, where the study has such."""
    known = {prefix + name: array for prefix in _prefixes(request) for name, array in model.items()}
    return all(
        name in known and (known[name].dtype, known[name].shape) == (array.dtype, array.shape)
        for name, array in request.parameters.items()
        if name not in model
    )


def _prefixes(request: Request) -> Iterator[str]:
    """Yield before which names an array may come beside the model."""
    federation = request.study.federation
    if request.action == "train" and federation.correction == "scaffold":
        yield CONTROL
    personal = federation.local_norm != "none" and federation.unseen_norm == "ensemble"
    if request.action == "evaluate" and personal:
        yield from (f"{PERSONAL}{n}/" for n in range(1, len(request.study.sources) + 1))


def _plan_flaws(request: Request) -> Iterator[PolicyError]:
    """A plan is not signed: it may ask for no more than the study that was approved."""
    where = f"plan to {request.action} of study {request.study.name!r}"
    try:
        asked, allowed = _asked_and_allowed(request)
    except ValidationError:
        yield _wrong("a plan", "something else", where, ASK)
        return
    for number, (low, high) in zip(asked, allowed, strict=True):
        if not low <= number <= high:
            yield _wrong(f"a number from {low} to {high}", f"{number}", where, ASK)


def _asked_and_allowed(
    request: Request,
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Return the numbers of a plan, and between what each must lie."""
    study, text = request.study, request.plan
    steps, generations = study.training.steps, study.crisp.generations
    match request.action:
        case "train":
            train = TrainPlan.model_validate_json(text)
            asked = (train.first_step, train.steps, train.generation)
            return asked, ((0, steps), (1, steps - train.first_step), (1, generations))
        case "hints":
            hints = HintPlan.model_validate_json(text)
            return (hints.generation, len(hints.models)), ((2, generations), (1, generations))
        case "evaluate":
            evaluate = EvaluatePlan.model_validate_json(text)
            return (evaluate.recursions,), ((1, study.recursions),)
        case "describe":
            return (), ()


def _budget_flaws(policy: Policy, spent: Spent, action: Action) -> Iterator[PolicyError]:
    where, fix = "policy.toml and this site's ledger", "Raise the limit, or let the study end"
    if action == "evaluate" and spent.evaluations >= policy.max_evaluations:
        yield _wrong(f"at most {policy.max_evaluations} evaluations", "one more", where, fix)
    if action == "train" and spent.rounds >= policy.max_rounds:
        yield _wrong(f"at most {policy.max_rounds} rounds", "one more", where, fix)
    if action == "train" and spent.epochs >= policy.max_epochs:
        yield _wrong(f"at most {policy.max_epochs:g} epochs", "more", where, fix)


def _explained(error: ValidationError, where: str) -> PolicyError:
    fault = error.errors()[0]
    place, value = ".".join(map(str, fault["loc"])), fault["input"]
    if fault["type"] == "extra_forbidden":
        return _unknown_key(fault["loc"], where)
    if fault["type"] == "missing":
        return _wrong(f"the key {place!r}", "nothing", where, "Add it, or approve the study again")
    expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    action = place.startswith("actions.") and isinstance(value, str)
    fix = _nearest(str(value), get_args(Action)) if action else "Correct that value"
    return _wrong(expected, repr(value)[:80], f"{place} in {where}", fix)


def _unknown_key(place: tuple[int | str, ...], where: str) -> PolicyError:
    name, inside = str(place[-1]), place[0] == "studies"
    fix = _nearest(name, (ApprovedStudy if inside else Policy).model_fields)
    if inside and name in Policy.model_fields:
        fix = "Move it above the first [[studies]]: what follows belongs to that study"
    return _wrong("a known key", repr(".".join(map(str, place))), where, fix)


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}" if close else f"Known here: {', '.join(sorted(names))}"


def _wrong(expected: str, got: str, where: str, fix: str) -> PolicyError:
    return PolicyError(expected=expected, got=got, where=where, fix=fix)
