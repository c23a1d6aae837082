"""How a budget of optimiser steps is spent: shares of the generations, rate of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence


def steps_per_round(
    total_steps: int, phase_shares: Sequence[float], rounds: int
) -> tuple[tuple[int, ...], ...]:
    """Divide a budget over generations by their shares, then evenly over their rounds.

    Args:
        total_steps: Optimiser steps of one site over the whole study.
        phase_shares: One positive number per generation; only their ratios count.
        rounds: Rounds in each generation.

    Returns:
        One tuple per generation, one entry per round, each at least 1, in sum `total_steps`.

    Raises:
        ValueError: If a share is not positive or the budget has fewer steps than rounds.

    Examples:
        >>> steps_per_round(900, (4, 1, 1), 2)
        ((300, 300), (75, 75), (75, 75))
    """
    if not phase_shares or rounds < 1 or min(phase_shares) <= 0:
        message = f"need positive shares and rounds, got {tuple(phase_shares)} and {rounds}"
        raise ValueError(message)
    if total_steps < rounds * len(phase_shares):
        message = (
            f"{total_steps} steps cannot fill {len(phase_shares)} generations of {rounds} rounds"
        )
        raise ValueError(message)
    generations = _apportion(total_steps, phase_shares, minimum=rounds)
    return tuple(tuple(_apportion(steps, [1.0] * rounds, minimum=1)) for steps in generations)


def learning_rate(step: int, total_steps: int, base: float, power: float) -> float:
    """Return the polynomially decayed rate of a step counted from 0: base (1 - step/total)^power.

    Raises:
        ValueError: If the step is outside 0..total_steps.
    """
    if not 0 <= step <= total_steps or total_steps < 1:
        message = f"step must be 0 to {total_steps}, got {step}"
        raise ValueError(message)
    return base * math.pow(1 - step / total_steps, power)


def rate_sum(first_step: int, steps: int, total_steps: int, base: float, power: float) -> float:
    """Add up the rates of consecutive steps; see `learning_rate`.

    Examples:
        >>> rate_sum(0, 4, 10, 0.5, 0.0)
        2.0
    """
    numbers = range(first_step, first_step + steps)
    return math.fsum(learning_rate(number, total_steps, base, power) for number in numbers)


def _apportion(total: int, shares: Sequence[float], minimum: int) -> list[int]:
    """Give out `total` by largest remainder, the first of equals first, at least `minimum` each."""
    quotas = [total * share / math.fsum(shares) for share in shares]
    counts = [max(minimum, math.floor(quota)) for quota in quotas]
    while (missing := total - sum(counts)) != 0:
        step = 1 if missing > 0 else -1
        open_places = [i for i, count in enumerate(counts) if count + step >= minimum]
        place = max(open_places, key=lambda i: step * (quotas[i] - counts[i]))
        counts[place] += step
    return counts
