"""The order path: read, journal and handle, write. Kernels only.

`serve` does so for all sessions that are logged on, without the interpreter, until Python is needed: for what comes
from elsewhere, for connections, for messages that are sent again or wait behind a gap. It is called again when that is
done, and goes on where it was.
"""

from __future__ import annotations

import numpy as np

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.engine.native import layout as n
from gateway.engine.native.syscalls import (
    AGAIN,
    change_interest,
    has_ended,
    receive_bytes,
    send_bytes,
    wait_for_sockets,
    word_at,
)
from gateway.fix import tags as t
from gateway.fix.layout import SOH
from gateway.fix.session.frames import FRAME, MORE, next_frame
from gateway.fix.session.layout import CUT_TYPE
from gateway.fix.session.messages import write_message
from gateway.fix.session.protocol import is_admin
from gateway.fix.values import copy_bytes
from gateway.jit import entry, kernel
from gateway.journal.append import step_event
from gateway.journal.clock import monotonic_ns
from gateway.journal.format import MAX_EVENT_BYTES
from gateway.state.pulse import BUCKETS, HEARTBEAT, LATENCY, LATENCY_BOUNDS_NS

BOUNDS_NS = np.array(LATENCY_BOUNDS_NS, np.int64)
READABLE, WRITABLE = 0x001, 0x004  # EPOLLIN, EPOLLOUT; an error or hang-up shows when the socket is read
CROWDED_BYTES = n.OUT_BYTES // 4  # while so much waits for a peer, sweeps go no faster than a step in PAUSE_NS
PAUSE_NS = 1_000_000
FLUSH_EVERY = 32  # messages of one session that are handled before what they gave is sent, and others have their turn
ASTERISK, EQUALS = 42, 61
MS_NS = 1_000_000


# Out.


@kernel
def flush(link, loop):
    """Send what waits, as far as the socket takes it; the rest when it takes more. A loss shows when it is read."""
    while link.out_start < link.used:
        sent = send_bytes(link.fd, link.ssl, link.bytes, link.out_start, link.used)
        if sent <= 0:
            if sent == -AGAIN and link.stuck_ns == 0:
                link.stuck_ns = monotonic_ns(loop.clock)
                _watch(loop, link.fd, READABLE | WRITABLE)
            if sent == -AGAIN:
                return
            link.out_start = link.used
        else:
            link.out_start += sent
            if link.stuck_ns != 0:
                link.stuck_ns = monotonic_ns(loop.clock)  # it reads
    link.out_start = 0
    link.used = 0
    if link.stuck_ns != 0:
        link.stuck_ns = 0
        _watch(loop, link.fd, READABLE)


@kernel
def _watch(loop, fd, mask):
    loop.interest[0] = mask
    loop.interest[n.EVENT_FD] = fd
    change_interest(loop.epoll, fd, loop.interest)


@kernel
def _flush_all(links, loop):
    for row in range(links.size):
        link = links[row]
        if link.fd != NONE and link.out_start < link.used and link.stuck_ns == 0:
            flush(link, loop)


@kernel
def has_room(link, size):
    """Whether a message of `size` bytes can be put behind what waits."""
    if link.used + size + n.SPARE_BYTES > n.OUT_BYTES and link.out_start > 0:
        waiting = link.used - link.out_start
        for k in range(waiting):
            link.bytes[k] = link.bytes[link.out_start + k]
        link.out_start = 0
        link.used = waiting
    return link.used + size + n.SPARE_BYTES <= n.OUT_BYTES


@kernel
def _is_pythons(message_type):
    """Whether a message is Python's to send: it may need a password, is to be logged, or closes the connection."""
    return message_type == t.LOGON or message_type == t.LOGOUT or message_type == CUT_TYPE


@kernel
def _put_outputs(s, links, loop, out):
    """Write the messages of an event behind what waits for their peers; those that are Python's to send are left."""
    loop.left_count = 0
    wall_ns = s.now_ns + s.wall_offset_ns
    for k in range(out.count):
        m = out.message[k]
        ours = loop.sends == 1 and m.session != NONE and not _is_pythons(m.message_type)
        if ours:
            link = links[m.session]
            ours = link.fd != NONE and link.busy == 0 and has_room(link, m.length)
        if ours:
            line = s.lines[m.session]
            write_message(link, line, m.message_type, m.msg_seq_num, wall_ns, 0, out.bytes, m.start, m.length)
        else:
            loop.left[loop.left_count] = k
            loop.left_count += 1


@kernel
def _count_latency(pulse, took_ns, count):
    bucket = 0
    while bucket < BOUNDS_NS.size and took_ns > BOUNDS_NS[bucket]:
        bucket += 1
    pulse[LATENCY + bucket] += count
    pulse[LATENCY + BUCKETS] += took_ns * count


# In.


