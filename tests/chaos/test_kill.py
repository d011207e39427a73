"""The gateway's process is killed while orders and fills are under way, again and again, and knows the truth after."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.flow import Trader
from tests.chaos.killing_gateway import RUNNING, STARTING
from tests.chaos.truth import check_counted, check_dead, check_quiet, check_told
from tests.end_to_end.conftest import Topology
from tests.support.gateway_process import ENGINES
from tidegate_tools.sim.venue import Liquidity

FAST, SLOW = 300, 20  # messages a second of each EMS, while the gateway lives and while it is down
MODULE = "tests.chaos.killing_gateway"
KILLS = int(os.environ.get("KILLS", "2000"))  # under load, of the long run
DEATHS_UNDER_LOAD = 6  # of a topology, and half as many in the starts that follow
QUOTES = ("AAPL:99.9:200:100.1:200", "MSFT:199.9:200:200.1:200")
LIMITS = {
    "account": {"default": {"max_order_qty": 100, "max_order_notional": 10**6, "max_long": 10**5, "max_short": 10**5}},
    "instrument": {"default": {"collar_bps": 1000, "reference_max_age": "10s"}},
    "session": {"default": {"max_messages": 1000}},
}
JOURNALS = (
    {"segment": 1, "sync": "none", "snapshot_every": 2},
    {"segment": 1, "sync": "10ms"},
    {"segment": 1, "sync": "before_send"},
)


@dataclass(frozen=True)
class Plan:
    """How the process dies, and what else happens at that time."""

    point: str  # of the code, or "" for any moment
    count: int
    in_start: str  # where the start after that dies as well, empty: nowhere
    dropped: bool  # a venue's connections are lost too
    traded: bool  # fills and cancels while the gateway is down
    flow_goes_on: bool  # the EMS never pause

    @property
    def setting(self) -> str:
        return f"{self.point or 'never'}:{self.count}"


def plans(seed: int, engine: str) -> list[Plan]:
    """A topology's deaths; those of three seeds that follow each other are everywhere in the code of the engine on
    QuickFIX. The compiled loop of the other has no points: it dies at any moment.
    """
    chance = random.Random(seed)
    points, starts = ("", *RUNNING) if engine == "quickfix" else ("",), ("any", *STARTING)
    return [
        Plan(
            point=points[k % len(points)],
            count=chance.randint(1, 100),
            in_start=starts[k // 2 % len(starts)] if k % 2 else "",
            dropped=chance.random() < 0.3,
            traded=chance.random() < 0.5,
            flow_goes_on=chance.random() < 0.5,
        )
        for k in range(seed * DEATHS_UNDER_LOAD, (seed + 1) * DEATHS_UNDER_LOAD)
    ]


class Chaos:
    """One topology, and the life and death of its gateway."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self.topology = topology
        self.random = random.Random(seed)
        self.traders: list[Trader] = []
        self.plan: Plan | None = None  # in force

    def start_flow(self) -> None:
        venues = list(self.topology.venues)
        self.traders = [Trader(ems, self.random.random(), venues, FAST) for ems in self.topology.ems.values()]
        for trader in self.traders:
            trader.start()

    def stop_flow(self) -> None:
        for trader in self.traders:
            trader.stop()
        self.traders = []

    def kill(self, plan: Plan) -> None:
        """Load until the process is dead."""
        gateway = self.topology.gateway
        venue = self.random.choice(list(self.topology.venues.values()))
        seen = len(venue.log)
        self.quote()
        self.start_flow()
        if plan.point:
            gateway.send_signal(signal.SIGUSR1)
        if plan.dropped or not plan.point:
            while len(venue.log) < seen + plan.count and not gateway.ends_within(0.005):
                pass
        if plan.dropped:
            venue.drop_connections()
        if not plan.point:
            gateway.send_signal(signal.SIGKILL)
        assert gateway.wait_exit(30) == -signal.SIGKILL, gateway.log
        for trader in self.traders:
            trader.rate = SLOW
        if not plan.flow_goes_on:
            self.stop_flow()

    def trade(self) -> None:
        """What rests at the venues trades or is cancelled while nobody listens."""
        for venue in self.topology.venues.values():
            for symbol, bid, ask in (("AAPL", "100.2", "100.4"), ("MSFT", "199.6", "199.8")):
                venue.set_liquidity(Liquidity.parse(f"{symbol}:{bid}:60:{ask}:60"))
            working = [o for o in venue.orders.values() if o.leaves_e8]
            if working:
                venue.cancel_unsolicited(self.random.choice(working).order_id)
        self.quote()

    def quote(self) -> None:
        """Full size to trade with, at every venue."""
        for venue in self.topology.venues.values():
            for quote in QUOTES:
                venue.set_liquidity(Liquidity.parse(quote))

    def die_in_start(self, point: str) -> None:
        """A start that does not end well; one that never comes to the point dies as soon as it is up."""
        gateway = self.topology.launch_again(module=MODULE, CHAOS_KILL=f"{point}:1")
        wait_s = self.random.uniform(0, 1) if point == "any" else 60
        gateway.wait_for(lambda: gateway.ended or any(line["event"] == "gateway is up" for line in gateway.log), wait_s)
        gateway.stop(signal.SIGKILL)
        check_dead(self.topology)

    def come_back(self, next_plan: Plan) -> None:
        """The next run starts; what it counts covers the truth from its first moment on."""
        self.topology.start_again(module=MODULE, CHAOS_KILL=next_plan.setting)
        state, gateway = self.topology.state, self.topology.gateway

        def recovered() -> bool:
            check_counted(self.topology, state)
            return not state.record.sessions["recovering"].any()

        gateway.wait_for(recovered, 60)  # looks with every line of the log: of logons, and of what was exchanged
        self.topology.wait_recovered()

    def settle(self) -> None:
        """Wait until nothing is under way: an order and its cancel from each EMS to each venue come behind all else."""
        markers = []
        for ems in self.topology.ems.values():
            for name in self.topology.venues:
                extra = [(1, "ACC1"), (100, name)]
                markers.append((ems, ems.new_order(symbol="AAPL", quantity=1, price="95", extra=extra)))
        for ems, order in markers:
            ems.wait_for(lambda ems=ems, order=order: ems.order(order).status, 20)
            assert ems.order(order).status == "0", ems.order(order)
        for ems, order in markers:
            ems.cancel(order)
        for ems, order in markers:
            ems.wait_for(lambda ems=ems, order=order: ems.order(order).status == "4", 20)


