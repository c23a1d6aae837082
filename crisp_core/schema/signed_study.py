"""A study as it travels: its canonical text and the coordinator's signature under it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crisp_core.schema.frozen import Frozen


class SignedStudy(Frozen):
    """Nothing is known about the text until the signature is checked."""

    study: Annotated[str, Field(max_length=1_000_000)]
    """Canonical text of the study."""
    signature: Annotated[str, Field(max_length=128)]
    """Ed25519 over the context "study" and the text, hex."""
