"""The journal afterwards: how fast it is replayed, and how long a gateway that died takes to know everything again.

A journal of whole orders is written first, by the compiled loop: each is accepted, acknowledged and filled or canceled
by the venue, three events. Files are in the page cache when they are read.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from gateway.fix import tags as t
from gateway.journal import snapshot
from gateway.journal.read import Segment, segment_files
from gateway.journal.recovery import recover
from gateway.journal.replayer import Replayer
from gateway.journal.writer import Journal
from tools.bench import config
from tools.bench.loaded import FILLED, NEW, BenchmarkError, LoadedCore, Messages, new_order, pack_messages

REPLAY_BUDGET = 300_000  # events a second
BATCH = 500
EVENTS_PER_ORDER = 3
RUN_EVENTS = 3  # START and two LOGONs
SNAPSHOT_SHARE = 0.9  # of the segments lie before the snapshot
TICKS = range(-5, 6)
BUY, SELL = 1, 2


@dataclass(frozen=True)
class JournalPlan:
    """What to run: a journal of so many orders (a multiple of BATCH), each measurement `rounds` times."""

    capacity: str = "large"
    instruments: int = 10
    orders: int = 100_000
    rounds: int = 3


MILLION = JournalPlan(orders=1_000_000, rounds=1)  # 2.3 GB of disk and one to two minutes


def orders_of_one_lot(instruments: int) -> Messages:
    """NewOrderSingles of quantity 1 that all differ in instrument, account, side or price."""
    return pack_messages(
        [
            new_order(instrument, account, side, 1, ticks)
            for ticks, account, side, instrument in product(
                TICKS, range(len(config.ACCOUNTS)), (BUY, SELL), range(instruments)
            )
        ]
    )


def write_journal(plan: JournalPlan, folder: Path) -> float:
    """Write the journal; returns the seconds it took, the start of the core left out."""
    journal = Journal(folder, 1, 1, 1)
    try:
        core = LoadedCore(plan.capacity, plan.instruments, 1, journal=journal)
        core.good = orders_of_one_lot(plan.instruments)
        before = time.perf_counter()
        for _ in range(plan.orders // BATCH):
            first_child = int(core.state.record.request_count)
            core.send(core.good, BATCH, t.NEW_ORDER_SINGLE)
            core.report(first_child, BATCH, NEW)
            core.report(first_child, BATCH // 2, FILLED)
            core.report(first_child + BATCH // 2, BATCH - BATCH // 2)
            journal.hand()
        return time.perf_counter() - before
    finally:
        journal.close()


def run_replay(plan: JournalPlan, folder: Path) -> dict[str, Any]:
    """Read, scan and apply every segment; events a second by the time of applying alone, and by all three."""
    rounds: list[dict[str, float]] = []
    for _ in range(plan.rounds + 1):
        spent = {"read_s": 0.0, "scan_s": 0.0, "apply_s": 0.0}
        replayer = Replayer()
        for path in segment_files(folder):
            begun = time.perf_counter()
            content = path.read_bytes()
            read = time.perf_counter()
            segment = Segment.of(path, content)
            scanned = time.perf_counter()
            replayer.apply(segment)
            applied = time.perf_counter()
            for step, seconds in zip(spent, (read - begun, scanned - read, applied - scanned), strict=True):
                spent[step] += seconds
        _check(plan, replayer)
        total = sum(spent.values())
        speed = {"events_per_s": replayer.events / total, "apply_events_per_s": replayer.events / spent["apply_s"]}
        rounds.append(spent | speed)
    return {"events": replayer.events, "budget": REPLAY_BUDGET, **_medians(rounds[1:])}  # the first loads code


def _check(plan: JournalPlan, replayer: Replayer) -> None:
    wanted = plan.orders * EVENTS_PER_ORDER + RUN_EVENTS
    if replayer.state is None or replayer.differences or replayer.events < wanted:
        raise BenchmarkError(f"{replayer.events} events replayed, want {wanted}; {replayer.differences} differ")
    state = replayer.state.record
    if int(state.accepted_orders) != plan.orders or int(state.open_order_count) != 0:
        raise BenchmarkError(f"{state.accepted_orders} orders replayed, want {plan.orders}, all of them closed")


def run_recovery(plan: JournalPlan, folder: Path) -> dict[str, Any]:
    """Seconds of `recover`: from the journal alone, then from a snapshot and the rest of the journal behind it."""
    seconds: dict[str, list[float]] = {"journal_s": [], "snapshot_s": []}
    _time_recovery(plan, folder, seconds["journal_s"])
    behind = _save_snapshot(folder)
    _time_recovery(plan, folder, seconds["snapshot_s"])
    return {"segments": len(segment_files(folder)), "segments_behind_snapshot": behind} | {
        name: float(np.median(values)) for name, values in seconds.items()
    }


def _time_recovery(plan: JournalPlan, folder: Path, seconds: list[float]) -> None:
    for _ in range(plan.rounds):
        before = time.perf_counter()
        recovered = recover(folder)
        seconds.append(time.perf_counter() - before)
        if recovered.lost or recovered.replayer.state is None:
            raise BenchmarkError(f"recovery: {recovered.lost or 'nothing found'}")
        if int(recovered.replayer.state.record.accepted_orders) != plan.orders:
            raise BenchmarkError(f"{recovered.replayer.state.record.accepted_orders} orders recovered")


def _save_snapshot(folder: Path) -> int:
    """Make a snapshot as a follower does; returns how many segments lie behind it."""
    replayer = Replayer()
    paths = segment_files(folder)
    before = max(int(len(paths) * SNAPSHOT_SHARE), 1)
    for number, path in enumerate(paths[:before], 1):
        replayer.apply(Segment.of(path, path.read_bytes()))
        if number == before:
            snapshot.save(folder, replayer, number)
    return len(paths) - before


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([figures[name] for figures in rounds])) for name in rounds[0]}


def run_journal(plan: JournalPlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """Write the journal, replay it and recover from it; `progress` is told what comes next."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        folder = Path(name)
        progress(f"journal: {plan.orders:,} orders written")
        write_s = write_journal(plan, folder)
        size = sum(path.stat().st_size for path in segment_files(folder))
        progress(f"journal: {plan.orders:,} orders replayed")
        replayed = run_replay(plan, folder)
        progress(f"journal: {plan.orders:,} orders recovered")
        recovered = run_recovery(plan, folder)
    return {"orders": plan.orders, "bytes": size, "write_s": write_s, "replay": replayed, "recovery": recovered}
