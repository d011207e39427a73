"""What the service asks of an engine, whatever carries the messages, and what engines have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gateway.config.sections import Config
from gateway.core import events as ev
from gateway.core.driver import Event, Output
from gateway.engine.inbox import Inbox
from gateway.journal.writer import Journal, JournalingDriver
from gateway.ops.control import Command


@dataclass(slots=True)
class OrderPath:
    """What an engine works on that applies messages itself."""

    block: np.ndarray
    """The core's state, one record."""
    driver: JournalingDriver
    journal: Journal
    pulse: np.ndarray
    """Words of the pulse, see `gateway.state.pulse`."""
    base_ns: int
    """The gateway's clock less CLOCK_MONOTONIC."""
    watch: Callable[[np.ndarray], int]
    """Fills rows of an array with the addresses of words in shared memory and the values that were seen there; returns
    how many. When one has changed, no message may be applied before the service has looked.
    """
    look_ns: int
    """How often to look at those when no message comes; 0: without a rest, and at the sockets too."""
    took: Callable[[Event, list[int]], None]
    """To be called for an event that the engine has applied: with the places of the outputs that are left to be sent.
    For a message where there are any or the session's row says that something has happened, with its time by
    CLOCK_MONOTONIC; for a step of a sweep (SWEEP) where there are any.
    """
    send_waiting: Callable[[], None]
    """Sends what waits."""


class StartError(RuntimeError):
    """What the config asks of an engine cannot be had on this machine now; one line with the session's name."""


# Of connections that have not logged on: how long one may take to its first byte, then to a whole Logon; how many may
# wait; how often a line tells of those that are refused.
LOGON_WAIT_S, ANSWER_WAIT_S = 10.0, 1.5
MOST_WAITING = 64
TOLD_EVERY_S = 1.0


class Connection(Protocol):
    """How the connection to a venue stands."""

    @property
    def attempts(self) -> int:
        """Attempts to connect since the session was last logged on."""

    @property
    def why(self) -> str:
        """Why the last attempt failed."""

    @property
    def is_wanted(self) -> bool:
        """Whether the session is to be up now, by its schedule and by people."""


class Engine(Protocol):
    """Carries messages between FIX sessions and the core. Sessions are named by their row in the config.

    The core's thread alone calls these methods, but for `sync`, which the journal's thread calls too.
    """

    @property
    def connections(self) -> Mapping[int, Connection]:
        """The connection to each venue, by row."""

    def prepare(self, last_in: list[int | None], path: OrderPath) -> list[int]:
        """Make the sessions. `last_in`: MsgSeqNum(34) of the last message of each that the journal has; None: not
        known, go on from what the engine has counted. Returns the number of the last message of each session.

        Raises StartError when a setting cannot be used.
        """

    def settle_unsent(self, outputs: list[Output], rebooted: bool) -> list[Output | Event]:
        """What must be done, after `start`, about outputs of the last run that may not have been sent: an Output is to
        be sent, an Event is to be applied (an order that never left). Call it between `prepare` and `start`.

        `rebooted`: after a power cut, when the engine's own files may lack what was sent.
        """

    def start(self) -> None:
        """Listen and connect; raises StartError when a port cannot be used. Later failures go to the inbox."""

    def rests(self, row: int) -> str:
        """Why a session is not to be up now, DISABLED or CLOSED of `gateway.state.pulse`; empty: it is."""

    def get(self, timeout_s: float) -> Event | Command | None:
        """The next event or command, None after `timeout_s` without one or when woken; raises an error of a session."""

    @property
    def waiting(self) -> bool:
        """Whether `get` has something at once; of sessions that are being logged out, whether it may still have."""

    def send(self, output: Output) -> Event | None:
        """Send a message; its body is the fields after the header. Returns the UNDELIVERED event of an order message
        that could not go out. Raises RuntimeError when it could not be stored.
        """

    def refuse(self, output: Output) -> Event | None:
        """The UNDELIVERED event of an order or replace that is not to be sent; None for what must go out always."""

    def sync(self) -> None:
        """Put the engine's files on disk; raises OSError."""

    def tick(self) -> None:
        """Do what is due; call it about ten times a second."""

    def log_out(self, role: str) -> None:
        """Log the sessions of a role ("initiator": venues, "acceptor": EMS) out for good."""


def cl_ord_id_of(body: bytes) -> str:
    """ClOrdID(11) of an order message that we wrote."""
    return next(field[3:].decode() for field in body.split(b"\x01") if field.startswith(b"11="))


def undelivered(row: int, cl_ord_id: str, text: str, evidence: int = ev.SAID) -> Event:
    """The event that a child never reached its venue; `text`: what the venue says of it."""
    fields = f"11={cl_ord_id}\x01" + (f"58={text}\x01" if text else "")
    return Event(ev.UNDELIVERED, 0, row, data=fields.encode("utf-8", "surrogateescape"), value=(evidence,))


def make_engine(config: Config, folder: Path, inbox: Inbox) -> Engine:
    """The engine that the config names, with its files in the state folder; raises ConfigError."""
    if config.gateway.engine == "native":
        from gateway.engine.native.engine import NativeEngine

        return NativeEngine(config.sessions, folder, inbox)
    from gateway.engine.quickfix.engine import QuickFixEngine

    return QuickFixEngine(config.sessions, folder / "fix", inbox)
