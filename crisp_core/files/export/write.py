"""One folder a released model and format; it is there whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from crisp_core.errors import RunStateError
from crisp_core.files.atomic import write_text
from crisp_core.files.export.monai_bundle import write_bundle
from crisp_core.files.export.onnx_file import write_onnx
from crisp_core.files.export.programs import PARITY_SLICES, Programs, programs_of
from crisp_core.files.released import CARD, read_released
from crisp_core.files.staging import staged_folder
from crisp_core.schema.exported import ExportedModel, ExportFormat, Parity
from crisp_core.schema.released import ReleasedModel

EXPORT = "export.json"
MODEL_CARD = "MODEL_CARD.md"
LARGEST_DIFFERENCE = 1e-3
"""Of a probability; a program that is further off is not the model."""
PACKAGES = ("crisp-fl", "torch", "onnx", "onnxruntime", "onnxscript")


def export_model(source: Path, form: ExportFormat, out: Path) -> ExportedModel:
    """Write a released model in another format, tried against the network before it is kept.

    Args:
        source: Folder of `model.json` and `model.safetensors`.
        form: What to write.
        out: The new folder.

    Raises:
        RunStateError: If `out` is there already, or the program does not answer as the network.
        MissingExtraError: If a part that the format needs is not installed.
        UsageError: If there is no released model at `source`.
    """
    if out.exists():
        raise _taken(out)
    model, parameters = read_released(source)
    programs = programs_of(model, parameters)
    with staged_folder(out) as folder:
        parity = _written(folder, form, programs, model)
        _insist_on(parity, form)
        home = source if source.is_dir() else source.parent
        for name in (CARD, MODEL_CARD):
            if (home / name).is_file():
                shutil.copyfile(home / name, folder / name)
        exported = ExportedModel(
            format=form,
            model_hash=model.model_hash,
            study_hash=model.study_hash,
            inputs=programs.inputs,
            parity=parity,
            files=digests(folder),
            versions=_versions(),
        )
        write_text(folder / EXPORT, exported.model_dump_json(indent=1))
    return exported


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, `export.json` left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != EXPORT
    }


def _written(folder: Path, form: ExportFormat, programs: Programs, model: ReleasedModel) -> Parity:
    if form == "onnx":
        return write_onnx(folder, programs)
    if form == "monai":
        write_bundle(folder, programs, model)
        return _program_parity(folder / "models", programs)
    torch.export.save(programs.traced_pass, folder / "pass.pt2")
    torch.export.save(programs.traced_recursion, folder / "recursion.pt2")
    return _program_parity(folder, programs)


def _program_parity(folder: Path, programs: Programs) -> Parity:
    """Read the programs back from the disk and run them beside the network."""
    example = programs.example(PARITY_SLICES)
    one, whole = programs.expected(PARITY_SLICES)
    read = {name: torch.export.load(folder / f"{name}.pt2") for name in ("pass", "recursion")}
    with torch.no_grad():
        got_one = read["pass"].module()(example[0])
        got_whole = read["recursion"].module()(*example)[0]
    pairs = [
        (a.numpy(), np.asarray(b)) for a, b in ((one, got_one), (whole.probabilities, got_whole))
    ]
    return Parity(
        runtime="torch.export",
        slices=PARITY_SLICES,
        max_difference=max(float(np.abs(a - b).max()) for a, b in pairs),
        labels_equal=min(float((a.argmax(1) == b.argmax(1)).mean()) for a, b in pairs),
    )


def _insist_on(parity: Parity, form: str) -> None:
    if parity.max_difference > LARGEST_DIFFERENCE:
        raise RunStateError(
            expected=f"a program whose probabilities are within {LARGEST_DIFFERENCE:g}",
            got=f"{parity.max_difference:.2g} ({parity.labels_equal:.2%} of labels equal)",
            where=f"--format {form}",
            fix="Do not use this format for this network; report the study and the versions",
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _taken(out: Path) -> RunStateError:
    return RunStateError(
        expected="a folder that is not there yet",
        got="one that is",
        where=str(out),
        fix="Nothing is overwritten: name another folder with -o",
    )
