"""Cancels that the gateway sends of its own accord: what a kill switch, a posture, the loss of an EMS or a person wants
canceled.

Kernels only. A sweep walks the orders from `sweep_row` on, some at each SWEEP event, and begins anew while something is
left: a cancel that has no effect is sent again, with a ClOrdID of its own, after a second, and after QUICK_CANCELS of
them ever later, up to a minute, for as long as the order is open. Whatever may let one through begins anew: a logon of
the venue, another status of the order, a word of the venue on its trading, a repeated kill. What an EMS wants canceled
by OrderMassCancelRequest(q) is sent again only while the venue does not answer, QUICK_CANCELS times in all.

A sweep also sends the cancels of EMSs that wait for room among the messages that their venue takes. Which go first
where not all can is said in `handlers.turns`; where some had to let others go first, another pass over the orders
follows at once.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.checks.windows import messages_left
from gateway.core.handlers.refusals import refuse_request
from gateway.core.handlers.turns import FIRST_NS, begin_turns, in_turn, next_turns, takes_cancel, wait_for_turn
from gateway.core.layout import HALTED, NONE, QUICK_CANCELS
from gateway.core.messages.alerts import alert
from gateway.core.messages.text import say
from gateway.core.messages.to_ems import new_report, report, status_type
from gateway.core.messages.to_venue import child_cancel, mass_cancel
from gateway.core.orders.requests import forget_request, mark_sent
from gateway.core.tables.requests import add_request, requests_left
from gateway.fix import tags as t
from gateway.jit import kernel

MOST_CANCELS = a.OUT_MESSAGES // 2  # of one event
ROWS_AT_ONCE = 4_000  # orders looked at in one event, in less than half a millisecond
RETRY_NS = 1_000_000_000
DOUBLINGS = 6  # of it, from one try to the next, once the quick ones are used up
SLICE_NS = 100_000_000  # what a venue's rate allows in so long goes at once
ANSWER_NS = 5_000_000_000  # in which an order's report still counts as the answer to a mass cancel
START_GRACE_NS = 30_000_000_000  # in which an EMS must be back after a start of the gateway
OWN_ID_BYTES = 9
TRIES_BITS = 16  # of the key of a cancel of the gateway's own
SLOW, QUICK = 1, 2  # what `sweeps_on` says of the cancels that are left
TOO_LATE = c.phrase("the order is closed")
VENUE_DOWN = c.phrase("the venue is not logged on")


@kernel
def stays_asked(o):
    """Whether an order is to be canceled until it has ended, whatever becomes of switches, postures and sessions."""
    return o.canceled_by == a.BY_PERSON or o.canceled_by == a.BY_MASS


@kernel
def _is_halted(s, o):
    """Whether something that the order is in has been halted, and it has not passed that by an exit."""
    for k in range(a.SCOPES):
        if o.entities[k] != NONE:
            e = s.entities[o.entities[k]]
            if e.posture == HALTED and o.exit_ns <= e.posture_ns:
                return True
    return False


@kernel
def why_canceled(s, o):
    """Why the gateway wants an open order canceled now: BY_*, or 0."""
    if s.killed_count > 0:
        for k in range(a.SCOPES):
            if o.entities[k] != NONE and s.entities[o.entities[k]].killed == 1:
                return a.BY_KILL
    if s.postured[HALTED] > 0 and _is_halted(s, o):
        return a.BY_HALT
    if o.raising == 1:
        return a.BY_REDUCE
    if stays_asked(o):
        return o.canceled_by
    dropped_ns = s.sessions[o.session].dropped_ns
    if dropped_ns != NONE:
        if s.now_ns < dropped_ns:
            s.sweeps_on = QUICK
        elif _ends_with_session(s.requests[o.accepted].time_in_force):
            return a.BY_DROP
    return 0


@kernel
def _ends_with_session(time_in_force):
    return time_in_force != t.GOOD_TILL_CANCEL and time_in_force != t.GOOD_TILL_DATE


@kernel
def begin_sweep(s):
    """Look at every order from the next SWEEP event on; once more where a sweep is under way."""
    if s.sweep_row != NONE:
        s.sweep_again = 1
        return
    begin_turns(s)
    sweep_once_more(s)


@kernel
def sweep_once_more(s):
    """Look at every order from the next SWEEP event on, for what is left of former sweeps."""
    s.sweep_row = 0
    s.sweeps_on = 0


@kernel
def _add_own_request(s, o, row):
    """A cancel of the gateway's own on an order; returns its row. Its ClOrdID is none that an EMS can write."""
    key = s.work.text
    key[0] = 1
    value = o.number << TRIES_BITS | o.cancel_tries & (1 << TRIES_BITS) - 1
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
def _forget_oldest(s, o):
    """Of the gateway's own cancels of an order only the last few wait for an answer: the tries may go on for long."""
    oldest = NONE
    count = 0
    row = o.pending
    while row != NONE:
        if s.requests[row].ours == 1:
            oldest = row
            count += 1
        row = s.requests[row].older
    if count >= QUICK_CANCELS:
        forget_request(s, oldest)


