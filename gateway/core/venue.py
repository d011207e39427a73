"""Messages from a venue: ExecutionReport, OrderCancelReject, market data; children that never arrived. Kernels only.

Reports on our orders are never refused. Each is applied once (by ExecID and venue), changes the order by FIX 4.4
Appendix D, and goes on to the EMS in terms of the EMS's own ids.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.compose import alert, cancel_reject, order_status, report
from gateway.core.exposure import closed, settle
from gateway.core.intake import FIRM_ROW, char_of, decimal_of
from gateway.core.layout import FAULT_EXECUTIONS_FULL, FAULT_UNREADABLE_FILL, NONE
from gateway.core.lookup import (
    add_execution,
    exposure_row,
    find_child,
    find_entity,
    find_execution,
    find_security,
    find_symbol,
    free_request,
)
from gateway.core.text import add_bytes
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, parse_decimal, parse_int, same_bytes
from gateway.jit import kernel

# What a report does, whatever the FIX version.
TRADE, BUST, CORRECT, STATUS, CHANGE = 1, 2, 3, 4, 5

UNKNOWN_REPORT = c.phrase("report on an order that is not ours: ")
UNKNOWN_BUST = c.phrase("bust or correction of an execution that is not known: ")
UNKNOWN_REJECT = c.phrase("reject of a request that is not ours: ")
UNREADABLE_FILL = c.phrase("fill without a readable LastQty(32), firm blocked: ")
LATE_UNDELIVERED = c.phrase("the venue acknowledged an order and now says it never had it: ")
NOT_DELIVERED = c.phrase("the venue did not receive this message")
REPEATED_WITH_MORE = c.phrase("repeated report that tells of a fill not seen, now counted: ")
REFUSED_BY_VENUE = c.phrase("the venue refused this message: ")
OVERFILLED = c.phrase("the venue filled more than the order: ")
CONTRADICTION = c.phrase("the venue closes an order and says that it works, here it stays open: ")
CLOSED_THERE = c.phrase("the venue says that this order is closed, here it counts as open: ")
NO_ORDER_ID = c.phrase("NONE")


@kernel
def unlink_pending(s, o, request):
    """Take a request out of the order's list of pending ones."""
    if o.pending == request:
        o.pending = s.requests[request].older
        return
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.older == request:
            r.older = s.requests[request].older
            return
        row = r.older


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
def _rank(status):
    """Precedence of OrdStatus in FIX 4.4 Appendix D, without the pending states: higher stands."""
    if closed(status):
        return 10
    if status == t.STATUS_DONE_FOR_DAY:
        return 9
    if status == t.STATUS_CALCULATED:
        return 8
    if status == t.STATUS_FILLED:
        return 7
    if status == t.STATUS_STOPPED:
        return 6
    if status == t.STATUS_SUSPENDED:
        return 5
    if status == t.STATUS_PARTIALLY_FILLED:
        return 3
    if status == t.STATUS_NEW:
        return 2
    return 1


@kernel
def _trade_status(o):
    """New, partially filled or filled, by quantity alone."""
    if o.cum_e8 >= o.qty_e8:
        return t.STATUS_FILLED
    return t.STATUS_PARTIALLY_FILLED if o.cum_e8 > 0 else t.STATUS_NEW


@kernel
def _refresh_status(s, o):
    """Bring status and exposure in step after a quantity changed; a closed order stays closed."""
    settle(s, o)
    traded = _trade_status(o)
    by_quantity = o.status == t.STATUS_FILLED or o.status == t.STATUS_PARTIALLY_FILLED or o.status == t.STATUS_NEW
    if by_quantity or (o.cum_e8 > 0 and _rank(o.status) < _rank(traded)):
        o.status = traded


@kernel
def _learn_cum(o, index, buf):
    """Take note of CumQty(14) and AvgPx(6): a higher CumQty than the fills seen means that one was missed."""
    o.venue_cum_e8 = max(o.venue_cum_e8, decimal_of(index, buf, t.CumQty))
    average = decimal_of(index, buf, t.AvgPx)
    if average > 0:
        o.avg_px_e8 = average


