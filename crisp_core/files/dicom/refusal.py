"""How this package says no: one sentence with the file's name, nothing of the patient."""

from __future__ import annotations

from crisp_core.errors import DataError

EXPORT_AGAIN = "Export the series again from the PACS or the scanner"


def refused(where: str, expected: str, got: str, fix: str = EXPORT_AGAIN) -> DataError:
    """Return the error that says what a file should be and is not."""
    return DataError(expected=expected, got=got, where=where, fix=fix)


def unreadable(where: str, error: Exception) -> DataError:
    """Return the error for a file that the parser or a decoder stumbled over."""
    words = " ".join(str(error).split())[:160]
    fix = "Copy or export the file again; it may be truncated, damaged or of another format"
    return refused(where, "a readable DICOM file", f"{type(error).__name__} ({words})", fix)