@kernel
def _send_cancel(s, out, buf, row, why):
    o = s.orders[row]
    own = s.sessions[o.venue]
    orig = _orig_of(s, o)
    _forget_oldest(s, o)
    request = _add_own_request(s, o, row)
    if not stays_asked(o):
        o.canceled_by = why
    s.requests[request].answer = o.mass_cancel
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
    """Why the gateway itself asked for the cancel that a venue reports on this request: BY_*; 0: it did not."""
    if s.requests[request].ours == 1 and s.requests[request].answer != 0:
        return a.BY_MASS
    if o.canceled_by == 0:
        return 0
    if s.requests[request].ours == 1 or _own_cancel_is_pending(s, o) or why_canceled(s, o) != 0:
        return o.canceled_by
    # A mass cancel has no request on the order.
    return o.canceled_by if o.cancel_tries > 0 and s.now_ns - o.cancel_ns < ANSWER_NS else 0


@kernel
def _retry_ns(tries):
    """Time from one try to the next."""
    return RETRY_NS << min(max(tries - QUICK_CANCELS + 1, 0), DOUBLINGS)


@kernel
def _may_try(s, o):
    """Whether a cancel of the order may go now; else it waits."""
    if s.sessions[o.venue].up == 0 or (o.cancel_tries > 0 and s.now_ns - o.cancel_ns < _retry_ns(o.cancel_tries)):
        return False
    # One request is kept free for each open order; what is sent again must leave those.
    return requests_left(s) > (s.open_order_count if _own_cancel_is_pending(s, o) else 0)


@kernel
def _has_room(s, venue):
    """Whether a venue takes a cancel now, by its `cancel_rate` and its `max_messages`."""
    own = s.sessions[venue]
    return own.cancel_due_ns - s.now_ns < SLICE_NS and messages_left(s.entities[own.entity], s.now_ns) > 0


@kernel
def _send_waiting(s, out, buf, row):
    """The EMS's cancels of an order that wait for room: sent, or refused where that can do nothing any more."""
    o = s.orders[row]
    own = s.sessions[o.venue]
    request = o.pending
    while request != NONE and out.count < MOST_CANCELS:
        r = s.requests[request]
        older = r.older
        if r.unsent > 0 and (o.counted_open == 0 or own.up == 0):
            say(s.work, TOO_LATE if o.counted_open == 0 else VENUE_DOWN)
            reason = t.CANCEL_TOO_LATE if o.counted_open == 0 else t.CANCEL_BROKER_OPTION
            refuse_request(s, out, buf, request, reason, False)
        elif r.unsent > 0 and not takes_cancel(s, o):
            wait_for_turn(s, o)
        elif r.unsent > 0:
            named = r.unsent - 1
            in_force = s.requests[named].state != a.REQUEST_PENDING
            mark_sent(s, r)
            o.cancel_asked_ns = s.now_ns
            child_cancel(s, out, buf, row, request, o.accepted if in_force else named)
        request = older


