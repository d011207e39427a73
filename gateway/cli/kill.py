"""`tidegate kill` and `tidegate rearm`.

A kill acts before anything slow or breakable is done: only the standard library, typer and yaml are imported before the
switch is set, of the config file only `gateway.state_dir` is read, and not a line is printed, which a full disk or a
reader that has gone would not take.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pwd
import re
import select
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, tables
from gateway.kill.file import CannotKill, Kill, read_switches, set_switch, sync_switches
from gateway.kill.format import SCOPE_NAMES, SwitchFault, parse_scope, scope_text
from gateway.machine import owner
from gateway.view.health import silence

if TYPE_CHECKING:
    from gateway.view.kill import Watch

PROVEN, RESIDUE, BAD_INPUT, NOTHING_PROVEN = 0, 1, 2, 3
STAYS_SET = 3  # of a rearm
DEFAULT_WAIT_S = 10.0
SEEN_S = 0.6  # in which a core that is alive has seen a switch
POLL_S = 0.02
PLAIN_S = 1.0  # between two lines of progress
GONE_S = 5.0
DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)")
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
STATE_DIR = re.compile(r"\bstate_dir['\"]?[ \t]*:[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|([^\s,}#'\"]+))")
COMMENT = re.compile(r"(?m)^[ \t]*#.*$")


app = typer.Typer()


@app.command()
def kill(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    scope: Annotated[
        list[str], typer.Option(metavar="SCOPE", help="firm, or strategy=MOMO, account=ACC1 ...; may be repeated")
    ],
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")] = "",
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="how long to wait for the cancels")] = "10s",
    drop_sessions: Annotated[
        bool, typer.Option("--drop-sessions", help="where nothing is proven, end the gateway's process without asking")
    ] = False,
) -> None:
    """Block all orders of a scope at once, and cancel those that are open.

    The switch stays set, across restarts too, until it is rearmed. A name that the config does not know can be killed
    in advance.

    Exit status: 0 no order is open any more, as the gateway says; 1 some are, they are listed, or it does not know the
    name; 2 bad input, nothing was done; 3 nothing is proven: the gateway does not run or answer, has a fault or waits
    for a venue, or a switch could not be set.
    """
    try:
        folder = state_folder(config)
    except ValueError as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from None
    keys, failures = _readable(scope)
    kills: dict[tuple[int, str], Kill] = {}
    for key in dict.fromkeys(keys):
        try:
            kills[key] = set_switch(folder, *key, _user(), reason)
        except CannotKill as error:
            failures.append(f"{scope_text(*key)}: NOT BLOCKED: {error}")
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # whoever started us has closed it
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115
    for key, done in kills.items():
        _tell_blocked(key, done)
    for line in failures:
        _say(line)
    if not kills:
        if keys:
            _nothing_proven("no switch is set")
        raise typer.Exit(NOTHING_PROVEN if keys else BAD_INPUT)
    wait_s = _seconds(timeout)
    synced = threading.Thread(target=_sync, args=(folder,), daemon=True)
    synced.start()
    status = _follow(folder, list(kills.values()), wait_s, drop_sessions)
    synced.join(1.0)
    if synced.is_alive():
        _say("the switch acts, but is not on disk yet: a power cut may lose it")
    raise typer.Exit(NOTHING_PROVEN if failures else status)


@app.command()
def rearm(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    scope: Annotated[str, typer.Option(metavar="SCOPE", help="firm, or strategy=MOMO, account=ACC1 ...")],
    reason: Annotated[str, typer.Option(help="why; goes to the journal with your name")],
) -> None:
    """Release a kill switch, by way of the running gateway; the config may ask for two people.

    Exit status: 0 the switch is released; 2 that was refused, or no gateway runs; 3 it is still set, mostly because
    another person must confirm.
    """
    from gateway.ops.control import ControlError, give_command

    try:
        folder = state_folder(config)
        number, name = parse_scope(scope)
        if not reason.strip():
            raise ValueError("--reason: a reason is required")
        request = {"command": "rearm", "scope": SCOPE_NAMES[number], "name": name, "reason": reason}
        _tell(give_command(folder, request))
    except (ValueError, ControlError) as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from None
    try:
        stays_set = any(switch.key == (number, name) for switch in read_switches(folder))
    except SwitchFault as fault:
        _say(f"the firm is killed: {fault}")
        stays_set = True
    if stays_set:
        raise typer.Exit(STAYS_SET)


def state_folder(config: Path) -> Path:
    """`gateway.state_dir` of a config file, whatever else is wrong with the file; raises ValueError."""
    try:
        text = config.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{config}: {getattr(error, 'strerror', None) or error}") from None
    try:
        told = yaml.safe_load(text)["gateway"]["state_dir"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        found = {next(filter(None, match)) for match in STATE_DIR.findall(COMMENT.sub("", text))}
        told = found.pop() if len(found) == 1 else None
    if not isinstance(told, str) or not told:
        raise ValueError(f"{config}: gateway.state_dir: want the path of the state folder")
    return config.parent / told


def _readable(scopes: list[str]) -> tuple[list[tuple[int, str]], list[str]]:
    """The scopes that can be read, and a line for each that cannot: a slip in one must not keep the others alive."""
    keys, failures = [], []
    for text in scopes:
        try:
            keys.append(parse_scope(text))
        except ValueError as error:
            failures.append(f"NOT BLOCKED: {error}")
    return keys, failures


def _seconds(text: str) -> float:
    """Seconds of --timeout; of what cannot be read, its default: nothing may keep a kill from being done."""
    match = DURATION.fullmatch(text.strip())
    if match is None:
        _say(f"--timeout: want a duration such as 10s or 1m, got {text}: it is {DEFAULT_WAIT_S:g}s")
        return DEFAULT_WAIT_S
    return float(match[1]) * UNITS_S[match[2]]


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _say(line: str) -> None:
    _tell(line, err=True)


def _tell(text: str, err: bool = False) -> None:
    """Print. Where that cannot be, this output is lost from here on: the exit status must still be told."""
    try:
        typer.echo(text, err=err)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


def _tell_blocked(key: tuple[int, str], done: Kill) -> None:
    since = datetime.fromtimestamp(done.switch.wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    _tell(f"{scope_text(*done.switch.key)}: blocked since {since} UTC")
    if done.fault:
        _say(f"the WHOLE FIRM is killed, not just {scope_text(*key)}: {done.fault}")


def _sync(folder: Path) -> None:
    try:
        sync_switches(folder)
    except OSError as error:
        _say(f"the switch acts, but could not be put on disk, a power cut may lose it: {error.strerror}")


class NotRunning(Exception):
    """No gateway can be looked at; one line."""


class Pulse:
    """The first words of the pulse block of a gateway, see `gateway.state.pulse`."""

    def __init__(self, folder: Path) -> None:
        """Map it; raises NotRunning."""
        self._folder = folder
        try:
            self.pid = owner(folder / "pulse")
            fd = os.open(folder / "pulse", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._words = memoryview(mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ))[:24].cast("q")
            finally:
                os.close(fd)
        except PermissionError:
            raise NotRunning("only the gateway's user and root may look at the gateway") from None
        except (OSError, ValueError):
            raise NotRunning(f"no gateway runs on {folder}") from None
        if self._words[2] != self.pid:
            raise NotRunning(f"no gateway runs on {folder}")

    @property
    def heartbeat_ns(self) -> int:
        """CLOCK_MONOTONIC when the core's thread was last about."""
        return self._words[0]

    @property
    def switches_epoch(self) -> int:
        """Of the switch file as the core has seen it and acted on it."""
        return self._words[1]

    def silence(self) -> str:
        """Why the core must be taken for hanging or gone; empty when it is alive."""
        why = silence(self.heartbeat_ns, time.monotonic_ns())
        if not why:
            return ""
        try:
            is_there = owner(self._folder / "pulse") == self.pid
        except (OSError, ValueError):
            is_there = False
        if not is_there:
            return f"the gateway's process {self.pid} has ended"
        return f"{why} (process {self.pid})"

    def wait_seen(self, kills: list[Kill]) -> str:
        """Wait until the core has seen the switches; returns why that is not proven, empty when it is."""
        deadline_s = time.monotonic() + SEEN_S
        while True:
            why = self.silence()
            if not why and all(done.seen_in(self.switches_epoch) for done in kills):
                return ""
            if time.monotonic() >= deadline_s:
                return why or "the gateway has not seen the switch"
            time.sleep(POLL_S)


