"""The files of a prediction, format by format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType

from crisp_client.prediction.result import Result
from crisp_core.errors import MissingExtraError
from crisp_core.files.bids import Derivative, write_subject
from crisp_core.files.volumes import write_labels, write_map
from crisp_core.schema.answer import LIMITS, Format

Writer = Callable[[Path, Result], None]
WRITERS: Mapping[Format, str] = MappingProxyType(
    {
        "nifti": "formats:write_nifti",
        "bids": "formats:write_bids",
        "dicom-seg": "dicom_formats:write_segmentation",
        "rtstruct": "dicom_formats:write_structures",
        "sr": "dicom_formats:write_report",
        "png": "page_formats:write_png",
        "pdf": "page_formats:write_pdf",
    }
)
"""Where each format is written; what needs an extra is imported when it is asked for."""
NEEDS: Mapping[Format, tuple[str, str]] = MappingProxyType(
    {
        "dicom-seg": ("highdicom", "dicom"),
        "rtstruct": ("pydicom", "dicom"),
        "sr": ("highdicom", "dicom"),
        "png": ("PIL", "pdf"),
        "pdf": ("fpdf", "pdf"),
    }
)
"""Package and extra."""


def completed(formats: Sequence[Format]) -> tuple[Format, ...]:
    """Name each format once, in the order of writing; a report needs the segments it is about.

    Examples:
        >>> completed(["sr", "nifti"])
        ('nifti', 'dicom-seg', 'sr')
    """
    wanted = {*formats, *(("dicom-seg",) if "sr" in formats else ())}
    return tuple(name for name in WRITERS if name in wanted)


def check_formats(formats: Sequence[Format]) -> None:
    """Insist, before anything is computed, on what the formats need.

    Raises:
        MissingExtraError: If a part that writes one of them is not installed.
    """
    for name, (part, extra) in NEEDS.items():
        if name in formats and find_spec(part) is None:
            raise MissingExtraError(
                expected=f"{part}, which writes {name}",
                got="an installation without it",
                where="--format",
                fix=f'Run pip install "crisp-fl[{extra}]"',
            )


def write_format(name: Format, folder: Path, result: Result) -> None:
    """Write the files of one format into a case's folder.

    Raises:
        UsageError: If the format is about DICOM images and the case is none.
        RunStateError: If the folder cannot be written.
    """
    writer: Writer = resolve_name(f"crisp_client.prediction.{WRITERS[name]}")
    writer(folder, result)


def write_nifti(folder: Path, result: Result) -> None:
    """Write labels, uncertainty and, structure by structure, core, support and probability."""
    answer, grid = result.answer, result.case.volume.grid
    write_labels(folder / "labels.nii.gz", answer.labels, grid)
    write_map(folder / "uncertainty.nii.gz", answer.uncertainty, grid)
    for index, name in enumerate(result.classes):
        for word, masks in (("core", answer.core), ("support", answer.support)):
            bits = masks[:, index].astype("uint8")
            write_labels(folder / f"{word}_{name}.nii.gz", bits, grid)
        chance = answer.probabilities[:, index + 1]
        write_map(folder / f"probability_{name}.nii.gz", chance, grid)


def write_bids(folder: Path, result: Result) -> None:
    """Write a subject of a BIDS derivative."""
    answer, record = result.answer, result.record
    made = Derivative(
        labels=answer.labels,
        probabilities=answer.probabilities,
        core=answer.core,
        support=answer.support,
        names=result.classes,
        grid=result.case.volume.grid,
        description=f"model {record.model_hash[:12]}. {LIMITS}",
    )
    write_subject(folder, record.case, made)
