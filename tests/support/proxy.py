"""A TCP proxy between two FIX engines that loses, delays and cuts on demand."""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Self

UP, DOWN = "up", "down"
_MESSAGE = re.compile(rb"8=FIX.*?\x0110=\d{3}\x01", re.DOTALL)
_TURN_S = 0.005


class Port:
    """A free port that is listened on by turns: connections are refused in between, and nobody else can have it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Nobody listens yet."""
        self._host = host
        self._holder = _bound(host, 0)
        self.number = int(self._holder.getsockname()[1])

    def listen(self) -> socket.socket:
        """A socket that listens, until it is closed."""
        listener = _bound(self._host, self.number)
        listener.listen()
        return listener

    def close(self) -> None:
        """Let others have it."""
        self._holder.close()


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    return made


@dataclass(eq=False)
class _Lane:
    """One direction of a connection, in whole messages."""

    direction: str
    target: socket.socket
    rest: bytes = b""
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)


class Proxy:
    """Listens on a free `port` of `host` and forwards to `target`; up is from the client to the target.

    What a test sets holds at once for all connections; `cut` ends swallowing, so that the next connection works.
    """

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        """Not running yet: use as a context manager."""
        self._target = target
        self._port = Port(host)
        self._listener = self._port.listen()
        self.port = self._port.number
        self.swallowed: list[bytes] = []
        self.delay_s = 0.0
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._lanes: dict[socket.socket, _Lane] = {}
        self._orders_to_pass: dict[str, int] = {}
        self._refusing = self._cutting = self._stopping = self._listens_not = False
        self._thread = threading.Thread(target=self._run, name=f"proxy {self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(10)

    def swallow(self, direction: str, after_orders: int = 0) -> None:
        """Lose every message of a direction from now on, or after this many more NewOrderSingles (35=D)."""
        with self._changed:
            self._orders_to_pass[direction] = after_orders

    def wait_swallowed(self, *parts: bytes, timeout_s: float = 5.0) -> None:
        """Wait until each of the parts has been seen in a message that was lost."""

        def seen() -> bool:
            return all(any(part in message for message in self.swallowed) for part in parts)

        with self._changed:
            assert self._changed.wait_for(seen, timeout_s), f"not swallowed: {parts}, but {self.swallowed}"

    def cut(self, refuse: bool = False, close_port: bool = False) -> None:
        """Close all connections, and with `refuse` every new one too until `allow`; swallowing ends. With `close_port`
        nothing listens until then.
        """
        with self._changed:
            self._cutting, self._refusing, self._listens_not = True, refuse, close_port
            assert self._changed.wait_for(lambda: not self._cutting, 5), "the proxy does not run"

    def allow(self) -> None:
        """Listen, and forward new connections, again."""
        self._refusing = self._listens_not = False

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(_TURN_S):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self._listener:
                    self._accept()
                elif source in self._lanes:
                    self._read(source)
            self._send_due()
            with self._changed:
                if self._listens_not == (self._listener.fileno() >= 0):
                    self._turn_listener()
                if self._cutting:
                    self._orders_to_pass.clear()
                    self._close_all()
                    self._cutting = False
                    self._changed.notify_all()
        self._close_all()
        self._listener.close()
        self._selector.close()
        self._port.close()

    def _turn_listener(self) -> None:
        if self._listens_not:
            self._selector.unregister(self._listener)
            self._listener.close()
        else:
            self._listener = self._port.listen()
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        for source, target, direction in ((client, server, UP), (server, client, DOWN)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._lanes[source] = _Lane(direction, target)
            self._selector.register(source, selectors.EVENT_READ)

    def _read(self, source: socket.socket) -> None:
        lane = self._lanes[source]
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._send_due(all_of=True)
            self._close(source)
            return
        lane.rest += data
        messages = _MESSAGE.findall(lane.rest)
        lane.rest = lane.rest[sum(map(len, messages)) :]
        due = time.monotonic() + self.delay_s
        lane.waiting.extend((due, message) for message in messages if not self._lost(lane.direction, message))

    def _lost(self, direction: str, message: bytes) -> bool:
        with self._changed:
            left = self._orders_to_pass.get(direction)
            if left == 0:
                self.swallowed.append(message)
                self._changed.notify_all()
            elif left is not None and b"\x0135=D\x01" in message:
                self._orders_to_pass[direction] = left - 1
            return left == 0

    def _send_due(self, all_of: bool = False) -> None:
        now = time.monotonic()
        for source, lane in list(self._lanes.items()):
            while lane.waiting and (all_of or lane.waiting[0][0] <= now):
                try:
                    lane.target.sendall(lane.waiting.popleft()[1])
                except OSError:
                    self._close(source)
                    break

    def _close(self, source: socket.socket) -> None:
        lane = self._lanes.get(source)
        for side in (source, lane.target) if lane else ():  # none: what was due was sent in vain, and it is closed
            if self._lanes.pop(side, None):
                self._selector.unregister(side)
                side.close()

    def _close_all(self) -> None:
        while self._lanes:
            self._close(next(iter(self._lanes)))
