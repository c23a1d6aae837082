"""A whole federation of real processes: typed commands, real nginx, one namespace a hospital."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from federation.hosts import Host, hosts
from synthetic import write_site

from crisp_client.home import SiteHome
from crisp_core.processes.supervisor import read_status
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RoundSummary
from crisp_core.trust.ledger import Ledger
from crisp_server.deployment.serverapp import conductor
from crisp_server.home import CoordinatorHome
from crisp_server.settings import load_study
from crisp_server.store import RunFolder

SCRIPTS = Path(sysconfig.get_path("scripts"))
HOSTILE = Path(__file__).with_name("hostile")
CODE = os.environ.get("PYTHONPATH", "")
"""Where these tests take the packages from, if not from the environment: so do the processes."""
HOSTILE_PATH = os.pathsep.join(filter(None, [str(HOSTILE), CODE]))
COORDINATOR = "coordinator"
NAME = "coordinator.test"
"""How hospitals call the coordinator; each host's own /etc/hosts says where that is."""
ROLES = {"east": "source", "north": "source", "west": "source", "south": "held-out"}
POLL_S = 0.1
STOP_S = 30.0


def note(figure: str, **values: float | str) -> None:
    """Keep a measured figure for whoever writes it down: a line of the file CRISP_FIGURES."""
    if place := os.environ.get("CRISP_FIGURES"):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"figure": figure, **values}) + "\n")


def small_study(roles: Mapping[str, str] = ROLES, **sections: Any) -> dict[str, Any]:
    """Return a study of seconds as the tables of its file; `sections` are laid over it."""
    raw: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "classes": ["ring", "inner"],
        "sites": {site: {"role": role} for site, role in roles.items()},
        "model": {"width": 8},
        "images": {"size": [16, 16]},
        "training": {"steps": 12, "batch_size": 4},
        "crisp": {"generations": 1, "perturbations": 2},
        "federation": {"rounds": 3, "quorum": 1, "timeout_s": 60},
        "evaluation": {"validation_share": 0.4, "bootstrap_samples": 100, "select": "last"},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
    return raw


def toml(tables: Mapping[str, Any], place: str = "") -> str:
    """Write nested tables as TOML."""
    plain = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    text = f"[{place}]\n" if place and plain else ""
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in tables.items():
        if isinstance(value, Mapping):
            text += toml(value, f"{place}.{key}" if place else key)
    return text


