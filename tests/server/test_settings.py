from __future__ import annotations

from pathlib import Path

import pytest

from crisp_core.errors import StudyError
from crisp_server.settings import load_study

SMALLEST = """
name = "x"
classes = ["LV"]
[sites.a]
role = "source"
data = "here"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_data_folders_are_taken_relative_to_the_study_file(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, SMALLEST))

    assert study.sites["a"].data == (str(tmp_path / "here"),)


def test_the_place_of_the_data_is_not_part_of_the_hash(tmp_path: Path) -> None:
    here = load_study(written(tmp_path, SMALLEST))
    there = load_study(written(tmp_path, SMALLEST.replace('"here"', '"there"')))

    assert here.hash() == there.hash()
    assert here.hash() != load_study(tmp_path / "study.toml", seed=5).hash()


def test_the_file_of_pretrained_weights_does_not_travel(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, SMALLEST + '[model]\nencoder_weights = "w.safetensors"\n'))

    assert study.model.encoder_weights == str(tmp_path / "w.safetensors")
    assert "safetensors" not in study.canonical()


def test_the_two_columns_of_the_method(tmp_path: Path) -> None:
    path = written(tmp_path, SMALLEST)

    printed, recommended = load_study(path, method="crisp-paper"), load_study(path)

    assert (printed.crisp.hint, printed.crisp.range_over) == ("binary", "joint_fg")
    assert (printed.crisp.instance, printed.crisp.squeeze_norm) == ("slice", "printed")
    assert (printed.crisp.perturbations_in_loss, printed.crisp.guard) == (10, "none")
    assert printed.crisp.phase_shares == (1.0, 1.0, 1.0)
    assert (printed.model.norm, printed.training.loss) == ("network", "dice")
    assert (recommended.crisp.hint, recommended.crisp.range_over) == ("rank", "class_fg")
    assert (recommended.crisp.instance, recommended.crisp.neighbours) == ("volume", 1)
    assert recommended.crisp.phase_shares == (4.0, 1.0, 1.0)
    assert (recommended.model.norm, recommended.training.loss) == ("group", "dice_ce")


def test_the_studys_own_keys_win_over_the_method_word(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, SMALLEST + "[crisp]\nsigma = 0.5\ngenerations = 2\n"))

    assert study.crisp.sigma == 0.5
    assert study.crisp.phase_shares == (4.0, 1.0)


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("[crisp]\nsigmaa = 1.0", ("crisp.sigmaa", "Did you mean 'sigma'")),
        ("[traning]\nsteps = 5", ("traning", "Did you mean 'training'")),
        ('[sites.b]\nrol = "source"', ("sites.b",)),
        ('[sites.b]\nrole = "tester"', ("'source' or 'held-out'", "sites.b.role")),
        ("[federation]\nrounds = 0", ("greater than or equal to 1", "federation.rounds")),
        ("[federation]\nquorum = 2", ("quorum 2 exceeds the 1 source",)),
        ("[crisp]\nphase_shares = [1.0]", ("one number per generation (3), got 1",)),
        ("[training]\nsteps = 5", ("steps must be at least generations x rounds = 6",)),
        ("[model]\nslices_in = 2", ("slices_in must be odd",)),
        ("[images]\nspacing_mm = 1.0", ('fit = "crop"',)),
        ("[[", ("TOML",)),
    ],
)
def test_a_faulty_study_gets_one_sentence(
    tmp_path: Path, addition: str, words: tuple[str, ...]
) -> None:
    path = written(tmp_path, SMALLEST + addition)

    with pytest.raises(StudyError) as caught:
        load_study(path)

    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_a_study_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="No such file"):
        load_study(tmp_path / "absent.toml")


def test_a_study_without_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="at least one site"):
        load_study(written(tmp_path, SMALLEST.replace("source", "held-out")))


def test_a_site_cannot_be_source_and_held_out(tmp_path: Path) -> None:
    twice = SMALLEST + '[sites.a]\nrole = "held-out"\n'

    with pytest.raises(StudyError, match="TOML"):
        load_study(written(tmp_path, twice))
