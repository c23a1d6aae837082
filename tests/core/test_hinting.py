from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from linear_segmenter import LinearSegmenter
from oracle_vectors import rule, vector

from crisp_core.model.build import build_segmenter
from crisp_core.model.hinting import HintOptions, Hints, KeyedNoise, make_hints
from crisp_core.model.perturbation import EncodedCase
from crisp_core.model.segmenter import Segmenter, evaluating
from crisp_core.numerics.hints import core_and_support, null_hint, rank_hint, rank_map

OPTIONS = HintOptions(perturbations=3)
NOISE = KeyedNoise(0, "case", 2)


def hinted_segmenter(norm: str = "network", dtype: torch.dtype = torch.float32) -> Segmenter:
    return build_segmenter(class_count=2, hint_channels=4, norm=norm).to(dtype)


def case_images(slice_count: int = 9, size: int = 24, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(slice_count, 1, size, size, generator=generator)


def same(first: Hints, second: Hints) -> bool:
    names = ("core", "support", "grade_sums", "hint", "labels")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_linear_vector_is_reproduced_bit_for_bit(dtype: torch.dtype) -> None:
    values = vector("e2e_linear")
    tensors = {k: torch.from_numpy(values[k]).to(dtype) for k in ("W", "F", "eps")}
    options = HintOptions(
        form="binary",
        perturbations=len(values["eps"]),
        sigma=float(values["sigma"]),
        **rule(values),
    )

    hints = make_hints(
        LinearSegmenter(tensors["W"]),
        tensors["F"],
        None,
        options,
        lambda place, n, shape: tensors["eps"][n, place].reshape(shape),
    )

    assert torch.equal(hints.core, torch.from_numpy(values["HP"]).bool())
    assert torch.equal(hints.support, torch.from_numpy(values["HR"]).bool())
    assert torch.equal(hints.grade_sums, torch.from_numpy(values["G"].sum(0)).int())
    assert torch.equal(hints.hint, torch.cat([hints.core, hints.support], dim=1).float())


@pytest.mark.parametrize("instance", ["slice", "volume"])
@pytest.mark.parametrize("noise_at", ["deepest", "all"])
def test_hints_are_those_of_all_perturbed_logits_at_once(instance: str, noise_at: str) -> None:
    segmenter = build_segmenter(class_count=2, hint_channels=4, noise_at=noise_at)
    images = case_images()
    hints = make_hints(segmenter, images, None, HintOptions(instance=instance), NOISE)

    with evaluating(segmenter):
        inputs = torch.cat([images, null_hint(9, 2, (24, 24))], dim=1)
        skips, features = segmenter.encode(inputs)
        shape = (segmenter.noise_length(skips, features),)
        logits = torch.stack(
            [
                segmenter.decode(
                    *segmenter.perturb(
                        skips, features, torch.stack([NOISE(d, n, shape) for d in range(9)]), 0.35
                    )
                )
                for n in range(10)
            ]
        )
    core, support = core_and_support(logits, instance=instance)

    assert torch.equal(hints.core, core)
    assert torch.equal(hints.support, support)
    assert torch.equal(hints.hint, rank_hint(rank_map(logits, instance=instance), core, 1))
    assert torch.equal(hints.labels, segmenter.eval()(inputs).argmax(1))


def test_hints_of_a_case_do_not_depend_on_the_cases_before_it() -> None:
    segmenter = hinted_segmenter()
    cases = {name: case_images(count, seed=count) for name, count in [("a", 3), ("b", 5), ("c", 1)]}

    forward, backward = (
        {
            name: make_hints(segmenter, cases[name], None, OPTIONS, KeyedNoise(0, name, 2))
            for name in order
        }
        for order in (list(cases), list(cases)[::-1])
    )

    assert all(same(forward[name], backward[name]) for name in cases)
    assert not torch.equal(forward["a"].hint[:1], forward["b"].hint[:1])


@pytest.mark.parametrize("slices_at_once", [1, 4, 7])
def test_hints_do_not_depend_on_how_many_slices_are_computed_at_once(
    slices_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = hinted_segmenter(dtype=torch.float64)
    images = case_images().double()
    expected = make_hints(segmenter, images, None, OPTIONS, NOISE)

    pixels = slices_at_once * 24 * 24
    monkeypatch.setattr("crisp_core.model.perturbation.PIXELS_PER_CHUNK", pixels)

    assert same(make_hints(segmenter, images, None, OPTIONS, NOISE), expected)


def test_hints_do_not_depend_on_the_memory_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crisp_core.model.perturbation.PIXELS_PER_CHUNK", 2 * 24 * 24)
    segmenter, images = hinted_segmenter(), case_images()

    kept = make_hints(segmenter, images, None, OPTIONS, NOISE)
    made_anew = make_hints(segmenter, images, None, OPTIONS, NOISE, memory_bound_bytes=0)

    assert same(kept, made_anew)


def test_no_hint_is_the_null_hint() -> None:
    segmenter, images = hinted_segmenter(), case_images()

    without = make_hints(segmenter, images, None, OPTIONS, NOISE)
    null = make_hints(segmenter, images, null_hint(9, 2, (24, 24)), OPTIONS, NOISE)

    assert same(without, null)


def test_a_slice_at_the_end_of_a_window_has_no_neighbour_in_the_next_one() -> None:
    images = case_images(slice_count=6)
    options = replace(OPTIONS, neighbours=1, stacks=2)

    hints = make_hints(hinted_segmenter(), images, None, options, NOISE)

    ranks, around = hints.hint[:, :2], hints.hint[:, 2:]
    assert torch.allclose(around[2], ranks[1] / 2)
    assert torch.allclose(around[3], ranks[4] / 2)
    assert torch.allclose(around[1], (ranks[0] + ranks[2]) / 2)


def test_without_noise_the_number_of_perturbations_does_not_matter() -> None:
    segmenter, images = hinted_segmenter(), case_images()
    once, often = (HintOptions(sigma=0.0, perturbations=count) for count in (1, 4))

    first = make_hints(segmenter, images, None, once, NOISE)
    second = make_hints(segmenter, images, None, often, NOISE)

    assert torch.equal(first.core, second.core)
    assert torch.equal(first.support, second.support)
    assert torch.equal(4 * first.grade_sums, second.grade_sums)


def test_making_hints_leaves_mode_gradients_and_statistics_alone() -> None:
    segmenter = hinted_segmenter().train()
    before = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}

    hints = make_hints(segmenter, case_images(), None, OPTIONS, NOISE)

    assert segmenter.training
    assert not hints.hint.requires_grad
    assert all(torch.equal(before[name], t) for name, t in segmenter.state_dict().items())
    assert all(p.grad is None for p in segmenter.parameters())


def test_noise_ratio_is_sigma_over_the_spread_of_the_features() -> None:
    images = torch.tensor([1.0, 3.0, 5.0, 7.0]).reshape(1, 1, 2, 2)
    spread = (20 / 3) ** 0.5  # deviations -3, -1, 1, 3 from 4: 9 + 1 + 1 + 9 over n - 1

    hints = make_hints(LinearSegmenter(torch.tensor([[0.0], [1.0]])), images, None, OPTIONS, NOISE)

    assert hints.noise_ratio == pytest.approx(0.35 / spread)


def test_logits_that_are_not_numbers_and_channels_that_do_not_fit_are_refused() -> None:
    segmenter, images = hinted_segmenter(), case_images()
    images[0, 0, 0, 0] = torch.nan

    with pytest.raises(ValueError, match="NaN or infinite"):
        make_hints(segmenter, images, None, OPTIONS, NOISE)
    with pytest.raises(ValueError, match=r"takes 5 channels, got \[2, 4\]"):
        make_hints(segmenter, images.expand(9, 2, 24, 24), None, OPTIONS, NOISE)


@pytest.mark.parametrize(
    "changed", [("seed", 1), ("case", "other"), ("generation", 3), ("slice", 1), ("n", 1)]
)
def test_every_part_of_the_key_changes_the_noise(changed: tuple[str, int | str]) -> None:
    key = {"seed": 0, "case": "case", "generation": 2, "slice": 0, "n": 0}
    other = {**key, changed[0]: changed[1]}

    first, second = (
        KeyedNoise(k["seed"], k["case"], k["generation"])(k["slice"], k["n"], (8,))
        for k in (key, other)
    )

    assert not torch.equal(first, second)


def test_a_case_is_encoded_once_however_often_it_is_decoded() -> None:
    segmenter = CountingSegmenter(torch.eye(2))

    with evaluating(segmenter):
        encoded = EncodedCase(segmenter, torch.randn(3, 2, 4, 4))
        for n in range(5):
            encoded.perturbed_logits(n, NOISE, 0.35)

    assert segmenter.encode_count == 1


class CountingSegmenter(LinearSegmenter):
    encode_count = 0

    def encode(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        self.encode_count += 1
        return super().encode(x)
