"""Requests of an EMS about all its orders: OrderMassCancelRequest(q) and OrderMassStatusRequest(AF), since FIX 4.4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from tests.support.checks import Reply
from tests.support.core import Core, Fields
from tests.support.kill import canceled, core_of, to_ems
from tests.support.referee import faults

PAIRS = [("FIX.4.4", "FIX.4.4"), ("FIX.4.4", "FIX.4.2"), ("FIXT.1.1", "FIX.4.4"), ("FIX.4.4", "FIXT.1.1")]


@pytest.fixture(params=PAIRS, ids=" at ".join)
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Core]:
    made = core_of(tmp_path, *request.param)
    yield made
    assert faults(made) == []


def mass_cancel(core: Core, cl_ord_id: str = "Q", kind: str = "7", session: str = "EMS1", poss_dup=False, **more: str):
    """The answer to a mass cancel, and what goes to venues."""
    fields = {11: cl_ord_id, 530: kind, 60: core.utc()} | {int(key[1:]): value for key, value in more.items()}
    reply = core.message(session, "q", sorted(fields.items()), poss_dup)
    while int(core.record.sweep_row) != a.NONE:
        reply += core.sweep()
    return reply


def mass_status(core: Core, kind: str = "7", name: str = "S", session: str = "EMS1", **more: str) -> list[Fields]:
    """All reports that answer a mass status."""
    fields = {584: name, 585: kind} | {int(key[1:]): value for key, value in more.items()}
    reply = core.message(session, "AF", sorted(fields.items()))
    while int(core.record.sweep_row) != a.NONE:
        reply += core.sweep()
    assert {(to, msg_type) for to, msg_type, _ in reply} == {(session, "8")}
    return [fields for _, _, fields in reply]


def report_of(reply: Reply) -> Fields:
    """The OrderMassCancelReport, which comes first, and alone to the EMS."""
    [(msg_type, fields)] = to_ems(reply)
    assert msg_type == "r" and reply[0][1] == "r"
    return fields


def cancels_of(reply: Reply) -> list[str]:
    """Children that are canceled, by what a cancel names."""
    return [fields[41] for _, msg_type, fields in reply if msg_type == "F"]


# Cancel


def test_a_mass_cancel_needs_no_time_of_its_own(core: Core) -> None:
    """TransactTime(60) is required in FIX 4.4, and changes nothing."""
    child = core.working("A")
    reply = core.message("EMS1", "q", [(11, "Q"), (530, "7")]) + core.sweep()
    assert (report_of(reply)[531], cancels_of(reply)) == ("7", [child])


def test_all_orders_of_the_session_are_canceled_and_no_other(core: Core) -> None:
    mine = [core.working("A"), core.working("B", symbol="MSFT", px="95"), core.working("C", t100="XNYS", px="94")]
    core.working("X", session="EMS2", px="93")
    reply = mass_cancel(core)
    told = report_of(reply)
    assert (told[11], told[530], told[531], told[533]) == ("Q", "7", "7", "3")
    assert cancels_of(reply) == mine
    cancels = {fields[41]: fields for _, msg_type, fields in reply if msg_type == "F"}
    [(msg_type, done)] = to_ems(canceled(core, cancels[mine[0]], "X1"))
    assert (msg_type, done[11], done.get(41), done[150], done[151]) == ("8", "A", None, "4", "0")
    assert done[58] == "canceled by OrderMassCancelRequest(q)"


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"kind": "1", "t55": "AAPL"}, ["A", "S"]),
        ({"kind": "1", "t48": "US5949181045"}, ["B"]),
        ({"t54": "2"}, ["S"]),
        ({"kind": "1", "t55": "AAPL", "t54": "1"}, ["A"]),
        ({"kind": "1", "t55": "ESZ6"}, []),
    ],
)
def test_by_instrument_and_side(core: Core, more: dict[str, str], wanted: list[str]) -> None:
    children = {
        "A": core.working("A"),
        "B": core.working("B", symbol="MSFT", px="95"),
        "S": core.working("S", side="2", px="105"),
    }
    reply = mass_cancel(core, **more)
    assert report_of(reply)[533] == str(len(wanted))
    assert cancels_of(reply) == [children[name] for name in wanted]


@pytest.mark.parametrize(
    ("more", "reason", "text"),
    [
        (
            {"kind": "3"},
            "0",
            "MassCancelRequestType(530)=3 is not supported, use 1 (orders of a security) or 7 (all orders)",
        ),
        ({"kind": "1"}, "1", "names no instrument"),
        ({"kind": "1", "t55": "NOPE"}, "1", "names no instrument"),
        ({"cl_ord_id": "A"}, "99", "used before"),
    ],
)
def test_what_cannot_be_told_cancels_nothing(core: Core, more: dict[str, str], reason: str, text: str) -> None:
    core.working("A")
    reply = mass_cancel(core, **more)
    told = report_of(reply)
    assert (told[531], told[532], told[533]) == ("0", reason, "0") and text in told[58]
    assert cancels_of(reply) == [] and core.later(2) == []


def test_a_copy_is_ignored_and_another_of_its_id_refused(core: Core) -> None:
    core.working("A")
    mass_cancel(core)
    core.working("B", px="90")
    assert [m for _, m, _ in mass_cancel(core, poss_dup=True)] == []
    assert report_of(mass_cancel(core))[532] == "99"
    assert int(core.record.orders[1].canceled_by) == 0


def test_it_passes_whatever_stops_orders(core: Core) -> None:
    child = core.working("A")
    core.record.fault = 7
    core.record.journal_blocked = 1
    core.killed(a.STRATEGY, "ARB")
    assert cancels_of(mass_cancel(core)) == [child]


def test_its_order_id_is_no_order_s(core: Core) -> None:
    core.working("A")
    told = {report_of(mass_cancel(core, "Q"))[37], report_of(mass_cancel(core, "Q", "3"))[37]}
    assert len(told) == 2 and all(order_id.startswith("M1-") for order_id in told)


def cancel_at_venue(reply: Reply) -> Fields:
    """The one cancel that goes to a venue."""
    [cancel] = [fields for _, msg_type, fields in reply if msg_type == "F"]
    return cancel


def for_long(core: Core) -> Reply:
    """What goes out of its own accord in the next two minutes."""
    return [output for _ in range(120) for output in core.later(1)]


@pytest.mark.parametrize("how", ["9", "8", "j"])
def test_a_refusal_of_the_venue_is_the_answer_for_that_order(core: Core, how: str) -> None:
    child = core.working("A")
    core.fill(child, "X1", "40", "40", t151="60", t38="100")
    cancel = cancel_at_venue(mass_cancel(core))
    if how == "9":
        fields = [(11, cancel[11]), (37, "V1"), (39, "1"), (41, child), (58, "auction"), (102, "2"), (434, "1")]
        reply = core.message("XNAS", "9", fields)
    elif how == "8":
        reply = core.report(cancel[11], "X2", "8", "8", t58="auction", t41=child)
    else:
        fields = [(45, "9"), (58, "auction"), (372, "F"), (379, cancel[11]), (380, "4")]
        reply = core.message("XNAS", "j", fields)
    [(session, msg_type, told)] = reply
    assert (session, msg_type) == ("EMS1", "9") and told[58].endswith("auction")
    assert {tag: told[tag] for tag in (11, 41, 39, 102, 434)} == {11: "Q", 41: "A", 39: "1", 102: "2", 434: "1"}
    assert for_long(core) == [], "it was asked for once"
    assert cancels_of(mass_cancel(core, "Q2")) == [child], "another one asks again"


def test_what_comes_after_a_refusal_is_not_canceled(core: Core) -> None:
    child = core.working("A")
    cancel = cancel_at_venue(mass_cancel(core))
    core.cancel_reject(cancel[11], child, reason="0")
    [(_, _, replace)] = core.replace("B", "A", qty="150")
    [(_, _, told)] = core.report(replace[11], "X1", "5", "0", t41=child, t38="150", t151="150")
    assert told[150] == "5"
    core.working("C", px="90")
    assert for_long(core) == []


def test_a_replace_behind_it_ends_it_though_the_venue_is_silent(core: Core) -> None:
    child = core.working("A")
    cancel = cancel_at_venue(mass_cancel(core))
    [(_, msg_type, replace)] = core.replace("B", "A", qty="150")
    assert msg_type == "G" and for_long(core) == []
    [(_, _, told)] = core.cancel_reject(cancel[11], child, reason="0")
    assert (told[11], told[41], told[102]) == ("Q", "A", "0"), "its answer is passed on all the same"
    core.report(replace[11], "X1", "5", "0", t41=child, t38="150", t151="150")
    assert for_long(core) == []


def test_a_replace_waits_for_a_mass_cancel_that_the_venue_has_yet_to_get(core: Core) -> None:
    child = core.working("A")
    core.logout("XNAS")
    mass_cancel(core)
    core.logon("XNAS")
    [(_, msg_type, told)] = core.replace("B", "A", qty="150")
    assert (msg_type, told[102], told[434]) == ("9", "3", "2")
    assert [fields[41] for _, m, fields in core.later(1) if m == "F"] == [child]


def test_a_silent_venue_is_asked_a_few_times_and_its_one_answer_passed_on(core: Core) -> None:
    child = core.working("A")
    sent = [cancel_at_venue(mass_cancel(core)), *(fields for _, m, fields in for_long(core) if m == "F")]
    assert len(sent) == a.QUICK_CANCELS and {fields[41] for fields in sent} == {child}
    assert core.cancel_reject(sent[1][11], child, reason="3") == [], "the first one is pending there"
    [(_, _, told)] = core.cancel_reject(sent[0][11], child, reason="0")
    assert (told[11], told[102]) == ("Q", "0")
    assert [core.cancel_reject(later[11], child, reason="0") for later in sent[2:]] == [[]] * 3
    assert for_long(core) == []


def test_each_mass_cancel_has_its_answer(core: Core) -> None:
    child = core.working("A")
    first = cancel_at_venue(mass_cancel(core))
    mass_cancel(core, "Q2")
    second = cancel_at_venue(core.later(1))
    told = [core.cancel_reject(cancel[11], child, reason="0")[0][2][11] for cancel in (first, second)]
    assert told == ["Q", "Q2"] and for_long(core) == []


def test_a_cancel_that_its_venue_never_had_is_sent_again(core: Core) -> None:
    child = core.working("A")
    cancel = cancel_at_venue(mass_cancel(core))
    core.logout("XNAS")
    assert core.undelivered(cancel) == []
    core.logon("XNAS")
    [(_, done)] = to_ems(canceled(core, cancel_at_venue(core.later(1)), "X1"))
    assert (done[150], done[58]) == ("4", "canceled by OrderMassCancelRequest(q)") and child


def test_a_kill_goes_on_where_a_mass_cancel_was_refused(core: Core) -> None:
    child = core.working("A")
    cancel = cancel_at_venue(mass_cancel(core))
    core.killed(a.FIRM)
    [(_, _, told)] = core.cancel_reject(cancel[11], child, reason="0")
    assert told[11] == "Q"
    assert [cancels_of(core.later(1)) for _ in range(3)] == [[child]] * 3


def test_a_day_that_ends_makes_the_cancels_the_gateway_s_own(core: Core) -> None:
    child = core.working("A", t59="1")
    cancel = cancel_at_venue(mass_cancel(core))
    core.day()
    [(session, msg_type, _)] = core.cancel_reject(cancel[11], child, reason="0")
    assert (session, msg_type) == ("", "") and for_long(core) == []


def test_a_kill_and_its_release_do_not_undo_it(core: Core) -> None:
    child = core.working("A")
    core.logout("XNAS")
    assert cancels_of(mass_cancel(core)) == []
    core.killed(a.FIRM)
    core.kill(a.FIRM, "", False)
    core.logon("XNAS")
    assert [fields[41] for _, m, fields in core.later(1) if m == "F"] == [child]


def test_one_message_does_it_where_the_venue_has_it_and_it_hits_nothing_else(tmp_path: Path) -> None:
    core = core_of(tmp_path, mass_cancel=True)
    core.working("A")
    core.working("B", px="95")
    reply = mass_cancel(core)
    assert [m for to, m, _ in reply if to == "XNAS"] == ["q"] and report_of(reply)[533] == "2"
    core.working("C", px="94")
    core.working("D", px="93", session="EMS2")
    assert [m for to, m, _ in mass_cancel(core, "Q2") if to == "XNAS"] == ["F"]


# Status


def test_every_open_order_is_told_once_and_the_last_one_says_so(core: Core) -> None:
    core.working("A")
    child = core.working("B", px="95")
    core.fill(child, "X1", "40", "40", t6="100", t151="60", t38="100")
    core.working("GONE", px="94")
    core.report("C1-2", "X2", "4", "4")
    core.working("X", session="EMS2", px="93")
    first, last = mass_status(core)
    for told in (first, last):
        assert (told[150], told[584], told[911]) == ("I", "S", "2") and 31 not in told
        assert int(told[14]) + int(told[151]) == int(told[38])
    assert [(told[11], told[39], told[14], told[912]) for told in (first, last)] == [
        *(("A", "0", "0", "N"), ("B", "1", "40", "Y"))
    ]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"kind": "1", "t55": "MSFT"}, ["B"]),
        ({"t54": "2"}, ["S"]),
        ({"t1": "ACC2"}, ["S"]),
        ({"kind": "1", "t55": "AAPL", "t1": "ACC1"}, ["A"]),
    ],
)
def test_those_that_are_asked_for(core: Core, more: dict[str, str], wanted: list[str]) -> None:
    core.working("A")
    core.working("B", symbol="MSFT", px="95")
    core.working("S", side="2", px="105", t1="ACC2")
    assert [told[11] for told in mass_status(core, **more)] == wanted


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"585": "3"}, "MassStatusReqType(585)=3 is not supported, use 1 (orders of a security) or 7 (all orders)"),
        ({"585": "1"}, "names no instrument"),
        ({"584": "S" * 65}, "at most 64"),
    ],
)
def test_what_cannot_be_answered_is_not_told_as_no_order(core: Core, more: dict[str, str], text: str) -> None:
    core.working("A")
    fields = {584: "S", 585: "7"} | {int(tag): value for tag, value in more.items()}
    [(session, msg_type, told)] = core.message("EMS1", "AF", sorted(fields.items()))
    assert (session, msg_type, told[372], told[380]) == ("EMS1", "j", "AF", "0") and text in told[58]


@pytest.mark.parametrize("more", [{}, {"t1": "NOBODY"}, {"t54": "2"}])
def test_where_there_is_none_one_report_says_so(core: Core, more: dict[str, str]) -> None:
    core.working("X", session="EMS2", px="93")
    [told] = mass_status(core, **more)
    assert (told[37], told[39], told[150], told[911], told[912], told[103]) == ("NONE", "8", "I", "0", "Y", "5")
    assert "no open order" in told[58]


def test_many_orders_are_told_over_several_events(core: Core) -> None:
    for k in range(150):
        core.working(f"A{k}", px=f"{90 - k / 100:.2f}")
    told = mass_status(core)
    assert [fields[11] for fields in told] == [f"A{k}" for k in range(150)]
    assert [fields[912] for fields in told] == ["N"] * 149 + ["Y"] and {fields[911] for fields in told} == {"150"}


def test_an_order_that_closes_meanwhile_is_told_as_it_is_then(core: Core) -> None:
    children = [core.working(f"A{k}", px=f"{90 - k / 100:.2f}") for k in range(40)]
    core.message("EMS1", "AF", [(584, "S"), (585, "7")])
    first = core.apply(Event(ev.SWEEP, core.time_ns))
    core.report(children[-1], "X1", "4", "4")
    [(_, msg_type, busy)] = core.message("EMS1", "AF", [(584, "T"), (585, "7")])
    assert (msg_type, busy[380]) == ("j", "4") and "being answered" in busy[58]
    rest = core.sweep()
    told = [fields for _, _, fields in first + rest]
    assert len(told) == 40 and (told[-1][11], told[-1][39], told[-1][912]) == ("A39", "4", "Y")


def test_a_day_that_ends_in_the_midst_leaves_none_untold(core: Core) -> None:
    children = [core.working(f"A{k}", px=f"{90 - k / 100:.2f}") for k in range(40)]
    core.message("EMS1", "AF", [(584, "S"), (585, "7")])
    core.apply(Event(ev.SWEEP, core.time_ns))
    core.report(children[-1], "X1", "4", "4")
    core.day()
    core.sweep()
    assert [told[911] for told in mass_status(core, name="T")] == ["39"] * 39


def test_no_ems_floods_a_venue_by_mass_cancels(tmp_path: Path) -> None:
    core = core_of(tmp_path, mass_cancel=True, limits={"venue.XNAS": {"max_messages": 10}})
    core.working("A")
    core.working("B", px="95")
    sent = [m for k in range(300) for to, m, _ in mass_cancel(core, f"Q{k}") if to == "XNAS"]
    assert sent == ["q"]
    assert int(core.record.request_count) <= 310


def test_a_replace_that_opens_an_order_again_is_not_canceled_by_what_came_before(core: Core) -> None:
    child = core.working("A")
    [cancel] = [fields for _, m, fields in mass_cancel(core) if m == "F"]
    core.fill(child, "X1", "100", "100", "2", t38="100", t151="0")
    core.cancel_reject(cancel[11], child, status="2")
    [(_, msg_type, _)] = core.replace("B", "A", qty="150")
    assert msg_type == "G" and core.later(3) == []


def test_a_start_ends_what_was_being_told(core: Core) -> None:
    for k in range(40):
        core.working(f"A{k}", px=f"{90 - k / 100:.2f}")
    core.message("EMS1", "AF", [(584, "S"), (585, "7")])
    core.start(0)
    for name in core.sessions:
        core.logon(name)
    core.synced()
    assert [told[584] for told in mass_status(core, name="T")] == ["T"] * 40
