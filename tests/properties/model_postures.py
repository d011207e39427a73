"""Postures in the model: what passes, and which working orders must go. No code of the gateway."""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_orders import BUY, POSITION_SCOPES, D, Judgement, Order
from tests.properties.model_tables import ALERT, Tables, Wanted

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

    def check_posture(self, j: Judgement, order: Order | None) -> None:
        """POSTURE, unless an exit lets it pass."""
        for (scope, name, symbol), (left, until_ns) in self.exits.items():
            is_for_it = symbol == j.instrument.symbol and j.entities.get(scope) == name and self.now_ns < until_ns
            if is_for_it and 0 < j.added <= left and self.postures and self.reduces(j, scope):
                j.exit = scope, name, symbol
                return
        for scope, name in j.entities.items():
            posture, _ = self.postures.get((scope, name), ("normal", 0))
            if posture == "normal" or (posture == "no_new_longs" and j.side != BUY):
                continue
            if posture == "halted":
                same = order is not None and j.added == 0 and not self.pays_more(j)
                passes = same and order is not None and j.qty + order.restated < order.qty
            else:
                passes = self.reduces(j, scope)
            if not passes:
                j.fired.add("POSTURE")

    def take_from_exit(self, j: Judgement) -> None:
        if j.exit is not None:
            left, until_ns = self.exits[j.exit]
            self.exits[j.exit] = left - j.added, until_ns

    def is_halted(self, order: Order) -> bool:
        """Halted since it was placed."""
        found = [self.postures.get(pair, ("normal", 0)) for pair in order.entities.items()]
        return any(posture == "halted" and order.placed_ns <= set_ns for posture, set_ns in found)

    def mark_raising(self) -> bool:
        """Working orders that could raise a position are to be canceled, from the last row on; whether there are more
        of them now.
        """
        more = False
        for (scope, name), (posture, _) in self.postures.items():
            if posture != "reduce_only":
                continue
            ending: dict[tuple[str, bool], Decimal] = {}
            of_entity = [o for o in self.orders if o.is_open() and o.entities.get(scope) == name]
            for order in sorted(of_entity, key=lambda o: (not o.reducing, -o.row)):
                key = order.instrument.symbol, order.side == BUY
                if not order.reducing:
                    held, opened = self.room(scope, order.entities, order.instrument.symbol, order.side)
                    if opened - ending.get(key, D(0)) <= held:
                        continue
                    order.reducing, order.mass_canceled, order.tries = True, False, 0
                    more = True
                if scope not in BY_ACCOUNT:
                    ending[key] = ending.get(key, D(0)) + order.reserved()
        return more
