"""A gateway in a process of its own, between real FIX counterparties."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.support.forked import Program

ENGINE = os.environ.get("TIDEGATE_ENGINE", "native")
"""The engine of every gateway in a test that does not ask for one."""
ENGINES = ("native", "quickfix")
CHECKOUT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 40  # its own last resort comes first, after 20 s


class GatewayProcess:
    """`tidegate run` with a config file; its log lines are collected and can be waited for."""

    def __init__(
        self,
        config: Path,
        module: str = "gateway.cli.main",
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        """Not started yet: use as a context manager, or call `start`; `module` has a `main` that stands in for that of
        `tidegate`.
        """
        self.config = config
        self._options = options
        self._module = module
        self._environment = environment or {}
        self.log: list[dict] = []
        self._changed = threading.Condition()
        self._process: Program | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it is up."""
        self.launch()
        self.wait_log("gateway is up", 120)

    def launch(self) -> None:
        """Start, and wait for nothing."""
        self._process = Program(
            self._module,
            ["run", "--config", str(self.config), *self._options],
            CHECKOUT,
            os.environ | {"NO_COLOR": "1"} | self._environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that runs."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop with a signal; returns the exit status."""
        assert self._process is not None and self._reader is not None
        self._process.send_signal(number)
        if not self._process.wait_end(STOP_TIMEOUT_S):
            self._process.send_signal(signal.SIGABRT)  # it tells where its threads are
            self._reader.join(STOP_TIMEOUT_S)
            self._process.send_signal(signal.SIGKILL)
            raise AssertionError(f"it does not stop; its log: {self.log}")
        return self._status()

    def wait_exit(self, timeout_s: float) -> int:
        """Wait for the process and those it started to end by themselves; returns the exit status."""
        assert self._process is not None
        assert self._process.wait_end(timeout_s), f"it does not end in {timeout_s:g} s; its log: {self.log}"
        return self._status()

    def _status(self) -> int:
        """Exit status of a process that has ended, once its log has ended too."""
        assert self._process is not None and self._process.status is not None and self._reader is not None
        self._reader.join(STOP_TIMEOUT_S)
        return self._process.status

    def wait_log(self, event: str, timeout_s: float = 10, **match: object) -> dict:
        """Wait for a log line with this event and these keys."""

        def found() -> dict | None:
            lines = (line for line in list(self.log) if line.get("event") == event)
            return next((line for line in lines if match.items() <= line.items()), None)

        self.wait_for(lambda: found() or self.ended, timeout_s)
        line = found()
        if line is None:
            raise AssertionError(f"no log line {event!r} {match}; the log: {self.log}")
        return line

    def wait_for(self, predicate: Callable[[], object], timeout_s: float) -> None:
        """Wait until something holds, looking again with every log line and at the end; no error when it never does."""
        with self._changed:
            self._changed.wait_for(predicate, timeout_s)

    def ends_within(self, timeout_s: float) -> bool:
        """Whether the process ends by itself in time."""
        assert self._process is not None
        return self._process.wait_end(timeout_s)

    @property
    def pid(self) -> int:
        """Number of the process, also when it has ended."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        assert self._process is not None
        return self._process.status is not None

    def _read(self) -> None:
        assert self._process is not None
        with self._process.stderr as stderr:
            for text in stderr:
                line = json.loads(text) if text.startswith("{") else {"event": text.rstrip("\n")}
                with self._changed:
                    self.log.append(line)
                    self._changed.notify_all()
        self._process.wait_end()  # the end of its log comes a moment before its own, which `wait_log` looks for
        with self._changed:
            self._changed.notify_all()
