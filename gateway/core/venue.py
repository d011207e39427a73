"""ExecutionReports from a venue. Kernels only.

Reports on our orders are never refused. Each is applied once (by ExecID and venue), changes the order by FIX 4.4
Appendix D, and goes on to the EMS in terms of the EMS's own ids.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.compose import alert, dont_know_trade, order_status, report
from gateway.core.exposure import closed, settle, worst_leaves
from gateway.core.intake import FIRM_ROW, char_of, decimal_of, price_of
from gateway.core.layout import FAULT_EXECUTIONS_FULL, FAULT_UNREADABLE_FILL, NONE
from gateway.core.lookup import (
    add_execution,
    exposure_row,
    find_child,
    find_entity,
    find_execution,
    given_back,
    instrument_named,
)
from gateway.core.recovery import FILLS_MISSED, answer_in_doubt, answers_doubt
from gateway.core.refusals import UNKNOWN_REJECT, ask_about_closed, refuse_request, unlink_pending
from gateway.core.status import rank, refresh_status, trade_status
from gateway.core.sweep import canceled_by_us
from gateway.core.text import add_bytes
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, same_bytes
from gateway.jit import kernel

# What a report does, whatever the FIX version.
TRADE, BUST, CORRECT, STATUS, CHANGE = 1, 2, 3, 4, 5

UNKNOWN_REPORT = c.phrase("report on an order that is not ours: ")
OLD_REPORT = c.phrase("resent report on an order that has ended, not booked: ")
UNKNOWN_BUST = c.phrase("bust or correction of an execution that is not known: ")
UNREADABLE_FILL = c.phrase("fill without a readable LastQty(32), firm blocked: ")
REPEATED_WITH_MORE = c.phrase("repeated report that tells of a fill not seen, now counted: ")
OVERFILLED = c.phrase("the venue filled more than the order: ")
CONTRADICTION = c.phrase("the venue says that this order works though it should have ended, here it stays open: ")
NO_ORDER_ID = c.phrase("NONE")
CANCELED_BY, CANCELED_BY_SIZE = c.name_table(
    [
        *("", "canceled by the gateway: kill switch", "canceled by the gateway: the EMS is gone"),
        "canceled by the gateway: a person canceled it",
    ]
)


@kernel
def _is_known(exec_type):
    """Whether FIX 4.2 or 4.4 knows this ExecType(150)."""
    return t.EXEC_NEW <= exec_type <= t.EXEC_SUSPENDED or t.EXEC_PENDING_NEW <= exec_type <= t.EXEC_ORDER_STATUS


@kernel
def _action_of(version, index, buf):
    """TRADE, BUST, CORRECT, STATUS or CHANGE, from ExecTransType(20) in 4.2 and ExecType(150)."""
    exec_type = char_of(index, buf, t.ExecType, 0)
    if version == a.VERSION_42:
        trans = char_of(index, buf, t.ExecTransType, t.TRANS_NEW)
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
    return CHANGE if _is_known(exec_type) or decimal_of(index, buf, t.LastQty) <= 0 else TRADE


@kernel
def _learn_cum(o, index, buf):
    """Take note of CumQty(14) and AvgPx(6): a higher CumQty than the fills seen means that one was missed."""
    o.venue_cum_e8 = max(o.venue_cum_e8, decimal_of(index, buf, t.CumQty))
    average = price_of(index, buf, t.AvgPx)
    if average != 0:
        o.avg_px_e8 = average


@kernel
def _apply_bust(s, o, x, index, buf, qty_e8):
    """Replace the quantity of an execution: 0 for a bust, another for a correction."""
    told = decimal_of(index, buf, t.CumQty)
    o.venue_cum_e8 = max(o.venue_cum_e8 + qty_e8 - x.qty_e8, max(told, 0))
    o.fills_e8 += qty_e8 - x.qty_e8
    o.corrected = 1
    x.qty_e8 = qty_e8
    if find(index, t.AvgPx) >= 0:
        o.avg_px_e8 = price_of(index, buf, t.AvgPx)
    settle(s, o)
    if not closed(o.status) and rank(o.status) <= rank(t.STATUS_FILLED):
        o.status = trade_status(o)
    settle(s, o)


@kernel
def _learn_price(s, o, index, buf):
    """Take note of a Price(44) that the venue itself has changed."""
    price = decimal_of(index, buf, t.Price)
    r = s.requests[o.accepted]
    if price > 0 and r.price_e8 > 0:
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
    told = decimal_of(index, buf, t.OrderQty)
    if told > 0:
        o.qty_e8 = told
    o.replaced = 1
    o.status = t.STATUS_NEW if not closed(o.status) else o.status
    settle(s, o)
    if not closed(o.status):
        o.status = trade_status(o)
        if o.status == t.STATUS_FILLED:
            o.qty_e8 = o.cum_e8
    settle(s, o)
    if s.sessions[o.session].dropped_ns != NONE:
        s.sweeps_on = 1  # it may be canceled by its new terms


@kernel
def _says_working(index, buf):
    """Whether the venue's report says that something can still trade: LeavesQty(151), or without it OrdStatus(39)."""
    status = char_of(index, buf, t.OrdStatus, 0)
    if find(index, t.LeavesQty) >= 0:
        return decimal_of(index, buf, t.LeavesQty) > 0 and not closed(status)
    return status == t.STATUS_NEW or status == t.STATUS_PARTIALLY_FILLED


