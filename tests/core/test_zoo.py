from __future__ import annotations

import sys

import pytest
import segmentation_models_pytorch as smp
import torch

from crisp_core.errors import MissingExtraError, StudyError
from crisp_core.model.build import build_segmenter
from crisp_core.model.segmenter import evaluating
from crisp_core.model.zoo import SKIP_LEVELS, ZooSegmenter


@pytest.mark.parametrize("architecture", SKIP_LEVELS)
def test_a_zoo_network_answers_as_the_library_does_however_often_it_decodes(
    architecture: str,
) -> None:
    ours = ZooSegmenter(architecture, "resnet18", input_channels=3, class_count=2).eval()
    theirs = getattr(smp, architecture)(
        "resnet18", encoder_weights=None, in_channels=3, classes=3
    ).eval()
    theirs.encoder, theirs.decoder, theirs.segmentation_head = ours.encoder, ours.decoder, ours.head
    x = torch.randn(2, 3, 64, 32)

    with torch.no_grad():
        expected = theirs(x)
        skips, features = ours.encode(x)
        first, second = ours.decode(skips, features), ours.decode(skips, features)

    assert torch.equal(first, expected)
    assert torch.equal(second, expected)


@pytest.mark.parametrize("architecture", ["DeepLabV3Plus", "Unet"])
def test_any_size_is_padded_and_cropped_back(architecture: str) -> None:
    segmenter = ZooSegmenter(architecture, "mobilenet_v2", input_channels=1, class_count=1)

    with evaluating(segmenter):
        assert segmenter(torch.zeros(1, 1, 33, 50)).shape == (1, 2, 33, 50)


def test_the_deeplab_of_the_paper_has_the_shapes_of_the_paper() -> None:
    segmenter = build_segmenter("DeepLabV3Plus", class_count=3, hint_channels=6)

    with evaluating(segmenter):
        (_, skip), features = segmenter.encode(torch.zeros(1, 7, 256, 256))

    assert features.shape == (1, 1280, 16, 16)
    assert skip.shape == (1, 24, 64, 64)


def test_an_unknown_encoder_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(StudyError, match=r"Nearest: mobilenet_v2"):
        build_segmenter("Unet", class_count=1, encoder="mobilenet-v2")


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(StudyError, match="one of small, DeepLabV3Plus"):
        build_segmenter("Vnet", class_count=1)


def test_a_missing_extra_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)

    with pytest.raises(MissingExtraError, match=r'pip install "crisp-fl\[smp\]"'):
        build_segmenter("Unet", class_count=1)
