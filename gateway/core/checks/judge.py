"""All checks of an order in one pass. Kernels only.

The prerequisites (service, message, instrument, identity, route) have been settled before. An exposure limit fires only
when the worst case after the order is over the limit and higher than before.
"""

from __future__ import annotations

from gateway.core.checks.grades import grade
from gateway.core.checks.limits import gather_limits
from gateway.core.checks.position import check_max_open_orders, check_positions
from gateway.core.checks.posture import check_posture
from gateway.core.checks.price import (
    check_max_quote_spread,
    check_price_collar,
    check_reference_price,
    check_tick_size,
)
from gateway.core.checks.rate import check_duplicate_order, check_max_messages
from gateway.core.checks.service import check_max_order_age
from gateway.core.checks.size import check_lot, check_max_order_notional, check_max_order_qty
from gateway.jit import kernel


@kernel
def judge(s, x):
    """Run every check that needs no prerequisite more; afterwards `x.mask` is 0 exactly when the order may go out."""
    gather_limits(s, x)
    check_lot(s, x)
    check_tick_size(s, x)
    check_max_order_qty(s, x)
    check_reference_price(s, x)
    check_max_quote_spread(s, x)
    check_price_collar(s, x)
    check_max_order_notional(s, x)
    check_positions(s, x)
    check_max_open_orders(s, x)
    check_max_messages(s, x)
    check_duplicate_order(s, x)
    check_max_order_age(s, x)
    check_posture(s, x)
    grade(s, x)
