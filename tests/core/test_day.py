"""The end of a trading day: rows of finished orders are used again, their ids never; open orders lose nothing."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, fired, passed, refused
from tests.support.core import LIMITS, Core, Fields, of_version
from tests.support.doubts import asked

FILL = {"t31": "100", "t151": "0"}
UNLIMITED = dict.fromkeys(("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited")


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def told(reply: Reply, msg_type: str = "8", **wanted: str | None) -> Fields:
    """The one message to the EMS, with these fields (None: absent)."""
    [(session, got_type, fields)] = reply
    assert (session, got_type) == ("EMS1", msg_type), reply
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields
    return fields


def is_alert(reply: Reply, text: str) -> bool:
    return [msg_type for _, msg_type, _ in reply] == [""] and text in reply[0][2][58]


def finished(core: Core, cl_ord_id: str = "A", **more: Any) -> str:
    """An order that its venue canceled; returns its child."""
    child = core.working(cl_ord_id, **more)
    core.report(child, f"END-{child}", "4", "4")
    return child


# Open orders.


def test_an_open_order_keeps_its_ids(core: Core) -> None:
    finished(core, "OLD")
    order = core.working("A", t59="1")
    order_id = told(core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL))[37]
    assert core.day() == []
    assert core.shares() == (10, 90, 0)
    told(core.report(order, "X2", "F", "1", t32="20", t14="30", **FILL), t11="A", t37=order_id, t14="30", t151="70")
    assert "CL_ORD_ID_REUSE" in fired(core.new("A"))
    [(venue, msg_type, cancel)] = core.cancel("F", "A")
    assert (venue, msg_type, cancel[41], cancel[37]) == ("XNAS", "F", order, "V" + order)
    told(core.report(cancel[11], "X3", "4", "4", t41=order, t14="30"), t11="F", t41="A", t37=order_id, t39="4")
    assert core.shares() == (30, 0, 0)


def test_requests_of_an_open_order_are_answered_the_next_day(core: Core) -> None:
    finished(core, "OLD1")
    order = core.working("A", t59="1")
    finished(core, "OLD2", qty="50")
    first = passed(core.replace("G1", "A", qty="300", t59="1"))[11]
    second = passed(core.replace("G2", "G1", qty="200", t59="1"))[11]
    cancel = core.cancel("F", "A")[0][2][11]
    core.day()
    assert core.shares() == (0, 300, 0)
    for k in range(20):
        finished(core, f"NEW{k}", qty=str(k + 1))
    told(core.report(first, "X1", "5", "0", t41=order, t38="300", t151="300"), t11="G1", t41="A", t38="300")
    told(core.cancel_reject(second, first, "2"), "9", t11="G2", t41="G1")
    told(core.report(cancel, "X2", "4", "4", t41=first), t11="F", t41="G1", t39="4")
    assert core.shares() == (0, 0, 0)


def test_yesterday_s_fills_are_counted_once_and_can_be_busted(core: Core) -> None:
    """Executions of finished orders lie between, before and after those of the open order."""
    finished(core, "OLD1")
    order = core.working("A", t59="1")
    finished(core, "OLD2", qty="50")
    first = told(core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL))[17]
    finished(core, "OLD3", qty="60")
    second = told(core.report(order, "X2", "F", "1", t32="20", t14="30", **FILL))[17]
    core.report(order, "X3", "G", "1", t19="X1", t32="15", t31="100", t14="35")
    finished(core, "OLD4", qty="70")
    core.day()
    core.start(ev.CRASHED)
    core.come_back()
    assert core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL) == []
    assert core.report(order, "X2", "F", "1", t32="20", t14="30", **FILL) == []
    assert core.shares() == (35, 65, 0)
    told(core.report(order, "X4", "H", "0", t19="X2", t32="20", t14="15"), t19=second, t14="15")
    fields = told(core.report(order, "X5", "H", "0", t19="X3", t32="15", t14="0"), t14="0")
    assert fields[19] != second and fields[19].startswith("E1-") and first.startswith("E1-")
    assert core.shares() == (0, 100, 0)
    core.report(order, "X6", "F", "1", t32="5", t14="5", **FILL)
    assert core.shares() == (5, 95, 0)


@pytest.mark.parametrize("time_in_force", ["0", "2", "7"])
def test_orders_of_the_day_that_are_still_open(core: Core, time_in_force: str) -> None:
    """They are counted on, and a person is told; orders for the opening and the close are such orders too."""
    core.working("GTC", t59="1")
    assert core.day() == []
    core.working("DAY", qty="50", t59=time_in_force)
    assert is_alert(core.day(), "still open")
    assert core.shares() == (0, 150, 0)


def test_what_is_in_doubt_stays_so(core: Core) -> None:
    order = core.working("A", t59="1")
    core.logon("XNAS", reset=True)
    core.day()
    assert core.doubts() == 1
    refused(core.new("B", qty="50"), "RECOVERY")
    assert [fields[11] for _, _, fields in core.tick()] == [order]
    core.status(order, "4")
    passed(core.new("C", qty="50"))


def test_open_orders_count_on_for_limits(tmp_path: Path) -> None:
    limits = copy.deepcopy(LIMITS)
    limits["firm"] = {"max_open_orders": 2}
    core = Core(tmp_path, limits=limits)
    core.working("A", t59="1")
    finished(core, "B", qty="50")
    core.day()
    core.working("C", qty="60")
    refused(core.new("D", qty="70"), "MAX_OPEN_ORDERS")


# Finished orders.


def test_their_cl_ord_ids_may_be_used_again(core: Core) -> None:
    finished(core, "A")
    core.new("REFUSED", qty="5000")
    open_order = core.working("OPEN", t59="1", qty="10")
    core.replace("G", "OPEN", qty="5000")
    cancel = core.cancel("F", "OPEN")[0][2][11]
    core.cancel_reject(cancel, open_order)
    for cl_ord_id in ("A", "REFUSED", "OPEN", "G"):
        assert "CL_ORD_ID_REUSE" in fired(core.new(cl_ord_id, qty="50"))
    core.day()
    told(core.cancel("F2", "A"), "9", t37="NONE", t102="1")
    passed(core.new("A", qty="20"))
    passed(core.new("REFUSED", qty="30"))
    for cl_ord_id in ("OPEN", "G"):
        assert "CL_ORD_ID_REUSE" in fired(core.new(cl_ord_id, qty="50"))


def test_a_late_report_on_one_is_unknown(core: Core) -> None:
    """Its fill changes the position all the same; the order that has its row now does not feel it."""
    old = finished(core, "A")
    core.day()
    new = core.working("B", qty="50")
    assert new != old
    reply = core.report(old, "X1", "F", "1", t1="ACC1", t32="10", t14="10", **FILL)
    assert is_alert(reply, "not the gateway's")
    assert core.shares() == (10, 50, 0)
    assert is_alert(core.report(old, "X2", "4", "4"), "not the gateway's")
    assert is_alert(core.cancel_reject(old, old), "not the gateway's")
    assert core.undelivered({35: "D", 11: old}) == []
    assert core.shares() == (10, 50, 0)


def filled(core: Core) -> tuple[str, dict[str, str]]:
    """An order that its venue filled; returns its child and the fields of the fill."""
    child = core.working("A")
    fill = {"t1": "ACC1", "t32": "100", "t14": "100", **FILL}
    told(core.report(child, "X1", "F", "2", **fill), t39="2")
    return child, fill


@pytest.mark.parametrize("row_used_again", [False, True])
@pytest.mark.parametrize("ended", [None, ev.STOPPED, ev.CRASHED, ev.REBOOTED])
def test_a_fill_resent_after_the_day_is_booked_once(core: Core, ended: int | None, row_used_again: bool) -> None:
    """A venue that is asked for yesterday's messages marks them PossDupFlag(43)=Y."""
    child, fill = filled(core)
    core.day()
    if ended is not None:
        core.start(ended)
        core.come_back()
    if row_used_again:
        finished(core, "B")
    assert is_alert(core.report(child, "X1", "F", "2", poss_dup=True, **fill), "has ended, not booked")
    assert is_alert(core.report(child, "X1", "F", "2", poss_dup=True, **fill), "")
    assert core.shares() == core.shares(a.FIRM, "") == (100, 0, 0)


