"""Messages from an EMS: NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import fail
from gateway.core.checks.candidate import clear_candidate, find_exposures
from gateway.core.checks.identity import count_for_entities, find_instrument, identify
from gateway.core.checks.judge import judge
from gateway.core.checks.rate import fingerprint_of
from gateway.core.checks.route import require_up, route
from gateway.core.checks.service import check_stale, read_age, require_not_killed, require_service, sent_again
from gateway.core.checks.terms import check_translation, read_terms
from gateway.core.handlers.graded import stop_graded, tell_graded
from gateway.core.handlers.turns import FIRST_NS, takes_cancel
from gateway.core.layout import NONE, SURE
from gateway.core.messages.text import add_bytes, explain, say
from gateway.core.messages.to_ems import cancel_reject, new_report, order_reject, report, status_of_unknown, status_type
from gateway.core.messages.to_venue import child_cancel, child_order
from gateway.core.orders.exposure import settle
from gateway.core.orders.requests import add_pending, any_unsent, count_pending, fill_request, mark_unsent
from gateway.core.tables.exposures import exposure_row
from gateway.core.tables.orders import add_order, orders_left
from gateway.core.tables.requests import add_request, find_request, requests_left
from gateway.fix import tags as t
from gateway.fix.fields import decimal_of
from gateway.fix.index import find
from gateway.jit import kernel

MAX_PENDING_REPLACES = 16
MAX_PENDING_CANCELS = 4  # of an EMS on one order: more would not make a silent venue answer
CANCEL_AGAIN_NS = 10_000_000_000  # but one more is passed on so long after the last one: none may ever reach it else
REUSE = 1 << c.CL_ORD_ID_REUSE  # told together with whatever else is wrong, so it does not end the pass
UNKNOWN_ORDER = c.phrase("OrigClOrdID(41) names no order of this session")
TOO_LATE = c.phrase("the order is closed")
SUPERSEDED = c.phrase("OrigClOrdID(41) is no longer the order's ClOrdID")
ALREADY_PENDING = c.phrase("a request on this order is pending already")
DUPLICATE_ID = c.phrase("ClOrdID(11) was used before")
NEVER_ACCEPTED = c.phrase("ClOrdID(11) names no order of this session")
REFUSED_BEFORE = c.phrase("this replace was refused before")
BAD_ID = c.phrase("ClOrdID(11) must be at most 64 bytes of printable ASCII")
VENUE_DOWN = c.phrase("the venue is not logged on")


@kernel
def _usable_id(buf, start, size):
    """Whether a ClOrdID can be kept and told back unchanged."""
    for k in range(start, start + size):
        if not 32 <= buf[k] < 127:
            return False
    return size <= a.ID_BYTES


@kernel
def _reason_of(x):
    """OrdRejReason(103) of the first check that fired and has one of its own, else 0 (broker option)."""
    for check in range(c.CHECK_REASON.size):
        if x.mask >> check & 1 and c.CHECK_REASON[check] != t.ORDER_BROKER_OPTION:
            return c.CHECK_REASON[check]
    return t.ORDER_BROKER_OPTION


@kernel
def _count_refusal(s, x):
    for check in range(c.CHECK_REASON.size):
        if x.mask >> check & 1:
            s.check_fired[check] += 1
            s.sessions[x.session].fired[check] += 1
    for k in range(a.SCOPES):
        if x.entities[k] != NONE:
            s.entities[x.entities[k]].refused += 1
    s.refused_orders += 1


@kernel
def _prepare(s, x, index, buf, poss_dup, message):
    """All prerequisites of a new order; the checks may run when `x.mask` is 0 afterwards."""
    require_service(s, x)
    read_age(s, x, index, buf)
    read_terms(s, x, index, buf, message)
    find_instrument(s, x, index, buf)
    identify(s, x, index, buf)
    count_for_entities(s, x)
    check_stale(s, x, index, buf, poss_dup)
    if x.instrument != NONE:
        route(s, x, index, buf)
    if x.venue != NONE:
        check_translation(s, x, index, buf, t.NEW_ORDER_SINGLE)
    require_not_killed(s, x)
    if orders_left(s) == 0 or requests_left(s) < s.open_order_count + 2:
        fail(x, c.CAPACITY, c.DETAIL_FULL, NONE)
    if x.mask & ~REUSE == 0:
        find_exposures(s, x)


@kernel
def _answer_again(s, out, buf, event, request):
    """A request that was seen came again: with PossResend(97) its sender wants to know what became of it (FIX 4.4
    Appendix D, F.1.a); with PossDupFlag(43) the session layer repeats itself, and its answer was sent.
    """
    r = s.requests[request]
    if event.poss_dup == 1 or r.order == NONE:
        return
    if r.state != a.REQUEST_REJECTED:
        tell_status(s, out, buf, event.session, request)
        return
    say(s.work, REFUSED_BEFORE)
    reason = r.answer - 1 if r.answer > 0 else t.CANCEL_BROKER_OPTION
    accepted = s.orders[r.order].accepted
    cancel_reject(s, out, buf, event.session, request, accepted, r.order, t.RESPONSE_TO_REPLACE, reason, False)


@kernel
def tell_status(s, out, buf, session, request):
    """The state of an order under the ClOrdID of one of its requests: 150=I in 4.4, 20=3 in 4.2. Asked for by one that
    has been replaced it is told under the last one, with that one as OrigClOrdID(41) (FIX 4.4 Appendix D, G.1.c); by
    one that was refused, under the last one alone.
    """
    s.work.text_size = 0
    r = s.requests[request]
    row = r.order
    x = new_report(s, row, status_type(s, row), t.TRANS_STATUS)
    if r.state == a.REQUEST_PENDING or r.kind == t.ORDER_CANCEL_REQUEST:
        x.cl_ord_id = request
    elif r.state == a.REQUEST_ACCEPTED and request != s.orders[row].accepted:
        x.orig = request
    report(s, out, buf, x)


@kernel
def new_order_single(s, out, buf, event, message):
    """Judge a NewOrderSingle(D): a child order to the venue, or an ExecutionReport that says every reason why not."""
    work = s.work
    index = work.index
    x = work.candidate
    clear_candidate(x, event.session, t.NEW_ORDER_SINGLE)
    id_field = find(index, t.ClOrdID)
    id_start = index.start[id_field]
    id_size = index.length[id_field]
    seen = find_request(s, event.session, buf, id_start, id_size)
    live = s.requests[seen].order if seen != NONE else NONE
    if seen != NONE:
        if sent_again(index, buf, event.poss_dup) and (_was_answered(s, seen) or event.poss_dup == 1):
            s.duplicate_messages += 1
            _answer_again(s, out, buf, event, seen)
            return
        fail(x, c.CL_ORD_ID_REUSE, c.DETAIL_REUSE, NONE)
    elif not _usable_id(buf, id_start, id_size):
        fail(x, c.WELL_FORMED, c.DETAIL_CL_ORD_ID, NONE)
    _prepare(s, x, index, buf, event.poss_dup, message)
    x.venue_qty_e8 = x.qty_e8
    if x.mask & ~REUSE == 0:
        x.added_e8 = x.qty_e8
        x.fingerprint = fingerprint_of(x)
        judge(s, x)
    if x.mask != 0:
        work.decision = a.REFUSED
        _remember_refused(s, x, seen, buf, id_start, id_size)
        explain(s, work, buf)
        order_reject(s, out, work, buf, x.session, _reason_of(x), live)
        stop_graded(s, out, x)
        return
    row = _place(s, x, buf, id_start, id_size)
    _take_from_exit(s, x, s.orders[row])
    work.decision = a.ACCEPTED
    work.request = s.orders[row].first
    child_order(s, out, buf, row, s.orders[row].first, t.NEW_ORDER_SINGLE, NONE)
    tell_graded(s, out, x)


@kernel
def _remember(s, session, kind, order, buf, id_start, id_size, reason):
    """Keep the ClOrdID of a refused request used, while half of the table is free: refusals must not use it up. That of
    a replace still names its order, since a cancel may have been sent behind it. `reason`: CxlRejReason(102) of it.
    """
    if _usable_id(buf, id_start, id_size) and requests_left(s) > s.requests.size // 2 + s.open_order_count:
        row = add_request(s, session, kind, buf, id_start, id_size)
        s.requests[row].state = a.REQUEST_REJECTED
        s.requests[row].order = order
        s.requests[row].answer = reason + 1
        _note_refused(s, row)


@kernel
def _note_refused(s, request):
    """The refusal of an order goes out now, and the session layer brings it unless the numbers begin anew."""
    r = s.requests[request]
    if r.order == NONE:
        r.qty_e8 = s.sessions[r.session].numbering + 1


@kernel
def _was_answered(s, request):
    """Whether the sender of a request, an order or a refused one, has its answer or gets it without our doing."""
    r = s.requests[request]
    return r.order != NONE or r.qty_e8 == s.sessions[r.session].numbering + 1


@kernel
def _remember_refused(s, x, seen, buf, id_start, id_size):
    """Count a refusal. Its ClOrdID stays used, unless a flood of orders is refused for its rate or for lack of room.
    `seen` is the request that had it before, if any.
    """
    _count_refusal(s, x)
    flood = x.order == NONE and x.mask & (1 << c.MAX_MESSAGES | 1 << c.CAPACITY) != 0
    if seen != NONE:
        _note_refused(s, seen)
    elif not flood:
        _remember(s, x.session, x.kind, x.order, buf, id_start, id_size, t.CANCEL_BROKER_OPTION)


@kernel
def _settle_judged(s, o):
    """What has just been judged raises no position that may only be reduced."""
    due = s.reduce_due
    settle(s, o)
    s.reduce_due = due if s.reduces_by_account == 0 else 1


@kernel
def _take_from_exit(s, x, o):
    """What passes a halt by an exit takes of its quantity, and gives nothing back."""
    if x.exit != NONE:
        s.exits[x.exit].left_e8 -= x.added_e8
        o.exit_ns = s.now_ns


@kernel
def _place(s, x, buf, id_start, id_size):
    """Enter an accepted order into the tables and reserve its exposure; returns its row."""
    row = add_order(s)
    s.accepted_orders += 1
    o = s.orders[row]
    request = add_request(s, x.session, t.NEW_ORDER_SINGLE, buf, id_start, id_size)
    s.requests[request].state = a.REQUEST_ACCEPTED
    fill_request(s.requests[request], x, row)
    o.doubt = SURE
    o.asked = 0
    o.session = x.session
    o.venue = x.venue
    o.instrument = x.instrument
    o.side = x.side
    o.status = t.STATUS_PENDING_NEW
    o.replaced = 0
    o.first = request
    o.accepted = request
    o.pending = NONE
    o.qty_e8 = x.qty_e8
    o.fills_e8 = 0
    o.venue_cum_e8 = 0
    o.cum_e8 = 0
    o.terms = 0
    o.asks = 0
    o.asked_ns = 0
    o.cancel_asked_ns = 0
    o.avg_px_e8 = 0
    o.avg_told = 0
    o.newest_fill = NONE
    o.traded = 0
    o.traded_e16 = 0
    o.restated_e8 = 0
    o.doubtful_e8 = 0
    o.unbooked_e8 = 0
    o.corrected = 0
    o.reserved_e8 = 0
    o.counted_open = 0
    o.listed = 0
    o.placed_ns = s.now_ns
    o.ended_day = 0
    o.canceled_by = 0
    o.raising = 0
    o.exit_ns = 0
    o.cancel_tries = 0
    o.cancel_ns = 0
    o.cancel_refused = 0
    o.mass_cancel = 0
    o.venue_order_id_size = 0
    for k in range(a.MAX_SCOPES):
        o.entities[k] = x.entities[k]
        o.exposures[k] = NONE
    for k in a.POSITION_SCOPES:
        o.exposures[k] = exposure_row(s, x.entities[k], x.instrument) if x.entities[k] != NONE else NONE
    o.fingerprint = x.fingerprint
    bucket = x.fingerprint & (s.fingerprint_head.size - 1)
    o.fingerprint_older = s.fingerprint_head[bucket]
    s.fingerprint_head[bucket] = row
    _settle_judged(s, o)
    return row


@kernel
def _reject_change(s, out, buf, session, row, kind, reason, phrase):
    """OrderCancelReject of the request in hand, with one phrase as its text."""
    say(s.work, phrase)
    response = t.RESPONSE_TO_CANCEL if kind == t.ORDER_CANCEL_REQUEST else t.RESPONSE_TO_REPLACE
    orig = s.orders[row].accepted if row != NONE else NONE
    cancel_reject(s, out, buf, session, NONE, orig, row, response, reason, False)


@kernel
def _opens_again(o, index, buf):
    """Whether a replace asks for more than has filled of an order that has: its venue may take that (FIX 4.4
    Appendix D, C.1.c).
    """
    return o.status == t.STATUS_FILLED and decimal_of(index, buf, t.OrderQty) + o.restated_e8 > o.cum_e8


@kernel
def _target_of(s, out, buf, event, kind):
    """The request that OrigClOrdID(41) names, or NONE after a reject was sent or a repeated message ignored."""
    index = s.work.index
    id_field = find(index, t.ClOrdID)
    orig_field = find(index, t.OrigClOrdID)
    seen = find_request(s, event.session, buf, index.start[id_field], index.length[id_field])
    if seen != NONE:
        if sent_again(index, buf, event.poss_dup) and (_was_answered(s, seen) or event.poss_dup == 1):
            s.duplicate_messages += 1
            _answer_again(s, out, buf, event, seen)
            return NONE
        target = find_request(s, event.session, buf, index.start[orig_field], index.length[orig_field])
        row = s.requests[target].order if target != NONE else NONE
        _reject_change(s, out, buf, event.session, row, kind, t.CANCEL_DUPLICATE_CL_ORD_ID, DUPLICATE_ID)
        return NONE
    target = find_request(s, event.session, buf, index.start[orig_field], index.length[orig_field])
    if target == NONE or s.requests[target].order == NONE:
        _reject_change(s, out, buf, event.session, NONE, kind, t.CANCEL_UNKNOWN_ORDER, UNKNOWN_ORDER)
        return NONE
    row = s.requests[target].order
    if s.orders[row].counted_open == 0 and not (
        kind == t.ORDER_CANCEL_REPLACE_REQUEST and _opens_again(s.orders[row], index, buf)
    ):
        _reject_change(s, out, buf, event.session, row, kind, t.CANCEL_TOO_LATE, TOO_LATE)
        return NONE
    if not _usable_id(buf, index.start[id_field], index.length[id_field]):
        _reject_change(s, out, buf, event.session, row, kind, t.CANCEL_BROKER_OPTION, BAD_ID)
        return NONE
    return target


@kernel
def order_cancel_request(s, out, buf, event):
    """Pass an OrderCancelRequest(F) on: refused only when no order can be meant or the venue cannot be reached."""
    index = s.work.index
    target = _target_of(s, out, buf, event, t.ORDER_CANCEL_REQUEST)
    if target == NONE:
        return
    row = s.requests[target].order
    o = s.orders[row]
    if s.sessions[o.venue].up == 0:
        _reject_change(s, out, buf, event.session, row, t.ORDER_CANCEL_REQUEST, t.CANCEL_BROKER_OPTION, VENUE_DOWN)
        return
    # One request is kept free for each open order, so its first cancel always finds room.
    pending = count_pending(s, o, t.ORDER_CANCEL_REQUEST)
    full = requests_left(s) == 0 or (pending > 0 and requests_left(s) <= s.open_order_count)
    lately = s.now_ns - o.cancel_asked_ns < CANCEL_AGAIN_NS
    crowded = pending >= MAX_PENDING_CANCELS and (lately or any_unsent(s, o))
    if full or crowded:
        _reject_change(
            s, out, buf, event.session, row, t.ORDER_CANCEL_REQUEST, t.CANCEL_ALREADY_PENDING, ALREADY_PENDING
        )
        return
    replace_pending = (
        s.requests[target].state == a.REQUEST_PENDING and s.requests[target].kind != t.ORDER_CANCEL_REQUEST
    )
    orig = target if replace_pending else o.accepted
    f = find(index, t.ClOrdID)
    request = add_pending(s, o, event.session, t.ORDER_CANCEL_REQUEST, buf, index.start[f], index.length[f])
    s.requests[request].order = row
    if takes_cancel(s, o):
        o.cancel_asked_ns = s.now_ns
        child_cancel(s, out, buf, row, request, orig)
    else:
        mark_unsent(s, s.requests[request], orig)  # a sweep sends it, within a moment
        s.sessions[o.venue].turn_ns = FIRST_NS


@kernel
def _prepare_replace(s, x, o, index, buf, message):
    """Prerequisites of a replace: the order's own identity and route, terms that may change."""
    require_service(s, x)
    read_age(s, x, index, buf)
    read_terms(s, x, index, buf, message)
    find_instrument(s, x, index, buf)
    identify(s, x, index, buf)
    if x.instrument != NONE and x.instrument != o.instrument:
        fail(x, c.REPLACE_TERMS, c.DETAIL_INSTRUMENT, NONE)
    if x.side != o.side:
        fail(x, c.REPLACE_TERMS, c.DETAIL_REPLACE_SIDE, NONE)
    if x.entities[a.ACCOUNT] != NONE and x.entities[a.ACCOUNT] != o.entities[a.ACCOUNT]:
        fail(x, c.REPLACE_TERMS, c.DETAIL_ACCOUNT, NONE)
    x.venue = o.venue
    require_up(s, x)
    for k in range(a.SCOPES):
        x.entities[k] = o.entities[k]
    for k in a.POSITION_SCOPES:
        x.exposures[k] = o.exposures[k]
    check_translation(s, x, index, buf, t.ORDER_CANCEL_REPLACE_REQUEST)
    require_not_killed(s, x)
    count_for_entities(s, x)


