"""What a start says while it compiles kernels."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress
from structlog.testing import capture_logs

from gateway import warmup


class Event:
    """A kernel is compiled, as numba tells it."""

    def __init__(self, dispatcher: object) -> None:
        self.data = {"dispatcher": dispatcher}


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_that_is_no_terminal_says_that_kernels_are_compiled(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    now_s = 100.0
    monkeypatch.setattr(warmup.time, "monotonic", lambda: now_s)
    console = Console(file=io.StringIO(), force_terminal=terminal)
    with capture_logs() as lines, Progress(console=console, disable=True) as progress:
        listener = warmup._Listener(progress, 3)
        for number, after_s in enumerate((0.0, 4.0, 7.0)):
            now_s += after_s
            listener.on_start(Event(number))
            listener.on_end(Event(number))
    told = [(line["event"], line["compiled"], line["kernels"]) for line in lines]
    assert told == ([] if terminal else [("compiling kernels", 0, 3), ("compiling kernels", 2, 3)])