@dataclass
class Started:
    """A command that runs on a host, and what it says."""

    process: subprocess.Popen
    output: Path

    def said(self) -> str:
        """Return everything that it has said."""
        return self.output.read_text("utf-8", "replace")

    def stop(self, limit_s: float = STOP_S) -> int:
        """Ask twice, as an impatient person does, then kill; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1 if number == signal.SIGTERM else limit_s)
            if self.process.poll() is None and number == signal.SIGTERM:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(limit_s / 2)
        return self.process.wait()


@dataclass
class Federation:
    """One coordinator and its hospitals, in one folder and one network."""

    folder: Path
    net: Mapping[str, Host]
    tables: dict[str, Any] = field(default_factory=small_study)
    port: int = 8443
    started: dict[str, Started] = field(default_factory=dict)

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the study's hospitals."""
        return tuple(self.tables["sites"])

    @property
    def home(self) -> CoordinatorHome:
        """The coordinator's folder."""
        return CoordinatorHome(self.folder / COORDINATOR / "crisp-home")

    def site_home(self, site: str) -> SiteHome:
        """Return a hospital's folder."""
        return SiteHome(self.folder / site / "crisp-site")

    def data(self, site: str) -> Path:
        """Return a hospital's images."""
        return self.folder / site / "images-of-patients"

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop everything and insist that nothing is left; after a failure, just end it."""
        if kind is None:
            self.close()
        for running in self.started.values():
            running.process.kill()
            running.process.wait()

    # What people type -----------------------------------------------------------------------

    def type(self, place: str, *words: str | Path, expect: int | None = 0, **more: str) -> str:
        """Type one command on a host, in its folder, and return what it says.

        Args:
            place: Name of the host.
            words: `crisp …` or `crisp-client …`.
            expect: Exit code to insist on; None takes any.
            more: Environment variables.
        """
        done = self.net[place].run(
            *words, cwd=self._place(place), env={**self._environment(), **more}, timeout=600
        )
        said = done.stdout + done.stderr
        assert expect in (None, done.returncode), f"{words} gave {done.returncode}: {said}"
        return said

    def launch(self, place: str, *words: str | Path, **more: str) -> Started:
        """Type a command that goes on."""
        label = "-".join((place, words[1] if len(words) > 1 else words[0]))
        output = self.folder / f"{label}-{len(self.started)}.out"
        with output.open("wb") as file:
            process = self.net[place].start(
                *words,
                cwd=self._place(place),
                env={**self._environment(), **more},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        running = Started(process, output)
        self.started[label if label not in self.started else output.stem] = running
        return running

    def provision(self, *more: str, address: str | None = None) -> None:
        """Write the study and make the coordinator's folder."""
        (self._place(COORDINATOR) / "study.toml").write_text(toml(self.tables))
        for host in self.net.values():
            host.know({NAME: self.net[COORDINATOR].address})
        where = address or f"{NAME}:{self.port}"
        self.type(COORDINATOR, "crisp", "provision", "study.toml", "--address", where, *more)

    def up(self) -> Started:
        """Start the coordinator and return when hospitals can connect."""
        running = self.launch(COORDINATOR, "crisp", "up", **self._hostile(COORDINATOR))
        self.wait_for(lambda: "ready:" in running.said(), 180, "crisp up says that it is ready")
        return running

    def join(self, site: str, *more: str, expect: int | None = 0) -> str:
        """Let a hospital join with its token; its images are made if it has none."""
        if not self.data(site).exists():
            self.write_images(site)
        token = (self.home.tokens / f"{site}.token").read_text().strip()
        words = ("crisp-client", "join", token, "--data", self.data(site))
        said = self.type(site, *words, "--approve", "--min-cohort", "1", *more, expect=expect)
        self.edit_settings(site, threads=1)
        return said

    def write_images(self, site: str, patients: int = 3) -> None:
        """Write a hospital's few small volumes."""
        names = {f"{site}-{patient}": f"{site}-p{patient}" for patient in range(patients)}
        number = sorted(self.sites).index(site)
        write_site(self.data(site), names, shape=(20, 20, 4), seed=number)

    def edit_settings(self, site: str, **values: Any) -> None:
        """Change lines of a hospital's site.toml, as its engineer would."""
        path = self.site_home(site).settings
        if not path.exists():
            return
        text = path.read_text()
        for key, value in values.items():
            line = f"{key} = {json.dumps(value)}"
            text, found = re.subn(rf"(?m)^#? ?{key} = .*$", line, text, count=1)
            text = text if found else f"{line}\n{text}"
        path.write_text(text)

    def start(self, site: str, *, wait: bool = True, **more: str) -> Started:
        """Start a hospital's daemon; any host can be made hostile, see `order`."""
        running = self.launch(site, "crisp-client", "start", **{**self._hostile(site), **more})
        if wait:
            self.wait_for(lambda: "ready:" in running.said(), 180, f"{site} is connected")
        return running

    def order(self, site: str, *orders: Mapping[str, Any]) -> None:
        """Tell a host what to do wrong from its next message on; nothing: be honest."""
        path = self.folder / site / "order.json"
        path.with_suffix(".json.done").unlink(missing_ok=True)
        path.with_suffix(".new").write_text(json.dumps(orders))
        path.with_suffix(".new").replace(path)

    def did(self, site: str) -> bool:
        """Tell whether the host has done something that it was ordered to."""
        return (self.folder / site / "order.json.done").exists()

    def wait_until_did(self, site: str, limit_s: float = 300) -> None:
        """Return when the host does what it was ordered to."""
        self.wait_for(lambda: self.did(site), limit_s, f"{site} does as it was ordered")

    def everybody(self) -> None:
        """Provision, start the coordinator, let every hospital join and connect."""
        self.provision()
        self.up()
        for site in self.sites:
            self.join(site)
        for site in self.sites:
            self.start(site, wait=False)
        for site in self.sites:
            self.wait_until_connected(site)

    def wait_until_connected(self, site: str, limit_s: float = 300) -> None:
        """Return when the hospital's daemon says that it is connected."""

        def connected() -> bool:
            with suppress(OSError, ValueError):
                text = (self.site_home(site).running / "daemon.json").read_text()
                return json.loads(text)["state"] == "connected"
            return False

        self.wait_for(connected, limit_s, f"{site} is connected")

    def run(self, *more: str) -> Run:
        """Start the study, or go on with it; the run's folder is there when this returns."""
        started = self.launch(COORDINATOR, "crisp", "run", "--quiet", *more)
        path = self.home.runs / self.tables["name"]
        self.wait_for(
            lambda: RunFolder.started(path) or started.process.poll() is not None,
            180,
            "crisp run makes a run folder",
        )
        assert RunFolder.started(path), f"crisp run made no run: {started.said()}"
        return Run(self, started, path)

    def set_aside(self) -> Path:
        """Move the run away, so that the study begins anew; return where it is now."""
        path = self.home.runs / self.tables["name"]
        place = self.home.path / "set-aside"
        place.mkdir(exist_ok=True)
        return path.rename(place / f"run-{len(list(place.iterdir()))}")

    # What happens ----------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], bool], limit_s: float, what: str) -> float:
        """Return the seconds until `condition` holds; fail with every log after `limit_s`."""
        began = time.monotonic()
        while not condition():
            waited = time.monotonic() - began
            assert waited < limit_s, f"not within {limit_s} s: {what}\n{self.logs()}"
            up = self.started.get(f"{COORDINATOR}-up")
            assert up is None or up.process.poll() is None, f"crisp up ended:\n{self.logs()}"
            time.sleep(POLL_S)
        return time.monotonic() - began

    def process_id(self, place: str, child: str) -> int:
        """Return the process of a supervised child, by its name in the state file; 0 if none.

        `daemon` is the hospital's supervisor itself; `serverapp`, a grandchild that no state file
        names, the process that conducts the run.
        """
        if child == "serverapp":
            return conductor(RunFolder.open(self.home.runs / self.tables["name"])) or 0
        if child == "daemon":
            running = self.site_home(place).running / "daemon.json"
            return int(json.loads(running.read_text())["pid"])
        states = (
            self.home.running.glob("*.json")
            if place == COORDINATOR
            else [self.site_home(place).running / "children.json"]
        )
        found = {c.name: c.pid for state in states for c in read_status(state)}
        assert child in found, f"{place} has no {child!r} but {sorted(found)}"
        return found[child]

    def kill(self, place: str, child: str) -> int:
        """SIGKILL a child and return the process that it was."""
        process_id = self.process_id(place, child)
        assert process_id, f"{child} of {place} does not run"
        os.kill(process_id, signal.SIGKILL)
        return process_id

    def wait_until_replaced(self, place: str, child: str, old: int, limit_s: float = 300) -> float:
        """Return the seconds until the child runs again as another process."""

        def replaced() -> bool:
            with suppress(OSError, ValueError):
                return self.process_id(place, child) not in (0, old)
            return False

        return self.wait_for(replaced, limit_s, f"{child} of {place} runs again")

    def logs(self, line_count: int = 12) -> str:
        """Return the last lines of everything that anybody has said."""
        places = [*self.folder.glob("*.out"), *self.folder.glob("*/crisp-*/logs/*.jsonl")]
        places += [*self.folder.glob("*/crisp-*/runs/*/events.jsonl")]
        places += [*self.folder.glob("*/crisp-*/**/site.log")]
        tails = []
        for path in sorted(set(places)):
            lines = path.read_text("utf-8", "replace").splitlines()[-line_count:]
            tails.append(f"--- {path.relative_to(self.folder)}\n" + "\n".join(lines))
        return "\n".join(tails)

    def close(self) -> None:
        """Stop everything, politely, and insist that nothing is left on any host."""
        for running in self.started.values():
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
        for running in reversed(self.started.values()):
            running.stop()
        left = {name: host.process_ids() for name, host in self.net.items()}
        words = {name: [_words(pid) for pid in pids] for name, pids in left.items() if pids}
        assert not words, f"processes outlived their federation: {words}\n{self.logs()}"

    def _place(self, place: str) -> Path:
        folder = self.folder / place
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _hostile(self, place: str) -> dict[str, str]:
        return {
            "PYTHONPATH": HOSTILE_PATH,
            "CRISP_HOSTILE": str(self.folder / place / "order.json"),
        }

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": CODE,
            "OMP_NUM_THREADS": "1",
            "GOMP_SPINCOUNT": "10000",
        }


