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

from gateway.cli.params import app
from gateway.config.files import ConfigError
from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.handlers.pushed import MINUTE_MS
from gateway.core.handlers.pushed import _share as share
from gateway.core.layout import NONE, record_dtype
from gateway.core.setup import add_exposure
from gateway.ops.commands import release_event
from gateway.ops.control import Command, ControlSocket
from gateway.params.feed import ParameterFeed
from gateway.params.publisher import ParameterPublisher
from gateway.state.build import build_state
from gateway.state.memory import State, shared_block, shared_record
from gateway.state.pulse import PULSE
from gateway.view.pushed import (
    PUSHED_COLUMNS,
    floor_of,
    limit_in_force,
    not_taken,
    not_taken_rows,
    publishers,
    pushed_limits,
)
from tests.params.conftest import BASE_NS, tick, values
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

E8 = 10**8
NOW_NS = 10**15
SOURCES = {"sources": [{"id": "HAND", "file": "hand", "max_silence": "none"}, {"id": "VOL", "file": "vol"}]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    limits: dict[str, Any] = copy.deepcopy(LIMITS)
    limits["account*instrument"] = {"ACC1*AAPL": {"max_long": 900}}
    limits["strategy"] = {"MOMO": {"max_order_qty": 500}, "ARB": {"max_order_qty": "unlimited"}}
    return write_config(tmp_path, BASE | {"parameters": SOURCES}, limits, INSTRUMENTS)


@pytest.fixture
def running(config: Path) -> Iterator[State]:
    """The mapped state of a gateway, in which VOL has pushed a limit of MOMO and one of ACC1 in AAPL."""
    settings = load_settings(config)
    folder = settings.config.gateway.state_dir
    folder.mkdir()
    block = shared_block("small", folder / "state.bin")
    block[:] = build_state(settings, run=1).block
    pulse = shared_record(record_dtype(PULSE), folder / "pulse")[0]
    pulse.heartbeat_ns = time.monotonic_ns() + 3600 * 10**9  # about for as long as the test lasts
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
    for name in ("state.bin", "pulse"):
        (folder / name).unlink()


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
    assert publishers(running, NOW_NS) == [("HAND", "silent", "90.0s", "0"), ("VOL", "alive", "90.0s", "2")]


def test_a_row_that_leads_nowhere_is_shown_as_such(running: State) -> None:
    push(running, 10**9, NONE, a.MAX_LONG, (1, 2, 2, 2, 3), source=7, told_ns=NOW_NS)
    push(running, 0, NONE, 10**9, (1, 2, 2, 2, 3))
    _, _, *rest = pushed_limits(running, NOW_NS)
    assert rest == [("?", "?", "max_long", "1", "2", "not set", "3", "812", "12", "0.0s", "never", "in force")]


def test_a_value_whose_time_has_run_out_says_so(running: State) -> None:
    running.record.parameters[0].expires_ns = NOW_NS - 94 * 10**9
    assert pushed_limits(running, NOW_NS)[0][-2:] == ("ran out", "loosening")


def test_a_publisher_of_quotes_pushes_no_limits(running: State) -> None:
    assert publishers(running, NOW_NS, ["VOL"])[1] == ("VOL", "alive", "90.0s", "")


def test_what_is_pushed_and_not_taken_is_shown(config: Path, running: State) -> None:
    """Of MOMO the gateway has a row; ARB is unlimited, and nobody is called GHOST."""
    running.record.parameters[0].source = 0
    sources = load_settings(config).config.parameters.sources
    with ParameterPublisher(sources[0].file) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
        publisher.push("max_order_qty", 300, "strategy", "ARB", expires_s=90, model=7)
        publisher.push("max_long", 20, "account", "GHOST", symbol="AAPL")
    now_ns = time.monotonic_ns()
    assert not_taken(running, sources, now_ns) == []  # it may be on its way
    first, second = not_taken_rows(not_taken(running, sources, now_ns + 2 * 10**9), now_ns)
    none = ("-",)
    assert first[:9] == ("HAND", "strategy ARB", "max_order_qty", *none, "300", *none, *none, "2", "7")
    assert first[10:] == ("89.9s", "not taken") or first[10:] == ("90.0s", "not taken")
    assert (second[1], second[-1]) == ("account GHOST*AAPL", "not taken")
    running.record.parameters[0].state = a.RELEASED
    assert len(not_taken(running, sources, now_ns + 2 * 10**9)) == 2  # what a person gave back had been taken


@pytest.mark.parametrize("content", [b"", b"nonsense", b"TIDEPARM" + bytes(500)])
def test_of_a_file_of_no_use_nothing_is_shown(config: Path, running: State, content: bytes) -> None:
    sources = load_settings(config).config.parameters.sources
    sources[0].file.write_bytes(content)
    assert not_taken(running, sources, time.monotonic_ns()) == []


def test_without_a_limit_of_the_pair_none_is_in_force_there(running: State) -> None:
    acc2, aapl = running.entities[a.ACCOUNT, "ACC2"], running.instruments["AAPL"]
    assert limit_in_force(running, acc2, aapl, a.MAX_LONG) == a.UNSET
    add_exposure(running.block, acc2, aapl, 5 * E8, NONE)
    assert limit_in_force(running, acc2, aapl, a.MAX_LONG) == a.UNSET


def test_show_prints_both_tables(config: Path, running: State) -> None:
    result = CliRunner().invoke(app, ["show", "--config", str(config)], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for text in (*PUSHED_COLUMNS, "account ACC1*AAPL", "loosening", "HAND", "silent"):
        assert text in result.stdout


def test_show_without_a_gateway_says_so(config: Path) -> None:
    result = CliRunner().invoke(app, ["show", "--config", str(config)])
    assert (result.exit_code, result.output) == (2, f"no gateway runs on {config.parent / 'var'}\n")


def test_watch_shows_changes_until_it_is_interrupted(config: Path, running: State) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from gateway.cli.params import app; app()", "watch"]
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
    result = CliRunner().invoke(app, [*command, "--value", "400.5", "--expires", "1h", "--model", "9"])
    assert (result.exit_code, result.output) == (0, "pushed as epoch 1\n")
    (event,) = values([event for event in tick(feed) if event.kind == ev.PARAMETER])
    assert event[:7] == (0, running.entities[a.STRATEGY, "MOMO"], NONE, a.MAX_ORDER_QTY, 400_5000_0000, 1, 9)
    assert 0 < event[7] - BASE_NS - time.monotonic_ns() <= 3600 * 10**9


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        (("strategy=MOMO", "max_order_qty"), "49.9", "will be in force: 50, the floor (10% of 500 in limits.yaml)"),
        (
            ("strategy=MOMO", "max_order_qty"),
            "501",
            "will be in force: 500 as limits.yaml has it, a push only tightens",
        ),
        (
            ("account=ACC1", "max_order_qty"),
            "2000",
            "will be in force: 1,000 as limits.yaml has it, a push only tightens",
        ),
        (
            ("account=ACC1", "max_long", "AAPL"),
            "1000",
            "will be in force: 900 as limits.yaml has it, a push only tight",
        ),
        (("account=ACC2", "max_long", "AAPL"), "10", "will be in force: 500, the floor (10% of 5,000 in limits.yaml)"),
    ],
)
def test_a_push_beyond_its_bounds_says_what_will_be_in_force(
    config: Path, place: tuple[str, ...], value: str, line: str
) -> None:
    words = [word for option in zip(("--scope", "--limit", "--symbol"), place, strict=False) for word in option]
    result = CliRunner().invoke(app, ["push", "-c", str(config), "--source", "HAND", *words, "--value", value])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"pushed as epoch 1\n{line}") and result.stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("percent", "ceiling"), [(10, 500 * E8), (10, 19_999), (33, 2**60 + 1), (0, 7), (10, 0), (7, 1)]
)
def test_the_floor_is_the_cores(percent: int, ceiling: int) -> None:
    assert floor_of(ceiling, percent) == max(share.py_func(ceiling, percent, MINUTE_MS), 1 if ceiling > 0 else 0)


