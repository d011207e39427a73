"""The core alone: cost of an accepted NewOrderSingle in compiled code, with every check live, without and with journal.

Messages are prepared in one buffer and replayed inside compiled code; only the ClOrdID changes. A batch is timed from
Python with one call; batches without a journal and with one, synced never or every 10 ms, take turns on the same state.
After each batch the venue cancels its orders, so the number of open orders stays what it is said to be. An order that
is not accepted fails the benchmark. Segments are rolled between batches, outside what is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.fix import tags as t
from gateway.journal.writer import NO_SYNC, SYNC_BEFORE_SEND, Journal
from tools.bench.loaded import BenchmarkError, LoadedCore

BUDGET_NS = {10: 2_000, 10_000: 3_000}  # the journal included
SYNC_NS = 10_000_000
WITHOUT, UNSYNCED, SYNCED = "accept", "accept_journal_none", "accept_journal_10ms"
EACH_EVERY = 4  # of so many batches, one times each order by itself
SEGMENT_LIMIT = 32 << 20
# In a process of its own: what another checkout has is asked of its own code.
ONE_CASE = """
import json
from tools.bench.core import CorePlan, run_case
case = run_case(CorePlan("{capacity}", batches={batches}, batch={batch}, single_calls=1), {instruments}, {open_orders})
print(json.dumps(case["accept"]["p50_ns"]))
"""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CorePlan:
    """What to run: a case for each number of instruments and open orders, `batches` of `batch` orders each.

    `syncs`: of one order, and of a batch of `sync_batch`, before send. `before`: another checkout, which takes turns
    with this one for so many `rounds`.
    """

    capacity: str = "large"
    instruments: tuple[int, ...] = (10, 10_000)
    open_orders: tuple[int, ...] = (10, 100_000)
    batches: int = 800
    batch: int = 250
    single_calls: int = 2_000
    syncs: int = 200
    sync_batch: int = 100
    seed: int = 1
    before: Path | None = None
    rounds: int = 7


@contextmanager
def new_journal(sync_ns: int) -> Iterator[Journal]:
    """A journal in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        journal = Journal(Path(folder), 1, 1, 1, sync_ns=sync_ns, limit_bytes=SEGMENT_LIMIT)
        try:
            yield journal
        finally:
            journal.close()


def summary(samples: list[float]) -> dict[str, float]:
    """Least, median and 99th percentile, ns."""
    return {
        "min_ns": float(np.min(samples)),
        "p50_ns": float(np.median(samples)),
        "p99_ns": float(np.percentile(samples, 99)),
    }


def run_case(plan: CorePlan, instruments: int, open_orders: int) -> dict[str, Any]:
    """One case of the matrix: ns an event, over batches, of each path."""
    core = LoadedCore(plan.capacity, instruments, plan.seed)
    core.fill(max(open_orders, 10 * instruments), open_orders)
    with new_journal(NO_SYNC) as unsynced, new_journal(SYNC_NS) as synced:
        samples, each = _run_batches(plan, core, {WITHOUT: None, UNSYNCED: unsynced, SYNCED: synced})
    result: dict[str, Any] = {"instruments": instruments, "open_orders": open_orders}
    result |= {path: summary(values) for path, values in samples.items()}
    validation = [both - index for both, index in zip(samples["index_and_validate"], samples["index"], strict=True)]
    result["validate"] = summary(validation)
    result["each_order"] = {path: summary(values) for path, values in each.items()}
    for path in (UNSYNCED, SYNCED):
        ratios = [with_it / without for with_it, without in zip(samples[path], samples[WITHOUT], strict=True)]
        result[path]["times_without"] = float(np.median(ratios))
    texts = [
        bytearray(core.good.text[s : s + n].tobytes()) for s, n in zip(core.good.start, core.good.length, strict=True)
    ]
    core.keep_quotes_fresh()
    calls = [core.single_call(texts[core.number % len(texts)]) for _ in range(plan.single_calls + 1)]
    result["single_call_from_python"] = summary([float(call) for call in calls[1:]])
    result["budget_ns"] = BUDGET_NS.get(instruments)
    result["orders_accepted"] = int(core.state.record.accepted_orders)
    return result


