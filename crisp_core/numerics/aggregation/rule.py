"""What every aggregation rule sees and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray, Parameters
from crisp_core.numerics.average import weighted_mean


@dataclass(frozen=True)
class Round:
    """One round as a rule sees it.

    Attributes:
        current: The model that the sites started from.
        updates: The models that came back, in the order of the site names; all with the names,
            shapes and types of `current`. At least one.
        weights: One positive number an update, usually the site's case count.
        running: Names of running statistics (BatchNorm's mean and variance). Every rule averages
            them, as it does with integer arrays: a step along them can make a variance negative.
    """

    current: Parameters
    updates: Sequence[Parameters]
    weights: Sequence[float]
    running: frozenset[str] = frozenset()

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the arrays that a rule acts on."""
        return tuple(
            name
            for name, array in self.current.items()
            if array.dtype.kind == "f" and name not in self.running
        )

    def mean(self) -> dict[str, AnyArray]:
        """Return the weighted mean of the updates."""
        return weighted_mean(self.updates, self.weights)

    def values(self, name: str) -> FloatArray:
        """Return one array as each site sent it, float64 (sites, ...)."""
        return np.stack([update[name].astype(np.float64) for update in self.updates])

    def changes(self, name: str) -> FloatArray:
        """Return what each site changed in one array, float64 (sites, ...)."""
        start = self.current[name].astype(np.float64)
        return np.stack([update[name] - start for update in self.updates])

    def with_learned(self, arrays: Mapping[str, FloatArray]) -> dict[str, AnyArray]:
        """Return the mean with the learned arrays replaced, in the model's own types."""
        whole = self.mean()
        for name in self.learned:
            whole[name] = arrays[name].astype(self.current[name].dtype)
        return whole


@dataclass(frozen=True)
class Outcome:
    """The next model, what the rule keeps for its next round and what a reader must know."""

    parameters: dict[str, AnyArray]
    memory: dict[str, AnyArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Rule: TypeAlias = Callable[[Round, Parameters], Outcome]
"""(round, memory of the rounds before: empty at first) -> outcome."""


@dataclass(frozen=True)
class Named:
    """A rule as a study names it.

    Attributes:
        rule: The rule.
        one_at_a_time: It looks at nothing but `Round.mean`: memory then holds one update.
    """

    rule: Rule
    one_at_a_time: bool = False
