"""Limits that do more than refuse: what of an order is beyond the values at which they do. Kernels only.

Runs behind the checks, which have measured the order; costs nothing where no limit has such values.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.position import worst_before
from gateway.core.checks.price import beyond_collar, collar_at, price_to_pay, spread_bps
from gateway.core.checks.windows import slide
from gateway.core.layout import MAX_BREACHES, NONE, STOP, UNSET, WARN, WATCH
from gateway.core.tables.limits import tighter
from gateway.fix import tags as t
from gateway.jit import kernel

CHECK_OF_LIMIT = c.check_of_limit()
NOT_MEASURED = -1


@kernel
def _worst_position(s, x, scope, buys):
    """The worst-case position of an order's entity, if the order is on this side and raises it."""
    if (x.side == t.BUY) != buys or x.added_e8 == 0:
        return NOT_MEASURED
    return max(worst_before(s, x, scope) + x.added_e8, NOT_MEASURED)


@kernel
def _messages(s, x, scope):
    """Messages in the window of an order's entity; to a venue goes one more."""
    e = s.entities[x.entities[scope]]
    if scope != a.VENUE:
        return e.in_window
    slide(e, s.now_ns)
    return e.in_window + 1


@kernel
def _measure(s, x, scope, limit):
    """What a limit is held against at a scope, in its unit (a collar: the price); NOT_MEASURED: nothing."""
    if limit == a.MAX_ORDER_QTY:
        return x.qty_e8
    if limit == a.MAX_ORDER_NOTIONAL:
        return x.notional_e4
    if limit == a.COLLAR_BPS:
        return price_to_pay(x, s.instruments[x.instrument]) if x.reference_e8 > 0 else 0
    if limit == a.MAX_LONG:
        return _worst_position(s, x, scope, True)
    if limit == a.MAX_SHORT:
        return _worst_position(s, x, scope, False)
    if limit == a.MAX_OPEN_ORDERS:
        opens = x.order == NONE or s.orders[x.order].counted_open == 0
        return s.entities[x.entities[scope]].open_orders + 1 if opens else NOT_MEASURED
    if limit == a.MAX_MESSAGES:
        return _messages(s, x, scope)
    if limit == a.DUPLICATE_WINDOW:
        return x.duplicate_ns
    if limit == a.REFERENCE_MAX_AGE:
        return x.reference_age_ns
    if limit == a.MAX_ORDER_AGE:
        return x.age_ns
    if limit == a.MAX_QUOTE_SPREAD:
        return spread_bps(s.instruments[x.instrument])
    return NOT_MEASURED


@kernel
def _is_beyond(x, limit, value, bound):
    """Whether a measured value is beyond the value of a limit. UNSET is none."""
    if bound == UNSET or bound >= a.UNLIMITED:
        return False
    if limit == a.COLLAR_BPS:
        return value > 0 and beyond_collar(x, value, collar_at(x, bound))
    return value != NOT_MEASURED and tighter(limit, bound, value)


@kernel
def _grade(s, x, scope, entity, paired, first):
    """Keep the highest severity of each limit in a chain of grades beyond which the order is."""
    row = first
    while row != NONE:
        g = s.grades[row]
        value = _measure(s, x, scope, g.limit)
        severity = 0
        for each in (STOP, WARN, WATCH):
            if severity == 0 and _is_beyond(x, g.limit, value, g.value[each]):
                severity = each
        if severity > 0 and x.graded_count < MAX_BREACHES:
            found = x.graded[x.graded_count]
            x.graded_count += 1
            found.check = CHECK_OF_LIMIT[g.limit]
            found.grade = row
            found.severity = severity
            found.entity = entity
            found.paired = paired
            found.value = value
            bound = g.value[severity]
            found.bound = collar_at(x, bound) if g.limit == a.COLLAR_BPS else bound
        row = g.next


@kernel
def grade(s, x):
    """Find what of the candidate is watched, warned of or stopped, at every scope."""
    if s.grade_count == 0:
        return
    for k in range(a.SCOPES):
        entity = x.entities[k]
        if entity == NONE:
            continue
        _grade(s, x, k, entity, 0, s.entities[entity].grades)
        if k in a.POSITION_SCOPES and x.exposures[k] != NONE and s.exposures[x.exposures[k]].pair != NONE:
            _grade(s, x, k, entity, 1, s.pairs[s.exposures[x.exposures[k]].pair].grades)
