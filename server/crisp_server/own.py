"""Which of its own arrays a site goes on from: a pure function of the rounds that counted."""

from __future__ import annotations

from collections.abc import Sequence

from crisp_core.schema.own import OwnKey, own_key
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary


def own_arrays_of(
    study: Study, site: str, rounds: Sequence[RoundSummary], generation: int
) -> OwnKey:
    """Name what a site kept when its update last counted in this generation or before.

    What it made in a round that did not count is not named: a run that is resumed, or asks again,
    goes on from the same bytes.

    Args:
        study: The study.
        site: The site.
        rounds: Finished rounds, in order.
        generation: 1-based.

    Returns:
        The empty name if sites keep nothing, or this one has not counted yet.
    """
    if not study.keeps_own:
        return ""
    counted = [
        summary
        for summary in rounds
        if summary.generation <= generation and site in summary.trained
    ]
    return own_key(counted[-1].round_number, counted[-1].sent) if counted else ""
