"""ExecutionReports from a venue. Kernels only.

Reports on our orders are never refused. Each is applied once (by ExecID and venue), changes the order by FIX 4.4
Appendix D, and goes on to the EMS in terms of the EMS's own ids.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.handlers.bookings import (
    BUST,
    CHANGE,
    CORRECT,
    STATUS,
    TRADE,
    UNCLEAR,
    contradicts,
    is_leg,
    remember,
    unknown_report,
)
from gateway.core.handlers.doubts import answer_in_doubt, answers_doubt
from gateway.core.handlers.fills import ask_now, bust_report, leg_fill, take_no_fill, trade_report, unclear_report
from gateway.core.handlers.quantities import (
    check_leaves,
    doubt_lower_cum,
    is_restated,
    is_too_precise,
    learn_average,
    learn_cum,
    learn_more,
    quantity_of,
    reopen,
    says_working,
    take_terms,
    told_cum,
    works_on,
)
from gateway.core.handlers.refusals import ask_about_all, ask_about_closed, refuse_request
from gateway.core.handlers.sweep import canceled_by_us, try_soon
from gateway.core.layout import FAULT_EXECUTIONS_FULL, NONE
from gateway.core.messages.alerts import alert_once
from gateway.core.messages.text import add_bytes
from gateway.core.messages.to_ems import new_report, report, status_type
from gateway.core.orders.exposure import closed, is_over, settle
from gateway.core.orders.requests import unlink_pending
from gateway.core.orders.status import rank, refresh_status, trade_status
from gateway.core.tables.entities import find_entity
from gateway.core.tables.orders import find_by_venue_order_id, link_venue_order_id, unlink_venue_order_id
from gateway.core.tables.requests import child_named, revive_requests
from gateway.fix import tags as t
from gateway.fix.fields import char_of, decimal_of
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, same_bytes
from gateway.jit import kernel

NO_ORDER_ID = c.phrase("NONE")
CANCELED_BY, CANCELED_BY_SIZE = c.name_table(
    [
        *("", "canceled by the gateway: kill switch", "canceled by the gateway: the EMS is gone"),
        *("canceled by the gateway: a person canceled it", "canceled by OrderMassCancelRequest(q)"),
        *("canceled by the gateway: halted", "canceled by the gateway: reduce_only, it could raise the position"),
    ]
)


@kernel
def _is_known(exec_type):
    """Whether FIX 4.2 or 4.4 knows this ExecType(150)."""
    return t.EXEC_NEW <= exec_type <= t.EXEC_SUSPENDED or t.EXEC_PENDING_NEW <= exec_type <= t.EXEC_ORDER_STATUS


@kernel
def _action_of(version, index, buf):
    """What a report does, from ExecTransType(20) in 4.2 and ExecType(150)."""
    exec_type = char_of(index, buf, t.ExecType, 0)
    if version == a.VERSION_42:
        trans = char_of(index, buf, t.ExecTransType, 0)
        known = t.TRANS_NEW <= trans <= t.TRANS_STATUS
        if not known and find(index, t.ExecRefID) >= 0:
            return UNCLEAR
        if trans == t.TRANS_CANCEL:
            return BUST
        if trans == t.TRANS_CORRECT:
            return CORRECT
        if trans == t.TRANS_STATUS:
            return STATUS
    if exec_type == t.EXEC_TRADE_CANCEL:
        return BUST
    if exec_type == t.EXEC_TRADE_CORRECT:
        return CORRECT
    if exec_type == t.EXEC_ORDER_STATUS:
        return STATUS
    if exec_type == t.EXEC_TRADE or exec_type == t.EXEC_PARTIAL_FILL_42 or exec_type == t.EXEC_FILL_42:
        return TRADE
    if _is_known(exec_type):
        return CHANGE
    if find(index, t.ExecRefID) >= 0:
        return UNCLEAR
    return CHANGE if quantity_of(index, buf, t.LastQty) <= 0 else TRADE


@kernel
def _learn_price(s, o, index, buf):
    """Take note of a Price(44) that the venue itself has changed."""
    price = decimal_of(index, buf, t.Price)
    r = s.requests[o.accepted]
    if price > 0 and r.price_e8 > 0 and r.ord_type != t.PEGGED:  # of a peg it may be where it stands now
        r.price_e8 = price


@kernel
def _accept_replace(s, o, request, index, buf):
    """The venue's Replaced: the request's terms are in force; its 38 wins over what we asked for."""
    r = s.requests[request]
    if r.kind == t.ORDER_CANCEL_REPLACE_REQUEST and r.state == a.REQUEST_PENDING:
        unlink_pending(s, o, request)
        r.state = a.REQUEST_ACCEPTED
        o.accepted = request
        o.qty_e8 = r.qty_e8
    else:
        _learn_price(s, o, index, buf)
    told = quantity_of(index, buf, t.OrderQty)
    if s.sessions[o.venue].replaces_open == 1:
        # Its 38 is what was open when it took the replace.
        if told > 0:
            cum = told_cum(o, index, buf)
            o.qty_e8 = (cum if cum != NONE else o.cum_e8) + told
        if find(index, t.LeavesQty) >= 0:
            o.qty_e8 = o.cum_e8 + max(quantity_of(index, buf, t.LeavesQty), 0)
    elif told > 0:
        o.qty_e8 = told + o.restated_e8
    o.replaced = 1
    if not closed(o.status):
        o.status = t.STATUS_NEW
        o.status = trade_status(s, o)
        if o.status == t.STATUS_FILLED:
            o.qty_e8 = o.cum_e8
    settle(s, o)
    if s.sessions[o.session].dropped_ns != NONE:
        s.sweeps_on = 2  # it may be canceled by its new terms


@kernel
def _restate(s, out, buf, event, row):
    """The venue itself has changed the order's terms: ExecType(150) Restated."""
    o = s.orders[row]
    index = s.work.index
    _learn_price(s, o, index, buf)
    if is_restated(o, index, buf, True):
        alert_once(s, out, al.RESTATED_LOWER, row, buf, event)
        take_terms(s, o, index, buf)
        return
    told = quantity_of(index, buf, t.OrderQty)
    if told <= 0:
        return
    if told + o.restated_e8 <= o.cum_e8 and find(index, t.LeavesQty) < 0 and says_working(index, buf):
        alert_once(s, out, al.NO_SUM, row, buf, event)  # it works, but nobody knows with how much
        return
    o.qty_e8 = told + o.restated_e8


