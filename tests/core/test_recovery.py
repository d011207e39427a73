"""What users depend on after a restart, and after a venue began its sequence numbers anew: nothing is forgotten,
ids are never used twice, exposure counts at its worst, a venue gets no new order before the fate of all is known.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from tests.support.checks import fired, passed, refused
from tests.support.core import BASE, LIMITS, Core, of_version
from tests.support.doubts import asked, is_open_for_orders, told

EVERY_END = pytest.mark.parametrize(
    "ended", [ev.STOPPED, ev.CRASHED, ev.REBOOTED], ids=["stopped", "crashed", "rebooted"]
)
UNEXPECTED = pytest.mark.parametrize("ended", [ev.CRASHED, ev.REBOOTED], ids=["crashed", "rebooted"])
FILL = {"t31": "100", "t151": "0"}


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


@pytest.fixture
def of_both(tmp_path: Path, version: str) -> Core:
    """A core of either FIX version, in which nothing is limited."""
    return Core(tmp_path, of_version(version))


def two_venues(**venue: object) -> dict[str, Any]:
    config = copy.deepcopy(BASE)
    config["sessions"][1] |= venue
    config["sessions"].append(config["sessions"][1] | {"id": "XNYS", "target_comp_id": "XNYS"})
    return config


# A new run.


def ids(core: Core) -> set[str]:
    """Every id that the gateway has given: of children, orders and executions."""
    found = [o for _, outputs in core.log for o in outputs if o.message_type in ("D", "F", "G", "8", "9")]
    given = {"D": {11}, "F": {11}, "G": {11}, "8": {17, 37}, "9": {37}}
    parts = [(o.message_type, part.partition("=")) for o in found for part in o.body.decode().split("\x01") if part]
    return {value for kind, (tag, _, value) in parts if int(tag) in given[kind] and value != "NONE"}


@EVERY_END
def test_ids_of_a_new_run_are_new(core: Core, ended: int) -> None:
    child = core.working("A")
    core.replace("G", "A", qty="200")
    core.report(child, "X1", "F", "1", t32="10", **FILL)
    core.cancel("F", "A")
    core.report(child, "X2", "4", "4", t14="10")
    core.new("BAD", qty="5000")
    before = ids(core)
    core.start(ended)
    core.come_back()
    core.log.clear()
    child = core.working("B")
    core.replace("G2", "B", qty="200")
    core.report(child, "X3", "F", "1", t32="10", **FILL)
    core.cancel("F2", "B")
    core.new("BAD2", qty="5000")
    assert len(ids(core)) > 6
    assert ids(core).isdisjoint(before)


@EVERY_END
def test_orders_of_the_last_run_go_on(core: Core, ended: int) -> None:
    """A report on an old child is applied and told under the ids that the EMS knows; a cancel of the EMS works."""
    order = core.working("A")
    order_id = told(core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL))[37]
    core.start(ended)
    core.come_back()
    assert core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL) == []
    told(core.report(order, "X2", "F", "1", t32="20", t14="30", **FILL), t11="A", t37=order_id, t14="30", t151="70")
    assert core.shares() == (30, 70, 0)
    [(venue, msg_type, cancel)] = core.cancel("F", "A")
    assert (venue, msg_type, cancel[41], cancel[37]) == ("XNAS", "F", order, "V" + order)
    told(core.report(cancel[11], "X3", "4", "4", t41=order, t14="30"), t11="F", t41="A", t37=order_id, t39="4")
    assert core.shares() == (30, 0, 0)
    assert core.doubts() == 0


@EVERY_END
def test_a_bust_names_the_execution_as_the_ems_saw_it_in_the_last_run(core: Core, ended: int) -> None:
    order = core.working("A")
    execution = told(core.report(order, "X1", "F", "1", t32="10", t14="10", **FILL))[17]
    core.start(ended)
    core.come_back()
    told(core.report(order, "X2", "H", "0", t19="X1", t32="10", t14="0"), t150="H", t19=execution, t14="0")
    assert core.shares() == (0, 100, 0)


@EVERY_END
def test_requests_of_the_last_run_are_answered(core: Core, ended: int) -> None:
    order = core.working("A")
    replace = passed(core.replace("G", "A", qty="300"))[11]
    core.start(ended)
    assert core.shares() == (0, 300, 0)
    core.come_back()
    told(core.report(replace, "X1", "5", "0", t41=order, t38="300", t151="300"), t11="G", t41="A", t38="300")
    assert fired(core.new("G", poss_dup=False)) >= {"CL_ORD_ID_REUSE"}


@EVERY_END
def test_sessions_are_down_when_a_run_begins(core: Core, ended: int) -> None:
    core.working("A")
    core.start(ended)
    assert fired(core.new("B", qty="50")) == {"VENUE_DOWN"}
    told(core.cancel("F", "A"), "9", t102="2")
    assert core.shares() == (0, 100, 0)


def test_after_a_stop_nothing_is_in_doubt(core: Core) -> None:
    core.working("A")
    passed(core.new("B", qty="50"))
    core.apply(Event(ev.STOP, core.time_ns))
    core.start(ev.STOPPED)
    core.logon("XNAS")
    assert core.doubts() == 0
    assert is_open_for_orders(core)


@UNEXPECTED
def test_no_new_order_before_all_is_read_that_was_missed(core: Core, ended: int) -> None:
    """The exposure stays at its worst, cancels pass, and a session that is lost meanwhile changes nothing."""
    order = core.working("A")
    core.working("B", side="2", qty="40")
    core.start(ended)
    assert core.doubts() == 2
    core.logon("XNAS")
    assert not is_open_for_orders(core, "P1")
    core.logout("XNAS")
    core.logon("XNAS")
    assert not is_open_for_orders(core, "P2")
    assert core.shares() == (0, 100, 40)
    assert fired(core.replace("G", "A", qty="50")) == {"RECOVERY"}
    [(venue, msg_type, cancel)] = core.cancel("F", "A")
    assert (venue, msg_type) == ("XNAS", "F")
    told(core.cancel_reject(cancel[11], order), "9", t11="F")
    assert core.doubts() == 2
    assert core.tick() == []
    core.synced()
    assert core.doubts() == 0
    assert is_open_for_orders(core, "P3")
    passed(core.replace("G2", "B", side="2", qty="50"))


@UNEXPECTED
def test_a_venue_without_open_orders_waits_too(core: Core, ended: int) -> None:
    """What it sends again may open an order, or move a position that a check looks at."""
    core.start(ended)
    core.logon("XNAS")
    assert core.doubts() == 0
    assert not is_open_for_orders(core, "P1")
    core.synced()
    assert is_open_for_orders(core, "P2")


def test_each_venue_for_itself(tmp_path: Path) -> None:
    core = Core(tmp_path, two_venues())
    core.working("A")
    core.working("B", t100="XNYS")
    core.working("C", t100="XNYS", qty="50")
    core.start(ev.CRASHED)
    assert (core.doubts("XNAS"), core.doubts("XNYS")) == (1, 2)
    core.come_back()
    assert (core.doubts("XNAS"), core.doubts("XNYS")) == (0, 0)
    core.start(ev.CRASHED)
    core.logon("XNAS")
    core.logon("XNYS")
    core.synced("XNAS")
    assert (core.doubts("XNAS"), core.doubts("XNYS")) == (0, 2)
    assert is_open_for_orders(core)
    refused(core.new("P", t100="XNYS"), "RECOVERY")


def test_an_order_that_ends_while_we_recover_is_in_doubt_no_more(core: Core) -> None:
    order = core.working("A")
    core.working("B", qty="50")
    core.start(ev.CRASHED)
    core.logon("XNAS")
    told(core.report(order, "X1", "4", "4"), t39="4")
    assert core.doubts() == 1
    core.synced()
    assert core.doubts() == 0


def test_a_crash_in_the_middle_of_recovery(core: Core) -> None:
    """Doubts are counted once, and a stop does not end what a crash began."""
    order = core.working("A")
    core.start(ev.CRASHED)
    core.start(ev.CRASHED)
    core.logon("XNAS")
    core.start(ev.STOPPED)
    core.logon("XNAS")
    assert core.doubts() == 1
    assert not is_open_for_orders(core, "P1")
    core.report(order, "X1", "4", "4")
    assert core.doubts() == 0
    assert not is_open_for_orders(core, "P2")
    core.synced()
    assert is_open_for_orders(core, "P3")


def test_after_a_crash_an_order_sent_again_is_one_that_we_know(core: Core) -> None:
    core.working("A")
    core.start(ev.CRASHED)
    core.come_back()
    assert core.new("A", poss_dup=True) == []
    assert core.cancel("F", "A")[0][:2] == ("XNAS", "F")
    passed(core.new("B", qty="50", poss_dup=True))


def test_after_a_reboot_an_order_sent_again_may_have_been_lost(core: Core) -> None:
    """What was first sent before is refused; what we know is ignored as ever; what was first sent since is new."""
    core.working("A")
    core.wait(1)
    core.start(ev.REBOOTED)
    core.come_back()
    assert core.new("A", poss_dup=True) == []
    assert "before this run" in refused(core.new("B", qty="50", poss_dup=True), "STALE_ORDER")[58]
    refused(core.new("C", qty="50", t97="Y"), "STALE_ORDER")
    passed(core.new("D", qty="50", poss_dup=True, t122="20260711-12:00:01.000"))


@EVERY_END
def test_no_price_of_before_the_machine_went_down_is_fresh(core: Core, ended: int) -> None:
    """Its clock may have lost hours; within one boot it cannot. An exit may still use the last good price."""
    order = core.working("A")
    core.report(order, "X1", "F", "1", t32="60", t14="60", **FILL)
    core.report(order, "X2", "4", "4", t14="60")
    core.start(ended)
    for session in ("EMS1", "XNAS"):
        core.logon(session)
    core.synced()
    assert fired(core.new("B", qty="50")) == ({"REFERENCE_PRICE"} if ended == ev.REBOOTED else set())
    passed(core.new("C", side="2", qty="50"))
    core.quote("AAPL", 99.99, 100.01, 100)
    passed(core.new("D", qty="50"))


def test_a_fault_outlives_a_restart(core: Core) -> None:
    core.record.fault = a.FAULT_UNREADABLE
    core.start(ev.STOPPED)
    core.come_back()
    refused(core.new("A"), "FAULT")


# A venue that began its sequence numbers anew.


def test_every_open_order_of_the_venue_is_in_doubt(tmp_path: Path) -> None:
    core = Core(tmp_path, two_venues())
    first = core.working("A")
    passed(core.new("B", qty="50"))
    ended = core.working("C", qty="60")
    core.report(ended, "X1", "4", "4")
    core.working("D", t100="XNYS")
    core.logon("XNAS", reset=True)
    assert (core.doubts("XNAS"), core.doubts("XNYS")) == (2, 0)
    assert core.shares() == (0, 250, 0)
    refused(core.new("E", qty="70"), "RECOVERY")
    assert "not known yet" in told(core.replace("G", "A", qty="50"), "9", t102="2")[58]
    passed(core.new("F", qty="80", t100="XNYS"))
    [(venue, msg_type, cancel)] = core.cancel("X", "A")
    assert (venue, msg_type, cancel[41]) == ("XNAS", "F", first)


def test_a_venue_without_open_orders_has_nothing_in_doubt(core: Core) -> None:
    core.report(core.working("A"), "X1", "4", "4")
    core.logon("XNAS", reset=True)
    assert core.doubts() == 0
    assert is_open_for_orders(core)


def test_in_doubt_until_it_is_settled_whatever_comes_after(core: Core) -> None:
    order = core.working("A")
    core.logon("XNAS", reset=True)
    core.logout("XNAS")
    core.logon("XNAS")
    core.synced()
    assert core.doubts() == 1
    core.start(ev.CRASHED)
    core.come_back()
    assert core.doubts() == 1
    assert not is_open_for_orders(core, "P1")
    assert asked(core) == [order]
    core.status(order, "0", t38="100", t151="100")
    assert is_open_for_orders(core, "P2")


def test_what_is_asked(of_both: Core) -> None:
    core = of_both
    order = core.working("A")
    core.replace("G", "A", qty="200")
    core.cancel("F", "A")
    core.working("B", side="2", qty="50")
    core.logon("XNAS", reset=True)
    reply = core.tick()
    assert [(s, m) for s, m, _ in reply] == [("XNAS", "H")] * 4
    assert sorted(fields[11] for _, _, fields in reply) == ["C1-0", "C1-1", "C1-2", "C1-3"]
    first = reply[0][2]
    assert {tag: first[tag] for tag in (11, 37, 54, 55)} == {11: order, 37: "V" + order, 54: "1", 55: "AAPL"}
    assert reply[-1][2][54] == "2"
    assert core.tick() == []
    core.logon("XNAS", reset=True)
    assert len(asked(core)) == 4


def test_thousands_are_asked_about_each_once(tmp_path: Path) -> None:
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"]["max_long"] = "unlimited"
    config = two_venues()
    for session in config["sessions"][1:]:
        session["status_requests"] = 10_000
    core = Core(tmp_path, config, limits)
    venues = {
        passed(core.new(f"A{k}", qty="1", t100=("XNAS", "XNYS")[k % 2]))[11]: ("XNAS", "XNYS")[k % 2]
        for k in range(2000)
    }
    venues[core.cancel("F", "A1999")[0][2][11]] = "XNYS"
    core.logon("XNAS", reset=True)
    core.logon("XNYS", reset=True)
    assert sorted(asked(core)) == sorted(venues)
    for child, venue in venues.items():
        core.status(child, "0", session=venue, t151="1")
    assert (core.doubts("XNAS"), core.doubts("XNYS")) == (0, 0)
    assert core.shares() == (0, 2000, 0)


def test_many_requests_on_one_order_are_all_asked_about(core: Core) -> None:
    """As many replaces and cancels as may be pending on one."""
    core.working("A", qty="10")
    for k in range(16):
        passed(core.replace(f"G{k}", "A" if k == 0 else f"G{k - 1}", qty=str(20 + k)))
    for k in range(4):
        core.cancel(f"F{k}", "A")
    core.working("B", qty="10")
    core.logon("XNAS", reset=True)
    children = asked(core)
    assert sorted(children) == sorted(f"C1-{k}" for k in range(16 + 4 + 2))


def test_many_venues_at_once(tmp_path: Path) -> None:
    config = copy.deepcopy(BASE)
    venue = config["sessions"][1]
    names = [f"X{k:03d}" for k in range(14)]
    config["sessions"] += [venue | {"id": name, "target_comp_id": name} for name in names]
    core = Core(tmp_path, config)
    for name in names:
        for k in range(20):
            passed(core.new(f"{name}-{k}", qty="1", t100=name))
        core.cancel(f"{name}-F", f"{name}-0")
    for name in names:
        core.logon(name, reset=True)
    children = asked(core)
    assert len(children) == len(set(children)) == 14 * 21


def test_a_tick_that_is_not_journaled_changes_nothing_but_the_time(core: Core) -> None:
    """A replay does not see it."""
    for k in range(11):
        core.working(f"A{k}", qty=str(k + 1))
    core.report("C1-10", "X1", "4", "4")
    core.logon("XNAS", reset=True)
    kept = [name for name in core.record.dtype.names if name not in ("now_ns", "events", "work")]
    for _ in range(5):
        before = core.state.block.copy()[0]
        core.wait(0.1)
        core.tick()
        if core.record.work.idle == 1:
            assert [name for name in kept if before[name].tobytes() != core.record[name].tobytes()] == []


def test_a_venue_that_takes_it_is_asked_for_all_orders_that_it_has(tmp_path: Path) -> None:
    """What it has and we do not know is an alert: nobody else would ever say it."""
    core = Core(tmp_path, two_venues(mass_status=True))
    core.start(ev.REBOOTED)
    for name in core.sessions:
        core.logon(name)
    (request,) = [fields for session, kind, fields in core.synced("XNAS") if (session, kind) == ("XNAS", "AF")]
    assert request[585] == "7"
    (alert,) = core.report("C1-9", "0", "I", "0", t790="1")
    assert alert[0] == "" and alert[2][58].startswith("report on an order that is not the gateway's")
    assert [kind for _, kind, _ in core.synced("XNAS")] == []


# The number of the last message of a session.


def last_in(core: Core, session: str = "XNAS") -> int:
    return int(core.record.sessions[core.sessions[session]].last_in)


def test_the_number_of_a_session_is_not_known_until_it_is_told(core: Core) -> None:
    """What the engine has read before the first message counts: it is told once, with the first logout."""
    assert last_in(core) == a.NONE
    core.logout("XNAS", 500)
    assert last_in(core) == 500
    core.logon("XNAS")
    core.logout("XNAS", 7)
    assert last_in(core) == 500
    assert last_in(core, "EMS1") == a.NONE


def test_a_number_of_zero_is_a_number(core: Core) -> None:
    """A new pair of files: nothing has been read, which is known."""
    core.logout("XNAS", 0)
    assert last_in(core) == 0
    core.logout("XNAS", 500)
    assert last_in(core) == 0


@EVERY_END
def test_the_number_of_the_last_message_outlives_a_run(core: Core, ended: int) -> None:
    core.working("A")
    number = last_in(core)
    assert number > 0
    core.logout("XNAS", number + 10)
    core.start(ended)
    core.logout("XNAS", number + 10)
    assert last_in(core) == number
