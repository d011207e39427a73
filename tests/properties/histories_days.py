"""Lines, kill switches, runs and days in the random histories."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.core import events as ev
from gateway.core import layout as a
from tests.properties.histories import D, number
from tests.properties.histories_venue import LEAVES, SAYING, FromVenue
from tests.properties.model_orders import REPLACE, Order

VENUES = st.sampled_from(("XNAS", "XCME", "XOLD", "XNIL"))
HURRIED = ("yes", "no", "fill", "400", "1100", "3200", "3200", "down")
STATUSES = st.lists(st.sampled_from("0000122334C8888A6E"), min_size=1, max_size=4)


class Histories(FromVenue):
    """An EMS, a venue and the clock doing what they like, plausible or not; lines, runs and days that end."""

    @rule(venue=VENUES, how=st.sampled_from(("up", "up", "up", "reset", "down")))
    def line(self, venue, how):
        self.model.now_ns = self.core.time_ns
        if how == "down":
            self.model.up[venue] = False
            self.agree(self.core.logout(venue), [])
        else:
            self.model.logon(venue, how == "reset")
            self.agree(self.core.logon(venue, how == "reset"), [])

    @rule(venue=VENUES)
    def synced(self, venue):
        if self.model.up[venue]:
            wanted = self.model.synced(venue)
            self.agree(self.core.synced(venue), wanted)

    # Kill switches, hours.

    @rule(
        what=st.sampled_from(
            (
                *(("firm", ""), ("account", "ACC2"), ("strategy", "MOMO"), ("trader", "TOM"), ("desk", "D1")),
                *(("flow", "AUTO"), ("instrument", "ESZ6"), ("session", "EMS2"), ("venue", "XOLD"), ("venue", "XNAS")),
                *(("class", "TREND"), ("sector", "TECH"), ("asset_class", "FUTURE")),
            )
        ),
        rounds=st.integers(0, 7),
        answers=st.lists(st.sampled_from(("yes", "ack", "no", "8")), max_size=4),
        stays=st.sampled_from((False, False, False, False, True)),
    )
    def kill(self, what, rounds, answers, stays):
        """A switch is set and swept for, its cancels perhaps answered; mostly it is released soon."""
        self.switch(what, True)
        for round_ in range(rounds):
            for answer in answers[round_ : round_ + 1]:
                self.answer_request(0, answer, tell=True)
            self.later(1_000 if round_ % 2 else 400)
        if not stays:
            self.switch(what, False)

    def switch(self, what: tuple[str, str], on: bool) -> None:
        scope, name = what
        self.model.now_ns = self.core.time_ns
        wanted = self.model.kill(scope, name, on)
        actual = self.core.kill(a.SCOPE_NAMES.index(scope), name, on)
        assert [message[:2] for message in actual] == [message[:2] for message in wanted]
        self.swept()
        self.agree([], [])

    @rule(
        what=st.sampled_from(
            (
                *(("firm", ""), ("account", "ACC1"), ("account", "ACC2"), ("strategy", "MOMO"), ("class", "MAKER")),
                *(("desk", "D1"), ("instrument", "AAPL"), ("session", "EMS1"), ("venue", "XNAS"), ("sector", "TECH")),
            )
        ),
        posture=st.sampled_from(("no_new_longs", "reduce_only", "reduce_only", "halted")),
        out=st.none() | st.tuples(st.sampled_from(("ACC1", "ACC2")), st.sampled_from((D(50), D(300)))),
        rounds=st.integers(0, 3),
        stays=st.sampled_from((False, True)),
    )
    def posture(self, what, posture, out, rounds, stays):
        """A person says what still passes, and perhaps opens an exit; mostly all is normal again soon."""
        self.set_posture(what, posture)
        if out is not None:
            until_ns = self.core.time_ns + 10**9
            self.model.open_exit("account", out[0], "AAPL", out[1], until_ns)
            self.core.open_exit(number(out[1]), a.ACCOUNT, out[0], "AAPL", 1)
        for _ in range(rounds):
            self.later(1_000)
        if not stays:
            self.set_posture(what, "normal")

    def set_posture(self, what: tuple[str, str], posture: str) -> None:
        scope, name = what
        self.model.now_ns = self.core.time_ns
        wanted = self.model.posture(scope, name, posture)
        actual = self.core.posture(a.POSTURE_NAMES.index(posture), a.SCOPE_NAMES.index(scope), name)
        assert [message[:2] for message in actual] == [message[:2] for message in wanted]
        self.swept()
        self.agree([], [])

    @precondition(lambda self: self.model.postures)
    @rule(pick=st.integers(0, 9))
    def be_normal(self, pick):
        steered = sorted(self.model.postures)
        self.set_posture(steered[pick % len(steered)], "normal")

    @precondition(lambda self: self.model.killed)
    @rule(pick=st.integers(0, 9))
    def release(self, pick):
        killed = sorted(self.model.killed)
        self.switch(killed[pick % len(killed)], False)

    def later(self, ms: int) -> None:
        """A tick: what is due again has been canceled after a second."""
        self.wait(ms)
        self.model.now_ns = self.core.time_ns
        due = any(
            o.is_open()
            and (self.model.is_killed(o.entities) or (self.model.is_to_be_canceled(o) and self.model.up[o.venue]))
            for o in self.model.orders
        )
        waits = any(r.unsent for o in self.model.orders for r in o.all_pending())
        wanted = sorted((s, t) for s, t, _ in self.model.ticks())
        actual = []
        while reply := self.core.tick():
            actual += reply
        assert sorted((s, t) for s, t, _ in actual) == wanted
        due = (due and ms >= 1_000) or (waits and ms >= 100)
        assert not due or self.core.record.sweep_row != a.NONE, "nothing is swept"
        self.swept()
        self.agree([], [])

    @rule(ms=st.sampled_from((1, 99, 100, 1_000, 1_100)))
    def tick(self, ms):
        self.later(ms)

    @precondition(FromVenue.has_orders)
    @rule(
        pick=st.integers(0, 4),
        cancels=st.sampled_from((3, 4, 5, 6, 8)),
        answers=st.lists(
            st.sampled_from(("yes", "no", "fill", "400", "1100", "3200", "3200", "down")), min_size=1, max_size=4
        ),
    )
    def hurry(self, pick, cancels, answers):
        """More cancels than the venue takes: those that wait go when there is room, or the order or line has ended."""
        order = self.order(pick)
        others = [o for o in self.model.orders if o.venue == order.venue and o.is_open() and o is not order]
        for k in range(cancels):
            self.cancel_order((order, order, *others)[k % (len(others) + 2)], "pending" if k == 1 else "current")
        for answer in answers:
            if answer.isdigit():
                self.later(int(answer))
            elif answer == "down":
                self.line(order.venue, "down")
            elif answer == "fill":
                qty = order.leaves() or D(1)
                self.trade(order, qty)
                self.send_fill(order, self.fresh_exec(), qty, True)
            else:
                self.answer_request(0, answer, tell=True)
        self.later(100)

    @rule(is_open=st.sampled_from((True, True, True, False)))
    def hours(self, is_open):
        self.model.is_closed = not is_open
        self.agree(self.core.hours(is_open), [])

    # Runs, doubts, days.

    @rule(
        ended=st.sampled_from((ev.STOPPED, ev.CRASHED, ev.REBOOTED)),
        back=st.lists(st.sampled_from(("synced", "synced", "up", "reset", "down")), min_size=3, max_size=3),
    )
    def restart(self, ended, back):
        self.model.now_ns = self.core.time_ns
        self.model.start(ended)
        self.agree(self.core.start(ended), [])
        for venue, how in zip(("XNAS", "XCME", "XOLD"), back, strict=True):
            if how != "down":
                self.line(venue, "reset" if how == "reset" else "up")
            if how in ("synced", "reset"):
                self.synced(venue)

    def in_doubt(self, pick: int) -> Order | None:
        found = [o for o in self.model.orders if o.doubt > 0]
        return found[pick % len(found)] if found else None

    def has_doubts(self) -> bool:
        return any(o.doubt for o in self.model.orders)

    @precondition(has_doubts)
    @rule(pick=st.integers(0, 4), statuses=STATUSES, tell=st.booleans(), qty=st.integers(0, 2), backwards=st.booleans())
    def answer_doubt(self, pick, statuses, tell, qty, backwards):
        """Statuses of an order in doubt and of its pending requests, with no 38, the order's or the request's."""
        order = self.in_doubt(pick)
        requests = [order.accepted, *(r for r in order.all_pending() if r.child)]
        for request, status in zip(requests[:: -1 if backwards else 1], statuses, strict=False):
            waits = request.kind == REPLACE and request.state == "pending"
            told = (request.qty if waits and qty == 2 else order.qty) - order.restated
            self.send_report(order, request.child, "I", tell, status=status, t38=number(told) if qty else None)

    @precondition(FromVenue.has_orders)
    @rule(
        pick=st.integers(0, 4),
        asked=st.sampled_from(("", "", "G", "F", "GF", "GG", "FF", "FFFFF")),
        how=st.sampled_from(("reset", "reset", "crash", "reboot")),
        statuses=STATUSES,
        tell=st.booleans(),
        qty=st.integers(0, 2),
        backwards=st.booleans(),
    )
    def doubt(self, pick, asked, how, statuses, tell, qty, backwards):
        """A venue or the machine goes down on an order that has requests pending, and comes back."""
        order = self.order(pick)
        for kind in asked:
            named = "pending" if order.pending(REPLACE) else "current"
            self.replace(pick, named, 1 + pick, 0, "2") if kind == "G" else self.cancel(pick, named, False)
        if how != "reset":
            self.restart(ev.CRASHED if how == "crash" else ev.REBOOTED, ["up", "synced", "synced"])
        self.line(order.venue, "reset" if how == "reset" else "up")
        self.synced(order.venue)
        if self.has_doubts():
            self.answer_doubt(0, statuses, tell, qty, backwards)

    @precondition(FromVenue.has_orders)
    @rule(
        pick=st.integers(0, 4),
        says=st.lists(SAYING, min_size=2, max_size=10),
        then=st.sampled_from(("", "", "", "gone", "working", "day", "new day")),
        part=st.sampled_from((0, 1, 2, 4)),
    )
    def contradictory(self, pick, says, then, part):
        """A venue that says this and that of what has traded of an order, until somebody or the day ends it."""
        order = self.order(pick, only_open=pick < 4)
        for saying in says:
            self.say(order, *saying)
        if then in ("gone", "working"):
            self.line(order.venue, "reset")
            self.resolve_if_in_doubt(then == "gone", part)
            self.say(order, "H", "none", "0", "1", False)
            self.say(order, "H", "none", "0", "1", False)
        elif then:
            self.end_day(then == "day")

    def resolve_if_in_doubt(self, gone: bool, part: int) -> None:
        if self.has_unclear():
            self.resolve(0, gone, part)

    def unclear(self) -> list[Order]:
        """Orders in doubt, and those of which nobody knows what has traded, closed ones too."""
        return [o for o in self.model.orders if o.doubt > 0 or o.unbooked > 0]

    def has_unclear(self) -> bool:
        return bool(self.unclear())

    @precondition(has_unclear)
    @rule(pick=st.integers(0, 4), gone=st.booleans(), part=st.sampled_from((0, 0, 1, 2, 4)))
    def resolve(self, pick, gone, part):
        found = self.unclear()
        order = found[pick % len(found)]
        cum = (order.qty * part / 4).to_integral_value()
        self.model.now_ns = self.core.time_ns
        wanted = self.model.resolve(order, gone, cum)
        self.agree(self.core.resolve(order.row, ev.GONE if gone else ev.WORKING, number(cum)), wanted)

    @rule(
        symbol=st.sampled_from(("AAPL", "AAPL", "MSFT", "ESZ6")),
        by=st.sampled_from((D(100), D(-100), D(20), D(-20), D("-0.5"), D(650))),
        named=st.lists(
            st.sampled_from(
                (
                    *(("account", "ACC1"), ("account", "ACC2"), ("strategy", "MOMO"), ("strategy", "ARB")),
                    *(("trader", "TOM"), ("desk", "D1"), ("flow", "AUTO")),
                )
            ),
            max_size=3,
        ),
    )
    def adjust(self, symbol, by, named):
        """A person puts a position right."""
        entities = dict(named)
        self.agree(self.core.adjust(symbol, number(by), entities), self.model.adjust(symbol, by, entities))

    @precondition(FromVenue.has_orders)
    @rule(keep=st.sampled_from((True, True, False)))
    def end_day(self, keep):
        self.model.now_ns = self.core.time_ns
        wanted = self.model.end_day(keep)
        self.agree(self.core.day(ev.POSITIONS_KEPT if keep else ev.POSITIONS_RESET), wanted)

    @precondition(lambda self: self.fills)
    @rule(
        days=st.integers(1, 4),
        pick=st.integers(0, 4),
        busts=st.lists(st.tuples(st.sampled_from((0, 0, 1, 3, 4, 6)), st.booleans(), LEAVES), min_size=1, max_size=3),
        again=st.booleans(),
    )
    def bust_of_old(self, days, pick, busts, again):
        """Executions of earlier days are busted or corrected; a ClOrdID of then is perhaps used again."""
        for _ in range(days):
            self.end_day(True)
        if again and self.has_orders():
            self.repeated_id(pick, None, "D")
        for to, tell, leaves in busts:
            if self.fills:
                self.bust_or_correct(pick, tell, to, leaves)

    @precondition(lambda self: self.children)
    @rule(pick=st.integers(0, 30), kind=st.sampled_from("FF4I8"), poss_dup=st.booleans())
    def late_report(self, pick, kind, poss_dup):
        """On a child of long ago, whose order may be given back."""
        child = self.children[pick % len(self.children)]
        if child not in self.model.by_child:
            more = {"t54": "1", "t55": "AAPL", "t32": "1" if kind == "F" else None, "t31": "100"}
            status = {"F": "1", "I": "0"}.get(kind, kind)
            self.deliver("XNAS", child, self.fresh_exec(), kind, status, more, poss_dup)
