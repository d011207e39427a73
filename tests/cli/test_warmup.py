"""What a start says while it compiles kernels."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress
from structlog.testing import capture_logs

from gateway import warmup
from gateway.core import handle as core
from gateway.journal.append import step


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_that_is_no_terminal_says_that_kernels_are_compiled(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    now_s = 100.0
    monkeypatch.setattr(warmup.time, "monotonic", lambda: now_s)
    console = Console(file=io.StringIO(), force_terminal=terminal)
    with capture_logs() as lines, Progress(console=console, disable=True) as progress:
        tally = warmup._Tally(progress, 4)
        for name, after_s in (("a", 0.0), ("b", 4.0), ("c", 8.0)):
            now_s += after_s
            tally.begin()
            tally.add(name)
            tally.add(name)  # by the other process
    told = [(line["event"], line["compiled"], line["kernels"], line.get("seconds_left")) for line in lines]
    first, later = ("compiling kernels", 0, 4, None), ("compiling kernels", 2, 4, 12)
    assert told == ([] if terminal else [first, later])


def test_what_is_compiled_ahead_is_what_the_step_calls() -> None:
    """Else the other process would compile kernels that nobody finds in the cache."""
    warmup.warm_up("small")
    for kernel in (core._from_ems, core._from_venue):
        kernel.compile(warmup._of_messages("small"))
    core.handle_event.compile(warmup._of_event("small"))
    step.compile(warmup._of_step("small"))
    for kernel in (core._from_ems, core._from_venue, core.handle_event, step):
        assert len(kernel.signatures) <= 1, kernel.py_func.__name__
