from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from crisp_core.model.build import build_segmenter
from crisp_core.model.normalisation import frozen_running_statistics
from crisp_core.model.segmenter import Segmenter
from crisp_core.model.step import StepFigures, StepOptions, accumulate_gradients
from crisp_core.numerics.losses import segmentation_loss
from crisp_core.numerics.randomness import keyed_normal
from crisp_core.numerics.squeeze import squeeze_loss

generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(3, 5, 24, 24, generator=generator, dtype=torch.float64)
LABELS = torch.randint(0, 3, (3, 24, 24), generator=generator)
REGION = torch.rand(3, 1, 24, 24, generator=generator) > 0.3


def noise(n: int, shape: tuple[int, ...]) -> torch.Tensor:
    return keyed_normal(shape, "noise", n)


def segmenter_with(norm: str = "network", noise_at: str = "deepest") -> Segmenter:
    built = build_segmenter(class_count=2, hint_channels=4, norm=norm, noise_at=noise_at)
    return built.double().train()


def joint_gradients(segmenter: Segmenter, options: StepOptions) -> StepFigures:
    """The slow oracle: one graph of everything."""
    skips, features = segmenter.encode(INPUTS)
    logits = segmenter.decode(skips, features)
    perturbed = []
    for n in range(options.perturbations):
        drawn = noise(n, (3, segmenter.noise_length(skips, features)))
        with frozen_running_statistics(segmenter):
            noisy = segmenter.perturb(skips, features, drawn, options.sigma)
            perturbed.append(segmenter.decode(*noisy).softmax(1))
    together = torch.stack(perturbed)
    if options.stop_perturbed:
        together = together.detach()
    squeeze = squeeze_loss(logits.softmax(1), together, REGION, options.squeeze_norm)
    segmentation = segmentation_loss(logits, LABELS, options.loss)
    loss = segmentation + options.squeeze_weight * squeeze
    loss.backward()
    return StepFigures(loss.item(), segmentation.item(), squeeze.item(), 0.0)


def step(segmenter: Segmenter, options: StepOptions) -> StepFigures:
    return accumulate_gradients(segmenter, INPUTS, LABELS, REGION, noise, options)


def gradients(segmenter: Segmenter) -> list[torch.Tensor]:
    return [p.grad for p in segmenter.parameters() if p.grad is not None]


@pytest.mark.parametrize("norm", ["network", "group"])
@pytest.mark.parametrize(
    "options",
    [
        StepOptions(),
        StepOptions(loss="dice_ce", perturbations=4, squeeze_weight=3.0),
        StepOptions(squeeze_norm="printed"),
        StepOptions(squeeze_norm="mean_absolute"),
        StepOptions(stop_perturbed=True),
    ],
)
def test_accumulated_gradients_are_those_of_the_joint_graph(
    norm: str, options: StepOptions
) -> None:
    ours, oracle = segmenter_with(norm), segmenter_with(norm)

    figures = step(ours, options)
    expected = joint_gradients(oracle, options)

    for grad, wanted in zip(gradients(ours), gradients(oracle), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12)
    assert figures.loss == pytest.approx(expected.loss, abs=1e-12)
    assert figures.squeeze == pytest.approx(expected.squeeze, abs=1e-12)


def test_noise_in_every_map_back_propagates_into_every_map() -> None:
    ours, oracle = segmenter_with(noise_at="all"), segmenter_with(noise_at="all")

    step(ours, StepOptions())
    joint_gradients(oracle, StepOptions())

    for grad, wanted in zip(gradients(ours), gradients(oracle), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [StepOptions(squeeze_weight=0.0), StepOptions(perturbations=0)])
def test_a_step_without_squeeze_is_a_plain_step(options: StepOptions) -> None:
    ours, plain = segmenter_with(), segmenter_with()

    figures = step(ours, options)
    segmentation_loss(plain(INPUTS), LABELS, "dice").backward()

    assert figures.squeeze == 0
    assert figures.loss == figures.segmentation
    for grad, wanted in zip(gradients(ours), gradients(plain), strict=True):
        assert torch.equal(grad, wanted)


@pytest.mark.parametrize("norm", ["mean_square", "mean_absolute", "printed"])
def test_a_perturbation_of_sigma_zero_has_nothing_to_squeeze(norm: str) -> None:
    ours, plain = segmenter_with(), segmenter_with()

    figures = step(ours, StepOptions(sigma=0.0, squeeze_norm=norm))
    step(plain, StepOptions(squeeze_weight=0.0))

    assert figures.squeeze == 0
    for grad, wanted in zip(gradients(ours), gradients(plain), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-14)


def test_running_statistics_are_updated_once_a_step_by_the_clean_pass() -> None:
    ours, plain = segmenter_with(), segmenter_with()

    step(ours, StepOptions(perturbations=3))
    plain(INPUTS)

    buffers, expected = dict(ours.named_buffers()), dict(plain.named_buffers())
    assert all(torch.equal(buffers[name], value) for name, value in expected.items())


def test_gradients_are_added_to_those_that_are_there() -> None:
    once, twice = segmenter_with("group"), segmenter_with("group")

    step(once, StepOptions())
    step(twice, StepOptions())
    step(twice, StepOptions())

    for grad, wanted in zip(gradients(twice), gradients(once), strict=True):
        torch.testing.assert_close(grad, 2 * wanted, rtol=0, atol=1e-12)


def test_dropout_in_the_decoder_is_active_in_clean_and_perturbed_decodes() -> None:
    segmenter = segmenter_with("group")
    segmenter.fuse.append(CountingDropout())

    figures = step(segmenter, StepOptions(perturbations=2, sigma=0.0))

    assert segmenter.fuse[-1].active == 4 * [True]  # clean, two perturbed, clean again
    assert figures.squeeze > 0  # the masks differ even without noise


def test_the_clean_decode_draws_the_same_dropout_both_times() -> None:
    ours, oracle = segmenter_with("group"), segmenter_with("group")
    start = torch.Generator().manual_seed(1).get_state()
    after = []

    for segmenter, run in ((ours, step), (oracle, joint_gradients)):
        segmenter.fuse.append(nn.Dropout(0.5))
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(start)
            run(segmenter, StepOptions())
            after.append(torch.get_rng_state())

    assert torch.equal(*after)
    for grad, wanted in zip(gradients(ours), gradients(oracle), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12)


def test_a_step_in_bfloat16_keeps_losses_in_float32_and_gradients_close() -> None:
    segmenter = segmenter_with("group").float()
    wide = copy.deepcopy(segmenter)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        figures = accumulate_gradients(
            segmenter, INPUTS.float(), LABELS, REGION, noise, StepOptions()
        )
    expected = accumulate_gradients(wide, INPUTS.float(), LABELS, REGION, noise, StepOptions())

    assert figures.loss == pytest.approx(expected.loss, rel=0.02)
    ours, theirs = (torch.cat([g.flatten() for g in gradients(s)]) for s in (segmenter, wide))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.95


class CountingDropout(nn.Dropout):
    def __init__(self) -> None:
        super().__init__(0.5)
        self.active: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.active.append(self.training)
        return super().forward(x)
