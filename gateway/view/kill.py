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
from gateway.core.layout import CAPACITIES, MAX_CANCEL_TRIES, NONE, record_dtype, state_dtype
from gateway.fix.layout import E8
from gateway.kill.format import scope_text
from gateway.machine import owner
from gateway.state.memory import map_state
from gateway.state.names import DOUBTS, SIDES, Names
from gateway.view.health import fault_text, not_resent

Key = tuple[int, str]


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
        sessions = self._state.record.sessions
        venues = [name for row, name in enumerate(self._names.sessions) if sessions[row].recovering == 1]
        if all(scope == a.VENUE for scope, _ in self._rows):
            venues = [name for name in venues if (a.VENUE, name) in self._rows]
        return not_resent(venues)

    def open_orders(self) -> int:
        """Orders in scope that may still trade; 0 only when neither the scopes nor the orders say that there is one."""
        entities = self._state.record["entities"]["open_orders"]
        by_scope = [int(entities[row]) for row in self._rows.values()]
        if len(by_scope) == 1 and by_scope[0] > 0:
            return by_scope[0]
        return max([self._open_rows().size, *by_scope])

    def _open_rows(self) -> np.ndarray:
        """Rows of the orders in scope that are open or not sure."""
        s = self._state.record
        orders = s["orders"][: max(0, min(int(s.order_count), s.orders.size))]
        chosen = np.zeros(orders.size, bool)
        for (scope, _), row in self._rows.items():
            chosen |= orders["entities"][:, scope] == row
        chosen &= (orders["counted_open"] == 1) | (orders["doubt"] != a.SURE)
        return np.flatnonzero(chosen & (orders["number"] != NONE))

    def orders(self) -> list[OpenOrder]:
        """The orders that `open_orders` counts, by venue."""
        rows = self._open_rows()
        refused = self._refused(rows)
        return sorted((self._order(int(row), int(row) in refused) for row in rows), key=lambda o: (o.venue, o.order))

    def _refused(self, rows: np.ndarray) -> set[int]:
        """Those of which the venue has refused a cancel of the gateway's own."""
        s = self._state.record
        requests = s["requests"][: max(0, min(int(s.request_count), s.requests.size))]
        ours = requests[(requests["ours"] == 1) & (requests["state"] == a.REQUEST_REJECTED)]
        return set(np.intersect1d(ours["order"], rows).tolist())

    def _order(self, row: int, refused: bool) -> OpenOrder:
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
            self._why(order, venue, refused),
        )

    def _why(self, order: np.record, venue: int, refused: bool) -> str:
        tries = int(order.cancel_tries)
        reasons = []
        if not 0 <= venue < len(self._names.sessions) or self._state.record.sessions[venue].up == 0:
            reasons.append("venue down")
        if order.doubt != a.SURE:
            reasons.append(DOUBTS.get(int(order.doubt), "in doubt"))
        if refused:
            reasons.append("venue refused a cancel")
        if tries >= MAX_CANCEL_TRIES:
            reasons.append(f"all {tries} cancels used")
        elif tries:
            reasons.append(f"{tries} of {MAX_CANCEL_TRIES} cancels sent, not answered")
        else:
            reasons.append("no cancel sent yet")
        return ", ".join(reasons)

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
