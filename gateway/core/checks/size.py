"""Checks of an order's size: quantity, lot, notional. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach, fail, found_at_tightest
from gateway.core.checks.limits import require
from gateway.core.layout import NONE
from gateway.fix.layout import E8
from gateway.fix.values import multiply_up
from gateway.jit import kernel

MAX_EXPOSURE_E8 = 4 * 10**18  # sums above this could leave int64


@kernel
def scale_up(amount_e4, value_e8):
    """Money x a factor of 10^-8, rounded up; -1 when it does not fit."""
    if value_e8 == E8:
        return amount_e4
    whole = value_e8 // E8
    part = value_e8 % E8
    if amount_e4 > MAX_EXPOSURE_E8 // (whole + 1):
        return -1
    return amount_e4 * whole + amount_e4 // E8 * part + (amount_e4 % E8 * part + E8 - 1) // E8


@kernel
def check_max_order_notional(s, x):
    """MAX_ORDER_NOTIONAL: quantity x worst price x value of a point, rounded up; what cannot be computed is refused."""
    require(s, x, c.MAX_ORDER_NOTIONAL, a.MAX_ORDER_NOTIONAL, a.ACCOUNT)
    money = multiply_up(x.qty_e8, x.worst_price_e8)
    value = s.instruments[x.instrument].value_e8
    x.notional_e4 = scale_up(money, value) if money >= 0 and value > 0 else -1
    if x.notional_e4 < 0:
        fail(x, c.MAX_ORDER_NOTIONAL, c.DETAIL_TOO_LARGE, NONE)
    else:
        found_at_tightest(x, c.MAX_ORDER_NOTIONAL, a.MAX_ORDER_NOTIONAL, x.notional_e4)


@kernel
def check_max_order_qty(s, x):
    """MAX_ORDER_QTY: the quantity of the order."""
    require(s, x, c.MAX_ORDER_QTY, a.MAX_ORDER_QTY, a.ACCOUNT)
    found_at_tightest(x, c.MAX_ORDER_QTY, a.MAX_ORDER_QTY, x.qty_e8)


@kernel
def check_lot(s, x):
    """LOT: the quantity is a multiple of the lot."""
    lot = s.instruments[x.instrument].lot_e8
    if x.qty_e8 % lot != 0:
        breach(x, c.LOT, NONE, NONE, NONE, 0, x.qty_e8, lot)
