"""Messages to an EMS: execution reports, cancel rejects, rejects. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import ACCOUNT, NONE, REJECTED, VERSION_42, VERSION_50
from gateway.core.messages.parts import (
    EXEC_ID,
    MASS_CANCEL_ID,
    ORDER_ID,
    copy_carried,
    copy_field,
    has_time,
    next_exec_number,
    put_cl_ord_id,
    put_none,
)
from gateway.core.messages.translate import ord_type_in, time_in_force_in
from gateway.core.messages.write import begin, put_bytes, put_id
from gateway.core.orders.exposure import is_over
from gateway.core.orders.status import order_status
from gateway.fix import tags as t
from gateway.fix.fields import decimal_of, price_of
from gateway.fix.index import find
from gateway.fix.reject_reasons import TEXT, TEXT_SIZE
from gateway.fix.session.messages import put_reject
from gateway.fix.values import parse_int
from gateway.fix.write import finish, put_char, put_decimal, put_int, put_utc_timestamp
from gateway.jit import kernel

UNKNOWN_TYPE = c.phrase("?")
HIGHEST_RESTATEMENT_42 = 5  # ExecRestatementReason values above exist in 4.4 only
HIGHEST_RESTATEMENT_44 = 10
LOWEST_REASON_44 = 9  # OrdRejReason values from here on exist in 4.4 only
HIGHEST_REASON_44 = 15
HIGHEST_CANCEL_REASON_44 = 6  # of CxlRejReason
OTHER = 99  # of these three in 4.4: what has no value of its own
NO = ord("N")
UNDISCLOSED = ord("7")  # Side(54) of no order
NO_SYMBOL = c.phrase("[N/A]")


@kernel
def leaves_of(s, o):
    """LeavesQty(151) of an order as an EMS is told it: 0 once it has ended."""
    return 0 if is_over(s, o, o.status) else max(o.qty_e8 - o.cum_e8, 0)


@kernel
def _begin_refusal(s, out, session, message_type):
    """Open a message that refuses the one in hand, if that is an EMS's."""
    out.verdict = REJECTED
    begin(s, out, session, message_type)


@kernel
def order_reject(s, out, work, buf, session, reason, live):
    """ExecutionReport that refuses a NewOrderSingle: 150=8, 39=8; `work.text` says why.

    `live`: the row of the order that has its ClOrdID already, whose state is told instead of that of the one refused
    (FIX 4.4 Appendix D, F.1.b); NONE: there is none.
    """
    version = s.sessions[session].version
    index = work.index
    _begin_refusal(s, out, session, t.EXECUTION_REPORT)
    copy_field(s, out, index, buf, t.Account)
    if live != NONE:
        put_decimal(out, t.AvgPx, s.orders[live].avg_px_e8)
    else:
        put_int(out, t.AvgPx, 0)
    copy_field(s, out, index, buf, t.ClOrdID)
    put_decimal(out, t.CumQty, s.orders[live].cum_e8 - s.orders[live].restated_e8 if live != NONE else 0)
    put_id(out, t.ExecID, EXEC_ID, s.run, next_exec_number(s))
    if version == VERSION_42:
        put_char(out, t.ExecTransType, t.TRANS_NEW)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    if live != NONE:
        o = s.orders[live]
        put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
        put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
        put_char(out, t.OrdStatus, order_status(s, o))
    else:
        put_none(s, out, t.OrderID)
        copy_field(s, out, index, buf, t.OrderQty)
        put_char(out, t.OrdStatus, t.STATUS_REJECTED)
    copy_field(s, out, index, buf, t.OrdType)
    copy_field(s, out, index, buf, t.Price)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    put_bytes(s, out, t.Text, work.text, 0, work.text_size)
    copy_field(s, out, index, buf, t.TimeInForce)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    copy_field(s, out, index, buf, t.StopPx)
    if version == VERSION_42 and reason >= LOWEST_REASON_44:
        reason = t.ORDER_BROKER_OPTION
    put_int(out, t.OrdRejReason, reason)
    put_char(out, t.ExecType, t.EXEC_REJECTED)
    put_decimal(out, t.LeavesQty, leaves_of(s, s.orders[live]) if live != NONE else 0)
    finish(out)


@kernel
def new_report(s, row, exec_type, trans_type):
    """Terms of the next report on an order, for the caller to change: with the next ExecID(17), under the ClOrdID of
    the last accepted request, not of a trade, in the gateway's own words.
    """
    x = s.work.report
    x.order = row
    x.cl_ord_id = s.orders[row].accepted
    x.orig = NONE
    x.exec_type = exec_type
    x.trans_type = trans_type
    x.last_qty_e8 = NONE
    x.exec_number = next_exec_number(s)
    x.exec_ref = NONE
    x.listed = 0
    x.relay = 0
    return x


