"""The demonstration: everything it foretells comes true, and what does not is named."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gateway.core.catalogue import CHECKS
from tidegate_tools.demo.run import Row, summarize

DEMO = [sys.executable, "-m", "gateway.cli", "demo", "--fast"]
NOT_PROVOKED = {"FAULT", "STALE_ORDER", "CAPACITY", "JOURNAL", "RECOVERY", "TRADING_DAY", "MAX_QUOTE_SPREAD"}
TIMEOUT_S = 120


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(folder), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}


def summary(rows: list[Row]) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    status = summarize(rows, console)
    return status, console.file.getvalue()


def test_everything_that_the_demonstration_foretells_comes_true(tmp_path: Path) -> None:
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout and re.search(r"all \d+ rows are right", done.stdout)
    fired = set(re.findall(r"│ (?:replaces )?refused: ([A-Z_]+) ", done.stdout))
    assert re.search(r"parameters #\d+\)", done.stdout) and "\n   no open orders\n" in done.stdout
    assert fired == {check.name for check in CHECKS} - NOT_PROVOKED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", ["ems", "gateway", "venues"])
def test_a_wrong_count_is_named_and_fails(side: str) -> None:
    right = Row("fills", 5, 5, 5, 5)
    assert summary([right])[0] == 0
    status, text = summary([right, Row("orders accepted", 3, **{side: 2})])
    assert status == 1
    assert "wrong: orders accepted\n" in text and text.count("✗") == 1


@pytest.mark.parametrize("moment", ["== PRICE_COLLAR", "Ctrl-C ends it"])
def test_a_gateway_that_dies_ends_the_demonstration_with_its_log(tmp_path: Path, moment: str) -> None:
    with subprocess.Popen(
        [*DEMO, "--serve"], stdout=subprocess.PIPE, text=True, env=environment(tmp_path), start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        try:
            until(demo, moment)
            os.kill(gateway_of(tmp_path), signal.SIGKILL)
            rest = demo.stdout.read()
            assert demo.wait(TIMEOUT_S) == 1
            assert "the gateway ended with status -9" in rest and '"event": "session is ' in rest
        finally:
            demo.terminate()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*DEMO, "--serve"], stdout=subprocess.PIPE, text=True, env=environment(tmp_path), start_new_session=True
    ) as demo:
        try:
            until(demo, "== ")
            gateway = gateway_of(tmp_path)
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=TIMEOUT_S)
            assert demo.returncode == 130
        finally:
            demo.terminate()
    assert not Path(f"/proc/{gateway}").exists()
    assert list(tmp_path.iterdir()) == []


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read the output of a process up to a line with this text."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


def gateway_of(folder: Path) -> int:
    """Process id of the gateway of the demonstration whose temporary folder is in `folder`."""
    (config,) = folder.glob("tidegate-demo-*/config/gateway.yaml")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in words and str(config).encode() in words:
            return int(path.parent.name)
    raise AssertionError(f"no gateway runs with {config}")
