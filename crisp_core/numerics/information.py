"""What the perturbations of a case disagree about, counted one perturbation at a time."""

from __future__ import annotations

import torch


class InformationTally:
    """Collect probabilities and their entropies, in memory that does not grow with N."""

    def __init__(self) -> None:
        self._sum: torch.Tensor | None = None
        self._own: torch.Tensor | None = None
        self.count = 0

    def add(self, logits: torch.Tensor) -> None:
        """Count one perturbation in.

        Args:
            logits: (B, K, *space), any real type; computed in float32.
        """
        logs = logits.float().log_softmax(dim=1)
        odds = logs.exp()
        own = -logs.mul_(odds).sum(dim=1)
        if self._sum is None or self._own is None:
            self._sum, self._own = odds, own
        else:
            self._sum += odds
            self._own += own
        self.count += 1

    @property
    def mutual_information(self) -> torch.Tensor:
        """Entropy of the mean less the mean entropy, nats, float32 (B, *space), at least 0.

        Raises:
            ValueError: If nothing was added.

        Source:
            Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
            2011, equation 1.
        """
        if self._sum is None or self._own is None:
            message = "no perturbation was added to the tally"
            raise ValueError(message)
        total = torch.special.entr(self._sum / self.count).sum(dim=1)
        apart: torch.Tensor = total - self._own / self.count
        return apart.clamp_min(0)  # rounding may leave -1e-8