@kernel
def status_type(s, row):
    """ExecType(150) of a report that only tells the status of an order, in the FIX version of its EMS."""
    o = s.orders[row]
    return t.EXEC_ORDER_STATUS if s.sessions[o.session].version != VERSION_42 else order_status(s, o)


@kernel
def _put_head(s, out, x):
    """What reports on orders and on legs begin with: account, average price, ids, CumQty(14)."""
    o = s.orders[x.order]
    account = s.entities[o.entities[ACCOUNT]]
    begin(s, out, o.session, t.EXECUTION_REPORT)
    put_bytes(s, out, t.Account, account.name, 0, account.name_size)
    put_decimal(out, t.AvgPx, o.avg_px_e8)
    put_cl_ord_id(s, out, t.ClOrdID, x.cl_ord_id)
    put_decimal(out, t.CumQty, o.cum_e8 - o.restated_e8)
    put_id(out, t.ExecID, EXEC_ID, s.run, x.exec_number)
    if x.exec_ref != NONE:
        put_id(out, t.ExecRefID, EXEC_ID, s.executions[x.exec_ref].run, s.executions[x.exec_ref].number)
    if s.sessions[o.session].version == VERSION_42:
        put_char(out, t.ExecTransType, x.trans_type)


@kernel
def _reject_reason(x, index, buf, version):
    """OrdRejReason(103): the venue's where the EMS's FIX version has it."""
    f = find(index, t.OrdRejReason) if x.relay == 1 else -1
    reason = t.ORDER_BROKER_OPTION if x.relay == 1 else t.ORDER_EXCHANGE_CLOSED
    if f >= 0:
        reason = max(parse_int(buf, index.start[f], index.length[f]), t.ORDER_BROKER_OPTION)
    if version == VERSION_42 and reason >= LOWEST_REASON_44:
        return t.ORDER_BROKER_OPTION
    return reason if reason <= HIGHEST_REASON_44 else OTHER


@kernel
def _put_venue_exec_id(s, out, index, buf, version):
    """SecondaryExecID(527): the ExecID(17) of the venue's report in hand; FIX 4.2 has no field for it."""
    f = find(index, t.ExecID)
    if version != VERSION_42 and f >= 0:
        put_bytes(s, out, t.SecondaryExecID, buf, index.start[f], index.length[f])


@kernel
def _put_relayed(s, out, x, buf, version):
    """What a report takes over from the venue's besides its text: reason, guarantee, ExecID(17), the carry list."""
    index = s.work.index
    f = find(index, t.ExecRestatementReason)
    if f >= 0 and (x.exec_type == t.EXEC_CANCELED or x.exec_type == t.EXEC_RESTATED):
        reason = parse_int(buf, index.start[f], index.length[f])
        highest = HIGHEST_RESTATEMENT_42 if version == VERSION_42 else HIGHEST_RESTATEMENT_44
        other = version != VERSION_42 and reason == OTHER
        if reason < 0 or (reason > highest and not other):
            reason = t.RESTATED_BY_BROKER
        put_int(out, t.ExecRestatementReason, reason)
    if x.exec_type == t.EXEC_STOPPED and x.trans_type == t.TRANS_NEW:
        # The price and quantity that it guarantees: no fill.
        if price_of(index, buf, t.LastPx) != 0:
            copy_field(s, out, index, buf, t.LastPx)
        if decimal_of(index, buf, t.LastQty) > 0:
            copy_field(s, out, index, buf, t.LastQty)
    _put_venue_exec_id(s, out, index, buf, version)
    copy_carried(s, out, index, buf, s.carry_report, version, t.EXECUTION_REPORT)


