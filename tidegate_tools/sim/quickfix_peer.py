"""What the venue and the EMS simulators share: FIX sessions on QuickFIX, driven by one thread.

That thread polls the engine, runs our hooks and sends; other threads hand it work and wait. So no QuickFIX lock is ever
taken across threads, and a failure anywhere ends the whole peer, loudly.

An initiator of QuickFIX never connects again after a session of its own closed the connection (a Logout, a timeout, a
disconnect): it goes on with a socket that is gone. So an initiator is made anew after each loss, with the same store.
"""

from __future__ import annotations

import functools
import math
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

import quickfix as fix

from tidegate_tools.fix.text import SOH, Fields, dictionary_path, first, split_fields

_IDLE_S = 0.001
_BUSY_S = 0.0001
_BUSY_FOR_S = 0.01
_CALL_TIMEOUT_S = 5.0
_LOGOUT_WAIT_S = 0.4
_RECONNECT_S = 0.5
_KEPT_MESSAGES = 200_000
_UPKEEP_TYPES = frozenset("01245A")
_KEPT_READS = 100
_REFUSAL = re.compile(r"Message (\d+) Rejected: ?(.*)|Invalid message: (.*)", re.DOTALL)

T = TypeVar("T")

# The import of quickfix sets SIGINT to its default action behind Python's back: Ctrl-C would kill without any cleanup
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT) or signal.default_int_handler)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


BEGIN_STRINGS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")


@functools.cache
def load_dictionary(path: Path) -> fix.DataDictionary:
    """The QuickFIX dictionary of a file, loaded once a process."""
    return fix.DataDictionary(str(path))


@dataclass(frozen=True)
class SessionConfig:
    """One FIX session seen from the simulator: `sender_comp_id` is the simulator's own."""

    begin_string: str = "FIX.4.4"
    sender_comp_id: str = "VENUE"
    target_comp_id: str = "GATEWAY"
    dictionary: Path | None = None
    """QuickFIX XML dictionary; None takes the one of this version in fix_specs/."""
    heartbeat_s: int = 30
    reset_on_logon: bool = False
    validate_user_fields: bool = True
    """True: a user-defined tag (5000 and up) that is not in the dictionary gets a session reject."""

    def __post_init__(self) -> None:
        if self.begin_string not in BEGIN_STRINGS:
            raise ValueError(f"begin_string: wanted one of {', '.join(BEGIN_STRINGS)}, not {self.begin_string!r}")
        if not self.dictionary_path.is_file():
            raise ValueError(f"dictionary: no such file: {self.dictionary_path}")

    @property
    def dictionary_path(self) -> Path:
        """File of the dictionary in use."""
        return self.dictionary or dictionary_path(self.begin_string)

    @property
    def dictionary_keys(self) -> str:
        """QuickFIX's settings for the dictionary; FIXT 1.1 is for FIX 5.0 SP2 here."""
        path = self.dictionary_path
        if self.begin_string == "FIXT.1.1":
            return f"TransportDataDictionary={path}\nAppDataDictionary={path}\nDefaultApplVerID=FIX.5.0SP2"
        return f"DataDictionary={path}"

    @property
    def name(self) -> str:
        """Key of the session everywhere, as QuickFIX writes it: `FIX.4.4:VENUE->GATEWAY`."""
        return f"{self.begin_string}:{self.sender_comp_id}->{self.target_comp_id}"

    @classmethod
    def parse(cls, text: str, **options: Any) -> SessionConfig:
        """`FIX.4.4:SENDER:TARGET` to a session."""
        parts = text.split(":")
        if len(parts) != 3:
            raise ValueError(f"wanted BEGIN_STRING:SENDER:TARGET, not {text!r}")
        return cls(parts[0], parts[1], parts[2], **options)


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """Transport of a simulator: acceptor on `host:port` (port 0: any free one), or initiator if `connect` is set."""

    sessions: Sequence[SessionConfig] = ()
    host: str = "127.0.0.1"
    port: int = 0
    connect: tuple[str, int] | None = None
    store_dir: Path | None = None
    """Folder for QuickFIX file stores, so that sequence numbers outlive the peer; None forgets them with it."""
    log_file: Path | None = None
    """File that gets every message sent and received, one a line, behind its time."""
    on_message: Callable[[LoggedMessage], None] | None = None
    """Called in the simulator's thread with every message that passes."""


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """A message that passed: `sent` is True if the simulator sent it."""

    sent: bool
    session: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that was read and refused below the application: by the dictionary, or because it is garbled."""

    session: str
    raw: str
    """As it came; empty if it is too long ago."""
    why: str


class _SessionLog(fix.Log):
    """What QuickFIX tells of a session: a message that it refuses reaches no callback, only its log."""

    def __init__(self, peer: Peer, session: str) -> None:
        super().__init__()
        # The engine never gives a log back, and must not keep the peer with it
        self._peer, self._session = weakref.proxy(peer), session
        self._read: deque[str] = deque(maxlen=_KEPT_READS)

    def clear(self) -> None:
        pass

    def backup(self) -> None:
        pass

    def onIncoming(self, raw: str) -> None:
        self._read.append(raw)

    def onOutgoing(self, raw: str) -> None:
        pass

    def onEvent(self, text: str) -> None:
        if refusal := _REFUSAL.fullmatch(text):
            number, why, garbled = refusal.groups()
            found = (raw for raw in reversed(self._read) if not number or f"{SOH}34={number}{SOH}" in raw)
            self._peer._refuse(RefusedMessage(self._session, next(found, ""), why if number else garbled))


class _LogFactory(fix.LogFactory):
    """Makes the log of each session."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer

    def create(self, *session_id: fix.SessionID) -> _SessionLog:
        log = _SessionLog(self._peer, session_id[0].toString() if session_id else "")
        # Left to do this, QuickFIX's wrapper would hand out a pointer that soon dangles
        log.__disown__()
        return log

    def destroy(self, log: fix.Log) -> None:
        pass


