"""Files to datasets: what may be opened, and how much of it.

A hostile file cannot make the parser unpack a bomb: a deflated dataset is refused before it is
inflated, and pixels are not read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from crisp_core.errors import DataError
from crisp_core.files.dicom.refusal import refused, unreadable
from crisp_core.files.dicom.values import Attributes, quiet

PREAMBLE = 128
MAGIC = b"DICM"
UNDEFINED = 0xFFFFFFFF
NAMED_DICOM = (".dcm", ".dicom", ".ima")
LARGEST_VALUE = "16 MB"
"""A longer value of a header stays on the disk until it is asked for."""
NATIVE = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
    "1.2.840.10008.1.2.2": "explicit big endian",
}
COMPRESSED = {
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless, first order",
    "1.2.840.10008.1.2.4.80": "JPEG-LS lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
SYNTAXES = {**NATIVE, **COMPRESSED}


def dicom_files(source: Path | Iterable[Path]) -> tuple[Path, ...]:
    """List the DICOM files of a folder and the folders in it, or check a list of files.

    In a folder, what is not DICOM is passed over unless its name says that it is; hidden files
    and the index DICOMDIR always are.

    Raises:
        DataError: If there is none, or a file that should be one is not.
    """
    if isinstance(source, Path) and source.is_dir():
        paths = tuple(path for path in _walk(source) if _counts(path))
        where = f"folder {source.name!r}"
    else:
        named = (source,) if isinstance(source, Path) else tuple(source)
        paths, where = tuple(path for path in named if _must_be(path)), "the files that were named"
    if not paths:
        raise refused(where, "at least one DICOM file", "none", "Name a folder of DICOM files")
    return paths


def read_header(path: Path) -> Attributes:
    """Read a file up to its pixel data.

    Raises:
        DataError: If it is no DICOM file, is damaged or is encoded in a way that is not read.
    """
    return _read(path, stop_before_pixels=True)


def read_whole(path: Path) -> Attributes:
    """Read a file with its pixel data, still encoded; as `read_header`."""
    return _read(path, stop_before_pixels=False)


def syntax_of(attributes: Attributes) -> str:
    """Return the UID of a file's transfer syntax."""
    return str(attributes.dataset.file_meta.TransferSyntaxUID)


def place_of(path: Path) -> str:
    """Say where a flaw is: the file's name, without its folders."""
    return f"file {path.name!r}"


def _read(path: Path, *, stop_before_pixels: bool) -> Attributes:
    where = place_of(path)
    try:
        with quiet():
            _check_syntax(path, where)
            later = LARGEST_VALUE if stop_before_pixels else None
            dataset = dcmread(path, stop_before_pixels=stop_before_pixels, defer_size=later)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the parser raise anything
        raise unreadable(where, error) from None
    _check_whole(dataset, where)
    return Attributes(dataset, where)


def _check_syntax(path: Path, where: str) -> None:
    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", "none"))
    if syntax not in SYNTAXES:
        fix = "Have the PACS send it uncompressed (explicit little endian)"
        raise refused(where, "a transfer syntax that is read here", syntax[:64], fix)


def _check_whole(dataset: Dataset, where: str) -> None:
    """Refuse what was cut off: the parser takes the bytes that are there and says nothing."""
    if len(dataset) == 0:
        raise refused(where, "attributes after the file's preamble", "none")
    for element in dataset.values():
        if (
            isinstance(element, RawDataElement)
            and element.value is not None
            and element.length not in {UNDEFINED, len(element.value)}
        ):
            what = keyword_for_tag(element.tag) or "a value"
            got = f"{len(element.value)}: the file is cut off"
            raise refused(where, f"{element.length} bytes of {what}", got)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names))


def _counts(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    return _must_be(path) if path.suffix.lower() in NAMED_DICOM else has_magic(path)


def _must_be(path: Path) -> bool:
    if not has_magic(path):
        raise refused(
            place_of(path),
            "a DICOM file: 128 bytes, then DICM",
            "no file" if not path.exists() else "something else",
            "Take the file out, or export it again as DICOM",
        )
    return True


def has_magic(path: Path) -> bool:
    """Tell whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC
    except OSError:
        return False


def names_of(paths: Sequence[Path]) -> str:
    """Name a few files."""
    shown = ", ".join(repr(path.name) for path in paths[:3])
    return shown if len(paths) <= len(paths[:3]) else f"{shown} and {len(paths) - 3} more"
