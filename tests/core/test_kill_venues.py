"""Cancels of a kill switch at venues that ignore, refuse, are slow, down, lost in a crash, or cancel all at once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, fired, passed, refused
from tests.support.core import Core, Fields
from tests.support.kill import (
    ANOTHER,
    EVERYONE,
    VERSIONS,
    Of,
    canceled,
    cancels,
    is_told_by_us,
    many,
    mass,
    one_by_one,
    open_orders,
    to_ems,
)

# Silence, refusals


def test_a_silent_venue_is_asked_five_times_a_second_apart_then_ever_later(of: Of) -> None:
    core = of()
    child = core.working("A")
    tries = cancels(core.killed(a.FIRM))
    times = [0]
    for tenth in range(1, 3_200):
        sent = cancels(core.later(0.1))
        times += [tenth] * len(sent)
        tries += sent
    assert times[:5] == [0, 10, 20, 30, 40]
    gaps_s = [(later - earlier) / 10 for earlier, later in itertools.pairwise(times[4:])]
    assert [wanted <= gap < wanted + 1.2 for gap, wanted in zip(gaps_s, (2, 4, 8, 16, 32, 64, 64, 64), strict=True)], (
        gaps_s
    )
    assert {fields[41] for fields in tries} == {child}
    assert len({fields[11] for fields in tries}) == len(tries), "each has an id of its own"
    assert open_orders(core) == 1, "residue: it is open until the venue says else"
    is_told_by_us(canceled(core, tries[0], "X1"))


def test_a_repeated_kill_begins_anew(of: Of) -> None:
    core = of()
    core.working("A")
    tries = cancels(core.killed(a.FIRM))
    for _ in range(8):
        tries += cancels(core.later(1))
    assert len(tries) == 6
    again = cancels(core.killed(a.FIRM))
    for _ in range(8):
        again += cancels(core.later(1))
    assert len(again) == 6 and len({fields[11] for fields in tries + again}) == 12
    is_told_by_us(canceled(core, again[2], "X1"), t11="A")


def test_each_refusal_is_told_and_tried_again(of: Of) -> None:
    core = of()
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    for number in range(5):
        reply = core.cancel_reject(cancel[11], child)
        assert [message[:2] for message in reply] == [("", "")] and "O1-0" in reply[0][2][58]
        assert core.later(0.5) == []
        sent = cancels(core.later(0.5))
        assert len(sent) == (1 if number < 4 else 0)
        cancel = sent[0] if sent else cancel
    assert open_orders(core) == 1


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_venue_that_refuses_by_other_messages(of: Of, versions: tuple[str, str]) -> None:
    """BusinessMessageReject, a session Reject, ExecutionReport 150=8: our cancel is over, the order is not."""
    core = of(*versions)
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    refusal = [(45, "2"), (58, "no"), (372, "F"), (379, cancel[11]), (380, "4")]
    assert to_ems(core.message("XNAS", "j", refusal)) == []
    [cancel] = cancels(core.later(1))
    assert to_ems(core.undelivered({35: "F", **cancel})) == []
    [cancel] = cancels(core.later(1))
    assert to_ems(core.report(cancel[11], "X1", "8", "0", t41=child, t151="100")) == []
    assert open_orders(core) == 1
    [cancel] = cancels(core.later(1))
    is_told_by_us(canceled(core, cancel, "X2"))


def tired(core: Core, child: str) -> Fields:
    """The last of the quick cancels, each refused with 102=0."""
    [cancel] = cancels(core.killed(a.FIRM))
    for _ in range(4):
        core.cancel_reject(cancel[11], child)
        [cancel] = cancels(core.later(1))
    core.cancel_reject(cancel[11], child)
    assert cancels(core.later(1.5)) == []
    return cancel


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize("msg_type", ["h", "f"])
def test_a_word_of_the_venue_on_its_trading_begins_anew(of: Of, versions: tuple[str, str], msg_type: str) -> None:
    core = of(*versions)
    child = core.working("A")
    tired(core, child)
    assert core.message("XNAS", msg_type, [(336, "DAY"), (340, "2")]) == []
    [cancel] = cancels(core.later(0.1))
    core.cancel_reject(cancel[11], child)
    assert core.message("XNAS", msg_type, [(336, "DAY"), (340, "2")]) == []
    assert cancels(core.later(0.8)) == [], "but no venue is flooded for saying it often"
    is_told_by_us(canceled(core, cancels(core.later(0.3))[0], "X1"))


def test_another_status_of_the_order_begins_anew(of: Of) -> None:
    core = of()
    child = core.working("A")
    tired(core, child)
    core.fill(child, "X1", "40", "40")
    [cancel] = cancels(core.later(0.1))
    is_told_by_us(canceled(core, cancel, "X2", cum="40"))


def test_the_reason_of_a_refusal_is_kept_for_people(of: Of) -> None:
    core = of()
    child = core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    core.message("XNAS", "9", [(11, cancel[11]), (37, "V1"), (39, "0"), (41, child), (102, "2"), (434, "1")])
    assert int(core.record.orders[0].cancel_refused) == 1 + 2


# Slow venues


def room(core: Core) -> int:
    """Messages that XNAS still takes."""
    e = core.record.entities[core.state.entities[a.VENUE, "XNAS"]]
    return int(e.limit[a.MAX_MESSAGES] - e.in_window)


def test_orders_leave_a_quarter_of_what_a_venue_takes_to_cancels(of: Of) -> None:
    core = of(limits={"venue.XNAS": {"max_messages": 8}})
    children = [core.working(f"A{k}", px=f"{90 - k}") for k in range(6)]
    text = refused(core.new("B"), "MAX_MESSAGES")[58]
    assert text == "MAX_MESSAGES 7 > 6 (venue XNAS)"
    assert fired(core.replace("R", "A0", qty="50")) == {"MAX_MESSAGES"}
    assert core.new("C", t100="XNYS")[0][:2] == ("XNYS", "D"), "another venue has a limit of its own"
    assert len(cancels(core.cancel("F0", "A0"))) == len(cancels(core.cancel("F1", "A1"))) == 1
    assert room(core) == 0 and len(children) == 6
    core.wait(1.0625)
    assert core.new("B2")[0][:2] == ("XNAS", "D")


def test_a_cancel_that_finds_no_room_goes_as_soon_as_there_is_some(of: Of) -> None:
    core = of(limits={"venue.XNAS": {"max_messages": 4}})
    children = [core.working(f"A{k}", px=f"{90 - k}") for k in range(3)]
    assert len(cancels(core.cancel("F0", "A0"))) == 1
    assert core.cancel("F1", "A1") == [] and core.cancel("F2", "A2") == []
    assert cancels(core.later(0.9)) == []
    sent = cancels(core.later(0.2))
    assert [fields[41] for fields in sent] == children[1:]
    for cancel, name in zip(sent, ("F1", "F2"), strict=True):
        [(msg_type, told)] = to_ems(canceled(core, cancel, "X" + name))
        assert (msg_type, told[11], told[150]) == ("8", name, "4")
    assert core.later(5) == [] and int(core.record.unsent_cancels) == 0


def full(of: Of) -> tuple[Core, str]:
    """A core whose venue takes no more messages, of which a cancel of A waits for room; and A's child."""
    core = of(limits={"venue.XNAS": {"max_messages": 2}})
    child = core.working("A")
    assert len(cancels(core.cancel("F0", "A"))) == 1
    assert core.cancel("F", "A") == []
    return core, child


