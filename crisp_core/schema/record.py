"""What both sides sign about one exchange: what was asked, what came, what left."""

from __future__ import annotations

import json
from typing import Literal

from crisp_core.schema.frozen import Frozen

Action = Literal["describe", "train", "hints", "evaluate"]


class RoundRecord(Frozen):
    """One answer of one site, in hashes; both sides write it into their ledgers.

    `ask` is a random word that the coordinator puts into each message: an answer that is sent
    twice, or to another question, does not fit it.
    """

    study: str
    """Hash of the study."""
    site: str
    action: Action
    ask: str
    plan: str
    """SHA-256 of the plan's text."""
    received: str
    """Content hash of the arrays that came with the question; empty without any."""
    returned: str
    """Content hash of the arrays that left; empty without any."""
    figures: str
    """SHA-256 of the figures' text."""
    fault: str = ""
    """Code of the fault that left instead of figures."""
    case_count: int = 0
    bytes_out: int = 0
    """Bytes of arrays and figures that left."""

    def text(self) -> str:
        """Write the record as sorted JSON: the bytes that are signed."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


class Receipt(Frozen):
    """A record with both signatures (Ed25519, hex)."""

    record: RoundRecord
    site_signature: str
    coordinator_signature: str
