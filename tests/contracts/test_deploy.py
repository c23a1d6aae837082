"""The files in `deploy/` by their own tools."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = sorted((DEPLOY / "compose").glob("*.yaml"))
named = pytest.mark.parametrize


def verified(unit: Path) -> subprocess.CompletedProcess[str]:
    words = ["systemd-analyze", "verify", "--man=no", str(unit)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")
@named("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, tmp_path: Path) -> None:
    resolvable = re.sub(r"/opt/crisp/bin/\S+", "/bin/true", unit.read_text())
    copy = tmp_path / unit.name
    copy.write_text(resolvable)

    done = verified(copy)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")
def test_systemd_would_say_that_a_key_is_unknown(tmp_path: Path) -> None:
    unit = tmp_path / "x.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")

    assert "ProtectSytem" in verified(unit).stderr


@named("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_that_exists_and_gives_it_nothing_to_spare(unit: Path) -> None:
    from crisp_client.cli import app as client
    from crisp_server.cli import app as server

    text = unit.read_text()
    program, command = re.search(r"ExecStart=/opt/crisp/bin/(\S+) (\S+)", text).groups()
    app = {"crisp": server, "crisp-client": client}[program]

    assert command in {entry.name or entry.callback.__name__ for entry in app.registered_commands}
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"):
        assert line in text


@pytest.mark.skipif(not importlib.util.find_spec("check_jsonschema"), reason="pip: dev extra")
@named("path", COMPOSE, ids=lambda path: path.stem)
def test_a_compose_file_follows_the_specification(path: Path) -> None:
    words = [sys.executable, "-m", "check_jsonschema"]
    words += ["--builtin-schema", "vendor.compose-spec", str(path)]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@named("path", COMPOSE, ids=lambda path: path.stem)
def test_a_container_can_change_nothing_but_its_own_home(path: Path) -> None:
    (service,) = yaml.safe_load(path.read_text())["services"].values()

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001"
    assert all(v.endswith(":ro") or v == "home:/var/lib/crisp" for v in service["volumes"])


def test_every_image_that_is_named_is_built_from_a_file_that_is_here() -> None:
    for path in COMPOSE:
        (service,) = yaml.safe_load(path.read_text())["services"].values()
        build = service["build"]
        assert (path.parent / build["context"] / build["dockerfile"]).is_file()
