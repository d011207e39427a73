"""The control socket: commands of people at this machine, with their identity as the kernel knows it.

One connection is one command: a line of JSON, answered by a line of JSON `{"ok": true|false, "text": ...}`. The socket
lies in the state folder, open to its owner and perhaps a group. Commands are carried out by the core's thread, in turn
with events.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import queue
import shutil
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gateway.machine import owner
from gateway.view.health import silence

log = structlog.get_logger()
MAX_COMMAND_BYTES = 4096
IO_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
SOCKET_NAME = "control"


class ControlError(Exception):
    """A command that could not be given or was refused; one line."""


@dataclass(frozen=True)
class Command:
    """A command, who gave it, and where its answer goes."""

    request: dict[str, Any]
    user: str
    answer: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)
    taken: threading.Lock = field(default_factory=threading.Lock)

    def is_wanted(self) -> bool:
        """Whether its giver still waits: what has been told to have failed must not be done. True once, and from then
        on the giver waits for the answer.
        """
        return self.taken.acquire(blocking=False)

    def reply(self, ok: bool, text: str) -> None:
        """Answer it."""
        self.answer.put({"ok": ok, "text": text})


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """The socket's address by way of a file descriptor: the path itself may be longer than an address can be."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # which needs no right to list it
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


class ControlSocket:
    """Listens for commands in a thread of its own; `submit` gives each to the core's thread."""

    def __init__(self, folder: Path, submit: Callable[[Command], None], group: str | None = None) -> None:
        """Listen in the state folder, for its owner and the members of a group; raises OSError, LookupError."""
        self._submit = submit
        self._closed = threading.Event()
        (folder / SOCKET_NAME).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        with _short_path(folder) as address:
            self._socket.bind(address)
        os.chmod(folder / SOCKET_NAME, 0o600 if group is None else 0o660)
        if group is not None:
            shutil.chown(folder / SOCKET_NAME, group=group)
        self._socket.listen(8)
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        # A thread in accept() is woken by a shutdown, not by close().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if self._closed.is_set():
                    return
                log.error("the control socket took no command", why=str(error))
                self._closed.wait(1)
                continue
            with connection:
                connection.settimeout(IO_TIMEOUT_S)
                with contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            request = json.loads(_read_line(connection))
            if not isinstance(request, dict) or not isinstance(request.get("command"), str):
                raise ValueError("want an object with a command")
        except (ValueError, RecursionError) as error:
            answer: dict[str, Any] = {"ok": False, "text": f"not a command: {error}"}
        else:
            if _has_gone(connection):
                return
            command = Command(request, _user_of(connection))
            self._submit(command)
            answer = _answer_to(command)
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _answer_to(command: Command) -> dict[str, Any]:
    """What the core's thread says, or that it has not taken the command; one that it has taken it answers."""
    try:
        return command.answer.get(timeout=ANSWER_TIMEOUT_S)
    except queue.Empty:
        if command.is_wanted():
            text = f"the gateway's core has not taken it for {ANSWER_TIMEOUT_S:.0f} s: nothing is done"
            return {"ok": False, "text": text}
    try:
        return command.answer.get(timeout=ANSWER_TIMEOUT_S)
    except queue.Empty:
        return {"ok": False, "text": "the gateway's core has taken it and not answered: look what has been done"}


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other end has closed: it has given up waiting."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(IO_TIMEOUT_S)


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    deadline_s = time.monotonic() + IO_TIMEOUT_S
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
        part = connection.recv(MAX_COMMAND_BYTES)
        line += part
        if not part or len(line) > MAX_COMMAND_BYTES:
            raise ValueError(f"want a line of at most {MAX_COMMAND_BYTES} bytes")
    return line


def _user_of(connection: socket.socket) -> str:
    """Name of the user at the other end, by the kernel's word (SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _silence(folder: Path) -> str:
    """Why a gateway would not answer a command now; empty where its core is alive, or its pulse says nothing."""
    try:
        owner(folder / "pulse")
        with open(folder / "pulse", "rb") as pulse:
            heartbeat_ns = int.from_bytes(pulse.read(8), sys.byteorder)  # its first word, see gateway.state.pulse
    except (OSError, ValueError):
        return ""
    why = silence(heartbeat_ns, time.monotonic_ns()) if heartbeat_ns else ""
    return f"the gateway does not answer, {why}: nothing is done" if why else ""


def give_command(folder: Path, request: dict[str, Any]) -> str:
    """Give a command to the gateway of a state folder; returns its answer. Raises ControlError."""
    silence = _silence(folder)
    if silence:
        raise ControlError(silence)
    try:
        with _short_path(folder) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2 * ANSWER_TIMEOUT_S + 2 * IO_TIMEOUT_S)
            connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError(f"no gateway runs on {folder}") from None
    except PermissionError:
        raise ControlError(f"{folder}: only the gateway's user, root and the people of `control.group` may") from None
    except (OSError, ValueError) as error:
        raise ControlError(f"{folder}: the gateway does not answer: {error}") from None
    if not answer["ok"]:
        raise ControlError(answer["text"])
    return str(answer["text"])
