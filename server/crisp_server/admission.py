"""The door in: an update counts only if it fits the model that was sent out."""

from __future__ import annotations

import numpy as np

from crisp_core.arrays import Parameters
from crisp_core.errors import UpdateRefusedError


def admit(site: str, update: Parameters, sent: Parameters) -> Parameters:
    """Return `update` in the order of `sent` if names, shapes and types agree and all is finite.

    Raises:
        UpdateRefusedError: Naming the site, the array and what is wrong with it.
    """
    if set(update) != set(sent):
        odd = min(set(update) ^ set(sent))
        got = "no array" if odd in sent else "an unknown array"
        raise _refused(site, "the arrays that were sent out", f"{got} {odd!r}")
    for name, reference in sent.items():
        array = update[name]
        if array.shape != reference.shape or array.dtype != reference.dtype:
            expected = f"{reference.dtype} {reference.shape} in {name!r}"
            raise _refused(site, expected, f"{array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise _refused(site, f"finite numbers in {name!r}", "nan or infinity")
    return {name: update[name] for name in sent}


def _refused(site: str, expected: str, got: str) -> UpdateRefusedError:
    return UpdateRefusedError(
        expected=expected,
        got=got,
        where=f"update of site {site!r}",
        fix="The update was left out of this round",
    )
