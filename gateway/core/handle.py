"""The one way in: `handle(state, event, buffer, out)`. Kernels only.

Pure: no I/O, clock, randomness or allocation. The same state and event always give the same state and outputs.
"""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.checks.windows import count_message
from gateway.core.handlers.adjust import on_adjust
from gateway.core.handlers.doubts import (
    MOST_OUTPUTS,
    ask_status,
    on_logon,
    on_resolve,
    on_start,
    on_synced,
    watch_doubts,
)
from gateway.core.handlers.end_of_day import end_day
from gateway.core.handlers.from_ems import (
    new_order_single,
    order_cancel_replace_request,
    order_cancel_request,
    order_status_request,
)
from gateway.core.handlers.from_venue import execution_report
from gateway.core.handlers.market_data import market_data_incremental, market_data_snapshot, on_quote
from gateway.core.handlers.mass_requests import order_mass_cancel_request, order_mass_status_request
from gateway.core.handlers.postures import close_exits, mark_all_raising, on_exit, on_posture
from gateway.core.handlers.pushed import move_parameters, on_parameter, on_release, on_source
from gateway.core.handlers.refusals import (
    ask_about_all,
    business_reject_of_child,
    order_cancel_reject,
    review_orders,
    undelivered,
)
from gateway.core.handlers.sweep import (
    on_cancel,
    on_drop,
    on_kill,
    order_mass_cancel_report,
    sweep,
    sweep_is_due,
    sweep_once_more,
    trading_status,
)
from gateway.core.layout import FIRM_ROW, MAX_MESSAGE_BYTES, NONE
from gateway.core.messages.alerts import alert, alert_once
from gateway.core.messages.text import say
from gateway.core.messages.to_ems import business_reject, session_reject
from gateway.core.messages.to_venue import SUBSCRIBE_AT_ONCE, market_data_request
from gateway.fix import tags as t
from gateway.fix.fields import char_of, is_yes, message_type_of
from gateway.fix.index import find, forget_message, index_message
from gateway.fix.layout import BAD_DATA_LENGTH, BAD_TAG, EMPTY_VALUE, INDEXED, TOO_MANY_FIELDS, VALID
from gateway.fix.session import layout as line
from gateway.fix.session import protocol
from gateway.fix.validate import find_message, is_of_version, validate
from gateway.fix.values import parse_int
from gateway.jit import entry, kernel

TOO_LONG = c.phrase("message longer than 8192 bytes")
BY_A_PERSON = c.phrase("disconnected by the gateway's operator")
LOGGING_OUT = c.phrase("the gateway logs out")
UNSUPPORTED = c.phrase("Unsupported Message Type")


@kernel
def _reject_unindexed(s, out, buf, event, fault):
    """Reject a message whose bytes could not be indexed, by what was wrong with them."""
    index = s.work.index
    reason = t.REJECT_INVALID_TAG
    tag = 0
    if fault == EMPTY_VALUE:
        reason = t.REJECT_TAG_WITHOUT_VALUE
        tag = index.empty_tag
    elif fault == BAD_DATA_LENGTH or fault == TOO_MANY_FIELDS:
        reason = t.REJECT_INCORRECT_DATA_FORMAT
    elif fault != BAD_TAG:
        reason = t.REJECT_VALUE_INCORRECT
    session_reject(s, out, buf, event.session, event.msg_seq_num, reason, tag)


@kernel
def _cancel_fault(index):
    """What a cancel must have once: MsgType, ClOrdID, OrigClOrdID. (SessionRejectReason, tag), or (VALID, 0).

    The child is made from the order, so whatever else is wrong with the message does no harm, and keeps no order alive.
    """
    for tag in (t.MsgType, t.ClOrdID, t.OrigClOrdID):
        first = find(index, tag)
        if first < 0:
            return t.REJECT_REQUIRED_TAG_MISSING, tag
        if index.length[first] == 0:
            return t.REJECT_TAG_WITHOUT_VALUE, tag
        for f in range(first + 1, index.count):
            if index.tag[f] == tag:
                return t.REJECT_REPEATED_TAG, tag
    return VALID, 0


