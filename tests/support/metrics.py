"""A gateway's memory as the metrics process finds it, made up by a test, and that process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.settings import load_settings
from gateway.core import layout as a
from gateway.core.layout import record_dtype
from gateway.kill.file import create
from gateway.state.build import build_state
from gateway.state.memory import State, shared_block, shared_record
from gateway.state.pulse import PULSE
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config
from tests.support.journal import wait_for
from tidegate_tools.sim.quickfix_peer import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = [{"id": "RISK", "file": "risk.params"}, {"id": "HAND", "file": "hand.params", "max_silence": "none"}]
START_TIMEOUT_S = 60


class MadeUp:
    """A gateway that does nothing: its config, its state and its pulse, where all is well until a test sets fields."""

    def __init__(self, folder: Path, positions: str | None = None) -> None:
        """Config in `folder`, the state folder below; sessions are up, sources are alive, nothing has happened yet."""
        self.port = free_port()
        config = BASE | {"metrics": {"listen": f"127.0.0.1:{self.port}"}, "parameters": {"sources": SOURCES}}
        self.config = write_config(folder, config, LIMITS, INSTRUMENTS, positions)
        self.settings = load_settings(self.config)
        self.folder = self.settings.config.gateway.state_dir
        self.folder.mkdir()
        create(self.folder)
        self.new_run(1)

    def new_run(self, run: int) -> None:
        """Other memory, as a restart gives it; the old one stays, so that its numbers could still be seen."""
        block = shared_block("small", self.folder / "state.bin")
        block[:] = build_state(self.settings, run).block
        self.state = State(block)
        self.record = block[0]
        s = self.record
        s.sessions["up"][: s.session_count] = 1
        s.sources["up"][: s.source_count] = 1
        self.pulse = shared_record(record_dtype(PULSE), self.folder / "pulse")[0]

    def beat(self, ago_s: float) -> None:
        """The core's thread was last about so long ago."""
        self.pulse["heartbeat_ns"] = time.monotonic_ns() - round(ago_s * 1e9)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """The core's thread is about all the time."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(0.05):
                self.beat(0)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def entity(self, scope: int, name: str = "") -> Any:
        """An entity's row."""
        return self.record.entities[self.state.entities[scope, name]]

    def push(self, row: int, source: int, entity: tuple[int, str], symbol: str, limit: int, **fields: int) -> None:
        """A pushed limit in a row of `parameters`; the limit in force is its `effective`."""
        x = self.record.parameters[row]
        x.source, x.entity, x.limit = source, self.state.entities[entity], limit
        x.instrument = self.state.instruments[symbol] if symbol else a.NONE
        x.state = a.VALID
        for key, value in fields.items():
            x[key] = value
        self.record.entities[x.entity].limit[limit] = fields.get("effective", 0)
        self.record.parameter_count = max(int(self.record.parameter_count), row + 1)


class MetricsProcess:
    """The real process beside a made-up gateway."""

    def __init__(self, config: Path, port: int, log_file: Path, parent: int = 0) -> None:
        """Not started yet: use as a context manager. Its log goes to a file; `parent` stands in for this process."""
        self._config = config
        self._url = f"http://127.0.0.1:{port}"
        self.log_file = log_file
        self._parent = parent or os.getpid()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "gateway.ops.metrics", "--config", str(self._config)]
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen([*command, "--parent", str(self._parent)], stderr=log, cwd=CHECKOUT)
        try:
            wait_for(lambda: "metrics are served" in self.log_file.read_text(), "metrics", START_TIMEOUT_S)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def scrape(self) -> dict[str, Metric]:
        """Families by name."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float | None:
    """The value of a sample with just these labels, None where there is none."""
    for family in families.values():
        for found in family.samples:
            if found.name == sample and found.labels == labels:
                return found.value
    return None
