"""What postures let pass: the strictest of all entities that an order is in counts. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import breach
from gateway.core.checks.reduces import exposure_at, lowers, open_on, reduces
from gateway.core.layout import HALTED, NO_NEW_LONGS, NONE, NORMAL, REDUCE_ONLY
from gateway.fix import tags as t
from gateway.jit import kernel


@kernel
def find_exit(s, entity, instrument):
    """Row of the exit that a person has opened for an entity in an instrument, or NONE."""
    for row in range(s.exit_count):
        if s.exits[row].entity == entity and s.exits[row].instrument == instrument:
            return row
    return NONE


@kernel
def _exit_of(s, x):
    """Row of an exit by which the candidate passes: it reduces the position of the entity that the exit is for, and is
    no more than is left; or NONE.
    """
    for row in range(s.exit_count):
        e = s.exits[row]
        scope = s.entities[e.entity].scope
        if e.instrument == x.instrument and x.entities[scope] == e.entity and s.now_ns < e.until_ns:
            if 0 < x.added_e8 <= e.left_e8 and reduces(s, x, exposure_at(x.exposures, scope)):
                return row
    return NONE


@kernel
def _refuse(s, x, scope, posture):
    """Add a breach of the posture of an entity: with what is held there, and what is open on the order's side."""
    held = 0
    in_the_way = 0
    exposure = exposure_at(x.exposures, scope)
    if exposure != NONE:
        held = s.exposures[exposure].position_e8
        in_the_way = open_on(s.exposures[exposure], x.side)
    breach(x, c.POSTURE, c.DETAIL_POSTURE + posture, NONE, x.entities[scope], 0, held, in_the_way)


@kernel
def _passes(s, x, scope, posture):
    """Whether the candidate passes a posture of its entity at a scope. An order that passed a halt by an exit may be
    priced anew there.
    """
    if posture != HALTED:
        return reduces(s, x, exposure_at(x.exposures, scope))
    if lowers(s, x):
        return True
    passed = x.order != NONE and s.orders[x.order].exit_ns > s.entities[x.entities[scope]].posture_ns
    return passed and x.added_e8 == 0 and reduces(s, x, exposure_at(x.exposures, scope))


@kernel
def check_posture(s, x):
    """POSTURE: what reduces passes all but a halt, where a replace may lower its order, and an order passes by an exit
    that a person has opened.
    """
    x.exit = NONE
    if s.postured[NO_NEW_LONGS] + s.postured[REDUCE_ONLY] + s.postured[HALTED] == 0:
        return
    refused = 0
    for k in range(a.SCOPES):
        if x.entities[k] == NONE:
            continue
        posture = s.entities[x.entities[k]].posture
        if posture != NORMAL and not (posture == NO_NEW_LONGS and x.side != t.BUY) and not _passes(s, x, k, posture):
            refused |= 1 << k
    if refused == 0:
        return
    x.exit = _exit_of(s, x)
    for k in range(a.SCOPES):
        if x.exit == NONE and refused >> k & 1 == 1:
            _refuse(s, x, k, s.entities[x.entities[k]].posture)
