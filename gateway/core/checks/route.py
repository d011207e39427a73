"""The venue that an order goes to. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import fail
from gateway.core.layout import NONE, SURE
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import same_bytes
from gateway.jit import kernel


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
