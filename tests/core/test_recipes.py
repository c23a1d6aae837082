from __future__ import annotations

import json
from dataclasses import fields

import pytest
import torch

from crisp_core.numerics.recipes import RECIPES, Look, apply_look, draw_look, replayed
from crisp_core.schema.study import TrainingConfig

EVERY = sorted(RECIPES)


def images(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(count, 2, 24, 20, generator=generator) - 1


def drawn(word: str, seed: int = 1, count: int = 4) -> Look:
    return draw_look(RECIPES[word], count, generator=torch.Generator().manual_seed(seed))


def parts(look: Look, index: list[int]) -> Look:
    def of(draw: object) -> object:
        return type(draw)(**{f.name: getattr(draw, f.name)[index] for f in fields(draw)})

    return Look(of(look.appearance), of(look.style))


@pytest.mark.parametrize("word", EVERY)
def test_a_recipe_is_decided_by_its_seed(word: str) -> None:
    x = images()

    first, second, other = (apply_look(x, drawn(word, seed)) for seed in (1, 1, 2))

    assert torch.equal(first, second)
    assert torch.equal(first, other) == (word == "none")


@pytest.mark.parametrize("word", EVERY)
def test_a_look_survives_being_written_down_to_the_bit(word: str) -> None:
    x, look = images(), drawn(word)

    again = replayed(json.loads(json.dumps(look.plain())))

    assert torch.equal(apply_look(x, again), apply_look(x, look))
    for part in fields(Look):
        own, other = getattr(look, part.name), getattr(again, part.name)
        assert all(
            torch.equal(getattr(own, f.name), getattr(other, f.name))
            and getattr(own, f.name).dtype == getattr(other, f.name).dtype
            for f in fields(own)
        )


@pytest.mark.parametrize("word", EVERY)
def test_only_the_partner_of_the_frequencies_depends_on_the_batch(word: str) -> None:
    x, look = images(), drawn(word)
    look.style.mix.zero_()

    together = apply_look(x, look)

    for index in range(4):
        alone = apply_look(x[[index]], parts(look, [index]))
        torch.testing.assert_close(together[[index]], alone, atol=1e-5, rtol=0)


def test_a_study_knows_every_recipe_and_no_other() -> None:
    words = TrainingConfig.model_fields["augmentation"].annotation.__args__

    assert sorted(words) == EVERY


def test_no_recipe_but_the_fullest_draws_textures() -> None:
    for word in EVERY:
        assert bool((drawn(word, count=64).style.texture > 0).any()) == (word == "full")


def test_none_leaves_an_image_alone() -> None:
    torch.testing.assert_close(apply_look(images(), drawn("none")), images(), atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("word", EVERY)
def test_a_gpu_makes_the_same_images(word: str) -> None:
    x, look = images(), drawn(word)

    there = apply_look(x.cuda(), look).cpu()

    torch.testing.assert_close(there, apply_look(x, look), atol=2e-4, rtol=0)