@pytest.mark.parametrize("row_used_again", [False, True])
def test_a_late_fill_that_was_never_sent_before_is_booked(core: Core, row_used_again: bool) -> None:
    """Without PossDupFlag it is news, though its order was finished."""
    child = finished(core, "A")
    core.day()
    if row_used_again:
        finished(core, "B")
    assert is_alert(core.report(child, "X1", "F", "1", t1="ACC1", t32="10", t14="10", **FILL), "not the gateway's")
    assert core.shares() == (10, 0, 0)


@pytest.mark.parametrize("row", ["never used", "used by another run"])
def test_a_resent_fill_of_an_order_that_the_journal_lost_is_booked(core: Core, row: str) -> None:
    """Its child number was given by the run before: the row is new, or the new run gave the number again."""
    filled(core)
    if row == "used by another run":
        core.day()
    core.start(ev.REBOOTED)
    core.come_back()
    lost = "C1-1"
    if row == "used by another run":
        mine = passed(core.new("B", qty="50"))[11]
        lost = "C1-" + mine.removeprefix("C2-")
        assert mine != lost
    before = core.shares()
    reply = core.report(lost, "X2", "F", "1", poss_dup=True, t1="ACC1", t32="10", t14="10", **FILL)
    assert is_alert(reply, "not the gateway's")
    assert core.shares() == (before[0] + 10, *before[1:])


