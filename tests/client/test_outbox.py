from __future__ import annotations

from pathlib import Path

import numpy as np

from crisp_client.outbox import Departure, checked, fault_of
from crisp_core.errors import DataError


def test_an_errors_text_stays_in_the_sites_log(tmp_path: Path) -> None:
    log = tmp_path / "site.log"
    error = DataError(
        expected="a mask", got="none", where="case 'Maria Muster 1948'", fix="Draw one"
    )

    fault = fault_of(error, log).fault

    assert fault is not None
    assert fault.code == "data"
    assert "Muster" not in fault.sentence
    assert "Muster" in log.read_text()


def test_an_unexpected_error_leaves_as_a_code_without_its_words(tmp_path: Path) -> None:
    fault = fault_of(KeyError("/data/muster.nii.gz"), tmp_path / "site.log").fault

    assert fault is not None
    assert (fault.code, "muster" in fault.sentence) == ("crash", False)


def test_numbers_that_are_not_finite_do_not_leave() -> None:
    good = Departure(parameters={"w": np.float32([1, 2])}, case_count=3)
    bad = Departure(parameters={"w": np.float32([1, np.inf])}, case_count=3)

    assert checked(good) is good
    assert checked(bad).parameters == {}
    assert checked(bad).fault is not None


def test_an_error_that_no_log_can_take_goes_to_stderr_and_not_out(tmp_path: Path, capsys) -> None:
    log = tmp_path / "muster"
    log.mkdir()  # a folder where the log should be: opening it fails with its path

    fault = fault_of(KeyError("muster"), log).fault

    assert fault is not None
    assert (fault.code, "muster" in fault.sentence) == ("crash", False)
    assert "muster" in capsys.readouterr().err


def test_the_log_is_written_where_nothing_was_written_before(tmp_path: Path) -> None:
    fault_of(KeyError("muster"), tmp_path / "work" / "site.log")

    assert "muster" in (tmp_path / "work" / "site.log").read_text()
