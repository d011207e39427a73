"""Messages to an EMS: execution reports, cancel rejects, rejects. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import ACCOUNT, NONE, VERSION_42, VERSION_44
from gateway.core.messages.parts import (
    EXEC_ID,
    ORDER_ID,
    _has_time,
    _next_exec,
    _put_none,
    copy_carried,
    copy_field,
    put_cl_ord_id,
)
from gateway.core.messages.write import (
    begin,
    finish,
    put_bytes,
    put_char,
    put_decimal,
    put_id,
    put_int,
    put_utc_timestamp,
)
from gateway.core.orders.exposure import closed
from gateway.core.orders.status import order_status
from gateway.fix import tags as t
from gateway.fix.fields import price_of
from gateway.fix.index import find
from gateway.fix.values import parse_int
from gateway.jit import kernel

UNKNOWN_TYPE = c.phrase("?")
HIGHEST_RESTATEMENT_42 = 5  # ExecRestatementReason values above exist in 4.4 only
HIGHEST_RESTATEMENT_44 = 10
LOWEST_REASON_44 = 9  # OrdRejReason values from here on exist in 4.4 only
HIGHEST_REASON_44 = 15
HIGHEST_CANCEL_REASON_44 = 6  # of CxlRejReason
OTHER = 99  # of these three in 4.4: what has no value of its own


@kernel
def told_leaves(o):
    """LeavesQty(151) of an order, 0 once it has ended or is done for the day."""
    if closed(o.status) or o.status == t.STATUS_DONE_FOR_DAY or o.status == t.STATUS_CALCULATED:
        return 0
    return max(o.qty_e8 - o.cum_e8, 0)


@kernel
def order_reject(s, out, work, buf, session, reason, live):
    """ExecutionReport that refuses a NewOrderSingle: 150=8, 39=8; `work.text` says why.

    `live`: the row of the order that has its ClOrdID already, whose state is told instead of that of the one refused
    (FIX 4.4 Appendix D, F.1.b); NONE: there is none.
    """
    version = s.sessions[session].version
    index = work.index
    begin(s, out, session, t.EXECUTION_REPORT)
    copy_field(s, out, index, buf, t.Account)
    if live != NONE:
        put_decimal(out, t.AvgPx, s.orders[live].avg_px_e8)
    else:
        put_int(out, t.AvgPx, 0)
    copy_field(s, out, index, buf, t.ClOrdID)
    put_decimal(out, t.CumQty, s.orders[live].cum_e8 - s.orders[live].restated_e8 if live != NONE else 0)
    put_id(out, t.ExecID, EXEC_ID, s.run, _next_exec(s))
    if version == VERSION_42:
        put_char(out, t.ExecTransType, t.TRANS_NEW)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    if live != NONE:
        o = s.orders[live]
        put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
        put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
        put_char(out, t.OrdStatus, order_status(s, o))
    else:
        _put_none(s, out, t.OrderID)
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
    put_decimal(out, t.LeavesQty, told_leaves(s.orders[live]) if live != NONE else 0)
    finish(out)


@kernel
def report(s, out, buf, row, cl_ord_id, orig, exec_type, trans_type, last_qty_e8, exec_number, exec_ref, relay):
    """ExecutionReport on an order, from its state.

    `cl_ord_id` and `orig` are requests (41 is left out when `orig` is NONE); 32, and 31 as the venue tells it, go out
    when `last_qty_e8` is not negative; `exec_ref` is the row of the execution whose ExecID a bust or correction refers
    to, or NONE. With `relay` the message in hand is the venue's: its Text, reasons, ExecID and the fields of the carry
    list go along; without, `work.text` does.
    """
    o = s.orders[row]
    work = s.work
    index = work.index
    version = s.sessions[o.session].version
    r = s.requests[o.accepted]
    i = s.instruments[o.instrument]
    account = s.entities[o.entities[ACCOUNT]]
    status = order_status(s, o)
    begin(s, out, o.session, t.EXECUTION_REPORT)
    put_bytes(s, out, t.Account, account.name, 0, account.name_size)
    put_decimal(out, t.AvgPx, o.avg_px_e8)
    put_cl_ord_id(s, out, t.ClOrdID, cl_ord_id)
    put_decimal(out, t.CumQty, o.cum_e8 - o.restated_e8)
    put_id(out, t.ExecID, EXEC_ID, s.run, exec_number)
    if exec_ref != NONE:
        put_id(out, t.ExecRefID, EXEC_ID, s.executions[exec_ref].run, s.executions[exec_ref].number)
    if version == VERSION_42:
        put_char(out, t.ExecTransType, trans_type)
    if last_qty_e8 >= 0:
        if price_of(index, buf, t.LastPx) != 0:
            copy_field(s, out, index, buf, t.LastPx)
        else:
            put_int(out, t.LastPx, 0)
        put_decimal(out, t.LastQty, last_qty_e8)
    put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
    put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
    put_char(out, t.OrdStatus, status)
    put_char(out, t.OrdType, r.ord_type)
    if orig != NONE:
        put_cl_ord_id(s, out, t.OrigClOrdID, orig)
    if r.price_e8 > 0:
        put_decimal(out, t.Price, r.price_e8)
    put_char(out, t.Side, o.side)
    put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    if relay:
        copy_field(s, out, index, buf, t.Text)
    else:
        put_bytes(s, out, t.Text, work.text, 0, work.text_size)
    put_char(out, t.TimeInForce, r.time_in_force)
    if relay and _has_time(index, buf):
        copy_field(s, out, index, buf, t.TransactTime)
    else:
        put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    if r.stop_e8 > 0:
        put_decimal(out, t.StopPx, r.stop_e8)
    if exec_type == t.EXEC_REJECTED:
        f = find(index, t.OrdRejReason) if relay else -1
        reason = t.ORDER_BROKER_OPTION if relay else t.ORDER_EXCHANGE_CLOSED
        if f >= 0:
            reason = max(parse_int(buf, index.start[f], index.length[f]), t.ORDER_BROKER_OPTION)
        if version == VERSION_42 and reason >= LOWEST_REASON_44:
            reason = t.ORDER_BROKER_OPTION
        put_int(out, t.OrdRejReason, reason if reason <= HIGHEST_REASON_44 else OTHER)
    put_char(out, t.ExecType, exec_type)
    put_decimal(out, t.LeavesQty, told_leaves(o))
    put_bytes(s, out, t.SecondaryOrderID, o.venue_order_id, 0, o.venue_order_id_size)
    if not relay and exec_type == t.EXEC_CANCELED:
        put_int(out, t.ExecRestatementReason, t.RESTATED_BY_BROKER)
    if not relay and exec_type == t.EXEC_ORDER_STATUS:
        copy_field(s, out, index, buf, t.OrdStatusReqID)
    if relay:
        f = find(index, t.ExecRestatementReason)
        if f >= 0 and (exec_type == t.EXEC_CANCELED or exec_type == t.EXEC_RESTATED):
            reason = parse_int(buf, index.start[f], index.length[f])
            highest = HIGHEST_RESTATEMENT_42 if version == VERSION_42 else HIGHEST_RESTATEMENT_44
            other = version == VERSION_44 and reason == OTHER
            if reason < 0 or (reason > highest and not other):
                reason = t.RESTATED_BY_BROKER
            put_int(out, t.ExecRestatementReason, reason)
        if version == VERSION_44:
            f = find(index, t.ExecID)
            if f >= 0:
                put_bytes(s, out, t.SecondaryExecID, buf, index.start[f], index.length[f])
        copy_carried(s, out, index, buf, s.carry_report, version, t.EXECUTION_REPORT)
    finish(out)


@kernel
def leg_report(s, out, buf, row, exec_type, trans_type, last_qty_e8, exec_number, exec_ref):
    """ExecutionReport on the fill of one leg of a multileg order, as the venue tells it: 442=2, instrument and side are
    the leg's, quantities those of the order, which it does not change.
    """
    o = s.orders[row]
    index = s.work.index
    version = s.sessions[o.session].version
    account = s.entities[o.entities[ACCOUNT]]
    begin(s, out, o.session, t.EXECUTION_REPORT)
    put_bytes(s, out, t.Account, account.name, 0, account.name_size)
    put_decimal(out, t.AvgPx, o.avg_px_e8)
    put_cl_ord_id(s, out, t.ClOrdID, o.accepted)
    put_decimal(out, t.CumQty, o.cum_e8 - o.restated_e8)
    put_id(out, t.ExecID, EXEC_ID, s.run, exec_number)
    if exec_ref != NONE:
        put_id(out, t.ExecRefID, EXEC_ID, s.executions[exec_ref].run, s.executions[exec_ref].number)
    if version == VERSION_42:
        put_char(out, t.ExecTransType, trans_type)
    copy_field(s, out, index, buf, t.LastPx)
    put_decimal(out, t.LastQty, last_qty_e8)
    put_id(out, t.OrderID, ORDER_ID, o.run, o.number)
    put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
    put_char(out, t.OrdStatus, order_status(s, o))
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    copy_field(s, out, index, buf, t.SecurityID)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    put_char(out, t.ExecType, exec_type)
    put_decimal(out, t.LeavesQty, told_leaves(o))
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
    begin(s, out, session, t.ORDER_CANCEL_REJECT)
    if cl_ord_id != NONE:
        put_cl_ord_id(s, out, t.ClOrdID, cl_ord_id)
    else:
        copy_field(s, out, index, buf, t.ClOrdID)
    if row != NONE:
        put_id(out, t.OrderID, ORDER_ID, s.orders[row].run, s.orders[row].number)
        put_char(out, t.OrdStatus, order_status(s, s.orders[row]))
        put_cl_ord_id(s, out, t.OrigClOrdID, orig)
    else:
        _put_none(s, out, t.OrderID)
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
    put_id(out, t.ExecID, EXEC_ID, s.run, _next_exec(s))
    if version == VERSION_42:
        put_char(out, t.ExecTransType, t.TRANS_STATUS)
    _put_none(s, out, t.OrderID)
    put_char(out, t.OrdStatus, t.STATUS_REJECTED)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    put_int(out, t.OrdRejReason, t.ORDER_UNKNOWN)
    put_char(out, t.ExecType, t.EXEC_ORDER_STATUS if version == VERSION_44 else t.EXEC_REJECTED)
    put_int(out, t.LeavesQty, 0)
    copy_field(s, out, index, buf, t.OrdStatusReqID)
    finish(out)


@kernel
def business_reject(s, out, buf, session, msg_seq_num, reason):
    """BusinessMessageReject(j) of the message in hand: only where no specific reject exists."""
    index = s.work.index
    begin(s, out, session, t.BUSINESS_MESSAGE_REJECT)
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
    """Reject(3) of a message that its dictionary does not allow; `tag` 0 is left out."""
    index = s.work.index
    begin(s, out, session, t.REJECT)
    put_int(out, t.RefSeqNum, msg_seq_num)
    put_bytes(s, out, t.Text, s.work.text, 0, s.work.text_size)
    if tag > 0:
        put_int(out, t.RefTagID, tag)
    copy_type = find(index, t.MsgType) if index.count > 0 else -1
    if copy_type >= 0:
        put_bytes(s, out, t.RefMsgType, buf, index.start[copy_type], index.length[copy_type])
    if s.sessions[session].version == VERSION_44 or reason <= 11:
        put_int(out, t.SessionRejectReason, reason)
    finish(out)
