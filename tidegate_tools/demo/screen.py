"""What the demonstration shows: sessions and state, the last decisions, positions and open orders.

Everything about the gateway is read from its state file, from outside. Where stdout is no terminal, the decisions are
printed line by line instead.
"""

from __future__ import annotations

import textwrap
import threading
from collections import deque
from itertools import zip_longest
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from gateway.core import layout as a
from gateway.core.catalogue import CHECKS, LIMITS
from gateway.state.memory import State
from gateway.view.figures import limit_text
from tidegate_tools.demo.scenario import BY_KILL_SWITCH, is_status
from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.matching_book import E8
from tidegate_tools.sim.quickfix_peer import LoggedMessage

SIDE_WIDTH = 26
STATES = {"0": "is working", "1": "is partially filled", "2": "is filled", "4": "is canceled", "5": "is working"}
SIDES = {"1": "buy", "2": "sell", "5": "sell short"}
KEPT_LINES = 200
LIVE_WIDTH = 90  # a narrower terminal gets plain lines


class Line:
    """A request of an EMS and what became of it."""

    def __init__(self, ems: str, request: str) -> None:
        self.ems, self.request = ems, request
        self.outcome, self.style = "", "dim"

    def rows(self, width: int) -> list[Text]:
        """The line in rows of at most `width`; the reason of a refusal stands in rows of its own, whole."""
        head = Text(f"{self.ems} ", "dim")
        head.append(self.request, "default")
        short = len(head) + 1 + len(self.outcome) <= width
        if short:
            head.append(" " * (width - len(head) - len(self.outcome)) + self.outcome, self.style)
            return [head]
        head.truncate(width)
        return [head, *(Text("  " + row, self.style) for row in wrap(self.outcome, width - 2))]


class Note(Line):
    """A line of a command that a person runs, or of its output."""

    def __init__(self, text: str, style: str) -> None:
        super().__init__("", text)
        self.style = style

    def rows(self, width: int) -> list[Text]:
        """The line in rows of at most `width`."""
        return [Text(row, self.style) for row in wrap(self.request, width)]


