"""Orders whose fate is not known: what venues and people answer, and what becomes of the order."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.files import ConfigError
from gateway.core import events as ev
from gateway.ops.commands import resolve_event
from tests.support.checks import Reply, passed
from tests.support.core import Core, of_version
from tests.support.doubts import alerts, asked, is_open_for_orders, told

FILL = {"t31": "100", "t151": "0"}


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


@pytest.fixture
def of_both(tmp_path: Path, version: str) -> Core:
    """A core of either FIX version."""
    return Core(tmp_path, of_version(version))


def in_doubt(core: Core, acknowledged: bool = True) -> str:
    """An order of 100 in doubt, that its venue acknowledged or not; returns its child."""
    order = core.working("A") if acknowledged else passed(core.new("A"))[11]
    core.logon("XNAS", reset=True)
    assert asked(core) == [order]
    assert not is_open_for_orders(core, "BEFORE")
    return order


def is_status(core: Core, reply: Reply, **wanted: str) -> None:
    """The EMS is told the order's state as a status, which is nothing new to act on."""
    version = core.begin_strings["EMS1"]
    told(reply, **({"t150": "I", "t20": None} if version == "FIX.4.4" else {"t20": "3"}), **wanted)


def test_the_order_works_as_we_knew(of_both: Core) -> None:
    core = of_both
    reply = core.status(in_doubt(core), "0", t38="100", t14="0", t151="100")
    is_status(core, reply, t11="A", t39="0", t14="0", t151="100")
    assert alerts(reply) == []
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_the_order_works_though_it_never_was_acknowledged(of_both: Core) -> None:
    core = of_both
    told(core.status(in_doubt(core, False), "0", t38="100", t14="0", t151="100"), t150="0", t39="0", t151="100")
    assert is_open_for_orders(core)


@pytest.mark.parametrize("acknowledged", [True, False])
@pytest.mark.parametrize("seen", ["0", "10"])
def test_fills_that_were_missed_move_positions(of_both: Core, acknowledged: bool, seen: str) -> None:
    core = of_both
    order = core.working("A") if acknowledged else passed(core.new("A"))[11]
    if seen != "0":
        core.report(order, "X1", "F", "1", t32=seen, t14=seen, **FILL)
    core.logon("XNAS", reset=True)
    asked(core)
    reply = core.status(order, "1", t38="100", t14="30", t6="99.5", t151="70")
    is_status(core, reply, t11="A", t39="1", t14="30", t151="70", t6="99.5")
    [alert] = alerts(reply)
    assert "fills that were not reported" in alert and order in alert
    assert core.shares() == (30, 70, 0)
    assert is_open_for_orders(core)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_filled_meanwhile(of_both: Core, acknowledged: bool) -> None:
    core = of_both
    order = in_doubt(core, acknowledged)
    reply = core.status(order, "2", t38="100", t14="100", t151="0")
    told(reply, t11="A", t39="2", t14="100", t151="0")
    assert len(alerts(reply)) == 1
    assert core.shares() == (100, 0, 0)
    assert core.record.open_order_count == 0
    assert is_open_for_orders(core)


@pytest.mark.parametrize("asked_of", ["order", "replace", "no replace"])
def test_filled_at_a_lower_quantity_meanwhile(of_both: Core, asked_of: str) -> None:
    """The replace to 50 was accepted, or the venue has cut the order: what it says was filled is what was."""
    core = of_both
    order = core.working("A")
    replace = passed(core.replace("B", "A", qty="50"))[11] if asked_of != "no replace" else ""
    core.logon("XNAS", reset=True)
    asked(core)
    child = replace if asked_of == "replace" else order
    fields = told(core.status(child, "2", t14="50", t38="50", t6="100", t151="0"), t39="2", t14="50", t151="0")
    assert fields[38] == "50"
    assert core.shares() == (50, 0, 0)
    assert core.record.open_order_count == 0
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_filled_at_a_lower_quantity_after_fills_that_were_seen(of_both: Core) -> None:
    core = of_both
    order = core.working("A")
    core.fill(order, "X1", "30", "30", t151="70")
    core.logon("XNAS", reset=True)
    asked(core)
    told(core.status(order, "2", t14="50", t38="50", t151="0"), t39="2", t38="50", t14="50", t151="0")
    assert core.shares() == (50, 0, 0)


@pytest.mark.parametrize("cum", [None, "0"])
def test_filled_by_a_venue_that_does_not_say_how_much(of_both: Core, cum: str | None) -> None:
    """All of it then: more than nothing was filled, and the most counts."""
    core = of_both
    reply = core.status(in_doubt(core), "2", t14=cum, t38="100", t151="0")
    told(reply, t39="2", t14="100", t151="0")
    assert core.shares() == (100, 0, 0)


