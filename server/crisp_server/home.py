"""Where a coordinator keeps what belongs to one federation of real hospitals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CoordinatorHome:
    """The folder that `crisp provision` makes; every path in it has one name here."""

    path: Path

    @property
    def settings(self) -> Path:
        """`coordinator.toml`: public address and the loopback ports."""
        return self.path / "coordinator.toml"

    @property
    def study(self) -> Path:
        """The study as it was provisioned, JSON."""
        return self.path / "study.json"

    @property
    def roster(self) -> Path:
        """Who may take part: each site's state, public keys and token hash, JSON."""
        return self.path / "roster.json"

    @property
    def authority(self) -> Path:
        """Certificate of our own authority (PEM)."""
        return self.path / "trust" / "authority.crt"

    @property
    def authority_key(self) -> Path:
        """Its private key (PEM, 0600)."""
        return self.path / "trust" / "authority.key"

    @property
    def certificate(self) -> Path:
        """The server's certificate (PEM) with the names that hospitals use."""
        return self.path / "trust" / "server.crt"

    @property
    def certificate_key(self) -> Path:
        """Its private key (PEM, 0600)."""
        return self.path / "trust" / "server.key"

    @property
    def signing_key(self) -> Path:
        """Private Ed25519 key (PEM, 0600) that signs studies and countersigns records."""
        return self.path / "trust" / "signing.pem"

    @property
    def tokens(self) -> Path:
        """Join tokens, one file a site, to be handed over."""
        return self.path / "tokens"

    @property
    def runs(self) -> Path:
        """Run folders."""
        return self.path / "runs"

    @property
    def flower(self) -> Path:
        """FLWR_HOME, the SuperLink's database and secrets."""
        return self.path / "flower"

    @property
    def logs(self) -> Path:
        """Logs of every supervised process, JSON lines."""
        return self.path / "logs"

    @property
    def running(self) -> Path:
        """Pid files and the state of `crisp up`; nothing that must survive a restart."""
        return self.path / "running"
