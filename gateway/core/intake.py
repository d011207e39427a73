"""From an EMS message to a candidate: parse, instrument, identity, route. Kernels only.

Everything a check needs must be known before the checks run; what is missing here is a breach that ends the pass.
"""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.breaches import breach, fail
from gateway.core.layout import NONE, SURE, UNSET
from gateway.core.lookup import find_entity, find_exposure, find_security, find_symbol
from gateway.core.rates import count_message
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.validate import BODY, TRAILER
from gateway.fix.values import DECIMALS, NO_TIME, POINT, TOO_PRECISE, parse_decimal, parse_utc_timestamp, same_bytes
from gateway.jit import kernel

FIRM_ROW = 0
NOT_AVAILABLE = c.phrase("[N/A]")
COMMON_STOCK, PREFERRED_STOCK, FUTURE = c.phrase("CS"), c.phrase("PS"), c.phrase("FUT")
MOVING_PRICE = c.phrase("LMOPRTWacde")  # ExecInst(18): pegs, trailing stop, no price check, target strategy


@kernel
def clear_candidate(x, session, kind):
    """Start a new candidate."""
    x.session = session
    x.kind = kind
    x.venue = NONE
    x.order = NONE
    x.instrument = NONE
    x.qty_e8 = 0
    x.venue_qty_e8 = 0
    x.price_e8 = 0
    x.stop_e8 = 0
    x.added_e8 = 0
    x.reference_e8 = 0
    x.reference_age_ns = NONE
    x.collar_factor = 1
    x.worst_price_e8 = 0
    x.notional_e4 = 0
    x.fingerprint = 0
    x.mask = 0
    x.breach_count = 0
    x.compared = 0
    for limit in range(a.LIMITS):
        x.limit[limit] = UNSET
        x.limit_entity[limit] = NONE
    for k in range(a.MAX_SCOPES):
        x.entities[k] = NONE
        x.exposures[k] = NONE


@kernel
def char_of(index, buf, tag, absent):
    """First byte of a field's value, or `absent`."""
    f = find(index, tag)
    return int(buf[index.start[f]]) if f >= 0 else absent


@kernel
def decimal_of(index, buf, tag):
    """Value of a decimal field in 10^-8; 0 when it is not there; below zero when it is malformed."""
    f = find(index, tag)
    return parse_decimal(buf, index.start[f], index.length[f]) if f >= 0 else 0


@kernel
def price_of(index, buf, tag):
    """Value of a price that is told, in 10^-8: digits beyond are cut off, it may be below zero; 0 when it is not there
    or malformed.
    """
    f = find(index, tag)
    if f < 0:
        return 0
    start = index.start[f]
    length = index.length[f]
    for k in range(start, start + length):
        if buf[k] == POINT:
            length = min(length, k + 1 + DECIMALS - start)
            break
    value = parse_decimal(buf, start, length)
    return value if value > TOO_PRECISE else 0


@kernel
def _plain_security(index, buf, f):
    """Whether a SecurityType(167) leaves the instrument what its Symbol says: common or preferred stock, a future."""
    start = index.start[f]
    for plain in (COMMON_STOCK, PREFERRED_STOCK, FUTURE):
        if index.length[f] == plain.size and same_bytes(buf, start, plain, 0, plain.size):
            return True
    return False


@kernel
def _refuse_unchecked_terms(s, x, index, buf, message):
    """WELL_FORMED: a body field that is not understood, or an ExecInst(18) that lets the price move."""
    for f in range(index.count):
        tag = index.tag[f]
        if message.role[tag] >= BODY and message.role[tag] != TRAILER and s.understood[tag] == 0:
            fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
    f = find(index, t.SecurityType)
    if f >= 0 and not _plain_security(index, buf, f):
        fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
    f = find(index, t.ExecInst)
    if f >= 0:
        for k in range(index.start[f], index.start[f] + index.length[f]):
            for moving in MOVING_PRICE:
                if buf[k] == moving:
                    fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
                    return


