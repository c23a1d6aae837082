"""Codes that say to any viewer what a structure is; a name that is not known stays a name."""

from __future__ import annotations

import re
from dataclasses import dataclass

ANATOMY = ("123037004", "Anatomical Structure")
TISSUE = ("85756007", "Tissue")
ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
_LV = ("87878005", "Left ventricle")
_MYO = ("74281007", "Myocardium")
_RV = ("53085002", "Right ventricle")
_TUMOUR = ("108369006", "Neoplasm")
_VESSEL = ("59820001", "Blood vessel")


@dataclass(frozen=True)
class Meaning:
    """SNOMED CT codes of a structure, (value, meaning) each."""

    category: tuple[str, str]
    kind: tuple[str, str]


_KINDS: dict[str, tuple[str, str]] = {
    "lv": _LV,
    "leftventricle": _LV,
    "lvcavity": _LV,
    "cavity": _LV,
    "myo": _MYO,
    "myocardium": _MYO,
    "lvmyocardium": _MYO,
    "rv": _RV,
    "rightventricle": _RV,
    "rvcavity": _RV,
    "prostate": ("41216001", "Prostate"),
    "cord": ("2748008", "Spinal cord"),
    "spinalcord": ("2748008", "Spinal cord"),
    "greymatter": ("389080008", "Gray matter of spinal cord"),
    "graymatter": ("389080008", "Gray matter of spinal cord"),
    "vessel": _VESSEL,
    "bloodvessel": _VESSEL,
    "liver": ("10200004", "Liver"),
    "kidney": ("64033007", "Kidney"),
    "spleen": ("78961009", "Spleen"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
}
_ABNORMAL: dict[str, tuple[str, str]] = {
    "tumour": _TUMOUR,
    "tumor": _TUMOUR,
    "lesion": ("52988006", "Lesion"),
    "edema": ("79654002", "Edema"),
    "oedema": ("79654002", "Edema"),
    "necrosis": ("6574001", "Necrosis"),
}


def meaning_of(name: str) -> Meaning:
    """Find the codes of a structure by its name in the study.

    Examples:
        >>> meaning_of("Left-Ventricle").kind
        ('87878005', 'Left ventricle')
        >>> meaning_of("zone-7").kind
        ('85756007', 'Tissue')
    """
    word = re.sub(r"[^a-z]", "", name.casefold())
    if word in _ABNORMAL:
        return Meaning(ABNORMAL, _ABNORMAL[word])
    if word in _KINDS:
        return Meaning(ANATOMY, _KINDS[word])
    return Meaning(TISSUE, TISSUE)
