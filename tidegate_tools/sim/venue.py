"""A FIX venue: order books, execution reports, market data and, on demand, faults.

    tidegate sim venue --port 9878 --session FIX.4.4:VENUE:GATEWAY --liquidity AAPL:187.40:500:187.60:500

From Python: `with Venue(VenueConfig(sessions=[SessionConfig()])) as venue: ... venue.port, venue.orders`.
"""

from __future__ import annotations

import copy
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from tidegate_tools.fix.text import Fields, first, parse_address, utc_now
from tidegate_tools.sim.exchange import Exchange, Reply, Rules, VenueOrder, business_reject
from tidegate_tools.sim.matching_book import format_e8, parse_e8
from tidegate_tools.sim.quickfix_peer import LoggedMessage, Peer, PeerConfig, SessionConfig

_MAX_REQUESTS = 1_000_000

NEW, CHANGE, DELETE = "0", "1", "2"  # MDUpdateAction(279)

Levels = dict[str, tuple[int, int]]
"""Price and quantity (e8; a reference price has quantity 0) by MDEntryType(269)."""


@dataclass(frozen=True, slots=True)
class Liquidity:
    """House quote of a symbol, e8 integers: it fills incoming orders and is topped up (see `replenish_s`)."""

    symbol: str
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int

    @classmethod
    def parse(cls, text: str) -> Liquidity:
        """`SYMBOL:BID:BIDSIZE:ASK:ASKSIZE` in plain decimals; a size of 0 leaves that side empty."""
        parts = text.split(":")
        if len(parts) != 5 or not parts[0]:
            raise ValueError(f"liquidity: wanted SYMBOL:BID:BIDSIZE:ASK:ASKSIZE, not {text!r}")
        quote = cls(parts[0], *(parse_e8(part) for part in parts[1:]))
        if min(quote.bid_size_e8, quote.ask_size_e8) < 0 or quote.bid_e8 >= quote.ask_e8:
            raise ValueError(f"liquidity: wanted BID < ASK and sizes of 0 or more, not {text!r}")
        return quote


@dataclass(frozen=True, kw_only=True)
class VenueConfig(PeerConfig):
    """Everything about a venue. Times in s or ms as the name says."""

    rules: Rules = Rules()
    reference_prices_e8: Mapping[str, int] = field(default_factory=dict)
    """Shown as last trade in market data until something trades."""
    liquidity: Sequence[Liquidity] = ()
    replenish_s: float = 0.5
    """House quotes return to full size this often; 0: never."""
    latency_ms: float = 0.0
    """Time from the receipt of a request to its processing."""
    md_interval_s: float = 0.5
    """A snapshot is sent at least this often."""
    md_gap_s: float = 0.02
    """And no more often than this."""
    md_incremental: bool = False
    """After the first snapshot of a subscription send incremental refreshes (35=X) only."""
    seed: int = 0
    id_prefix: str | None = None
    """Start of OrderIDs and ExecIDs; None makes one from the clock, so that they differ after a restart."""


@dataclass
class Faults:
    """Faults, to be set before or while the venue runs."""

    drop_after: int = 0
    """Drop every connection when this many new orders have come, before the last is answered (its reports wait in
    the store and are resent after the next logon, unless sequence numbers are reset)."""
    cancel_all_after: int = 0
    """Cancel all working orders, unsolicited, after this many new orders."""
    bust_fill: int = 0
    """Bust this fill (counted from 1) right after it."""
    ignore: set[str] = field(default_factory=set)
    """MsgTypes that get no answer and no effect: {"F"} ignores cancels."""
    duplicate_fills: str = ""
    """Send each fill twice, with the same ExecID: `possdup` marks the second 43=Y, `possresend` 97=Y, `plain` not."""
    refuse_orders: str = ""
    """Answer new orders with a session reject (`3`) or a business reject (`j`)."""
    refuse_cancels: bool = False
    """Answer cancels with an OrderCancelReject (35=9, broker option); the orders work on."""
    refuse_mass_cancel: bool = False
    """Answer mass cancels with 531=0 and 532=0 (not supported); the orders work on."""
    unknown_enum: bool = False
    """Send fills with an ExecType that no FIX version knows."""

    _COUNTS = {"drop-after": "drop_after", "cancel-all-after": "cancel_all_after", "bust-fill": "bust_fill"}
    _IGNORES = {
        "ignore-orders": "D",
        "ignore-cancels": "F",
        "ignore-replaces": "G",
        "ignore-mass-cancels": "q",
    }
    _SWITCHES = {
        "refuse-cancels": "refuse_cancels",
        "refuse-mass-cancel": "refuse_mass_cancel",
        "unknown-enum": "unknown_enum",
    }

    def set(self, text: str) -> None:
        """Set a fault from `name` or `name=value` as on the command line."""
        name, _, value = text.partition("=")
        if name in self._COUNTS and value.isdigit():
            setattr(self, self._COUNTS[name], int(value))
        elif name in self._IGNORES and not value:
            self.ignore.add(self._IGNORES[name])
        elif name == "duplicate-fills" and value in ("possdup", "possresend", "plain"):
            self.duplicate_fills = value
        elif name in ("session-reject", "business-reject") and not value:
            self.refuse_orders = "3" if name == "session-reject" else "j"
        elif name in self._SWITCHES and not value:
            setattr(self, self._SWITCHES[name], True)
        else:
            counts, others = ", ".join(f"{n}=N" for n in self._COUNTS), ", ".join([*self._IGNORES, *self._SWITCHES])
            raise ValueError(
                f"fault: wanted {counts}, {others}, duplicate-fills=possdup|possresend|plain, session-reject "
                f"or business-reject, not {text!r}"
            )


