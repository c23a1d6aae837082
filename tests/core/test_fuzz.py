"""Whatever a file holds, reading it gives a value or a sentence: no crash, no hang, no bomb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def cases(folder: Path, first: int, count: int) -> list[dict[str, object]]:
    """Damage and read `count` files in a child; a child that dies tells which case it was at."""
    paths = [TESTS, ROOT, ROOT / "server", ROOT / "client"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, TESTS / "fuzz_readers.py", folder, str(first), str(count)]
    child = subprocess.run(words, env=here, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"case {first + len(lines)}: {child.stderr[-2000:]}"
    return lines


def check(lines: list[dict[str, object]], count: int) -> None:
    odd = [line for line in lines if line["came"] not in {"read", "refused"}]
    assert odd == []
    assert len(lines) == count
    came = Counter((line["kind"], line["came"]) for line in lines)
    kinds = {line["kind"] for line in lines} - {"prediction log"}  # its other lines are read
    assert {kind for kind, end in came if end == "refused"} == kinds


@pytest.mark.slow
def test_some_damaged_files_give_a_value_or_a_sentence(tmp_path: Path) -> None:
    check(cases(tmp_path, 0, 150), 150)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_thousand_damaged_files_give_a_value_or_a_sentence(tmp_path: Path) -> None:
    check(cases(tmp_path, 1000, 2000), 2000)
