from __future__ import annotations

import pytest
import torch

from crisp_core.errors import StudyError
from crisp_core.model.build import build_segmenter
from crisp_core.model.mixing import first_stages, mixing
from crisp_core.model.segmenter import Segmenter
from crisp_core.numerics.mixstyle import MixDraw, draw_mix, mix_style

SWAPPED = MixDraw(torch.tensor([1, 0]), torch.tensor([0.0, 0.0]))


def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    return scale * torch.randn(2, 3, 8, 8, generator=generator) + scale


def network() -> Segmenter:
    return build_segmenter("small", image_channels=1, hint_channels=0, class_count=2, width=4)


def test_a_share_of_zero_takes_the_partners_mean_and_spread() -> None:
    x = features()

    mixed = mix_style(x, SWAPPED)

    torch.testing.assert_close(mixed.mean((2, 3)), x.flip(0).mean((2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mixed.std((2, 3)), x.flip(0).std((2, 3)), atol=1e-4, rtol=1e-4)


def test_a_share_of_one_changes_nothing_and_half_is_in_the_middle() -> None:
    x = features()

    same, half = (
        mix_style(x, MixDraw(SWAPPED.partner, torch.full((2,), share))) for share in (1.0, 0.5)
    )

    torch.testing.assert_close(same, x, atol=1e-5, rtol=1e-5)
    middle = (x.mean((2, 3)) + x.flip(0).mean((2, 3))) / 2
    torch.testing.assert_close(half.mean((2, 3)), middle, atol=1e-4, rtol=1e-4)


def test_no_gradient_flows_through_mean_and_spread() -> None:
    x = features().requires_grad_()

    mix_style(x, SWAPPED)[0].sum().backward()

    gain = (
        x.detach()[1].var((1, 2), correction=0) / x.detach()[0].var((1, 2), correction=0)
    ).sqrt()
    expected = gain[:, None, None].expand(3, 8, 8)
    torch.testing.assert_close(x.grad[0], expected, atol=1e-3, rtol=1e-3)
    assert not x.grad[1].any()


def test_shares_are_near_the_ends_and_a_batch_takes_part_as_often_as_asked() -> None:
    generator = torch.Generator().manual_seed(0)

    draws = [draw_mix(50, generator=generator, probability=0.5) for _ in range(200)]

    taken = [one for one in draws if not torch.equal(one.share, torch.ones(50))]
    shares = torch.cat([one.share for one in taken])
    assert len(taken) / 200 == pytest.approx(0.5, abs=0.1)
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(0.25 / 1.2, rel=0.05)  # of Beta(0.1, 0.1)
    assert all(sorted(one.partner.tolist()) == list(range(50)) for one in draws)


def test_a_network_is_mixed_while_it_trains_and_at_no_other_time() -> None:
    segmenter, x = network(), features()[:, :1]
    asked: list[int] = []

    def draw(count: int) -> MixDraw:
        asked.append(count)
        return SWAPPED

    plain = segmenter.eval()(x)
    with mixing(segmenter, draw):
        evaluated = segmenter.eval()(x)
        assert asked == []
        trained = segmenter.train()(x)
    assert asked == [2, 2]  # once after each stage

    assert torch.equal(evaluated, plain)
    after = segmenter.train()(x)
    assert asked == [2, 2]
    assert not torch.allclose(trained, after)


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet18"])
def test_the_stages_of_published_encoders_are_found(encoder: str) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    segmenter = build_segmenter(
        "DeepLabV3Plus", image_channels=1, hint_channels=0, class_count=2, encoder=encoder
    )
    sizes: list[int] = []
    for stage in first_stages(segmenter):
        stage.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))

    segmenter.eval()(torch.zeros(1, 1, 64, 64))

    assert sizes in ([32, 16], [16, 8])


def test_an_encoder_without_known_stages_is_refused() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    segmenter = build_segmenter(
        "Unet", image_channels=1, hint_channels=0, class_count=2, encoder="efficientnet-b0"
    )

    with (
        pytest.raises(StudyError, match=r"training\.mixstyle"),
        mixing(segmenter, lambda _: SWAPPED),
    ):
        pass


def test_a_draw_for_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="2 samples but 3"):
        mix_style(features(), MixDraw(torch.arange(3), torch.ones(3)))
