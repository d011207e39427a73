"""When a venue is tried again, and where."""

from __future__ import annotations

import pytest

from gateway.config.sections import SessionSection
from gateway.engine.native import venue as module
from gateway.engine.native.venue import MOST_BACK_OFF_S, VenueLink


class Clock:
    """Stands in for the monotonic clock."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def link(**more: object) -> VenueLink:
    keys = {"id": "XNAS", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW"}
    return VenueLink(
        SessionSection.model_validate(keys | {"target_comp_id": "XNAS", "connect": "a:1", "reconnect": 2} | more)
    )


def waits_s(venue: VenueLink, clock: Clock) -> float:
    """Until the next attempt is due."""
    before = clock.now_s
    while not venue.is_due():
        clock.now_s += 0.5
    return clock.now_s - before


def refused(venue: VenueLink) -> None:
    venue.note_attempt()
    venue.note_connected()
    venue.note_closed()


def test_the_time_between_attempts_grows_while_the_logon_is_refused(clock: Clock) -> None:
    venue = link()
    found = []
    for _ in range(8):
        refused(venue)
        found.append(waits_s(venue, clock))
    assert found == [2, 4, 8, 16, 32, MOST_BACK_OFF_S, MOST_BACK_OFF_S, MOST_BACK_OFF_S]
    venue.note_attempt()
    venue.note_connected()
    venue.note_logon()
    venue.note_closed()
    assert waits_s(venue, clock) == 2


def test_it_does_not_grow_while_nobody_listens(clock: Clock) -> None:
    venue = link()
    for _ in range(8):
        venue.note_attempt()
        venue.note_failure("Connection refused")
        assert waits_s(venue, clock) == 2


def test_addresses_are_tried_in_turn_and_one_that_worked_comes_first(clock: Clock) -> None:
    venue = link(backup=["b:2", "c:3"])
    found = []
    for _ in range(5):
        venue.note_attempt()
        found.append(venue.address)
        venue.note_failure("Connection refused")
    assert found == ["a:1", "b:2", "c:3", "a:1", "b:2"]
    assert venue.why == "b:2: Connection refused"
    venue.note_connected()
    venue.note_logon()
    venue.note_closed()
    venue.note_attempt()
    assert venue.address == "b:2"
