"""What the coordinator asks: as it came, and as this site works on it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import RunStateError, UntrustedError
from crisp_core.files.checkpoint import unpacked
from crisp_core.schema import wire
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.record import Action
from crisp_core.schema.study import Study

LARGEST_TEXT = 4_000_000
"""Characters; a study of a thousand sites has a tenth of that."""
LARGEST_ASK = 32
MOST_ARRAYS = 10_000
NUMBERS = "fiub"
"""Kinds of numpy types that hold numbers and nothing else."""


@dataclass(frozen=True)
class Question:
    """A message as it came; nothing of it is believed yet."""

    action: Action
    study: str
    study_signature: str = ""
    plan: str = ""
    ask: str = ""
    receipts: str = "[]"
    arrays: Mapping[str, bytes] = field(default_factory=dict)
    """Each as the bytes of an `.npy` file."""

    def __post_init__(self) -> None:
        texts = (self.study, self.study_signature, self.plan, self.receipts)
        if max(map(len, texts)) > LARGEST_TEXT or len(self.ask) > LARGEST_ASK:
            raise _oversize(LARGEST_TEXT, "characters of text")
        if len(self.arrays) > MOST_ARRAYS:
            raise _oversize(MOST_ARRAYS, "arrays")


@dataclass(frozen=True)
class Request:
    """One question of the coordinator, unpacked, that this site may work on."""

    settings: SiteSettings
    study: Study
    plan: str
    parameters: Parameters
    action: Action = "describe"
    ask: str = ""
    epochs_left: float = math.inf
    """Passes over the training slices that the site's policy still allows this study."""
    gpu_share: float = 1.0


def arrays_of(question: Question) -> dict[str, AnyArray]:
    """Read the arrays that came.

    A header that claims more, or less, than came is refused before anything is made from it.

    Raises:
        UntrustedError: If the bytes are not those of arrays of numbers.
    """
    arrays = {name: _array(data) for name, data in question.arrays.items()}
    return _unpacked(arrays[wire.PACKED]) if set(arrays) == {wire.PACKED} else arrays


def _unpacked(array: AnyArray) -> dict[str, AnyArray]:
    try:
        return unpacked(array.tobytes())
    except RunStateError:
        raise _not_an_array(array.nbytes, None) from None


def _array(data: bytes) -> AnyArray:
    file = io.BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        raise _not_an_array(len(data), None) from None
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in NUMBERS or min(shape, default=0) < 0 or size != len(data) - file.tell():
        raise _not_an_array(len(data), dtype)
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if by_columns else "C")


def _not_an_array(length: int, dtype: np.dtype[Any] | None) -> UntrustedError:
    claim = f"that say to be more or less of {dtype}" if dtype else "of something else"
    return UntrustedError(
        expected="an array of numbers, as long as it says",
        got=f"{length:,} bytes {claim}",
        where="the arrays that came from the coordinator",
        fix="Nothing was run; ask the coordinator",
    )


def _oversize(limit: int, what: str) -> UntrustedError:
    return UntrustedError(
        expected=f"at most {limit:,} {what}",
        got="more",
        where="a message of the coordinator",
        fix="Nothing was run; ask the coordinator",
    )