def push_to_vol(config: Path) -> Any:
    command = ["push", "-c", str(config), "--source", "VOL", "--scope", "account=ACC1", "--limit", "max_long"]
    return CliRunner().invoke(app, [*command, "--value", "700"])


def test_push_to_a_source_that_must_not_be_silent_says_what_comes_of_it(config: Path) -> None:
    result = push_to_vol(config)
    assert result.exit_code == 0 and "VOL: has a max_silence" in result.stderr


def test_push_to_a_source_whose_publisher_lives_is_refused(config: Path) -> None:
    with ParameterPublisher(config.parent / "vol"):
        result = push_to_vol(config)
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
        (
            {"--scope": "firm", "--limit": "max_long"},
            "--limit: max_long of firm: limits.yaml has no limit there, a push has nothing to tighten: "
            "set firm.max_long first",
        ),
        (
            {"--scope": "strategy=ARB"},
            "--limit: max_order_qty of strategy ARB: limits.yaml has it unlimited there, "
            "a push has nothing to tighten: set strategy.ARB.max_order_qty first",
        ),
        ({"--expires": "soon"}, "--expires: want a duration such as 250ms, 5s or 1m, got soon"),
    ],
)
def test_a_push_that_would_be_left_aside_is_refused(config: Path, changes: dict[str, str], line: str) -> None:
    good = {"--source": "HAND", "--scope": "strategy=MOMO", "--limit": "max_order_qty", "--value": "400"}
    words = [word for option in (good | changes).items() for word in option]
    result = CliRunner().invoke(app, ["push", "-c", str(config), *words])
    assert result.exit_code == 2 and result.output.startswith(line) and result.output.count("\n") == 1
    assert not (config.parent / "hand").exists() or (config.parent / "hand").read_bytes()[32:40] == bytes(8)


