"""Every check of the catalogue fires alone, with its reason; this part: prerequisites, terms, limits by scope."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import (
    NAMED,
    NAMES,
    OPEN,
    OTHER,
    TAGS,
    WHO,
    Make,
    at,
    config_with_everyone,
    fired,
    limits_with,
    pairs_of,
    passed,
    refused,
    scopes_of,
    text_at,
)
from tests.support.core import INSTRUMENTS

# Prerequisites


def test_fault_blocks_everything_but_cancels(make: Make) -> None:
    core = make()
    passed(core.new("A"))
    core.record.fault = 7
    text = refused(core.new("B"), "FAULT")[58]
    assert text == "FAULT an invariant of the gateway is broken, all orders are blocked"
    assert fired(core.replace("R", "A", qty="50")) == {"FAULT"}
    assert [(s, m) for s, m, _ in core.cancel("C", "A")] == [("XNAS", "F")]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("t38", "0", "OrderQty"),
        ("t38", "-1", "OrderQty"),
        ("t38", "1.000000001", "OrderQty"),
        ("t38", "10000000001", "OrderQty"),
        ("t38", "99999999999999999999999999", "OrderQty"),
        ("t38", None, "OrderQty"),
        ("t44", "0", "Price"),
        ("t44", "-100", "Price"),
        ("t44", "100.000000001", "Price"),
        ("t44", "10000000001", "Price"),
        ("t44", None, "Price"),
        ("t40", "P", "OrdType"),
        ("t54", "3", "Side"),
        ("t54", "8", "Side"),
        ("t59", "5", "TimeInForce"),
        ("t11", "X" * 65, "ClOrdID"),
    ],
)
def test_well_formed(make: Make, field: str, value: str | None, what: str) -> None:
    core = make()
    fields = {"t59": "0", **WHO, field: value}
    cl_ord_id = fields.pop("t11", "A") or ""
    text = refused(core.new(cl_ord_id, **fields), "WELL_FORMED")[58]
    assert what in text


@pytest.mark.parametrize("ord_type", ["3", "4"])
@pytest.mark.parametrize("stop", [None, "0", "-1", "1.123456789"])
def test_well_formed_stop(make: Make, ord_type: str, stop: str | None) -> None:
    assert "StopPx" in refused(make().new("A", t40=ord_type, t99=stop), "WELL_FORMED")[58]


@pytest.mark.parametrize("side", ["1", "2", "5"])
@pytest.mark.parametrize(
    ("ord_type", "price", "stop"), [("1", None, None), ("2", "100", None), ("3", None, "100"), ("4", "100", "100")]
)
@pytest.mark.parametrize("time_in_force", [None, "0", "7"])
def test_well_formed_orders_pass(
    make: Make, side: str, ord_type: str, price: str | None, stop: str | None, time_in_force: str | None
) -> None:
    more = {"t114": "N"} if side == "5" else {}
    child = passed(make().new("A" * 64, side=side, px=price, t40=ord_type, t99=stop, t59=time_in_force, **more))
    assert (child[54], child[40], child.get(44), child.get(99), child.get(59)) == (
        side,
        ord_type,
        price,
        stop,
        time_in_force or "0",
    )


def test_known_instrument(make: Make) -> None:
    core = make()
    assert "NOPE" in refused(core.new("A", symbol="NOPE"), "KNOWN_INSTRUMENT")[58]
    assert "US9" in refused(core.new("B", symbol=None, t48="US9", t22="4"), "KNOWN_INSTRUMENT")[58]
    refused(core.new("C", symbol="AAPL", t48="US5949181045", t22="4"), "KNOWN_INSTRUMENT")
    refused(core.new("D", symbol=None), "KNOWN_INSTRUMENT")
    refused(core.new("E", symbol="A" * 33), "KNOWN_INSTRUMENT")
    passed(core.new("F", symbol="AAPL", t48="US0378331005", t22="4"))
    passed(core.new("G", symbol=None, t48="US0378331005", t22="4"))


def test_known_instrument_refuses_a_security_id_that_is_not_the_symbol_s(make: Make) -> None:
    """A venue may go by SecurityID(48): it must not name what nobody has checked."""
    core = make()
    refused(core.new("A", symbol="AAPL", t48="US0000000000", t22="4"), "KNOWN_INSTRUMENT")
    refused(core.new("B", symbol="ESZ6", t48="US0000000000", t22="4"), "KNOWN_INSTRUMENT")


@pytest.mark.parametrize("scope", sorted(TAGS))
def test_identity_of_an_unlisted_name(make: Make, scope: int) -> None:
    core = make()
    who = {**WHO, TAGS[scope]: "NOBODY"}
    assert "not listed for this session: NOBODY" in refused(core.new("A", **who), "IDENTITY")[58]
    assert "not listed" in refused(core.new("B", **{**WHO, TAGS[scope]: "N" * 40}), "IDENTITY")[58]
    passed(core.new("C", **WHO))
    passed(core.new("D", **{**WHO, TAGS[scope]: OTHER[scope]}))


def test_identity_listed_for_another_session_only(make: Make) -> None:
    config = config_with_everyone()
    config["sessions"][2]["accounts"] = ["ACC3"]
    core = make(config=config)
    refused(core.new("A", t1="ACC3"), "IDENTITY")
    passed(core.new("A", t1="ACC3", session="EMS2"))
    refused(core.new("B", t1="ACC1", session="EMS2"), "IDENTITY")


def test_identity_without_account(make: Make) -> None:
    assert "no account given" in refused(make().new("A", t1=None), "IDENTITY")[58]


def test_identity_by_default_of_the_session(make: Make) -> None:
    config = config_with_everyone()
    config["sessions"][0]["defaults"] = {"account": "ACC2", "strategy": "ARB", "desk": "D2"}
    core = make({"account.ACC2": {"max_order_qty": 10}, "desk.D2": {"max_order_qty": 20}}, config=config)
    assert "(account ACC2)" in refused(core.new("A", qty="11", t1=None), "MAX_ORDER_QTY")[58]
    assert "(desk D2)" in refused(core.new("B", qty="21", t1="ACC1"), "MAX_ORDER_QTY")[58]
    passed(core.new("C", qty="21", t1="ACC1", t494="D1"))


PARTY_ROLES = {a.DESK: 36, a.ACCOUNT: 24, a.STRATEGY: 13, a.TRADER: 12, a.FLOW: 11}


def parties(*members: tuple[int, str]) -> bytes:
    rows = b"".join(b"448=%s\x01447=D\x01452=%d\x01" % (name.encode(), role) for role, name in members)
    return b"453=%d\x01" % len(members) + rows


def party_order(cl_ord_id: str, group: bytes) -> bytes:
    head = b"8=FIX.4.4\x019=0\x0135=D\x0134=9\x0149=EMS1\x0152=20260711-12:00:00.000\x0156=GW\x01"
    body = (
        b"11=%s\x0121=1\x0138=11\x0140=2\x0144=100\x0154=1\x0155=AAPL\x0160=20260711-12:00:00.000\x01"
        % cl_ord_id.encode()
    )
    return head + body + group + b"10=000\x01"


@pytest.mark.parametrize("scope", sorted(PARTY_ROLES))
@pytest.mark.parametrize("position", [0, 2, 4])
def test_identity_by_party_role(make: Make, scope: int, position: int) -> None:
    config = config_with_everyone()
    config["identity"] = {a.SCOPE_NAMES[s]: f"party:{role}" for s, role in PARTY_ROLES.items()}
    core = make({at(scope): {"max_order_qty": 10}}, config=config)
    others = [(role, NAMED[s]) for s, role in PARTY_ROLES.items() if s != scope]

    def members(name: str) -> bytes:
        return parties(*others[:position], (PARTY_ROLES[scope], name), *others[position:])

    text = refused(core.raw("EMS1", party_order("A", members(NAMED[scope]))), "MAX_ORDER_QTY")[58]
    assert text == f"MAX_ORDER_QTY 11 > 10 ({a.SCOPE_NAMES[scope]} {NAMED[scope]})"
    passed(core.raw("EMS1", party_order("B", members(OTHER[scope]))))
    refused(core.raw("EMS1", party_order("C", members("NOBODY"))), "IDENTITY")


def test_identity_by_party_role_that_the_message_lacks(make: Make) -> None:
    config = config_with_everyone()
    config["identity"] = {"account": "party:24"}
    core = make(config=config)
    refused(core.raw("EMS1", party_order("A", parties((1, "ACC1"), (12, "ACC2")))), "IDENTITY")
    refused(core.raw("EMS1", party_order("B", b"1=ACC1\x01")), "IDENTITY")
    passed(core.raw("EMS1", party_order("C", parties((1, "NOBODY"), (24, "ACC2")))))


def test_route(make: Make) -> None:
    config = config_with_everyone()
    config["routing"] = {"instruments": {"AAPL": "XNAS", "MSFT": "XNYS"}}
    core = make(config=config)
    core.quote("MSFT", 99.99, 100.01)
    for _ in range(2):  # so far from the previous close a price must be told twice
        core.quote("ESZ6", 99.75, 100.25)
    assert core.new("A")[0][0] == "XNAS"
    assert core.new("B", symbol="MSFT")[0][0] == "XNYS"
    assert core.new("C", t100="XNYS")[0][0] == "XNYS"
    assert core.new("D", symbol="ESZ6", t100="XNAS")[0][0] == "XNAS"
    assert "no venue for this instrument" in refused(core.new("E", symbol="ESZ6"), "ROUTE")[58]
    assert "no such venue: XLON" in refused(core.new("F", t100="XLON"), "ROUTE")[58]
    refused(core.new("G", t100="EMS1"), "ROUTE")


def test_translation(make: Make) -> None:
    """A venue of another FIX version takes what can be said in it; test_translation.py has every field."""
    config = config_with_everyone()
    config["sessions"][3]["begin_string"] = "FIX.4.2"
    core = make(config=config)
    passed(core.new("A", t100="XNYS"))
    fields = refused(core.new("B", t100="XNYS", t528="G"), "TRANSLATION", 0)
    assert re.fullmatch("TRANSLATION cannot be translated to the venue's FIX version: (528=)?G", fields[58])
    passed(core.new("C", t528="G"))
    assert core.replace("R", "A", t528="G")[0][2][58] == fields[58]


@pytest.mark.parametrize("scope", range(a.SCOPES))
def test_killed(make: Make, scope: int) -> None:
    """Orders and replaces in what is killed; test_kill.py has the cancels and the release."""
    core = make()
    order = core.working("A", **WHO)
    passed(core.new("B", t100="XNYS"))
    core.kill(scope, NAMED[scope])
    assert f"KILLED no order passes {text_at(scope)}" in refused(core.new("C", **WHO), "KILLED", 0)[58]
    assert core.replace("R", "A", qty="50", **WHO)[0][2][102] == "2"
    [(_, msg_type, fields)] = core.status_request("A")
    assert (msg_type, fields[39]) == ("8", "0")
    assert core.cancel("F", "A")[0][1] == "F", order
    core.kill(scope, NAMED[scope], on=False)
    passed(core.new("D", **WHO))


@pytest.mark.parametrize("scope", [s for s in range(a.SCOPES) if s != a.FIRM])
def test_killed_elsewhere(make: Make, scope: int) -> None:
    other = {**OTHER, a.SESSION: "EMS2", a.VENUE: "XNYS"}
    core = make()
    core.kill(scope, other[scope])
    passed(core.new("A", **WHO))


def test_trading_day(make: Make) -> None:
    core = make()
    passed(core.new("A"))
    core.hours(is_open=False)
    assert refused(core.new("B"), "TRADING_DAY")[103] == "2"
    assert core.replace("R", "A", qty="50")[0][1:2] == ("9",)
    assert core.status_request("A")[0][2][39] == "A"
    assert core.cancel("F", "A")[0][1] == "F"
    core.hours(is_open=True)
    passed(core.new("C"))


def test_venue_down(make: Make) -> None:
    core = make()
    core.logout("XNAS")
    assert refused(core.new("A"), "VENUE_DOWN")[103] == "2"
    passed(core.new("B", t100="XNYS"))
    core.logon("XNAS")
    passed(core.new("C"))


def test_venue_down_refuses_replaces_and_cancels(make: Make) -> None:
    core = make()
    passed(core.new("A"))
    core.logout("XNAS")
    for reply, response in ((core.replace("B", "A"), "2"), (core.cancel("C", "A"), "1")):
        fields = reply[0][2]
        assert (reply[0][1], fields[434], fields[102], fields[39], fields[41]) == ("9", response, "2", "A", "A")


def test_journal_blocks_everything_but_cancels(make: Make) -> None:
    core = make()
    passed(core.new("A"))
    core.journal(blocked=True)
    assert "the journal cannot be written" in refused(core.new("B"), "JOURNAL")[58]
    assert fired(core.replace("R", "A", qty="50")) == {"JOURNAL"}
    assert [(s, m) for s, m, _ in core.cancel("C", "A")] == [("XNAS", "F")]
    core.journal(blocked=False)
    passed(core.new("D"))


def test_recovery_of_a_venue(make: Make) -> None:
    core = make()
    order = core.working("A")
    core.start(ev.CRASHED)
    for session in ("EMS1", "XNAS", "XNYS"):
        core.logon(session)
    core.synced("XNYS")
    core.quote("AAPL", 99.99, 100.01, 100)
    assert "not confirmed yet" in refused(core.new("B"), "RECOVERY")[58]
    passed(core.new("C", t100="XNYS"))
    assert fired(core.replace("R", "A", qty="50")) == {"RECOVERY"}
    [(venue, msg_type, cancel)] = core.cancel("F", "A")
    assert (venue, msg_type) == ("XNAS", "F")
    core.synced("XNAS")
    assert "not confirmed yet" in refused(core.new("D"), "RECOVERY")[58]
    core.cancel_reject(cancel[11], order)
    passed(core.new("E", qty="50"))


def test_cl_ord_id_reuse(make: Make) -> None:
    core = make()
    passed(core.new("A"))
    refused(core.new("A", qty="200"), "CL_ORD_ID_REUSE")
    refused(core.new("B", symbol="NOPE"), "KNOWN_INSTRUMENT")
    refused(core.new("B"), "CL_ORD_ID_REUSE")
    passed(core.new("A", session="EMS2"))


def test_cl_ord_id_reuse_is_told_with_other_checks(make: Make) -> None:
    core = make({"account.ACC1": {"max_order_qty": 100}})
    passed(core.new("A"))
    assert fired(core.new("A", qty="101")) == {"CL_ORD_ID_REUSE", "MAX_ORDER_QTY"}


@pytest.mark.parametrize(("seconds", "stale"), [(9.999, False), (10, False), (10.001, True)])
@pytest.mark.parametrize("tag", ["t122", "t60"])
def test_stale_order(make: Make, seconds: float, stale: bool, tag: str) -> None:
    core = make()
    core.wait(seconds)
    core.quote("AAPL", 99.99, 100.01)
    stamp = "20260711-12:00:00.000"
    more = {"t122": stamp, "t60": "20260711-12:00:09.000"} if tag == "t122" else {"t60": stamp}
    reply = core.new("A", poss_dup=True, **more)
    assert fired(reply) == ({"STALE_ORDER"} if stale else set())
    if stale:
        assert refused(reply, "STALE_ORDER")[103] == "8"
    passed(core.new("B", **{"t60": stamp}))


@pytest.mark.parametrize(("stamp", "stale"), [("12:00:10.000", False), ("12:00:10.001", True), ("23:00:00", True)])
@pytest.mark.parametrize("how", ["dup", "resend"])
def test_a_copy_of_the_future_is_stale(make: Make, stamp: str, stale: bool, how: str) -> None:
    """A clock that is ahead tells nothing of how old the order is."""
    more = {"t60": f"20260711-{stamp}"} | ({"t97": "Y"} if how == "resend" else {})
    assert fired(make().new("A", poss_dup=how == "dup", **more)) == ({"STALE_ORDER"} if stale else set())


def test_stale_order_age_is_the_session_s(make: Make) -> None:
    config = config_with_everyone()
    config["sessions"][0]["max_poss_dup_age"] = "500ms"
    core = make(config=config)
    core.wait(0.5)
    passed(core.new("A", poss_dup=True))
    core.wait(0.001)
    refused(core.new("B", poss_dup=True), "STALE_ORDER")
    passed(core.new("C", poss_dup=True, session="EMS2"))


def test_capacity_and_ids_of_orders_refused_for_it(make: Make) -> None:
    core = make({"session.EMS1": {"max_messages": "unlimited"}})
    orders = a.CAPACITIES["small"].orders
    sent = 0
    while not (reply := core.new(f"A{sent}", side="1" if sent % 2 else "2"))[0][0].startswith("EMS"):
        sent += 1
        assert sent <= orders
    assert sent > orders * 0.9
    refused(reply, "CAPACITY")
    refused(core.new(f"A{sent}"), "CAPACITY")
    assert core.cancel("C", "A0")[0][:2] == ("XNAS", "F")


# Terms


def test_replace_terms(make: Make) -> None:
    core = make()
    core.quote("MSFT", 99.99, 100.01)
    passed(core.new("A", **WHO))
    for number, change in enumerate(({"symbol": "MSFT"}, {"side": "2"}, {"t1": "ACC2"})):
        reply = core.replace(f"R{number}", "A", **{**WHO, **change})
        fields = refused(reply, "REPLACE_TERMS")
        assert (fields[434], fields[102], fields[39], fields[41]) == ("2", "2", "A", "A")
    passed(core.replace("S", "A", **WHO, t40="1"))


def test_lot(make: Make) -> None:
    core = make()
    core.quote("MSFT", 99.99, 100.01)
    for quantity in ("10", "30"):
        passed(core.new("A" + quantity, symbol="MSFT", qty=quantity))
    for quantity in ("9", "11", "10.00000001"):
        refused(core.new("A" + quantity, symbol="MSFT", qty=quantity), "LOT")


@pytest.mark.parametrize(
    ("ord_type", "price", "stop"), [("2", "{}", None), ("3", None, "{}"), ("4", "{}", "100"), ("4", "100", "{}")]
)
def test_tick_size(make: Make, ord_type: str, price: str | None, stop: str | None) -> None:
    core = make()
    for value, fine in (("99.99", True), ("99.98999999", False), ("99.99000001", False), ("99.9900000000", True)):
        fields = {"px": price and price.format(value), "t99": stop and stop.format(value)}
        reply = core.new("A" + value, t40=ord_type, **fields)
        passed(reply) if fine else refused(reply, "TICK_SIZE")


# Limits on the order itself, at every scope where they may stand


@pytest.mark.parametrize("scope", scopes_of("max_order_qty"))
def test_max_order_qty(make: Make, scope: int) -> None:
    core = make({at(scope): {"max_order_qty": 500}}, instruments=INSTRUMENTS.replace("0.01,1,1", "0.01,0.00000001,1"))
    passed(core.new("A", qty="499.99999999", **WHO))
    passed(core.new("B", qty="500", **WHO))
    text = refused(core.new("C", qty="500.00000001", **WHO), "MAX_ORDER_QTY")[58]
    assert text.startswith("MAX_ORDER_QTY 500.00000001 > 500 ") and text_at(scope) in text
    passed(core.replace("R", "A", qty="500", **WHO))
    assert refused(core.replace("S", "B", qty="501", **WHO), "MAX_ORDER_QTY")[102] == "2"


@pytest.mark.parametrize("scope", [s for s in range(a.SCOPES) if s != a.FIRM])
def test_max_order_qty_of_another_entity_is_no_concern(make: Make, scope: int) -> None:
    other = {**OTHER, a.SESSION: "EMS2", a.VENUE: "XNYS"}
    passed(make({at(scope, other[scope]): {"max_order_qty": 5}}).new("A", **WHO))


@pytest.mark.parametrize("scope", [s for s in range(a.SCOPES) if s != a.FIRM])
def test_default_stands_for_every_entity_without_a_value_of_its_own(make: Make, scope: int) -> None:
    core = make({at(scope, "default"): {"max_order_qty": 50}})
    refused(core.new("A", qty="51", **WHO), "MAX_ORDER_QTY")
    passed(core.new("B", qty="50", **WHO))
    core = make({at(scope, "default"): {"max_order_qty": 50}, at(scope): {"max_order_qty": 60}})
    passed(core.new("A", qty="60", **WHO))
    refused(core.new("B", qty="61", **WHO), "MAX_ORDER_QTY")
    passed(
        make({at(scope, "default"): {"max_order_qty": 50}, at(scope): {"max_order_qty": "unlimited"}}).new("A", **WHO)
    )


def test_the_tightest_of_all_scopes_wins(make: Make) -> None:
    every = {at(scope): {"max_order_qty": 100 + scope} for scope in range(a.SCOPES)}
    for tightest in range(a.SCOPES):
        core = make(every | {at(tightest): {"max_order_qty": 50}})
        passed(core.new("A", qty="50", **WHO))
        assert text_at(tightest) in refused(core.new("B", qty="51", **WHO), "MAX_ORDER_QTY")[58]


@pytest.mark.parametrize("key", ["max_order_qty", "max_order_notional", "max_long", "max_short"])
@pytest.mark.parametrize("scope", pairs_of("max_order_qty"))
def test_limits_of_a_pair(make: Make, scope: int, key: str) -> None:
    name = NAMED[scope]
    limit = 10_000 if key == "max_order_notional" else 100
    pair = f"{a.SCOPE_NAMES[scope]}*instrument.{name}*AAPL"
    core = make({pair: {key: limit}})
    core.quote("MSFT", 99.99, 100.01, 100)
    side = "2" if key == "max_short" else "1"
    text = refused(core.new("A", qty="101", side=side, **WHO), key.upper())[58]
    assert "AAPL" in text and (scope == a.FIRM or name in text)
    passed(core.new("B", qty="110", symbol="MSFT", side=side, **WHO))
    if scope != a.FIRM:
        other = a.STRATEGY if scope == a.CLASS else scope
        passed(core.new("C", qty="101", side=side, **{**WHO, TAGS[other]: OTHER[other]}))
    passed(core.new("D", qty="100", side=side, **WHO))


@pytest.mark.parametrize(
    ("entity", "pair", "tighter"), [(50, 100, 50), (100, 50, 50), ("unlimited", 70, 70), (70, "unlimited", 70)]
)
@pytest.mark.parametrize("key", ["max_order_qty", "max_long"])
def test_the_tighter_of_entity_and_pair_wins(make: Make, entity: Any, pair: Any, tighter: int, key: str) -> None:
    core = make({"account.ACC1": {key: entity}, "account*instrument.ACC1*AAPL": {key: pair}})
    refused(core.new("A", qty=str(tighter + 1)), key.upper())
    passed(core.new("B", qty=str(tighter)))


def test_default_pair(make: Make) -> None:
    core = make(
        {
            "account*instrument.default*AAPL": {"max_order_qty": 50},
            "account*instrument.ACC2*AAPL": {"max_order_qty": 60},
        }
    )
    refused(core.new("A", qty="51"), "MAX_ORDER_QTY")
    passed(core.new("B", qty="60", t1="ACC2"))
    refused(core.new("C", qty="61", t1="ACC2"), "MAX_ORDER_QTY")


@pytest.mark.parametrize("key", ["max_order_qty", "max_order_notional", "max_long", "max_short"])
def test_missing_mandatory_limit_of_the_account(make: Make, key: str) -> None:
    core = make(account={k: v for k, v in OPEN.items() if k != key})
    side = "2" if key == "max_short" else "1"
    text = refused(core.new("A", side=side), key.upper())[58]
    assert text == f"{key.upper()} no limit, set account.ACC1.{key}"


@pytest.mark.parametrize(
    ("scope", "name", "key", "check"),
    [
        ("instrument", "AAPL", "collar_bps", "PRICE_COLLAR"),
        ("instrument", "AAPL", "reference_max_age", "REFERENCE_PRICE"),
        ("session", "EMS1", "max_messages", "MAX_MESSAGES"),
    ],
)
def test_missing_mandatory_limit_elsewhere(make: Make, scope: str, name: str, key: str, check: str) -> None:
    limits = limits_with({})
    del limits[scope]["default"][key]
    text = refused(make(limits=limits).new("A"), check)[58]
    assert text == f"{check} no limit, set {scope}.{name}.{key}"


def test_a_limit_elsewhere_does_not_stand_in_for_a_mandatory_one(make: Make) -> None:
    core = make({"firm": {"max_order_qty": 100}}, account={k: v for k, v in OPEN.items() if k != "max_order_qty"})
    assert "no limit, set account.ACC1.max_order_qty" in refused(core.new("A", qty="1"), "MAX_ORDER_QTY")[58]


def test_several_checks_are_told_in_one_text(make: Make) -> None:
    core = make(
        {"account.ACC1": {"max_order_qty": 10, "max_long": 20, "max_order_notional": 30}, "firm": {"max_long": 15}}
    )
    reply = core.new("A", qty="100.5", px="100.001")
    text = reply[0][2][58]
    assert re.split(r"; ", text)[0].startswith("LOT ")
    assert fired(reply) == {"LOT", "TICK_SIZE", "MAX_ORDER_QTY", "MAX_ORDER_NOTIONAL", "MAX_LONG"}
    assert reply[0][2][103] == "3", "the first check with a reason of its own"


def test_every_check_of_the_catalogue_has_a_test() -> None:
    """Here or beside it, under its own name."""
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_checks*.py"))
    tests = " ".join(re.findall(r"^def test_(\w+)", text, re.MULTILINE)).replace(
        "max_long_and_max_short", "max_long max_short"
    )
    assert [name for name in NAMES if not re.search(rf"\b{name.lower()}", tests)] == []


def test_a_replace_counts_for_the_order_s_strategy_and_its_window(make: Make) -> None:
    """It need not name the strategy, and an old burst does not stand against it."""
    core = make({"strategy.MOMO": {"max_messages": 2}})
    passed(core.new("A", t848="MOMO"))
    passed(core.new("B", t848="MOMO", qty="50"))
    refused(core.new("C", t848="MOMO"), "MAX_MESSAGES")
    refused(core.replace("D", "A", qty="90"), "MAX_MESSAGES")
    core.wait(600)
    core.quote("AAPL", 99.99, 100.01)
    passed(core.replace("E", "A", qty="80"))
