"""Whether orders are taken at all: faults, the journal, the trading day, kill switches, late copies. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach, fail, found_at_tightest
from gateway.core.layout import NONE
from gateway.fix import tags as t
from gateway.fix.fields import char_of
from gateway.fix.index import find
from gateway.fix.layout import NO_TIME
from gateway.fix.values import parse_utc_timestamp
from gateway.jit import kernel


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
def sent_again(index, buf, poss_dup):
    """Whether a message says that it may have been sent before: PossDupFlag(43) or PossResend(97)."""
    return poss_dup == 1 or char_of(index, buf, t.PossResend, 0) == 89


@kernel
def read_age(s, x, index, buf):
    """How long ago the message was sent, by the oldest of the times that it tells, or how far ahead the newest is, if
    that is more; without a time the age has no bound.
    """
    oldest = a.UNLIMITED
    newest = 0
    for tag in (t.SendingTime, t.OrigSendingTime, t.TransactTime):
        f = find(index, tag)
        if f >= 0:
            sent = parse_utc_timestamp(buf, index.start[f], index.length[f])
            if sent != NO_TIME:
                oldest = min(oldest, sent)
                newest = max(newest, sent)
    wall_ns = s.now_ns + s.wall_offset_ns
    x.age_ns = max(wall_ns - oldest, newest - wall_ns) if oldest != a.UNLIMITED else a.UNLIMITED


@kernel
def check_max_order_age(s, x):
    """MAX_ORDER_AGE: an order that was sent long ago is not what its sender wants now; of one from as far in the future
    nobody knows when it was.
    """
    found_at_tightest(x, c.MAX_ORDER_AGE, a.MAX_ORDER_AGE, x.age_ns)


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
