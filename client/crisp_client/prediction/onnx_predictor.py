"""An exported model ready to answer: onnxruntime and numpy, no torch.

Preparation, noise and the way back are those of the network itself; passes, hints and the guard
are in the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crisp_client.prediction.answer import Answer
from crisp_client.prediction.inputs import Opened
from crisp_core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from crisp_core.errors import DataError, MissingExtraError, UntrustedError, UsageError
from crisp_core.files.orientation import Grid
from crisp_core.files.preprocess import Placement, restore_mask, restore_probabilities
from crisp_core.files.released import read_card
from crisp_core.files.windows import blend_masks, blend_windows
from crisp_core.numerics.keyed_noise import keyed_normal
from crisp_core.schema.exported import ExportedModel, RecursionInputs
from crisp_core.schema.released import ReleasedModel
from crisp_core.schema.risk import RiskEvidence
from crisp_core.schema.study import Study

if TYPE_CHECKING:  # an extra
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # has none

EXPORT = "export.json"
RECURSION = "recursion.onnx"


def is_exported(path: Path) -> bool:
    """Tell whether `path` is an exported model: its folder, or an ONNX file in it."""
    return path.suffix == ".onnx" or (path / EXPORT).is_file()


@dataclass(frozen=True)
class OnnxPredictor:
    """The model as ONNX."""

    model: ReleasedModel
    inputs: RecursionInputs
    session: InferenceSession

    @classmethod
    def of(cls, path: Path, threads: int = 0) -> OnnxPredictor:
        """Read an exported folder; every file of it must be the one that was exported.

        Args:
            path: The folder, or an ONNX file in it.
            threads: CPU threads; 0: every core.

        Raises:
            UsageError: If there is no exported ONNX model.
            UntrustedError: If a file was changed, or belongs to another model.
            MissingExtraError: If onnxruntime is not installed.
        """
        folder = path.parent if path.suffix == ".onnx" else path
        exported = _exported(folder)
        model = read_card(folder)
        if (model.model_hash, model.study_hash) != (exported.model_hash, exported.study_hash):
            raise _changed(folder, "the model.json of another model")
        return cls(model, exported.inputs, _session(folder / RECURSION, threads))

    def answer(self, case: Opened) -> Answer:
        """Segment one image as the network would.

        Raises:
            DataError: If the program answers with numbers that are not finite.
        """
        inputs = recursion_inputs(case.images, self.model.study, self.inputs, case.input_hash)
        probabilities, core, support, entropies, chosen, changed, moved = self.session.run(
            None, inputs
        )
        if not np.isfinite(probabilities).all():
            raise DataError(
                expected="finite numbers from the network",
                got="others",
                where=f"case {case.name!r}",
                fix="Look at the image; if many fail, do not use this model",
            )
        entropy, several = float(entropies[int(chosen)]), len(entropies) > 1
        places, grid = case.placements, case.volume.grid
        native = _native_probabilities(probabilities, places, grid)
        return Answer(
            labels=native.argmax(axis=1).astype(np.uint8),
            probabilities=native,
            core=_native_mask(core, places, grid),
            support=_native_mask(support, places, grid),
            recursions=len(entropies),
            chosen=int(chosen) + 1,
            changed=float(changed[-1]) if several else None,
            entropy=entropy,
            windows=len(places),
            evidence=RiskEvidence(
                uncertain_fraction=outside_core(probabilities.argmax(axis=1), core > 0),
                core_support_agreement=agreement(core > 0, support > 0),
                recursion_change=min(1.0, max(0.0, float(moved))) if several else None,
                entropy=entropy,
            ),
        )


def recursion_inputs(
    windows: FloatArray, study: Study, shape: RecursionInputs, noise_key: str
) -> dict[str, AnyArray]:
    """Gather what the program takes for one case.

    Args:
        windows: float32 (W, D, C, h, w), prepared.
        study: Of the model.
        shape: Of the program's inputs.
        noise_key: As the network's own perturbations are keyed.
    """
    images = np.concatenate([with_neighbours(part, study.model.slices_in) for part in windows])
    count, depth = len(images), windows.shape[1]
    noise = np.empty((shape.passes, shape.perturbations, count, shape.noise_length), np.float32)
    for number, n, place in np.ndindex(noise.shape[:3]):
        noise[number, n, place] = keyed_normal(
            shape.noise_length, study.seed, noise_key, place, number + 2, n
        )
    ends = np.arange(1, count + 1) % depth == 0
    return {"images": images, "noise": noise, "neighbours": (~ends).astype(np.float32)}


def outside_core(labels: IntArray, core: BoolArray) -> float:
    """Return the share of the foreground (S, h, w) outside its class's core (S, C, h, w).

    1 where nothing is found, as `crisp_core.model.evidence` has it.
    """
    found = labels > 0
    if not found.any():
        return 1.0
    own = np.take_along_axis(core, np.maximum(labels - 1, 0)[:, None], axis=1)[:, 0]
    return float((found & ~own).sum() / found.sum())


def agreement(core: BoolArray, support: BoolArray) -> float:
    """Return the mean over the classes of |core| / |support|; 1 for a class without support."""
    sizes = [mask.sum(axis=(0, 2, 3), dtype=np.float64) for mask in (core, support)]
    return float(np.where(sizes[1] > 0, sizes[0] / np.maximum(sizes[1], 1), 1.0).mean())


def with_neighbours(images: FloatArray, slices_in: int) -> FloatArray:
    """Stack each slice with its neighbours as channels; the ends repeat the last slice.

    Args:
        images: One window, (D, C, h, w).
        slices_in: Odd number of slices that enter the network together.

    Returns:
        float32 (D, C * slices_in, h, w), from the lowest neighbour to the highest.
    """
    reach, places = slices_in // 2, np.arange(len(images))
    parts = [
        images[np.clip(places + offset, 0, len(images) - 1)] for offset in range(-reach, reach + 1)
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _native_probabilities(
    values: FloatArray, places: Sequence[Placement], grid: Grid
) -> FloatArray:
    if len(places) == 1:
        return restore_probabilities(values, places[0], grid)
    return blend_windows(values, places, grid, outside=0.0)


def _native_mask(mask: AnyArray, places: Sequence[Placement], grid: Grid) -> AnyArray:
    if len(places) == 1:
        return restore_mask(mask > 0, places[0], grid)
    return blend_masks(mask > 0, places, grid)


def _exported(folder: Path) -> ExportedModel:
    try:
        exported = ExportedModel.model_validate_json((folder / EXPORT).read_bytes())
    except (OSError, ValueError):
        raise _no_export(folder, f"no {EXPORT} that can be read") from None
    if exported.format != "onnx":
        raise _no_export(folder, f"one of format {exported.format}")
    for name, digest in exported.files.items():
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise _changed(folder, f"another {name}")
    return exported


def _session(path: Path, threads: int) -> InferenceSession:
    try:
        import onnxruntime  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError(
            expected="onnxruntime to run an exported model",
            got="an installation without it",
            where=path.name,
            fix='Run pip install "crisp-fl[export]"',
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # each of its faults has a class of its own
        got = f"one that onnxruntime does not take ({type(error).__name__})"
        raise _no_export(path.parent, got) from None


def _no_export(folder: Path, got: str) -> UsageError:
    return UsageError(
        expected="a folder that `crisp export --format onnx` wrote",
        got=got,
        where=str(folder),
        fix="Name such a folder, or a run's folder",
    )


def _changed(folder: Path, got: str) -> UntrustedError:
    return UntrustedError(
        expected="the files that were exported",
        got=got,
        where=str(folder),
        fix="Export the model again; a changed file must not be used",
    )
