"""How the connection to a venue stands, by what QuickFIX says in its log of events.

QuickFIX itself tries again after its peer closed the connection or refused it. It never does where its own session
closed it (a Logout, a timeout): it then waits for ever for the end of a socket that it has forgotten, and sends Logons
into nothing. `is_stuck` tells that from a connection that is being made, which must be left alone: QuickFIX would never
close the socket of an initiator that is given up in the midst of it.
"""

from __future__ import annotations

import time

CONNECTING = "Connecting to "  # an attempt begins
OPEN = "Initiated logon request"  # the connection stands, or was refused: QuickFIX takes both for the same
CLOSED = "Disconnecting"
NO_ANSWER = "Timed out waiting for logon response"
REJECTED, LOGOUT = "Reject of the Logon: ", "Logout: "  # and what the peer said
SLOW_S = 2.0  # an attempt that takes longer is told of as what it waits for
STUCK_AFTER_S = 2.5  # beyond the time between two attempts; QuickFIX looks once a second
MOST_CONNECTING_S = 10.0
MOST_STANDING_S = 10.0  # without a Logon, which QuickFIX waits for half as long

NEVER_ATTEMPTED, ATTEMPTING, STANDING, ENDED = range(4)


class Line:
    """One venue's connection. QuickFIX's thread writes it, others read it."""

    def __init__(self, reconnect_s: float) -> None:
        """`reconnect_s`: time between two attempts."""
        self._reconnect_s = reconnect_s
        self._state = NEVER_ATTEMPTED
        self._changed_s = time.monotonic()
        self.starts = 0
        """Times that something was done about it since it came to its present state."""
        self._is_up = False
        self.attempts = 0
        """To connect, since it was last logged on."""
        self.is_wanted = True
        """Whether the session is to be up now: always."""
        self._why = "not tried yet"
        self._waits_for = ""
        """What the attempt under way will have failed for if nothing more is heard; empty once more is known."""

    @property
    def why(self) -> str:
        """Why the last attempt came to nothing; of one under way, that is the first or is slow, what it waits for."""
        slow = self.attempts <= 1 or time.monotonic() - self._changed_s > SLOW_S
        return self._waits_for if self._waits_for and slow else self._why

    def note_event(self, text: str) -> None:
        """QuickFIX says something of this session."""
        if text.startswith(CONNECTING):
            self._enter(ATTEMPTING)
            self.attempts += 1
            self._waits_for = "the venue does not answer the connection request"
        elif text == OPEN and self._state == ATTEMPTING:
            self._enter(STANDING)
            self._waits_for = "the venue refuses the connection, or closes it at once"
        elif text == NO_ANSWER and self._state == STANDING:
            self._settle("the venue does not answer the Logon")
        elif text == CLOSED:
            self._settle(self._waits_for or self._why)
            self._enter(ENDED)

    def note_logon(self) -> None:
        """The session is up."""
        self._enter(STANDING)
        self._is_up = True
        self._waits_for = ""

    def note_logout(self, why: str = "") -> None:
        """The session is not, or no longer, up; `why` as the peer has told it."""
        if self._is_up:
            self._is_up = False
            self.attempts = 0
            self._settle("the connection was lost")
        if why:
            self._settle(f"{LOGOUT}{why}")

    def note_reject(self, text: str) -> None:
        """The peer refuses our Logon by a Reject(3) with this text."""
        self._settle(f"{REJECTED}{text or 'without a reason'}")

    def note_own_logout(self, text: str) -> None:
        """We end the session, with this text; what the peer has said of this attempt tells more."""
        if self._waits_for or not self._why.startswith((REJECTED, LOGOUT)):
            self._settle(f"our Logout: {text}")

    def note_failure(self, why: str) -> None:
        """No attempt can be made."""
        self._settle(why)

    def is_stuck(self) -> bool:
        """Whether QuickFIX makes no attempt any more though it should; `note_start` gives it its time again."""
        if self._is_up:
            return False
        waited_s = time.monotonic() - self._changed_s
        if self._state in (NEVER_ATTEMPTED, ENDED):
            return waited_s > self._reconnect_s + STUCK_AFTER_S
        # QuickFIX goes by a clock that may be set back.
        return self._state == STANDING and waited_s > MOST_STANDING_S

    @property
    def was_closed(self) -> bool:
        """Whether the connection was closed, and no other has been made since."""
        return self._state == ENDED

    def hangs(self) -> bool:
        """Whether an attempt waits for longer than any that succeeds."""
        return self._state == ATTEMPTING and time.monotonic() - self._changed_s > MOST_CONNECTING_S

    def note_start(self) -> None:
        """Something is done about it."""
        self._changed_s = time.monotonic()
        self.starts += 1

    def _settle(self, why: str) -> None:
        self._why, self._waits_for = why, ""

    def _enter(self, state: int) -> None:
        self._state, self._changed_s, self.starts = state, time.monotonic(), 0
