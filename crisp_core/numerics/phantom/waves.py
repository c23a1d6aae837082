"""Smooth random fields in millimetres: the same patient at every resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crisp_core.arrays import FloatArray


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves, `sum_i a cos(k_i . x + phase_i)`.

    Attributes:
        vectors: Wave vectors in rad/mm, `(n, 3)`.
        phases: Phases in rad, `(n,)`.
        amplitude: The same for every wave.
    """

    vectors: FloatArray
    phases: FloatArray
    amplitude: float


def draw_waves(
    wavelengths_mm: tuple[float, float], rms: float, generator: np.random.Generator, count: int = 12
) -> Waves:
    """Draw waves of random direction with wavelengths between two bounds.

    Args:
        wavelengths_mm: Shortest and longest wavelength; drawn evenly in their logarithm.
        rms: Root mean square of the field over all space, in the unit of the field.
        generator: Source of the draw.
        count: Number of waves; from about ten on the field looks Gaussian.
    """
    lengths = np.exp(generator.uniform(np.log(wavelengths_mm[0]), np.log(wavelengths_mm[1]), count))
    directions = generator.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Waves(
        vectors=directions * (2 * np.pi / lengths)[:, None],
        phases=generator.uniform(0, 2 * np.pi, count),
        amplitude=rms * float(np.sqrt(2 / count)),
    )


def field(waves: Waves, x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray) -> FloatArray:
    """Evaluate the waves on the grid of three axes.

    A plane wave is a product over the axes, so the sum is one matrix product.

    Args:
        waves: What to evaluate.
        x_mm: `(X,)`.
        y_mm: `(Y,)`.
        z_mm: `(Z,)`.

    Returns:
        float32 `(X, Y, Z)`.
    """
    along_x, along_y, along_z = (
        np.exp(1j * waves.vectors[:, [axis]] * coordinate).astype(np.complex64)
        for axis, coordinate in enumerate((x_mm, y_mm, z_mm))
    )
    along_x *= np.exp(1j * waves.phases)[:, None] * waves.amplitude
    plane = (along_x[:, :, None] * along_y[:, None, :]).reshape(len(along_x), -1)
    total = plane.real.T @ along_z.real - plane.imag.T @ along_z.imag
    return np.ascontiguousarray(total.reshape(x_mm.size, y_mm.size, z_mm.size), np.float32)
