"""A slow, obvious model of the gateway's order flow: lists, dictionaries and `decimal`, no code of the gateway.

Each method takes one event and returns what the gateway should send, as (session, MsgType, wanted fields). A wanted
field of None must be absent. The key CHECKS holds the names that Text(58) of a reject must list. The child ClOrdID that
the gateway chose is given back with `sent`.
"""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_checks import FIRST_NS
from tests.properties.model_orders import (
    CANCEL,
    CHECKS,
    NEW,
    REASONS,
    REPLACE,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    Request,
    Wanted,
    legal_number,
    said_in,
)
from tests.properties.model_sweeps import Sweeps
from tests.properties.model_tables import ALERT

MAX_PENDING_REPLACES = 16
MAX_PENDING_CANCELS = 4
CANCEL_AGAIN_NS = 10 * 10**9  # after which one more passes


class Model(Sweeps):
    """The gateway as the documents tell it."""

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
            if seen:
                self.had_answer.add((session, cl_ord_id))
            elif "MAX_MESSAGES" not in fired:
                self.use(session, cl_ord_id)
            reason = next((code for check, code in REASONS.items() if check in fired), "0")
            wanted = {11: cl_ord_id, 37: "NONE", 39: "8", 150: "8", 14: "0", 151: "0", 41: None, CHECKS: fired}
            wanted[103] = reason
            if seen and live is not None:
                wanted |= self.numbers(live)
            return [(session, "8", wanted)]
        request = Request(session, NEW, cl_ord_id, j.qty, state="accepted")
        order = Order(session, j.entities["venue"], j.side, j.instrument, j.entities, [request], request, j.qty)
        self.take_from_exit(j, order)
        self.take_terms_of(request, j)
        self.enter(order)
        self.add(order, request)
        self.unnamed.append((order, request))
        self.accepted.append((self.now_ns, self.fingerprint(j), order))
        carried = {tag: fields.get(tag) for tag in (18, 54, 55, 211)}
        return [self.to_venue(order.venue, "D", {**carried, **self.terms(j), 50: None, 97: None, 116: None})]

    def is_answered_again(self, session: str, fields: Fields, poss_dup: bool) -> bool:
        """Whether a message is a repetition of one that was seen, and says so. One that was refused before it came to
        an order has no state to tell: its sender has the answer.
        """
        key = session, fields[11]
        known = key in self.by_id or key in self.had_answer
        return key in self.used and (poss_dup or (fields.get(97) == "Y" and known))

    def answer_again(self, session: str, fields: Fields, poss_dup: bool) -> list[Wanted]:
        """43=Y: it had its answer. 97=Y: the state of its order, of a refused replace the refusal."""
        order, request = self.by_id.get((session, fields[11]), (None, None))
        if poss_dup or order is None or request is None:
            return []
        if request.state != "rejected":
            return self.tell(order, "I", self.asked_by(order, request))
        highest, other = (6, "99") if self.version(session) == "FIX.4.4" else (3, "2")
        reason = request.reason if int(request.reason) <= highest else other
        return self.refuse(session, fields, "2", reason, order)

    @staticmethod
    def take_terms_of(request: Request, j: Judgement) -> None:
        request.time_in_force = j.time_in_force
        request.ord_type, request.price, request.stop = j.ord_type, j.price, j.stop

    def terms(self, j: Judgement) -> dict[int, object]:
        """Type, time, quantity and prices of a child: as judged, in its venue's words, and only what its type uses."""
        said = said_in(self.version(j.entities["venue"]), j.ord_type, j.time_in_force)
        return {**said, 38: j.qty, 44: j.price or None, 99: j.stop or None}

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
        elif not order.is_open() and not (response == "2" and self.opens_again(order, fields)):
            reason = "0"
        else:
            return [], order, request
        return self.refuse(session, fields, response, reason, order), None, None

    @staticmethod
    def opens_again(order: Order, fields: Fields) -> bool:
        """Whether a replace asks for more than has filled of an order that has."""
        wanted = legal_number(fields[38])
        filled = not order.closed and not order.day_over and order.cum >= order.qty
        return filled and wanted is not None and wanted + order.restated > order.cum

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
        waits = order.mass_canceled and order.tries == 0  # its venue has yet to be asked to cancel it
        if waits or len(order.pending(REPLACE)) >= MAX_PENDING_REPLACES:
            request.reason = "3"
            self.add(order, request)
            return self.refuse(session, fields, "2", "3", order)
        fired, j = self.judge(session, fields, False, order)
        if fired or j is None:
            self.add(order, request)
            return self.refuse(session, fields, "2", "2", order, fired)
        if not order.is_open() or order.mass_canceled:  # it has filled, or is to work on
            order.reducing = order.reducing and order.is_open()
            order.mass_canceled, order.mass_cancel, order.tries = False, "", 0
        self.take_from_exit(j, order)
        request.state, request.qty = "pending", j.qty + order.restated
        self.take_terms_of(request, j)
        self.add(order, request)
        self.unnamed.append((order, request))
        carried = {tag: fields.get(tag) for tag in (18, 211)}
        return [self.to_venue(order.venue, "G", {**carried, **self.terms(j), 41: target.child})]

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
        theirs = [r for r in order.pending(CANCEL) if not r.ours]
        is_soon = self.now_ns - order.cancel_asked_ns < CANCEL_AGAIN_NS or any(r.unsent for r in theirs)
        if len(theirs) >= MAX_PENDING_CANCELS and is_soon:
            return self.refuse(session, fields, "1", "3", order)
        request = Request(session, CANCEL, fields[11], D(0))
        self.add(order, request)
        orig = target if (target.kind, target.state) == (REPLACE, "pending") else order.accepted
        if not self.takes_cancel(order):
            request.unsent = orig
            self.turns[order.venue] = FIRST_NS
            return []
        order.cancel_asked_ns = self.now_ns
        return [self.send_cancel(order, request, orig)]

    # Everything else.

    def adjust(self, symbol: str, by: Decimal, entities: dict[str, str]) -> list[Wanted]:
        """A person adds to the positions of the firm, the instrument, whoever is named, and a strategy's class."""
        if "strategy" in entities:
            entities = entities | {"class": self.class_of[entities["strategy"]]}
        for scope, name in {"firm": "", "instrument": symbol, **entities}.items():
            self.positions[scope, name, symbol] = self.position(scope, name, symbol) + by
        return [ALERT]

    def status(self, session: str, fields: Fields) -> list[Wanted]:
        """OrderStatusRequest of an EMS."""
        self.arrive(session)
        is_44 = self.version(session) == "FIX.4.4"
        order, request = self.by_id.get((session, fields[11]), (None, None))
        if order is None or request is None:
            wanted: dict[int, object] = {11: fields[11], 37: "NONE", 39: "8", 103: "5", 14: "0", 151: "0"}
            return [(session, "8", wanted | ({150: "I", 20: None} if is_44 else {150: "8", 20: "3"}))]
        return self.tell(order, "I", self.asked_by(order, request))

    @staticmethod
    def asked_by(order: Order, request: Request) -> dict[int, object]:
        """How a status names what it was asked for: one that was replaced in OrigClOrdID(41)."""
        if request.state == "accepted" and request.kind != CANCEL and request is not order.accepted:
            return {11: order.accepted.cl_ord_id, 41: request.cl_ord_id}
        if request.state == "rejected":
            return {11: order.accepted.cl_ord_id, 41: None}
        return {11: request.cl_ord_id}

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