@dataclass
class _Subscription:
    session: str
    request_id: str
    symbol: str
    shown: Levels | None = None
    """What was sent last; None before the first snapshot."""
    sent_at: float = 0.0
    """Monotonic time of the last snapshot or refresh, s."""


class Venue(Peer):
    """A running venue. `faults` may be changed at any time; everything else public is safe from any thread."""

    def __init__(self, config: VenueConfig) -> None:
        super().__init__(config)
        self.config = config
        self.faults = Faults()
        prefix = f"{int(time.time()):X}-" if config.id_prefix is None else config.id_prefix
        self._exchange = Exchange(config.rules, config.seed, prefix)
        for symbol, price_e8 in config.reference_prices_e8.items():
            self._exchange.last_trade[symbol] = (price_e8, 0)
        self._quotes = {quote.symbol: quote for quote in config.liquidity}
        self._requests: deque[tuple[float, str, Fields]] = deque()
        self._subscriptions: dict[tuple[str, str, str], _Subscription] = {}
        self._published_at = 0.0
        self._replenish_due = 0.0
        self._orders_seen = 0
        self._fills_sent = 0
        self._dont_knows: list[Fields] = []
        for quote in config.liquidity:
            self._place(quote)

    # Use from any thread

    @property
    def orders(self) -> dict[str, VenueOrder]:
        """A copy of every order ever received, by each ClOrdID of its chain (one that two sessions use: the later)."""
        with self._changed:
            return {key[1]: copy.deepcopy(order) for key, order in self._exchange.by_cl_ord_id.items()}

    def order(self, cl_ord_id: str) -> VenueOrder | None:
        """A copy of one order by any ClOrdID of its chain."""
        with self._changed:
            found = [order for key, order in self._exchange.by_cl_ord_id.items() if key[1] == cl_ord_id]
            return copy.deepcopy(found[-1]) if found else None

    @property
    def dont_knows(self) -> list[Fields]:
        """Every DontKnowTrade (35=Q) received, oldest first."""
        with self._changed:
            return list(self._dont_knows)

    def send_stray_fill(
        self,
        *,
        symbol: str,
        side: str = "1",
        quantity_e8: int,
        price_e8: int,
        cl_ord_id: str = "STRAY",
        session: str = "",
    ) -> str:
        """Report a fill of an order that nobody sent, to a session (by default the first); returns its ExecID."""
        session = session or self.config.sessions[0].name

        def send() -> str:
            fill = self._exchange.stray_fill(session, symbol, side, quantity_e8, price_e8, cl_ord_id)
            self._emit([fill])
            return first(fill.body, 17)

        return self._call(send)

    def bust(self, exec_id: str) -> None:
        """Break a trade by the ExecID of one of its fills; KeyError if there is none."""
        self._call(lambda: self._emit(self._exchange.bust(exec_id)))

    def cancel_unsolicited(self, order_id: str, reason: str = "4") -> None:
        """Cancel a working order by OrderID; `reason` is tag 378. KeyError if it is not open."""
        self._call(lambda: self._emit(self._exchange.cancel_unsolicited(order_id, reason)))

    def cancel_all(self, reason: str = "4") -> None:
        """Cancel every working order, unsolicited."""
        self._call(lambda: self._cancel_all(reason))

    def set_liquidity(self, quote: Liquidity) -> None:
        """Place or move the house quote of a symbol, at full size."""

        def place() -> None:
            self._quotes[quote.symbol] = quote
            self._emit(self._place(quote))

        self._call(place)

    # Hooks of the peer's thread

    def _received(self, session: str, fields: Fields) -> None:
        if len(self._requests) >= _MAX_REQUESTS:
            raise RuntimeError(f"more than {_MAX_REQUESTS} requests wait; lower the rate or latency_ms")
        self._requests.append((time.monotonic() + self.config.latency_ms / 1000, session, fields))

    def _session_changed(self, session: str, online: bool) -> None:
        if not online:
            self._subscriptions = {key: s for key, s in self._subscriptions.items() if s.session != session}

    def _work(self, now: float) -> None:
        while self._requests and self._requests[0][0] <= now:
            _, session, message = self._requests.popleft()
            self._serve(session, message)
        if self.config.replenish_s and now >= self._replenish_due:
            self._replenish_due = now + self.config.replenish_s
            for quote in self._quotes.values():
                self._emit(self._place(quote))
        due_s = self.config.md_gap_s if self._exchange.touched else self.config.md_interval_s / 10
        if now - self._published_at >= due_s:
            self._published_at = now
            self._publish(now)

    # Orders

    def _serve(self, session: str, message: Fields) -> None:
        msg_type = first(message, 35)
        if msg_type == "D":
            self._orders_seen += 1
            if self._orders_seen == self.faults.drop_after:
                self.drop_connections()
        if msg_type in ("3", "j") or msg_type in self.faults.ignore:
            return
        if msg_type == "Q":
            self._dont_knows.append(message)
            self._changed.notify_all()
            return
        if msg_type == "V":
            self._subscribe(session, message)
            return
        self._exchange.unknown_enum = self.faults.unknown_enum
        if msg_type == "D" and self.faults.refuse_orders == "j":
            self._emit([business_reject(session, message, "4", "application not available")])
        elif msg_type == "D" and self.faults.refuse_orders == "3":
            body = [(45, first(message, 34)), (372, "D"), (58, "session reject by fault")]
            self._emit([Reply(session, "3", body)])
        elif msg_type == "F" and self.faults.refuse_cancels:
            self._emit([self._exchange.refuse_cancel(session, message, "refused by fault")])
        elif msg_type == "q" and self.faults.refuse_mass_cancel:
            self._emit([self._exchange.refuse_mass_cancel(session, message, "0", "refused by fault")])
        else:
            self._emit(self._exchange.request(session, message))
        if msg_type == "D" and self._orders_seen == self.faults.cancel_all_after:
            self._cancel_all("4")

    def _cancel_all(self, reason: str) -> None:
        for order in self._exchange.open_orders():
            self._emit(self._exchange.cancel_unsolicited(order.order_id, reason))

    def _place(self, quote: Liquidity) -> list[Reply]:
        return [
            *self._exchange.quote(quote.symbol, True, quote.bid_e8, quote.bid_size_e8),
            *self._exchange.quote(quote.symbol, False, quote.ask_e8, quote.ask_size_e8),
        ]

    def _emit(self, replies: list[Reply]) -> None:
        for reply in replies:
            self._send(reply.session, reply.msg_type, reply.body, reply.header)
            if reply.msg_type == "8" and first(reply.body, 32) and not first(reply.body, 19):
                self._after_fill(reply)

    def _after_fill(self, fill: Reply) -> None:
        self._fills_sent += 1
        if kind := self.faults.duplicate_fills:
            marks = {"possdup": [(43, "Y"), (122, utc_now())], "possresend": [(97, "Y")], "plain": []}
            self._send(fill.session, fill.msg_type, fill.body, marks[kind])
        if self._fills_sent == self.faults.bust_fill:
            self._emit(self._exchange.bust(first(fill.body, 17)))

    # Market data

    def _subscribe(self, session: str, message: Fields) -> None:
        request_id, kind = first(message, 262), first(message, 263)
        if kind == "2":
            for key in [key for key in self._subscriptions if key[:2] == (session, request_id)]:
                del self._subscriptions[key]
            return
        for symbol in [value for tag, value in message if tag == 55]:
            if self.config.rules.listed and symbol not in self.config.rules.listed:
                body = [(262, request_id), (281, "0"), (58, f"unknown symbol {symbol}")]
                self._send(session, "Y", body)
                continue
            subscription = _Subscription(session, request_id, symbol)
            self._snapshot(subscription, time.monotonic())
            if kind == "1":
                self._subscriptions[session, request_id, symbol] = subscription

    def _publish(self, now: float) -> None:
        """Send what is due: what changed, and what was not sent for the interval."""
        touched, self._exchange.touched = self._exchange.touched, set()
        for subscription in self._subscriptions.values():
            changed = subscription.symbol in touched and self._levels(subscription.symbol) != subscription.shown
            # A look is had ten times an interval, so what would be late at the next one is due now
            due = now - subscription.sent_at >= 0.9 * self.config.md_interval_s
            if not changed and not due:
                continue
            if self.config.md_incremental:
                self._refresh(subscription, now, whole=due)
            else:
                self._snapshot(subscription, now)

    def _snapshot(self, subscription: _Subscription, now: float) -> None:
        subscription.shown, subscription.sent_at = self._levels(subscription.symbol), now
        body = [(262, subscription.request_id), (55, subscription.symbol), (268, str(len(subscription.shown)))]
        for kind, level in subscription.shown.items():
            body += [(269, kind), *_level_fields(level)]
        self._send(subscription.session, "W", body)

    def _refresh(self, subscription: _Subscription, now: float, whole: bool) -> None:
        """The difference to what was sent last as a 35=X; with `whole` what has not changed is sent again."""
        old, new = subscription.shown or {}, self._levels(subscription.symbol)
        subscription.shown, subscription.sent_at = new, now
        entries: list[Fields] = []
        for kind in sorted({*old, *new}):
            entry = [(269, kind), (55, subscription.symbol)]
            if kind not in new:
                entries.append([(279, DELETE), *entry])
            elif kind not in old:
                entries.append([(279, NEW), *entry, *_level_fields(new[kind])])
            elif whole or new[kind] != old[kind]:
                entries.append([(279, CHANGE), *entry, *_level_fields(new[kind])])
        if entries:
            body = [(262, subscription.request_id), (268, str(len(entries)))]
            self._send(subscription.session, "X", [*body, *(field for entry in entries for field in entry)])

    def _levels(self, symbol: str) -> Levels:
        """Top of book (0 bid, 1 offer) and last trade (2)."""
        book = self._exchange.book(symbol)
        found = {"0": book.top(buy=True), "1": book.top(buy=False), "2": self._exchange.last_trade.get(symbol)}
        return {kind: level for kind, level in found.items() if level}

    def _may_send(self, session: str, fields: Fields) -> bool:
        """Market data is worth nothing later: it is neither kept for the next logon nor resent."""
        stale = first(fields, 43) == "Y" or session not in self._online
        return not (stale and first(fields, 35) in ("W", "X", "Y"))


