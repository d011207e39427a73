"""Decisions on orders and replaces as a journal has them, of this release and of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.checks.price import BPS
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.fix import tags as t
from gateway.journal import format as f
from gateway.journal import version_1

if TYPE_CHECKING:
    from gateway.journal.read import Segment

NOT_KEPT = -(2**63)  # the value of a finding of a release that did not keep it

_FIXED = tuple(name for name in f.DECISION_RECORD.names or () if name not in ("head", "entity_count", "finding_count"))
DECISION = np.dtype([*((name, "i8") for name in _FIXED), ("entities", "i8", a.MAX_SCOPES)])
"""A decision, with the rows of its entities by scope, NONE where there is none."""

FINDING_COLUMNS = ("check", "detail", "entity", "paired", "value", "bound", "fired")
FINDING = np.dtype([(name, "i8") for name in (*FINDING_COLUMNS, "severity")])
"""What a check found: numbers in its unit, or a row of `catalogue.DETAILS` where that is not NONE. `bound` UNSET: a
mandatory limit is missing at the entity. `severity`: WATCH, WARN or STOP of a limit that does more than refuse; 0: of
what refuses.
"""

NO_FINDINGS = np.zeros(0, FINDING)


def read_decision(segment: Segment, k: int) -> tuple[np.record, np.ndarray]:
    """The decision of record `k` of a segment (DECISION), and what the checks found (FINDING): breaches first.

    Raises ValueError when the record does not hold as much as it says.
    """
    if segment.version(k) == 1:
        return _of_version_1(segment, k)
    record = segment.record(k, f.DECISION_RECORD)
    entities, findings = int(record["entity_count"]), int(record["finding_count"])
    start = int(segment.starts[k]) + f.DECISION_RECORD.itemsize // 8
    end = start + entities + findings * f.FINDING_WORDS
    if (
        not 0 <= entities <= a.MAX_SCOPES
        or findings < 0
        or end - segment.starts[k] != int(record["head"]["length"]) // 8
    ):
        raise ValueError(f"has not {entities} entities and {findings} findings")
    words = segment.words[start + entities : end].reshape(findings, f.FINDING_WORDS)
    return _decision(record, segment.words[start : start + entities]), _findings(words)


def breaches_of(findings: np.ndarray) -> np.ndarray:
    """Those findings for which an order was refused, in the order of the text that was sent."""
    return findings[findings["fired"] == 1]


def graded_of(findings: np.ndarray) -> np.ndarray:
    """Those findings of limits that do more than refuse."""
    return findings[findings["severity"] > 0]


def limits_found(findings: np.ndarray) -> list[np.void]:
    """Of each limit that was compared with something the finding where least room was left, in the order of limits."""
    numbers = findings[(findings["detail"] == NONE) & (findings["bound"] != UNSET) & (findings["severity"] == 0)]
    first: dict[int, np.void] = {}
    for finding in numbers[c.CHECK_LIMIT[numbers["check"]] >= 0]:
        first.setdefault(int(c.CHECK_LIMIT[finding["check"]]), finding)
    return [first[limit] for limit in sorted(first)]


def _decision(record: np.record, entities: np.ndarray) -> np.record:
    decision = np.zeros(1, (np.record, DECISION))[0]
    for name in _FIXED:
        decision[name] = record[name] if name in (record.dtype.names or ()) else 0
    decision["entities"] = NONE
    decision["entities"][: entities.size] = entities
    return decision


def _findings(words: np.ndarray) -> np.ndarray:
    findings = np.zeros(len(words), FINDING)
    what = words[:, 0]
    findings["check"] = what & 0xFF
    findings["detail"] = (what >> f.DETAIL_BIT & 0xFFFF) - 1
    findings["paired"] = what >> f.PAIRED_BIT & 1
    findings["fired"] = what >> f.FIRED_BIT & 1
    findings["severity"] = what >> f.SEVERITY_BIT & 3
    for column, name in enumerate(("entity", "value", "bound"), 1):
        findings[name] = words[:, column]
    return findings


def _of_version_1(segment: Segment, k: int) -> tuple[np.record, np.ndarray]:
    """A decision of the first version kept the tightest limits, and what was compared with them only in part."""
    record, breaches = version_1.read(segment, k)
    decision = _decision(record, record["entities"])
    decision["collar_bps"] = record["limit"][a.COLLAR_BPS]
    fired = np.zeros(breaches.size, FINDING)
    for name in ("check", "detail", "entity", "paired", "value"):
        fired[name] = breaches[name]
    fired["bound"] = breaches["limit"]
    fired["fired"] = 1
    others = [_tightest(record, check.id) for check in c.CHECKS if not int(record["mask"]) >> check.id & 1]
    return decision, np.concatenate([fired, np.array([x for x in others if x is not None], FINDING)])


def _tightest(record: np.record, check: int) -> tuple[int, ...] | None:
    """The finding of a check of version 1 that did not fire, None where it has no limit."""
    limit = int(c.CHECK_LIMIT[check])
    other_side = c.MAX_SHORT if record["side"] == t.BUY else c.MAX_LONG
    if not 0 <= limit < record["limit"].size or limit in a.HIGHER_IS_TIGHTER or check == other_side:
        return None
    if record["limit"][limit] == UNSET:
        return None
    value, bound = NOT_KEPT, int(record["limit"][limit])
    entity, paired = divmod(int(record["limit_entity"][limit]), 2)
    if check == c.MAX_ORDER_QTY:
        value = int(record["qty_e8"])
    elif check == c.MAX_ORDER_NOTIONAL:
        value = int(record["notional_e4"])
    elif check == c.REFERENCE_PRICE and record["reference_age_ns"] != NONE:
        value = int(record["reference_age_ns"])
    elif check == c.PRICE_COLLAR:
        if bound == UNLIMITED or record["price_e8"] <= 0 or record["reference_e8"] <= 0:
            return None
        value, reference = int(record["price_e8"]), int(record["reference_e8"])
        distance = reference * bound // BPS * int(record["collar_factor"])
        bound = reference + distance if record["side"] == t.BUY else reference - distance
    return check, NONE, entity, paired, value, bound, 0, 0
