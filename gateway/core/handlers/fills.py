"""Fills that a venue reports on an order of ours, their busts and corrections. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import layout as a
from gateway.core.handlers.bookings import (
    BUST,
    CORRECT,
    book_leg,
    contradicts,
    correct_leg,
    take_back_unknown,
    was_unknown,
)
from gateway.core.handlers.quantities import (
    check_leaves,
    count_traded,
    is_copy,
    is_restated,
    learn_average,
    learn_cum,
    learn_more,
    quantity_of,
    reopen,
    says_working,
    take_terms,
    told_cum,
    was_open,
)
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert_once
from gateway.core.messages.to_ems import leg_report, new_report, report, status_type
from gateway.core.messages.to_venue import order_status_request
from gateway.core.orders.exposure import closed, settle
from gateway.core.orders.status import order_status, rank, refresh_status, trade_status
from gateway.core.tables.executions import find_execution, link_fill
from gateway.fix import tags as t
from gateway.fix.fields import char_of, price_of
from gateway.fix.index import find
from gateway.jit import kernel

FREE_ASKS = 3  # questions about an order that are asked at once
ASK_AGAIN_NS = 10_000_000_000  # least time between two later ones; doubles with each
MOST_DOUBLINGS = 12
MOST_FILLED = 4 * 10**18  # of an order in 10^-8: its sum stays within 64 bits whatever a venue tells


@kernel
def _apply_bust(s, o, x, index, buf, qty_e8):
    """Replace the quantity of an execution: 0 for a bust, another for a correction."""
    told = told_cum(o, index, buf)
    unclear = min(x.unclear_e8, o.doubtful_e8)  # a CumQty(14) may have cleared it
    o.doubtful_e8 -= unclear
    o.venue_cum_e8 += unclear
    x.unclear_e8 = 0
    without = o.venue_cum_e8 + qty_e8 - x.qty_e8
    o.venue_cum_e8 = max(without, max(told, 0))
    # Somebody may have said that less has traded than the fills seen.
    o.fills_e8 = max(o.fills_e8 + qty_e8 - x.qty_e8, 0)
    o.doubtful_e8 = max(o.fills_e8 - o.venue_cum_e8, 0) if told != NONE else min(o.doubtful_e8, o.fills_e8)
    if told > max(without, o.fills_e8):
        # It still counts what it takes back, or tells of another fill: nobody knows.
        o.doubtful_e8 = max(o.doubtful_e8, told - max(without, o.fills_e8))
    o.corrected = 1
    px = price_of(index, buf, t.LastPx)
    count_traded(o, -x.qty_e8, x.px_e8)
    x.qty_e8 = qty_e8
    x.px_e8 = px if px != 0 else x.px_e8
    count_traded(o, x.qty_e8, x.px_e8)
    if find(index, t.AvgPx) >= 0:
        o.avg_px_e8 = price_of(index, buf, t.AvgPx)
    settle(s, o)
    if o.cum_e8 < o.restated_e8:
        # It was counted in the terms of before the venue restated the order.
        o.qty_e8 -= o.restated_e8 - o.cum_e8
        o.restated_e8 = o.cum_e8
    if not closed(o.status) and rank(o.status) <= rank(t.STATUS_FILLED):
        o.status = trade_status(s, o)
    settle(s, o)


@kernel
def _take_end(s, o, status, index, buf):
    """A fill whose report says that it ends the order, by LeavesQty(151) and OrdStatus(39), ends it."""
    if quantity_of(index, buf, t.LeavesQty) != 0 or o.counted_open == 0:
        return
    if closed(status):
        o.status = status
    elif status == t.STATUS_FILLED and told_cum(o, index, buf) == o.cum_e8:
        o.qty_e8 = o.cum_e8
    refresh_status(s, o)


@kernel
def ask_now(s, out, row):
    """Ask the venue for the state of an order about which it was not clear; nothing waits for the answer. A venue that
    is never clear is asked ever less often.
    """
    o = s.orders[row]
    own = s.sessions[o.venue]
    early = o.asks >= FREE_ASKS and s.now_ns - o.asked_ns < ASK_AGAIN_NS << min(o.asks - FREE_ASKS, MOST_DOUBLINGS)
    if own.takes_status == 1 and own.up == 1 and o.doubt == a.SURE and not early:
        o.asks += 1
        o.asked_ns = s.now_ns
        order_status_request(s, out, row, o.accepted)


@kernel
def take_no_fill(s, out, buf, event, row, quantity):
    """A fill that is none, with LastQty(32) of 0, or one whose size only the venue knows: what it may have traded is
    counted as open, so nothing is lost, but somebody has to be asked.
    """
    if quantity == 0:
        alert_once(s, out, al.NO_FILL, row, buf, event)
        return
    alert_once(s, out, al.UNREADABLE_FILL, row, buf, event)
    if told_cum(s.orders[row], s.work.index, buf) <= s.orders[row].cum_e8:
        ask_now(s, out, row)


@kernel
def leg_fill(s, out, buf, event, row, execution):
    """The fill of a leg of a multileg order is none of the order's."""
    o = s.orders[row]
    book_leg(s, out, buf, event, row, execution)
    x = new_report(s, row, _trade_type(s, o), t.TRANS_NEW)
    if execution != NONE:
        s.executions[execution].number = x.exec_number
    x.last_qty_e8 = max(quantity_of(s.work.index, buf, t.LastQty), 0)
    leg_report(s, out, buf, x)