@pytest.mark.parametrize("child", ["DESK7", "C1", "X1-0", "C1-9", "C2-0"])
def test_a_resent_fill_that_is_not_of_the_gateway_is_booked(core: Core, child: str) -> None:
    """Somebody else's order in the same account; none of these was ever given back."""
    passed(core.new("OTHER", qty="50"))
    assert is_alert(core.report(child, "X1", "F", "1", poss_dup=True, t1="ACC1", t32="10", **FILL), "not the gateway's")
    assert core.shares() == (10, 50, 0)


@pytest.mark.parametrize("child", ["DESK7", "C3-0", "CB-0"])
def test_nor_is_it_taken_for_an_order_of_yesterday(core: Core, child: str) -> None:
    """The number alone makes no child of ours: no run had this name."""
    finished(core, "A")
    core.day()
    finished(core, "B")
    assert is_alert(core.report(child, "X1", "F", "1", poss_dup=True, t1="ACC1", t32="10", **FILL), "not the gateway's")
    assert core.shares() == (10, 0, 0)


def test_the_child_of_a_refused_cancel_is_forgotten_with_its_order(core: Core) -> None:
    order = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    told(core.cancel_reject(cancel, order), "9", t11="F")
    core.report(order, "X1", "4", "4")
    core.day()
    core.working("B", qty="50")
    assert is_alert(core.report(cancel, "X2", "4", "4"), "not the gateway's")
    assert core.shares() == (0, 50, 0)
    assert core.cancel("F", "B")[0][:2] == ("XNAS", "F")


def test_an_order_sent_again_after_the_day(core: Core) -> None:
    """Its ClOrdID is forgotten, so what was first sent before the day's end is refused: it may have been done."""
    done = core.working("DONE")
    core.report(done, "X1", "F", "2", t32="100", t14="100", **FILL)
    core.working("OPEN", qty="50", t59="1")
    core.wait(1)
    core.day()
    core.wait(1)
    refused(core.new("DONE", poss_dup=True), "STALE_ORDER")
    refused(core.new("DONE2", t97="Y"), "STALE_ORDER")
    assert core.new("OPEN", qty="50", poss_dup=True) == []
    passed(core.new("NEW", qty="60", poss_dup=True, t122="20260711-12:00:02.000"))


def test_the_duplicate_window_goes_over_the_end_of_the_day(tmp_path: Path) -> None:
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"]["duplicate_window"] = "10s"
    core = Core(tmp_path, limits=limits)
    finished(core, "OLD1", qty="1")
    finished(core, "OLD2", qty="2")
    core.day()
    for cl_ord_id in ("P", "Q"):
        core.quote("AAPL", 99.99, 100.01, 100)
        core.working(cl_ord_id)
        core.wait(11)
    core.wait(-10)
    core.quote("AAPL", 99.99, 100.01, 100)
    core.day()
    refused(core.new("R"), "DUPLICATE_ORDER")
    passed(core.new("S", qty="99"))


# Positions.


def test_positions_are_kept_or_begin_anew(tmp_path: Path) -> None:
    core = Core(tmp_path, positions="account,symbol,quantity\nACC1,AAPL,500\n")
    order = core.working("A", t59="1")
    core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL)
    core.day(ev.POSITIONS_KEPT)
    assert core.shares() == core.shares(a.FIRM, "") == (510, 90, 0)
    core.day(ev.POSITIONS_RESET)
    assert core.shares() == core.shares(a.FIRM, "") == core.shares(a.INSTRUMENT, "AAPL") == (0, 90, 0)
    core.report(order, "X2", "F", "1", t32="20", t14="30", **FILL)
    assert core.shares() == (20, 70, 0)


# Many days.


