"""Wire to wire: one-way latency of a NewOrderSingle from the EMS's socket to the venue's, and orders a second.

Each target is measured flat out (so many orders under way), where the venue answers New and Fill to each order, and at
fixed rates, where orders do not wait for each other, so that queueing shows. A rate that a target does not carry flat
out is left out. Runs of the targets alternate; figures are compared only with those of the same round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tools.bench.relay import (
    QUICKFIX_CPP_FILE,
    QUICKFIX_CPP_MEMORY,
    QUICKFIX_FILE,
    QUICKFIX_MEMORY,
    RAW,
    can_build_cpp,
)
from tools.bench.wire_link import ON_QUICKFIX, OVER_TLS, PLAIN, TIDEGATE, UNBOUNDED, Link, Variant, running

TARGETS = (
    *(RAW, *((QUICKFIX_CPP_MEMORY, QUICKFIX_CPP_FILE) if can_build_cpp() else ())),
    *(QUICKFIX_MEMORY, QUICKFIX_FILE, TIDEGATE, OVER_TLS, ON_QUICKFIX),
)
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99)
CARRIED = 0.8  # of what a target does flat out: a rate above it would measure the queue


@dataclass(frozen=True)
class WirePlan:
    """What to run: `rounds` of every target; in each flat out, with answers, then `seconds` at each rate (messages a
    second).

    Behind what runs flat out `rest_s` let the disk catch up. A target of `variants` is a gateway that differs so; any
    other is one of TARGETS.
    """

    targets: tuple[str, ...] = TARGETS
    rates: tuple[int, ...] = (1_000, 10_000, 50_000)
    seconds: float = 3.0
    rounds: int = 3
    warmup_messages: int = 500
    window: int = 256
    throughput_messages: int = 150_000
    throughput_seconds: float = 2.0
    answered_messages: int = 20_000
    rest_s: float = 4.0
    capacity: str = "large"
    variants: Mapping[str, Variant] = field(default_factory=dict)


def with_variants(plan: WirePlan, chosen: Mapping[str, Variant]) -> WirePlan:
    """A plan for these gateways."""
    return replace(plan, targets=tuple(chosen), variants=chosen)


def measure(plan: WirePlan, target: str) -> dict[str, Any]:
    """One run of one target."""
    variant = plan.variants.get(target, PLAIN)
    with running(target, plan.capacity, variant) as link:
        link.load(plan.warmup_messages, 10**6, plan.window, 10.0)
        if variant.resting:
            link.load(variant.resting, 0, plan.window, 60.0)
        figures = _flat_out(plan, link)
        time.sleep(plan.rest_s)
        if plan.answered_messages:
            figures["answered_per_s"] = link.answered(plan.answered_messages, plan.window)
            time.sleep(plan.rest_s)
        carried = [rate for rate in plan.rates if rate <= CARRIED * figures["messages_per_s"]]
        return figures | {"rates": {str(rate): _at_rate(plan, link, rate) for rate in carried}}


def _flat_out(plan: WirePlan, link: Link) -> dict[str, Any]:
    before = link.cpu_s()
    sent_ns, received_ns = link.load(plan.throughput_messages, 0, plan.window, plan.throughput_seconds)
    cpu_s = {part: seconds - before[part] for part, seconds in link.cpu_s().items()}
    count = len(sent_ns)
    return {
        "messages": count,
        "messages_per_s": count / (float(received_ns.max() - sent_ns[0]) / 1e9),
        "cpu_us": {part: seconds * 1e6 / count for part, seconds in cpu_s.items()},
    }


def _at_rate(plan: WirePlan, link: Link, rate: int) -> dict[str, Any]:
    count = int(rate * plan.seconds)
    sent_ns, received_ns = link.load(count, 10**9 // rate, UNBOUNDED, plan.seconds + 5)
    latency_us = (received_ns - sent_ns) / 1e3
    late_us = (sent_ns - sent_ns[0] - np.arange(count) * (10**9 // rate)) / 1e3
    return {
        "latency_us": {f"p{p}": float(np.percentile(latency_us, p)) for p in PERCENTILES},
        "sent_late_us_p99": float(np.percentile(late_us, 99)),
        "messages": count,
    }


def run_wire(plan: WirePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All rounds; `progress` is told what comes next. Each round begins with another target."""
    rounds: list[dict[str, Any]] = []
    for number in range(plan.rounds):
        turn = number % len(plan.targets)
        figures = {}
        for target in plan.targets[turn:] + plan.targets[:turn]:
            progress(f"wire: round {number + 1} of {plan.rounds}, {target}")
            figures[target] = measure(plan, target)
        rounds.append(figures)
    return {"window": plan.window, "rounds": rounds, "summary": summarize(plan, rounds)}


def summarize(plan: WirePlan, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds: of figures, and of ratios to the other targets taken within a round."""

    def has(target: str, rate: str) -> bool:
        return all(rate in figures[target]["rates"] for figures in rounds)

    def latency(target: str, rate: str, percentile: str) -> list[float]:
        return [figures[target]["rates"][rate]["latency_us"][percentile] for figures in rounds]

    def each(target: str, key: str) -> list[float]:
        return [figures[target][key] for figures in rounds]

    summary: dict[str, Any] = {}
    for target in plan.targets:
        row: dict[str, Any] = {"rates": {}, "cpu_us": {}}
        for key in ("messages_per_s", "answered_per_s") if plan.answered_messages else ("messages_per_s",):
            row[key] = float(np.median(each(target, key)))
            row[f"{key}_ratio"] = {o: _median_ratio(each(target, key), each(o, key)) for o in plan.targets}
        for part in rounds[0][target]["cpu_us"]:
            row["cpu_us"][part] = float(np.median([figures[target]["cpu_us"][part] for figures in rounds]))
        for rate in (rate for rate in map(str, plan.rates) if has(target, rate)):
            row["rates"][rate] = {
                "latency_us": {f"p{p}": float(np.median(latency(target, rate, f"p{p}"))) for p in PERCENTILES},
                **{
                    f"{p}_ratio": {
                        o: _median_ratio(latency(target, rate, p), latency(o, rate, p))
                        for o in plan.targets
                        if has(o, rate)
                    }
                    for p in ("p50", "p99")
                },
            }
        summary[target] = row
    return summary


def _median_ratio(one: list[float], other: list[float]) -> float:
    return float(np.median([x / y for x, y in zip(one, other, strict=True)]))
