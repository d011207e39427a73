"""Compose every message the gateway sends: reports and rejects to an EMS, child orders to a venue. Kernels only.

Fields of our own come first, in ascending order of tag; fields carried over from the message in hand follow in its
order. `buf` is always the buffer of the event in hand, read through the index.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.exposure import closed
from gateway.core.intake import is_not_available, price_of
from gateway.core.layout import ACCOUNT, MAX_MESSAGE_BYTES, NONE, VERSION_42, VERSION_44
from gateway.core.lookup import find_security
from gateway.core.translate import put_terms_42, put_terms_44
from gateway.core.write import (
    begin,
    finish,
    has_room,
    put_bytes,
    put_char,
    put_decimal,
    put_id,
    put_int,
    put_utc_timestamp,
    write_digits,
)
from gateway.fix import tags as t
from gateway.fix.index import MAX_TAG, find
from gateway.fix.validate import ABSENT, GROUP, VALID, find_message, value_reason
from gateway.fix.values import NO_TIME, copy_bytes, parse_int, parse_utc_timestamp, same_bytes
from gateway.jit import kernel

CHILD_ID, ORDER_ID, EXEC_ID = ord("C"), ord("O"), ord("E")
NONE_TEXT = c.phrase("NONE")
ORDER_TEXT, DASH, CL_ORD_ID_TEXT = c.phrase("order O"), c.phrase("-"), c.phrase(" ClOrdID ")
AT_TEXT, COLON = c.phrase(" at "), c.phrase(": ")
UNKNOWN_TYPE = c.phrase("?")
HIGHEST_RESTATEMENT_42 = 5  # ExecRestatementReason values above exist in 4.4 only
HIGHEST_RESTATEMENT_44 = 10
LOWEST_REASON_44 = 9  # OrdRejReason values from here on exist in 4.4 only
HIGHEST_REASON_44 = 15
HIGHEST_CANCEL_REASON_44 = 6  # of CxlRejReason
OTHER = 99  # of these three in 4.4: what has no value of its own
SECONDS, MILLISECONDS = 17, 21  # characters of a UTCTimestamp
SUBSCRIBE_AT_ONCE = 50  # instruments in one MarketDataRequest(V)


@kernel
def order_status(s, o):
    """OrdStatus(39) by the precedence of FIX 4.4 Appendix D: acknowledged pending requests stand over the rest."""
    status = o.status
    if status == t.STATUS_CANCELED or status == t.STATUS_REJECTED or status == t.STATUS_EXPIRED:
        return status
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.acknowledged == 1:
            if r.kind == t.ORDER_CANCEL_REQUEST:
                return t.STATUS_PENDING_CANCEL
            status = t.STATUS_PENDING_REPLACE
        row = r.older
    if status == t.STATUS_NEW and o.replaced == 1 and s.sessions[o.session].version == VERSION_42:
        return t.STATUS_REPLACED_42
    return status


@kernel
def told_leaves(o):
    """LeavesQty(151) of an order, 0 once it has ended or is done for the day."""
    if closed(o.status) or o.status == t.STATUS_DONE_FOR_DAY or o.status == t.STATUS_CALCULATED:
        return 0
    return max(o.qty_e8 - o.cum_e8, 0)


@kernel
def copy_field(s, out, index, buf, tag):
    """Carry the first field with this tag over from the message in hand; nothing when it has none."""
    f = find(index, tag)
    if f >= 0:
        put_bytes(s, out, tag, buf, index.start[f], index.length[f])


@kernel
def _has_field(dictionary, message, index, buf, f):
    """Whether a field may stand in a message of a dictionary, where it stands and with the value that it has."""
    tag = index.tag[f]
    if message.role[tag] == ABSENT or (message.role[tag] < GROUP and find(index, tag) != f):
        return False
    return value_reason(dictionary, tag, buf, index.start[f], index.length[f]) == VALID


@kernel
def _has_length(s, index, f, tag):
    """Whether a field is no data field, or its length stands before it: nobody could read it without."""
    length_tag = s.dictionary[VERSION_44].data_length_tag[tag]
    return length_tag == 0 or (f > 0 and index.tag[f - 1] == length_tag)


@kernel
def copy_carried(s, out, index, buf, carry, version, message_type):
    """Carry every field over whose tag is allowed, in the order of the message: those that `message_type` has in a FIX
    version, with that value. NONE: all, the message was valid in that version.
    """
    message = s.dictionary[0].messages[0]
    if version != NONE:
        message = s.dictionary[version].messages[find_message(s.dictionary[version], message_type)]
    for f in range(index.count):
        tag = index.tag[f]
        if tag < MAX_TAG and carry[tag] == 1 and index.length[f] > 0 and _has_length(s, index, f, tag):
            if version != NONE and not _has_field(s.dictionary[version], message, index, buf, f):
                continue
            # With its tag and delimiter, as it stands in the message.
            digits = 1 if tag < 10 else 2 if tag < 100 else 3 if tag < 1_000 else 4
            size = digits + 1 + index.length[f] + 1
            if has_room(s, out, size):
                copy_bytes(out.bytes, out.used, buf, index.start[f] - digits - 1, size)
                out.used += size


@kernel
def put_cl_ord_id(s, out, tag, request):
    """Append the ClOrdID that the EMS gave a request."""
    r = s.requests[request]
    put_bytes(s, out, tag, r.cl_ord_id, 0, r.cl_ord_id_size)


@kernel
def _put_none(s, out, tag):
    put_bytes(s, out, tag, NONE_TEXT, 0, NONE_TEXT.size)


@kernel
def _next_exec(s):
    s.next_exec += 1
    return s.next_exec


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
def _other_version(s, to, of):
    """FIX version of session `to` if it is not that of session `of`, else NONE."""
    version = s.sessions[to].version
    return version if version != s.sessions[of].version else NONE


@kernel
def _has_time(index, buf):
    """Whether the message in hand has a TransactTime(60) that both FIX versions know: in seconds or milliseconds."""
    f = find(index, t.TransactTime)
    if f < 0 or (index.length[f] != SECONDS and index.length[f] != MILLISECONDS):
        return False
    return parse_utc_timestamp(buf, index.start[f], index.length[f]) != NO_TIME


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
def child_order(s, out, buf, row, request, message_type, orig):
    """The child of the order message in hand, to the order's venue: our ClOrdID, the terms as they were checked, and
    the fields of the carry list.

    For a replace `orig` is the request whose child it changes, NONE for a new order.
    """
    o = s.orders[row]
    index = s.work.index
    r = s.requests[request]
    begin(s, out, o.venue, message_type)
    put_id(out, t.ClOrdID, CHILD_ID, r.run, r.child)
    if orig != NONE:
        put_bytes(s, out, t.OrderID, o.venue_order_id, 0, o.venue_order_id_size)
    put_decimal(out, t.OrderQty, s.work.candidate.venue_qty_e8)
    put_char(out, t.OrdType, r.ord_type)
    if orig != NONE:
        put_id(out, t.OrigClOrdID, CHILD_ID, s.requests[orig].run, s.requests[orig].child)
    if r.price_e8 > 0:
        put_decimal(out, t.Price, r.price_e8)
    put_char(out, t.Side, o.side)
    put_char(out, t.TimeInForce, r.time_in_force)
    if r.stop_e8 > 0:
        put_decimal(out, t.StopPx, r.stop_e8)
    if s.sessions[o.venue].version == VERSION_44:
        put_cl_ord_id(s, out, t.SecondaryClOrdID, request)
    other = _other_version(s, o.venue, o.session)
    symbol = find(index, t.Symbol)
    if symbol >= 0 and is_not_available(index, buf, symbol):
        index.tag[symbol] = 0  # nothing carries it over
    copy_carried(s, out, index, buf, s.carry_order, other, message_type)
    if other == VERSION_44:
        put_terms_44(out, index, buf)
    elif other == VERSION_42:
        put_terms_42(out, index, buf)
    if (symbol >= 0 and index.tag[symbol] == 0) or (symbol < 0 and other == VERSION_42):
        i = s.instruments[o.instrument]
        put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    finish(out)


@kernel
def _names_account(s, o, index, buf):
    """Whether Account(1) of the cancel in hand can go to the venue: where it names accounts, that of the order."""
    f = find(index, t.Account)
    if f < 0 or s.identity_tag[ACCOUNT] != t.Account:
        return f >= 0
    account = s.entities[o.entities[ACCOUNT]]
    return index.length[f] == account.name_size and same_bytes(account.name, 0, buf, index.start[f], account.name_size)


@kernel
def _names_security(s, o, index, buf):
    """Whether SecurityID(48) and its source(22) of the cancel in hand can go to the venue: they are the order's
    instrument, in words of the venue's FIX version.
    """
    f = find(index, t.SecurityID)
    source = find(index, t.SecurityIDSource)
    if f < 0 or find_security(s, buf, index.start[f], index.length[f]) != o.instrument:
        return False
    dictionary = s.dictionary[s.sessions[o.venue].version]
    message = dictionary.messages[find_message(dictionary, t.ORDER_CANCEL_REQUEST)]
    return source < 0 or _has_field(dictionary, message, index, buf, source)


@kernel
def child_cancel(s, out, buf, row, request, orig):
    """OrderCancelRequest(F) for a child, from the order's own terms, so that it is right whatever the EMS wrote."""
    o = s.orders[row]
    index = s.work.index
    i = s.instruments[o.instrument]
    begin(s, out, o.venue, t.ORDER_CANCEL_REQUEST)
    if _names_account(s, o, index, buf):
        copy_field(s, out, index, buf, t.Account)
    put_id(out, t.ClOrdID, CHILD_ID, s.requests[request].run, s.requests[request].child)
    if _names_security(s, o, index, buf):
        copy_field(s, out, index, buf, t.SecurityIDSource)
        copy_field(s, out, index, buf, t.SecurityID)
    put_bytes(s, out, t.OrderID, o.venue_order_id, 0, o.venue_order_id_size)
    put_decimal(out, t.OrderQty, o.qty_e8 - o.restated_e8)
    put_id(out, t.OrigClOrdID, CHILD_ID, s.requests[orig].run, s.requests[orig].child)
    put_char(out, t.Side, o.side)
    put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    copy_carried(s, out, index, buf, s.carry_cancel, s.sessions[o.venue].version, t.ORDER_CANCEL_REQUEST)
    finish(out)