@kernel
def _tell_listed(s, out, buf, row):
    """The state of an order whose EMS has asked for all."""
    o = s.orders[row]
    o.listed = 0
    s.sessions[o.session].list_left -= 1
    s.work.text_size = 0
    x = new_report(s, row, status_type(s, row), t.TRANS_STATUS)
    x.listed = 1
    report(s, out, buf, x)


@kernel
def sweep(s, out, buf):
    """Look at the next orders: send the cancels that they need, and tell of those that are asked for."""
    if s.sweep_row == NONE:
        return
    last = min(s.sweep_row + ROWS_AT_ONCE, s.order_count)
    while s.sweep_row < last and out.count < MOST_CANCELS and out.used < a.OUT_BYTES // 2:
        row = s.sweep_row
        s.sweep_row += 1
        o = s.orders[row]
        if o.number == NONE:
            continue
        if s.unsent_cancels > 0:
            _send_waiting(s, out, buf, row)
        if o.listed == 1:
            _tell_listed(s, out, buf, row)
        why = why_canceled(s, o) if o.counted_open == 1 else 0
        if why == 0 or (why == a.BY_MASS and o.cancel_tries >= QUICK_CANCELS):
            continue
        if s.sessions[o.venue].up == 1:
            s.sweeps_on = max(s.sweeps_on, QUICK if o.cancel_tries < QUICK_CANCELS else SLOW)
        if not _may_try(s, o):
            continue
        if in_turn(s, o) and _has_room(s, o.venue):
            _send_cancel(s, out, buf, row, why)
        else:
            wait_for_turn(s, o)
    if s.sweep_row >= s.order_count:
        _end_pass(s)


@kernel
def _end_pass(s):
    """All orders have been looked at: once more at once, with the next tick where cancels wait, or later."""
    at_once, waits = next_turns(s)
    if s.sweep_again == 1:
        s.sweep_again = 0
        s.sweep_row = 0
        begin_turns(s)
    elif at_once:
        s.sweep_row = 0
    else:
        s.sweep_row = NONE
        if waits:
            s.sweep_due_ns = s.now_ns
        elif s.sweep_due_ns != s.now_ns:
            s.sweep_due_ns = s.now_ns + (SLICE_NS if s.sweeps_on == QUICK or s.unsent_cancels > 0 else RETRY_NS)


@kernel
def sweep_is_due(s):
    """Whether a tick is to begin a sweep."""
    wanted = s.unsent_cancels > 0 or (s.open_order_count > 0 and (s.sweeps_on > 0 or s.killed_count > 0))
    return wanted and s.sweep_row == NONE and s.now_ns >= s.sweep_due_ns


@kernel
def try_anew(s, venue):
    """Forget how often cancels were tried, at one venue or (NONE) at all."""
    for row in range(s.order_count):
        if venue == NONE or s.orders[row].venue == venue:
            s.orders[row].cancel_tries = 0
    if venue != NONE:
        s.sessions[venue].turn_ns = FIRST_NS
    s.sweep_due_ns = s.now_ns


@kernel
def venue_is_back(s, venue):
    """A venue has logged on: what is to be canceled there is tried again."""
    if s.open_order_count > 0:
        try_anew(s, venue)
        s.sweeps_on = QUICK


@kernel
def try_soon(s, o):
    """Something has changed that may let a cancel through: the next one need not wait for longer than a second."""
    o.cancel_tries = min(o.cancel_tries, 1)
    s.sweeps_on = QUICK
    s.sweep_due_ns = min(s.sweep_due_ns, s.now_ns)


@kernel
def trading_status(s, venue):
    """A venue speaks of its trading, in TradingSessionStatus(h) or SecurityStatus(f): a period without cancels may be
    over.
    """
    if s.killed_count == 0 and s.sweeps_on == 0 and s.sweep_row == NONE:
        return
    for row in range(s.order_count):
        o = s.orders[row]
        if o.venue == venue and o.counted_open == 1 and o.cancel_tries > 1:
            try_soon(s, o)


