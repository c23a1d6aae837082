from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from join_samples import (
    STUDY,
    Door,
    a_page,
    connect_proxy,
    free_port,
    interceptor,
    open_door,
    serving,
)
from typer.testing import CliRunner, Result

from crisp_client.cli import app
from crisp_client.connection import probe
from crisp_client.home import SiteHome
from crisp_client.joining import join
from crisp_client.policy import load_policy
from crisp_client.settings import load_settings
from crisp_core.errors import (
    ConnectionFailedError,
    CrispError,
    RunStateError,
    UntrustedError,
    UsageError,
)
from crisp_core.schema.manifest import SiteSettings


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(Door(tmp_path / "door")) as here:
        yield here


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "images of the heart"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return SiteHome(tmp_path / "site")


def content(home: SiteHome) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.path)): path.read_bytes()
        for path in sorted(home.path.rglob("*"))
        if path.is_file()
    }


def typed(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_token_is_all_it_takes_to_be_known_to_the_coordinator(
    door: Door, home: SiteHome, data: Path
) -> None:
    joined = join(door.token(), home, [data])

    assert joined.study == STUDY
    assert probe(load_settings(home.settings), home)[-1].what == "standing"
    assert door.joined["north"].node_key.startswith("ecdsa-sha2-nistp384 ")
    assert home.coordinator_key.read_text().startswith("-----BEGIN PUBLIC KEY-----")
    assert home.authority.read_text() == door.authority.read_text()
    assert joined.study_file.name == f"{STUDY.hash()}.json"


def test_private_keys_and_settings_are_for_their_owner_alone(
    door: Door, home: SiteHome, data: Path
) -> None:
    join(door.token(), home, [data])

    for path in (home.node_key, home.signing_key, home.settings):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (home.path, home.node_key.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_no_private_key_travels(door: Door, home: SiteHome, data: Path) -> None:
    join(door.token(), home, [data])

    sent = door.joined["north"].model_dump_json()
    assert "PRIVATE" not in sent
    assert home.node_key.read_text().splitlines()[1] not in sent
    assert load_settings(home.settings).pseudonym_key not in sent


def test_every_option_of_site_toml_is_there_and_explained(
    door: Door, home: SiteHome, data: Path
) -> None:
    join(door.token(), home, [data], device="cpu")

    lines = home.settings.read_text().splitlines()
    for key in SiteSettings.model_fields:
        place = next(n for n, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[place - 1].startswith("# "), key
    settings = load_settings(home.settings)
    assert settings.data == (str(data),)
    assert settings.device == "cpu"
    assert settings.coordinator == door.address
    assert len(settings.pseudonym_key) == 64


def test_the_same_command_again_changes_nothing(door: Door, home: SiteHome, data: Path) -> None:
    token = door.token()
    join(token, home, [data])
    before = content(home)

    join(token, home, [data])

    assert content(home) == before


def test_what_the_hospital_wrote_into_site_toml_stays(
    door: Door, home: SiteHome, data: Path
) -> None:
    join(door.token(), home, [data])
    home.settings.write_text(home.settings.read_text().replace("threads = 0", "threads = 3"))

    assert join(door.token(), home, [data]).settings.threads == 3


def test_a_lost_answer_is_asked_for_again_with_the_same_keys(
    door: Door, home: SiteHome, data: Path
) -> None:
    door.refusal = (503, "later")
    with pytest.raises(UntrustedError, match="later"):
        join(door.token(), home, [data])
    keys = home.node_key.read_bytes(), home.signing_key.read_bytes()
    door.refusal = None

    join(door.token(), home, [data])

    assert (home.node_key.read_bytes(), home.signing_key.read_bytes()) == keys


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only joins
def test_a_kill_before_any_touch_of_a_file_lets_the_same_command_go_on(
    door: Door, data: Path, tmp_path: Path
) -> None:
    token, kills = door.token(), 0
    while killed_before_touch(kills, token, home := SiteHome(tmp_path / f"site-{kills}"), data):
        join(token, home, [data])

        assert probe(load_settings(home.settings), home)[-1].level == "ok"
        kills += 1

    assert kills > 20


def killed_before_touch(number: int, token: str, home: SiteHome, data: Path) -> bool:
    """Join in a process that is killed as it touches its home for this time; False: it ended."""
    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(Killer(str(home.path), number))
            join(token, home, [data])
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


class Killer:
    """Kills its own process before the file system is touched under `place` once too often."""

    def __init__(self, place: str, left: int) -> None:
        self.place, self.left = place, left

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "os.mkdir", "os.rename", "os.remove"} and self.is_ours(arguments[0]):
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1

    def is_ours(self, path: object) -> bool:
        """A number is a file that is open already and has nothing in it yet."""
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        return str(path).startswith(self.place)


@pytest.mark.parametrize("draft", ["keys/node.new", "keys/signing.pem.new", "site.toml.new"])
def test_half_a_file_of_a_killed_join_is_in_nobodys_way(
    door: Door, home: SiteHome, data: Path, draft: str
) -> None:
    (home.path / "keys").mkdir(parents=True)
    (home.path / draft).write_text("half")

    join(door.token(), home, [data])

    assert not (home.path / draft).exists()


def test_a_token_may_be_a_file_and_folded_by_a_mail(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    token, file = door.token(), tmp_path / "north.token"
    file.write_text(f"{token[:60]}\n  {token[60:]}\n")

    assert join(str(file), home, [data]).settings.site == "north"


def test_an_expired_token_says_when_and_nothing_is_asked(
    door: Door, home: SiteHome, data: Path
) -> None:
    with pytest.raises(UntrustedError, match="crisp sites token north"):
        join(door.token(hours=-1), home, [data])

    assert door.asked == []
    assert not home.path.exists()


def test_a_garbled_token_is_said_to_be_one(door: Door, home: SiteHome, data: Path) -> None:
    with pytest.raises(UntrustedError, match="Copy the whole token again"):
        join(door.token()[:-9], home, [data])


@pytest.mark.parametrize(
    ("status", "words"), [(409, "tell the coordinator at once"), (410, "a new token")]
)
def test_a_refused_token_says_why(
    door: Door, home: SiteHome, data: Path, status: int, words: str
) -> None:
    door.refusal = (status, "This token \x1b[31mis no good.")

    with pytest.raises(UntrustedError, match=words) as caught:
        join(door.token(), home, [data])

    assert "This token ?[31mis no good" in str(caught.value)


def test_another_authority_than_the_tokens_never_sees_the_secret(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    with (
        open_door(Door(tmp_path / "impostor")) as impostor,
        pytest.raises(UntrustedError, match="the authority that the token names"),
    ):
        join(door.token(address=impostor.address), home, [data])

    assert impostor.asked == ["authority"]


def test_a_proxy_that_opens_tls_never_sees_the_secret(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    with (
        interceptor(door, tmp_path / "firewall", "Hospital Inspection") as port,
        pytest.raises(ConnectionFailedError, match="TLS-intercepting proxy"),
    ):
        join(door.token(address=f"127.0.0.1:{port}"), home, [data])

    assert set(door.asked) == {"authority"}


def test_two_certificates_for_one_fingerprint_are_refused(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    """What is pinned is trusted whole: a second authority must not ride along."""
    evil, right = Door(tmp_path / "evil", authority_name="evil"), door.authority.read_text()
    evil_pem = evil.authority.read_text()
    with open_door(evil) as evil:
        evil.authority.write_text(right + evil_pem)
        token = door.token(address=evil.address)
        with pytest.raises(CrispError):
            join(token, home, [data])

    assert evil.asked == ["authority"]


def test_a_coordinator_that_is_down_is_named_as_the_probe_does(
    door: Door, home: SiteHome, data: Path
) -> None:
    with pytest.raises(ConnectionFailedError, match="refuses the connection"):
        join(door.token(address=f"127.0.0.1:{free_port()}"), home, [data])

    assert not home.settings.exists(), "a wrong address leaves nothing that a right one trips over"


def test_a_page_instead_of_a_coordinator_is_named(door: Door, home: SiteHome, data: Path) -> None:
    with (
        serving(a_page(b"<h1>Hello</h1>"), door.folder / "s.crt", door.folder / "s.key") as port,
        pytest.raises(ConnectionFailedError, match="a coordinator of CRISP-FL"),
    ):
        join(door.token(address=f"127.0.0.1:{port}"), home, [data])


def test_joining_works_through_https_proxy(
    home: SiteHome, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_door(Door(tmp_path / "door"), "coordinator.example") as door,
        connect_proxy(lambda _: door.port) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        join(door.token(address="coordinator.example:8443"), home, [data])

    assert set(door.joined) == {"north"}


@pytest.mark.parametrize("wrong", ["signature", "site", "study"])
def test_an_answer_that_does_not_fit_is_not_kept(
    door: Door, home: SiteHome, data: Path, wrong: str
) -> None:
    door.wrong = wrong

    with pytest.raises(UntrustedError):
        join(door.token(), home, [data])

    assert not home.coordinator_key.exists()


def test_a_home_of_another_site_is_left_alone(door: Door, home: SiteHome, data: Path) -> None:
    join(door.token(), home, [data])
    before = content(home)

    with pytest.raises(UsageError, match="site 'north'"):
        join(door.token("south"), home, [data])

    assert content(home) == before
    assert set(door.joined) == {"north"}


def test_a_home_of_another_coordinator_is_left_alone(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    join(door.token(), home, [data])
    before = content(home)

    with (
        open_door(Door(tmp_path / "other")) as other,
        pytest.raises(UsageError, match="another coordinator"),
    ):
        join(other.token(), home, [data])

    assert content(home) == before
    assert other.asked == []


def test_an_absent_data_folder_is_named_before_anything_is_asked(
    door: Door, home: SiteHome, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        join(door.token(), home, [tmp_path / "nowhere"])

    assert door.asked == []


def test_another_data_folder_than_before_asks_for_site_toml(
    door: Door, home: SiteHome, data: Path, tmp_path: Path
) -> None:
    join(door.token(), home, [data])

    with pytest.raises(UsageError, match="Change `data` there"):
        join(door.token(), home, [tmp_path])


def test_a_home_that_cannot_be_written_is_named(door: Door, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunStateError, match="Name another with --home"):
        join(door.token(), SiteHome(tmp_path / "file" / "site"), [data])

    assert door.asked == []


def test_a_key_that_others_may_read_is_not_used(door: Door, home: SiteHome, data: Path) -> None:
    join(door.token(), home, [data])
    home.node_key.chmod(0o644)

    with pytest.raises(UntrustedError, match="0644"):
        join(door.token(), home, [data])


@pytest.mark.slow
def test_join_with_approve_leaves_nothing_to_be_asked(
    door: Door, home: SiteHome, data: Path
) -> None:
    words = ["--data", data, "--home", home.path, "--approve", "--min-cohort", "7"]

    result = typed("join", door.token(), *words)

    assert result.exit_code == 0, result.output
    assert "learns to outline ring" in result.output
    policy = load_policy(home.policy)
    assert [study.hash for study in policy.studies] == [STUDY.hash()]
    assert policy.min_cohort == 7


def test_join_without_a_terminal_says_that_the_study_waits(
    door: Door, home: SiteHome, data: Path
) -> None:
    result = typed("join", door.token(), "--data", data, "--home", home.path)

    assert result.exit_code == 0, result.output
    assert "The study waits for a person: crisp-client approve" in result.output
    assert load_policy(home.policy).studies == ()


@pytest.mark.slow
def test_join_at_a_terminal_asks(door: Door, home: SiteHome, data: Path) -> None:
    """A real terminal: the answer is typed."""
    program = [sys.executable, "-c", "from crisp_client.cli import main; main()"]
    words = ["join", door.token(), "--data", data, "--home", home.path]
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*program, *words],
        stdin=theirs, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        os.write(ours, b"y\n")
        _, said = process.communicate(timeout=60)
    os.close(ours)

    assert process.returncode == 0, said
    assert "May this study run here?" in said
    assert len(load_policy(home.policy).studies) == 1


def test_join_says_in_one_line_why_it_cannot(door: Door, home: SiteHome, data: Path) -> None:
    token = door.token(address=f"127.0.0.1:{free_port()}")

    result = typed("join", token, "--data", data, "--home", home.path)

    assert result.exit_code == ConnectionFailedError.exit_code
    assert "refuses the connection" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_odd_folder_names_survive_site_toml(door: Door, home: SiteHome, tmp_path: Path) -> None:
    odd = tmp_path / 'Übung "4" \\ 心臓'
    odd.mkdir()

    join(door.token(), home, [odd])

    assert tomllib.loads(home.settings.read_text())["data"] == [str(odd)]


@pytest.mark.parametrize("name", ["north.tokn", "", ".", "\x00", "x" * 5000])
def test_a_token_file_that_is_not_there_is_not_called_a_garbled_token(
    home: SiteHome, data: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="or a file that holds one"):
        join(name, home, [data])


def test_a_device_that_cannot_be_is_refused_before_anything_is_written(
    door: Door, home: SiteHome, data: Path
) -> None:
    with pytest.raises(UsageError, match="--device"):
        join(door.token(), home, [data], device="gpu")

    assert not home.settings.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data = 5", "data"),
        ('data = "/srv"', "data"),
        ('device = "gpu"', "device"),
        ("threads = ", "line"),
        ("more = 1", "more"),
        ("\x00", "line"),
    ],
)
def test_a_damaged_site_toml_is_named_with_its_key(
    door: Door, home: SiteHome, data: Path, line: str, words: str
) -> None:
    join(door.token(), home, [data])
    key = line.partition(" ")[0]
    kept = [one for one in home.settings.read_text().splitlines() if not one.startswith(key)]
    home.settings.write_text("\n".join([*kept, line]))

    with pytest.raises(UsageError, match=words) as caught:
        load_settings(home.settings)

    assert "validation error" not in str(caught.value)


def test_a_home_that_nobody_joined_says_how_to_join(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got none .*crisp-client join"):
        load_settings(tmp_path / "site.toml")
