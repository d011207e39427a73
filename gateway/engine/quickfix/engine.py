"""FIX sessions on QuickFIX. Callbacks only put events into the inbox; the core's thread does the rest and sends.

What QuickFIX would do wrong for a risk gateway, and what stands against it here:

- it reads the length of a data field unchecked, and ends the process: its dictionaries have no data fields, and the
  core gets the bytes of a message as they came (`raw`);
- it refuses what it cannot parse or finds invalid, which may be a fill: that goes to the core all the same, as does
  what it counts in silence; what it counts under the number of another is asked for (`callbacks`);
- an exception that leaves its own code ends the process: its loops run in threads of ours, which catch it;
- a message sent while logged off is stored and goes out after the next logon, and orders are sent again on a
  ResendRequest: `toApp` forbids both for everything a venue could trade on, and tells the core;
- an initiator never connects again after its own session closed the connection (`line`): it is made anew. Started
  again it would keep the old connection, and lose its Logon on any network that takes its time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
import time
from pathlib import Path
from typing import Any

import quickfix as fix
import structlog

from gateway import shipped
from gateway.config.sections import SessionSection
from gateway.core import events as ev
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE
from gateway.engine.engine import OrderPath, StartError, cl_ord_id_of, undelivered
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix.callbacks import NEVER_LATE, SOH, Application
from gateway.engine.quickfix.line import Line
from gateway.engine.quickfix.message_log import Hook, LogFactory, MessageLog
from gateway.engine.quickfix.peers import cut_connecting, is_listening, require_ports
from gateway.engine.quickfix.raw import storable
from gateway.engine.quickfix.security import Security, session_id
from gateway.engine.quickfix.store import StoreError, read_store, require_openable, sync_store
from gateway.engine.quickfix.tls import make_strict, tls_keys
from gateway.engine.quickfix.waiting import Waiting
from gateway.fix.dictionary import Dictionary, data_lengths, load_dictionary, widen
from gateway.ops.control import Command

LOGOUT_WAIT_S = 4.0  # more than LogoutTimeout and a turn of QuickFIX's loop, 1 s
LOGON_TIMEOUT_S = 5
LISTEN_WAIT_S = 10.0
STACK_BYTES = 128 << 20  # QuickFIX goes deeper with each message of the session layer that it takes behind a gap
AGAIN_S = 1.0  # between two starts of a venue's loop that failed, or two attempts to make its initiator
LAST_STORED = 100_000  # messages of a store that are searched for one of the last run
LAST_REPORTS = 10_000  # and for reports that an EMS has not had
SESSION_TAGS = (b"8", b"9", b"34", b"43", b"49", b"52", b"56", b"97", b"122", b"10")

log = structlog.get_logger()


def _key(message: bytes) -> tuple[bytes, ...]:
    """What tells one message from another: MsgType and ClOrdID of an order message, since our ids are used once; else
    all fields but those of the session layer, sorted.
    """
    fields = message.rstrip(b"\x01").split(b"\x01")
    if any(f"35={message_type}".encode() in fields for message_type in NEVER_LATE):
        return tuple(sorted(field for field in fields if field.startswith((b"35=", b"11="))))
    return tuple(sorted(field for field in fields if field.partition(b"=")[0] not in SESSION_TAGS))


def _for_quickfix(data: bytes) -> str:
    """Bytes as a text that QuickFIX gets as just these bytes. To be given to QuickFIX only.

    Its wrapper takes text, and hands on its UTF-8; there is no text whose UTF-8 is "\xe9" alone. CPython keeps a text
    of ASCII characters as its bytes, which the wrapper reads: so other bytes are put into such a text.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = "".join(["?"] * len(data))  # a text of its own, that nobody else has
        ctypes.memmove(id(text) + sys.getsizeof("") - 1, data, len(data))
        return text


def _readable(body: bytes) -> str:
    return body.replace(b"\x01", b"|").decode("utf-8", "replace")


def _nothing(_: str) -> None:
    return


def _shipped_path(begin_string: str) -> Path:
    return shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml"


@functools.cache
def _shipped(begin_string: str) -> Dictionary:
    """The dictionary of a FIX version."""
    return load_dictionary(_shipped_path(begin_string))


