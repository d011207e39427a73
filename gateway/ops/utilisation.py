"""How near accepted orders came to their limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.layout import NONE, UNLIMITED
from gateway.fix import tags as t
from gateway.journal.names import fields_of
from gateway.journal.walk import Step, Walk
from gateway.ops.tables import decision_values, limit_text
from gateway.state import State

PLACES = 3  # told of each limit
NO_RATE_SCOPES = (a.INSTRUMENT, a.VENUE)


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
        self._state: State | None = None

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
        for limit, entity, paired, value, bound in (*_of_order(d), *self._of_entities(walk, d)):
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

    def _of_entities(self, walk: Walk, d: dict[str, Any]) -> Iterator[tuple[int, int, int, int, int]]:
        """(limit, entity, paired, value, bound) of what counts for entities: positions, open orders, messages."""
        if walk.state is not self._state:
            s = walk.state.record
            self._state = walk.state
            self._limit, self._pair_limit = s.entities["limit"], s.pairs["limit"]
            self._open_orders, self._in_window = s.entities["open_orders"], s.entities["in_window"]
            self._orders, self._exposures = s.orders, s.exposures
        order = self._orders[d["order"]]
        exposures = order["exposures"].tolist()
        for scope, entity in enumerate(d["entities"].tolist()):
            if entity == NONE:
                continue
            bounds = self._limit[entity].tolist()
            if d["message_type"] == t.NEW_ORDER_SINGLE:
                yield a.MAX_OPEN_ORDERS, entity, 0, int(self._open_orders[entity]), bounds[a.MAX_OPEN_ORDERS]
            if scope not in NO_RATE_SCOPES:
                yield a.MAX_MESSAGES, entity, 0, int(self._in_window[entity]), bounds[a.MAX_MESSAGES]
            if scope in a.POSITION_SCOPES and exposures[scope] != NONE:
                yield self._of_position(d["side"], entity, bounds, self._exposures[exposures[scope]])

    def _of_position(self, side: int, entity: int, bounds: list[int], x: Any) -> tuple[int, int, int, int, int]:
        """The worst position on the order's side, against the tighter of the entity's limit and the pair's."""
        limit = a.MAX_LONG if side == t.BUY else a.MAX_SHORT
        position = int(x["position_e8"])
        value = position + int(x["open_buy_e8"]) if side == t.BUY else int(x["open_sell_e8"]) - position
        bound, pair = bounds[limit], int(x["pair"])
        paired = int(self._pair_limit[pair][limit]) if pair != NONE else a.UNSET
        if paired != a.UNSET and (bound == a.UNSET or paired < bound):
            return limit, entity, 1, max(value, 0), paired
        return limit, entity, 0, max(value, 0), bound


def _of_order(d: dict[str, Any]) -> Iterator[tuple[int, int, int, int, int]]:
    """(limit, entity, paired, value, bound) of what an order carries by itself: quantity, notional, price, age."""
    price, reference, factor = d["price_e8"], d["reference_e8"], d["collar_factor"]
    values = {a.MAX_ORDER_QTY: d["qty_e8"], a.MAX_ORDER_NOTIONAL: d["notional_e4"]}
    if price > 0 and reference > 0:
        beyond = price - reference if d["side"] == t.BUY else reference - price
        values[a.COLLAR_BPS] = max(beyond, 0) * 10_000 // reference
    if d["reference_age_ns"] != NONE:
        values[a.REFERENCE_MAX_AGE] = d["reference_age_ns"]
    for limit, value in values.items():
        at, bound = int(d["limit_entity"][limit]), int(d["limit"][limit])
        if limit == a.COLLAR_BPS and 0 < bound < UNLIMITED:
            bound *= factor
        yield LIMITS[limit].index, at // 2, at % 2, value, bound