def _level_fields(level: tuple[int, int]) -> Fields:
    price_e8, quantity_e8 = level
    return [(270, format_e8(price_e8)), *([(271, format_e8(quantity_e8))] if quantity_e8 else [])]


def print_json(entry: LoggedMessage) -> None:
    """Print a message as one JSON line; heartbeats, sequence upkeep and market data are left out."""
    if first(entry.fields, 35) not in ("0", "1", "2", "4", "W", "X"):
        line = {"time": utc_now(), "session": entry.session, "sent": entry.sent, "fields": entry.fields}
        print(json.dumps(line), flush=True)


def order_table(venue: Venue) -> Table:
    """The last 30 orders as a table."""
    table = Table(title=f"{venue} port {venue.port}, online: {', '.join(sorted(venue.logged_on)) or 'nobody'}")
    for column in (
        "ClOrdID",
        "OrderID",
        "Session",
        "Side",
        "Symbol",
        "Qty",
        "Price",
        "Status",
        "Cum",
        "Leaves",
        "AvgPx",
    ):
        table.add_column(column)
    unique = {order.order_id: order for order in venue.orders.values()}
    for o in list(unique.values())[-30:]:
        price = "market" if o.price_e8 is None else format_e8(o.price_e8)
        amounts = (format_e8(o.cum_e8), format_e8(o.leaves_e8), format_e8(o.average_e8))
        side = {"1": "buy", "2": "sell"}.get(o.side, o.side)
        table.add_row(
            o.cl_ord_id, o.order_id, o.session, side, o.symbol, format_e8(o.quantity_e8), price, o.status, *amounts
        )
    return table


