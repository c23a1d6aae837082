"""Every import contract breaks when, and only when, somebody breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = shutil.ignore_patterns("__pycache__", ".*")
PLANTS = {
    "Server and client never meet": [("client/crisp_client/settings.py", "crisp_server.settings")],
    "The core": [
        ("crisp_core/numerics/grades.py", "crisp_core.model"),
        ("crisp_core/files/atomic.py", "crisp_core.trust"),
        ("crisp_core/errors.py", "crisp_core.arrays"),
        ("crisp_core/helpers.py", "crisp_core.errors"),
    ],
    "The server": [
        ("server/crisp_server/rounds.py", "crisp_server.generations"),
        ("server/crisp_server/helpers.py", "crisp_core.errors"),
    ],
    "The client": [
        ("client/crisp_client/hints.py", "crisp_client.training"),
        ("client/crisp_client/helpers.py", "crisp_core.errors"),
    ],
    "Flower is spoken in few rooms": [
        ("server/crisp_server/rounds.py", "flwr.app"),
        ("client/crisp_client/training.py", "flwr.clientapp"),
        ("crisp_core/trust/__init__.py", "flwr.app"),
    ],
    "Only the files package reads images": [
        ("crisp_core/numerics/metrics.py", "nibabel"),
        ("client/crisp_client/cases.py", "nibabel"),
        ("client/crisp_client/cases.py", "pydicom"),
    ],
    "One room speaks with a PACS": [
        ("client/crisp_client/cases.py", "pynetdicom"),
        ("crisp_core/files/dicom/exchange.py", "dicomweb_client"),
    ],
    "Two rooms run ONNX": [
        ("client/crisp_client/prediction/predictor.py", "onnxruntime"),
        ("crisp_core/files/export/write.py", "onnxruntime"),
    ],
    "One room speaks to Prometheus": [
        ("client/crisp_client/monitoring/log.py", "prometheus_client"),
    ],
    "The coordinator never opens an image": [
        ("server/crisp_server/store.py", "crisp_core.files.volumes"),
        ("crisp_core/files/checkpoint.py", "crisp_core.files.cohort"),
    ],
    "Mathematics knows no disk": [
        ("crisp_core/numerics/average.py", module)
        for module in ("pathlib", "os", "socket", "time", "logging", "pydantic")
    ],
}
CASES = [(name, *plant) for name, plants in PLANTS.items() for plant in plants]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what import-linter reads."""
    for package in ("crisp_core", "server/crisp_server", "client/crisp_client"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=SKIPPED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `lint-imports` on the packages of `folder`, not on the installed ones."""
    paths = [str(folder / part) for part in ("", "server", "client")]
    return subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "lint-imports", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def broken(output: str) -> set[str]:
    return {line.removesuffix(" BROKEN") for line in output.splitlines() if " BROKEN" in line}


def test_nothing_is_broken_as_it_is(copy: Path) -> None:
    result = lint(copy)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "file", "module"), CASES)
def test_a_planted_import_breaks_the_contract_that_forbids_it(
    copy: Path, contract: str, file: str, module: str
) -> None:
    planted = copy / file
    text = planted.read_text() if planted.exists() else ""
    planted.write_text(f"{text}\nimport {module}\n")

    result = lint(copy)

    assert result.returncode == 1
    assert any(name.startswith(contract) for name in broken(result.stdout)), result.stdout


def test_every_contract_has_a_plant() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())

    names = [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]

    assert all(any(name.startswith(start) for start in PLANTS) for name in names)
