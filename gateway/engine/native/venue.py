"""The connection to a venue: when to try again, how often it was tried, and why it failed."""

from __future__ import annotations

import time

from gateway.config.sections import SessionSection

MOST_CONNECTING_S = 10.0
MOST_BACK_OFF_S = 60.0
SLOW_S = 2.0  # an attempt that takes longer is told of as what it waits for


class VenueLink:
    """Of one venue; the core's thread only."""

    def __init__(self, section: SessionSection) -> None:
        """Never tried; due at once."""
        self._reconnect_s = float(section.reconnect)
        self._addresses = [str(section.connect), *section.backup]
        self._turn = 0
        self._refused = 0  # Logons in a row
        self._due_s = 0.0
        self._since_s = 0.0
        self._is_up = False
        self._why = "not tried yet"
        self._waits_for = ""
        self.attempts = 0
        """To connect, since it was last logged on."""
        self.is_wanted = True
        """Whether the session is to be up now."""

    @property
    def address(self) -> str:
        """Of the attempt under way, or of the next."""
        return self._addresses[self._turn % len(self._addresses)]

    @property
    def why(self) -> str:
        """Why the last attempt came to nothing; of one under way, that is the first or is slow, what it waits for."""
        slow = self.attempts <= 1 or time.monotonic() - self._since_s > SLOW_S
        why = self._waits_for if self._waits_for and slow else self._why
        return f"{self.address}: {why}" if len(self._addresses) > 1 else why

    def is_due(self) -> bool:
        """Whether it is time for another attempt."""
        return time.monotonic() >= self._due_s

    def is_slow(self) -> bool:
        """Whether the attempt under way has waited for longer than any that succeeds."""
        return time.monotonic() - self._since_s > MOST_CONNECTING_S

    def note_attempt(self) -> None:
        """An attempt begins."""
        self._since_s = time.monotonic()
        self._due_s = self._since_s + self._reconnect_s
        if self.attempts > 0:
            self._turn += 1
        self.attempts += 1
        self._waits_for = "the venue does not answer the connection request"

    def note_failure(self, why: str) -> None:
        """The attempt has failed."""
        self._why, self._waits_for = why, ""

    def note_connected(self) -> None:
        """The connection stands, and the Logon goes out."""
        self._refused += 1  # until it is answered
        self._waits_for = "the venue does not answer the Logon"

    def note_logon(self) -> None:
        """The session is up."""
        self._is_up = True
        self._refused = 0
        self._waits_for = ""

    def note_cut(self, why: str) -> None:
        """The session closes the connection itself."""
        self.note_failure(why)

    def note_closed(self) -> None:
        """The connection is gone."""
        if self._is_up:
            self._is_up = False
            self.attempts = 0
            self.note_failure("the connection was lost")
        elif self._waits_for:
            self.note_failure(self._waits_for)
        wait_s = self._reconnect_s * 2 ** min(max(self._refused - 1, 0), 10)
        self._due_s = time.monotonic() + max(min(wait_s, MOST_BACK_OFF_S), self._reconnect_s)