@kernel
def _read(link, loop):
    """Read what has come; False when the connection is gone."""
    if link.in_start == link.in_end:
        link.in_start = 0
        link.in_end = 0
    elif link.in_end + n.READ_BYTES > n.IN_BYTES:
        waiting = link.in_end - link.in_start
        for k in range(waiting):
            link.inbox[k] = link.inbox[link.in_start + k]
        link.in_start = 0
        link.in_end = waiting
    got = receive_bytes(link.fd, link.ssl, link.inbox, link.in_end, link.in_end + n.READ_BYTES)
    link.more = 1 if link.ssl != 0 and (got == n.READ_BYTES or has_ended(link.ssl)) else 0
    if got == -AGAIN:
        return True
    if got <= 0:
        return False
    link.in_end += got
    link.received_ns = monotonic_ns(loop.clock)
    link.ready = 1
    return True


@kernel
def _after_field(buf, at, end):
    """Behind the next SOH."""
    while at < end and buf[at] != SOH:
        at += 1
    return at + 1


@kernel
def _type_of(buf, start, end):
    """MsgType(35) of a whole message, whose third field it is."""
    at = _after_field(buf, _after_field(buf, start, end), end) + 3
    return int(buf[at]) if buf[at + 1] == SOH else int(buf[at]) + 256 * int(buf[at + 1])


@kernel
def _hide_passwords(buf, start, end):
    """Overwrite Password(554) and NewPassword(925) of a Logon: neither is for the journal."""
    at = start
    while at + 4 < end:
        after = _after_field(buf, at, end)
        is_one = buf[at] == 53 and buf[at + 1] == 53 and buf[at + 2] == 52
        is_new = buf[at] == 57 and buf[at + 1] == 50 and buf[at + 2] == 53
        if (is_one or is_new) and buf[at + 3] == EQUALS:
            buf[at + 4 : after - 1] = ASTERISK
        at = after


@kernel
def _take(s, cursor, segment, event, buf, out, links, row, loop, now_ns):
    """Handle the next message of a session: (whether there was one of the application, whether Python must know)."""
    link = links[row]
    what, start, after = next_frame(link.inbox, link.in_start, link.in_end)
    link.in_start = after
    if what != FRAME:
        link.ready = 0 if what == MORE else 1
        return False, False
    message_type = _type_of(link.inbox, start, after)
    if message_type == t.LOGON:
        _hide_passwords(link.inbox, start, after)
    size = after - start
    copy_bytes(buf, 0, link.inbox, start, min(size, a.MAX_MESSAGE_BYTES))
    event.kind = ev.MESSAGE
    event.time_ns = now_ns + loop.base_ns
    event.session = row
    event.msg_seq_num = 0
    event.poss_dup = 0
    event.start = 0
    event.length = size
    event.value[:] = 0
    step_event(s, cursor, segment, event, buf, out)
    _put_outputs(s, links, loop, out)
    loop.row = row
    loop.start = start
    loop.length = size
    told = s.lines[row].happened != 0 or link.followed == 1 or loop.left_count > 0
    counts = not is_admin(message_type)
    return counts, told or message_type == t.BUSINESS_MESSAGE_REJECT


@kernel
def has_changed(loop):
    """Whether a word that is watched has another value than it had."""
    changed = False
    for k in range(loop.watched):
        changed = changed or word_at(loop.watch[k, 0]) != loop.watch[k, 1]
    return changed


@kernel
def _take_some(s, cursor, segment, event, buf, out, links, row, loop, pulse):
    """Handle what a session has sent, and send what that gives: why to return to Python, QUIET to go on."""
    link = links[row]
    handled = 0
    why = n.QUIET
    taken = 0
    while link.ready == 1 and taken < FLUSH_EVERY and why == n.QUIET:
        taken += 1
        now_ns = monotonic_ns(loop.clock)  # before the look: no order is accepted at a time after a switch was set
        if has_changed(loop):
            why = n.CHANGED
        elif cursor.used + MAX_EVENT_BYTES > cursor.limit:
            why = n.FULL
        else:
            counts, told = _take(s, cursor, segment, event, buf, out, links, row, loop, now_ns)
            handled += 1 if counts else 0
            why = n.MESSAGE if told else n.QUIET
    loop.most -= taken
    _flush_all(links, loop)
    now_ns = monotonic_ns(loop.clock)
    pulse[HEARTBEAT] = now_ns
    if handled > 0 and s.sessions[row].role == a.EMS and loop.sends == 1:
        _count_latency(pulse, now_ns - link.received_ns, handled)
    if why != n.MESSAGE and loop.sends == 1:
        cursor.handed = cursor.committed
    return why


@kernel
def _is_sweeping(s, loop):
    """Whether sweeps are under way that the loop carries out: nothing has to be synced before it is sent."""
    return s.sweep_row != NONE and loop.sends == 1


@kernel
def _is_crowded(links):
    """Whether so much waits for a peer that more cancels at once could have it cut off."""
    crowded = False
    for row in range(links.size):
        crowded = crowded or (links[row].fd != NONE and links[row].used - links[row].out_start > CROWDED_BYTES)
    return crowded


