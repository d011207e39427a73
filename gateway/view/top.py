"""`tidegate top`: a running gateway on a full screen, twice a second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import numpy as np
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.config.files import ConfigError
from gateway.config.sections import Config
from gateway.core.catalogue import CHECKS
from gateway.state.attach import Attached, NoGateway, attach
from gateway.state.memory import State
from gateway.view import screens as show
from gateway.view.figures import Latency, latency, plain
from gateway.view.orders import OrderView, Wanted, find_orders, order_views
from gateway.view.positions import PositionView, positions
from gateway.view.status import PushedLimit, Status, status

REFRESH_S = 0.5
WINDOW_S = 5.0  # rates and latency are of so long
LEAST_LINES = 4  # of a panel: its frame, its heading and one line
BAR_CELLS = 8
PRICE_WIDTH = 96  # of a screen that has room for prices of positions


@dataclass(frozen=True)
class Sample:
    """Counters of a gateway at a time of the monotonic clock: messages by session and verdict, refused orders by check,
    latencies by bucket.
    """

    time_s: float
    counted: np.ndarray
    fired: np.ndarray
    latency_count: np.ndarray


def take_sample(state: State, pulse: np.record | None, time_s: float) -> Sample:
    """The counters as they are now."""
    s = state.record
    counts = np.zeros(1, np.int64) if pulse is None else np.array(pulse.latency_count)
    counted = s["sessions"]["counted"][: s.session_count].sum(axis=1)
    return Sample(time_s, counted, np.array(s.check_fired), counts)


@dataclass(frozen=True)
class Rates:
    """What went by in the last seconds, each a second: messages by session and verdict, refused orders by check."""

    counted: np.ndarray
    fired: dict[str, float]
    latency: Latency


def rates(samples: deque[Sample]) -> Rates:
    """The difference between the oldest and the newest sample."""
    first, last = samples[0], samples[-1]
    passed_s = max(last.time_s - first.time_s, 1e-9)
    fired = ((last.fired - first.fired) / passed_s).tolist()
    return Rates(
        (last.counted - first.counted) / passed_s,
        {check.name: rate for check, rate in zip(CHECKS, fired, strict=False)},
        latency(last.latency_count - first.latency_count),
    )


@dataclass(frozen=True)
class Frame:
    """What one screen shows: the largest positions first, of open orders the newest first and the oldest last."""

    status: Status
    rates: Rates
    now: datetime
    positions: list[PositionView]
    newest: list[OrderView]
    oldest: list[OrderView]


def make_frame(attached: Attached, config: Config, samples: deque[Sample], lines: int) -> Frame:
    """Look at the gateway; `samples` holds its last counters. At most so many orders at each end are looked into."""
    now_ns = time.monotonic_ns()
    state = attached.state
    rows = find_orders(state, Wanted())
    return Frame(
        status(state, attached.pulse, config, attached.since_ns, now_ns),
        rates(samples),
        datetime.now(UTC),
        sorted(positions(state), key=lambda view: (-abs(view.market_value or Decimal(0)), -view.used)),
        list(order_views(state, rows[::-1][:lines], now_ns)),
        list(order_views(state, rows[:lines][::-1], now_ns)),
    )


def screen(frame: Frame, width: int, height: int) -> RenderableType:
    """The whole screen in exactly so many lines, as long as there are LEAST_LINES for each panel."""
    x = frame.status
    head: list[RenderableType] = [_headline(frame), _rate_line(frame)]
    if x.trouble:
        more = f"   and {len(x.trouble) - 1} more: tidegate status" if len(x.trouble) > 1 else ""
        head.append(Text(f" ! {x.trouble[0]}{more}", "bold white on red", no_wrap=True, overflow="ellipsis"))
    fired = [(name, count) for name, count in x.refusals.items()]
    bands: list[tuple[int, Callable[[int], RenderableType]]] = [
        (max(len(x.sessions), len(fired)), lambda rows: _pair(_sessions(frame, rows), _refusals(frame, rows))),
        (len(frame.positions), lambda rows: _positions(frame, rows, width >= PRICE_WIDTH)),
        (x.open_orders, lambda rows: _orders(frame, rows)),
    ]
    switches = len(x.switches) + len(x.sources)
    if x.pushed_limits or switches:
        wanted = max(len(x.pushed_limits), switches)
        bands.insert(1, (wanted, lambda rows: _pair(_limits(frame, rows), _switches(frame, rows))))
    lines = share_lines(height - len(head), [wanted + LEAST_LINES - 1 for wanted, _ in bands])
    shown = zip(bands, lines, strict=True)
    return Group(*head, *(draw(count - LEAST_LINES + 1) for (_, draw), count in shown if count >= LEAST_LINES))


def share_lines(height: int, wanted: list[int]) -> list[int]:
    """Lines for each panel from the top: LEAST_LINES as far as there is room (else none), then line by line to each
    that wants more, and what nobody wants to the last.
    """
    lines = [LEAST_LINES if LEAST_LINES * (k + 1) <= height else 0 for k in range(len(wanted))]
    left = height - sum(lines)
    while left > 0 and (open_ones := [k for k, n in enumerate(lines) if LEAST_LINES <= n < wanted[k]]):
        for k in open_ones[:left]:
            lines[k] += 1
        left -= len(open_ones[:left])
    if left > 0 and any(lines):
        lines[max(k for k, n in enumerate(lines) if n)] += left
    return lines


def _headline(frame: Frame) -> Table:
    x = frame.status
    left = Text().append(f" {x.name} ", "bold reverse").append(f" {x.word} ", f"{show.WORD_STYLES[x.word]} reverse")
    left.append(f"  run {x.run}  up {show.span((frame.now - x.since).total_seconds())}")
    if x.market_closed:
        left.append("  trading day closed", "yellow")
    if x.switches:
        left.append(f"  switches set: {len(x.switches)}", "bold red")
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, Text(f"{frame.now:%H:%M:%S} UTC   q ends ", "dim"))
    return line


def _rate_line(frame: Frame) -> Text:
    ignored, passed, rejected = frame.rates.counted.sum(axis=0).tolist()
    x, quick = frame.status, frame.rates.latency
    line = Text(" ", no_wrap=True, overflow="ellipsis")
    figures = [(f"{passed:,.0f}/s", "passed", "green"), (f"{rejected:,.0f}/s", "rejected", "red" if rejected else "")]
    if ignored:
        figures.append((f"{ignored:,.0f}/s", "ignored", "yellow"))
    figures += [(show.bound_text(quick.p50_ns), "p50", "cyan"), (show.bound_text(quick.p99_ns), "p99", "cyan")]
    figures += [(f"{x.open_orders:,}", "open", ""), (f"{x.accepted_orders:,}", "accepted", "")]
    figures += [(f"{x.refused_orders:,}", "refused", "")]
    if x.waiting:
        figures.append((f"{x.waiting:,}", "waiting", "yellow"))
    for value, what, style in figures:
        line.append(f"{what} ", "dim").append(value, f"bold {style}").append("  ")
    return line


def _panel(title: str, body: RenderableType, rows: int) -> Panel:
    frame_lines = LEAST_LINES - 1
    return Panel(body, title=title, title_align="left", border_style="dim", padding=(0, 1), height=rows + frame_lines)


def _pair(left: RenderableType, right: RenderableType) -> Table:
    pair = Table.grid(expand=True)
    pair.add_column(ratio=13)
    pair.add_column(ratio=7)
    pair.add_row(left, right)
    return pair


def _table(*columns: str, right: tuple[str, ...] = (), cut: tuple[str, ...] = ()) -> Table:
    """One line a row, whatever it takes. Where it is narrow the columns `cut` give way; their cells are `_cut`."""
    made = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        elastic = column in cut
        made.add_column(
            column, justify=justify, no_wrap=not elastic, overflow="ellipsis", min_width=5 if elastic else None
        )
    return made


def _cut(text: str | Text, style: str = "") -> Text:
    """A cell that is shortened rather than folded."""
    cell = Text(text, style) if isinstance(text, str) else text
    cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell


def _bar(share: Decimal, style: str) -> Text:
    """A share of 0 to 1 as a bar; what is more is a full one."""
    cells = int(min(max(share, Decimal(0)), Decimal(1)) * BAR_CELLS + Decimal("0.5"))
    return Text("━" * cells, style).append("━" * (BAR_CELLS - cells), "bright_black")


def _count(rate: float, style: str = "") -> Text:
    """A rate; none is dim."""
    return Text(f"{rate:,.1f}" if rate else "·", style if rate else "dim")


def _sessions(frame: Frame, rows: int) -> Panel:
    sessions = frame.status.sessions
    numbers = ("open", "pass/s", "reject/s", "doubt")
    made = _table("session", "", "state", *numbers, right=numbers, cut=("session", "state"))
    by_rate = zip(sessions, frame.rates.counted.tolist(), strict=False)
    # What needs somebody is never the part that is cut off.
    ordered = sorted(by_rate, key=lambda item: item[0].up and not item[0].recovering and not item[0].not_sure)
    for x, (_, passed, rejected) in ordered[:rows]:
        not_sure = Text(f"{x.not_sure:,}", "bold red") if x.not_sure else Text("·", "dim")
        verdicts = (_count(passed, "green"), _count(rejected, "red")) if x.role == "EMS" else ("", "")
        state = _cut(show.session_state(x))
        made.add_row(_cut(x.name), Text(x.role, "dim"), state, f"{x.open_orders:,}", *verdicts, not_sure)
    down = sum(not x.up for x in sessions)
    title = f"sessions: {len(sessions) - down} up" + (f", [bold red]{down} down[/]" if down else "")
    return _panel(title, made, rows)


def _refusals(frame: Frame, rows: int) -> Panel:
    made = _table("check", "orders", "now/s", right=("orders", "now/s"), cut=("check",))
    for check, count in list(frame.status.refusals.items())[:rows]:
        made.add_row(_cut(check), f"{count:,}", _count(frame.rates.fired[check], "red"))
    return _panel("refusals by check", made, rows)


def _limits(frame: Frame, rows: int) -> Panel:
    limits = sorted(frame.status.pushed_limits, key=lambda x: (not x.held, _share(x)))
    numbers = ("in force", "ceiling")
    made = _table("limit", "of", "", *numbers, "", right=numbers, cut=("limit", "of"))
    for x in limits[:rows]:
        style = "yellow" if x.held else "cyan"
        values = [f"{plain(value)}{x.unit}" for value in (x.effective, x.ceiling)]
        mark = Text("held", "bold yellow") if x.held else ""
        made.add_row(_cut(x.key), _cut(x.where), _bar(_share(x), style), *values, mark)
    held = sum(x.held for x in limits)
    title = f"pushed limits: {len(limits)}" + (f", [bold yellow]{held} held[/]" if held else "")
    return _panel(title, made, rows)


def _share(x: PushedLimit) -> Decimal:
    """Where between floor and ceiling a pushed limit stands, 0 to 1."""
    if not x.ceiling.is_finite() or x.ceiling <= x.floor:
        return Decimal(1)
    return min(x.effective - x.floor, x.ceiling - x.floor) / (x.ceiling - x.floor)


def _switches(frame: Frame, rows: int) -> Panel:
    made = _table("name", "", "since", right=("since",), cut=("name",))
    marks = {True: "killed", False: "not known"}
    lines = [(x.where, Text(marks[x.known], "bold red"), x.since) for x in frame.status.switches]
    lines += [(x.where, Text(x.posture, "bold yellow"), x.since) for x in frame.status.postures]
    sources = sorted(frame.status.sources, key=lambda source: source.up)
    for where, state, since in [*lines, *((x.name, show.source_state(x), x.since) for x in sources)][:rows]:
        age = "" if since is None else show.span(max((frame.now - since).total_seconds(), 0))
        made.add_row(_cut(where), state, age)
    return _panel("switches, postures, sources", made, rows)


def _used(percent: Decimal | None) -> Text:
    if percent is None:
        return Text("no limit", "dim")
    style = "red" if percent >= show.OVER_PERCENT else "yellow" if percent >= show.NEAR_PERCENT else "green"
    return _bar(percent / 100, style).append(f" {percent:>3.0f}%", "default")


def _positions(frame: Frame, rows: int, with_price: bool) -> Panel:
    numbers = ("position", "buys", "sells", "price", "value")
    columns = ("account", "symbol", *numbers[:3], "long used", "short used", *numbers[3 if with_price else 4 :])
    made = _table(*columns, right=numbers, cut=("account", "symbol"))
    for x in frame.positions[:rows]:
        style = "red" if x.position < 0 else ""
        price = [plain(x.price)] if with_price else []
        made.add_row(
            *(_cut(x.name), _cut(x.symbol), Text(plain(x.position), style)),
            *(plain(x.open_buy), plain(x.open_sell)),
            *(_used(x.used_long), _used(x.used_short)),
            *(*price, "?" if x.market_value is None else f"{x.market_value:,.0f}"),
        )
    return _panel(f"positions: {len(frame.positions)}, the largest first", made, rows)


def _orders(frame: Frame, rows: int) -> Panel:
    numbers = ("quantity", "executed", "price", "age")
    cut = ("account", "strategy", "venue", "symbol", "status")
    made = _table("order", *cut[:4], "side", *numbers, cut[4], right=numbers, cut=cut)
    old_rows = rows // 3 if len(frame.newest) > rows else 0
    newest, oldest = frame.newest[: rows - old_rows], frame.oldest[len(frame.oldest) - old_rows :]
    for x in (*newest, *oldest):
        made.add_row(
            x.order_id,
            *(_cut(name) for name in (x.account, x.strategy, x.venue, x.symbol)),
            show.side_text(x.side),
            *(plain(x.quantity), plain(x.executed), show.terms(x), show.span(x.age_s), _cut(show.order_status(x))),
        )
    title = f"open orders: {frame.status.open_orders:,}"
    if oldest:
        title += f", the newest {len(newest)} and the oldest {len(oldest)}"
    return _panel(title, made, rows)


def watch(config: Config) -> None:
    """Show the gateway until q or Ctrl-C; waits for it to come back when it ends. Raises NoGateway if none runs now."""
    attached: Attached | None = attach(config.gateway)
    samples: deque[Sample] = deque(maxlen=int(WINDOW_S / REFRESH_S) + 1)
    with contextlib.suppress(KeyboardInterrupt), _keyboard() as ended, Live(screen=True, auto_refresh=False) as live:
        while True:
            width, height = live.console.size
            try:
                if attached is None or not attached.is_current():
                    attached = None
                    samples.clear()
                    attached = attach(config.gateway)
                samples.append(take_sample(attached.state, attached.pulse, time.monotonic()))
                picture = screen(make_frame(attached, config, samples, height), width, height)
            except (NoGateway, ConfigError) as error:
                picture = Text(f" {config.gateway.name}  {error}", "bold white on red")
            live.update(picture, refresh=True)
            if ended(REFRESH_S):
                return


@contextlib.contextmanager
def _keyboard() -> Iterator[Callable[[float], bool]]:
    """Takes keys as they are pressed; gives a function that waits so long and says whether q was, or nobody is left."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def ended(seconds: float) -> bool:
        if not select.select([descriptor], [], [], seconds)[0]:
            return False
        keys = os.read(descriptor, 64)
        return not keys or b"q" in keys

    tty.setcbreak(descriptor)
    try:
        yield ended
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
