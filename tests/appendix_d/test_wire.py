"""Appendix D over TCP: an EMS, the gateway's process and a venue, each scenario and each of its ends, in every pair of
versions; whatever either side gets is valid by a strict dictionary of its version.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.appendix_d.player import ALERT, EMS, FIX_42, FIX_44, PAIRS, Fields, Player, Reply
from tests.appendix_d.scenarios import ENDS, ONLY_44
from tests.support.core import write_config
from tests.support.gateway_process import ENGINE, GatewayProcess
from tests.support.raw_venue import LISTENS, RawEms, RawVenue, fields_of
from tests.support.referee import fault_of
from tidegate_tools.fix.text import first, utc_now
from tidegate_tools.sim.quickfix_peer import free_port

INSTRUMENTS = "symbol,tick,lot,previous_close\nAAPL,0.01,1,100\n"
ANSWERED_S = 10.0
OPEN = dict.fromkeys(("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited")
LIMITS = {
    "account": {"default": OPEN},
    "instrument": {"default": {"collar_bps": 500, "reference_max_age": "24h"}},
    "session": {"default": {"max_messages": "unlimited"}},
}
TAKEN = ("D", "F", "G")
HEADER = {8, 9, 10, 34, 35, 43, 49, 52, 56, 97, 122}


def session(name: str, version: str, role: str, port: int) -> dict[str, object]:
    """A section of the config."""
    where = {"listen" if role == "acceptor" else "connect": f"127.0.0.1:{port}"}
    ids = {"begin_string": version, "sender_comp_id": "GW", "target_comp_id": name}
    own = {"accounts": ["ACC1"]} if role == "acceptor" else {"market_data": True}
    return {"id": name, "role": role, **ids, **where, **own}


class House:
    """A gateway between an EMS and a venue of each FIX version."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        port = free_port()
        self.venues = {
            version: stack.enter_context(RawVenue(f"X{version[4]}{version[6]}", version, LISTENS))
            for version in (FIX_44, FIX_42)
        }
        config = {
            "gateway": {"name": "TEST", "engine": ENGINE, "state_dir": "var", "capacity": "small"},
            "identity": {"account": 1},
            "sessions": [session(f"E{v[4]}{v[6]}", v, "acceptor", port) for v in (FIX_44, FIX_42)]
            + [session(venue.name, version, "initiator", venue.port) for version, venue in self.venues.items()],
            "instruments": "instruments.csv",
            "limits": "limits.yaml",
            "routing": {"default": self.venues[FIX_44].name},
        }
        path = write_config(folder, config, LIMITS, INSTRUMENTS)
        self.gateway = stack.enter_context(GatewayProcess(path))
        for venue in self.venues.values():
            venue.wait_on()
        self.clients = {v: stack.enter_context(RawEms(port, f"E{v[4]}{v[6]}", v).connect()) for v in (FIX_44, FIX_42)}
        for client in self.clients.values():
            client.logon()
        prices = [(268, "2"), (269, "0"), (270, "99.99"), (271, "1"), (269, "1"), (270, "100.01"), (271, "1")]
        venue = self.venues[FIX_44]
        venue.wait_for(lambda: venue.got("V"), what="a MarketDataRequest")
        venue.send("W", [(262, first(venue.got("V")[0], 262)), (55, "AAPL"), *prices])
        self.numbers = itertools.count()

    def wait_priced(self, client: RawEms, venue: str) -> None:
        """Until orders are taken."""
        for k in range(200):
            client.say("D", [(1, "ACC1"), (11, f"P{venue}{k}"), *_of(ORDER), (100, venue), (60, utc_now())])
            if any(first(m, 11) for m in self.venues_named(venue).got("D")):
                return
            reply = client.answer(1.0)
            if reply is None:
                return  # it went to the venue, which listens only
        raise AssertionError("no order is taken")

    def venues_named(self, name: str) -> RawVenue:
        """The venue of a name."""
        return next(venue for venue in self.venues.values() if venue.name == name)


ORDER: Fields = {21: "1", 38: "1", 40: "2", 44: "90", 54: "1", 55: "AAPL", 59: "0"}


def _of(fields: Fields) -> list[tuple[int, str]]:
    return sorted(fields.items())


class TcpWire:
    """An EMS and a venue of a house."""

    def __init__(self, house: House, versions: tuple[str, str]) -> None:
        self._gateway = house.gateway
        self._client = house.clients[versions[0]]
        self._venue = house.venues[versions[1]]
        self._versions = versions
        self._taken = len(self._taken_now())

    def from_ems(self, msg_type: str, fields: Fields, poss_dup: bool, wanted: list[str]) -> list[Reply]:
        alerts = self._alerts()
        fields = (
            fields | ({60: utc_now()} if msg_type != "H" else {}) | ({100: self._venue.name} if msg_type == "D" else {})
        )
        fields |= {43: "Y", 122: utc_now()} if poss_dup else {}
        self._client.say(msg_type, _of(fields))
        return self._replies(wanted, alerts)

    def from_venue(self, msg_type: str, fields: Fields, wanted: list[str]) -> list[Reply]:
        alerts = self._alerts()
        self._venue.send(msg_type, _of(fields | {60: utc_now()}))
        return self._replies(wanted, alerts)

    def end_day(self) -> list[Reply]:
        """The gateway's own day goes on: that of its counterparties has ended."""
        return []

    def is_silent(self) -> bool:
        """Whether nothing more has come to either side than was waited for."""
        self._client.say("H", [(11, "NOBODY"), (54, "1"), (55, "AAPL")])
        return first(self._client.answer(ANSWERED_S) or [], 11) == "NOBODY" and len(self._taken_now()) == self._taken

    def _replies(self, wanted: list[str], alerts: int) -> list[Reply]:
        found: list[Reply] = []
        for to in wanted:
            if to == ALERT:
                self._gateway.wait_for(lambda: self._alerts() > alerts, ANSWERED_S)
                found.append((ALERT if self._alerts() > alerts else "nobody", "", {}))
                continue
            if to == EMS:
                message = self._client.answer(ANSWERED_S)
                assert message is not None, f"no answer to the EMS; {self._gateway.log[-3:]}"
            else:
                self._taken += 1
                self._venue.wait_for(lambda: len(self._taken_now()) >= self._taken, ANSWERED_S, "a child")
                message = self._taken_now()[self._taken - 1]
            version = self._versions[0] if to == EMS else self._versions[1]
            body = b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in message if tag not in HEADER)
            assert fault_of(version, first(message, 35), body) == ""
            found.append((to, first(message, 35), dict(message)))
        return found

    def _alerts(self) -> int:
        return sum(line.get("event") == "alert" for line in list(self._gateway.log))

    def _taken_now(self) -> list[list[tuple[int, str]]]:
        return [m for m in map(fields_of, list(self._venue.messages)) if first(m, 35) in TAKEN]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        made = House(tmp_path_factory.mktemp("house"), stack)
        for venue in made.venues.values():
            made.wait_priced(made.clients[FIX_44], venue.name)
        yield made


@pytest.mark.parametrize("versions", PAIRS, ids=lambda pair: f"{pair[0][4:]} at {pair[1][4:]}")
@pytest.mark.parametrize("end", ENDS)
def test_appendix_d(house: House, versions: tuple[str, str], end: str) -> None:
    scenario, lines = ENDS[end]
    if scenario.number_42 == ONLY_44 and FIX_42 in versions:
        pytest.skip("FIX 4.2 has no such value")
    wire = TcpWire(house, versions)
    Player(wire, versions, prefix=f"S{next(house.numbers)}-").play(lines)
    assert wire.is_silent()
