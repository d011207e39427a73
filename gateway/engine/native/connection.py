"""The connection of a session: its socket, and what waits behind a gap. The loop reads and writes it."""

from __future__ import annotations

import socket

from gateway.engine.native.tls import TlsConnection

MOST_HELD, MOST_HELD_BYTES = 10_000, 8 << 20  # of messages ahead of a gap; others are asked for again


class Connection:
    """Of the core's thread."""

    def __init__(self, sock: socket.socket, row: int, tls: TlsConnection | None = None) -> None:
        """Of the session in a row of the config."""
        self.socket = sock
        self.row = row
        self.tls = tls
        self.is_closing = False
        """Whether it is closed as soon as what waits has gone."""
        self.told_gap = 0
        """MsgSeqNum of a message that does not come, of which people have been told."""
        self._held: dict[int, bytes] = {}
        self._held_bytes = 0
        self._next = 0

    @property
    def held(self) -> int:
        """How many messages wait behind a gap."""
        return len(self._held)

    def hold(self, number: int, message: bytes) -> None:
        """Keep a message that came ahead of a gap, unless too many are."""
        if len(self._held) < MOST_HELD and self._held_bytes + len(message) <= MOST_HELD_BYTES:
            self._held_bytes += len(message) - len(self._held.get(number, b""))
            self._held[number] = message

    def close(self) -> None:
        """Close it."""
        if self.tls is not None:
            self.tls.close()
        self.socket.close()

    def holds_next(self, number: int) -> bool:
        """Whether the message with the number that comes next is held; what came before it is forgotten."""
        if number - self._next > len(self._held):
            self._held = {n: each for n, each in self._held.items() if n >= number}
            self._held_bytes = sum(map(len, self._held.values()))
        else:
            for n in range(self._next, number):
                self._held_bytes -= len(self._held.pop(n, b""))
        self._next = number
        return number in self._held

    def forget_held(self) -> None:
        """The numbers begin anew."""
        self._held.clear()
        self._held_bytes = self._next = 0

    def take_held(self, number: int) -> bytes | None:
        """The message that is held under a number, if any; it is held no longer."""
        message = self._held.pop(number, None)
        self._held_bytes -= len(message or b"")
        return message