def test_a_waiting_cancel_of_an_order_that_has_closed_is_too_late(of: Of) -> None:
    core, child = full(of)
    core.fill(child, "X1", "100", "100", "2")
    [(msg_type, told)] = to_ems(core.later(0.1))
    assert (msg_type, told[11], told[39], told[102]) == ("9", "F", "2", "0")
    assert int(core.record.unsent_cancels) == 0


def test_a_waiting_cancel_of_a_venue_that_is_lost_is_refused(of: Of) -> None:
    core, _ = full(of)
    core.logout("XNAS")
    [(msg_type, told)] = to_ems(core.later(0.1))
    assert (msg_type, told[11], told[102]) == ("9", "F", "2") and "not logged on" in told[58]


def test_a_waiting_cancel_behind_a_replace_names_what_is_in_force_then(of: Of) -> None:
    core = of(limits={"venue.XNAS": {"max_messages": 3}})
    child = core.working("A")
    [(_, _, replace)] = core.replace("R", "A", qty="50")
    core.cancel("F0", "A")
    assert core.cancel("F", "R") == []
    core.cancel_reject(replace[11], child, "2")
    sent = cancels(core.later(1.1))
    assert [fields[41] for fields in sent] == [child]


def test_a_waiting_cancel_is_answered_when_the_day_ends_first(of: Of) -> None:
    core, child = full(of)
    core.report(child, "X1", "4", "4")
    core.day()
    [(msg_type, told)] = to_ems(core.later(0.1))
    assert (msg_type, told[11], told[102]) == ("9", "F", "0") and int(core.record.unsent_cancels) == 0
    core.day()
    assert core.record.orders[0]["number"] == a.NONE, "and then its row is given back"


