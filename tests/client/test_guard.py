from __future__ import annotations

import io
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk

from crisp_client.daemon.guard import check_fab, discreet_error
from crisp_core.errors import PolicyError

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")

MANIFEST = Path(str(files("crisp_server") / "flower_app" / "pyproject.toml")).read_text()


def app(folder: Path, manifest: str = MANIFEST, **parts: str) -> bytes:
    """Build an app bundle as `flwr run` does, `parts` being Python files in it."""
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(manifest)
    for name, text in parts.items():
        (folder / f"{name}.py").write_text(text)
    return build_fab_from_disk(folder)


def packed(parts: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as bundle:
        for name, data in parts:
            bundle.writestr(name, data)
    return sink.getvalue()


def parts_of(fab: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(fab)) as bundle:
        return [(part.filename, bundle.read(part)) for part in bundle.infolist()]


def test_the_installed_manifest_passes(tmp_path: Path) -> None:
    check_fab(app(tmp_path / "app"))


def test_the_same_manifest_packed_by_another_compressor_passes(tmp_path: Path) -> None:
    ours = app(tmp_path / "app")

    other = packed(parts_of(ours))

    assert other != ours
    check_fab(other)


def test_code_in_the_app_is_refused_by_name(tmp_path: Path) -> None:
    fat = app(tmp_path / "app", crisp_client="raise SystemExit('ran')")

    with pytest.raises(PolicyError, match=r"files \['crisp_client.py'\].*installed code only"):
        check_fab(fat)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("crisp_client.flower:app", "crisp_client.cli.app:app", "components.clientapp"),
        ("crisp_server.flower:app", "crisp_client.flower:app", "components.serverapp"),
        ("dependencies = []", 'dependencies = ["evil"]', "project.dependencies"),
        ('publisher = "crisp"', 'publisher = "crisps"', "tool.flwr.app.publisher"),
        ('version = "0.1.0"', 'version = "9.0.0"', "project.version"),
        ("[tool.flwr.app.config]", "[tool.flwr.app.config]\nmore = 1", "config.more"),
        (
            "[tool.flwr.app.config]",
            '[tool.flwr.app.components.x]\ny = "z"\n[tool.flwr.app.config]',
            "components.x",
        ),
    ],
)
def test_a_manifest_that_says_anything_else_is_refused_by_the_entry(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    manifest = packed(
        [(".info/CONTENT", b""), ("pyproject.toml", MANIFEST.replace(old, new).encode())]
    )

    with pytest.raises(PolicyError, match=f"another .*{named}"):
        check_fab(manifest)


def test_a_second_manifest_behind_the_first_is_refused(tmp_path: Path) -> None:
    parts = parts_of(app(tmp_path / "app"))
    other = MANIFEST.replace("crisp_client.flower", "evil").encode()

    with pytest.warns(UserWarning, match="Duplicate name"):
        doubled = packed([("pyproject.toml", other), *parts])

    with pytest.raises(PolicyError, match="damaged manifest"):
        check_fab(doubled)


def test_a_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    parts = parts_of(app(tmp_path / "app"))

    with pytest.raises(PolicyError, match=r"\.\./sitecustomize\.py"):
        check_fab(packed([*parts, ("../sitecustomize.py", b"")]))


def test_a_small_archive_that_unpacks_to_a_large_file_is_refused_unread() -> None:
    bomb = packed([("pyproject.toml", bytes(50_000_000))], zipfile.ZIP_DEFLATED)

    with pytest.raises(PolicyError, match="over 64000 bytes"):
        check_fab(bomb)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"no archive"])
def test_what_is_no_archive_is_refused(junk: bytes) -> None:
    with pytest.raises(PolicyError, match="no readable archive"):
        check_fab(junk)


@pytest.mark.parametrize("junk", [b"\xff = [", b"a = " + b"[" * 50_000])
def test_a_manifest_that_is_no_text_or_nested_without_end_is_refused(junk: bytes) -> None:
    with pytest.raises(PolicyError, match="unreadable manifest"):
        check_fab(packed([(".info/CONTENT", b""), ("pyproject.toml", junk)]))


def test_only_a_refusal_of_ours_leaves_in_an_error() -> None:
    disk_full = "<class 'OSError'>:<'No space left on device: /data/north/patient-17'>"
    refusal = "<class 'PolicyError'>:<'Expected … this site runs installed code only.'>"

    assert "patient" not in discreet_error(2, disk_full).reason
    assert discreet_error(2, refusal).reason == refusal
