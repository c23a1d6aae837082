"""A site's hints on disk: one file a case and generation, which knows the model that made it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from crisp_core.arrays import AnyArray, BoolArray, IntArray, Parameters
from crisp_core.errors import HintsMissingError, RunStateError
from crisp_core.files.checkpoint import content_hash, read_parameters, write_parameters

COMPRESSION_LEVEL = 2


@dataclass(frozen=True)
class StoredHints:
    """Hints of one case on the study's grid.

    Attributes:
        core: bool (D, C, h, w).
        support: bool (D, C, h, w).
        grade_sums: (D, C, h, w), sum of the grades over the perturbations: 0 to
            `count * (levels - 1)`.
        count: Perturbations.
        levels: Grades per perturbation.
        labels: (D, h, w), the clean prediction of the model that made the hints.
    """

    core: BoolArray
    support: BoolArray
    grade_sums: IntArray
    count: int
    levels: int
    labels: IntArray


class HintStore:
    """Hints in a folder. What cannot be read counts as missing: it can be made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, case_id: str, generation: int, hints: StoredHints, model_hash: str) -> None:
        """Keep the hints of a case and generation in place of any older ones, atomically.

        Raises:
            RunStateError: If the folder cannot be written.
        """
        arrays = {
            "core": _packed(np.packbits(hints.core)),
            "support": _packed(np.packbits(hints.support)),
            "grade_sums": _packed(hints.grade_sums.astype(_sum_type(hints.count, hints.levels))),
            "labels": _packed(hints.labels.astype(np.uint8)),
        }
        facts = {
            "model": model_hash,
            "shape": hints.core.shape,
            "count": hints.count,
            "levels": hints.levels,
        }
        text = json.dumps(facts)
        note = {"facts": text, "digest": _digest(text, arrays)}
        write_parameters(self._path(case_id, generation), arrays, note)

    def read(self, case_id: str, generation: int, model_hash: str) -> StoredHints:
        """Return the hints of a case and generation.

        Raises:
            HintsMissingError: If there are none, if another model made them, or if the file is
                damaged.
        """
        try:
            arrays, note = read_parameters(self._path(case_id, generation))
        except RunStateError:
            raise _missing(case_id, generation, model_hash, "none that can be read") from None
        if _digest(note.get("facts", ""), arrays) != note.get("digest"):
            raise _missing(case_id, generation, model_hash, "a damaged file")
        facts = json.loads(note["facts"])
        if facts["model"] != model_hash:
            raise _missing(case_id, generation, model_hash, f"those of model {facts['model'][:12]}")
        return _unpacked(arrays, facts)

    def present(self, case_id: str, generation: int, model_hash: str) -> bool:
        """Tell whether `read` would return hints."""
        try:
            self.read(case_id, generation, model_hash)
        except HintsMissingError:
            return False
        return True

    def _path(self, case_id: str, generation: int) -> Path:
        return self.folder / f"{case_id}.generation-{generation}.safetensors"


def _packed(array: AnyArray) -> AnyArray:
    data = isal_zlib.compress(np.ascontiguousarray(array).data, COMPRESSION_LEVEL)
    return np.frombuffer(data, np.uint8)


def _unpacked(arrays: dict[str, AnyArray], facts: dict[str, Any]) -> StoredHints:
    shape, count, levels = tuple(facts["shape"]), facts["count"], facts["levels"]
    raw = {name: isal_zlib.decompress(array.data) for name, array in arrays.items()}
    core, support = (
        np.unpackbits(np.frombuffer(raw[name], np.uint8), count=prod(shape))
        .reshape(shape)
        .view(np.bool_)
        for name in ("core", "support")
    )
    return StoredHints(
        core=core,
        support=support,
        grade_sums=np.frombuffer(bytearray(raw["grade_sums"]), _sum_type(count, levels)).reshape(
            shape
        ),
        count=count,
        levels=levels,
        labels=np.frombuffer(bytearray(raw["labels"]), np.uint8).reshape(shape[0], *shape[2:]),
    )


def _sum_type(count: int, levels: int) -> type[np.uint8 | np.uint16]:
    """One byte a pixel as long as the largest sum of grades fits."""
    return np.uint8 if count * (levels - 1) <= np.iinfo(np.uint8).max else np.uint16


def _digest(facts: str, arrays: Parameters) -> str:
    return hashlib.sha256((facts + content_hash(arrays)).encode()).hexdigest()


def _missing(case_id: str, generation: int, model_hash: str, got: str) -> HintsMissingError:
    return HintsMissingError(
        expected=f"hints of generation {generation} made by model {model_hash[:12]}",
        got=got,
        where=f"case {case_id!r}",
        fix="Let the site make the hints of this generation again",
    )
