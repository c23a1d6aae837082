from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from federation_samples import study
from hospital import NOW

from crisp_client.approval import network_of, policy_text
from crisp_client.policy import (
    Spent,
    architecture_hash,
    is_open,
    load_policy,
    permit,
    read_policy,
)
from crisp_client.requests import Request
from crisp_core.errors import PolicyError
from crisp_core.schema.beside import CONTROL, under
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.policy import ApprovedStudy, Policy

STUDY = study()
NETWORK = network_of(STUDY)
APPROVED = ApprovedStudy(
    name="tiny",
    hash=STUDY.hash(),
    architecture=architecture_hash(NETWORK),
    approved="2026-11-20T12:00:00+00:00",
)
SETTINGS = SiteSettings(site="east", data=(), work="", pseudonym_key="secret")


def policy(**options) -> Policy:
    return Policy(studies=(APPROVED,), **options)


def plan(**numbers) -> str:
    whole = {"generation": 1, "round_number": 1, "first_step": 0, "steps": 3, "models": []}
    return json.dumps({**whole, **numbers})


def asked(**changes) -> Request:
    return replace(Request(SETTINGS, STUDY, plan(), NETWORK, "train"), **changes)


EVALUATE = json.dumps({"purpose": "final", "generation": 2, "recursions": 2})
HINTS = json.dumps({"generation": 2, "models": ["m1"]})


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked(action="hints", plan=HINTS),
        asked(action="evaluate", plan=EVALUATE),
        asked(action="describe", plan="", parameters={}),
    ],
    ids=lambda request: request.action,
)
def test_an_approved_study_may_do_what_it_was_approved_for(request_: Request) -> None:
    permit(policy(), request_, NOW, Spent())


def test_a_study_of_control_variates_may_send_them_beside_the_network_and_no_others() -> None:
    scaffold = study(method="scaffold")
    network = network_of(scaffold)
    pinned = {"hash": scaffold.hash(), "architecture": architecture_hash(network)}
    allowed = Policy(studies=(APPROVED.model_copy(update=pinned),))
    variates = {name: array for name, array in network.items() if array.dtype.kind == "f"}
    whole = asked(study=scaffold, parameters=network | under(CONTROL, variates))
    measured = json.dumps({"purpose": "final", "generation": 1, "recursions": 1})

    permit(allowed, whole, NOW, Spent())

    others = [{"control/x": network["head.bias"]}, {"control/head.bias": np.zeros(9)}]
    refused = [replace(whole, parameters=network | extra) for extra in others]
    for request in (*refused, replace(whole, action="evaluate", plan=measured)):
        with pytest.raises(PolicyError, match="network"):
            permit(allowed, request, NOW, Spent())


