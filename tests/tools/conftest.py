"""A venue and an EMS that talk to each other over TCP, in both FIX versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tidegate_tools.fix.text import first
from tidegate_tools.sim.ems import Ems, EmsConfig
from tidegate_tools.sim.quickfix_peer import SessionConfig
from tidegate_tools.sim.venue import Venue, VenueConfig

Pair = tuple[Venue, Ems]
REJECT_TEXT = "session reject by fault"


@pytest.fixture(params=["FIX.4.2", "FIX.4.4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start_pair(version: str) -> Iterator[Callable[..., Pair]]:
    """Starts a venue (keywords go to its config) and an EMS that is logged on to it; session rejects fail the test."""
    with ExitStack() as stack:
        peers: list[Venue | Ems] = []

        def start(ems_options: dict[str, Any] | None = None, **venue_options: Any) -> Pair:
            options = {"replenish_s": 0.0, **venue_options}
            venue = Venue(VenueConfig(sessions=[SessionConfig(version, "VENUE", "EMS")], **options))
            stack.enter_context(venue)
            session = SessionConfig(version, "EMS", "VENUE")
            config = EmsConfig(connect=("127.0.0.1", venue.port), sessions=[session], **(ems_options or {}))
            ems = stack.enter_context(Ems(config))
            ems.wait_logged_on()
            peers[:] = [venue, ems]
            return venue, ems

        yield start
        for peer in peers:
            assert [reject for reject in peer.session_rejects if first(reject, 58) != REJECT_TEXT] == []
