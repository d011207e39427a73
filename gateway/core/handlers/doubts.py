"""Orders whose fate is not known: after a crash, or when a venue began its sequence numbers anew. Kernels only.

They count at their worst and are never sent again. An order is UNCONFIRMED until its venue has resent what we missed
(SYNCED); UNANSWERED if it has still said nothing of a message of ours then, until it does; and IN_DOUBT where sequence
numbers prove nothing: then only its answer to an OrderStatusRequest(H) or a person (RESOLVE) settles it. A venue gets
no new orders before all of its own are sure.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.handlers.pushed import start_parameters
from gateway.core.handlers.quantities import quantity_of, told_cum
from gateway.core.handlers.refusals import forget_unanswered, may_ask, question, refuse_child, refuse_request
from gateway.core.handlers.sweep import expect_back, venue_is_back
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert, alert_once
from gateway.core.messages.text import say
from gateway.core.messages.to_ems import new_report, report
from gateway.core.messages.to_venue import order_mass_status_request
from gateway.core.orders.exposure import closed, is_sure, never_acknowledged, raise_doubt, settle, unanswered
from gateway.core.orders.requests import forget_request
from gateway.core.orders.status import order_status, refresh_status
from gateway.fix import tags as t
from gateway.fix.fields import char_of, decimal_of
from gateway.fix.session import protocol
from gateway.jit import kernel

MOST_OUTPUTS = a.OUT_MESSAGES // 2  # of one tick; the rest waits for the next
PATIENCE_NS = 60_000_000_000  # after which a venue's silence is told
ROWS_AT_ONCE = 20_000  # requests looked at in one tick
STATUS_AGAIN_NS = 1_000_000_000  # from a pass over the orders in doubt, some refused, to the next; doubles each time
MOST_DOUBLINGS = 6

NOT_KNOWN_THERE = c.phrase("the venue does not know this order")
RESOLVED = c.phrase("resolved by a person")


@kernel
def on_start(s, event):
    """A new run begins on the state that the last one left."""
    ended = event.value[ev.START_ENDED]
    s.run = event.value[ev.START_RUN]
    if event.value[ev.START_BOOT] != s.boot:
        # How long the machine was off is the word of a clock that may be wrong: no price counts as fresh.
        for row in range(s.instrument_count):
            s.instruments[row].quote_ns = NONE
            s.instruments[row].last_ns = NONE
    s.time_base_ns = event.value[ev.START_BASE]
    s.wall_offset_ns = event.value[ev.START_WALL_OFFSET]
    s.boot = event.value[ev.START_BOOT]
    s.ended = 0
    s.journal_blocked = 0
    s.reduce_due = 1
    if event.value[ev.START_CLEARS_FAULT] == 1:
        s.fault = 0
    if s.started_wall_ns == 0 or ended == ev.REBOOTED:
        # Orders of before may be at their venue though the journal lost them: sent again, they are refused as stale.
        s.started_wall_ns = event.time_ns + s.wall_offset_ns
    expect_back(s)
    start_parameters(s)
    for k in range(s.session_count):
        own = s.sessions[k]
        own.up = 0
        own.subscribed = 0
        if s.lines[k].native == 1:
            protocol.lost(s.lines[k], s.now_ns)
        if ended != ev.STOPPED and own.role == a.VENUE_ROLE:
            own.recovering = 1
    if ended != ev.STOPPED:
        for row in range(s.order_count):
            o = s.orders[row]
            if o.number != NONE:
                raise_doubt(s, o, a.UNANSWERED if ended == ev.REBOOTED and unanswered(o) else a.UNCONFIRMED)


@kernel
def on_logon(s, event):
    """A session is up. A venue that began its numbers anew leaves every order that rests there in doubt."""
    own = s.sessions[event.session]
    own.up = 1
    own.subscribed = 0
    own.asked = 0
    own.status_out = 0
    own.status_refusals = 0
    own.status_again = 0
    own.status_ns = s.now_ns
    own.since_ns = s.now_ns
    own.told = 0
    if own.review != NONE:
        own.review_due = 1  # it was not finished
    own.review = NONE
    own.reviewed_ns = 0
    own.continued = 1 if event.value[0] == ev.CONTINUED else 0
    own.dropped_ns = NONE
    if own.role == a.VENUE_ROLE:
        venue_is_back(s, event.session)
    if own.continued == 0:
        own.last_in = event.msg_seq_num
        own.numbering += 1
    if own.role == a.VENUE_ROLE and s.open_order_count > 0 and (own.continued == 0 or own.doubts > 0):
        for row in range(s.order_count):
            o = s.orders[row]
            if o.number != NONE and o.venue == event.session:
                o.asked = 0
                if own.continued == 0:
                    raise_doubt(s, o, a.IN_DOUBT)


@kernel
def on_synced(s, out, buf, event):
    """A venue has answered a TestRequest(1): it has sent all that we missed, and asked for all that it missed."""
    own = s.sessions[event.session]
    if own.takes_mass_status == 1 and (own.recovering == 1 or own.continued == 0):
        # An order there that is not known here shows as a report on it, which is an alert.
        order_mass_status_request(s, out, event.session)
    own.recovering = 0
    if own.doubts > 0 and own.continued == 1:
        for row in range(s.order_count):
            o = s.orders[row]
            if o.number == NONE or o.venue != event.session:
                continue
            if unanswered(o):
                # It may have been refused in a way that is never said again.
                raise_doubt(s, o, a.UNANSWERED if o.doubt == a.UNCONFIRMED else a.SURE)
            elif o.doubt == a.UNCONFIRMED or o.doubt == a.UNANSWERED:
                is_sure(s, o)
    if own.doubts > 0 and own.takes_status == 0:
        own.since_ns -= PATIENCE_NS
        watch_doubts(s, out, buf, event.session)


@kernel
def watch_doubts(s, out, buf, venue):
    """Once after each logon, when a venue has left something open for too long: an alert, and all questions anew."""
    own = s.sessions[venue]
    if own.told == 1 or s.now_ns - own.since_ns < PATIENCE_NS:
        return
    own.told = 1
    own.asked = 0
    s.work.idle = 0
    for row in range(s.order_count):
        if s.orders[row].venue == venue:
            s.orders[row].asked = 0
    name = s.entities[own.entity]
    alert(s, out, al.DOUBTS_LEFT, name.name, 0, name.name_size)


@kernel
def _ask_again(s, venue):
    """Begin anew with the orders in doubt, each time after twice as long."""
    own = s.sessions[venue]
    if s.now_ns - own.status_ns <= STATUS_AGAIN_NS << min(own.status_refusals, MOST_DOUBLINGS):
        return
    own.asked = 0
    own.status_again = 0
    own.status_refusals += 1
    s.work.idle = 0
    for row in range(s.order_count):
        if s.orders[row].venue == venue:
            s.orders[row].asked = 0


@kernel
def ask_status(s, out, venue):
    """Send OrderStatusRequests(H) about orders in doubt and their pending requests: the next few since logon, as many
    as may wait for an answer. Where the venue has refused some, those still in doubt are asked about again soon.
    """
    own = s.sessions[venue]
    forget_unanswered(s, own)
    if own.status_again == 1 and own.asked >= s.request_count and own.status_out == 0:
        _ask_again(s, venue)
    first = own.asked
    for row in range(first, min(first + ROWS_AT_ONCE, s.request_count)):
        if out.count >= MOST_OUTPUTS or not may_ask(s, own):
            break
        own.asked = row + 1
        s.work.idle = 0
        r = s.requests[row]
        if r.order == NONE or (r.session == NONE and r.retired == 0) or r.unsent > 0:
            continue
        o = s.orders[r.order]
        if o.venue == venue and o.doubt != a.SURE and (row == o.accepted or r.state == a.REQUEST_PENDING):
            question(s, out, r.order, row)
            o.asked += 1


@kernel
def _all_answered(s, o):
    """Whether the venue has answered about the order and all its pending requests."""
    if o.asked > 0:
        return False
    row = o.pending
    while row != NONE:
        if row >= s.sessions[o.venue].asked:
            return False
        row = s.requests[row].older
    return True


@kernel
def answers_doubt(s, request, index, buf):
    """Whether a venue's status of an order tells what we do not know: of a doubt, or that it never had a request."""
    r = s.requests[request]
    o = s.orders[r.order]
    if o.doubt == a.QUERIED and o.asked == 0:
        return False  # it has not been asked yet: the same word again is no answer
    if o.doubt != a.SURE:
        return True
    never = r.state == a.REQUEST_PENDING if r.kind != t.NEW_ORDER_SINGLE else never_acknowledged(o)
    return never and char_of(index, buf, t.OrdStatus, 0) == t.STATUS_REJECTED


