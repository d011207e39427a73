"""What becomes of limits that watch, warn and stop, once an order is decided on. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core.handlers.postures import set_posture
from gateway.core.layout import HALTED, STOP, WARN, WATCH
from gateway.core.messages.alerts import alert
from gateway.core.messages.text import add_bytes, add_count, say_graded
from gateway.jit import kernel

TELL_EVERY_NS = 1_000_000_000
MORE = c.phrase(", and others since the last time: ")
IS_HALTED = c.phrase(": halted")


@kernel
def _tell(s, out, number, graded, severity):
    """An alert of a limit, at most one a second, with how many orders there were since the last."""
    g = s.grades[graded.grade]
    if g.told_ns[severity] != 0 and s.now_ns - g.told_ns[severity] < TELL_EVERY_NS:
        g.untold[severity] += 1
        return
    say_graded(s, s.work, graded)
    if g.untold[severity] > 0:
        add_bytes(s.work, MORE, 0, MORE.size)
        add_count(s.work, g.untold[severity])
    g.told_ns[severity] = s.now_ns
    g.untold[severity] = 0
    alert(s, out, number, s.work.text, 0, s.work.text_size)


@kernel
def tell_graded(s, out, x):
    """An order goes out that is watched or warned of."""
    for k in range(x.graded_count):
        found = x.graded[k]
        s.graded_orders[found.check, found.severity] += 1
        if found.severity == WARN:
            _tell(s, out, al.LIMIT_WARNED, found, WARN)
        elif found.severity == WATCH:
            _tell(s, out, al.LIMIT_WATCHED, found, WATCH)


@kernel
def stop_graded(s, out, x):
    """An order was refused: the entity of each limit that stops is halted."""
    for k in range(x.graded_count):
        found = x.graded[k]
        if found.severity != STOP:
            continue
        s.graded_orders[found.check, STOP] += 1
        entity = found.entity
        if s.entities[entity].posture != HALTED:
            say_graded(s, s.work, found)
            add_bytes(s.work, IS_HALTED, 0, IS_HALTED.size)
            alert(s, out, al.LIMIT_STOPPED, s.work.text, 0, s.work.text_size)
            set_posture(s, out, entity, HALTED)
