"""Trees of vessels that fill a volume, with radii by Murray's law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crisp_core.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Tree:
    """Straight pieces of vessel, parents before children.

    Attributes:
        start_mm: `(n, 3)`.
        end_mm: `(n, 3)`.
        radius_mm: `(n,)`.
        parent: Index of the piece it grows from, `(n,)`; -1 for the trunk.
    """

    start_mm: FloatArray
    end_mm: FloatArray
    radius_mm: FloatArray
    parent: IntArray

    def thicker_than(self, radius_mm: float) -> Tree:
        """Return the pieces above a radius; `parent` then points nowhere and is -1."""
        kept: BoolArray = self.radius_mm > radius_mm
        orphans = np.full(int(kept.sum()), -1)
        return Tree(self.start_mm[kept], self.end_mm[kept], self.radius_mm[kept], orphans)

    def moved(self, step_mm: FloatArray, thickness: float) -> Tree:
        """Return the tree shifted by a vector, its radii multiplied by `thickness`."""
        return replace(
            self,
            start_mm=self.start_mm + step_mm,
            end_mm=self.end_mm + step_mm,
            radius_mm=self.radius_mm * thickness,
        )


def murray_radii(parent: IntArray, leaf_radius_mm: float) -> FloatArray:
    """Return every piece's radius: the cube of a parent's is the sum of its children's.

    Args:
        parent: As in `Tree`; a piece without a child is a leaf.
        leaf_radius_mm: Radius of the leaves.

    Source:
        Murray, "The physiological principle of minimum work", PNAS 12, 1926.

    Examples:
        >>> murray_radii(np.array([-1, 0, 0]), 1.0).round(3).tolist()
        [1.26, 1.0, 1.0]
    """
    cubes = np.zeros(len(parent))
    for piece in range(len(parent) - 1, -1, -1):
        cubes[piece] = cubes[piece] or leaf_radius_mm**3
        if parent[piece] >= 0:
            cubes[parent[piece]] += cubes[piece]
    return np.asarray(np.cbrt(cubes))


def grow_tree(
    root_mm: FloatArray,
    seeds_mm: FloatArray,
    leaf_radius_mm: float,
    *,
    generator: np.random.Generator,
) -> Tree:
    """Grow a tree from a root until every seed has its own leaf.

    A branch grows part of the way to the middle of its seeds, which are then shared between two
    children along the direction they spread most.

    Args:
        root_mm: Where the trunk begins, `(3,)`.
        seeds_mm: Points to be reached, `(n, 3)`.
        leaf_radius_mm: Radius of the last pieces.
        generator: Draws how uneven each fork is.

    Source:
        After Tawhai et al., "Generation of an anatomically based three-dimensional model of the
        conducting airways", Annals of Biomedical Engineering 28, 2000.
    """
    starts, ends, parents = [], [], []
    waiting = [(np.asarray(root_mm, float), np.asarray(seeds_mm, float), -1)]
    while waiting:
        start, seeds, parent = waiting.pop()
        alone = len(seeds) == 1
        end = seeds[0] if alone else start + generator.uniform(0.3, 0.5) * (seeds.mean(0) - start)
        starts.append(start)
        ends.append(end)
        parents.append(parent)
        if not alone:
            widest = int(np.ptp(seeds, axis=0).argmax())
            seeds = seeds[seeds[:, widest].argsort()]
            cut = int(np.clip(generator.uniform(0.3, 0.7) * len(seeds), 1, len(seeds) - 1))
            waiting += [(end, half, len(starts) - 1) for half in (seeds[:cut], seeds[cut:])]
    parent_array = np.array(parents)
    radii = murray_radii(parent_array, leaf_radius_mm)
    return Tree(np.array(starts), np.array(ends), radii, parent_array)


def tube_distance(
    tree: Tree, axes: tuple[FloatArray, FloatArray, FloatArray], reach_mm: float
) -> FloatArray:
    """Return the distance to the nearest wall of a tree, negative inside.

    Args:
        tree: Pieces are capsules.
        axes: Voxel centres along x, y and z, mm, evenly spaced.
        reach_mm: Farther away than this the distance is just `reach_mm`.

    Returns:
        float32 `(X, Y, Z)`.
    """
    distance = np.full([axis.size for axis in axes], reach_mm, np.float32)
    margin = tree.radius_mm[:, None] + reach_mm
    low = np.minimum(tree.start_mm, tree.end_mm) - margin
    high = np.maximum(tree.start_mm, tree.end_mm) + margin
    first = np.stack([np.searchsorted(axes[i], low[:, i]) for i in range(3)], axis=1)
    last = np.stack([np.searchsorted(axes[i], high[:, i]) for i in range(3)], axis=1)
    for piece in np.flatnonzero((last > first).all(axis=1)):
        box = tuple(slice(a, b) for a, b in zip(first[piece], last[piece], strict=True))
        x, y, z = np.ix_(*(axis[cut] for axis, cut in zip(axes, box, strict=True)))
        start, along = tree.start_mm[piece], tree.end_mm[piece] - tree.start_mm[piece]
        x, y, z = x - start[0], y - start[1], z - start[2]
        length2 = float(along @ along) + 1e-9
        share = np.clip((x * along[0] + y * along[1] + z * along[2]) / length2, 0, 1)
        gap = (
            (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2 + (z - share * along[2]) ** 2
        )
        part = distance[box]
        np.minimum(part, np.sqrt(gap) - tree.radius_mm[piece], out=part, casting="same_kind")
    return distance
