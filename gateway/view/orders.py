"""Orders of a running gateway, as rows; see `gateway.view.status` for how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from types import SimpleNamespace

import numpy as np

from gateway.config.files import ConfigError
from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.state.memory import State
from gateway.state.names import DOUBTS, ORDER_TYPES, SIDES, Names
from gateway.view.figures import Clock, exact, name_at, text_of

STATUSES = {
    t.STATUS_NEW: "new",
    t.STATUS_PARTIALLY_FILLED: "partially filled",
    t.STATUS_FILLED: "filled",
    t.STATUS_DONE_FOR_DAY: "done for day",
    t.STATUS_CANCELED: "canceled",
    t.STATUS_STOPPED: "stopped",
    t.STATUS_REJECTED: "rejected",
    t.STATUS_SUSPENDED: "suspended",
    t.STATUS_PENDING_NEW: "pending new",
    t.STATUS_CALCULATED: "calculated",
    t.STATUS_EXPIRED: "expired",
}
TIMES_IN_FORCE = {
    **{ord("0"): "day", ord("1"): "GTC", ord("2"): "at the opening", ord("3"): "IOC", ord("4"): "FOK"},
    **{ord("5"): "GTX", ord("6"): "GTD", ord("7"): "at the close"},
}
CANCELED_BY = {
    **{0: "", a.BY_KILL: "kill switch", a.BY_DROP: "loss of its EMS", a.BY_PERSON: "a person"},
    a.BY_MASS: "mass cancel of {session}",
    a.BY_HALT: "halt",
    a.BY_REDUCE: "reduce_only",
}
"""Why the gateway itself cancels an order."""
ORDER_COLUMNS, REQUEST_COLUMNS = list(a.ORDER.fields or ()), list(a.REQUEST.fields or ())
MOST_NAMES = 20  # in an error
MOST_PENDING = 64  # requests of an order that are looked at
UNSENT, SENT, ACKNOWLEDGED = "unsent", "sent", "acknowledged"


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order. `cl_ord_id`, `price` and what else can be replaced are of the request in force; `leaves` is still open.
    `status` is OrdStatus(39) in words; `pending` says what else waits for the venue, `canceled_by` why the gateway
    itself cancels it.
    """

    order_id: str
    cl_ord_id: str
    session: str
    account: str
    strategy: str
    trader: str
    venue: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    price: Decimal | None
    stop_price: Decimal | None
    quantity: Decimal
    executed: Decimal
    leaves: Decimal
    average_price: Decimal | None
    open: bool
    status: str
    pending: str
    doubt: str
    canceled_by: str
    cancel_tries: int
    placed: datetime
    age_s: Decimal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders are wanted; None: any. With `finished` those that have ended too, as long as the day knows them."""

    account: str | None = None
    strategy: str | None = None
    symbol: str | None = None
    session: str | None = None
    venue: str | None = None
    side: str | None = None
    finished: bool = False


def find_orders(state: State, wanted: Wanted) -> np.ndarray:
    """Rows of the orders that are wanted, oldest first; raises ConfigError for a name that is not known."""
    names = Names(state)
    orders = state.record["orders"][: state.record.order_count]
    found = orders["number"] != a.NONE
    if not wanted.finished:
        found &= orders["counted_open"] == 1
    for scope, name in ((a.ACCOUNT, wanted.account), (a.STRATEGY, wanted.strategy)):
        if name is not None:
            found &= orders["entities"][:, scope] == _entity(state, scope, name)
    for scope, name, column in ((a.SESSION, wanted.session, "session"), (a.VENUE, wanted.venue, "venue")):
        if name is not None:
            _entity(state, scope, name)
            found &= orders[column] == names.sessions.index(name)
    if wanted.symbol is not None:
        if wanted.symbol not in state.instruments:
            raise _not_known("symbol", wanted.symbol, state.instruments)
        found &= orders["instrument"] == state.instruments[wanted.symbol]
    if wanted.side is not None:
        sides = {text: side for side, text in SIDES.items()}
        if wanted.side not in sides:
            raise ConfigError(f"side {wanted.side}: want one of {', '.join(sides)}")
        found &= orders["side"] == sides[wanted.side]
    rows = np.flatnonzero(found)
    return rows[np.argsort(orders["placed_ns"][rows], kind="stable")]


def _entity(state: State, scope: int, name: str) -> int:
    row = state.entities.get((scope, name))
    if row is None:
        raise _not_known(a.SCOPE_NAMES[scope], name, (n for own, n in state.entities if own == scope))
    return row


def _not_known(what: str, name: str, known: Iterable[str]) -> ConfigError:
    *told, last = [*islice(known, MOST_NAMES + 1)] or ["none"]
    names = ", ".join([*told, "..." if len(told) == MOST_NAMES else last])
    return ConfigError(f"{what} {name}: is not known to the gateway; known: {names}")


def order_views(state: State, rows: np.ndarray, monotonic_ns: int) -> Iterator[OrderView]:
    """The orders at these rows; `monotonic_ns` is the machine's monotonic clock now. A row given back is left out."""
    s, clock = state.record, Clock(state, monotonic_ns)
    names = Names(state)
    entities = [name for _, name in names.entities]
    orders, requests = s["orders"][rows], s["requests"]
    accepted = requests[orders["accepted"].clip(0, requests.size - 1)]
    # Fields of a record cost a microsecond each from Python.
    for row, values, request in zip(rows.tolist(), orders.tolist(), accepted.tolist(), strict=True):
        o = SimpleNamespace(**dict(zip(ORDER_COLUMNS, values, strict=True)))
        r = SimpleNamespace(**dict(zip(REQUEST_COLUMNS, request, strict=True)))
        if o.number == a.NONE:
            continue
        # Else the row has been given to another while we read.
        own = r.order == row and 0 <= o.accepted < requests.size
        is_open = bool(o.counted_open)
        to_cancel = is_open and o.canceled_by != 0 and o.cancel_tries == 0
        status, pending = _status(o.status, _pending(requests, o.pending, row), to_cancel)
        session = name_at(names.sessions, o.session) or ""
        yield OrderView(
            order_id=f"O{o.run}-{o.number}",
            cl_ord_id=text_of(r.cl_ord_id, r.cl_ord_id_size) if own else "",
            session=session,
            account=name_at(entities, o.entities[a.ACCOUNT]) or "",
            strategy=name_at(entities, o.entities[a.STRATEGY]) or "",
            trader=name_at(entities, o.entities[a.TRADER]) or "",
            venue=name_at(names.sessions, o.venue) or "",
            symbol=name_at(names.instruments, o.instrument) or "",
            side=SIDES.get(o.side, "?"),
            order_type=ORDER_TYPES.get(r.ord_type, "?") if own else "?",
            time_in_force=TIMES_IN_FORCE.get(r.time_in_force, "?") if own else "?",
            price=exact(r.price_e8, 8) if own and r.price_e8 > 0 else None,
            stop_price=exact(r.stop_e8, 8) if own and r.stop_e8 > 0 else None,
            quantity=exact(o.qty_e8 - o.restated_e8, 8),
            executed=exact(o.cum_e8 - o.restated_e8, 8),
            leaves=exact(max(o.qty_e8 - o.cum_e8, 0) if is_open else 0, 8),
            average_price=exact(o.avg_px_e8, 8) if o.avg_px_e8 > 0 else None,
            open=is_open,
            status=status,
            pending=pending,
            doubt=DOUBTS.get(o.doubt, "?"),
            canceled_by=CANCELED_BY.get(o.canceled_by, "?").format(session=session),
            cancel_tries=o.cancel_tries,
            placed=clock.time(o.placed_ns),
            age_s=exact(max(clock.now_ns - o.placed_ns, 0) // 10**6, 3),
        )


def _pending(requests: np.ndarray, row: int, order: int) -> list[tuple[int, str]]:
    """(kind, how far it is: UNSENT, SENT or ACKNOWLEDGED) of the requests that wait for the venue, newest first."""
    waiting: list[tuple[int, str]] = []
    while 0 <= row < requests.size and len(waiting) < MOST_PENDING:
        if requests["order"][row] != order:
            break
        went = UNSENT if requests["unsent"][row] else ACKNOWLEDGED if requests["acknowledged"][row] else SENT
        waiting.append((int(requests["kind"][row]), went))
        row = int(requests["older"][row])
    return waiting


def _status(status: int, waiting: list[tuple[int, str]], to_cancel: bool) -> tuple[str, str]:
    """OrdStatus(39) in words by FIX's precedence; and what has been sent to the venue and waits for its word, or, as a
    cancel that `to_cancel` says is wanted, waits to be sent.
    """
    words = STATUSES.get(status, f"OrdStatus {chr(status & 0x7F)}")
    if status in (t.STATUS_CANCELED, t.STATUS_REJECTED, t.STATUS_EXPIRED):
        return words, ""
    asked = {t.ORDER_CANCEL_REQUEST: "cancel", t.ORDER_CANCEL_REPLACE_REQUEST: "replace"}
    for kind, what in asked.items():
        if (kind, ACKNOWLEDGED) in waiting:
            words = f"pending {what}"
            break
    sent = [what for kind, what in asked.items() if (kind, SENT) in waiting]
    told = [f"{' and '.join(sent)} sent"] if sent else []
    if "cancel" not in sent and (to_cancel or (t.ORDER_CANCEL_REQUEST, UNSENT) in waiting):
        told.append("cancel not sent yet")
    return words, ", ".join(told)


def orders_in_doubt(state: State) -> list[tuple[str, ...]]:
    """(OrderID, venue, OrderID and ClOrdID there, account, symbol, side, quantity, executed, doubt) of every order in
    doubt: what a person needs to ask the venue about it.
    """
    s = state.record
    names = Names(state)
    orders = s["orders"][: s.order_count]
    rows: list[tuple[str, ...]] = []
    unsure = (orders["doubt"] != a.SURE) | (orders["unbooked_e8"] > 0)
    for row in np.flatnonzero((orders["number"] != a.NONE) & unsure):
        order = s.orders[row]
        request = s.requests[int(order.accepted)]
        child = f"C{request.run}-{request.child}"
        there = text_of(order.venue_order_id, order.venue_order_id_size)
        account = str(names.entity(int(order.entities[a.ACCOUNT])))
        what: tuple[str, ...] = (order_id(order), str(names.session(int(order.venue))), there, child, account)
        what += (str(names.instrument(int(order.instrument))),)
        quantities = (str(Decimal(quantity) / E8) for quantity in told_quantities(order))
        doubts = [DOUBTS[int(order.doubt)]] if order.doubt != a.SURE else []
        if order.unbooked_e8 > 0:
            doubts.append(f"{Decimal(int(order.unbooked_e8)) / E8} executed or not")
        rows.append((*what, SIDES[int(order.side)], *quantities, ", ".join(doubts)))
    return rows


def order_id(order: np.record) -> str:
    """OrderID(37) that the EMS knows an order by."""
    return f"O{order.run}-{order.number}"


def told_quantities(order: np.record) -> tuple[int, int]:
    """OrderQty(38) and CumQty(14) of an order in 10^-8 as its venue and its EMS count them: a venue may have restated
    it.
    """
    return int(order.qty_e8 - order.restated_e8), int(order.cum_e8 - order.restated_e8)


def find_order(state: State, name: str) -> int:
    """Row of the order with this OrderID(37), NONE when there is none."""
    match = re.fullmatch(r"O(\d{1,18})-(\d{1,18})", name)
    if match is None:
        return a.NONE
    orders = state.record["orders"][: state.record.order_count]
    found = np.flatnonzero((orders["run"] == int(match[1])) & (orders["number"] == int(match[2])))
    return int(found[0]) if found.size else a.NONE


def open_orders_of(state: State, entity: int, most: int) -> tuple[int, Callable[[], list[dict[str, str]]]]:
    """How many orders of an entity's row may still trade now, and what tells of the first `most` of them as they are
    now, whenever it is called: OrderID, EMS session and ClOrdID in force, symbol, side and leaves.
    """
    s, names = state.record, Names(state)
    orders = s["orders"][: s.order_count]
    scope = int(s.entities[entity].scope)
    of_entity = orders["entities"][:, scope] == entity
    rows = np.flatnonzero((orders["number"] != a.NONE) & (orders["counted_open"] == 1) & of_entity)
    # Whole columns: a field of a record costs a microsecond, and there may be a thousand orders.
    chosen = orders[rows[:most]]
    requests = s["requests"][chosen["accepted"]]
    columns = [chosen[name].tolist() for name in ("run", "number", "session", "instrument", "side", "reserved_e8")]
    of_requests = [requests[name].tolist() for name in ("run", "child", "cl_ord_id_size")]
    return rows.size, lambda: [
        {
            "order_id": f"O{run}-{number}",
            "child_cl_ord_id": f"C{child_run}-{child}",
            "session": str(names.session(session)),
            "cl_ord_id": bytes(cl_ord_id[:size]).decode("latin-1"),
            "symbol": str(names.instrument(instrument)),
            "side": SIDES[side],
            "leaves": str(Decimal(leaves) / E8),
        }
        for run, number, session, instrument, side, leaves, child_run, child, size, cl_ord_id in zip(
            *columns, *of_requests, requests["cl_ord_id"], strict=True
        )
    ]
