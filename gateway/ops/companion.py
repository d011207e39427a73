"""A process that runs beside the gateway, off its order path, and ends with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import structlog

from gateway.machine import unpinned

END_S = 2.0

log = structlog.get_logger()


class Companion:
    """Starts one of our modules as a process, and knows whether it runs."""

    def __init__(self, name: str, module: str, options: dict[str, object], fed: bool = False) -> None:
        """`python -m module` with these options, told in the log by `name`; not started yet. One that is `fed` reads
        what it is given from stdin, and ends when that ends.
        """
        self._name = name
        self._stdin = subprocess.PIPE if fed else subprocess.DEVNULL
        # -P: nothing is imported from the folder that the gateway was started in.
        self._command = [sys.executable, "-P", "-m", module]
        self._command += [str(part) for option in options.items() for part in option]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it; False, and told, when that cannot be done."""
        try:
            with unpinned():
                self._process = subprocess.Popen(self._command, stdin=self._stdin)
        except OSError as error:
            log.error("a process beside the gateway cannot be started", which=self._name, why=str(error))
        return self._process is not None

    @property
    def runs(self) -> bool:
        """Whether it runs; that it has ended by itself is told once."""
        if self._process is not None and self._process.poll() is not None:
            log.error("a process beside the gateway has ended", which=self._name, status=self._process.returncode)
            self._process = None
        return self._process is not None

    def feed(self, data: bytes) -> None:
        """Give it all of this; waits while it does not read. Raises OSError when it has ended."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def ask_to_end(self) -> None:
        """Ask it to end, and do not wait."""
        if self._process is None:
            return
        if self._process.stdin is None:
            self._process.terminate()
        else:
            with contextlib.suppress(OSError):  # of what it has not read: it has ended
                self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """End it, by force if need be."""
        self.ask_to_end()
        if self._process is not None:
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process = None
