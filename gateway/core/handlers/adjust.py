"""A position adjusted by a person. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core.handlers.bookings import add_to_position
from gateway.core.layout import FIRM_ROW, NONE
from gateway.core.messages.alerts import alert
from gateway.jit import kernel


@kernel
def on_adjust(s, out, buf, event):
    """Add a quantity to the positions in an instrument: of the firm, the instrument, the account and whoever else is
    named, and of the class of a strategy.
    """
    instrument = event.value[ev.ADJUST_INSTRUMENT]
    if instrument < 0 or instrument >= s.instrument_count:
        return
    quantity = event.value[ev.ADJUST_BY]
    add_to_position(s, FIRM_ROW, instrument, quantity)
    add_to_position(s, s.instruments[instrument].entity, instrument, quantity)
    for k in range(len(ev.ADJUSTED_SCOPES)):
        entity = event.value[ev.ADJUST_ENTITIES + k]
        if NONE < entity < s.entity_count:
            add_to_position(s, entity, instrument, quantity)
            if s.entities[entity].group != NONE:
                add_to_position(s, s.entities[entity].group, instrument, quantity)
    alert(s, out, al.ADJUSTED, buf, event.start, event.length)
