r"""An EMS: a FIX client that sends orders and keeps what comes back.

    tidegate sim ems 127.0.0.1:9876 \
        --session FIX.4.4:EMS:GATEWAY --orders 100 --rate 50 --symbols AAPL:187.5
    echo 'buy 100 AAPL @ 187.50' | tidegate sim ems 127.0.0.1:9876 \
        --session FIX.4.4:EMS:GATEWAY --script -

From Python: `with Ems(EmsConfig(connect=(host, port), sessions=[...])) as ems: ems.new_order(symbol="AAPL", ...)`.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from tidegate_tools.fix.text import Fields, first, input_lines, parse_address, utc_now
from tidegate_tools.sim.matching_book import format_e8, parse_e8
from tidegate_tools.sim.quickfix_peer import LoggedMessage, Peer, PeerConfig, SessionConfig
from tidegate_tools.sim.script import parse_script, run_script

HEADER_TAGS = frozenset((50, 57, 115, 116, 128, 129, 142, 143, 144, 145, 43, 97, 122))
TERMINAL = frozenset("2348C")
STATUS_NAMES = {
    "0": "new",
    "1": "partially filled",
    "2": "filled",
    "3": "done for day",
    "4": "canceled",
    "5": "replaced",
    "6": "pending cancel",
    "8": "rejected",
    "A": "pending new",
    "C": "expired",
    "E": "pending replace",
    "": "unanswered",
}

KINDS = {"8": "report", "9": "cancel reject", "3": "session reject", "j": "business reject", "r": "mass cancel report"}


@dataclass(frozen=True, kw_only=True)
class EmsConfig(PeerConfig):
    """Everything about an EMS; it has exactly one session."""

    extra_fields: Fields = field(default_factory=list)
    """Fields for every D, F and G, such as Account(1), SenderSubID(50) or user tags."""
    cl_ord_id_prefix: str | None = None
    """Start of ClOrdIDs; None makes one from the clock, so that they differ from run to run."""


@dataclass(slots=True)
class OrderView:
    """An order chain as the reports tell it; texts are as they came."""

    cl_ord_id: str
    """The last ClOrdID accepted."""
    symbol: str
    side: str
    quantity: str
    price: str = ""
    """Empty for a market order."""
    ord_type: str = "2"
    time_in_force: str = "0"
    status: str = ""
    """OrdStatus(39), empty before the first report."""
    order_id: str = ""
    cum: str = "0"
    leaves: str = ""
    average: str = "0"
    text: str = ""

    @property
    def open(self) -> bool:
        """True until a report says that the order is done."""
        return self.status not in TERMINAL


class Ems(Peer):
    """A running EMS. Everything public is safe from any thread; sending while logged off raises ConnectionError."""

    def __init__(self, config: EmsConfig) -> None:
        super().__init__(config)
        if len(config.sessions) != 1:
            raise ValueError(f"sessions: an EMS has exactly one, not {len(config.sessions)}")
        self.config = config
        self.session = config.sessions[0].name
        prefix = config.cl_ord_id_prefix
        self._prefix = f"{time.time_ns() // 1_000_000:X}-" if prefix is None else prefix
        self._count = 0
        self._messages: list[Fields] = []
        self._chains: dict[str, OrderView] = {}
        self._wanted: dict[str, tuple[str, str, str]] = {}
        """Quantity, price and OrdType asked for, by the ClOrdID of the replace."""
        self._working: dict[str, OrderView] = {}
        self._unanswered: set[str] = set()
        self._sent: dict[str, str] = {}
        """MsgSeqNum to ClOrdID: a session or business reject names only the number."""

    def new_order(
        self,
        *,
        symbol: str,
        side: str = "1",
        quantity: str | int = 100,
        price: str | int | None = None,
        time_in_force: str = "0",
        cl_ord_id: str = "",
        extra: Iterable[tuple[int, str]] = (),
    ) -> str:
        """Send a NewOrderSingle and return its ClOrdID; values as in FIX (side 1 or 2), no price: a market order.

        Fields in `extra` take the place of those of the same tag.
        """
        cl_ord_id = cl_ord_id or self.next_cl_ord_id()
        order = OrderView(cl_ord_id, symbol, side, str(quantity), "" if price is None else str(price))
        order.ord_type, order.time_in_force = "1" if price is None else "2", time_in_force
        given = dict(extra)
        own = [field for field in self._order_fields(order) if field[0] not in given]
        body = [(11, cl_ord_id), *own, *given.items()]
        self._call(lambda: self._send_order("D", body, order))
        return cl_ord_id

    def replace(
        self,
        orig_cl_ord_id: str,
        *,
        quantity: str | int | None = None,
        price: str | int | None = None,
        cl_ord_id: str = "",
        extra: Iterable[tuple[int, str]] = (),
    ) -> str:
        """Send an OrderCancelReplaceRequest (41 is `orig_cl_ord_id`) and return its ClOrdID; what is None stays.

        Fields in `extra` take the place of those of the same tag.
        """
        wanted, cl_ord_id = self._chain(orig_cl_ord_id), cl_ord_id or self.next_cl_ord_id()
        if orig_cl_ord_id in self._wanted:
            wanted.quantity, wanted.price, wanted.ord_type = self._wanted[orig_cl_ord_id]
        wanted.quantity = wanted.quantity if quantity is None else str(quantity)
        if price is not None:
            wanted.price, wanted.ord_type = str(price), "2"
        given = dict(extra)
        own = [field for field in self._order_fields(wanted) if field[0] not in given]
        body = [(11, cl_ord_id), (41, orig_cl_ord_id), *own, *given.items()]

        def send() -> None:
            self._wanted[cl_ord_id] = (wanted.quantity, wanted.price, wanted.ord_type)
            self._send_order("G", body, self._chains[orig_cl_ord_id])

        self._call(send)
        return cl_ord_id

    def cancel(self, orig_cl_ord_id: str, *, cl_ord_id: str = "", extra: Iterable[tuple[int, str]] = ()) -> str:
        """Send an OrderCancelRequest and return its ClOrdID."""
        order, cl_ord_id = self._chain(orig_cl_ord_id), cl_ord_id or self.next_cl_ord_id()
        body = [(11, cl_ord_id), (41, orig_cl_ord_id), (55, order.symbol), (54, order.side), (38, order.quantity)]
        body += [(60, utc_now()), *extra]
        self._call(lambda: self._send_order("F", body, self._chains[orig_cl_ord_id]))
        return cl_ord_id

    def order_status(self, cl_ord_id: str, *, extra: Iterable[tuple[int, str]] = ()) -> None:
        """Send an OrderStatusRequest for an order by a ClOrdID of its chain; the answer is among its reports."""
        order = self._chain(cl_ord_id)
        self._call(lambda: self._send_checked("H", [(11, cl_ord_id), (55, order.symbol), (54, order.side), *extra]))

    def mass_cancel(self, symbol: str = "") -> str:
        """Send an OrderMassCancelRequest for all orders, or those in a symbol, and return its ClOrdID."""
        cl_ord_id = self.next_cl_ord_id()
        which = [(530, "1"), (55, symbol)] if symbol else [(530, "7")]

        def send() -> None:
            self._send_checked("q", [(11, cl_ord_id), *which, (60, utc_now())])
            self._unanswered.add(cl_ord_id)

        self._call(send)
        return cl_ord_id

    def mass_status(self, symbol: str = "") -> str:
        """Send an OrderMassStatusRequest for all orders, or those in a symbol, and return its MassStatusReqID(584)."""
        request_id = self.next_cl_ord_id()
        which = [(585, "1"), (55, symbol)] if symbol else [(585, "7")]
        self._call(lambda: self._send_checked("AF", [(584, request_id), *which]))
        return request_id

    def wait_answered(self, timeout: float) -> None:
        """Wait until every request sent has a report or a reject."""
        self.wait_for(lambda: not self.unanswered, timeout, "an answer to every request")

    def send_raw(self, msg_type: str, body_fields: Fields) -> None:
        """Send any application message, fields as given; header tags such as 50 or 97 go to the header."""
        self._call(lambda: self._send_checked(msg_type, body_fields))

    def next_cl_ord_id(self) -> str:
        """A ClOrdID not given out before."""
        with self._changed:
            self._count += 1
            return f"{self._prefix}{self._count}"

    @property
    def messages(self) -> list[Fields]:
        """All application messages and session rejects received, oldest first."""
        with self._changed:
            return list(self._messages)

    def reports(self, cl_ord_id: str) -> list[Fields]:
        """ExecutionReports and OrderCancelRejects that carry this ClOrdID in 11 or 41."""
        return [m for m in self.messages if first(m, 35) in ("8", "9") and cl_ord_id in (first(m, 11), first(m, 41))]

    @property
    def orders(self) -> dict[str, OrderView]:
        """A copy of every order sent, by each ClOrdID of its chain."""
        with self._changed:
            return {key: copy.copy(order) for key, order in self._chains.items()}

    def order(self, cl_ord_id: str) -> OrderView:
        """A copy of one order by any ClOrdID of its chain; KeyError if it was never sent."""
        return self._chain(cl_ord_id)

    @property
    def working(self) -> list[str]:
        """ClOrdIDs of the orders that are open, oldest first."""
        with self._changed:
            return [order.cl_ord_id for order in self._working.values()]

    @property
    def unanswered(self) -> frozenset[str]:
        """ClOrdIDs of requests without a final report or reject."""
        with self._changed:
            return frozenset(self._unanswered)

    def _chain(self, cl_ord_id: str) -> OrderView:
        with self._changed:
            return copy.copy(self._chains[cl_ord_id])

    def _order_fields(self, order: OrderView) -> Fields:
        fields = [(21, "1"), (55, order.symbol), (54, order.side), (60, utc_now()), (38, order.quantity)]
        fields += [(40, order.ord_type), (59, order.time_in_force)]
        return [*fields, (44, order.price)] if order.price else fields

    def _send_order(self, msg_type: str, body: Fields, chain: OrderView) -> None:
        cl_ord_id = first(body, 11)
        self._chains.setdefault(cl_ord_id, chain)
        self._unanswered.add(cl_ord_id)
        extras = [(tag, value) for tag, value in self.config.extra_fields if not first(body, tag)]
        try:
            self._send_checked(msg_type, [*body, *extras])
        except ConnectionError:
            self._unanswered.discard(cl_ord_id)
            raise

    def _send_checked(self, msg_type: str, fields: Fields) -> None:
        header = [(tag, value) for tag, value in fields if tag in HEADER_TAGS]
        body = [(tag, value) for tag, value in fields if tag not in HEADER_TAGS]
        if not self._send(self.session, msg_type, body, header):
            raise ConnectionError(f"{self} is not logged on")

    # Hooks of the peer's thread

    def _may_send(self, session: str, fields: Fields) -> bool:
        """Nothing is kept for a later logon, and no order is ever resent."""
        if session not in self._online or first(fields, 43) == "Y":
            return False
        self._sent[first(fields, 34)] = first(fields, 11)
        return True

    def _received(self, session: str, fields: Fields) -> None:
        self._messages.append(fields)
        cl_ord_id = first(fields, 11)
        if first(fields, 35) in ("3", "j"):
            cl_ord_id = self._sent.get(first(fields, 45), "")
        if first(fields, 150) not in ("6", "A", "E"):
            self._unanswered.discard(cl_ord_id)
        order = self._chains.get(cl_ord_id) or self._chains.get(first(fields, 41))
        if order and first(fields, 35) == "8":
            self._apply_report(order, fields)
        elif order and first(fields, 35) == "9":
            order.text = first(fields, 58)
            if first(fields, 39) and first(fields, 37) != "NONE":
                order.status = first(fields, 39)
        elif order:
            order.text = first(fields, 58)
        if order and order.status in ("0", "1", "5", "6", "E"):
            self._working[order.order_id] = order
        elif order:
            self._working.pop(order.order_id, None)
        self._changed.notify_all()

    def _apply_report(self, order: OrderView, report: Fields) -> None:
        if first(report, 150) == "8" and order.status:
            order.text = first(report, 58)
            return
        order.status, order.order_id = first(report, 39), first(report, 37)
        order.cum, order.leaves, order.average = first(report, 14), first(report, 151), first(report, 6)
        order.text = first(report, 58) or order.text
        if first(report, 150) not in ("6", "E"):
            order.cl_ord_id = first(report, 11)
        if first(report, 150) == "5" and order.cl_ord_id in self._wanted:
            order.quantity, order.price, order.ord_type = self._wanted[order.cl_ord_id]


def describe(entry: LoggedMessage) -> str:
    """A received message in a line, for people."""
    m = entry.fields
    kind = KINDS.get(first(m, 35))
    if entry.sent or kind is None:
        return ""
    parts = [kind, first(m, 11), STATUS_NAMES.get(first(m, 39), first(m, 39)) if first(m, 35) in "89" else ""]
    if first(m, 150) == "5":
        parts[2] = "replaced"  # OrdStatus(39) of 4.4 is that of the new terms
    if first(m, 35) == "r":
        parts[2] = "refused" if first(m, 531) == "0" else f"accepted, {first(m, 533)} orders"
    if first(m, 32):
        parts.append(f"{first(m, 32)} @ {first(m, 31)}")
    if first(m, 151):
        parts.append(f"cum {first(m, 14)} leaves {first(m, 151)}")
    return " ".join(part for part in [*parts, first(m, 58)] if part)


@dataclass(frozen=True, slots=True)
class Flow:
    """A random order flow: new orders, and replaces and cancels of its own open orders."""

    orders: int
    rate: float
    """Messages a second; 0: as fast as they go."""
    symbols: Sequence[tuple[str, int]]
    """Symbol and middle price, e8."""
    seed: int = 0
    replace_share: float = 0.15
    cancel_share: float = 0.15


def run_flow(ems: Ems, flow: Flow) -> None:
    """Send the flow's messages; which are replaces and cancels depends on the answers, prices and sizes on the seed."""
    chooser = random.Random(flow.seed)
    due = time.monotonic()
    for _ in range(flow.orders):
        draw = chooser.random()
        symbol, middle_e8 = chooser.choice(list(flow.symbols))
        price_e8 = middle_e8 * chooser.randint(990, 1010) // 1000
        price = format_e8(price_e8 - price_e8 % 10**6)
        quantity = 100 * chooser.randint(1, 10)
        side = chooser.choice("12")
        working = ems.working
        if working and draw < flow.replace_share:
            ems.replace(chooser.choice(working), quantity=quantity)
        elif working and draw < flow.replace_share + flow.cancel_share:
            ems.cancel(chooser.choice(working))
        else:
            ems.new_order(symbol=symbol, side=side, quantity=quantity, price=price)
        if flow.rate:
            due += 1 / flow.rate
            time.sleep(max(0.0, due - time.monotonic()))


