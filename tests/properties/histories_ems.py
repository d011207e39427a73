"""What an EMS does in the random histories."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.properties.histories import Compared, number
from tests.properties.model_orders import CANCEL, CLOSE_42, FOR_THE_CLOSE, NEW, REPLACE, Order
from tests.support.core import START_NS

# How long ago a message was sent, in seconds, and which of its times says so; below zero: its clock is ahead.
AGES = st.sampled_from((*(0,) * 8, 0.699, 0.702, 2, 2.001, 700, -5))

# What is asked for of all orders: the kind, an instrument, a side.
ASKED = st.tuples(
    st.sampled_from("77713"),
    st.sampled_from((None, {55: "AAPL"}, {55: "AAPL"}, {55: "NOPE"}, {22: "4", 48: "US5949181045"})),
    st.sampled_from((None, None, "1", "2", "5")),
)


class FromEms(Compared):
    """Orders, replaces, cancels and questions, plausible or not."""

    def send_order(self, session: str, fields: dict, poss_dup: bool = False) -> None:
        message = sorted((tag, v) for tag, v in fields.items() if v is not None)
        given = {52: self.core.sending_time} | {tag: str(v) for tag, v in message}
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
        price = self.price(symbol, bps) if kind in "24" or (kind == "P" and bps != 100) else None
        return {
            **{35: NEW, 1: "ACC1", 11: self.fresh_id(), 21: "1", 38: qty, 40: kind, 54: side, 55: symbol, 59: "0"},
            **{60: self.core.sending_time, 44: price, 99: self.price(symbol, bps // 2) if kind in "34" else None},
            **({18: "R", 211: "-0.01"} if kind == "P" else {}),
            **{100: "XOLD" if session == "EMS2" else None},
            **({114: "N"} if side == "5" else {}),
        }

    def in_force(self, session: str, kind: str, time_in_force: str) -> dict:
        """OrdType and TimeInForce, in the words of the session's FIX version if it has any."""
        if self.model.version(session) == "FIX.4.4" or time_in_force != FOR_THE_CLOSE:
            return {40: kind, 59: time_in_force}
        return {40: CLOSE_42.get(kind, kind), 59: "0"}

    @rule(
        session=st.sampled_from(("EMS1", "EMS1", "EMS2")),
        kind=st.sampled_from("2222213421P"),
        side=st.sampled_from("112125"),
        symbol=st.sampled_from(("AAPL", "AAPL", "AAPL", "MSFT", "ESZ6", "NQZ6", "SPY")),
        qty=st.integers(0, 10),
        bps=st.sampled_from((0, 0, 0, 100, -100, 300, -300, 310, -310, 490, -490, 510, -510, 1010, -1010)),
        who=st.integers(0, 7),
        ms=st.sampled_from((0, 0, 20, 150, 350, 1100)),
        crossed=st.sampled_from((False, False, False, True)),
        time_in_force=st.sampled_from("00001627777"),
        account=st.sampled_from((None, None, None, "ACC3", "ACC4")),
        ago=AGES,
        spread=st.sampled_from((*(None,) * 4, *(5, 10, 20) * 2, 25, 35, 115, 130)),
    )
    def new_order(
        self,
        session,
        kind,
        side,
        symbol,
        qty,
        bps,
        who,
        ms,
        crossed=False,
        time_in_force="0",
        account=None,
        ago=0,
        spread=None,
    ):
        self.wait(ms)
        if spread:
            self.quote(symbol, -spread // 2, spread, None)
        fields = self.order_fields(session, kind, side, symbol, self.quantity(symbol, qty), bps)
        fields |= self.in_force(session, kind, time_in_force)
        fields[1] = account or ("ACC2" if who & 1 else "ACC1")
        fields |= self.sent_before(ago)
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
                {100: "NONE"}, {100: "XNIL"}, {100: "XOLD", 59: "7"}, {59: "7", 100: "XNAS"}, {100: "EMS1"},
                {100: "NONE", 55: "IBM"}, {40: "3", 99: None}, {40: "3", 99: "100.005", 44: None},
                {40: "1", 44: None}, {54: "1", 38: "600", 44: "200"}, {54: "2", 38: "999", 44: "1.001"},
                {54: "8"}, {59: "1"}, {59: "5"}, {55: "MSFT", 38: "15", 44: "200"}, {50: "JIM"},
                {40: "P"}, {40: "P", 44: "0"}, {40: "P", 44: "100.005"}, {40: "P", 18: "M", 44: None, 100: "XOLD"},
                {40: "P", 18: "R a"}, {40: "P", 18: "R a", 100: "XOLD"}, {40: "P", 59: "7", 100: "XOLD"}, {18: "R"},
                {40: "P", 18: "R M"}, {40: "P", 18: "G R"}, {211: "0"},
                {18: "T"}, {18: "T", 100: "XNAS"}, {18: "1"}, {40: "5", 44: None}, {40: "B", 100: "XNAS"},
                {40: "5", 59: "1"}, {40: "B", 59: None}, {40: "4", 99: "100", 59: "7", 100: "XOLD"},
            )
        ),
    )  # fmt: skip
    def odd_order(self, session, changes):
        fields = self.order_fields(session, "2", "1", "AAPL", "10", 0)
        if 50 in changes or changes.get(59) == "7" or "a" in changes.get(18, ""):
            session = "EMS1"
        elif changes.get(40, "") in CLOSE_42.values() or changes.get(18) == "T":
            session = "EMS2"
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

    @precondition(Compared.has_orders)
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

    @precondition(Compared.has_orders)
    @rule(
        pick=st.integers(0, 4),
        of=st.sampled_from(("current", "current", "pending", "any", "unknown")),
        qty=st.integers(0, 13),
        bps=st.sampled_from((0, 0, 50, -50, 490, 510, -510)),
        kind=st.sampled_from("22221P"),
        time_in_force=st.sampled_from("0000177"),
        ms=st.sampled_from((0, 0, 0, 6_000)),
        ago=AGES,
    )
    def replace(self, pick, of, qty, bps, kind, time_in_force="0", ms=0, ago=0):
        self.wait(ms)
        order = self.order(pick)
        symbol = order.instrument.symbol
        shares = number(order.cum) if qty == 12 and order.cum else self.quantity(symbol, qty)
        if qty == 13:
            shares = number(order.cum + 10)
        fields = self.order_fields(order.session, kind, order.side, symbol, shares, bps)
        fields |= {35: REPLACE, 1: order.entities["account"], 41: self.named(order, of, pick)}
        fields |= self.in_force(order.session, kind, time_in_force)
        fields |= self.sent_before(ago)
        if order.session == "EMS1":
            fields[116] = order.entities.get("strategy")
            fields[50] = order.entities.get("trader")
        self.send_order(order.session, fields)

    def sent_before(self, ago: float) -> dict:
        """One of the times of a message that was sent some time ago."""
        return {60 if ago * 1_000 % 2 else 122: self.core.utc(ago)} if ago else {}

    def named(self, order: Order, of: str, pick: int) -> str:
        if of == "unknown":
            return "NOSUCH"
        if of == "pending" and order.pending(REPLACE):
            return order.pending(REPLACE)[-1].cl_ord_id
        if of == "any":
            requests = [r for r in order.requests if r.kind != CANCEL]
            return requests[pick % len(requests)].cl_ord_id
        return order.accepted.cl_ord_id

    @precondition(Compared.has_orders)
    @rule(
        pick=st.integers(0, 4),
        of=st.sampled_from(("current", "current", "current", "pending", "any", "unknown")),
        ended=st.booleans(),
    )
    def cancel(self, pick, of, ended):
        self.cancel_order(self.order(pick, only_open=not ended), of, pick)

    def cancel_order(self, order: Order, of: str, pick: int = 0) -> None:
        fields = {35: CANCEL, 11: self.fresh_id(), 38: "10", 41: self.named(order, of, pick), 54: order.side}
        fields |= {55: order.instrument.symbol, 60: self.core.utc(pick * 100)}
        self.send_order(order.session, fields)

    # All orders of an EMS.

    @staticmethod
    def mass_fields(instrument: dict | None, side: str | None) -> dict:
        return (instrument or {}) | ({54: side} if side else {})

    @rule(
        asked=ASKED,
        session=st.sampled_from(("EMS1",) * 6 + ("EMS2",)),
        again=st.sampled_from(("", "", "", "dup", "used")),
        rounds=st.integers(0, 7),
        answers=st.lists(st.sampled_from(("yes", "ack", "no", "8")), max_size=4),
    )
    def cancel_all(self, asked, session, again, rounds, answers):
        """OrderMassCancelRequest, perhaps under a ClOrdID that was used; some of its cancels are answered."""
        used = sorted(cl_ord_id for name, cl_ord_id in self.model.used if name == session)
        cl_ord_id = used[-1] if again and used else self.fresh_id()
        fields = {11: cl_ord_id, 60: self.core.utc(100), 530: asked[0]} | self.mass_fields(*asked[1:])
        self.model.now_ns = self.core.time_ns
        actual = self.core.message(session, "q", sorted(fields.items()), again == "dup")
        self.compare(actual, self.model.mass_cancel(session, fields, again == "dup"))
        self.swept()
        self.agree([], [])
        for round_ in range(rounds):
            for answer in answers[round_ : round_ + 1]:
                self.answer_request(0, answer, tell=True)
            self.later(1_000 if round_ % 2 else 400)

    @rule(
        asked=ASKED,
        session=st.sampled_from(("EMS1",) * 6 + ("EMS2",)),
        account=st.sampled_from((None, None, "ACC1", "ACC2", "ACC9")),
        twice=st.booleans(),
    )
    def ask_all(self, asked, session, account, twice):
        """OrderMassStatusRequest, perhaps a second one before the first is answered."""
        fields = {584: self.fresh_id(), 585: asked[0]} | self.mass_fields(*asked[1:])
        fields |= {1: account} if account else {}
        for _ in range(1 + twice):
            self.model.now_ns = self.core.time_ns
            actual = self.core.message(session, "AF", sorted(fields.items()))
            self.compare(actual, self.model.mass_status(session, fields))
        self.swept()
        self.agree([], [])
