"""The gateway under measurement: every limit of the catalogue at every scope where it may stand, none in the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS

MAX_ORDER_QTY = 1_000_000
GENEROUS = {
    "quantity": 1_000_000_000,
    "money": 1_000_000_000_000,
    "bps": 5_000,
    "count": 100_000_000,
}
DURATIONS = {"message_window": "1s", "duplicate_window": "10ms", "reference_max_age": "60s", "max_order_age": "87600h"}
OWN_VALUES: dict[str, int | str] = {"max_order_qty": MAX_ORDER_QTY, **DURATIONS}

VENUE_COMP_ID, EMS_COMP_ID, GATEWAY_COMP_ID = "VENUE", "EMS", "GW"
STRATEGY_TAG = 5002
ACCOUNTS = [f"ACC{k}" for k in range(10)]
STRATEGIES = [f"STRAT{k}" for k in range(4)]
CLASSES = {"CLASS0": STRATEGIES[:2], "CLASS1": STRATEGIES[2:]}
SECTORS = 10
TRADERS = [f"TRADER{k}" for k in range(4)]
DESKS = ["DESK0", "DESK1"]
NOT_TRADED = "STRAT-NONE"  # a strategy that no order names
SOURCES = ("volatility", "liquidity")  # publishers of limits
QUOTES = "prices"  # and of quotes
MAX_SILENCE = "5s"
NO_SECTIONS: Mapping[str, Any] = {}


def symbol(number: int) -> str:
    """Symbol(55) of an instrument."""
    return f"SYM{number:05d}"


def ems_comp_ids(count: int) -> list[str]:
    """CompIDs of so many EMS, all of one length."""
    return [EMS_COMP_ID, *(f"E{k:02d}" for k in range(1, count))]


def limits() -> dict[str, Any]:
    """The limits file: `default` of each scope, or the firm."""
    table: dict[str, Any] = {}
    for limit in LIMITS:
        value = OWN_VALUES.get(limit.key, GENEROUS.get(limit.kind))
        for scope in limit.scopes:
            name = a.SCOPE_NAMES[scope]
            where = (
                table.setdefault(name, {}) if scope == a.FIRM else table.setdefault(name, {}).setdefault("default", {})
            )
            where[limit.key] = value
    return table


def observed(folder: Path) -> dict[str, Any]:
    """Sections of a config with two publishers of limits and one of quotes, whose files lie in a folder."""
    files = {name: {"id": name, "file": str(folder / name), "max_silence": MAX_SILENCE} for name in (*SOURCES, QUOTES)}
    return {"parameters": {"sources": [files[name] for name in SOURCES]}, "quotes": [files[QUOTES]]}


def write_config(
    folder: Path,
    capacity: str,
    instruments: int,
    listen: str,
    connect: str,
    sections: Mapping[str, Any] = NO_SECTIONS,
    mass_cancel: bool = False,
    engine: str = "native",
    ems_sessions: int = 1,
    tls: Mapping[str, Any] = NO_SECTIONS,
) -> Path:
    """Write config, limits and instruments into a folder; returns the main file. One EMS (row 0), one venue (row 1),
    and then the other EMS if there are to be more.

    `sections` are added to the config; with `mass_cancel` the venue takes OrderMassCancelRequest(q); `tls` has the
    section of that name for `ems` and `venue`.
    """
    session = {"begin_string": "FIX.4.4", "sender_comp_id": GATEWAY_COMP_ID, "heartbeat": 30, "reset_on_logon": True}
    ems = session | {
        **{"id": EMS_COMP_ID, "role": "acceptor", "target_comp_id": EMS_COMP_ID, "listen": listen},
        **{"accounts": ACCOUNTS, "strategies": [*STRATEGIES, NOT_TRADED], "traders": TRADERS, "desks": DESKS},
        **{"flows": ["AUTO"], "defaults": {"flow": "AUTO"}},
        **({"tls": tls["ems"]} if tls else {}),
    }
    others = [ems | {"id": name, "target_comp_id": name} for name in ems_comp_ids(ems_sessions)[1:]]
    venue = session | {
        **{"id": VENUE_COMP_ID, "role": "initiator", "target_comp_id": VENUE_COMP_ID, "connect": connect},
        **{"reconnect": 1, "market_data": True},
        **({"mass_cancel": True} if mass_cancel else {}),
        **({"tls": tls["venue"]} if tls else {}),
    }
    config = {
        "gateway": {"name": "BENCH", "engine": engine, "state_dir": "var", "capacity": capacity},
        "identity": {"account": 1, "strategy": STRATEGY_TAG, "trader": 50, "desk": 116, "flow": 5001},
        **{"sessions": [ems, venue, *others], "instruments": "instruments.csv", "limits": "limits.yaml"},
        **{"routing": {"default": VENUE_COMP_ID}, "classes": CLASSES, **sections},
    }
    rows = "".join(f"{symbol(k)},0.01,1,SECTOR{k % SECTORS},STOCK\n" for k in range(instruments))
    (folder / "instruments.csv").write_text("symbol,tick,lot,sector,asset_class\n" + rows)
    (folder / "limits.yaml").write_text(yaml.safe_dump(limits()))
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
