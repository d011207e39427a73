"""The tables of the model: orders and requests by row, executions; what is given back when a day ends."""

from __future__ import annotations

from tests.properties.model_checks import Checks
from tests.properties.model_orders import CANCEL, NEW, OUTLIVES_THE_DAY, D, Fill, Order, Request, Wanted

ALERT: Wanted = ("", "", {})
Execution = tuple[str, int | None, str]


class Tables(Checks):
    """What is kept of orders, and in which row: a venue is asked in the order of rows, and rows are taken again."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        super().__init__(config, limits, instruments, now_ns)
        self.by_id: dict[tuple[str, str], tuple[Order, Request]] = {}
        self.by_child: dict[str, tuple[Order, Request]] = {}
        self.children: set[str] = set()  # all there ever were
        self.used: set[tuple[str, str]] = set()
        self.had_answer: set[tuple[str, str]] = set()  # of requests that were refused before they came to an order
        self.unnamed: list[tuple[Order, Request]] = []  # sent, under a ClOrdID that is not known yet
        self.table: list[Request] = []  # by row; what was given back stays until its row is taken again
        self.free: list[int] = []  # rows of it to be taken again from the end
        self.free_rows: list[int] = []  # of orders
        self.numbered: list[Order] = []  # all there ever were
        self.at_venues: list[Order] = []  # those with an OrderID of their venue's, the one that told it last at the end
        self.seen: dict[Execution, bool] = {}  # whether it is a fill, a bust, a correction or a copy of one
        self.executions: dict[Execution, Fill] = {}
        self.corrects: dict[Execution, Execution] = {}  # the fill that a correction changed
        self.run = 1
        self.days = 0
        self.keep_days = int(config["day"]["keep_executions"])

    def enter(self, order: Order) -> None:
        """An order takes the row given back last, or a new one."""
        order.order_id = f"O{self.run}-{len(self.numbered)}"
        order.row = self.free_rows.pop() if self.free_rows else len(self.orders)
        self.numbered.append(order)
        self.orders.append(order)

    def take_row(self, request: Request) -> None:
        """A request takes the row given back last, whose child nobody knows any more, or a new one."""
        if self.free:
            request.row = self.free.pop()
            self.by_child.pop(self.table[request.row].child, None)
            self.table[request.row] = request
        else:
            request.row = len(self.table)
            self.table.append(request)

    def add(self, order: Order, request: Request) -> None:
        """Enter a request of an order, sent on or refused."""
        if request is not order.requests[0]:
            order.requests.append(request)
        self.take_row(request)
        if not request.ours:
            self.used.add((request.session, request.cl_ord_id))
            self.by_id[request.session, request.cl_ord_id] = order, request

    def arrive(self, session: str) -> None:
        """Count a message of an EMS."""
        self.count_message("session", session)
        self.count_message("firm", "")

    def use(self, session: str, cl_ord_id: str) -> None:
        """The ClOrdID of a refused request is kept."""
        self.used.add((session, cl_ord_id))
        self.had_answer.add((session, cl_ord_id))
        self.take_row(Request(session, NEW, cl_ord_id, D(0), state="rejected"))

    def give_back(self, request: Request) -> None:
        """A cancel without effect: its ClOrdID is free, its child known until the row is taken again."""
        self.free.append(request.row)
        if not request.ours:
            self.used.discard((request.session, request.cl_ord_id))
            self.by_id.pop((request.session, request.cl_ord_id))

    def sent(self, child: str) -> None:
        """The request sent on first of those without a name went out under this ClOrdID."""
        order, request = self.unnamed.pop(0)
        request.child = child
        self.by_child[child] = order, request
        self.children.add(child)

    # The end of the day.

    def end_day(self, keep_positions: bool) -> list[Wanted]:
        """What belongs to no open order is forgotten, but while positions are kept what has traded or is in doubt."""
        self.known_since_ns = self.now_ns - self.began_ns
        self.days += 1
        for order in self.orders:
            order.terms += 1
            order.mass_cancel = ""  # their ClOrdIDs are forgotten
            for request in order.requests:
                request.mass, request.is_told = "", False
            if not keep_positions and order.doubtful > 0:
                order.fills, order.doubtful = order.fills - min(order.doubtful, order.fills), D(0)
                self.book(order)
        finished = [o for o in self.orders if not o.is_open() and o.unbooked == 0]
        for order in finished:
            self.keep(order, keep_positions)
        gone = [o for o in finished if not o.ended_day]
        self.free_rows += sorted(o.row for o in gone)
        is_gone = {id(o) for o in gone}
        self.orders = [o for o in self.orders if id(o) not in is_gone]
        self.forget({id(o) for o in self.orders}, keep_positions)
        if not keep_positions:
            self.positions = {}
        late = [o for o in self.orders if o.is_open() and o.accepted.time_in_force not in OUTLIVES_THE_DAY]
        return [ALERT] if late else []

    def keep(self, order: Order, keep_positions: bool) -> None:
        """A finished order that has traded is kept for some days, with the ids under which a bust may name it; one with
        a cancel that waits for room until the next sweep has answered that.
        """
        first_day = order.ended_day or self.days
        has_fills = any(self.numbered[n] is order for _, n, _ in self.executions if n is not None)
        is_kept = keep_positions and has_fills and self.days - first_day < self.keep_days
        waits = any(r.unsent for r in order.pending(CANCEL))
        order.ended_day = first_day if waits or is_kept else 0
        pending = order.all_pending() if waits else []
        named = [order.requests[0], order.accepted, *pending]
        order.requests = [r for r in order.requests if any(r is n for n in named)]

    def forget(self, is_kept: set[int], keep_positions: bool) -> None:
        """Ids of orders that are gone or ended; what is known by them of those that are gone."""
        self.at_venues = [o for o in self.at_venues if id(o) in is_kept]
        self.at_venues.sort(key=lambda o: (o.ended_day == 0, o.row))
        self.accepted = [entry for entry in self.accepted if id(entry[2]) in is_kept]
        named = {id(r) for o in self.orders for r in o.requests}
        self.by_child = {child: (o, r) for child, (o, r) in self.by_child.items() if id(r) in named}
        self.by_id = {key: (o, r) for key, (o, r) in self.by_id.items() if self.is_known(o, r, is_kept)}
        self.used &= set(self.by_id)
        needed = {r.row for o in self.orders for r in o.requests if self.table[r.row] is r} | set(self.free)
        self.free += [row for row in range(len(self.table)) if row not in needed]
        numbers = {n for n, o in enumerate(self.numbered) if id(o) in is_kept}
        self.seen = {
            key: is_fill
            for key, is_fill in self.seen.items()
            if key[1] in numbers and ((is_fill and keep_positions) or self.numbered[key[1]].ended_day == 0)
        }
        if not keep_positions:
            ended = {n for n in numbers if self.numbered[n].ended_day}
            self.executions = {key: fill for key, fill in self.executions.items() if key[1] not in ended}
            self.corrects = {key: old for key, old in self.corrects.items() if key[1] not in ended}
        self.unknown = {}

    @staticmethod
    def is_known(order: Order, request: Request, is_kept: set[int]) -> bool:
        """Whether the ClOrdID of a request stands for it: of a day that has ended only while it waits for an answer."""
        is_left = request.state == "pending" and any(r is request for r in order.requests)
        return id(order) in is_kept and (order.ended_day == 0 or is_left)

    def revive(self, order: Order) -> None:
        """An order of a day that has ended works again: its EMS can name it, by ids that it has not used since."""
        order.ended_day = 0
        for request in order.requests:
            if not request.ours and (order.session, request.cl_ord_id) not in self.used:
                self.used.add((order.session, request.cl_ord_id))
                self.by_id[order.session, request.cl_ord_id] = order, request