@kernel
def _apply_bust(s, o, x, index, buf, qty_e8):
    """Replace the quantity of an execution: 0 for a bust, another for a correction."""
    told = decimal_of(index, buf, t.CumQty)
    o.venue_cum_e8 = max(o.venue_cum_e8 + qty_e8 - x.qty_e8, max(told, 0))
    o.fills_e8 += qty_e8 - x.qty_e8
    o.corrected = 1
    x.qty_e8 = qty_e8
    average = decimal_of(index, buf, t.AvgPx)
    if average >= 0:
        o.avg_px_e8 = average
    settle(s, o)
    if not closed(o.status) and _rank(o.status) <= _rank(t.STATUS_FILLED):
        o.status = _trade_status(o)
    settle(s, o)


@kernel
def _accept_replace(s, o, request, index, buf):
    """The venue's Replaced: the request's terms are in force; its 38 wins over what we asked for."""
    r = s.requests[request]
    if r.kind == t.ORDER_CANCEL_REPLACE_REQUEST and r.state == a.REQUEST_PENDING:
        unlink_pending(s, o, request)
        r.state = a.REQUEST_ACCEPTED
        o.accepted = request
        o.qty_e8 = r.qty_e8
    told = decimal_of(index, buf, t.OrderQty)
    if told > 0:
        o.qty_e8 = told
    o.replaced = 1
    o.status = t.STATUS_NEW if not closed(o.status) else o.status
    settle(s, o)
    if not closed(o.status):
        o.status = _trade_status(o)
        if o.status == t.STATUS_FILLED:
            o.qty_e8 = o.cum_e8
    settle(s, o)


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
def _apply_change(s, o, request, exec_type, index, buf):
    """Every report that is not about an execution."""
    r = s.requests[request]
    _learn_cum(o, index, buf)
    _reopen(o, index, buf)
    if exec_type == t.EXEC_PENDING_CANCEL or exec_type == t.EXEC_PENDING_REPLACE:
        if r.state == a.REQUEST_PENDING:
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
        if exec_type == t.EXEC_RESTATED and told > 0:
            o.qty_e8 = told
        # A venue that says the order works is believed, whatever was said before: a GT order's next day, say.
        if _says_working(index, buf) and _rank(o.status) > _rank(t.STATUS_FILLED):
            o.status = t.STATUS_NEW
        if o.status == t.STATUS_PENDING_NEW:
            o.status = t.STATUS_NEW
    elif _rank(o.status) < _rank(exec_type):
        # Pending New, Stopped, Suspended, Calculated, Done for Day; anything else ranks lowest.
        o.status = exec_type
    _refresh_status(s, o)


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
def _book_unknown(s, index, buf, row):
    """A fill of an order we do not know still changes positions: the firm's, the instrument's, the named account's."""
    symbol = find(index, t.Symbol)
    security = find(index, t.SecurityID)
    instrument = NONE
    if symbol >= 0:
        instrument = find_symbol(s, buf, index.start[symbol], index.length[symbol])
    if instrument == NONE and security >= 0:
        instrument = find_security(s, buf, index.start[security], index.length[security])
    if instrument == NONE:
        return
    s.executions[row].qty_e8 = decimal_of(index, buf, t.LastQty)
    quantity = s.executions[row].qty_e8 if char_of(index, buf, t.Side, 0) == t.BUY else -s.executions[row].qty_e8
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
        if action == TRADE and execution != NONE:
            _book_unknown(s, index, buf, execution)
        alert(s, out, UNKNOWN_REPORT, buf, event.start, event.length)
        return
    _learn_venue_order_id(s.orders[row], index, buf)
    if action == BUST or action == CORRECT:
        _bust_report(s, out, buf, event, row, execution, action)
    elif action == TRADE:
        _trade_report(s, out, buf, event, row, execution, quantity)
    else:
        _change_report(s, out, buf, event, row, request, action)


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
        _refresh_status(s, o)
        if o.cum_e8 != before:
            alert(s, out, REPEATED_WITH_MORE, buf, event.start, event.length)