@kernel
def _trade_type(s, o):
    """ExecType(150) of a fill, in the FIX version of the order's EMS."""
    if s.sessions[o.session].version != a.VERSION_42:
        return t.EXEC_TRADE
    return t.EXEC_FILL_42 if o.status == t.STATUS_FILLED else t.EXEC_PARTIAL_FILL_42


@kernel
def _tell_state(s, out, buf, row):
    """The order as it stands, to its EMS: nothing that it must act on."""
    x = new_report(s, row, status_type(s, row), t.TRANS_STATUS)
    x.relay = 1
    report(s, out, buf, x)


@kernel
def _add_fill(s, o, index, buf, quantity, has_id):
    """Count a fill; one that may have been counted before, and tells no CumQty(14), is doubtful. So is one that tells
    zero, unless LeavesQty(151) says that it traded.
    """
    again = char_of(index, buf, t.PossResend, 0) == t.YES
    no_sum = quantity_of(index, buf, t.CumQty) == 0 and not was_open(o, index, buf, quantity)
    if told_cum(o, index, buf) == NONE and (again or no_sum or not has_id):
        o.doubtful_e8 = min(o.doubtful_e8 + quantity, MOST_FILLED)
    o.fills_e8 = min(o.fills_e8 + quantity, MOST_FILLED)
    count_traded(o, quantity, price_of(index, buf, t.LastPx))
    learn_average(o, index, buf)
    learn_cum(o, index, buf)
    refresh_status(s, o)


@kernel
def trade_report(s, out, buf, event, row, execution, quantity):
    """A fill: counted once, with what it says of the order beside it, and told to the EMS."""
    o = s.orders[row]
    index = s.work.index
    unknown = was_unknown(s, o, index, buf, quantity)
    if unknown != NONE:
        take_back_unknown(s, unknown)
    counted, copied = is_copy(s, o, index, buf, quantity)
    if counted:
        s.duplicate_messages += 1
        if execution != NONE:
            s.executions[execution].no_fill = 1
            if copied != NONE:
                # A bust may name it instead of the one that is counted.
                s.executions[execution].corrects = copied
                s.executions[execution].run = s.executions[copied].run
                s.executions[execution].number = s.executions[copied].number
        alert_once(s, out, al.COUNTED_BEFORE, row, buf, event)
        _tell_state(s, out, buf, row)
        return
    reopen(o, index, buf)
    status = char_of(index, buf, t.OrdStatus, 0)
    if (o.status == t.STATUS_DONE_FOR_DAY or o.status == t.STATUS_CALCULATED) and status != o.status:
        # A fill of the next day, of which nothing else was told.
        o.status = t.STATUS_NEW if says_working(index, buf) else o.status
    before = o.doubtful_e8
    _add_fill(s, o, index, buf, quantity, execution != NONE)
    fill = new_report(s, row, t.EXEC_TRADE, t.TRANS_NEW)
    if execution != NONE:
        x = s.executions[execution]
        x.qty_e8 = quantity
        x.px_e8 = price_of(index, buf, t.LastPx)
        x.told_cum_e8 = told_cum(o, index, buf)
        x.terms = o.terms
        x.number = fill.exec_number
        link_fill(s, execution)
    if o.doubtful_e8 > before:
        alert_once(s, out, al.MORE_THAN_CUM, row, buf, event)
        ask_now(s, out, row)
        if is_restated(o, index, buf, False):
            # Its EMS sees what the venue sees; positions and exposures are at their worst.
            take_terms(s, o, index, buf)
            _tell_state(s, out, buf, row)
            return
    _take_end(s, o, status, index, buf)
    if contradicts(s, o, index, buf):
        alert_once(s, out, al.OTHER_TERMS, row, buf, event)
    check_leaves(s, out, buf, event, row, False)
    if o.cum_e8 > o.qty_e8:
        alert_once(s, out, al.OVERFILLED, row, buf, event)
    if unknown != NONE:
        alert_once(s, out, al.KNOWN_NOW, row, buf, event)
    fill.exec_type = _trade_type(s, o)
    fill.last_qty_e8 = quantity
    fill.relay = 1
    report(s, out, buf, fill)


