"""What every phantom returns: one synthetic volume with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crisp_core.arrays import AnyArray, FloatArray
from crisp_core.numerics.randomness import keyed_seed


@dataclass(frozen=True)
class PhantomCase:
    """One volume, its labels and where it lies in the patient.

    Attributes:
        case_id: Unique within its site.
        patient_id: The person; one person can have several cases.
        group: What the person suffers from, in one word.
        phase: "ED" or "ES" in cardiac cine, otherwise empty.
        image: int16 `(X, Y, Z)`: magnitude for MR, HU for CT.
        label: uint8 `(X, Y, Z)`.
        affine: float64 `(4, 4)`, voxel index to RAS+ mm.
    """

    case_id: str
    patient_id: str
    group: str
    phase: str
    image: AnyArray
    label: AnyArray
    affine: FloatArray


def patient_generator(seed: int, *words: str | int) -> np.random.Generator:
    """Return a fresh generator that depends on the seed and the words alone."""
    return np.random.default_rng(keyed_seed(seed, "phantom", *words))


def axis_mm(count: int, spacing_mm: float) -> FloatArray:
    """Return `count` float32 coordinates, `spacing_mm` apart, with their middle at zero.

    Examples:
        >>> axis_mm(4, 2.0).tolist()
        [-3.0, -1.0, 1.0, 3.0]
    """
    return ((np.arange(count) - (count - 1) / 2) * spacing_mm).astype(np.float32)


def grid_affine(
    axes: tuple[FloatArray, FloatArray, FloatArray], direction: FloatArray, centre_mm: FloatArray
) -> FloatArray:
    """Return the affine of a regular grid, voxel index to RAS+ mm.

    Args:
        axes: Coordinates of the voxel centres along x, y and z, mm.
        direction: Unit vectors of x, y and z in RAS, as columns `(3, 3)`.
        centre_mm: Where the origin of the axes lies in RAS, `(3,)`.
    """
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array([float(axis[1] - axis[0]) for axis in axes])
    affine[:3, 3] = centre_mm + direction @ np.array([float(axis[0]) for axis in axes])
    return affine


def store_as(case: PhantomCase, order: tuple[int, int, int], signs: tuple[int, ...]) -> PhantomCase:
    """Permute and flip the arrays as another scanner would store them, affine included.

    Args:
        case: Not modified.
        order: New axis `i` is the old axis `order[i]`.
        signs: One of 1 and -1 for every new axis; -1 reverses it.

    Returns:
        The same picture: every voxel keeps its place in the patient.
    """
    flips = tuple(i for i, sign in enumerate(signs) if sign < 0)
    image, label = (np.flip(a.transpose(order), flips) for a in (case.image, case.label))
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(order):
        step[old, new] = signs[new]
        step[old, 3] = (image.shape[new] - 1) if signs[new] < 0 else 0
    return replace(
        case,
        image=np.asfortranarray(image),
        label=np.asfortranarray(label),
        affine=case.affine @ step,
    )
