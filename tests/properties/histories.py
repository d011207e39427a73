"""Random histories: one event at a time goes to the core and to the model, and what both make of it is compared."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine

from gateway.core import layout as a
from tests.properties.model import Model
from tests.properties.model_config import CONFIG, FUTURES, INSTRUMENTS, INSTRUMENTS_CSV, LIMITS, MIDDLE
from tests.properties.model_orders import CANCEL, CHECKS, NEW, REPLACE, Order, Wanted
from tests.support.core import START_NS, Core

D = Decimal
EXPOSURE = ("entity", "instrument", "position_e8", "open_buy_e8", "open_sell_e8")
ORDER = ("number", "cum_e8", "doubt", "ended_day", "status")
_template: list = []


def fresh_core() -> Core:
    """One core for all histories, put back to its first state: building one from files is slow."""
    if not _template:
        with tempfile.TemporaryDirectory() as folder:
            core = Core(Path(folder), CONFIG, LIMITS, INSTRUMENTS_CSV)
        _template.extend((core, core.state.block.copy()))
    core, block = _template
    core.state.block[:] = block
    core.record.events = 0
    core.time_ns = START_NS
    core.log = []
    return core


def number(value: Decimal) -> str:
    """As FIX writes it."""
    return format(value, "f")


class Compared(RuleBasedStateMachine):
    """A core and a model that are told the same."""

    events_told = 0  # to the core, in all histories

    def __init__(self) -> None:
        super().__init__()
        self.core = fresh_core()
        self.model = Model(CONFIG, LIMITS, INSTRUMENTS, START_NS)
        self.model.quote("AAPL", D("99.99"), D("100.01"), D(100))
        self.ids = 0
        self.execs = 0
        self.fills: list[tuple[Order, str, Decimal]] = []
        self.untold: list[tuple[Order, str, Decimal]] = []
        self.reports: list[tuple[str, str, dict]] = []
        self.traded: dict[int, Decimal] = {}
        self.seen_exec_ids: set[str] = set()
        self.children: list[str] = []
        self.exec_id_of: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        """A history is over."""
        Compared.events_told += int(self.core.record.events)

    # Compare.

    def agree(self, actual: list, wanted: list[Wanted]) -> None:
        """What the core sends is what the model wants, wherever among it an alert stands, and so are all sums."""
        self.compare(*(sorted(messages, key=lambda message: not message[1]) for messages in (actual, wanted)))
        self.agree_on_sums()
        self.ask()

    def compare(self, actual: list, wanted: list[Wanted]) -> None:
        """Message by message, those tags that the model tells."""
        shown = f"\ncore:  {actual}\nmodel: {wanted}"
        assert [(s, t) for s, t, _ in actual] == [(s, t) for s, t, _ in wanted], shown
        for (_, msg_type, got), (_, _, fields) in zip(actual, wanted, strict=True):
            for tag, value in fields.items():
                if tag == CHECKS:
                    assert {part.split()[0] for part in got.get(58, "").split("; ") if part} == value, shown
                elif isinstance(value, Decimal):
                    assert D(got[tag]) == value, f"{tag}{shown}"
                else:
                    assert got.get(tag) == value, f"{tag}{shown}"
            if msg_type == "8":
                assert got[17] not in self.seen_exec_ids, shown
                self.seen_exec_ids.add(got[17])
            if msg_type in (NEW, REPLACE, CANCEL):
                assert got[11] not in self.children, shown
                self.children.append(got[11])
                self.model.sent(got[11])
        assert not self.model.unnamed, shown
        self.model.settle()

    def ask(self) -> None:
        """As soon as anything is in doubt its venue is asked: as many ticks as it takes."""
        if any(o.doubt for o in self.model.orders):
            self.model.now_ns = self.core.time_ns
            wanted = self.model.ticks()
            actual = []
            while reply := self.core.tick():
                actual += reply
            self.swept()
            assert sorted((s, t, f[11] if t == "H" else "") for s, t, f in actual) == sorted(
                (s, t, str(f.get(11, ""))) for s, t, f in wanted
            )

    def swept(self) -> None:
        """Apply what a sweep sends that is under way."""
        if self.core.record.sweep_row == a.NONE:
            return
        self.model.now_ns = self.core.time_ns
        self.compare(self.core.sweep(), self.model.sweep())

    def agree_on_sums(self) -> None:
        record = self.core.record
        names = {row: key for key, row in self.core.state.entities.items()}
        symbols = {row: symbol for symbol, row in self.core.state.instruments.items()}
        found = {}
        exposures = record["exposures"][: record.exposure_count]
        columns = (exposures[name].tolist() for name in EXPOSURE)
        for entity, instrument, *value in zip(*columns, strict=True):
            if any(value):
                scope, name = names[entity]
                found[a.SCOPE_NAMES[scope], name, symbols[instrument]] = tuple(D(v).scaleb(-8) for v in value)
        assert found == self.model.exposures()
        counts = record["entities"]["open_orders"][: record.entity_count].tolist()
        open_orders = {(a.SCOPE_NAMES[names[k][0]], names[k][1]): n for k, n in enumerate(counts) if n}
        assert open_orders == {key: n for key, n in self.model.all_open_orders().items() if n}
        orders = record["orders"][: record.order_count]
        columns = zip(*(orders[name].tolist() for name in ORDER), strict=True)
        rows = {
            row: (D(cum).scaleb(-8), doubt, ended_day, "" if ended_day else chr(status))
            for row, (number, cum, doubt, ended_day, status) in enumerate(columns)
            if number != a.NONE
        }
        assert rows == {
            o.row: (o.cum, o.doubt, o.ended_day, "" if o.ended_day else o.base_status("FIX.4.4"))
            for o in self.model.orders
        }
        doubts = record["sessions"]["doubts"].tolist()
        for venue in self.model.venues():
            assert doubts[self.core.sessions[venue]] == len(self.model.doubts(venue))
        assert bool(record.fault) == self.model.fault

    # Choose.

    def fresh_id(self) -> str:
        self.ids += 1
        return f"A{self.ids}"

    def fresh_exec(self) -> str:
        self.execs += 1
        return f"X{self.execs}"

    def exec_id_at(self, order: Order, same: bool) -> str:
        """A fresh ExecID, or the one that was told last on another order: venues count by order, or by day."""
        number_of = self.model.numbered.index(order)
        other = [e for venue, o, e in self.model.seen if venue == order.venue and o != number_of]
        known = {e for venue, o, e in self.model.seen if o == number_of}
        found = [e for e in sorted(other) if e not in known]
        return found[-1] if same and found else self.fresh_exec()

    def order(self, pick: int, only_open: bool = True) -> Order | None:
        """One of the last orders, so that histories get long."""
        orders = [o for o in self.model.orders if not only_open or o.is_open()] or self.model.orders
        return orders[-1 - pick % min(len(orders), 5)] if orders else None

    def has_orders(self) -> bool:
        return bool(self.model.orders)

    def quantity(self, symbol: str, pick: int) -> str:
        lots = (
            (1, 1, 5, 10, 20, 21, 29, 30, 31, 33)
            if symbol in FUTURES
            else (10, 50, 100, 150, 200, 250, 300, 310, 400, 500, 510)
        )
        return str(lots[pick % len(lots)])

    def price(self, symbol: str, bps: int) -> str:
        tick = self.model.instruments[symbol].tick
        exact = MIDDLE[symbol] * (10_000 + bps) / 10_000
        return number((exact / tick).to_integral_value() * tick)