@kernel
def _sweep_some(s, cursor, segment, event, buf, out, links, loop, pulse):
    """Take the next step of a sweep and send what that gives: why to return to Python, QUIET to go on."""
    now_ns = monotonic_ns(loop.clock)
    if has_changed(loop):
        return n.CHANGED
    if cursor.used + MAX_EVENT_BYTES > cursor.limit:
        return n.FULL
    if _is_crowded(links) and now_ns - loop.swept_ns < PAUSE_NS:
        return n.QUIET
    loop.swept_ns = now_ns
    event.kind = ev.SWEEP
    event.time_ns = now_ns + loop.base_ns
    event.session = 0
    event.msg_seq_num = 0
    event.poss_dup = 0
    event.length = 0
    event.value[:] = 0
    step_event(s, cursor, segment, event, buf, out)
    _put_outputs(s, links, loop, out)
    _flush_all(links, loop)
    pulse[HEARTBEAT] = monotonic_ns(loop.clock)
    if loop.left_count > 0:
        return n.SWEPT
    cursor.handed = cursor.committed
    return n.QUIET


@kernel
def _look(links, loop):
    """Look at the sockets of the last wait: the row of a session that has lost its connection, or NONE. What has been
    read of a session is handled before more is: the others have their turn between.
    """
    while loop.next < loop.count:
        at = loop.next * n.EVENT_WORDS
        mask = int(loop.events[at])
        row = int(loop.row_of_fd[loop.events[at + n.EVENT_FD]])
        loop.next += 1
        if row == NONE:
            loop.of_python = 1
        elif links[row].fd != NONE:
            if mask & WRITABLE:
                flush(links[row], loop)
            if mask & ~WRITABLE and links[row].ready == 0 and not _read(links[row], loop):
                return row
    return NONE


@kernel
def _read_more(links, loop):
    """Read on where OpenSSL may hold more than was read, of which no wait would tell: the row of a session that has
    lost its connection, or NONE.
    """
    for row in range(links.size):
        link = links[row]
        if link.more == 1 and link.ready == 0 and link.fd != NONE and not _read(link, loop):
            return row
    return NONE


@kernel
def _any_ready(links):
    ready = False
    for row in range(links.size):
        ready = ready or (links[row].ready == 1 and links[row].fd != NONE)
    return ready


@kernel
def _wait(loop, longest_ns):
    """Wait for a socket, at most so long and until the time is up; False when a signal has come."""
    left_ns = min(max(loop.deadline_ns - monotonic_ns(loop.clock), 0), longest_ns)
    count = wait_for_sockets(loop.epoll, loop.events, n.MAX_EVENTS, (left_ns + MS_NS - 1) // MS_NS)
    loop.next = 0
    loop.count = max(count, 0)
    return count >= 0


@entry
def serve(block, cursor_block, segment_block, event_block, buf_block, out_block, links, loop_block, pulse):
    """Serve the sessions until Python is needed; returns why, one of the numbers of `layout`. `loop.of_python` says
    whether a socket of Python's has something, too. Each call looks at all sockets first, so none waits for others.

    `links` has a record of `layout.LINK` for each session, `loop_block` one of `layout.LOOP`, `pulse` the words of a
    `state.pulse.PULSE`; the others are those of `journal.append.step`. What MESSAGE left to send is in `out_block`.
    """
    s = block[0]
    cursor = cursor_block[0]
    segment = segment_block[0]
    event = event_block[0]
    buf = buf_block[0].bytes
    out = out_block[0]
    loop = loop_block[0]
    waited = False
    while True:
        ready = _any_ready(links)
        sweeping = _is_sweeping(s, loop)
        if waited and not ready and monotonic_ns(loop.clock) >= loop.deadline_ns:
            return n.QUIET
        waited = True
        at_once = ready or (sweeping and not _is_crowded(links))
        longest_ns = min(loop.look_ns, PAUSE_NS) if sweeping else loop.look_ns
        if not _wait(loop, 0 if at_once else longest_ns):
            loop.of_python = 1
            return n.QUIET
        if has_changed(loop):
            return n.CHANGED
        lost = _read_more(links, loop)
        lost = _look(links, loop) if lost == NONE else lost
        if lost != NONE:
            loop.row = lost
            return n.LOST
        for _ in range(links.size):
            row = loop.turn
            loop.turn = row + 1 if row + 1 < links.size else 0
            if links[row].ready == 1 and links[row].fd != NONE:
                why = _take_some(s, cursor, segment, event, buf, out, links, row, loop, pulse)
                if why != n.QUIET or loop.most <= 0:
                    return why
        if sweeping and s.sweep_row != NONE:  # between two steps everything that came has its turn
            why = _sweep_some(s, cursor, segment, event, buf, out, links, loop, pulse)
            if why != n.QUIET:
                return why
        if loop.of_python == 1:
            return n.QUIET


@entry
def put_message(lines, links, loop_block, row, message_type, number, wall_ns, first_wall_ns, body):
    """Write a message behind what waits for a session's peer and send it; False when that has left too much unread.

    `body` is a uint8 array; the times are those of `session.messages.write_message`.
    """
    link = links[row]
    if not has_room(link, body.size):
        return False
    write_message(link, lines[row], message_type, number, wall_ns, first_wall_ns, body, 0, body.size)
    if link.stuck_ns == 0:
        flush(link, loop_block[0])
    return True
