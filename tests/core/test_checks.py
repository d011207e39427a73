"""Every check of the catalogue: it fires alone, with its reason, and an order exactly at its limit passes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from gateway.core.catalogue import CHECKS, LIMITS, RATE_SCOPES
from tests.support.core import BASE, INSTRUMENTS, Core, Fields
from tests.support.core import LIMITS as BASE_LIMITS

Reply = list[tuple[str, str, Fields]]
NAMES = {check.name for check in CHECKS}
OPEN = dict.fromkeys(("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited")

# Every identity scope is named by a tag, and the session may use one entity of each.
TAGS = {a.DESK: "t494", a.ACCOUNT: "t1", a.STRATEGY: "t848", a.TRADER: "t50", a.FLOW: "t376"}
WHO = {"t494": "D1", "t1": "ACC1", "t848": "MOMO", "t50": "TOM", "t376": "ALGO"}
NAMED = {
    **{a.FIRM: "", a.DESK: "D1", a.ACCOUNT: "ACC1", a.STRATEGY: "MOMO", a.TRADER: "TOM", a.FLOW: "ALGO"},
    **{a.INSTRUMENT: "AAPL", a.SESSION: "EMS1", a.VENUE: "XNAS"},
}
OTHER = {a.DESK: "D2", a.ACCOUNT: "ACC2", a.STRATEGY: "ARB", a.TRADER: "TIM", a.FLOW: "HAND", a.INSTRUMENT: "MSFT"}


def config_with_everyone() -> dict[str, Any]:
    """The base config with desk, trader and flow listed, and a second EMS and venue."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    config["identity"] = {"desk": 494, "account": 1, "strategy": 848, "trader": 50, "flow": 376}
    ems, venue = config["sessions"]
    ems |= {"desks": ["D1", "D2"], "flows": ["ALGO", "HAND"], "traders": ["TOM", "TIM"]}
    config["sessions"] += [
        {**ems, "id": "EMS2", "target_comp_id": "EMS2"},
        {**venue, "id": "XNYS", "target_comp_id": "XNYS"},
    ]
    return config


def limits_with(changes: dict[str, dict[str, Any]], account: dict[str, Any] | None = None) -> dict[str, Any]:
    """Limits that let everything pass but what `changes` say, as {"scope.name": {key: value}}; "firm" has no name."""
    limits: dict[str, Any] = copy.deepcopy(BASE_LIMITS)
    limits["account"]["default"] = dict(OPEN) if account is None else account
    limits["instrument"]["default"]["collar_bps"] = "unlimited"
    for where, values in changes.items():
        scope, _, name = where.partition(".")
        target = limits.setdefault(scope, {})
        if name:
            target = target.setdefault(name, {})
        target.update(values)
    return limits


def at(scope: int, name: str | None = None) -> str:
    """Key of `limits_with` for an entity."""
    name = NAMED[scope] if name is None else name
    return a.SCOPE_NAMES[scope] + (f".{name}" if scope != a.FIRM else "")


def fired(reply: Reply) -> set[str]:
    """Checks named in the Text(58) of a refusal; empty when the order went to a venue."""
    (session, msg_type, fields) = reply[0]
    assert len(reply) == 1, reply
    if session.startswith("X"):
        assert msg_type in ("D", "G")
        return set()
    assert msg_type == "9" or (msg_type == "8" and fields[39] == "8"), reply
    return {part.split(" ")[0] for part in fields[58].split("; ")}


def refused(reply: Reply, name: str, reason: int | None = None) -> Fields:
    """The refusal, in which `name` fired alone, with the reason that the catalogue gives it."""
    assert fired(reply) == {name}, reply
    fields = reply[0][2]
    if reply[0][1] == "8":
        wanted = next(c.reason for c in CHECKS if c.name == name) if reason is None else reason
        assert int(fields[103]) == wanted
        assert {t: fields[t] for t in (150, 39, 37, 14, 151, 6)} == {
            150: "8",
            39: "8",
            37: "NONE",
            14: "0",
            151: "0",
            6: "0",
        }
    return fields


def passed(reply: Reply) -> Fields:
    """The child of an order that no check stopped."""
    assert fired(reply) == set(), reply
    return reply[0][2]