@kernel
def _cancel_all_at(s, out, venue, instrument):
    """Send OrderMassCancelRequest(q) if it can hit no order that is to stay: every open order that it would reach (all
    at the venue, or those in an instrument there) is to be canceled. Returns whether it went.
    """
    count = 0
    due = False
    for row in range(s.order_count):
        o = s.orders[row]
        if o.number != NONE and o.counted_open == 1 and o.venue == venue:
            if instrument == NONE or o.instrument == instrument:
                if why_canceled(s, o) == 0:
                    return False
                count += 1
                due = due or o.cancel_tries == 0 or s.now_ns - o.cancel_ns >= RETRY_NS
    if count < 2 or not due or messages_left(s.entities[s.sessions[venue].entity], s.now_ns) <= 0:
        return False
    s.work.text[0] = 1
    request = add_request(s, venue, t.ORDER_MASS_CANCEL_REQUEST, s.work.text, 0, 1)
    s.requests[request].ours = 1
    s.requests[request].state = a.REQUEST_PENDING
    mass_cancel(s, out, venue, request, instrument)
    for row in range(s.order_count):
        o = s.orders[row]
        if o.counted_open == 1 and o.venue == venue and (instrument == NONE or o.instrument == instrument):
            if not stays_asked(o):
                o.canceled_by = why_canceled(s, o)
            o.cancel_tries = 1
            o.cancel_ns = s.now_ns
    return True


@kernel
def mass_cancels_of(s, out, stopped):
    """Mass cancels of what has just been killed or halted."""
    instrument = NONE
    if s.entities[stopped].scope == a.INSTRUMENT:
        for k in range(s.instrument_count):
            if s.instruments[k].entity == stopped:
                instrument = k
    mass_cancels(s, out, instrument, stopped)


@kernel
def mass_cancels(s, out, instrument, stopped):
    """Mass cancels at the venues that have them and where they hit nothing else: of all orders, or of those in an
    instrument. `stopped`: the entity that was killed or halted, NONE: none was.
    """
    firm = stopped != NONE and s.entities[stopped].scope == a.FIRM
    for venue in range(s.session_count):
        own = s.sessions[venue]
        # A venue may have orders that are not known here until it has told what was missed.
        known = own.recovering == 0 or firm or own.entity == stopped
        spare = requests_left(s) - (0 if stopped != NONE else s.requests.size // 2)  # an EMS may send any number
        if own.takes_mass_cancel == 1 and own.up == 1 and known and spare > s.open_order_count:
            if not _cancel_all_at(s, out, venue, NONE) and instrument != NONE:
                _cancel_all_at(s, out, venue, instrument)
        if out.count >= MOST_CANCELS:
            break


@kernel
def on_kill(s, out, buf, event):
    """A switch was set, set again, or released by people; of a name that is not known it is told only."""
    row = event.value[ev.KILL_ENTITY]
    known = 0 <= row < s.entity_count
    if event.value[ev.KILL_ON] == 0:
        alert(s, out, al.KILL_RELEASED, buf, event.start, event.length)
        if known:
            s.killed_count -= s.entities[row].killed
            s.entities[row].killed = 0
            s.reduce_due = 1
        return
    alert(s, out, al.KILL_SET if known else al.KILL_UNKNOWN, buf, event.start, event.length)
    if not known:
        return
    e = s.entities[row]
    s.killed_count += 1 - e.killed
    e.killed = 1
    e.killed_ns = event.value[ev.KILL_SET]
    if s.open_order_count > 0:
        try_anew(s, NONE)
        mass_cancels_of(s, out, row)
        begin_sweep(s)


@kernel
def order_mass_cancel_report(s, out, buf, event, refused):
    """OrderMassCancelReport(r): refused, orders are canceled one by one; else each order has a report of its own."""
    if refused:
        alert(s, out, al.MASS_CANCEL_REFUSED, buf, event.start, event.length)
        try_anew(s, event.session)
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
    """After a start of the gateway each EMS has some time to be back before it counts as gone; a sweep goes on. What an
    EMS was being told of all its orders it must ask for again.
    """
    s.sweep_row = NONE
    s.sweep_again = 0
    s.sweeps_on = QUICK
    for row in range(s.order_count):
        s.orders[row].listed = 0
    for k in range(s.session_count):
        own = s.sessions[k]
        own.list_left = 0
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
