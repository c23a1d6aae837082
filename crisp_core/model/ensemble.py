"""Several networks as one: the mean of what they believe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from crisp_core.arrays import Parameters
from crisp_core.model.parameters import load_arrays, to_arrays
from crisp_core.model.segmenter import Maps, Segmenter


class Ensemble(Segmenter):
    """Answers with the mean probability of its members.

    The members' maps lie beside one another as channels, so that each is perturbed by itself.
    """

    def __init__(self, members: Sequence[Segmenter]) -> None:
        first = members[0]
        super().__init__(
            input_channels=first.input_channels,
            class_count=first.class_count,
            noise_at=first.noise_at,
        )
        self.members = nn.ModuleList(members)

    def encode(self, x: torch.Tensor) -> tuple[Maps, torch.Tensor]:
        """Return the members' skips and features, joined along the channels."""
        encoded = [member.encode(x) for member in self._each()]
        skips = zip(*(skips for skips, _ in encoded), strict=True)
        features = torch.cat([features for _, features in encoded], dim=1)
        return [torch.cat(maps, dim=1) for maps in skips], features

    def decode(self, skips: Maps, features: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean probability, (B, K, H, W)."""
        count = len(self.members)
        parts = [one.tensor_split(count, dim=1) for one in (features, *skips)]
        logs = [
            member.decode([part[n] for part in parts[1:]], parts[0][n]).float().log_softmax(dim=1)
            for n, member in enumerate(self._each())
        ]
        return torch.stack(logs).logsumexp(dim=0) - math.log(count)

    def _each(self) -> list[Segmenter]:
        return [member for member in self.members if isinstance(member, Segmenter)]


def ensemble_of(segmenter: Segmenter, personal: Sequence[Parameters]) -> Ensemble:
    """Build one member for each set of arrays that replaces some of the segmenter's own.

    Raises:
        WeightsError: If an array does not fit the segmenter.
    """
    common = to_arrays(segmenter)
    members = []
    for arrays in personal:
        member = deepcopy(segmenter)
        load_arrays(member, common | dict(arrays))
        members.append(member)
    return Ensemble(members)
