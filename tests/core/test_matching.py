from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crisp_core.numerics.matching import UPRIGHT, Look, best_reading

HEART = Look(
    patients=np.full(3, 8.0),
    volume=np.log([120.0, 150.0, 110.0]),
    share=np.array([0.1, 0.5, 0.67]),
    offset=np.array([[0.0, 0.0, 0.3], [-0.14, 0.0, 0.25], [0.23, 0.2, -0.85]]),
    intensity=np.array([[0.2], [-0.6], [0.3]]),
    spread=np.log([22.0, 17.0, 24.0]),
)
"""Cavity, muscle around it, other cavity beside it: figures as a short-axis heart has them."""


def relabelled(look: Look, order: list[int]) -> Look:
    parts = ("patients", "volume", "share", "offset", "intensity")
    return replace(look, **{name: getattr(look, name)[order] for name in parts})


def turned(look: Look, axes: tuple[int, ...]) -> Look:
    places, signs = np.abs(axes) - 1, np.sign(axes)
    return replace(look, offset=look.offset[:, places] * signs, spread=look.spread[places])


def noisy(look: Look, seed: int) -> Look:
    rng = np.random.default_rng(seed)
    return replace(
        look,
        volume=look.volume + rng.normal(0, 0.3, 3),
        share=np.clip(look.share + rng.normal(0, 0.05, 3), 0, 1),
        offset=look.offset + rng.normal(0, 0.05, (3, 3)),
        intensity=look.intensity + rng.normal(0, 0.3, (3, 1)),
    )


@pytest.mark.parametrize("seed", range(20))
def test_two_hospitals_that_differ_as_hospitals_do_are_read_as_they_are(seed: int) -> None:
    reading = best_reading(noisy(HEART, seed), noisy(HEART, seed + 100))

    assert reading.same_labels
    assert reading.same_axes


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0], [2, 0, 1]])
def test_every_exchange_of_labels_is_named(order: list[int]) -> None:
    reading = best_reading(relabelled(noisy(HEART, 1), order), HEART)

    assert list(reading.order) == order
    assert reading.same_axes


@pytest.mark.parametrize("axes", [(1, 3, 2), (1, 2, -3), (3, 2, 1)])
def test_turned_axes_are_named(axes: tuple[int, int, int]) -> None:
    reading = best_reading(turned(HEART, axes), HEART)

    assert reading.same_labels
    assert reading.axes == tuple(axes)  # each of these turns undoes itself


def test_one_structure_is_never_exchanged_and_a_long_one_shows_its_axes() -> None:
    tree = Look(
        patients=np.array([6.0]),
        volume=np.log([80.0]),
        share=np.ones(1),
        offset=np.zeros((1, 3)),
        intensity=np.zeros((1, 1)),
        spread=np.log([18.0, 30.0, 72.0]),
    )

    assert best_reading(tree, tree).axes == UPRIGHT
    assert best_reading(turned(tree, (3, 2, 1)), tree).axes == (3, 2, 1)


def test_few_patients_are_believed_less() -> None:
    lone = replace(HEART, patients=np.ones(3))
    odd = replace(HEART, share=HEART.share[[1, 0, 2]])  # nothing but the surfaces are exchanged

    assert not best_reading(odd, HEART).same_labels
    assert best_reading(replace(odd, patients=np.ones(3)), lone).same_labels