@kernel
def mass_cancel(s, out, venue, request, instrument):
    """OrderMassCancelRequest(q) to a venue: of all orders, or of those in an instrument (NONE: all)."""
    begin(s, out, venue, t.ORDER_MASS_CANCEL_REQUEST)
    put_id(out, t.ClOrdID, CHILD_ID, s.requests[request].run, s.requests[request].child)
    if instrument != NONE:
        i = s.instruments[instrument]
        put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    put_utc_timestamp(out, t.TransactTime, s.now_ns + s.wall_offset_ns)
    put_char(out, t.MassCancelRequestType, t.CANCEL_OF_ALL if instrument == NONE else t.CANCEL_OF_SECURITY)
    finish(out)


@kernel
def dont_know_trade(s, out, buf, venue):
    """DontKnowTrade(Q): the fill in hand is of an order that is not ours."""
    index = s.work.index
    begin(s, out, venue, t.DONT_KNOW_TRADE)
    copy_field(s, out, index, buf, t.ExecID)
    copy_field(s, out, index, buf, t.SecurityIDSource)
    copy_field(s, out, index, buf, t.LastPx)
    copy_field(s, out, index, buf, t.LastQty)
    copy_field(s, out, index, buf, t.OrderID)
    copy_field(s, out, index, buf, t.OrderQty)
    copy_field(s, out, index, buf, t.SecurityID)
    copy_field(s, out, index, buf, t.Side)
    copy_field(s, out, index, buf, t.Symbol)
    put_char(out, t.DKReason, t.NO_MATCHING_ORDER)
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
def order_status_request(s, out, row, request):
    """OrderStatusRequest(H) to a venue about a child."""
    o = s.orders[row]
    r = s.requests[request]
    i = s.instruments[o.instrument]
    begin(s, out, o.venue, t.ORDER_STATUS_REQUEST)
    put_id(out, t.ClOrdID, CHILD_ID, r.run, r.child)
    put_bytes(s, out, t.OrderID, o.venue_order_id, 0, o.venue_order_id_size)
    put_char(out, t.Side, o.side)
    put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    finish(out)


