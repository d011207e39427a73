"""`tidegate kill`: it blocks whatever else is broken, and says *no open orders* only when that is so.

The gateway here is its memory, as others see it, and a heart that beats; the orders in it are written by the test.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from gateway.cli import kill as kill_cli
from gateway.cli.kill import BAD_INPUT, NOTHING_PROVEN, PROVEN, RESIDUE, STAYS_SET, end_process, state_folder
from gateway.config.settings import load_settings
from gateway.core import layout as a
from gateway.core.layout import NONE, record_dtype
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.kill import format as f
from gateway.kill.file import Observer, create, read_switches, set_switch
from gateway.ops.control import Command, ControlSocket
from gateway.state import pulse
from gateway.state.build import build_state
from gateway.state.memory import State, shared_block, shared_record
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config
from tests.support.outside import CHECKOUT, COMMAND

FIRM, MOMO = (a.FIRM, ""), (a.STRATEGY, "MOMO")
XNAS = 1  # row of the venue's session
BEAT_S = 0.005

app = typer.Typer()
app.command()(kill_cli.kill)
app.command()(kill_cli.rearm)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


class Gateway:
    """What others see of a gateway: switch file, state and pulse. Its core notes that it has seen each switch."""

    def __init__(self, folder: Path) -> None:
        self.config = write_config(folder, BASE, LIMITS, INSTRUMENTS)
        settings = load_settings(self.config)
        self.folder = settings.config.gateway.state_dir
        self.folder.mkdir()
        create(self.folder)
        block = shared_block("small", self.folder / "state.bin")
        block[:] = build_state(settings, 1).block
        self.state = State(block)
        self.pulse = shared_record(record_dtype(pulse.PULSE), self.folder / "pulse")[0]
        self.pulse.pid = os.getpid()
        self.pulse.heartbeat_ns = time.monotonic_ns()
        self.sees = True
        self.on_seen: Callable[[], None] = lambda: None
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None

    def begin(self) -> None:
        """The heart beats from now on."""
        self._heart = threading.Thread(target=self._beat)
        self._heart.start()

    def _beat(self) -> None:
        observer = Observer(self.folder)
        seen = 0
        while not self._stopped.wait(BEAT_S):
            self.pulse.heartbeat_ns = time.monotonic_ns()
            if self.sees and seen != observer.epoch():
                seen = observer.epoch()
                self.pulse.switches_epoch = seen
                self.on_seen()

    def end(self) -> None:
        self._stopped.set()
        if self._heart is not None:
            self._heart.join()

    def add_order(self, number: int, strategy: str = "MOMO", **fields: Any) -> None:
        """An order for 300 AAPL, 100 of which are done."""
        s = self.state.record
        row = int(s.order_count)
        order, request = s.orders[row], s.requests[row]
        entities = {a.FIRM: "", a.ACCOUNT: "ACC1", a.STRATEGY: strategy, a.SESSION: "EMS1", a.VENUE: "XNAS"}
        order.run, order.number, order.counted_open = 4, number, 1
        order.venue, order.instrument, order.side = XNAS, self.state.instruments["AAPL"], t.BUY
        order.qty_e8, order.cum_e8, order.reserved_e8 = 300 * E8, 100 * E8, 200 * E8
        order.accepted = order.first = row
        order.entities[:] = NONE
        for scope, name in entities.items():
            entity = self.state.entities[scope, name]
            order.entities[scope] = entity
            s.entities[entity].open_orders += 1
        cl_ord_id = f"CL{number}".encode()
        request.order, request.cl_ord_id_size = row, len(cl_ord_id)
        request.cl_ord_id[: len(cl_ord_id)] = np.frombuffer(cl_ord_id, np.uint8)
        for name, value in fields.items():
            order[name] = value
        s.request_count = s.order_count = row + 1

    def cancel_all(self) -> None:
        """The venue has canceled every order."""
        s = self.state.record
        s["orders"]["counted_open"][: s.order_count] = 0
        s["entities"]["open_orders"][:] = 0

    def hold(self, key: tuple[int, str], symbol: str, quantity: int) -> None:
        s = self.state.record
        x = s.exposures[s.exposure_count]
        x.entity, x.instrument = self.state.entities[key], self.state.instruments[symbol]
        x.position_e8 = quantity * E8
        s.exposure_count += 1

    def kill(self, *scopes: str, timeout: str = "5s", **more: str) -> Result:
        options = [part for scope in scopes for part in ("--scope", scope)]
        options += [part for key, value in more.items() for part in (f"--{key}", value)]
        return run("kill", "-c", str(self.config), *options, "--timeout", timeout)

    def killed(self) -> set[tuple[int, str]]:
        return {switch.key for switch in read_switches(self.folder)}


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose heart does not beat."""
    gateway = Gateway(tmp_path)
    gateway.state.record.sessions[XNAS].up = 1
    yield gateway
    gateway.end()


