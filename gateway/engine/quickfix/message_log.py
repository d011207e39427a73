"""QuickFIX's logs without passwords.

QuickFIX writes every message as it is, a Logon's password too. The logs are written here instead: of a Logon only
fields that are known to hold no secret. QuickFIX's store holds a Logon that was sent as well: `hide_password` makes it
unreadable there.

A message is logged before QuickFIX looks at it, so the log is also where the engine learns of it first.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quickfix as fix
import structlog

SOH = "\x01"
LOGON = "\x0135=A\x01"
# Header and trailer, and what a Logon says besides of who it is.
KEPT = frozenset(map(str, (8, 9, 10, 34, 35, 43, 49, 50, 52, 56, 57, 97, 98, 108, 122, 141, 383, 464, 553, 789)))
SECRET = re.compile("(?<=\x01)(554|925|1402|1404)=[^\x01]*")
HIDDEN = "***"
TAIL_BYTES = 1 << 16
STORED_LOGON = re.compile(rb"8=FIX[^\x01]*\x019=\d+\x0135=A\x01.*?\x0110=\d{3}\x01", re.DOTALL)
STORED_PASSWORD = re.compile(rb"(?<=\x01554=)[^\x01]+")

Hook = Callable[[str], None]

log = structlog.get_logger()


def masked(text: str) -> str:
    """A message, or a text with a message in it, without what could be a secret."""
    if LOGON not in text:
        return SECRET.sub(rf"\1={HIDDEN}", text) if "\x01554=" in text or "\x01925=" in text else text
    before, begin, message = text.partition("8=FIX")
    fields = []
    for field in (begin + message).split(SOH):
        tag, equals, _ = field.partition("=")
        fields.append(field if tag in KEPT or not field else f"{tag}={HIDDEN}" if equals and tag.isdigit() else HIDDEN)
    return before + SOH.join(fields)


def hide_password(body: Path) -> None:
    """Overwrite the password of the last Logon at the end of a store's `body` with asterisks, in place.

    CheckSum(10) is made right again, since QuickFIX reads the message when the peer asks for it. Raises OSError.
    """
    if not body.exists():
        return
    with body.open("r+b", buffering=0) as file:
        start = max(file.seek(0, os.SEEK_END) - TAIL_BYTES, 0)
        file.seek(start)
        logons = list(STORED_LOGON.finditer(file.read(TAIL_BYTES)))
        if not logons:
            return
        hidden = STORED_PASSWORD.sub(lambda password: b"*" * len(password[0]), logons[-1][0])[:-7]
        file.seek(start + logons[-1].start())
        file.write(hidden + b"10=%03d\x01" % (sum(hidden) % 256))


@functools.lru_cache(maxsize=2)
def _stamp(seconds: int) -> str:
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(seconds))


class MessageLog(fix.Log):
    """The log of a session, or of what belongs to none: as QuickFIX's own, but without passwords.

    Nothing may be raised here, QuickFIX would end the process at once.
    """

    def __init__(self, prefix: Path, incoming: Hook, outgoing: Hook, event: Hook) -> None:
        """Files begin with `prefix`; each hook gets what is logged, as it is, after it was written."""
        super().__init__()
        names = ("messages", "event")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._messages, self._events = (os.open(f"{prefix}.{name}.current.log", flags, 0o600) for name in names)
        self._incoming, self._outgoing, self._event = incoming, outgoing, event
        self._lost = 0

    def onIncoming(self, text: str) -> None:
        """A message came; it has not been parsed yet."""
        self._write(self._messages, text)
        self._incoming(text)

    def onOutgoing(self, text: str) -> None:
        """A message was stored, and is about to be sent."""
        self._write(self._messages, text)
        self._outgoing(text)

    def onEvent(self, text: str) -> None:
        """Something that QuickFIX says."""
        self._write(self._events, text)
        self._event(text)

    def clear(self) -> None:
        """Nothing: the files are kept."""

    def backup(self) -> None:
        """Nothing: the files are kept."""

    def _write(self, descriptor: int, text: str) -> None:
        seconds, ns = divmod(time.time_ns(), 10**9)
        line = f"{_stamp(seconds)}.{ns:09d} : {masked(text)}\n".encode("utf-8", "surrogateescape")
        try:
            written = os.write(descriptor, line)
        except OSError:
            written = 0
        if written < len(line):
            self._lost += 1  # a full disk stops orders elsewhere, and must not stop cancels here
        elif self._lost:
            log.warning("lines of a session's log were lost", count=self._lost)
            self._lost = 0


class LogFactory(fix.LogFactory):
    """Logs for the sessions of one acceptor or initiator."""

    def __init__(self, folder: Path, make: Callable[[Path, str], MessageLog]) -> None:
        """`make` gives the log of a SessionID as text, or of no session ("")."""
        super().__init__()
        self._folder = folder
        self._make = make
        self._logs: list[Any] = []
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, session_id: fix.SessionID | None = None) -> fix.Log:
        """The log of a session, or of what belongs to none."""
        name = "" if session_id is None else session_id.toString()
        prefix = "GLOBAL"
        if session_id is not None:
            ids = (session_id.getBeginString(), session_id.getSenderCompID(), session_id.getTargetCompID())
            prefix = "-".join(part.getString() for part in ids)
        made = self._make(self._folder / prefix, name)
        made.this.disown()  # it lives as long as the process, and the wrapper blocks for ever on what it is given
        self._logs.append(made)
        return made

    def destroy(self, made: fix.Log) -> None:
        """Nothing: logs live as long as the process."""