@kernel
def _from_ems(s, out, buf, event):
    """Handle a message of an EMS; returns its MsgType, 0 where it could not be read."""
    own = s.sessions[event.session]
    count_message(s.entities[own.entity], s.now_ns)
    count_message(s.entities[FIRM_ROW], s.now_ns)
    index = s.work.index
    if event.length > MAX_MESSAGE_BYTES:
        # What was kept is indexed for MsgType(35); that it ends in the middle of a field is no news.
        index_message(index, buf, event.start, MAX_MESSAGE_BYTES, s.dictionary[own.version].data_length_tag, False)
        say(s.work, TOO_LONG)
        business_reject(s, out, buf, event.session, event.msg_seq_num, t.BUSINESS_OTHER)
        return 0
    dictionary = s.dictionary[own.version]
    fault = index_message(index, buf, event.start, event.length, dictionary.data_length_tag, False)
    message_type = message_type_of(index, buf)
    if message_type == t.BUSINESS_MESSAGE_REJECT:
        # Never answered: two sides that refuse each other's refusals would go on for ever.
        alert(s, out, al.REFUSED_BY_EMS, buf, event.start, event.length)
        return message_type
    if fault != INDEXED and not (fault == EMPTY_VALUE and message_type == t.ORDER_CANCEL_REQUEST):
        _reject_unindexed(s, out, buf, event, fault)
        return 0
    row = find_message(dictionary, message_type)
    supported = (
        message_type == t.NEW_ORDER_SINGLE
        or message_type == t.ORDER_CANCEL_REQUEST
        or message_type == t.ORDER_CANCEL_REPLACE_REQUEST
        or message_type == t.ORDER_STATUS_REQUEST
        or message_type == t.ORDER_MASS_CANCEL_REQUEST
        or message_type == t.ORDER_MASS_STATUS_REQUEST
    )
    if not is_of_version(dictionary, message_type):
        session_reject(s, out, buf, event.session, event.msg_seq_num, t.REJECT_MSG_TYPE, 0)
        return message_type
    if row < 0 or not supported:
        say(s.work, UNSUPPORTED)
        business_reject(s, out, buf, event.session, event.msg_seq_num, t.BUSINESS_UNSUPPORTED_MESSAGE)
        if message_type == t.DONT_KNOW_TRADE:
            alert(s, out, al.REFUSED_BY_EMS, buf, event.start, event.length)
        return message_type
    if message_type == t.ORDER_CANCEL_REQUEST:
        reason, tag = _cancel_fault(index)
    else:
        reason, tag = validate(dictionary, index, buf, row)
    if reason != VALID:
        session_reject(s, out, buf, event.session, event.msg_seq_num, reason, tag)
    elif message_type == t.NEW_ORDER_SINGLE:
        new_order_single(s, out, buf, event, dictionary.messages[row])
    elif message_type == t.ORDER_CANCEL_REQUEST:
        order_cancel_request(s, out, buf, event)
    elif message_type == t.ORDER_STATUS_REQUEST:
        order_status_request(s, out, buf, event)
    elif message_type == t.ORDER_MASS_CANCEL_REQUEST:
        order_mass_cancel_request(s, out, buf, event)
    elif message_type == t.ORDER_MASS_STATUS_REQUEST:
        order_mass_status_request(s, out, buf, event)
    else:
        order_cancel_replace_request(s, out, buf, event, dictionary.messages[row])
    return message_type


@kernel
def _count_ems_message(s, out, event, message_type, is_copy):
    """Count a message of an EMS by type and by what it came to. Whatever refuses it has set `out.verdict`."""
    kind = a.COUNTED_TYPES - 1
    if message_type == t.NEW_ORDER_SINGLE:
        kind = 0
    elif message_type == t.ORDER_CANCEL_REQUEST:
        kind = 1
    elif message_type == t.ORDER_CANCEL_REPLACE_REQUEST:
        kind = 2
    elif message_type == t.ORDER_STATUS_REQUEST:
        kind = 3
    if message_type == t.BUSINESS_MESSAGE_REJECT or (is_copy and out.count == 0):
        out.verdict = a.IGNORED
    s.sessions[event.session].counted[kind, out.verdict] += 1