@pytest.mark.parametrize("acknowledged", [True, False])
@pytest.mark.parametrize("status", ["4", "C", "3"])
@pytest.mark.parametrize("cum", ["0", "30"])
def test_ended_meanwhile(of_both: Core, acknowledged: bool, status: str, cum: str) -> None:
    core = of_both
    reply = core.status(in_doubt(core, acknowledged), status, t38="100", t14=cum, t151="0")
    told(reply, t150=status, t39=status, t14=cum, t151="0")
    assert len(alerts(reply)) == (1 if cum == "30" else 0)
    assert core.shares() == (float(cum), 0, 0)
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_the_venue_never_had_it(of_both: Core) -> None:
    core = of_both
    order = in_doubt(core, False)
    assert core.shares() == (0, 100, 0)
    reply = core.status(order, "8", t37="NONE", t103="5", t38="0", t151="0")
    fields = told(reply, t11="A", t150="8", t39="8", t14="0", t151="0")
    assert "does not know this order" in fields[58]
    assert alerts(reply) == []
    assert core.shares() == (0, 0, 0)
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_the_venue_forgot_what_it_had(of_both: Core) -> None:
    """It acknowledged the order: that it does not know it now tells nothing of what became of it."""
    core = of_both
    order = in_doubt(core)
    reply = core.status(order, "8", t37="NONE", t103="5", t38="0", t151="0")
    assert [m for _, m, _ in reply if m] == []
    [alert] = alerts(reply)
    assert "acknowledged" in alert and order in alert
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 1
    assert not is_open_for_orders(core)


def test_quantity_that_the_venue_restated(of_both: Core) -> None:
    core = of_both
    told(core.status(in_doubt(core), "0", t38="60", t14="0", t151="60"), t150="D", t38="60", t39="0", t151="60")
    assert core.shares() == (0, 60, 0)


@pytest.mark.parametrize("order_first", [True, False])
@pytest.mark.parametrize("kind", ["replace", "cancel"])
def test_a_request_that_the_venue_never_had(of_both: Core, kind: str, order_first: bool) -> None:
    core = of_both
    order = core.working("A")
    reply = core.replace("R", "A", qty="300") if kind == "replace" else core.cancel("R", "A")
    request = reply[0][2][11]
    core.logon("XNAS", reset=True)
    assert asked(core) == [order, request]
    if order_first:
        is_status(core, core.status(order, "0", t38="100", t151="100"), t11="A", t39="0")
        assert core.shares() == (0, 300 if kind == "replace" else 100, 0)
    reply = core.status(request, "8", t37="NONE", t103="5", t38="0", t151="0")
    fields = told(reply, "9", t11="R", t41="A", t39="0", t434="2" if kind == "replace" else "1")
    assert "does not know" in fields[58]
    if not order_first:
        core.status(order, "0", t38="100", t151="100")
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 0
    assert is_open_for_orders(core)
    assert core.cancel("F", "A")[0][:2] == ("XNAS", "F")


def test_a_replace_that_still_waits_there(core: Core) -> None:
    order = core.working("A")
    request = passed(core.replace("G", "A", qty="300"))[11]
    core.logon("XNAS", reset=True)
    asked(core)
    core.status(order, "E", t38="100", t151="100")
    core.status(request, "E", t38="100", t151="100")
    assert core.doubts() == 0
    assert core.shares() == (0, 300, 0)
    told(core.report(request, "X1", "5", "0", t41=order, t38="300", t151="300"), t11="G", t41="A", t38="300")
    assert core.shares() == (0, 300, 0)


def test_a_replace_in_force_there_does_not_settle_an_order_that_the_venue_forgot(of_both: Core) -> None:
    """It is to no more than has surely traded; what is doubtful beyond that may still work."""
    core = of_both
    order = core.working("A")
    request = passed(core.replace("B", "A", qty="50"))[11]
    core.fill(order, "X1", "60", "60", t38="100", t151="40")
    core.logon("XNAS", reset=True)
    assert asked(core) == [order, request]
    assert len(alerts(core.status(order, "8", t103="5", t38="0", t151="0"))) == 1
    reply = core.status(request, "0", t38="50", t14="50", t151="0")
    told(reply, t11="B", t41="A", t39="2", t38="60", t14="60", t151="0")
    assert core.shares() == (50, 10, 0)
    assert core.doubts() == 1
    assert not is_open_for_orders(core, "BEFORE")
    core.resolve(0, ev.WORKING, "50")
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_a_status_of_an_order_that_is_not_in_doubt(of_both: Core) -> None:
    core = of_both
    order = core.working("A")
    is_status(core, core.status(order, "0", t38="100", t151="100"), t39="0", t14="0")
    is_status(core, core.status(order, "8", t103="5"), t39="0", t151="100")
    assert core.shares() == (0, 100, 0)