@kernel
def _wanted(s, x, o):
    """Quantity of the order, at worst, that a replace asks for; and what its venue is told of it.

    A venue to which 38 is what shall be open may have filled what was open before when it takes the replace.
    """
    x.venue_qty_e8 = x.qty_e8
    wanted = x.qty_e8 + o.restated_e8
    if s.sessions[o.venue].replaces_open == 1:
        x.venue_qty_e8 = wanted - o.cum_e8
        if x.venue_qty_e8 <= 0:
            fail(x, c.REPLACE_TERMS, c.DETAIL_NOTHING_OPEN, NONE)
        wanted += o.reserved_e8 - o.unbooked_e8
    return wanted


@kernel
def _refuse_replace(s, out, buf, event, row, reason, phrase):
    """Refuse the replace in hand before it is judged."""
    index = s.work.index
    kind = t.ORDER_CANCEL_REPLACE_REQUEST
    f = find(index, t.ClOrdID)
    _remember(s, event.session, kind, row, buf, index.start[f], index.length[f], reason)
    _reject_change(s, out, buf, event.session, row, kind, reason, phrase)


@kernel
def order_cancel_replace_request(s, out, buf, event, message):
    """Judge an OrderCancelReplaceRequest(G) like an order; while it is pending the worse of old and new counts."""
    index = s.work.index
    x = s.work.candidate
    kind = t.ORDER_CANCEL_REPLACE_REQUEST
    target = _target_of(s, out, buf, event, kind)
    if target == NONE:
        return
    row = s.requests[target].order
    o = s.orders[row]
    pending = s.requests[target].state == a.REQUEST_PENDING
    f = find(index, t.ClOrdID)
    if not pending and target != o.accepted or s.requests[target].kind == t.ORDER_CANCEL_REQUEST:
        _refuse_replace(s, out, buf, event, row, t.CANCEL_BROKER_OPTION, SUPERSEDED)
        return
    waits = o.canceled_by == a.BY_MASS and o.cancel_tries == 0  # the venue has yet to be asked to cancel it
    if waits or count_pending(s, o, kind) >= MAX_PENDING_REPLACES:
        _refuse_replace(s, out, buf, event, row, t.CANCEL_ALREADY_PENDING, ALREADY_PENDING)
        return
    clear_candidate(x, event.session, kind)
    x.order = row
    _prepare_replace(s, x, o, index, buf, message)
    if requests_left(s) <= s.open_order_count + 1 - o.counted_open:
        fail(x, c.CAPACITY, c.DETAIL_FULL, NONE)
    wanted = _wanted(s, x, o)
    if x.mask == 0:
        x.added_e8 = max(wanted - o.cum_e8 - o.reserved_e8 + o.unbooked_e8, 0)
        judge(s, x)
    if x.mask != 0:
        s.work.decision = a.REFUSED
        _remember_refused(s, x, NONE, buf, index.start[f], index.length[f])
        explain(s, s.work, buf)
        cancel_reject(
            s, out, buf, event.session, NONE, o.accepted, row, t.RESPONSE_TO_REPLACE, t.CANCEL_BROKER_OPTION, False
        )
        stop_graded(s, out, x)
        return
    if o.counted_open == 0 or o.canceled_by == a.BY_MASS:
        o.canceled_by = 0  # what was to be canceled has filled, or its EMS wants it to work on
        o.raising = 0 if o.counted_open == 0 else o.raising
        o.cancel_tries = 0
        o.mass_cancel = 0
    request = add_pending(s, o, event.session, kind, buf, index.start[f], index.length[f])
    fill_request(s.requests[request], x, row)
    s.requests[request].qty_e8 = wanted
    _take_from_exit(s, x, o)
    s.work.decision = a.ACCEPTED
    s.work.request = request
    _settle_judged(s, o)
    child_order(s, out, buf, row, request, kind, target)
    tell_graded(s, out, x)


@kernel
def order_status_request(s, out, buf, event):
    """Answer an OrderStatusRequest(H) from our own state: ExecutionReport with 150=I in 4.4, 20=3 in 4.2."""
    index = s.work.index
    f = find(index, t.ClOrdID)
    request = find_request(s, event.session, buf, index.start[f], index.length[f])
    s.work.text_size = 0
    if request == NONE or s.requests[request].order == NONE:
        add_bytes(s.work, NEVER_ACCEPTED, 0, NEVER_ACCEPTED.size)
        status_of_unknown(s, out, buf, event.session)
        return
    tell_status(s, out, buf, event.session, request)
