"""What others tell the core by shared memory: kill switches, pushed limits, quotes. For the core's thread only.

Before every event the core looks whether any of it has changed; what has becomes events of their own, which come first.
An event's time is taken before the look, so no order is accepted at a time after a switch was set.
"""

from __future__ import annotations

import time

import numpy as np

from gateway.config.settings import Settings
from gateway.core.driver import Event
from gateway.params.feed import ParameterFeed, QuoteFeed
from gateway.service.kill_switches import KillSwitches
from gateway.state.memory import State


class Observed:
    """The switch file and the file of every publisher."""

    def __init__(self, settings: Settings, state: State) -> None:
        """Nothing is opened before `begin`."""
        config = settings.config
        self.switches = KillSwitches(config.gateway.state_dir, state, config.control)
        feeds: list[ParameterFeed | QuoteFeed] = []
        for section in config.parameters.sources:
            feeds.append(ParameterFeed(section, len(feeds), state))
        for section in config.quotes:
            feeds.append(QuoteFeed(section, len(feeds), state))
        self._feeds = feeds
        self._state = state

    def begin(self, fresh: bool) -> list[Event]:
        """What to apply behind START; `fresh`: no run has used the state folder yet. Raises OSError, LookupError."""
        return self.switches.begin(fresh) + self._check_feeds()

    def changed(self) -> bool:
        """Whether `look` has something to give; so cheap that it is asked before every event."""
        return self.switches.changed() or any(feed.changed() for feed in self._feeds)

    def watch(self, table: np.ndarray) -> int:
        """Fill rows with (address, value as seen) of the words that `changed` looks at; returns how many."""
        words = [self.switches.word(), *(feed.word() for feed in self._feeds)]
        count = 0
        for address, seen in filter(None, words):
            table[count] = address, seen
            count += 1
        return count

    def look(self) -> list[Event]:
        """Events of what has changed, switches first."""
        events = self.switches.look()
        for feed in self._feeds:
            if feed.changed():
                events += feed.observe(time.monotonic_ns(), int(self._state.record.time_base_ns))
        return events

    def check(self) -> list[Event]:
        """Ten times a second: verify the switch file, and find publishers that are silent or back."""
        return self.switches.check() + self._check_feeds()

    def _check_feeds(self) -> list[Event]:
        return [event for feed in self._feeds for event in feed.check(time.monotonic_ns())]
