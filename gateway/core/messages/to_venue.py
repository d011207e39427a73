"""Messages to a venue: child orders, their cancels, status and market data requests. Kernels only."""

from __future__ import annotations

from gateway.core.checks.identity import is_not_available
from gateway.core.checks.windows import count_message
from gateway.core.layout import ACCOUNT, NONE, VERSION_42
from gateway.core.messages.parts import (
    CHILD_ID,
    ORDER_ID,
    copy_carried,
    copy_field,
    has_field,
    other_version,
    put_cl_ord_id,
)
from gateway.core.messages.translate import ord_type_in, put_terms_42, put_terms_44, time_in_force_in
from gateway.core.messages.write import begin, put_bytes, put_id
from gateway.core.tables.instruments import find_security
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.validate import find_message
from gateway.fix.values import same_bytes
from gateway.fix.write import finish, put_char, put_decimal, put_int, put_utc_timestamp
from gateway.jit import kernel

SUBSCRIBE_AT_ONCE = 50  # instruments in one MarketDataRequest(V)


@kernel
def _begin(s, out, venue, message_type):
    """Open a message to a venue, and count it there."""
    count_message(s.entities[s.sessions[venue].entity], s.now_ns)
    begin(s, out, venue, message_type)


@kernel
def child_order(s, out, buf, row, request, message_type, orig):
    """The child of the order message in hand, to the order's venue: our ClOrdID, the terms as they were checked, and
    the fields of the carry list.

    For a replace `orig` is the request whose child it changes, NONE for a new order.
    """
    o = s.orders[row]
    index = s.work.index
    r = s.requests[request]
    _begin(s, out, o.venue, message_type)
    put_id(out, t.ClOrdID, CHILD_ID, r.run, r.child)
    if orig != NONE:
        put_bytes(s, out, t.OrderID, o.venue_order_id, 0, o.venue_order_id_size)
    put_decimal(out, t.OrderQty, s.work.candidate.venue_qty_e8)
    version = s.sessions[o.venue].version
    put_char(out, t.OrdType, ord_type_in(version, r.ord_type, r.time_in_force))
    if orig != NONE:
        put_id(out, t.OrigClOrdID, CHILD_ID, s.requests[orig].run, s.requests[orig].child)
    if r.price_e8 > 0:
        put_decimal(out, t.Price, r.price_e8)
    put_char(out, t.Side, o.side)
    put_char(out, t.TimeInForce, time_in_force_in(version, r.time_in_force))
    if r.stop_e8 > 0:
        put_decimal(out, t.StopPx, r.stop_e8)
    if version != VERSION_42:
        put_cl_ord_id(s, out, t.SecondaryClOrdID, request)
    other = other_version(s, o.venue, o.session)
    symbol = find(index, t.Symbol)
    if symbol >= 0 and is_not_available(index, buf, symbol):
        index.tag[symbol] = 0  # nothing carries it over
    copy_carried(s, out, index, buf, s.carry_order, other, message_type)
    if other == VERSION_42:
        put_terms_42(out, index, buf)
    elif other != NONE:
        put_terms_44(out, index, buf)
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
    return source < 0 or has_field(dictionary, message, index, buf, source)


@kernel
def child_cancel(s, out, buf, row, request, orig):
    """OrderCancelRequest(F) for a child, from the order's own terms, so that it is right whatever the EMS wrote."""
    o = s.orders[row]
    index = s.work.index
    i = s.instruments[o.instrument]
    _begin(s, out, o.venue, t.ORDER_CANCEL_REQUEST)
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
    _begin(s, out, venue, t.ORDER_MASS_CANCEL_REQUEST)
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
    _begin(s, out, venue, t.DONT_KNOW_TRADE)
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
def order_status_request(s, out, row, request):
    """OrderStatusRequest(H) to a venue about a child."""
    o = s.orders[row]
    r = s.requests[request]
    i = s.instruments[o.instrument]
    _begin(s, out, o.venue, t.ORDER_STATUS_REQUEST)
    put_id(out, t.ClOrdID, CHILD_ID, r.run, r.child)
    put_bytes(s, out, t.OrderID, o.venue_order_id, 0, o.venue_order_id_size)
    put_char(out, t.Side, o.side)
    put_bytes(s, out, t.Symbol, i.symbol, 0, i.symbol_size)
    finish(out)


@kernel
def order_mass_status_request(s, out, venue):
    """OrderMassStatusRequest(AF) to a venue: every order it has of ours, known here or not."""
    _begin(s, out, venue, t.ORDER_MASS_STATUS_REQUEST)
    put_id(out, t.MassStatusReqID, ORDER_ID, s.run, s.events)
    put_int(out, t.MassStatusReqType, t.MASS_STATUS_OF_ALL)
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
    _begin(s, out, venue, t.MARKET_DATA_REQUEST)
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
