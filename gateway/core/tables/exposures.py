"""Exposures: what an entity holds and has open in an instrument. Kernels only."""

from __future__ import annotations

from gateway.core.layout import NONE
from gateway.core.tables.entities import mix
from gateway.jit import kernel


@kernel
def _exposure_bucket(s, entity, instrument):
    return mix(entity * 31 + 7, instrument + 1) & (s.exposure_head.size - 1)


@kernel
def find_exposure(s, entity, instrument):
    """Row of the exposure of an entity in an instrument, or NONE."""
    row = int(s.exposure_head[_exposure_bucket(s, entity, instrument)])
    while row != NONE:
        x = s.exposures[row]
        if x.entity == entity and x.instrument == instrument:
            break
        row = x.next
    return row


@kernel
def exposure_row(s, entity, instrument):
    """Row of the exposure of an entity in an instrument, made when it is not there; NONE when the table is full."""
    row = find_exposure(s, entity, instrument)
    if row != NONE:
        return row
    bucket = _exposure_bucket(s, entity, instrument)
    row = s.exposure_count
    if row == s.exposures.size:
        return NONE
    s.exposure_count += 1
    x = s.exposures[row]
    x.entity = entity
    x.instrument = instrument
    x.position_e8 = 0
    x.open_buy_e8 = 0
    x.open_sell_e8 = 0
    x.pair = NONE
    x.next = s.exposure_head[bucket]
    s.exposure_head[bucket] = row
    return row
