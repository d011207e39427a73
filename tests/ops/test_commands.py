"""Commands of people as events of the core: what they say is checked, and another person asked where that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config.files import ConfigError
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.ops.commands import command_events
from gateway.ops.confirm import Confirmation
from tests.support.core import Core

MINUTE_NS = 60 * 10**9
ADJUST: dict[str, Any] = {"command": "adjust", "account": "ACC1", "symbol": "AAPL", "by": "-100", "reason": "bust"}
ALONE = Confirmation(1, MINUTE_NS)


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def test_an_adjustment_names_who_and_why(core: Core) -> None:
    with capture_logs() as log:
        text, [event] = command_events(core.state, ADJUST | {"strategy": "MOMO"}, "ann", ALONE)
    assert text == "position of ACC1 in AAPL: 0 -> -100"
    assert event.data == b"-100 AAPL for account ACC1, strategy MOMO by ann: bust"
    account, strategy = (core.state.entities[key] for key in ((a.ACCOUNT, "ACC1"), (a.STRATEGY, "MOMO")))
    wanted = (core.state.instruments["AAPL"], -100 * 10**8, account, a.NONE, strategy, a.NONE, a.NONE)
    assert (event.kind, event.value) == (ev.ADJUST, wanted)
    assert [(line["event"], line["user"], line["by"]) for line in log] == [("position adjusted", "ann", "-100")]


def test_it_tells_the_position_before_and_after(core: Core) -> None:
    for by, told in (("1500.5", "0 -> 1,500.5"), ("-2000", "1,500.5 -> -499.5")):
        text, events = command_events(core.state, ADJUST | {"by": by}, "ann", ALONE)
        core.apply(*events)
        assert text == f"position of ACC1 in AAPL: {told}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"reason": " "}, "a reason is required"),
        ({"symbol": "NOPE"}, "symbol: there is no instrument 'NOPE'"),
        ({"account": ""}, "account: there is no account ''"),
        ({"account": "NOPE"}, "account: there is no account 'NOPE'"),
        ({"trader": "NOPE"}, "trader: there is no trader 'NOPE'"),
        ({"by": "1.123456789"}, "by: want a decimal of at most 8 places"),
        ({"by": "10000000001"}, "by: is too large, want at most 10,000,000,000, got '10000000001'"),
        ({"by": "-99999999999999"}, "by: is too large"),
        ({"by": "-0"}, "by: want a quantity that is not 0"),
        ({"by": None}, "by: want a decimal"),
    ],
)
def test_an_adjustment_that_makes_no_sense_is_refused(core: Core, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        command_events(core.state, ADJUST | change, "ann", ALONE)


def test_where_two_people_are_wanted_the_second_one_must_ask_for_the_same(core: Core) -> None:
    two = Confirmation(2, MINUTE_NS)
    with capture_logs() as log:
        text, events = command_events(core.state, ADJUST, "ann", two)
    assert events == [] and text.startswith("nothing is adjusted yet: another person than ann must confirm within 1 m")
    assert [line["event"] for line in log] == ["adjustment asked for"]
    assert command_events(core.state, ADJUST, "ann", two)[1] == []
    assert command_events(core.state, ADJUST | {"by": "100"}, "bob", two)[1] == [], "another quantity is another thing"
    text, [event] = command_events(core.state, ADJUST | {"reason": "seen too"}, "bob", two)
    assert b"by bob: seen too" in event.data
    assert command_events(core.state, ADJUST, "bob", two)[1] == [], "once"
