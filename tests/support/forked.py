"""Processes that begin with the gateway's modules loaded and its kernels ready, for which a new interpreter takes long.

One server for each process of pytest loads them once (tests.support.loaded), and every process is a fork of it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import multiprocessing
import os
import sys
import zoneinfo
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.loaded"])


def fork(function: Callable[..., None], *arguments: Any, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a process that runs a function of a module; its environment is today's unless it is given."""
    environment = dict(os.environ if environment is None else environment)
    process = CONTEXT.Process(target=_run, args=(environment, function, arguments), daemon=True)
    process.start()
    return process


def _run(environment: dict[str, str], function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    zoneinfo.reset_tzpath()  # was read from the server's environment
    function(*arguments)


class Program:
    """A module's `main` with arguments, in a process of its own. Only the thread that started it may ask for its end,
    by all but `wait_end`.
    """

    def __init__(self, module: str, arguments: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start it in a folder; `stderr` is a text file to read what it writes there from."""
        ours, theirs = CONTEXT.Pipe(duplex=False)
        self._process = fork(_main, theirs, module, arguments, folder, environment=environment)
        theirs.close()
        self.stderr = open(os.dup(ours.fileno()))  # noqa: SIM115
        ours.close()

    @property
    def status(self) -> int | None:
        """Exit status, or the number of the signal that ended it below zero; None while it runs."""
        return self._process.exitcode

    @property
    def pid(self) -> int:
        """Its number, also when it has ended."""
        return self._process.pid or 0

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):  # it ends just now
                os.kill(self._process.pid or 0, number)

    def wait_end(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; False when it has not come in time."""
        return bool(wait([self._process.sentinel], timeout_s))


def _main(stderr: Connection, module: str, arguments: list[str], folder: Path) -> None:
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    stderr.close()
    os.chdir(folder)
    faulthandler.enable()
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()
