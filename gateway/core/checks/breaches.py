"""What checks find about the candidate under judgement: what they compared, and its breaches. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import MAX_BREACHES, NONE, UNSET
from gateway.core.tables.limits import tighter
from gateway.jit import kernel


@kernel
def breach(x, check, detail, field, entity, paired, value, limit):
    """Add a breach to the candidate; those of one check stand tightest limit first."""
    x.mask |= 1 << check
    at = x.breach_count
    if at == MAX_BREACHES:
        return
    x.breach_count += 1
    while at > 0 and x.breach[at - 1].check == check and tighter(c.CHECK_LIMIT[check], limit, x.breach[at - 1].limit):
        move_breach(x.breach[at], x.breach[at - 1])
        at -= 1
    b = x.breach[at]
    b.check = check
    b.detail = detail
    b.field = field
    b.entity = entity
    b.paired = paired
    b.value = value
    b.limit = limit


@kernel
def move_breach(target, source):
    """Copy one breach over another."""
    target.check = source.check
    target.detail = source.detail
    target.field = source.field
    target.entity = source.entity
    target.paired = source.paired
    target.value = source.value
    target.limit = source.limit


@kernel
def fail(x, check, detail, field):
    """Add a breach that has no numbers."""
    breach(x, check, detail, field, NONE, 0, 0, 0)


@kernel
def measured(x, check, value, bound, entity, paired):
    """Keep what a check compared with a bound at an entity, where less room is left, in proportion, than anywhere else.

    Audit, explanations, utilisation and what-if read it: nothing is measured a second time. UNSET is no bound.
    """
    if bound == UNSET:
        return
    m = x.measured[check]
    # As floats: the products may be beyond 64 bits, and nothing is decided by them.
    if x.compared >> check & 1 == 1 and float(value) * float(m.bound) <= float(m.value) * float(bound):
        return
    x.compared |= 1 << check
    m.entity = entity
    m.paired = paired
    m.value = value
    m.bound = bound


@kernel
def found(x, check, value, bound, entity, paired):
    """A check compared a value with the limit of an entity: kept, and a breach where it is more. UNSET is no limit."""
    measured(x, check, value, bound, entity, paired)
    if bound != UNSET and value > bound:
        breach(x, check, NONE, NONE, entity, paired, value, bound)


@kernel
def measured_at_tightest(x, check, limit, value, bound):
    """As `measured`, where the tightest limit stands that `gather_limits` has found."""
    measured(x, check, value, bound, x.limit_entity[limit], x.limit_paired[limit])


@kernel
def found_at_tightest(x, check, limit, value):
    """As `found`, with the tightest limit that `gather_limits` has found."""
    found(x, check, value, x.limit[limit], x.limit_entity[limit], x.limit_paired[limit])


@kernel
def exceeds(x, check, limit, value, bound):
    """Add a breach of the tightest limit found by `gather_limits`."""
    breach(x, check, NONE, NONE, x.limit_entity[limit], x.limit_paired[limit], value, bound)