@kernel
def _corrected_quantity(o, x, index, buf):
    """Quantity of an execution after a correction: LastQty(32), or what CumQty(14) makes it; NONE: nobody can say."""
    if find(index, t.LastQty) < 0:
        return x.qty_e8
    quantity = quantity_of(index, buf, t.LastQty)
    if quantity == NONE:
        told = told_cum(o, index, buf)
        quantity = x.qty_e8 + told - o.cum_e8 if told != NONE else NONE
    return max(quantity, NONE)


@kernel
def _named_execution(s, event, row, index, buf):
    """Rows of the execution of an order that ExecRefID(19) names, and, where that is a correction or a copy, of the one
    that is counted; NONE: not known.
    """
    f = find(index, t.ExecRefID)
    named = find_execution(s, event.session, row, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    is_counted = named == NONE or s.executions[named].corrects == NONE
    return named, named if is_counted else s.executions[named].corrects


@kernel
def _changes_nothing(o, index, buf):
    """Whether a report gives CumQty(14) and LeavesQty(151) as they are counted."""
    return told_cum(o, index, buf) == o.cum_e8 and quantity_of(index, buf, t.LeavesQty) == max(o.qty_e8 - o.cum_e8, 0)


@kernel
def _doubt(o, quantity):
    """So much of what is counted may have been taken back."""
    o.fills_e8 = o.cum_e8  # what only CumQty(14) told of may be meant
    quantity = min(quantity, o.cum_e8 - o.doubtful_e8)
    o.venue_cum_e8 = min(o.venue_cum_e8, o.cum_e8 - o.doubtful_e8) - quantity
    o.doubtful_e8 += quantity
    return quantity


@kernel
def unclear_report(s, out, buf, event, row):
    """A report that names an execution, and nobody can read why: taken back or not, it is open for one side and not
    sellable for the other until a CumQty(14) or a person tells. A leg stays as it is.
    """
    o = s.orders[row]
    index = s.work.index
    _, named = _named_execution(s, event, row, index, buf)
    of_leg = named != NONE and s.executions[named].leg != 0
    again = named != NONE and s.executions[named].unclear_e8 != 0
    if not (of_leg or again or _changes_nothing(o, index, buf)):
        if named == NONE:
            _doubt(o, max(quantity_of(index, buf, t.LastQty), 0))
        else:
            s.executions[named].unclear_e8 = _doubt(o, s.executions[named].qty_e8)
        learn_more(o, index, buf)
        refresh_status(s, o)
    alert_once(s, out, al.PERHAPS_A_BUST, row, buf, event)
    check_leaves(s, out, buf, event, row, False)
    ask_now(s, out, row)
    _tell_state(s, out, buf, row)


@kernel
def bust_report(s, out, buf, event, row, execution, action):
    """Bust or correction of the execution that ExecRefID(19) names."""
    o = s.orders[row]
    index = s.work.index
    named, busted = _named_execution(s, event, row, index, buf)
    if named == NONE or s.executions[named].number == 0:
        alert_once(s, out, al.UNKNOWN_BUST, row, buf, event)
        return
    x = s.executions[busted]
    old = abs(x.qty_e8)
    quantity = _corrected_quantity(o, x, index, buf) if action == CORRECT else old
    if quantity < 0:
        alert_once(s, out, al.UNREADABLE_FILL, row, buf, event)
        ask_now(s, out, row)
        return
    exec_type = t.EXEC_TRADE_CANCEL if action == BUST else t.EXEC_TRADE_CORRECT
    trans = t.TRANS_CANCEL if action == BUST else t.TRANS_CORRECT
    if x.leg != 0:
        correct_leg(s, o, busted, quantity if action == CORRECT else 0)
    else:
        before = o.unbooked_e8
        _apply_bust(s, o, x, index, buf, quantity if action == CORRECT else 0)
        if o.unbooked_e8 > before:
            alert_once(s, out, al.BUST_NOT_TAKEN, row, buf, event)
    if s.sessions[o.session].version == a.VERSION_42:
        exec_type = order_status(s, o)
    change = new_report(s, row, exec_type, trans)
    change.last_qty_e8 = quantity
    change.exec_ref = named
    change.relay = 1
    if execution != NONE and action == CORRECT:
        # A later bust may name the correction instead of the execution that it corrected.
        s.executions[execution].number = change.exec_number
        s.executions[execution].corrects = busted
    if x.leg != 0:
        leg_report(s, out, buf, change)
    else:
        report(s, out, buf, change)
