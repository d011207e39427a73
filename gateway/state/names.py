"""Names of what the journal has as numbers: rows of a state, tags of a message, sides, order types, faults."""

from __future__ import annotations

from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.fix import tags as t
from gateway.state.memory import State

SIDES = {t.BUY: "buy", t.SELL: "sell", t.SELL_SHORT: "sell short"}
ORDER_TYPES = {t.MARKET: "market", t.LIMIT: "limit", t.STOP: "stop", t.STOP_LIMIT: "stop limit", t.PEGGED: "pegged"}
DOUBTS = {
    a.SURE: "",
    a.UNCONFIRMED: "unconfirmed",
    a.UNANSWERED: "unanswered",
    a.IN_DOUBT: "in doubt",
    a.QUERIED: "status requested",
}
FAULTS = {
    a.FAULT_OUTPUT_FULL: "an output did not fit",
    a.FAULT_EXECUTIONS_FULL: "the table of executions is full",
    a.FAULT_UNREADABLE_FILL: "a fill without a readable quantity",
    a.FAULT_UNREADABLE: "a message that cannot be read and may be a fill",
    a.FAULT_TOO_LARGE: "a position or an open quantity is too large to be counted",
}
MAX_TAG_DIGITS = 9


class Names:
    """Names by row of a state; they stay the same until its settings change. A row of NONE has no name."""

    def __init__(self, state: State) -> None:
        """Read the names of a state."""
        s = state.record
        self.entities = list(state.entities)  # (scope, name)
        self.instruments = list(state.instruments)
        self.sessions = [self.entities[int(row)][1] for row in s.sessions["entity"][: s.session_count]]
        self.roles = [int(role) for role in s.sessions["role"][: s.session_count]]  # layout.EMS or VENUE_ROLE

    def entity(self, row: int) -> str | None:
        """Name of an entity."""
        return None if row < 0 else self.entities[row][1]

    def instrument(self, row: int) -> str | None:
        """Symbol of an instrument."""
        return None if row < 0 else self.instruments[row]

    def session(self, row: int) -> str | None:
        """Id of a session."""
        return None if row < 0 else self.sessions[row]

    def place(self, entity: int, paired: int = 0, instrument: int = NONE) -> str | None:
        """Where a limit stands or a position is held: `account ACC1`, `firm`, or at a pair `account ACC1*AAPL`."""
        if entity < 0:
            return None
        scope, name = self.entities[entity]
        place = f"{a.SCOPE_NAMES[scope]} {name}".strip()
        return f"{place}*{self.instruments[instrument]}" if paired else place


def fields_of(message: bytes) -> dict[int, str]:
    """Value of each tag of a message, of a repeated tag the first; what is no field is left out."""
    fields: dict[int, str] = {}
    for part in message.split(b"\x01"):
        tag, _, value = part.partition(b"=")
        if tag.isdigit() and len(tag) <= MAX_TAG_DIGITS:
            fields.setdefault(int(tag), value.decode("latin-1"))
    return fields
