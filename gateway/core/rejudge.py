"""Judge an order again under other limits, in the state that it met. Kernels only.

Works behind the event: what placing the order changed is taken back for the time of the judgement, the limits of its
entities and pairs are exchanged for the others, `judge` runs, and all that is undone.
"""

from __future__ import annotations

import numpy as np

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import move_breach
from gateway.core.checks.judge import judge
from gateway.core.checks.windows import count_message, uncount_message
from gateway.core.layout import BREACH, FIRM_ROW, LIMITS, MAX_BREACHES, NONE, POSITION_SCOPES, SCOPES, UNLIMITED
from gateway.core.orders.exposure import settle
from gateway.core.tables.exposures import find_exposure
from gateway.fix import tags as t
from gateway.jit import entry, kernel

PAIR_KEY = 1 << 32
REUSE = 1 << c.CL_ORD_ID_REUSE
# What `judge` finds; every other check ended the pass before it, whatever the limits.
JUDGED = sum(1 << check.id for check in c.CHECKS if check.judged)

VERDICT = np.dtype(
    [
        ("mask", "i8"),  # bit of each check that fires under the other limits
        ("notional_e4", "i8"),  # under the other limits, whose collar may make another worst price
        ("breach_count", "i8"),
        ("breach", np.dtype((np.record, BREACH)), MAX_BREACHES),
        ("used_then", "f8", LIMITS),  # value / limit at the scope where that is highest; NaN where there is no limit
        ("used_now", "f8", LIMITS),
    ]
)


@kernel
def _count(s, others, row):
    """Count in the windows of the other limits what has been counted in those of the state."""
    while others[row].messages < s.entities[row].messages:
        count_message(others[row], s.now_ns)


@entry
def follow_message(block, session, others):
    """Behind an event: count its messages in `others` (`layout.ENTITY` rows as in `entities`, with other limits): what
    went to venues, and the message of an EMS that it was (`session`; NONE: it was none).
    """
    s = block[0]
    x = s.work.candidate
    for k in range(s.session_count):
        if s.sessions[k].role == a.VENUE_ROLE:
            _count(s, others, s.sessions[k].entity)
    if session == NONE:
        return
    _count(s, others, s.sessions[session].entity)
    _count(s, others, FIRM_ROW)
    if s.work.decision != a.NOT_DECIDED:
        for scope in a.SENDER_SCOPES:
            if x.entities[scope] != NONE:
                _count(s, others, x.entities[scope])


@kernel
def _take_back(s, request):
    """Make the state what it was in front of this accepted request, as far as checks read it."""
    r = s.requests[request]
    o = s.orders[r.order]
    if s.work.candidate.exit != NONE:
        s.exits[s.work.candidate.exit].left_e8 += s.work.candidate.added_e8
    if r.kind == t.NEW_ORDER_SINGLE:
        o.status = t.STATUS_REJECTED
        s.fingerprint_head[o.fingerprint & (s.fingerprint_head.size - 1)] = o.fingerprint_older
    else:
        o.pending = r.older
    settle(s, o)


@kernel
def _put_back(s, request, passed_by):
    r = s.requests[request]
    o = s.orders[r.order]
    if passed_by != NONE:
        s.exits[passed_by].left_e8 -= s.work.candidate.added_e8
    if r.kind == t.NEW_ORDER_SINGLE:
        o.status = t.STATUS_PENDING_NEW
        s.fingerprint_head[o.fingerprint & (s.fingerprint_head.size - 1)] = r.order
    else:
        o.pending = request
    settle(s, o)


@kernel
def _find_rows(s, x):
    """Give every entity of the candidate its row of exposure: one behind the rows in use where it has none.

    A row that holds nothing reads like no row, but a limit of the pair can stand at it. There is room: else the order
    would have been refused for CAPACITY.
    """
    free = s.exposure_count
    for k in POSITION_SCOPES:
        if x.entities[k] != NONE and x.exposures[k] == NONE:
            row = find_exposure(s, x.entities[k], x.instrument)
            if row == NONE:
                row = free
                free += 1
                s.exposures[row].position_e8 = 0
                s.exposures[row].open_buy_e8 = 0
                s.exposures[row].open_sell_e8 = 0
                s.exposures[row].pair = NONE
            x.exposures[k] = row