def test_a_waiting_cancel_is_not_asked_about(of: Of) -> None:
    core, child = full(of)
    core.logout("XNAS")
    core.logon("XNAS", reset=True)
    core.synced()
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = a.UNLIMITED
    asked = [fields[11] for _, m, fields in core.tick() if m == "H"]
    assert child in asked and len(asked) == len(set(asked)) == 2, "the order and the cancel that was sent"


def test_where_a_venue_takes_no_orders_cancels_pass(of: Of) -> None:
    core = of()
    core.working("A")
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = 0
    assert fired(core.new("B")) == {"MAX_MESSAGES"}
    assert len(cancels(core.cancel("F", "A"))) == 1


def test_questions_leave_room_for_cancels(of: Of) -> None:
    core = of(limits={"venue.XNAS": {"max_messages": 40}}, status_requests=10_000)
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = a.UNLIMITED
    many(core, 200)
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = 40
    core.wait(1.1)
    core.message("XNAS", "8", [(11, "")])
    core.record.sessions[core.sessions["XNAS"]].review_due = 1
    asked = 0
    while told := core.tick():
        asked += sum(m == "H" for _, m, _ in told)
    assert 0 < asked <= 30
    assert len(cancels(core.killed(a.FIRM)) + cancels(core.sweep())) >= 10


def test_cancels_that_go_on_take_a_few_rows_an_order(of: Of) -> None:
    core = of()
    many(core, 20)
    core.killed(a.FIRM)
    for _ in range(600):
        core.later(1)
    requests = core.record["requests"][: core.record.request_count]
    assert int((requests["ours"] == 1).sum()) <= 20 * 5 + 1


def test_a_kill_keeps_to_what_a_venue_takes(of: Of) -> None:
    core = of(limits={"venue.XNAS": {"max_messages": 20}})
    children = many(core, 15)
    core.wait(1.1)
    sent = [len(cancels(core.killed(a.FIRM)))]
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = 10
    for _ in range(40):
        sent.append(len(cancels(core.later(0.1))))
    assert max(sum(sent[k : k + 10]) for k in range(len(sent))) <= 15 and sum(sent) > len(children)


def test_the_same_limits_judge_as_they_did(of: Of) -> None:
    """What went to a venue counts for the next order only."""
    core = of(limits={"venue.XNAS": {"max_messages": 4}})
    assert [fired(core.new(f"A{k}", px=f"{90 - k}")) for k in range(4)] == [set()] * 3 + [{"MAX_MESSAGES"}]


def test_a_venue_s_rate_is_kept(of: Of) -> None:
    core = of(cancel_rate=20)
    children = many(core, 50)
    sent = [len(cancels(core.killed(a.FIRM)))]
    log = cancels(core.sweep())
    for _ in range(60):
        batch = cancels(core.later(0.1))
        log += batch
        for fields in batch:
            canceled(core, fields, "X" + fields[11])
        sent.append(len(batch))
    assert max(sum(sent[k : k + 10]) for k in range(len(sent))) <= 20 + 2, "in any second"
    assert sum(sent[:26]) >= 48, "and no slower than it allows"
    assert sent[0] <= 3
    answered = {fields[41] for fields in log}
    assert len(answered) <= len(children)
    assert open_orders(core) <= sent[0]


def test_the_rate_of_one_venue_does_not_hold_up_another(of: Of) -> None:
    core = of(cancel_rate=10)
    many(core, 20)
    for k in range(3):
        core.working(f"N{k}", px=f"{80 - k}", t100="XNYS")
    sent = core.killed(a.FIRM)
    for _ in range(3):
        sent += core.later(0.1)
    assert sum(1 for venue, _, _ in sent if venue == "XNYS") == 3


