"""What the perturbations of a case disagree about, counted one perturbation at a time."""

from __future__ import annotations

import torch

from crisp_core.numerics.odds import Odds, blocks_of


class InformationTally:
    """Collect probabilities and their entropies, in memory that does not grow with N."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._noted = 0

    def add(self, logits: torch.Tensor) -> None:
        """Count one perturbation in.

        Args:
            logits: (B, K, *space), any real type; half precision is upcast.
        """
        for first, block in blocks_of(logits):
            self.note(first, Odds.of(block))

    def note(self, first: int, odds: Odds) -> None:
        """Count some items of a perturbation in; `first` is the number of their first one.

        Every perturbation comes in the same portions.
        """
        shares, own = odds.shares_and_entropy()
        if first in self._sums:
            self._sums[first][0].add_(shares)
            self._sums[first][1].add_(own)
        else:
            self._sums[first] = shares, own
        self._noted += 1

    @property
    def mutual_information(self) -> torch.Tensor:
        """Entropy of the mean less the mean entropy, nats, float32 (B, *space), at least 0.

        Raises:
            ValueError: If nothing was added.

        Source:
            Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
            2011, equation 1.
        """
        if not self._sums:
            message = "no perturbation was added to the tally"
            raise ValueError(message)
        count = self._noted // len(self._sums)
        parts = [
            entropy_of(shares / count) - own / count
            for _, (shares, own) in sorted(self._sums.items())
        ]
        return torch.cat(parts).float().clamp_min_(0)  # rounding may leave -1e-8


def entropy_of(shares: torch.Tensor) -> torch.Tensor:
    """Return the entropy (B, *space), in nats, of probabilities (B, K, *space); 0 ln 0 is 0.

    torch's own `entr` takes five times as long on a CPU.
    """
    tiny = torch.finfo(shares.dtype).tiny
    return -shares.clamp_min(tiny).log_().mul_(shares).sum(dim=1)
