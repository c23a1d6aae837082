"""Which cells of the failure analysis a case falls into, as far as its site knows."""

from __future__ import annotations

import numpy as np

from crisp_client.measuring.region import Yardstick
from crisp_core.files.cohort import Case
from crisp_core.numerics.strata import size_stratum

LONGEST_WORD = 64


def strata_of(case: Case, yardstick: Yardstick) -> dict[str, str]:
    """Return stratum -> word; what the site's table does not say is absent."""
    volume_ml = int(np.count_nonzero(yardstick.reference)) * yardstick.voxel_ml
    words = {"size": size_stratum(volume_ml), "phase": case.phase, "vendor": case.vendor}
    return {name: word[:LONGEST_WORD] for name, word in words.items() if word}
