"""The simulated calibrator: what it pushes, and how it fails, as a reader of its file sees it."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.params import store
from tidegate_tools.sim.calibrator import Calibrator, CalibratorProcess, obey

TIMEOUT_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "volatility"


@pytest.fixture
def calibrator(path: Path) -> Iterator[CalibratorProcess]:
    with CalibratorProcess(path, beat_s=0.01) as process:
        yield process


def records(path: Path) -> np.ndarray:
    raw = path.read_bytes()
    used = struct.unpack_from("<q", raw, store.WORD * store.USED_WORD)[0]
    return np.frombuffer(raw, np.dtype(store.PARAMETER), used, store.HEADER_BYTES)


def heartbeat(path: Path) -> int:
    return int(struct.unpack_from("<q", path.read_bytes(), store.WORD * store.HEARTBEAT_WORD)[0])


def wait_for_a_beat(path: Path, since: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while heartbeat(path) <= since:
        assert time.monotonic() < deadline, "no heartbeat"
        time.sleep(0.005)


def test_it_pushes_as_it_is_told_and_beats(calibrator: CalibratorProcess, path: Path) -> None:
    assert calibrator.tell("push max_order_qty 400 account=ALPHA model=7") == "pushed max_order_qty 400: epoch 1"
    assert calibrator.tell("push max_long 5 account=BETA symbol=KO expires=60") == "pushed max_long 5: epoch 2"
    size, pair = records(path)
    assert (size["value"], size["name"], size["model"], size["expires_ns"]) == (400 * 10**8, b"ALPHA", 7, 0)
    assert (pair["symbol"], pair["expires_ns"] - pair["time_ns"]) == (b"KO", 60 * 10**9)
    wait_for_a_beat(path, heartbeat(path))
    calibrator.tell("wait 600")
    wait_for_a_beat(path, heartbeat(path))


@pytest.mark.parametrize(("what", "value"), [("nan", 0x7FF8 << 48), ("zero", 0), ("negative", -1), ("huge", 2**63 - 1)])
def test_nonsense_is_published_with_a_good_checksum(path: Path, what: str, value: int) -> None:
    with Calibrator(path) as calibrator:
        obey(calibrator, f"nonsense {what} max_order_qty account=ALPHA", beat_s=0.01)
        (record,) = records(path)
        assert record["value"] == value and record["sequence"] == 2
    with Calibrator(path) as again:  # takes over only what has a good checksum
        assert again.epoch == 1


def test_it_dies_without_a_word_and_another_takes_over(calibrator: CalibratorProcess, path: Path) -> None:
    calibrator.tell("push max_order_qty 400 account=ALPHA")
    assert calibrator.tell("die") == "dies"
    assert calibrator.process.wait(TIMEOUT_S) == -signal.SIGKILL
    with CalibratorProcess(path) as another:
        assert another.tell("push max_order_qty 300 account=ALPHA").endswith("epoch 2")
    with pytest.raises((RuntimeError, BrokenPipeError)):
        calibrator.tell("push max_order_qty 400 account=ALPHA")


def test_it_sticks_but_lives(calibrator: CalibratorProcess, path: Path) -> None:
    assert calibrator.tell("stick") == "sticks"
    last = heartbeat(path)
    # As long as it lives it has its file
    again = subprocess.run([*COMMAND, str(path)], input="", capture_output=True, text=True, timeout=TIMEOUT_S)
    assert again.returncode == 1 and "another process publishes there" in again.stderr
    assert calibrator.process.poll() is None
    assert heartbeat(path) == last


def test_it_beats_again_after_a_time(calibrator: CalibratorProcess, path: Path) -> None:
    calibrator.tell("stick 0.05")
    last = heartbeat(path)
    wait_for_a_beat(path, last + 4 * 10**7)


COMMAND = [sys.executable, "-m", "gateway.cli", "sim", "calibrator"]


def test_a_schedule_from_a_file(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "day.txt"
    script.write_text("# the day\npush max_order_qty 400 account=ALPHA\nwait 0.01\npush collar_bps 50 firm\ndie\n")
    done = subprocess.run([*COMMAND, str(path), "--script", str(script)], capture_output=True, timeout=TIMEOUT_S)
    assert done.returncode == -signal.SIGKILL
    assert [(r["scope"], r["limit"], r["value"]) for r in records(path)] == [(2, 0, 400 * 10**8), (0, 2, 50)]


@pytest.mark.parametrize(
    "line",
    ["push max_order_qty 400", "push max_order_qty 4 account=A price=3", "nonsense odd max_order_qty firm", "sing"],
)
def test_a_line_that_cannot_be_done_ends_it(path: Path, line: str) -> None:
    done = subprocess.run([*COMMAND, str(path)], input=line + "\n", capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 1 and "want" in done.stderr
    assert "Traceback" not in done.stderr and records(path).size == 0


def test_the_end_of_stdin_ends_it(path: Path) -> None:
    line = "push max_order_qty 400 account=ALPHA\n"
    done = subprocess.run([*COMMAND, str(path)], input=line, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0 and records(path).size == 1


def test_a_script_that_is_not_there_is_told(path: Path) -> None:
    done = subprocess.run([*COMMAND, str(path), "--script", "/nowhere"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "/nowhere" in done.stderr