def run_until_interrupted(venue: Venue, view: bool) -> None:
    """Serve until Ctrl-C or until the venue fails."""
    pause = threading.Event()
    with venue:
        print(f"{venue} listens on {venue.config.host}:{venue.port}", file=sys.stderr, flush=True)
        try:
            if view:
                with Live(order_table(venue), refresh_per_second=4) as live:
                    while not pause.wait(0.25):
                        venue.check()
                        live.update(order_table(venue))
            while not pause.wait(0.25):
                venue.check()
        except KeyboardInterrupt:
            return


def run_venue(
    session: Annotated[list[str], typer.Option(metavar="SESSION", help="See above; may be repeated.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = 0,
    connect: Annotated[str, typer.Option(help="HOST:PORT to connect to instead of listening.")] = "",
    symbol: Annotated[list[str], typer.Option(metavar="SYMBOL", help="See above; may be repeated.")] = [],  # noqa: B006
    listed_only: Annotated[bool, typer.Option(help="Trade only what --symbol and --liquidity name.")] = False,
    liquidity: Annotated[list[str], typer.Option(metavar="QUOTE", help="See above; may be repeated.")] = [],  # noqa: B006
    replenish: Annotated[float, typer.Option(help="Seconds until house quotes are full again; 0: never.")] = 0.5,
    latency_ms: Annotated[float, typer.Option(help="Delay of each reply, ms.")] = 0.0,
    fill_slice: Annotated[str, typer.Option(help="Report trades as fills of at most this quantity; 0: whole.")] = "0",
    lot: Annotated[str, typer.Option(help="Reject orders that are no multiple of this quantity; 0: any.")] = "0",
    reject_probability: Annotated[float, typer.Option(help="Share of new orders to reject, 0 to 1.")] = 0.0,
    pending_acks: Annotated[
        bool, typer.Option(help="Send PendingNew, PendingCancel and PendingReplace first.")
    ] = False,
    fault: Annotated[list[str], typer.Option(metavar="FAULT", help="See above; may be repeated.")] = [],  # noqa: B006
    md_interval: Annotated[float, typer.Option(help="Seconds between snapshots at most.")] = 0.5,
    md_incremental: Annotated[
        bool, typer.Option(help="Incremental refreshes (35=X) after the first snapshot.")
    ] = False,
    dictionary: Annotated[Path | None, typer.Option(help="QuickFIX dictionary for all sessions.")] = None,
    reset_on_logon: Annotated[bool, typer.Option(help="Reset sequence numbers at logon.")] = False,
    store: Annotated[Path | None, typer.Option(help="Folder for persistent sequence numbers and messages.")] = None,
    log: Annotated[Path | None, typer.Option(help="File that gets every message.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is random.")] = 0,
    view: Annotated[bool, typer.Option(help="Show a live table of orders instead of JSON lines.")] = False,
) -> None:
    """Run a FIX venue until interrupted; prints messages as JSON lines.

    A --session is BEGIN_STRING:OWN_COMP_ID:TARGET_COMP_ID, such as FIX.4.4:VENUE:GATEWAY; a --symbol
    SYMBOL:REFERENCE_PRICE; a --liquidity SYMBOL:BID:BIDSIZE:ASK:ASKSIZE.

    Market and limit orders trade at once, an order for the opening (59=2) too. A pegged order (40=P) is a limit order
    at its Price(44): its peg is not simulated. There is no auction: orders for the close wait and never trade.

    A --fault is one of drop-after=N (drops every connection after N new orders), cancel-all-after=N, bust-fill=N (the
    N-th fill), ignore-orders, ignore-cancels, ignore-replaces, ignore-mass-cancels, refuse-cancels, refuse-mass-cancel,
    session-reject or business-reject (of new orders), unknown-enum (an ExecType that no FIX version knows) and
    duplicate-fills=possdup, =possresend or =plain.
    """
    try:
        quotes = [Liquidity.parse(text) for text in liquidity]
        prices = {name: parse_e8(price) for name, _, price in (text.partition(":") for text in symbol)}
        sessions = [SessionConfig.parse(s, dictionary=dictionary, reset_on_logon=reset_on_logon) for s in session]
        rules = Rules(
            listed=frozenset([*prices, *(q.symbol for q in quotes)]) if listed_only else frozenset(),
            lot_e8=parse_e8(lot),
            fill_slice_e8=parse_e8(fill_slice),
            pending_acks=pending_acks,
            reject_probability=reject_probability,
        )
        venue = Venue(
            VenueConfig(
                sessions=sessions,
                host=host,
                port=port,
                connect=parse_address(connect) if connect else None,
                store_dir=store,
                log_file=log,
                on_message=None if view else print_json,
                rules=rules,
                reference_prices_e8=prices,
                liquidity=quotes,
                replenish_s=replenish,
                latency_ms=latency_ms,
                md_interval_s=md_interval,
                md_incremental=md_incremental,
                seed=seed,
            )
        )
        for text in fault:
            venue.faults.set(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    run_until_interrupted(venue, view)
