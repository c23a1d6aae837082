"""Who may take part: each site's state, its public keys and the hash of its join token."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crisp_core.errors import RunStateError, UsageError
from crisp_core.files.atomic import write_text
from crisp_core.schema.frozen import Frozen


class RosterEntry(Frozen):
    """One site as the coordinator knows it."""

    site: str
    state: Literal["invited", "admitted", "revoked"] = "invited"
    token_hash: str = ""
    """SHA-256 of the token's one-time word; empty: no token may be used."""
    token_expires: str = ""
    """ISO 8601, UTC."""
    token_used: bool = False
    node_key: str = ""
    """Public EC P-384 key (OpenSSH line) by which Flower knows the site."""
    signing_key: str = ""
    """Public Ed25519 key (PEM) that its records are signed with."""
    former_keys: tuple[str, ...] = ()
    """Public keys of both kinds that this site had before: they let nobody in, and prove what was
    signed with them."""
    node_id: Annotated[str | None, Field(pattern=r"^\d{1,20}$")] = None
    """Flower's number for the node key, once it is registered."""


class Roster(Frozen):
    """Every site of the study, one entry each, as one file."""

    entries: tuple[RosterEntry, ...]

    @classmethod
    def load(cls, path: Path) -> Roster:
        """Read a roster.

        Raises:
            RunStateError: If the file is absent or damaged.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            raise RunStateError(
                expected="a readable roster",
                got="none" if not path.exists() else "a damaged one",
                where=str(path),
                fix="Name the coordinator's folder with --home, or make one: crisp provision",
            ) from None

    def save(self, path: Path) -> None:
        """Replace the file in one move."""
        write_text(path, self.model_dump_json(indent=1))

    def entry(self, site: str) -> RosterEntry:
        """Return one site's entry.

        Raises:
            UsageError: If the study has no such site.
        """
        for entry in self.entries:
            if entry.site == site:
                return entry
        raise UsageError(
            expected=f"one of {', '.join(entry.site for entry in self.entries)}",
            got=repr(site),
            where="the name of a site",
            fix="Type it as the study does",
        )

    def replaced(self, entry: RosterEntry) -> Roster:
        """Return the roster with this entry in the place of its site's old one."""
        entries = tuple(entry if old.site == entry.site else old for old in self.entries)
        return Roster(entries=entries)

    def in_state(self, state: Literal["invited", "admitted", "revoked"]) -> tuple[RosterEntry, ...]:
        """Return the entries in this state."""
        return tuple(entry for entry in self.entries if entry.state == state)

    def known_keys(self) -> dict[str, tuple[str, ...]]:
        """Return site -> all public keys that its records may be signed with, the present first."""
        return {
            entry.site: (entry.signing_key, *entry.former_keys)
            for entry in self.entries
            if entry.signing_key
        }

    def signing_keys(self) -> dict[str, str]:
        """Return site -> public signing key (PEM) of every admitted site."""
        return {entry.site: entry.signing_key for entry in self.in_state("admitted")}


def change_roster(path: Path, change: Callable[[Roster], Roster]) -> Roster:
    """Load, change and save a roster while nobody else does; return the new one.

    An error in `change` leaves the file as it was.
    """
    try:
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RunStateError(
            expected="a coordinator's folder that can be written",
            got=error.strerror or "an error of the disk",
            where=str(path.parent),
            fix="Name it with --home, free space, or mend its rights",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        roster = change(Roster.load(path))
        roster.save(path)
    finally:
        os.close(handle)
    return roster