def _run_batches(
    plan: CorePlan, core: LoadedCore, journals: dict[str, Journal | None]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Batches of each path in turn; returns ns an event by path, of each batch and of single accepted orders."""
    paths = (*journals, "reject", "venue_report", "index", "index_and_validate")
    samples: dict[str, list[float]] = {path: [] for path in paths}
    each: dict[str, list[float]] = {path: [] for path in journals}
    took_ns = np.zeros(plan.batch, np.int64)
    for number in range(plan.batches + 1):
        times: dict[str, int] = {}
        for path, core.journal in journals.items():
            first_child, times[path] = core.open_batch(plan.batch)
            canceled = core.report(first_child, plan.batch)
            if path == WITHOUT:
                times["venue_report"] = canceled
            if number % EACH_EVERY == 0:
                first_child, _ = core.open_batch(plan.batch, took_ns)
                core.report(first_child, plan.batch)
                each[path] += took_ns.tolist()
        core.journal = None
        times["reject"] = core.send(core.bad, plan.batch, t.EXECUTION_REPORT)
        times["index"] = core.index(plan.batch, False)
        times["index_and_validate"] = core.index(plan.batch, True)
        if number > 0:  # the first batch loads code
            for path, elapsed in times.items():
                samples[path].append(elapsed / plan.batch)
    return samples, each


def run_first_touch(plan: CorePlan) -> dict[str, float]:
    """Accepted orders whose rows lie in memory that nothing has touched yet: the cost of page faults included."""
    core = LoadedCore(plan.capacity, plan.instruments[0], plan.seed, touched=False)
    core.open_batch(plan.batch)
    return summary([core.open_batch(plan.batch)[1] / plan.batch for _ in range(max(plan.batches // 4, 2))])


def run_before_send(plan: CorePlan) -> dict[str, dict[str, float]]:
    """Accepted orders that are on disk before they may go out: ns an order, a sync for each order or for a batch."""
    core = LoadedCore(plan.capacity, plan.instruments[0], plan.seed)
    samples: dict[str, list[float]] = {"each": [], "batch": []}
    with new_journal(SYNC_BEFORE_SEND) as core.journal:
        for _ in range(plan.syncs):
            for name, size in (("each", 1), ("batch", plan.sync_batch)):
                core.keep_quotes_fresh()
                before = time.perf_counter_ns()
                core.open_batch(size)
                core.journal.sync()
                samples[name].append((time.perf_counter_ns() - before) / size)
    return {name: summary(values) for name, values in samples.items()}


def _median_ns(checkout: Path, plan: CorePlan) -> float:
    """Median of an accepted order, ns, in the first case of the matrix, by the code of a checkout."""
    case = {"capacity": plan.capacity, "instruments": plan.instruments[0], "open_orders": plan.open_orders[0]}
    code = ONE_CASE.format(batches=plan.batches, batch=plan.batch, **case)
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{checkout}: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout))


def compare(plan: CorePlan, before: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """An accepted order by this checkout and by another, in turns; ratios are of neighbours."""
    for checkout in (before, ROOT):  # compiles what is not in the cache
        _median_ns(checkout, replace(plan, batches=2))
    now, then = [], []
    for k in range(plan.rounds):
        progress(f"core: this checkout and {before}, round {k + 1} of {plan.rounds}")
        then.append(_median_ns(before, plan))
        now.append(_median_ns(ROOT, plan))
    ratios = [here / there for here, there in zip(now, then, strict=True)]
    return {"now_ns": now, "before_ns": then, "times_before": float(np.median(ratios))}


def run_core(plan: CorePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """The whole matrix; `progress` is told what comes next."""
    cases = []
    for instruments in plan.instruments:
        for open_orders in plan.open_orders:
            progress(f"core: {instruments:,} instruments, {open_orders:,} open orders")
            cases.append(run_case(plan, instruments, open_orders))
    progress("core: memory not touched before")
    first_touch = run_first_touch(plan)
    progress("core: synced before send")
    before_send = run_before_send(plan)
    return {
        **{"batch": plan.batch, "batches": plan.batches, "sync_batch": plan.sync_batch, "cases": cases},
        **{"accept_first_touch": first_touch, "before_send": before_send},
    } | ({"compared": compare(plan, plan.before, progress)} if plan.before is not None else {})
