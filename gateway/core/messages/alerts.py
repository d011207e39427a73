"""Alerts: what a person must hear of, by their numbers in `core.alerts`. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import MAX_MESSAGE_BYTES, NONE
from gateway.core.messages.write import begin, has_room
from gateway.fix.values import copy_bytes
from gateway.fix.write import finish, write_digits
from gateway.jit import kernel

ORDER_TEXT, DASH, CL_ORD_ID_TEXT = c.phrase("order O"), c.phrase("-"), c.phrase(" ClOrdID ")
AT_TEXT, COLON = c.phrase(" at "), c.phrase(": ")


@kernel
def _add(s, out, source, start, size):
    """Append bytes to an alert."""
    if has_room(s, out, size):
        copy_bytes(out.bytes, out.used, source, start, size)
        out.used += size


@kernel
def alert(s, out, number, buf, start, size):
    """An alert for the log, with the bytes that it is about."""
    begin(s, out, NONE, number)
    _add(s, out, buf, start, min(size, MAX_MESSAGE_BYTES))
    finish(out)


@kernel
def alert_once(s, out, number, row, buf, event):
    """An alert about the report in hand, with the order that it is about (`row`; NONE: not one of ours), the venue, and
    its bytes. Only the first alert of an event is written.
    """
    if s.work.alerted == 1:
        return
    s.work.alerted = 1
    begin(s, out, NONE, number)
    if row != NONE:
        o = s.orders[row]
        r = s.requests[o.accepted]
        _add(s, out, ORDER_TEXT, 0, ORDER_TEXT.size)
        out.used = write_digits(out.bytes, out.used, o.run)
        _add(s, out, DASH, 0, DASH.size)
        out.used = write_digits(out.bytes, out.used, o.number)
        _add(s, out, CL_ORD_ID_TEXT, 0, CL_ORD_ID_TEXT.size)
        _add(s, out, r.cl_ord_id, 0, r.cl_ord_id_size)
        _add(s, out, AT_TEXT, 0, AT_TEXT.size)
    e = s.entities[s.sessions[event.session].entity]
    _add(s, out, e.name, 0, e.name_size)
    _add(s, out, COLON, 0, COLON.size)
    _add(s, out, buf, event.start, min(event.length, MAX_MESSAGE_BYTES))
    finish(out)