@pytest.fixture
def gateway(still: Gateway) -> Gateway:
    still.begin()
    return still


# Proven


def test_it_waits_for_the_cancels_and_says_what_is_held(gateway: Gateway) -> None:
    gateway.add_order(1)
    gateway.add_order(2)
    gateway.hold(MOMO, "AAPL", 300)
    gateway.hold(MOMO, "MSFT", -20)
    gateway.hold((a.STRATEGY, "ARB"), "MSFT", 1000)
    gateway.on_seen = lambda: threading.Timer(0.3, gateway.cancel_all).start()
    result = gateway.kill("strategy=MOMO", reason="runs away")
    assert result.exit_code == PROVEN, result.output
    assert "strategy MOMO: blocked since" in result.output
    assert "open orders in scope: 2" in result.output
    assert "no open orders" in result.output
    assert "strategy MOMO: positions AAPL 300, MSFT -20" in result.output.splitlines()
    (switch,) = read_switches(gateway.folder)
    assert switch.key == MOMO and switch.reason == "runs away" and switch.user


def test_only_positions_are_flat(gateway: Gateway) -> None:
    result = gateway.kill("strategy=ARB", "firm", "venue=XNAS")
    assert result.exit_code == PROVEN, result.output
    assert "no open orders" in result.output and "strategy ARB: flat" in result.output
    assert "venue XNAS: positions are not kept by venue" in result.output
    assert gateway.killed() == {(a.STRATEGY, "ARB"), FIRM, (a.VENUE, "XNAS")}


def test_orders_out_of_scope_do_not_count(gateway: Gateway) -> None:
    gateway.add_order(1, "ARB")
    assert gateway.kill("strategy=MOMO").exit_code == PROVEN
    assert gateway.kill("account=ACC1", timeout="100ms").exit_code == RESIDUE


def test_a_name_that_is_not_known_is_killed_in_advance(gateway: Gateway) -> None:
    result = gateway.kill("strategy=LATER")
    assert result.exit_code == RESIDUE, result.output
    assert "strategy LATER: NOT KNOWN to the gateway" in result.output and "MOMO" in result.output
    assert "no open orders" not in result.output
    assert gateway.killed() == {(a.STRATEGY, "LATER")}


# Residue


def test_what_remains_is_told_by_venue_with_the_reason(gateway: Gateway) -> None:
    gateway.add_order(1, cancel_tries=5)
    gateway.add_order(2, cancel_tries=2, doubt=a.IN_DOUBT)
    gateway.add_order(3)
    gateway.state.record.orders[0].cancel_refused = 1 + 2
    gateway.state.record.sessions[XNAS].up = 0
    gateway.hold(MOMO, "AAPL", 5)
    result = gateway.kill("strategy=MOMO", timeout="100ms")
    assert result.exit_code == RESIDUE
    assert "no open orders" not in result.output
    assert "3 orders are still open" in result.output and "XNAS" in result.output
    one, two, three = (next(x for x in result.output.splitlines() if f"O4-{k}" in x) for k in (1, 2, 3))
    assert "venue down, venue refused a cancel: broker option (102=2), 5 cancels sent, the next when it is back" in one
    assert "CL1" in one and "AAPL" in one and "buy" in one and "200" in one
    assert "in doubt, 2 cancels sent" in two
    assert "no cancel sent yet" in three
    assert "strategy MOMO: positions AAPL 5" in result.output


def whys(gateway: Gateway) -> list[str]:
    """Why the orders that remain after a kill are open."""
    output = gateway.kill("strategy=MOMO", timeout="100ms").output
    lines = [line for line in output.splitlines() if line.lstrip().startswith("O4-")]
    return [line.partition(" 200 ")[2].strip() for line in lines]


