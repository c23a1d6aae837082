"""DICOM as hospitals have it: series of CT and MR, masks drawn on them, and what may be kept.

Needs the extra `dicom`; importing this package without it is one sentence.
"""

from __future__ import annotations

from importlib.util import find_spec

from crisp_core.errors import MissingExtraError

if find_spec("pydicom") is None:
    raise MissingExtraError(
        expected="pydicom, which reads DICOM",
        got="an installation without it",
        where="crisp_core.files.dicom",
        fix='Run pip install "crisp-fl[dicom]"',
    )
