from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from crisp_core.errors import StudyError, WeightsError
from crisp_core.model.build import build_segmenter
from crisp_core.model.pretrained import widened
from crisp_core.model.segmenter import Segmenter
from crisp_core.model.zoo import ZooSegmenter


def rgb_file(folder: Path, **changed: torch.Tensor) -> Path:
    encoder = ZooSegmenter("Unet", "resnet18", input_channels=3, class_count=1).encoder
    tensors = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(
        {**tensors, "fc.weight": torch.zeros(2, 2), **changed}, folder / "encoder.safetensors"
    )
    return folder / "encoder.safetensors"


def unet(path: Path | None, *, norm: str = "network", hint_channels: int = 2) -> Segmenter:
    return build_segmenter(
        "Unet",
        class_count=1,
        hint_channels=hint_channels,
        encoder="resnet18",
        encoder_weights=path,
        norm=norm,
    )


def test_a_grey_picture_is_encoded_as_the_rgb_network_would_whatever_the_hints(
    tmp_path: Path,
) -> None:
    rgb = ZooSegmenter("Unet", "resnet18", input_channels=3, class_count=1).eval()
    save_file(rgb.encoder.state_dict(), tmp_path / "rgb.safetensors")
    segmenter = unet(tmp_path / "rgb.safetensors").eval()
    grey, hint = torch.randn(1, 1, 32, 32), torch.rand(1, 2, 32, 32)

    with torch.no_grad():
        _, expected = rgb.encode(grey.expand(1, 3, 32, 32))
        _, features = segmenter.encode(torch.cat([grey, hint], dim=1))

    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_three_slices_keep_the_weights_of_three_colours() -> None:
    weight = torch.randn(4, 3, 3, 3)

    wide = widened(weight, input_channels=5, image_channels=3)

    assert torch.equal(wide[:, :3], weight)
    assert not wide[:, 3:].any()


def test_weights_go_in_before_group_norm_takes_the_place_of_batch_norm(tmp_path: Path) -> None:
    path = rgb_file(tmp_path, **{"bn1.weight": torch.full((64,), 2.0)})

    segmenter = unet(path, norm="group")

    assert segmenter.state_dict()["encoder.bn1.weight"].tolist() == [2.0] * 64


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stem.weight": torch.zeros(1)}, r"unknown stem\.weight"),
        ({"bn1.weight": torch.zeros(3)}, r"bn1\.weight of shape \(64,\), got \(3,\)"),
        ({"conv1.weight": torch.zeros(64)}, r"got \(64,\)"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"got \(64, 3, 3, 3\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, changed: dict[str, torch.Tensor], words: str
) -> None:
    path = rgb_file(tmp_path, **changed)

    with pytest.raises(WeightsError, match=words):
        unet(path)


def test_a_file_that_is_not_safetensors_or_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pickle.safetensors").write_bytes(b"not tensors")

    with pytest.raises(WeightsError, match="a readable safetensors file, got SafetensorError"):
        unet(tmp_path / "pickle.safetensors")
    with pytest.raises(WeightsError, match="got FileNotFoundError"):
        unet(tmp_path / "absent.safetensors")


def test_the_small_network_takes_no_encoder_weights(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no encoder weights"):
        build_segmenter("small", class_count=1, encoder_weights=tmp_path / "encoder.safetensors")
