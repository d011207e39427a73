"""Executions that a venue reports: by ExecID(17), those of no order of ours, those of a leg. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.compose import alert_once, dont_know_trade
from gateway.core.intake import FIRM_ROW, char_of
from gateway.core.layout import NONE
from gateway.core.lookup import (
    add_execution,
    exposure_row,
    find_entity,
    find_execution,
    given_back,
    instrument_named,
)
from gateway.core.told import quantity_of
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.jit import kernel

UNKNOWN_REPORT = c.phrase("report on an order that is not ours: ")
OLD_REPORT = c.phrase("resent report on an order that has ended, not booked: ")
UNKNOWN_SIZE = c.phrase("fill without a readable LastQty(32), of no order of ours: not booked, reconcile positions: ")
LEG_NOT_BOOKED = c.phrase("fill of a leg whose instrument or Side(54) is not known, not booked, reconcile: ")


@kernel
def direction_of(index, buf):
    """1 for a Side(54) that buys, -1 for one that sells, 0 for any other or none."""
    side = char_of(index, buf, t.Side, 0)
    if side == t.BUY or side == t.BUY_MINUS:
        return 1
    sells = side == t.SELL or side == t.SELL_PLUS or side == t.SELL_SHORT or side == t.SELL_SHORT_EXEMPT
    return -1 if sells else 0


@kernel
def contradicts(s, o, index, buf):
    """Whether Side(54) or the instrument of a report is another than that of its order."""
    side = direction_of(index, buf)
    if side != 0 and (side > 0) != (o.side == t.BUY):
        return True
    instrument = instrument_named(s, index, buf)
    return instrument != NONE and instrument != o.instrument


@kernel
def remember(s, venue, order, index, buf, no_fill):
    """Row of the report's ExecID on its order: (row, seen before). NONE: it has no ExecID, or it cannot be kept."""
    f = find(index, t.ExecID)
    if f < 0 or (index.length[f] == 1 and buf[index.start[f]] == 48):
        return NONE, False
    row = find_execution(s, venue, order, buf, index.start[f], index.length[f])
    if row != NONE:
        return row, True
    return add_execution(s, venue, order, buf, index.start[f], index.length[f], no_fill), False


@kernel
def _add_position(s, entity, instrument, quantity):
    """Add a signed quantity to the position of an entity, NONE for none, in an instrument."""
    exposure = exposure_row(s, entity, instrument) if entity != NONE else NONE
    if exposure != NONE:
        s.exposures[exposure].position_e8 += quantity


@kernel
def _book_unknown(s, index, buf, row):
    """A fill of an order we do not know still changes positions: the firm's, the instrument's, the named account's; not
    by guess where it does not say which way.
    """
    instrument = instrument_named(s, index, buf)
    direction = direction_of(index, buf)
    if instrument == NONE or direction == 0:
        return
    s.executions[row].qty_e8 = quantity_of(index, buf, t.LastQty)
    quantity = direction * s.executions[row].qty_e8
    account = NONE
    f = find(index, t.Account)
    if f >= 0:
        account = find_entity(s, a.ACCOUNT, buf, index.start[f], index.length[f])
    for entity in (FIRM_ROW, s.instruments[instrument].entity, account):
        _add_position(s, entity, instrument, quantity)


@kernel
def unknown_report(s, out, buf, event, is_trade, execution):
    """A report on no order of ours: a fill is booked for whom it names, and the venue told where it wants to be."""
    index = s.work.index
    s.unknown_executions += 1
    f = find(index, t.ClOrdID)
    old = event.poss_dup == 1 and f >= 0 and given_back(s, buf, index.start[f], index.length[f])
    # What is resent of a day that has ended was booked then.
    if is_trade and not old:
        if quantity_of(index, buf, t.LastQty) <= 0:
            alert_once(s, out, UNKNOWN_SIZE, NONE, buf, event)
        elif execution != NONE:
            _book_unknown(s, index, buf, execution)
    alert_once(s, out, OLD_REPORT if old else UNKNOWN_REPORT, NONE, buf, event)
    readable = quantity_of(index, buf, t.LastQty) > 0 and direction_of(index, buf) != 0
    if is_trade and not old and readable and s.sessions[event.session].tells_dont_know == 1:
        dont_know_trade(s, out, buf, event.session)


@kernel
def is_leg(index, buf):
    """Whether a fill is that of one leg of a multileg order: MultiLegReportingType(442)."""
    return char_of(index, buf, t.MultiLegReportingType, 0) == t.INDIVIDUAL_LEG


@kernel
def _add_leg(s, o, instrument, quantity):
    """Add a signed quantity of a leg's instrument to the positions of the order's entities."""
    for k in range(a.POSITION_SCOPES):
        entity = s.instruments[instrument].entity if k == a.INSTRUMENT else o.entities[k]
        _add_position(s, entity, instrument, quantity)


@kernel
def book_leg(s, out, buf, event, row, execution):
    """Book the fill of a leg, which is no fill of the order; the bust of one takes `busted` back."""
    index = s.work.index
    instrument = instrument_named(s, index, buf)
    quantity = quantity_of(index, buf, t.LastQty) * direction_of(index, buf)
    if instrument == NONE or quantity == 0 or execution == NONE:
        alert_once(s, out, LEG_NOT_BOOKED, row, buf, event)
        return
    x = s.executions[execution]
    x.leg = instrument + 1
    x.qty_e8 = quantity
    _add_leg(s, s.orders[row], instrument, quantity)


@kernel
def correct_leg(s, o, execution, quantity):
    """Replace the quantity of a leg's fill: 0 for a bust."""
    x = s.executions[execution]
    signed = quantity if x.qty_e8 > 0 else -quantity
    _add_leg(s, o, x.leg - 1, signed - x.qty_e8)
    x.qty_e8 = signed
