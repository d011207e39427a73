"""A process that runs beside the gateway, off its order path, and ends with it."""

from __future__ import annotations

import subprocess
import sys

import structlog

END_S = 2.0

log = structlog.get_logger()


class Companion:
    """Starts one of our modules as a process, and knows whether it runs."""

    def __init__(self, name: str, module: str, options: dict[str, object]) -> None:
        """`python -m module` with these options, told in the log by `name`; not started yet."""
        self._name = name
        # -P: nothing is imported from the folder that the gateway was started in.
        self._command = [sys.executable, "-P", "-m", module]
        self._command += [str(part) for option in options.items() for part in option]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it; False, and told, when that cannot be done."""
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
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

    def ask_to_end(self) -> None:
        """Ask it to end, and do not wait."""
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """End it, by force if need be."""
        self.ask_to_end()
        if self._process is not None:
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process = None
