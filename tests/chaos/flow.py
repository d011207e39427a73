"""A seeded random flow of orders, replaces and cancels from one EMS, as fast as a gateway that may be down lets it."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

from tidegate_tools.sim.ems import Ems

ACCOUNTS = ("ACC1", "ACC2")
MIDDLES = {"AAPL": 100, "MSFT": 200}


class Trader:
    """Sends from a thread of its own until it is stopped; what cannot be sent just now is left out."""

    def __init__(self, ems: Ems, seed: int, venues: Sequence[str], rate: float) -> None:
        """`rate`: messages a second; it may be changed at any time."""
        self._ems = ems
        self._random = random.Random(seed)
        self._venues = venues
        self.rate = rate
        self._terms: dict[str, tuple[str, str]] = {}  # symbol and account by ClOrdID
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once nothing more is sent; raises what went wrong."""
        self._stopping.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.wait(1 / self.rate):
                try:
                    self._send()
                except ConnectionError:
                    self._stopping.wait(0.05)
        except Exception as error:
            self._failure = error

    def _send(self) -> None:
        chance = self._random
        working = [order for order in self._ems.working if order in self._terms]
        draw = chance.random()
        if working and draw < 0.2:
            order = chance.choice(working)
            symbol, account = self._terms[order]
            terms = {"quantity": chance.randint(1, 30), "price": self._price(symbol)}
            changed = self._ems.next_cl_ord_id()
            self._terms[changed] = symbol, account
            self._ems.replace(order, **terms, cl_ord_id=changed, extra=[(1, account)])
        elif working and draw < 0.4:
            self._ems.cancel(chance.choice(working))
        else:
            self._new_order()

    def _new_order(self) -> None:
        chance = self._random
        symbol, account = chance.choice(list(MIDDLES)), chance.choice(ACCOUNTS)
        order = self._ems.next_cl_ord_id()
        self._terms[order] = symbol, account
        self._ems.new_order(
            symbol=symbol,
            side=chance.choice("12"),
            quantity=chance.randint(1, 30),
            price=self._price(symbol) if chance.random() > 0.05 else None,
            time_in_force="3" if chance.random() < 0.1 else "0",
            cl_ord_id=order,
            extra=[(1, account), (100, chance.choice(self._venues))],
        )

    def _price(self, symbol: str) -> str:
        return str(MIDDLES[symbol] + self._random.randint(-5, 5) / 10)