@kernel
def _amounts_to(s, o, r, index, buf):
    """The ExecType(150) that the status of an order amounts to."""
    status = char_of(index, buf, t.OrdStatus, 0)
    if closed(status) or status == t.STATUS_DONE_FOR_DAY:
        return status
    cum = told_cum(o, index, buf)
    if status == t.STATUS_FILLED and cum == NONE:
        o.venue_cum_e8 = max(o.venue_cum_e8, o.qty_e8)
    if status == t.STATUS_NEW and o.status == t.STATUS_PENDING_NEW:
        return t.EXEC_NEW
    told = quantity_of(index, buf, t.OrderQty)
    told = told + o.restated_e8 if told > 0 else NONE
    price = decimal_of(index, buf, t.Price)
    if r.kind == t.ORDER_CANCEL_REPLACE_REQUEST and r.state == a.REQUEST_PENDING:
        new_qty = told == r.qty_e8 and told != o.qty_e8
        new_price = price == r.price_e8 and price != s.requests[o.accepted].price_e8 and price > 0
        if new_qty or new_price:
            return t.EXEC_REPLACED
    traded = max(cum, o.cum_e8)
    if status == t.STATUS_FILLED and cum > 0 and told <= traded:
        o.qty_e8 = min(o.qty_e8, traded)  # it was made smaller meanwhile
    return t.EXEC_RESTATED if told > 0 and told != o.qty_e8 else t.EXEC_ORDER_STATUS