def test_the_day_s_limit_of_messages_of_an_ems_is_not_ours(of: Of) -> None:
    core = of(limits={"session.EMS1": {"max_messages": 3}, "firm": {"max_messages": 3}})
    for k in range(3):
        core.working(f"A{k}", px=f"{90 - k}")
    assert len(cancels(core.killed(a.FIRM))) == 3


# Venues that are down


def test_a_venue_that_is_down_is_swept_when_it_is_back(of: Of) -> None:
    core = of()
    child = core.working("A")
    other = core.working("B", t100="XNYS")
    core.logout("XNAS")
    assert [fields[41] for fields in cancels(core.killed(a.FIRM))] == [other]
    for _ in range(20):
        assert child not in [fields[41] for fields in cancels(core.later(1))]
    core.logon("XNAS")
    [cancel] = cancels(core.later(0.1))
    assert cancel[41] == child
    is_told_by_us(canceled(core, cancel, "X1"))


def test_a_venue_that_was_lost_after_the_cancel_went_is_asked_anew(of: Of) -> None:
    core = of()
    child = core.working("A")
    tries = cancels(core.killed(a.FIRM))
    for _ in range(6):
        tries += cancels(core.later(1))
    core.logout("XNAS")
    core.later(60)
    core.logon("XNAS")
    again = cancels(core.later(0.1))
    assert [fields[41] for fields in again] == [child]
    assert again[0][11] not in [fields[11] for fields in tries]


def test_a_cancel_that_the_engine_could_not_deliver_goes_again(of: Of) -> None:
    core = of()
    core.working("A")
    [cancel] = cancels(core.killed(a.FIRM))
    core.undelivered({35: "F", **cancel})
    [again] = cancels(core.later(1))
    is_told_by_us(canceled(core, again, "X1"))


def test_an_order_that_never_arrived_is_told_as_refused(of: Of) -> None:
    """The order itself was not delivered: nothing is left to cancel."""
    core = of()
    child = passed(core.new("A"))
    [cancel] = cancels(core.killed(a.FIRM))
    [(_, fields)] = to_ems(core.undelivered(child))
    assert (fields[150], fields[39]) == ("8", "8")
    assert to_ems(core.cancel_reject(cancel[11], child[11], reason="1", status="8")) == []
    assert core.later(5) == [] and open_orders(core) == 0


def test_an_order_not_yet_acknowledged_is_canceled_too(of: Of) -> None:
    core = of()
    child = passed(core.new("A"))[11]
    [cancel] = cancels(core.killed(a.FIRM))
    assert cancel[41] == child and 37 not in cancel
    core.report(child, "X1", "0", "0", t151="100")
    is_told_by_us(canceled(core, cancel, "X2"))


# Crashes, days


@pytest.mark.parametrize("ended", [ev.STOPPED, ev.CRASHED, ev.REBOOTED])
@pytest.mark.parametrize("answer", ["canceled", "unknown", "working"])
def test_a_switch_outlives_the_process(of: Of, ended: int, answer: str) -> None:
    core = of()
    child = core.working("A")
    core.killed(a.FIRM)
    core.start(ended)
    assert core.record.killed_count == 1
    core.come_back()
    sent = core.later(0.1)
    [cancel] = [fields for _, msg_type, fields in sent if msg_type == "F"]
    assert cancel[41] == child and cancel[11].startswith("C2-")
    asked = [fields[11] for _, msg_type, fields in sent if msg_type == "H"]
    assert core.new("B")[0][2][58].startswith("KILLED") or "KILLED" in core.new("C")[0][2][58]
    if answer == "canceled":
        is_told_by_us(canceled(core, cancel, "X1"), t11="A")
    elif answer == "unknown":
        for request in asked:
            core.status(request, "8", t37="NONE")
        assert to_ems(core.cancel_reject(cancel[11], child, reason="1", status="8")) == []
        core.report(child, "X2", "4", "4")
    else:
        core.status(child, "0", t151="100")
        is_told_by_us(canceled(core, cancel, "X1"), t11="A")
    assert (open_orders(core), core.doubts()) == (0, 0)


