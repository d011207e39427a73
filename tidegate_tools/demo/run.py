"""The demonstration: three venues, the gateway, three EMS, a calibrator. Orders pass and are refused before you, limits
tighten, the kill switch is set; and everything is counted.

    tidegate demo            # about a minute
    tidegate demo --serve    # the same, then everything stays up for you to connect

What must come of each order is counted as it is sent (`tidegate_tools.demo.scenario`, `tidegate_tools.demo.controls`)
and held against what the EMS got, what the gateway's state says and what the venues did. The exit status is 0 when all
agree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

import yaml
from rich.console import Console
from rich.table import Table

from gateway import shipped
from gateway.config.settings import load_settings
from gateway.core.catalogue import CHECKS
from gateway.core.layout import VENUE
from gateway.state.memory import State, map_state
from gateway.warmup import warm_up
from tidegate_tools.demo.controls import SOURCE, Controls
from tidegate_tools.demo.scenario import FILL_SLICE, SEED, Answers, Script
from tidegate_tools.demo.screen import View, account_positions
from tidegate_tools.demo.stage import BUY, DemoVenue, markets
from tidegate_tools.fix.text import first
from tidegate_tools.sim.calibrator import CalibratorProcess
from tidegate_tools.sim.ems import Ems, EmsConfig
from tidegate_tools.sim.exchange import Rules, VenueOrder
from tidegate_tools.sim.matching_book import E8
from tidegate_tools.sim.quickfix_peer import LoggedMessage, SessionConfig, free_port
from tidegate_tools.sim.venue import VenueConfig

HOST = "127.0.0.1"
CAPACITY = "small"
START_TIMEOUT_S = 120.0
VENUES = {"XNAS": "FIX.4.4", "XNYS": "FIX.4.4", "XEUR": "FIX.4.2"}
EMS = {"EMS1": "FIX.4.4", "EMS2": "FIX.4.4", "EMS3": "FIX.4.2"}
EXTRA: dict[str, dict[str, Any]] = {"EMS3": {"accounts": ["FUTURES", "ARB"]}, "XNAS": {"mass_cancel": True}}
GATEWAY_COMP_ID = "TIDEGATE"
LOGON_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0
SHOWN_LOG_LINES = 15
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class GatewayEnded(Exception):
    """The gateway process ended though nobody asked it to; the message holds its last log lines."""


class GatewayProcess:
    """`tidegate run` in a process of its own, and out of the terminal's reach: Ctrl-C is for the demonstration."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._log: deque[str] = deque(maxlen=500)
        self._alerts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._up = threading.Event()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "run", "--config", str(self._config)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_TIMEOUT_S)

    def wait_up(self) -> None:
        """Wait until its log says that it is up."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._up.wait(0.1):
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the gateway is not up in {START_TIMEOUT_S:g} s; its log:\n{self._tail()}")

    def check(self, patience_s: float = 0.0) -> None:
        """Raise GatewayEnded if the process has ended, or ends in `patience_s`."""
        try:
            status = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return
        self._reader.join(1)
        raise GatewayEnded(f"the gateway ended with status {status}; the end of its log:\n{self._tail()}")

    @property
    def alerts(self) -> Counter[str]:
        """Alerts in the log, by kind."""
        return self._alerts.copy()

    @property
    def errors(self) -> Counter[str]:
        """What else is logged as an error or worse, by event."""
        return self._errors.copy()

    def _tail(self) -> str:
        return "\n".join(list(self._log)[-SHOWN_LOG_LINES:]) or "(empty)"

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if '"event": "decision"' not in line:  # there are hundreds, and the screen tells them
                self._log.append(line.rstrip("\n"))
            if '"event": "gateway is up"' in line:
                self._up.set()
            if '"event": "alert"' in line:
                self._alerts[json.loads(line).get("alert", "")] += 1
            elif '"level": "error"' in line or '"level": "critical"' in line:
                self._errors[json.loads(line)["event"]] += 1


@dataclass(frozen=True)
class Row:
    """One line of the summary: what must be, and what three sides say; None where a side cannot tell."""

    name: str
    expected: int
    ems: int | None = None
    gateway: int | None = None
    venues: int | None = None

    @property
    def right(self) -> bool:
        """Whether every side that can tell says what must be."""
        return all(count in (None, self.expected) for count in (self.ems, self.gateway, self.venues))


def summarize(rows: Sequence[Row], console: Console) -> int:
    """Print the table; 0 if every row is right, else 1 with the wrong ones named."""
    table = Table(title="What must be, and what each side says")
    table.add_column("")
    for column in ("expected", "EMS", "gateway", "venues"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        sides = ("" if count is None else f"{count:,}" for count in (row.ems, row.gateway, row.venues))
        mark = "[green]✓[/green]" if row.right else "[bold red]✗[/bold red]"
        table.add_row(row.name, f"{row.expected:,}", *sides, mark)
    console.print(table)
    wrong = [row.name for row in rows if not row.right]
    if wrong:
        console.print(f"wrong: {', '.join(wrong)}", style="bold red", markup=False)
        return 1
    console.print(f"all {len(rows)} rows are right", style="bold green")
    return 0


def run_demo(serve: bool, fast: bool = False) -> int:
    """Run the demonstration and return its exit status; `fast` leaves out the pauses that let a person follow."""
    console = Console()
    previous = {number: signal.signal(number, _end) for number in STOP_SIGNALS}
    try:
        with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as folder:
            return _run(Path(folder), console, serve, fast)
    except (GatewayEnded, OSError, RuntimeError) as error:  # TimeoutError and ConnectionError are OSErrors
        console.print(f"demo: {error}", style="bold red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted, everything is stopped")
        return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end(_: int, frame: FrameType | None) -> None:
    """Once is enough: a second signal must not keep us from ending what we started."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(folder: Path, console: Console, serve: bool, fast: bool) -> int:
    console.print("Starting venues and gateway; the first start compiles the kernels, a minute or so.")
    warm_up(CAPACITY, console, native=False)
    with ExitStack() as stack:
        venues = {name: stack.enter_context(_venue(name, begin)) for name, begin in VENUES.items()}
        calibrator = stack.enter_context(CalibratorProcess(folder / SOURCE))
        config, port = write_config(folder, venues, calibrator.path)
        gateway = stack.enter_context(GatewayProcess(config))
        gateway.wait_up()
        settings = load_settings(config)
        opening = {(p.account, p.symbol): p.quantity_e8 for p in settings.positions}
        state = map_state(settings.config.gateway.state_dir / "state.bin", CAPACITY)
        answers, view = Answers(), View(console, state)
        with ExitStack() as clients:
            ems = {name: clients.enter_context(_ems(name, begin, port, answers, view)) for name, begin in EMS.items()}
            script = Script(ems, venues, answers, state, gateway.check, view.caption, fast)
            controls = Controls(script, calibrator, config, view.note)
            failure = _play(script, controls, view, gateway)
            status = summarize(summary_rows(script, controls, gateway, opening), console)
            if failure:
                console.print(f"the script stopped: {failure}", style="bold red", markup=False, highlight=False)
                return 1
        if serve:
            _serve(gateway, port, console)
        return status


