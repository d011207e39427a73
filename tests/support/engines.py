"""The engine alone, in a process of its own: no core, its events go to the test."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import pytest
import simplefix
import structlog
from structlog.testing import LogCapture

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection
from gateway.core import events as ev
from gateway.core.driver import Output
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix.engine import QuickFixEngine
from tests.support.forked import CONTEXT, fork

TICK_S = 0.1
KINDS = {ev.LOGON: "LOGON", ev.LOGOUT: "LOGOUT", ev.MESSAGE: "MESSAGE", ev.SYNCED: "SYNCED", ev.UNREAD: "UNREAD"}


def acceptor(port: int, name: str = "EMS1", **more: Any) -> dict[str, Any]:
    """A session that listens on a port of the loopback."""
    section = {"id": name, "role": "acceptor", "begin_string": "FIX.4.4", "sender_comp_id": "GW"}
    return section | {"target_comp_id": name, "listen": f"127.0.0.1:{port}", "accounts": ["ACC1"]} | more


def initiator(port: int, name: str = "EMS1", **more: Any) -> dict[str, Any]:
    """The session that connects to it."""
    section = {"id": name, "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": name}
    return section | {"target_comp_id": "GW", "connect": f"localhost:{port}", "reconnect": 1} | more


def _serve(sections: list[dict[str, Any]], folder: Path, to: Connection) -> None:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    inbox = Inbox()
    try:
        engine = QuickFixEngine([SessionSection.model_validate(s) for s in sections], folder, inbox)
        engine.prepare([None] * len(sections))
        engine.start()
    except Exception as error:
        to.send(("FAILED", type(error).__name__, str(error).encode()))
        raise
    to.send(("STARTED", 0, b""))
    next_tick = 0.0
    while True:
        event = inbox.get(0.02)
        if event is not None:
            to.send((KINDS.get(event.kind, str(event.kind)), event.session, event.data))
        for entry in capture.entries:
            to.send(("LOG", entry["event"], repr(entry).encode()))
        capture.entries.clear()
        while to.poll():
            undelivered = engine.send(Output(*to.recv()))
            if undelivered is not None:
                inbox.put(undelivered)
        if time.monotonic() > next_tick:
            engine.tick()
            next_tick = time.monotonic() + TICK_S


class Engine:
    """An engine that runs while the context lasts; `seen` has what it told: kind, session or name, data."""

    def __init__(self, folder: Path, *sections: dict[str, Any]) -> None:
        """Sections as in the config file, paths absolute."""
        self.folder = folder
        self._ours, theirs = CONTEXT.Pipe()
        self._process = fork(_serve, list(sections), folder, theirs)
        theirs.close()
        self.seen: list[tuple[str, Any, bytes]] = []

    def __enter__(self) -> Self:
        assert self.wait("STARTED", "FAILED")[0] == "STARTED", self.seen
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join(15)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid or 0

    def wait(self, *kinds: str, timeout_s: float = 20.0, count: int = 1) -> tuple[str, Any, bytes]:
        """The first thing of these kinds, or the one of that count; log lines have the event's name as second."""

        def found() -> list[tuple[str, Any, bytes]]:
            return [item for item in self.seen if item[0] in kinds or (item[0] == "LOG" and item[1] in kinds)]

        deadline = time.monotonic() + timeout_s
        while len(found()) < count:
            assert self._ours.poll(max(deadline - time.monotonic(), 0)), f"no {kinds} in {self.seen}"
            self.seen.append(self._ours.recv())
        return found()[count - 1]

    def send(self, session: int, message_type: str, body: bytes) -> None:
        """Have it send a message."""
        self._ours.send((session, message_type, body))

    def is_on(self) -> bool:
        """Whether any session has been logged on so far."""
        return self.has("LOGON")

    def has(self, what: str) -> bool:
        """Whether this kind of event, or line of the log, has been seen so far."""
        while self._ours.poll():
            self.seen.append(self._ours.recv())
        return any(what in (kind, name) for kind, name, _ in self.seen)


def fault(folder: Path, *sections: dict[str, Any]) -> str:
    """Why an engine with these sections cannot be made; it is not started."""
    with pytest.raises(ConfigError) as found:
        QuickFixEngine([SessionSection.model_validate(s) for s in sections], folder, Inbox())
    return str(found.value)


def logon(sender: str = "EMS1", begin_string: str = "FIX.4.4", number: int = 1, **fields: str) -> bytes:
    """The bytes of a Logon; t554="x": tag 554."""
    message = simplefix.FixMessage()
    for tag, value in ((8, begin_string), (35, "A"), (49, sender), (56, "GW"), (34, number)):
        message.append_pair(tag, value, header=True)
    message.append_utc_timestamp(52, header=True)
    for tag, value in ((98, 0), (108, 30), *((int(key[1:]), value) for key, value in fields.items())):
        message.append_pair(tag, value)
    return bytes(message.encode())


def answer(
    port: int, data: bytes, source: str = "127.0.0.1", wrap: Callable[..., socket.socket] | None = None
) -> bytes:
    """What comes back for these bytes until the connection is closed, or to the end of the first message."""
    with socket.create_connection(("127.0.0.1", port), timeout=15, source_address=(source, 0)) as plain:
        try:
            connection = wrap(plain) if wrap else plain
            connection.sendall(data)
            received = b""
            while b"\x0110=" not in received and (part := connection.recv(65536)):
                received += part
        except OSError as error:
            return f"closed: {type(error).__name__} {error}".encode()
        return received


def refused(received: bytes) -> bool:
    """Whether an answer is none."""
    return received == b"" or received.startswith(b"closed")


def secret_in(folder: Path, secret: bytes) -> list[str]:
    """Files below a folder that hold the secret."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