def test_when_the_next_cancel_goes_is_told(gateway: Gateway) -> None:
    gateway.add_order(1, cancel_tries=5, cancel_ns=1)
    gateway.add_order(2, cancel_tries=1, cancel_ns=1)
    gateway.add_order(10, cancel_ns=1)
    wanted = [
        "5 cancels sent, the next {}",
        "1 cancel sent, the next {}",
        "cancels sent before, none since, the next {}",
    ]
    assert whys(gateway) == [
        text.format(when)
        for text, when in zip(wanted, ("within a minute", "within a second", "within a second"), strict=True)
    ]
    gateway.state.record.sessions[XNAS].turn_ns = 1
    assert whys(gateway) == [text.format("as its cancel_rate lets it") for text in wanted]
    limit = gateway.state.record.entities[gateway.state.entities[a.VENUE, "XNAS"]].limit
    limit[a.MAX_MESSAGES], limit[a.MESSAGE_WINDOW] = 8, 10 * 10**9
    assert whys(gateway) == [text.format("as its max_messages lets it: 8 in 10 s") for text in wanted]


def test_orders_are_listed_by_their_number(gateway: Gateway) -> None:
    for number in (10, 9, 2, 11):
        gateway.add_order(number)
    output = gateway.kill("strategy=MOMO", timeout="100ms").output
    assert re.findall(r"O4-(\d+)", output) == ["2", "9", "10", "11"]


# What is not counted


@pytest.mark.parametrize("scope", ["firm", "venue=XNAS", "strategy=MOMO"])
def test_orders_that_did_not_come_through_the_gateway_are_told_of(gateway: Gateway, scope: str) -> None:
    own = gateway.state.record.sessions[XNAS]
    own.unknown_working, own.unknown_working_ns = 2, 0
    result = gateway.kill(scope)
    assert result.exit_code == PROVEN, result.output
    told = result.output.partition("no open orders\n")[2].splitlines()[0]
    assert told.startswith("XNAS has reported working orders that are not the gateway's, 2 times, the last at ")
    assert "not logged on" not in result.output


def test_a_venue_that_is_not_logged_on_is_told_and_fails_no_kill(gateway: Gateway) -> None:
    gateway.state.record.sessions[XNAS].up = 0
    result = gateway.kill("firm")
    assert result.exit_code == PROVEN, result.output
    assert "not logged on, so that nothing is heard of their orders: XNAS" in result.output


@pytest.mark.parametrize("where", ["the scope's count", "the orders"])
def test_either_count_of_orders_keeps_it_from_saying_that_there_are_none(gateway: Gateway, where: str) -> None:
    gateway.add_order(1)
    if where == "the orders":
        gateway.state.record["entities"]["open_orders"][:] = 0
    else:
        gateway.state.record["orders"]["counted_open"][:] = 0
    for scopes in (["strategy=MOMO"], ["strategy=MOMO", "firm"]):
        result = gateway.kill(*scopes, timeout="100ms")
        assert result.exit_code == RESIDUE
        assert "1 order is still open" in result.output and "no open orders" not in result.output


def test_an_order_in_doubt_is_residue_though_not_counted(gateway: Gateway) -> None:
    gateway.add_order(1, doubt=a.IN_DOUBT, counted_open=0)
    gateway.state.record["entities"]["open_orders"][:] = 0
    result = gateway.kill("strategy=MOMO", timeout="100ms")
    assert result.exit_code == RESIDUE and "in doubt" in result.output


def test_orders_that_seem_gone_only_within_an_event_are_not(gateway: Gateway) -> None:
    """Between two heartbeats a count may be anything."""
    gateway.add_order(1)
    opened = gateway.state.record["entities"]["open_orders"].copy()

    def flicker() -> None:
        gateway.cancel_all()
        for _ in range(30):  # no heartbeat in this time
            time.sleep(BEAT_S)
        gateway.state.record["orders"]["counted_open"][0] = 1
        gateway.state.record["entities"]["open_orders"][:] = opened

    gateway.on_seen = flicker
    result = gateway.kill("strategy=MOMO", timeout="400ms")
    assert result.exit_code == RESIDUE, result.output


# Nothing proven


def test_a_fault_is_said(gateway: Gateway) -> None:
    gateway.state.record.fault = a.FAULT_EXECUTIONS_FULL
    result = gateway.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN
    assert "NOTHING IS PROVEN" in result.output and "fault word 2" in result.output
    gateway.add_order(1)
    result = gateway.kill("strategy=MOMO", timeout="100ms")
    assert result.exit_code == RESIDUE and "fault word 2" in result.output


