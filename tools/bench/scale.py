"""How the gateway's figures on the wire change with sessions, open orders and instruments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.bench.wire import WirePlan, run_wire, with_variants
from tools.bench.wire_link import PLAIN, Variant

PLAIN_NAME = "1 EMS, 10 instruments"
WIRE = WirePlan(rates=(10_000,), seconds=2.0, throughput_messages=50_000, answered_messages=0)


@dataclass(frozen=True)
class ScalePlan:
    """What to run: a gateway for each number of EMS sessions, of orders open before, of instruments."""

    sessions: tuple[int, ...] = (10, 100)
    resting: tuple[int, ...] = (10_000, 100_000)
    instruments: tuple[int, ...] = (1_000, 10_000)
    wire: WirePlan = WIRE


def run_scale(plan: ScalePlan, progress: Callable[[str], None]) -> dict[str, Any]:
    """All of it; `progress` is told what comes next."""
    variants = {PLAIN_NAME: PLAIN}
    variants |= {f"{count} EMS": Variant(ems_sessions=count) for count in plan.sessions}
    variants |= {f"{count:,} orders open before": Variant(resting=count) for count in plan.resting}
    variants |= {f"{count:,} instruments": Variant(instruments=count) for count in plan.instruments}
    return {"wire": run_wire(with_variants(plan.wire, variants), progress)}