def test_a_crash_while_our_cancel_is_pending_leaves_no_doubt_behind(of: Of) -> None:
    core = of()
    child = core.working("A")
    [first] = cancels(core.killed(a.FIRM))
    core.start(ev.CRASHED)
    core.come_back()
    assert core.doubts() == 1, "our cancel has no answer"
    is_told_by_us(canceled(core, first, "X1"), t11="A")
    assert core.doubts() == 0
    assert child not in [fields.get(41) for fields in cancels(core.later(5))]


def test_a_day_that_ends_amid_the_sweep(of: Of) -> None:
    core = of(cancel_rate=10)
    children = many(core, 5)
    sent = cancels(core.killed(a.FIRM))
    core.day()
    for _ in range(20):
        for fields in sent:
            is_told_by_us(canceled(core, fields, "X" + fields[11]))
        sent = cancels(core.later(0.1))
    assert open_orders(core) == 0 and len(children) == 5
    assert "KILLED" in core.new("B")[0][2][58], "a switch outlives the day"
    core.day()
    assert core.record.order_free_count == core.record.order_count


def test_ids_of_our_cancels_are_new_after_a_day(of: Of) -> None:
    core = of()
    core.working("A")
    [first] = cancels(core.killed(a.FIRM))
    core.day()
    [again] = cancels(core.later(1))
    assert again[11] != first[11]
    is_told_by_us(canceled(core, first, "X1"))


# Room


@pytest.mark.parametrize("orders", [100, 2_000])
def test_a_full_book_is_swept_once(of: Of, orders: int) -> None:
    core = of()
    children = many(core, orders)
    sent = cancels(core.killed(a.FIRM))
    assert sorted(fields[41] for fields in sent) == sorted(children)
    for fields in sent:
        is_told_by_us(canceled(core, fields, "X" + fields[11]))
    assert open_orders(core) == 0
    assert core.later(5) == []


def test_no_event_sends_more_than_fits(of: Of) -> None:
    core = of()
    many(core, 200)
    since = len(core.log)
    core.killed(a.FIRM)
    assert max(len(outputs) for _, outputs in core.log[since:]) <= 32
    assert core.record.fault == 0


@pytest.mark.soak
def test_ten_thousand_orders_are_swept_once(of: Of) -> None:
    core = of(capacity="standard")
    children = [core.working(f"M{k}", qty=str(1 + k)) for k in range(10_000)]
    sent = cancels(core.killed(a.FIRM))
    assert sorted(fields[41] for fields in sent) == sorted(children)
    for fields in sent:
        is_told_by_us(canceled(core, fields, "X" + fields[11]))
    assert open_orders(core) == 0 and core.later(5) == []


def test_every_order_has_room_for_its_cancel(of: Of) -> None:
    """However full the requests are: of replaces and cancels that venues leave open, and of refused orders."""
    core = of()
    children = many(core, 1_000)
    number = 0
    while True:
        number += 1
        [(session, _, fields)] = core.cancel(f"F{number}", f"M{number % 1_000}")
        if session.startswith("EMS"):
            assert "pending" in fields[58]
            break
    sent = cancels(core.killed(a.FIRM))
    assert sorted(fields[41] for fields in sent) == sorted(children)
    assert core.record.fault == 0
    for fields in sent:
        canceled(core, fields, "X" + fields[11])
    assert open_orders(core) == 0


def test_tries_do_not_eat_the_room_of_other_orders(of: Of) -> None:
    """1,500 orders killed again and again at a silent venue: the first cancel by their EMS still finds room."""
    core = of()
    many(core, 1_500)
    for _ in range(6):
        core.killed(a.FIRM)
        for _ in range(3):
            core.later(1)
    core.kill(a.FIRM, on=False)
    reply: Reply = []
    for k in range(1_500):
        reply += core.cancel(f"F{k}", f"M{k}")
    assert {session for session, _, _ in reply} == {"XNAS"}


# Mass cancels


