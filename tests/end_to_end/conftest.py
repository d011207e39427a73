"""Topologies: venue simulators, a gateway process between, EMS simulators; all over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import pytest

from gateway.state.memory import State, map_state
from tests.support.core import write_config
from tests.support.gateway_process import ENGINE, ENGINES, GatewayProcess
from tests.support.proxy import Proxy
from tidegate_tools.sim.ems import Ems, EmsConfig
from tidegate_tools.sim.quickfix_peer import SessionConfig, free_port
from tidegate_tools.sim.venue import Liquidity, Venue, VenueConfig

INSTRUMENTS = """symbol,security_id,tick,lot,previous_close
AAPL,US0378331005,0.01,1,100
MSFT,US5949181045,0.01,1,200
"""
LIMITS = {
    "account": {
        "default": {**{"max_order_qty": 1000, "max_order_notional": 1_000_000, "max_long": 5000, "max_short": 5000}}
    },
    "instrument": {"default": {"collar_bps": 1000, "reference_max_age": "60s"}},
    "session": {"default": {"max_messages": 1000}},
}
QUOTES = ("AAPL:99.9:200:100.1:200", "MSFT:199.9:200:200.1:200")


@dataclass
class Topology:
    """A running gateway and its counterparties."""

    stack: ExitStack
    gateway: GatewayProcess
    venues: dict[str, Venue]
    ems: dict[str, Ems]
    proxies: dict[str, Proxy]
    config: Path
    port: int
    session_rejects_provoked: int = 0
    """By a test; any other one is a fault."""

    def wait_ready(self) -> None:
        """Every session logged on, and a price for every instrument that the venues quote."""
        for venue in self.venues.values():
            venue.wait_for(lambda: all(i.quote_ns > 0 for i in self.instruments()), 15, "prices in the gateway")
        for ems in self.ems.values():
            ems.wait_logged_on(15)

    def wait_up(self) -> None:
        """Every session logged on, in the eyes of its peer and of the gateway's core."""
        for peer in [*self.venues.values(), *self.ems.values()]:
            peer.wait_logged_on(30)
        state = self.state.record
        # A venue's market data makes it look again and again
        venue = next(iter(self.venues.values()))
        venue.wait_for(lambda: all(s.up == 1 for s in state.sessions[: state.session_count]), 30)
        for ems in self.ems.values():
            wait_settled(ems)

    def wait_recovered(self) -> None:
        """Every venue has resent to this run what was missed, and no order is in doubt."""
        state = self.state.record
        for name, venue in self.venues.items():
            self.gateway.wait_log("resend complete", 60, session=name)
            venue.wait_for(lambda: not state.sessions["doubts"].any(), 30, "no order in doubt")
        self.wait_up()

    def launch_again(self, *options: str, module: str = "gateway.cli.main", **environment: str) -> GatewayProcess:
        """The next run, once this one has ended; this waits for nothing."""
        self.gateway = GatewayProcess(self.config, module, options, environment)
        self.gateway.launch()
        self.stack.callback(self.gateway.stop)
        return self.gateway

    def start_again(self, *options: str, module: str = "gateway.cli.main", **environment: str) -> GatewayProcess:
        """The next run, once this one has ended; it is up when this returns."""
        gateway = self.launch_again(*options, module=module, **environment)
        gateway.wait_log("gateway is up", 120)
        return gateway

    def instruments(self) -> np.ndarray:
        """The gateway's instrument rows, looked at from outside."""
        s = self.state.record
        return s.instruments[: s.instrument_count]

    @property
    def state(self) -> State:
        """The gateway's state, looked at from outside."""
        return map_state(self.config.parent / "var" / "state.bin", "small")


class Versions(str):
    """FIX version of the EMS side; `venue` is that of the venues."""

    venue: str

    def __new__(cls, ems: str, venue: str) -> Self:
        made = super().__new__(cls, ems)
        made.venue = venue
        return made


def wait_settled(ems: Ems) -> None:
    """The gateway asks this EMS for nothing again: what it sent meanwhile it would not repeat, but fill the gap.

    It is when it answers a TestRequest; one that is lost under a gap fill is sent again.
    """
    for number in range(30):
        test_req_id = f"SETTLED-{number}-{len(ems.log)}"
        ems.send_raw("1", [(112, test_req_id)])
        answer = (112, test_req_id)
        with suppress(TimeoutError):
            ems.wait_for(lambda wanted=answer: any(wanted in m.fields for m in ems.log if not m.sent), 1)
            return
    raise AssertionError("the gateway answers no TestRequest")


FIX_42, FIX_44, FIX_50 = "FIX.4.2", "FIX.4.4", "FIXT.1.1"
PAIRS = [(FIX_44, FIX_44), (FIX_42, FIX_42), (FIX_42, FIX_44), (FIX_44, FIX_42)]
PAIRS_50 = [(FIX_50, FIX_50), (FIX_50, FIX_42), (FIX_44, FIX_50), (FIX_42, FIX_50)]