def parse_extras(texts: Iterable[str]) -> Fields:
    """`TAG=VALUE` options to fields."""
    fields = []
    for text in texts:
        tag, equals, value = text.partition("=")
        if not (tag.isdigit() and equals and value):
            raise ValueError(f"field: wanted TAG=VALUE, not {text!r}")
        fields.append((int(tag), value))
    return fields


def parse_symbols(text: str) -> list[tuple[str, int]]:
    """`AAPL:187.5,MSFT:410` to symbols and middle prices (e8); a price not given is 100."""
    parts = [part.partition(":") for part in text.split(",") if part]
    if not parts:
        raise ValueError("symbols: at least one is needed")
    return [(symbol, parse_e8(price or "100")) for symbol, _, price in parts]


def run_ems(
    address: Annotated[str, typer.Argument(help="HOST:PORT to connect to.")],
    session: Annotated[str, typer.Option(help="BEGIN_STRING:OWN_COMP_ID:TARGET_COMP_ID.")] = "FIX.4.4:EMS:GATEWAY",
    orders: Annotated[int, typer.Option(help="Number of messages of the random flow.")] = 100,
    rate: Annotated[float, typer.Option(help="Messages a second; 0: as fast as they go.")] = 50.0,
    symbols: Annotated[str, typer.Option(help="SYMBOL[:MIDDLE_PRICE],... of the random flow.")] = "AAPL:187.5,MSFT:410",
    seed: Annotated[int, typer.Option(help="Seed of the random flow.")] = 0,
    replaces: Annotated[float, typer.Option(help="Share of replaces, 0 to 1.")] = 0.15,
    cancels: Annotated[float, typer.Option(help="Share of cancels, 0 to 1.")] = 0.15,
    script: Annotated[str, typer.Option(help="Run the lines of this file (- for stdin) instead of a flow.")] = "",
    account: Annotated[str, typer.Option(help="Account(1) of every order.")] = "",
    sender_sub_id: Annotated[str, typer.Option(help="SenderSubID(50) of every order.")] = "",
    extra: Annotated[list[str], typer.Option("--field", help="TAG=VALUE for every order; may be repeated.")] = [],  # noqa: B006
    dictionary: Annotated[Path | None, typer.Option(help="QuickFIX dictionary.")] = None,
    keep_sequence: Annotated[bool, typer.Option(help="Do not reset sequence numbers at logon (see --store).")] = False,
    store: Annotated[Path | None, typer.Option(help="Folder for persistent sequence numbers and messages.")] = None,
    log: Annotated[Path | None, typer.Option(help="File that gets every message.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the logon, and for answers at the end.")] = 10.0,
) -> None:
    """Send a random but seeded order flow, or a script, and print the reports; exit 1 without logon or answers.

    Lines of a script: buy|sell QTY SYMBOL @ PRICE, or market in place of the price, with tif=3 (TimeInForce), type=P
    (OrdType), execinst=R and any TAG=VALUE; replace LAST qty=80 px=187, which keeps them and may change them; cancel
    LAST; status LAST; cancel all and status all (FIX 4.4), perhaps with a SYMBOL; wait (for the answers) and wait
    SECONDS. LAST is the last order; a ClOrdID works too. What follows # is skipped.
    """
    try:
        extras = parse_extras([*extra, *([f"1={account}"] if account else [])])
        extras += [(50, sender_sub_id)] if sender_sub_id else []
        config = EmsConfig(
            connect=parse_address(address),
            sessions=[SessionConfig.parse(session, dictionary=dictionary, reset_on_logon=not keep_sequence)],
            store_dir=store,
            log_file=log,
            extra_fields=extras,
            on_message=lambda entry: print(describe(entry), flush=True) if describe(entry) else None,
        )
        steps = parse_script(input_lines(script)) if script else iter(())
        if script != "-":
            steps = iter(list(steps))  # nothing is sent unless every line of a file can be read
        flow = Flow(orders, rate, parse_symbols(symbols), seed, replaces, cancels)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with Ems(config) as ems:
            ems.wait_logged_on(timeout)
            if script:
                run_script(ems, steps, timeout)
            else:
                run_flow(ems, flow)
            ems.wait_answered(timeout)
    except (OSError, ValueError) as error:
        print(f"ems: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
