from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from site_samples import east

from crisp_client.cases import open_cases
from crisp_client.device import Workbench, workbench_of
from crisp_client.hints import regenerate
from crisp_client.training import train_round
from crisp_core.errors import UsageError
from crisp_core.model.from_study import segmenter_of
from crisp_core.schema.messages import TrainPlan


class Bfloat16Bench(Workbench):
    """A GPU's autocast on the CPU: the same casts, the same places where float32 is needed."""

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("hint", ["binary", "rank"])
def test_a_round_in_bfloat16_trains_float32_weights_and_makes_hints(
    tmp_path: Path, hint: str
) -> None:
    crisp = {"generations": 2, "perturbations": 3, "hint": hint}
    settings, study = east(tmp_path, crisp=crisp)
    site, bench = open_cases(settings, study), Bfloat16Bench(torch.device("cpu"))
    segmenter = bench.placed(segmenter_of(study))
    plan = TrainPlan(generation=1, round_number=1, first_step=0, steps=3, models=())

    figures = train_round(site, segmenter, plan, bench)
    hints = regenerate(site, segmenter, ["m1"], bench)

    assert figures.loss_last > 0
    assert {parameter.dtype for parameter in segmenter.parameters()} == {torch.float32}
    assert 0 <= hints.uncertain <= 1


def test_a_gpu_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    settings, _ = east(tmp_path)

    if torch.cuda.is_available():
        assert workbench_of(settings.model_copy(update={"device": "cuda"})).accelerated
    else:
        with pytest.raises(UsageError, match="CUDA device"):
            workbench_of(settings.model_copy(update={"device": "cuda"}))


@pytest.fixture
def threads() -> Iterator[None]:
    """Give torch back the threads that it had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("wanted", "said", "taken"),
    [(3, "5", 3), (0, "5", 5), (0, "", os.cpu_count()), (0, "4,2", os.cpu_count())],
)
@pytest.mark.usefixtures("threads")
def test_threads_are_those_of_the_settings_then_of_the_environment_then_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int, said: str, taken: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    settings, _ = east(tmp_path)

    workbench_of(settings.model_copy(update={"threads": wanted, "device": "cpu"}))

    assert torch.get_num_threads() == taken


@pytest.mark.gpu
def test_a_gpu_measures_what_the_cpu_measures(tmp_path: Path) -> None:
    settings, study = east(tmp_path)
    site = open_cases(settings, study)
    plan = TrainPlan(generation=1, round_number=1, first_step=0, steps=1, models=())

    losses = {}
    for device in ("cpu", "cuda"):
        bench = workbench_of(settings.model_copy(update={"device": device}))
        segmenter = bench.placed(segmenter_of(study))
        losses[device] = train_round(site, segmenter, plan, bench).loss_last

    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.02)  # bfloat16 has 8 bits