class View:
    """Live view of a run, or plain lines. Use as a context manager around the run."""

    def __init__(self, console: Console, state: State) -> None:
        self.console, self.state = console, state
        self._caption = ""
        self._lines: deque[Line] = deque(maxlen=KEPT_LINES)
        self._by_id: dict[tuple[str, str], Line] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None
        if console.is_terminal and console.width >= LIVE_WIDTH:
            self._live = Live(console=console, screen=True, refresh_per_second=10, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def caption(self, text: str) -> None:
        """Say what is going on."""
        self._caption = text
        if not self._live:
            self.console.print(f"\n== {text}", markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str, style: str) -> None:
        """Show a line of a command, or of its output."""
        with self._lock:
            self._lines.append(Note(text, style))
        if not self._live:
            self.console.print(f"   {text}", style=style, markup=False, highlight=False, soft_wrap=True)

    def seen(self, ems: str, entry: LoggedMessage) -> None:
        """Take a message that passed at an EMS; called in the threads of the EMS."""
        fields = entry.fields
        cl_ord_id, kind = first(fields, 11), first(fields, 35)
        with self._lock:
            if entry.sent and kind in ("D", "F", "G", "H", "q"):
                line = self._by_id[ems, cl_ord_id] = Line(ems, _request(fields))
                self._lines.append(line)
                return
            if entry.sent or kind not in ("8", "9", "3", "j"):
                return
            line = self._by_id.get((ems, cl_ord_id)) or self._lines[-1]
            news = not line.outcome
            line.outcome, line.style = _outcome(fields)
            if news and not self._live:
                text = f"{line.ems} {line.request} -> {line.outcome}"
                self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        size = self.console.size
        layout = Layout()
        layout.split_column(Layout(name="head", size=4), Layout(name="body"))
        layout["body"].split_row(
            Layout(Panel(self._sessions(), title="gateway", border_style="dim"), size=SIDE_WIDTH),
            Layout(self._decisions(size.width - 2 * SIDE_WIDTH - 4, size.height - 6), name="middle"),
            Layout(Panel(self._positions(size.height - 6), title="positions", border_style="dim"), size=SIDE_WIDTH),
        )
        layout["head"].update(Panel(self._headline(), border_style="cyan"))
        return layout

    def _headline(self) -> Text:
        s = self.state.record
        prices = []
        for symbol, row in self.state.instruments.items():
            i = s.instruments[row]
            if i.bid_e8 > 0 and i.ask_e8 > 0:
                prices.append(Text(f"{symbol} ", "bold").append(f"{_price(i.bid_e8)}/{_price(i.ask_e8)}", "not bold"))
        caption = Text(self._caption, "bold cyan")
        text = Text(overflow="ellipsis", no_wrap=True).append_text(caption).append("\n")
        return text.append_text(Text("  ").join(prices))

    def _sessions(self) -> Text:
        s = self.state.record
        text = Text(no_wrap=True)
        sessions = [s.sessions[row] for row in range(int(s.session_count))]
        sides = ([x for x in sessions if x.role == role] for role in (a.EMS, a.VENUE_ROLE))
        for pair in zip_longest(*sides):
            for session in pair:
                if session is not None:
                    text.append("● ", "green" if session.up else "bold red")
                    text.append(f"{_name(s.entities[int(session.entity)]):9}", "default" if session.up else "bold red")
            text.append("\n")
        self._add_steering(text)
        text.append("\n")
        text.append(f"{'accepted':18}", "green").append(f"{int(s.accepted_orders):4}\n")
        text.append(f"{'refused':18}", "red").append(f"{int(s.refused_orders):4}\n")
        for check in CHECKS:
            if s.check_fired[check.id]:
                text.append(f"{check.name:18}", "dim").append(f"{int(s.check_fired[check.id]):4}\n")
        return text

    def _add_steering(self, text: Text) -> None:
        """Append what people and publishers have done to the gateway: kill switches, pushed limits."""
        s = self.state.record
        if s.entities[0].killed:
            text.append(f"\n{'KILLED':^{SIDE_WIDTH - 4}}\n", "bold white on red")
        for source in s.sources[: int(s.source_count)]:
            text.append("\n● ", "green" if source.up else "bold red")
            text.append(f"{_name(source)}{'' if source.up else ' silent'}\n", "default" if source.up else "bold red")
        for row in range(int(s.parameter_count)):
            pushed = s.parameters[row]
            if pushed.state not in (a.VALID, a.HELD):
                continue
            limit = LIMITS[int(pushed.limit)]
            text.append(f"{_name(s.entities[int(pushed.entity)])} {limit.key}\n", "dim")
            held = pushed.state == a.HELD
            value = limit_text(limit.index, int(pushed.effective)).split(".")[0]
            text.append(f"  {value} #{int(pushed.epoch)}{' held' if held else ''}\n", "bold red" if held else "cyan")

    def _decisions(self, width: int, height: int) -> Panel:
        rows: list[Text] = []
        with self._lock:
            lines = list(self._lines)
        for line in reversed(lines):
            rows = line.rows(width) + rows
            if len(rows) >= height:
                break
        return Panel(Text("\n").join(rows[-height:]), title="decisions", border_style="dim")

    def _positions(self, height: int) -> Text:
        """Position by account and instrument, then the number of open orders and the last of them."""
        s = self.state.record
        text = Text(no_wrap=True)
        for (account, symbol), position in sorted(account_positions(self.state).items()):
            style = "default" if position > 0 else "red"
            if position:
                text.append(f"{account:8}{symbol:5}").append(f"{position / E8:9,.0f}\n", style)
        orders = [s.orders[row] for row in range(int(s.order_count)) if s.orders[row].counted_open]
        text.append(f"\n{len(orders)} open orders\n", "bold")
        symbols = {row: symbol for symbol, row in self.state.instruments.items()}
        for order in reversed(orders[-max(0, height - len(text.plain.splitlines())) :]):
            request = s.requests[int(order.accepted)]
            side = "buy" if int(order.side) == ord("1") else "sell"
            leaves = (int(order.qty_e8) - int(order.cum_e8)) // E8
            text.append(f"{side:4} ", "green" if side == "buy" else "red")
            text.append(f"{leaves:4} {symbols[int(order.instrument)]:5}{_price(request.price_e8):>7}\n")
        return text


def wrap(text: str, width: int) -> list[str]:
    """A text in rows of at most `width`; one row where there is none."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def account_positions(state: State) -> dict[tuple[str, str], int]:
    """Position (e8) by account and symbol as the gateway holds them."""
    s = state.record
    symbols = {row: symbol for symbol, row in state.instruments.items()}
    return {
        (_name(s.entities[int(x.entity)]), symbols[int(x.instrument)]): int(x.position_e8)
        for x in s.exposures[: int(s.exposure_count)]
        if s.entities[int(x.entity)].scope == a.ACCOUNT
    }


def _name(entity: object) -> str:
    return bytes(entity.name[: entity.name_size]).decode()  # type: ignore[attr-defined]


def _price(price_e8: int) -> str:
    return f"{int(price_e8) / E8:.2f}"


def _request(fields: Fields) -> str:
    """A request in a few words."""
    account = f"{first(fields, 1)} " if first(fields, 1) else ""
    symbol, quantity = first(fields, 55), first(fields, 38)
    price = f" @ {first(fields, 44)}" if first(fields, 44) else ""
    match first(fields, 35):
        case "D":
            return f"{account}{SIDES.get(first(fields, 54), '?')} {quantity} {symbol}{price}"
        case "G":
            return f"replace {symbol}: {quantity}{price}"
        case "F":
            return f"cancel {symbol}"
        case "H":
            return f"status of {symbol}?"
    return "mass cancel"


def _outcome(fields: Fields) -> tuple[str, str]:
    """What an answer says, and its style."""
    text = first(fields, 58)
    kind, exec_type = first(fields, 35), first(fields, 150)
    if is_status(fields):
        return STATES.get(first(fields, 39), f"39={first(fields, 39)}"), "cyan"
    if kind in ("9", "3", "j") or exec_type == "8":
        return text, "red"
    if exec_type == "4" and text.startswith(BY_KILL_SWITCH):
        return "killed", "bold red"
    if exec_type in ("F", "1", "2"):
        leaves = first(fields, 151)
        return ("filled" if leaves == "0" else f"filled {first(fields, 14)}, {leaves} open"), "bold green"
    return {"0": "accepted", "4": "canceled", "5": "replaced"}.get(exec_type, f"150={exec_type}"), "green"
