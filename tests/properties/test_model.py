"""Random histories: after every event the compiled core and the slow model must agree on every message and number.

`TIDEGATE_HISTORIES` sets the number of histories (300); `pytest -m soak` runs twenty times as many, random ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from gateway.core import events as ev
from gateway.core import layout as a
from tests.properties.histories import SAYING, OrderFlow, number
from tests.properties.model_orders import REPLACE, Order

HISTORIES = int(os.environ.get("TIDEGATE_HISTORIES", "300"))
STEPS = 50
VENUES = st.sampled_from(("XNAS", "XCME", "XOLD"))
STATUSES = st.lists(st.sampled_from("0000122334C8888A6E"), min_size=1, max_size=4)


class Histories(OrderFlow):
    """An EMS, a venue and the clock doing what they like, plausible or not; lines, runs and days that end."""

    @rule(venue=VENUES, how=st.sampled_from(("up", "up", "up", "reset", "down")))
    def line(self, venue, how):
        self.model.now_ns = self.core.time_ns
        if how == "down":
            self.model.up[venue] = False
            self.agree(self.core.logout(venue), [])
        else:
            self.model.logon(venue, how == "reset")
            self.agree(self.core.logon(venue, how == "reset"), [])

    @rule(venue=VENUES)
    def synced(self, venue):
        if self.model.up[venue]:
            wanted = self.model.synced(venue)
            self.agree(self.core.synced(venue), wanted)

    # Kill switches, hours.

    @rule(
        what=st.sampled_from(
            (
                *(("firm", ""), ("account", "ACC2"), ("strategy", "MOMO"), ("trader", "TOM"), ("desk", "D1")),
                *(("flow", "AUTO"), ("instrument", "ESZ6"), ("session", "EMS2"), ("venue", "XOLD"), ("venue", "XNAS")),
            )
        ),
        rounds=st.integers(0, 7),
        answers=st.lists(st.sampled_from(("yes", "ack", "no", "8")), max_size=4),
        stays=st.sampled_from((False, False, False, False, True)),
    )
    def kill(self, what, rounds, answers, stays):
        """A switch is set and swept for, its cancels perhaps answered; mostly it is released soon."""
        self.switch(what, True)
        for round_ in range(rounds):
            for answer in answers[round_ : round_ + 1]:
                self.answer_request(0, answer, tell=True)
            self.later(1_000 if round_ % 2 else 400)
        if not stays:
            self.switch(what, False)

    def switch(self, what: tuple[str, str], on: bool) -> None:
        scope, name = what
        self.model.now_ns = self.core.time_ns
        wanted = self.model.kill(scope, name, on)
        actual = self.core.kill(a.SCOPE_NAMES.index(scope), name, on)
        assert [message[:2] for message in actual] == [message[:2] for message in wanted]
        self.swept()
        self.agree([], [])

    @precondition(lambda self: self.model.killed)
    @rule(pick=st.integers(0, 9))
    def release(self, pick):
        killed = sorted(self.model.killed)
        self.switch(killed[pick % len(killed)], False)

    def later(self, ms: int) -> None:
        """A tick: what is due again has been canceled after a second."""
        self.wait(ms)
        self.model.now_ns = self.core.time_ns
        due = any(self.model.is_killed(o.entities) and o.is_open() for o in self.model.orders)
        wanted = sorted((s, t) for s, t, _ in self.model.ticks())
        actual = []
        while reply := self.core.tick():
            actual += reply
        assert sorted((s, t) for s, t, _ in actual) == wanted
        assert not due or ms < 1_000 or self.core.record.sweep_row != a.NONE, "nothing is swept"
        self.swept()
        self.agree([], [])

    @rule(ms=st.sampled_from((1, 99, 100, 1_000, 1_100)))
    def tick(self, ms):
        self.later(ms)

    @rule(is_open=st.sampled_from((True, True, True, False)))
    def hours(self, is_open):
        self.model.is_closed = not is_open
        self.agree(self.core.hours(is_open), [])

    # Runs, doubts, days.

    @rule(
        ended=st.sampled_from((ev.STOPPED, ev.CRASHED, ev.REBOOTED)),
        back=st.lists(st.sampled_from(("synced", "synced", "up", "reset", "down")), min_size=3, max_size=3),
    )
    def restart(self, ended, back):
        self.model.now_ns = self.core.time_ns
        self.model.start(ended)
        self.agree(self.core.start(ended), [])
        for venue, how in zip(("XNAS", "XCME", "XOLD"), back, strict=True):
            if how != "down":
                self.line(venue, "reset" if how == "reset" else "up")
            if how in ("synced", "reset"):
                self.synced(venue)

    def in_doubt(self, pick: int) -> Order | None:
        found = [o for o in self.model.orders if o.doubt > 0]
        return found[pick % len(found)] if found else None

    def has_doubts(self) -> bool:
        return any(o.doubt for o in self.model.orders)

    @precondition(has_doubts)
    @rule(pick=st.integers(0, 4), statuses=STATUSES, tell=st.booleans(), qty=st.integers(0, 2), backwards=st.booleans())
    def answer_doubt(self, pick, statuses, tell, qty, backwards):
        """Statuses of an order in doubt and of its pending requests, with no 38, the order's or the request's."""
        order = self.in_doubt(pick)
        requests = [order.accepted, *order.all_pending()]
        for request, status in zip(requests[:: -1 if backwards else 1], statuses, strict=False):
            waits = request.kind == REPLACE and request.state == "pending"
            told = (request.qty if waits and qty == 2 else order.qty) - order.restated
            self.send_report(order, request.child, "I", tell, status=status, t38=number(told) if qty else None)

    @precondition(OrderFlow.has_orders)
    @rule(
        pick=st.integers(0, 4),
        asked=st.sampled_from(("", "", "G", "F", "GF", "GG", "FF", "FFFFF")),
        how=st.sampled_from(("reset", "reset", "crash", "reboot")),
        statuses=STATUSES,
        tell=st.booleans(),
        qty=st.integers(0, 2),
        backwards=st.booleans(),
    )
    def doubt(self, pick, asked, how, statuses, tell, qty, backwards):
        """A venue or the machine goes down on an order that has requests pending, and comes back."""
        order = self.order(pick)
        for kind in asked:
            named = "pending" if order.pending(REPLACE) else "current"
            self.replace(pick, named, 1 + pick, 0, "2") if kind == "G" else self.cancel(pick, named, False)
        if how != "reset":
            self.restart(ev.CRASHED if how == "crash" else ev.REBOOTED, ["up", "synced", "synced"])
        self.line(order.venue, "reset" if how == "reset" else "up")
        self.synced(order.venue)
        if self.has_doubts():
            self.answer_doubt(0, statuses, tell, qty, backwards)

    @precondition(OrderFlow.has_orders)
    @rule(
        pick=st.integers(0, 4),
        says=st.lists(SAYING, min_size=2, max_size=10),
        then=st.sampled_from(("", "", "", "gone", "working", "day", "new day")),
        part=st.sampled_from((0, 1, 2, 4)),
    )
    def contradictory(self, pick, says, then, part):
        """A venue that says this and that of what has traded of an order, until somebody or the day ends it."""
        order = self.order(pick, only_open=pick < 4)
        for saying in says:
            self.say(order, *saying)
        if then in ("gone", "working"):
            self.line(order.venue, "reset")
            self.resolve_if_in_doubt(then == "gone", part)
            self.say(order, "H", "none", "0", "1", False)
            self.say(order, "H", "none", "0", "1", False)
        elif then:
            self.end_day(then == "day")

    def resolve_if_in_doubt(self, gone: bool, part: int) -> None:
        if self.has_unclear():
            self.resolve(0, gone, part)

    def unclear(self) -> list[Order]:
        """Orders in doubt, and those of which nobody knows what has traded, closed ones too."""
        return [o for o in self.model.orders if o.doubt > 0 or o.unbooked > 0]

    def has_unclear(self) -> bool:
        return bool(self.unclear())

    @precondition(has_unclear)
    @rule(pick=st.integers(0, 4), gone=st.booleans(), part=st.sampled_from((0, 0, 1, 2, 4)))
    def resolve(self, pick, gone, part):
        found = self.unclear()
        order = found[pick % len(found)]
        cum = (order.qty * part / 4).to_integral_value()
        self.model.now_ns = self.core.time_ns
        wanted = self.model.resolve(order, gone, cum)
        self.agree(self.core.resolve(order.row, ev.GONE if gone else ev.WORKING, number(cum)), wanted)

    @precondition(OrderFlow.has_orders)
    @rule(keep=st.sampled_from((True, True, False)))
    def end_day(self, keep):
        self.model.now_ns = self.core.time_ns
        wanted = self.model.end_day(keep)
        self.agree(self.core.day(ev.POSITIONS_KEPT if keep else ev.POSITIONS_RESET), wanted)

    @precondition(lambda self: self.children)
    @rule(pick=st.integers(0, 30), kind=st.sampled_from("FF4I8"), poss_dup=st.booleans())
    def late_report(self, pick, kind, poss_dup):
        """On a child of long ago, whose order may be given back."""
        child = self.children[pick % len(self.children)]
        if child not in self.model.by_child:
            more = {"t54": "1", "t55": "AAPL", "t32": "1" if kind == "F" else None, "t31": "100"}
            status = {"F": "1", "I": "0"}.get(kind, kind)
            self.deliver("XNAS", child, self.fresh_exec(), kind, status, more, poss_dup)


def run(histories: int, is_random: bool) -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=histories,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not is_random,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_histories():
    run(HISTORIES, is_random=False)


def test_a_replaced_report_that_tells_of_a_missed_fill():
    state = Histories()
    state.begin(orders=1, quoted=True)
    state.fill(pick=0, part=1, tell=False, missed=True, ended=False)
    state.replace(pick=0, of="current", qty=0, bps=0, kind="2")
    state.answer_request(pick=0, answer="yes", tell=True)


@pytest.mark.soak
def test_many_histories():
    run(20 * HISTORIES, is_random=True)
