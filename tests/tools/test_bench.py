"""The benchmark runs, its figures are figures, and it fails when what it measures is not what it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from gateway.core.catalogue import LIMITS
from gateway.fix import tags as t
from gateway.journal.read import read_segment, segment_files
from gateway.journal.replayer import Replayer
from gateway.journal.writer import Journal
from tools.bench import config
from tools.bench.__main__ import run
from tools.bench.core import CorePlan
from tools.bench.journal import EVENTS_PER_ORDER, RUN_EVENTS, JournalPlan
from tools.bench.loaded import BenchmarkError, LoadedCore
from tools.bench.relay import QUICKFIX_MEMORY, RAW
from tools.bench.wire import WirePlan, running

TINY_CORE = CorePlan("small", (3,), (10,), batches=3, batch=20, single_calls=5, syncs=2, sync_batch=5)
TINY_JOURNAL = JournalPlan("small", 3, orders=1_000, rounds=1)
TINY_WIRE = WirePlan((RAW, QUICKFIX_MEMORY), (200,), 0.1, 1, 20, 16, 200, 1.0, "small")


def numbers(value: object) -> list[float]:
    """Every number in a result."""
    if isinstance(value, dict):
        return [n for member in value.values() for n in numbers(member)]
    if isinstance(value, list):
        return [n for member in value for n in numbers(member)]
    return [float(value)] if isinstance(value, int | float) else []


def test_core_benchmark_measures_accepted_orders_and_writes_its_results(tmp_path: Path) -> None:
    results = run(TINY_CORE, None, None, tmp_path, Console(quiet=True))
    (case,) = results["core"]["cases"]
    filled = 10 * case["instruments"]
    batches = len(case["each_order"]) * (TINY_CORE.batches + 2)  # each path's, the first again order by order
    assert case["orders_accepted"] == filled + batches * TINY_CORE.batch + TINY_CORE.single_calls + 1
    figures = numbers(results["core"])
    assert figures and all(math.isfinite(figure) for figure in figures)
    assert json.loads((tmp_path / "bench.json").read_text())["core"] == results["core"]
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_an_order_that_is_refused_fails_the_core_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.OWN_VALUES, "max_order_qty", 10)
    core = LoadedCore("small", 3, seed=1)
    with pytest.raises(BenchmarkError, match="20 orders sent, 9 accepted.*MAX_ORDER_QTY"):
        core.send(core.good, 20, t.NEW_ORDER_SINGLE)


def test_what_is_sent_with_a_journal_is_in_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, 1, 1)
    core = LoadedCore("small", 3, seed=1, journal=journal)
    core.fill(20, 5)
    journal.close()
    replayer = Replayer()
    for path in segment_files(tmp_path):
        replayer.apply(read_segment(path))
    assert replayer.differences == 0
    assert replayer.state is not None
    assert replayer.state.block.tobytes() == core.state.block.tobytes()


def test_journal_benchmark_replays_and_recovers_every_order(tmp_path: Path) -> None:
    journal = run(TINY_CORE, TINY_JOURNAL, None, tmp_path, Console(quiet=True))["journal"]
    assert journal["replay"]["events"] >= TINY_JOURNAL.orders * EVENTS_PER_ORDER + RUN_EVENTS
    assert journal["recovery"]["segments"] > journal["recovery"]["segments_behind_snapshot"]
    assert all(math.isfinite(figure) for figure in numbers(journal))


def test_every_limit_is_set_at_every_scope() -> None:
    core = LoadedCore("small", 3, seed=1)
    for limit in LIMITS:
        for (scope, _), row in core.state.entities.items():
            assert (core.state.record.entities[row].limit[limit.index] > 0) == (scope in limit.scopes)
    core.open_batch(1)
    assert (core.state.record.work.candidate.entities >= 0).all()


def test_wire_benchmark_carries_every_order(tmp_path: Path) -> None:
    results = run(TINY_CORE, None, TINY_WIRE, tmp_path, Console(quiet=True))
    figures = numbers(results["wire"])
    assert figures and all(math.isfinite(figure) for figure in figures)
    (figures_of_round,) = results["wire"]["rounds"]
    for target in TINY_WIRE.targets:
        assert figures_of_round[target]["rates"]["200"]["messages"] == 20
        assert figures_of_round[target]["messages"] == 200


def test_a_target_that_dies_fails_the_wire_benchmark_and_leaves_no_process() -> None:
    with pytest.raises(BenchmarkError, match="^raw: "), running(RAW, "small") as link:
        link.process.kill()
        link.process.wait(5)
        link.load(10, 10**6, 16, 1.0)
    assert link.process.poll() is not None