@kernel
def answer_in_doubt(s, out, buf, event, request):
    """Take a venue's status of an order in doubt. Returns the ExecType(150) that it amounts to, 0 when it is done."""
    r = s.requests[request]
    o = s.orders[r.order]
    index = s.work.index
    unknown = char_of(index, buf, t.OrdStatus, 0) == t.STATUS_REJECTED
    never = r.state == a.REQUEST_PENDING if r.kind != t.NEW_ORDER_SINGLE else never_acknowledged(o)
    if unknown and request == o.accepted and not never:
        alert_once(s, out, al.UNKNOWN_THERE, r.order, buf, event)
        return 0
    o.asked = max(o.asked - 1, 0) if o.doubt != a.QUERIED else 0
    exec_type = 0
    if unknown and not never:
        pass  # a request that was refused meanwhile
    elif unknown:
        say(s.work, NOT_KNOWN_THERE)
        refuse_child(s, out, buf, event, request)
    else:
        if told_cum(o, index, buf) > o.cum_e8:
            alert_once(s, out, al.FILLS_MISSED, r.order, buf, event)
        exec_type = _amounts_to(s, o, r, index, buf)
    if _all_answered(s, o):
        is_sure(s, o)
    return exec_type


@kernel
def on_resolve(s, out, buf, event):
    """A person says what became of an order in doubt: it is gone from the venue, or works as we count it; or that any
    open order is gone.
    """
    row = event.value[ev.RESOLVE_ORDER]
    if row < 0 or row >= s.order_count or s.orders[row].number == NONE:
        return
    o = s.orders[row]
    if o.counted_open == 0 and o.unbooked_e8 == 0:
        return
    if o.doubt == a.SURE and o.unbooked_e8 == 0 and event.value[ev.RESOLVE_VERDICT] != ev.GONE:
        return
    alert(s, out, al.RESOLVED_BY, buf, event.start, event.length)
    say(s.work, RESOLVED)
    is_sure(s, o)
    never = o.status == t.STATUS_PENDING_NEW
    if o.unbooked_e8 > 0:
        o.fills_e8 = min(o.fills_e8, event.value[ev.RESOLVE_CUM])
        o.venue_cum_e8 = event.value[ev.RESOLVE_CUM]
        o.restated_e8 = min(o.restated_e8, event.value[ev.RESOLVE_CUM])
    o.doubtful_e8 = 0
    o.venue_cum_e8 = max(o.venue_cum_e8, event.value[ev.RESOLVE_CUM])
    exec_type = t.EXEC_ORDER_STATUS
    if never:
        o.status = t.STATUS_NEW
        exec_type = t.EXEC_NEW
    refresh_status(s, o)
    if event.value[ev.RESOLVE_VERDICT] == ev.GONE and not closed(o.status):
        while o.pending != NONE:
            if out.count < MOST_OUTPUTS:
                refuse_request(s, out, buf, o.pending, t.CANCEL_TOO_LATE, False)
            else:
                forget_request(s, o.pending)
        if o.cum_e8 < o.qty_e8:
            exec_type = t.EXEC_REJECTED if never and o.cum_e8 == 0 else t.EXEC_CANCELED
            o.status = exec_type
        settle(s, o)
    trans = t.TRANS_NEW
    if exec_type == t.EXEC_ORDER_STATUS and s.sessions[o.session].version == a.VERSION_42:
        trans = t.TRANS_STATUS
        exec_type = order_status(s, o)
    report(s, out, buf, new_report(s, row, exec_type, trans))
