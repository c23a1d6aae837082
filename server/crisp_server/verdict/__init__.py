"""The data verdict: what every site says about itself, held against the others, before round 1."""

from crisp_server.verdict.lines import (
    Window,
    case_count,
    insist_on_fit,
    sentences_of,
    verdict,
)

__all__ = ["Window", "case_count", "insist_on_fit", "sentences_of", "verdict"]
