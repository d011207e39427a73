"""Orders in doubt: list them, and take a person's word for what became of one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.fix.values import E8
from gateway.journal.names import DOUBTS, SIDES, Names
from gateway.ops.orders import find_order, order_id, told_quantities
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
        quantities = (str(Decimal(quantity) / E8) for quantity in told_quantities(order))
        rows.append((*what, SIDES[int(order.side)], *quantities, DOUBTS[int(order.doubt)]))
    return rows


def resolve_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `resolve` command; raises ConfigError with what is wrong about it.

    An order that is not in doubt can be said to be gone: some venues never say so themselves.
    """
    row = find_order(state, str(request.get("order", "")))
    if row == a.NONE or state.record.orders[row].counted_open == 0:
        raise ConfigError(f"order {request.get('order')}: is not an open order")
    verdict = VERDICTS.get(str(request.get("verdict")))
    reason = str(request.get("reason", "")).strip()
    if verdict is None or not reason:
        raise ConfigError("resolve: want a verdict (gone or working) and a reason")
    order = state.record.orders[row]
    if order.doubt == a.SURE and verdict != a.GONE:
        raise ConfigError(f"order {request['order']}: works and is not in doubt")
    restated_e8 = int(order.restated_e8)
    cum_e8 = int(order.cum_e8)
    if request.get("executed") is not None:
        try:
            cum_e8 = parse_fixed(request["executed"], E8, "the quantity executed in all") + restated_e8
        except ValueError as error:
            raise ConfigError(f"resolve: executed: {error}, got {request['executed']!r}") from None
    known_e8 = int(order.cum_e8 - order.unbooked_e8)
    most_e8 = max(int(order.qty_e8), known_e8 + int(order.reserved_e8))  # a replace may have been accepted
    if not known_e8 <= cum_e8 <= most_e8:
        raise ConfigError(
            f"order {request['order']}: want executed between {Decimal(known_e8 - restated_e8) / E8} (what is known) "
            f"and {Decimal(most_e8 - restated_e8) / E8} (the most that was asked for), got {request['executed']}"
        )
    text = f"{request['order']} {request['verdict']}, by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(a.RESOLVE, 0, data=text, value=(row, verdict, cum_e8))
