"""`tidegate replay --with`: recorded orders judged again under other limits."""

from __future__ import annotations

import copy
import csv
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.core.events import STOPPED
from gateway.journal.snapshot import save
from gateway.replay.history import History
from gateway.replay.what_if import WhatIf, what_if
from tests.replay.test_replay import refusal, replay
from tests.support.checks import config_with_everyone
from tests.support.core import INSTRUMENTS, LIMITS
from tests.support.journal import Flow, JournaledCore, state_digest

Make = Callable[..., JournaledCore]
Limits = dict[str, Any]

# Limits of every kind, at single entities and at pairs, which all refuse something in `quiet`.
FIRST: Limits = {
    "account": {
        "default": {"max_order_qty": 700, "max_order_notional": 60_000, "max_long": 2500, "max_short": 2500},
        "ACC2": {"max_order_qty": 900, "duplicate_window": "30s"},
    },
    "account*instrument": {"ACC1*MSFT": {"max_long": 1300, "max_order_qty": 450}},
    "strategy": {"MOMO": {"max_messages": 2, "message_window": "500ms"}},
    "instrument": {"default": {"collar_bps": 300, "reference_max_age": "1s"}},
    "session": {"default": {"max_messages": 9, "message_window": "1s"}},
}
SECOND: Limits = {
    "account": {
        "default": {"max_order_qty": 500, "max_order_notional": 90_000, "max_long": 2100, "max_short": 1900},
        "ACC2": {"max_order_qty": 1000, "duplicate_window": "0s"},
    },
    "account*instrument": {"ACC2*AAPL": {"max_short": 1200, "max_order_notional": 30_000}},
    "flow": {"ALGO": {"max_open_orders": 0}},
    "strategy": {"MOMO": {"max_messages": 5, "message_window": "1s"}, "ARB": {"max_order_qty": 600}},
    "instrument": {"default": {"collar_bps": 200, "reference_max_age": "1500ms"}, "MSFT": {"collar_bps": 500}},
    "session": {"default": {"max_messages": 6, "message_window": "700ms"}},
}
POSITIONS = """account,symbol,quantity
ACC1,AAPL,1500
ACC2,AAPL,-1000
ACC1,MSFT,900
"""


def quiet(core: JournaledCore, seed: int, steps: int = 400) -> dict[str, bool]:
    """Orders and replaces after which the state is as before, whatever was decided: what goes out is refused by the
    venue, but for five that rest. Returns which ClOrdIDs were accepted.
    """
    rng = random.Random(seed)
    accepted = {}
    children: dict[str, str] = {}
    for k in range(5):
        core.wait(1)
        core.quote("AAPL", 99.99, 100.01, 100)
        (_, _, child) = core.new(f"REST{k}", qty="10", px="99", side="1")[0]
        core.report(child[11], f"R{k}", "0", "0")
        children[f"REST{k}"] = child[11]
    for k in range(steps):
        core.wait(rng.choice((0.001, 0.02, 0.05, 0.2, 0.7)))
        symbol, middle = rng.choice((("AAPL", 100), ("MSFT", 200)))
        if rng.random() < 0.4:
            core.quote(symbol, middle - 0.01, middle + 0.01, middle)
        own = f"Q{k}"
        terms: dict[str, Any] = {"px": f"{middle * rng.choice((0.96, 0.975, 1, 1.01, 1.025, 1.04)):.2f}"}
        if rng.random() < 0.15:
            terms = {"px": None, "t40": "1"}
        terms |= {"qty": str(10 * rng.randrange(1, 110)), "side": rng.choice("12"), "symbol": symbol}
        terms |= {"t1": rng.choice(("ACC1", "ACC2")), "t848": rng.choice(("MOMO", "ARB"))}
        if rng.random() < 0.1:
            terms["t376"] = "ALGO"
        if rng.random() < 0.2:
            rest = f"REST{rng.randrange(5)}"
            reply = core.replace(own, rest, **terms | {"px": "99.5", "side": "1", "symbol": "AAPL", "t1": "ACC1"})
            accepted[own] = reply[0][1] == "G"
            if accepted[own]:
                core.cancel_reject(reply[0][2][11], children[rest], response="2")
            continue
        reply = core.new(own, **terms)
        accepted[own] = reply[0][1] == "D"
        if accepted[own]:
            core.report(reply[0][2][11], f"V{k}", "8", "8", t54=terms["side"], t55=symbol)
    core.close()
    return accepted


