"""What a venue refused or never had: OrderCancelReject, BusinessMessageReject, undelivered children. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert, alert_once
from gateway.core.messages.text import add_bytes, add_char, add_count
from gateway.core.messages.to_ems import cancel_reject, new_report, report
from gateway.core.messages.to_venue import order_status_request
from gateway.core.orders.exposure import closed, raise_doubt, settle
from gateway.core.orders.requests import forget_request, unlink_pending
from gateway.core.tables.requests import child_named
from gateway.fix import tags as t
from gateway.fix.fields import char_of
from gateway.fix.index import find
from gateway.fix.values import parse_int
from gateway.jit import kernel

REVIEW_EVERY_NS = 10_000_000_000
REVIEW_ROWS = 4_000  # orders looked at in one tick

NOT_DELIVERED = c.phrase("the venue did not receive this message")
REFUSED_BY_VENUE = c.phrase("the venue refused this message: ")
BEHIND = c.phrase(", ")
ORDER, AT, DASH = c.phrase("order O"), c.phrase(" at "), 45


@kernel
def _tell_not_canceled(s, out, buf, o, relay):
    """An alert that a cancel of the gateway's own had no effect, with the venue's Text(58) or what `work.text` says."""
    work = s.work
    if relay:
        work.text_size = 0
        f = find(work.index, t.Text)
        if f >= 0:
            add_bytes(work, buf, work.index.start[f], work.index.length[f])
    if work.text_size > 0:
        add_bytes(work, BEHIND, 0, BEHIND.size)
    add_bytes(work, ORDER, 0, ORDER.size)
    add_count(work, o.run)
    add_char(work, DASH)
    add_count(work, o.number)
    e = s.entities[s.sessions[o.venue].entity]
    add_bytes(work, AT, 0, AT.size)
    add_bytes(work, e.name, 0, e.name_size)
    alert(s, out, al.NOT_CANCELED, work.text, 0, work.text_size)


@kernel
def refuse_request(s, out, buf, request, reason, relay):
    """Tell the EMS that a pending cancel or replace was refused; the order works on."""
    r = s.requests[request]
    o = s.orders[r.order]
    response = t.RESPONSE_TO_CANCEL if r.kind == t.ORDER_CANCEL_REQUEST else t.RESPONSE_TO_REPLACE
    if r.ours == 1:
        _tell_not_canceled(s, out, buf, o, relay)
    else:
        unlink_pending(s, o, request)
        cancel_reject(s, out, buf, o.session, request, o.accepted, r.order, response, reason, relay)
    forget_request(s, request)


@kernel
def ask_about_closed(s, out, buf, event, row):
    """The venue says in passing that an order has ended that is open here: tell, and ask where it can be asked."""
    o = s.orders[row]
    if o.counted_open == 1:
        alert_once(s, out, al.CLOSED_THERE, row, buf, event)
        ask_about(s, o)


@kernel
def ask_about(s, o):
    """Ask the venue for the state of an open order, where it answers such questions."""
    own = s.sessions[o.venue]
    if own.takes_status == 1 and o.doubt < a.IN_DOUBT:
        if own.doubts == 0:
            own.told = 0
            own.since_ns = s.now_ns
        raise_doubt(s, o, a.QUERIED if o.doubt == a.SURE else a.IN_DOUBT)
        own.asked = 0


@kernel
def ask_about_all(s, venue):
    """Have the state of every open order at a venue asked for, since one of its messages could not be read. What it may
    have said of a fill is counted as open, so nothing waits for the answers.
    """
    own = s.sessions[venue]
    own.review_due = own.takes_status


@kernel
def review_orders(s, out, venue, most):
    """Send the next OrderStatusRequests(H) of such a review, until `most` messages go out; begin one that is due."""
    own = s.sessions[venue]
    if own.review == NONE:
        if own.review_due == 0 or s.now_ns - own.reviewed_ns <= REVIEW_EVERY_NS:
            return
        own.review_due = 0
        own.review = 0
        own.reviewed_ns = s.now_ns
    s.work.idle = 0
    last = min(own.review + REVIEW_ROWS, s.order_count)
    while own.review < last and out.count < most:
        row = own.review
        own.review += 1
        o = s.orders[row]
        if o.number != NONE and o.counted_open == 1 and o.venue == venue and o.doubt == a.SURE:
            order_status_request(s, out, row, o.accepted)
    if own.review >= s.order_count:
        own.review = NONE


@kernel
def order_cancel_reject(s, out, buf, event):
    """OrderCancelReject(9) from a venue: the request is over, the order works on."""
    index = s.work.index
    request = child_named(s, event.session, index, buf, t.ClOrdID)
    if request == NONE or s.requests[request].state != a.REQUEST_PENDING:
        alert(s, out, al.UNKNOWN_REJECT, buf, event.start, event.length)
        return
    f = find(index, t.CxlRejReason)
    reason = parse_int(buf, index.start[f], index.length[f]) if f >= 0 else t.CANCEL_BROKER_OPTION
    status = char_of(index, buf, t.OrdStatus, 0)
    named = child_named(s, event.session, index, buf, t.OrigClOrdID)
    row = s.requests[request].order
    o = s.orders[row]
    # An order that is not known may be a replace of ours that was refused.
    about_order = status != t.STATUS_REJECTED or named == o.accepted
    refuse_request(s, out, buf, request, reason if reason >= 0 else t.CANCEL_BROKER_OPTION, True)
    if (closed(status) or status == t.STATUS_FILLED) and about_order:
        ask_about_closed(s, out, buf, event, row)


@kernel
def refuse_child(s, out, buf, event, request):
    """A child is not at its venue; `work.text` says why. Refuse what it stood for."""
    r = s.requests[request]
    row = r.order
    o = s.orders[row]
    if r.kind == t.NEW_ORDER_SINGLE:
        if o.status == t.STATUS_PENDING_NEW and o.venue_order_id_size == 0:
            o.status = t.STATUS_REJECTED
            settle(s, o)
            report(s, out, buf, new_report(s, row, t.EXEC_REJECTED, t.TRANS_NEW))
        elif o.counted_open == 1:
            alert(s, out, al.LATE_UNDELIVERED, buf, event.start, event.length)
    elif r.state == a.REQUEST_PENDING:
        refuse_request(s, out, buf, request, t.CANCEL_BROKER_OPTION, False)


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
    request = child_named(s, event.session, index, buf, t.ClOrdID)
    if request == NONE:
        return
    doubt = s.orders[s.requests[request].order].doubt
    # Cancels go out in doubt too, orders and replaces do not.
    by_number = find(index, t.Text) >= 0 and s.requests[request].kind != t.ORDER_CANCEL_REQUEST
    if (by_number and doubt == a.IN_DOUBT) or (
        event.value[0] == ev.INFERRED and (doubt == a.UNANSWERED or doubt == a.IN_DOUBT)
    ):
        # What the engine infers from its files says nothing where these can have lost something; and since a venue has
        # begun its numbers anew, an order's may be that of another message.
        alert(s, out, al.PERHAPS_SENT, buf, event.start, event.length)
        return
    _say_refused(s, index, buf)
    refuse_child(s, out, buf, event, request)


@kernel
def business_reject_of_child(s, out, buf, event):
    """BusinessMessageReject(j) from a venue: BusinessRejectRefID(379) names the child that it refuses."""
    index = s.work.index
    about = find(index, t.RefMsgType)
    if about >= 0 and index.length[about] == 1 and buf[index.start[about]] == t.ORDER_STATUS_REQUEST:
        alert(s, out, al.NO_STATUS, buf, event.start, event.length)
        return
    request = child_named(s, event.session, index, buf, t.BusinessRejectRefID)
    if request == NONE:
        alert(s, out, al.UNKNOWN_REJECT, buf, event.start, event.length)
        return
    _say_refused(s, index, buf)
    refuse_child(s, out, buf, event, request)
