"""The common control variates (SCAFFOLD): kept with the run, sent with the model, made of updates.

No site sends a variate: how much its own has changed follows from the model that it sends anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.numerics.control import common_control
from crisp_core.numerics.schedule import rate_sum
from crisp_core.schema.beside import CONTROL, beside, under
from crisp_core.schema.study import Study
from crisp_server.aggregation import averaged_arrays, mean_update
from crisp_server.steps import TrainRound
from crisp_server.store import RunFolder


@dataclass(frozen=True)
class Sent:
    """What every source was sent: the model, and c beside it under its prefix."""

    parameters: Parameters
    common: Parameters


def common_of(study: Study, parameters: Parameters, memory: Parameters) -> dict[str, AnyArray]:
    """Return c as it travels: zero in the first round; nothing in a study without correction.

    Every trained array has one, but those that stay at the sites.
    """
    if study.federation.correction == "none":
        return {}
    kept, averaged = beside(memory, CONTROL), averaged_arrays(study)
    names = [n for n, array in parameters.items() if array.dtype.kind == "f" and n not in averaged]
    common = {name: kept.get(name, np.zeros_like(parameters[name])) for name in names}
    return under(CONTROL, common)


def renewed(
    study: Study, step: TrainRound, sent: Sent, weights: Mapping[str, float], run: RunFolder
) -> dict[str, AnyArray]:
    """Return c after a round, as it is kept: the case-weighted mean of all sites' own variates.

    Args:
        study: The study.
        step: The round.
        sent: What the sites were sent.
        weights: How much each site that counted counts.
        run: Where their updates are.
    """
    if not sent.common:
        return {}
    training = study.training
    rates = rate_sum(
        step.first_step, step.steps, training.steps, training.learning_rate, training.decay_power
    )
    mean, share = mean_update(weights, run), _share(study, weights, run)
    new = {
        name: common_control(common, sent.parameters[name], mean[name], rates, share)
        for name, common in beside(sent.common, CONTROL).items()
    }
    return under(CONTROL, {n: array.astype(mean[n].dtype) for n, array in new.items()})


def _share(study: Study, weights: Mapping[str, float], run: RunFolder) -> float:
    """Say how much of all sources' weight counted: an absent site's variate stays as it is."""
    described, counted = run.progress().sites, sum(weights.values())
    absent = [site for site in study.sources if site not in weights]
    usual = counted / len(weights)
    missing = sum(described[s].train_cases if s in described else usual for s in absent)
    return counted / (counted + missing)
