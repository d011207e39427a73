"""What an EMS sends again: an order with PossResend or with a ClOrdID in use, cancel after cancel; and `[N/A]`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import Reply, passed
from tests.support.core import Core, Fields
from tests.support.doubts import asked, told
from tests.support.field import SIDES, across, killed, others_go_on
from tests.support.kill import VERSIONS, Of, cancels, open_orders, to_ems

AGAIN = {"t97": "Y"}


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other."""
    return across(of, version)


# An order whose ClOrdID(11) is in use.


def live(core: Core, side: str = "1", **more: Any) -> tuple[str, str]:
    """A live order A1 for 1,000 of which 300 have traded; returns its child and its OrderID here."""
    child = core.working("A1", side=side, qty="1000", **more)
    return child, told(core.fill(child, "E1", "300", "300", t54=side, t151="700"))[37]


def is_status(fields: Fields, core: Core) -> bool:
    """Whether a report is an order's state and nothing more: 150=I, in 4.2 20=3."""
    if core.begin_strings["EMS1"] == "FIX.4.2":
        return fields[20] == "3"
    return fields[150] == "I"


def state(core: Core, reply: Reply, **wanted: str | None) -> Fields:
    """The one answer, an order's state."""
    fields = told(reply, **wanted)
    assert is_status(fields, core), fields
    return fields


def in_use(reply: Reply, **wanted: str | None) -> Fields:
    """The one answer: the ClOrdID is used; with what the EMS must not write off."""
    return told(reply, t150="8", t103="6", **wanted)


@pytest.mark.parametrize("side", SIDES)
def test_an_order_that_may_have_been_sent_before(core: Core, side: str) -> None:
    """F6: its state is the answer."""
    child, order_id = live(core, side)
    wanted = {"t11": "A1", "t37": order_id, "t39": "1", "t38": "1000", "t14": "300", "t151": "700", "t54": side}
    for _ in range(2):
        state(core, core.new("A1", side=side, qty="1000", **AGAIN), **wanted)
    assert core.shares()[1 if side == "1" else 2] == 700
    assert open_orders(core) == 1
    others_go_on(core)
    assert killed(core) == [child]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("qty", ["1000", "2000"])
def test_another_order_of_the_same_id(core: Core, side: str, qty: str) -> None:
    """F6: refused, and the live order is not made to look dead."""
    child, order_id = live(core, side)
    reply = core.new("A1", side=side, qty=qty)
    in_use(reply, t11="A1", t37=order_id, t39="1", t38="1000", t14="300", t151="700")
    assert core.shares()[1 if side == "1" else 2] == 700
    told(core.fill(child, "E2", "100", "400", t54=side, t151="600"), t37=order_id, t14="400", t151="600")
    assert killed(core) == [child]


def test_what_else_is_wrong_with_it_does_not_matter(core: Core) -> None:
    """F6: an unknown instrument, another account."""
    _, order_id = live(core)
    for more in ({"symbol": "NOPE"}, {"t1": "ACC2"}):
        told(core.new("A1", **more), t150="8", t37=order_id, t39="1", t38="1000", t14="300", t151="700")
    assert core.shares(a.ACCOUNT, "ACC2") == (0, 0, 0)


def test_before_the_venue_has_answered(core: Core) -> None:
    """F6"""
    child = passed(core.new("A1"))[11]
    state(core, core.new("A1", **AGAIN), t11="A1", t39="A", t38="100", t14="0", t151="100")
    in_use(core.new("A1"), t39="A", t38="100", t14="0", t151="100")
    told(core.report(child, "E1", "0", "0", t38="100", t151="100"), t11="A1", t39="0")
    assert killed(core) == [child]


@pytest.mark.parametrize("end", ["4", "C", "8", "2"])
def test_an_order_that_has_ended(core: Core, end: str) -> None:
    """F6"""
    child = core.working("A1") if end != "8" else passed(core.new("A1"))[11]
    if end == "2":
        core.fill(child, "E1", "100", "100", "2", t151="0")
    else:
        core.report(child, "E1", end, end, t38="100")
    cum = "100" if end == "2" else "0"
    fields = state(core, core.new("A1", **AGAIN), t11="A1", t39=end, t38="100", t14=cum, t151="0")
    in_use(core.new("A1"), t37=fields[37], t39=end, t14=cum, t151="0")
    assert open_orders(core) == 0