@kernel
def _reopen(o, index, buf):
    """Open a closed order again when the venue tells of leaves: what closed it here may have been an inference."""
    if closed(o.status) and find(index, t.LeavesQty) >= 0 and _says_working(index, buf):
        o.status = t.STATUS_NEW


@kernel
def _take_end(s, o, status, index, buf):
    """A fill whose report says that it ends the order, by LeavesQty(151) and OrdStatus(39), ends it."""
    if find(index, t.LeavesQty) < 0 or decimal_of(index, buf, t.LeavesQty) != 0 or worst_leaves(s, o) == 0:
        return
    if closed(status):
        o.status = status
    elif status == t.STATUS_FILLED and decimal_of(index, buf, t.CumQty) == o.cum_e8:
        o.qty_e8 = o.cum_e8
    refresh_status(s, o)


@kernel
def _keep_open(s, out, buf, event, o):
    """An order that is done by our count stays open while its venue says otherwise, unless that is a report that comes
    late: what is open here is canceled when it should be, what is closed is forgotten.
    """
    index = s.work.index
    told = decimal_of(index, buf, t.LeavesQty)
    if told <= 0 or closed(o.status) or worst_leaves(s, o) > 0:
        return
    if decimal_of(index, buf, t.CumQty) + told > o.cum_e8 or o.venue_cum_e8 < o.cum_e8:
        alert(s, out, CONTRADICTION, buf, event.start, event.length)
        o.qty_e8 = o.cum_e8 + told
        refresh_status(s, o)


@kernel
def _apply_change(s, o, request, exec_type, index, buf):
    """Every report that is not about an execution."""
    r = s.requests[request]
    _learn_cum(o, index, buf)
    _reopen(o, index, buf)
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
        told = decimal_of(index, buf, t.OrderQty)
        if exec_type == t.EXEC_RESTATED:
            o.qty_e8 = told if told > 0 else o.qty_e8
            _learn_price(s, o, index, buf)
        # A venue that says the order works is believed, whatever was said before: a GT order's next day, say.
        halted = o.status == t.STATUS_SUSPENDED or o.status == t.STATUS_STOPPED
        if halted or rank(o.status) > rank(t.STATUS_FILLED):
            if _says_working(index, buf) and char_of(index, buf, t.OrdStatus, 0) != o.status:
                o.status = t.STATUS_NEW
        if o.status == t.STATUS_PENDING_NEW:
            o.status = t.STATUS_NEW
    elif rank(o.status) < rank(exec_type):
        # Pending New, Stopped, Suspended, Calculated, Done for Day; anything else ranks lowest.
        o.status = exec_type
    refresh_status(s, o)


