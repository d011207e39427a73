"""What a venue refused or never had: OrderCancelReject, BusinessMessageReject, undelivered children. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.checks.windows import has_room_for_questions
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
STATUS_WAIT_NS = 5_000_000_000  # for the answer to an OrderStatusRequest(H)
TELL_AGAIN_NS = 60_000_000_000
MOST_REASON = 32_766  # CxlRejReason(102) that can be kept

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
def _answer_mass_cancel(s, out, buf, request, reason, relay):
    """Tell the EMS that an order could not be canceled by its OrderMassCancelRequest(q), once for each order and q: FIX
    4.4 wants an OrderCancelReject then.
    """
    r = s.requests[request]
    o = s.orders[r.order]
    mass_cancel = r.answer
    if mass_cancel == NONE:
        return  # another cancel of the same q has been refused
    r.answer = NONE
    row = o.pending
    while row != NONE:
        if s.requests[row].answer == mass_cancel:
            if reason == t.CANCEL_ALREADY_PENDING:
                return  # the other one is
            s.requests[row].answer = NONE
        row = s.requests[row].older
    if o.mass_cancel == mass_cancel:
        o.mass_cancel = 0
        if o.canceled_by == a.BY_MASS:
            o.canceled_by = 0
            o.cancel_tries = 0
    cancel_reject(s, out, buf, o.session, mass_cancel - 1, o.accepted, r.order, t.RESPONSE_TO_CANCEL, reason, relay)


@kernel
def refuse_request(s, out, buf, request, reason, relay):
    """Tell the EMS that a pending cancel or replace was refused; the order works on."""
    r = s.requests[request]
    o = s.orders[r.order]
    response = t.RESPONSE_TO_CANCEL if r.kind == t.ORDER_CANCEL_REQUEST else t.RESPONSE_TO_REPLACE
    if r.ours == 1 and r.answer != 0:
        _answer_mass_cancel(s, out, buf, request, reason, relay)
    elif r.ours == 1:
        o.cancel_refused = min(reason, MOST_REASON) + 1
        if o.cancel_tries <= a.QUICK_CANCELS:  # those after them are told by the status
            _tell_not_canceled(s, out, buf, o, relay)
        if o.canceled_by == a.BY_MASS and o.mass_cancel == 0:
            o.canceled_by = 0  # by a q whose ClOrdID was not kept
            o.cancel_tries = 0
    else:
        unlink_pending(s, o, request)
        r.answer = min(reason, MOST_REASON) + 1
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
def question(s, out, row, request):
    """Send an OrderStatusRequest(H) about an order, and count that it waits for its answer."""
    own = s.sessions[s.orders[row].venue]
    own.status_out += 1
    own.status_ns = s.now_ns
    order_status_request(s, out, row, request)


@kernel
def may_ask(s, own):
    """Whether a question may go to a venue now: so many wait for an answer, and cancels go first."""
    return own.status_out < own.most_status and has_room_for_questions(s.entities[own.entity], s.now_ns)


@kernel
def forget_unanswered(s, own):
    """Questions that were not answered in time make room for others."""
    if own.status_out > 0 and s.now_ns - own.status_ns > STATUS_WAIT_NS:
        own.status_out = 0
        s.work.idle = 0


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
    forget_unanswered(s, own)
    if may_ask(s, own):
        s.work.idle = 0
    last = min(own.review + REVIEW_ROWS, s.order_count)
    while own.review < last and out.count < most and may_ask(s, own):
        row = own.review
        own.review += 1
        o = s.orders[row]
        if o.number != NONE and o.counted_open == 1 and o.venue == venue and o.doubt == a.SURE:
            question(s, out, row, o.accepted)
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
def _is_about_status(index, buf):
    """Whether a refusal is of an OrderStatusRequest(H), by RefMsgType(372)."""
    f = find(index, t.RefMsgType)
    return f >= 0 and index.length[f] == 1 and buf[index.start[f]] == t.ORDER_STATUS_REQUEST


@kernel
def _status_refused(s, out, buf, event):
    """A venue refuses a question about an order: it has no such message, or takes no more of them now."""
    index = s.work.index
    own = s.sessions[event.session]
    own.status_out = max(own.status_out - 1, 0)
    f = find(index, t.BusinessRejectReason)
    reason = parse_int(buf, index.start[f], index.length[f]) if f >= 0 else t.BUSINESS_UNSUPPORTED_MESSAGE
    if event.kind == ev.MESSAGE and reason == t.BUSINESS_UNSUPPORTED_MESSAGE:
        alert(s, out, al.NO_STATUS, buf, event.start, event.length)
        return
    own.status_again = 1
    if s.now_ns - own.status_refused_ns > TELL_AGAIN_NS:
        own.status_refused_ns = s.now_ns
        alert(s, out, al.STATUS_REFUSED, buf, event.start, event.length)


@kernel
def undelivered(s, out, buf, event):
    """A child that its venue never had, or refused by a session Reject: the event's bytes name it in ClOrdID(11)."""
    index = s.work.index
    request = child_named(s, event.session, index, buf, t.ClOrdID)
    if request == NONE:
        if _is_about_status(index, buf):
            _status_refused(s, out, buf, event)
        return
    r = s.requests[request]
    if r.ours == 1 and r.answer != 0 and r.state == a.REQUEST_PENDING and find(index, t.Text) < 0:
        forget_request(s, request)  # it had no answer, and is sent again
        return
    doubt = s.orders[r.order].doubt
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
    if _is_about_status(index, buf):
        _status_refused(s, out, buf, event)
        return
    request = child_named(s, event.session, index, buf, t.BusinessRejectRefID)
    if request == NONE:
        alert(s, out, al.UNKNOWN_REJECT, buf, event.start, event.length)
        return
    _say_refused(s, index, buf)
    refuse_child(s, out, buf, event, request)
