"""The benchmark runs, its figures are figures, and it fails when what it measures is not what it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from gateway.core.catalogue import LIMITS
from gateway.fix import tags as t
from tools.bench import config
from tools.bench.__main__ import run
from tools.bench.core import BenchmarkError, CorePlan, LoadedCore
from tools.bench.relay import QUICKFIX_MEMORY, RAW
from tools.bench.wire import WirePlan, running

TINY_CORE = CorePlan("small", (3,), (10,), batches=3, batch=20, single_calls=5)
TINY_WIRE = WirePlan((RAW, QUICKFIX_MEMORY), (200,), 0.1, 1, 20, 16, 200, 1.0, "small")


def numbers(value: object) -> list[float]:
    """Every number in a result."""
    if isinstance(value, dict):
        return [n for member in value.values() for n in numbers(member)]
    if isinstance(value, list):
        return [n for member in value for n in numbers(member)]
    return [float(value)] if isinstance(value, int | float) else []


def test_core_benchmark_measures_accepted_orders_and_writes_its_results(tmp_path: Path) -> None:
    results = run(TINY_CORE, None, tmp_path, Console(quiet=True))
    (case,) = results["core"]["cases"]
    filled = 10 * case["instruments"]
    assert case["orders_accepted"] == filled + (TINY_CORE.batches + 1) * TINY_CORE.batch + TINY_CORE.single_calls + 1
    figures = numbers(results["core"])
    assert figures and all(math.isfinite(figure) for figure in figures)
    assert json.loads((tmp_path / "bench.json").read_text())["core"] == results["core"]
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_an_order_that_is_refused_fails_the_core_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.OWN_VALUES, "max_order_qty", 10)
    core = LoadedCore(TINY_CORE, 3)
    with pytest.raises(BenchmarkError, match="20 orders sent, 9 accepted.*MAX_ORDER_QTY"):
        core.send(core.good, 20, t.NEW_ORDER_SINGLE)


def test_every_limit_is_set_at_every_scope() -> None:
    core = LoadedCore(TINY_CORE, 3)
    for limit in LIMITS:
        for (scope, _), row in core.state.entities.items():
            assert (core.state.record.entities[row].limit[limit.index] > 0) == (scope in limit.scopes)
    core.open_batch(1)
    assert (core.state.record.work.candidate.entities >= 0).all()


def test_wire_benchmark_carries_every_order(tmp_path: Path) -> None:
    results = run(TINY_CORE, TINY_WIRE, tmp_path, Console(quiet=True))
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