@kernel
def _index_lenient(s, buf, event):
    """Index what can be read of a message of a venue, or of a child to one."""
    own = s.sessions[event.session]
    data_length_tag = s.dictionary[own.version].data_length_tag
    index_message(s.work.index, buf, event.start, min(event.length, MAX_MESSAGE_BYTES), data_length_tag, True)


@kernel
def _from_venue(s, out, buf, event):
    _index_lenient(s, buf, event)
    message_type = message_type_of(s.work.index, buf)
    if s.work.index.garbled > 0 or message_type == 0:
        alert_once(s, out, al.UNREADABLE_MESSAGE, NONE, buf, event)
    if message_type == 0:
        ask_about_all(s, event.session)  # it may be a fill
    elif message_type == t.EXECUTION_REPORT:
        execution_report(s, out, buf, event)
    elif message_type == t.ORDER_CANCEL_REJECT:
        order_cancel_reject(s, out, buf, event)
    elif message_type == t.BUSINESS_MESSAGE_REJECT:
        business_reject_of_child(s, out, buf, event)
    elif message_type == t.MARKET_DATA_SNAPSHOT or message_type == t.MARKET_DATA_INCREMENTAL:
        if event.poss_dup == 1:
            pass  # a price of then, not of now
        elif message_type == t.MARKET_DATA_SNAPSHOT:
            market_data_snapshot(s, out, buf, event.session)
        else:
            market_data_incremental(s, out, buf, event.session)
    elif message_type == t.ORDER_MASS_CANCEL_REPORT:
        refused = char_of(s.work.index, buf, t.MassCancelResponse, t.MASS_CANCEL_REJECTED) == t.MASS_CANCEL_REJECTED
        order_mass_cancel_report(s, out, buf, event, refused)
    elif message_type == t.TRADING_SESSION_STATUS or message_type == t.SECURITY_STATUS:
        trading_status(s, event.session)
    else:
        alert(s, out, al.NOT_HANDLED, buf, event.start, event.length)


@kernel
def _on_unread(s, out, buf, event):
    """The session layer refused a message of a venue (its Reject is the event's bytes): it may have been a fill, unless
    the number that it names has been applied.
    """
    index = s.work.index
    _index_lenient(s, buf, event)
    alert_once(s, out, al.REFUSED_BY_SESSION_LAYER, NONE, buf, event)
    f = find(index, t.RefSeqNum)
    number = parse_int(buf, index.start[f], index.length[f]) if f >= 0 else NONE
    applied = NONE < number <= s.sessions[event.session].last_in
    f = find(index, t.RefMsgType)
    report = f < 0 or (index.length[f] == 1 and buf[index.start[f]] == t.EXECUTION_REPORT)
    if report and not applied:
        ask_about_all(s, event.session)


@kernel
def _on_message(s, out, buf, event):
    """A message of the application."""
    own = s.sessions[event.session]
    # What is sent again came before.
    own.last_in = max(event.msg_seq_num, own.last_in) if event.poss_dup == 1 else event.msg_seq_num
    if own.role == a.EMS:
        copies = s.duplicate_messages
        message_type = _from_ems(s, out, buf, event)
        _count_ems_message(s, out, event, message_type, s.duplicate_messages > copies)
    else:
        _from_venue(s, out, buf, event)


