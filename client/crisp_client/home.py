"""Where a hospital keeps what belongs to its place in a federation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SiteHome:
    """The folder that `crisp-client join` makes; every path in it has one name here."""

    path: Path

    @property
    def settings(self) -> Path:
        """`site.toml`: data, work folder, coordinator."""
        return self.path / "site.toml"

    @property
    def policy(self) -> Path:
        """`policy.toml`: what this hospital allows; its own, read at every message."""
        return self.path / "policy.toml"

    @property
    def node_key(self) -> Path:
        """Private EC P-384 key (OpenSSH, 0600) by which Flower knows this node."""
        return self.path / "keys" / "node"

    @property
    def signing_key(self) -> Path:
        """Private Ed25519 key (PEM, 0600) that signs this site's records."""
        return self.path / "keys" / "signing.pem"

    @property
    def authority(self) -> Path:
        """Certificate of the coordinator's own authority (PEM), pinned when joining."""
        return self.path / "keys" / "authority.crt"

    @property
    def coordinator_key(self) -> Path:
        """Public Ed25519 key (PEM) of the coordinator, pinned when joining."""
        return self.path / "keys" / "coordinator.pub"

    @property
    def studies(self) -> Path:
        """Signed studies that reached this site, one JSON file each."""
        return self.path / "studies"

    @property
    def ledger(self) -> Path:
        """What left this hospital, line by line."""
        return self.path / "ledger.jsonl"

    @property
    def predictions(self) -> Path:
        """Folder of the prediction log: what the released model answered here."""
        return self.path / "predictions"

    @property
    def pacs(self) -> Path:
        """`pacs.toml`: the PACS of this hospital, by name."""
        return self.path / "pacs.toml"

    @property
    def inbox(self) -> Path:
        """Where `crisp-client listen` keeps what it is sent until it is worked on."""
        return self.path / "inbox"

    @property
    def logs(self) -> Path:
        """Logs of the daemon and its children, JSON lines."""
        return self.path / "logs"

    @property
    def running(self) -> Path:
        """Sockets, pid files and the daemon's state; nothing that must survive a restart."""
        return self.path / "running"

    @property
    def resident(self) -> Path:
        """Unix socket (0600) of the process that stays warm between messages."""
        return self.running / "resident.sock"
