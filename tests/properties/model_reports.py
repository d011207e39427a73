"""What the model does with the reports of a venue: fills, busts, changes of an order, answers to requests.

What a venue says of quantities is a claim. Where it contradicts itself or what is counted the worse counts, and a
report raises at most one alert.
"""

from __future__ import annotations

from decimal import Decimal

from tests.properties.model_orders import (
    BUY,
    CANCEL,
    CLOSING,
    DAY_OVER,
    NEW,
    POSITION_SCOPES,
    REPLACE,
    D,
    Fields,
    Fill,
    Order,
    Request,
    Wanted,
    said_in,
)
from tests.properties.model_recovery import Recovery
from tests.properties.model_tables import ALERT, Execution

QUICK_CANCELS = 5
MOST_FILLED = D(4 * 10**10)  # of an order, whatever its venue tells
ROUNDING = D("0.000001")  # quantities of more than 8 decimals are rounded up, so sums of them may differ by this


def claim(fields: Fields, tag: int) -> Decimal | None:
    """A quantity that a report tells; None where it does not, or nobody can read it."""
    text = fields.get(tag, "")
    return D(text) if text.replace(".", "", 1).isdigit() else None


def above_zero(value: Decimal | None) -> bool:
    return value is not None and value > 0


def once(messages: list[Wanted]) -> list[Wanted]:
    """Only the first alert of a report is written."""
    first = next((k for k, message in enumerate(messages) if message is ALERT), None)
    return [message for k, message in enumerate(messages) if message is not ALERT or k == first]


