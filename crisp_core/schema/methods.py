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

PRESETS: Mapping[str, Table] = MappingProxyType(
    {
        "crisp": _RECOMMENDED,
        "crisp-no-squeeze": {**_RECOMMENDED, "crisp": {"squeeze_weight": 0.0}},
        "crisp-paper": {"crisp": _PRINTED},
        "fedavg": {"crisp": _PLAIN},
        "fedavg-2.5d": {"model": {"slices_in": 3}, "crisp": _PLAIN},
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

    Only what the word says about hints, squeeze, recursion and slices changes: optimiser steps,
    augmentation, normalisation and loss stay those of `study`, so that the comparison is fair.
    """
    preset = PRESETS[word]
    own = {key: value for key, value in study["crisp"].items() if key != "perturbations_in_loss"}
    crisp = {**own, **_neutral(), **preset.get("crisp", {})}
    slices_in = preset.get("model", {}).get("slices_in", study["model"]["slices_in"])
    return {
        **study,
        "method": word,
        "model": {**study["model"], "slices_in": slices_in},
        "crisp": _derived(crisp),
    }


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