@kernel
def _exchange_limits(s, x, others):
    """Exchange limits and windows of the candidate's entities with the others; a second time puts them back."""
    for k in range(SCOPES):
        if x.entities[k] == NONE:
            continue
        e = s.entities[x.entities[k]]
        o = others[x.entities[k]]
        for limit in range(LIMITS):
            e.limit[limit], o.limit[limit] = o.limit[limit], e.limit[limit]
        for j in range(a.RATE_SLICES):
            e.sliced[j], o.sliced[j] = o.sliced[j], e.sliced[j]
        e.slice, o.slice = o.slice, e.slice
        e.in_window, o.in_window = o.in_window, e.in_window


@kernel
def _exchange_pairs(s, x, pairs):
    """Exchange the rows of pair limits of the candidate's exposures with those in `pairs`."""
    for k in POSITION_SCOPES:
        if x.entities[k] != NONE:
            held = s.exposures[x.exposures[k]]
            held.pair, pairs[k] = pairs[k], held.pair


@kernel
def _find_pairs(x, keys, rows, pairs):
    """The rows with the other limits of the candidate's pairs, by scope, NONE where there are none."""
    for k in POSITION_SCOPES:
        key = x.entities[k] * PAIR_KEY + x.instrument
        at = np.searchsorted(keys, key)
        pairs[k] = rows[at] if at < keys.size and keys[at] == key else NONE


@kernel
def _share(x, check):
    """How much of its limit a check has found used: value / bound, of a price collar the way to it; NaN: no limit."""
    m = x.measured[check]
    value = m.value
    bound = m.bound
    if check == c.PRICE_COLLAR:
        value = max(value - x.reference_e8 if x.side == t.BUY else x.reference_e8 - value, 0)
        bound = abs(bound - x.reference_e8)
    if bound >= UNLIMITED:
        return np.nan
    if bound == 0:
        return np.inf if value > 0 else 0.0
    return value / bound


@kernel
def _fill_used(x, used):
    """How much of every limit the candidate uses, by what the checks have measured."""
    used[:] = np.nan
    for check in range(c.CHECK_LIMIT.size):
        if x.compared >> check & 1 == 1:
            used[c.CHECK_LIMIT[check]] = _share(x, check)


@kernel
def _begin_again(x):
    """Make the candidate what it was when `judge` got it."""
    x.mask &= REUSE
    x.compared = 0
    x.graded_count = 0
    x.duplicate_ns = NONE
    x.breach_count = 1 if x.mask != 0 else 0  # that of a ClOrdID used before is always the first
    x.reference_e8 = 0
    x.reference_age_ns = NONE
    x.collar_factor = 1
    x.capped_e8 = 0
    x.worst_price_e8 = 0
    x.notional_e4 = 0
    for limit in range(LIMITS):
        x.limit[limit] = a.UNSET
        x.limit_entity[limit] = NONE


@entry
def judge_again(block, others, pair_keys, pair_rows, pairs, verdict_block):
    """Behind an event that decided on an order or replace: its verdict under the other limits.

    `others`: as in `follow_message`. `pair_keys` (int64, sorted): entity x PAIR_KEY + instrument of each pair that has
    other limits; `pair_rows` (int64): the row of `pairs` in the state that they were put in. `pairs`: scratch,
    int64[MAX_SCOPES]. `verdict_block`: one record of VERDICT, overwritten. The state is left as it was, save for
    the candidate.
    """
    s = block[0]
    x = s.work.candidate
    v = verdict_block[0]
    v.used_then[:] = np.nan
    v.used_now[:] = np.nan
    if x.mask & ~(JUDGED | REUSE) == 0:
        accepted = s.work.decision == a.ACCEPTED
        passed_by = x.exit
        reduce_due = s.reduce_due
        if accepted:
            _take_back(s, s.work.request)
            uncount_message(others[s.sessions[x.venue].entity])
        _find_rows(s, x)
        _find_pairs(x, pair_keys, pair_rows, pairs)
        _fill_used(x, v.used_then)
        _exchange_limits(s, x, others)
        _exchange_pairs(s, x, pairs)
        _begin_again(x)
        judge(s, x)
        _fill_used(x, v.used_now)
        _exchange_limits(s, x, others)
        _exchange_pairs(s, x, pairs)
        if accepted:
            _put_back(s, s.work.request, passed_by)
            s.reduce_due = reduce_due
            count_message(others[s.sessions[x.venue].entity], s.now_ns)
    v.mask = x.mask
    v.notional_e4 = x.notional_e4
    v.breach_count = x.breach_count
    for k in range(x.breach_count):
        move_breach(v.breach[k], x.breach[k])
