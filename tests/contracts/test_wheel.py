"""What a hospital installs is three packages and two commands, nothing else."""

from __future__ import annotations

import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built by hatchling here and now, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    hatchling = Path(sysconfig.get_path("scripts")) / "hatchling"
    command = [hatchling, "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "crisp_client",
        "crisp_core",
        "crisp_server",
    }


def test_the_wheel_offers_both_commands(wheel: zipfile.ZipFile) -> None:
    [entry_points] = [n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt")]

    text = wheel.read(entry_points).decode()

    assert "crisp = crisp_server.cli:main" in text
    assert "crisp-client = crisp_client.cli:main" in text


def test_the_wheel_carries_the_flower_app_the_templates_and_the_licence(
    wheel: zipfile.ZipFile,
) -> None:
    names = wheel.namelist()

    assert "crisp_server/flower_app/pyproject.toml" in names
    assert any(name.startswith("crisp_core/report/templates/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_carries_every_module(wheel: zipfile.ZipFile) -> None:
    parents = (ROOT, ROOT / "server", ROOT / "client")
    packages = ("crisp_core", "crisp_server", "crisp_client")
    modules = {
        str(path.relative_to(parent))
        for parent, package in zip(parents, packages, strict=True)
        for path in (parent / package).rglob("*.py")
    }

    assert {name for name in wheel.namelist() if name.endswith(".py")} == modules
