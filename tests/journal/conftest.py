"""Cores with a journal, and one long journal for all tests that cut it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core import events as ev
from tests.support.core import BASE
from tests.support.journal import ROOMY, Flow, JournaledCore, Raw, raw_records, state_digest

EVENTS = 10_000
KNOWN_STATES = 150


@dataclass(frozen=True)
class History:
    """A long journal, closed. `states` has the digest of the live state after events, by the sequence of the COMMIT."""

    folder: Path
    contents: list[bytes]  # of each segment
    records: list[list[Raw]]
    states: dict[int, bytes]


@pytest.fixture(scope="session")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A day and a half of trading with a crash, a stop and the end of a day in between."""
    core = JournaledCore(tmp_path_factory.mktemp("history"), limits=ROOMY, config=BASE)
    flow = Flow(core, seed=1)
    states = {core.sequence: state_digest(core.state.block)}
    known = 0
    runs = {EVENTS // 3: ev.CRASHED, EVENTS * 2 // 3: ev.STOPPED}
    while core.record.events < EVENTS:
        before = core.sequence
        flow.step()
        # A tick that leaves no record moves the time of the live state only.
        if core.record.events * KNOWN_STATES > known * EVENTS and core.sequence > before:
            known += 1
            states[core.sequence] = state_digest(core.state.block)
        if runs and core.record.events >= min(runs):
            core.begin(runs.pop(min(runs)))
            core.day()
    core.close()
    contents = [path.read_bytes() for path in sorted(core.folder.iterdir())]
    return History(core.folder, contents, [raw_records(content) for content in contents], states)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., JournaledCore]]:
    """Makes a core with a journal, which is closed after the test; keywords go to `JournaledCore`."""
    made: list[JournaledCore] = []

    def run(**more) -> JournaledCore:
        made.append(JournaledCore(tmp_path, **more))
        return made[-1]

    yield run
    for core in made:
        core.close()


@pytest.fixture
def core(make: Callable[..., JournaledCore]) -> JournaledCore:
    return make()
