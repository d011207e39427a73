"""The benchmark runs, its figures are figures, and it fails when what it measures is not what it says."""

from __future__ import annotations

import json
import math
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.fix import tags as t
from gateway.journal.read import read_segment, segment_files
from gateway.journal.replayer import Replayer
from gateway.journal.writer import Journal
from tools.bench import config
from tools.bench.__main__ import BENCHMARKS, PLANS, SHORT, chosen, run
from tools.bench.controls import KILLED, PLAIN, PUSHED, ControlsPlan, resting, sweep
from tools.bench.core import ROOT, CorePlan, compare
from tools.bench.journal import EVENTS_PER_ORDER, RUN_EVENTS, JournalPlan
from tools.bench.kill import CANCEL, MASS_CANCEL, ONE_BY_ONE, KillPlan, receive_cancels
from tools.bench.loaded import BenchmarkError, LoadedCore
from tools.bench.publish import NO_QUOTES, PublishPlan
from tools.bench.relay import QUICKFIX_CPP_MEMORY, QUICKFIX_MEMORY, RAW, can_build_cpp
from tools.bench.scale import PLAIN_NAME, ScalePlan
from tools.bench.service import BEFORE, EVERYTHING, LINES, NO_LINES, ServicePlan, variants
from tools.bench.wire import WirePlan
from tools.bench.wire_link import OVER_TLS, running

TINY_CORE = CorePlan("small", (3,), (10,), batches=3, batch=20, single_calls=5, syncs=2, sync_batch=5)
TINY_JOURNAL = JournalPlan("small", 3, orders=1_000, rounds=1)
TINY = {"seconds": 0.1, "rounds": 1, "warmup_messages": 20, "window": 16, "capacity": "small", "rest_s": 0.0}
CPP = (QUICKFIX_CPP_MEMORY,) if can_build_cpp() else ()
TINY_WIRE = WirePlan(
    (RAW, QUICKFIX_MEMORY, *CPP, OVER_TLS), (200, 10**9), throughput_messages=200, answered_messages=50, **TINY
)
TINY_GATEWAYS = WirePlan((), (200,), throughput_messages=50, answered_messages=0, **TINY)
TINY_SCALE = ScalePlan((3,), (30,), (20,), TINY_GATEWAYS)
TINY_CONTROLS = ControlsPlan("small", 3, 10, 50, 2, 20, 100, 200, 2)
TINY_KILL = KillPlan("small", 50, 1, (QUICKFIX_MEMORY,), 16)
TINY_SERVICE = ServicePlan("small", 200, 2, 20, 3, 1, TINY_GATEWAYS)
TINY_PUBLISH = PublishPlan("small", 60, 12, 5, 3, 200, TINY_GATEWAYS)


def numbers(value: object) -> list[float]:
    """Every number in a result."""
    if isinstance(value, dict):
        return [n for member in value.values() for n in numbers(member)]
    if isinstance(value, list):
        return [n for member in value for n in numbers(member)]
    return [float(value)] if isinstance(value, int | float) else []


def test_core_benchmark_measures_accepted_orders_and_writes_its_results(tmp_path: Path) -> None:
    results = run({"core": TINY_CORE}, tmp_path, Console(quiet=True))
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
    journal = run({"journal": TINY_JOURNAL}, tmp_path, Console(quiet=True))["journal"]
    assert journal["replay"]["events"] >= TINY_JOURNAL.orders * EVENTS_PER_ORDER + RUN_EVENTS
    assert journal["recovery"]["segments"] > journal["recovery"]["segments_behind_snapshot"]
    assert all(math.isfinite(figure) for figure in numbers(journal))


def test_every_limit_is_set_at_every_scope() -> None:
    core = LoadedCore("small", 3, seed=1)
    for limit in LIMITS:
        for (scope, _), row in core.state.entities.items():
            assert (core.state.record.entities[row].limit[limit.index] > 0) == (scope in limit.scopes)
    core.open_batch(1)
    assert (core.state.record.work.candidate.entities[: a.SCOPES] >= 0).all()


def test_wire_benchmark_carries_every_order(tmp_path: Path) -> None:
    results = run({"wire": TINY_WIRE}, tmp_path, Console(quiet=True))
    figures = numbers(results["wire"])
    assert figures and all(math.isfinite(figure) for figure in figures)
    (figures_of_round,) = results["wire"]["rounds"]
    for target in TINY_WIRE.targets:
        assert figures_of_round[target]["rates"]["200"]["messages"] == 20
        assert figures_of_round[target]["messages"] == 200
        assert figures_of_round[target]["answered_per_s"] > 0
        assert "1000000000" not in figures_of_round[target]["rates"], "more than it carries"


def test_scale_benchmark_has_more_sessions_orders_and_instruments(tmp_path: Path) -> None:
    (figures,) = run({"scale": TINY_SCALE}, tmp_path, Console(quiet=True))["scale"]["wire"]["rounds"]
    assert list(figures) == [PLAIN_NAME, "3 EMS", "30 orders open before", "20 instruments"]
    assert {row["messages"] for row in figures.values()} == {50}


