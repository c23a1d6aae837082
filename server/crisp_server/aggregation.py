"""Which rule makes the next model of a study: one word in it, one pure function behind the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import overload

from crisp_core.arrays import Parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.normalisation import running_statistics
from crisp_core.numerics.aggregation.adaptive import adaptive
from crisp_core.numerics.aggregation.geometric import geometric_median
from crisp_core.numerics.aggregation.krum import krum
from crisp_core.numerics.aggregation.mean import mean, momentum
from crisp_core.numerics.aggregation.middle import coordinate_median, trimmed_mean
from crisp_core.numerics.aggregation.rule import Outcome, Round, Rule
from crisp_core.schema.study import Aggregation, Study
from crisp_server.store import RunFolder

_RULES: Mapping[Aggregation, Rule] = MappingProxyType(
    {
        "fedavg": mean,
        "fedavgm": momentum(),
        "fedadam": adaptive("adam"),
        "fedyogi": adaptive("yogi"),
        "fedadagrad": adaptive("adagrad"),
        "median": coordinate_median,
        "trimmed-mean": trimmed_mean(),
        "krum": krum(),
        "multi-krum": krum(keep=2),
        "geometric-median": geometric_median(),
    }
)
_ONE_AT_A_TIME: frozenset[Aggregation] = frozenset(
    {"fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad"}
)
"""Rules that look at nothing but the mean: memory holds one update at a time."""


def next_model(
    study: Study,
    current: Parameters,
    memory: Parameters,
    weights: Mapping[str, float],
    run: RunFolder,
) -> Outcome:
    """Make the next model of the updates that wait in the run folder.

    Args:
        study: Names the rule.
        current: What the sites started from.
        memory: What the rule kept from the round before; empty at first.
        weights: How much each site counts, in the order of the names.
        run: Where the updates are.
    """
    word = study.federation.aggregation
    waiting = _Spooled(run.spooled, tuple(weights))
    one = Round(
        current=current,
        updates=waiting if word in _ONE_AT_A_TIME else list(waiting),
        weights=tuple(weights.values()),
        running=_running(study.canonical()),
    )
    return _RULES[word](one, memory)


class _Spooled(Sequence[Parameters]):
    """Updates that are read from the disk each time that somebody looks."""

    def __init__(self, read: Callable[[str], Parameters], sites: tuple[str, ...]) -> None:
        self._read, self._sites = read, sites

    def __len__(self) -> int:
        return len(self._sites)

    @overload
    def __getitem__(self, place: int) -> Parameters: ...
    @overload
    def __getitem__(self, place: slice) -> list[Parameters]: ...
    def __getitem__(self, place: int | slice) -> Parameters | list[Parameters]:
        """Read one update; a slice is a list of them."""
        if isinstance(place, slice):
            return [self._read(site) for site in self._sites[place]]
        return self._read(self._sites[place])


@lru_cache(maxsize=1)
def _running(canonical: str) -> frozenset[str]:
    return running_statistics(segmenter_of(Study.model_validate_json(canonical)))