def _follow(folder: Path, kills: list[Kill], wait_s: float, drop_sessions: bool) -> int:
    """Watch the cancels to their end; returns the exit status."""
    try:
        pulse = Pulse(folder)
    except NotRunning as error:
        _nothing_proven(str(error))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        _say(f"the last known open orders are in the journal: tidegate replay {folder} --until {now}")
        return NOTHING_PROVEN
    unseen = pulse.wait_seen(kills)
    silence = pulse.silence()
    if silence:
        _nothing_proven(silence)
    try:
        watch = _watch(folder, [done.switch.key for done in kills])
    except NotRunning as error:
        _nothing_proven(str(error))
        return _offer_to_drop(folder, pulse, drop_sessions)
    why = silence or ("" if watch.firm_killed else unseen)
    if not why:
        if unseen:
            _tell("the gateway has the whole firm killed")
        for key in watch.unknown:
            known = ", ".join(watch.names_of(key[0])) or "none"
            _say(f"{scope_text(*key)}: NOT KNOWN to the gateway, set in advance, nothing is canceled; known: {known}")
        status = RESIDUE if watch.unknown else PROVEN
        if watch.is_empty:
            return status
        done, why = _wait_canceled(pulse, watch, wait_s)
        if not why:
            return max(status, _tell_end(watch, done, min(kill.switch.set_ns for kill in kills)))
    if not silence:
        _nothing_proven(why)
    _tell_orders(watch, ("was open when last known", "were open when last known"))
    return _offer_to_drop(folder, pulse, drop_sessions)


