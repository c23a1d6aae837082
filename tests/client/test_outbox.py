from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation_samples import description, evaluation, study, trained

from crisp_client.outbox import (
    CRASH,
    LOG_BYTES,
    LONGEST_TEXT,
    SENTENCES,
    Departure,
    checked,
    clipped,
    fault_of,
)
from crisp_client.requests import Request
from crisp_core import errors
from crisp_core.errors import (
    DataError,
    DivergedError,
    PolicyError,
    SmallCohortError,
    WeightsError,
)
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import HintFigures
from crisp_core.schema.policy import Policy

SETTINGS = SiteSettings(site="east", data=(), work="", pseudonym_key="secret")
SENT = {"w": np.float32([1, 1]), "n": np.array(3)}
TRAIN = Request(SETTINGS, study(), "", SENT, "train")
MEASURE = replace(TRAIN, action="evaluate")
DESCRIBE = replace(TRAIN, action="describe", parameters={})
ANSWER = Departure(
    figures=trained(), parameters={"w": np.float32([4, 5]), "n": np.array(4)}, patients=9
)
OPEN = Policy(min_cohort=1)
HINTS = HintFigures(
    case_count=9,
    core_precision=0.5,
    core_recall=0.5,
    support_precision=None,
    support_recall=None,
    support_coverage=0.5,
    uncertain=0.1,
    changed=None,
    pixels_changed=None,
    seconds=1.0,
)


def measured(groups: dict[str, str]) -> Departure:
    """One case for each patient, in the named group."""
    figures = evaluation("east", [0.5] * len(groups))
    cases = tuple(
        case.model_copy(update={"patient": patient, "group": group})
        for case, (patient, group) in zip(figures.cases, groups.items(), strict=True)
    )
    return Departure(figures=figures.model_copy(update={"cases": cases}))


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


def test_an_error_whose_code_is_not_in_the_table_leaves_as_a_crash() -> None:
    class MusterError(errors.CrispError):
        code = "muster"

    fault = fault_of(MusterError(expected="", got="", where="", fix=""), None).fault

    assert fault is not None
    assert (fault.code, fault.sentence) == (CRASH, SENTENCES[CRASH])


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


def test_a_trained_network_leaves_as_it_is() -> None:
    assert checked(ANSWER, TRAIN, None) is ANSWER
    assert checked(ANSWER, TRAIN, OPEN) == ANSWER


def test_an_array_that_is_the_sites_own_leaves_only_as_it_came() -> None:
    own = replace(ANSWER, stays=frozenset({"n"}))
    back = replace(own, parameters={**ANSWER.parameters, "n": SENT["n"]})

    with pytest.raises(WeightsError, match="the site's own"):
        checked(own, TRAIN, None)
    assert checked(back, TRAIN, OPEN) == back


def test_what_came_beside_the_model_does_not_leave() -> None:
    scaffold = replace(TRAIN, parameters={**SENT, "control/w": np.float32([0, 0])})

    assert checked(ANSWER, scaffold, None) is ANSWER
    with pytest.raises(WeightsError):
        checked(replace(ANSWER, parameters=scaffold.parameters), scaffold, None)


def test_numbers_that_are_not_finite_do_not_leave() -> None:
    broken = replace(ANSWER, parameters={**SENT, "w": np.float32([1, np.inf])})

    with pytest.raises(DivergedError):
        checked(broken, TRAIN, None)


@pytest.mark.parametrize(
    "arrays",
    [
        {**SENT, "pixels": np.float32([1])},
        {"w": SENT["w"]},
        {**SENT, "w": np.float32([1, 1, 1])},
        {**SENT, "w": np.float64([1, 1])},
    ],
    ids=["one more", "one less", "another shape", "another type"],
)
def test_only_the_arrays_that_came_leave(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError):
        checked(replace(ANSWER, parameters=arrays), TRAIN, None)


def test_no_array_leaves_with_a_measurement() -> None:
    with pytest.raises(WeightsError):
        checked(replace(measured({"a": ""}), parameters=SENT), MEASURE, None)


def test_no_other_figures_leave_than_those_of_the_action() -> None:
    with pytest.raises(PolicyError, match="figures to evaluate, got TrainFigures"):
        checked(Departure(figures=trained()), MEASURE, None)
    with pytest.raises(PolicyError, match="got NoneType"):
        checked(Departure(), MEASURE, None)


