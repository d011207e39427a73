"""What controls cost: an accepted order while a switch is set or limits are pushed, and the cancels of a kill.

The core alone, past the journal. Orders are timed one by one, batches of each path take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.driver import Event
from gateway.core.layout import NONE
from gateway.params.feed import place_fault
from tools.bench import config
from tools.bench.core import summary
from tools.bench.loaded import NEW, VENUE_ROW, BenchmarkError, LoadedCore

PLAIN, KILLED, PUSHED = "plain", "killed", "pushed"
PATHS = (PLAIN, KILLED, PUSHED)
PUSHED_SCOPES = (a.FIRM, *a.IDENTITY_SCOPES, a.INSTRUMENT)
SHARE = 2  # a pushed limit is so many times smaller than what a person set
SOURCE_SECTIONS = {"parameters": {"sources": [{"id": "volatility", "file": "none"}]}}
ACKNOWLEDGE_BATCH = 500


@dataclass(frozen=True)
class ControlsPlan:
    """What to run: accepted orders with `limits` pushed, then kills of `orders` open ones and beside `bystanders`."""

    capacity: str = "large"
    instruments: int = 10
    open_orders: int = 10
    limits: int = 1_000
    batches: int = 200
    batch: int = 250
    orders: int = 10_000
    bystanders: int = 100_000
    kills: int = 5
    seed: int = 1


def places(core: LoadedCore) -> Iterator[tuple[int, int, int]]:
    """Rows of entity and instrument (NONE: no pair), and the limit, where a limit may be pushed."""
    for instrument in (NONE, *core.state.instruments.values()):
        for (scope, _), row in core.state.entities.items():
            for limit in LIMITS if scope in PUSHED_SCOPES else ():
                if not place_fault(scope, limit.index, instrument != NONE):
                    yield row, instrument, limit.index


def push_limits(core: LoadedCore, count: int) -> None:
    """Push so many limits, of entities and of pairs, each at a share of what a person set."""
    core.driver.handle(Event(ev.SOURCE, core.time_ns, value=(0, 1)))
    for epoch, (entity, instrument, limit) in zip(range(1, count + 1), places(core), strict=False):
        value = int(core.state.record.entities[entity].limit_set[limit]) // SHARE
        core.driver.handle(Event(ev.PARAMETER, core.time_ns, value=(0, entity, instrument, limit, value, epoch, 1, 0)))
    taken = int(core.state.record.parameter_count)
    if taken != count:
        raise BenchmarkError(f"{count} limits pushed, {taken} taken")


def run_accepted(plan: ControlsPlan) -> dict[str, dict[str, float]]:
    """ns of an accepted order without controls, with the switch of another strategy set, with pushed limits."""
    cores = {path: LoadedCore(plan.capacity, plan.instruments, plan.seed, sections=SOURCE_SECTIONS) for path in PATHS}
    for core in cores.values():
        core.fill(max(plan.open_orders, 10 * plan.instruments), plan.open_orders)
    push_limits(cores[PUSHED], plan.limits)
    killed = cores[KILLED]
    killed.apply(ev.KILL, (killed.state.entities[a.STRATEGY, config.NOT_TRADED], 1, killed.time_ns))
    samples: dict[str, list[float]] = {path: [] for path in PATHS}
    took_ns = np.zeros(plan.batch, np.int64)
    for number in range(plan.batches + 1):
        for path, core in cores.items():
            first_child, _ = core.open_batch(plan.batch, took_ns)
            core.report(first_child, plan.batch)
            if number > 0:  # the first batch loads code
                samples[path] += took_ns.tolist()
    return {path: summary(values) for path, values in samples.items()}


def resting(plan: ControlsPlan, orders: int) -> LoadedCore:
    """A core with so many orders that the venue has acknowledged."""
    core = LoadedCore(plan.capacity, plan.instruments, plan.seed)
    for done in range(0, orders, ACKNOWLEDGE_BATCH):
        count = min(ACKNOWLEDGE_BATCH, orders - done)
        core.report(core.open_batch(count)[0], count, NEW)
    return core


def sweep(core: LoadedCore, killed: tuple[int, str], mass_cancel: bool = False) -> dict[str, Any]:
    """Kill an entity and sweep once through the orders: ns of each event, the KILL first, and what was sent."""
    core.state.record.sessions[VENUE_ROW].takes_mass_cancel = mass_cancel
    core.apply(ev.TICK)  # loads code
    kill_ns, alerts = core.apply(ev.KILL, (core.state.entities[killed], 1, core.time_ns))
    events_ns, cancels = [kill_ns], 0
    while core.state.record.sweep_row != NONE:
        took_ns, count = core.apply(ev.SWEEP)
        events_ns.append(took_ns)
        cancels += count
    return {"events_ns": events_ns, "mass_cancels": alerts - 1, "cancels": cancels}


def run_sweeps(plan: ControlsPlan) -> dict[str, dict[str, Any]]:
    """Kills of all, one by one and by mass cancel, and of nobody's orders."""
    firm, other = (a.FIRM, ""), (a.STRATEGY, config.NOT_TRADED)
    found: dict[str, list[dict[str, Any]]] = {"one_by_one": [], "mass_cancel": [], "bystanders": []}
    for _ in range(plan.kills):
        found["one_by_one"].append(sweep(resting(plan, plan.orders), firm))
        found["mass_cancel"].append(sweep(resting(plan, plan.orders), firm, True))
    core = resting(plan, plan.bystanders)
    for _ in range(plan.kills):
        found["bystanders"].append(sweep(core, other))
    for name, wanted in {"one_by_one": (plan.orders, 0), "mass_cancel": (0, 1), "bystanders": (0, 0)}.items():
        sent = {(kill["cancels"], kill["mass_cancels"]) for kill in found[name]}
        if sent != {wanted}:
            raise BenchmarkError(f"{name}: cancels and mass cancels sent are {sent}, want {wanted}")
    return {name: _summarize(kills) for name, kills in found.items()}


def _summarize(kills: list[dict[str, Any]]) -> dict[str, Any]:
    """Every kill has the same events, so what disturbed one of them falls out."""
    events_ns = np.median([kill["events_ns"] for kill in kills], axis=0)
    return {
        **{"kill_ns": float(events_ns[0]), "longest_ns": float(events_ns.max()), "all_ns": float(events_ns.sum())},
        **{"sweeps": len(events_ns) - 1, "cancels": kills[0]["cancels"], "mass_cancels": kills[0]["mass_cancels"]},
    }


def run_controls(plan: ControlsPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All of it; `progress` is told what comes next."""
    progress(f"controls: accepted orders, {plan.limits:,} pushed limits")
    accepted = run_accepted(plan)
    progress(f"controls: kill of {plan.orders:,} orders, core alone")
    return {
        **{"limits": plan.limits, "orders": plan.orders, "bystanders": plan.bystanders},
        **{"accepted": accepted, "sweeps": run_sweeps(plan)},
    }
