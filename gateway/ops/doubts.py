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
    unsure = (orders["doubt"] != a.SURE) | (orders["unbooked_e8"] > 0)
    for row in np.flatnonzero((orders["number"] != a.NONE) & unsure):
        order = s.orders[row]
        what = (order_id(order), str(names.session(int(order.venue))), str(names.instrument(int(order.instrument))))
        quantities = (str(Decimal(quantity) / E8) for quantity in told_quantities(order))
        doubts = [DOUBTS[int(order.doubt)]] if order.doubt != a.SURE else []
        if order.unbooked_e8 > 0:
            doubts.append(f"{Decimal(int(order.unbooked_e8)) / E8} executed or not")
        rows.append((*what, SIDES[int(order.side)], *quantities, ", ".join(doubts)))
    return rows


def resolve_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `resolve` command; raises ConfigError with what is wrong about it.

    An order that is not in doubt can be said to be gone: some venues never say so themselves. Of an order of which the
    venue's fills and CumQty(14) contradict each other, open or not, a person can say what has traded.
    """
    row = find_order(state, str(request.get("order", "")))
    if row == a.NONE or (state.record.orders[row].counted_open == 0 and state.record.orders[row].unbooked_e8 == 0):
        raise ConfigError(f"order {request.get('order')}: is not an open order")
    verdict = VERDICTS.get(str(request.get("verdict")))
    reason = str(request.get("reason", "")).strip()
    if verdict is None or not reason:
        raise ConfigError("resolve: want a verdict (gone or working) and a reason")
    order = state.record.orders[row]
    if order.doubt == a.SURE and order.unbooked_e8 == 0 and verdict != a.GONE:
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
    known_e8 = known_e8 if order.unbooked_e8 == 0 else restated_e8  # of two counts either may be the wrong one
    if not known_e8 <= cum_e8 <= most_e8:
        raise ConfigError(
            f"order {request['order']}: want executed between {Decimal(known_e8 - restated_e8) / E8} (what is known) "
            f"and {Decimal(most_e8 - restated_e8) / E8} (the most that was asked for), got {request['executed']}"
        )
    text = f"{request['order']} {request['verdict']}, by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(a.RESOLVE, 0, data=text, value=(row, verdict, cum_e8))
