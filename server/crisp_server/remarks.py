"""What a reader must know of a study's method: how it was read, and where it cannot act."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from crisp_core.numerics.aggregation.adaptive import SERVER_RATE
from crisp_core.schema.study import Study
from crisp_server.aggregation import own_arrays

_ADAPTIVE = ("fedadam", "fedyogi", "fedadagrad")
_OF_ONE_SITE = ("fedavg", "fedavgm", *_ADAPTIVE)
_MANY_ROUNDS = 50
"""In which a weight that moves one way by `SERVER_RATE` a round moves by a half."""
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


def remarks_on(study: Study) -> tuple[str, ...]:
    """Say what makes the study's method another one than its word promises."""
    return (*_norm_notes(study), *_few_notes(study))


def _norm_notes(study: Study) -> Iterator[str]:
    federation = study.federation
    if federation.local_norm == "none":
        return
    if not own_arrays(study):
        yield _NO_BATCH_NORM
        return
    yield _OWN[federation.local_norm]
    if study.held_out:
        yield f"Held-out sites were measured with {_SERVED[federation.unseen_norm]}"


def _few_notes(study: Study) -> Iterator[str]:
    """Say where there are too few sites, rounds or steps for a method to act."""
    federation, training = study.federation, study.training
    rounds = study.crisp.generations * federation.rounds
    if len(study.sources) == 1 and federation.aggregation not in _OF_ONE_SITE:
        yield f"With one source {federation.aggregation} is that source's own training"
    if federation.aggregation == "fedavgm" and rounds == 1:
        yield "With one round there is no momentum: fedavgm was the weighted mean"
    if federation.aggregation in _ADAPTIVE and rounds < _MANY_ROUNDS:
        yield (
            f"{federation.aggregation} moves a weight by about {SERVER_RATE:g} a round or less, "
            f"however far the sites went: {rounds} rounds are few for it"
        )
    if training.proximal and training.steps == rounds:
        yield "With one step a round the proximal term is zero: this was training without it"
