"""Orders as people name them: by OrderID(37); and the cancel of one by a person."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.fix.values import E8
from gateway.journal.names import SIDES, Names
from gateway.settings import ConfigError
from gateway.state import State


def order_id(order: np.record) -> str:
    """OrderID(37) that the EMS knows an order by."""
    return f"O{order.run}-{order.number}"


def told_quantities(order: np.record) -> tuple[int, int]:
    """OrderQty(38) and CumQty(14) of an order in 10^-8 as its venue and its EMS count them: a venue may have restated
    it.
    """
    return int(order.qty_e8 - order.restated_e8), int(order.cum_e8 - order.restated_e8)


def find_order(state: State, name: str) -> int:
    """Row of the order with this OrderID(37), NONE when there is none."""
    match = re.fullmatch(r"O(\d{1,18})-(\d{1,18})", name)
    if match is None:
        return a.NONE
    orders = state.record["orders"][: state.record.order_count]
    found = np.flatnonzero((orders["run"] == int(match[1])) & (orders["number"] == int(match[2])))
    return int(found[0]) if found.size else a.NONE


def open_orders_of(state: State, entity: int, most: int) -> tuple[int, list[dict[str, str]]]:
    """How many orders of an entity's row may still trade, and of the first `most` of them OrderID, EMS session and
    ClOrdID in force, symbol, side and leaves.
    """
    s, names = state.record, Names(state)
    orders = s["orders"][: s.order_count]
    scope = int(s.entities[entity].scope)
    of_entity = orders["entities"][:, scope] == entity
    rows = np.flatnonzero((orders["number"] != a.NONE) & (orders["counted_open"] == 1) & of_entity)
    # Whole columns: a field of a record costs a microsecond, and there may be a thousand orders.
    chosen = orders[rows[:most]]
    requests = s["requests"][chosen["accepted"]]
    columns = [chosen[name].tolist() for name in ("run", "number", "session", "instrument", "side", "reserved_e8")]
    of_requests = [requests[name].tolist() for name in ("run", "child", "cl_ord_id_size")]
    found = [
        {
            "order_id": f"O{run}-{number}",
            "child_cl_ord_id": f"C{child_run}-{child}",
            "session": str(names.session(session)),
            "cl_ord_id": bytes(cl_ord_id[:size]).decode("latin-1"),
            "symbol": str(names.instrument(instrument)),
            "side": SIDES[side],
            "leaves": str(Decimal(leaves) / E8),
        }
        for run, number, session, instrument, side, leaves, child_run, child, size, cl_ord_id in zip(
            *columns, *of_requests, requests["cl_ord_id"], strict=True
        )
    ]
    return rows.size, found


def cancel_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `cancel` command (`order`: its OrderID, and `reason`); raises ConfigError with what is wrong."""
    name, reason = str(request.get("order", "")), str(request.get("reason", "")).strip()
    row = find_order(state, name)
    if row == a.NONE:
        raise ConfigError(f"order {name}: is not known, want an OrderID(37) such as O1-3")
    if state.record.orders[row].counted_open == 0:
        raise ConfigError(f"order {name}: is not open any more")
    if not reason:
        raise ConfigError("cancel: want a reason")
    text = f"{name} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(a.CANCEL, 0, data=text, value=(row,))