@kernel
def _apply_change(s, out, buf, event, row, request, exec_type):
    """Every report that is not about an execution."""
    o = s.orders[row]
    index = s.work.index
    r = s.requests[request]
    if exec_type != t.EXEC_RESTATED or not is_restated(o, index, buf, True):
        before = o.cum_e8
        learn_cum(o, index, buf)
        settle(s, o)
        if o.cum_e8 != before:
            alert_once(s, out, al.FILLS_MISSED, row, buf, event)
        replaced = exec_type == t.EXEC_REPLACED and s.sessions[o.venue].replaces_open == 0
        if (replaced or exec_type == t.EXEC_RESTATED) and doubt_lower_cum(o, index, buf):
            alert_once(s, out, al.LOWER_CUM, row, buf, event)
    learn_average(o, index, buf)
    reopen(o, index, buf)
    if exec_type == t.EXEC_PENDING_CANCEL or exec_type == t.EXEC_PENDING_REPLACE:
        if r.state == a.REQUEST_PENDING and r.ours == 0:
            r.acknowledged = 1
    elif exec_type == t.EXEC_REPLACED:
        _accept_replace(s, o, request, index, buf)
    elif exec_type == t.EXEC_CANCELED or exec_type == t.EXEC_EXPIRED or exec_type == t.EXEC_REJECTED:
        if r.kind == t.ORDER_CANCEL_REQUEST and r.state == a.REQUEST_PENDING:
            unlink_pending(s, o, request)
            r.state = a.REQUEST_ACCEPTED
        o.status = exec_type
    elif exec_type == t.EXEC_RESTATED or exec_type == t.EXEC_NEW:
        if exec_type == t.EXEC_RESTATED:
            _restate(s, out, buf, event, row)
        # A venue that says the order works is believed, whatever was said before: a GT order's next day, say.
        halted = o.status == t.STATUS_SUSPENDED or o.status == t.STATUS_STOPPED
        if halted or rank(o.status) > rank(t.STATUS_FILLED):
            if says_working(index, buf) and char_of(index, buf, t.OrdStatus, 0) != o.status:
                o.status = t.STATUS_NEW
        if o.status == t.STATUS_PENDING_NEW:
            o.status = t.STATUS_NEW
    elif rank(o.status) < rank(exec_type):
        o.terms += 1 if exec_type == t.STATUS_DONE_FOR_DAY else 0
        # Pending New, Stopped, Suspended, Calculated, Done for Day; anything else ranks lowest.
        o.status = exec_type
    refresh_status(s, o)