def test_a_target_that_dies_fails_the_wire_benchmark_and_leaves_no_process() -> None:
    with pytest.raises(BenchmarkError, match="^raw: "), running(RAW, "small") as link:
        link.process.kill()
        link.process.wait(5)
        link.load(10, 10**6, 16, 1.0)
    assert link.process.poll() is not None


def test_each_benchmark_can_be_chosen_by_its_name() -> None:
    assert set(PLANS) == set(SHORT) == set(BENCHMARKS) == set(chosen([], False, False, None))
    assert chosen(["kill"], True, False, None) == {"kill": SHORT["kill"]}
    others = chosen(["service", "core"], False, False, Path("other"))
    assert {plan.before for plan in others.values()} == {Path("other")}
    with pytest.raises(ValueError, match="^kil: want one of core, "):
        chosen(["kil"], False, False, None)


def test_the_core_takes_turns_with_that_of_another_checkout(tmp_path: Path) -> None:
    """Here with itself; another that cannot be run is an error of one line."""
    plan = replace(TINY_CORE, rounds=1)
    found = compare(plan, ROOT, lambda _: None)
    assert len(found["now_ns"]) == len(found["before_ns"]) == 1 and found["times_before"] > 0
    with pytest.raises(BenchmarkError, match=f"^{tmp_path}: "):
        compare(plan, tmp_path, lambda _: None)


def test_results_of_benchmarks_that_are_run_alone_are_kept_together(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text('{"core": 1, "journal": 2}')
    run({"journal": TINY_JOURNAL}, tmp_path, Console(quiet=True))
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["core"] == 1
    assert written["journal"]["replay"]["events"] > 0


def test_controls_benchmark_pushes_limits_and_cancels_every_order(tmp_path: Path) -> None:
    controls = run({"controls": TINY_CONTROLS}, tmp_path, Console(quiet=True))["controls"]
    assert set(controls["accepted"]) == {PLAIN, KILLED, PUSHED}
    one_by_one, mass = controls["sweeps"]["one_by_one"], controls["sweeps"]["mass_cancel"]
    assert (one_by_one["cancels"], mass["mass_cancels"]) == (TINY_CONTROLS.orders, 1)
    assert one_by_one["all_ns"] >= one_by_one["longest_ns"] > 0
    assert all(math.isfinite(figure) for figure in numbers(controls))


def test_a_switch_of_a_strategy_that_traded_cancels_its_orders_only() -> None:
    core = resting(TINY_CONTROLS, 40)
    assert 0 < sweep(core, (a.STRATEGY, config.STRATEGIES[0]))["cancels"] < 40


def test_kill_benchmark_waits_for_a_cancel_of_every_order(tmp_path: Path) -> None:
    (figures,) = run({"kill": TINY_KILL}, tmp_path, Console(quiet=True))["kill"]["rounds"]
    assert figures[ONE_BY_ONE]["orders"] >= TINY_KILL.orders
    assert figures[ONE_BY_ONE]["sent"] >= figures[ONE_BY_ONE]["orders"]
    assert 0 < figures[ONE_BY_ONE]["first_ms"] <= figures[ONE_BY_ONE]["last_ms"]
    assert figures[MASS_CANCEL]["sent"] == 1
    assert figures[RAW]["last_ms"] > 0 and figures[QUICKFIX_MEMORY]["last_ms"] > 0


def test_a_cancel_that_comes_twice_or_in_two_parts_counts_once() -> None:
    def cancel(number: int) -> bytes:
        return b"8=FIX.4.4\x019=5\x0135=F\x0134=7\x0111=X%d\x0141=C1-%d\x0110=000\x01" % (number, number)

    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a recv for each send
    with here, there:
        there.sendall(cancel(1) + cancel(1) + cancel(2)[:20])
        there.sendall(cancel(2)[20:])
        there.close()
        times_ns, data = receive_cancels(here, CANCEL, 2)
        assert len(times_ns) == 2 and data == cancel(1) + cancel(1) + cancel(2)
        with pytest.raises(BenchmarkError, match="0 of 1 cancels came"):
            receive_cancels(here, CANCEL, 1)


def test_service_benchmark_measures_each_part_and_each_gateway(tmp_path: Path) -> None:
    service = run({"service": TINY_SERVICE}, tmp_path, Console(quiet=True))["service"]
    assert all(figure > 0 for figure in service["ns"].values())
    (figures,) = service["wire"]["rounds"]
    assert {name: row["messages"] for name, row in figures.items()} == {NO_LINES: 50, LINES: 50, EVERYTHING: 50}


def test_another_checkout_takes_part_in_the_service_benchmark() -> None:
    variant = variants(Path("/elsewhere"))[BEFORE]
    assert variant.checkout == Path("/elsewhere")
    with pytest.raises(FileNotFoundError, match="/elsewhere"), running(BEFORE, "small", variant):
        pass


def test_publish_benchmark_takes_every_limit_and_quote(tmp_path: Path) -> None:
    publish = run({"publish": TINY_PUBLISH}, tmp_path, Console(quiet=True))["publish"]
    assert set(publish["taking"]) == {f"{what}, {n} at a time" for what in ("limits", "quotes") for n in (1, 5)}
    assert all(row["taken_per_s"] > 0 for row in publish["taking"].values())
    (figures,) = publish["wire"]["rounds"]
    assert len(figures) == 3 and NO_QUOTES in figures
