"""This site's control variates (SCAFFOLD): they are made here, used here and stay here."""

from __future__ import annotations

import numpy as np

from crisp_core.arrays import AnyArray, Parameters
from crisp_core.numerics.control import own_control
from crisp_core.numerics.schedule import rate_sum
from crisp_core.schema.beside import CONTROL, beside, model_of, under
from crisp_core.schema.messages import TrainPlan
from crisp_core.schema.study import Study


def correction(received: Parameters, kept: Parameters) -> dict[str, AnyArray]:
    """Return c - c_k: what is added to the gradient in every step.

    Args:
        received: What came, with the common variates beside the model, if there are any.
        kept: What this site has of its own; a variate that is not in it is zero.
    """
    own = beside(kept, CONTROL)
    return {
        name: common - own.get(name, np.zeros_like(common))
        for name, common in beside(received, CONTROL).items()
    }


def renewed(
    study: Study, plan: TrainPlan, received: Parameters, kept: Parameters, trained: Parameters
) -> dict[str, AnyArray]:
    """Return this site's variates after a round, named as they are kept.

    Args:
        study: The study.
        plan: Of the round.
        received: What came.
        kept: What this site had of its own before.
        trained: The network's arrays at the end of the round.
    """
    training, own, sent = study.training, beside(kept, CONTROL), model_of(received)
    rates = rate_sum(
        plan.first_step,
        plan.steps,
        training.steps,
        training.learning_rate,
        training.decay_power,
    )
    new = {
        name: own_control(
            own.get(name, np.zeros_like(common)), common, sent[name], trained[name], rates
        ).astype(common.dtype)
        for name, common in beside(received, CONTROL).items()
    }
    return under(CONTROL, new)
