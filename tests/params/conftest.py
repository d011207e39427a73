"""A state of the test config, the sources whose files its feeds read, and a look at what they log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.config.sections import SourceSection
from gateway.config.settings import Settings, load_settings
from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.params.feed import ParameterFeed, QuoteFeed
from gateway.state.build import build_state
from gateway.state.memory import State
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

BASE_NS = 7 * 10**15  # the gateway's clock minus CLOCK_MONOTONIC
TICK_NS = 100_000_000
Feed = ParameterFeed | QuoteFeed
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(write_config(tmp_path_factory.mktemp("config"), BASE, LIMITS, INSTRUMENTS))


@pytest.fixture
def state(settings: Settings) -> State:
    return build_state(settings, run=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def make(state: State, path: Path) -> Make:
    """Makes a feed of the file at `path`, row 3 of the sources."""

    def made(kind: type[Feed] = ParameterFeed, max_silence: str = "10s") -> Feed:
        return kind(SourceSection(id="VOL", file=path, max_silence=max_silence), 3, state)

    return made


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def tick(feed: Feed, later_ns: int = 0) -> list[Event]:
    """What a feed gives at a tick, so much later than now: of its file first, then of its records."""
    now_ns = time.monotonic_ns() + later_ns
    return feed.check(now_ns) + (feed.observe(now_ns, BASE_NS) if feed.changed() else [])


def values(events: list[Event], kind: int = ev.PARAMETER) -> list[tuple[int, ...]]:
    """Values of the events of a kind."""
    return [event.value for event in events if event.kind == kind]


def ups(events: list[Event]) -> list[tuple[int, str]]:
    """(whether it is alive, reason) of the SOURCE events, which are those of row 3."""
    for event in events:
        assert event.kind != ev.SOURCE or event.value[0] == 3
    return [(event.value[1], event.data.decode()) for event in events if event.kind == ev.SOURCE]