SOUTH = SETTINGS.model_copy(update={"site": "south"})
RULES = {
    "unapproved": (asked(study=study(steps=13)), {}, "approved study"),
    "of others": (asked(settings=SETTINGS.model_copy(update={"site": "west"})), {}, "'west'"),
    "held out": (asked(settings=SOUTH), {}, "held-out"),
    "held out hints": (asked(settings=SOUTH, action="hints", plan=HINTS), {}, "held-out"),
    "action": (asked(), {"actions": ("describe", "evaluate")}, "actions in policy"),
    "hours": (asked(), {"hours": "20:00-06:00"}, "got 12:00"),
    "extra layer": (asked(parameters={**NETWORK, "x": NETWORK["head.bias"]}), {}, "network"),
    "another file": (asked(plan=plan(own="../../keys/signing")), {}, "something else"),
    "variates": (asked(parameters=NETWORK | under(CONTROL, NETWORK)), {}, "network"),
    "no arrays": (asked(parameters={}), {}, "network"),
    "arrays to describe": (asked(action="describe", plan=""), {}, "no array"),
    "no plan": (asked(plan=""), {}, "something else"),
    "endless": (asked(plan=plan(steps=10**9)), {}, "from 1 to 12, got 1000000000"),
    "beyond": (asked(plan=plan(first_step=11, steps=2)), {}, "from 1 to 1, got 2"),
    "backwards": (asked(plan=plan(first_step=-1)), {}, "got -1"),
    "generation": (asked(plan=plan(generation=3)), {}, "got 3"),
    "recursions": (
        asked(action="evaluate", plan=EVALUATE.replace('"recursions": 2', '"recursions": 99')),
        {},
        "got 99",
    ),
    "rounds": (asked(), {"max_rounds": 4}, "at most 4 rounds"),
    "evaluations": (
        asked(action="evaluate", plan=EVALUATE),
        {"max_evaluations": 3},
        "at most 3 evaluations",
    ),
    "epochs": (asked(), {"max_epochs": 2.5}, "at most 2.5 epochs"),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_a_policy_does_not_allow_is_refused(rule: str) -> None:
    request, options, sentence = RULES[rule]

    with pytest.raises(PolicyError, match=re.escape(sentence)):
        permit(policy(**options), request, NOW, Spent(rounds=4, epochs=2.5, evaluations=3))


def test_an_array_of_another_shape_or_type_is_not_the_approved_network() -> None:
    name = next(iter(NETWORK))
    longer = {**NETWORK, name: NETWORK[name].repeat(2)}
    wider = {**NETWORK, name: NETWORK[name].astype("float64")}

    assert architecture_hash(dict(reversed(NETWORK.items()))) == APPROVED.architecture
    for other in (longer, wider):
        with pytest.raises(PolicyError, match="network"):
            permit(policy(), asked(parameters=other), NOW, Spent())


@pytest.mark.parametrize(
    ("hours", "time", "expected"),
    [
        ("00:00-24:00", "23:59", True),
        ("08:00-18:00", "08:00", True),
        ("08:00-18:00", "18:00", False),
        ("22:00-06:00", "23:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "21:59", False),
        ("20:00-24:00", "23:59", True),
        ("20:00-24:00", "00:00", False),
    ],
)
def test_hours_begin_inclusively_end_exclusively_and_wrap(
    hours: str, time: str, expected: bool
) -> None:
    assert is_open(hours, datetime.fromisoformat(f"2026-01-01T{time}")) is expected


STUDIES = f'[[studies]]\nname = "a"\nhash = "{"0" * 64}"\narchitecture = "{"0" * 64}"\n'
MISTAKES = {
    "misspelt": ("min_cohrt = 5", "Did you mean 'min_cohort'"),
    "no action": ('actions = ["trian"]', "Did you mean 'train'"),
    "no metric": ('metrics = ["dise"]', "Did you mean 'dice'"),
    "no hours": ('hours = "8-18"', "hours in policy.toml"),
    "no time": ('hours = "08:00-24:30"', "hours in policy.toml"),
    "no length": ('hours = "08:00-08:00"', "all day is"),
    "below": ("min_cohort = 0", "greater than or equal to 1, got 0"),
    "not TOML": ("min_cohort 5", "Expected TOML"),
    "whole share": ("gpu_share = 2", "gpu_share in policy.toml"),
    "endless": ("max_epochs = inf", "max_epochs in policy.toml"),
    "too low": (f'{STUDIES}approved = "x"\nmin_cohort = 3', "above the first [[studies]]"),
    "half a study": (STUDIES, "the key 'studies.0.approved'"),
    "hash": (f'{STUDIES.replace("0" * 64, "abc")}approved = "x"', "studies.0.hash"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_in_a_policy_is_a_sentence(mistake: str) -> None:
    text, sentence = MISTAKES[mistake]

    with pytest.raises(PolicyError, match=re.escape(sentence)):
        read_policy(text, where="policy.toml")


def test_an_absent_or_unreadable_policy_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="Without a policy nothing is done"):
        load_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="UTF-8"):
        load_policy(tmp_path / "policy.toml")


def test_the_policy_that_is_written_says_the_defaults_and_explains_every_option() -> None:
    text = policy_text()

    assert read_policy(text, where="") == Policy()
    assert all(
        re.search(rf"(?m)^(# )?{name} = ", text)
        for name in Policy.model_fields
        if name != "studies"
    )
    uncommented = re.sub(r"(?m)^# (?=(max_norm_out|metrics) = )", "", text)
    assert read_policy(uncommented, where="").max_norm_out == 10.0