def _play(script: Script, controls: Controls, view: View, gateway: GatewayProcess) -> Exception | None:
    """Wait until everybody is there, and run the script; returns what stopped it. A dead gateway is raised."""
    for ems in script.ems.values():
        ems.wait_logged_on(LOGON_TIMEOUT_S)
    for name in (*EMS, *VENUES):
        script.wait_session(name, up=True)
    for symbol in script.markets:
        script.wait_price(symbol)
    try:
        with view:
            script.run()
            controls.calibrate()
            script.flow("Back to business: good orders, and a bad one now and then", 170, bad_share=0.1)
            controls.kill()
            controls.rearm()
            controls.halt()
            script.pause(1.0)
    except (TimeoutError, ConnectionError, RuntimeError) as error:
        gateway.check(patience_s=1.0)  # the likeliest reason, noticed a moment after its sessions are gone
        return error
    return None


def _session(begin_string: str, comp_id: str) -> SessionConfig:
    dictionary = shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml"
    return SessionConfig(begin_string, comp_id, GATEWAY_COMP_ID, dictionary=dictionary)


def _venue(name: str, begin_string: str) -> DemoVenue:
    quotes = [market.quote() for market in markets().values() if market.venue == name]
    config = VenueConfig(
        sessions=[_session(begin_string, name)],
        rules=Rules(fill_slice_e8=FILL_SLICE * E8),
        liquidity=quotes,
        replenish_s=0,
        md_interval_s=1.0,
        md_incremental=name == "XNYS",
        seed=SEED,
    )
    return DemoVenue(config)


