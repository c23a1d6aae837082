"""The name of what a site keeps for itself between rounds: who made it, from which model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

OwnKey = Annotated[str, Field(pattern=r"^(round-\d{4,9}-[0-9a-f]{64})?$")]
"""Which of its own arrays a site goes on from; empty: none, it takes what comes. The site names a
file so, and a plan is not signed: nothing but such a name may come."""


def own_key(round_number: int, model_hash: str) -> str:
    """Name what a site keeps after a round.

    Args:
        round_number: The round in which the site made it.
        model_hash: Content hash of the model that the site was sent in that round.

    Examples:
        >>> own_key(3, "ab" * 32)[:15]
        'round-0003-abab'
    """
    return f"round-{round_number:04d}-{model_hash}"