@dataclass
class Run:
    """A run of the federation's study."""

    federation: Federation
    command: Started
    path: Path

    @property
    def folder(self) -> RunFolder:
        """The run on disk."""
        return RunFolder.open(self.path)

    def events(self) -> list[dict[str, Any]]:
        """Return every event so far."""
        with suppress(OSError):
            lines = (self.path / "events.jsonl").read_text().splitlines()
            return [json.loads(line) for line in lines if line.endswith("}")]
        return []

    def has(self, **fields: Any) -> Callable[[], bool]:
        """Return the question whether an event with these fields has happened."""
        return lambda: self.count(**fields) > 0

    def count(self, **fields: Any) -> int:
        """Count the events with these fields."""
        return sum(fields.items() <= event.items() for event in self.events())

    def wait_until_asked(self, action: str, times: int = 1, limit_s: float = 300) -> None:
        """Return when the sites have been asked this so often."""
        self.federation.wait_for(
            lambda: self.count(event="asked", action=action) >= times or self._ended(),
            limit_s,
            f"{action} asked {times} times",
        )
        assert self.count(event="asked", action=action) >= times, self.federation.logs()

    def wait(self, expect: int = 0, limit_s: float = 400) -> str:
        """Wait for `crisp run` to end with this exit code and return what it said."""
        self.federation.wait_for(self._ended, limit_s, "crisp run ends")
        code = self.command.process.wait()
        said = self.command.said()
        assert code == expect, f"crisp run gave {code}: {said}\n{self.federation.logs()}"
        return said

    def seconds_of_rounds(self) -> list[float]:
        """Return how long each round took, from the question to the saved average."""
        asked = [
            e["time"] for e in self.events() if e["event"] == "asked" if e["action"] == "train"
        ]
        steps = [e["time"] for e in self.events() if e.get("step") == "TrainRound"]
        return [end - begin for begin, end in zip(asked, steps, strict=False)]

    @property
    def rounds(self) -> tuple[RoundSummary, ...]:
        """The rounds that are finished."""
        saved = self.folder.load()
        return saved[1].rounds if saved else ()

    @property
    def trained(self) -> list[list[str]]:
        """Who took part in each round."""
        return [sorted(one.trained) for one in self.rounds]

    def ledger(self, event: str) -> list[Mapping[str, Any]]:
        """Return the fields of every ledger line of this kind."""
        lines = Ledger(self.path / "ledger.jsonl").entries()
        return [line.fields for line in lines if line.event == event]

    def model(self) -> bytes:
        """Return the final model's file."""
        return (self.path / "model.safetensors").read_bytes()

    def _ended(self) -> bool:
        return self.command.process.poll() is not None


@contextmanager
def federation(
    folder: Path, *more_hosts: str, tables: dict[str, Any] | None = None
) -> Iterator[Federation]:
    """Bring up the hosts of a study's coordinator and sites; nothing runs on them yet."""
    tables = tables or small_study()
    with (
        hosts(COORDINATOR, *tables["sites"], *more_hosts) as net,
        Federation(folder, net, tables) as whole,
    ):
        yield whole


def simulated(whole: Federation, folder: Path) -> RunFolder:
    """Run the same study on the inline engine, with the same images."""
    from crisp_server.simulate import SimulationOptions, carry_on, start

    study = load_study(whole.folder / COORDINATOR / "study.toml")
    sites = {
        name: site.model_copy(update={"data": (str(whole.data(name)),)})
        for name, site in study.sites.items()
    }
    placed: Study = study.model_copy(update={"sites": sites})
    run = start(placed, folder, SimulationOptions(device="cpu", threads=1, command="test"))
    carry_on(run, lambda _: None)
    return run


def _words(process_id: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
