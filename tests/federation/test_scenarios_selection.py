"""Which model is the result, and what happens where a hospital's figures are missing.

One federation; before each run the hospitals are told what to claim or to withhold.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from federation.deployment import COORDINATOR, Federation, federation, small_study
from federation.hosts import needs_hosts

from crisp_core.errors import StudyError

pytestmark = [
    pytest.mark.flower,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(600),
    needs_hosts,
]

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Two hospitals that train and are measured, two generations of one round."""
    tables = small_study(
        dict.fromkeys(("east", "north"), "source"),
        crisp={"generations": 2, "phase_shares": [1, 1]},
        federation={"rounds": 1, "quorum": 2, "timeout_s": TIMEOUT_S},
        evaluation={"select": "worst-site"},
        training={"steps": 4},
    )
    with federation(tmp_path_factory.mktemp("selection"), tables=tables) as running:
        running.everybody()
        yield running


@pytest.fixture(autouse=True)
def from_the_beginning(whole: Federation) -> Iterator[None]:
    """Every test has a run of its own."""
    yield
    for site in whole.sites:
        whole.order(site)
    if (whole.home.runs / "tiny").exists():
        whole.set_aside()


def claims(site: str, whole: Federation, first: float, second: float) -> None:
    """Let a hospital claim these Dice values for the models of generation 1 and 2."""
    dice = {"1": first, "2": second}
    whole.order(site, {"deed": "score", "action": "evaluate", "dice": dice})


def test_s16_the_model_whose_worst_hospital_is_better_is_chosen(whole: Federation) -> None:
    claims("east", whole, 0.90, 0.80)
    claims("north", whole, 0.50, 0.80)
    run = whole.run("--json")

    said = run.wait()

    assert '"selected_generation": 2' in said


def test_s17_the_last_generation_is_not_chosen_for_being_last_and_can_be(whole: Federation) -> None:
    claims("east", whole, 0.80, 0.90)
    claims("north", whole, 0.80, 0.50)
    run = whole.run("--json")

    said = run.wait()

    assert '"selected_generation": 1' in said  # S16 shows that the last can be chosen as well


def test_s18_a_hospital_whose_evaluation_never_ends_stops_the_selection_by_name(
    whole: Federation,
) -> None:
    whole.order("north", {"deed": "late", "seconds": 2 * TIMEOUT_S, "action": "evaluate"})
    run = whole.run()

    said = run.wait(expect=3)

    assert "north" in said
    assert "no answer in time" in said
    assert not (run.path / "model.safetensors").exists()
    whole.order("north")
    assert "selected_generation" in whole.type(
        COORDINATOR, "crisp", "resume", run.path, "--quiet", "--json"
    )


def test_s15_a_metric_that_stays_at_one_hospital_is_an_error_before_round_1(
    whole: Federation,
) -> None:
    policy = whole.site_home("north").policy
    before = policy.read_text()
    lines = [line for line in before.splitlines() if not line.startswith("metrics")]
    policy.write_text('metrics = ["dice"]\n' + "\n".join(lines) + "\n")
    run = whole.run()
    try:
        said = run.wait(expect=StudyError.exit_code)
    finally:
        policy.write_text(before)

    assert "north" in said
    assert "hd95_mm" in said
    assert run.count(event="asked", action="train") == 0


def test_s15_a_metric_that_is_spelled_otherwise_at_one_hospital_is_an_error_by_name(
    whole: Federation,
) -> None:
    deed = {"deed": "misspelt", "action": "evaluate", "word": "hd95_mm", "instead": "HD95_mm"}
    whole.order("north", deed)
    run = whole.run()

    said = run.wait(expect=3)

    assert "north" in said
    assert "figures that cannot be read" in said


def test_s9_where_every_hospital_fails_the_command_fails_with_the_reason_within_a_minute(
    whole: Federation,
) -> None:
    for site in whole.sites:
        whole.order(site, {"deed": "speak"})
    run = whole.run()
    began = run.events()[0]["time"] if run.events() else None

    said = run.wait(expect=3, limit_s=90)

    assert "round 1" in said
    for site in whole.sites:
        assert f"{site}: crash" in said
    events = run.events()
    assert events[-1]["event"] == "failed"
    assert events[-1]["time"] - (began or events[0]["time"]) < 60


def test_s10_a_run_that_fails_says_so_and_status_agrees(whole: Federation) -> None:
    whole.order("east", {"deed": "speak"})
    run = whole.run()

    run.wait(expect=3)
    status = whole.type(COORDINATOR, "crisp", "status")

    assert "failed" in status
    assert "round 1" in status


def test_s10_a_superlink_of_another_federation_is_refused(whole: Federation) -> None:
    """Something else took the SuperLink's port: the study is not given to it."""
    foreign = whole.folder / "foreign"
    foreign.mkdir()
    study = whole.folder / COORDINATOR / "study.toml"
    words = ("crisp", "provision", study, "--address", "foreign.test", "--home", foreign / "home")
    whole.type(COORDINATOR, *words)
    port = next(
        line.split()[-1]
        for line in whole.home.settings.read_text().splitlines()
        if line.startswith("superlink_port")
    )
    settings = foreign / "home" / "coordinator.toml"
    lines = settings.read_text().splitlines()
    settings.write_text(
        "\n".join(
            f"superlink_port = {port}" if line.startswith("superlink_port") else line
            for line in lines
        ).replace(f"port = {whole.port}\n", "port = 9443\n")
    )
    up = whole.started["coordinator-up"]
    up.process.send_signal(signal.SIGSTOP)  # it does not notice that its SuperLink died
    whole.kill(COORDINATOR, "superlink")
    other = whole.launch(COORDINATOR, "crisp", "up", "--home", foreign / "home")
    try:
        whole.wait_for(lambda: "ready:" in other.said(), 60, "the foreign coordinator is up")
        said = whole.type(COORDINATOR, "crisp", "run", "--quiet", expect=3)
    finally:
        other.stop()
        up.process.send_signal(signal.SIGCONT)

    assert "another authority's certificate" in said
