"""Cancels that the gateway sends of its own accord: what a kill switch, the loss of an EMS or a person wants canceled.

Kernels only. A sweep walks the orders from `sweep_row` on, some at each SWEEP event, and begins anew while something is
left: a cancel that has no effect is sent again, with a ClOrdID of its own, after RETRY_NS, up to MAX_CANCEL_TRIES
times. What remains then is for people; a new logon of the venue or a repeated kill begins anew.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import MAX_CANCEL_TRIES, NONE
from gateway.core.messages.alerts import alert
from gateway.core.messages.to_venue import child_cancel, mass_cancel
from gateway.core.tables.requests import add_request, requests_left
from gateway.fix import tags as t
from gateway.jit import kernel

MOST_CANCELS = a.OUT_MESSAGES // 2  # of one event
ROWS_AT_ONCE = 4_000  # orders looked at in one event, in less than half a millisecond
RETRY_NS = 1_000_000_000
SLICE_NS = 100_000_000  # what a venue's rate allows in so long goes at once
ANSWER_NS = 5_000_000_000  # in which an order's report still counts as the answer to a mass cancel
START_GRACE_NS = 30_000_000_000  # in which an EMS must be back after a start of the gateway
OWN_ID_BYTES = 9


@kernel
def why_canceled(s, o):
    """Why the gateway wants an open order canceled now: BY_KILL, BY_PERSON, BY_DROP, or 0."""
    if s.killed_count > 0:
        for k in range(a.SCOPES):
            if o.entities[k] != NONE and s.entities[o.entities[k]].killed == 1:
                return a.BY_KILL
    if o.canceled_by == a.BY_PERSON:
        return a.BY_PERSON
    dropped_ns = s.sessions[o.session].dropped_ns
    if dropped_ns != NONE:
        if s.now_ns < dropped_ns:
            s.sweeps_on = 1
        elif _ends_with_session(s.requests[o.accepted].time_in_force):
            return a.BY_DROP
    return 0


@kernel
def _ends_with_session(time_in_force):
    return time_in_force != t.GOOD_TILL_CANCEL and time_in_force != t.GOOD_TILL_DATE


@kernel
def begin_sweep(s):
    """Look at every order from the next SWEEP event on."""
    s.sweep_row = 0
    s.sweeps_on = 0


@kernel
def _add_own_request(s, o, row):
    """A cancel of the gateway's own on an order; returns its row. Its ClOrdID is none that an EMS can write."""
    key = s.work.text
    key[0] = 1
    value = o.number * (MAX_CANCEL_TRIES + 1) + o.cancel_tries
    for k in range(1, OWN_ID_BYTES):
        key[k] = value & 0xFF
        value >>= 8
    request = add_request(s, o.session, t.ORDER_CANCEL_REQUEST, key, 0, OWN_ID_BYTES)
    r = s.requests[request]
    r.state = a.REQUEST_PENDING
    r.ours = 1
    r.order = row
    r.older = o.pending
    o.pending = request
    return request


@kernel
def _orig_of(s, o):
    """The request whose child is to be canceled: after a pending replace its own, since the venue takes it first. Every
    other try names the one in force, in case the replace is refused.
    """
    row = o.pending
    while row != NONE and o.cancel_tries % 2 == 0:
        if s.requests[row].kind == t.ORDER_CANCEL_REPLACE_REQUEST:
            return row
        row = s.requests[row].older
    return o.accepted


@kernel
def _send_cancel(s, out, buf, row, why):
    o = s.orders[row]
    own = s.sessions[o.venue]
    orig = _orig_of(s, o)
    request = _add_own_request(s, o, row)
    if o.canceled_by != a.BY_PERSON:
        o.canceled_by = why
    o.cancel_tries += 1
    o.cancel_ns = s.now_ns
    own.cancel_due_ns = max(own.cancel_due_ns, s.now_ns) + own.cancel_interval_ns
    child_cancel(s, out, buf, row, request, orig)


