"""Random pushes, silences, ticks and releases: the limit in force is what an obvious model in decimals says it is.

Whatever publishers do: floor <= in force <= ceiling, it never rises while held, and never faster than allowed.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gateway.core import layout as a
from gateway.fix.layout import E8
from tests.support.core import START_NS, Core
from tests.support.pushed import in_force, pushed_core

QTY, ORDERS = a.MAX_ORDER_QTY, a.MAX_OPEN_ORDERS
LOOSEN, FLOOR = 10, 10
MINUTE_NS = 60 * 10**9
# Where a limit stands, and what people set there: an entity's, a count, two pairs, one without a limit of its own.
PLACES = {
    (QTY, ""): 1_000 * E8,
    (ORDERS, ""): 45,
    (QTY, "AAPL"): 400 * E8,
    (QTY, "MSFT"): 1_000 * E8,
}
CHANGES = {
    "account.ACC1": {"max_order_qty": 1_000, "max_open_orders": 45},
    "account*instrument.ACC1*AAPL": {"max_order_qty": 400},
}
OWN = {(QTY, "MSFT"): a.UNSET}  # in force at a place when nothing is pushed, unless it is the ceiling
_template: list = []


def fresh_core() -> Core:
    """One core for all histories, put back to its first state."""
    if not _template:
        with tempfile.TemporaryDirectory() as folder:
            core = pushed_core(Path(folder), CHANGES, LOOSEN, FLOOR)
        core.new("A")  # makes the exposure of ACC1 in AAPL, where the pair stands
        _template.extend((core, core.state.block.copy()))
    core, block = _template
    core.state.block[:] = block
    core.time_ns = START_NS
    core.log = []
    return core


class Pushed:
    """One publisher's limit at one place, and by how much it may still loosen."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.floor = max(ceiling * FLOOR // 100, 1)
        self.target = self.effective = ceiling
        self.allowed = Fraction(0)
        self.held = False
        self.epoch = 0
        self.expires_ns = 0

    def push(self, value: int, epoch: int, expires_ns: int, now_ns: int) -> None:
        if not 0 <= value <= a.UNLIMITED:
            self.held = True
            return
        if self.held or self.effective == self.target:
            self.allowed = Fraction(0)
        self.target = min(max(value, self.floor), self.ceiling)
        self.effective = min(self.effective, self.target)
        self.held, self.epoch, self.expires_ns = False, epoch, expires_ns
        self.expire(now_ns)

    def expire(self, now_ns: int) -> None:
        self.held |= self.expires_ns != 0 and self.expires_ns <= now_ns

    def pass_time(self, ns: int, now_ns: int) -> None:
        if not self.held:
            self.allowed += Fraction(self.ceiling * LOOSEN * ns, 100 * MINUTE_NS)
            most = max(self.ceiling * LOOSEN // 100, 1)  # at a time: what took longer was a stop
            self.allowed = self.allowed if self.allowed < most + 1 else Fraction(most)
        self.expire(now_ns)

    def move(self, effective: int, is_over: bool) -> None:
        """The core's limit is this now; after a tick (`is_over`) it must have moved, but for a second's share."""
        if effective > self.effective:
            assert not self.held and effective <= self.target
            self.allowed -= effective - self.effective
            assert self.allowed >= 0, "faster than allowed"
        assert effective >= self.effective, "tighter than pushed"
        self.effective = effective
        if is_over and not self.held and effective < self.target:
            assert self.allowed <= Fraction(self.ceiling * LOOSEN * 1_001, 100 * 60_000) + 2, "slower than allowed"


class Pushes(RuleBasedStateMachine):
    """Two publishers, people who give back, and time."""

    @initialize()
    def begin(self):
        self.core = fresh_core()
        self.pushed: dict[tuple[int, tuple[int, str]], Pushed] = {}
        self.given_back: set[tuple[int, tuple[int, str]]] = set()
        self.epoch = 0
        self.before = {place: self.value(place) for place in PLACES}

    def value(self, place):
        return in_force(self.core, place[0], symbol=place[1])[0] if self.has_pair(place) else a.UNSET

    def has_pair(self, place):
        try:
            in_force(self.core, place[0], symbol=place[1])
        except LookupError:
            return False
        return True

    def agree(self, may_rise=False):
        for place, ceiling in PLACES.items():
            here = [p for (_, at), p in self.pushed.items() if at == place]
            value = self.value(place)
            if not here:
                assert value == OWN.get(place, ceiling), place
                continue
            for row in self.rows(place):
                model = self.pushed[int(row.source), place]
                assert (int(row.state) == a.HELD) == model.held
                model.move(int(row.effective), may_rise)
            tightest = min(p.effective for p in here)
            assert value == tightest and max(ceiling * FLOOR // 100, 1) <= value <= ceiling
            assert in_force(self.core, place[0], symbol=place[1])[1] in {
                p.epoch for p in here if p.effective == tightest
            }
            if not may_rise:
                assert value <= self.before[place] or self.before[place] == a.UNSET
        self.before = {place: self.value(place) for place in PLACES}

    def rows(self, place):
        s = self.core.record
        instrument = self.core.state.instruments[place[1]] if place[1] else a.NONE
        here = [p for p in s.parameters[: s.parameter_count] if (p.limit, p.instrument) == (place[0], instrument)]
        return [p for p in here if p.state != a.RELEASED]

    @rule(
        source=st.integers(0, 1),
        place=st.sampled_from(sorted(PLACES)),
        share=st.integers(-20, 130),
        seconds=st.sampled_from((0, 0, 0, 1, 30, 90)),
        odd=st.sampled_from((None, None, None, None, -1, a.UNLIMITED + 1, a.UNLIMITED)),
    )
    def push(self, source, place, share, seconds, odd):
        value = PLACES[place] * share // 100 if odd is None else odd
        key = source, place
        if key in self.given_back and not 0 <= value <= a.UNLIMITED:
            return
        self.epoch += 1
        self.core.push(place[0], value, symbol=place[1], source=source, epoch=self.epoch, seconds=seconds)
        if key not in self.pushed:
            self.given_back.discard(key)
            if not 0 <= value <= a.UNLIMITED:
                self.agree()
                return
            self.pushed[key] = Pushed(PLACES[place])
        now_ns = self.core.time_ns
        self.pushed[key].push(value, self.epoch, now_ns + seconds * 10**9 if seconds else 0, now_ns)
        self.agree()

    @rule(source=st.integers(0, 1), up=st.booleans())
    def line(self, source, up):
        self.core.source(source, up)
        for (of, _), pushed in self.pushed.items():
            pushed.held |= of == source and not up
        self.agree()

    @rule(source=st.integers(0, 1), place=st.sampled_from(sorted(PLACES)))
    def give_back(self, source, place):
        self.core.give_back(place[0], symbol=place[1], source=source)
        if self.pushed.pop((source, place), None):
            self.given_back.add((source, place))
        self.agree(may_rise=True)

    @rule(ms=st.sampled_from((100, 400, 1_000, 1_700, 7_000, 59_000, 60_000, 150_000)), ticks=st.integers(1, 6))
    def time_passes(self, ms, ticks):
        for _ in range(ticks):
            self.core.later(ms / 1000)
            for pushed in self.pushed.values():
                pushed.pass_time(ms * 10**6, self.core.time_ns)
            self.agree(may_rise=True)

    @rule()
    def orders_change_nothing(self):
        self.core.new(f"O{self.epoch}-{self.core.time_ns}")
        self.agree()


def test_pushed_limits():
    run_state_machine_as_test(
        Pushes,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
