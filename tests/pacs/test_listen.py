"""A real listener process: what scanners send becomes one result a series, whatever kills it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import SERIES, phantom, save, series_of
from listener_process import done, listener, until
from pacs_on_loopback import APT, HTTP, LISTEN, PASSWORD, USER
from released_samples import write_model
from typer.testing import CliRunner

from crisp_client.cli import app
from crisp_core.files.dicom.masks import read_mask
from crisp_core.files.dicom.series import read_series
from crisp_core.files.volumes import read_labels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/usr/bin/storescu").exists(), reason=APT),
]


def test_a_series_is_received_and_filed_as_it_was_sent(tmp_path):
    source = save(tmp_path / "source", series_of(phantom(6, 40, 32)))

    with listener(tmp_path / "home") as started:
        assert started.push(source).wait() == 0
        until(done(tmp_path / "home").exists)
        assert started.push(source).wait() == 0  # sent again
        until(lambda: not list((tmp_path / "home/inbox/receiving").iterdir()))
        assert started.end(signal.SIGTERM) == 0

    result = read_series(tmp_path / "home/inbox/results" / SERIES)
    np.testing.assert_array_equal(result.volume.array, read_series(source).volume.array)
    assert [path.name for path in (tmp_path / "home/inbox/results").iterdir()] == [SERIES]


@pytest.mark.long
def test_whoever_is_not_on_the_list_is_turned_away(tmp_path):
    source = save(tmp_path / "source", series_of(phantom(1)))

    with listener(tmp_path / "home") as started:
        assert started.push(source, caller="STRANGER").wait() != 0
        assert started.push(source, called="OTHER").wait() != 0

    assert not list((tmp_path / "home/inbox/receiving").iterdir())


@pytest.mark.long
def test_one_inbox_has_one_listener(tmp_path):
    with listener(tmp_path / "home"):
        code = "from crisp_client.cli import main; main()"
        words = ["listen", "--from", "A", "--port", "0", "--home", str(tmp_path / "home")]
        second = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )

    assert second.returncode == 3
    assert "one that runs already" in second.stderr


@pytest.mark.long
def test_a_kill_in_the_middle_of_a_series_leaves_one_result_of_all_of_it(tmp_path):
    home, source = tmp_path / "home", save(tmp_path / "source", series_of(phantom(200, 64, 64)))
    receiving = home / "inbox/receiving" / SERIES

    with listener(home) as started:
        sender = started.push(source)
        until(lambda: receiving.exists() and len(list(receiving.glob("*.dcm"))) > 20)
        started.end(signal.SIGKILL)
        assert sender.wait() != 0
    arrived = len(list(receiving.glob("*.dcm")))
    assert 20 < arrived < 200

    with listener(home) as started:
        time.sleep(2)  # well over the quiet time
        assert not done(home).exists()  # its sender broke off: it is not taken for whole
        assert started.push(source).wait() == 0
        until(done(home).exists)

    assert len(json.loads(done(home).read_text())["objects"]) == 200
    result = read_series(home / "inbox/results" / SERIES)
    np.testing.assert_array_equal(result.volume.array, read_series(source).volume.array)


@pytest.mark.long
def test_a_kill_in_the_middle_of_a_step_leaves_one_result(tmp_path):
    home, source = tmp_path / "home", save(tmp_path / "source", series_of(phantom(3)))
    starts = tmp_path / "starts"
    script = f"echo x >> {starts}; echo half > {{result}}/a; sleep 3; ls {{series}} > {{result}}/a"
    words = ("--run", f"sh -c '{script}'")

    with listener(home, *words) as started:
        assert started.push(source).wait() == 0
        until(starts.exists)
        time.sleep(0.5)
        started.end(signal.SIGKILL)
    assert not (home / "inbox/results" / SERIES).exists()
    with listener(home, *words):
        until(done(home).exists)
        time.sleep(4)  # longer than the first step would have taken

    assert starts.read_text().split() == ["x", "x"]
    [result] = (home / "inbox/results").iterdir()
    assert [path.name for path in result.iterdir()] == ["a"]
    assert len((result / "a").read_text().split()) == 3


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_in_the_middle_of_a_prediction_leave_one_answer_and_it_is_the_model_s(tmp_path):
    home, source = tmp_path / "home", save(tmp_path / "scan", series_of(phantom(40, 48, 48)))
    write_model(tmp_path / "model")
    words = ["--model", str(tmp_path / "model"), "--format", "nifti", "--format", "dicom-seg"]
    results = home / "inbox/results"

    for moment in ("*.crisp-tmp", "*.crisp-tmp/**/*.nii.gz"):  # begun; half of it is written
        with listener(home, *words) as started:
            started.push(source).wait()
            until(lambda moment=moment: any(results.glob(moment)), 300)
            started.end(signal.SIGKILL)
        assert not (results / SERIES).exists()
        until(lambda: not busy_with(home))  # what the listener had started ends with it
    with listener(home, *words):
        until(done(home).exists, 300)

    assert [path.name for path in results.iterdir()] == [SERIES]
    [kept] = results.rglob("prediction.json")
    whole = ["predict", str(tmp_path / "model"), str(source), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, [*whole, "--home", str(tmp_path / "none")]).exit_code == 0
    expected = read_labels(tmp_path / "out/scan/labels.nii.gz").array
    np.testing.assert_array_equal(read_labels(kept.with_name("labels.nii.gz")).array, expected)
    mask = read_mask(kept.with_name("segmentation.dcm"), read_series(source), {"LV": 1, "MYO": 2})
    np.testing.assert_array_equal(mask.array, expected)


def busy_with(home: Path) -> bool:
    """Tell whether a process works on a series of this inbox."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(home / "inbox").encode() in words.read_bytes():
                return True
    return False


