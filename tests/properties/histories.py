"""Orders, reports and the market of the random histories, each applied to the core and to the model."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.core import events as ev
from gateway.core import layout as a
from tests.properties.model import Model
from tests.properties.model_config import CONFIG, INSTRUMENTS, INSTRUMENTS_CSV, LIMITS, MIDDLE
from tests.properties.model_orders import CANCEL, CHECKS, NEW, REPLACE, Order, Request, Wanted
from tests.properties.model_recovery import ALERT
from tests.support.core import START_NS, Core

D = Decimal
# What a venue says: a kind of report, CumQty and LeavesQty against what is counted, OrdStatus, and whether OrderQty.
SAYING = st.tuples(
    st.sampled_from("FFFFFFIDHG0453"),
    st.sampled_from(("count", "count", "count", "less", "less", "more", "none")),
    st.sampled_from(("sum", "sum", "count", "same", "0", "more")),
    st.sampled_from("1111024"),
    st.booleans(),
)
LEAVES = st.sampled_from(("0", "0", "0", "0", "1", "10", None))
_template: list = []


def fresh_core() -> Core:
    """One core for all histories, put back to its first state: building one from files is slow."""
    if not _template:
        with tempfile.TemporaryDirectory() as folder:
            core = Core(Path(folder), CONFIG, LIMITS, INSTRUMENTS_CSV)
        _template.extend((core, core.state.block.copy()))
    core, block = _template
    core.state.block[:] = block
    core.time_ns = START_NS
    core.log = []
    return core


def number(value: Decimal) -> str:
    """As FIX writes it."""
    return format(value, "f")


class OrderFlow(RuleBasedStateMachine):
    """An EMS, a venue and the clock doing what they like, plausible or not."""

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

    # Compare.

    def agree(self, actual: list, wanted: list[Wanted]) -> None:
        """What the core sends is what the model wants, and so are all sums."""
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
        self.model.settle()
        self.agree_on_sums()
        self.ask()

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
        actual, wanted = self.core.sweep(), self.model.sweep()
        shown = f"\ncore:  {actual}\nmodel: {[w for _, _, w in wanted]}"
        assert [(s, t) for s, t, _ in actual] == [(s, t) for _, _, (s, t, _) in wanted], shown
        for (_, _, got), (order, request, (_, _, fields)) in zip(actual, wanted, strict=True):
            assert all((D(got[k]) if k == 38 else got[k]) == v for k, v in fields.items()), shown
            assert got[11] not in self.children, shown
            self.children.append(got[11])
            self.model.newest = order, request
            self.model.sent(got[11])
        self.model.settle()

    def agree_on_sums(self) -> None:
        record = self.core.record
        names = {row: key for key, row in self.core.state.entities.items()}
        symbols = {row: symbol for symbol, row in self.core.state.instruments.items()}
        found = {}
        for x in record.exposures[: record.exposure_count]:
            value = (int(x.position_e8), int(x.open_buy_e8), int(x.open_sell_e8))
            if any(value):
                scope, name = names[int(x.entity)]
                found[a.SCOPE_NAMES[scope], name, symbols[int(x.instrument)]] = tuple(D(v).scaleb(-8) for v in value)
        assert found == self.model.exposures()
        counts = record.entities["open_orders"][: record.entity_count].tolist()
        open_orders = {(a.SCOPE_NAMES[names[k][0]], names[k][1]): n for k, n in enumerate(counts) if n}
        assert open_orders == {key: n for key, n in self.model.all_open_orders().items() if n}
        orders = record.orders[: record.order_count]
        columns = zip(*(orders[name].tolist() for name in ("number", "cum_e8", "doubt")), strict=True)
        rows = {row: (D(cum).scaleb(-8), doubt) for row, (number, cum, doubt) in enumerate(columns) if number != a.NONE}
        assert rows == {o.row: (o.cum, o.doubt) for o in self.model.orders}
        for venue in self.model.venues():
            assert self.core.doubts(venue) == len(self.model.doubts(venue))
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
            if symbol == "ESZ6"
            else (10, 50, 100, 150, 200, 250, 300, 310, 400, 500, 510)
        )
        return str(lots[pick % len(lots)])

    def price(self, symbol: str, bps: int) -> str:
        tick = self.model.instruments[symbol].tick
        exact = MIDDLE[symbol] * (10_000 + bps) / 10_000
        return number((exact / tick).to_integral_value() * tick)

    # The EMS.

    @initialize(
        orders=st.integers(0, 5),
        quoted=st.sampled_from((True, True, False)),
        says=st.one_of(st.just([]), st.lists(SAYING, min_size=4, max_size=12)),
    )
    def begin(self, orders, quoted, says=()):
        """Most histories begin with quotes and some working orders, many with a venue that contradicts itself."""
        if quoted:
            self.quote("MSFT", 0, 5, None)
            self.quote("ESZ6", -10, 20, 0)
        for k in range(orders):
            symbol = ("AAPL", "ESZ6", "MSFT", "AAPL", "AAPL")[k]
            self.new_order("EMS2" if k == 3 else "EMS1", "2", "12112"[k], symbol, 3, 0, 2 * (k % 4), 0)
            self.acknowledge(0, "0", False, True)
        for saying in says if self.has_orders() else ():
            self.say(self.order(0), *saying)

    def send_order(self, session: str, fields: dict, poss_dup: bool = False) -> None:
        message = sorted((tag, v) for tag, v in fields.items() if v is not None)
        given = {tag: str(v) for tag, v in message}
        self.model.now_ns = self.core.time_ns
        actual = self.core.message(session, fields[35], [(t, v) for t, v in message if t != 35], poss_dup)
        if fields[35] == NEW:
            wanted = self.model.new(session, given, poss_dup)
        elif fields[35] == REPLACE:
            wanted = self.model.replace(session, given, poss_dup)
        else:
            wanted = self.model.cancel(session, given, poss_dup)
        self.agree(actual, wanted)

    def order_fields(self, session: str, kind: str, side: str, symbol: str, qty: str, bps: int) -> dict:
        return {
            **{35: NEW, 1: "ACC1", 11: self.fresh_id(), 21: "1", 38: qty, 40: kind, 54: side, 55: symbol, 59: "0"},
            **{60: "20260711-12:00:00.000", 44: self.price(symbol, bps) if kind in "24" else None},
            **{99: self.price(symbol, bps // 2) if kind in "34" else None},
            **{100: "XOLD" if session == "EMS2" else None},
            **({114: "N"} if side == "5" else {}),
        }

    @rule(
        session=st.sampled_from(("EMS1", "EMS1", "EMS2")),
        kind=st.sampled_from("222221342"),
        side=st.sampled_from("112125"),
        symbol=st.sampled_from(("AAPL", "AAPL", "MSFT", "ESZ6")),
        qty=st.integers(0, 10),
        bps=st.sampled_from((0, 0, 0, 100, -100, 300, -300, 310, -310, 490, -490, 510, -510, 1010, -1010)),
        who=st.integers(0, 7),
        ms=st.sampled_from((0, 0, 20, 150, 350, 1100)),
        crossed=st.sampled_from((False, False, False, True)),
        time_in_force=st.sampled_from("000016"),
    )
    def new_order(self, session, kind, side, symbol, qty, bps, who, ms, crossed=False, time_in_force="0"):
        self.wait(ms)
        fields = self.order_fields(session, kind, side, symbol, self.quantity(symbol, qty), bps)
        fields[59] = time_in_force
        fields[1] = "ACC2" if who & 1 else "ACC1"
        if crossed:
            fields[100] = "XOLD" if session == "EMS1" else "XNAS"
        if session == "EMS1":
            fields[116] = (None, "MOMO", "ARB", "MOMO")[who >> 1]
            fields[50] = "TOM" if who == 3 else None
        self.send_order(session, fields)

    @rule(
        session=st.sampled_from(("EMS1", "EMS2")),
        changes=st.sampled_from(
            (
                {38: "0"}, {38: "-5"}, {38: "10000000001"}, {38: "1.123456789"}, {38: "10000000000"}, {38: "100.5"},
                {38: "0100.000"}, {44: "100.005"}, {44: "0"}, {44: "-1"}, {44: "100.000000001"}, {44: "0.01"},
                {44: "10000000000"}, {44: None}, {55: "IBM"}, {55: "IBM", 38: "0"}, {48: "US0378331005", 22: "4"},
                {48: "US5949181045", 22: "4"}, {1: "ACC9"}, {1: None}, {1: "ACC9", 55: "IBM"}, {100: "XCME"},
                {100: "NONE"}, {100: "XOLD", 59: "7"}, {59: "7", 100: "XNAS"}, {100: "EMS1"},
                {100: "NONE", 55: "IBM"}, {40: "3", 99: None}, {40: "3", 99: "100.005", 44: None},
                {40: "1", 44: None}, {54: "1", 38: "600", 44: "200"}, {54: "2", 38: "999", 44: "1.001"},
                {54: "8"}, {59: "1"}, {59: "5"}, {40: "P"}, {55: "MSFT", 38: "15", 44: "200"}, {50: "JIM"},
            )
        ),
    )  # fmt: skip
    def odd_order(self, session, changes):
        fields = self.order_fields(session, "2", "1", "AAPL", "10", 0)
        if session == "EMS2" and (50 in changes or changes.get(59) == "7"):
            session = "EMS1"
        self.send_order(session, fields | changes)

    @rule(
        session=st.sampled_from(("EMS1", "EMS2")),
        answer=st.sampled_from((("E", "j", {380: "3"}), ("D", "3", {371: "54"}), ("D", "3", {371: "38", 373: "6"}))),
    )
    def unreadable(self, session, answer):
        """What is no order: an unsupported MsgType, a value that the dictionary does not know, no number."""
        msg_type, reject, wanted = answer
        fields = self.order_fields(session, "2", "1", "AAPL", "10", 0)
        if msg_type == "D":
            fields[int(wanted[371])] = "x"
        self.model.now_ns = self.core.time_ns
        self.model.arrive(session)
        message = sorted((tag, v) for tag, v in fields.items() if v is not None and tag != 35)
        self.agree(self.core.message(session, msg_type, message), [(session, reject, wanted)])

    @rule(pick=st.integers(0, 9), session=st.sampled_from(("EMS1", "EMS2")), again=st.sampled_from((None, "Y")))
    def ask_status(self, pick, session, again):
        requests = [r for o in self.model.orders for r in o.requests if r.cl_ord_id]
        cl_ord_id = requests[-1 - pick % len(requests)].cl_ord_id if requests and pick else "NOSUCH"
        fields = {11: cl_ord_id, 54: "1", 55: "AAPL"} | ({97: again} if again else {})
        self.model.now_ns = self.core.time_ns
        wanted = self.model.status(session, fields)
        self.agree(self.core.message(session, "H", sorted(fields.items())), wanted)

    @precondition(has_orders)
    @rule(pick=st.integers(0, 4), flag=st.sampled_from((None, "dup", "resend")), kind=st.sampled_from("DGF"))
    def repeated_id(self, pick, flag, kind):
        order = self.order(pick, only_open=False)
        requests = [r for r in order.requests if not r.ours]
        request = requests[pick % len(requests)]
        symbol = order.instrument.symbol
        fields = self.order_fields(order.session, "2", order.side, symbol, "10", 0)
        fields |= {35: kind, 1: order.entities["account"], 11: request.cl_ord_id}
        fields[97] = "Y" if flag == "resend" else None
        if kind != NEW:
            fields[41] = order.accepted.cl_ord_id
        self.send_order(order.session, fields if kind != CANCEL else self.only_cancel(fields), poss_dup=flag == "dup")

    @staticmethod
    def only_cancel(fields: dict) -> dict:
        return {tag: fields[tag] for tag in (35, 11, 38, 41, 54, 55, 60, 97)}

    @rule(age=st.sampled_from((0, 9, 10, 11)), again=st.sampled_from((None, "Y")))
    def late_poss_dup(self, age, again):
        """PossDupFlag or PossResend with an id that is new: stale when older than 10 s or than the run."""
        now = 43_200 + (self.core.time_ns - START_NS) // 10**9 - age
        stamp = f"20260711-{now // 3600:02d}:{now // 60 % 60:02d}:{now % 60:02d}.000"
        fields = self.order_fields("EMS1", "2", "1", "AAPL", "10", 0) | {60: stamp}
        self.send_order("EMS1", fields | {97: again}, poss_dup=again is None)

    @precondition(has_orders)
    @rule(
        pick=st.integers(0, 4),
        of=st.sampled_from(("current", "current", "pending", "any", "unknown")),
        qty=st.integers(0, 13),
        bps=st.sampled_from((0, 0, 50, -50, 490, 510, -510)),
        kind=st.sampled_from("2221"),
        time_in_force=st.sampled_from("00001"),
        ms=st.sampled_from((0, 0, 0, 6_000)),
    )
    def replace(self, pick, of, qty, bps, kind, time_in_force="0", ms=0):
        self.wait(ms)
        order = self.order(pick)
        symbol = order.instrument.symbol
        shares = number(order.cum) if qty == 12 and order.cum else self.quantity(symbol, qty)
        if qty == 13:
            shares = number(order.cum + 10)
        fields = self.order_fields(order.session, kind, order.side, symbol, shares, bps)
        fields |= {35: REPLACE, 1: order.entities["account"], 41: self.named(order, of, pick), 59: time_in_force}
        if order.session == "EMS1":
            fields[116] = order.entities.get("strategy")
            fields[50] = order.entities.get("trader")
        self.send_order(order.session, fields)

    def named(self, order: Order, of: str, pick: int) -> str:
        if of == "unknown":
            return "NOSUCH"
        if of == "pending" and order.pending(REPLACE):
            return order.pending(REPLACE)[-1].cl_ord_id
        if of == "any":
            requests = [r for r in order.requests if r.kind != CANCEL]
            return requests[pick % len(requests)].cl_ord_id
        return order.accepted.cl_ord_id

    @precondition(has_orders)
    @rule(
        pick=st.integers(0, 4),
        of=st.sampled_from(("current", "current", "current", "pending", "any", "unknown")),
        ended=st.booleans(),
    )
    def cancel(self, pick, of, ended):
        order = self.order(pick, only_open=not ended)
        fields = {35: CANCEL, 11: self.fresh_id(), 38: "10", 41: self.named(order, of, pick), 54: order.side}
        fields |= {55: order.instrument.symbol, 60: "20260711-12:00:00.000"}
        self.send_order(order.session, fields)

    # The venue.

    def send_report(
        self, order: Order, child: str, exec_type: str, tell: bool, venue: str | None = None, **more
    ) -> None:
        venue = venue or order.venue
        exec_id, poss_dup = more.pop("exec_id", None) or self.fresh_exec(), more.pop("poss_dup", False)
        cum = self.traded.get(id(order), D(0)) if tell else D(0)
        own = {"t14": number(cum), "t37": f"V{order.order_id}", "t54": order.side, "t55": order.instrument.symbol}
        more = own | more
        status = more.pop("status", None) or {"F": "1", "H": "0", "G": "1", "I": "0"}.get(exec_type, exec_type)
        self.deliver(venue, child, exec_id, exec_type, status, more, poss_dup)

    def deliver(
        self, venue: str, child: str, exec_id: str, exec_type: str, status: str, more: dict, poss_dup: bool = False
    ) -> None:
        if self.core.begin_strings[venue] == "FIX.4.2":
            more = {"t20": {"H": "1", "G": "2", "I": "3"}.get(exec_type, "0")} | more
            exec_type = {"F": "1", "H": "1", "G": "1", "I": status}.get(exec_type, exec_type)
        self.reports.append((venue, child, {"exec_id": exec_id, "exec_type": exec_type, "status": status, **more}))
        self.model.now_ns = self.core.time_ns
        fields = self.report_fields(child, exec_id, exec_type, status, more)
        wanted = self.model.report(venue, fields, poss_dup)
        actual = self.core.report(child, exec_id, exec_type, status, session=venue, poss_dup=poss_dup, **more)
        self.agree(actual, wanted)
        for _, msg_type, got in actual:
            if msg_type == "8" and 19 in fields:
                assert got[19] == self.exec_id_of[got[37], fields[19]]
            if msg_type == "8":
                copied = self.copied(venue, child, exec_id) if self.model.kind_of(venue, fields) == "F" else exec_id
                self.exec_id_of[got[37], exec_id] = self.exec_id_of.get((got[37], copied), got[17])

    def copied(self, venue: str, child: str, exec_id: str) -> str:
        """The ExecID of the fill that one with this ExecID is a copy of, or this."""
        order, _ = self.model.by_child.get(child, (None, None))
        key = venue, self.model.numbered.index(order) if order else None, exec_id
        return self.model.corrects.get(key, key)[2]

    @staticmethod
    def report_fields(child: str, exec_id: str, exec_type: str, status: str, more: dict) -> dict[int, str]:
        fields = {11: child, 17: exec_id, 150: exec_type, 39: status, 14: "0", 37: f"V{child}", 151: "0"}
        fields |= {int(k[1:]): v for k, v in more.items()}
        return {tag: v for tag, v in fields.items() if v is not None}

    def trade(self, order: Order, qty: Decimal) -> None:
        self.traded[id(order)] = self.traded.get(id(order), D(0)) + qty

    @precondition(has_orders)
    @rule(pick=st.integers(0, 4), exec_type=st.sampled_from("000AD"), tell=st.booleans(), works=st.booleans())
    def acknowledge(self, pick, exec_type, tell, works):
        order = self.order(pick)
        self.send_report(order, order.requests[0].child, exec_type, tell, t151="10" if works else "0")

    @precondition(has_orders)
    @rule(
        pick=st.integers(0, 4),
        part=st.sampled_from((1, 2, 3, 4, 4, 5)),
        tell=st.booleans(),
        missed=st.sampled_from((False, False, True)),
        ended=st.sampled_from((False, False, False, True)),
        works=st.booleans(),
        same=st.sampled_from((False, False, False, True)),
    )
    def fill(self, pick, part, tell, missed, ended, works=False, same=False):
        """A quarter, half, three quarters, all or more of what is open; missed ones are told later or never."""
        order = self.order(pick, only_open=not ended)
        qty = max(D(1), ((order.leaves() or order.qty) * part / 4).to_integral_value())
        self.trade(order, qty)
        exec_id = self.exec_id_at(order, same)
        if missed:
            self.untold.append((order, self.fresh_exec(), qty))
        else:
            self.send_fill(order, exec_id, qty, tell, works)

    def send_fill(self, order: Order, exec_id: str, qty: Decimal, tell: bool, works: bool = False) -> None:
        more = {"t32": number(qty), "t31": number(MIDDLE[order.instrument.symbol]), "exec_id": exec_id}
        more["t151"] = "10" if works else "0"
        self.send_report(order, order.accepted.child, "F", tell, **more)
        self.fills.append((order, exec_id, qty))

    @precondition(lambda self: self.untold)
    @rule(pick=st.integers(0, 4), tell=st.booleans())
    def late_fill(self, pick, tell):
        order, exec_id, qty = self.untold.pop(pick % len(self.untold))
        self.send_fill(order, exec_id, qty, tell)

    @precondition(lambda self: self.fills)
    @rule(pick=st.integers(0, 4), tell=st.booleans(), to=st.sampled_from((*(0, 0, 1, 3, 6, 9, 4) * 4, 0, 3, 5)))
    def bust_or_correct(self, pick, tell, to):
        """Of a fill, by less or more; 4: of its price alone; 5: unreadable; 9: of any report or of none."""
        order, exec_id, qty = self.fills.pop(-1 - pick % len(self.fills))
        if to == 9:
            number_of = self.model.numbered.index(order)
            told = sorted(e for venue, o, e in self.model.seen if o == number_of)
            named = told[-1 - pick % len(told)] if told and pick else "NOSUCH"
            self.send_report(order, order.accepted.child, "H", False, t19=named, t32="10", t31="100")
            return
        correction = self.fresh_exec()
        corrected = qty if to in (4, 5) else (qty * to / 4).to_integral_value()
        self.trade(order, corrected - qty)
        more = {"t19": exec_id, "t32": number(corrected or qty), "t31": "100", "exec_id": correction}
        if to in (4, 5):
            more["t32"] = None if to == 4 else "1O"
        self.send_report(order, order.accepted.child, "G" if corrected else "H", tell, **more)
        if corrected and to != 5:
            self.fills.append((order, correction if pick & 1 else exec_id, corrected))

    def say(self, order: Order, kind: str, cum: str, leaves: str, status: str, tells_qty: bool) -> None:
        """A report of 10 shares, or of none, that agrees with what is counted or not."""
        shares = D(10) if kind == "F" else D(0)
        counted, left = order.cum - order.restated, order.leaves()
        told = max(D(0), counted + {"count": shares, "less": shares - 10, "more": shares + 10, "none": -counted}[cum])
        qty = order.qty - order.restated
        open_ = {"sum": qty - told, "count": left - shares, "same": left, "0": D(0), "more": left + 10}[leaves]
        more = {"t14": number(told), "t151": number(max(D(0), open_)), "t38": number(qty) if tells_qty else None}
        if kind == "F":
            more |= {"t32": "10", "t31": "100", "exec_id": self.fresh_exec()}
            self.fills.append((order, more["exec_id"], shares))
            self.trade(order, shares)
        elif kind in "HG":
            named = [exec_id for filled, exec_id, _ in self.fills if filled is order]
            more |= {"t19": named[-1] if named else "NOSUCH", "t32": "5", "t31": "100"}
        self.send_report(order, order.accepted.child, kind, False, status=status, **more)

    @precondition(has_orders)
    @rule(pick=st.integers(0, 4), exec_type=st.sampled_from("4433BC8"), tell=st.booleans(), leaves=LEAVES)
    def end(self, pick, exec_type, tell, leaves="0"):
        """Canceled, done for day, calculated, expired, rejected: unasked, and perhaps not meant."""
        order = self.order(pick)
        self.send_report(order, order.accepted.child, exec_type, tell, t151=leaves)

    def a_pending(self, pick: int) -> tuple[Order, Request] | None:
        found = [(o, r) for o in self.model.orders for r in o.requests if r.state == "pending" and r.kind != NEW]
        return found[-1 - pick % len(found)] if found else None

    @rule(
        pick=st.integers(0, 2),
        answer=st.sampled_from(("ack", "yes", "yes", "no", "no", "8")),
        tell=st.booleans(),
        status=st.sampled_from("0014C8"),
        leaves=LEAVES,
    )
    def answer_request(self, pick, answer, tell, status="0", leaves="0"):
        found = self.a_pending(pick)
        if found is None:
            return
        order, request = found
        if answer == "no":
            response = "2" if request.kind == REPLACE else "1"
            self.model.now_ns = self.core.time_ns
            wanted = self.model.cancel_reject(order.venue, {11: request.child, 39: status})
            actual = self.core.cancel_reject(
                request.child, order.accepted.child, response, status=status, session=order.venue
            )
            self.agree(actual, wanted)
        elif answer == "8":
            self.send_report(order, request.child, "8", tell, status=status, t151="10" if status in "01" else "0")
        else:
            kinds = {(REPLACE, "ack"): "E", (REPLACE, "yes"): "5", (CANCEL, "ack"): "6", (CANCEL, "yes"): "4"}
            self.send_report(order, request.child, kinds[request.kind, answer], tell, t151=leaves)

    @precondition(has_orders)
    @rule(
        pick=st.integers(0, 9),
        exec_type=st.sampled_from("0A456CD8E3BFFII"),
        status=st.sampled_from("0014C83"),
        works=st.sampled_from((True, False, None)),
        named=st.sampled_from(("11", "11", "41", "37", "neither")),
        tell=st.booleans(),
        size=st.sampled_from(("1", "1", "1", "0", "1O", None)),
        other=st.sampled_from((None, None, None, "side", "symbol", "id")),
        restated=st.sampled_from((None, None, None, D(1), D("0.5"), D(0))),
        again=st.sampled_from((None, None, "dup", "resend")),
    )
    def odd_report(self, pick, exec_type, status, works, named, tell, size="1", other=None, restated=None, again=None):
        """On any child there ever was, refused and superseded ones too; named by 41 alone, by the venue's id, or not at
        all. Fills have no size, reports are of another side or instrument, quantities those of half as many shares.
        """
        children = list(self.model.by_child) + [r.child for r in self.model.freed if r]
        child = children[-1 - pick % len(children)]
        order, _ = self.model.by_child[child]
        more = {"t151": {True: "10", False: "0", None: None}[works], "t41": child if named == "41" else None}
        if named == "neither" or other == "id":
            more["t37"] = f"W{pick}" if named == "neither" else f"V{order.order_id}-{pick}"
        elsewhere = [o.venue_order_id for o in self.model.orders if o.venue == order.venue and o is not order]
        if other == "id" and pick % 2 and elsewhere:
            more["t37"] = elsewhere[pick % len(elsewhere)] or None
        if named == "37" and pick % 3 == 0:
            more["t1"] = ("ACC1", "ACC2", "ACC9")[pick // 3 % 3]
        if again == "resend":
            more |= {"t97": "Y", "t14": None if pick % 2 and restated is None else "0"}
        if other == "side":
            more["t54"] = "1" if order.side != "1" else "2"
        elif other == "symbol":
            more["t55"] = "AAPL" if order.instrument.symbol != "AAPL" else "MSFT"
        if exec_type == "F":
            more |= {"t32": size, "t31": "100", "t1": (None, "ACC1", "ACC2")[pick % 3]}
            self.trade(order, D(1))
        elif restated is not None:
            cum, leaves = order.cum * restated, order.leaves() * restated
            more |= {"t14": number(cum), "t38": number(cum + leaves), "t151": number(leaves) if works else more["t151"]}
        child = child if named == "11" else "C1-999999"
        self.send_report(order, child, exec_type, tell, poss_dup=again == "dup", status=status, **more)

    @precondition(has_orders)
    @rule(pick=st.integers(0, 4), how=st.sampled_from(("lost", "inferred", "j", "j elsewhere", "any j")))
    def never_delivered(self, pick, how):
        """A child that its venue never had, or refuses by BusinessMessageReject."""
        order = self.order(pick)
        if how == "any j":
            request = order.requests[pick % len(order.requests)]
        elif len(order.requests) == 1 and order.is_open():
            request = order.requests[0]
        elif order.pending(CANCEL) or order.pending(REPLACE):
            request = (order.pending(CANCEL) or order.pending(REPLACE))[-1]
        else:
            return
        if request.child not in self.model.by_child:
            return
        self.model.now_ns = self.core.time_ns
        if how in ("lost", "inferred"):
            child = {35: request.kind, 11: request.child, 38: "10", 54: order.side, 55: order.instrument.symbol}
            wanted = self.model.undelivered(request.child, how == "inferred")
            evidence = ev.INFERRED if how == "inferred" else ev.SAID
            self.agree(self.core.undelivered(child, order.venue, evidence), wanted)
            return
        venue = "XCME" if how == "j elsewhere" else order.venue
        wanted = self.model.business_reject(venue, request.child)
        fields = [(45, "2"), (58, "no"), (372, request.kind), (379, request.child), (380, "4")]
        self.agree(self.core.message(venue, "j", fields), wanted)

    @precondition(lambda self: self.reports)
    @rule(
        pick=st.integers(0, 5),
        elsewhere=st.sampled_from((False, False, True)),
        more_cum=st.booleans(),
        poss_dup=st.booleans(),
    )
    def repeated_report(self, pick, elsewhere, more_cum, poss_dup):
        """The same report once more, perhaps with what was traded since in CumQty; at another venue it is not ours."""
        venue, child, report = self.reports[-1 - pick % len(self.reports)]
        more = dict(report)
        other = {"XNAS": "XCME", "XCME": "XNAS", "XOLD": "XNAS"}[venue] if elsewhere else venue
        if more_cum and child in self.model.by_child:
            more["t14"] = number(self.traded.get(id(self.model.by_child[child][0]), D(0)))
        head = [more.pop(key) for key in ("exec_id", "exec_type", "status")]
        if self.model.kind_of(other, self.report_fields(child, *head, more)) == "F" and "t32" not in more:
            return
        self.model.now_ns = self.core.time_ns
        wanted = self.model.report(other, self.report_fields(child, *head, more), poss_dup)
        actual = self.core.report(child, *head, session=other, poss_dup=poss_dup, **more)
        self.agree(actual, wanted)

    # The market, the clock, the lines.

    @rule(
        symbol=st.sampled_from(tuple(MIDDLE)),
        bid=st.sampled_from((-100, -10, 0, 10, None)),
        spread=st.sampled_from((0, 5, 20, -5, None)),
        last=st.sampled_from((None, None, -30, 0, 30, 300)),
    )
    def quote(self, symbol, bid, spread, last):
        middle = MIDDLE[symbol]
        prices = [
            D(0) if bps is None else middle * (10_000 + bps) / 10_000
            for bps in (bid, None if spread is None else (bid or 0) + spread, last)
        ]
        self.model.now_ns = self.core.time_ns
        self.quoted(symbol, not self.model.quote(symbol, *prices), self.core.quote(symbol, *(float(p) for p in prices)))

    def quoted(self, symbol: str, is_left_aside: bool, actual: list) -> None:
        """The first quote of an instrument that is left aside is told."""
        instrument = self.model.instruments[symbol]
        instrument.left_aside += is_left_aside
        self.agree(actual, [ALERT] if is_left_aside and instrument.left_aside == 1 else [])

    @rule(
        venue=st.sampled_from(("XNAS", "XNAS", "XCME", "XOLD")),
        symbol=st.sampled_from(tuple(MIDDLE)),
        prices=st.sampled_from(
            ((0, 10, 0), (-10, 0, -5), (-100, None, None), (None, 100, None), (None, None, 50), (10, -10, 0))
        ),
    )
    def snapshot(self, venue, symbol, prices):
        """35=W with some of bid, offer and last trade."""
        told = [D(0) if bps is None else MIDDLE[symbol] * (10_000 + bps) / 10_000 for bps in prices]
        entries = [pair for k, price in enumerate(told) if price for pair in ((269, str(k)), (270, number(price)))]
        self.model.now_ns = self.core.time_ns
        is_left_aside = self.model.snapshot(venue, symbol, *told)
        fields = [(55, symbol), (268, str(len(entries) // 2)), *entries]
        self.quoted(symbol, is_left_aside, self.core.message(venue, "W", fields))

    @rule(symbol=st.sampled_from(tuple(MIDDLE)), times=st.sampled_from((3, D("0.3"), 100)), again=st.booleans())
    def far_off(self, symbol, times, again):
        """A bad tick, perhaps one that is told again; the price is back soon."""
        for _ in range(1 + again):
            price = MIDDLE[symbol] * times
            self.model.now_ns = self.core.time_ns
            is_left_aside = not self.model.quote(symbol, price, price, D(0))
            self.quoted(symbol, is_left_aside, self.core.quote(symbol, float(price), float(price)))
        for _ in range(2):
            self.quote(symbol, 0, 5, 0)

    @rule(ms=st.sampled_from((1, 20, 63, 100, 300, 500, 999, 2000, 6000, 59_990)))
    def wait(self, ms):
        self.core.wait(ms / 1000)
