"""The FIX sessions of the simulators: what a strict dictionary refuses can be seen."""

from __future__ import annotations

from collections.abc import Callable

from tidegate_tools.fix.raw_client import RawFixClient
from tidegate_tools.fix.text import Fields, first, utc_now
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.quickfix_peer import SessionConfig
from tidegate_tools.sim.venue import Venue, VenueConfig

StartPair = Callable[..., tuple[Venue, Ems]]


def test_a_sound_conversation_has_nothing_refused(start_pair: StartPair) -> None:
    venue, ems = start_pair()
    order = ems.new_order(symbol="AAPL", quantity=1, price="1")
    ems.wait_for(lambda: ems.order(order).status == "0")
    assert venue.refused == ems.refused == []


def test_every_message_that_the_dictionary_refuses_is_kept_as_it_came(version: str) -> None:
    bad: dict[str, Fields] = {
        "unknown-tag": [(9999, "x")],
        "unknown-value": [(54, "Z")],
        "bad-format": [(60, "yesterday")],
        "twice": [(55, "AAPL"), (55, "MSFT")],
        "of-another-message": [(434, "1")],
    }
    session = SessionConfig(version, "VENUE", "EMS")
    with Venue(VenueConfig(sessions=[session])) as venue, raw_client(version, venue) as client:
        for name, fields in bad.items():
            order = {11: name, 21: "1", 55: "AAPL", 54: "1", 60: utc_now(), 38: "1", 40: "1"}
            client.send("D", [*((tag, value) for tag, value in order.items() if tag not in dict(fields)), *fields])
        venue.wait_for(lambda: len(venue.refused) == len(venue.session_rejects) == len(bad))
        assert [name for name, m in zip(bad, venue.refused, strict=True) if f"\x0111={name}\x01" not in m.raw] == []
        assert all(m.why and m.session == session.name for m in venue.refused)
        assert [first(reject, 45) for reject in venue.session_rejects] == ["2", "3", "4", "5", "6"]
        assert venue.orders == {}


def test_a_garbled_message_is_kept_too(version: str) -> None:
    with (
        Venue(VenueConfig(sessions=[SessionConfig(version, "VENUE", "EMS")])) as venue,
        raw_client(version, venue) as client,
    ):
        client.send("0", [(10, "999")])
        (refused,) = venue.wait_for(lambda: venue.refused)
        assert "CheckSum" in refused.why and refused.raw.endswith("10=999\x01")
        assert venue.session_rejects == []


def raw_client(version: str, venue: Venue) -> RawFixClient:
    """A client that sends what it is given, logged on."""
    client = RawFixClient("127.0.0.1", venue.port, version, "EMS", "VENUE").connect()
    client.logon()
    return client
