"""A site's own place: its settings and the keys that are made here and stay here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from crisp_client.home import SiteHome
from crisp_client.settings import explained, load_settings
from crisp_core.errors import RunStateError, UntrustedError, UsageError
from crisp_core.files.atomic import write_text
from crisp_core.schema.joining import JoinAnswer
from crisp_core.schema.manifest import DEVICE, SiteSettings
from crisp_core.schema.study import Study
from crisp_core.trust.certificates import fingerprint
from crisp_core.trust.keys import (
    load_signing_key,
    make_node_key,
    make_signing_key,
    public_pem,
    read_private,
    write_private,
)
from crisp_core.trust.tokens import JoinToken

PSEUDONYM_KEY_BYTES = 32
JOIN_LOCK = "join.lock"


def insist_on_folders(data: Sequence[Path]) -> None:
    """Refuse data folders that are not there."""
    for folder in data:
        if not folder.is_dir():
            raise UsageError(
                expected="a folder with this site's images",
                got="a file" if folder.exists() else "nothing",
                where=str(folder),
                fix="Name it with --data; a machine that mounts it must have it mounted",
            )


def make_folders(home: SiteHome) -> None:
    """Make the home, which only its owner may enter.

    Raises:
        RunStateError: If it cannot be made or written.
    """
    try:
        home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.running.mkdir(exist_ok=True)
        (home.running / JOIN_LOCK).touch(0o600)
    except OSError as error:
        raise RunStateError(
            expected="a folder that can be made and written",
            got=(error.strerror or "an error of the disk").lower(),
            where=str(home.path),
            fix="Name another with --home, or mend its rights",
        ) from None


def settings_of(
    home: SiteHome, token: JoinToken, data: Sequence[Path], device: str
) -> SiteSettings:
    """Return the settings of this home; written at the first join, the hospital's own since.

    Raises:
        UsageError: If they are of another site, coordinator or data folder.
    """
    wanted = tuple(str(folder.resolve()) for folder in data)
    if not DEVICE.fullmatch(device):
        raise UsageError(
            expected="auto, cpu, cuda or cuda:N",
            got=repr(device),
            where="--device",
            fix="Leave it out to take a GPU if there is one",
        )
    if not home.settings.exists():
        settings = SiteSettings(
            site=token.site,
            data=wanted,
            work=str((home.path / "work").resolve()),
            device=device,
            pseudonym_key=secrets.token_hex(PSEUDONYM_KEY_BYTES),
            coordinator=token.address,
        )
        _whole(home.settings, lambda path: write_private(path, explained(settings).encode()))
        return settings
    settings = load_settings(home.settings)
    if (settings.site, settings.coordinator) != (token.site, token.address):
        owner = f"site {settings.site!r} of {settings.coordinator}"
        raise _taken(home, owner, wanted=f"of site {token.site!r} of {token.address}")
    if tuple(str(Path(folder).resolve()) for folder in settings.data) != wanted:
        raise UsageError(
            expected=f"the data folders {', '.join(settings.data)}",
            got=", ".join(wanted),
            where=str(home.settings),
            fix="Change `data` there if they have moved, or type the same --data",
        )
    return settings


def insist_on_same_coordinator(home: SiteHome, token: JoinToken) -> None:
    """Refuse a home that trusts another authority already."""
    if not home.authority.exists():
        return
    pinned = home.authority.read_text(encoding="utf-8", errors="replace")
    if fingerprint(pinned) != token.fingerprint:
        raise _taken(home, "another coordinator", "of this token's coordinator")


def _taken(home: SiteHome, owner: str, wanted: str) -> UsageError:
    return UsageError(
        expected=f"a new home or one {wanted}",
        got=f"the home of {owner}",
        where=str(home.path),
        fix="Name another folder with --home; this one stays as it is",
    )


def _whole(path: Path, make: Callable[[Path], object]) -> None:
    """Let `make` write `path` by way of another name: a kill leaves it absent, never half."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    make(draft)
    draft.replace(path)


def signing_key(path: Path) -> str:
    """Return the public half of the site's signing key, made now if there is none."""
    if not path.exists():
        _whole(path, make_signing_key)
    return public_pem(load_signing_key(path))


def node_key(path: Path) -> str:
    """Return the public half of the node key, made now if there is none."""
    if not path.exists():
        _whole(path, make_node_key)
    try:
        key = load_ssh_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UntrustedError(
            expected="a private key in OpenSSH's form",
            got="something else",
            where=str(path),
            fix="Restore it from a backup, or join as new with another --home",
        ) from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def kept(home: SiteHome, authority: str, answer: JoinAnswer, study: Study) -> Path:
    """Keep what was answered; the coordinator's key comes last and means that all is there."""
    path = home.studies / f"{study.hash()}.json"
    write_text(home.authority, authority)
    write_text(path, answer.study.model_dump_json())
    write_text(home.coordinator_key, answer.coordinator_key)
    return path
