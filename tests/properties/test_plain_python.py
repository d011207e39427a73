"""The same kernels as plain Python and with bounds checks: a short history gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.core import Core

ROOT = Path(__file__).parents[2]


def history(core: Core) -> None:
    """A little of everything: accepted, refused, filled, replaced, canceled, busted, unreadable, stale."""
    core.new("A1", t116="X")
    core.report("C1-0", "V1", "0", "0")
    core.report("C1-0", "V2", "F", "1", t32="30", t31="99.98", t14="30", t6="99.98")
    core.replace("A2", "A1", qty="250", px="100.5")
    core.report("C1-1", "V3", "E", "E", t14="30")
    core.report("C1-1", "V4", "5", "1", t14="30")
    core.new("A3", side="5", qty="5000", px="120.005", t114="N")
    core.new("A4", symbol="MSFT", px="200")
    core.new("A5", side="9", qty="0")
    core.new("A1")
    core.message("EMS1", "D", [(11, "A6"), (54, "Z")])
    core.cancel("A7", "A2")
    core.cancel("A8", "NOSUCH")
    core.report("C1-1", "V5", "H", "0", t19="V2", t32="30", t31="99.98")
    core.report("C1-2", "V6", "4", "4")
    core.report("C1-9", "V7", "F", "1", t32="7", t31="1")
    core.quote("MSFT", 199.9, 200.1, 200.02)
    core.new("A9", symbol="MSFT", side="2", qty="120", px=None, t40="1")
    core.cancel_reject("C1-3", "C1-3")
    core.wait(7)
    core.new("B1", symbol="AAPL", side="2")
    core.logout("XNAS")
    core.new("B2")
    core.raw("EMS1", b"8=FIX.4.4\x019=5\x01nonsense\x01")


def outputs() -> str:
    """Everything that the core sends in `history`, one message a line."""
    with tempfile.TemporaryDirectory() as folder:
        core = Core(Path(folder))
        history(core)
    return "\n".join(f"{o.session} {o.message_type} {o.body!r}" for _, sent in core.log for o in sent)


@pytest.mark.parametrize("mode", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_another_way_of_running_sends_the_same_bytes(mode: str) -> None:
    """Plain Python, and compiled code that checks every index: the same bytes, and no word of warning."""
    compiled = outputs()
    program = "from tests.properties.test_plain_python import outputs; print(outputs())"
    other = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        cwd=ROOT,
        env=os.environ | {mode: "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert other.stderr == ""
    assert other.stdout.strip() == compiled
    assert compiled.count(" 8 b'") > 8
