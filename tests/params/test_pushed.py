"""`tidegate params`: what is pushed is shown as it counts, and given back by name, with a reason."""

from __future__ import annotations

import copy
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.core import layout as a
from gateway.core.layout import NONE
from gateway.core.setup import add_exposure
from gateway.ops.control import Command, ControlSocket
from gateway.params.feed import ParameterFeed
from gateway.params.publisher import ParameterPublisher
from gateway.params.pushed import PUSHED_COLUMNS, limit_in_force, publishers, pushed_limits, release_event
from gateway.params_cli import params_app
from gateway.settings import ConfigError, load_settings
from gateway.state import State, build_state, shared_block
from tests.params.conftest import BASE_NS, tick, values
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

E8 = 10**8
NOW_NS = 10**15
SOURCES = {"sources": [{"id": "HAND", "file": "hand", "max_silence": "none"}, {"id": "VOL", "file": "vol"}]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    limits: dict[str, Any] = copy.deepcopy(LIMITS)
    limits["account*instrument"] = {"ACC1*AAPL": {"max_long": 900}}
    return write_config(tmp_path, BASE | {"parameters": SOURCES}, limits, INSTRUMENTS)


@pytest.fixture
def running(config: Path) -> Iterator[State]:
    """The mapped state of a gateway, in which VOL has pushed a limit of MOMO and one of ACC1 in AAPL."""
    settings = load_settings(config)
    folder = settings.config.gateway.state_dir
    folder.mkdir()
    block = shared_block("small", folder / "state.bin")
    block[:] = build_state(settings, run=1).block
    state = State(block)
    s = state.record
    s.time_base_ns = BASE_NS
    s.source_count = 2
    for row, name in enumerate(("HAND", "VOL")):
        s.sources[row].name[: len(name)] = list(name.encode())
        s.sources[row].name_size = len(name)
        s.sources[row].up = row
        s.sources[row].since_ns = NOW_NS - 90 * 10**9
        s.sources[row].pushes = 2 * row
    momo, acc1 = state.entities[a.STRATEGY, "MOMO"], state.entities[a.ACCOUNT, "ACC1"]
    aapl = state.instruments["AAPL"]
    push(state, momo, NONE, a.MAX_ORDER_QTY, (50, 400, 400, 250, 500), told_ns=NOW_NS - 15 * 10**8)
    s.entities[momo].limit[a.MAX_ORDER_QTY] = 250 * E8
    push(state, acc1, aapl, a.MAX_LONG, (90, 20, 90, 90, 900), state=a.HELD, expires_ns=NOW_NS + 5 * 3600 * 10**9)
    s.pairs[0].limit[a.MAX_LONG] = 90 * E8
    yield state
    (folder / "state.bin").unlink()


def push(running: State, entity: int, instrument: int, limit: int, bounds: tuple[int, ...], **more: int) -> None:
    """A row of the state's pushed limits; `bounds` are floor, pushed, target, effective and ceiling."""
    row = running.record.parameters[running.record.parameter_count]
    running.record.parameter_count += 1
    figures = zip(("floor", "pushed", "target", "effective", "ceiling"), bounds, strict=True)
    known: dict[str, int] = {"source": 1, "entity": entity, "instrument": instrument, "limit": limit, "epoch": 812}
    known |= {"model": 12, "told_ns": NOW_NS, "state": a.VALID, **more}
    for key, value in (known | {key: value * E8 for key, value in figures}).items():
        row[key] = value


def test_rows_say_what_was_pushed_and_what_counts(running: State) -> None:
    first, second = pushed_limits(running, NOW_NS)
    bounds = ("50", "400", "250", "500")
    assert first == ("VOL", "strategy MOMO", "max_order_qty", *bounds, "812", "12", "1.5s", "never", "loosening")
    pair = ("VOL", "account ACC1*AAPL", "max_long", "90", "20", "90", "900", "812", "12", "0.0s", "5h", "held")
    assert second == pair
    assert publishers(running, NOW_NS) == [("HAND", "silent", "90.0s", "0"), ("VOL", "heard", "90.0s", "2")]


def test_without_a_limit_of_the_pair_none_is_in_force_there(running: State) -> None:
    acc2, aapl = running.entities[a.ACCOUNT, "ACC2"], running.instruments["AAPL"]
    assert limit_in_force(running, acc2, aapl, a.MAX_LONG) == a.UNSET
    add_exposure(running.block, acc2, aapl, 5 * E8, NONE)
    assert limit_in_force(running, acc2, aapl, a.MAX_LONG) == a.UNSET


def test_show_prints_both_tables(config: Path, running: State) -> None:
    result = CliRunner().invoke(params_app, ["show", "--config", str(config)], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for text in (*PUSHED_COLUMNS, "account ACC1*AAPL", "loosening", "HAND", "silent"):
        assert text in result.stdout


def test_show_without_a_gateway_says_so(config: Path) -> None:
    result = CliRunner().invoke(params_app, ["show", "--config", str(config)])
    assert (result.exit_code, result.output) == (2, f"no gateway runs on {config.parent / 'var'}\n")


def test_watch_shows_changes_until_it_is_interrupted(config: Path, running: State) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from gateway.params_cli import params_app; params_app()", "watch"]
    environment = os.environ | {"COLUMNS": "160", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen([*command, "-c", str(config)], stdout=theirs, stderr=theirs, env=environment) as process:
        read_until(ours, b"loosening")
        running.record.sources[0].pushes = 4711
        read_until(ours, b"4711")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    os.close(ours)
    os.close(theirs)


def read_until(terminal: int, wanted: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 30
    while wanted not in seen:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], seen
        seen += os.read(terminal, 65536)


def test_push_is_what_the_feed_reads(config: Path, running: State) -> None:
    section = load_settings(config).config.parameters.sources[0]
    feed = ParameterFeed(section, 0, running)
    command = ["push", "-c", str(config), "--source", "HAND", "--scope", "strategy=MOMO", "--limit", "max_order_qty"]
    result = CliRunner().invoke(params_app, [*command, "--value", "400.5", "--expires", "1h", "--model", "9"])
    assert (result.exit_code, result.output) == (0, "pushed as epoch 1\n")
    (event,) = values([event for event in tick(feed) if event.kind == a.PARAMETER])
    assert event[:7] == (0, running.entities[a.STRATEGY, "MOMO"], NONE, a.MAX_ORDER_QTY, 400_5000_0000, 1, 9)
    assert 0 < event[7] - BASE_NS - time.monotonic_ns() <= 3600 * 10**9


def test_push_to_a_source_that_must_not_be_silent_says_what_comes_of_it(config: Path) -> None:
    command = ["push", "-c", str(config), "--source", "VOL", "--scope", "firm", "--limit", "max_long", "--value", "1"]
    result = CliRunner().invoke(params_app, command)
    assert result.exit_code == 0 and "VOL: has a max_silence" in result.stderr


def test_push_to_a_source_whose_publisher_lives_is_refused(config: Path) -> None:
    command = ["push", "-c", str(config), "--source", "VOL", "--scope", "firm", "--limit", "max_long", "--value", "1"]
    with ParameterPublisher(config.parent / "vol"):
        result = CliRunner().invoke(params_app, command)
    assert (result.exit_code, result.output) == (2, f"{config.parent / 'vol'}: another process publishes there\n")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"--source": "NONE"}, "--source: want one of HAND, VOL, got NONE"),
        ({"--scope": "strategy"}, "--scope: strategy=: want a name"),
        ({"--scope": "firm=X"}, "--scope: firm=X: want firm, which has no name"),
        ({"--scope": "fund=X"}, "--scope: fund=X: want firm or SCOPE=NAME with one of desk"),
        ({"--scope": "strategy=NONE"}, "--scope: there is no strategy NONE in the config"),
        ({"--scope": "venue=XNAS", "--limit": "max_long"}, "--scope: max_long cannot stand at scope venue"),
        ({"--limit": "duplicate_window"}, "--limit: want one of max_order_qty"),
        ({"--symbol": "NONE"}, "--symbol: NONE is not in the instruments file"),
        ({"--value": "nan"}, "max_order_qty: want a finite number, got 'nan'"),
        ({"--expires": "soon"}, "--expires: want a duration such as 250ms, 5s or 1m, got soon"),
    ],
)
def test_a_push_that_would_be_left_aside_is_refused(config: Path, changes: dict[str, str], line: str) -> None:
    good = {"--source": "HAND", "--scope": "strategy=MOMO", "--limit": "max_order_qty", "--value": "400"}
    words = [word for option in (good | changes).items() for word in option]
    result = CliRunner().invoke(params_app, ["push", "-c", str(config), *words])
    assert result.exit_code == 2 and result.output.startswith(line) and result.output.count("\n") == 1
    assert not (config.parent / "hand").exists() or (config.parent / "hand").read_bytes()[32:40] == bytes(8)


