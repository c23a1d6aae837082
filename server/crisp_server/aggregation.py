"""Which rule makes the next model of a study: one word in it, one pure function behind the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import overload

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.normalisation import local_arrays, running_statistics
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.aggregation.adaptive import adaptive
from crisp_core.numerics.aggregation.geometric import geometric_median
from crisp_core.numerics.aggregation.krum import krum
from crisp_core.numerics.aggregation.mean import mean, momentum
from crisp_core.numerics.aggregation.middle import coordinate_median, trimmed_mean
from crisp_core.numerics.aggregation.rule import Outcome, Round, Rule
from crisp_core.numerics.average import weighted_mean
from crisp_core.schema.beside import PERSONAL, under
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


_NO_BATCH_NORM = (
    "federation.local_norm changes nothing: the network has no BatchNorm. This is the same method "
    "without it"
)
_OWN = MappingProxyType(
    {
        "all": "Every source was measured with its own BatchNorm layers (FedBN)",
        "statistics": "Every source was measured with its own BatchNorm statistics (SiloBN)",
    }
)
_SERVED = MappingProxyType(
    {
        "mean": "the mean of the sources' normalisations",
        "adapt": "BatchNorm statistics of their own images, labels unseen: they knew more of a "
        "hospital than a method that first meets a case when it measures it",
        "ensemble": "the mean answer of one network a source, each with that source's "
        "normalisation",
    }
)


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
        running=averaged_arrays(study),
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


def mean_update(weights: Mapping[str, float], run: RunFolder) -> dict[str, AnyArray]:
    """Average the updates that wait in the run folder, whatever rule makes the next model."""
    return weighted_mean(_Spooled(run.spooled, tuple(weights)), tuple(weights.values()))


def averaged_arrays(study: Study) -> frozenset[str]:
    """Name the arrays that no rule acts on: running statistics, and what is each site's own."""
    return _averaged(study.canonical())


def personal_norms(
    study: Study, round_number: int, sites: Sequence[str], run: RunFolder
) -> dict[str, AnyArray]:
    """Gather what each update of a generation's last round says of the site's own normalisation.

    Returns:
        The arrays under a prefix that numbers the sites in the order of their names; nothing
        unless the study serves a held-out site by the ensemble of its sources.
    """
    ensemble = study.federation.unseen_norm == "ensemble" and study.held_out
    if not ensemble or round_number % study.federation.rounds:
        return {}
    local = _local(study.canonical())
    found: dict[str, AnyArray] = {}
    for number, site in enumerate(sites, start=1):
        update = run.spooled(site)
        own = {name: update[name] for name in update if name in local}
        found |= under(f"{PERSONAL}{number}/", own)
    return found


def notes_on(study: Study) -> tuple[str, ...]:
    """Say what makes the study's method another one than its word promises."""
    if study.federation.local_norm == "none":
        return ()
    if not _local(study.canonical()):
        return (_NO_BATCH_NORM,)
    notes = [_OWN[study.federation.local_norm]]
    if study.held_out:
        notes.append(f"Held-out sites were measured with {_SERVED[study.federation.unseen_norm]}")
    return tuple(notes)


@lru_cache(maxsize=1)
def _averaged(canonical: str) -> frozenset[str]:
    return running_statistics(_network(canonical)) | _local(canonical)


@lru_cache(maxsize=1)
def _local(canonical: str) -> frozenset[str]:
    study = Study.model_validate_json(canonical)
    return local_arrays(_network(canonical), study.federation.local_norm)


def _network(canonical: str) -> Segmenter:
    return segmenter_of(Study.model_validate_json(canonical))
