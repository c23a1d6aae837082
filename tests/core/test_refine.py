from __future__ import annotations

from functools import partial

import pytest
import torch

from crisp_core.model.build import build_segmenter
from crisp_core.model.hinting import HintOptions, KeyedNoise, make_hints
from crisp_core.model.refine import refine
from crisp_core.model.segmenter import evaluating
from crisp_core.numerics.agreement import changed_share
from crisp_core.numerics.guard import guard_entropy
from crisp_core.numerics.hints import null_hint

OPTIONS = HintOptions(perturbations=3)
noise_of = partial(KeyedNoise, 0, "case")


def images() -> torch.Tensor:
    return torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hint_channels", [0, 4])
def test_one_generation_is_plain_inference(hint_channels: int) -> None:
    segmenter = build_segmenter(class_count=2, hint_channels=hint_channels)
    inputs = torch.cat([images(), null_hint(4, 2, (32, 32))], dim=1)[:, : 1 + hint_channels]

    refined = refine(segmenter, images(), 1, OPTIONS, noise_of)

    with evaluating(segmenter):
        expected = segmenter(inputs).softmax(1)
    assert torch.equal(refined.answer.probabilities, expected)
    assert refined.answer.changed is None
    assert refined.answer.core.shape == (4, 2, 32, 32)
    assert not (refined.answer.core & ~refined.answer.support).any()


@pytest.mark.parametrize("form", ["binary", "rank"])
def test_each_pass_sees_the_hints_of_the_one_before(form: str) -> None:
    segmenter = build_segmenter(class_count=2, hint_channels=4)
    options = HintOptions(form=form, perturbations=3)

    refined = refine(segmenter, images(), 3, options, noise_of)

    hint = None
    for generation, one in enumerate(refined.passes, start=1):
        hints = make_hints(segmenter, images(), hint, options, noise_of(generation))
        assert torch.equal(one.core, hints.core)
        assert torch.equal(one.support, hints.support)
        assert torch.equal(one.hint, hints.hint)
        assert torch.equal(one.labels, hints.labels)
        hint = hints.hint
    with evaluating(segmenter):
        last = segmenter(torch.cat([images(), refined.passes[1].hint], dim=1)).softmax(1)
    assert torch.equal(refined.passes[2].probabilities, last)


def test_a_network_without_hints_repeats_itself() -> None:
    refined = refine(build_segmenter(class_count=2), images(), 3, OPTIONS, noise_of)

    assert [one.changed for one in refined.passes] == [None, 0.0, 0.0]
    assert refined.chosen == 0  # of equals the first


def test_the_guard_takes_the_pass_of_least_entropy_and_without_it_the_last_answers() -> None:
    segmenter = build_segmenter(class_count=2, hint_channels=4)

    guarded = refine(segmenter, images(), 3, OPTIONS, noise_of)
    unguarded = refine(segmenter, images(), 3, OPTIONS, noise_of, guarded=False)

    entropies = [guard_entropy(one.probabilities) for one in guarded.passes]
    assert [one.entropy for one in guarded.passes] == entropies
    assert guarded.chosen == entropies.index(min(entropies))
    assert unguarded.chosen == 2
    assert unguarded.answer is unguarded.passes[2]


def test_change_and_uncertainty_are_told_of_every_pass() -> None:
    first, second = refine(
        build_segmenter(class_count=2, hint_channels=4), images(), 2, OPTIONS, noise_of
    ).passes

    assert second.changed == changed_share(first.labels, second.labels)
    assert torch.equal(first.uncertain[:, 0], (first.support & ~first.core).any(dim=1))


def test_no_generation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one generation, got 0"):
        refine(build_segmenter(class_count=1), images(), 0, OPTIONS, noise_of)