@kernel
def _learn_venue_order_id(o, index, buf):
    """Keep the venue's OrderID(37); the last one counts, since some give a new one with each replace."""
    f = find(index, t.OrderID)
    if f < 0 or index.length[f] > a.ID_BYTES:
        return
    start = index.start[f]
    size = index.length[f]
    no_id = size == 1 and buf[start] == 48 or size == NO_ORDER_ID.size and same_bytes(buf, start, NO_ORDER_ID, 0, size)
    if not no_id:
        copy_bytes(o.venue_order_id, 0, buf, start, size)
        o.venue_order_id_size = size


@kernel
def _direction(index, buf):
    """1 for a Side(54) that buys, -1 for one that sells, 0 for any other or none."""
    side = char_of(index, buf, t.Side, 0)
    if side == t.BUY or side == t.BUY_MINUS:
        return 1
    sells = side == t.SELL or side == t.SELL_PLUS or side == t.SELL_SHORT or side == t.SELL_SHORT_EXEMPT
    return -1 if sells else 0


@kernel
def _book_unknown(s, index, buf, row):
    """A fill of an order we do not know still changes positions: the firm's, the instrument's, the named account's; not
    by guess where it does not say which way.
    """
    instrument = instrument_named(s, index, buf)
    direction = _direction(index, buf)
    if instrument == NONE or direction == 0:
        return
    s.executions[row].qty_e8 = decimal_of(index, buf, t.LastQty)
    quantity = direction * s.executions[row].qty_e8
    account = NONE
    f = find(index, t.Account)
    if f >= 0:
        account = find_entity(s, a.ACCOUNT, buf, index.start[f], index.length[f])
    for entity in (FIRM_ROW, s.instruments[instrument].entity, account):
        if entity != NONE:
            exposure = exposure_row(s, entity, instrument)
            if exposure != NONE:
                s.exposures[exposure].position_e8 += quantity


@kernel
def _remember(s, venue, order, index, buf):
    """Row of the report's ExecID on its order: (row, seen before). NONE: it has no ExecID, or the table is full."""
    f = find(index, t.ExecID)
    if f < 0 or (index.length[f] == 1 and buf[index.start[f]] == 48):
        return NONE, False
    row = find_execution(s, venue, order, buf, index.start[f], index.length[f])
    if row != NONE:
        return row, True
    return add_execution(s, venue, order, buf, index.start[f], index.length[f]), False


@kernel
def _named_by_venue(s, venue, index, buf):
    """Request in force of the order that a report without ClOrdID names by the venue's OrderID(37), or NONE."""
    f = find(index, t.OrderID)
    if f < 0 or index.length[f] > a.ID_BYTES:
        return NONE
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number != NONE and o.venue == venue and o.venue_order_id_size == index.length[f]:
            if same_bytes(o.venue_order_id, 0, buf, index.start[f], index.length[f]):
                return o.accepted
    return NONE