def test_a_change_is_shortened_to_its_limit_and_a_shorter_one_is_not() -> None:
    limited = checked(ANSWER, TRAIN, Policy(min_cohort=1, max_norm_out=2.5)).parameters

    np.testing.assert_allclose(limited["w"], [1 + 1.5, 1 + 2.0])  # (3, 4) is 5 long: half of it
    assert limited["w"].dtype == np.float32
    assert limited["n"] == 4  # a counter is no direction
    assert clipped(ANSWER.parameters, SENT, 5.0)["w"].tolist() == [4, 5]


def test_more_bytes_than_the_limit_do_not_leave() -> None:
    size = ANSWER.byte_count

    assert size == 2 * 4 + 8 + len(trained().model_dump_json())
    checked(ANSWER, TRAIN, Policy(min_cohort=1, max_bytes_out=size))
    with pytest.raises(PolicyError, match="max_bytes_out"):
        checked(ANSWER, TRAIN, Policy(min_cohort=1, max_bytes_out=size - 1))


def test_no_figure_over_fewer_patients_than_the_policy_asks_for_leaves() -> None:
    policy = Policy(min_cohort=10)

    for departure, request in [
        (ANSWER, TRAIN),
        (measured(dict.fromkeys("abcdefghi", "")), MEASURE),
        (Departure(figures=description("east"), patients=9), DESCRIBE),
        (Departure(figures=HINTS, patients=9), replace(MEASURE, action="hints")),
    ]:
        with pytest.raises(SmallCohortError, match="got 9"):
            checked(departure, request, policy)
    checked(replace(ANSWER, patients=10), TRAIN, policy)


def test_two_cases_of_one_patient_are_one_patient() -> None:
    twice = measured({"a": "", "b": ""})
    cases = tuple(case.model_copy(update={"patient": "a"}) for case in twice.figures.cases)
    one = replace(twice, figures=twice.figures.model_copy(update={"cases": cases}))

    with pytest.raises(SmallCohortError, match="got 1"):
        checked(one, MEASURE, Policy(min_cohort=2))


def test_a_measurement_of_nobody_leaves() -> None:
    checked(measured({}), MEASURE, Policy(min_cohort=5))


def test_a_groups_name_leaves_only_if_enough_patients_share_it() -> None:
    groups = {"a": "dilated", "b": "dilated", "c": "Maria Muster", "d": ""}

    for few in (1, 2):  # one patient's own text never leaves, whatever the policy says
        left = checked(measured(groups), MEASURE, Policy(min_cohort=few)).figures
        assert [case.group for case in left.cases] == ["dilated", "dilated", "", ""]
    simulated = checked(measured(groups), MEASURE, None).figures
    assert simulated.cases[2].group == "Maria Muster"


def test_a_metric_that_stays_keeps_the_measurement_here_and_is_named_in_the_log() -> None:
    policy = Policy(min_cohort=1, metrics=("dice", "hd95_mm"))

    with pytest.raises(PolicyError, match=r"core_precision.*hd95_voxels"):
        checked(measured({"a": ""}), MEASURE, policy)
    with pytest.raises(PolicyError, match="core_precision, core_recall"):
        checked(Departure(figures=HINTS, patients=9), replace(MEASURE, action="hints"), policy)
    checked(ANSWER, TRAIN, policy)  # a loss is no metric


def test_a_description_says_which_metrics_may_leave() -> None:
    departure = Departure(figures=description("east"), patients=9)

    left = checked(departure, DESCRIBE, Policy(metrics=("dice",))).figures

    assert left.metrics == ("dice",)


def test_a_fault_leaves_whatever_the_policy_says() -> None:
    fault = fault_of(KeyError("x"), None)

    assert checked(fault, TRAIN, Policy(max_bytes_out=1)) is fault


def test_a_coordinator_that_errs_without_end_fills_no_disk(tmp_path: Path) -> None:
    log = tmp_path / "site.log"
    long = PolicyError(expected="a plan", got="x" * 10 * LONGEST_TEXT, where="y", fix="z")
    log.write_text("x" * (LOG_BYTES + 1))

    for _ in range(3):
        fault_of(long, log)

    assert log.stat().st_size < 4 * LONGEST_TEXT
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["site.log", "site.log.1"]
