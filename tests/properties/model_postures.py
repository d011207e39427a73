"""Postures in the model: what passes, and which working orders must go. No code of the gateway."""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_orders import BUY, POSITION_SCOPES, D, Judgement, Order
from tests.properties.model_tables import ALERT, Tables, Wanted

SCOPES = (*POSITION_SCOPES[:7], "session", "venue", "class", "sector", "asset_class")
BY_INSTRUMENT, BY_ACCOUNT = ("sector", "asset_class"), ("session", "venue")


class Postures(Tables):
    """What people say still passes, by entity; and the exits that they open, by entity and symbol."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        super().__init__(config, limits, instruments, now_ns)
        self.postures: dict[tuple[str, str], tuple[str, int]] = {}  # with the time when it was set
        self.exits: dict[tuple[str, str, str], tuple[Decimal, int]] = {}  # what is left, until when

    def open_exit(self, scope: str, name: str, symbol: str, quantity: Decimal, until_ns: int) -> list[Wanted]:
        self.exits[scope, name, symbol] = quantity, until_ns
        return [ALERT]

    def room(self, scope: str, entities: dict[str, str], symbol: str, side: str) -> tuple[Decimal, Decimal]:
        """What is held to be closed by orders on a side where a posture stands, and what is open on that side."""
        holder = "instrument" if scope in BY_INSTRUMENT else "account" if scope in BY_ACCOUNT else scope
        assert holder in POSITION_SCOPES
        position = self.position(holder, entities[holder], symbol)
        buys, sells = self.open_quantity(holder, entities[holder], symbol)
        return (max(-position, D(0)), buys) if side == BUY else (max(position, D(0)), sells)

    def reduces(self, j: Judgement, scope: str) -> bool:
        if j.replaces is not None and j.added == 0 and not self.pays_more(j):
            return True
        held, opened = self.room(scope, j.entities, j.instrument.symbol, j.side)
        return held >= opened + j.added

    def passes(self, j: Judgement, order: Order | None, scope: str, posture: str, set_ns: int) -> bool:
        if posture != "halted":
            return self.reduces(j, scope)
        if order is None or j.added > 0:
            return False
        same_time = j.time_in_force == order.accepted.time_in_force
        if same_time and not self.pays_more(j) and j.qty + order.restated < order.qty:
            return True
        return order.exit_ns > set_ns and self.reduces(j, scope)

    def check_posture(self, j: Judgement, order: Order | None) -> None:
        """POSTURE, unless an exit lets it pass."""
        refused = False
        for scope, name in j.entities.items():
            posture, set_ns = self.postures.get((scope, name), ("normal", 0))
            if posture != "normal" and not (posture == "no_new_longs" and j.side != BUY):
                refused = refused or not self.passes(j, order, scope, posture, set_ns)
        for (scope, name, symbol), (left, until_ns) in self.exits.items():
            is_for_it = symbol == j.instrument.symbol and j.entities.get(scope) == name and self.now_ns < until_ns
            if refused and is_for_it and 0 < j.added <= left and self.reduces(j, scope):
                j.exit = scope, name, symbol
        if refused and j.exit is None:
            j.fired.add("POSTURE")

    def take_from_exit(self, j: Judgement, order: Order) -> None:
        if j.exit is not None:
            left, until_ns = self.exits[j.exit]
            self.exits[j.exit] = left - j.added, until_ns
            order.exit_ns = self.now_ns

    def is_halted(self, order: Order) -> bool:
        """Halted, and not passed by an exit since."""
        found = [self.postures.get(pair, ("normal", 0)) for pair in order.entities.items()]
        return any(posture == "halted" and order.exit_ns <= set_ns for posture, set_ns in found)

    def is_ending(self, order: Order) -> bool:
        """To be canceled until it has ended."""
        return order.reducing or self.is_killed(order.entities) or self.is_halted(order)

    def mark_raising(self) -> bool:
        """Working orders that could raise a position are to be canceled, from the last row on; whether there are more
        of them now. Entities are looked at in the order of their rows.
        """
        more = False
        for (scope, name), (posture, _) in sorted(self.postures.items(), key=lambda item: self.row_of(*item[0])):
            if posture not in ("reduce_only", "halted"):
                continue
            ending: dict[tuple[str, bool], Decimal] = {}
            of_entity = [o for o in self.orders if o.is_open() and o.entities.get(scope) == name]
            for order in sorted(of_entity, key=lambda o: (not self.is_ending(o), -o.row)):
                key = order.instrument.symbol, order.side == BUY
                if not self.is_ending(order):
                    held, opened = self.room(scope, order.entities, order.instrument.symbol, order.side)
                    if opened - ending.get(key, D(0)) <= held:
                        continue
                    order.reducing, order.tries = True, 0
                    more = True
                if scope not in BY_ACCOUNT:
                    ending[key] = ending.get(key, D(0)) + order.reserved()
        return more

    @staticmethod
    def row_of(scope: str, name: str) -> tuple[int, str]:
        """Rows of entities are in the order of their scopes, then names."""
        return SCOPES.index(scope), name
