from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics import randomness
from crisp_core.numerics.keyed_noise import keyed_normal

KEY = (7, "case", 3, 1, 0)


@pytest.mark.parametrize("length", [16, 17, 31, 32, 33, 100, 1024, 5000, 20_480])
def test_noise_without_torch_is_torchs_noise(length: int) -> None:
    ours, theirs = keyed_normal(length, *KEY), randomness.keyed_normal((length,), *KEY).numpy()

    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)
    assert ours.dtype == np.float32


def test_another_key_gives_other_noise() -> None:
    assert (keyed_normal(64, 7, "case") != keyed_normal(64, 8, "case")).all()


def test_a_length_that_torch_draws_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        keyed_normal(15, 1)