@kernel
def report(s, out, buf, x):
    """ExecutionReport on an order, from its state and the terms `x` (`layout.REPORT`).

    Of a trade, 31 is as the venue says it. With `x.relay` the message in hand is the venue's: its Text, reasons, ExecID
    and the fields of the carry list go along; without, `work.text` does.
    """
    o = s.orders[x.order]
    work = s.work
    index = work.index
    version = s.sessions[o.session].version
    r = s.requests[o.accepted]
    i = s.instruments[o.instrument]
    _put_head(s, out, x)
    if x.last_qty_e8 >= 0:
        if price_of(index, buf, t.LastPx) != 0:
            copy_field(s, out, index, buf, t.LastPx)
        else:
            put_int(out, t.LastPx, 0)
        put_decimal(out, t.LastQty, x.last_qty_e8)
    put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
    put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
    put_char(out, t.OrdStatus, order_status(s, o))
    ord_type = ord_type_in(version, r.ord_type, r.time_in_force)
    # NONE where an EMS has changed its version while an order works that its new one cannot say.
    put_char(out, t.OrdType, ord_type if ord_type != NONE else r.ord_type)
    if x.orig != NONE:
        put_cl_ord_id(s, out, t.OrigClOrdID, x.orig)
    if r.price_e8 > 0:
        put_decimal(out, t.Price, r.price_e8)
    put_char(out, t.Side, o.side)
    put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    if x.relay == 1:
        copy_field(s, out, index, buf, t.Text)
    else:
        put_bytes(s, out, t.Text, work.text, 0, work.text_size)
    put_char(out, t.TimeInForce, time_in_force_in(version, r.time_in_force))
    if x.relay == 1 and has_time(index, buf):
        copy_field(s, out, index, buf, t.TransactTime)
    else:
        put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    if r.stop_e8 > 0:
        put_decimal(out, t.StopPx, r.stop_e8)
    if x.exec_type == t.EXEC_REJECTED:
        put_int(out, t.OrdRejReason, _reject_reason(x, index, buf, version))
    put_char(out, t.ExecType, x.exec_type)
    put_decimal(out, t.LeavesQty, leaves_of(s, o))
    put_bytes(s, out, t.SecondaryOrderID, o.venue_order_id, 0, o.venue_order_id_size)
    if x.relay == 1:
        _put_relayed(s, out, x, buf, version)
    elif x.exec_type == t.EXEC_CANCELED:
        put_int(out, t.ExecRestatementReason, t.RESTATED_BY_BROKER)
        _put_venue_exec_id(s, out, index, buf, version)
    elif x.exec_type == t.EXEC_ORDER_STATUS:
        copy_field(s, out, index, buf, t.OrdStatusReqID)
    if x.listed == 1:
        own = s.sessions[o.session]
        put_bytes(s, out, t.MassStatusReqID, own.list_id, 0, own.list_id_size)
        put_int(out, t.TotNumReports, own.list_total)
        put_char(out, t.LastRptRequested, t.YES if own.list_left == 0 else NO)
    finish(out)


@kernel
def leg_report(s, out, buf, x):
    """ExecutionReport on the fill of one leg of a multileg order, as the venue says it, with the terms `x`: 442=2,
    instrument and side are the leg's, quantities those of the order, which it does not change.
    """
    o = s.orders[x.order]
    index = s.work.index
    _put_head(s, out, x)
    copy_field(s, out, index, buf, t.LastPx)
    put_decimal(out, t.LastQty, x.last_qty_e8)
    put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
    put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
    put_char(out, t.OrdStatus, order_status(s, o))
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    copy_field(s, out, index, buf, t.SecurityID)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    put_char(out, t.ExecType, x.exec_type)
    put_decimal(out, t.LeavesQty, leaves_of(s, o))
    put_char(out, t.MultiLegReportingType, t.INDIVIDUAL_LEG)
    finish(out)


@kernel
def cancel_reject(s, out, buf, session, cl_ord_id, orig, row, response_to, reason, relay):
    """OrderCancelReject(9). `cl_ord_id` is a request, or NONE: then 11 and 41 are those of the message in hand.

    41 is the last accepted request of the order (`orig`), 39 its state now; an unknown order (`row` NONE) has 37=NONE,
    39=8. With `relay` the venue's Text goes along, else `work.text`.
    """
    work = s.work
    index = work.index
    _begin_refusal(s, out, session, t.ORDER_CANCEL_REJECT)
    if cl_ord_id != NONE:
        put_cl_ord_id(s, out, t.ClOrdID, cl_ord_id)
    else:
        copy_field(s, out, index, buf, t.ClOrdID)
    if row != NONE:
        put_id(out, t.OrderID, ORDER_ID, s.orders[row].run, s.orders[row].number)
        put_char(out, t.OrdStatus, order_status(s, s.orders[row]))
        put_cl_ord_id(s, out, t.OrigClOrdID, orig)
    else:
        put_none(s, out, t.OrderID)
        put_char(out, t.OrdStatus, t.STATUS_REJECTED)
        copy_field(s, out, index, buf, t.OrigClOrdID)
    if relay:
        copy_field(s, out, index, buf, t.Text)
    else:
        put_bytes(s, out, t.Text, work.text, 0, work.text_size)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    if s.sessions[session].version == VERSION_42 and reason > t.CANCEL_ALREADY_PENDING:
        reason = t.CANCEL_BROKER_OPTION
    elif reason > HIGHEST_CANCEL_REASON_44:
        reason = OTHER
    put_int(out, t.CxlRejReason, reason)
    put_int(out, t.CxlRejResponseTo, response_to)
    finish(out)


