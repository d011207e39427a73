"""What the model does when a run begins and a venue logs on: doubts about orders, questions, answers."""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_checks import FIRST_NS
from tests.properties.model_orders import CLOSING, NEW, QUERIED, REPLACE, D, Fields, Order, Request, Wanted
from tests.properties.model_postures import Postures
from tests.properties.model_tables import ALERT

STOPPED, CRASHED, REBOOTED = range(3)
PATIENCE_NS = 60 * 10**9
ASK_AGAIN_NS = 10 * 10**9


class Recovery(Postures):
    """What is not known of the orders in the tables."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        super().__init__(config, limits, instruments, now_ns)
        self.reset: set[str] = set()  # venues whose numbers began anew at the last logon
        self.subscribed: set[str] = set()
        self.asked: dict[str, int] = {}  # by venue: up to which row it has been asked about what is in doubt
        self.since_ns = dict.fromkeys(self.sessions, now_ns)  # the last logon
        self.told: set[str] = set()  # venues that left something open for too long since then

    def venues(self) -> list[str]:
        return [name for name, section in self.sessions.items() if section["role"] == "initiator"]

    def is_any_open(self) -> bool:
        return any(o.is_open() for o in self.orders)

    def settle(self) -> None:
        """Of an order that is not open nothing is in doubt, nor of one that only waited for its venue's answer."""
        for order in self.orders:
            self.settle_one(order)

    def settle_one(self, order: Order) -> None:
        is_answered = order.doubt == 2 and order.venue not in self.recovering and not order.waits()
        if not order.is_open() or is_answered:
            order.doubt = 0

    # Runs and sessions.

    def start(self, ended: int) -> None:
        """A new run begins after the last one was stopped, crashed, or went down with its machine."""
        self.run += 1
        self.up = dict.fromkeys(self.sessions, False)
        self.lists = {}
        for order in self.orders:
            order.listed = False
        if ended == REBOOTED:
            self.known_since_ns = self.now_ns - self.began_ns
            for instrument in self.instruments.values():
                instrument.quote_ns = instrument.last_ns = None
        if ended == STOPPED:
            return
        self.recovering = set(self.venues())
        for order in self.orders:
            self.raise_doubt(order, 2 if ended == REBOOTED and order.waits() else 1)

    @staticmethod
    def raise_doubt(order: Order, doubt: int) -> None:
        if order.doubt == QUERIED and doubt in (1, QUERIED):
            return  # the question stands
        if order.is_open() and doubt > 0 and order.doubt == QUERIED:
            order.doubt, order.unanswered = 3, 0
        elif order.is_open() and doubt > order.doubt:
            order.doubt, order.unanswered = doubt, 0

    def logon(self, venue: str, reset: bool) -> None:
        """A venue is up; what is in doubt will be asked anew."""
        self.up[venue] = True
        self.subscribed.discard(venue)
        self.asked[venue] = 0
        self.told.discard(venue)
        self.since_ns[venue] = self.now_ns
        (self.reset.add if reset else self.reset.discard)(venue)
        if self.is_any_open():
            self.turns[venue] = FIRST_NS
        for order in self.orders:
            if order.venue == venue:
                order.unanswered = 0
                if self.is_any_open():
                    order.tries = 0
                if reset:
                    self.raise_doubt(order, 3)

    def synced(self, venue: str) -> list[Wanted]:
        """A venue has sent again all that we missed, unless its numbers began anew."""
        self.recovering.discard(venue)
        if venue not in self.reset:
            for order in self.doubts(venue):
                if order.waits() and order.doubt != QUERIED:
                    self.raise_doubt(order, 2)
                elif order.doubt < 3:
                    order.doubt = 0
        return self.complain(venue) if self.doubts(venue) and not self.takes_status(venue) else []

    def complain(self, venue: str) -> list[Wanted]:
        """Once since the logon: an alert, and all questions anew."""
        if venue in self.told:
            return []
        self.told.add(venue)
        self.asked[venue] = 0
        for order in self.orders:
            if order.venue == venue:
                order.unanswered = 0
        return [ALERT]

    def ask_about_closed(self, order: Order) -> list[Wanted]:
        """The venue says in passing that an open order has ended: an alert, and it is asked where it can be asked."""
        if not order.is_open():
            return []
        if self.takes_status(order.venue) and order.doubt < 3:
            self.settle_one(order)
            if not self.doubts(order.venue):
                self.told.discard(order.venue)
                self.since_ns[order.venue] = self.now_ns
            self.raise_doubt(order, 3 if order.doubt else QUERIED)
            self.asked[order.venue] = 0
        return [ALERT]

    def ask_now(self, order: Order) -> list[Wanted]:
        """A question about an order that is not clear, for which nothing waits; ever less often. One in doubt is asked
        about anyway, while it is open.
        """
        if (order.doubt > 0 and order.is_open()) or not self.up[order.venue] or not self.takes_status(order.venue):
            return []
        if order.asks >= 3 and self.now_ns - order.asked_ns < ASK_AGAIN_NS * 2 ** min(order.asks - 3, 12):
            return []
        order.asks += 1
        order.asked_ns = self.now_ns
        return [self.to_venue(order.venue, "H", {11: order.accepted.child})]

    def takes_status(self, venue: str) -> bool:
        return bool(self.sessions[venue].get("order_status", True))

    def ticks(self) -> list[Wanted]:
        """Subscriptions and questions of as many ticks as it takes; what may only reduce is looked at anew."""
        wanted: list[Wanted] = []
        if self.mark_raising():
            self.begin_turns()
        for venue in filter(self.up.get, self.venues()):
            if self.sessions[venue].get("market_data") and venue not in self.subscribed:
                self.subscribed.add(venue)
                if any(i.venue == venue for i in self.instruments.values()):
                    wanted.append(self.to_venue(venue, "V", {}))
            waits = venue in self.recovering or self.doubts(venue)
            if waits and self.now_ns - self.since_ns[venue] >= PATIENCE_NS:
                wanted += self.complain(venue)
            if venue in self.recovering or not self.doubts(venue) or not self.takes_status(venue):
                continue
            wanted += self.questions(venue)
        return wanted

    def questions(self, venue: str) -> list[Wanted]:
        """About the orders in doubt and their pending requests, by row, as many as the venue takes."""
        wanted: list[Wanted] = []
        asked = [(o, r) for o in self.doubts(venue) for r in (o.accepted, *o.all_pending()) if not r.unsent]
        doubtful = {r.row: (o, r) for o, r in asked}
        for row in range(self.asked.get(venue, 0), len(self.table)):
            if not self.has_room(venue, for_cancels=False):
                break
            self.asked[venue] = row + 1
            if row in doubtful:
                order, request = doubtful[row]
                wanted.append(self.to_venue(venue, "H", {11: request.child}))
                order.unanswered += 1
        return wanted

    # Answers.

    def is_unanswered(self, order: Order, request: Request) -> bool:
        return order.never_acknowledged() if request.kind == NEW else request.state == "pending"

    def tells_of_doubt(self, order: Order, request: Request, fields: Fields) -> bool:
        if order.doubt == QUERIED and order.unanswered == 0:
            return False  # not asked yet
        return order.doubt > 0 or (fields[39] == "8" and self.is_unanswered(order, request))

    def answered(self, order: Order, request: Request, fields: Fields) -> list[Wanted]:
        """A venue's status of an order in doubt, or that it never had it or a request."""
        is_unknown, is_over = fields[39] == "8", not self.is_unanswered(order, request)
        if is_unknown and is_over and request is order.accepted:
            return [ALERT]
        order.unanswered = max(0, order.unanswered - 1) if order.doubt != QUERIED else 0
        if is_unknown:
            wanted = [] if is_over else self.refuse_child(request.child)
            self.clear_doubt(order)
            return wanted
        told = self.told_cum(order, fields)
        alerts = [ALERT] if told is not None and told > order.cum else []
        kind = self.amounts_to(order, request, fields)
        self.clear_doubt(order)
        alerts += self.hear(order, fields)
        self.settle_one(order)
        before = order.base_status("FIX.4.4")
        wanted = self.change(order, request, fields, kind)
        self.try_soon(order, before)
        return alerts + wanted

    @staticmethod
    def try_soon(order: Order, before: str) -> None:
        """An order of another status than `before` can perhaps be canceled now: the next try comes within a second."""
        if order.base_status("FIX.4.4") != before:
            order.tries = min(order.tries, 1)

    def clear_doubt(self, order: Order) -> None:
        asked = self.asked.get(order.venue, 0)
        if order.unanswered == 0 and all(r.row < asked for r in order.all_pending()):
            order.doubt = 0

    def amounts_to(self, order: Order, request: Request, fields: Fields) -> str:
        """The ExecType that the status of an order stands for."""
        status = fields[39]
        if status in CLOSING or status == "3":
            return status
        cum = self.told_cum(order, fields)
        if status == "2" and cum is None:
            order.told = max(order.told, order.qty)
            self.book(order)
        if status == "0" and order.base_status("FIX.4.4") == "A":
            return "0"
        told = D(fields[38]) + order.restated if D(fields.get(38, "0")) > 0 else None
        if request.kind == REPLACE and request.state == "pending" and told == request.qty != order.qty:
            return "5"
        if status == "2" and cum is not None and (told is None or told <= max(cum, order.cum)):
            order.qty = min(order.qty, max(cum, order.cum))
        return "I" if told in (None, order.qty) else "D"

    def resolve(self, order: Order, gone: bool, cum: Decimal) -> list[Wanted]:
        """A person says what became of an order in doubt, or how much of it has traded where two counts differ."""
        if not order.is_open() and order.unbooked == 0:
            return []
        if order.doubt == 0 and order.unbooked == 0 and not gone:
            return []
        never = order.base_status("FIX.4.4") == "A"
        order.doubt = 0
        order.is_acknowledged |= never
        if order.unbooked > 0:
            order.fills, order.told, order.restated = min(order.fills, cum), cum, min(order.restated, cum)
        order.doubtful = D(0)
        order.told = max(order.told, cum)
        self.book(order)
        wanted = [ALERT]
        kind = "0" if never else "I"
        if gone and not order.closed:
            for request in sorted(order.all_pending(), key=order.requests.index, reverse=True):
                wanted += self.drop_request(order, request, "0")
            if order.cum < order.qty:
                kind = order.closed = "8" if never and order.cum == 0 else "4"
        return wanted + self.tell(order, kind, {})
