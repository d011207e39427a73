"""Orders in doubt: list them, and take a person's word for what became of one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.fix.values import E8
from gateway.journal.names import DOUBTS, SIDES, Names
from gateway.ops.orders import find_order, order_id
from gateway.settings import ConfigError, parse_fixed
from gateway.state import State

VERDICTS = {"gone": a.GONE, "working": a.WORKING}


def orders_in_doubt(state: State) -> list[tuple[str, ...]]:
    """(OrderID, venue, symbol, side, quantity, executed, doubt) of every order that is not sure."""
    s = state.record
    names = Names(state)
    orders = s["orders"][: s.order_count]
    rows: list[tuple[str, ...]] = []
    for row in np.flatnonzero((orders["number"] != a.NONE) & (orders["doubt"] != a.SURE)):
        order = s.orders[row]
        what = (order_id(order), str(names.session(int(order.venue))), str(names.instrument(int(order.instrument))))
        quantities = (str(Decimal(int(order.qty_e8)) / E8), str(Decimal(int(order.cum_e8)) / E8))
        rows.append((*what, SIDES[int(order.side)], *quantities, DOUBTS[int(order.doubt)]))
    return rows


def resolve_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `resolve` command; raises ConfigError with what is wrong about it."""
    row = find_order(state, str(request.get("order", "")))
    if row == a.NONE or state.record.orders[row].doubt == a.SURE:
        raise ConfigError(f"order {request.get('order')}: is not an order in doubt")
    verdict = VERDICTS.get(str(request.get("verdict")))
    reason = str(request.get("reason", "")).strip()
    if verdict is None or not reason:
        raise ConfigError("resolve: want a verdict (gone or working) and a reason")
    order = state.record.orders[row]
    cum_e8 = int(order.cum_e8)
    if request.get("executed") is not None:
        try:
            cum_e8 = parse_fixed(request["executed"], E8, "the quantity executed in all")
        except ValueError as error:
            raise ConfigError(f"resolve: executed: {error}, got {request['executed']!r}") from None
    if not int(order.cum_e8) <= cum_e8 <= int(order.qty_e8):
        raise ConfigError(
            f"order {request['order']}: want executed between {Decimal(int(order.cum_e8)) / E8} (what is known) and "
            f"{Decimal(int(order.qty_e8)) / E8} (the order), got {request['executed']}"
        )
    text = f"{request['order']} {request['verdict']}, by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(a.RESOLVE, 0, data=text, value=(row, verdict, cum_e8))
