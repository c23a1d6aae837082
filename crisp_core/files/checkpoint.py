"""Named arrays on disk: the same arrays give the same bytes, and nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_bytes

OURS = "crisp"
"""The only metadata key: safetensors writes several in an order that changes by the run."""
_LENGTH_BYTES = 8


def write_parameters(path: Path, arrays: Parameters, metadata: Mapping[str, str]) -> None:
    """Write arrays and a few words about them, atomically.

    The order of the names is kept. Any safetensors reader opens the file.

    Raises:
        RunStateError: If the folder cannot be written.
    """
    write_bytes(path, packed(arrays, metadata))


def packed(arrays: Parameters, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of the file that `write_parameters` writes."""
    note = json.dumps({"order": list(arrays), "metadata": dict(metadata)}, sort_keys=True)
    solid = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(solid, {OURS: note})


def unpacked(data: bytes) -> dict[str, AnyArray]:
    """Return the arrays that were packed, in their order.

    Raises:
        RunStateError: If the bytes were not packed by `packed`.
    """
    try:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        head = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        arrays = load(data)
        return {name: arrays[name] for name in json.loads(head["__metadata__"][OURS])["order"]}
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunStateError(
            expected="arrays as safetensors",
            got=type(error).__name__,
            where=f"{len(data)} bytes",
            fix="Send them again",
        ) from None


def read_parameters(path: Path) -> tuple[dict[str, AnyArray], dict[str, str]]:
    """Read arrays in the order in which they were written, and the words about them.

    A file of another program comes in the order of its names, with its own metadata.

    Raises:
        RunStateError: If the file is absent, damaged or no safetensors file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            metadata = file.metadata() or {}
        if OURS not in metadata:
            return arrays, metadata
        note = json.loads(metadata[OURS])
        return {name: arrays[name] for name in note["order"]}, note["metadata"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunStateError(
            expected="a readable safetensors file",
            got=f"{type(error).__name__} ({error})",
            where=str(path),
            fix="Restore the file from a backup, or make it again",
        ) from None


def content_hash(arrays: Parameters) -> str:
    """Return the SHA-256 of names, types, shapes and values, in order.

    It depends on nothing else: not on metadata, the file or the layout in memory.

    Examples:
        >>> content_hash({"a": np.zeros(2)}) == content_hash({"a": np.zeros((2, 1))})
        False
    """
    digest = hashlib.sha256()
    for name, array in arrays.items():
        head = json.dumps([name, array.dtype.str, array.shape]).encode()
        digest.update(len(head).to_bytes(8, "big") + head)
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
