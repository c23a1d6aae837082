"""Where the PACS of a hospital are: `pacs.toml` in the site's home, one table each.

[archive]
kind = "dicomweb"
host = "pacs.hospital.example"
port = 443
path = "/dicom-web"
tls = true
credentials = "keys/archive.txt"   # two lines: user, password; readable by its owner only

[theatre]
kind = "dimse"
host = "10.1.2.3"
port = 104
ae_title = "ARCHIVE"
calling = "CRISP"
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from crisp_core.errors import UsageError
from crisp_core.schema.frozen import Frozen
from crisp_core.trust.keys import read_private

AeTitle = Annotated[str, Field(pattern=r"^[ -\[\]-~]{1,16}$")]
"""At most 16 printable characters, no backslash: PS3.5, kind AE."""
Port = Annotated[int, Field(ge=1, le=65535)]


class _Place(Frozen):
    host: Annotated[str, Field(min_length=1)]
    port: Port
    tls: bool = False
    authority: str = ""
    """PEM file of who signs the PACS's certificate; "" means the machine's own list."""
    certificate: str = ""
    """PEM file of our own certificate, where the PACS asks for one."""
    key: str = ""
    """PEM file of that certificate's key."""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0


class DicomwebPlace(_Place):
    """A PACS that speaks QIDO, WADO and STOW."""

    kind: Literal["dicomweb"]
    path: str = "/dicom-web"
    credentials: str = ""
    """File of two lines, user and password; "" for none."""

    @property
    def url(self) -> str:
        """Address of the service."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.host}:{self.port}/{self.path.strip('/')}"


class DimsePlace(_Place):
    """A PACS that speaks C-FIND, C-GET and C-STORE."""

    kind: Literal["dimse"]
    ae_title: AeTitle
    """Of the PACS."""
    calling: AeTitle = "CRISP"
    """Ours, as the PACS knows us."""


Place = Annotated[DicomwebPlace | DimsePlace, Field(discriminator="kind")]
_PLACES: TypeAdapter[dict[str, DicomwebPlace | DimsePlace]] = TypeAdapter(dict[str, Place])


def place_named(path: Path, name: str) -> DicomwebPlace | DimsePlace:
    """Read one PACS from `pacs.toml`; files that it names are taken from beside it.

    Raises:
        UsageError: If the file is absent, says something unknown, or names no such PACS.
    """
    places = _read(path)
    if name not in places:
        known = ", ".join(repr(known) for known in places) or "none"
        raise UsageError(
            expected=f"a PACS named {name!r}",
            got=known,
            where=str(path),
            fix=f"Name one of them, or add a table [{name}]",
        )
    place = places[name]
    files = ("authority", "certificate", "key", "credentials")
    beside = {
        field: str(path.parent / value) for field in files if (value := getattr(place, field, ""))
    }
    return place.model_copy(update=beside)


def credentials_of(place: DicomwebPlace) -> tuple[str, str] | None:
    """Read user and password; None where the place has none.

    Raises:
        UntrustedError: If the file is absent or others can read it.
        UsageError: If it does not hold two lines.
    """
    if not place.credentials:
        return None
    path = Path(place.credentials)
    lines = read_private(path).decode(errors="replace").splitlines()
    if len(lines) < 2 or not lines[0].strip():  # noqa: PLR2004 - user, password
        raise UsageError(
            expected="two lines, user and password",
            got=f"{len(lines)} lines",
            where=str(path),
            fix="Write the user on the first line and the password on the second",
        )
    return lines[0].strip(), lines[1].strip()


def _read(path: Path) -> dict[str, DicomwebPlace | DimsePlace]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return _PLACES.validate_json(json.dumps(raw, default=str))
    except OSError as error:
        got = "none" if not path.exists() else error.strerror or "an error of the disk"
        fix = "Write one; docs/how-to/pacs.md has an example"
    except ValidationError as error:
        fault = error.errors()[0]
        got, fix = ": ".join([*map(str, fault["loc"]), fault["msg"]]), "Correct that line"
    except (ValueError, RecursionError) as error:  # not TOML, or not UTF-8
        got, fix = str(error), "Mend that line"
    raise UsageError(expected="a list of PACS", got=got, where=str(path), fix=fix)