def _nothing_proven(why: str) -> None:
    _say(f"NOTHING IS PROVEN, orders may be open: {why}")


def _watch(folder: Path, keys: list[tuple[int, str]]) -> Watch:
    from gateway.config.files import ConfigError
    from gateway.view.kill import Watch

    try:
        return Watch(folder, keys)
    except (OSError, ValueError, RuntimeError, ConfigError) as error:
        raise NotRunning(f"its state cannot be looked at: {error}") from None


def _wait_canceled(pulse: Pulse, watch: Watch, wait_s: float) -> tuple[bool, str]:
    """(whether no order is open, why nothing is proven).

    Seen twice with an event of the core in between: within an event the counts may be anything.
    """
    from rich.console import Console

    deadline_s = time.monotonic() + wait_s
    console = Console()
    told, next_line_s, seen_at_ns = -1, 0.0, 0
    with console.status("") if console.is_terminal else contextlib.nullcontext() as status:
        while True:
            heartbeat_ns = pulse.heartbeat_ns
            left = watch.open_orders()
            why = pulse.silence()
            if why:
                return False, why
            now_s = time.monotonic()
            if left == 0 and 0 < seen_at_ns < heartbeat_ns and (now_s >= deadline_s or not watch.unsettled()):
                return True, ""
            seen_at_ns = (seen_at_ns or heartbeat_ns) if left == 0 else 0
            if status is not None:
                status.update(f"open orders in scope: {left}")
            elif left != told and now_s >= next_line_s:
                _tell(f"open orders in scope: {left}")
                told, next_line_s = left, now_s + PLAIN_S
            if now_s >= deadline_s and left:
                return False, ""
            time.sleep(POLL_S)


def _tell_end(watch: Watch, done: bool, since_ns: int) -> int:
    """Residue or none, what was canceled since the switch was set, and the positions; returns the exit status."""
    fault = watch.fault() or watch.unsettled()
    if not done:
        _tell_orders(watch, ("is still open", "are still open"))
    elif fault:
        _nothing_proven(f"the gateway counts no open orders, but {fault}")
    else:
        _tell("no open orders")
    for line in watch.not_counted(time.monotonic_ns()):
        _tell(line)
    canceled = watch.canceled(since_ns)
    _tell(f"{canceled} order{'s' * (canceled != 1)} canceled")
    for line in watch.positions():
        _tell(line)
    if not done and fault:
        _say(f"{fault}: there may be more than the gateway counts")
    return RESIDUE if not done else NOTHING_PROVEN if fault else PROVEN


def _tell_orders(watch: Watch, heading: tuple[str, str]) -> None:
    """The orders in scope under a heading, for one order and for several."""
    from gateway.view.table import table

    console = tables()
    orders = watch.orders()
    count = max(len(orders), watch.open_orders())
    _tell(f"1 order {heading[0]}" if count == 1 else f"{count} orders {heading[1]}")
    for venue in sorted({order.venue for order in orders}):
        made = table("order", "ClOrdID", "venue's OrderID", "symbol", "side", "leaves", "why", title=venue)
        for order in orders:
            if order.venue == venue:
                row = (order.order, order.cl_ord_id, order.venue_order_id, order.symbol, order.side, order.leaves)
                made.add_row(*row, order.why)
        with console.capture() as printed:
            console.print(made)
        _tell(printed.get().rstrip())


def _offer_to_drop(folder: Path, pulse: Pulse, drop_sessions: bool) -> int:
    """End the gateway's process where a person wants it, and so its venue sessions. Nothing is proven then either."""
    question = f"End process {pulse.pid}? Venues with cancel on disconnect cancel then; the others keep the orders"
    if drop_sessions or (sys.stdin.isatty() and typer.confirm(question, default=False)):
        try:
            end_process(folder, pulse.pid)
        except (OSError, ValueError) as error:
            _say(f"process {pulse.pid} was not ended: {error}")
        else:
            _tell(f"process {pulse.pid} is ended, its venue sessions are gone: ask the venues what is open")
    return NOTHING_PROVEN


def end_process(folder: Path, pid: int) -> None:
    """Kill the process, if it is the gateway of this state folder; raises OSError or ValueError."""
    process = os.pidfd_open(pid)  # names this process even if its number is given to another one
    try:
        if owner(folder / "state.bin") != pid:
            raise ValueError(f"it is not the gateway of {folder}")
        signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], GONE_S)[0]:
            raise ValueError(f"it has not ended for {GONE_S:.0f} s")
    finally:
        os.close(process)
