"""Requests of an EMS about all its orders: OrderMassCancelRequest(q), OrderMassStatusRequest(AF). Kernels only.

What they ask for is done by the next sweep, which walks the orders: some at each event, so that none takes long.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.handlers.from_ems import DUPLICATE_ID
from gateway.core.handlers.sweep import begin_sweep, mass_cancels, stays_asked
from gateway.core.layout import NONE
from gateway.core.messages.text import add_bytes, say
from gateway.core.messages.to_ems import business_reject, mass_cancel_report, mass_status_of_none
from gateway.core.tables.entities import find_entity
from gateway.core.tables.instruments import instrument_named
from gateway.core.tables.requests import add_request, find_request, requests_left
from gateway.fix import tags as t
from gateway.fix.fields import char_of
from gateway.fix.index import find
from gateway.fix.values import copy_bytes, parse_int
from gateway.jit import kernel

CANCEL_TYPE, STATUS_TYPE = c.phrase("MassCancelRequestType(530)="), c.phrase("MassStatusReqType(585)=")
NOT_SUPPORTED = c.phrase(" is not supported, use 1 (orders of a security) or 7 (all orders)")
NO_SECURITY = c.phrase("Symbol(55) or SecurityID(48) names no instrument")
NO_ORDER = c.phrase("no open order of this session fits")
BUSY = c.phrase("another OrderMassStatusRequest(AF) is being answered")
TOO_LONG = c.phrase("MassStatusReqID(584) must be at most 64 bytes")


@kernel
def _fits(o, session, instrument, side, account):
    """Whether an order is open, of this session, and in what is asked for; NONE: any."""
    return (
        o.number != NONE
        and o.counted_open == 1
        and o.session == session
        and (instrument == NONE or o.instrument == instrument)
        and (side == NONE or o.side == side)
        and (account == NONE or o.entities[a.ACCOUNT] == account)
    )


@kernel
def _mark_canceled(s, session, instrument, side, request):
    """Have the open orders that a mass cancel means canceled; returns how many. `request`: its row, or NONE."""
    count = 0
    for row in range(s.order_count):
        o = s.orders[row]
        if _fits(o, session, instrument, side, NONE):
            count += 1
            o.cancel_tries = min(o.cancel_tries, 1) if o.canceled_by != 0 else 0
            o.mass_cancel = request + 1
            if not stays_asked(o):
                o.canceled_by = a.BY_MASS
    return count


@kernel
def _say_not_supported(s, buf, name, tag):
    """The text of a refusal: which kind of request is not supported."""
    index = s.work.index
    f = find(index, tag)
    say(s.work, name)
    add_bytes(s.work, buf, index.start[f], index.length[f])
    add_bytes(s.work, NOT_SUPPORTED, 0, NOT_SUPPORTED.size)


@kernel
def order_mass_cancel_request(s, out, buf, event):
    """Cancel all open orders of an EMS session, or those in one instrument or on one side. Refused only where it cannot
    be told which are meant.
    """
    index = s.work.index
    s.work.text_size = 0
    f = find(index, t.ClOrdID)
    if find_request(s, event.session, buf, index.start[f], index.length[f]) != NONE:
        if event.poss_dup == 1:
            s.duplicate_messages += 1
            return
        say(s.work, DUPLICATE_ID)
        mass_cancel_report(s, out, buf, event.session, 0, 0, t.MASS_CANCEL_OTHER)
        return
    kind = char_of(index, buf, t.MassCancelRequestType, 0)
    instrument = NONE
    if kind == t.CANCEL_OF_SECURITY:
        instrument = instrument_named(s, index, buf)
        if instrument == NONE:
            say(s.work, NO_SECURITY)
            mass_cancel_report(s, out, buf, event.session, 0, 0, t.MASS_CANCEL_UNKNOWN_SECURITY)
            return
    elif kind != t.CANCEL_OF_ALL:
        _say_not_supported(s, buf, CANCEL_TYPE, t.MassCancelRequestType)
        mass_cancel_report(s, out, buf, event.session, 0, 0, t.MASS_CANCEL_NOT_SUPPORTED)
        return
    row = NONE
    if index.length[f] <= a.ID_BYTES and requests_left(s) > s.open_order_count:
        row = add_request(s, event.session, t.ORDER_MASS_CANCEL_REQUEST, buf, index.start[f], index.length[f])
        s.requests[row].state = a.REQUEST_ACCEPTED
    count = _mark_canceled(s, event.session, instrument, char_of(index, buf, t.Side, NONE), row)
    mass_cancel_report(s, out, buf, event.session, kind, count, NONE)
    if count > 0:
        mass_cancels(s, out, instrument, NONE)
        begin_sweep(s)


@kernel
def _refuse_status(s, out, buf, event, reason):
    """Not answered: by a report it would look as if there were no order. `work.text` says why."""
    business_reject(s, out, buf, event.session, event.msg_seq_num, reason)


@kernel
def order_mass_status_request(s, out, buf, event):
    """The state of all open orders of an EMS session, or of those of one account, in one instrument, on one side: a
    report of each, with the number of them and which is the last (584, 911, 912).
    """
    index = s.work.index
    own = s.sessions[event.session]
    f = find(index, t.MassStatusReqType)
    kind = parse_int(buf, index.start[f], index.length[f])
    f = find(index, t.MassStatusReqID)
    size = index.length[f]
    instrument = instrument_named(s, index, buf)
    account = find(index, t.Account)
    entity = NONE
    if account >= 0:
        entity = find_entity(s, a.ACCOUNT, buf, index.start[account], index.length[account])
    if size > a.ID_BYTES:
        say(s.work, TOO_LONG)
        _refuse_status(s, out, buf, event, t.BUSINESS_OTHER)
    elif kind != t.MASS_STATUS_OF_ALL and kind != t.MASS_STATUS_OF_SECURITY:
        _say_not_supported(s, buf, STATUS_TYPE, t.MassStatusReqType)
        _refuse_status(s, out, buf, event, t.BUSINESS_OTHER)
    elif kind == t.MASS_STATUS_OF_SECURITY and instrument == NONE:
        say(s.work, NO_SECURITY)
        _refuse_status(s, out, buf, event, t.BUSINESS_OTHER)
    elif own.list_left > 0:
        say(s.work, BUSY)
        _refuse_status(s, out, buf, event, t.BUSINESS_NOT_AVAILABLE)
    else:
        own.list_total = 0
        for row in range(s.order_count):
            o = s.orders[row]
            wanted = instrument if kind == t.MASS_STATUS_OF_SECURITY else NONE
            if _fits(o, event.session, wanted, char_of(index, buf, t.Side, NONE), entity):
                if account < 0 or entity != NONE:
                    o.listed = 1
                    own.list_total += 1
        own.list_left = own.list_total
        own.list_id_size = size
        copy_bytes(own.list_id, 0, buf, index.start[f], size)
        if own.list_total == 0:
            say(s.work, NO_ORDER)
            mass_status_of_none(s, out, buf, event.session)
        else:
            begin_sweep(s)