def test_an_order_that_was_replaced(core: Core) -> None:
    """F6: the terms in force, by any id that it ever had."""
    child, order_id = live(core)
    request = passed(core.replace("B", "A1", qty="900"))[11]
    wanted = {"t37": order_id, "t39": "1", "t14": "300"}
    in_use(core.new("B"), **wanted, t38="1000", t151="700")
    core.report(request, "E2", "5", "1", t41=child, t38="900", t14="300", t151="600")
    state(core, core.new("A1", **AGAIN), **wanted, t38="900", t151="600")
    for cl_ord_id in ("A1", "B"):
        in_use(core.new(cl_ord_id), **wanted, t11=cl_ord_id, t38="900", t151="600")
    assert killed(core) == [request]


def test_an_order_that_a_check_refused(of: Of, version: str) -> None:
    """F6: it was never live, and is not sent now."""
    core = across(of, version, limits={"account.ACC1": {"max_order_qty": 50}})
    told(core.new("A1", qty="60"), t39="8")
    for qty in ("60", "50"):
        assert core.new("A1", qty=qty, **AGAIN) == [], "the session layer brings the refusal"
    core.logon("EMS1", reset=True)
    for qty in ("60", "50"):
        told(core.new("A1", qty=qty, **AGAIN), t11="A1", t39="8", t14="0", t151="0")
        assert core.new("A1", qty=qty, **AGAIN) == []
        core.logon("EMS1", reset=True)
    assert core.shares() == (0, 0, 0)


def test_while_nothing_new_is_taken(core: Core) -> None:
    """F6: a kill switch is no reason to say less."""
    child, order_id = live(core)
    assert killed(core) == [child]
    state(core, core.new("A1", qty="1000", **AGAIN), t37=order_id, t14="300", t151="700")
    told(core.new("A1"), t150="8", t37=order_id, t14="300", t151="700")


def test_on_the_next_day(core: Core) -> None:
    """F6: of an order that is still open."""
    _, order_id = live(core, t59="1")
    core.day()
    wanted = {"t37": order_id, "t39": "1", "t38": "1000", "t14": "300", "t151": "700"}
    state(core, core.new("A1", qty="1000", t59="1", **AGAIN), **wanted)
    in_use(core.new("A1"), **wanted)


def test_the_same_id_of_another_ems_is_another_order(core: Core) -> None:
    live(core)
    passed(core.new("A1", session="EMS2"))


def test_a_copy_by_the_session_layer_is_never_refused(core: Core) -> None:
    """PossDupFlag(43): what was lost in a gap is read again."""
    live(core)
    for session, msg_type, fields in core.new("A1", qty="1000", poss_dup=True):
        assert session == "EMS1" and msg_type == "8" and is_status(fields, core)


@pytest.mark.parametrize("kind", ["F", "G"])
def test_a_request_that_may_have_been_sent_before(core: Core, kind: str) -> None:
    """F6: it does not go out twice, and is not refused for its own id."""
    live(core)
    send = core.cancel if kind == "F" else core.replace
    assert send("R", "A1", qty="900")[0][1] == kind
    reply = send("R", "A1", qty="900", **AGAIN)
    assert all(session == "EMS1" and msg_type == "8" for session, msg_type, _ in reply), reply


