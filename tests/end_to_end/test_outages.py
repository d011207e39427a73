"""Counterparties that go away for a while, each in its own way: every session comes back with nothing done to the
gateway, somebody is told meanwhile, and a kill is carried out at a venue that was away.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.kill import RESIDUE
from tests.end_to_end.acts import kill, open_at, place, refused, tidegate, wait_canceled
from tests.end_to_end.conftest import Topology
from tests.support.proxy import Proxy
from tests.support.raw_venue import CLOSES, LOGS_OUT, REJECTS, SAYS_NOTHING, TRADES, RawEms, RawVenue
from tidegate_tools.fix.text import first
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.quickfix_peer import SessionConfig
from tidegate_tools.sim.venue import Venue, VenueConfig

RECONNECT_S = 1
BACK_S = RECONNECT_S + 10  # in which a session is up again once its venue is well
REFUSED_BACK_S = 24  # where it has refused our Logon for some seconds, and is tried less often
LOADED_S = 3  # more on a machine under load
TOLD_AGAIN_S = 22  # in which "still down" has come three times; a venue that says nothing is tried once in 9 s

Act = Callable[[], object]


@dataclass(frozen=True)
class Counterparty:
    """A venue or an EMS, and what makes it go away and come back in its own way."""

    name: str
    go_away: Act
    come_back: Act
    attempts: Callable[[], int] = int
    """Connections that it has seen, where `sees_attempts`."""
    sees_attempts: bool = False


class Ordeal(threading.Thread):
    """The outages of one counterparty, one after the other; `problems` has what went wrong.

    Who is `away` when the gateway starts has been so for the first outage.
    """

    def __init__(
        self, topology: Topology, who: Counterparty, outages: tuple[float, ...], trade: Act, away: bool = False
    ) -> None:
        super().__init__(name=who.name, daemon=True)
        self.topology, self.who, self.outages, self.trade, self.away = topology, who, outages, trade, away
        self.problems: list[str] = []
        self.is_venue = who.name.startswith("V-")

    def run(self) -> None:
        for number, seconds in enumerate(self.outages):
            at_start = self.away and number == 0
            where = f"{self.who.name}, {seconds:g} s {'at the start' if at_start else 'in the middle'}"
            try:
                self._outage(where, seconds, at_start)
            except Exception as error:
                self.problems.append(f"{where}: {(str(error) or repr(error)).splitlines()[0]}")
                return

    def _outage(self, where: str, seconds: float, at_start: bool) -> None:
        gateway, since_s = self.topology.gateway, time.monotonic()
        told, tried = (0, 0) if at_start else (self._count("session is still down"), self.who.attempts())
        if not at_start:
            downs = self._count("session is down")
            self.who.go_away()
            since_s = time.monotonic()
            gateway.wait_for(lambda: self._count("session is down") > downs, BACK_S)
            assert self._count("session is down") > downs, "no line of the log says that the session is down"
        time.sleep(max(seconds - (time.monotonic() - since_s), 0))
        if self.is_venue and seconds >= TOLD_AGAIN_S:
            self._check_told(where, told, tried)
        news = ["session is up", *(["resend complete"] if self.is_venue else [])]
        before = {event: self._count(event) for event in news}
        self.who.come_back()
        well_s = time.monotonic()
        gateway.wait_for(lambda: all(self._count(event) > before[event] for event in news), BACK_S + LOADED_S)
        for event in news:
            assert self._count(event) > before[event], f"not back in {BACK_S} s: no line {event!r}"
        self.trade()
        if time.monotonic() - well_s > BACK_S + LOADED_S:
            self.problems.append(f"{where}: trades again after {time.monotonic() - well_s:.1f} s only")

    def _check_told(self, where: str, before: int, tried: int) -> None:
        """An alert is repeated: since when it is down, how often it was tried, and why that failed. And it is tried."""
        if self.who.sees_attempts and self.who.attempts() - tried < 2:
            self.problems.append(f"{where}: {self.who.attempts() - tried} attempts reached the venue")
        lines = self._lines("session is still down")[before:]
        attempts = [int(line.get("attempts", -1)) for line in lines]
        if len(lines) < 2 or attempts != sorted(attempts) or not 1 <= attempts[0] < attempts[-1]:
            self.problems.append(f"{where}: wanted two alerts or more whose attempts grow, there are {lines}")
        elif not all(line.get("since") and line.get("why") for line in lines):
            self.problems.append(f"{where}: an alert does not say since when, or why: {lines}")

    def _lines(self, event: str) -> list[dict]:
        lines = list(self.topology.gateway.log)
        return [line for line in lines if line.get("event") == event and line.get("session") == self.who.name]

    def _count(self, event: str) -> int:
        return len(self._lines(event))


def venues_that_go_away(stack: ExitStack, folder: Path) -> tuple[list[Counterparty], dict[str, int], Venue]:
    """Two of each kind, all of them away; and the ports that the gateway connects to.

    Those whose port is closed or closes every connection are sessions of a QuickFIX venue behind proxies.
    """
    found: list[Counterparty] = []
    ports: dict[str, int] = {}
    names = [f"V-{kind}-{number}" for kind in ("port-closed", "closes") for number in (1, 2)]
    sessions = [SessionConfig("FIX.4.4", name, "GW") for name in names]
    venue = stack.enter_context(Venue(VenueConfig(sessions=sessions, store_dir=folder / "venues")))
    for name in names:
        proxy = stack.enter_context(Proxy(("127.0.0.1", venue.port)))
        closed = {"close_port": True} if "port-closed" in name else {"refuse": True}
        proxy.cut(**closed)
        ports[name] = proxy.port
        found.append(Counterparty(name, lambda proxy=proxy, closed=closed: proxy.cut(**closed), proxy.allow))
    for kind in (SAYS_NOTHING, LOGS_OUT, CLOSES):
        for number in (1, 2) if kind != CLOSES else (3,):
            name = f"V-{kind.replace(' ', '-')}-{number}"
            raw = stack.enter_context(RawVenue(name, behaviour=kind))
            ports[name] = raw.port
            go_away, come_back = [lambda raw=raw, how=how: raw.behave(how) for how in (kind, TRADES)]
            found.append(Counterparty(name, go_away, come_back, lambda raw=raw: raw.connections, True))
    return found, ports, venue


def ems_that_go_away(stack: ExitStack, topology: Topology) -> list[tuple[Counterparty, Act]]:
    """One whose process ends, one whose line is cut, and one that falls silent; with how each trades."""

    def end() -> None:
        topology.ems["EMS2"].stop()

    def begin() -> None:
        topology.ems["EMS2"] = stack.enter_context(Ems(topology.ems["EMS2"].config))

    cut = topology.ems["EMS3"]
    silent = stack.enter_context(RawEms(topology.port, "EMS4"))

    def log_on() -> None:
        silent.close()
        silent.connect()
        silent.logon(heartbeat_s=1)

    def buy() -> None:
        number = len(silent.messages)
        order = [(1, "ACC1"), (11, f"silent-{number}"), (55, "AAPL"), (54, "1"), (38, "1"), (40, "2"), (44, "99")]
        silent.send("D", [*order, (59, "0"), (60, "20260711-12:00:00.000")])
        report = silent.receive_type("8")
        assert first(report, 39) == "0", report

    log_on()
    return [
        (Counterparty("EMS2", end, begin), lambda: place_when_on(topology.ems["EMS2"])),
        (Counterparty("EMS3", lambda: cut.drop_connections(False), cut.allow_logon), lambda: place_when_on(cut)),
        (Counterparty("EMS4", lambda: None, log_on), buy),
    ]


def place_when_on(ems: Ems) -> None:
    ems.wait_logged_on()
    place(ems)


@pytest.mark.first
@pytest.mark.parametrize("outages", [(5.0, 22.0), pytest.param((60.0, 60.0), marks=pytest.mark.soak)], ids=str)
def test_who_was_away_comes_back_by_itself(start, tmp_path: Path, outages: tuple[float, float]) -> None:
    """All of them side by side; half of the venues have the longer outage at the start, the others in the middle."""
    with ExitStack() as stack:
        venues, ports, quickfix_venue = venues_that_go_away(stack, tmp_path)
        topology = start(ems=("EMS1", "EMS2", "EMS3"), raw=("EMS4",), elsewhere=ports)
        topology.venues["V"] = quickfix_venue  # the fixture looks at what it refused
        trader = topology.ems["EMS1"]
        ordeals = [
            Ordeal(
                topology,
                venue,
                outages if venue.name.endswith("1") else outages[::-1],
                lambda name=venue.name: place(trader, extra=[(100, name)]),
                away=True,
            )
            for venue in venues
        ]
        ordeals += [Ordeal(topology, who, outages, trade) for who, trade in ems_that_go_away(stack, topology)]
        for ordeal in ordeals:
            ordeal.start()
        problems = status_of_what_is_down(topology, ports, max(outages))
        for ordeal in ordeals:
            ordeal.join(2 * (BACK_S + LOADED_S + 20) + sum(outages))
            problems += ordeal.problems or (["it hangs"] if ordeal.is_alive() else [])
        place(trader)
        assert problems == [], "\n".join(["", *problems])
        assert topology.state.record.fault == 0


def status_of_what_is_down(topology: Topology, ports: dict[str, int], longest_s: float) -> list[str]:
    """What `tidegate status` does not say of the venues that are away for longest, in the midst of that."""
    time.sleep(longest_s / 2)
    said = tidegate(topology, "status").stdout
    rows = {name: next((row for row in said.splitlines() if f"session {name} is down" in row), "") for name in ports}
    wanted = re.compile(r"down since .*\d\d:\d\d:\d\d.* \d+ attempts?\b")
    away = {name: row for name, row in rows.items() if not name.endswith("1")}
    return [f"status of {name}: {row!r}" for name, row in away.items() if not wanted.search(row)]


def test_what_a_venue_says_in_a_reject_of_the_logon_is_told(start) -> None:
    """In the log and by `status`; it comes back as any other."""
    with RawVenue("XREJ", behaviour=REJECTS) as venue:
        topology = start(elsewhere={"XREJ": venue.port})
        still_down = topology.gateway.wait_log("session is still down", session="XREJ")
        assert "unknown firm" in still_down["why"]
        assert re.search(r"session XREJ is down since .*: Reject of the Logon: unknown firm", status_row(topology))
        assert "\x1b" not in status_row(topology)
        venue.behave(TRADES)
        topology.gateway.wait_log("session is up", REFUSED_BACK_S + LOADED_S, session="XREJ")


def status_row(topology: Topology) -> str:
    """What `tidegate status` says of it."""
    return next(row for row in tidegate(topology, "status").stdout.splitlines() if "session XREJ is down" in row)


@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.soak)])
def test_a_kill_is_carried_out_at_venues_that_come_back_later(start, tmp_path: Path, seconds: int) -> None:
    """One of a venue whose port is closed and one of a venue that says nothing; the third venue is there."""
    with ExitStack() as stack:
        session = SessionConfig("FIX.4.4", "XNYS", "GW")
        closed = stack.enter_context(Venue(VenueConfig(sessions=[session], store_dir=tmp_path / "XNYS-store")))
        proxy = stack.enter_context(Proxy(("127.0.0.1", closed.port)))
        silent = stack.enter_context(RawVenue("XLON"))
        topology = start(elsewhere={"XNYS": proxy.port, "XLON": silent.port})
        topology.venues["XNYS"] = closed  # the fixture looks at what it refused
        ems = topology.ems["EMS1"]
        for name in ("XNYS", "XLON"):
            topology.gateway.wait_log("resend complete", session=name)
        at_closed = [place(ems, quantity=quantity, extra=[(100, "XNYS")]) for quantity in (11, 12)]
        at_silent = [place(ems, quantity=13, extra=[(100, "XLON")])]
        here = place(ems, quantity=14)
        proxy.cut(close_port=True)
        silent.behave(SAYS_NOTHING)
        since_s = time.monotonic()
        for name in ("XNYS", "XLON"):
            topology.gateway.wait_log("session is down", session=name)

        done = kill(topology, "firm", timeout="2s")
        assert done.returncode == RESIDUE and "3 orders are still open" in done.stdout, done
        for order in (*at_closed, *at_silent):
            (line,) = [line for line in done.stdout.splitlines() if order in line]
            assert ems.order(order).order_id in line and "venue down" in line
        assert "XNYS" in done.stdout and "XLON" in done.stdout and here not in done.stdout
        wait_canceled(ems, here)
        assert "KILLED" in refused(ems)

        time.sleep(seconds - (time.monotonic() - since_s))
        assert (len(open_at(closed)), len(silent.open_orders())) == (2, 1)
        proxy.allow()
        silent.behave(TRADES)
        wait_canceled(ems, *at_closed, *at_silent, timeout=BACK_S + LOADED_S)
        assert open_at(closed) == silent.open_orders() == []
        status = tidegate(topology, "orders")
        assert (status.returncode, status.stdout) == (0, "no open order\n"), status
        assert "KILLED" in refused(ems)