@dataclass
class Placed:
    """An order of the random days, with what the test itself did to it."""

    day: int
    cl_ord_id: str
    child: str
    account: str
    symbol: str
    side: str
    qty: int
    cum: int = 0
    closed: bool = False
    asked: tuple[str, str, int] | None = None  # the pending replace: ClOrdID, child, quantity
    ids: list[str] = field(default_factory=list)  # ClOrdIDs of its requests

    @property
    def leaves(self) -> int:
        return 0 if self.closed else max(self.qty, self.asked[2] if self.asked else 0) - self.cum


class Days:
    """Random days of one EMS and one venue; a book of its own says what the exposures should be."""

    def __init__(self, folder: Path, version: str) -> None:
        limits = copy.deepcopy(LIMITS)
        limits["account"]["default"] = UNLIMITED
        limits["instrument"]["default"] = {"collar_bps": "unlimited", "reference_max_age": "24h"}
        limits["session"]["default"]["max_messages"] = "unlimited"
        self.core = Core(folder, of_version(version, status_requests=10_000), limits)
        self.core.quote("MSFT", 199.99, 200.01, 200)
        self.random = random.Random(1)
        self.day = 0
        self.numbers = 0
        self.kept: set[str] = set()
        self.orders: list[Placed] = []
        self.positions: dict[tuple[str, str], int] = {}
        self.order_ids: dict[str, str] = {}  # of the first child of each order
        self.children: set[str] = set()
        self.exec_ids: set[str] = set()

    def fresh(self) -> str:
        """An id that begins anew each day, but for those of open orders: of the EMS, and of executions of the venue."""
        self.numbers += 1
        while f"N{self.numbers}" in self.kept:
            self.numbers += 1
        return f"N{self.numbers}"

    def sent(self, reply: Reply) -> str:
        """The child that goes to the venue: an id that was never used."""
        [(session, _, child)] = reply
        assert session == "XNAS", reply
        assert child[11] not in self.children
        self.children.add(child[11])
        return child[11]

    def place(self) -> bool:
        """Enter an order; False when there is no room."""
        self.core.wait(0.01)
        account, symbol = self.random.choice(("ACC1", "ACC2")), self.random.choice(("AAPL", "MSFT"))
        side, qty, cl_ord_id = self.random.choice("12"), 10 * self.random.randint(1, 9), self.fresh()
        reply = self.core.new(cl_ord_id, side, str(qty), "100", symbol, t1=account, t59="1")
        if fired(reply) == {"CAPACITY"}:
            return False
        self.orders.append(Placed(self.day, cl_ord_id, self.sent(reply), account, symbol, side, qty, ids=[cl_ord_id]))
        return True

    def report(self, placed: Placed, child: str, kind: str, status: str, **more: str) -> None:
        """A report of the venue; what the EMS is told has a new ExecID and the order's own OrderID."""
        exec_id = self.fresh() if placed.day == self.day else f"D{self.day}-{self.fresh()}"
        if kind == "F" and self.core.begin_strings["XNAS"] == "FIX.4.2":
            kind = status
        reply = self.core.report(child, exec_id, kind, status, t54=placed.side, t55=placed.symbol, **more)
        fields = told(reply, t11=placed.cl_ord_id, t54=placed.side, t55=placed.symbol, t14=str(placed.cum))
        assert fields[17] not in self.exec_ids
        self.exec_ids.add(fields[17])
        assert self.order_ids.setdefault(fields[37], placed.account + placed.side) == placed.account + placed.side

    def fill(self, placed: Placed, qty: int) -> None:
        placed.cum += qty
        key = placed.account, placed.symbol
        self.positions[key] = self.positions.get(key, 0) + (qty if placed.side == "1" else -qty)
        status = "2" if placed.cum == placed.qty else "1"
        self.report(placed, placed.child, "F", status, t31="100", t32=str(qty), t14=str(placed.cum))

    def cancel(self, placed: Placed, is_done: bool) -> None:
        cl_ord_id = self.fresh()
        placed.ids.append(cl_ord_id)
        cancel = self.sent(self.core.cancel(cl_ord_id, placed.cl_ord_id, side=placed.side))
        if is_done:
            placed.closed = True
            reply = self.core.report(cancel, self.fresh() + "C", "4", "4", t41=placed.child, t14=str(placed.cum))
            told(reply, t11=cl_ord_id, t41=placed.cl_ord_id, t39="4")
        else:
            told(self.core.cancel_reject(cancel, placed.child), "9", t11=cl_ord_id, t41=placed.cl_ord_id)

    def replace(self, placed: Placed) -> None:
        cl_ord_id, qty = self.fresh(), 10 * (placed.cum // 10 + self.random.randint(2, 9))
        placed.ids.append(cl_ord_id)
        more = {"t1": placed.account, "t59": "1"}
        reply = self.core.replace(cl_ord_id, placed.cl_ord_id, str(qty), "100", placed.side, placed.symbol, **more)
        placed.asked = cl_ord_id, self.sent(reply), qty

    def answer(self, placed: Placed, is_yes: bool) -> None:
        assert placed.asked is not None
        cl_ord_id, child, qty = placed.asked
        placed.asked = None
        if is_yes:
            orig, placed.cl_ord_id, placed.child, placed.qty = placed.child, cl_ord_id, child, qty
            left = str(max(qty - placed.cum, 0))
            self.report(placed, child, "5", "0", t41=orig, t38=str(qty), t14=str(placed.cum), t151=left)
        else:
            told(self.core.cancel_reject(child, placed.child, "2"), "9", t11=cl_ord_id, t41=placed.cl_ord_id)

    def do_something(self, placed: Placed) -> None:
        """One step of an open order."""
        what = self.random.random()
        if placed.asked is not None:
            self.answer(placed, is_yes=what < 0.7)
        elif what < 0.3:
            self.fill(placed, placed.leaves)
        elif what < 0.5:
            self.fill(placed, 1 + placed.leaves // 3)
        elif what < 0.7:
            self.cancel(placed, is_done=True)
        elif what < 0.8:
            self.cancel(placed, is_done=False)
        else:
            self.replace(placed)

    def agree(self) -> None:
        """Exposures are what the orders make them, and so is the number of open orders."""
        open_orders = [placed for placed in self.orders if placed.leaves > 0]
        assert self.core.record.fault == 0
        assert self.core.record.open_order_count == len(open_orders)
        for symbol in ("AAPL", "MSFT"):
            total = (0.0, 0.0, 0.0)
            for account in ("ACC1", "ACC2"):
                of_it = [placed for placed in open_orders if (placed.account, placed.symbol) == (account, symbol)]
                buys, sells = (sum(placed.leaves for placed in of_it if placed.side == side) for side in "12")
                wanted = self.positions.get((account, symbol), 0), buys, sells
                assert self.core.shares(a.ACCOUNT, account, symbol) == wanted
                total = total[0] + wanted[0], total[1] + wanted[1], total[2] + wanted[2]
            assert self.core.shares(a.FIRM, "", symbol) == self.core.shares(a.INSTRUMENT, symbol, symbol) == total

    def crash(self) -> None:
        """A crash, after which the venue says how it stands with all that it has not answered."""
        by_child = {placed.child: placed for placed in self.orders}
        by_child |= {placed.asked[1]: placed for placed in self.orders if placed.asked}
        self.core.start(ev.CRASHED)
        self.core.come_back()
        for child in asked(self.core):
            placed = by_child[child]
            more = {"t14": str(placed.cum), "t38": str(placed.qty), "t151": str(placed.qty - placed.cum)}
            status = "1" if placed.cum else "0"
            told(self.core.status(child, status, t54=placed.side, t55=placed.symbol, **more), t11=placed.cl_ord_id)
        assert self.core.doubts() == 0

    def end(self, positions: int) -> None:
        self.core.log.clear()
        self.orders = [placed for placed in self.orders if placed.leaves > 0]
        self.kept = {cl_ord_id for placed in self.orders for cl_ord_id in placed.ids}
        self.day += 1
        self.numbers = 0
        if positions == ev.POSITIONS_RESET:
            self.positions = {}
        assert self.core.day(positions) == []


def test_many_days_over_the_same_rows(tmp_path: Path, version: str) -> None:
    """Each day fills the table of orders: what was given back is all there, and belongs to nobody."""
    days = Days(tmp_path, version)
    size = days.core.record.orders.size
    for day in range(5):
        for placed in list(days.orders):
            days.do_something(placed)
        days.agree()
        while days.place():
            if days.random.random() < 0.3:
                days.do_something(days.random.choice([p for p in days.orders[-20:] if p.leaves > 0]))
        assert len(days.orders) == size
        days.agree()
        for placed in days.orders:
            if placed.leaves > 0 and days.random.random() < 0.9:
                days.do_something(placed) if placed.asked else days.cancel(placed, is_done=True)
        days.agree()
        if day == 2:
            days.crash()
        days.end(ev.POSITIONS_RESET if day == 3 else ev.POSITIONS_KEPT)
        days.agree()