class QuickFixEngine:
    """The gateway's sessions: one acceptor for every EMS of a listening address, one initiator for each venue."""

    def __init__(self, sessions: list[SessionSection], folder: Path, inbox: Inbox) -> None:
        """Sessions of the config in their order; stores and logs go to `folder`. Raises ConfigError for certificates,
        credentials, addresses and ports that cannot be used.
        """
        require_ports(sessions)
        self._sessions = sessions
        self._folder = folder
        self._inbox = inbox
        self._security = Security(sessions, folder / "store")
        dictionaries = {begin_string: _shipped(begin_string) for begin_string in {s.begin_string for s in sessions}}
        self._data = {
            begin_string: {b"%d" % tag: b"%d" % length for tag, length in data_lengths(each).items()}
            for begin_string, each in dictionaries.items()
        }
        served = {str(begin_string): frozenset(each.messages) for begin_string, each in dictionaries.items()}
        self._application = Application(inbox, sessions, self._security, served)
        self._ids = self._application.session_ids
        self._dictionaries: list[fix.DataDictionary] = []
        self._factories: dict[int, list[Any]] = {}  # what QuickFIX uses and does not keep, as `_movers`
        self._movers: dict[int, Any] = {}  # acceptors and initiators by the row of their first session
        # Held while the initiator of a venue is made anew, and by who uses its session in another thread.
        self._swaps = {row: threading.Lock() for row, s in enumerate(sessions) if s.role == "initiator"}
        self._logs: dict[str, MessageLog] = {}  # by the text of the SessionID
        self._unsafe: set[int] = set()  # sessions whose store may lack what was sent
        self._stored: dict[int, set[tuple[bytes, ...]]] = {}  # keys of what their stores held before `start`
        self._stopping = threading.Event()
        self._ended: dict[str, Exception] = {}  # why QuickFIX's loop for a listening port has ended

    def prepare(self, last_in: list[int | None], path: OrderPath | None = None) -> list[int]:
        """Make the sessions; raises StartError with QuickFIX's reason when a setting cannot be used.

        `last_in` is the number of the last message of each session that was journaled: what came after it is asked for
        again, whatever QuickFIX says (it counts a message as seen as soon as its callback returns). None: not known,
        go on from where QuickFIX is. Returns the number of the last message of each session.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for begin_string in {section.begin_string for section in self._sessions}:
            widen(_shipped_path(begin_string), self._folder / f"wide-{_shipped_path(begin_string).name}")
        paths = [self._dictionary_path(section) for section in self._sessions]
        loaded = {path: fix.DataDictionary(str(path)) for path in set(paths)}
        self._dictionaries = [loaded[path] for path in paths]
        make_strict(self._sessions)
        self._security.hide_all_stored()
        listening: dict[str, list[SessionSection]] = {}
        for section in self._sessions:
            if section.listen is not None:
                listening.setdefault(section.listen, []).append(section)
        groups = list(listening.values())
        # Initiators share nothing: a venue that is slow to connect holds up no other.
        groups += [[s] for s in self._sessions if s.role == "initiator"]
        for group in groups:
            try:
                mover = self._make(group)
            except (fix.ConfigError, fix.RuntimeError) as error:
                raise StartError(f"session {group[0].id}: {error}") from error
            self._movers[self._sessions.index(group[0])] = mover
        for row, section in enumerate(self._sessions):
            if section.role == "acceptor" and not section.reset_on_logon:
                messages = self._messages_of_last_run(row, LAST_REPORTS)
                self._application.waiting[row] = Waiting.of_store(messages or {})
        return [self._expect(row, last) for row, last in enumerate(last_in)]

    def rests(self, row: int) -> str:
        """QuickFIX's sessions are always to be up."""
        return ""

    def start(self) -> None:
        """Listen and connect. Raises StartError with QuickFIX's reason when a port cannot be used; what fails later
        is put into the inbox.
        """
        threading.stack_size(STACK_BYTES)
        for row in self._movers:
            serve = self._serve_ems if self._sessions[row].role == "acceptor" else self._serve_venue
            threading.Thread(target=serve, args=(row,), daemon=True).start()
        threading.stack_size(0)
        deadline = time.monotonic() + LISTEN_WAIT_S
        for section in self._sessions:
            while section.listen is not None and not is_listening(section.listen):
                if section.id in self._ended or time.monotonic() > deadline:
                    raise StartError(f"session {section.id}: {self._ended.get(section.id, 'does not listen')}")
                time.sleep(0.001)

    def _serve_ems(self, row: int) -> None:
        """QuickFIX's loop for a listening port, which bears the name of its first session."""
        name = self._sessions[row].id
        try:
            self._movers[row].block()
        except Exception as error:
            self._ended[name] = error
            self._inbox.put(RuntimeError(f"session {name}: {error}"))

    def _serve_venue(self, row: int) -> None:
        """QuickFIX's loop for a venue: a new one when it was stopped for that; again when it failed on what came."""
        while not self._stopping.is_set():
            try:
                # Not `block()`: QuickFIX's wrapper never frees an exception that a callback raised, nor the frames that
                # it came by, and that of `block` holds the initiator.
                fix._quickfix.Initiator_block(self._movers[row])
            except Exception as error:
                text = f"QuickFIX fails on what the venue sent: {error}"
                log.error("alert", alert="session_failed", session=self._sessions[row].id, text=text)
                self._stopping.wait(AGAIN_S)
            else:
                self._replace(row)

    def _replace(self, row: int) -> None:
        """Make another initiator for a venue as soon as one can be made: the settings have worked before, so what is in
        the way (no descriptors, a full disk) may pass.
        """
        section = self._sessions[row]
        failing = False
        while not self._stopping.is_set():
            try:
                self._swap(row)
                return
            except Exception as error:
                why = f"the session cannot be made: {error}"
                self.connections[row].note_failure(why)
                if not failing:
                    text = f"{why}; this is tried again every {AGAIN_S:g} s"
                    log.error("alert", alert="session_not_made", session=section.id, text=text)
                failing = True
                self._stopping.wait(AGAIN_S)

    def _swap(self, row: int) -> None:
        section = self._sessions[row]
        require_openable(self._folder / "store", section.begin_string, section.sender_comp_id, section.target_comp_id)
        with self._swaps[row]:
            # No other reference is left: its connections and its session go with it.
            self._movers.pop(row, None)
            self._movers[row] = self._make([section])

    def _expect(self, row: int, last: int | None) -> int:
        """Set the number of the next message of a session that has not started; returns the one before it."""
        session = fix.Session.lookupSession(self._ids[row])
        known = session.getExpectedTargetNum()
        next_sender = session.getExpectedSenderNum()
        if (last is not None and last > known) or next_sender == 1:
            # QuickFIX's store has lost its end or began anew: nothing can be inferred from it.
            self._unsafe.add(row)
        if last is not None and last > known:
            next_sender = sys.maxsize
        elif last is not None and last + 1 < known and not self._sessions[row].reset_on_logon:
            session.setNextTargetMsgSeqNum(last + 1)
        self._application.next_sender[row] = next_sender
        return int(session.getExpectedTargetNum()) - 1

    def tick(self) -> None:
        """Send the TestRequests that are due, and look after connections and passwords; call it every so often, from
        the thread that sends.
        """
        self._security.tick()
        self._look_after_venues()
        if any([raw.have_passed() for raw in self._application.raw]):
            # The C library keeps what was freed in pieces: a peer could make the process grow for good.
            ctypes.CDLL(None).malloc_trim(0)
        for row, fence in list(self._application.fences.items()):
            test_req_id = fence.test_request()
            if test_req_id is not None:
                message = fix.Message()
                message.getHeader().setField(35, "1")
                message.setField(112, test_req_id)
                with self._swaps[row], contextlib.suppress(fix.SessionNotFound):
                    fix.Session.sendToTarget(message, self._ids[row])

    def settle_unsent(self, outputs: list[Output], rebooted: bool) -> list[Output | Event]:
        """What must be done about outputs of the last run, by what QuickFIX stored before it sent: reports that may
        not have gone out are sent, marked where they may have; an order is never sent, the core refuses one that
        surely never left. To be asked before `start`: a session that begins anew empties its store.
        """
        settled: list[Output | Event] = []
        for output in outputs:
            if output.session == NONE:
                settled.append(output)  # an alert, which is no message
                continue
            stored = self._was_stored(output)
            perhaps_sent = stored is None or rebooted
            if stored:
                continue
            if self._sessions[output.session].role == "acceptor":
                body = b"97=Y\x01" + output.body if perhaps_sent else output.body
                settled.append(Output(output.session, output.message_type, body))
            elif not perhaps_sent and output.message_type in NEVER_LATE:
                settled.append(undelivered(output.session, cl_ord_id_of(output.body), "", ev.INFERRED))
        return settled

    def _was_stored(self, output: Output) -> bool | None:
        """Whether a message of the last run is among the last that QuickFIX stored; None: unknown."""
        session = output.session
        if session in self._unsafe:
            return None
        if session not in self._stored:
            messages = self._messages_of_last_run(session, LAST_STORED)
            if messages is None:
                self._unsafe.add(session)
                return None
            self._stored[session] = {_key(message) for message in messages.values()}
        return _key(f"35={output.message_type}{SOH}".encode() + output.body) in self._stored[session]

    def _messages_of_last_run(self, row: int, last: int) -> dict[int, bytes] | None:
        """The latest messages of a session's store by their numbers, None if it cannot be read."""
        section = self._sessions[row]
        names = (section.begin_string, section.sender_comp_id, section.target_comp_id)
        try:
            store = read_store(self._folder / "store", *names, last=last)
        except StoreError as error:
            log.error("QuickFIX's store cannot be read, nothing is inferred from it", why=str(error))
            return None
        return store.sent if store else {}

    def sync(self) -> None:
        """Put the stores on disk."""
        if (self._folder / "store").exists():
            sync_store(self._folder / "store")

    def log_out(self, role: str) -> None:
        """Log the sessions of a role ("initiator": venues, "acceptor": EMS) out for good.

        QuickFIX's threads go on, so the process must end by `os._exit` (`cli.run`): its own stop frees the acceptor's
        server in two threads at once, which now and then crashes. What is sent to an EMS afterwards is stored for it.
        """
        self._stopping.set()
        rows = {row for row, section in enumerate(self._sessions) if section.role == role}
        for row in rows:
            with self._swaps.get(row, contextlib.nullcontext()):
                session = fix.Session.lookupSession(self._ids[row])
                if session is not None:  # None: `start` did not get that far
                    session.logout()
        deadline = time.monotonic() + LOGOUT_WAIT_S
        while not rows.isdisjoint(self._application.logged_on) and time.monotonic() < deadline:
            time.sleep(0.01)

    @property
    def connections(self) -> dict[int, Line]:
        """How the connection to each venue stands, by row."""
        return self._application.lines

    def _look_after_venues(self) -> None:
        """Make QuickFIX try again where it would not."""
        if self._stopping.is_set():
            return
        for row, line in self.connections.items():
            if line.is_stuck():
                line.note_start()
                self._make_anew(row)
            elif line.hangs():
                line.note_start()
                # While a socket is on its way no initiator is given up: nobody would close it. Where there is none,
                # QuickFIX could make none, and waits for it for ever.
                if not cut_connecting() and line.starts > 1:
                    self._make_anew(row)

    def _make_anew(self, row: int) -> None:
        """Have a venue's thread end its loop, and make another initiator."""
        if self._swaps[row].acquire(blocking=False):
            try:
                if row in self._movers:
                    fix.Session.lookupSession(self._ids[row]).logout()  # it sends no Logon meanwhile
                    self._movers[row].stop(True)
            finally:
                self._swaps[row].release()

    def refuse(self, output: Output) -> Event | None:
        """The UNDELIVERED event of an order or replace that is not to be sent; None for what always goes."""
        if output.message_type in ("D", "G") and self._sessions[output.session].role == "initiator":
            return undelivered(output.session, cl_ord_id_of(output.body), "")
        return None

    def get(self, timeout_s: float) -> Event | Command | None:
        """The next event or command, None after `timeout_s` without one or when woken; raises an error that was put."""
        return self._inbox.get(timeout_s)

    @property
    def waiting(self) -> bool:
        """Whether `get` has something at once."""
        return self._inbox.waiting > 0

    def send(self, output: Output) -> Event | None:
        """Send a message: its body is the fields after the header; QuickFIX adds header and trailer.

        Returns the UNDELIVERED event of an order message that could not go out now. Raises RuntimeError when the
        message could not be stored, on a full disk for instance: it is lost otherwise.
        """
        session, message_type, body = output.session, output.message_type, output.body
        section = self._sessions[session]
        application = self._application
        if section.reset_on_logon and session not in application.logged_on:
            return self._not_kept(session, message_type, body)
        head = f"8={section.begin_string}{SOH}9=0{SOH}35={message_type}{SOH}".encode()
        text = _for_quickfix(head + storable(body, self._data[section.begin_string]) + b"10=000\x01")
        try:
            message = fix.Message(text, self._dictionaries[session], False)
        except fix.InvalidMessage as error:
            # Nothing that can be sent. Ending the process would not help: the next start would be given it again.
            log.critical(
                "a message is no FIX and is not sent", session=section.id, why=str(error), text=_readable(body)
            )
            is_order = section.role == "initiator" and message_type in NEVER_LATE
            return undelivered(session, cl_ord_id_of(body), "") if is_order else None
        application.declined = ""
        try:
            with self._swaps.get(session, contextlib.nullcontext()):
                stored = fix.Session.sendToTarget(message, self._ids[session])
        except fix.SessionNotFound:  # its initiator cannot be made at present
            return self._not_kept(session, message_type, body)
        if not stored and not application.declined:
            raise RuntimeError(f"session {section.id}: a message could not be stored, see {self._folder / 'log'}")
        if application.declined and message_type in NEVER_LATE:
            return undelivered(session, application.declined, "")
        return None

    def _not_kept(self, session: int, message_type: str, body: bytes) -> Event | None:
        """Nothing can be kept for a peer that is off and forgets its numbers (QuickFIX takes it for a full disk), nor
        for one whose session cannot be made.
        """
        section = self._sessions[session]
        if section.role == "initiator" and message_type in NEVER_LATE:
            return undelivered(session, cl_ord_id_of(body), "")
        log.warning("not sent and not kept, the peer is off", session=section.id, text=_readable(body))
        return None

    def _make(self, group: list[SessionSection]) -> Any:
        kinds = {
            ("acceptor", False): fix.SocketAcceptor,
            ("acceptor", True): fix.SSLSocketAcceptor,
            ("initiator", False): fix.SocketInitiator,
            ("initiator", True): fix.SSLSocketInitiator,
        }
        settings = fix.SessionSettings()
        defaults = fix.Dictionary()
        defaults.setString("SocketNodelay", "Y")  # an initiator looks for it here only
        for key, value in tls_keys(group[0]).items():
            defaults.setString(key, value)
        settings.set(defaults)
        for section in group:
            dictionary = fix.Dictionary()
            for key, value in self._keys(section).items():
                dictionary.setString(key, value)
            settings.set(session_id(section), dictionary)
        store = fix.FileStoreFactory(str(self._folder / "store"))
        logs = LogFactory(self._folder / "log", self._make_log)
        self._factories[self._sessions.index(group[0])] = [settings, store, logs]
        return kinds[group[0].role, group[0].tls is not None](self._application, store, settings, logs)

    def _make_log(self, prefix: Path, name: str) -> MessageLog:
        """The log of a session, by the text of its SessionID, or ("") of what belongs to none; one for each."""
        if name not in self._logs:
            self._logs[name] = self._new_log(prefix, name)
        return self._logs[name]

    def _new_log(self, prefix: Path, name: str) -> MessageLog:
        row = self._application.rows.get(name)
        if row is None:
            return MessageLog(prefix, _nothing, _nothing, self._guarded(self._security.said))
        application, security = self._application, self._security

        def came(text: str) -> None:
            application.came(row, text)
            security.came(row, text)

        incoming, outgoing = self._guarded(came), self._guarded(lambda text: security.sent(row, text))
        return MessageLog(prefix, incoming, outgoing, self._guarded(lambda text: application.said(row, text)))

    def _guarded(self, hook: Hook) -> Hook:
        """A hook whose error ends the process, as QuickFIX would, but by way of the core's thread."""

        def guard(text: str) -> None:
            try:
                hook(text)
            except Exception as error:
                self._inbox.put(error)

        return guard

    def _dictionary_path(self, section: SessionSection) -> Path:
        """A wide dictionary: QuickFIX needs one for groups, but what a message may hold is for the core to judge, which
        lets every fill of a venue and every cancel of an EMS through.
        """
        return self._folder / f"wide-{_shipped_path(section.begin_string).name}"

    def _keys(self, section: SessionSection) -> dict[str, str]:
        venue = section.role == "initiator"
        host, _, port = (section.connect or section.listen or "").rpartition(":")
        keys = {
            "ConnectionType": section.role,
            "NonStopSession": "Y",
            "HeartBtInt": str(section.heartbeat),
            "ResetOnLogon": "Y" if section.reset_on_logon else "N",
            "UseDataDictionary": "Y",
            "PreserveMessageFieldsOrder": "N",
            "ValidateUserDefinedFields": "N",
            "ValidateFieldsOutOfOrder": "N",
            "ValidateFieldsHaveValues": "N",
            "AllowUnknownMsgFields": "Y",
            "TimestampPrecision": "3",
            "LogonTimeout": str(LOGON_TIMEOUT_S),
            "LogoutTimeout": "2",
        }
        path = str(self._dictionary_path(section))
        if section.begin_string == "FIXT.1.1":
            keys |= {"TransportDataDictionary": path, "AppDataDictionary": path, "DefaultApplVerID": "FIX.5.0SP2"}
        else:
            keys["DataDictionary"] = path
        if venue:
            keys |= {"SocketConnectHost": host, "SocketConnectPort": port, "ReconnectInterval": str(section.reconnect)}
            keys["CheckLatency"] = "N"  # a fill is a fill, however late
        else:
            keys |= {"SocketAcceptHost": host, "SocketAcceptPort": port, "SocketReuseAddress": "Y"}
        return keys