@kernel
def _own_cancel_is_pending(s, o):
    """Whether the venue has not answered a cancel of the gateway's own."""
    row = o.pending
    while row != NONE:
        r = s.requests[row]
        if r.ours == 1:
            return True
        row = r.older
    return False


@kernel
def canceled_by_us(s, o, request):
    """Whether a venue's report of a cancel, on this request, is what the gateway itself asked for."""
    if o.canceled_by == 0:
        return False
    if s.requests[request].ours == 1 or _own_cancel_is_pending(s, o) or why_canceled(s, o) != 0:
        return True
    return o.cancel_tries > 0 and s.now_ns - o.cancel_ns < ANSWER_NS  # a mass cancel has no request on the order


@kernel
def _may_try(s, o):
    """Whether a cancel of the order can go now; else it waits, or is left to people."""
    own = s.sessions[o.venue]
    if own.up == 0 or o.cancel_tries >= MAX_CANCEL_TRIES:
        return False
    if o.cancel_tries > 0 and s.now_ns - o.cancel_ns < RETRY_NS:
        return False
    # One request is kept free for each open order; what is sent again must leave those.
    return requests_left(s) > (s.open_order_count if _own_cancel_is_pending(s, o) else 0)


@kernel
def sweep(s, out, buf):
    """Look at the next orders and send the cancels that they need."""
    if s.sweep_row == NONE:
        return
    last = min(s.sweep_row + ROWS_AT_ONCE, s.order_count)
    while s.sweep_row < last and out.count < MOST_CANCELS and out.used < a.OUT_BYTES // 2:
        row = s.sweep_row
        s.sweep_row += 1
        o = s.orders[row]
        if o.number == NONE or o.counted_open == 0:
            continue
        why = why_canceled(s, o)
        if why == 0:
            continue
        if o.cancel_tries < MAX_CANCEL_TRIES and s.sessions[o.venue].up == 1:
            s.sweeps_on = 1
        if not _may_try(s, o):
            continue
        if s.sessions[o.venue].cancel_due_ns - s.now_ns < SLICE_NS:
            _send_cancel(s, out, buf, row, why)
        else:
            s.sweep_due_ns = s.now_ns  # the rest of this venue goes with the next tick
    if s.sweep_row >= s.order_count:
        s.sweep_row = NONE
        if s.sweep_due_ns != s.now_ns:
            s.sweep_due_ns = s.now_ns + (SLICE_NS if s.sweeps_on == 1 else RETRY_NS)


@kernel
def sweep_is_due(s):
    """Whether a tick is to begin a sweep."""
    return (
        s.sweep_row == NONE
        and s.open_order_count > 0
        and (s.sweeps_on == 1 or s.killed_count > 0)
        and s.now_ns >= s.sweep_due_ns
    )


@kernel
def _try_anew(s, venue):
    """Forget how often cancels were tried, at one venue or (NONE) at all."""
    for row in range(s.order_count):
        if venue == NONE or s.orders[row].venue == venue:
            s.orders[row].cancel_tries = 0
    s.sweep_due_ns = s.now_ns


@kernel
def venue_is_back(s, venue):
    """A venue has logged on: what is to be canceled there is tried again."""
    if s.open_order_count > 0:
        _try_anew(s, venue)
        s.sweeps_on = 1


@kernel
def _cancel_all_at(s, out, venue, instrument):
    """Send OrderMassCancelRequest(q) if it can hit no order that is to stay: every open order that it would reach (all
    at the venue, or those in an instrument there) is to be canceled. Returns whether it went.
    """
    count = 0
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number != NONE and o.counted_open == 1 and o.venue == venue:
            if instrument == NONE or o.instrument == instrument:
                if why_canceled(s, o) == 0:
                    return False
                count += 1
    if count < 2:
        return False
    s.work.text[0] = 1
    request = add_request(s, venue, t.ORDER_MASS_CANCEL_REQUEST, s.work.text, 0, 1)
    s.requests[request].ours = 1
    s.requests[request].state = a.REQUEST_PENDING
    mass_cancel(s, out, venue, request, instrument)
    for row in range(s.order_count):
        o = s.orders[row]
        if o.counted_open == 1 and o.venue == venue and (instrument == NONE or o.instrument == instrument):
            if o.canceled_by != a.BY_PERSON:
                o.canceled_by = why_canceled(s, o)
            o.cancel_tries = 1
            o.cancel_ns = s.now_ns
    return True