@kernel
def status_of_unknown(s, out, buf, session):
    """ExecutionReport that answers an OrderStatusRequest(H) in hand about an order that was never accepted."""
    version = s.sessions[session].version
    index = s.work.index
    begin(s, out, session, t.EXECUTION_REPORT)
    copy_field(s, out, index, buf, t.Account)
    put_int(out, t.AvgPx, 0)
    copy_field(s, out, index, buf, t.ClOrdID)
    put_int(out, t.CumQty, 0)
    put_id(out, t.ExecID, EXEC_ID, s.run, next_exec_number(s))
    if version == VERSION_42:
        put_char(out, t.ExecTransType, t.TRANS_STATUS)
    put_none(s, out, t.OrderID)
    put_char(out, t.OrdStatus, t.STATUS_REJECTED)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    put_int(out, t.OrdRejReason, t.ORDER_UNKNOWN)
    put_char(out, t.ExecType, t.EXEC_ORDER_STATUS if version != VERSION_42 else t.EXEC_REJECTED)
    put_int(out, t.LeavesQty, 0)
    copy_field(s, out, index, buf, t.OrdStatusReqID)
    finish(out)


@kernel
def mass_cancel_report(s, out, buf, session, kind, count, reason):
    """OrderMassCancelReport(r) on the request in hand: accepted, with how many orders it concerns; or refused for a
    MassCancelRejectReason(532), NONE: not.
    """
    index = s.work.index
    begin(s, out, session, t.ORDER_MASS_CANCEL_REPORT)
    if reason != NONE:
        out.verdict = REJECTED
    copy_field(s, out, index, buf, t.ClOrdID)
    put_id(out, t.OrderID, MASS_CANCEL_ID, s.run, s.events)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    copy_field(s, out, index, buf, t.MassCancelRequestType)
    put_char(out, t.MassCancelResponse, kind if reason == NONE else t.MASS_CANCEL_REJECTED)
    if reason != NONE:
        put_int(out, t.MassCancelRejectReason, reason)
    put_int(out, t.TotalAffectedOrders, count)
    if s.sessions[session].version == VERSION_50:
        put_id(out, t.MassActionReportID, MASS_CANCEL_ID, s.run, s.events)
    finish(out)


@kernel
def mass_status_of_none(s, out, buf, session):
    """ExecutionReport that answers an OrderMassStatusRequest(AF) in hand which no order fits; `work.text` says why."""
    index = s.work.index
    begin(s, out, session, t.EXECUTION_REPORT)
    copy_field(s, out, index, buf, t.Account)
    put_int(out, t.AvgPx, 0)
    put_int(out, t.CumQty, 0)
    put_id(out, t.ExecID, EXEC_ID, s.run, next_exec_number(s))
    put_none(s, out, t.OrderID)
    put_char(out, t.OrdStatus, t.STATUS_REJECTED)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    f = find(index, t.Side)
    put_char(out, t.Side, int(buf[index.start[f]]) if f >= 0 else UNDISCLOSED)
    if find(index, t.Symbol) >= 0:
        copy_field(s, out, index, buf, t.Symbol)
    else:
        put_bytes(s, out, t.Symbol, NO_SYMBOL, 0, NO_SYMBOL.size)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    put_int(out, t.OrdRejReason, t.ORDER_UNKNOWN)
    put_char(out, t.ExecType, t.EXEC_ORDER_STATUS)
    put_int(out, t.LeavesQty, 0)
    copy_field(s, out, index, buf, t.MassStatusReqID)
    put_int(out, t.TotNumReports, 0)
    put_char(out, t.LastRptRequested, t.YES)
    finish(out)


@kernel
def business_reject(s, out, buf, session, msg_seq_num, reason):
    """BusinessMessageReject(j) of the message in hand: only where no specific reject exists."""
    index = s.work.index
    _begin_refusal(s, out, session, t.BUSINESS_MESSAGE_REJECT)
    put_int(out, t.RefSeqNum, msg_seq_num)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    f = find(index, t.MsgType) if index.count > 0 else -1
    if f >= 0:
        put_bytes(s, out, t.RefMsgType, buf, index.start[f], index.length[f])
    else:
        put_bytes(s, out, t.RefMsgType, UNKNOWN_TYPE, 0, UNKNOWN_TYPE.size)
    put_int(out, t.BusinessRejectReason, reason)
    finish(out)


@kernel
def session_reject(s, out, buf, session, msg_seq_num, reason, tag):
    """Reject(3) of a message that its dictionary does not allow, in the words of FIX; `tag` 0: none."""
    _begin_refusal(s, out, session, t.REJECT)
    in_42 = s.sessions[session].version == VERSION_42
    put_reject(out, s.work.index, buf, msg_seq_num, reason, tag, TEXT[reason], TEXT_SIZE[reason], in_42)
    finish(out)
