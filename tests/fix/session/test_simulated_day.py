"""24 simulated hours of FIX sessions with faults drawn from a seed: an EMS, the core, a venue; no sockets, no sleeps.

`TIDEGATE_DAY_SEED` says which day; `pytest -m soak` takes many. In the end all three agree.
"""

from __future__ import annotations

import heapq
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.layout import NONE, SURE
from gateway.fix.layout import E8
from tests.fix.session.day_gateway import SECOND_NS, Gateway, Link
from tests.fix.session.day_peer import Peer
from tests.fix.session.day_peers import Ems, Order, Venue
from tests.fix.session.test_protocol import EMS, VENUE
from tests.support.core import START_NS, WALL_NS

DAY_S, RESET_S, QUIET_S = 24 * 3600, 20 * 3600, 900
TICK_S, QUOTE_S, POLL_S = 0.5, 4, 5
SEED = os.environ.get("TIDEGATE_DAY_SEED")
SEEDS = [int(SEED)] if SEED else [1, 2, 3]
FAULT_EVERY_S, CLOCK_STEP_EVERY_S = 900, 7200  # on average
SOAK_DAYS = int(os.environ.get("TIDEGATE_DAYS", "100"))
# What must have happened in a day, and how often at least.
LEAST = {
    **{"cut": 20, "cut in a message": 10, "silence": 4, "long outage": 2, "clock step": 4, "timed out": 4},
    **{"order": 400, "fill": 300, "refused, venue down": 20, "order sent again": 20, "order not sent again": 10},
    **{"resend of EMS1": 5, "resend of XNAS": 5, "resend to EMS1": 5, "resend to XNAS": 5, "partial answer": 5},
    **{"held": 20, "undelivered": 10, "venue asks": 20, "SequenceReset": 2, "ResetSeqNumFlag": 2},
}


