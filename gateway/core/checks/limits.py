"""The tightest of every limit over the candidate's scopes, and the limits that must stand. Kernels only."""

from __future__ import annotations

from gateway.core import layout as a
from gateway.core.checks.breaches import breach
from gateway.core.layout import NONE, SCOPES, UNSET
from gateway.core.tables.limits import limit_here, tighter
from gateway.jit import kernel


@kernel
def _tighten(x, limits, entity, paired):
    for limit in range(a.LIMITS):
        if tighter(limit, limits[limit], x.limit[limit]):
            x.limit[limit] = limits[limit]
            x.limit_entity[limit] = entity
            x.limit_paired[limit] = paired


@kernel
def gather_limits(s, x):
    """Find the tightest of every limit over the candidate's scopes."""
    for k in range(SCOPES):
        entity = x.entities[k]
        if entity == NONE:
            continue
        _tighten(x, s.entities[entity].limit, entity, 0)
        if k in a.POSITION_SCOPES and x.exposures[k] != NONE and s.exposures[x.exposures[k]].pair != NONE:
            _tighten(x, s.pairs[s.exposures[x.exposures[k]].pair].limit, entity, 1)


@kernel
def require(s, x, check, limit, scope):
    """Add a breach when a mandatory limit is not set at the scope where it must stand."""
    value, _ = limit_here(s, x.entities[scope], x.exposures[scope] if scope in a.POSITION_SCOPES else NONE, limit)
    if value == UNSET:
        breach(x, check, NONE, NONE, x.entities[scope], 0, 0, UNSET)
