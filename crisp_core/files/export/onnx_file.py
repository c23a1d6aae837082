"""The two programs as ONNX, weights beside them, tried with onnxruntime before they are kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from crisp_core.arrays import AnyArray
from crisp_core.errors import MissingExtraError
from crisp_core.files.export.programs import PARITY_SLICES, Programs
from crisp_core.model.graph import Answer
from crisp_core.schema.exported import Parity

ONE_PASS, RECURSION = "pass.onnx", "recursion.onnx"
INPUTS = ("images", "noise", "neighbours")


def write_onnx(folder: Path, programs: Programs) -> Parity:
    """Write `pass.onnx`, `recursion.onnx` and their weights, and run both beside the network.

    Raises:
        MissingExtraError: If onnx, onnxscript or onnxruntime is not installed.
    """
    for part in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(part) is None:
            raise _missing(part)
    _save(programs.traced_pass, folder / ONE_PASS, INPUTS[:1], ("probabilities",))
    _save(programs.traced_recursion, folder / RECURSION, INPUTS, Answer._fields)
    return _parity(folder, programs)


def _save(
    program: ExportedProgram, path: Path, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        converted = torch.onnx.export(
            program,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamo=True,
            verbose=False,
        )
    if converted is None:
        message = "the exporter returned nothing"
        raise RuntimeError(message)
    converted.save(path, external_data=True)


def _parity(folder: Path, programs: Programs) -> Parity:
    """Compare both files with the network on a volume of another length than the traced one."""
    images, noise, neighbours = (part.numpy() for part in programs.example(PARITY_SLICES))
    one, whole = programs.expected(PARITY_SLICES)
    got_one = _ran(folder / ONE_PASS, {"images": images})[0]
    inputs = dict(zip(INPUTS, (images, noise, neighbours), strict=True))
    got_whole = _ran(folder / RECURSION, inputs)[0]
    pairs = ((one.numpy(), got_one), (whole.probabilities.numpy(), got_whole))
    return Parity(
        runtime="onnxruntime",
        slices=PARITY_SLICES,
        max_difference=max(float(np.abs(a - b).max()) for a, b in pairs),
        labels_equal=min(float((a.argmax(1) == b.argmax(1)).mean()) for a, b in pairs),
    )


def _ran(path: Path, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra without types

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def _missing(part: str) -> MissingExtraError:
    return MissingExtraError(
        expected=f"{part} to write ONNX",
        got="an installation without it",
        where="--format onnx",
        fix='Run pip install "crisp-fl[export]"',
    )
