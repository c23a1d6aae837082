"""Which rule makes the next model of a study: one word in it, one pure function behind the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import overload

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.model.from_study import segmenter_of
from crisp_core.model.normalisation import local_arrays, running_statistics
from crisp_core.numerics.aggregation.registry import rules
from crisp_core.numerics.aggregation.rule import Outcome, Round
from crisp_core.numerics.average import weighted_mean
from crisp_core.schema.beside import PERSONAL, under
from crisp_core.schema.study import Study
from crisp_server.store import RunFolder


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
    named = rules()[study.federation.aggregation]
    waiting = _Spooled(run.spooled, tuple(weights))
    one = Round(
        current=current,
        updates=waiting if named.one_at_a_time else list(waiting),
        weights=tuple(weights.values()),
        running=averaged_arrays(study),
    )
    return named.rule(one, memory)


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
    local = own_arrays(study)
    found: dict[str, AnyArray] = {}
    for number, site in enumerate(sites, start=1):
        update = run.spooled(site)
        own = {name: update[name] for name in update if name in local}
        found |= under(f"{PERSONAL}{number}/", own)
    return found


@lru_cache(maxsize=1)
def _averaged(canonical: str) -> frozenset[str]:
    study = Study.model_validate_json(canonical)
    return running_statistics(segmenter_of(study)) | own_arrays(study)


def own_arrays(study: Study) -> frozenset[str]:
    """Name what each site has of its own; empty as well where the network has no BatchNorm."""
    return _own_arrays(study.canonical())


@lru_cache(maxsize=1)
def _own_arrays(canonical: str) -> frozenset[str]:
    study = Study.model_validate_json(canonical)
    return local_arrays(segmenter_of(study), study.federation.local_norm)