@pytest.mark.long
@pytest.mark.timeout(900)
def test_four_kills_at_any_moment_leave_one_result_a_series(tmp_path):
    home, sources = tmp_path / "home", {}
    for number in range(3):
        uid = f"2.25.{number + 1}"
        sources[uid] = save(tmp_path / uid, series_of(phantom(40, 32, 32), series=uid))
    counts = tmp_path / "made"
    script = f"cp {{series}}/*.dcm {{result}}; echo x >> {counts}"
    words = ("--run", f"sh -c '{script}'")

    for kill in range(4):
        with listener(home, *words, quiet=0.2) as started:
            senders = [started.push(folder) for folder in sources.values()]
            time.sleep(0.3 + 0.45 * kill)
            started.end(signal.SIGKILL)
        for sender in senders:
            sender.wait()
    with listener(home, *words, quiet=0.2) as started:
        for folder in sources.values():
            assert started.push(folder).wait() == 0
        until(lambda: all(done(home, uid).exists() for uid in sources))

    results = home / "inbox/results"
    assert sorted(path.name for path in results.iterdir()) == sorted(sources)
    for uid, folder in sources.items():
        one, other = read_series(results / uid), read_series(folder)
        np.testing.assert_array_equal(one.volume.array, other.volume.array)


@pytest.mark.long
def test_what_a_pacs_sends_on_is_received_and_its_result_goes_back(pacs, tmp_path):
    """Orthanc pushes to the listener; a step writes a new object; it goes back by STOW."""
    home, source = tmp_path / "home", save(tmp_path / "source", series_of(phantom(4)))
    home.mkdir()
    (home / "secret.txt").write_text(f"{USER}\n{PASSWORD}\n")
    (home / "secret.txt").chmod(0o600)
    (home / "pacs.toml").write_text(
        f'[archive]\nkind = "dicomweb"\nhost = "127.0.0.1"\nport = {HTTP}\n'
        'credentials = "secret.txt"\n'
    )
    answer = save(tmp_path / "answer", series_of(phantom(1), series="2.25.9"))
    words = ["--run", f"cp {answer}/000.dcm {{result}}", "--send-to", "archive", "--ask", "archive"]
    pacs.push(source)

    with listener(home, *words, "--from", "HOSPITAL", port=LISTEN):
        pacs.send_on("listener")
        until(done(home).exists)

    assert len(pacs.get("/instances")) == 5
    assert len(pacs.get("/series")) == 2
    shutil.rmtree(home)
