"""The limit that stands at one scope: the entity's, or that of its pair with the instrument. Kernels only."""

from __future__ import annotations

from gateway.core.layout import DUPLICATE_WINDOW, NONE, UNSET
from gateway.jit import kernel


@kernel
def tighter(limit, one, other):
    """Whether limit value `one` is tighter than `other`; UNSET is the loosest."""
    if one == UNSET or other == UNSET:
        return one != UNSET
    return one > other if limit == DUPLICATE_WINDOW else one < other


@kernel
def limit_here(s, entity, exposure, limit):
    """The tighter of the limit at an entity and at the entity with this exposure's instrument: (limit, paired)."""
    own = s.entities[entity].limit[limit]
    if exposure == NONE or s.exposures[exposure].pair == NONE:
        return own, 0
    paired = s.pairs[s.exposures[exposure].pair].limit[limit]
    return (paired, 1) if tighter(limit, paired, own) else (own, 0)