def test_without_a_gateway_nothing_is_proven_but_the_switch_is_set(still: Gateway) -> None:
    (still.folder / "pulse").unlink()
    result = still.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN
    assert "strategy MOMO: blocked since" in result.output
    assert "NOTHING IS PROVEN" in result.output and "no gateway runs" in result.output
    assert "no open orders" not in result.output
    assert still.killed() == {MOMO}


@pytest.mark.parametrize("link", ["/proc/1/fd/0", "/nowhere", "/proc/self/fd/0"])
def test_a_pulse_of_a_process_that_is_gone_is_none(still: Gateway, link: str) -> None:
    (still.folder / "pulse").unlink()
    (still.folder / "pulse").symlink_to(link)
    assert still.kill("firm").exit_code == NOTHING_PROVEN
    assert still.killed() == {FIRM}


@pytest.mark.parametrize("links", [("pulse", "state.bin"), ("pulse",), ("state.bin",)])
def test_links_that_lead_to_another_gateway_prove_nothing(
    gateway: Gateway, tmp_path_factory: pytest.TempPathFactory, links: tuple[str, ...]
) -> None:
    """It has the number of the process that made them. It is well, and has no orders."""
    another = Gateway(tmp_path_factory.mktemp("another"))
    another.sees, another.pulse.switches_epoch = False, f.HALF  # later than any of ours
    another.begin()
    try:
        for name in links:
            (gateway.folder / name).unlink()
            (gateway.folder / name).symlink_to((another.folder / name).readlink())
        result = gateway.kill("strategy=MOMO")
    finally:
        another.end()
    assert result.exit_code == NOTHING_PROVEN and "NOTHING IS PROVEN" in result.output, result.output
    assert "no open orders" not in result.output
    assert gateway.killed() == {MOMO}


def test_without_a_heartbeat_the_last_known_orders_are_listed(still: Gateway) -> None:
    still.add_order(1)
    still.pulse.heartbeat_ns = 1
    result = still.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN
    assert "NOTHING IS PROVEN" in result.output and "has not responded" in result.output
    assert "1 order was open when last known" in result.output and "O4-1" in result.output
    assert "no open orders" not in result.output
    assert still.killed() == {MOMO}


def test_a_switch_that_the_core_does_not_see_proves_nothing(gateway: Gateway) -> None:
    gateway.sees = False
    result = gateway.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN
    assert "has not seen the switch" in result.output and "no open orders" not in result.output


def test_a_heart_that_stops_while_orders_are_canceled_proves_nothing(gateway: Gateway) -> None:
    gateway.add_order(1)

    def stop() -> None:
        gateway._stopped.set()

    gateway.on_seen = stop
    result = gateway.kill("strategy=MOMO", timeout="30s")
    assert result.exit_code == NOTHING_PROVEN
    assert "NOTHING IS PROVEN" in result.output and "1 order was open when last known" in result.output


def test_a_state_of_another_release_proves_nothing(gateway: Gateway) -> None:
    of_another = shared_record(record_dtype(pulse.PULSE), gateway.folder / "state.bin")
    assert of_another.nbytes
    result = gateway.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN and "another release" in result.output
    assert "no open orders" not in result.output


# Blocking always works


def test_where_the_switch_cannot_be_set_the_firm_is_killed_and_watched(gateway: Gateway) -> None:
    gateway.add_order(1, "ARB")
    with open(gateway.folder / f.FILE) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = gateway.kill("strategy=MOMO", timeout="100ms")
    assert result.exit_code == RESIDUE  # another strategy's order, now in scope
    assert "the WHOLE FIRM is killed, not just strategy MOMO" in result.output and "lock" in result.output
    assert gateway.killed() == {FIRM}


@pytest.mark.parametrize("killed", [0, 1])
def test_with_a_damaged_file_it_is_the_core_that_says_the_firm_is_killed(gateway: Gateway, killed: int) -> None:
    gateway.sees = False
    os.truncate(gateway.folder / f.FILE, f.PAGE)
    gateway.state.record.entities[0].killed = killed
    result = gateway.kill("strategy=MOMO")
    assert "the WHOLE FIRM is killed" in result.output
    assert result.exit_code == (PROVEN if killed else NOTHING_PROVEN), result.output
    assert ("no open orders" in result.output) == bool(killed)


