"""What becomes of the open orders of a kill, looked up in the state of the running gateway.

That is memory of another process, which writes while we read: every number is whole, but two need not belong to the
same moment, and a row number is good for nothing before its bounds are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from gateway.config.files import ConfigError
from gateway.core import layout as a
from gateway.core.layout import CAPACITIES, NONE, QUICK_CANCELS, record_dtype, state_dtype
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.kill.format import scope_text
from gateway.machine import owner
from gateway.state.memory import map_state
from gateway.state.names import DOUBTS, SIDES, Names
from gateway.view.figures import Clock, limit_text
from gateway.view.health import fault_text, not_resent, unknown_orders

Key = tuple[int, str]
CANCEL_REASONS = {
    **{0: "too late", 1: "unknown order", 2: "broker option", 3: "pending already"},
    **{4: "unable to mass cancel", 5: "OrigOrdModTime does not fit", 6: "ClOrdID used before"},
}
"""CxlRejReason(102) in words."""


@dataclass(frozen=True)
class OpenOrder:
    """An order that may still trade, as people need it to call the venue."""

    venue: str
    order: str
    cl_ord_id: str
    venue_order_id: str
    symbol: str
    side: str
    leaves: str
    why: str


class Watch:
    """The open orders and positions of some scopes in the state of a gateway."""

    def __init__(self, folder: Path, keys: Iterable[Key]) -> None:
        """Map the state; raises OSError, ValueError or ConfigError when there is none to be had."""
        path = folder / "state.bin"
        owner(path)
        size = path.stat().st_size
        fitting = [name for name, rows in CAPACITIES.items() if record_dtype(state_dtype(rows)).itemsize == size]
        if not fitting:
            raise ConfigError(f"{path}: is the state of another release")
        self._state = map_state(path, fitting[0])
        self._names = Names(self._state)
        keys = set(keys)
        self._rows = {key: self._state.entities[key] for key in keys if key in self._state.entities}
        self.unknown = sorted(keys - self._rows.keys())

    def names_of(self, scope: int) -> list[str]:
        """Names of a scope that the gateway knows."""
        return sorted(name for known, name in self._state.entities if known == scope)

    @property
    def is_empty(self) -> bool:
        """Whether the gateway knows none of the scopes."""
        return not self._rows

    @property
    def firm_killed(self) -> bool:
        """Whether the core refuses every order because the firm is killed."""
        return bool(self._state.record.entities[self._state.entities[a.FIRM, ""]].killed == 1)

    def fault(self) -> str:
        """What the fault word says, empty when it says nothing."""
        fault = int(self._state.record.fault)
        return f"it has fault word {fault}: {fault_text(fault)}" if fault else ""

    def unsettled(self) -> str:
        """Which venues have not yet resent what the gateway missed, so that there may be orders that it does not count;
        empty when all have.
        """
        return not_resent(name for name, own in self._venues() if own.recovering == 1)

    def not_counted(self, monotonic_ns: int) -> Iterator[str]:
        """A line for each reason why there may be open orders that the gateway does not count, by what its venues have
        told; `monotonic_ns` is the machine's monotonic clock now.
        """
        clock = Clock(self._state, monotonic_ns)
        for name, own in self._venues():
            if own.unknown_working > 0:
                yield unknown_orders(name, int(own.unknown_working), clock.time(own.unknown_working_ns))
        down = [name for name, own in self._venues() if own.up == 0]
        if down:
            yield f"not logged on, so that nothing is heard of their orders: {', '.join(down)}"

    def _venues(self) -> Iterator[tuple[str, np.record]]:
        """Name and row of the venues that the scopes reach: all, unless these are venues."""
        sessions = self._state.record.sessions
        some = all(scope == a.VENUE for scope, _ in self._rows)
        for row, name in enumerate(self._names.sessions):
            if self._names.roles[row] == a.VENUE_ROLE and (not some or (a.VENUE, name) in self._rows):
                yield name, sessions[row]

    def open_orders(self) -> int:
        """Orders in scope that may still trade; 0 only when neither the scopes nor the orders say that there is one."""
        entities = self._state.record["entities"]["open_orders"]
        by_scope = [int(entities[row]) for row in self._rows.values()]
        if len(by_scope) == 1 and by_scope[0] > 0:
            return by_scope[0]
        return max([self._open_rows().size, *by_scope])

    def _open_rows(self) -> np.ndarray:
        """Rows of the orders in scope that are open or not sure."""
        orders = self._orders()
        return np.flatnonzero(self._in_scope(orders) & ((orders["counted_open"] == 1) | (orders["doubt"] != a.SURE)))

    def _orders(self) -> np.ndarray:
        s = self._state.record
        return s["orders"][: max(0, min(int(s.order_count), s.orders.size))]

    def _in_scope(self, orders: np.ndarray) -> np.ndarray:
        chosen = np.zeros(orders.size, bool)
        for (scope, _), row in self._rows.items():
            chosen |= orders["entities"][:, scope] == row
        return chosen & (orders["number"] != NONE)

    def canceled(self, since_ns: int) -> int:
        """Orders in scope that kills have canceled since this time of CLOCK_MONOTONIC."""
        orders = self._orders()
        by_kill = (orders["canceled_by"] == a.BY_KILL) & (orders["status"] == t.STATUS_CANCELED)
        recent = orders["cancel_ns"] >= since_ns + int(self._state.record.time_base_ns)
        return int(np.count_nonzero(self._in_scope(orders) & by_kill & recent))

    def orders(self) -> list[OpenOrder]:
        """The orders that `open_orders` counts, by venue, oldest first."""
        orders, rows = self._orders(), self._open_rows()
        rows = rows[np.lexsort((orders["number"][rows], orders["run"][rows]))]
        return sorted((self._order(int(row)) for row in rows), key=lambda o: o.venue)

    def _order(self, row: int) -> OpenOrder:
        s = self._state.record
        order = s.orders[row]
        accepted, first = int(order.accepted), int(order.first)
        request = s.requests[next((r for r in (accepted, first) if 0 <= r < s.requests.size), 0)]
        venue, instrument = int(order.venue), int(order.instrument)
        return OpenOrder(
            self._names.sessions[venue] if 0 <= venue < len(self._names.sessions) else "?",
            f"O{order.run}-{order.number}",
            _text(request.cl_ord_id, request.cl_ord_id_size),
            _text(order.venue_order_id, order.venue_order_id_size),
            self._names.instruments[instrument] if 0 <= instrument < len(self._names.instruments) else "?",
            SIDES.get(int(order.side), "?"),
            f"{Decimal(int(max(order.qty_e8 - order.cum_e8, order.reserved_e8))) / E8:f}",
            self._why(order, venue),
        )

    def _why(self, order: np.record, venue: int) -> str:
        known = 0 <= venue < len(self._names.sessions)
        is_up = known and self._state.record.sessions[venue].up == 1
        reasons = [] if is_up else ["venue down"]
        if order.doubt != a.SURE:
            reasons.append(DOUBTS.get(int(order.doubt), "in doubt"))
        if order.cancel_refused:
            reason = int(order.cancel_refused) - 1
            reasons.append(f"venue refused a cancel: {CANCEL_REASONS.get(reason, 'other')} (102={reason})")
        tries = int(order.cancel_tries)
        if tries:
            reasons.append(f"{tries} cancel{'s' * (tries > 1)} sent")
        else:
            # They are counted anew with each logon of the venue and each kill.
            reasons.append("cancels sent before, none since" if order.cancel_ns else "no cancel sent yet")
        reasons.append(f"the next {self._next_cancel(venue, tries) if is_up else 'when it is back'}")
        return ", ".join(reasons)

    def _next_cancel(self, venue: int, tries: int) -> str:
        """When a cancel goes that is to go on to a venue that is up."""
        s = self._state.record
        own = s.sessions[venue]
        if own.turn_ns > 0:
            limit = s.entities[own.entity].limit
            if not 0 < limit[a.MAX_MESSAGES] < a.UNLIMITED:
                return "as its cancel_rate lets it"
            window = (
                "1 s" if limit[a.MESSAGE_WINDOW] == a.UNSET else limit_text(a.MESSAGE_WINDOW, limit[a.MESSAGE_WINDOW])
            )
            return f"as its max_messages lets it: {limit[a.MAX_MESSAGES]:,} in {window}"
        return "within a minute" if tries >= QUICK_CANCELS else "within a second"

    def positions(self) -> Iterator[str]:
        """A line for each scope: its positions, or that it is flat."""
        s = self._state.record
        exposures = s["exposures"][: max(0, min(int(s.exposure_count), s.exposures.size))]
        for key, row in self._rows.items():
            what = scope_text(*key)
            if key[0] not in a.POSITION_SCOPES:
                yield f"{what}: positions are not kept by {a.SCOPE_NAMES[key[0]]}"
                continue
            held = exposures[(exposures["entity"] == row) & (exposures["position_e8"] != 0)]
            names = self._names.instruments
            each = [
                f"{names[int(x['instrument'])]} {Decimal(int(x['position_e8'])) / E8:f}"
                for x in held
                if 0 <= x["instrument"] < len(names)
            ]
            yield f"{what}: {'positions ' + ', '.join(sorted(each)) if each else 'flat'}"


def _text(characters: np.ndarray, size: int) -> str:
    return bytes(characters[: max(0, min(int(size), characters.size))]).decode("latin-1")
