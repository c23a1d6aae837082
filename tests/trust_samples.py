"""A federation of two sites in keys and ledgers, for tests of trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crisp_core.schema.record import RoundRecord
from crisp_core.trust.keys import public_pem
from crisp_core.trust.ledger import Ledger
from crisp_core.trust.signature import sign

STUDY = "5" * 64


@dataclass(frozen=True)
class TwoSites:
    """Keys, the coordinator's ledger of one run, and east's own ledger."""

    coordinator: Ed25519PrivateKey
    east: Ed25519PrivateKey
    north: Ed25519PrivateKey
    run: Ledger
    site: Ledger

    @property
    def coordinator_pem(self) -> str:
        return public_pem(self.coordinator)

    @property
    def east_pem(self) -> str:
        return public_pem(self.east)

    @property
    def site_keys(self) -> dict[str, tuple[str, ...]]:
        return {"east": (self.east_pem,), "north": (public_pem(self.north),)}

    def left(self, record: RoundRecord) -> None:
        """East lets an answer out."""
        signature = sign(self.east, "record", record.text())
        self.site.append("departure", record=record.model_dump(), site_signature=signature)

    def counted(self, record: RoundRecord) -> None:
        """The coordinator counts an answer of either site."""
        key = self.east if record.site == "east" else self.north
        self.run.append(
            "record",
            record=record.model_dump(),
            site_signature=sign(key, "record", record.text()),
            coordinator_signature=sign(self.coordinator, "receipt", record.text()),
        )

    def receipted(self, record: RoundRecord) -> None:
        """The receipt reaches east."""
        signature = sign(self.coordinator, "receipt", record.text())
        self.site.append("receipt", record=record.model_dump(), coordinator_signature=signature)


def record(number: int, *, site: str = "east", study: str = STUDY) -> RoundRecord:
    """Return what a site answered to ask `number`."""
    return RoundRecord(
        study=study,
        site=site,
        action="train",
        ask=f"{number:032x}",
        plan="a" * 64,
        received="b" * 64,
        returned=f"{number:064x}",
        figures="d" * 64,
        case_count=12,
        bytes_out=4096,
    )


def two_sites(folder: Path) -> TwoSites:
    """Return two sites that have done nothing yet."""
    keys = [Ed25519PrivateKey.generate() for _ in range(3)]
    return TwoSites(*keys, Ledger(folder / "run.jsonl"), Ledger(folder / "site.jsonl"))


def after_two_rounds(folder: Path) -> TwoSites:
    """Return them after two rounds of both; the last receipt is not sent before the next ask."""
    federation = two_sites(folder)
    for number in (1, 2):
        federation.left(record(number))
        federation.counted(record(number))
        federation.counted(record(number + 10, site="north"))
    federation.receipted(record(1))
    return federation
