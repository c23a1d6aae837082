"""The tree keeps its own rules: short modules, a short front page, nothing half done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / part for part in ("crisp_core", "server", "client")]
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
FORBIDDEN = re.compile(
    r"\bTODO\b|\bFIXME\b|\bXXX\b|\bimport pickle\b|\bpickle\.|\btorch\.load\b|NotImplementedError"
)
OTHER_PLACES = re.compile(r"/(?:work|home|root)/\w")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_no_module_has_more_than_300_lines() -> None:
    long = [path for path in MODULES if len(path.read_text().splitlines()) > 300]

    assert names(long) == []


def test_the_readme_has_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_no_module_postpones_work_or_unpickles() -> None:
    found = [path for path in MODULES if FORBIDDEN.search(path.read_text())]

    assert names(found) == []


def test_no_module_or_document_names_a_folder_of_one_machine() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]

    found = [path for path in [*MODULES, *documents] if OTHER_PLACES.search(path.read_text())]

    assert names(found) == []


def test_every_module_that_does_something_says_what() -> None:
    silent = [path for path in MODULES if not path.read_text().lstrip().startswith('"""')]

    assert names(silent) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_room_is_called_by_a_word_that_says_nothing(package: Path) -> None:
    found = [p for p in package.rglob("*.py") if re.search(r"util|helper|manager|misc", p.stem)]

    assert names(found) == []


def test_the_deployed_flower_app_is_the_packaged_one() -> None:
    deployed = ROOT / "deploy" / "flower-app" / "pyproject.toml"
    packaged = ROOT / "server" / "crisp_server" / "flower_app" / "pyproject.toml"

    assert deployed.resolve() == packaged


def test_the_locks_pin_every_package_by_hash_and_name_no_host() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        lines = [
            line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")
        ]
        assert all("==" in line or "--hash=sha256:" in line for line in lines if line.strip())
        assert "://" not in lock.read_text()


def test_whoever_runs_installs_the_versions_that_were_tested() -> None:
    pins = {
        lock: set(
            re.findall(r"^[\w.-]+==\S+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE)
        )
        for lock in ("run.txt", "dev.txt")
    }

    assert pins["run.txt"] <= pins["dev.txt"]