@pytest.mark.parametrize("why", ["check", "superseded", "pending", "venue"])
def test_a_refused_replace_that_may_have_been_sent_before(core: Core, why: str) -> None:
    """The same refusal again, and never the order's state under a ClOrdID that is not the order's."""
    child = core.working("A1", qty="1000")
    if why == "superseded":
        request = passed(core.replace("B", "A1", qty="900"))[11]
        core.report(request, "E1", "5", "0", t41=child, t38="900", t151="900")
    elif why == "pending":
        for k in range(16):
            passed(core.replace(f"P{k}", "A1", qty="900"))
    [(_, msg_type, first)] = core.replace("R", "A1", qty="0" if why == "check" else "800")
    if why == "venue":
        [(_, msg_type, first)] = core.cancel_reject(first[11], child, "2", "0")
    assert msg_type == "9"
    for _ in range(2):
        [(_, msg_type, again)] = core.replace("R", "A1", qty="800", **AGAIN)
        assert msg_type == "9" and again[58] == "this replace was refused before"
        assert {t: again[t] for t in (11, 41, 39, 102, 434)} == {t: first[t] for t in (11, 41, 39, 102, 434)}
    in_force = "B" if why == "superseded" else "A1"
    assert state(core, core.status_request("R"), t41=None)[11] == in_force


# Cancel after cancel.


def too_many(reply: Reply, cl_ord_id: str, **wanted: str | None) -> None:
    """Refused, since enough are pending: 102=3."""
    [(msg_type, fields)] = to_ems(reply)
    assert len(reply) == 1 and msg_type == "9", reply
    shown = {tag: fields[tag] for tag in (11, 102, 434)}
    assert shown == {11: cl_ord_id, 102: "3", 434: "1"}
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted


def flood(core: Core, count: int, orig: str = "A", name: str = "C") -> list[str]:
    """Cancels C0, C1 ... of an order; returns the children of those that went out."""
    sent = []
    for k in range(count):
        reply = core.cancel(f"{name}{k}", orig)
        if to_ems(reply):
            too_many(reply, f"{name}{k}")
        else:
            sent += [fields[11] for fields in cancels(reply)]
    return sent


def test_cancels_beyond_a_few_are_refused(core: Core) -> None:
    """F8"""
    child, other = core.working("A"), core.working("B")
    assert cancels(core.cancel("FIRST", "A"))[0][41] == child
    assert len(flood(core, 20)) == 3
    too_many(core.cancel("C99", "A"), "C99", t41="A", t39="0")
    assert cancels(core.cancel("D0", "B"))[0][41] == other, "the first always passes"
    others_go_on(core)


def test_a_flood_of_cancels_hurts_nobody_else(core: Core) -> None:
    """F8: 2,000 at once, of one order; the tables are those of `capacity: small`."""
    child, other = core.working("A"), core.working("B", session="EMS2")
    assert len(flood(core, 2_000)) == 4
    others_go_on(core)
    passed(core.new("N", session="EMS2"))
    assert cancels(core.cancel("D0", "B", session="EMS2"))[0][41] == other
    assert core.shares() == (0, 300, 0)
    assert child in killed(core), "a kill may still cancel"


@pytest.mark.parametrize("answer", ["refused", "pending"])
def test_an_answer_of_the_venue_makes_room_for_one(core: Core, answer: str) -> None:
    """F8: a pending cancel that the venue has acknowledged is still pending."""
    child = core.working("A")
    sent = flood(core, 6)
    if answer == "refused":
        told(core.cancel_reject(sent[1], child), "9", t11="C1")
        assert cancels(core.cancel("D0", "A"))[0][41] == child
    else:
        told(core.report(sent[1], "E1", "6", "6", t41=child, t38="100", t151="100"), t11="C1", t39="6")
        too_many(core.cancel("D0", "A"), "D0", t39="6")
    too_many(core.cancel("D1", "A"), "D1")


def test_the_id_of_a_cancel_beyond_is_free(core: Core) -> None:
    """F8: a refused cancel may be sent again under its id."""
    child = core.working("A")
    sent = flood(core, 4)
    too_many(core.cancel("D0", "A"), "D0")
    core.cancel_reject(sent[0], child)
    assert cancels(core.cancel("D0", "A"))[0][41] == child


def test_the_order_ends_by_any_of_them(core: Core) -> None:
    """F8"""
    child = core.working("A")
    sent = flood(core, 10)
    told(core.report(sent[2], "E1", "4", "4", t41=child, t38="100"), t11="C2", t41="A", t39="4", t151="0")
    assert core.shares() == (0, 0, 0)
    told(core.cancel("D0", "A"), "9", t102="0", t39="4")


