"""What the service does for each order beside the core, in Python, and ten times a second; and what it comes to.

Calls are timed in loops, in this process, by the processor time that they take. Then the gateway runs as a
whole: without decision lines, with them, with publishers and metrics too, and that of another checkout if one is given.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.config.settings import Settings, load_settings
from gateway.core import layout as a
from gateway.core.driver import Driver
from gateway.engine.credentials import hash_password
from gateway.journal.tail import Tail
from gateway.journal.writer import Journal
from gateway.kill import file as switches
from gateway.ops.decisions import Lines, write
from gateway.ops.log import configure_log
from gateway.params.publisher import ParameterPublisher, QuotePublisher
from gateway.service.companions import about_decisions
from gateway.service.observe import Observed
from gateway.state.build import build_state
from gateway.state.pulse import PulseWriter
from tidegate_tools.sim.quickfix_peer import free_port
from tools.bench import config
from tools.bench.loaded import BenchmarkError, LoadedCore
from tools.bench.relay import LOOPBACK
from tools.bench.wire import WirePlan, run_wire, with_variants
from tools.bench.wire_link import Variant

NO_LINES, LINES, EVERYTHING, BEFORE = "no decision lines", "decision lines", "publishers, metrics too", "before"
LATENCY_NS = 250_000
USER = "bench"
DEV_SHM = Path("/dev/shm")
WIRE = WirePlan(rates=(2_000,), throughput_messages=20_000, answered_messages=0, capacity="standard")


@dataclass(frozen=True)
class ServicePlan:
    """What to run: each call `calls` times in each of `repeats` loops, so many lines, switches and hashes.

    `wire`: the whole gateway, without targets of its own; `before`: another checkout to compare with.
    """

    capacity: str = "standard"
    calls: int = 5_000
    repeats: int = 9
    lines: int = 2_000
    switches: int = 100
    hashes: int = 5
    wire: WirePlan = WIRE
    before: Path | None = None


def shared_folder() -> Any:
    """A temporary folder where publishers belong: in memory, where there is such a place."""
    return tempfile.TemporaryDirectory(prefix="tidegate-bench-", dir=DEV_SHM if DEV_SHM.is_dir() else None)


@contextlib.contextmanager
def publishers(folder: Path, instruments: int) -> Iterator[tuple[list[ParameterPublisher], QuotePublisher]]:
    """The publishers that `config.observed` names, in this process."""
    with contextlib.ExitStack() as stack:
        limits = [stack.enter_context(ParameterPublisher(folder / name)) for name in config.SOURCES]
        yield limits, stack.enter_context(QuotePublisher(folder / config.QUOTES, instruments))


def settings_of(folder: Path, capacity: str, instruments: int) -> Settings:
    """Settings of a gateway that observes those publishers."""
    address = f"{LOOPBACK}:1"
    return load_settings(config.write_config(folder, capacity, instruments, address, address, config.observed(folder)))


def time_calls(plan: ServicePlan, action: Callable[[], object]) -> float:
    """ns of processor time that a call takes: the median over loops, the loop itself included (some 20 ns)."""
    samples = []
    for _ in range(plan.repeats):
        before = time.thread_time_ns()
        for _ in range(plan.calls):
            action()
        samples.append((time.thread_time_ns() - before) / plan.calls)
    return float(np.median(samples))


def run_observing(plan: ServicePlan) -> dict[str, float]:
    """ns of what is done for each event, and of what is done ten times a second, without and with switches set."""
    few = ServicePlan(calls=max(plan.calls // 100, 1), repeats=plan.repeats)
    with shared_folder() as name, publishers(Path(name), 10):
        folder = Path(name)
        settings = settings_of(folder, plan.capacity, 10)
        settings.config.gateway.state_dir.mkdir()
        state = build_state(settings, 0)
        observed = Observed(settings, state)
        driver = Driver(state.block)
        for event in observed.begin(True) + observed.look():
            driver.handle(event)
        if observed.changed():
            raise BenchmarkError("a publisher that is still was seen to change")
        pulse = PulseWriter(folder / "pulse")
        found = {
            "look": time_calls(plan, observed.changed),
            "look_at_switches": time_calls(plan, observed.switches.changed),
            "beat": time_calls(plan, lambda: pulse.beat(LATENCY_NS)),
            "count": time_calls(plan, lambda: pulse.count(LATENCY_NS)),
            "check": time_calls(few, lambda: (observed.check(), observed.look())),
        }
        with quiet_log(folder):
            for k in range(plan.switches):
                switches.set_switch(settings.config.gateway.state_dir, a.STRATEGY, f"S{k}", USER, "benchmark")
            observed.look()
            found["check_with_switches"] = time_calls(few, lambda: (observed.check(), observed.look()))
    return found


@contextlib.contextmanager
def quiet_log(folder: Path) -> Iterator[None]:
    """Log as the gateway does, into a file."""
    with (folder / "log").open("w") as file, contextlib.redirect_stderr(file):
        configure_log()
        try:
            yield
        finally:
            structlog.reset_defaults()


def run_line(plan: ServicePlan) -> float:
    """ns of processor time that another process takes for the line of an order: to read it in the journal, to write."""
    samples = []
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name,
        contextlib.closing(Journal(Path(name), 1, 1, 1)) as journal,
    ):
        core = LoadedCore(plan.capacity, 10, 1, journal=journal)
        core.open_batch(plan.lines)
        with quiet_log(Path(name)):
            for _ in range(plan.repeats):
                before_ns = time.process_time_ns()
                write(Lines(**about_decisions(core.settings.config, 0)), Tail(Path(name), 1).read())
                samples.append((time.process_time_ns() - before_ns) / plan.lines)
    return float(np.median(samples))


def run_hashes(plan: ServicePlan) -> float:
    """ns of processor time of one scrypt hash of a password."""
    samples = []
    for _ in range(plan.hashes):
        before = time.thread_time_ns()
        hash_password("correct horse battery staple")
        samples.append(time.thread_time_ns() - before)
    return float(np.median(samples))


def variants(before: Path | None) -> Mapping[str, Variant]:
    """The gateways that are compared, by name."""
    metrics = {"metrics": {"listen": f"{LOOPBACK}:{free_port()}"}}
    found = {
        NO_LINES: Variant({"log": {"decisions": False}}),
        LINES: Variant(),
        EVERYTHING: Variant(metrics, quotes=0),
    }
    return found | ({BEFORE: Variant(checkout=before)} if before else {})


def run_service(plan: ServicePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All of it; `progress` is told what comes next."""
    progress("service: what is done for each order")
    found = {**run_observing(plan), "line": run_line(plan), "password_hash": run_hashes(plan)}
    wire = run_wire(with_variants(plan.wire, variants(plan.before)), progress)
    return {"switches": plan.switches, "ns": found, "wire": wire}
