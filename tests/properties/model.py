"""A slow, obvious model of the gateway's order flow: lists, dictionaries and `decimal`, no code of the gateway.

Each method takes one event and returns what the gateway should send, as (session, MsgType, wanted fields). A wanted
field of None must be absent. The key CHECKS holds the names that Text(58) of a reject must list. The child ClOrdID that
the gateway chose is given back with `sent`.
"""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_orders import (
    CANCEL,
    CHECKS,
    NEW,
    REPLACE,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    Request,
    Wanted,
)
from tests.properties.model_recovery import ALERT
from tests.properties.model_reports import Reports

MAX_PENDING_REPLACES = 16
MAX_PENDING_CANCELS = 4
CANCEL_AGAIN_NS = 10 * 10**9  # after which one more passes
MAX_CANCEL_TRIES = 5
SECOND_NS = 10**9


class Model(Reports):
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
        live, _ = self.by_id.get((session, cl_ord_id), (None, None))
        if self.is_answered_again(session, fields, poss_dup):
            return self.answer_again(session, fields, poss_dup)
        fired, j = self.judge(session, fields, self.is_stale(session, fields, again), None)
        if seen:
            fired = fired | {"CL_ORD_ID_REUSE"}
        if fired or j is None:
            if not seen and "MAX_MESSAGES" not in fired:
                self.use(session, cl_ord_id)
            wanted = {11: cl_ord_id, 37: "NONE", 39: "8", 150: "8", 14: "0", 151: "0", 41: None, CHECKS: fired}
            if seen and live is not None:
                wanted |= self.numbers(live)
            return [(session, "8", wanted)]
        request = Request(session, NEW, cl_ord_id, j.qty, state="accepted")
        order = Order(session, j.entities["venue"], j.side, j.instrument, j.entities, [request], request, j.qty)
        self.take_terms_of(request, fields, j)
        self.enter(order)
        self.add(order, request)
        self.accepted.append((self.now_ns, self.fingerprint(j), order))
        carried = {tag: fields.get(tag) for tag in (40, 54, 55)}
        return [(order.venue, "D", {**carried, **self.terms(j), 50: None, 97: None, 116: None})]

    def is_answered_again(self, session: str, fields: Fields, poss_dup: bool) -> bool:
        """Whether a message is a repetition of one that was seen, and says so. One that was refused before it came to
        an order has no state to tell: it is refused again, unless the session layer itself repeats it.
        """
        key = session, fields[11]
        return key in self.used and (poss_dup or (fields.get(97) == "Y" and key in self.by_id))

    def answer_again(self, session: str, fields: Fields, poss_dup: bool) -> list[Wanted]:
        """43=Y: it had its answer. 97=Y: the state of its order."""
        return [] if poss_dup else self.tell(self.by_id[session, fields[11]][0], "I", {11: fields[11]})

    @staticmethod
    def take_terms_of(request: Request, fields: Fields, j: Judgement) -> None:
        request.time_in_force = fields.get(59, "0")
        request.ord_type, request.price = j.ord_type, j.price

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
        elif not order.is_open():
            reason = "0"
        else:
            return [], order, request
        return self.refuse(session, fields, response, reason, order), None, None

    def replace(self, session: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """OrderCancelReplaceRequest."""
        self.arrive(session)
        if self.is_answered_again(session, fields, poss_dup):
            return self.answer_again(session, fields, poss_dup)
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
        request.state, request.qty = "pending", j.qty + order.restated
        self.take_terms_of(request, fields, j)
        self.add(order, request)
        return [(order.venue, "G", {**self.terms(j), 40: fields[40], 41: target.child})]

    def cancel(self, session: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """OrderCancelRequest."""
        self.arrive(session)
        if self.is_answered_again(session, fields, poss_dup):
            return self.answer_again(session, fields, poss_dup)
        answer, order, target = self.target(session, fields, "1")
        if order is None or target is None:
            return answer
        if not self.up[order.venue]:
            return self.refuse(session, fields, "1", "2", order)
        is_soon = self.now_ns - order.cancel_asked_ns < CANCEL_AGAIN_NS
        if sum(not r.ours for r in order.pending(CANCEL)) >= MAX_PENDING_CANCELS and is_soon:
            return self.refuse(session, fields, "1", "3", order)
        order.cancel_asked_ns = self.now_ns
        self.add(order, Request(session, CANCEL, fields[11], D(0)))
        orig = target if (target.kind, target.state) == (REPLACE, "pending") else order.accepted
        return [(order.venue, "F", {54: order.side, 55: order.instrument.symbol, 41: orig.child})]

    def sent(self, child: str) -> None:
        """The request sent on last went out under this ClOrdID."""
        assert self.newest is not None
        self.newest[1].child = child
        self.by_child[child] = self.newest
        self.children.add(child)

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
            if not self.is_killed(order.entities) or not order.is_open() or not due:
                continue
            if order.tries == MAX_CANCEL_TRIES or not self.up[order.venue]:
                continue
            replaces = order.pending(REPLACE) if order.tries % 2 == 0 else []
            orig = replaces[-1] if replaces else order.accepted
            request = Request(order.session, CANCEL, "", D(0), ours=True)
            self.add(order, request)
            order.tries += 1
            order.tried_ns = self.now_ns
            terms = {54: order.side, 55: order.instrument.symbol, 38: order.qty - order.restated, 41: orig.child}
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
