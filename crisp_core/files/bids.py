"""BIDS derivatives: a prediction as a subject's folder that imaging pipelines find by name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crisp_core.arrays import BoolArray, FloatArray, IntArray
from crisp_core.files.atomic import write_text
from crisp_core.files.orientation import Grid
from crisp_core.files.volumes import write_labels, write_map

BIDS_VERSION = "1.10.0"
PIPELINE = "CRISP-FL"
IGNORED = ("sub-*/*.json", "sub-*/*.nii.gz", "sub-*/*.dcm", "sub-*/overview.*", "predictions*")
"""What lies beside the BIDS files of a subject, where a validator would not expect it."""


@dataclass(frozen=True)
class Derivative:
    """What BIDS names have to say of one prediction.

    Attributes:
        labels: (D, H, W).
        probabilities: float32 (D, K, H, W), channel 0 background.
        core: (D, C, H, W).
        support: (D, C, H, W).
        names: Of the structures.
        grid: Of the image.
        description: What made it, in words.
    """

    labels: IntArray
    probabilities: FloatArray
    core: BoolArray
    support: BoolArray
    names: Sequence[str]
    grid: Grid
    description: str


def subject_of(case: str) -> str:
    """Make a subject's label of a case's name: letters and digits only.

    Examples:
        >>> subject_of("case_01")
        'case01'
    """
    return "".join(letter for letter in case if letter.isascii() and letter.isalnum()) or "x"


def write_subject(folder: Path, case: str, made: Derivative) -> None:
    """Write `anat/` into a subject's folder: dseg with its table, probseg and masks."""
    stem = folder / "anat" / f"sub-{subject_of(case)}_space-orig"
    labels = _beside(stem, "desc-crisp_dseg")
    write_labels(_beside(stem, "desc-crisp_dseg.nii.gz"), made.labels, made.grid)
    write_text(labels.with_name(f"{labels.name}.tsv"), _table(made.names))
    _note(labels, made, "Labels, one a structure")
    for index, name in enumerate(made.names):
        label = f"label-{subject_of(name)}_desc"
        chance = made.probabilities[:, index + 1]
        write_map(_beside(stem, f"{label}-crisp_probseg.nii.gz"), chance, made.grid)
        _note(_beside(stem, f"{label}-crisp_probseg"), made, f"Probability of {name}")
        for word, mask in (("core", made.core), ("support", made.support)):
            path = _beside(stem, f"{label}-{word}_mask.nii.gz")
            write_labels(path, mask[:, index].astype("uint8"), made.grid)
            _note(_beside(stem, f"{label}-{word}_mask"), made, f"The {word} of {name}")


def write_dataset(folder: Path, version: str) -> None:
    """Write what makes a folder of subjects a data set; what is there already stays."""
    description = {
        "Name": "CRISP-FL predictions (research, not for diagnosis)",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": PIPELINE, "Version": version}],
    }
    texts = {
        "dataset_description.json": json.dumps(description, indent=1),
        ".bidsignore": "\n".join(IGNORED) + "\n",
    }
    for name, text in texts.items():
        if not (folder / name).exists():
            write_text(folder / name, text)


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}_{ending}")


def _note(path: Path, made: Derivative, words: str) -> None:
    note = {
        "Description": f"{words}; {made.description}",
        "SpatialReference": "orig",
        "Resolution": "as the image",
    }
    write_text(path.with_name(f"{path.name}.json"), json.dumps(note, indent=1))


def _table(names: Sequence[str]) -> str:
    text = io.StringIO()
    table = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    table.writerow(["index", "name", "abbreviation"])
    table.writerows(
        [index, name, subject_of(name)] for index, name in enumerate(["background", *names])
    )
    return text.getvalue()