Make = Callable[..., Core]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a core in which everything passes but what is said; keywords go to `Core`."""

    def made(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> Core:
        account = more.pop("account", None)
        return Core(
            tmp_path, **{"config": config_with_everyone(), "limits": limits_with(changes or {}, account)} | more
        )

    return made


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
        time_in_force,
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
    core.quote("ESZ6", 99.75, 100.25)
    assert core.new("A")[0][0] == "XNAS"
    assert core.new("B", symbol="MSFT")[0][0] == "XNYS"
    assert core.new("C", t100="XNYS")[0][0] == "XNYS"
    assert core.new("D", symbol="ESZ6", t100="XNAS")[0][0] == "XNAS"
    assert "no venue for this instrument" in refused(core.new("E", symbol="ESZ6"), "ROUTE")[58]
    assert "no such venue: XLON" in refused(core.new("F", t100="XLON"), "ROUTE")[58]
    refused(core.new("G", t100="EMS1"), "ROUTE")


def test_route_to_a_venue_of_another_fix_version(make: Make) -> None:
    config = config_with_everyone()
    config["sessions"][3]["begin_string"] = "FIX.4.2"
    core = make(config=config)
    assert "another FIX version" in refused(core.new("A", t100="XNYS"), "ROUTE")[58]
    passed(core.new("B"))


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


def scopes_of(key: str) -> list[int]:
    return list(next(limit.scopes for limit in LIMITS if limit.key == key))


def pairs_of(key: str) -> list[int]:
    return [scope for scope in scopes_of(key) if scope < a.INSTRUMENT]


def text_at(scope: int) -> str:
    return f"({a.SCOPE_NAMES[scope]} {NAMED[scope]})" if scope != a.FIRM else "(firm"


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
        passed(core.new("C", qty="101", side=side, **{**WHO, TAGS[scope]: OTHER[scope]}))
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


# Prices


@pytest.mark.parametrize("scope", scopes_of("reference_max_age"))
def test_reference_price_age(make: Make, scope: int) -> None:
    core = make({at(scope): {"reference_max_age": "2s"}})
    core.wait(2)
    passed(core.new("A", **WHO))
    core.time_ns += 1
    refused(core.new("B", **WHO), "REFERENCE_PRICE")
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("C", **WHO))


def test_reference_price_none_known(make: Make) -> None:
    core = make(instruments=INSTRUMENTS.replace("10,1,200", "10,1,"))
    assert "none known" in refused(core.new("A", symbol="MSFT", t40="1", px=None), "REFERENCE_PRICE")[58]
    assert fired(core.new("B", symbol="MSFT")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize(
    ("quote", "reference"),
    [
        ((99, 101, 100.5), "100.5"),
        ((99, 101, 98), "99"),
        ((99, 101, 102), "101"),
        ((0, 0, 100.25), "100.25"),
        ((99, 0, 98), "98"),
        ((0, 101, 102), "102"),
    ],
)
def test_reference_price_is_the_last_trade_inside_the_quote(
    make: Make, quote: tuple[float, float, float], reference: str
) -> None:
    core = make({"instrument.MSFT": {"collar_bps": 0}}, instruments=INSTRUMENTS.replace("0.01,10,1,200", "0.01,1,1,"))
    core.quote("MSFT", *quote)
    passed(core.new("A", symbol="MSFT", px=reference))
    above = f"{float(reference) + 0.01:.2f}"
    assert refused(core.new("B", symbol="MSFT", px=above), "PRICE_COLLAR")[58].startswith(
        f"PRICE_COLLAR {above} > {reference} "
    )


def test_reference_price_is_the_middle_where_nothing_traded(make: Make) -> None:
    core = make(
        {"instrument.MSFT": {"collar_bps": 0}}, instruments=INSTRUMENTS.replace("0.01,10,1,200", "0.00000001,1,1,")
    )
    core.quote("MSFT", 99.99999998, 100.00000001)
    passed(core.new("A", symbol="MSFT", px="99.99999999"))
    refused(core.new("B", symbol="MSFT", px="100"), "PRICE_COLLAR")


def test_reference_price_ignores_crossed_quotes(make: Make) -> None:
    core = make()
    core.wait(4)
    core.quote("AAPL", 101, 99)
    core.wait(1.5)
    refused(core.new("A"), "REFERENCE_PRICE")


@pytest.mark.parametrize("scope", scopes_of("collar_bps"))
def test_price_collar(make: Make, scope: int) -> None:
    limits = limits_with({at(scope): {"collar_bps": 100}})
    core = make(limits=limits)
    for side, at_limit, inside, beyond in (
        ("1", "101", "50", "101.01"),
        ("2", "99", "150", "98.99"),
        ("5", "99", "150", "98.99"),
    ):
        more = {"t114": "N"} if side == "5" else {}
        passed(core.new(f"A{side}", side=side, px=at_limit, **WHO, **more))
        passed(core.new(f"B{side}", side=side, px=inside, **WHO, **more))
        text = refused(core.new(f"C{side}", side=side, px=beyond, **WHO, **more), "PRICE_COLLAR")[58]
        assert text_at(scope) in text and f"{beyond} {'>' if side == '1' else '<'} {at_limit} " in text
        passed(core.new(f"D{side}", side=side, px=None, t40="1", **WHO, **more))


def test_price_collar_distance_is_rounded_down(make: Make) -> None:
    instruments = "symbol,tick,lot\nAAPL,0.00000001,1\n"
    core = make({"instrument.AAPL": {"collar_bps": 3}}, instruments=instruments)
    core.quote("AAPL", 99.99999999, 99.99999999, 99.99999999)  # d = 0.029999999997 -> 0.02999999
    passed(core.new("A", px="100.02999998"))
    refused(core.new("B", px="100.02999999"), "PRICE_COLLAR")
    passed(core.new("C", side="2", px="99.97"))
    refused(core.new("D", side="2", px="99.96999999"), "PRICE_COLLAR")


def test_price_collar_of_a_stop_limit(make: Make) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 100}})
    passed(core.new("A", t40="4", px="101", t99="101"))
    refused(core.new("B", t40="4", px="101.01", t99="101"), "PRICE_COLLAR")


LONG_100 = "account,symbol,quantity\nACC1,AAPL,100\n"
SHORT_100 = "account,symbol,quantity\nACC1,AAPL,-100\n"


@pytest.mark.parametrize(
    ("positions", "side", "at_limit", "beyond"), [(LONG_100, "2", "90", "89.99"), (SHORT_100, "1", "110", "110.01")]
)
def test_exit_may_use_an_old_reference_with_twice_the_collar(
    make: Make, positions: str, side: str, at_limit: str, beyond: str
) -> None:
    core = make({"instrument.AAPL": {"collar_bps": 500}}, positions=positions)
    core.wait(60)
    passed(core.new("A", side=side, qty="60", px=at_limit))
    refused(core.new("B", side=side, qty="40", px=beyond), "PRICE_COLLAR")
    refused(core.new("C", side=side, qty="41", px="100"), "REFERENCE_PRICE")
    refused(core.new("D", side=side, qty="40", px=None, t40="1"), "REFERENCE_PRICE")
    refused(core.new("E", side="1" if side == "2" else "2", qty="1", px="100"), "REFERENCE_PRICE")
    passed(core.new("F", side=side, qty="40", px="100"))


def test_exit_may_use_the_previous_close(make: Make) -> None:
    core = make({"instrument.MSFT": {"collar_bps": 500}}, positions="account,symbol,quantity\nACC1,MSFT,100\n")
    passed(core.new("A", symbol="MSFT", side="2", px="180", qty="10"))
    refused(core.new("B", symbol="MSFT", side="2", px="179.99", qty="10"), "PRICE_COLLAR")


def test_replace_that_adds_nothing_may_use_an_old_reference(make: Make) -> None:
    core = make()
    passed(core.new("A", qty="100"))
    core.wait(60)
    passed(core.replace("B", "A", qty="100", px="99"))
    refused(core.replace("C", "B", qty="101", px="99"), "REFERENCE_PRICE")


@pytest.mark.parametrize("scope", scopes_of("max_order_notional"))
def test_max_order_notional(make: Make, scope: int) -> None:
    instruments = "symbol,tick,lot\nAAPL,0.0001,1\n"
    core = make({at(scope): {"max_order_notional": 10_000}}, instruments=instruments)
    passed(core.new("A", px="100", qty="100", **WHO))
    passed(core.new("B", px="9999.9999", qty="1", **WHO))
    text = refused(core.new("C", px="10000.0001", qty="1", **WHO), "MAX_ORDER_NOTIONAL")[58]
    assert text.startswith("MAX_ORDER_NOTIONAL 10000.0001 > 10000 ") and text_at(scope) in text


@pytest.mark.parametrize(
    ("fields", "worst"),
    [
        ({"side": "1", "px": "103"}, 103),
        ({"side": "1", "px": None, "t40": "1"}, 106),  # ask 101, collar 5
        ({"side": "1", "px": None, "t40": "3", "t99": "104"}, 106),
        ({"side": "1", "px": None, "t40": "3", "t99": "120"}, 120),
        ({"side": "1", "px": "102", "t40": "4", "t99": "101"}, 102),
        ({"side": "2", "px": "103"}, 103),
        ({"side": "2", "px": "98"}, 100),  # the reference
        ({"side": "2", "px": None, "t40": "1"}, 100),
        ({"side": "2", "px": None, "t40": "3", "t99": "97"}, 100),
        ({"side": "5", "px": "99", "t114": "N"}, 100),
    ],
)
def test_max_order_notional_takes_the_worst_price(make: Make, fields: dict[str, Any], worst: int) -> None:
    changes = {"instrument.AAPL": {"collar_bps": 500}, "account.ACC1": {"max_order_notional": worst * 10}}
    core = make(changes)
    core.quote("AAPL", 99, 101, 100)
    passed(core.new("A", qty="10", **fields))
    refused(core.new("B", qty="11", **fields), "MAX_ORDER_NOTIONAL")
    changes["account.ACC1"] = {"max_order_notional": worst * 10 - 0.0001}
    core = make(changes)
    core.quote("AAPL", 99, 101, 100)
    refused(core.new("A", qty="10", **fields), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_of_a_sell_counts_the_bid_above_the_last_trade(make: Make) -> None:
    core = make({"account.ACC1": {"max_order_notional": 1010}})
    core.quote("AAPL", 101, 102, 100)
    passed(core.new("A", side="2", qty="10", px="100"))
    refused(core.new("B", side="2", qty="11", px="100"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_with_multiplier_and_currency(make: Make) -> None:
    config = config_with_everyone()
    config["rates"] = {"EUR": {"rate": "1.123456789", "date": "2026-07-10"}}
    instruments = "symbol,tick,lot,multiplier,currency\nAAPL,0.01,1,,\nESZ6,0.25,1,50,\nFDAX,0.5,1,25,EUR\n"
    core = make({"account.ACC1": {"max_order_notional": 225_000}}, config=config, instruments=instruments)
    core.quote("ESZ6", 4500, 4500, 4500)
    passed(core.new("A", symbol="ESZ6", px="4500", qty="1"))
    refused(core.new("B", symbol="ESZ6", px="4500.25", qty="1"), "MAX_ORDER_NOTIONAL")
    core.quote("FDAX", 8000, 8000, 8000)
    # 25 x 1.123456789 = 28.086419725 -> 28.08641973 a point; 8011 points are 225000.30846..., 8010.5 are 224986.2652...
    passed(core.new("C", symbol="FDAX", px="8010.5", qty="1"))
    refused(core.new("D", symbol="FDAX", px="8011", qty="1"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_without_a_rate_blocks(make: Make) -> None:
    core = make(instruments="symbol,tick,currency\nAAPL,0.01,JPY\n")
    refused(core.new("A"), "MAX_ORDER_NOTIONAL")


def test_max_order_notional_too_large_to_compute_blocks(make: Make) -> None:
    core = make(instruments="symbol,tick,multiplier\nAAPL,0.01,10000000000\n")
    assert "too large" in refused(core.new("A", qty="10000000000", px="10000000000"), "MAX_ORDER_NOTIONAL")[58]


# Positions


@pytest.mark.parametrize("scope", scopes_of("max_long"))
@pytest.mark.parametrize(("key", "side"), [("max_long", "1"), ("max_short", "2"), ("max_short", "5")])
def test_max_long_and_max_short(make: Make, scope: int, key: str, side: str) -> None:
    core = make({at(scope): {key: 500}})
    more = {**WHO, "t114": "N"} if side == "5" else dict(WHO)
    child = passed(core.new("A", side=side, qty="300", **more))
    core.report(child[11], "e1", "F", "1", t32="100", t31="100", t14="100", t54=side)
    passed(core.new("B", side=side, qty="100", **more))
    text = refused(core.new("C", side=side, qty="101", **more), key.upper())[58]
    assert text.startswith(f"{key.upper()} 501 > 500 ") and text_at(scope) in text
    passed(core.new("D", side=side, qty="100", **more))
    passed(core.new("E", side="2" if side == "1" else "1", qty="5000", **WHO))
    refused(core.new("F", side=side, qty="1", **more), key.upper())


@pytest.mark.parametrize(("key", "sign", "exit_side"), [("max_long", 1, "2"), ("max_short", -1, "1")])
def test_exits_pass_when_the_position_is_beyond_its_limit(make: Make, key: str, sign: int, exit_side: str) -> None:
    positions = f"account,symbol,quantity\nACC1,AAPL,{sign * 1000}\n"
    core = make({"account.ACC1": {key: 500}, "firm": {key: 400}, "instrument.AAPL": {key: 300}}, positions=positions)
    passed(core.new("A", side=exit_side, qty="1000"))
    refused(core.new("B", side="1" if exit_side == "2" else "2", qty="1"), key.upper())


def test_opposite_working_orders_do_not_net(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500, "max_short": 500}})
    passed(core.new("A", side="1", qty="500"))
    passed(core.new("B", side="2", qty="500"))
    refused(core.new("C", side="1", qty="1"), "MAX_LONG")
    refused(core.new("D", side="2", qty="1"), "MAX_SHORT")


def test_a_replace_counts_what_it_adds(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500}})
    child = passed(core.new("A", qty="300"))
    core.report(child[11], "e1", "F", "1", t32="200", t31="100", t14="200")
    passed(core.replace("B", "A", qty="500"))
    assert refused(core.replace("C", "B", qty="501"), "MAX_LONG")[58].startswith("MAX_LONG 501 > 500 ")
    passed(core.replace("D", "B", qty="250"))
    refused(core.new("E", qty="1"), "MAX_LONG")


def test_replace_down_passes_when_beyond_the_limit(make: Make) -> None:
    core = make({"account.ACC1": {"max_long": 500}}, positions="account,symbol,quantity\nACC1,AAPL,100\n")
    child = passed(core.new("A", qty="400"))
    core.report("C9-99", "e9", "F", "2", t1="ACC1", t32="100", t31="100", t14="100")
    assert core.exposure(a.ACCOUNT, "ACC1", "AAPL")[0] == 200 * 10**8
    passed(core.replace("B", "A", qty="399"))
    assert child[38] == "400"


# Counts


@pytest.mark.parametrize("scope", scopes_of("max_open_orders"))
def test_max_open_orders(make: Make, scope: int) -> None:
    core = make({at(scope): {"max_open_orders": 2}})
    first = passed(core.new("A", **WHO))
    passed(core.new("B", **WHO))
    text = refused(core.new("C", **WHO), "MAX_OPEN_ORDERS")[58]
    assert text.startswith("MAX_OPEN_ORDERS 3 > 2 ") and text_at(scope) in text
    passed(core.replace("R", "A", qty="120", **WHO))
    core.report(first[11], "e1", "4", "4")
    passed(core.new("D", **WHO))
    refused(core.new("E", **WHO), "MAX_OPEN_ORDERS")


def rate_core(make: Make, scope: int, number: int, window: str = "1s") -> Core:
    limits = limits_with({"session.default": {"max_messages": "unlimited"}})
    limits_at = limits.setdefault(a.SCOPE_NAMES[scope], {})
    (limits_at if scope == a.FIRM else limits_at.setdefault(NAMED[scope], {})).update(
        {"max_messages": number, "message_window": window}
    )
    return make(limits=limits)


@pytest.mark.parametrize("scope", RATE_SCOPES)
def test_max_messages(make: Make, scope: int) -> None:
    core = rate_core(make, scope, 3)
    for number in range(3):
        passed(core.new(f"A{number}", **WHO))
    text = refused(core.new("B", **WHO), "MAX_MESSAGES")[58]
    assert text.startswith("MAX_MESSAGES 4 > 3 ") and text_at(scope) in text
    assert fired(core.replace("R", "A0", qty="50", **WHO)) == {"MAX_MESSAGES"}
    assert core.cancel("C", "A0")[0][:2] == ("XNAS", "F"), "cancels always pass"
    core.wait(1.0625)
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("B", **WHO))  # its ClOrdID is free: it was refused for message rate


def test_max_messages_counts_refused_ones_and_cancels_at_the_session(make: Make) -> None:
    core = rate_core(make, a.SESSION, 3)
    refused(core.new("A", symbol="NOPE"), "KNOWN_INSTRUMENT")
    core.cancel("B", "A")
    core.message("EMS1", "H", [(11, "A"), (54, "1"), (55, "AAPL"), (37, "X")])
    refused(core.new("C"), "MAX_MESSAGES")


@pytest.mark.parametrize("window_ms", [1000, 250, 60_000])
def test_max_messages_window_is_a_sixteenth_longer_at_most(make: Make, window_ms: int) -> None:
    core = rate_core(make, a.ACCOUNT, 2, f"{window_ms}ms")
    slice_ns = -(-window_ms * 10**6 // 16)
    start = core.time_ns = (core.time_ns // slice_ns + 1) * slice_ns
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("A"))
    passed(core.new("B"))
    core.time_ns = start + 17 * slice_ns - 1
    core.quote("AAPL", 99.99, 100.01)
    refused(core.new("C"), "MAX_MESSAGES")
    core.time_ns = start + 17 * slice_ns
    passed(core.new("D"))
    refused(core.new("E"), "MAX_MESSAGES")


def test_max_messages_of_one_session_leaves_the_other_alone(make: Make) -> None:
    core = rate_core(make, a.SESSION, 1)
    passed(core.new("A"))
    refused(core.new("B"), "MAX_MESSAGES")
    passed(core.new("B", session="EMS2"))


@pytest.mark.parametrize("scope", scopes_of("duplicate_window"))
def test_duplicate_order(make: Make, scope: int) -> None:
    core = make({at(scope): {"duplicate_window": "500ms"}})
    passed(core.new("A", **WHO))
    core.time_ns += 500 * 10**6 - 1
    assert refused(core.new("B", **WHO), "DUPLICATE_ORDER")[103] == "6"
    core.time_ns += 1
    passed(core.new("C", **WHO))


def test_duplicate_order_means_equal_in_all_terms(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "1s"}})
    core.quote("MSFT", 99.99, 100.01)
    passed(core.new("A", t40="4", t99="100"))
    changes = [
        {"t1": "ACC2"},
        {"symbol": "MSFT"},
        {"side": "2"},
        {"t40": "2", "t99": None},
        {"qty": "99"},
        {"px": "99.99"},
        {"t99": "100.01"},
    ]
    for number, change in enumerate(changes):
        passed(core.new(f"B{number}", **{"t40": "4", "t99": "100", **change}))
    refused(core.new("C", t40="4", t99="100.00", qty="100.0", px="0100"), "DUPLICATE_ORDER")


def test_duplicate_order_the_longest_window_counts(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "100ms"}, "firm": {"duplicate_window": "2s"}})
    passed(core.new("A"))
    core.wait(1.9)
    refused(core.new("B"), "DUPLICATE_ORDER")


def test_duplicate_order_of_a_refused_order_is_none(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "1s", "max_order_qty": 50}})
    refused(core.new("A"), "MAX_ORDER_QTY")
    refused(core.new("B"), "MAX_ORDER_QTY")


def test_duplicate_order_off(make: Make) -> None:
    core = make({"account.ACC1": {"duplicate_window": "0s"}})
    passed(core.new("A"))
    passed(core.new("B"))


def test_every_check_of_the_catalogue_has_a_test_here() -> None:
    tests = [name for name in globals() if name.startswith("test_")]
    missing = [name for name in NAMES if not any(test.startswith("test_" + name.lower()) for test in tests)]
    missing = [name for name in missing if name not in ("MAX_LONG", "MAX_SHORT")]
    assert "test_max_long_and_max_short" in tests
    assert missing == []
