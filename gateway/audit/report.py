"""The post-trade report of a day: what was ordered, refused, traded and is held, and what went wrong."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gateway.audit.export import Collector
from gateway.audit.period import Period, zone_of
from gateway.audit.tables import BUST, CORRECTION, FILL, SCHEMAS, scaled
from gateway.audit.utilisation import Utilisation
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.journal.read import JournalError
from gateway.replay.history import History, Watch, unwatched
from gateway.replay.walk import Change, Step, Walk
from gateway.state.names import DOUBTS, SIDES
from gateway.view.figures import fixed, plain

COLUMNS = {name: {column: at for at, column in enumerate(schema.names)} for name, schema in SCHEMAS.items()}
MOST_ROWS = 100  # of open orders and of what went wrong; the export has all
PERCENTILES = (50, 90, 99, 99.9, 100)


@dataclass
class Section:
    """A heading, perhaps a sentence, perhaps a table of texts."""

    heading: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


@dataclass
class Report:
    """Sections in order, and the series that plots are made of: by order judged its wall time, verdict and time taken,
    and how often each check fired.
    """

    title: str
    sections: list[Section]
    wall_ns: np.ndarray
    accepted: np.ndarray
    took_ns: np.ndarray
    fired: list[tuple[str, int]]
    zone: str


@dataclass
class Fill:
    """One execution as it stands after busts and corrections."""

    symbol: str
    account: str
    buy: bool
    qty: Decimal
    price: Decimal


class Tally:
    """Counts what goes by."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.orders: Counter[tuple[str, str, str]] = Counter()  # ("session" or "account", name, verdict)
        self.fired: Counter[str] = Counter()
        self.messages: Counter[tuple[str, str]] = Counter()  # (session, MsgType)
        self.fills: Counter[str] = Counter()  # by session
        self.executions: list[Fill] = []
        self._by_id: dict[str, Fill] = {}
        self.unknown_corrections = 0  # busts and corrections of executions of before the period
        self.largest: dict[str, tuple[Any, ...]] = {}  # decision row by verdict
        self.controls: list[tuple[Any, ...]] = []
        self.utilisation = Utilisation()
        self.wall_ns, self.took_ns, self.all_took_ns = array("q"), array("q"), array("q")
        self.accepted = array("b")

    def take(self, walk: Walk, item: Step | Change, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        """Count one step and its rows, which are taken out."""
        for row in rows["decisions"]:
            self._decision(row)
        for row in rows["executions"]:
            self._execution(row)
        self.controls += rows["controls"]
        for part in rows.values():
            part.clear()
        if isinstance(item, Change):
            return
        self.all_took_ns.append(item.entry.took_ns)
        event = item.entry.event
        if event.kind == ev.MESSAGE and walk.names.roles[event.session] == a.EMS:
            message_type = _message_type(event.data)
            if message_type in ("D", "F", "G"):
                self.messages[walk.names.sessions[event.session], message_type] += 1
        if item.entry.decision is not None:
            self.utilisation.take(walk, item)

    def _decision(self, row: tuple[Any, ...]) -> None:
        at = COLUMNS["decisions"]
        verdict, notional = row[at["verdict"]], row[at["notional"]]
        self.orders["session", row[at["session"]], verdict] += 1
        self.orders["account", row[at["account"]] or "(none known)", verdict] += 1
        self.fired.update({check[0] for check in row[at["checks"]]})
        self.wall_ns.append(row[at["time"]])
        self.took_ns.append(row[at["took_ns"]])
        self.accepted.append(verdict == "accepted")
        best = self.largest.get(verdict)
        if notional is not None and (best is None or notional > best[at["notional"]]):
            self.largest[verdict] = row

    def _execution(self, row: tuple[Any, ...]) -> None:
        at = COLUMNS["executions"]
        kind, qty, price = (row[at[name]] for name in ("kind", "qty", "price"))
        if kind == FILL:
            self.fills[row[at["session"]]] += 1
            fill = Fill(row[at["symbol"]], row[at["account"]], row[at["side"]] == SIDES[t.BUY], qty, price)
            self.executions.append(fill)
            self._by_id[row[at["exec_id"]]] = fill
            return
        found = self._by_id.get(row[at["exec_ref_id"]])
        if found is None:
            self.unknown_corrections += 1
        elif kind == BUST:
            found.qty = Decimal(0)
        elif kind == CORRECTION:
            found.qty, found.price = qty, price
            self._by_id[row[at["exec_id"]]] = found


def _message_type(message: bytes) -> str:
    start = message.find(b"\x0135=") + 4
    return message[start : message.find(b"\x01", start)].decode("latin-1") if start > 3 else ""


def make_report(journal: Path, period: Period, watch: Watch = unwatched) -> Report:
    """Read a journal up to the end of a period and report on it; raises JournalError, ConfigError or ValueError."""
    walk = Walk(History(journal), watch, end_ns=lambda settings: period.bounds_ns(settings)[1])
    collector, tally = Collector(period), Tally()
    segments = 0
    for link in walk.links():
        segments += 1
        for item in walk.steps(link.segment):
            if collector.take(walk, item):
                tally.take(walk, item, collector.rows)
    if walk.settings is None:
        raise JournalError(f"{walk.history.folder}: the journal holds no event yet")
    zone = zone_of(walk.settings)
    sections = [
        _summary(walk, tally, period, segments),
        _orders(tally, "session"),
        _orders(tally, "account"),
        Section("Checks that fired", "An order can fail several.", ("check", "orders"), _counts(tally.fired)),
        _fills(walk, tally),
        _positions(walk),
        _open_orders(walk),
        _largest(tally, zone),
        _utilisation(tally, zone),
        _order_to_trade(tally),
        _latency(tally),
        _incidents(walk, tally, zone),
    ]
    return Report(
        f"{walk.settings.config.gateway.name}: post-trade report, {period}",
        sections,
        np.array(tally.wall_ns, np.int64),
        np.array(tally.accepted, bool),
        np.array(tally.took_ns, np.int64),
        tally.fired.most_common(),
        zone,
    )


def moment(wall_ns: int, zone: str) -> str:
    """Wall time for people, to the millisecond."""
    told = datetime.fromtimestamp(wall_ns // 10**9, UTC).astimezone(ZoneInfo(zone))
    return f"{told:%Y-%m-%d %H:%M:%S}.{wall_ns % 10**9 // 10**6:03d}"


def _counts(counter: Counter[str]) -> list[tuple[str, ...]]:
    return [(name, plain(count)) for name, count in counter.most_common()]


def _summary(walk: Walk, tally: Tally, period: Period, segments: int) -> Section:
    accepted, judged = sum(tally.accepted), len(tally.accepted)
    fills = [fill for fill in tally.executions if fill.qty]
    rows = [
        ("period", f"{period}, times in {zone_of(walk.settings)}" if walk.settings else str(period)),
        ("journal", f"{segments} segments, up to record {walk.last_sequence}"),
        ("orders and replaces", f"{plain(judged)}: {plain(accepted)} accepted, {plain(judged - accepted)} refused"),
        ("executions", f"{plain(len(fills))} standing, {plain(len(tally.executions) - len(fills))} busted"),
        ("open orders at the end", plain(int(walk.state.record.open_order_count))),
    ]
    return Section("Summary", "", ("what", "value"), rows)


def _orders(tally: Tally, by: str) -> Section:
    names = sorted({name for kind, name, _ in tally.orders if kind == by})
    rows = []
    for name in names:
        accepted, refused = (tally.orders[by, name, verdict] for verdict in ("accepted", "refused"))
        rows.append((name, plain(accepted), plain(refused), f"{100 * refused / (accepted + refused):.1f} %"))
    return Section(f"Orders and replaces by {by}", "", (by, "accepted", "refused", "share refused"), rows)


def _fills(walk: Walk, tally: Tally) -> Section:
    """Bought and sold by instrument and account. Value: quantity x price x multiplier, in the instrument's currency."""
    assert walk.settings is not None
    multipliers = {i.symbol: scaled(i.multiplier_e8, 8) for i in walk.settings.instruments}
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for fill in tally.executions:
        total = sums.setdefault((fill.symbol, fill.account), [Decimal(0)] * 4)
        at = 0 if fill.buy else 2
        total[at] += fill.qty
        total[at + 1] += fill.qty * fill.price
    rows = []
    for (symbol, account), (bought, paid, sold, got) in sorted(sums.items()):
        multiplier = multipliers.get(symbol, Decimal(1))
        rows.append(
            (
                *(symbol, account, plain(bought), _average(paid, bought), plain(paid * multiplier)),
                *(plain(sold), _average(got, sold), plain(got * multiplier), plain((bought - sold).normalize() + 0)),
            )
        )
    header = ("instrument", "account", "bought", "average", "value", "sold", "average", "value", "net")
    return Section("Fills", "Busts and corrections are in. Value is in the instrument's currency.", header, rows)


def _average(value: Decimal, qty: Decimal) -> str:
    return plain((value / qty).quantize(Decimal("1e-8"))) if qty else ""


def _positions(walk: Walk) -> Section:
    s, names = walk.state.record, walk.names
    rows = []
    for x in s.exposures[: s.exposure_count]:
        scope, name = names.entities[int(x.entity)]
        amounts = [int(x[key]) for key in ("position_e8", "open_buy_e8", "open_sell_e8")]
        if scope == a.ACCOUNT and any(amounts):
            rows.append((name, names.instruments[int(x.instrument)], *(fixed(v, 8) for v in amounts)))
    header = ("account", "instrument", "position", "open buys", "open sells")
    return Section("Positions at the end", "", header, sorted(rows))


def _open_orders(walk: Walk) -> Section:
    s, names = walk.state.record, walk.names
    found = np.flatnonzero(s.orders["counted_open"][: s.order_count] == 1)
    rows = []
    for at in found[:MOST_ROWS]:
        o = s.orders[int(at)]
        r = s.requests[int(o.accepted)]
        price = fixed(int(r.price_e8), 8) if r.price_e8 else "market"
        rows.append(
            (
                *(f"O{o.run}-{o.number}", bytes(r.cl_ord_id[: r.cl_ord_id_size]).decode("latin-1")),
                *(names.entities[int(o.entities[a.ACCOUNT])][1], names.instruments[int(o.instrument)]),
                *(SIDES[int(o.side)], fixed(int(o.qty_e8), 8), fixed(int(o.reserved_e8), 8), price),
                *(names.sessions[int(o.venue)], DOUBTS[int(o.doubt)]),
            )
        )
    more = f"The first {MOST_ROWS} of {found.size}." if found.size > MOST_ROWS else ""
    header = ("order", "ClOrdID", "account", "instrument", "side", "quantity", "open", "price", "venue", "doubt")
    return Section("Open orders carried", more, header, rows)


def _largest(tally: Tally, zone: str) -> Section:
    at = COLUMNS["decisions"]
    wanted = ("session", "cl_ord_id", "account", "symbol", "side")
    rows = [
        (
            *(verdict, plain(row[at["notional"]]), *(str(row[at[name]] or "") for name in wanted)),
            *(plain(row[at["qty"]]), moment(row[at["time"]], zone)),
        )
        for verdict, row in sorted(tally.largest.items())
    ]
    return Section("Largest order notional", "", ("verdict", "notional", *wanted, "quantity", "time"), rows)


def _utilisation(tally: Tally, zone: str) -> Section:
    rows = [
        (
            *(c.LIMITS[use.limit].key, use.where, f"{100 * use.share:.1f} %", use.value, use.bound),
            *(use.session, use.cl_ord_id, moment(use.wall_ns, zone)),
        )
        for use in tally.utilisation.highest()
    ]
    text = "How near accepted orders came to their limits, the highest three places of each limit."
    header = ("limit", "where", "used", "value", "limit value", "session", "ClOrdID", "time")
    return Section("Highest utilisation of limits", text, header, rows)


def _order_to_trade(tally: Tally) -> Section:
    rows = []
    for session in sorted({name for name, _ in tally.messages}):
        counts = [tally.messages[session, message_type] for message_type in "DGF"]
        fills = tally.fills[session]
        ratio = f"{sum(counts) / fills:.2f}" if fills else "no fill"
        rows.append((session, *(plain(count) for count in counts), plain(fills), ratio))
    text = "Orders, replaces and cancels received for each fill."
    return Section("Order-to-trade ratio", text, ("session", "orders", "replaces", "cancels", "fills", "ratio"), rows)


def _latency(tally: Tally) -> Section:
    rows = []
    for name, took in (("orders and replaces", tally.took_ns), ("all events", tally.all_took_ns)):
        if took:
            values = np.percentile(np.array(took, np.int64), PERCENTILES, method="inverted_cdf")
            rows.append((name, plain(len(took)), *(f"{value / 1000:,.1f}" for value in values)))
    header = ("what", "number", *(f"p{p:g}" if p < 100 else "max" for p in PERCENTILES))
    text = "Microseconds in the core, from the journaling of an event to that of its outcome."
    return Section("Latency", text, header, rows)


def _incidents(walk: Walk, tally: Tally, zone: str) -> Section:
    s, names = walk.state.record, walk.names
    at = COLUMNS["controls"]
    notes = [f"Journal: {fault}." for fault in walk.faults]
    doubts = zip(names.sessions, s.sessions["doubts"][: s.session_count].tolist(), strict=True)
    in_doubt = ", ".join(f"{count} at {name}" for name, count in doubts if count)
    for what, count in (
        ("Orders in doubt at the end", in_doubt),
        ("Events that this release answers otherwise than was answered then", walk.differences),
        ("Busts and corrections of executions before this period, left out of the fills", tally.unknown_corrections),
    ):
        if count:
            notes.append(f"{what}: {count}.")
    if s.fault:
        notes.append("A fault blocks every order at the end.")
    told = [row for row in tally.controls if row[at["control"]] not in ("clock", "session up")]
    if len(told) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(told)}.")
    rows = [
        (
            moment(row[at["time"]], zone),
            *(str(row[at[name]] or "") for name in ("control", "session", "order_id", "detail")),
        )
        for row in told[:MOST_ROWS]
    ]
    header = ("time", "what", "session", "order", "detail")
    return Section("Faults, alerts, doubts and controls", " ".join(notes), header, rows)
