"""What the model does when a run begins, a venue logs on, and the day ends: doubts about orders, rows given back."""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_checks import Checks
from tests.properties.model_orders import CLOSING, NEW, QUERIED, REPLACE, D, Fields, Fill, Order, Request, Wanted

ALERT: Wanted = ("", "", {})
STOPPED, CRASHED, REBOOTED = range(3)
PATIENCE_NS = 60 * 10**9
ASK_AGAIN_NS = 10 * 10**9
Execution = tuple[str, int | None, str]


class Recovery(Checks):
    """The tables of the model, and what is not known of the orders in them."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        super().__init__(config, limits, instruments, now_ns)
        self.by_id: dict[tuple[str, str], tuple[Order, Request]] = {}
        self.by_child: dict[str, tuple[Order, Request]] = {}
        self.children: set[str] = set()  # all there ever were
        self.used: set[tuple[str, str]] = set()
        self.newest: tuple[Order, Request] | None = None
        self.freed: list[Request | None] = []  # rows to be taken again from the end; of refused cancels, or nobody's
        self.free_rows: list[int] = []  # of orders
        self.numbered: list[Order] = []  # all there ever were
        self.at_venues: list[Order] = []  # those with an OrderID of their venue's, the one that told it last at the end
        self.seen: set[Execution] = set()
        self.executions: dict[Execution, Fill] = {}
        self.corrects: dict[Execution, Execution] = {}  # the fill that a correction changed
        self.run = 1
        self.reset: set[str] = set()  # venues whose numbers began anew at the last logon
        self.subscribed: set[str] = set()
        self.asked: set[str] = set()  # venues asked about all that is in doubt
        self.since_ns = dict.fromkeys(self.sessions, now_ns)  # the last logon
        self.told: set[str] = set()  # venues that left something open for too long since then

    def enter(self, order: Order) -> None:
        """An order takes the row given back last, or a new one."""
        order.order_id = f"O{self.run}-{len(self.numbered)}"
        order.row = self.free_rows.pop() if self.free_rows else len(self.orders)
        self.numbered.append(order)
        self.orders.append(order)

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
        self.asked.discard(venue)
        self.told.discard(venue)
        self.since_ns[venue] = self.now_ns
        (self.reset.add if reset else self.reset.discard)(venue)
        for order in self.orders:
            if order.venue == venue:
                order.unanswered = 0
                if self.killed and self.is_any_open():
                    order.tries = 0
                for request in order.requests:
                    request.looked_at = False
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
        self.asked.discard(venue)
        for order in self.orders:
            if order.venue == venue:
                order.unanswered = 0
                for request in order.requests:
                    request.looked_at = False
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
            self.asked.discard(order.venue)
            for other in self.orders:
                for request in other.requests if other.venue == order.venue else ():
                    request.looked_at = False
        return [ALERT]

    def ask_now(self, order: Order) -> list[Wanted]:
        """A question about an order that is not clear, for which nothing waits; ever less often."""
        if order.doubt > 0 or not self.up[order.venue] or not self.takes_status(order.venue):
            return []
        if order.asks >= 3 and self.now_ns - order.asked_ns < ASK_AGAIN_NS * 2 ** min(order.asks - 3, 12):
            return []
        order.asks += 1
        order.asked_ns = self.now_ns
        return [(order.venue, "H", {11: order.accepted.child})]

    def takes_status(self, venue: str) -> bool:
        return bool(self.sessions[venue].get("order_status", True))

    def ticks(self) -> list[Wanted]:
        """Subscriptions and questions of as many ticks as it takes."""
        wanted: list[Wanted] = []
        for venue in filter(self.up.get, self.venues()):
            if self.sessions[venue].get("market_data") and venue not in self.subscribed:
                self.subscribed.add(venue)
                wanted += [(venue, "V", {})] if any(i.venue == venue for i in self.instruments.values()) else []
            waits = venue in self.recovering or self.doubts(venue)
            if waits and self.now_ns - self.since_ns[venue] >= PATIENCE_NS:
                wanted += self.complain(venue)
            if venue in self.recovering or not self.doubts(venue) or not self.takes_status(venue):
                continue
            self.asked.add(venue)
            for order in self.orders:
                for request in order.requests if order.venue == venue else ():
                    due = request is order.accepted or request.state == "pending"
                    if order.doubt > 0 and due and not request.looked_at:
                        wanted.append((venue, "H", {11: request.child}))
                        order.unanswered += 1
                    request.looked_at = True
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
            wanted = [] if is_over else self.undelivered(request.child)
            self.clear_doubt(order)
            return wanted
        told = self.told_cum(order, fields)
        alerts = [ALERT] if told is not None and told > order.cum else []
        kind = self.amounts_to(order, request, fields)
        self.clear_doubt(order)
        alerts += self.hear(order, fields)
        self.settle_one(order)
        return alerts + self.change(order, request, fields, kind)

    @staticmethod
    def clear_doubt(order: Order) -> None:
        if order.unanswered == 0 and all(r.looked_at for r in order.all_pending()):
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

    # The end of the day.

    def end_day(self, keep_positions: bool) -> list[Wanted]:
        """Whatever belongs to no open order is forgotten, or to none with fills in doubt while positions are kept."""
        self.known_since_ns = self.now_ns - self.began_ns
        for order in self.orders:
            order.terms += 1
            if not keep_positions and order.doubtful > 0:
                order.fills, order.doubtful = order.fills - min(order.doubtful, order.fills), D(0)
                self.book(order)
        finished = [o for o in self.orders if not o.is_open() and o.unbooked == 0]
        is_finished = {id(o) for o in finished}
        self.freed += [None] * sum(1 for o in finished for r in o.requests if r.ours and r.state != "rejected")
        self.orders = [o for o in self.orders if id(o) not in is_finished]
        self.free_rows += sorted(o.row for o in finished)
        is_kept = {id(o) for o in self.orders}
        self.at_venues = sorted((o for o in self.at_venues if id(o) in is_kept), key=lambda o: o.row)
        self.accepted = [entry for entry in self.accepted if id(entry[2]) in is_kept]
        self.freed = [r if r and id(self.by_child[r.child][0]) in is_kept else None for r in self.freed]
        self.by_child = {child: pair for child, pair in self.by_child.items() if id(pair[0]) in is_kept}
        self.by_id = {key: pair for key, pair in self.by_id.items() if id(pair[0]) in is_kept}
        self.freed += [None] * len(self.used - set(self.by_id))
        self.used &= set(self.by_id)
        self.seen = {key for key in self.seen if key[1] is not None and id(self.numbered[key[1]]) in is_kept}
        if not keep_positions:
            self.positions = {}
        return [ALERT] if any(o.is_open() and o.accepted.time_in_force == "0" for o in self.orders) else []
