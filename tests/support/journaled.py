"""A gateway core whose journal begins as that of a process does."""

from __future__ import annotations

from pathlib import Path

from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.journal.writer import Journal, JournalingDriver
from gateway.settings import Settings, load_settings
from gateway.state import build_state
from tests.support.core import BASE, INSTRUMENTS, LIMITS, START_NS, WALL_NS, Core, write_config

SEGMENT_BYTES = 2 << 20


class Journaled(Core):
    """A core that journals everything into `folder / "journal"`."""

    def __init__(
        self,
        folder: Path,
        config: dict = BASE,
        limits: dict = LIMITS,
        instruments: str = INSTRUMENTS,
        positions: str | None = None,
    ) -> None:
        self.folder = folder
        self.settings = load_settings(write_config(folder, config, limits, instruments, positions))
        self.sessions = {s.id: row for row, s in enumerate(self.settings.config.sessions)}
        self.begin_strings = {s.id: s.begin_string for s in self.settings.config.sessions}
        self.log = []
        self.time_ns = START_NS
        self._next_seq = 1
        self.open = True
        self.journal = Journal(folder / "journal", 1, 1, 1, limit_bytes=SEGMENT_BYTES)
        self.state = build_state(self.settings, 0)
        self.driver = JournalingDriver(self.state.block, self.journal)
        self.start(self.settings, 1, a.STOPPED)
        for name in self.sessions:
            self.logon(name)
        self.quote("AAPL", 99.99, 100.01, 100)

    def start(self, settings: Settings, run: int, ended: int) -> None:
        """A process starts: its settings, then START."""
        self.journal.append_settings(settings.to_json(), self.time_ns)
        self.apply(Event(a.START, self.time_ns, value=(run, ended, 0, WALL_NS - START_NS, 7)))

    def close(self) -> None:
        """Close the journal, once."""
        if self.open:
            self.journal.close()
        self.open = False
