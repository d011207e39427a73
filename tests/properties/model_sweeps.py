"""What the model cancels of its own accord, and the cancels that wait for room at their venue."""

from __future__ import annotations

from tests.properties.model_checks import FIRST_NS, SECOND_NS
from tests.properties.model_orders import CANCEL, REPLACE, D, Fields, Instrument, Order, Request, Wanted
from tests.properties.model_reports import QUICK_CANCELS, Reports
from tests.properties.model_tables import ALERT


def last_cancel_ns(order: Order) -> int:
    """When its EMS or the gateway last sent a cancel of it; 0: never."""
    return max(order.tried_ns, order.cancel_asked_ns)


class Sweeps(Reports):
    """What a sweep of the orders sends: to venues, and to an EMS that has asked for the state of all its orders."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        super().__init__(config, limits, instruments, now_ns)
        self.lists: dict[str, list] = {}  # by session: MassStatusReqID, orders that were asked for, those not told yet

    def kill(self, scope: str, name: str, on: bool) -> list[Wanted]:
        """A switch is set or released; what it cancels is up to `sweep`."""
        if not on:
            self.killed.discard((scope, name))
            return [ALERT]
        self.killed.add((scope, name))
        if self.is_any_open():
            self.begin_turns()
            for order in self.orders:
                order.tries = 0
        return [ALERT]

    def posture(self, scope: str, name: str, posture: str) -> list[Wanted]:
        """A person sets a posture; what it cancels is up to `sweep`."""
        was, _ = self.postures.pop((scope, name), ("normal", 0))
        if posture != "normal":
            self.postures[scope, name] = posture, self.now_ns
        if was in ("reduce_only", "halted"):
            for order in self.orders:
                order.reducing = False
        if self.mark_raising():
            self.begin_turns()
        if posture == "halted" and self.is_any_open():
            self.begin_turns()
            for order in self.orders:
                order.tries = 0
        return [ALERT]

    # Which cancels go first where a venue takes few.

    def begin_turns(self) -> None:
        """Something more is to be canceled: what never was goes first."""
        self.turns = dict.fromkeys(self.venues(), FIRST_NS)

    def is_in_turn(self, order: Order) -> bool:
        turn_ns = self.turns.get(order.venue)
        return turn_ns is None or last_cancel_ns(order) < turn_ns

    def takes_cancel(self, order: Order) -> bool:
        """Whether the venue takes a cancel of the order's EMS now."""
        is_limited = self.limit("venue", order.venue, "max_messages") not in (None, "unlimited", D(0))
        return self.has_room(order.venue, for_cancels=True) and (not is_limited or self.is_in_turn(order))

    def wait(self, order: Order) -> None:
        """A cancel of an order could not go in this pass over the orders."""
        turn_ns = last_cancel_ns(order) + SECOND_NS
        self.next_turns[order.venue] = min(self.next_turns.get(order.venue, turn_ns), turn_ns)

    def is_to_be_canceled(self, order: Order) -> bool:
        """Killed, halted, or not reducing; or canceled by its EMS with others, for which the venue is asked a few
        times.
        """
        steered = self.is_killed(order.entities) or self.is_halted(order) or order.reducing
        return steered or (order.mass_canceled and order.tries < QUICK_CANCELS)

    def sweep(self) -> list[Wanted]:
        """All passes over the orders: another follows where some had to let others go first, which have gone."""
        found: list[Wanted] = []
        at_once = True
        while at_once:
            self.next_turns: dict[str, int] = {}
            found += self.one_pass()
            turns, self.turns = self.turns, self.next_turns
            at_once = any(venue in turns and turn_ns > turns[venue] for venue, turn_ns in self.turns.items())
        return found

    def one_pass(self) -> list[Wanted]:
        """The cancels of an EMS that wait for room, and one for each open order that is killed and was not canceled
        within the last second, or, after the first five, within ever more seconds up to 64.
        """
        found: list[Wanted] = []
        for order in sorted(self.orders, key=lambda o: o.row):
            found += self.send_waiting(order)
            found += self.tell_listed(order)
            wait_ns = SECOND_NS * 2 ** min(max(order.tries - QUICK_CANCELS + 1, 0), 6)
            due = order.tries == 0 or self.now_ns - order.tried_ns >= wait_ns
            if not self.is_to_be_canceled(order) or not order.is_open() or not due or not self.up[order.venue]:
                continue
            if not self.is_in_turn(order) or not self.has_room(order.venue, for_cancels=True):
                self.wait(order)
                continue
            replaces = order.pending(REPLACE) if order.tries % 2 == 0 else []
            orig = replaces[-1] if replaces else order.accepted
            ours = [r for r in order.pending(CANCEL) if r.ours]
            if len(ours) >= QUICK_CANCELS:  # the last few wait for an answer
                ours[0].state = "rejected"
                self.give_back(ours[0])
            request = Request(order.session, CANCEL, "", D(0), ours=True, mass=order.mass_cancel)
            self.add(order, request)
            order.tries += 1
            order.tried_ns = self.now_ns
            found.append(self.send_cancel(order, request, orig))
        return found

    def send_cancel(self, order: Order, request: Request, orig: Request) -> Wanted:
        """A cancel of an order, made of the order."""
        self.unnamed.append((order, request))
        terms = {54: order.side, 55: order.instrument.symbol, 38: order.qty - order.restated, 41: orig.child}
        return self.to_venue(order.venue, "F", terms)

    def send_waiting(self, order: Order) -> list[Wanted]:
        """The cancels that wait for room: those that can do nothing any more are answered."""
        found: list[Wanted] = []
        for request in reversed([r for r in order.pending(CANCEL) if r.unsent]):
            if not order.is_open() or not self.up[order.venue]:
                found += self.drop_request(order, request, "2" if order.is_open() else "0")
            elif not self.takes_cancel(order):
                self.wait(order)
            else:
                order.cancel_asked_ns = self.now_ns
                named, request.unsent = request.unsent, None
                assert named is not None
                found.append(self.send_cancel(order, request, named if named.state == "pending" else order.accepted))
        return found

    # What an EMS asks of all its orders.

    def open_of(self, session: str, fields: Fields, instrument: Instrument | None) -> list[Order]:
        """The open orders of an EMS, of an instrument, side and account if these are named."""
        return [
            o
            for o in sorted(self.orders, key=lambda o: o.row)
            if o.is_open()
            and o.session == session
            and (instrument is None or o.instrument is instrument)
            and fields.get(54, o.side) == o.side
            and fields.get(1, o.entities["account"]) == o.entities["account"]
        ]

    def mass_cancel(self, session: str, fields: Fields, poss_dup: bool) -> list[Wanted]:
        """OrderMassCancelRequest of an EMS: told what it concerns; each order has a report of its own later."""
        self.arrive(session)
        if self.version(session) != "FIX.4.4":
            return [(session, "3", {372: "q", 373: "11"})]
        answer: dict[int, object] = {11: fields[11], 530: fields[530]}
        is_used, instrument = (session, fields[11]) in self.used, self.find_instrument(fields)
        if is_used and poss_dup:
            return []
        if is_used or fields[530] not in "17" or (fields[530] == "1" and instrument is None):
            reason = "99" if is_used else "0" if fields[530] not in "17" else "1"
            return [(session, "r", answer | {531: "0", 532: reason, 533: "0"})]
        self.use(session, fields[11])
        orders = self.open_of(session, fields, instrument if fields[530] == "1" else None)
        for order in orders:
            order.mass_canceled, order.mass_cancel = True, fields[11]
            order.tries = min(order.tries, 1)
        if orders:
            self.begin_turns()
        return [(session, "r", answer | {531: fields[530], 532: None, 533: str(len(orders))})]

    def mass_status(self, session: str, fields: Fields) -> list[Wanted]:
        """OrderMassStatusRequest of an EMS: one report for each order, as it is when it is told."""
        self.arrive(session)
        if self.version(session) != "FIX.4.4":
            return [(session, "3", {372: "AF", 373: "11"})]
        instrument = self.find_instrument(fields)
        if fields[585] not in "17" or (fields[585] == "1" and instrument is None):
            return [(session, "j", {372: "AF", 380: "0"})]
        if self.lists.get(session, [""])[-1]:
            return [(session, "j", {372: "AF", 380: "4"})]
        orders = self.open_of(session, fields, instrument if fields[585] == "1" else None)
        for order in orders:
            order.listed = True
        self.lists[session] = [fields[584], len(orders), len(orders)]
        if orders:
            self.begin_turns()
        none = {37: "NONE", 39: "8", 150: "I", 103: "5", 14: "0", 151: "0", 584: fields[584], 911: "0", 912: "Y"}
        return [] if orders else [(session, "8", none)]

    def tell_listed(self, order: Order) -> list[Wanted]:
        """The state of an order that its EMS has asked for."""
        if not order.listed:
            return []
        order.listed = False
        asked = self.lists[order.session]
        asked[2] -= 1
        return self.tell(order, "I", {584: asked[0], 911: str(asked[1]), 912: "N" if asked[2] else "Y"})