def test_where_nothing_can_be_set_that_is_said(still: Gateway) -> None:
    still.folder.rename(still.folder.with_name("elsewhere"))
    result = still.kill("strategy=MOMO")
    assert result.exit_code == NOTHING_PROVEN
    assert "strategy MOMO: NOT BLOCKED" in result.output and "blocked since" not in result.output
    assert "NOTHING IS PROVEN, orders may be open: no switch is set" in result.output


@pytest.mark.parametrize(
    "text",
    [
        "gateway: {state_dir: var, capacity: enormous}\nsessions: 7\nnonsense: [1]\n",
        "gateway:\n  state_dir: var  # ours\nsessions: [unclosed\n",
        "# state_dir: old\ngateway:\n\t'state_dir': 'var'\n",
        'gateway: {name: X, state_dir: "var", capacity: small}}}\n',
    ],
)
def test_other_faults_of_the_config_do_not_keep_it_from_blocking(gateway: Gateway, text: str) -> None:
    gateway.config.write_text(text)
    assert state_folder(gateway.config) == gateway.folder
    result = gateway.kill("strategy=MOMO")
    assert result.exit_code == PROVEN, result.output


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gateway: {name: X}",
        "gateway: 7",
        "a: [\nstate_dir: x\nstate_dir: y",
        "gateway: {state_dir: }",
        "\x00",
        "[]",
    ],
)
def test_without_a_state_folder_in_the_config_it_says_what_is_wanted(tmp_path: Path, text: str) -> None:
    (tmp_path / "gateway.yaml").write_text(text)
    result = run("kill", "-c", str(tmp_path / "gateway.yaml"), "--scope", "firm")
    assert result.exit_code == BAD_INPUT and "gateway.state_dir: want" in result.output


def test_bad_input_does_nothing(still: Gateway) -> None:
    assert still.kill("strategy=" + "x" * 33).exit_code == BAD_INPUT
    assert run("kill", "-c", str(still.config)).exit_code == BAD_INPUT
    assert run("kill", "-c", str(still.config) + "x", "--scope", "firm").exit_code == BAD_INPUT
    assert not still.killed()


def test_a_slip_in_one_scope_or_in_an_option_keeps_nobody_alive(gateway: Gateway) -> None:
    result = gateway.kill("strategy=MOMO", "fund=X", timeout="soon")
    assert result.exit_code == NOTHING_PROVEN
    assert "NOT BLOCKED: fund=X" in result.output and "got soon: it is 10s\n" in result.output
    assert gateway.killed() == {(a.STRATEGY, "MOMO")}


@pytest.mark.parametrize(
    "redirected",
    [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| true", "2>&1 | true", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"],
)
def test_no_output_that_cannot_be_written_costs_a_switch_or_the_exit_status(still: Gateway, redirected: str) -> None:
    """A full disk below, a reader that has gone, a stream that is closed. The core hangs and has an order."""
    still.add_order(1)
    command = [*COMMAND, "kill", "-c", str(still.config), "--timeout", "soon", "--scope", "fund=X"]
    command += ["--scope", "strategy=MOMO", "--scope", "strategy=ARB"]
    script = f"{shlex.join(command)} {redirected}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
    assert still.killed() == {MOMO, (a.STRATEGY, "ARB")}
    assert done.returncode == NOTHING_PROVEN and "Traceback" not in done.stderr, done.stderr


def test_a_venue_that_has_not_told_what_was_missed_is_waited_for(gateway: Gateway) -> None:
    gateway.state.record.sessions[XNAS].recovering = 1
    result = gateway.kill("strategy=MOMO", timeout="200ms")
    assert result.exit_code == NOTHING_PROVEN
    assert "XNAS has not yet resent what was missed" in result.output
    assert "no open orders" not in result.output.replace("counts no open orders", "")


