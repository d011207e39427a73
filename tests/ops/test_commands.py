"""Commands of people as events of the core: what they say is checked, and another person asked where that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config.files import ConfigError
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.ops.commands import Confirmations, command_events
from gateway.ops.confirm import Confirmation
from tests.support.core import Core

MINUTE_NS = 60 * 10**9
ADJUST: dict[str, Any] = {"command": "adjust", "account": "ACC1", "symbol": "AAPL", "by": "-100", "reason": "bust"}
ALONE = Confirmations(Confirmation(1, MINUTE_NS), Confirmation(1, MINUTE_NS))


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
    two = Confirmations(Confirmation(2, MINUTE_NS), ALONE.easing)
    with capture_logs() as log:
        text, events = command_events(core.state, ADJUST, "ann", two)
    assert events == [] and text.startswith("nothing is adjusted yet: another person than ann must confirm within 1 m")
    assert [line["event"] for line in log] == ["adjustment asked for"]
    assert command_events(core.state, ADJUST, "ann", two)[1] == []
    assert command_events(core.state, ADJUST | {"by": "100"}, "bob", two)[1] == [], "another quantity is another thing"
    text, [event] = command_events(core.state, ADJUST | {"reason": "seen too"}, "bob", two)
    assert b"by bob: seen too" in event.data
    assert command_events(core.state, ADJUST, "bob", two)[1] == [], "once"


POSTURE: dict[str, Any] = {"command": "posture", "scope": "strategy", "name": "MOMO", "reason": "odd fills"}
EXIT: dict[str, Any] = {
    **{"command": "exit", "scope": "strategy", "name": "MOMO", "symbol": "AAPL", "quantity": "300"},
    **{"for_ns": 5 * MINUTE_NS, "reason": "flatten"},
}


def test_a_posture_names_who_and_why(core: Core) -> None:
    text, [event] = command_events(core.state, POSTURE | {"posture": "halted"}, "ann", ALONE)
    assert text == "strategy MOMO: normal -> halted"
    assert event.data == b"strategy MOMO normal -> halted by ann: odd fills"
    assert (event.kind, event.value) == (ev.POSTURE, (core.entity(a.STRATEGY, "MOMO"), a.HALTED))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"posture": "calm"}, "want one of normal, no_new_longs, reduce_only, halted, got 'calm'"),
        ({"posture": "killed"}, "killed: `tidegate kill`"),
        ({"posture": "normal"}, "strategy MOMO: is normal already"),
        ({"posture": "halted", "reason": " "}, "a reason is required"),
        ({"posture": "halted", "name": "NOBODY"}, "there is no strategy 'NOBODY'"),
        ({"posture": "halted", "scope": "planet"}, "scope: want one of firm, desk"),
    ],
)
def test_what_is_wrong_with_a_posture_is_said(core: Core, change: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as error:
        command_events(core.state, POSTURE | change, "ann", ALONE)
    assert what in str(error.value)


def test_a_posture_may_take_two_people_to_be_eased(core: Core) -> None:
    two = Confirmations(ALONE.adjusting, Confirmation(2, MINUTE_NS))
    for posture in ("reduce_only", "halted"):
        _, [event] = command_events(core.state, POSTURE | {"posture": posture}, "ann", two)
        core.apply(event)
    text, events = command_events(core.state, POSTURE | {"posture": "reduce_only"}, "ann", two)
    assert text.startswith("strategy MOMO stays halted: another person than ann") and events == []
    text, [event] = command_events(core.state, POSTURE | {"posture": "reduce_only"}, "bob", two)
    core.apply(event)
    assert core.record.entities[core.entity(a.STRATEGY, "MOMO")].posture == a.REDUCE_ONLY


def test_a_word_given_before_the_posture_changed_counts_no_more(core: Core) -> None:
    two = Confirmations(ALONE.adjusting, Confirmation(2, MINUTE_NS))
    for posture in ("reduce_only", "normal", "halted"):
        _, events = command_events(core.state, POSTURE | {"posture": posture}, "ann", two)
        for event in events:
            core.apply(event)
    _, events = command_events(core.state, POSTURE | {"posture": "normal"}, "bob", two)
    assert events == [], "ann has asked for another release"


def test_an_exit_says_what_passes_and_how_long(core: Core) -> None:
    text, [event] = command_events(core.state, EXIT, "ann", ALONE)
    assert text == "exit open: 300 AAPL of strategy MOMO for 300 s, orders that reduce it"
    assert event.kind == ev.EXIT and event.data == b"300 AAPL of strategy MOMO for 300 s by ann: flatten"
    entity, instrument, quantity_e8, until_ns = event.value
    assert (entity, instrument) == (core.entity(a.STRATEGY, "MOMO"), core.state.instruments["AAPL"])
    assert quantity_e8 == 300 * 10**8 and until_ns > 5 * MINUTE_NS


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"symbol": "NOPE"}, "there is no instrument 'NOPE'"),
        ({"quantity": "many"}, "quantity: want a quantity of at most 8 decimal places, got 'many'"),
        ({"quantity": "-1"}, "want a quantity that is not negative"),
        ({"for_ns": 25 * 60 * MINUTE_NS}, "a time of at most 24h"),
        ({"for_ns": 0}, "a time of at most 24h"),
        ({"quantity": "0"}, "strategy MOMO has none open in AAPL"),
        ({"reason": ""}, "a reason is required"),
    ],
)
def test_what_is_wrong_with_an_exit_is_said(core: Core, change: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as error:
        command_events(core.state, EXIT | change, "ann", ALONE)
    assert what in str(error.value)


def test_an_exit_is_closed_by_none(core: Core) -> None:
    core.open_exit("300", a.STRATEGY, "MOMO")
    text, [event] = command_events(core.state, EXIT | {"quantity": "0", "for_ns": 0}, "ann", ALONE)
    assert text == "exit: none in AAPL of strategy MOMO any more"
    core.apply(event)
    assert core.record.exit_count == 0


def test_only_so_many_exits_are_open_at_a_time(core: Core) -> None:
    s = core.record
    s.exit_count = a.EXITS
    s.exits["instrument"] = core.state.instruments["MSFT"]
    with pytest.raises(ConfigError, match="64 are open already"):
        command_events(core.state, EXIT, "ann", ALONE)