@kernel
def _on_session_message(s, out, buf, event):
    """A message of one of the native engine's sessions: it goes through the session first."""
    own = s.lines[event.session]
    own.happened = 0
    heard_ns, held_from, held_to = own.heard_ns, own.held_from, own.held_to
    index = s.work.index
    dictionary = s.dictionary[own.version]
    size = min(event.length, MAX_MESSAGE_BYTES)
    wall_ns = s.now_ns + s.wall_offset_ns
    verdict = protocol.receive(own, event.session, dictionary, index, buf, event.start, size, out, s.now_ns, wall_ns)
    event.msg_seq_num = max(protocol.msg_seq_num(index, buf), 0)
    _take_no_more(s, event.session)
    if own.happened & (line.CAME_UP | line.RESET):
        event.value[0] = ev.RESET if own.happened & line.RESET else ev.CONTINUED
        on_logon(s, event)
    if own.happened & line.SYNCED:
        on_synced(s, out, buf, event)
    if verdict == line.APPLICATION:
        event.msg_seq_num = own.next_in - 1
        event.poss_dup = 1 if is_yes(index, buf, t.PossDupFlag) else 0
        _on_message(s, out, buf, event)
        return
    out.verdict = NONE
    same = own.heard_ns == heard_ns and own.held_from == held_from and own.held_to == held_to
    if (verdict == line.SEEN or verdict == line.HELD) and out.count == 0 and same:
        s.work.idle = 1


@kernel
def _take_no_more(s, row):
    """A venue that is being logged out, or whose connection is to be closed, gets no order more."""
    if s.sessions[row].role == a.VENUE_ROLE and s.lines[row].state != line.UP:
        s.sessions[row].up = 0


@kernel
def _number_outputs(s, out):
    """Give the messages of the native engine's sessions their MsgSeqNum(34)."""
    for k in range(out.count):
        m = out.message[k]
        m.msg_seq_num = 0
        if m.session != NONE and m.message_type != line.CUT_TYPE and s.lines[m.session].native == 1:
            protocol.number(s.lines[m.session], m, s.now_ns)


@kernel
def _on_tick(s, out, buf):
    """What time brings: subscriptions to market data and questions about what is in doubt, a batch for each venue and
    tick; pushed limits that move or expire; cancels that are due again.
    """
    s.work.idle = 1
    for k in range(s.session_count):
        own = s.sessions[k]
        if out.count >= MOST_OUTPUTS or out.used > a.OUT_BYTES // 2:
            break
        if s.lines[k].native == 1 and protocol.tick(s.lines[k], k, out, s.now_ns):
            s.work.idle = 0
            _take_no_more(s, k)
        if own.role == a.VENUE_ROLE and own.up == 1 and own.market_data == 1 and own.subscribed < s.instrument_count:
            last = min(own.subscribed + SUBSCRIBE_AT_ONCE, s.instrument_count)
            market_data_request(s, out, k, own.subscribed, last)
            own.subscribed = last
            s.work.idle = 0
        if own.up == 1 and (own.recovering == 1 or own.doubts > 0):
            watch_doubts(s, out, buf, k)
        if own.up == 1 and own.recovering == 0 and own.doubts > 0 and own.takes_status == 1:
            ask_status(s, out, k)
        if own.up == 1:
            review_orders(s, out, k, MOST_OUTPUTS)
    if s.parameter_count > 0 and move_parameters(s, out):
        s.work.idle = 0
    if s.exit_count > 0 and close_exits(s):
        s.work.idle = 0
    steered = s.postured[a.REDUCE_ONLY] + s.postured[a.HALTED] > 0
    if s.reduce_due == 1 and steered and s.sweep_row == NONE:
        mark_all_raising(s)
        s.work.idle = 0
    if sweep_is_due(s):
        sweep_once_more(s)
        s.work.idle = 0


@kernel
def _operate(s, out, event):
    """A person disconnects, disables or enables a session, or sets its numbers."""
    own = s.lines[event.session]
    what = event.value[ev.OPERATE_WHAT]
    if what == ev.SET_NUMBERS:
        protocol.set_numbers(own, event.value[ev.OPERATE_NEXT_IN], event.value[ev.OPERATE_NEXT_OUT])
        own.begun_s = event.value[ev.OPERATE_BEGUN] if event.value[ev.OPERATE_BEGUN] > 0 else own.begun_s
    elif what == ev.ENABLE:
        own.disabled = 0
    else:
        own.disabled = 1 if what == ev.DISABLE else own.disabled
        protocol.log_out(own, event.session, out, BY_A_PERSON, s.now_ns)
        _take_no_more(s, event.session)