@kernel
def _learn_venue_order_id(s, buf, event, row):
    """Keep the venue's OrderID(37); the last one counts, since some give a new one with each replace. One that another
    open order has is not learned: a cancel would name the wrong order. Returns whether it is one.
    """
    o = s.orders[row]
    index = s.work.index
    f = find(index, t.OrderID)
    if f < 0 or index.length[f] > a.ID_BYTES:
        return False
    start = index.start[f]
    size = index.length[f]
    if size == o.venue_order_id_size and same_bytes(o.venue_order_id, 0, buf, start, size):
        return False
    no_id = size == 1 and buf[start] == 48 or size == NO_ORDER_ID.size and same_bytes(buf, start, NO_ORDER_ID, 0, size)
    other = find_by_venue_order_id(s, o.venue, buf, start, size)
    if other != NONE and other != row and s.orders[other].counted_open == 1:
        return True
    if not no_id:
        unlink_venue_order_id(s, row)
        copy_bytes(o.venue_order_id, 0, buf, start, size)
        o.venue_order_id_size = size
        link_venue_order_id(s, row)
    return False


@kernel
def _other_account(s, o, index, buf):
    """Whether a report names an account that is known, in Account(1), and not the order's."""
    f = find(index, t.Account)
    account = find_entity(s, a.ACCOUNT, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    return account != NONE and account != o.entities[a.ACCOUNT]


@kernel
def _request_of(s, venue, index, buf):
    """The request that a report is about: (by ClOrdID(11) or OrigClOrdID(41), False), or else (by OrderID(37), True),
    since a venue's desk may have changed the order under ids of its own. NONE: it is not ours.
    """
    for tag in (t.ClOrdID, t.OrigClOrdID):
        request = child_named(s, venue, index, buf, tag)
        if request != NONE:
            return request, False
    f = find(index, t.OrderID)
    if f < 0:
        return NONE, False
    row = find_by_venue_order_id(s, venue, buf, index.start[f], index.length[f])
    if row != NONE and s.orders[row].ended_day > 0 and find(index, t.ExecRefID) < 0:
        return NONE, False  # a venue may give the same ones each day
    if row == NONE or contradicts(s, s.orders[row], index, buf) or _other_account(s, s.orders[row], index, buf):
        return NONE, False
    return s.orders[row].accepted, True


@kernel
def _is_past(s, request):
    """Whether the terms of a request were in force and are no more."""
    r = s.requests[request]
    return r.state != a.REQUEST_PENDING and s.orders[r.order].accepted != request


@kernel
def execution_report(s, out, buf, event):
    """Apply an ExecutionReport(8) to its order and send the EMS its own."""
    index = s.work.index
    venue = event.session
    action = _action_of(s.sessions[venue].version, index, buf)
    quantity = quantity_of(index, buf, t.LastQty)
    request, by_order_id = _request_of(s, venue, index, buf)
    row = s.requests[request].order if request != NONE else NONE
    execution = NONE
    if action != STATUS:
        is_fill = action != CHANGE and action != UNCLEAR and not (action == TRADE and quantity <= 0)
        no_fill = 0 if is_fill else 1
        execution, seen = remember(s, venue, row, index, buf, no_fill)
        if seen:
            _on_repeated_report(s, out, buf, event, row)
            if row != NONE and action == TRADE and is_leg(index, buf) and s.executions[execution].leg == 0:
                alert_once(s, out, al.LEG_NOT_BOOKED, row, buf, event)  # under the ExecID of the whole
            return
        if execution == NONE and no_fill == 0 and s.execution_count == s.executions.size:
            # Nothing more can be counted once and for all.
            s.fault |= FAULT_EXECUTIONS_FULL
            alert_once(s, out, al.TABLE_FULL, row, buf, event)
    if request == NONE:
        unknown_report(s, out, buf, event, action, execution)
        if index.garbled > 0:
            ask_about_all(s, venue)
        return
    told = NONE
    if action == STATUS:
        s.sessions[venue].status_out = max(s.sessions[venue].status_out - 1, 0)
    if action == STATUS and answers_doubt(s, request, index, buf):
        told = answer_in_doubt(s, out, buf, event, request)
        if told == 0:
            return
        action = CHANGE
    if s.orders[row].ended_day > 0 and event.poss_dup == 1 and action != BUST and action != CORRECT:
        alert_once(s, out, al.OLD_REPORT, row, buf, event)
        return
    if s.orders[row].ended_day > 0 and quantity_of(index, buf, t.LeavesQty) > 0:
        s.orders[row].ended_day = 0  # it works there, whatever day it is of
        revive_requests(s, row)
    id_of_another = _learn_venue_order_id(s, buf, event, row)
    settle(s, s.orders[row])
    before = s.orders[row].status
    if is_leg(index, buf) and action == TRADE:
        leg_fill(s, out, buf, event, row, execution)
    else:
        _apply(s, out, buf, event, request, execution, action, told, by_order_id)
    if s.orders[row].counted_open == 1 and s.orders[row].ended_day > 0:
        s.orders[row].ended_day = 0
        revive_requests(s, row)
    if s.orders[row].status != before and s.orders[row].cancel_tries > 1:
        try_soon(s, s.orders[row])
    # Anything else that there was to tell is worse.
    if id_of_another:
        alert_once(s, out, al.SAME_ORDER_ID, row, buf, event)
    if is_too_precise(index, buf, t.LastQty) or is_too_precise(index, buf, t.CumQty):
        alert_once(s, out, al.TOO_PRECISE, row, buf, event)


@kernel
def _apply(s, out, buf, event, request, execution, action, told, by_order_id):
    """Apply a report to the order that it is about. `told`: ExecType(150) that the status of an order in doubt amounts
    to, or NONE.
    """
    index = s.work.index
    row = s.requests[request].order
    quantity = quantity_of(index, buf, t.LastQty)
    if action == TRADE and quantity <= 0:
        take_no_fill(s, out, buf, event, row, quantity)
        action = STATUS
    if action == BUST or action == CORRECT:
        bust_report(s, out, buf, event, row, execution, action)
    elif action == UNCLEAR:
        unclear_report(s, out, buf, event, row)
    elif action == TRADE:
        trade_report(s, out, buf, event, row, execution, quantity)
    else:
        exec_type = told if told != NONE else char_of(index, buf, t.ExecType, t.EXEC_ORDER_STATUS)
        if action == CHANGE and exec_type == t.EXEC_REJECTED and by_order_id:
            # Of a request of the venue's own desk, which leaves the order as it was.
            alert_once(s, out, al.UNKNOWN_REJECT, row, buf, event)
            ask_now(s, out, row)
            action = STATUS
        elif event.poss_dup == 1 and exec_type == t.EXEC_REPLACED and _is_past(s, request):
            exec_type = t.EXEC_ORDER_STATUS
        _change_report(s, out, buf, event, row, request, action, exec_type)


@kernel
def _on_repeated_report(s, out, buf, event, row):
    """A report seen before changes nothing, unless its CumQty(14) tells of a fill that nobody has counted."""
    s.duplicate_messages += 1
    if row == NONE:
        unknown_report(s, out, buf, event, STATUS, NONE)  # what it did was counted when it came first
    elif s.orders[row].corrected == 0 and s.orders[row].restated_e8 == 0:
        o = s.orders[row]
        before = o.cum_e8
        learn_more(o, s.work.index, buf)
        refresh_status(s, o)
        if o.cum_e8 != before:
            alert_once(s, out, al.REPEATED_WITH_MORE, row, buf, event)


@kernel
def _take_status(s, out, buf, event, row, request):
    """A status of an order that is sure: what it tells besides what is known is counted, or asked about."""
    o = s.orders[row]
    index = s.work.index
    before = o.cum_e8
    reopen(o, index, buf)
    if o.corrected == 0:
        learn_cum(o, index, buf)
    learn_average(o, index, buf)
    refresh_status(s, o)
    status = char_of(index, buf, t.OrdStatus, 0)
    # Rejected may be about a request that it did not take, long settled.
    if status == t.STATUS_CANCELED or status == t.STATUS_EXPIRED or status == t.STATUS_FILLED:
        ask_about_closed(s, out, buf, event, row)
    elif status == t.STATUS_REJECTED and request == o.accepted and o.counted_open == 1:
        alert_once(s, out, al.UNKNOWN_THERE, row, buf, event)
    if o.cum_e8 != before:
        alert_once(s, out, al.FILLS_MISSED, row, buf, event)
    check_leaves(s, out, buf, event, row, False)


@kernel
def _change_report(s, out, buf, event, row, request, action, exec_type):
    o = s.orders[row]
    index = s.work.index
    before = o.accepted
    r = s.requests[request]
    if action == CHANGE and exec_type == t.EXEC_REJECTED and r.kind != t.NEW_ORDER_SINGLE:
        # Some venues refuse a cancel or replace so, instead of with 35=9.
        if r.state == a.REQUEST_PENDING:
            refuse_request(s, out, buf, request, t.CANCEL_BROKER_OPTION, True)
            return
        if request != o.accepted:
            alert_once(s, out, al.UNKNOWN_REJECT, row, buf, event)
            return
    ends = action == CHANGE and is_over(s, o, exec_type)
    works = o.counted_open == 1 or (closed(exec_type) and says_working(index, buf))
    if ends and works and works_on(index, buf):
        alert_once(s, out, al.NOT_ENDED, row, buf, event)
        exec_type = t.EXEC_ORDER_STATUS
        ask_now(s, out, row)
    if action == CHANGE:
        _apply_change(s, out, buf, event, row, request, exec_type)
        in_force = exec_type == t.EXEC_REPLACED or exec_type == t.EXEC_RESTATED
        check_leaves(s, out, buf, event, row, in_force)
    else:
        _take_status(s, out, buf, event, row, request)
    if r.ours == 1 and exec_type == t.EXEC_PENDING_CANCEL:
        return  # the EMS knows nothing of it, and would never hear that it was refused
    cl_ord_id = o.accepted
    orig = NONE
    answers_request = exec_type == t.EXEC_CANCELED and r.kind == t.ORDER_CANCEL_REQUEST
    if r.ours == 1:
        pass  # the EMS knows nothing of it
    elif answers_request or exec_type == t.EXEC_PENDING_CANCEL or exec_type == t.EXEC_PENDING_REPLACE:
        cl_ord_id = request
        orig = o.accepted if request != o.accepted else NONE
    elif exec_type == t.EXEC_REPLACED and o.accepted != before:
        orig = before
    trans = t.TRANS_NEW
    if exec_type == t.EXEC_ORDER_STATUS or action == STATUS or not _is_known(exec_type):
        # Nothing that the EMS must act on: the order as it stands.
        trans = t.TRANS_STATUS
        exec_type = status_type(s, row)
    relay = 1
    own_answer = r.ours == 0 and answers_request  # to a cancel of the EMS
    why = canceled_by_us(s, o, request) if exec_type == t.EXEC_CANCELED and not own_answer else 0
    if why != 0:
        relay = 0
        s.work.text_size = 0
        add_bytes(s.work, CANCELED_BY[why], 0, CANCELED_BY_SIZE[why])
    x = new_report(s, row, exec_type, trans)
    x.cl_ord_id = cl_ord_id
    x.orig = orig
    x.relay = relay
    report(s, out, buf, x)