def other(folder: Path, limits: Limits, name: str = "other.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(limits))
    return path


def judged(core: JournaledCore, limits: Limits) -> WhatIf:
    return what_if(History(core.folder), other(core.folder.parent, limits))


def recorded(folder: Path, limits: Limits, seed: int) -> tuple[JournaledCore, dict[str, bool]]:
    folder.mkdir()
    core = JournaledCore(folder, limits=limits, config=config_with_everyone(), positions=POSITIONS)
    core.synced("XNYS")
    return core, quiet(core, seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_limits_decide_as_a_run_with_them_does(tmp_path: Path, seed: int) -> None:
    """The same messages sent to a gateway that has the other limits: the same orders refused, for the same reasons."""
    core, then = recorded(tmp_path / "first", without_duplicates(FIRST), seed)
    second, now = recorded(tmp_path / "second", without_duplicates(SECOND), seed)
    result = judged(core, without_duplicates(SECOND))
    same = judged(second, without_duplicates(SECOND))
    assert {x.cl_ord_id for x in result.changes} == {own for own in then if then[own] != now[own]}
    assert {x.cl_ord_id for x in result.changes if x.now} == {own for own in then if then[own] and not now[own]}
    assert result.refused_now.count == same.refused_then.count
    assert result.orders["newly accepted"] > 5 and result.orders["newly refused"] > 5
    assert len({check for check, _ in result.refused_now.count}) >= 8
    assert result.differences == 0


def without_duplicates(limits: Limits) -> Limits:
    """The limits without the one check in which an accepted order, though refused by its venue, leaves a trace."""
    limits = copy.deepcopy(limits)
    del limits["account"]["ACC2"]["duplicate_window"]
    return limits


def test_the_same_limits_decide_as_they_did(tmp_path: Path, make: Make) -> None:
    """Every order, with every reason: also those that fill, are replaced, busted, and met a lost session."""
    for place, limits in (("first", FIRST), ("second", SECOND)):
        core, _ = recorded(tmp_path / place, limits, 4)
        result = judged(core, limits)
        assert result.refused_now.count == result.refused_then.count
        assert result.refused_now.notional_e4 == result.refused_then.notional_e4
        assert result.changes == [] and result.changed_limits == set()
    tight = copy.deepcopy(LIMITS)
    tight["account"]["default"] |= {"duplicate_window": "10s", "max_open_orders": 8}
    tight["account*instrument"] = {"default*AAPL": {"max_long": 1500}}
    core = make(limits=tight)
    flow = Flow(core, 7)
    for _ in range(600):
        flow.step()
    core.close()
    result = judged(core, tight)
    assert result.refused_now.count == result.refused_then.count
    assert {check for check, _ in result.refused_now.count} >= {"MAX_OPEN_ORDERS", "MAX_LONG", "MAX_ORDER_QTY"}
    assert result.changes == [] and result.differences == 0


def test_an_accepted_order_meets_the_state_without_itself(make: Make) -> None:
    """Limits that leave room for exactly what was there: an order that counted itself would be refused."""
    core = make()
    core.new("A1", qty="100")
    core.replace("A2", "A1", qty="150")
    core.new("A3", qty="100")
    core.close()
    exact = copy.deepcopy(LIMITS)
    exact["account"]["default"] |= {"max_long": 250, "max_open_orders": 2, "duplicate_window": "0s"}
    assert judged(core, exact).changes == []
    exact["account"]["default"] |= {"max_long": 249, "max_open_orders": 1, "duplicate_window": "1m"}
    changes = judged(core, exact).changes
    assert [(x.cl_ord_id, x.then) for x in changes] == [("A3", [])]
    assert changes[0].now == [
        *("DUPLICATE_ORDER (account ACC1)", "MAX_LONG (account ACC1)", "MAX_OPEN_ORDERS (account ACC1)"),
    ]


def test_what_limits_cannot_change_stays_refused(make: Make) -> None:
    core = make()
    core.new("A1")
    core.new("A1", qty="2000")
    core.new("A2", symbol="NONE")
    core.close()
    loose = copy.deepcopy(LIMITS)
    loose["account"]["default"]["max_order_qty"] = "unlimited"
    result = judged(core, loose)
    assert result.changes == []
    assert result.refused_then.count - result.refused_now.count == {("MAX_ORDER_QTY", "account ACC1"): 1}
    assert result.refused_now.count == {("CL_ORD_ID_REUSE", ""): 1, ("KNOWN_INSTRUMENT", ""): 1}


def test_a_tighter_quote_spread_refuses_where_no_trade_stands_in(make: Make) -> None:
    core = make()
    core.quote("AAPL", 96, 104, 100)
    core.new("A1")
    core.wait(31)
    core.quote("AAPL", 96, 104)
    core.new("A2")
    core.close()
    narrow = copy.deepcopy(LIMITS)
    narrow["instrument"]["default"]["max_quote_spread"] = 799
    result = judged(core, narrow)
    assert [(x.cl_ord_id, x.then) for x in result.changes] == [("A2", [])]
    assert "MAX_QUOTE_SPREAD (instrument AAPL)" in result.changes[0].now
    narrow["instrument"]["default"]["max_quote_spread"] = 800
    assert judged(core, narrow).changes == []


def test_a_missing_mandatory_limit_refuses(make: Make) -> None:
    core = make()
    core.new("A1")
    core.close()
    missing = copy.deepcopy(LIMITS)
    del missing["account"]["default"]["max_order_notional"]
    assert judged(core, missing).changes[0].now == ["MAX_ORDER_NOTIONAL (account ACC1)"]


def carry_over(core: JournaledCore, config: dict[str, Any]) -> None:
    """The next run of a core, with one account more, which moves the rows of all others."""
    config["sessions"][0]["accounts"].insert(0, "AAA")
    core.take_settings(config, FIRST, INSTRUMENTS, POSITIONS)
    core.begin(STOPPED)
    core.synced("XNYS")


def test_judging_again_leaves_the_history_as_it_was(tmp_path: Path) -> None:
    """From a snapshot too, and with settings that change on the way: no event replays otherwise."""
    config = config_with_everyone()
    core = JournaledCore(tmp_path, limits=FIRST, config=config, positions=POSITIONS)
    core.synced("XNYS")
    core.new("A1", qty="590")
    core.journal_writer.roll()
    carry_over(core, config)
    core.new("A2", qty="590", t1="ACC2")
    core.close()
    result = judged(core, SECOND)
    assert [x.cl_ord_id for x in result.changes] == ["A1", "A2"]
    assert result.differences == 0
    replayer = History(core.folder).replayer()
    first = next(History(core.folder).parts())
    replayer.apply(first.segment)
    before = state_digest(replayer.state.block)
    save(core.folder, replayer, 1)
    first.segment.path.unlink()
    result = judged(core, SECOND)
    assert [x.cl_ord_id for x in result.changes] == ["A2"]
    assert result.differences == 0
    told = replay(core.folder, "--with", other(tmp_path, SECOND)).stdout
    assert "began with snapshot-00000001.zst: in the first message_window after it, counts can be too low" in told
    assert state_digest(History(core.folder).replayer().state.block) == before


def test_the_command_prints_and_writes_what_changes(make: Make, tmp_path: Path) -> None:
    core = make()
    for k in range(30):
        core.new(f"A{k}", qty=str(10 + k))
    core.new("BIG", qty="1500")
    core.close()
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"] |= {"max_order_qty": 2000, "max_order_notional": 1_499}
    path = other(tmp_path, limits)
    result = replay(core.folder, "--with", path, "--csv", tmp_path / "changes.csv")
    assert result.exit_code == 0, result.output
    assert "31 orders and replaces judged again; limits that differ: max_order_qty, max_order_notional" in result.stdout
    assert "no other fills, cancels or positions are simulated" in " ".join(result.stdout.split())
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    # 25 orders of 15 to 39 at 100 are newly refused: 67,500 in all. BIG stays refused, by another limit.
    assert "MAX_ORDER_NOTIONAL account ACC1 26 217,500 25 67,500" in rows
    assert "MAX_ORDER_QTY account ACC1 1 150,000" in rows
    assert "orders 1 150,000 26 217,500 25 67,500" in rows
    assert "orders decided otherwise: 25" in result.stdout and "and 5 more" in result.stdout
    with (tmp_path / "changes.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["cl_ord_id"] for row in written] == [f"A{k}" for k in range(5, 30)]
    assert written[0]["quantity"] == "15" and written[0]["notional"] == "1500"
    assert written[0]["then"] == "accepted" and written[0]["now"] == "MAX_ORDER_NOTIONAL (account ACC1)"


def test_the_picture(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    core = make()
    core.new("A1")
    core.close()
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"]["max_order_qty"] = 50
    for changed in (limits, LIMITS):
        picture = tmp_path / "picture.png"
        path = other(tmp_path, changed)
        assert replay(core.folder, "--with", path, "--plot", picture).exit_code == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install matplotlib" in refusal(core.folder, "--with", path, "--plot", picture)


def test_how_much_of_a_limit_is_used(make: Make) -> None:
    core = make()
    core.new("A1", qty="100", px="102")
    core.close()
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"] |= {"max_order_qty": 400, "max_long": 50}
    limits["instrument"]["default"]["collar_bps"] = 400
    result = judged(core, limits)
    (then,), (now,) = result.used_then, result.used_now
    assert (then[0], now[0]) == (0.1, 0.25)
    assert (then[2], now[2]) == (0.4, 0.5)
    assert (then[3], now[3]) == (0.02, 2.0)


def test_limits_that_do_not_fit_are_refused_with_one_line(make: Make, tmp_path: Path) -> None:
    core = make()
    core.close()
    path = other(tmp_path, {"account": {"NOBODY": {"max_order_qty": 1}}})
    assert refusal(core.folder, "--with", path).startswith(f"{path}: account.NOBODY: no account of that name")
    path.write_text("account: {default: {max_order_qty: -1}}")
    assert refusal(core.folder, "--with", path).startswith(f"{path}: account.default.max_order_qty: want")
    gone = tmp_path / "gone.yaml"
    assert refusal(core.folder, "--with", gone) == f"{gone}: cannot be read: {os.strerror(2)}"