REQUEST = {"source": "VOL", "scope": "strategy", "name": "MOMO", "symbol": "", "limit": "max_order_qty", "reason": "ok"}


def test_a_release_names_the_rows_who_and_why(running: State) -> None:
    event = release_event(running, REQUEST, "ann")
    momo = running.entities[a.STRATEGY, "MOMO"]
    assert (event.kind, event.value) == (ev.RELEASE, (1, momo, NONE, a.MAX_ORDER_QTY))
    assert event.data == b"max_order_qty of strategy MOMO, pushed by VOL, released by ann: ok"
    pair = {"scope": "account", "name": "ACC1", "symbol": "AAPL", "limit": "max_long"}
    event = release_event(running, REQUEST | pair, "ann")
    assert event.value == (1, running.entities[a.ACCOUNT, "ACC1"], running.instruments["AAPL"], a.MAX_LONG)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"source": "VOL", "scope": "account", "name": "ACC2", "limit": "max_long"},
            "release: max_long of account ACC2, ",
        ),
        ({"reason": "  "}, "release: a reason is required"),
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
    acc2 = running.entities[a.ACCOUNT, "ACC2"]
    push(running, acc2, NONE, a.MAX_LONG, (1, 2, 2, 2, 3), state=a.RELEASED)
    with pytest.raises(ConfigError, match=f"^{line.replace('*', '[*]')}"):
        release_event(running, REQUEST | changes, "ann")


@pytest.mark.parametrize(
    ("in_force_then", "told"), [(500 * E8, "500, set by a person"), (100 * E8, "100, pushed by HAND")]
)
def test_release_goes_by_the_control_socket(config: Path, running: State, in_force_then: int, told: str) -> None:
    momo = running.entities[a.STRATEGY, "MOMO"]
    push(running, momo, NONE, a.MAX_ORDER_QTY, (50, 100, 100, 100, 500), source=0, state=a.HELD)
    got: list[dict[str, Any]] = []

    def submit(command: Command) -> None:
        got.append(command.request)
        event = release_event(running, command.request, command.user)
        momo = running.record.entities[event.value[1]]
        momo.limit[a.MAX_ORDER_QTY] = in_force_then
        running.record.parameters[0].state = a.RELEASED
        command.reply(True, event.data.decode())

    socket = ControlSocket(config.parent / "var", submit)
    try:
        command = ["release", "-c", str(config), "--source", "VOL", "--scope", "strategy=MOMO"]
        result = CliRunner().invoke(app, [*command, "--limit", "max_order_qty", "--reason", "calm again"])
    finally:
        socket.close()
    assert result.exit_code == 0 and result.output == f"max_order_qty is released; in force: {told}\n"
    assert got == [REQUEST | {"command": "release", "reason": "calm again"}]
