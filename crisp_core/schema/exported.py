"""What lies beside an exported model: which model it is, what goes in, and how true it is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.released import Sha256

ExportFormat = Literal["onnx", "torch-export", "monai"]
Count = Annotated[int, Field(ge=1)]


class RecursionInputs(Frozen):
    """The arrays that the whole recursion takes and what their lengths are.

    `images` float32 (S, channels, h, w) and `neighbours` float32 (S,), and `noise` float32
    (passes, perturbations, S, noise_length), for any number of slices S.
    """

    channels: Count
    """Image channels of a slice and, where the study stacks slices, of its neighbours."""
    size: tuple[Count, Count]
    passes: Count
    perturbations: Count
    noise_length: Count
    classes: Count
    """K, background included."""


class Parity(Frozen):
    """The exported program beside the network that it was made from, on one made-up volume."""

    runtime: str
    slices: Count
    max_difference: Annotated[float, Field(ge=0)]
    """Largest of the probabilities' differences, of one pass and of the whole recursion."""
    labels_equal: Annotated[float, Field(ge=0, le=1)]
    """Share of pixels with the same label."""


class ExportedModel(Frozen):
    """`export.json`; the released model's own `model.json` lies beside it."""

    format: ExportFormat
    model_hash: Sha256
    study_hash: Sha256
    inputs: RecursionInputs
    parity: Parity
    files: dict[str, Sha256]
    """Every file of the folder but this one."""
    versions: dict[str, str]
