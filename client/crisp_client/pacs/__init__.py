"""A hospital's PACS: images out of it, results into it, by DICOMweb and by DIMSE.

Needs the extra `dicom`; importing this package without it is one sentence.
"""

from __future__ import annotations

from importlib.util import find_spec

from crisp_core.errors import MissingExtraError

if any(find_spec(name) is None for name in ("pydicom", "pynetdicom", "dicomweb_client")):
    raise MissingExtraError(
        expected="pynetdicom and dicomweb-client, which speak with a PACS",
        got="an installation without them",
        where="crisp_client.pacs",
        fix='Run pip install "crisp-fl[dicom]"',
    )