class _Callbacks(fix.Application):
    """QuickFIX callbacks: they take text and hand on; what goes wrong here is kept for the peer's thread to raise."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer

    def onCreate(self, session_id: fix.SessionID) -> None:
        pass

    def onLogon(self, session_id: fix.SessionID) -> None:
        self._guard(self._peer._logged_on, session_id.toString())

    def onLogout(self, session_id: fix.SessionID) -> None:
        self._guard(self._peer._logged_off, session_id.toString())

    def toAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        self._guard(self._peer._passed, True, session_id.toString(), message.toString())

    def fromAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        self._guard(self._peer._passed, False, session_id.toString(), message.toString())

    def toApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        name, raw = session_id.toString(), message.toString()
        if self._guard(self._peer._may_send, name, split_fields(raw)) is False:
            raise fix.DoNotSend()
        for tag, value in self._peer._header_extras:
            message.getHeader().setField(tag, value)
        self._guard(self._peer._passed, True, name, message.toString())

    def fromApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        self._guard(self._peer._passed, False, session_id.toString(), message.toString())

    def _guard(self, hook: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return hook(*arguments)
        except Exception as error:  # the engine would swallow it and go on serving nothing
            self._peer._failure = self._peer._failure or error
            return None


class Peer:
    """A FIX counterparty with one thread. Subclasses override the hooks `_received`, `_work` and `_may_send`."""

    def __init__(self, config: PeerConfig) -> None:
        if not config.sessions:
            raise ValueError("sessions: at least one is needed")
        self._sessions = {session.name: session for session in config.sessions}
        if len(self._sessions) != len(config.sessions):
            raise ValueError("sessions: two of them have the same identity")
        self._peer_config = config
        self._ids = {s.name: fix.SessionID(s.begin_string, s.sender_comp_id, s.target_comp_id) for s in config.sessions}
        self._changed = threading.Condition(threading.RLock())
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._inbox: deque[tuple[str, Fields]] = deque()
        self._header_extras: Fields = []
        self._logged: deque[LoggedMessage] = deque(maxlen=_KEPT_MESSAGES)
        self._refused: deque[RefusedMessage] = deque(maxlen=_KEPT_MESSAGES)
        self._online: set[str] = set()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._log: TextIO | None = None
        self._connect_at = 0.0
        """Monotonic time before which an initiator keeps still, s; infinite from a loss until it is made anew."""
        self.port = config.port

    # Use from any thread

    def start(self) -> Self:
        """Listen or begin to connect; OSError if the port cannot be had."""
        if self._thread:
            raise RuntimeError(f"{self} runs already")
        self._failure, self._stopping = None, False
        if self._peer_config.log_file:
            self._log = self._peer_config.log_file.open("a", encoding="utf-8")
        self._open_engine()
        self._thread = threading.Thread(target=self._run, name=str(self), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Log out, close and join; raises what ended the peer if something did."""
        if self._thread is None:
            return
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            raise TimeoutError(f"{self} did not stop in 10 s")
        self._thread = None
        self._destroy_engine()
        del self._keep
        if self._own_store:
            self._own_store.cleanup()
        if self._log:
            self._log.close()
            self._log = None
        self.check()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._sessions)})"

    def check(self) -> None:
        """Raise RuntimeError if an unexpected exception ended the peer."""
        if self._failure:
            raise RuntimeError(f"{self} failed: {self._failure!r}") from self._failure

    def wait_for(self, predicate: Callable[[], T], timeout: float = 15.0, what: str = "") -> T:
        """Wait until `predicate()` is true and return what it returned; TimeoutError after `timeout` seconds.

        It is called under the peer's lock, after every change: it should look and return, not wait.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (result := predicate()):
                self.check()
                left = deadline - time.monotonic()
                if left <= 0:
                    last = self._logged[-1] if self._logged else None
                    state = f"online: {sorted(self._online)}; last message: {last}"
                    raise TimeoutError(f"{self}: {what or 'condition'} not true in {timeout:g} s; {state}")
                self._changed.wait(left)
            return result

    def wait_logged_on(self, timeout: float = 15.0) -> None:
        """Wait until every session is logged on."""
        self.wait_for(lambda: len(self._online) == len(self._sessions), timeout, "logon of every session")

    @property
    def logged_on(self) -> frozenset[str]:
        """Names of the sessions that are logged on."""
        with self._changed:
            return frozenset(self._online)

    @property
    def log(self) -> list[LoggedMessage]:
        """All messages that passed, session messages included, oldest first (the last 200,000 are kept)."""
        with self._changed:
            return list(self._logged)

    @property
    def session_rejects(self) -> list[Fields]:
        """Session rejects (35=3) sent or received: a healthy conversation has none."""
        return [entry.fields for entry in self.log if first(entry.fields, 35) == "3"]

    @property
    def refused(self) -> list[RefusedMessage]:
        """What this side's strict dictionary refused and garbled messages, oldest first: of a sound peer there are
        none.
        """
        with self._changed:
            return list(self._refused)

    def drop_connections(self, allow_reconnect: bool = True) -> None:
        """Close every connection without a Logout; `allow_reconnect=False` refuses logons until `allow_logon()`."""

        def drop() -> None:
            for name in self._ids:
                self._session(name).disconnect()
                if not allow_reconnect:
                    self._session(name).logout()

        self._call(drop)

    def allow_logon(self) -> None:
        """Accept (or, as initiator, attempt) logons again."""
        self._call(lambda: [self._session(name).logon() for name in self._ids])

    def refuse_logon(self) -> None:
        """Log sessions out that are on, and refuse logons until `allow_logon()`."""
        self._call(lambda: [self._session(name).logout() for name in self._ids])

    # Hooks, called in the peer's thread

    def _received(self, session: str, fields: Fields) -> None:
        """An application message, or a session reject, came in."""

    def _work(self, now: float) -> None:
        """Do what is due at monotonic time `now` (s); called at least every millisecond."""

    def _may_send(self, session: str, fields: Fields) -> bool:
        """False keeps an application message from being sent, or resent (43=Y)."""
        return True

    def _session_changed(self, session: str, online: bool) -> None:
        """A session logged on or off."""

    # For subclasses, in the peer's thread only

    def _send(self, session: str, msg_type: str, body: Fields, header: Fields | None = None) -> bool:
        """Send a message; False if it was refused (see `_may_send`) or the session would only clear it at logon."""
        config = self._sessions[session]
        raw = SOH.join(f"{tag}={value}" for tag, value in [(8, config.begin_string), (9, "0"), (35, msg_type), *body])
        message = fix.Message(f"{raw}{SOH}10=000{SOH}", load_dictionary(config.dictionary_path), False)
        self._header_extras = header or []
        try:
            return bool(fix.Session.sendToTarget(message, self._ids[session]))
        finally:
            self._header_extras = []

    def _session(self, name: str) -> fix.Session:
        return fix.Session.lookupSession(self._ids[name])

    def _call(self, action: Callable[[], T]) -> T:
        """Run `action` in the peer's thread and return its result."""
        if threading.current_thread() is self._thread:
            return action()
        future: Future[T] = Future()
        with self._changed:
            self.check()
            if self._thread is None or self._stopping:
                raise RuntimeError(f"{self} is not running")
            self._commands.append((action, future))
            self._changed.notify_all()
        return future.result(timeout=_CALL_TIMEOUT_S)

    # The thread and the callbacks in it

    def _run(self) -> None:
        busy_until = 0.0
        try:
            while not self._stopping:
                if time.monotonic() >= self._connect_at:
                    self._engine.poll()
                self.check()
                if self._connect_at == math.inf:
                    self._renew_initiator()
                with self._changed:
                    if self._inbox or self._commands:
                        busy_until = time.monotonic() + _BUSY_FOR_S
                self._run_commands()
                with self._changed:
                    while self._inbox:
                        self._received(*self._inbox.popleft())
                    now = time.monotonic()
                    self._work(now)
                    if not self._commands:
                        self._changed.wait(_BUSY_S if now < busy_until else _IDLE_S)
            self._close_engine(graceful=True)
        except BaseException as error:
            self._failure = self._failure or error
            traceback.print_exception(self._failure, file=sys.stderr)
            self._close_engine(graceful=False)
        finally:
            with self._changed:
                for _, future in self._commands:
                    future.set_exception(RuntimeError(f"{self} stopped"))
                self._commands.clear()
                self._changed.notify_all()

    def _run_commands(self) -> None:
        while True:
            with self._changed:
                if not self._commands:
                    return
                action, future = self._commands.popleft()
            try:
                with self._changed:
                    result = action()
                future.set_result(result)
            except Exception as error:  # belongs to the caller, who gets it from the future
                future.set_exception(error)

    def _open_engine(self) -> None:
        config = self._peer_config
        self._callbacks = _Callbacks(self)
        self._connect_at = 0.0
        self._own_store = tempfile.TemporaryDirectory() if config.connect and not config.store_dir else None
        folder = self._own_store.name if self._own_store else config.store_dir
        store = fix.FileStoreFactory(str(folder)) if folder else fix.MemoryStoreFactory()
        for attempt in range(5):
            if not config.connect and not config.port:
                self.port = free_port(config.host)
            settings = fix.SessionSettings()
            settings.setFromString(self._settings_text())
            # QuickFIX keeps bare pointers to all of these
            self._keep = (store, settings, _LogFactory(self))
            self._engine = self._make_engine()
            try:
                self._engine.poll()
                return
            except fix.RuntimeError as error:
                self._destroy_engine()
                if config.connect or config.port or attempt == 4:
                    raise OSError(f"{self} cannot listen on {config.host}:{self.port}: {error}") from error

    def _make_engine(self) -> Any:
        engine_type = fix.SocketInitiator if self._peer_config.connect else fix.SocketAcceptor
        return engine_type(self._callbacks, *self._keep)

    def _destroy_engine(self) -> None:
        """Take the sessions out of QuickFIX's registry now, whoever still refers to the engine: of a session of
        the same name made later the registry would give the old one, and what is sent would go nowhere.
        """
        engine = self._engine
        del self._engine
        type(engine).__swig_destroy__(engine)

    def _renew_initiator(self) -> None:
        """Replace an initiator that lost its connection; the new one reads its sequence numbers from the store."""
        refused = [name for name in self._ids if not self._session(name).isEnabled()]
        for name in self._ids:
            self._session(name).disconnect()
        self._engine.stop(True)
        self._destroy_engine()
        self._engine = self._make_engine()
        for name in refused:
            self._session(name).logout()
        self._connect_at = time.monotonic() + _RECONNECT_S

    def _close_engine(self, graceful: bool) -> None:
        sessions = [self._session(name) for name in self._ids]
        if graceful:
            for session in sessions:
                session.logout()
            deadline = time.monotonic() + _LOGOUT_WAIT_S
            while self._online and time.monotonic() < deadline:
                self._engine.poll()
                time.sleep(_IDLE_S)
        for session in sessions:
            session.disconnect()
        self._engine.stop(True)

    def _settings_text(self) -> str:
        config = self._peer_config
        if config.connect:
            host, port = config.connect
            transport = f"ConnectionType=initiator\nSocketConnectHost={host}\nSocketConnectPort={port}"
        else:
            transport = f"ConnectionType=acceptor\nSocketAcceptHost={config.host}\nSocketAcceptPort={self.port}"
        lines = [
            f"[DEFAULT]\n{transport}\nNonStopSession=Y\nReconnectInterval=1\nLogonTimeout=5\nLogoutTimeout=1",
            "SocketNodelay=Y\nSocketReuseAddress=Y\nCheckLatency=N\nUseDataDictionary=Y\nTimestampPrecision=3",
        ]
        if config.store_dir:
            lines.append(f"FileStorePath={config.store_dir}")
        for s in self._sessions.values():
            lines.append(
                f"[SESSION]\nBeginString={s.begin_string}\nSenderCompID={s.sender_comp_id}\n"
                f"TargetCompID={s.target_comp_id}\nHeartBtInt={s.heartbeat_s}\n{s.dictionary_keys}\n"
                f"ResetOnLogon={_yes_no(s.reset_on_logon)}\nValidateUserDefinedFields={_yes_no(s.validate_user_fields)}"
            )
        return "\n".join(lines) + "\n"

    def _logged_on(self, session: str) -> None:
        with self._changed:
            self._online.add(session)
            self._session_changed(session, True)
            self._changed.notify_all()

    def _logged_off(self, session: str) -> None:
        with self._changed:
            self._online.discard(session)
            if self._peer_config.connect:
                self._connect_at = math.inf
            self._session_changed(session, False)
            self._changed.notify_all()

    def _refuse(self, message: RefusedMessage) -> None:
        with self._changed:
            self._refused.append(message)
            self._changed.notify_all()

    def _passed(self, sent: bool, session: str, raw: str) -> None:
        fields = split_fields(raw)
        if self._log:
            now = datetime.now(UTC).strftime("%Y%m%d-%H:%M:%S.%f")
            self._log.write(f"{now} : {raw}\n")
            self._log.flush()
        with self._changed:
            self._logged.append(LoggedMessage(sent, session, fields))
            if not sent and first(fields, 35) not in _UPKEEP_TYPES:
                self._inbox.append((session, fields))
            self._changed.notify_all()
        if self._peer_config.on_message:
            self._peer_config.on_message(self._logged[-1])


def _yes_no(flag: bool) -> str:
    return "Y" if flag else "N"
