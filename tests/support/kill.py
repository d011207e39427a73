"""Cores of every pair of FIX versions, their orders, and what the gateway cancels of its own accord."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core import layout as a
from tests.support.checks import OPEN, Reply, config_with_everyone, limits_with
from tests.support.core import Core, Fields

VERSIONS = [(ems, venue) for ems in ("FIX.4.4", "FIX.4.2") for venue in ("FIX.4.4", "FIX.4.2")]
Of = Callable[..., Core]

# Header tags that both FIX versions have name who an order is of.
IDENTITY = {"desk": 115, "account": 1, "strategy": 116, "trader": 50, "flow": 129}
EVERYONE: dict[str, Any] = {"t115": "D1", "t1": "ACC1", "t116": "MOMO", "t50": "TOM", "t129": "ALGO"}
ANOTHER: dict[str, Any] = {"t115": "D2", "t1": "ACC2", "t116": "ARB", "t50": "TIM", "t129": "HAND"}


def core_of(
    folder: Path,
    ems: str = "FIX.4.4",
    venue: str = "FIX.4.4",
    capacity: str = "small",
    ems_section: dict[str, Any] | None = None,
    limits: dict[str, dict[str, Any]] | None = None,
    **venue_section: Any,
) -> Core:
    """A core whose EMSs and venues are of these FIX versions; keywords go to the venues' sections."""
    config = config_with_everyone()
    config["gateway"] = {**config["gateway"], "capacity": capacity}
    config["identity"] = dict(IDENTITY)
    for session in config["sessions"]:
        is_ems = session["role"] == "acceptor"
        session["begin_string"] = ems if is_ems else venue
        session.update((ems_section or {}) if is_ems else venue_section)
    changes = {"session.default": {"max_messages": "unlimited"}, **(limits or {})}
    core = Core(folder, config, limits_with(changes, dict(OPEN)))
    for _ in range(2):
        core.quote("MSFT", 99.99, 100.01)
    return core


def cancels(reply: Reply) -> list[Fields]:
    """The cancels among what goes out; nothing else may go out but alerts."""
    assert {(s[:1], m) for s, m, _ in reply} <= {("X", "F"), ("", "")}, reply
    return [fields for _, msg_type, fields in reply if msg_type == "F"]


def to_ems(reply: Reply) -> list[tuple[str, Fields]]:
    """What an EMS hears, as (MsgType, fields)."""
    return [(msg_type, fields) for session, msg_type, fields in reply if session.startswith("EMS")]


def canceled(core: Core, cancel: Fields, exec_id: str, session: str = "XNAS", cum: str = "0", **more: Any) -> Reply:
    """The venue has canceled what a cancel names."""
    fields = {"t41": cancel[41], "t54": cancel[54], "t55": cancel[55], "t14": cum, "t38": cancel[38]}
    return core.report(cancel[11], exec_id, "4", "4", session, **(fields | more))


def is_told_by_us(reply: Reply, why: str = "kill switch", **wanted: str | None) -> Fields:
    """The one report of an unsolicited cancel, as an EMS must see it."""
    [(msg_type, fields)] = to_ems(reply)
    shown = {t: fields.get(t) for t in (150, 39, 41, 378, 151)}
    assert (msg_type, shown) == ("8", {150: "4", 39: "4", 41: None, 378: "4", 151: "0"}), reply
    assert fields[58].startswith("canceled by the gateway: ") and why in fields[58]
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields
    return fields


def open_orders(core: Core) -> int:
    """Orders of the firm that are open."""
    return int(core.record.entities[core.state.entities[a.FIRM, ""]].open_orders)


def many(core: Core, count: int, **more: Any) -> list[str]:
    """So many orders that work, each with a price of its own; returns their children."""
    return [core.working(f"M{k}", px=f"{90 - k / 100:.2f}", **more) for k in range(count)]


def mass(reply: Reply) -> list[tuple[str, Fields]]:
    return [(session, fields) for session, msg_type, fields in reply if msg_type == "q"]


def one_by_one(reply: Reply) -> list[Fields]:
    return [fields for _, msg_type, fields in reply if msg_type == "F"]