REQUEST = {"source": "VOL", "scope": "strategy", "name": "MOMO", "symbol": "", "limit": "max_order_qty", "reason": "ok"}


def test_a_release_names_the_rows_who_and_why(running: State) -> None:
    event = release_event(running, REQUEST, "ann")
    momo = running.entities[a.STRATEGY, "MOMO"]
    assert (event.kind, event.value) == (a.RELEASE, (1, momo, NONE, a.MAX_ORDER_QTY))
    assert event.data == b"max_order_qty of strategy MOMO, pushed by VOL, released by ann: ok"
    pair = {"scope": "account", "name": "ACC1", "symbol": "AAPL", "limit": "max_long"}
    event = release_event(running, REQUEST | pair, "ann")
    assert event.value == (1, running.entities[a.ACCOUNT, "ACC1"], running.instruments["AAPL"], a.MAX_LONG)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"reason": "  "}, "release: want a reason"),
        ({"source": "NONE"}, "release: source: want one of HAND, VOL, got 'NONE'"),
        ({"scope": "fund"}, "release: scope: want one of firm"),
        ({"limit": "size"}, "release: limit: want one of max_order_qty"),
        ({"name": "NONE"}, "release: there is no strategy NONE"),
        ({"symbol": "NONE"}, "release: there is no strategy MOMO*NONE"),
        ({"name": "ARB"}, "release: VOL has pushed no max_order_qty of strategy ARB"),
        ({"symbol": "AAPL"}, "release: VOL has pushed no max_order_qty of strategy MOMO*AAPL"),
        ({"source": "HAND"}, "release: HAND has pushed no max_order_qty of strategy MOMO"),
    ],
)
def test_a_release_of_what_is_not_pushed_is_refused(running: State, changes: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line.replace('*', '[*]')}"):
        release_event(running, REQUEST | changes, "ann")


def test_release_goes_by_the_control_socket(config: Path, running: State) -> None:
    got: list[dict[str, Any]] = []

    def submit(command: Command) -> None:
        got.append(command.request)
        command.reply(True, release_event(running, command.request, command.user).data.decode())

    socket = ControlSocket(config.parent / "var", submit)
    try:
        command = ["release", "-c", str(config), "--source", "VOL", "--scope", "strategy=MOMO"]
        result = CliRunner().invoke(params_app, [*command, "--limit", "max_order_qty", "--reason", "calm again"])
    finally:
        socket.close()
    assert result.exit_code == 0 and result.output.endswith("calm again\n")
    assert got == [REQUEST | {"command": "release", "reason": "calm again"}]
