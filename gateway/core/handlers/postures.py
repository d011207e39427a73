"""Postures that people set, exits that they open, and the working orders that must go for it. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.checks.posture import find_exit
from gateway.core.checks.reduces import exposure_at, open_on, to_close
from gateway.core.handlers.sweep import begin_sweep, mass_cancels_of, try_anew, why_canceled
from gateway.core.layout import FIRM_ROW, HALTED, NONE, NORMAL, REDUCE_ONLY
from gateway.core.messages.alerts import alert
from gateway.fix import tags as t
from gateway.jit import kernel

BUYS, SELLS = 0, 1


@kernel
def _side_of(o):
    return BUYS if o.side == t.BUY else SELLS


@kernel
def _is_too_much(s, o, scope):
    """Whether more is open on the side of an order, less what is being canceled, than is held to be closed."""
    exposure = exposure_at(o.exposures, scope)
    if exposure == NONE:
        return True
    e = s.exposures[exposure]
    return open_on(e, o.side) - s.ending[o.instrument, _side_of(o)] > to_close(e, o.side)


@kernel
def _is_ending(s, o):
    """Whether an order is canceled until it has ended. What its EMS wants canceled is asked for a few times only, and
    what is canceled for want of its EMS may stay when that is back.
    """
    why = why_canceled(s, o)
    return why != 0 and why != a.BY_MASS and why != a.BY_DROP


@kernel
def _is_open_of(o, scope, entity):
    return o.number != NONE and o.counted_open == 1 and o.entities[scope] == entity


@kernel
def _mark_raising(s, entity):
    """Have the working orders of an entity canceled that could raise a position, of each side only as many as are more
    than what is held: whether there are new ones. The table is walked backwards, so that by and large those placed last
    go first.

    At a session or venue, where several accounts are, all of a side go that is more than its account holds.
    """
    scope = s.entities[entity].scope
    sums = scope != a.SESSION and scope != a.VENUE
    s.ending[: s.instrument_count] = 0
    left = s.entities[entity].open_orders
    row = 0
    while left > 0 and sums and row < s.order_count:
        o = s.orders[row]
        row += 1
        if _is_open_of(o, scope, entity):
            left -= 1
            s.ending[o.instrument, _side_of(o)] += o.reserved_e8 if _is_ending(s, o) else 0
    marked = False
    left = s.entities[entity].open_orders
    row = s.order_count
    while left > 0 and row > 0:
        row -= 1
        o = s.orders[row]
        if not _is_open_of(o, scope, entity):
            continue
        left -= 1
        if _is_ending(s, o):
            continue
        if _is_too_much(s, o, scope):
            o.raising = 1
            o.cancel_tries = 0
            marked = True
            if sums:
                s.ending[o.instrument, _side_of(o)] += o.reserved_e8
    return marked


@kernel
def mark_all_raising(s):
    """Have what could raise a position canceled, of all entities that may only reduce; of those that are halted what
    passed by an exit.
    """
    s.reduce_due = 0
    marked = False
    for row in range(s.entity_count):
        if s.entities[row].posture >= REDUCE_ONLY:
            marked = _mark_raising(s, row) or marked
    if marked:
        begin_sweep(s)


@kernel
def _unmark(s):
    """What was to be canceled since it could raise a position may stay, as far as no cancel has gone."""
    for row in range(s.order_count):
        s.orders[row].raising = 0


@kernel
def set_posture(s, out, entity, posture):
    """Give an entity a posture, and have canceled what must go for it."""
    e = s.entities[entity]
    was = e.posture
    by_account = 1 if e.scope == a.SESSION or e.scope == a.VENUE else 0
    s.postured[was] -= 1 if was != NORMAL else 0
    s.postured[posture] += 1 if posture != NORMAL else 0
    s.reduces_by_account += by_account * ((1 if posture >= REDUCE_ONLY else 0) - (1 if was >= REDUCE_ONLY else 0))
    e.posture = posture
    e.posture_ns = s.now_ns
    if was >= REDUCE_ONLY:
        _unmark(s)
    if s.postured[REDUCE_ONLY] + s.postured[HALTED] > 0:
        mark_all_raising(s)
    if posture == HALTED and s.open_order_count > 0:
        try_anew(s, NONE)
        mass_cancels_of(s, out, entity)
        begin_sweep(s)


@kernel
def on_posture(s, out, buf, event):
    """A person sets the posture of an entity."""
    row = event.value[ev.POSTURE_ENTITY]
    posture = event.value[ev.POSTURE_NEW]
    if FIRM_ROW <= row < s.entity_count and NORMAL <= posture <= HALTED:
        alert(s, out, al.POSTURE_SET, buf, event.start, event.length)
        set_posture(s, out, row, posture)


@kernel
def _close_exit(s, row):
    """The last exit takes the place of one that is over."""
    s.exit_count -= 1
    e = s.exits[row]
    last = s.exits[s.exit_count]
    e.entity = last.entity
    e.instrument = last.instrument
    e.left_e8 = last.left_e8
    e.until_ns = last.until_ns


@kernel
def close_exits(s):
    """Close the exits whose time or quantity has come to an end; whether there was one."""
    closed = False
    for row in range(s.exit_count - 1, -1, -1):
        if s.exits[row].left_e8 <= 0 or s.now_ns >= s.exits[row].until_ns:
            _close_exit(s, row)
            closed = True
    return closed


@kernel
def on_exit(s, out, buf, event):
    """A person opens an exit, in place of one that was open for the same entity and instrument, or closes it."""
    entity = event.value[ev.EXIT_ENTITY]
    instrument = event.value[ev.EXIT_INSTRUMENT]
    if not (FIRM_ROW <= entity < s.entity_count and 0 <= instrument < s.instrument_count):
        return
    close_exits(s)
    row = find_exit(s, entity, instrument)
    if row == NONE and s.exit_count < s.exits.size:
        row = s.exit_count
        s.exit_count += 1
    if row == NONE:
        return
    alert(s, out, al.EXIT_SET, buf, event.start, event.length)
    s.exits[row].entity = entity
    s.exits[row].instrument = instrument
    s.exits[row].left_e8 = event.value[ev.EXIT_QUANTITY]
    s.exits[row].until_ns = event.value[ev.EXIT_UNTIL]
    close_exits(s)