@kernel
def read_terms(s, x, index, buf, message):
    """Side, type, time in force, quantity and prices, and no term that could not be checked: WELL_FORMED."""
    _refuse_unchecked_terms(s, x, index, buf, message)
    x.side = char_of(index, buf, t.Side, 0)
    if x.side != t.BUY and x.side != t.SELL and x.side != t.SELL_SHORT:
        fail(x, c.WELL_FORMED, c.DETAIL_SIDE, NONE)
    x.ord_type = char_of(index, buf, t.OrdType, 0)
    if not t.MARKET <= x.ord_type <= t.STOP_LIMIT:
        fail(x, c.WELL_FORMED, c.DETAIL_ORD_TYPE, NONE)
    x.time_in_force = char_of(index, buf, t.TimeInForce, t.DAY)
    if not t.DAY <= x.time_in_force <= t.AT_THE_CLOSE or x.time_in_force == t.GOOD_TILL_CROSSING:
        fail(x, c.WELL_FORMED, c.DETAIL_TIME_IN_FORCE, NONE)
    x.qty_e8 = decimal_of(index, buf, t.OrderQty)
    if x.qty_e8 <= 0:
        fail(x, c.WELL_FORMED, c.DETAIL_QTY, NONE)
    x.price_e8 = 0
    if x.ord_type == t.LIMIT or x.ord_type == t.STOP_LIMIT:
        x.price_e8 = decimal_of(index, buf, t.Price)
        if x.price_e8 <= 0:
            fail(x, c.WELL_FORMED, c.DETAIL_PRICE, NONE)
    x.stop_e8 = 0
    if x.ord_type == t.STOP or x.ord_type == t.STOP_LIMIT:
        x.stop_e8 = decimal_of(index, buf, t.StopPx)
        if x.stop_e8 <= 0:
            fail(x, c.WELL_FORMED, c.DETAIL_STOP, NONE)


@kernel
def is_not_available(index, buf, f):
    """Whether a Symbol(55) is "[N/A]": the instrument is told by its SecurityID(48) alone."""
    size = NOT_AVAILABLE.size
    return index.length[f] == size and same_bytes(buf, index.start[f], NOT_AVAILABLE, 0, size)


@kernel
def find_instrument(s, x, index, buf):
    """The instrument that SecurityID(48), Symbol(55) or both name: KNOWN_INSTRUMENT."""
    symbol = find(index, t.Symbol)
    security = find(index, t.SecurityID)
    by_symbol = NONE
    by_security = NONE
    if symbol >= 0:
        by_symbol = find_symbol(s, buf, index.start[symbol], index.length[symbol])
    if security >= 0:
        by_security = find_security(s, buf, index.start[security], index.length[security])
    # What is given goes to the venue, so all that is given must be known; "[N/A]" stands for a Symbol not given.
    no_symbol = symbol < 0 or is_not_available(index, buf, symbol)
    if not no_symbol and by_symbol == NONE:
        fail(x, c.KNOWN_INSTRUMENT, c.DETAIL_NO_INSTRUMENT, symbol)
    elif security >= 0 and by_security == NONE:
        fail(x, c.KNOWN_INSTRUMENT, c.DETAIL_NO_INSTRUMENT, security)
    elif no_symbol and security < 0:
        fail(x, c.KNOWN_INSTRUMENT, c.DETAIL_NO_INSTRUMENT, NONE)
    elif not no_symbol and security >= 0 and by_symbol != by_security:
        fail(x, c.KNOWN_INSTRUMENT, c.DETAIL_TWO_INSTRUMENTS, NONE)
    else:
        x.instrument = by_security if no_symbol else by_symbol
        i = s.instruments[x.instrument]
        x.entities[a.INSTRUMENT] = i.entity
        f = find(index, t.Currency)
        if f >= 0 and (
            index.length[f] != i.currency_size or not same_bytes(buf, index.start[f], i.currency, 0, i.currency_size)
        ):
            fail(x, c.KNOWN_INSTRUMENT, c.DETAIL_CURRENCY, f)


@kernel
def _party_field(index, buf, role):
    """Field number of the PartyID(448) whose PartyRole(452) is `role`, or -1 (FIX 4.4 Parties block)."""
    party = -1
    for f in range(index.count):
        if index.tag[f] == t.PartyID:
            party = f
        elif index.tag[f] == t.PartyRole and party >= 0:
            value = 0
            for k in range(index.start[f], index.start[f] + index.length[f]):
                value = value * 10 + int(buf[k]) - 48
            if value == role:
                return party
    return -1


@kernel
def identify(s, x, index, buf):
    """Account, desk, strategy, trader and flow, each listed for the session: IDENTITY.

    Whom the message does not name comes from the session's defaults; in a replace, from the order that it changes.
    """
    own = s.sessions[x.session]
    x.entities[a.FIRM] = FIRM_ROW
    x.entities[a.SESSION] = own.entity
    for scope in range(a.DESK, a.FLOW + 1):
        tag = s.identity_tag[scope]
        f = -1
        if tag >= a.PARTY_ROLE:
            f = _party_field(index, buf, tag - a.PARTY_ROLE)
        elif tag > 0:
            f = find(index, tag)
        if f < 0:
            x.entities[scope] = own.default[scope] if x.order == NONE else s.orders[x.order].entities[scope]
            if scope == a.ACCOUNT and x.entities[scope] == NONE:
                fail(x, c.IDENTITY, c.DETAIL_NO_ACCOUNT, NONE)
        else:
            entity = find_entity(s, scope, buf, index.start[f], index.length[f])
            if entity == NONE or own.may_use[entity] == 0:
                fail(x, c.IDENTITY, c.DETAIL_NOT_LISTED, f)
            else:
                x.entities[scope] = entity


