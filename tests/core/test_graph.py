from __future__ import annotations

from typing import Any

import pytest
import torch

from crisp_core.model.build import build_segmenter
from crisp_core.model.evidence import evidence_of
from crisp_core.model.graph import OnePass, Recursion, graded, guard_entropy
from crisp_core.model.hinting import HintOptions, KeyedNoise
from crisp_core.model.refine import Refinement, refine
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics import grades, guard
from crisp_core.numerics.randomness import keyed_normal

SIZE, SLICES, PASSES = 16, 4, 3


def small(hints: int = 4, norm: Any = "group") -> Segmenter:
    return build_segmenter(hint_channels=hints, class_count=2, width=8, norm=norm, seed=3).eval()


def both(
    options: HintOptions, segmenter: Segmenter | None = None, *, guarded: bool = True
) -> tuple[Any, Refinement]:
    """Run the graph and the recursion that it copies on the same images and noise."""
    segmenter = segmenter or small()
    passes = PASSES if segmenter.input_channels > 1 else 1
    images = keyed_normal((SLICES, 1, SIZE, SIZE), "graph images")
    length = 4 * 8 * (SIZE // 8) ** 2
    noise = torch.stack(
        [
            torch.stack(
                [
                    torch.stack(
                        [keyed_normal((length,), 1, "c", s, g + 1, n) for s in range(SLICES)]
                    )
                    for n in range(options.perturbations)
                ]
            )
            for g in range(passes)
        ]
    )
    beside = torch.ones(SLICES)
    beside[SLICES // options.stacks - 1 :: SLICES // options.stacks] = 0
    graph = Recursion(segmenter, 1, options, passes, guarded=guarded).eval()
    with torch.no_grad():
        ours = graph.answer(images, noise, beside)
    theirs = refine(
        segmenter, images, passes, options, lambda g: KeyedNoise(1, "c", g), guarded=guarded
    )
    return ours, theirs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"neighbours": 0},
        {"stacks": 2},
        {"form": "binary"},
        {"instance": "slice", "range_over": "joint_fg"},
        {"range_over": "joint_all", "log_odds_clip": 2.0},
        {"levels": 9, "sigma": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("guarded", [True, False])
def test_the_graph_answers_as_the_recursion_does(options: dict[str, Any], guarded: bool) -> None:
    ours, theirs = both(HintOptions(perturbations=3, **options), guarded=guarded)

    answer = theirs.answer
    torch.testing.assert_close(ours.probabilities, answer.probabilities)
    assert torch.equal(ours.core.bool(), answer.core)
    assert torch.equal(ours.support.bool(), answer.support)
    assert int(ours.chosen) == theirs.chosen
    entropies = torch.tensor([one.entropy for one in theirs.passes])
    torch.testing.assert_close(ours.entropies, entropies, check_dtype=False)
    assert float(ours.recursion_change) == pytest.approx(evidence_of(theirs).recursion_change)
    assert ours.changed[1:].tolist() == pytest.approx([one.changed for one in theirs.passes[1:]])


def test_a_network_without_hints_is_run_once() -> None:
    ours, theirs = both(HintOptions(perturbations=2), small(hints=0))

    torch.testing.assert_close(ours.probabilities, theirs.answer.probabilities)
    assert ours.changed.tolist() == [1.0]


def test_one_pass_is_the_first_of_the_recursion() -> None:
    segmenter = small(norm="network")
    images = keyed_normal((SLICES, 1, SIZE, SIZE), "graph images")

    with torch.no_grad():
        found = OnePass(segmenter, 1)(images)

    first = refine(
        segmenter, images, 1, HintOptions(perturbations=1), lambda g: KeyedNoise(1, "c", g)
    )
    torch.testing.assert_close(found, first.answer.probabilities)


def test_grades_are_those_of_the_numerics() -> None:
    logits = keyed_normal((3, 4, 6, 6), "logits") * 30  # far beyond where a softmax saturates

    found, flat = graded(logits, HintOptions())

    expected = grades.graded(logits[None], 5, "class_fg", "volume")
    assert torch.equal(found, expected.grades[0])
    assert not flat.any()
    assert graded(torch.zeros(2, 3, 4, 4), HintOptions())[1].all()


def test_the_guards_figure_is_that_of_the_numerics_where_pixels_are_certain() -> None:
    certain = torch.zeros(2, 3, 8, 8)
    certain[:, 1, :4], certain[:, 0, 4:] = 1, 1
    unsure = keyed_normal((2, 3, 8, 8), "unsure").softmax(dim=1)

    assert float(guard_entropy(certain)) == guard.guard_entropy(certain) == 0
    assert float(guard_entropy(unsure)) == pytest.approx(guard.guard_entropy(unsure), rel=1e-5)
