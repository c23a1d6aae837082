"""Methods by one word: what each word sets before the study's own keys are read.

`crisp-paper` and `crisp` are the two columns of the method's table (printed, recommended); `fedavg`
is the same schedule of rounds and steps without hints, squeeze or recursion.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import PydanticCustomError

Table = Mapping[str, Mapping[str, Any]]

_RECOMMENDED: Table = MappingProxyType(
    {
        "model": {"norm": "group"},
        "training": {"loss": "dice_ce"},
        "crisp": {},
    }
)
_PRINTED: Mapping[str, Any] = MappingProxyType(
    {
        "hint": "binary",
        "range_over": "joint_fg",
        "instance": "slice",
        "squeeze_norm": "printed",
        "perturbations_in_loss": None,  # as many as there are perturbations
        "phase_shares": None,  # equal
        "guard": "none",
    }
)
_PLAIN: Mapping[str, Any] = MappingProxyType(
    {"hint": "none", "squeeze_weight": 0.0, "guard": "none"}
)

_WITHOUT_A_WORD: Table = MappingProxyType(
    {
        "federation": {"local_norm": "none", "aggregation": "fedavg", "correction": "none"},
        "training": {"proximal": 0.0, "optimizer": "adam", "learning_rate": 1e-3},
    }
)
_SGD: Mapping[str, Any] = MappingProxyType({"optimizer": "sgd", "learning_rate": 0.1})
_BATCH_NORM: Mapping[str, Any] = MappingProxyType({"norm": "network"})
_RULES = (
    "fedavgm",
    "fedadam",
    "fedyogi",
    "fedadagrad",
    "median",
    "trimmed-mean",
    "krum",
    "multi-krum",
    "geometric-median",
)
COMPARATORS: Mapping[str, Table] = MappingProxyType(
    {
        "fedprox": {"training": {"proximal": 0.01}},
        "fedbn": {"model": _BATCH_NORM, "federation": {"local_norm": "all"}},
        "silobn": {"model": _BATCH_NORM, "federation": {"local_norm": "statistics"}},
        "scaffold": {"training": _SGD, "federation": {"correction": "scaffold"}},
        **{word: {"federation": {"aggregation": word}} for word in _RULES},
    }
)
"""Ways to average. Alone each is a plain federation; behind a `+` it is that of another word."""
PRESETS: Mapping[str, Table] = MappingProxyType(
    {
        "crisp": _RECOMMENDED,
        "crisp-no-squeeze": {**_RECOMMENDED, "crisp": {"squeeze_weight": 0.0}},
        "crisp-paper": {"crisp": _PRINTED},
        "fedavg": {"crisp": _PLAIN},
        "fedavg-2.5d": {"model": {"slices_in": 3}, "crisp": _PLAIN},
        "fedavg-group": {"model": {"norm": "group"}, "crisp": _PLAIN},
        "fedavg-sgd": {"training": _SGD, "crisp": _PLAIN},
        **{word: {**table, "crisp": _PLAIN} for word, table in COMPARATORS.items()},
        "local": {"crisp": _PLAIN},
        "pooled": {"crisp": _PLAIN},
    }
)
_ALONE = ("local", "pooled")


def is_method(word: str) -> bool:
    """Tell whether a word is a method, or one with ways to average behind a `+`.

    Examples:
        >>> [is_method(word) for word in ("crisp", "crisp+fedbn", "fedbn+crisp", "local+krum")]
        [True, True, False, False]
    """
    first, *others = word.split("+")
    joined = first not in _ALONE and len(set(others)) == len(others)
    return first in PRESETS and (not others or (joined and set(others) <= set(COMPARATORS)))


def method_word(word: str) -> str:
    """Return the word.

    Raises:
        PydanticCustomError: If it is no method.
    """
    if not is_method(word):
        code, known = "method", ", ".join(PRESETS)
        sentence = "Input should be one of {known}, alone or as in 'crisp+fedbn'"
        raise PydanticCustomError(code, sentence, {"known": known})
    return word


def with_preset(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the tables of a study over those of its method word; the study's own keys win."""
    merged = dict(raw)
    word = str(raw.get("method", "crisp"))
    for section, preset in (preset_of(word) if is_method(word) else {}).items():
        own = raw.get(section, {})
        merged[section] = {**preset, **own} if isinstance(own, Mapping) else own
    if isinstance(merged.get("crisp"), dict):
        merged["crisp"] = _derived(merged["crisp"])
    return merged


def as_method(study: Mapping[str, Any], word: str) -> dict[str, Any]:
    """Turn a whole study into the same study under another method word.

    Only what the word is about changes: optimiser steps, augmentation, loss and, unless the word
    names one, normalisation stay those of `study`, so that the comparison is fair. What the study's
    former word had set in the federation is taken back.
    """
    preset, former = preset_of(word, compared=True), preset_of(study["method"], compared=True)
    own = {key: value for key, value in study["crisp"].items() if key != "perturbations_in_loss"}
    changed = {
        section: {**study[section], **_taken_back(section, former), **preset.get(section, {})}
        for section in ("model", "training", "federation")
    }
    crisp = _derived({**own, **_neutral(), **preset.get("crisp", {})})
    return {**study, **changed, "method": word, "crisp": crisp}


def preset_of(word: str, *, compared: bool = False) -> Table:
    """Lay the tables of joined words over one another.

    `compared` leaves out what `crisp` recommends to any study: a comparison keeps the study's own.
    """
    first, *others = word.split("+")
    merged = {
        section: table
        for section, table in PRESETS[first].items()
        if not compared or section == "crisp" or table is not _RECOMMENDED.get(section)
    }
    for other in others:
        for section, table in COMPARATORS[other].items():
            merged[section] = {**merged.get(section, {}), **table}
    return merged


def _taken_back(section: str, former: Table) -> Mapping[str, Any]:
    plain = _WITHOUT_A_WORD.get(section, {})
    return {key: plain[key] for key in former.get(section, {}) if key in plain}


def _neutral() -> dict[str, Any]:
    """Every key that some method word sets, at its recommended value."""
    return {
        "hint": "rank",
        "range_over": "class_fg",
        "instance": "volume",
        "squeeze_norm": "mean_square",
        "squeeze_weight": 0.5,
        "guard": "entropy",
        "phase_shares": "recommended",
    }


def _derived(crisp: dict[str, Any]) -> dict[str, Any]:
    """Fill in what depends on another key: printed shares are equal, printed m is N."""
    generations = crisp.get("generations", 3)
    perturbations = crisp.get("perturbations", 10)
    if crisp.get("perturbations_in_loss", 2) is None:
        crisp = {**crisp, "perturbations_in_loss": perturbations}
    elif "perturbations_in_loss" not in crisp and isinstance(perturbations, int):
        crisp = {**crisp, "perturbations_in_loss": min(2, perturbations)}
    shares = crisp.get("phase_shares", "recommended")
    if isinstance(generations, int) and shares in (None, "recommended"):
        first = 1.0 if shares is None else 4.0
        crisp = {**crisp, "phase_shares": [first] + [1.0] * (generations - 1)}
    return crisp