@kernel
def count_for_entities(s, x):
    """Count the message for everybody whom it is from; session and firm were counted when it came in."""
    for scope in range(a.DESK, a.FLOW + 1):
        if x.entities[scope] != NONE:
            count_message(s.entities[x.entities[scope]], s.now_ns)


@kernel
def _find_venue(s, index, buf, f):
    for k in range(s.session_count):
        if s.sessions[k].role == a.VENUE_ROLE:
            e = s.entities[s.sessions[k].entity]
            if e.name_size == index.length[f] and same_bytes(e.name, 0, buf, index.start[f], e.name_size):
                return k
    return NONE


@kernel
def route(s, x, index, buf):
    """The venue's session: ExDestination(100), else the instrument's: ROUTE and VENUE_DOWN."""
    f = find(index, t.ExDestination)
    if f >= 0:
        x.venue = _find_venue(s, index, buf, f)
        if x.venue == NONE:
            fail(x, c.ROUTE, c.DETAIL_UNKNOWN_VENUE, f)
            return
    else:
        x.venue = s.instruments[x.instrument].venue
        if x.venue == NONE:
            fail(x, c.ROUTE, c.DETAIL_NO_VENUE, NONE)
            return
    x.entities[a.VENUE] = s.sessions[x.venue].entity
    require_up(s, x)


@kernel
def require_up(s, x):
    """VENUE_DOWN: nothing is kept for a venue that is not logged on. RECOVERY: nor sent where not all is known."""
    venue = s.sessions[x.venue]
    if venue.up == 0:
        fail(x, c.VENUE_DOWN, c.DETAIL_DOWN, NONE)
    elif x.order != NONE and s.orders[x.order].doubt != SURE:
        fail(x, c.RECOVERY, c.DETAIL_IN_DOUBT, NONE)
    elif venue.recovering == 1 or (x.order == NONE and venue.doubts > venue.queried):
        fail(x, c.RECOVERY, c.DETAIL_RECOVERING, NONE)


@kernel
def require_service(s, x):
    """FAULT, JOURNAL, TRADING_DAY: nothing is taken while an invariant is broken, what is done cannot be written down,
    or the trading day has not begun.
    """
    if s.fault != 0:
        fail(x, c.FAULT, c.DETAIL_FAULT, NONE)
    if s.market_closed != 0:
        fail(x, c.TRADING_DAY, c.DETAIL_CLOSED, NONE)
    if s.journal_blocked != 0:
        fail(x, c.JOURNAL, c.DETAIL_JOURNAL, NONE)


@kernel
def require_not_killed(s, x):
    """KILLED: a switch is set for something that the order is in."""
    if s.killed_count == 0:
        return
    for k in range(a.SCOPES):
        if x.entities[k] != NONE and s.entities[x.entities[k]].killed == 1:
            breach(x, c.KILLED, c.DETAIL_KILLED, NONE, x.entities[k], 0, 0, 0)


@kernel
def find_exposures(s, x):
    """Exposure rows of the candidate's entities, NONE where there is none yet: an order that is refused makes none.

    CAPACITY when there is no room for those that it would make.
    """
    missing = 0
    for k in a.POSITION_SCOPES:
        if x.entities[k] != NONE:
            x.exposures[k] = find_exposure(s, x.entities[k], x.instrument)
            missing += 1 if x.exposures[k] == NONE else 0
    if s.exposure_count + missing > s.exposures.size:
        fail(x, c.CAPACITY, c.DETAIL_FULL, NONE)


@kernel
def sent_again(index, buf, poss_dup):
    """Whether a message says that it may have been sent before: PossDupFlag(43) or PossResend(97)."""
    return poss_dup == 1 or char_of(index, buf, t.PossResend, 0) == 89


@kernel
def check_stale(s, x, index, buf, poss_dup):
    """STALE_ORDER: a message sent again whose first sending is not told, too long ago, or before this run.

    An order of an earlier run may be at its venue already, and this one does not know its ClOrdID.
    """
    if not sent_again(index, buf, poss_dup):
        return
    f = find(index, t.OrigSendingTime)
    if f < 0:
        f = find(index, t.TransactTime)
    sent = parse_utc_timestamp(buf, index.start[f], index.length[f]) if f >= 0 else NO_TIME
    own = s.sessions[x.session]
    age = abs(s.now_ns + s.wall_offset_ns - sent)
    if sent != NO_TIME and sent < s.started_wall_ns:
        fail(x, c.STALE_ORDER, c.DETAIL_EARLIER_RUN, NONE)
    elif sent == NO_TIME or age > own.max_poss_dup_age_ns:
        breach(x, c.STALE_ORDER, NONE, NONE, own.entity, 0, age, own.max_poss_dup_age_ns)
