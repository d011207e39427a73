"""Checks of what is held and open with the order counted at its worst. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach, fail, found, measured
from gateway.core.checks.limits import require
from gateway.core.checks.size import MAX_EXPOSURE_E8
from gateway.core.layout import NONE, SCOPES, UNSET
from gateway.core.tables.limits import limit_here
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def worst_before(s, x, scope):
    """The worst-case position of an order's entity on the order's side without it: below zero is on the other."""
    if x.exposures[scope] == NONE:
        return 0
    e = s.exposures[x.exposures[scope]]
    return e.position_e8 + e.open_buy_e8 if x.side == t.BUY else e.open_sell_e8 - e.position_e8


@kernel
def check_positions(s, x):
    """MAX_LONG and MAX_SHORT: worst-case position on the order's side, at every scope that keeps one."""
    limit = a.MAX_LONG if x.side == t.BUY else a.MAX_SHORT
    check = c.MAX_LONG if x.side == t.BUY else c.MAX_SHORT
    require(s, x, check, limit, a.ACCOUNT)
    for k in a.POSITION_SCOPES:
        if x.entities[k] == NONE:
            continue
        before = worst_before(s, x, k)
        after = before + x.added_e8
        bound, paired = limit_here(s, x.entities[k], x.exposures[k], limit)
        measured(x, check, after, bound, x.entities[k], paired)
        if after <= before:
            continue
        if bound != UNSET and after > bound:
            breach(x, check, NONE, NONE, x.entities[k], paired, after, bound)
        elif after > MAX_EXPOSURE_E8:
            fail(x, check, c.DETAIL_TOO_LARGE, NONE)


@kernel
def check_max_open_orders(s, x):
    """MAX_OPEN_ORDERS: open orders and this one, at every scope; a replace opens an order that has filled."""
    if x.order != NONE and s.orders[x.order].counted_open == 1:
        return
    for k in range(SCOPES):
        if x.entities[k] != NONE:
            e = s.entities[x.entities[k]]
            found(x, c.MAX_OPEN_ORDERS, e.open_orders + 1, e.limit[a.MAX_OPEN_ORDERS], x.entities[k], 0)
