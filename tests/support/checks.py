"""A core in which every scope has an entity and everything passes, and what a refusal must look like."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from gateway.core import layout as a
from gateway.core.catalogue import CHECKS, LIMITS
from tests.support.core import BASE, Core, Fields
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
    **{a.CLASS: "TREND", a.SECTOR: "DEVICES", a.ASSET_CLASS: "STOCK"},
}
OTHER = {
    **{a.DESK: "D2", a.ACCOUNT: "ACC2", a.STRATEGY: "ARB", a.TRADER: "TIM", a.FLOW: "HAND", a.INSTRUMENT: "MSFT"},
    **{a.CLASS: "MAKER", a.SECTOR: "SOFTWARE", a.ASSET_CLASS: "RECEIPT"},
}


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
    assert msg_type == "9" or (msg_type == "8" and (fields[39] == "8" or fields[103] == "6")), reply
    return {part.split(" ")[0] for part in fields[58].split("; ")}


def refused(reply: Reply, name: str, reason: int | None = None) -> Fields:
    """The refusal, in which `name` fired alone, with the reason that the catalogue gives it. One of a ClOrdID that was
    used before tells the state of the order that has it.
    """
    assert fired(reply) == {name}, reply
    fields = reply[0][2]
    if reply[0][1] == "8":
        wanted = next(c.reason for c in CHECKS if c.name == name) if reason is None else reason
        assert int(fields[103]) == wanted
        if name == "CL_ORD_ID_REUSE" and fields[37] != "NONE":
            assert fields[150] == "8"
            return fields
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


def scopes_of(key: str) -> list[int]:
    return list(next(limit.scopes for limit in LIMITS if limit.key == key))


def pairs_of(key: str) -> list[int]:
    return [scope for scope in scopes_of(key) if scope in a.POSITION_SCOPES and scope != a.INSTRUMENT]


def text_at(scope: int) -> str:
    return f"({a.SCOPE_NAMES[scope]} {NAMED[scope]})" if scope != a.FIRM else "(firm"
