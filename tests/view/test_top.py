"""`tidegate top`: what fits on the screen, what goes by in the last seconds, and the command at a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.state.attach import attach
from gateway.view.top import LEAST_LINES, make_frame, rates, screen, share_lines, take_sample
from tests.support import outside as support
from tests.support.outside import SECOND_NS, Outside

CONFIG = support.BASE | {"parameters": {"sources": [{"id": "model", "file": "model"}]}}
END_S = 20
SIZES = [(100, 30), (80, 24), (140, 50), (100, 12), (100, 6), (40, 30)]


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(tmp_path, CONFIG)
    made.record.sources[0].up = 1
    return made


def busy(outside: Outside) -> None:
    """Something for every part of the screen."""
    for k in range(40):
        outside.add_order(f"C{k}", 100 * (k + 1), side=t.SELL_SHORT if k % 2 else t.BUY, age_s=1_000 - k)
    for account in ("ACC1", "ACC2"):
        for symbol in ("AAPL", "MSFT"):
            outside.add_exposure(a.ACCOUNT, account, symbol, -4_500, buy=100)
    outside.push_limit((a.ACCOUNT, "ACC1"), "AAPL", a.MAX_LONG, ceiling=9 * E8, effective=3 * E8, state=a.HELD)
    outside.entity(a.STRATEGY, "ARB").killed = 1
    outside.record.check_fired[:20] = 5
    outside.record.check_fired[c.MAX_ORDER_QTY] = 9


def picture(outside: Outside, width: int, height: int) -> list[str]:
    """The lines of the screen as text."""
    samples = deque([take_sample(outside.state, outside.pulse, 0.0)])
    frame = make_frame(attach(outside.gateway), outside.config, samples, height)
    console = Console(width=width, height=height, file=io.StringIO())
    lines = console.render_lines(screen(frame, width, height), pad=True)
    return ["".join(segment.text for segment in line) for line in lines]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_screen_has_its_lines_and_no_more(outside: Outside, width: int, height: int) -> None:
    busy(outside)
    lines = picture(outside, width, height)
    assert len(lines) <= height
    assert {len(line) for line in lines} == {width}
    if height >= 24:
        assert len(lines) == height


def test_the_screen_tells_what_matters(outside: Outside) -> None:
    busy(outside)
    text = "\n".join(picture(outside, 100, 30))
    for wanted in (
        *("TEST", "LIVE", "kill switch set: strategy ARB", "EMS1", "XNAS", "MAX_ORDER_QTY", "model"),
        *("max_long", "held", "ACC2", "-4,500", "O7-40", "O7-1 ", "sell short", "open orders: 40"),
    ):
        assert wanted in text, wanted
    # The newest come first, the oldest last.
    assert text.index("O7-40") < text.index("O7-39") < text.index("O7-1 ")


def test_a_quiet_gateway_has_an_empty_screen(outside: Outside) -> None:
    lines = picture(outside, 100, 30)
    assert len(lines) == 30 and "LIVE" in lines[0]


def test_a_session_that_is_down_is_shown_where_room_is_short(outside: Outside) -> None:
    outside.record.sessions[1].up = 0
    text = "\n".join(picture(outside, 100, 3 + 3 * LEAST_LINES))
    assert "XNAS" in text and "EMS1" not in text


@given(st.integers(0, 80), st.lists(st.integers(LEAST_LINES, 60), min_size=1, max_size=5))
def test_lines_are_shared_out(height: int, wanted: list[int]) -> None:
    lines = share_lines(height, wanted)
    shown = [n for n in lines if n]
    assert lines[: len(shown)] == shown and all(n >= LEAST_LINES for n in shown)
    assert sum(lines) == (height if shown else 0)
    assert len(shown) == min(height // LEAST_LINES, len(wanted))
    assert all(n <= want for n, want in zip(shown[:-1], wanted, strict=False))


def test_rates_are_of_the_last_seconds(outside: Outside) -> None:
    s, pulse = outside.record, outside.pulse
    s.check_fired[c.KILLED] = 100
    s.sessions[0].counted[0] = [0, 1_000, 100]
    pulse.latency_count[-1] = 1_000
    first = take_sample(outside.state, pulse, 10.0)
    s.check_fired[c.KILLED] += 6
    s.sessions[0].counted[0] += [0, 50, 6]
    pulse.latency_count[2] += 9
    now = rates(deque([first, take_sample(outside.state, pulse, 12.0)]))
    assert now.counted[0].tolist() == [0, 25, 3]
    assert (now.fired["KILLED"], now.fired["MAX_LONG"]) == (3, 0)
    assert (now.latency.messages, now.latency.p99_ns) == (9, 50_000)
    assert np.all(rates(deque([first])).counted == 0)


class Terminal:
    """`tidegate top` at a terminal of 100 x 30."""

    def __init__(self, config: Path) -> None:
        """Start it."""
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (30, 100))
        self.before = termios.tcgetattr(self.theirs)
        command = [*support.COMMAND, "top", "--config", str(config)]
        files = dict.fromkeys(("stdin", "stdout", "stderr"), self.theirs)
        self.process = subprocess.Popen(
            command, cwd=support.CHECKOUT, env=os.environ | {"TERM": "xterm-256color"}, start_new_session=True, **files
        )
        self._text = ""

    def wait_for(self, text: str) -> str:
        """Read until this appears; returns all that came."""
        deadline = time.monotonic() + END_S
        while text not in self._text:
            assert select.select([self._ours], [], [], deadline - time.monotonic())[0], self._text
            self._text += os.read(self._ours, 65_536).decode("utf-8", "replace")
        read, self._text = self._text, ""
        return read

    def press(self, key: str) -> None:
        """Type."""
        os.write(self._ours, key.encode())

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait(END_S)
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(outside: Outside) -> Iterator[Terminal]:
    outside.pulse.heartbeat_ns = time.monotonic_ns() + 60 * SECOND_NS
    made = Terminal(outside.path)
    yield made
    made.close()


def test_q_ends_it_and_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.wait_for("LIVE")
    terminal.press("q")
    assert terminal.process.wait(END_S) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_it_says_when_the_gateway_has_ended_and_waits_for_the_next(outside: Outside, terminal: Terminal) -> None:
    outside.record.sessions[0].counted[0] = 1_000_000
    terminal.wait_for("LIVE")
    link = outside.folder / "state.bin"
    target = link.readlink()
    link.unlink()
    terminal.wait_for("no gateway runs on")
    outside.record.sessions[0].counted[0] = 0
    link.symlink_to(target)
    # Nothing is counted from one gateway to the next.
    assert re.search(r"-[\d,]+/s", terminal.wait_for("q ends") + terminal.wait_for("p99")) is None
