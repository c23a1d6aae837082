"""Methods by one word: what each word sets before the study's own keys are read.

`crisp-paper` and `crisp` are the two columns of the method's table (printed, recommended); `fedavg`
is the same schedule of rounds and steps without hints, squeeze or recursion.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

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

_WITHOUT_A_WORD: Table = MappingProxyType({"federation": {"local_norm": "none"}})


def _batch_norm(local: str) -> Table:
    """A network with BatchNorm, of which sites keep something to themselves."""
    return {"model": {"norm": "network"}, "federation": {"local_norm": local}}


PRESETS: Mapping[str, Table] = MappingProxyType(
    {
        "crisp": _RECOMMENDED,
        "crisp-no-squeeze": {**_RECOMMENDED, "crisp": {"squeeze_weight": 0.0}},
        "crisp-paper": {"crisp": _PRINTED},
        "fedavg": {"crisp": _PLAIN},
        "fedavg-2.5d": {"model": {"slices_in": 3}, "crisp": _PLAIN},
        "fedavg-group": {"model": {"norm": "group"}, "crisp": _PLAIN},
        "fedbn": {**_batch_norm("all"), "crisp": _PLAIN},
        "silobn": {**_batch_norm("statistics"), "crisp": _PLAIN},
        "local": {"crisp": _PLAIN},
        "pooled": {"crisp": _PLAIN},
    }
)


def with_preset(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the tables of a study over those of its method word; the study's own keys win."""
    merged = dict(raw)
    for section, preset in PRESETS.get(str(raw.get("method", "crisp")), {}).items():
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
    preset, former = PRESETS[word], PRESETS.get(study["method"], {})
    own = {key: value for key, value in study["crisp"].items() if key != "perturbations_in_loss"}
    changed = {
        section: {**study[section], **_taken_back(section, former), **_of_the_word(section, preset)}
        for section in ("model", "federation")
    }
    crisp = _derived({**own, **_neutral(), **preset.get("crisp", {})})
    return {**study, **changed, "method": word, "crisp": crisp}


def _of_the_word(section: str, preset: Table) -> Mapping[str, Any]:
    """Return what a word sets in a comparison: all but what `crisp` recommends to any study."""
    table = preset.get(section, {})
    return {} if table is _RECOMMENDED.get(section) else table


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