@kernel
def _cancel_at_once(s, out, killed):
    """Mass cancels of what has just been killed, at the venues that have them."""
    instrument = NONE
    if s.entities[killed].scope == a.INSTRUMENT:
        for k in range(s.instrument_count):
            if s.instruments[k].entity == killed:
                instrument = k
    firm = s.entities[killed].scope == a.FIRM
    for venue in range(s.session_count):
        own = s.sessions[venue]
        # A venue may have orders that are not known here until it has told what was missed.
        known = own.recovering == 0 or firm or own.entity == killed
        if own.takes_mass_cancel == 1 and own.up == 1 and known and requests_left(s) > s.open_order_count:
            if not _cancel_all_at(s, out, venue, NONE) and instrument != NONE:
                _cancel_all_at(s, out, venue, instrument)
        if out.count >= MOST_CANCELS:
            break


@kernel
def on_kill(s, out, buf, event):
    """A switch was set, set again, or released by people."""
    row = event.value[ev.KILL_ENTITY]
    if row < 0 or row >= s.entity_count:
        alert(s, out, al.KILL_UNKNOWN, buf, event.start, event.length)
        return
    e = s.entities[row]
    if event.value[ev.KILL_ON] == 0:
        alert(s, out, al.KILL_RELEASED, buf, event.start, event.length)
        s.killed_count -= e.killed
        e.killed = 0
        return
    alert(s, out, al.KILL_SET, buf, event.start, event.length)
    s.killed_count += 1 - e.killed
    e.killed = 1
    e.killed_ns = event.value[ev.KILL_SET]
    if s.open_order_count > 0:
        _try_anew(s, NONE)
        _cancel_at_once(s, out, row)
        begin_sweep(s)


@kernel
def order_mass_cancel_report(s, out, buf, event, refused):
    """OrderMassCancelReport(r): refused, orders are canceled one by one; else each order has a report of its own."""
    if refused:
        alert(s, out, al.MASS_CANCEL_REFUSED, buf, event.start, event.length)
        _try_anew(s, event.session)
        begin_sweep(s)


@kernel
def on_drop(s, session):
    """An EMS is gone: what it leaves to us is canceled."""
    own = s.sessions[session]
    if own.role == a.EMS and own.cancels_on_drop == 1 and own.up == 1:
        own.dropped_ns = s.now_ns
        if s.open_order_count > 0:
            for row in range(s.order_count):
                o = s.orders[row]
                if o.session == session and s.now_ns - o.cancel_ns > ANSWER_NS:
                    o.cancel_tries = 0
            begin_sweep(s)


@kernel
def expect_back(s):
    """After a start of the gateway each EMS has some time to be back before it counts as gone; and a sweep goes on."""
    s.sweep_row = NONE
    s.sweeps_on = 1
    for k in range(s.session_count):
        own = s.sessions[k]
        own.dropped_ns = NONE
        if own.role == a.EMS and own.cancels_on_drop == 1:
            own.dropped_ns = s.now_ns + START_GRACE_NS


@kernel
def on_cancel(s, out, buf, event):
    """A person cancels an order."""
    row = event.value[0]
    if row < 0 or row >= s.order_count or s.orders[row].number == NONE or s.orders[row].counted_open == 0:
        return
    alert(s, out, al.CANCEL_ASKED, buf, event.start, event.length)
    o = s.orders[row]
    o.canceled_by = a.BY_PERSON
    o.cancel_tries = 0
    begin_sweep(s)
