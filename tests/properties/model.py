"""A slow, obvious model of the gateway's order flow: lists, dictionaries and `decimal`, no code of the gateway.

Each method takes one event and returns what the gateway should send, as (session, MsgType, wanted fields). A wanted
field of None must be absent. The key CHECKS holds the names that Text(58) of a reject must list. The child ClOrdID that
the gateway chose is given back with `sent`.
"""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_orders import (
    BUY,
    CANCEL,
    CHECKS,
    CLOSING,
    NEW,
    POSITION_SCOPES,
    REPLACE,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    Request,
    Wanted,
)
from tests.properties.model_recovery import ALERT, Execution, Recovery

NOTHING = D(0)
MAX_PENDING_REPLACES = 16
MAX_CANCEL_TRIES = 5
SECOND_NS = 10**9


class Model(Recovery):
    """The gateway as the documents tell it."""

    def arrive(self, session: str) -> None:
        """Count a message of an EMS."""
        self.count_message("session", session)
        self.count_message("firm", "")

    def use(self, session: str, cl_ord_id: str) -> None:
        """A ClOrdID is kept."""
        self.used.add((session, cl_ord_id))
        self.take_row()

    def take_row(self) -> None:
        """A request takes the row of the cancel refused last, whose child nobody knows any more."""
        if self.freed:
            forgotten = self.freed.pop()
            if forgotten is not None:
                self.by_child.pop(forgotten.child)

    def add(self, order: Order, request: Request) -> None:
        """Enter a request, sent on or refused."""
        if request.kind != NEW:
            order.requests.append(request)
        request.looked_at = bool(self.freed) and order.venue in self.asked
        self.take_row()
        if not request.ours:
            self.used.add((request.session, request.cl_ord_id))
            self.by_id[request.session, request.cl_ord_id] = order, request
        self.newest = order, request

    def new(self, session: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """NewOrderSingle."""
        self.arrive(session)
        cl_ord_id = fields[11]
        seen = (session, cl_ord_id) in self.used
        again = poss_dup or fields.get(97) == "Y"
        if seen and again:
            return []
        fired, j = self.judge(session, fields, self.is_stale(session, fields, again), None)
        if seen:
            fired = fired | {"CL_ORD_ID_REUSE"}
        if fired or j is None:
            if not seen and "MAX_MESSAGES" not in fired:
                self.use(session, cl_ord_id)
            wanted = {11: cl_ord_id, 37: "NONE", 39: "8", 150: "8", 14: "0", 151: "0", 41: None, CHECKS: fired}
            return [(session, "8", wanted)]
        request = Request(session, NEW, cl_ord_id, j.qty, state="accepted")
        order = Order(session, j.entities["venue"], j.side, j.instrument, j.entities, [request], request, j.qty)
        request.day_only = fields.get(59, "0") == "0"
        self.enter(order)
        self.add(order, request)
        self.accepted.append((self.now_ns, self.fingerprint(j), order))
        carried = {tag: fields.get(tag) for tag in (40, 54, 55)}
        return [(order.venue, "D", {**carried, **self.terms(j), 50: None, 97: None, 116: None})]

    @staticmethod
    def terms(j: Judgement) -> dict[int, object]:
        """Quantity and prices of a child: as judged, and only those that its type uses."""
        price = j.price if j.ord_type in "24" else None
        return {38: j.qty, 44: price, 99: j.stop if j.ord_type in "34" else None}

    def refuse(
        self, session: str, fields: Fields, response: str, reason: str, order: Order | None, checks=()
    ) -> list[Wanted]:
        """OrderCancelReject of ours."""
        wanted: dict[int, object] = {11: fields[11], 434: response, 102: reason}
        if order is None:
            wanted |= {37: "NONE", 39: "8", 41: fields[41]}
        else:
            wanted |= {37: order.order_id, 39: order.status(self.version(session)), 41: order.accepted.cl_ord_id}
        if checks:
            wanted[CHECKS] = set(checks)
        return [(session, "9", wanted)]

    def target(self, session: str, fields: Fields, response: str) -> tuple[list[Wanted], Order | None, Request | None]:
        """The open order and the request of it that a G or F names in 41, or why there is none."""
        order, request = self.by_id.get((session, fields[41]), (None, None))
        if (session, fields[11]) in self.used:
            reason = "6" if self.version(session) == "FIX.4.4" else "2"
        elif order is None:
            reason = "1"
        elif order.reserved() == 0:
            reason = "0"
        else:
            return [], order, request
        return self.refuse(session, fields, response, reason, order), None, None

    def replace(self, session: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """OrderCancelReplaceRequest."""
        self.arrive(session)
        if (session, fields[11]) in self.used and (poss_dup or fields.get(97) == "Y"):
            return []
        answer, order, target = self.target(session, fields, "2")
        if order is None or target is None:
            return answer
        request = Request(session, REPLACE, fields[11], D(0), state="rejected")
        if target is not order.accepted and (target.kind, target.state) != (REPLACE, "pending"):
            self.add(order, request)
            return self.refuse(session, fields, "2", "2", order)
        if len(order.pending(REPLACE)) >= MAX_PENDING_REPLACES:
            self.add(order, request)
            return self.refuse(session, fields, "2", "3", order)
        fired, j = self.judge(session, fields, False, order)
        if fired or j is None:
            self.add(order, request)
            return self.refuse(session, fields, "2", "2", order, fired)
        request.state, request.qty, request.day_only = "pending", j.qty, fields.get(59, "0") == "0"
        self.add(order, request)
        return [(order.venue, "G", {**self.terms(j), 40: fields[40], 41: target.child})]

    def cancel(self, session: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """OrderCancelRequest."""
        self.arrive(session)
        if (session, fields[11]) in self.used and (poss_dup or fields.get(97) == "Y"):
            return []
        answer, order, target = self.target(session, fields, "1")
        if order is None or target is None:
            return answer
        if not self.up[order.venue]:
            return self.refuse(session, fields, "1", "2", order)
        self.add(order, Request(session, CANCEL, fields[11], D(0)))
        orig = target if (target.kind, target.state) == (REPLACE, "pending") else order.accepted
        return [(order.venue, "F", {54: order.side, 55: order.instrument.symbol, 41: orig.child})]

    def sent(self, child: str) -> None:
        """The request sent on last went out under this ClOrdID."""
        assert self.newest is not None
        self.newest[1].child = child
        self.by_child[child] = self.newest
        self.children.add(child)

    # Reports from a venue.

    def find_child(self, venue: str, fields: Fields) -> tuple[Order | None, Request | None]:
        """The order and request that ClOrdID(11) names, else OrigClOrdID(41)."""
        for tag in (11, 41):
            order, request = self.by_child.get(fields.get(tag, ""), (None, None))
            if order is not None and order.venue == venue:
                return order, request
        return None, None

    def kind_of(self, venue: str, fields: Fields) -> str:
        """ExecType as in FIX 4.4, of either version."""
        kind = {"1": "F", "2": "F"}.get(fields[150], fields[150])
        if self.version(venue) == "FIX.4.2":
            kind = {"1": "H", "2": "G", "3": "I"}.get(fields.get(20, "0"), kind)
        return kind

    def report(self, venue: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """ExecutionReport."""
        order, request = self.find_child(venue, fields)
        kind = self.kind_of(venue, fields)
        key = venue, None if order is None else int(order.order_id.partition("-")[2]), fields[17]
        if kind != "I":
            if key in self.seen:
                return [ALERT] if order is None else self.repeated(order, fields)
            self.seen.add(key)
        if order is None or request is None:
            of_old = fields[11] in self.children and fields[11] not in self.by_child
            if kind == "F" and not (poss_dup and of_old):
                self.book_unknown(fields)
            return [ALERT]
        if kind == "I" and self.tells_of_doubt(order, request, fields):
            return self.answered(order, request, fields)
        order.heard = True
        if kind == "F":
            return self.fill(order, key, fields)
        if kind in ("H", "G"):
            return self.bust(order, key, fields, kind)
        if kind == "I":
            alerts = self.take_status(order, fields)
            return alerts + self.tell(order, kind, self.ids(order, request, fields[150]))
        return self.change(order, request, fields, kind)

    def repeated(self, order: Order, fields: Fields) -> list[Wanted]:
        """Only a CumQty that tells of more counts, and none once a bust took something away."""
        before = order.cum
        if not order.corrected:
            self.learn(order, fields)
        return [ALERT] if order.cum != before else []

    def book_unknown(self, fields: Fields) -> None:
        qty = D(fields[32]) if fields[54] == BUY else -D(fields[32])
        account = fields.get(1)
        for scope, name in (("firm", ""), ("instrument", fields[55]), *([("account", account)] if account else [])):
            key = scope, name, fields[55]
            self.positions[key] = self.position(*key) + qty

    def learn(self, order: Order, fields: Fields, fills: Decimal = NOTHING) -> None:
        """Count a fill and CumQty(14); positions follow."""
        before = order.cum
        order.fills += fills
        order.told = max(order.told, D(fields.get(14, "0")))
        self.move(order, order.cum - before)

    def open_again(self, order: Order, fields: Fields) -> bool:
        """Whether the venue says that the order works; a closed one is open then."""
        works = D(fields.get(151, "0")) > 0 and fields[39] not in CLOSING
        if works and order.closed:
            order.closed, order.done_for_day, order.is_acknowledged = "", False, True
        return works

    def take_status(self, order: Order, fields: Fields) -> list[Wanted]:
        """A status of an order that is sure: a missed fill counts, and that it is closed is looked into."""
        before = order.cum
        self.open_again(order, fields)
        if not order.corrected:
            self.learn(order, fields)
        alerts = [ALERT] if order.cum != before else []
        alerts += self.keep_open(order, fields)
        return alerts + (self.ask_about_closed(order) if fields[39] in ("4", "C", "2") else [])

    def keep_open(self, order: Order, fields: Fields) -> list[Wanted]:
        """An order done by our count is open while the venue says so, but for what comes late."""
        told = D(fields.get(151, "0"))
        if told <= 0 or order.closed or order.reserved() > 0:
            return []
        if D(fields.get(14, "0")) + told <= order.cum and order.told >= order.cum:
            return []
        order.qty = order.cum + told
        order.doubt = 0  # nothing was, of an order that was done
        return [ALERT]

    def fill(self, order: Order, key: Execution, fields: Fields) -> list[Wanted]:
        works = self.open_again(order, fields)
        if works and fields[39] != "3":
            order.done_for_day = False
        self.executions[key] = D(fields[32])
        order.is_acknowledged = True
        self.learn(order, fields, D(fields[32]))
        if order.reserved() > 0 and fields.get(151) == "0":
            if fields[39] in CLOSING:
                order.closed = fields[39]
            elif fields[39] == "2" and D(fields.get(14, "0")) == order.cum:
                order.qty = order.cum
        alerts = self.keep_open(order, fields)
        alerts += [ALERT] if order.cum > order.qty else []
        return alerts + self.tell(order, "F", {32: fields[32], 31: fields[31]})

    def bust(self, order: Order, key: Execution, fields: Fields, kind: str) -> list[Wanted]:
        """A bust takes an execution away, a correction changes its quantity, or with no LastQty only its price."""
        old_key = (*key[:2], fields[19])
        old_key = self.corrects.get(old_key, old_key)
        old = self.executions.get(old_key)
        if old is None:
            return [ALERT]
        if kind == "G" and not fields.get(32, "0").replace(".", "").isdigit():
            self.fault = True
            return [ALERT]
        qty = D(fields.get(32, old)) if kind == "G" else D(0)
        self.executions[old_key] = qty
        if kind == "G":
            self.corrects[key] = old_key
        before = order.cum
        order.corrected = True
        order.fills += qty - old
        order.told = max(D(0), order.told + qty - old)
        order.told = max(order.told, D(fields.get(14, "0")))
        self.move(order, order.cum - before)
        return self.tell(order, kind, {32: qty if kind == "G" else old})

    def change(self, order: Order, request: Request, fields: Fields, kind: str) -> list[Wanted]:
        """Every report that is not about an execution."""
        if kind == "8" and request.kind != NEW:
            if request.state == "pending":
                return self.drop_request(order, request, "2")
            if request is not order.accepted:
                return [ALERT]
        self.learn(order, fields)
        works = self.open_again(order, fields)
        if works and kind in CLOSING:
            return [ALERT, *self.keep_open(order, fields), *self.tell(order, "I", {})]
        wanted = self.ids(order, request, kind)
        if kind in ("0", "D"):
            order.is_acknowledged = True
            if works or 151 not in fields and fields[39] in ("0", "1"):
                order.closed, order.done_for_day = "", False
        elif kind in ("6", "E") and request.state == "pending":
            request.acknowledged = not request.ours
        elif kind == "5":
            wanted |= self.replaced(order, request)
        elif kind == "3":
            order.done_for_day = True
        elif kind in CLOSING:
            order.closed = kind
            if request.kind == CANCEL and request.state == "pending":
                request.state = "accepted"
        alerts = self.keep_open(order, fields)
        return alerts if request.ours and kind == "6" else alerts + self.tell(order, kind, wanted)

    @staticmethod
    def ids(order: Order, request: Request, kind: str) -> dict[int, object]:
        """11 and 41 of a report: the request's and the order's when it is about a request, else only the order's."""
        if request.ours:
            return {11: order.accepted.cl_ord_id, 41: None}
        if kind in ("6", "E") or kind == "4" and request.kind == CANCEL:
            orig = None if request is order.accepted else order.accepted.cl_ord_id
            return {11: request.cl_ord_id, 41: orig}
        return {11: order.accepted.cl_ord_id, 41: None}

    @staticmethod
    def replaced(order: Order, request: Request) -> dict[int, object]:
        """A replace is in force; one that was answered before says nothing new."""
        wanted: dict[int, object] = {}
        if request.kind == REPLACE and request.state == "pending":
            wanted = {11: request.cl_ord_id, 41: order.accepted.cl_ord_id}
            request.state = "accepted"
            order.accepted = request
            order.qty = request.qty
        order.replaced = order.is_acknowledged = True
        order.done_for_day = False
        if not order.closed:
            order.qty = max(order.qty, order.cum)
        return wanted

    def tell(self, order: Order, kind: str, wanted: dict[int, object]) -> list[Wanted]:
        """The report to the EMS, of the order as it is now."""
        version = self.version(order.session)
        told: dict[int, object] = {11: order.accepted.cl_ord_id, 41: None, 150: kind}
        if version == "FIX.4.2":
            told[20] = {"H": "1", "G": "2", "I": "3"}.get(kind, "0")
            if kind in ("H", "G"):
                del told[150]
            elif kind == "I":
                told[150] = order.status(version)
            elif kind == "F":
                told[150] = "2" if order.base_status(version) == "2" else "1"
        return [(order.session, "8", told | wanted | self.numbers(order))]

    def move(self, order: Order, change: Decimal) -> None:
        signed = change if order.side == BUY else -change
        for scope in POSITION_SCOPES:
            if scope in order.entities:
                key = (scope, order.entities[scope], order.instrument.symbol)
                self.positions[key] = self.position(*key) + signed

    def numbers(self, order: Order) -> dict[int, object]:
        return {
            37: order.order_id,
            39: order.status(self.version(order.session)),
            14: order.cum,
            151: order.leaves(),
            38: order.qty,
        }

    def cancel_reject(self, venue: str, fields: Fields) -> list[Wanted]:
        """OrderCancelReject of a venue."""
        order, request = self.by_child.get(fields[11], (None, None))
        if order is None or request is None or order.venue != venue or request.state != "pending":
            return [ALERT]
        answer = self.drop_request(order, request)
        return answer + (self.ask_about_closed(order) if fields[39] in (*CLOSING, "2") else [])

    def drop_request(self, order: Order, request: Request, reason: str | None = None) -> list[Wanted]:
        request.state = "rejected"
        if request.ours:
            self.freed.append(request)
            return [ALERT]
        if request.kind == CANCEL:
            self.used.discard((order.session, request.cl_ord_id))
            self.by_id.pop((order.session, request.cl_ord_id))
            self.freed.append(request)
        response = "2" if request.kind == REPLACE else "1"
        wanted: dict[int, object] = {11: request.cl_ord_id, 41: order.accepted.cl_ord_id, 37: order.order_id}
        wanted |= {39: order.status(self.version(order.session)), 434: response}
        if reason is not None:
            wanted[102] = reason
        return [(order.session, "9", wanted)]

    def undelivered(self, child: str, is_inferred: bool = False) -> list[Wanted]:
        """The venue never had a child, or refused its message; what is only inferred ends no doubt."""
        order, request = self.by_child[child]
        if is_inferred and order.doubt >= 2:
            return [ALERT]
        if request.kind != NEW:
            return self.drop_request(order, request, "2") if request.state == "pending" else []
        if not order.never_acknowledged():
            return [ALERT] if order.reserved() > 0 else []
        order.closed = "8"
        return self.tell(order, "8", {})

    def business_reject(self, venue: str, child: str) -> list[Wanted]:
        """BusinessMessageReject of a venue, for the child that 379 names."""
        order, _ = self.by_child.get(child, (None, None))
        return [ALERT] if order is None or order.venue != venue else self.undelivered(child)

    # What the gateway cancels of its own accord.

    def kill(self, scope: str, name: str, on: bool) -> list[Wanted]:
        """A switch is set or released; what it cancels is up to `sweep`."""
        if not on:
            self.killed.discard((scope, name))
            return [ALERT]
        self.killed.add((scope, name))
        if self.is_any_open():
            for order in self.orders:
                order.tries = 0
        return [ALERT]

    def sweep(self) -> list[tuple[Order, Request, Wanted]]:
        """A cancel for each open order that is killed and was not canceled within the last second, five times."""
        found = []
        for order in sorted(self.orders, key=lambda o: o.row):
            due = order.tries == 0 or self.now_ns - order.tried_ns >= SECOND_NS
            if not self.is_killed(order.entities) or order.reserved() == 0 or not due:
                continue
            if order.tries == MAX_CANCEL_TRIES or not self.up[order.venue]:
                continue
            replaces = order.pending(REPLACE) if order.tries % 2 == 0 else []
            orig = replaces[-1] if replaces else order.accepted
            request = Request(order.session, CANCEL, "", D(0), ours=True)
            self.add(order, request)
            order.tries += 1
            order.tried_ns = self.now_ns
            terms = {54: order.side, 55: order.instrument.symbol, 38: order.qty, 41: orig.child}
            found.append((order, request, (order.venue, "F", terms)))
        return found

    # Everything else.

    def status(self, session: str, fields: Fields) -> list[Wanted]:
        """OrderStatusRequest of an EMS."""
        self.arrive(session)
        is_44 = self.version(session) == "FIX.4.4"
        order, request = self.by_id.get((session, fields[11]), (None, None))
        if order is None or request is None:
            wanted: dict[int, object] = {11: fields[11], 37: "NONE", 39: "8", 103: "5", 14: "0", 151: "0"}
            return [(session, "8", wanted | ({150: "I", 20: None} if is_44 else {150: "8", 20: "3"}))]
        return self.tell(order, "I", {11: fields[11]})

    @staticmethod
    def is_believed(instrument: Instrument, price: Decimal) -> bool:
        """A price of more than twice the last one, or less than half, is believed when the next says the same."""
        before = instrument.reference() or instrument.previous_close
        near = not before or not price or before / 2 <= price <= before * 2
        told = instrument.unconfirmed
        is_same = told > 0 and abs(price - told) <= told / 10
        instrument.unconfirmed = D(0) if near or is_same else price
        return near or is_same

    def quote(self, symbol: str, bid: Decimal, ask: Decimal, last: Decimal) -> bool:
        """A quote now; crossed and negative ones are left aside, and those that are far off. Whether it was taken."""
        if min(bid, ask, last) < 0 or (bid > ask > 0):
            return False
        instrument = self.instruments[symbol]
        if not self.is_believed(instrument, (bid + ask) / 2 if bid > 0 and ask > 0 else last):
            return False
        instrument.bid, instrument.ask = bid, ask
        if last > 0:
            instrument.last = last
            instrument.last_ns = self.now_ns
        if max(bid, ask, last) > 0:
            instrument.quote_ns = self.now_ns
        return True

    def snapshot(self, venue: str, symbol: str, bid: Decimal, ask: Decimal, last: Decimal) -> bool:
        """35=W counts from the instrument's own venue, where market data is on. Whether it was left aside."""
        if self.sessions[venue].get("market_data") and self.instruments[symbol].venue == venue:
            return not self.quote(symbol, bid, ask, last)
        return False

    def all_open_orders(self) -> dict[tuple[str, str], int]:
        """Open orders of every entity that ever had one."""
        entities = {(s, n) for o in self.orders for s, n in o.entities.items()}
        return {e: self.open_orders(*e) for e in entities}
