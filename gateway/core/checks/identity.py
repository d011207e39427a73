"""Which instrument an order names, and on whose behalf. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import fail
from gateway.core.checks.windows import count_message
from gateway.core.layout import FIRM_ROW, NONE
from gateway.core.tables.entities import find_entity
from gateway.core.tables.instruments import find_security, find_symbol
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import same_bytes
from gateway.jit import kernel

NOT_AVAILABLE = c.phrase("[N/A]")


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
        x.entities[a.SECTOR] = i.sector
        x.entities[a.ASSET_CLASS] = i.asset_class
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
    if x.entities[a.STRATEGY] != NONE:
        x.entities[a.CLASS] = s.entities[x.entities[a.STRATEGY]].group


@kernel
def count_for_entities(s, x):
    """Count the message for everybody whom it is from; session and firm were counted when it came in."""
    for scope in a.SENDER_SCOPES:
        if x.entities[scope] != NONE:
            count_message(s.entities[x.entities[scope]], s.now_ns)
