"""The files of a prediction, format by format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from crisp_client.prediction.answer import Answer
from crisp_client.prediction.inputs import Opened
from crisp_core.files.volumes import write_labels, write_map
from crisp_core.schema.answer import AnswerRecord, Format
from crisp_core.schema.released import ReleasedModel


@dataclass(frozen=True)
class Result:
    """Everything that a format may tell of one case."""

    case: Opened
    answer: Answer
    model: ReleasedModel
    record: AnswerRecord

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the structures: of label 1, of label 2 and so on."""
        return self.model.study.classes


Writer = Callable[[Path, Result], None]


def write_nifti(folder: Path, result: Result) -> None:
    """Write labels, uncertainty and, structure by structure, core, support and probability."""
    answer, grid = result.answer, result.case.volume.grid
    write_labels(folder / "labels.nii.gz", answer.labels, grid)
    write_map(folder / "uncertainty.nii.gz", answer.uncertainty, grid)
    for index, name in enumerate(result.classes):
        write_labels(folder / f"core_{name}.nii.gz", _bits(answer.core[:, index]), grid)
        write_labels(folder / f"support_{name}.nii.gz", _bits(answer.support[:, index]), grid)
        write_map(folder / f"probability_{name}.nii.gz", answer.probabilities[:, index + 1], grid)


def _bits(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8)


WRITERS: Mapping[Format, Writer] = MappingProxyType({"nifti": write_nifti})
