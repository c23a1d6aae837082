"""Long runs: S1 as it was reported, the demo over TLS, and S11 with the slope of every process."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from federation.deployment import COORDINATOR, federation, note, simulated, small_study
from federation.hosts import needs_hosts

from crisp_server.settings import load_study

pytestmark = [pytest.mark.long, needs_hosts]

SOAK_ROUNDS = 200
LOOK_S = 5.0
WARM_SHARE = 0.3
"""Of the soak, before which nothing is measured: caches fill, allocators settle."""
SLOPE_MB_A_ROUND = 0.1


def resident_mb(process_id: int) -> float:
    """Return a process's resident memory; 0 when it is gone."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


@pytest.mark.timeout(3600)
def test_s11_no_process_grows_over_two_hundred_rounds(tmp_path: Path) -> None:
    tables = small_study(
        dict.fromkeys(("east", "north"), "source"),
        training={"steps": SOAK_ROUNDS},
        federation={"rounds": SOAK_ROUNDS, "quorum": 2, "timeout_s": 120},
    )
    with federation(tmp_path, tables=tables) as whole:
        whole.everybody()
        run = whole.run()
        places = [(COORDINATOR, c) for c in ("superlink", "superexec", "serverapp", "nginx")]
        places += [("east", c) for c in ("daemon", "supernode", "executor", "resident")]
        run.wait_until_asked("train")
        seen: dict[str, list[tuple[int, float]]] = defaultdict(list)
        idle = {f"{p} {c}": round(resident_mb(whole.process_id(p, c))) for p, c in places}
        note("idle memory", **idle)
        while run.command.process.poll() is None:
            done = run.count(event="saved", step="TrainRound")
            for place, child in places:
                if megabytes := resident_mb(whole.process_id(place, child)):
                    seen[child].append((done, megabytes))
            time.sleep(LOOK_S)
        run.wait(limit_s=10)

        slopes = {child: slope(points) for child, points in seen.items()}
        hours = sum(run.seconds_of_rounds()) / 3600
        note("soak", rounds=SOAK_ROUNDS, hours=round(hours, 3), **slopes)
        assert len(run.rounds) == SOAK_ROUNDS
        assert not any(one.missing for one in run.rounds)
        assert max(slopes.values()) < SLOPE_MB_A_ROUND, slopes


def slope(points: list[tuple[int, float]]) -> float:
    """Return megabytes a round, by least squares over what follows the warm part."""
    late = [p for p in points if p[0] >= WARM_SHARE * SOAK_ROUNDS]
    rounds, megabytes = np.array(late).T
    return round(float(np.polyfit(rounds, megabytes, 1)[0]), 4)


@pytest.mark.timeout(3000)
def test_s1_seven_hospitals_twenty_rounds_one_killed_between_round_10_and_11(
    tmp_path: Path,
) -> None:
    names = [f"site-{number}" for number in range(1, 8)]
    tables = small_study(
        dict.fromkeys(names, "source"),
        training={"steps": 20},
        federation={"rounds": 20, "quorum": 5, "timeout_s": 120},
    )
    with federation(tmp_path, tables=tables) as whole:
        whole.everybody()
        run = whole.run()
        whole.wait_for(lambda: len(run.rounds) >= 10, 1200, "ten rounds")

        for child in ("daemon", "supernode", "executor", "resident"):
            whole.kill("site-4", child)
        run.wait(limit_s=1500)

        assert len(run.rounds) == 20
        gaps = [one for one in run.ledger("missing") if one["site"] == "site-4"]
        assert gaps
        assert min(line["round"] for line in gaps) in (11, 12)
        others = set(names) - {"site-4"}
        assert all(others <= set(one.trained) for one in run.rounds)


@pytest.mark.timeout(3000)
def test_the_study_of_the_demo_over_tls_gives_the_bytes_of_the_inline_engine(
    tmp_path: Path,
) -> None:
    """Four hospitals; also the seconds that a round takes beyond its slowest site's work."""
    import tomllib
    from importlib.resources import files

    from crisp_core.files.phantom_cohort import write_phantom

    text = files("crisp_server").joinpath("example_study.toml").read_text()
    tables = tomllib.loads(text)
    vendors = list(tables["sites"])
    write_phantom("cardiac", tmp_path / "phantom", seed=1)
    for site in tables["sites"].values():
        del site["data"]
    with federation(tmp_path, tables=tables) as whole:
        for site in vendors:
            whole.data(site).parent.mkdir(exist_ok=True)
            (tmp_path / "phantom" / site).rename(whole.data(site))
        whole.everybody()
        run = whole.run()
        run.wait(limit_s=2400)

        work_s = [max(f.seconds for f in one.trained.values()) for one in run.rounds]
        beyond = [w - c for w, c in zip(run.seconds_of_rounds(), work_s, strict=True)]
        note("beyond the slowest site", median_s=float(np.median(beyond)), most_s=max(beyond))
        study = load_study(tmp_path / COORDINATOR / "study.toml")
        inline = simulated(whole, tmp_path / "inline")
        assert study.hash() == inline.study.hash()
        assert (inline.path / "model.safetensors").read_bytes() == run.model()
