"""How near accepted orders came to their limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.audit.tables import decision_values
from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.core.layout import UNLIMITED
from gateway.fix import tags as t
from gateway.journal.decision import NOT_KEPT, limits_found
from gateway.replay.walk import Step, Walk
from gateway.state.names import fields_of
from gateway.view.figures import limit_text

PLACES = 3  # told of each limit


@dataclass(frozen=True, slots=True)
class Use:
    """An order that took `share` of a limit; `value` and `bound` as text."""

    limit: int
    where: str
    share: float
    value: str
    bound: str
    session: str
    cl_ord_id: str
    wall_ns: int


class Utilisation:
    """Keeps, of each limit and place, the order that came nearest."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._best: dict[tuple[int, str], Use] = {}

    def highest(self) -> list[Use]:
        """The highest few places of each limit."""
        found = sorted(self._best.values(), key=lambda use: (use.limit, -use.share, use.where))
        return [use for k, use in enumerate(found) if k < PLACES or found[k - PLACES].limit != use.limit]

    def take(self, walk: Walk, step: Step) -> None:
        """Measure an order that was accepted."""
        decision, names = step.entry.decision, walk.names
        assert decision is not None
        if int(decision["verdict"]) != a.ACCEPTED:
            return
        d = decision_values(decision)
        symbol = names.instruments[d["instrument"]]
        for limit, entity, paired, value, bound in _used(d, step.entry.findings):
            if not 0 < bound < UNLIMITED:
                continue
            where = names.place(entity, paired, d["instrument"]) or ""
            if limit in (a.MAX_LONG, a.MAX_SHORT) and symbol not in where:
                where += f" in {symbol}"
            best = self._best.get((limit, where))
            if best is None or value / bound > best.share:
                cl_ord_id = fields_of(step.entry.event.data).get(t.ClOrdID, "")
                session = names.sessions[step.entry.event.session]
                texts = limit_text(limit, value), limit_text(limit, bound)
                self._best[limit, where] = Use(limit, where, value / bound, *texts, session, cl_ord_id, step.wall_ns)


def _used(d: dict[str, Any], findings: np.ndarray) -> Iterator[tuple[int, int, int, int, int]]:
    """(limit, entity, paired, value, bound) of every limit that an order was held to; of a collar both in bps."""
    for finding in limits_found(findings):
        limit, value, bound = int(c.CHECK_LIMIT[finding["check"]]), int(finding["value"]), int(finding["bound"])
        if value == NOT_KEPT:
            continue
        if limit == a.COLLAR_BPS:
            reference = d["reference_e8"]
            beyond = value - reference if d["side"] == t.BUY else reference - value
            value, bound = max(beyond, 0) * 10_000 // reference, d["collar_bps"] * d["collar_factor"]
        yield limit, int(finding["entity"]), int(finding["paired"]), max(value, 0), bound
