from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prediction_samples import prediction
from pydantic import ValidationError

from crisp_client.home import SiteHome
from crisp_client.monitoring.log import append, read
from crisp_core.errors import DataError, RunStateError


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    lines = [prediction(number) for number in range(3)]

    for line in lines:
        append(tmp_path, line)

    assert read(tmp_path).sound() == tuple(lines)


def test_the_log_of_a_home_lies_in_its_predictions_folder(tmp_path: Path) -> None:
    append(SiteHome(tmp_path), prediction())

    assert read(tmp_path / "predictions") == read(SiteHome(tmp_path))
    assert (tmp_path / "predictions" / "predictions.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "field",
    [
        {"pseudonym": "JANE DOE"},
        {"input_hash": "/srv/images/doe.nii.gz"},
        {"reasons": ("/srv/images/doe.nii.gz",)},
        {"reasons": ("Jane Doe",)},
        {"volumes_ml": {"/srv/images": 3.0}},
        {"path": "images/c1.nii.gz"},
        {"entropy": float("nan")},
        {"intensity": ()},
    ],
)
def test_a_line_has_no_room_for_a_name_a_path_or_a_nan(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        prediction(**field)


def test_a_line_cut_short_by_a_crash_is_written_over(tmp_path: Path) -> None:
    append(tmp_path, prediction(1))
    with (tmp_path / "predictions.jsonl").open("ab") as file:
        file.write(prediction(2).text().encode()[:100])

    assert read(tmp_path).sound() == (prediction(1),)
    append(tmp_path, prediction(3))

    assert read(tmp_path).sound() == (prediction(1), prediction(3))


def test_a_full_file_is_put_aside_and_still_read_in_order(tmp_path: Path) -> None:
    lines = [prediction(number) for number in range(25)]
    length = len(lines[0].text()) + 1

    for line in lines:
        append(tmp_path, line, full_bytes=2 * length + 10)

    files = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert files == [*(f"predictions.{n:04d}.jsonl" for n in range(1, 13)), "predictions.jsonl"]
    assert read(tmp_path).sound() == tuple(lines)


def test_a_damaged_line_is_named_by_file_and_number(tmp_path: Path) -> None:
    for number in range(3):
        append(tmp_path, prediction(number))
    file = tmp_path / "predictions.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"entropy":0.2', b'"entropy":0,2', 2)[:-1] + b"\n")

    reading = read(tmp_path)

    assert reading.lines == (prediction(2),)
    assert reading.damaged == ("predictions.jsonl line 1", "predictions.jsonl line 2")
    with pytest.raises(DataError, match=r"2 that cannot be read \(predictions.jsonl line 1, "):
        reading.sound()


def test_no_log_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Predict something first"):
        read(tmp_path)
    with pytest.raises(DataError, match="got none"):
        read(tmp_path / "absent")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunStateError, match="a prediction log that can be written"):
        append(tmp_path / "file" / "log", prediction())


def test_two_threads_take_turns(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: append(tmp_path, prediction(n), full_bytes=5000), range(40)))

    found = read(tmp_path).sound()
    assert sorted(line.pseudonym for line in found) == [f"{n:012x}" for n in range(40)]


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from prediction_samples import prediction
from crisp_client.monitoring.log import append
for number in range(10**6):
    append(Path(sys.argv[1]), prediction(number), full_bytes=20_000)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_every_line_that_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path), *sys.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.3)
        writer.send_signal(signal.SIGKILL)
        acknowledged = [0, *map(int, writer.stdout.read().splitlines())]

    numbers = [int(line.pseudonym, 16) for line in read(tmp_path).sound()]

    assert numbers[: len(acknowledged)] == acknowledged
    assert len(numbers) - len(acknowledged) in {0, 1}