@kernel
def execution_report(s, out, buf, event):
    """Apply an ExecutionReport(8) to its order and send the EMS its own."""
    index = s.work.index
    venue = event.session
    action = _action_of(s.sessions[venue].version, index, buf)
    f = find(index, t.ClOrdID)
    request = find_child(s, venue, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    f = find(index, t.OrigClOrdID)
    if request == NONE and f >= 0:
        request = find_child(s, venue, buf, index.start[f], index.length[f])
    if request == NONE and f < 0 and find(index, t.ClOrdID) < 0:
        request = _named_by_venue(s, venue, index, buf)
    row = s.requests[request].order if request != NONE else NONE
    execution = NONE
    if action != STATUS:
        execution, seen = _remember(s, venue, row, index, buf)
        if seen:
            _on_repeated_report(s, out, buf, event, row)
            return
    quantity = decimal_of(index, buf, t.LastQty)
    if action == TRADE and (quantity <= 0 or execution == NONE):
        # Without a quantity or an ExecID the fill cannot be counted once and for all: nothing more may go out.
        s.fault |= FAULT_UNREADABLE_FILL if quantity <= 0 else FAULT_EXECUTIONS_FULL
        alert(s, out, UNREADABLE_FILL, buf, event.start, event.length)
        if quantity <= 0:
            return
    if request == NONE:
        s.unknown_executions += 1
        f = find(index, t.ClOrdID)
        old = event.poss_dup == 1 and f >= 0 and given_back(s, buf, index.start[f], index.length[f])
        # What is resent of a day that has ended was booked then.
        if action == TRADE and execution != NONE and not old:
            _book_unknown(s, index, buf, execution)
        alert(s, out, OLD_REPORT if old else UNKNOWN_REPORT, buf, event.start, event.length)
        if action == TRADE and not old and s.sessions[venue].tells_dont_know == 1 and _direction(index, buf) != 0:
            dont_know_trade(s, out, buf, venue)
        return
    told = NONE
    if action == STATUS and answers_doubt(s, request, index, buf):
        told = answer_in_doubt(s, out, buf, event, request)
        if told == 0:
            return
        action = CHANGE
    _learn_venue_order_id(s.orders[row], index, buf)
    settle(s, s.orders[row])
    if action == BUST or action == CORRECT:
        _bust_report(s, out, buf, event, row, execution, action)
    elif action == TRADE:
        _trade_report(s, out, buf, event, row, execution, quantity)
    else:
        if told == NONE:
            told = char_of(index, buf, t.ExecType, t.EXEC_ORDER_STATUS)
        _change_report(s, out, buf, event, row, request, action, told)


@kernel
def _on_repeated_report(s, out, buf, event, row):
    """A report seen before changes nothing, unless its CumQty(14) tells of a fill that nobody has counted."""
    s.duplicate_messages += 1
    if row == NONE:
        alert(s, out, UNKNOWN_REPORT, buf, event.start, event.length)
    elif s.orders[row].corrected == 0:
        o = s.orders[row]
        before = o.cum_e8
        _learn_cum(o, s.work.index, buf)
        refresh_status(s, o)
        if o.cum_e8 != before:
            alert(s, out, REPEATED_WITH_MORE, buf, event.start, event.length)


@kernel
def _trade_report(s, out, buf, event, row, execution, quantity):
    o = s.orders[row]
    index = s.work.index
    _reopen(o, index, buf)
    status = char_of(index, buf, t.OrdStatus, 0)
    if (o.status == t.STATUS_DONE_FOR_DAY or o.status == t.STATUS_CALCULATED) and status != o.status:
        # A fill of the next day, of which nothing else was told.
        o.status = t.STATUS_NEW if _says_working(index, buf) else o.status
    o.fills_e8 += quantity
    _learn_cum(o, index, buf)
    refresh_status(s, o)
    _take_end(s, o, status, index, buf)
    _keep_open(s, out, buf, event, o)
    if o.cum_e8 > o.qty_e8:
        alert(s, out, OVERFILLED, buf, event.start, event.length)
    s.next_exec += 1
    number = s.next_exec
    if execution != NONE:
        x = s.executions[execution]
        x.qty_e8 = quantity
        x.number = number
    exec_type = t.EXEC_TRADE
    if s.sessions[o.session].version == a.VERSION_42:
        exec_type = t.EXEC_FILL_42 if o.status == t.STATUS_FILLED else t.EXEC_PARTIAL_FILL_42
    report(s, out, buf, row, o.accepted, NONE, exec_type, t.TRANS_NEW, quantity, number, NONE, True)


@kernel
def _bust_report(s, out, buf, event, row, execution, action):
    """Bust or correction of the execution that ExecRefID(19) names."""
    o = s.orders[row]
    index = s.work.index
    f = find(index, t.ExecRefID)
    busted = find_execution(s, event.session, row, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    if busted == NONE or s.executions[busted].number == 0:
        alert(s, out, UNKNOWN_BUST, buf, event.start, event.length)
        return
    named = busted
    if s.executions[busted].corrects != NONE:
        busted = s.executions[busted].corrects
    x = s.executions[busted]
    corrected = decimal_of(index, buf, t.LastQty) if find(index, t.LastQty) >= 0 else x.qty_e8
    if action == CORRECT and corrected < 0:
        s.fault |= FAULT_UNREADABLE_FILL
        alert(s, out, UNREADABLE_FILL, buf, event.start, event.length)
        return
    quantity = corrected if action == CORRECT else x.qty_e8
    _apply_bust(s, o, x, index, buf, quantity if action == CORRECT else 0)
    s.next_exec += 1
    if execution != NONE and action == CORRECT:
        # A later bust may name the correction instead of the execution that it corrected.
        s.executions[execution].number = s.next_exec
        s.executions[execution].corrects = busted
    exec_type = t.EXEC_TRADE_CANCEL if action == BUST else t.EXEC_TRADE_CORRECT
    trans = t.TRANS_CANCEL if action == BUST else t.TRANS_CORRECT
    if s.sessions[o.session].version == a.VERSION_42:
        exec_type = order_status(s, o)
    report(s, out, buf, row, o.accepted, NONE, exec_type, trans, quantity, s.next_exec, named, True)


@kernel
def _take_status(s, out, buf, event, o):
    """A status of an order that is sure: what it tells besides what is known is counted, or asked about."""
    index = s.work.index
    before = o.cum_e8
    _reopen(o, index, buf)
    if o.corrected == 0:
        _learn_cum(o, index, buf)
    refresh_status(s, o)
    if o.cum_e8 != before:
        alert(s, out, FILLS_MISSED, buf, event.start, event.length)
    _keep_open(s, out, buf, event, o)
    status = char_of(index, buf, t.OrdStatus, 0)
    # Rejected may be about a request that it did not take, long settled.
    if status == t.STATUS_CANCELED or status == t.STATUS_EXPIRED or status == t.STATUS_FILLED:
        ask_about_closed(s, out, buf, event, o)


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
            alert(s, out, UNKNOWN_REJECT, buf, event.start, event.length)
            return
    if action == CHANGE and closed(exec_type) and find(index, t.LeavesQty) >= 0 and _says_working(index, buf):
        alert(s, out, CONTRADICTION, buf, event.start, event.length)
        exec_type = t.EXEC_ORDER_STATUS
    if action == CHANGE:
        _apply_change(s, o, request, exec_type, index, buf)
        _keep_open(s, out, buf, event, o)
    else:
        _take_status(s, out, buf, event, o)
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
    s.next_exec += 1
    trans = t.TRANS_NEW
    if exec_type == t.EXEC_ORDER_STATUS or action == STATUS or not _is_known(exec_type):
        # Nothing that the EMS must act on: the order as it stands.
        trans = t.TRANS_STATUS
        exec_type = t.EXEC_ORDER_STATUS if s.sessions[o.session].version == a.VERSION_44 else order_status(s, o)
    relay = True
    own_answer = r.ours == 0 and answers_request  # to a cancel of the EMS
    if exec_type == t.EXEC_CANCELED and not own_answer and canceled_by_us(s, o, request):
        relay = False
        s.work.text_size = 0
        reason = CANCELED_BY[o.canceled_by]
        add_bytes(s.work, reason, 0, CANCELED_BY_SIZE[o.canceled_by])
    report(s, out, buf, row, cl_ord_id, orig, exec_type, trans, -1, s.next_exec, NONE, relay)