@kernel
def order_mass_status_request(s, out, venue):
    """OrderMassStatusRequest(AF) to a venue: every order it has of ours, known here or not."""
    begin(s, out, venue, t.ORDER_MASS_STATUS_REQUEST)
    put_id(out, t.MassStatusReqID, ORDER_ID, s.run, s.events)
    put_int(out, t.MassStatusReqType, t.MASS_STATUS_OF_ALL)
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


@kernel
def alert(s, out, phrase, buf, start, size):
    """An alert for the log: `phrase`, then the bytes it is about."""
    begin(s, out, NONE, 0)
    size = min(size, MAX_MESSAGE_BYTES)
    if has_room(s, out, phrase.size + size):
        copy_bytes(out.bytes, out.used, phrase, 0, phrase.size)
        out.used += phrase.size
        copy_bytes(out.bytes, out.used, buf, start, size)
        out.used += size
    finish(out)


@kernel
def _add(s, out, source, start, size):
    """Append bytes to an alert."""
    if has_room(s, out, size):
        copy_bytes(out.bytes, out.used, source, start, size)
        out.used += size


@kernel
def alert_once(s, out, phrase, row, buf, event):
    """An alert about the report in hand: `phrase`, the order that it is about (`row`; NONE: of no order of ours), the
    venue, and its bytes. Only the first alert of an event is written.
    """
    if s.work.alerted == 1:
        return
    s.work.alerted = 1
    begin(s, out, NONE, 0)
    _add(s, out, phrase, 0, phrase.size)
    if row != NONE:
        o = s.orders[row]
        r = s.requests[o.accepted]
        _add(s, out, ORDER_TEXT, 0, ORDER_TEXT.size)
        out.used = write_digits(out.bytes, out.used, o.run)
        _add(s, out, DASH, 0, DASH.size)
        out.used = write_digits(out.bytes, out.used, o.number)
        _add(s, out, CL_ORD_ID_TEXT, 0, CL_ORD_ID_TEXT.size)
        _add(s, out, r.cl_ord_id, 0, r.cl_ord_id_size)
    e = s.entities[s.sessions[event.session].entity]
    _add(s, out, AT_TEXT, 0, AT_TEXT.size)
    _add(s, out, e.name, 0, e.name_size)
    _add(s, out, COLON, 0, COLON.size)
    _add(s, out, buf, event.start, min(event.length, MAX_MESSAGE_BYTES))
    finish(out)


@kernel
def market_data_request(s, out, venue, first, last):
    """MarketDataRequest(V) to a venue for its instruments from row `first` to before `last`; returns how many."""
    count = 0
    for k in range(first, last):
        if s.instruments[k].venue == venue:
            count += 1
    if count == 0:
        return 0
    begin(s, out, venue, t.MARKET_DATA_REQUEST)
    put_int(out, t.NoRelatedSym, count)
    for k in range(first, last):
        i = s.instruments[k]
        if i.venue == venue:
            put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    put_id(out, t.MDReqID, ORDER_ID, s.run, first)
    put_int(out, t.SubscriptionRequestType, 1)
    put_int(out, t.MarketDepth, 1)
    put_int(out, t.MDUpdateType, 0)
    put_int(out, t.NoMDEntryTypes, 3)
    for entry_type in range(3):
        put_int(out, t.MDEntryType, entry_type)
    finish(out)
    return count