class Reports(Recovery):
    """Reports of venues on the orders of the tables."""

    # What a report says.

    def find_child(self, venue: str, fields: Fields) -> tuple[Order | None, Request | None, bool]:
        """The order and request that ClOrdID(11) names, else OrigClOrdID(41), else the order of OrderID(37), and
        whether it is that last.
        """
        for tag in (11, 41):
            order, request = self.by_child.get(fields.get(tag, ""), (None, None))
            if order is not None and order.venue == venue:
                return order, request, False
        order = self.with_order_id(venue, fields.get(37))
        if order is not None and order.ended_day and 19 not in fields:
            order = None  # a venue may give the same ones each day
        if order is None or self.contradicts(order, fields) or self.is_other_account(order, fields):
            return None, None, False
        return order, order.accepted, True

    def with_order_id(self, venue: str, order_id: str | None) -> Order | None:
        """The order that told this OrderID(37) last."""
        found = [o for o in self.at_venues if (o.venue, o.venue_order_id) == (venue, order_id)]
        return found[-1] if found else None

    @staticmethod
    def is_other_account(order: Order, fields: Fields) -> bool:
        """Whether Account(1) is another one that is known."""
        return fields.get(1, order.entities["account"]) not in (order.entities["account"], "ACC9")

    @staticmethod
    def contradicts(order: Order, fields: Fields) -> bool:
        """Whether Side(54) or Symbol(55) is another than the order's."""
        return (fields[54] == BUY) != (order.side == BUY) or fields[55] != order.instrument.symbol

    def kind_of(self, venue: str, fields: Fields) -> str:
        """ExecType as in FIX 4.4, of either version."""
        kind = {"1": "F", "2": "F"}.get(fields[150], fields[150])
        if self.version(venue) == "FIX.4.2":
            kind = {"1": "H", "2": "G", "3": "I"}.get(fields.get(20, "0"), kind)
        return kind

    @staticmethod
    def told_cum(order: Order, fields: Fields) -> Decimal | None:
        """CumQty(14) as it is counted here; None when none above zero is told."""
        cum = claim(fields, 14)
        return cum + order.restated if cum is not None and cum > 0 else None

    @staticmethod
    def says_open(fields: Fields) -> bool:
        """LeavesQty(151) above zero and an OrdStatus that is not closed."""
        return above_zero(claim(fields, 151)) and fields[39] not in CLOSING

    def says_working(self, fields: Fields) -> bool:
        """The same, or without LeavesQty by OrdStatus alone."""
        return self.says_open(fields) if 151 in fields else fields[39] in ("0", "1")

    @staticmethod
    def works_on(fields: Fields) -> bool:
        """Whether a report that ends an order contradicts itself."""
        return above_zero(claim(fields, 151)) if 151 in fields else fields[39] in ("0", "1", "5")

    # Every report.

    def report(self, venue: str, fields: Fields, poss_dup: bool = False) -> list[Wanted]:
        """ExecutionReport: one alert at most."""
        return once(self.take_report(venue, fields, poss_dup))

    def take_report(self, venue: str, fields: Fields, poss_dup: bool) -> list[Wanted]:
        order, request, by_order_id = self.find_child(venue, fields)
        kind = self.kind_of(venue, fields)
        key = venue, None if order is None else int(order.order_id.partition("-")[2]), fields[17]
        if kind != "I":
            if key in self.seen:
                return [ALERT] if order is None else self.repeated(order, fields)
            self.seen[key] = kind in ("H", "G") or (kind == "F" and above_zero(claim(fields, 32)))
        if order is None or request is None:
            of_old = fields[11] in self.children and fields[11] not in self.by_child
            if kind == "F" and not (poss_dup and of_old) and claim(fields, 32):
                self.unknown[venue, fields[17]] = fields
                self.book_unknown(fields, 1)
            if kind == "H":
                self.bust_unknown(venue, fields)
            return [ALERT]
        if kind == "I" and self.tells_of_doubt(order, request, fields):
            return self.answered(order, request, fields)
        if order.ended_day and poss_dup and kind not in ("H", "G"):
            return [ALERT]  # it was told on its day
        if order.ended_day and above_zero(claim(fields, 151)):
            self.revive(order)
        least = self.hear(order, fields)
        self.settle_one(order)
        if kind == "8" and by_order_id:  # of a request of the venue's own desk
            alerts = [ALERT, *self.ask_now(order), *self.take_status(order, request, fields)]
            return alerts + self.tell(order, "I", {}) + least
        before = order.base_status("FIX.4.4")
        if kind == "5" and poss_dup and request.state != "pending" and request is not order.accepted:
            wanted = self.change(order, request, fields, "I") + least  # these terms were in force
        else:
            wanted = self.apply(order, request, key, fields, kind) + least
        self.try_soon(order, before)
        if order.ended_day and order.is_open():
            self.revive(order)
        if order.ended_day and order.base_status("FIX.4.4") == "3":
            order.day_over = "3"  # an execution was taken back; it stays done for the day whatever else is corrected
        return wanted

    def apply(self, order: Order, request: Request, key: Execution, fields: Fields, kind: str) -> list[Wanted]:
        """What a report does to its order."""
        if kind == "F" and not claim(fields, 32):
            return self.no_fill(order, request, fields)
        if kind == "F":
            return self.fill(order, key, fields)
        if kind in ("H", "G"):
            return self.bust(order, key, fields, kind)
        if kind == "I":
            alerts = self.take_status(order, request, fields)
            if request.ours and fields[150] == "6":
                return alerts  # in 4.2: that a cancel is pending of which its EMS knows nothing
            return alerts + self.tell(order, kind, self.ids(order, request, fields[150]))
        return self.change(order, request, fields, kind)

    def hear(self, order: Order, fields: Fields) -> list[Wanted]:
        """The venue knows the order; the last OrderID(37) that it tells counts, but for that of another open order."""
        if 37 not in fields or fields[37] == order.venue_order_id:
            return []
        other = self.with_order_id(order.venue, fields[37])
        if other is not None and other.is_open():
            return [ALERT]
        order.heard = True
        order.venue_order_id = fields[37]
        self.at_venues = [o for o in self.at_venues if o is not order] + [order]
        return []

    def repeated(self, order: Order, fields: Fields) -> list[Wanted]:
        """Only a CumQty that tells of more counts, and none once a bust or the venue's own terms changed the count."""
        if order.corrected or order.restated > 0:
            return []
        told = self.told_cum(order, fields)
        return self.learn(order, fields) if told is not None and told > order.cum else []

    def bust_unknown(self, venue: str, fields: Fields) -> None:
        """A bust of a fill of no order of ours, which it does not contradict."""
        booked = self.unknown.get((venue, fields.get(19, "")))
        if booked is not None and all(fields.get(tag) == booked[tag] for tag in (32, 54, 55)):
            self.book_unknown(booked, -1)
            del self.unknown[venue, fields[19]]

    def book_unknown(self, fields: Fields, times: int) -> None:
        qty = times * (D(fields[32]) if fields[54] == BUY else -D(fields[32]))
        account = fields.get(1)
        for scope, name in (("firm", ""), ("instrument", fields[55]), *([("account", account)] if account else [])):
            key = scope, name, fields[55]
            self.positions[key] = self.position(*key) + qty

    # What is counted.

    def book(self, order: Order) -> None:
        """Positions follow what is sure to have traded."""
        change = order.cum - order.unbooked - order.booked
        order.booked += change
        signed = change if order.side == BUY else -change
        for scope in POSITION_SCOPES:
            if scope in order.entities:
                key = (scope, order.entities[scope], order.instrument.symbol)
                self.positions[key] = self.position(*key) + signed

    def learn(self, order: Order, fields: Fields) -> list[Wanted]:
        """CumQty(14): above the fills seen, one was missed, which counts, with an alert; below, one may have been told
        twice. In terms that the venue has restated, what is in doubt stays so: its CumQty cannot explain it any more.
        """
        before = order.cum
        told = self.told_cum(order, fields)
        if told is not None:
            order.told = max(order.told, told)
            beyond = order.fills - order.told
            if order.restated == 0 or beyond > order.doubtful:
                order.doubtful = beyond if beyond > ROUNDING else D(0)
        self.book(order)
        return [ALERT] if order.cum != before else []

    def open_again(self, order: Order, fields: Fields) -> None:
        """A closed order is open again when the venue says so."""
        if order.closed and self.says_open(fields):
            order.closed, order.day_over, order.is_acknowledged = "", "", True

    def lower_cum(self, order: Order, fields: Fields) -> list[Wanted]:
        """A CumQty(14) of the terms in force that is less than what is sure: it counts, and the rest is doubtful."""
        cum = claim(fields, 14)
        if cum is None or 151 not in fields or cum + order.restated >= order.cum - order.doubtful:
            return []
        order.terms += 1
        order.fills = order.cum  # a fill that only CumQty told of may be one too
        order.told = cum + order.restated
        order.doubtful = max(D(0), order.fills - order.told)
        self.book(order)
        return [ALERT] if order.doubtful > 0 else []

    def check_leaves(self, order: Order, fields: Fields, in_force: bool) -> list[Wanted]:
        """LeavesQty(151) above what counts as open counts, but for what comes late, which a report of what is in force
        now does not; sums that do not fit are told.
        """
        if order.is_over():
            return []
        leaves, cum = claim(fields, 151), claim(fields, 14)
        doubtful = order.doubtful if order.qty > order.cum else D(0)
        is_late = not in_force and self.is_late(order, cum, leaves or D(0))
        if leaves is not None and leaves > order.worst() + (D(0) if in_force else doubtful) and not is_late:
            if not order.is_open():
                order.doubt = 0  # nothing was, of an order that was done
            order.qty = order.cum + leaves
            return [ALERT]
        return [] if self.adds_up(order, fields) else [ALERT]

    @staticmethod
    def is_late(order: Order, cum: Decimal | None, leaves: Decimal) -> bool:
        """Whether a report is of before fills that its venue has told of: by its own count then it all fits."""
        if cum is None or order.cum > order.told or cum + order.restated >= order.cum:
            return False
        return cum + order.restated + leaves <= order.qty

    @staticmethod
    def adds_up(order: Order, fields: Fields) -> bool:
        """Whether 38, 14 and 151 agree, as far as they are told; and the 38 of what seems late with the order's."""
        qty, cum, leaves = (claim(fields, tag) for tag in (38, 14, 151))
        if not qty or cum is None:
            return True
        if cum + order.restated < order.cum and qty + order.restated != order.qty:
            return False
        return leaves is None or cum + leaves == qty or (leaves == 0 and fields[39] not in ("0", "1", "5"))

    # Terms of the venue's own.

    @staticmethod
    def new_terms(order: Order, fields: Fields, by_venue: bool) -> tuple[Decimal, Decimal] | None:
        """CumQty and LeavesQty of a report in whose terms less has traded than is counted. They must add up to another
        OrderQty(38) than the order's, unless the venue says that it has restated the order and not to what quantity.
        """
        qty, cum, leaves = (claim(fields, tag) for tag in (38, 14, 151))
        if qty and cum is not None and leaves is None:
            leaves = qty - cum
        if cum is None or leaves is None or leaves <= 0 or cum + order.restated >= order.cum:
            return None
        is_new = by_venue if not qty else cum + leaves == qty != order.qty - order.restated
        return (cum, leaves) if is_new else None

    @staticmethod
    def take_new_terms(order: Order, terms: tuple[Decimal, Decimal]) -> None:
        """What was counted stays, what the venue says is open is open; pending replaces are meant in the new terms."""
        cum, leaves = terms
        order.terms += 1
        change = order.cum - cum - order.restated
        order.restated += change
        order.qty = order.cum + leaves
        for request in order.pending(REPLACE):
            request.qty += change

    # Fills.

    def no_fill(self, order: Order, request: Request, fields: Fields) -> list[Wanted]:
        """A fill of nothing is a status; of one without a readable size CumQty must tell it, or the venue is asked."""
        told = self.told_cum(order, fields)
        is_clear = claim(fields, 32) is not None or (told is not None and told > order.cum)
        asked = [] if is_clear else self.ask_now(order)
        alerts = [ALERT, *asked, *self.take_status(order, request, fields)]
        return alerts + self.tell(order, "I", self.ids(order, request, ""))

    def is_copy(self, order: Order, key: Execution, fields: Fields) -> bool:
        """Whether a fill is one that is counted already, under another ExecID; a bust may then name either."""
        qty, told, leaves = D(fields[32]), self.told_cum(order, fields), claim(fields, 151)
        sure = order.cum - order.unbooked
        if told is None or told > sure or order.fills + qty <= order.told:
            return False  # more has traded, or it is one that was missed and comes late
        left = max(D(0), order.qty - order.cum)
        if leaves is not None and leaves == left - qty:
            return False  # by LeavesQty it was open until now
        fills = [(k, f) for k, f in self.executions.items() if k[:2] == key[:2]]
        same = [k for k, f in fills if (f.qty, f.told, f.terms) == (qty, told, order.terms)]
        if same:
            self.corrects[key] = same[-1]
        nothing_left = max(D(0), order.qty - sure)
        unchanged = leaves == nothing_left if leaves is not None else fields.get(97) == "Y"
        return bool(same) or (told == sure and unchanged)

    def fill(self, order: Order, key: Execution, fields: Fields) -> list[Wanted]:
        qty, status = D(fields[32]), fields[39]
        if self.is_copy(order, key, fields):
            self.seen[key] = key in self.corrects
            return [ALERT, *self.tell(order, "I", {})]
        self.open_again(order, fields)
        if order.day_over and status != order.day_over and self.says_working(fields):
            order.day_over = ""
        order.is_acknowledged = True
        before = order.doubtful
        is_open = claim(fields, 151) is not None and claim(fields, 151) == max(D(0), order.qty - order.cum) - qty
        no_sum = claim(fields, 14) == 0 and not is_open
        if (fields.get(97) == "Y" or no_sum) and self.told_cum(order, fields) is None:
            order.doubtful += qty  # perhaps counted before
        order.fills = min(order.fills + qty, MOST_FILLED)
        self.learn(order, fields)
        self.executions[key] = Fill(qty, self.told_cum(order, fields), order.terms)
        alerts = []
        if order.doubtful > before:
            alerts = [ALERT, *self.ask_now(order)]
            terms = self.new_terms(order, fields, by_venue=False)
            if terms is not None:
                self.take_new_terms(order, terms)
                return [*alerts, *self.tell(order, "I", {})]
        if order.is_open() and claim(fields, 151) == 0:
            if status in CLOSING:
                order.closed = status
            elif status == "2" and self.told_cum(order, fields) == order.cum:
                order.qty = order.cum
        alerts += self.check_leaves(order, fields, in_force=False)
        if order.cum > order.qty or self.contradicts(order, fields):
            alerts.append(ALERT)
        return alerts + self.tell(order, "F", {32: qty, 31: fields[31]})

    def corrected_quantity(self, order: Order, fill: Fill, fields: Fields) -> Decimal | None:
        """Quantity of a fill after a correction: none is told of one of its price alone. Where it cannot be read, what
        CumQty makes it; None when nobody can say.
        """
        if 32 not in fields:
            return fill.qty
        qty, told = claim(fields, 32), self.told_cum(order, fields)
        if qty is None and told is not None:
            qty = fill.qty + told - order.cum
        return None if qty is None or qty < 0 else qty

    def bust(self, order: Order, key: Execution, fields: Fields, kind: str) -> list[Wanted]:
        """A bust takes an execution away, a correction changes its quantity, or with no LastQty only its price."""
        old_key = (*key[:2], fields[19])
        old_key = self.corrects.get(old_key, old_key)
        fill = self.executions.get(old_key)
        if fill is None:
            return [ALERT]
        qty = self.corrected_quantity(order, fill, fields) if kind == "G" else D(0)
        if qty is None:
            return [ALERT, *self.ask_now(order)]
        if kind == "G":
            self.corrects[key] = old_key
        change, old, fill.qty = qty - fill.qty, fill.qty, qty
        told, before = self.told_cum(order, fields), order.unbooked
        order.corrected = True
        order.fills = max(D(0), order.fills + change)
        expected = max(order.fills, order.told + change)
        order.told = max(D(0), order.told + change, told or D(0))
        order.doubtful = order.fills - order.told if told is not None else min(order.doubtful, order.fills)
        order.doubtful = max(D(0), order.doubtful)
        if told is not None and told > expected:  # it still counts what it takes back, or tells of another fill
            order.doubtful = max(order.doubtful, told - expected)
        if order.cum < order.restated:  # what was busted had been counted before the venue restated the order
            order.qty -= order.restated - order.cum
            order.restated = order.cum
        self.book(order)
        alerts = [ALERT] if order.unbooked > before else []
        return alerts + self.tell(order, kind, {32: qty if kind == "G" else old})

    # Everything that is not about an execution.

    def take_status(self, order: Order, request: Request, fields: Fields) -> list[Wanted]:
        """A status of an order that is sure: a missed fill counts, and that it is closed is looked into."""
        self.open_again(order, fields)
        alerts = [] if order.corrected else self.learn(order, fields)
        if not order.is_open():
            order.doubt = 0
        alerts += self.ask_about_closed(order) if fields[39] in ("4", "C", "2") else []
        alerts += [ALERT] if fields[39] == "8" and request is order.accepted and order.is_open() else []
        return alerts + self.check_leaves(order, fields, in_force=False)

    def is_contradicted(self, order: Order, fields: Fields, kind: str) -> bool:
        """Whether a report ends an order that works, as its LeavesQty or OrdStatus says in the same breath."""
        if not order.ends_with(kind) or not self.works_on(fields):
            return False
        return order.is_open() or (kind in CLOSING and self.says_working(fields))

    def change(self, order: Order, request: Request, fields: Fields, kind: str) -> list[Wanted]:
        """Every report that is not about an execution."""
        if kind == "8" and request.kind != NEW:
            if request.state == "pending":
                return self.drop_request(order, request, "2")
            if request is not order.accepted:
                return [ALERT]
        alerts = []
        if self.is_contradicted(order, fields, kind):
            alerts = [ALERT, *self.ask_now(order)]
            kind = "I"
        terms = self.new_terms(order, fields, by_venue=True) if kind == "D" else None
        if terms is None:
            alerts += self.learn(order, fields)
            if not order.is_open():
                order.doubt = 0
            alerts += self.lower_cum(order, fields) if kind in ("5", "D") else []
        self.open_again(order, fields)
        wanted = self.ids(order, request, kind)
        if kind in ("0", "D"):
            if kind == "D":
                alerts += self.restate(order, fields, terms)
            order.is_acknowledged = True
            if self.says_working(fields) and fields[39] != (order.closed or order.day_over):
                order.closed = order.day_over = ""
        elif kind in ("6", "E") and request.state == "pending":
            request.acknowledged = not request.ours
        elif kind == "5":
            wanted |= self.replaced(order, request, fields)
        elif kind in DAY_OVER:
            order.terms += kind == "3" and not order.closed and order.day_over != "3"
            order.day_over = "3" if order.day_over == "3" else kind
        elif kind in CLOSING:
            order.closed = kind
            if request.kind == CANCEL and request.state == "pending":
                request.state = "accepted"
        alerts += self.check_leaves(order, fields, in_force=kind in ("5", "D"))
        return alerts if request.ours and kind == "6" else alerts + self.tell(order, kind, wanted)

    def restate(self, order: Order, fields: Fields, terms: tuple[Decimal, Decimal] | None) -> list[Wanted]:
        """The venue itself has changed the order."""
        if terms is not None:
            self.take_new_terms(order, terms)
            return [ALERT]
        qty = claim(fields, 38)
        if not qty:
            return []
        if qty + order.restated <= order.cum and 151 not in fields and self.says_working(fields):
            return [ALERT]  # it works, but nobody knows with how much
        order.qty = qty + order.restated
        return []

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
    def replaced(order: Order, request: Request, fields: Fields) -> dict[int, object]:
        """A replace is in force; one that was answered before says nothing new, but for its OrderQty(38)."""
        wanted: dict[int, object] = {}
        if request.kind == REPLACE and request.state == "pending":
            wanted = {11: request.cl_ord_id, 41: order.accepted.cl_ord_id}
            request.state = "accepted"
            order.accepted = request
            order.qty = request.qty
        qty = claim(fields, 38)
        if qty:
            order.qty = qty + order.restated
        order.replaced = order.is_acknowledged = True
        order.day_over = ""
        if not order.closed:
            order.qty = max(order.qty, order.cum)
        return wanted

    # What the EMS is told.

    def tell(self, order: Order, kind: str, wanted: dict[int, object]) -> list[Wanted]:
        """The report to the EMS, of the order as it is now."""
        version = self.version(order.session)
        told: dict[int, object] = {11: order.accepted.cl_ord_id, 41: None, 150: kind}
        told |= said_in(version, order.accepted.ord_type, order.accepted.time_in_force)
        if version == "FIX.4.2":
            told[20] = {"H": "1", "G": "2", "I": "3"}.get(kind, "0")
            if kind in ("H", "G"):
                del told[150]
            elif kind == "I":
                told[150] = order.status(version)
            elif kind == "F":
                told[150] = "2" if order.base_status(version) == "2" else "1"
        return [(order.session, "8", told | wanted | self.numbers(order))]

    def numbers(self, order: Order) -> dict[int, object]:
        return {
            37: order.order_id,
            39: order.status(self.version(order.session)),
            14: order.cum - order.restated,
            151: order.leaves(),
            38: order.qty - order.restated,
        }

    # Requests that were refused, messages that did not arrive.

    def cancel_reject(self, venue: str, fields: Fields) -> list[Wanted]:
        """OrderCancelReject of a venue."""
        order, request = self.by_child.get(fields[11], (None, None))
        if order is None or request is None or order.venue != venue or request.state != "pending":
            return [ALERT]
        answer = self.drop_request(order, request, said=fields.get(102, "2"))
        return answer + (self.ask_about_closed(order) if fields[39] in (*CLOSING, "2") else [])

    def drop_request(self, order: Order, request: Request, reason: str | None = None, said: str = "") -> list[Wanted]:
        """A request is refused: for a reason of ours, or for what its venue `said`."""
        request.state, request.reason = "rejected", reason or said
        if request.kind == CANCEL:
            self.give_back(request)
        if request.mass or request.is_told:
            return self.answer_mass_cancel(order, request)
        if request.ours:  # only the first few are told
            told = [ALERT] if order.tries <= QUICK_CANCELS else []
            if order.mass_canceled and not order.mass_cancel:  # since before the end of the day
                order.mass_canceled, order.tries = False, 0
            return told
        response = "2" if request.kind == REPLACE else "1"
        wanted: dict[int, object] = {11: request.cl_ord_id, 41: order.accepted.cl_ord_id, 37: order.order_id}
        wanted |= {39: order.status(self.version(order.session)), 434: response}
        if reason is not None:
            wanted[102] = reason
        return [(order.session, "9", wanted)]

    def answer_mass_cancel(self, order: Order, request: Request) -> list[Wanted]:
        """Once for each mass cancel, and not where another of its cancels is pending at the venue."""
        if request.is_told:
            return []
        mass, request.mass, request.is_told = request.mass, "", True
        others = [r for r in order.pending(CANCEL) if r.mass == mass]
        if others and request.reason == "3":
            return []
        for other in others:
            other.mass, other.is_told = "", True
        if order.mass_cancel == mass:
            order.mass_cancel = ""
            if order.mass_canceled:
                order.mass_canceled, order.tries = False, 0
        wanted: dict[int, object] = {11: mass, 41: order.accepted.cl_ord_id, 37: order.order_id, 434: "1"}
        return [(order.session, "9", wanted | {39: order.status(self.version(order.session))})]

    def undelivered(self, child: str, is_inferred: bool = False) -> list[Wanted]:
        """The venue never had a child, or refused its message; what is only inferred ends no doubt. A cancel for a mass
        cancel is sent again.
        """
        order, request = self.by_child[child]
        if (request.mass or request.is_told) and request.state == "pending":
            request.state = "rejected"
            self.give_back(request)
            return []
        return [ALERT] if is_inferred and order.doubt in (2, 3) else self.refuse_child(child)

    def refuse_child(self, child: str) -> list[Wanted]:
        """A child is not at its venue."""
        order, request = self.by_child[child]
        if request.kind != NEW:
            return self.drop_request(order, request, "2") if request.state == "pending" else []
        if not order.never_acknowledged():
            return [ALERT] if order.is_open() else []
        order.closed = "8"
        return self.tell(order, "8", {})

    def business_reject(self, venue: str, child: str) -> list[Wanted]:
        """BusinessMessageReject of a venue, for the child that 379 names."""
        order, _ = self.by_child.get(child, (None, None))
        return [ALERT] if order is None or order.venue != venue else self.refuse_child(child)