def test_all_orders_of_a_venue_go_by_one_message(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 40)
    sent = core.killed(a.FIRM)
    assert [message[:2] for message in sent] == [("XNAS", "q")]
    request = sent[0][2]
    assert (request[530], 55 in request) == ("7", False) and request[11] not in children and 60 in request
    accepted = [(11, request[11]), (37, "V1"), (530, "7"), (531, "7"), (533, "40")]
    assert core.message("XNAS", "r", accepted) == []
    for child in children:
        is_told_by_us(core.report(child, "X" + child, "4", "4"))
    assert open_orders(core) == 0 and core.later(5) == []


def test_a_venue_with_one_order_gets_a_cancel(of: Of) -> None:
    core = of(mass_cancel=True)
    core.working("A")
    many(core, 2, t100="XNYS")
    sent = core.killed(a.FIRM)
    assert [message[:2] for message in sent if message[0] == "XNAS"] == [("XNAS", "F")]
    assert [message[:2] for message in sent if message[0] == "XNYS"] == [("XNYS", "q")]


@pytest.mark.parametrize("scope", [s for s in range(a.SCOPES) if s not in (a.FIRM, a.INSTRUMENT)])
def test_no_innocent_order_is_hit(of: Of, scope: int) -> None:
    core = of(mass_cancel=True)
    core.quote("MSFT", 199.99, 200.01, 100)
    names = {a.DESK: "D1", a.ACCOUNT: "ACC1", a.STRATEGY: "MOMO", a.TRADER: "TOM", a.FLOW: "ALGO"}
    names |= {a.SESSION: "EMS1", a.VENUE: "XNYS", a.CLASS: "TREND", a.SECTOR: "DEVICES", a.ASSET_CLASS: "STOCK"}
    mine = many(core, 3, **EVERYONE, t100="XNYS" if scope == a.VENUE else None)
    where: dict[str, Any] = {"session": "EMS2"} if scope == a.SESSION else {}
    if scope in (a.SECTOR, a.ASSET_CLASS):
        where = {"symbol": "MSFT", "px": "200"}
    core.working("B", **ANOTHER, **where)
    sent = core.killed(scope, names[scope])
    if scope == a.VENUE:
        assert [message[:2] for message in sent] == [("XNYS", "q")]
    else:
        assert mass(sent) == [] and sorted(fields[41] for fields in one_by_one(sent)) == sorted(mine)


def test_an_innocent_order_not_yet_acknowledged_counts(of: Of) -> None:
    core = of(mass_cancel=True)
    many(core, 3, **EVERYONE)
    passed(core.new("B", **ANOTHER))
    assert mass(core.killed(a.STRATEGY, "MOMO")) == []


def test_orders_of_another_switch_are_no_innocents(of: Of) -> None:
    core = of(mass_cancel=True)
    many(core, 2, **EVERYONE)
    core.working("B", **ANOTHER)
    core.kill(a.STRATEGY, "ARB")
    assert len(mass(core.killed(a.STRATEGY, "MOMO"))) == 1


