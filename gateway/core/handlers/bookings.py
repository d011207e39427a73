"""Executions that a venue reports: by ExecID(17), those of no order of ours, those of a leg. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import layout as a
from gateway.core.handlers.quantities import quantity_of, says_working
from gateway.core.layout import FIRM_ROW, NONE
from gateway.core.messages.alerts import alert_once
from gateway.core.messages.to_venue import dont_know_trade
from gateway.core.orders.exposure import plus
from gateway.core.tables.entities import find_entity
from gateway.core.tables.executions import add_execution, find_execution
from gateway.core.tables.exposures import exposure_row
from gateway.core.tables.instruments import instrument_named
from gateway.core.tables.requests import given_back
from gateway.fix import tags as t
from gateway.fix.fields import char_of, price_of
from gateway.fix.index import find
from gateway.jit import kernel

# What a report does, whatever the FIX version. UNCLEAR: it may take an execution back, its ExecType(150) is unreadable.
TRADE, BUST, CORRECT, STATUS, CHANGE, UNCLEAR = 1, 2, 3, 4, 5, 6


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
def add_to_position(s, entity, instrument, quantity):
    """Add a signed quantity to the position of an entity, NONE for none, in an instrument."""
    exposure = exposure_row(s, entity, instrument) if entity != NONE else NONE
    if exposure != NONE:
        x = s.exposures[exposure]
        x.position_e8 = plus(s, x.position_e8, quantity)
        s.reduce_due = 1


@kernel
def _add_unknown(s, x, quantity):
    """Add a signed quantity to the positions that a fill of no order of ours was booked for."""
    instrument = x.leg - 1
    for entity in (FIRM_ROW, s.instruments[instrument].entity, x.account):
        add_to_position(s, entity, instrument, quantity)


@kernel
def take_back_unknown(s, row):
    """A fill of no order of ours that was booked is taken back, and needs nobody any more."""
    x = s.executions[row]
    if x.order == NONE and x.leg != 0 and x.qty_e8 != 0:
        s.unknown_executions -= 1
        _add_unknown(s, x, -x.qty_e8)
        x.qty_e8 = 0


@kernel
def find_unknown(s, venue, index, buf, tag):
    """Row of the fill of no order of ours with the ExecID(17) that a field of a report names, or NONE."""
    f = find(index, tag)
    return find_execution(s, venue, NONE, buf, index.start[f], index.length[f]) if f >= 0 else NONE


@kernel
def was_unknown(s, o, index, buf, quantity):
    """Row of this fill of an order where it came before under ids that were not ours, and was booked so; or NONE."""
    row = find_unknown(s, o.venue, index, buf, t.ExecID)
    if row == NONE:
        return NONE
    x = s.executions[row]
    signed = quantity if o.side == t.BUY else -quantity
    same = x.leg - 1 == o.instrument and x.qty_e8 == signed and x.px_e8 == price_of(index, buf, t.LastPx)
    same_account = x.account == NONE or x.account == o.entities[a.ACCOUNT]
    return row if same and same_account else NONE


@kernel
def _busts_unknown(s, venue, index, buf):
    """Row of the booked fill of no order of ours that a bust names and does not contradict; or NONE."""
    row = find_unknown(s, venue, index, buf, t.ExecRefID)
    if row == NONE:
        return NONE
    x = s.executions[row]
    quantity = quantity_of(index, buf, t.LastQty)
    side = direction_of(index, buf)
    instrument = instrument_named(s, index, buf)
    other = quantity > 0 and quantity != abs(x.qty_e8) or side != 0 and side * x.qty_e8 < 0
    return NONE if other or (instrument != NONE and instrument != x.leg - 1) else row


@kernel
def _book_unknown(s, index, buf, row):
    """A fill of an order we do not know still changes positions: the firm's, the instrument's, the named account's; not
    by guess where it does not say which way. Returns whether it was booked.
    """
    instrument = instrument_named(s, index, buf)
    direction = direction_of(index, buf)
    if instrument == NONE or direction == 0:
        return False
    x = s.executions[row]
    x.leg = instrument + 1
    x.qty_e8 = direction * quantity_of(index, buf, t.LastQty)
    x.px_e8 = price_of(index, buf, t.LastPx)
    f = find(index, t.Account)
    if f >= 0:
        x.account = find_entity(s, a.ACCOUNT, buf, index.start[f], index.length[f])
    _add_unknown(s, x, x.qty_e8)
    return True


@kernel
def unknown_report(s, out, buf, event, action, execution):
    """A report on no order of ours: a fill is booked for whom it names, and the venue told where it wants to be.

    `unknown_executions` counts what a person has to look into: fills, busts and corrections.
    """
    index = s.work.index
    is_trade = action == TRADE
    f = find(index, t.ClOrdID)
    old = event.poss_dup == 1 and f >= 0 and given_back(s, buf, index.start[f], index.length[f])
    number = al.OLD_REPORT if old else al.UNKNOWN_REPORT
    if not old and says_working(index, buf):
        s.sessions[event.session].unknown_working += 1
        s.sessions[event.session].unknown_working_ns = s.now_ns
    # What is resent of a day that has ended was booked then.
    if is_trade and not old:
        if quantity_of(index, buf, t.LastQty) <= 0:
            number = al.UNKNOWN_SIZE
        elif execution != NONE and _book_unknown(s, index, buf, execution):
            number = al.UNKNOWN_FILL_BOOKED
        else:
            number = al.UNKNOWN_FILL
    if action == BUST or action == CORRECT:
        number = al.UNKNOWN_BUST
    busted = _busts_unknown(s, event.session, index, buf) if action == BUST else NONE
    if busted != NONE:
        take_back_unknown(s, busted)
        number = al.UNKNOWN_FILL_TAKEN_BACK
    elif action != CHANGE and action != STATUS and not (is_trade and old):
        s.unknown_executions += 1
    alert_once(s, out, number, NONE, buf, event)
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
    for k in a.POSITION_SCOPES:
        entity = s.instruments[instrument].entity if k == a.INSTRUMENT else o.entities[k]
        add_to_position(s, entity, instrument, quantity)


@kernel
def book_leg(s, out, buf, event, row, execution):
    """Book the fill of a leg, which is no fill of the order; the bust of one takes `busted` back."""
    index = s.work.index
    instrument = instrument_named(s, index, buf)
    quantity = quantity_of(index, buf, t.LastQty) * direction_of(index, buf)
    if instrument == NONE or quantity == 0 or execution == NONE:
        alert_once(s, out, al.LEG_NOT_BOOKED, row, buf, event)
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
