"""The candidate: what is known of the order under judgement. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.breaches import fail
from gateway.core.layout import NONE, UNSET
from gateway.core.tables.exposures import find_exposure
from gateway.jit import kernel


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
    x.exit = NONE
    x.reference_e8 = 0
    x.reference_age_ns = NONE
    x.collar_factor = 1
    x.capped_e8 = 0
    x.worst_price_e8 = 0
    x.notional_e4 = 0
    x.fingerprint = 0
    x.mask = 0
    x.breach_count = 0
    x.compared = 0
    x.graded_count = 0
    x.duplicate_ns = NONE
    for limit in range(a.LIMITS):
        x.limit[limit] = UNSET
        x.limit_entity[limit] = NONE
    for k in range(a.MAX_SCOPES):
        x.entities[k] = NONE
        x.exposures[k] = NONE


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