def test_an_instrument_goes_by_one_message_that_names_it(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    core.working("B", symbol="MSFT")
    sent = core.killed(a.INSTRUMENT, "AAPL")
    assert [message[:2] for message in sent] == [("XNAS", "q")]
    assert (sent[0][2][530], sent[0][2][55]) == ("1", "AAPL")
    for child in children:
        is_told_by_us(core.report(child, "X" + child, "4", "4"))
    assert open_orders(core) == 1


def test_a_refused_mass_cancel_goes_one_by_one(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    [(_, request)] = mass(core.killed(a.FIRM))
    refusal = [(11, request[11]), (37, "V1"), (530, "7"), (531, "0"), (532, "0")]
    reply = core.message("XNAS", "r", refusal) + core.sweep()
    assert to_ems(reply) == []
    assert sorted(fields[41] for fields in one_by_one(reply)) == sorted(children)
    for fields in one_by_one(reply):
        is_told_by_us(canceled(core, fields, "X" + fields[11]))
    assert open_orders(core) == 0


@pytest.mark.parametrize("how", ["j", "3"])
def test_a_mass_cancel_that_is_refused_as_a_message(of: Of, how: str) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    [(_, request)] = mass(core.killed(a.FIRM))
    if how == "j":
        refusal = [(45, "2"), (58, "unsupported"), (372, "q"), (379, request[11]), (380, "3")]
        reply = core.message("XNAS", "j", refusal)
    else:
        reply = core.undelivered({35: "q", **request})
    assert to_ems(reply) == []
    sent = one_by_one(reply + core.sweep() + core.later(1))
    assert sorted(fields[41] for fields in sent) == sorted(children)


def test_a_mass_cancel_without_effect_goes_one_by_one_after_a_second(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    core.killed(a.FIRM)
    core.report(children[0], "X1", "4", "4")
    assert core.later(0.9) == []
    assert sorted(fields[41] for fields in cancels(core.later(0.1))) == sorted(children[1:])


@pytest.mark.parametrize("ended", [ev.CRASHED, ev.REBOOTED])
@pytest.mark.parametrize(
    ("scope", "name", "at_once"),
    [(a.STRATEGY, "MOMO", False), (a.ACCOUNT, "ACC1", False), (a.FIRM, "", True), (a.VENUE, "XNAS", True)],
)
def test_a_venue_that_has_not_told_what_was_missed(of: Of, ended: int, scope: int, name: str, at_once: bool) -> None:
    """It may have orders of others that are not known here: all of them go only where all of its are to."""
    core = of(mass_cancel=True)
    children = [core.working("A", **EVERYONE), core.working("B", px="99", **EVERYONE)]
    core.start(ended)
    core.logon("XNAS")
    assert core.record.sessions[core.sessions["XNAS"]].recovering == 1
    sent = core.killed(scope, name)
    assert len(mass(sent)) == (1 if at_once else 0)
    if not at_once:
        assert sorted(fields[41] for fields in one_by_one(sent)) == sorted(children)
        core.synced("XNAS")
        assert len(mass([output for output in core.killed(scope, name) if output[1] != "F"])) == 1, "all is known now"


def test_another_venue_s_recovery_holds_no_mass_cancel_up(of: Of) -> None:
    core = of(mass_cancel=True)
    for k in range(2):
        core.working(f"A{k}", px=f"{90 - k}", **EVERYONE)
    core.start(ev.CRASHED)
    for venue in ("XNAS", "XNYS"):
        core.logon(venue)
    core.synced("XNAS")
    assert [venue for venue, _ in mass(core.killed(a.STRATEGY, "MOMO"))] == ["XNAS"]


def test_a_venue_that_is_down_gets_no_mass_cancel_later(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    core.logout("XNAS")
    assert core.killed(a.FIRM) == []
    core.logon("XNAS")
    sent = core.later(0.1)
    assert sorted(fields[41] for fields in one_by_one(sent)) == sorted(children) or len(mass(sent)) == 1


def test_what_a_mass_cancel_took_is_ours_after_the_release_too(of: Of) -> None:
    core = of(mass_cancel=True)
    children = many(core, 3)
    core.killed(a.FIRM)
    core.kill(a.FIRM, on=False)
    for child in children:
        is_told_by_us(core.report(child, "X" + child, "4", "4"))


def test_mass_cancels_do_not_use_up_the_requests(of: Of) -> None:
    """They are given back when they are answered, or at the end of the day."""
    core = of(mass_cancel=True)
    many(core, 2)

    def used() -> int:
        return int(core.record.request_count) - int(core.record.request_free_count)

    before = used()
    for _ in range(50):
        [(_, request)] = mass(core.killed(a.FIRM))
        core.message("XNAS", "r", [(11, request[11]), (37, "V1"), (530, "7"), (531, "7"), (533, "0")])
        core.kill(a.FIRM, on=False)
    core.day()
    assert used() == before


@pytest.mark.parametrize("positions", [ev.POSITIONS_KEPT, ev.POSITIONS_RESET])
def test_an_order_whose_cancel_waits_at_the_end_of_the_day_is_not_of_the_next(of: Of, positions: int) -> None:
    """Its ClOrdID is free again, and a bust of it counts as one of any order of the day before."""
    core, child = full(of)
    core.fill(child, "X1", "100", "100", "2", t38="100", t151="0")
    core.day(positions)
    core.later(0.1)
    core.wait(12 * 3600)
    core.quote("AAPL", 99.99, 100.01, 100)
    [(_, msg_type, again)] = core.new("A", px="99")
    assert msg_type == "D" and again[11] != child
    core.report(child, "X2", "H", "0", t19="X1", t32="100", t31="100", t38="100")
    assert core.shares() == (0, 100, 0) and int(core.record.open_order_count) == 1