def _ems(name: str, begin_string: str, port: int, answers: Answers, view: View) -> Ems:
    def passed(entry: LoggedMessage) -> None:
        view.seen(name, entry)
        answers.seen(name, entry)

    config = EmsConfig(
        sessions=[_session(begin_string, name)], connect=(HOST, port), on_message=passed, cl_ord_id_prefix=f"{name}-"
    )
    return Ems(config)


def write_config(folder: Path, venues: Mapping[str, DemoVenue], pushed: Path) -> tuple[Path, int]:
    """The example config in `folder`, with its own ports and state folder, and a calibrator that pushes limits by way
    of the file `pushed`; returns the main file and the EMS port.
    """
    path = folder / "config" / "gateway.yaml"
    shutil.copytree(shipped("config"), path.parent)
    config: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    port = free_port()
    config["gateway"] |= {"state_dir": str(folder / "state"), "capacity": CAPACITY}
    for session in config["sessions"]:
        if session["role"] == "acceptor":
            session["listen"] = f"{HOST}:{port}"
        else:
            session |= {"connect": f"{HOST}:{venues[session['id']].port}", "reconnect": 1}
        if session["id"] in EXTRA:
            session |= EXTRA[session["id"]]
    config["parameters"] = {"sources": [{"id": SOURCE, "file": str(pushed), "max_silence": "1s"}]}
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return path, port


def summary_rows(
    script: Script, controls: Controls, gateway: GatewayProcess, opening: Mapping[tuple[str, str], int]
) -> list[Row]:
    """Every count that the script can foretell, beside what EMS, gateway and venues say.

    `opening` is the opening position (e8) by account and symbol.
    """
    s = script.state.record
    seen = script.answers.outcomes
    orders = {name: _orders(venue) for name, venue in script.venues.items()}
    everything = [order for of_venue in orders.values() for order in of_venue]
    sides = {
        "orders accepted": {"gateway": int(s.accepted_orders), "venues": len(everything)},
        "fills": {"venues": sum(len(order.executions) for order in everything)},
    }
    rows = [
        Row(name, script.expected[name], seen[name], **sides.get(name, {}))
        for name in sorted({*script.expected, *seen}, key=_place)
    ]
    by_checks = sum(count for name, count in script.expected.items() if name.split("refused: ")[-1] in REFUSALS)
    rows.append(Row("refused by checks, in all", by_checks, gateway=int(s.refused_orders)))
    open_at = Counter(script.markets[order.symbol].venue for order in script.working)
    for name, of_venue in orders.items():
        rows.append(Row(f"child orders at {name}", script.children[name], venues=len(of_venue)))
        at_venue = sum(order.leaves_e8 > 0 for order in of_venue)
        rows.append(Row(f"open orders at {name}", open_at[name], None, _open_at(script.state, name), at_venue))
    return [
        *rows,
        *_position_rows(script, everything, opening),
        *_control_rows(script, controls, gateway),
    ]


TOLD_BY_AN_ALERT_TOO = Counter({"kill switch set": 1, "pushed limit is not used, it is held": 1})
REFUSALS = {*(check.name for check in CHECKS), "several checks at once"}
ORDER_OF_ROWS = (
    *("orders accepted", "fills"),
    *(f"refused: {check.name}" for check in CHECKS),
    *("refused: several checks at once", "replaces accepted"),
    *(f"replaces refused: {check.name}" for check in CHECKS),
    *("replaces refused: too late at the venue", "cancels accepted", "cancels refused: too late at the venue"),
    *("cancels refused: unknown order", "cancels refused: venue down", "canceled by the kill switch"),
    *("refusals that name a pushed limit", "status requests answered"),
)


