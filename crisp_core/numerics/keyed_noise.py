"""The keyed perturbations of `numerics.randomness` once more, where there is no torch.

torch's generator on a CPU is the Mersenne Twister, and its normal numbers are Box and Muller's of
24-bit uniform ones in blocks of 16. Drawn here they agree with torch's to a few units in the last
place of float32: the logarithms and cosines are numpy's.
"""

from __future__ import annotations

import numpy as np

from crisp_core.arrays import FloatArray
from crisp_core.numerics.keys import keyed_seed

BLOCK = 16
HALF_BLOCK = BLOCK // 2
UNIFORM_BITS = 24
SEED_BITS = 32


def keyed_normal(length: int, *key: str | int) -> FloatArray:
    """Draw standard normal noise that depends on the key alone, as torch draws it.

    Args:
        length: At least 16: torch draws shorter vectors in another way.
        *key: Words and numbers.

    Returns:
        float32 (length,).

    Raises:
        ValueError: If length is less than 16.

    Source:
        Box and Muller, "A note on the generation of random normal deviates", 1958; Matsumoto and
        Nishimura, "Mersenne Twister", 1998.
    """
    if length < BLOCK:
        message = f"noise has at least {BLOCK} values, got {length}"
        raise ValueError(message)
    bits = np.random.MT19937()
    bits._legacy_seeding(keyed_seed(*key) % 2**SEED_BITS)  # noqa: SLF001 - the only way to seed by init_genrand
    whole = length - length % BLOCK
    drawn = _uniform(bits, length)
    if whole == length:
        return _normal(drawn)
    last = _normal(_uniform(bits, BLOCK))  # a last block of its own covers what is left over
    return np.concatenate([_normal(drawn[:whole])[: length - BLOCK], last])


def _uniform(bits: np.random.MT19937, count: int) -> FloatArray:
    raw = bits.random_raw(count) & (2**UNIFORM_BITS - 1)
    uniform: FloatArray = raw.astype(np.float32) * np.float32(2.0**-UNIFORM_BITS)
    return uniform


def _normal(uniform: FloatArray) -> FloatArray:
    """Turn float32 (16 n,) uniform numbers into normal ones, block by block."""
    first, second = uniform.reshape(-1, 2, HALF_BLOCK).swapaxes(0, 1)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - first))
    angle = np.float32(2 * np.pi) * second
    blocks = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return blocks.reshape(-1)
