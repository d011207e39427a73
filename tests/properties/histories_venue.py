"""What a venue and the market do in the random histories."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from gateway.core import events as ev
from tests.properties.histories import D, number
from tests.properties.histories_ems import FromEms
from tests.properties.model_config import MIDDLE
from tests.properties.model_orders import CANCEL, REPLACE, Order, Request
from tests.properties.model_tables import ALERT

# What a venue says: a kind of report, CumQty and LeavesQty against what is counted, OrdStatus, and whether OrderQty.
SAYING = st.tuples(
    st.sampled_from("FFFFFFIDHG0453"),
    st.sampled_from(("count", "count", "count", "less", "less", "more", "none")),
    st.sampled_from(("sum", "sum", "count", "same", "0", "more")),
    st.sampled_from("1111024"),
    st.booleans(),
)
LEAVES = st.sampled_from(("0", "0", "0", "0", "1", "10", None))


class FromVenue(FromEms):
    """Reports that are plausible or not, quotes, and time that passes."""

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

    @precondition(FromEms.has_orders)
    @rule(pick=st.integers(0, 4), exec_type=st.sampled_from("000AD"), tell=st.booleans(), works=st.booleans())
    def acknowledge(self, pick, exec_type, tell, works):
        order = self.order(pick)
        self.send_report(order, order.requests[0].child, exec_type, tell, t151="10" if works else "0")

    @precondition(FromEms.has_orders)
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
    def bust_or_correct(self, pick, tell, to, leaves="0"):
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
        more = {"t19": exec_id, "t32": number(corrected or qty), "t31": "100", "exec_id": correction, "t151": leaves}
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

    @precondition(FromEms.has_orders)
    @rule(pick=st.integers(0, 4), exec_type=st.sampled_from("4433BC8"), tell=st.booleans(), leaves=LEAVES)
    def end(self, pick, exec_type, tell, leaves="0"):
        """Canceled, done for day, calculated, expired, rejected: unasked, and perhaps not meant."""
        order = self.order(pick)
        self.send_report(order, order.accepted.child, exec_type, tell, t151=leaves)

    def a_pending(self, pick: int) -> tuple[Order, Request] | None:
        found = [(o, r) for o in self.model.orders for r in o.requests if r.state == "pending" and r.child]
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
            wanted = self.model.cancel_reject(order.venue, {11: request.child, 39: status, 102: "0"})
            actual = self.core.cancel_reject(
                request.child, order.accepted.child, response, status=status, session=order.venue
            )
            self.agree(actual, wanted)
        elif answer == "8":
            self.send_report(order, request.child, "8", tell, status=status, t151="10" if status in "01" else "0")
        else:
            kinds = {(REPLACE, "ack"): "E", (REPLACE, "yes"): "5", (CANCEL, "ack"): "6", (CANCEL, "yes"): "4"}
            self.send_report(order, request.child, kinds[request.kind, answer], tell, t151=leaves)

    @precondition(FromEms.has_orders)
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
        given_back = [self.model.table[row].child for row in self.model.free]
        children = list(self.model.by_child) + [child for child in given_back if child in self.model.by_child]
        child = children[-1 - pick % len(children)]
        order, _ = self.model.by_child[child]
        more = {"t151": {True: "10", False: "0", None: None}[works], "t41": child if named == "41" else None}
        if named == "neither" or other == "id":
            more["t37"] = f"W{pick}" if named == "neither" else f"V{order.order_id}-{pick}"
        elsewhere = [o.venue_order_id for o in self.model.orders if o.venue == order.venue and o is not order]
        if other == "id" and pick % 2 and elsewhere:
            more["t37"] = elsewhere[pick % len(elsewhere)] or None
        if named == "37" and pick % 3 == 0:
            more["t1"] = ("ACC1", "ACC4", "ACC9")[pick // 3 % 3]
        if again == "resend":
            more |= {"t97": "Y", "t14": None if pick % 2 and restated is None else "0"}
        if other == "side":
            more["t54"] = "1" if order.side != "1" else "2"
        elif other == "symbol":
            more["t55"] = "AAPL" if order.instrument.symbol != "AAPL" else "MSFT"
        if exec_type == "F":
            more |= {"t32": size, "t31": "100", "t1": (None, "ACC1", "ACC3")[pick % 3]}
            self.trade(order, D(1))
        elif restated is not None:
            cum, leaves = order.cum * restated, order.leaves() * restated
            more |= {"t14": number(cum), "t38": number(cum + leaves), "t151": number(leaves) if works else more["t151"]}
        child = child if named == "11" else "C1-999999"
        self.send_report(order, child, exec_type, tell, poss_dup=again == "dup", status=status, **more)

    @precondition(FromEms.has_orders)
    @rule(pick=st.integers(0, 4), how=st.sampled_from(("lost", "inferred", "j", "j elsewhere", "any j")))
    def never_delivered(self, pick, how):
        """A child that its venue never had, or refuses by BusinessMessageReject."""
        order = self.order(pick)
        if how == "any j":
            request = order.requests[pick % len(order.requests)]
        elif len(order.requests) == 1 and order.is_open():
            request = order.requests[0]
        elif order.all_pending():
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

    # The market, the clock.

    @rule(
        symbol=st.sampled_from(tuple(MIDDLE)),
        bid=st.sampled_from((-100, -10, 0, 10, None)),
        spread=st.sampled_from((0, 5, 20, 35, 115, 130, -5, None)),
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
            self.quote("NQZ6", 0, 10, None)
            self.quote("SPY", -10, 20, 10)
        for k in range(orders):
            symbol = ("AAPL", "ESZ6", "MSFT", "AAPL", "AAPL")[k]
            self.new_order("EMS2" if k == 3 else "EMS1", "2", "12112"[k], symbol, 3, 0, 2 * (k % 4), 0)
            self.acknowledge(0, "0", False, True)
        for saying in says if self.has_orders() else ():
            self.say(self.order(0), *saying)