@kernel
def handle_event(s, event, buf, out):
    """Apply one event to the state: `handle`, on records."""
    out.count = 0
    out.used = 0
    out.verdict = a.PASSED
    s.events += 1
    s.now_ns = event.time_ns
    s.work.idle = 0
    s.work.alerted = 0
    s.work.decision = a.NOT_DECIDED
    kind = event.kind
    if kind != ev.MESSAGE and kind != ev.TICK:
        forget_message(s.work.index)
    if kind == ev.MESSAGE and s.lines[event.session].native == 1:
        _on_session_message(s, out, buf, event)
    elif kind == ev.MESSAGE:
        _on_message(s, out, buf, event)
    elif kind == ev.QUOTE:
        on_quote(s, out, event)
    elif kind == ev.TICK:
        _on_tick(s, out, buf)
    elif kind == ev.LOGON:
        on_logon(s, event)
    elif kind == ev.LOGOUT:
        own = s.sessions[event.session]
        on_drop(s, event.session)
        own.up = 0
        protocol.lost(s.lines[event.session], s.now_ns)
        if own.last_in == a.NONE:
            own.last_in = event.msg_seq_num
    elif kind == ev.UNDELIVERED:
        _index_lenient(s, buf, event)
        undelivered(s, out, buf, event)
    elif kind == ev.CLOCK:
        s.wall_offset_ns = event.value[0]
        if s.started_wall_ns == 0:
            s.started_wall_ns = event.time_ns + event.value[0]
    elif kind == ev.UNREAD:
        _on_unread(s, out, buf, event)
    elif kind == ev.START:
        on_start(s, event)
    elif kind == ev.STOP:
        s.ended = 1
    elif kind == ev.SYNCED:
        on_synced(s, out, buf, event)
    elif kind == ev.JOURNAL:
        s.journal_blocked = event.value[0]
    elif kind == ev.RESOLVE:
        on_resolve(s, out, buf, event)
    elif kind == ev.DAY:
        end_day(s, out, buf, event)
    elif kind == ev.HOURS:
        s.market_closed = 1 - event.value[0]
    elif kind == ev.KILL:
        on_kill(s, out, buf, event)
    elif kind == ev.CANCEL:
        on_cancel(s, out, buf, event)
    elif kind == ev.SWEEP:
        sweep(s, out, buf)
    elif kind == ev.PARAMETER:
        on_parameter(s, out, event)
    elif kind == ev.RELEASE:
        on_release(s, out, buf, event)
    elif kind == ev.SOURCE:
        on_source(s, out, buf, event)
    elif kind == ev.ADJUST:
        on_adjust(s, out, buf, event)
    elif kind == ev.POSTURE:
        on_posture(s, out, buf, event)
    elif kind == ev.EXIT:
        on_exit(s, out, buf, event)
    elif kind == ev.CONNECTED:
        protocol.connected(s.lines[event.session], event.session, out, s.now_ns)
    elif kind == ev.OPERATE:
        _operate(s, out, event)
    elif kind == ev.LOG_OUT:
        protocol.log_out(s.lines[event.session], event.session, out, LOGGING_OUT, s.now_ns)
        _take_no_more(s, event.session)
    _number_outputs(s, out)


@entry
def handle(block, event_block, buf_block, out_block):
    """Apply one event to the state.

    All arrays have one record: of `layout.state_dtype`; of `events.EVENT`; of `events.BUFFER`, which holds the event's
    message from `event.start`, `event.length` bytes (cut at MAX_MESSAGE_BYTES); and of `events.OUT`, overwritten with
    what to send. Never raises: a broken invariant sets `fault`, which blocks every order.
    """
    handle_event(block[0], event_block[0], buf_block[0].bytes, out_block[0])