def test_nothing_slow_is_imported_before_the_switch_is_set() -> None:
    script = (
        "import sys, gateway.cli.kill\n"
        "slow = {'numpy', 'numba', 'pydantic', 'structlog', 'gateway.config.settings', 'gateway.state.memory'}\n"
        "assert not slow & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_words_of_the_pulse_are_where_they_are_looked_for(still: Gateway) -> None:
    assert pulse.PULSE.names is not None and pulse.PULSE.names[:3] == ("heartbeat_ns", "switches_epoch", "pid")
    assert (pulse.HEARTBEAT, pulse.SWITCHES, pulse.PID) == (0, 1, 2)
    still.pulse.heartbeat_ns, still.pulse.switches_epoch = 11, -12
    seen = kill_cli.Pulse(still.folder)
    assert (seen.heartbeat_ns, seen.switches_epoch, seen.pid) == (11, -12, os.getpid())


# Dropping the sessions

STAND_IN = """
import sys, time
from pathlib import Path
from gateway.core.layout import record_dtype
from gateway.state.pulse import PULSE
from gateway.state.memory import shared_record
folder = Path(sys.argv[1])
state = shared_record(record_dtype(PULSE), folder / "state.bin")
pulse = shared_record(record_dtype(PULSE), folder / "pulse")[0]
import os
pulse.pid = os.getpid()
pulse.heartbeat_ns = 1
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A gateway's process whose heart has stopped; gives its config and the process."""
    config = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)
    (tmp_path / "var").mkdir()
    create(tmp_path / "var")
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(tmp_path / "var")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield config, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_ends_the_process_only_when_told_to(hanging: tuple[Path, subprocess.Popen[str]]) -> None:
    config, process = hanging
    result = run("kill", "-c", str(config), "--scope", "firm")
    assert result.exit_code == NOTHING_PROVEN and process.poll() is None
    result = run("kill", "-c", str(config), "--scope", "firm", "--drop-sessions")
    assert result.exit_code == NOTHING_PROVEN
    assert f"process {process.pid} is ended" in result.output
    assert process.wait() == -9


def test_it_ends_no_process_that_is_not_the_gateway(hanging: tuple[Path, subprocess.Popen[str]]) -> None:
    config, process = hanging
    other = subprocess.Popen(["sleep", "600"])
    try:
        with pytest.raises(ValueError, match="is not the gateway"):
            end_process(config.parent / "var", other.pid)
        state_of_process = (config.parent / "var" / "state.bin").readlink()
        (config.parent / "var" / "state.bin").unlink()
        (config.parent / "var" / "state.bin").symlink_to(f"/proc/{process.pid}/fd/1")
        result = run("kill", "-c", str(config), "--scope", "firm", "--drop-sessions")
        assert "was not ended" in result.output and result.exit_code == NOTHING_PROVEN
        elsewhere = config.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "state.bin").symlink_to(state_of_process)
        with pytest.raises(ValueError, match="does not lead to the gateway"):
            end_process(elsewhere, process.pid)
        assert other.poll() is None and process.poll() is None
    finally:
        other.kill()
        other.wait()


# Rearm


def test_rearm_gives_the_command_to_the_gateway(still: Gateway) -> None:
    still.pulse.heartbeat_ns = time.monotonic_ns() + 60 * 10**9
    given: list[tuple[dict[str, Any], str]] = []

    def submit(command: Command) -> None:
        given.append((command.request, command.user))
        command.reply(len(given) == 1, "released" if len(given) == 1 else "strategy MOMO: is not killed")

    control = ControlSocket(still.folder, submit)
    command = ("rearm", "-c", str(still.config), "--scope", "strategy=MOMO", "--reason", "fixed")
    try:
        result, refused = run(*command), run(*command)
    finally:
        control.close()
    assert given[0][0] == {"command": "rearm", "scope": "strategy", "name": "MOMO", "reason": "fixed"}
    assert (result.exit_code, result.output) == (0, "released\n")
    assert refused.exit_code == BAD_INPUT and "is not killed" in refused.output
    assert run(*command).exit_code == BAD_INPUT
    assert run("rearm", "-c", str(still.config), "--scope", "firm", "--reason", " ").exit_code == BAD_INPUT


def test_a_rearm_after_which_the_switch_is_still_set_has_a_status_of_its_own(still: Gateway) -> None:
    still.pulse.heartbeat_ns = time.monotonic_ns() + 60 * 10**9
    set_switch(still.folder, a.STRATEGY, "MOMO", "alice", "test")
    stays = "strategy MOMO stays killed: another person than alice must confirm within 10 m"
    control = ControlSocket(still.folder, lambda command: command.reply(True, stays))
    try:
        result = run("rearm", "-c", str(still.config), "--scope", "strategy=MOMO", "--reason", "fixed")
        other = run("rearm", "-c", str(still.config), "--scope", "strategy=ARB", "--reason", "fixed")
    finally:
        control.close()
    assert (result.exit_code, result.output, other.exit_code) == (STAYS_SET, stays + "\n", 0)
