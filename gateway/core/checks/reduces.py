"""Whether an order can only bring a position closer to flat, what is open counted at its worst. Kernels only."""

from __future__ import annotations

from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def has_limit(x):
    """Whether an order, or a request, trades at a limit or better, at any time and from now on: no stop order."""
    return x.ord_type == t.LIMIT or (x.ord_type == t.PEGGED and x.price_e8 > 0)


@kernel
def _pays_more(s, x):
    """Whether a replace could trade at a worse price than the order that it changes."""
    r = s.requests[s.orders[x.order].accepted]
    plain = x.ord_type != t.PEGGED and r.capped == 0  # its price, or that of its request, says all
    if plain and x.ord_type == r.ord_type and x.price_e8 == r.price_e8 and x.stop_e8 == r.stop_e8:
        return False
    if not has_limit(x) or not has_limit(r):
        return True
    return x.price_e8 > r.price_e8 if x.side == t.BUY else x.price_e8 < r.price_e8


@kernel
def asks_no_more(s, x):
    """Whether the candidate is a replace that asks for no more than was open, at a price that is no worse."""
    return x.order != NONE and x.added_e8 == 0 and not _pays_more(s, x)


@kernel
def lowers(s, x):
    """Whether the candidate is a replace that does nothing but lower the quantity, or that and a better price."""
    if not asks_no_more(s, x):
        return False
    o = s.orders[x.order]
    return x.qty_e8 + o.restated_e8 < o.qty_e8 and x.time_in_force == s.requests[o.accepted].time_in_force


@kernel
def to_close(e, side):
    """What an order on this side may trade before the position of an exposure would grow on the other: 0 or more."""
    return max(-e.position_e8, 0) if side == t.BUY else max(e.position_e8, 0)


@kernel
def open_on(e, side):
    """What is open on a side of an exposure."""
    return e.open_buy_e8 if side == t.BUY else e.open_sell_e8


@kernel
def reduces(s, x, exposure):
    """Whether the candidate can only bring the position of an exposure (NONE: flat) closer to flat: an order by its
    quantity; a replace also where it asks for no more.
    """
    if asks_no_more(s, x):
        return True
    if exposure == NONE:
        return False
    e = s.exposures[exposure]
    return to_close(e, x.side) - open_on(e, x.side) - x.added_e8 >= 0


@kernel
def exposure_at(exposures, scope):
    """The exposure by which an order at a scope reduces or does not: of a sector or asset class that of the instrument,
    all of which is in it; of a session or venue, which hold no positions, that of the account.
    """
    if scope == a.SECTOR or scope == a.ASSET_CLASS:
        return exposures[a.INSTRUMENT]
    if scope == a.SESSION or scope == a.VENUE:
        return exposures[a.ACCOUNT]
    return exposures[scope]