@pytest.fixture(params=PAIRS, ids="-".join)
def version(request: pytest.FixtureRequest) -> Versions:
    """FIX versions of the two sides, crossed too."""
    return Versions(*request.param)


BOTH = ("test_order_flow", "test_kill", "test_restart")  # modules whose tests run over both engines


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests over both engines; all others are over the one that TIDEGATE_ENGINE names."""
    if "start" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in BOTH:
        metafunc.parametrize("start", ENGINES, indirect=True)


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Topology]]:
    """Start a topology; everything is stopped after the test, and no side may have refused what the other sent."""
    engine_of_test = getattr(request, "param", ENGINE)
    with ExitStack() as stack:
        topologies: list[Topology] = []

        def run(
            version: str = "FIX.4.4",
            engine: str = engine_of_test,
            ems: tuple[str, ...] = ("EMS1",),
            venues: tuple[str, ...] = ("XNAS",),
            raw: tuple[str, ...] = (),
            proxied: tuple[str, ...] = (),
            limits: dict = LIMITS,
            venue_options: dict | None = None,
            venue_session: dict | None = None,
            ems_session: dict | None = None,
            liquidity: Sequence[str] = QUOTES,
            versions: Mapping[str, str] = MappingProxyType({}),
            module: str = "gateway.cli.main",
            environment: dict[str, str] | None = None,
            elsewhere: Mapping[str, int] = MappingProxyType({}),
            venue_host: str = "127.0.0.1",
            of_session: Mapping[str, dict] = MappingProxyType({}),
            folder: str = "",
            **more,
        ) -> Topology:
            """`versions` has those of peers that differ by name, `elsewhere` the ports of venues that the test runs
            itself, `of_session` keys of single sessions; `venue_host` is where the gateway finds all venues; `folder`
            is of one of several gateways of a test; `more` are sections of the config.
            """
            home = tmp_path / folder
            home.mkdir(exist_ok=True)
            sims, proxies = {}, {}
            for name in venues:
                of_venue = versions.get(name, getattr(version, "venue", version))
                forgets = (venue_session or {}).get("reset_on_logon", False)
                session = SessionConfig(of_venue, name, "GW", reset_on_logon=forgets)
                options = {"liquidity": [Liquidity.parse(q) for q in liquidity], "replenish_s": 0, "md_interval_s": 0.2}
                options["store_dir"] = home / name
                options |= venue_options or {}
                sims[name] = stack.enter_context(Venue(VenueConfig(sessions=[session], **options)))
                if name in proxied:
                    proxies[name] = stack.enter_context(Proxy(("127.0.0.1", sims[name].port)))
            port = free_port()
            base = {"sender_comp_id": "GW", "heartbeat": 30}
            sessions = [
                {**base, "id": name, "role": "acceptor", "target_comp_id": name, "listen": f"127.0.0.1:{port}"}
                | {"begin_string": str(versions.get(name, version)), "accounts": ["ACC1", "ACC2"]}
                | (ems_session or {})
                for name in (*ems, *raw)
            ] + [
                {**base, "id": name, "role": "initiator", "target_comp_id": name, "reconnect": 1, "market_data": True}
                | {"begin_string": venue.config.sessions[0].begin_string}
                | {"connect": f"{venue_host}:{proxies[name].port if name in proxies else venue.port}"}
                | (venue_session or {})
                for name, venue in sims.items()
            ]
            sessions += [
                {**base, "id": name, "role": "initiator", "target_comp_id": name, "reconnect": 1}
                | {"begin_string": str(versions.get(name, getattr(version, "venue", version)))}
                | {"connect": f"{venue_host}:{port_of_venue}"}
                for name, port_of_venue in elsewhere.items()
            ]
            sessions = [section | of_session.get(section["id"], {}) for section in sessions]
            config = {
                "gateway": {"name": "E2E", "engine": engine, "state_dir": "var", "capacity": "small"},
                "sessions": sessions,
                "instruments": "instruments.csv",
                "limits": "limits.yaml",
                "routing": {"default": venues[0]},
                "journal": {"segment": 4},  # a start fills three of these with zeros
            } | more
            path = write_config(home, config, limits, INSTRUMENTS)
            gateway = stack.enter_context(GatewayProcess(path, module, environment=environment))
            clients = {}
            for name in ems:
                session = SessionConfig(str(versions.get(name, version)), name, "GW", reset_on_logon=False)
                settings = EmsConfig(
                    sessions=[session],
                    connect=("127.0.0.1", port),
                    extra_fields=[(1, "ACC1")],
                    store_dir=home / f"{name}-store",
                )
                clients[name] = stack.enter_context(Ems(settings))
            topology = Topology(stack, gateway, sims, clients, proxies, path, port)
            topologies.append(topology)
            topology.wait_ready()
            return topology

        yield run
        for topology in topologies:
            peers = [*topology.venues.values(), *topology.ems.values()]
            rejects = [reject for peer in peers for reject in peer.session_rejects]
            assert len(rejects) == topology.session_rejects_provoked, rejects
            assert [peer.refused for peer in peers if peer.refused] == []
