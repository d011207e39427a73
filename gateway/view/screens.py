"""Status, orders and positions as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gateway.state.pulse import LATENCY_BOUNDS_NS
from gateway.view.figures import ABOVE_BOUNDS_NS, plain
from gateway.view.health import unknown_orders
from gateway.view.orders import OrderView
from gateway.view.positions import PositionView
from gateway.view.postures import posture_tables
from gateway.view.status import PushedLimit, SessionView, Source, Status
from gateway.view.table import table

WORD_STYLES = {"LIVE": "bold green", "STALE": "bold magenta", "KILLED": "bold red", "FAULT": "bold red"}
NEAR_PERCENT, OVER_PERCENT = 80, 100
SPANS_S = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def span(seconds: Decimal | float) -> str:
    """A length of time by its two largest units, such as `3h 12m`."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in SPANS_S:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def bound_text(bound_ns: int | None) -> str:
    """A percentile as its histogram has it: an upper bound."""
    if bound_ns is None:
        return "-"
    if bound_ns == ABOVE_BOUNDS_NS:
        return f">{LATENCY_BOUNDS_NS[-1] // 10**9} s"
    size, unit = next((s, u) for s, u in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")) if bound_ns >= s)
    return f"≤{bound_ns // size} {unit}"


def time_text(moment: datetime | None) -> str:
    """A time to the second, UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def used_text(percent: Decimal | None) -> Text:
    """Use of a limit in percent, in the colour of how near it is."""
    if percent is None:
        return Text("")
    style = "bold red" if percent >= OVER_PERCENT else "yellow" if percent >= NEAR_PERCENT else ""
    return Text(f"{percent:f}%", style)


def session_state(session: SessionView) -> Text:
    """Whether a session is up and takes orders."""
    if not session.up:
        tried = f", {session.attempts:,} attempt{'s' * (session.attempts != 1)}" if session.attempts else ""
        return Text(f"down{tried}", "bold red")
    if session.recovering:
        return Text("recovering", "yellow")
    return Text("up", "green")


def source_state(source: Source) -> Text:
    """Whether a publisher is alive."""
    if source.up:
        return Text("alive", "green")
    return Text("silent", "dim" if source.by_hand else "bold red")


def limit_state(limit: PushedLimit) -> Text:
    """Whether a pushed limit is in force as pushed, on its way there, or held."""
    if limit.held:
        return Text("held", "bold yellow")
    wanted = min(max(limit.pushed, limit.floor), limit.ceiling)
    return Text("moving", "cyan") if limit.effective != wanted else Text("in force", "green")


def side_text(side: str) -> Text:
    """A side in its colour."""
    return Text(side, "cyan" if side == "buy" else "magenta")


def status_parts(status: Status, now: datetime) -> Iterator[RenderableType]:
    """All of a status, the trouble first; `now` is the wall clock."""
    yield _headline(status, now)
    day = "closed" if status.market_closed else "open"
    journal = "takes no orders" if status.journal_blocked else "takes orders"
    ended = f"{status.days_ended} ended" if status.days_ended else "none ended yet"
    yield f"trading day {day}, {ended}; the journal {journal}"
    x = status.latency
    yield (
        f"orders: {status.accepted_orders:,} accepted, {status.refused_orders:,} refused, {status.open_orders:,} open; "
        f"{status.events:,} events; latency p50 {bound_text(x.p50_ns)}, p99 {bound_text(x.p99_ns)} of {x.messages:,}"
    )
    odd = {"executions of unknown orders": status.unknown_executions, "repeated messages": status.duplicate_messages}
    if any(odd.values()):
        yield ", ".join(f"{what}: {count:,}" for what, count in odd.items() if count)
    for session in status.sessions:
        if session.unknown_working_at is not None:
            yield unknown_orders(session.name, session.unknown_working, session.unknown_working_at)
    for line in status.trouble:
        yield Text(f"! {line}", "bold red")
    yield ""
    yield _session_table(status.sessions)
    if status.switches:
        made = table("scope", "set since (UTC)", title="\nkill switches")
        for switch in status.switches:
            made.add_row(switch.where + ("" if switch.known else " (not known)"), time_text(switch.since))
        yield made
    yield from posture_tables(status.postures, status.exits)
    if status.sources:
        made = table("source", "state", "since (UTC)", "pushes", right=("pushes",), title="\nsources")
        for source in status.sources:
            pushes = "" if source.pushes is None else f"{source.pushes:,}"
            made.add_row(source.name, source_state(source), time_text(source.since), pushes)
        yield made
    if status.pushed_limits:
        yield _limit_table(status.pushed_limits)
    if status.refusals:
        made = table("check", "refused", right=("refused",), title="\nrefusals by check")
        for check, count in status.refusals.items():
            made.add_row(check, f"{count:,}")
        yield made


def _headline(status: Status, now: datetime) -> Text:
    age_ns = status.heartbeat_age_ns
    heartbeat = "no heartbeat" if age_ns is None else f"heartbeat {age_ns // 10**6} ms ago"
    line = Text(f"{status.name}  ", "bold")
    line.append(status.word, WORD_STYLES[status.word])
    pid = "" if status.pid is None else f", pid {status.pid}"
    up = span((now - status.since).total_seconds())
    line.append(f"  {heartbeat}; run {status.run}{pid}, up {up} since {time_text(status.since)} UTC", "default")
    return line


def _session_table(sessions: list[SessionView]) -> Table:
    numbers = ("open", "in doubt", "passed", "rejected", "ignored")
    made = table("session", "role", "version", "state", "since (UTC)", *numbers, right=numbers)
    for x in sessions:
        counts = [f"{n:,}" for n in (x.passed, x.rejected, x.ignored)] if x.role == "EMS" else ["", "", ""]
        not_sure = Text(f"{x.not_sure:,}", "bold red") if x.not_sure else Text("")
        since = time_text(x.since)
        made.add_row(x.name, x.role, x.version, session_state(x), since, f"{x.open_orders:,}", not_sure, *counts)
    return made


def _limit_table(limits: list[PushedLimit]) -> Table:
    numbers = ("floor", "in force", "pushed", "ceiling")
    made = table(
        "limit", "of", "source", *numbers, "", "state", "expires (UTC)", right=numbers, title="\npushed limits"
    )
    for x in limits:
        values = [plain(value) for value in (x.floor, x.effective, x.pushed, x.ceiling)]
        made.add_row(x.key, x.where, x.source, *values, x.unit, limit_state(x), time_text(x.expires))
    return made


def order_status(order: OrderView) -> Text:
    """Status of an order with what waits, what is in doubt, and why it is being canceled."""
    made = Text(order.status, "" if order.open else "dim")
    for text, style in ((order.pending, "yellow"), (order.doubt, "bold red")):
        if text:
            made.append(f", {text}", style)
    if order.canceled_by:
        made.append(f", by {order.canceled_by}", "yellow")
    return made


def terms(order: OrderView) -> str:
    """Price of an order as a person says it: `101.5`, `market`, `stop 99`, `stop 99 limit 98.5`."""
    stop = "" if order.stop_price is None else f"stop {plain(order.stop_price)}"
    if order.price is None:
        return stop or order.order_type
    return f"{stop} limit {plain(order.price)}" if stop else plain(order.price)


def order_table(orders: Sequence[OrderView]) -> Table:
    """Orders, one line each."""
    numbers = ("price", "quantity", "executed", "leaves", "age")
    who = ("order", "ClOrdID", "session", "account", "strategy", "trader", "venue", "symbol", "side")
    made = table(*who, "TIF", *numbers, "status", right=numbers)
    for x in orders:
        quantities = [plain(value) for value in (x.quantity, x.executed, x.leaves)]
        made.add_row(
            *(x.order_id, x.cl_ord_id, x.session, x.account, x.strategy, x.trader, x.venue, x.symbol),
            side_text(x.side),
            *(x.time_in_force, terms(x), *quantities, span(x.age_s)),
            order_status(x),
        )
    return made


def position_table(positions: Sequence[PositionView]) -> Table:
    """Positions with their limits, one line each."""
    numbers = ("position", "open buy", "open sell", "worst long", "of max", "used", "worst short", "of max ", "used ")
    money = ("price", "market value")
    made = table("name", "symbol", *numbers, *money, "", right=(*numbers, *money))
    for x in positions:
        made.add_row(
            *(x.name or x.scope, x.symbol, plain(x.position), plain(x.open_buy), plain(x.open_sell)),
            *(plain(x.worst_long), plain(x.max_long), used_text(x.used_long)),
            *(plain(x.worst_short), plain(x.max_short), used_text(x.used_short)),
            *(plain(x.price), "" if x.market_value is None else f"{x.market_value:,.2f}", Text(x.price_of, "dim")),
        )
    return made
