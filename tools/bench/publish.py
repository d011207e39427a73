"""Publishing: how many pushed limits and quotes the gateway takes, and what quotes do to the latency of orders.

In this process: a publisher changes some of its records, the feed makes events of them, the core applies them with a
journal. Then the gateway runs as a whole beside a publisher of quotes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.driver import Event
from gateway.journal.writer import JournalingDriver
from gateway.params.feed import place_fault
from gateway.params.publisher import ParameterPublisher, QuotePublisher
from gateway.service.observe import Observed
from gateway.state.build import build_state
from gateway.state.memory import State
from tools.bench import config
from tools.bench.core import SYNC_NS, new_journal
from tools.bench.loaded import BenchmarkError
from tools.bench.service import publishers, settings_of, shared_folder
from tools.bench.wire import WirePlan, run_wire, with_variants
from tools.bench.wire_link import Variant

NO_QUOTES = "no quotes"
WIRE = WirePlan(rates=(500, 2_000), throughput_messages=20_000, answered_messages=0, capacity="standard")
Change = Callable[[int], object]


@dataclass(frozen=True)
class PublishPlan:
    """What to run: changes in batches of one and of `batch` records, among `limits` and `instruments`.

    `wire`: the whole gateway, without targets of its own, beside `quotes` a second, over few and over many instruments.
    """

    capacity: str = "standard"
    limits: int = 1_000
    instruments: int = 1_000
    batch: int = 100
    rounds: int = 100
    quotes: int = 10_000
    wire: WirePlan = WIRE


def pushes(publisher: ParameterPublisher, state: State, count: int) -> Change:
    """A function that pushes the k-th of so many limits, with another value each time."""
    found = [
        (limit.key, scope, name, symbol)
        for symbol in ("", *state.instruments)
        for scope, name in state.entities
        for limit in LIMITS
        if scope in (a.ACCOUNT, a.STRATEGY) and not place_fault(scope, limit.index, symbol != "")
    ][:count]

    def push(k: int) -> None:
        key, scope, name, symbol = found[k % len(found)]
        publisher.push(key, 1_000 + k // len(found) % 2, a.SCOPE_NAMES[scope], name, symbol)

    return push


def quotes(publisher: QuotePublisher, instruments: int) -> Change:
    """A function that publishes a quote of the k-th of so many instruments."""

    def publish(k: int) -> None:
        publisher.publish(config.symbol(k % instruments), "99.99", "100.01", "100")

    return publish


class Taking:
    """The core's side: what it observes, journals and applies."""

    def __init__(self, state: State, observed: Observed, driver: JournalingDriver) -> None:
        """Nothing has been heard yet."""
        self.state = state
        self._observed = observed
        self._driver = driver

    def apply(self, events: list[Event]) -> int:
        """Apply events as the service does, stamped; returns how many."""
        for event in events:
            stamped = Event(event.kind, time.monotonic_ns(), event.session, 0, False, event.data, event.value)
            self._driver.handle(stamped)
        return len(events)

    def measure(self, change: Change, first: int, batch: int, rounds: int) -> dict[str, float]:
        """ns a change, for its publisher, for the feed and for the core: medians over rounds of `batch` changes."""
        samples = []
        for number in range(rounds):
            times = [time.perf_counter_ns()]
            for k in range(batch):
                change(first + number * batch + k)
            times.append(time.perf_counter_ns())
            events = self._observed.look()
            times.append(time.perf_counter_ns())
            self.apply(events)
            times.append(time.perf_counter_ns())
            if len(events) != batch:
                raise BenchmarkError(f"{batch} records changed, {len(events)} events came of them")
            samples.append(np.diff(times) / batch)
        publish_ns, feed_ns, core_ns = (float(x) for x in np.median(samples, axis=0))
        a_second = 1e9 / (feed_ns + core_ns)
        return {"publish_ns": publish_ns, "feed_ns": feed_ns, "core_ns": core_ns, "taken_per_s": a_second}


def run_taking(plan: PublishPlan) -> dict[str, Any]:
    """Pushes and quotes, one at a time and many, when every record is in use."""
    with shared_folder() as name, publishers(Path(name), plan.instruments) as (limits, prices):
        settings = settings_of(Path(name), plan.capacity, plan.instruments)
        settings.config.gateway.state_dir.mkdir()
        state = build_state(settings, 0)
        with new_journal(SYNC_NS) as journal:
            observed = Observed(settings, state)
            taking = Taking(state, observed, JournalingDriver(state.block, journal))
            taking.apply(observed.begin(True) + observed.look())
            found = {}
            changes = {
                "limits": (pushes(limits[0], state, plan.limits), plan.limits),
                "quotes": (quotes(prices, plan.instruments), plan.instruments),
            }
            for what, (change, records) in changes.items():
                taking.measure(change, 0, records, 1)
                for batch in (1, plan.batch):
                    found[f"{what}, {batch} at a time"] = taking.measure(change, records, batch, plan.rounds)
        if int(state.record.parameter_count) != plan.limits or int(state.record.sources["not_taken"].sum()):
            raise BenchmarkError(f"{plan.limits} limits pushed, {state.record.parameter_count} taken")
    return found


def run_publish(plan: PublishPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All of it; `progress` is told what comes next."""
    progress("publish: what the gateway takes")
    taking = run_taking(plan)
    few = Variant(quotes=plan.quotes)
    chosen = {NO_QUOTES: Variant(quotes=0), f"{plan.quotes:,}/s of {few.instruments}": few}
    chosen[f"{plan.quotes:,}/s of {plan.instruments:,}"] = Variant(quotes=plan.quotes, instruments=plan.instruments)
    return {
        **{"limits": plan.limits, "instruments": plan.instruments, "taking": taking},
        "wire": run_wire(with_variants(plan.wire, chosen), progress),
    }