@kernel
def _trade_report(s, out, buf, event, row, execution, quantity):
    o = s.orders[row]
    index = s.work.index
    _reopen(o, index, buf)
    price = max(decimal_of(index, buf, t.LastPx), 0)
    o.fills_e8 += quantity
    _learn_cum(o, index, buf)
    _refresh_status(s, o)
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
    report(s, out, buf, row, o.accepted, NONE, exec_type, t.TRANS_NEW, quantity, price, number, NONE, True)


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
    number = s.executions[busted].number
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
    price = max(decimal_of(index, buf, t.LastPx), 0)
    report(s, out, buf, row, o.accepted, NONE, exec_type, trans, quantity, price, s.next_exec, number, True)


@kernel
def _change_report(s, out, buf, event, row, request, action):
    o = s.orders[row]
    index = s.work.index
    exec_type = char_of(index, buf, t.ExecType, t.EXEC_ORDER_STATUS)
    before = o.accepted
    r = s.requests[request]
    if action == CHANGE and exec_type == t.EXEC_REJECTED and r.kind != t.NEW_ORDER_SINGLE:
        # Some venues refuse a cancel or replace so, instead of with 35=9.
        if r.state == a.REQUEST_PENDING:
            _refuse_request(s, out, buf, request, t.CANCEL_BROKER_OPTION, True)
            return
        if request != o.accepted:
            alert(s, out, UNKNOWN_REJECT, buf, event.start, event.length)
            return
    if action == CHANGE and closed(exec_type) and find(index, t.LeavesQty) >= 0 and _says_working(index, buf):
        alert(s, out, CONTRADICTION, buf, event.start, event.length)
        exec_type = t.EXEC_ORDER_STATUS
    if action == CHANGE:
        _apply_change(s, o, request, exec_type, index, buf)
    else:
        _reopen(o, index, buf)
        _refresh_status(s, o)
    cl_ord_id = o.accepted
    orig = NONE
    answers_request = exec_type == t.EXEC_CANCELED and r.kind == t.ORDER_CANCEL_REQUEST
    if answers_request or exec_type == t.EXEC_PENDING_CANCEL or exec_type == t.EXEC_PENDING_REPLACE:
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
    report(s, out, buf, row, cl_ord_id, orig, exec_type, trans, -1, 0, s.next_exec, NONE, True)


@kernel
def _refuse_request(s, out, buf, request, reason, relay):
    """Tell the EMS that a pending cancel or replace was refused; the order works on."""
    r = s.requests[request]
    o = s.orders[r.order]
    unlink_pending(s, o, request)
    response = t.RESPONSE_TO_CANCEL if r.kind == t.ORDER_CANCEL_REQUEST else t.RESPONSE_TO_REPLACE
    cancel_reject(s, out, buf, o.session, request, o.accepted, r.order, response, reason, relay)
    r.state = a.REQUEST_REJECTED
    settle(s, o)
    if r.kind == t.ORDER_CANCEL_REQUEST:
        free_request(s, request)


