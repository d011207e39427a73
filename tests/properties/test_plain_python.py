"""The same kernels as plain Python and with bounds checks: a short history gives the same bytes."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.fix.layout import E8
from tests.support.core import BASE, LIMITS, Core

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


def steered(core: Core) -> None:
    """The same of what people, publishers and venues of another version do: kills, pushed limits, translated orders."""
    for source in (0, 1):
        core.source(source, up=True)
    core.push(a.MAX_ORDER_QTY, 300 * E8, epoch=5, model=3)
    core.push(a.MAX_ORDER_QTY, 900 * E8, epoch=6, seconds=30)
    core.push(a.MAX_LONG, 200 * E8, symbol="AAPL", source=1, epoch=7)
    core.push(a.MAX_LONG, -1, symbol="AAPL", source=1, epoch=8)
    core.push(a.MAX_ORDER_NOTIONAL, 10**15, epoch=9)
    core.push(a.MAX_OPEN_ORDERS, 10, epoch=9)
    core.new("A1", qty="301")
    for _ in range(40):
        core.later(1)
    core.source(0, up=False)
    core.give_back(a.MAX_LONG, symbol="AAPL", source=1)
    core.give_back(a.MAX_ORDER_NOTIONAL)
    core.push(2**40, 1)
    core.quote("AAPL", 99.99, 100.01, 100)
    core.quote("AAPL", 300, 300)
    core.message("XNAS", "X", [(268, "2"), (279, "1"), (269, "0"), (55, "AAPL"), (270, "99.5"), (279, "2"), (269, "1")])
    core.message("XNAS", "W", [(55, "AAPL"), (268, "2"), (269, "0"), (270, "99.99"), (269, "1"), (270, "100.01")])
    core.quote("AAPL", 99.99, 100.01, 100)
    child = core.working("B1", t116="X")
    core.working("B2", px="99", t100="XOLD", t528="P", t529="1 3", t582="2", t21=None)
    core.new("B3", t100="XOLD", t59="7")
    core.new("B4", px="98", session="EMS2", t47="C", t204="1")
    core.status_request("B1")
    core.status_request("B9", session="EMS2")
    core.replace("B5", "B1", qty="150", px="100.5")
    core.report("FOREIGN", "V1", "F", "2", t32="7", t31="100", t38="7")
    core.hours(is_open=False)
    core.new("B6")
    core.hours(is_open=True)
    sent = core.killed(a.FIRM)
    core.new("B7")
    for session, msg_type, fields in sent:
        if msg_type == "F":
            core.cancel_reject(fields[11], fields[41], session=session)
    core.message("XNAS", "r", [(11, "C1-9"), (37, "V1"), (530, "7"), (531, "0"), (532, "0")])
    core.sweep()
    for _ in range(3):
        core.later(1)
    core.report(child, "V2", "4", "4")
    core.kill(a.FIRM, on=False)
    core.working("B8", px="97", session="EMS2", t100="XNAS")
    core.cancel_by_person(1)
    core.logout("EMS2")
    core.sweep()
    core.day()
    core.kill(a.ACCOUNT, "ACC2")
    core.start(ev.CRASHED)
    core.come_back()
    core.later(31)


def steered_settings() -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and limits: EMSs and venues of both FIX versions, two publishers, and all that venues may be asked."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    ems, venue = config["sessions"]
    venue |= {"market_data": True, "mass_cancel": True, "dont_know": True}
    config["sessions"] += [
        {**ems, "id": "EMS2", "target_comp_id": "EMS2", "begin_string": "FIX.4.2", "on_disconnect": "cancel"},
        {
            **{**venue, "id": "XOLD", "target_comp_id": "XOLD", "begin_string": "FIX.4.2"},
            **{"mass_cancel": False, "cancel_rate": 5},
        },
    ]
    config["parameters"] = {"sources": [{"id": "CAL", "file": "cal"}, {"id": "DESK", "file": "desk"}]}
    limits: dict[str, Any] = copy.deepcopy(LIMITS)
    limits["account"]["default"]["max_open_orders"] = 50
    return config, limits


def outputs() -> str:
    """Everything that the core sends in `history` and `steered`, one message a line."""
    with tempfile.TemporaryDirectory() as folder:
        core = Core(Path(folder))
        history(core)
        other = Core(Path(folder), *steered_settings())
        steered(other)
    return "\n".join(f"{o.session} {o.message_type} {o.body!r}" for _, sent in core.log + other.log for o in sent)


@pytest.mark.parametrize(
    "mode",
    [
        {"NUMBA_DISABLE_JIT": "1"},
        # All kernels are compiled anew for this, which takes half as long with less optimization.
        pytest.param({"NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "1"}, marks=pytest.mark.first),
    ],
    ids=lambda mode: next(iter(mode)),
)
def test_another_way_of_running_sends_the_same_bytes(mode: dict[str, str]) -> None:
    """Plain Python, and compiled code that checks every index: the same bytes, and no word of warning."""
    compiled = outputs()
    program = "from tests.properties.test_plain_python import outputs; print(outputs())"
    other = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        cwd=ROOT,
        env=os.environ | mode | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert other.stderr == ""
    assert other.stdout.strip() == compiled
    assert compiled.count(" 8 b'") > 15
    assert all(f" {kind} b'" in compiled for kind in "DFGHQVq389")