def keep(topology: Topology) -> Path:
    """A copy of the state folder for a person to look at."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-chaos-"))
    # Not the socket, nor the two links to memory that went with the process
    gone = shutil.ignore_patterns("control", "state.bin", "pulse")
    shutil.copytree(topology.config.parent, folder / "run", ignore=gone)
    return folder / "run"


def run(start, seed: int, engine: str) -> None:
    version = ("FIX.4.4", "FIX.4.2")[seed % 2]
    todo = plans(seed, engine)
    options = {"latency_ms": seed % 3}
    topology = start(
        version,
        engine=engine,
        ems=("EMS1", "EMS2"),
        venues=("XNAS", "XNYS"),
        limits=LIMITS,
        liquidity=QUOTES,
        venue_options=options,
        module=MODULE,
        environment={"CHAOS_KILL": todo[0].setting},
        journal=JOURNALS[seed % 3],
    )
    chaos = Chaos(topology, seed)
    try:
        for plan, next_plan in zip(todo, [*todo[1:], todo[0]], strict=True):
            chaos.plan = plan
            chaos.kill(plan)
            check_dead(topology)
            if plan.traded:
                chaos.trade()
            if plan.in_start:
                chaos.die_in_start(plan.in_start)
            chaos.come_back(next_plan)
            chaos.stop_flow()
            chaos.settle()
            check_quiet(topology)
        topology.gateway.stop(signal.SIGKILL)
        check_dead(topology)
        check_told(topology)
    except BaseException as error:
        error.add_note(f"seed {seed}, {chaos.plan}, what it left is kept in {keep(topology)}")
        raise
    finally:
        chaos.stop_flow()


@pytest.mark.parametrize(("seed", "engine"), [(0, "native"), (1, "native"), (2, "native"), (1, "quickfix")])
def test_no_death_loses_or_doubles_anything(start, seed: int, engine: str) -> None:
    run(start, seed, engine)


@pytest.mark.soak
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(100, 100 + KILLS // DEATHS_UNDER_LOAD))
def test_thousands_of_deaths(start, seed: int, engine: str) -> None:
    run(start, seed, engine)
