"""What the service asks of an engine, whatever carries the messages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gateway.config.sections import Config
from gateway.core.driver import Event, Output
from gateway.engine.inbox import Inbox


class Connection(Protocol):
    """How the connection to a venue stands."""

    @property
    def attempts(self) -> int:
        """Attempts to connect since the session was last logged on."""

    @property
    def why(self) -> str:
        """Why the last attempt failed."""


class Engine(Protocol):
    """Carries messages between FIX sessions and the core. Sessions are named by their row in the config.

    What comes in is put into the inbox as events. The core's thread alone calls these methods, but for `sync`, which
    the journal's thread calls too.
    """

    @property
    def connections(self) -> Mapping[int, Connection]:
        """The connection to each venue, by row."""

    def prepare(self, last_in: list[int | None]) -> list[int]:
        """Make the sessions. `last_in`: MsgSeqNum(34) of the last message of each that the journal has; None: not
        known, go on from what the engine has counted. Returns the number of the last message of each session.

        Raises RuntimeError, with the session's name, when a setting cannot be used.
        """

    def settle_unsent(self, outputs: list[Output], rebooted: bool) -> list[Output | Event]:
        """What must be done, after `start`, about outputs of the last run that may not have been sent: an Output is to
        be sent, an Event is to be applied (an order that never left). Call it between `prepare` and `start`.

        `rebooted`: after a power cut, when the engine's own files may lack what was sent.
        """

    def start(self) -> None:
        """Listen and connect; raises RuntimeError when a port cannot be used. Later failures go to the inbox."""

    def send(self, session: int, message_type: str, body: bytes) -> Event | None:
        """Send a message; `body` is its fields after the header. Returns the UNDELIVERED event of an order message that
        could not go out. Raises RuntimeError when it could not be stored.
        """

    def refuse(self, session: int, message_type: str, body: bytes) -> Event | None:
        """The UNDELIVERED event of an order or replace that is not to be sent; None for what must go out always."""

    def sync(self) -> None:
        """Put the engine's files on disk; raises OSError."""

    def tick(self) -> None:
        """Do what is due; call it about ten times a second."""

    def log_out(self, role: str) -> None:
        """Log the sessions of a role ("initiator": venues, "acceptor": EMS) out for good."""


def make_engine(config: Config, folder: Path, inbox: Inbox) -> Engine:
    """The engine that the config names, with its files in `folder`. Raises ConfigError for what it cannot use."""
    from gateway.engine.quickfix.engine import QuickFixEngine

    return QuickFixEngine(config.sessions, folder, inbox)