def _control_rows(script: Script, controls: Controls, gateway: GatewayProcess) -> list[Row]:
    """What came of the calibrator and the kill switch; alerts; and what a strict dictionary would not have."""
    of_venues = [Counter(first(m.fields, 35) for m in venue.log) for venue in script.venues.values()]
    refused = [sum(len(peer.refused) for peer in peers.values()) for peers in (script.ems, script.venues)]
    alerts, errors = gateway.alerts, gateway.errors
    return [
        Row("pushed limits held, no calibrator", 1, gateway=controls.held),
        Row("kills that end: no open orders", 1, gateway=len(controls.proven)),
        Row("mass cancels (35=q) of the kill", 1, venues=sum(types["q"] for types in of_venues)),
        Row("venues that send changes (35=X)", 1, venues=sum(types["X"] > 0 for types in of_venues)),
        Row("messages that break the FIX rules", 0, ems=refused[0], venues=refused[1]),
        *(
            Row(f"alert: {kind}", controls.alerts[kind], gateway=alerts[kind])
            for kind in sorted({*controls.alerts, *alerts})
        ),
        Row("other errors of the gateway", 0, gateway=sum((errors - TOLD_BY_AN_ALERT_TOO).values())),
    ]


def _place(name: str) -> tuple[int, str]:
    """Sort key of a row: what is known in its order, then the rest by name."""
    return (ORDER_OF_ROWS.index(name) if name in ORDER_OF_ROWS else len(ORDER_OF_ROWS), name)


def _orders(venue: DemoVenue) -> list[VenueOrder]:
    return list({order.order_id: order for order in venue.orders.values()}.values())


def _open_at(state: State, venue: str) -> int:
    s = state.record
    entity = state.entities[VENUE, venue]
    orders = (s.orders[row] for row in range(int(s.order_count)))
    return sum(int(o.counted_open) for o in orders if int(s.sessions[int(o.venue)].entity) == entity)


def _position_rows(script: Script, orders: Sequence[VenueOrder], opening: Mapping[tuple[str, str], int]) -> list[Row]:
    """Positions: the opening ones plus what the script traded, and plus what the venues filled."""
    filled = Counter(opening)
    for order in orders:
        filled[order.account, order.symbol] += order.cum_e8 if order.side == BUY else -order.cum_e8
    held = account_positions(script.state)
    rows = []
    for key in sorted({*held, *filled, *script.positions}):
        expected = opening.get(key, 0) + script.positions[key] * E8
        whole = (number // E8 for number in (expected, held.get(key, 0), filled[key]))
        must, gateway, venues = whole
        if must or gateway or venues:
            rows.append(Row(f"position of {key[0]} in {key[1]}", must, None, gateway, venues))
    return rows


def _serve(gateway: GatewayProcess, port: int, console: Console) -> None:
    """Say how to connect, and wait for Ctrl-C; raises GatewayEnded if the gateway ends by itself."""
    installed = str(Path(sys.executable).with_name("tidegate"))
    tidegate = min(installed, os.path.relpath(installed), key=len)
    ems = f"{tidegate} sim ems {HOST}:{port} --session FIX.4.4:EMS1:{GATEWAY_COMP_ID} --account ALPHA"
    raw = f"{tidegate} fixclient {HOST}:{port} --sender EMS1 --target {GATEWAY_COMP_ID}"
    lines = (
        f"\nEverything stays up. The gateway listens on {HOST}:{port} and calls itself {GATEWAY_COMP_ID}. You can be",
        "  EMS1 (FIX.4.4, accounts ALPHA and BETA), EMS2 (FIX.4.4, PENSION and HEDGE) or EMS3 (FIX.4.2, FUTURES, ARB).",
        "In another terminal, a random flow:",
        f"  {ems} --symbols AAPL:187.5",
        "an order that is refused:",
        f"  echo 'buy 6000 KO @ 60' | {ems} --script -",
        "and the same, field by field:",
        f"  echo '35=D|11=mine-1|1=ALPHA|55=KO|54=1|38=6000|40=2|44=60|21=1' | {raw}",
        "Ctrl-C ends it.",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    try:
        while True:
            gateway.check()
            time.sleep(0.25)
    except KeyboardInterrupt:
        console.print("stopping")