def test_fills_count_while_in_doubt_and_settle_nothing(core: Core) -> None:
    order = in_doubt(core)
    told(core.report(order, "X1", "F", "1", t32="40", t14="40", **FILL), t39="1", t14="40")
    assert core.doubts() == 1
    told(core.report(order, "X2", "F", "2", t32="60", t14="100", **FILL), t39="2")
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_an_acknowledgement_in_doubt_settles_nothing(core: Core) -> None:
    """A fill may have come before it, whose number nobody will ask for again."""
    order = in_doubt(core, False)
    told(core.report(order, "X1", "0", "0", t151="100"), t150="0")
    assert core.doubts() == 1
    assert not is_open_for_orders(core)


# Where no venue can tell.


def test_a_venue_that_is_not_asked(tmp_path: Path) -> None:
    core = Core(tmp_path, of_version("FIX.4.4", order_status=False))
    core.working("A")
    core.logon("XNAS", reset=True)
    assert core.tick() == []
    [alert] = alerts(core.synced())
    assert "tidegate resolve" in alert and alert.endswith("XNAS")
    assert asked(core) == []
    assert not is_open_for_orders(core)


def test_a_venue_that_is_not_asked_and_missed_nothing(tmp_path: Path) -> None:
    core = Core(tmp_path, of_version("FIX.4.4", order_status=False))
    core.working("A")
    core.start(ev.CRASHED)
    core.logon("XNAS")
    assert core.synced() == []
    assert is_open_for_orders(core)


def test_a_venue_that_is_not_asked_and_has_not_answered(tmp_path: Path) -> None:
    """A person is told; its answer is as good as ever."""
    core = Core(tmp_path, of_version("FIX.4.4", order_status=False))
    order = passed(core.new("A"))[11]
    core.start(ev.CRASHED)
    core.logon("XNAS")
    [alert] = alerts(core.synced())
    assert "tidegate resolve" in alert and alert.endswith("XNAS")
    assert core.tick() == []
    assert not is_open_for_orders(core)
    core.report(order, "X1", "0", "0", t151="100")
    assert is_open_for_orders(core, "P2")


@pytest.mark.parametrize("how", ["not synced", "does not answer", "in doubt"])
def test_a_venue_that_leaves_something_open_for_a_minute(core: Core, how: str) -> None:
    """A person is told once for each logon, and what was asked is asked again."""
    order = core.working("A") if how == "in doubt" else passed(core.new("A"))[11]
    core.start(ev.CRASHED)
    core.logon("XNAS", reset=how == "in doubt")
    if how != "not synced":
        core.synced()
    again = [] if how == "not synced" else [order]
    for _ in range(2):
        assert asked(core) == again
        core.wait(59.9)
        assert core.tick() == []
        core.wait(0.2)
        reply = core.tick()
        [alert] = alerts(reply)
        assert "tidegate resolve" in alert and alert.endswith("XNAS")
        assert [fields[11] for _, msg_type, fields in reply if msg_type] == again
        core.wait(120)
        assert core.tick() == []
        core.logout("XNAS")
        core.logon("XNAS")
    core.synced()
    core.status(order, "0", t38="100", t151="100")
    core.wait(120)
    assert core.tick() == []
    assert is_open_for_orders(core)


@pytest.mark.parametrize("verdict", [ev.GONE, ev.WORKING])
def test_a_person_says_what_became_of_what_was_not_answered(core: Core, verdict: int) -> None:
    passed(core.new("A"))
    core.start(ev.CRASHED)
    core.come_back()
    told(core.resolve(0, verdict), t39="8" if verdict == ev.GONE else "0")
    assert core.shares() == (0, 0 if verdict == ev.GONE else 100, 0)
    assert is_open_for_orders(core)


def test_a_venue_that_knows_no_status_request(of_both: Core) -> None:
    core = of_both
    order = in_doubt(core)
    reply = core.message("XNAS", "j", [(45, "2"), (58, "no"), (372, "H"), (379, order), (380, "3")])
    assert [m for _, m, _ in reply if m] == []
    assert "OrderStatusRequest" in alerts(reply)[0]
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 1
    assert not is_open_for_orders(core)
    core.resolve(0, ev.WORKING)
    assert is_open_for_orders(core, "P2")


@pytest.mark.parametrize("cum", ["0", "30"])
def test_a_person_says_that_it_works(of_both: Core, cum: str) -> None:
    core = of_both
    in_doubt(core)
    reply = core.resolve(0, ev.WORKING, cum)
    is_status(core, reply, t11="A", t39="1" if cum == "30" else "0", t14=cum, t151=str(100 - int(cum)))
    assert "TOM: by phone" in alerts(reply)[0]
    assert core.shares() == (float(cum), 100 - float(cum), 0)
    assert is_open_for_orders(core)