def test_cancels_of_the_gateway_s_own_are_not_counted(core: Core) -> None:
    """F8: an EMS may cancel what is being killed."""
    child = core.working("A")
    core.killed(a.FIRM)
    for _ in range(4):
        core.later(2)
    core.kill(a.FIRM, on=False)
    assert cancels(core.cancel("FIRST", "A"))[0][41] == child
    assert len(flood(core, 6)) == 3


def test_cancels_through_a_pending_replace_count_too(core: Core) -> None:
    """F8"""
    core.working("A")
    passed(core.replace("R", "A", qty="90"))
    assert len(flood(core, 3, "R")) == 3
    assert cancels(core.cancel("D0", "A"))
    too_many(core.cancel("D1", "R"), "D1")
    too_many(core.cancel("D2", "A"), "D2")


def test_a_fill_meanwhile_is_told(core: Core) -> None:
    """F8"""
    child = core.working("A")
    flood(core, 10)
    told(core.fill(child, "E1", "40", "40", t151="60"), t11="A", t14="40", t151="60")
    too_many(core.cancel("D0", "A"), "D0", t39="1")
    assert core.shares() == (40, 60, 0)


def test_cancels_of_another_day(core: Core) -> None:
    """F8: those of yesterday are as pending as ever, and all that is open can be killed."""
    child = core.working("A", t59="1")
    flood(core, 6)
    core.day()
    too_many(core.cancel("D0", "A"), "D0")
    others_go_on(core)
    assert killed(core) == [child]


def test_cancels_that_the_venue_never_had(core: Core) -> None:
    """F8: it has begun anew and knows the order, but none of them; they must not bar the way for ever."""
    child = core.working("A")
    sent = flood(core, 6)
    core.logon("XNAS", reset=True)
    assert asked(core) == [child, *sent]
    core.status(child, "0", t38="100", t151="100")
    for k, cancel in enumerate(sent):
        told(core.status(cancel, "8", t37="NONE", t38="0"), "9", t11=f"C{k}", t41="A")
    assert cancels(core.cancel("D0", "A"))[0][41] == child


# Symbol(55) of [N/A].


@pytest.fixture(params=VERSIONS, ids=lambda pair: f"{pair[0][4:]} at {pair[1][4:]}")
def pair(of: Of, request: pytest.FixtureRequest) -> Core:
    """A core of each pair of FIX versions, of the EMS and of the venue."""
    return of(*request.param)


def by_security(core: Core) -> dict[str, str]:
    """AAPL by its SecurityID(48)."""
    return {"symbol": "[N/A]", "t48": "US0378331005", "t22": "4"}


def one_symbol(core: Core) -> bool:
    """Whether what was sent last has one Symbol(55), that of the instrument."""
    return [field for field in core.log[-1][1][0].body.split(b"\x01") if field[:3] == b"55="] == [b"55=AAPL"]


def test_an_order_by_security_id_goes_out_with_its_symbol(pair: Core) -> None:
    """F20"""
    core = pair
    child = passed(core.new("A", **by_security(core)))
    assert child[55] == "AAPL" and one_symbol(core)
    told(core.report(child[11], "E1", "0", "0", t38="100", t151="100"), t11="A", t55="AAPL")
    assert core.shares() == (0, 100, 0)


def test_a_replace_by_security_id_goes_out_with_its_symbol(pair: Core) -> None:
    """F20"""
    core = pair
    core.working("A", **by_security(core))
    child = passed(core.replace("B", "A", qty="90", **by_security(core)))
    assert child[55] == "AAPL" and one_symbol(core)


def test_a_cancel_by_security_id_goes_out_with_its_symbol(pair: Core) -> None:
    core = pair
    core.working("A", **by_security(core))
    [cancel] = cancels(core.cancel("F", "A", **by_security(core)))
    assert cancel[55] == "AAPL"


def test_a_symbol_that_is_told_is_kept(pair: Core) -> None:
    core = pair
    child = passed(core.new("A", t48="US0378331005", t22="4"))
    assert child[55] == "AAPL" and one_symbol(core)
