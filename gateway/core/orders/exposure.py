"""What an order reserves and what it has filled, kept in step with the exposures of its entities. Kernels only.

One rule: after anything changes an order, `settle` compares what should be counted with what is and applies the
difference. Buys and sells are kept apart; while replaces are pending the largest quantity of all counts.
"""

from __future__ import annotations

from gateway.core.layout import (
    FAULT_TOO_LARGE,
    HALTED,
    IN_DOUBT,
    NONE,
    POSITION_SCOPES,
    QUERIED,
    SCOPES,
    SURE,
    UNANSWERED,
    UNCONFIRMED,
)
from gateway.fix import tags as t
from gateway.jit import kernel

MOST_COUNTED = 4 * 10**18  # in 10^-8: two sums above it could leave 64 bits together


@kernel
def closed(status):
    """Whether the order has ended without being filled: nothing of it can trade, whatever is pending."""
    return status == t.STATUS_CANCELED or status == t.STATUS_REJECTED or status == t.STATUS_EXPIRED


@kernel
def is_over(s, o, status):
    """Whether an order with this OrdStatus(39) has ended: one that is done for the day, or of a day that has ended,
    goes on only if it is good till canceled or for some days.
    """
    if closed(status):
        return True
    if status != t.STATUS_DONE_FOR_DAY and status != t.STATUS_CALCULATED and o.ended_day == 0:
        return False
    time_in_force = s.requests[o.accepted].time_in_force
    return time_in_force != t.GOOD_TILL_CANCEL and time_in_force != t.GOOD_TILL_DATE


@kernel
def _most(s, o):
    """The largest quantity in force or asked for."""
    most = o.qty_e8
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.kind == t.ORDER_CANCEL_REPLACE_REQUEST and r.qty_e8 > most:
            most = r.qty_e8
        row = r.older
    return most


@kernel
def worst_leaves(s, o):
    """The most that can still trade: the largest quantity in force or asked for, less what has traded."""
    return max(_most(s, o) - o.cum_e8, 0) if not is_over(s, o, o.status) else 0


@kernel
def _may_work(s, o, leaves):
    """Whether the order can still trade: by its leaves, or as part of what has traded is doubtful."""
    if leaves > 0 or o.unbooked_e8 == 0:
        return leaves > 0
    return not is_over(s, o, o.status) and o.cum_e8 - o.unbooked_e8 < _most(s, o)


@kernel
def plus(s, counted_e8, delta_e8):
    """The sum of two quantities; one that is too large to be judged by is a fault, which blocks every order.

    A sum beyond 64 bits wraps, so that it is right again when what made it so large is taken back.
    """
    if counted_e8 > MOST_COUNTED - delta_e8 or counted_e8 < -MOST_COUNTED - delta_e8:
        s.fault |= FAULT_TOO_LARGE
    return counted_e8 + delta_e8


@kernel
def add_position(s, o, delta_e8):
    """Add signed quantity to the position of every entity of the order."""
    for k in POSITION_SCOPES:
        if o.exposures[k] != NONE:
            x = s.exposures[o.exposures[k]]
            x.position_e8 = plus(s, x.position_e8, delta_e8)


@kernel
def _add_open(s, o, delta_e8):
    for k in POSITION_SCOPES:
        if o.exposures[k] != NONE:
            x = s.exposures[o.exposures[k]]
            if o.side == t.BUY:
                x.open_buy_e8 = plus(s, x.open_buy_e8, delta_e8)
            else:
                x.open_sell_e8 = plus(s, x.open_sell_e8, delta_e8)


@kernel
def never_acknowledged(o):
    """Whether the venue has said nothing of this order yet."""
    return o.status == t.STATUS_PENDING_NEW and o.venue_order_id_size == 0 and o.cum_e8 == 0


@kernel
def unanswered(o):
    """Whether a message on this order went to the venue that it has not answered."""
    return o.pending != NONE or never_acknowledged(o)


@kernel
def raise_doubt(s, o, doubt):
    """Raise the doubt about an open order."""
    if o.counted_open == 0 or doubt == SURE:
        return
    own = s.sessions[o.venue]
    if o.doubt == QUERIED:
        if doubt == UNCONFIRMED or doubt == QUERIED:
            return  # the question stands
        own.queried -= 1
        o.doubt = IN_DOUBT
        o.asked = 0
    elif doubt > o.doubt:
        own.doubts += 1 if o.doubt == SURE else 0
        own.queried += 1 if doubt == QUERIED else 0
        o.doubt = doubt
        o.asked = 0


@kernel
def is_sure(s, o):
    """Nothing about the order is in doubt any more."""
    if o.doubt != SURE:
        s.sessions[o.venue].queried -= 1 if o.doubt == QUERIED else 0
        s.sessions[o.venue].doubts -= 1
        o.doubt = SURE


@kernel
def settle(s, o):
    """Bring positions, open quantities and open-order counts in step with the order."""
    booked = o.cum_e8 - o.unbooked_e8
    o.cum_e8 = max(o.fills_e8, o.venue_cum_e8)
    # A fill that may have been told twice is open for the one side and not there for the other.
    o.unbooked_e8 = min(o.doubtful_e8, o.cum_e8)
    traded = o.cum_e8 - o.unbooked_e8 - booked
    if traded != 0:
        add_position(s, o, traded if o.side == t.BUY else -traded)
    leaves = worst_leaves(s, o)
    reserved = leaves + o.unbooked_e8
    # What was held to be closed may be less now, or more may be open: a fill of what was open changes neither.
    if traded < 0 or traded + reserved - o.reserved_e8 > 0 or s.reduces_by_account > 0:
        s.reduce_due = 1
    if reserved != o.reserved_e8:
        _add_open(s, o, reserved - o.reserved_e8)
        o.reserved_e8 = reserved
    is_open = 1 if _may_work(s, o, leaves) else 0
    if is_open != o.counted_open:
        if o.canceled_by != 0 or s.sessions[o.session].dropped_ns != NONE or o.raising == 1 or s.postured[HALTED] > 0:
            s.sweeps_on = 2  # one that is to be canceled may be open again
        for k in range(SCOPES):
            if o.entities[k] != NONE:
                s.entities[o.entities[k]].open_orders += is_open - o.counted_open
        s.open_order_count += is_open - o.counted_open
        o.counted_open = is_open
    if is_open == 0 or (o.doubt == UNANSWERED and s.sessions[o.venue].recovering == 0 and not unanswered(o)):
        is_sure(s, o)
