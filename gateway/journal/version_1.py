"""Decisions as journals of version 1 hold them: room for ten limits at nine scopes, for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.journal import format as f

if TYPE_CHECKING:
    from gateway.journal.read import Segment

BREACH = np.dtype([(name, "i8") for name in ("check", "detail", "entity", "paired", "value", "limit")])
DECISION_RECORD = np.dtype(  # then `breach_count` times BREACH
    [
        ("head", f.HEAD),
        *(
            (name, "i8")
            for name in (
                *("verdict", "message_type", "order", "run", "child", "instrument", "venue", "side", "ord_type"),
                *("qty_e8", "price_e8", "stop_e8", "added_e8", "notional_e4", "reference_e8", "reference_age_ns"),
                "collar_factor",
            )
        ),
        ("entities", "i8", 9),
        ("limit", "i8", 10),  # the tightest of all scopes
        ("limit_entity", "i8", 10),  # where it stands: 2 x row of the entity, + 1 with the instrument
        *(
            (name, "i8")
            for name in (
                *("mask", "parameter_epoch", "model", "score_e8", "candidate_model", "candidate_score_e8"),
                *("candidate_verdict", "breach_count"),
            )
        ),
    ]
)


def read(segment: Segment, k: int) -> tuple[np.record, np.ndarray]:
    """The DECISION_RECORD k of a segment, and its breaches (BREACH); raises ValueError when these are not all there."""
    record = segment.record(k, DECISION_RECORD)
    count = int(record["breach_count"])
    if count * BREACH.itemsize + DECISION_RECORD.itemsize != int(record["head"]["length"]):
        raise ValueError(f"has not {count} breaches")
    start = int(segment.starts[k]) * 8 + DECISION_RECORD.itemsize
    return record, np.frombuffer(segment.octets, BREACH, count, start)