@kernel
def order_cancel_reject(s, out, buf, event):
    """OrderCancelReject(9) from a venue: the request is over, the order works on."""
    index = s.work.index
    f = find(index, t.ClOrdID)
    request = find_child(s, event.session, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    if request == NONE or s.requests[request].state != a.REQUEST_PENDING:
        alert(s, out, UNKNOWN_REJECT, buf, event.start, event.length)
        return
    f = find(index, t.CxlRejReason)
    reason = parse_int(buf, index.start[f], index.length[f]) if f >= 0 else t.CANCEL_BROKER_OPTION
    if closed(char_of(index, buf, t.OrdStatus, 0)) and s.orders[s.requests[request].order].counted_open == 1:
        alert(s, out, CLOSED_THERE, buf, event.start, event.length)
    _refuse_request(s, out, buf, request, reason if reason >= 0 else t.CANCEL_BROKER_OPTION, True)


@kernel
def _refuse_child(s, out, buf, event, request):
    """A child is not at its venue; `work.text` says why. Refuse what it stood for."""
    r = s.requests[request]
    row = r.order
    o = s.orders[row]
    if r.kind == t.NEW_ORDER_SINGLE:
        if o.status == t.STATUS_PENDING_NEW and o.venue_order_id_size == 0:
            o.status = t.STATUS_REJECTED
            settle(s, o)
            s.next_exec += 1
            report(s, out, buf, row, o.accepted, NONE, t.EXEC_REJECTED, t.TRANS_NEW, -1, 0, s.next_exec, NONE, False)
        elif o.counted_open == 1:
            alert(s, out, LATE_UNDELIVERED, buf, event.start, event.length)
    elif r.state == a.REQUEST_PENDING:
        _refuse_request(s, out, buf, request, t.CANCEL_BROKER_OPTION, False)


@kernel
def _say_refused(s, index, buf):
    """The text for a child that its venue refused, with the venue's own, or never had."""
    work = s.work
    work.text_size = 0
    f = find(index, t.Text)
    if f >= 0:
        add_bytes(work, REFUSED_BY_VENUE, 0, REFUSED_BY_VENUE.size)
        add_bytes(work, buf, index.start[f], index.length[f])
    else:
        add_bytes(work, NOT_DELIVERED, 0, NOT_DELIVERED.size)


@kernel
def undelivered(s, out, buf, event):
    """A child that its venue never had, or refused by a session Reject: the event's bytes name it in ClOrdID(11)."""
    index = s.work.index
    f = find(index, t.ClOrdID)
    request = find_child(s, event.session, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    if request != NONE:
        _say_refused(s, index, buf)
        _refuse_child(s, out, buf, event, request)


@kernel
def business_reject_of_child(s, out, buf, event):
    """BusinessMessageReject(j) from a venue: BusinessRejectRefID(379) names the child that it refuses."""
    index = s.work.index
    f = find(index, t.BusinessRejectRefID)
    request = find_child(s, event.session, buf, index.start[f], index.length[f]) if f >= 0 else NONE
    if request == NONE:
        alert(s, out, UNKNOWN_REJECT, buf, event.start, event.length)
        return
    _say_refused(s, index, buf)
    _refuse_child(s, out, buf, event, request)


@kernel
def update_quote(s, instrument, bid_e8, ask_e8, last_e8):
    """Take bid, ask and last (0: none) of an instrument; a crossed or negative quote is left aside."""
    i = s.instruments[instrument]
    if bid_e8 < 0 or ask_e8 < 0 or last_e8 < 0 or (bid_e8 > 0 and ask_e8 > 0 and bid_e8 > ask_e8):
        return
    i.bid_e8 = bid_e8
    i.ask_e8 = ask_e8
    if last_e8 > 0:
        i.last_e8 = last_e8
        i.last_ns = s.now_ns
    if bid_e8 > 0 or ask_e8 > 0 or last_e8 > 0:
        i.quote_ns = s.now_ns


@kernel
def market_data_snapshot(s, buf, venue):
    """MarketDataSnapshotFullRefresh(W): top of book and last trade of one instrument, from the venue that we asked.

    One with a price that cannot be read is left aside.
    """
    index = s.work.index
    symbol = find(index, t.Symbol)
    security = find(index, t.SecurityID)
    instrument = NONE
    if symbol >= 0:
        instrument = find_symbol(s, buf, index.start[symbol], index.length[symbol])
    if instrument == NONE and security >= 0:
        instrument = find_security(s, buf, index.start[security], index.length[security])
    if instrument == NONE or s.sessions[venue].market_data == 0:
        return
    if s.instruments[instrument].venue != venue and s.instruments[instrument].venue != NONE:
        return
    bid = 0
    ask = 0
    last = 0
    entry_type = 0
    for f in range(index.count):
        if index.tag[f] == t.MDEntryType:
            entry_type = int(buf[index.start[f]])
        elif index.tag[f] == t.MDEntryPx:
            price = parse_decimal(buf, index.start[f], index.length[f])
            if price < 0:
                return
            if entry_type == 48:
                bid = max(bid, price)
            elif entry_type == 49:
                ask = price if ask == 0 else min(ask, price)
            elif entry_type == 50:
                last = price
    update_quote(s, instrument, bid, ask, last)
