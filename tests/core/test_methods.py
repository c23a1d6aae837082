from __future__ import annotations

import json

import pytest

from crisp_core.numerics.aggregation.registry import rules
from crisp_core.schema.methods import (
    COMPARATORS,
    PRESETS,
    as_method,
    is_method,
    preset_of,
    with_preset,
)
from crisp_core.schema.study import Study


def study(method: str, **sections) -> Study:
    raw = {"name": "x", "classes": ["LV"], "sites": {"a": {"role": "source"}}, "method": method}
    return Study.model_validate_json(json.dumps(with_preset({**raw, **sections})))


def other(one: Study, word: str) -> Study:
    raw = as_method(one.model_dump(mode="json"), word)
    return Study.model_validate_json(json.dumps(raw))


@pytest.mark.parametrize("word", PRESETS)
def test_every_word_is_a_study(word: str) -> None:
    assert study(word).method == word
    assert other(study("crisp"), word).method == word


@pytest.mark.parametrize("word", COMPARATORS)
def test_a_way_to_average_sets_the_same_alone_and_beside_crisp(word: str) -> None:
    alone, joined = study(word), study(f"crisp+{word}")

    assert joined.federation == alone.federation
    assert (alone.crisp.hint, joined.crisp.hint) == ("none", "rank")
    assert joined.training == alone.training.model_copy(update={"loss": "dice_ce"})


def test_words_are_joined_from_left_to_right() -> None:
    joined = study("crisp+fedbn+fedprox")

    assert (joined.model.norm, joined.federation.local_norm) == ("network", "all")
    assert joined.training.proximal > 0
    assert preset_of("crisp+fedbn")["model"]["norm"] == "network"
    assert study("crisp+fedbn", model={"norm": "group"}).model.norm == "group"  # own keys win


@pytest.mark.parametrize(
    "word", ["", "+", "crisp+", "fedbn+crisp", "local+median", "crisp+krum+krum", "crisp+local"]
)
def test_what_cannot_be_joined_is_no_method(word: str) -> None:
    assert not is_method(word)
    with pytest.raises(ValueError, match=r"alone or as in 'crisp\+fedbn'"):
        study(word)


@pytest.mark.parametrize("norm", ["network", "group"])
def test_a_comparison_keeps_the_studys_normalisation_unless_the_word_is_about_it(norm: str) -> None:
    one = study("crisp", model={"norm": norm})

    norms = {
        word: other(one, word).model.norm
        for word in ("fedavg", "crisp-paper", "crisp+median", "fedbn", "silobn", "fedavg-group")
    }

    assert set(list(norms.values())[:3]) == {norm}
    assert list(norms.values())[3:] == ["network", "network", "group"]


def test_a_comparison_takes_back_what_the_studys_former_word_had_set() -> None:
    plain = other(study("fedavg"), "crisp")

    for word in COMPARATORS:
        back = other(study(word), "crisp")
        assert back.federation == plain.federation
        assert back.training == plain.training


def test_a_comparison_keeps_what_the_study_itself_says_of_the_federation() -> None:
    one = study("crisp", federation={"aggregation": "median"}, training={"proximal": 0.5})

    fedavg = other(one, "fedavg")

    assert (fedavg.federation.aggregation, fedavg.training.proximal) == ("median", 0.5)
    assert other(one, "krum").federation.aggregation == "krum"


def test_every_word_that_names_a_rule_finds_it() -> None:
    named = {table.get("federation", {}).get("aggregation") for table in COMPARATORS.values()}

    assert named - {None} <= set(rules())