class Day:
    """One day: time, what happens at random, and the end."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now_ns = START_NS
        self.counts: Counter[str] = Counter()
        self.is_quiet = False  # no trading and no faults
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self.gateway = Gateway(self, folder)
        self.links = {name: Link(self, name) for name in (EMS, VENUE)}
        self.ems, self.venue = Ems(self), Venue(self)
        self.peers = {EMS: self.ems, VENUE: self.venue}
        self._ticks = 0
        for begin in (self._tick, self._next_clock_step):
            self.after(TICK_S, begin)
        for name in self.links:
            self.after(self.draw.expovariate(1 / FAULT_EVERY_S), lambda name=name: self._next_fault(name))

    @property
    def wall_ns(self) -> int:
        """The right time of day."""
        return WALL_NS + self.now_ns - START_NS

    def sides(self, name: str) -> tuple[Gateway, Peer]:
        """The ends of a link."""
        return self.gateway, self.peers[name]

    def at(self, time_ns: int, what: Callable[[], None]) -> None:
        """Have something happen then."""
        self._serial += 1
        heapq.heappush(self._due, (time_ns, self._serial, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen so much later."""
        self.at(self.now_ns + round(seconds * SECOND_NS), what)

    def run_to(self, second: float) -> None:
        """Let time pass."""
        end_ns = START_NS + round(second * SECOND_NS)
        while self._due[0][0] <= end_ns:
            self.now_ns, _, what = heapq.heappop(self._due)
            self.gateway.house.time_ns = self.now_ns
            what()

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % round(QUOTE_S / TICK_S) == 0:
            self.gateway.house.quote("AAPL", 99.99, 100.01, 100)
        self.gateway.tick()
        for peer in self.peers.values():
            peer.tick()
        self.after(TICK_S, self._tick)

    def _next_fault(self, name: str) -> None:
        draw, link = self.draw, self.links[name]
        self.after(draw.expovariate(1 / FAULT_EVERY_S), lambda: self._next_fault(name))
        if self.is_quiet or not link.carries:
            return
        kind = draw.random()
        down_s = 3600 ** draw.random()
        if kind < 0.15:
            self.peers[name].skip()
        elif kind < 0.3:
            link.armed = lambda: link.cut(silent=True, down_s=down_s + 80)
        else:
            link.armed = lambda: link.cut(silent=False, down_s=down_s)

    def _next_clock_step(self) -> None:
        self.after(self.draw.expovariate(1 / CLOCK_STEP_EVERY_S), self._next_clock_step)
        if not self.is_quiet and self._ticks > 1:
            self.gateway.step_clock(self.draw.choice([-1, 1]) * self.draw.uniform(60, 1200))
            self.after(self.draw.uniform(300, 900), lambda: self.gateway.step_clock(0))

    def quiet_down(self) -> None:
        """No more orders and faults; all links can be had."""
        self.is_quiet = True
        self.gateway.step_clock(0)
        for link in self.links.values():
            link.armed = None
            link.down_until_ns = 0

    def run_until_settled(self, within_s: float) -> None:
        """Until every session is up and all that was sent has come."""
        end_ns = self.now_ns + round(within_s * SECOND_NS)
        while not all(peer.is_settled for peer in self.peers.values()):
            assert self.now_ns < end_ns, f"not settled: {self.numbers()}"
            self.run_to((self.now_ns - START_NS) / SECOND_NS + POLL_S)

    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Of each session what comes next: to the gateway by itself and by the peer, and from it."""
        lines = {name: self.gateway.house.line(name) for name in self.peers}
        return {
            n: (int(o.next_in), self.peers[n].next_out, int(o.next_out), self.peers[n].next_in)
            for n, o in lines.items()
        }

    def begin_anew(self) -> None:
        """At a quiet moment both peers log out, and log on with ResetSeqNumFlag(141)."""
        self.quiet_down()
        self.run_until_settled(QUIET_S)
        for peer in self.peers.values():
            peer.log_out()
        self.run_to((self.now_ns - START_NS) / SECOND_NS + 60)
        self.run_until_settled(QUIET_S)
        self.is_quiet = False


def check_order(day: Day, order: Order, rows: dict[str, object]) -> None:
    """What the EMS was told of an order, what the gateway holds, and the venue's book are the same."""
    there, row = day.venue.by_ems_id.get(order.id), rows.get(order.order_id)
    told = order.status, order.cum
    if there is None:
        assert order.status == "8" or (not order.status and order.id in day.ems.kept_back), f"never placed: {order}"
        assert row is None or (chr(row.status), row.cum_e8) == ("8", 0), f"{order}: the gateway has {row}"
    else:
        assert told == (there.status, there.cum), f"EMS: {order}, venue: {there}"
        assert row is not None and told == (chr(row.status), row.cum_e8 // E8), f"{order}: the gateway has {row}"
        assert order.fills == order.cum, f"EMS: {order}"
        assert row.pending == NONE and row.doubt == SURE, f"{order}: pending or in doubt"


def check(day: Day) -> None:
    """All agree, and enough has happened."""
    for next_in, peers_next_out, next_out, peers_next_in in day.numbers().values():
        assert (next_in, next_out) == (peers_next_out, peers_next_in), day.numbers()
    record = day.gateway.house.record
    rows = {f"O{row.run}-{row.number}": row for row in record.orders[: record.order_count] if row.number != NONE}
    for order in day.ems.roots:
        check_order(day, order, rows)
    assert not day.ems.unanswered, f"never answered: {day.ems.unanswered}"
    placed = day.venue.by_ems_id
    assert set(placed) <= {order.id for order in day.ems.roots}
    signs = {"1": 1, "2": -1}
    position = sum(signs[order.side] * order.cum for order in placed.values())
    working = (sum(o.qty - o.cum for o in placed.values() if o.is_open and o.side == side) for side in "12")
    assert day.gateway.house.shares() == (position, *working)
    assert int(record.fault) == 0
    few = {what: day.counts[what] for what, least in LEAST.items() if day.counts[what] < least}
    assert not few, f"too little has happened: {few} of {dict(day.counts)}"


def live(folder: Path, seed: int) -> Day:
    """A whole day and its end; a failure names its seed."""
    day = Day(folder, seed)
    try:
        day.run_to(RESET_S)
        day.begin_anew()
        day.run_to(DAY_S - QUIET_S)
        day.quiet_down()
        day.run_to(DAY_S - QUIET_S / 2)
        day.ems.ask_for_unanswered()
        day.run_to(DAY_S)
        day.run_until_settled(QUIET_S)
        check(day)
    except AssertionError as error:
        at_s = (day.now_ns - START_NS) / SECOND_NS
        raise AssertionError(f"TIDEGATE_DAY_SEED={seed}, at {at_s:.3f} s: {error}") from error
    return day


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_faults(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1000 + SOAK_DAYS))
def test_many_days_of_faults(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed)
