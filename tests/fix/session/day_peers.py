"""For `test_simulated_day`: an EMS and a venue, each with its own book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fix.session.day_gateway import ORDERS, RECONNECT_S, SECOND_NS, SLOWEST_S, Body, utc
from tests.fix.session.day_peer import Peer
from tests.fix.session.test_protocol import EMS, VENUE
from tests.support.core import Fields

if TYPE_CHECKING:
    from tests.fix.session.test_simulated_day import Day

REQUEST_EVERY_S, ASK_ONCE_MORE_S = 45, 3600  # on average
CLOSED = ("2", "4", "8")


@dataclass
class Order:
    """An order as one side knows it; `status` is OrdStatus(39), empty while nothing was told."""

    id: str
    side: str
    qty: int
    status: str = ""
    cum: int = 0
    fills: int = 0
    order_id: str = ""  # OrderID(37) of the gateway
    current: str = ""  # ClOrdID(11) in force at the venue

    @property
    def is_open(self) -> bool:
        """Whether it can trade."""
        return self.status not in CLOSED


class Ems(Peer):
    """Sends orders, cancels and replaces, and knows what it was told of each."""

    def __init__(self, day: Day) -> None:
        super().__init__(day, EMS)
        self.orders: dict[str, Order] = {}  # by each of its ClOrdIDs
        self.roots: list[Order] = []
        self.unanswered: dict[str, str] = {}  # MsgType by ClOrdID
        self.id_by_number: dict[int, str] = {}
        self.kept_back: set[str] = set()
        self.exec_ids: set[str] = set()
        self.dial_ns = 0
        self.serial = 0
        day.after(60, self.act)

    def tick(self) -> None:
        """Connect when it is time."""
        super().tick()
        now_ns = self.day.now_ns
        if self.is_connected or now_ns < max(self.dial_ns, self.link.down_until_ns):
            return
        self.dial_ns = now_ns + RECONNECT_S * SECOND_NS
        if self.day.gateway.has(EMS):
            return  # it has not noticed the end of the last connection, and takes no other
        self.link.connect()
        self.connected()
        if self.resets:
            self.reset()
        self.say("A", [(98, "0"), (108, 30), *([(141, "Y")] if self.resets else [])])

    def on_logon(self, number: int) -> int:
        """Logged on."""
        self.day.counts["ResetSeqNumFlag"] += self.resets
        self.resets = False
        for _ in range(self.day.draw.choice([0, 0, 1, 3])):  # ahead of what it will be asked for
            self.day.after(self.day.draw.random() * self.link.delay_s, self.send_one)
        return super().on_logon(number)

    def act(self) -> None:
        """The next order, cancel or replace, and when the one after it is due."""
        self.day.after(self.day.draw.expovariate(1 / REQUEST_EVERY_S), self.act)
        self.send_one()

    def send_one(self) -> None:
        """An order, cancel or replace; some while the session is off."""
        draw = self.day.draw
        if self.day.is_quiet or not (self.is_on or draw.random() < 0.3):
            return
        self.serial += 1
        live = [order for order in self.roots[-50:] if order.is_open]
        if not live or draw.random() < 0.55:
            order = Order(f"N{self.serial}", draw.choice("12"), draw.randint(1, 100))
            self.roots.append(order)
            self._request("D", order.id, order, [(38, order.qty)])
            self.day.counts["order"] += 1
        elif draw.random() < 0.5:
            self._request("F", f"X{self.serial}", order := draw.choice(live), [(41, order.id)])
        else:
            qty = (order := draw.choice(live)).cum + draw.randint(1, 100)
            self._request("G", f"R{self.serial}", order, [(38, qty), (41, order.id)])

    def _request(self, msg_type: str, cl_ord_id: str, order: Order, more: Body) -> None:
        self.orders[cl_ord_id] = order
        self.unanswered[cl_ord_id] = msg_type
        body: Body = [(11, cl_ord_id), (54, order.side), (55, "AAPL"), (60, utc(self.day.wall_ns)), *more]
        if msg_type != "F":
            body += [(1, "ACC1"), (21, "1"), (40, "2"), (44, "100"), (59, "0")]
        self.id_by_number[self.next_out] = cl_ord_id
        self.say(msg_type, body)

    def keeps_back(self, number: int, stored: tuple[str, Body, int]) -> bool:
        """Whether an order that is to be sent again is too old for that; it then stays so."""
        msg_type, fields, first_ns = stored
        if self.day.wall_ns - first_ns < 60 * SECOND_NS or self.day.draw.random() < 0.5:
            self.day.counts["order sent again"] += msg_type in ORDERS
            return False
        self.day.counts["order not sent again"] += 1
        del self.sent[number]
        self.unanswered.pop(self.id_by_number.get(number, ""), None)
        self.kept_back.add(self.id_by_number.get(number, ""))
        return True

    def on_application(self, msg_type: str, fields: Fields) -> None:
        """What the gateway tells of an order."""
        assert msg_type in ("8", "9", "3"), fields
        cl_ord_id = fields[11] if msg_type != "3" else self.id_by_number.get(int(fields[45]), "")
        self.unanswered.pop(cl_ord_id, None)
        order = self.orders.get(cl_ord_id)
        if msg_type == "8":
            self._on_report(self.orders[cl_ord_id], fields)
        elif msg_type == "9" and fields[37] != "NONE":
            self.orders[cl_ord_id].status = fields[39]
        elif msg_type == "3" and order is not None and order.id == cl_ord_id and not order.status:
            order.status = "8"

    def _on_report(self, order: Order, fields: Fields) -> None:
        if fields[150] != "I":
            assert fields[17] not in self.exec_ids, f"ExecID(17) given twice: {fields}"
            self.exec_ids.add(fields[17])
        order.fills += int(fields[32]) if fields[150] == "F" else 0
        order.status, order.cum, order.order_id = fields[39], int(fields[14]), fields[37]
        self.day.counts["refused, venue down"] += fields.get(103) == "2"

    def ask_for_unanswered(self) -> None:
        """OrderStatusRequest(H) of each order of which nothing was told."""
        for order in self.roots:
            if not order.status and order.id not in self.kept_back:
                self.say("H", [(11, order.id), (54, order.side), (55, "AAPL")])


class Venue(Peer):
    """Acknowledges, fills, cancels and rejects orders, whether its session is up or not."""

    def __init__(self, day: Day) -> None:
        super().__init__(day, VENUE)
        self.orders: dict[str, Order] = {}  # by each ClOrdID of the gateway's that it has accepted
        self.by_ems_id: dict[str, Order] = {}
        self.had: set[str] = set()
        self.serial = 0
        day.after(1800, self.ask_once_more)

    def on_logon(self, number: int) -> int:
        """Answer the gateway's Logon."""
        super().on_logon(number)
        if not self.resets:
            self.say("A", [(98, "0"), (108, 30)])
            for order in [each for each in self.by_ems_id.values() if each.is_open][:2]:
                self.trade(order)  # ahead of what it will be asked for
            return number
        self.reset()
        self.next_in = 1
        self.say("A", [(98, "0"), (108, 30), (141, "Y")])
        self.day.counts["ResetSeqNumFlag"] += 1
        self.resets = False
        return 1

    def ask_once_more(self) -> None:
        """ResendRequest(2) of what it has had."""
        self.day.after(self.day.draw.expovariate(1 / ASK_ONCE_MORE_S), self.ask_once_more)
        self._ask_from(self.next_in - self.day.draw.randint(1, 20))

    def _ask_from(self, number: int) -> None:
        if self.is_on and not self.day.is_quiet:
            self.say("2", [(7, max(1, number)), (16, self.day.draw.choice([0, self.next_in]))])
            self.day.counts["venue asks"] += 1

    def on_application(self, msg_type: str, fields: Fields) -> None:
        """A message of the gateway."""
        assert msg_type in "DFGH", fields
        if msg_type == "H":
            self._on_status_request(fields)
            return
        cl_ord_id = fields[11]
        assert cl_ord_id not in self.had, f"sent twice: {fields}"
        assert 43 not in fields, f"sent again: {fields}"
        age_s = (self.day.now_ns - self.day.gateway.children[cl_ord_id]) / SECOND_NS
        assert age_s <= SLOWEST_S + 0.1, f"sent {age_s} s late: {fields}"
        self.had.add(cl_ord_id)
        if self.day.draw.random() < 0.03:
            self._ask_from(self.next_in - 1)  # of this one, which it has not answered yet
        if msg_type == "D":
            self._on_order(fields)
        else:
            self._on_request(msg_type, fields)

    def _on_order(self, fields: Fields) -> None:
        order = Order(fields[11], fields[54], int(fields[38]))
        self.orders[order.id] = self.by_ems_id[fields[526]] = order
        order.status = "8" if self.day.draw.random() < 0.08 else "0"
        self._report(order, order.status)
        if order.is_open:
            self.day.after(self.day.draw.expovariate(1 / 120), lambda: self.trade(order))

    def _on_request(self, msg_type: str, fields: Fields) -> None:
        order = self.orders.get(fields[41])
        qty = int(fields.get(38, "0"))
        takes = order and order.is_open and (msg_type == "F" or qty > order.cum) and self.day.draw.random() < 0.9
        if order is None or not takes:
            state = ("NONE", "8") if order is None else (order.id, order.status)
            kind = (11, fields[11]), (41, fields[41]), (434, "1" if msg_type == "F" else "2"), (102, "0")
            self.say("9", [(37, state[0]), (39, state[1]), *kind])
            return
        self.orders[fields[11]] = order
        if msg_type == "F":
            order.status = "4"
        else:
            order.qty = qty
        self._report(order, "4" if msg_type == "F" else "5", [(11, fields[11]), (41, fields[41])])
        if msg_type == "G":
            order.current = fields[11]

    def _on_status_request(self, fields: Fields) -> None:
        order = self.orders.get(fields[11])
        echo: Body = [(11, fields[11])] + ([(790, fields[790])] if 790 in fields else [])
        self._report(order or Order("NONE", fields[54], 0, "8"), "I", echo)

    def trade(self, order: Order) -> None:
        """Some of an order trades; now and then the rest of it is canceled by the venue."""
        draw = self.day.draw
        if not order.is_open:
            return
        if self.day.is_quiet:
            self.day.after(60, lambda: self.trade(order))
        elif draw.random() < 0.05:
            order.status = "4"
            self._report(order, "4")
        else:
            qty = draw.randint(1, order.qty - order.cum)
            order.cum += qty
            order.status = "2" if order.cum == order.qty else "1"
            self.day.counts["fill"] += 1
            self._report(order, "F", [(32, qty), (31, "100")])
            self.day.after(draw.expovariate(1 / 600), lambda: self.trade(order))

    def _report(self, order: Order, exec_type: str, more: Body = ()) -> None:
        self.serial += 1
        leaves = order.qty - order.cum if order.is_open else 0
        fields = {11: order.current or order.id, 37: f"V{order.id}", 17: f"E{self.serial}", 150: exec_type}
        fields |= {39: order.status, 55: "AAPL", 54: order.side, 38: order.qty, 44: "100", 14: order.cum}
        self.say("8", list((fields | {151: leaves, 6: "100" if order.cum else "0"} | dict(more)).items()))