@pytest.mark.parametrize("cum", ["0", "30"])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_person_says_that_it_is_gone(of_both: Core, acknowledged: bool, cum: str) -> None:
    core = of_both
    order = in_doubt(core, acknowledged)
    reply = core.resolve(0, ev.GONE, cum)
    status = "4" if acknowledged or cum == "30" else "8"
    told(reply, t11="A", t150=status, t39=status, t14=cum, t151="0")
    assert "TOM: by phone" in alerts(reply)[0]
    assert core.shares() == (float(cum), 0, 0)
    assert core.doubts() == 0
    assert is_open_for_orders(core)
    told(core.report(order, "X9", "F", "1", t32="50", t14="50", **FILL), t14="50")
    assert core.shares()[0] == 50


def test_requests_of_an_order_that_is_gone_are_refused(core: Core) -> None:
    core.working("A")
    passed(core.replace("G", "A", qty="300"))
    core.cancel("F", "A")
    core.logon("XNAS", reset=True)
    reply = [message for message in core.resolve(0, ev.GONE) if message[1]]
    assert [(m, f[11]) for _, m, f in reply] == [("9", "F"), ("9", "G"), ("8", "A")]
    assert reply[-1][2][39] == "4"
    assert core.shares() == (0, 0, 0)


@pytest.mark.parametrize("known", ["0", "150"])
@pytest.mark.parametrize("verdict", ["gone", "working"])
def test_a_person_may_say_that_as_much_was_executed_as_a_pending_replace_asked_for(
    core: Core, verdict: str, known: str
) -> None:
    """Whether the venue had accepted it is just what is not known."""
    core.working("A")
    [(_, _, sent)] = core.replace("B", "A", qty="200")
    core.start(ev.REBOOTED)
    core.come_back()
    if known != "0":
        core.report(sent[11], "E1", "F", "1", t38="200", t32=known, t31="100", t14=known, t151="50")
    request = {"order": "O1-0", "verdict": verdict, "reason": "by phone"}
    with pytest.raises(ConfigError, match=rf"between {known} \(what is known\) and 200"):
        resolve_event(core.state, request | {"executed": "201"}, "TOM")
    row, told_verdict, cum_e8 = resolve_event(core.state, request | {"executed": "150"}, "TOM").value
    core.resolve(row, told_verdict, str(cum_e8 // 10**8))
    assert core.shares() == (150, 50 if verdict == "working" else 0, 0)
    assert core.doubts() == 0


@pytest.mark.parametrize("row", [-1, 1, 2047, 10**9])
def test_a_person_names_no_order(core: Core, row: int) -> None:
    in_doubt(core)
    assert core.resolve(row, ev.GONE) == []
    assert core.doubts() == 1


@pytest.mark.parametrize("cum", ["0", "30"])
def test_a_person_says_that_an_open_order_in_no_doubt_is_gone(of_both: Core, cum: str) -> None:
    """Its venue said so in passing and cannot be asked: nothing else would ever end it here."""
    core = of_both
    order = core.working("A")
    reply = core.resolve(0, ev.GONE, cum)
    told(reply, t11="A", t150="4", t39="4", t14=cum, t151="0")
    assert "TOM: by phone" in alerts(reply)[0]
    assert core.shares() == (float(cum), 0, 0)
    assert core.record.open_order_count == 0
    assert core.doubts() == 0
    assert is_open_for_orders(core)
    told(core.fill(order, "X9", "50", "50", t151="0"), t14="50")
    assert core.shares()[0] == 50


def test_a_person_cannot_say_that_an_order_in_no_doubt_works(core: Core) -> None:
    core.working("A")
    assert core.resolve(0, ev.WORKING, "30") == []
    assert core.shares() == (0, 100, 0)


@pytest.mark.parametrize("verdict", [ev.GONE, ev.WORKING])
def test_a_person_has_no_word_on_an_order_that_is_over(core: Core, verdict: int) -> None:
    order = core.working("A")
    core.report(order, "X1", "4", "4")
    assert core.resolve(0, verdict, "30") == []
    assert core.shares() == (0, 0, 0)


def test_the_venue_waits_for_the_last_of_its_orders(core: Core) -> None:
    first, second = core.working("A"), core.working("B", qty="50")
    core.logon("XNAS", reset=True)
    asked(core)
    core.status(first, "0", t38="100", t151="100")
    assert not is_open_for_orders(core, "P1")
    core.status(second, "4", t38="50")
    assert is_open_for_orders(core, "P2")
