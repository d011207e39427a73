"""FIX sessions on QuickFIX. Callbacks only put events into the inbox; the core's thread does the rest and sends.

What QuickFIX would do wrong for a risk gateway, and what stands against it here:

- an exception that leaves a callback makes a process that serves nothing: every callback is guarded, and the first
  error ends the process;
- a message object dangles after its callback: its text is taken at once;
- onLogout runs under the session's lock, so sending from it can deadlock: no callback sends;
- a message sent while logged off is stored and goes out after the next logon, and orders are sent again on a
  ResendRequest: `toApp` forbids both for everything a venue could trade on, and tells the core;
- an initiator never connects again after its own session closed the connection (a Logout, a timeout), only after the
  peer did: one that stays down is started anew.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quickfix as fix
import structlog

from gateway import shipped
from gateway.config import SessionSection
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.engine.fields import bytes_of, is_again, number_of, text_of
from gateway.engine.inbox import Inbox
from gateway.engine.message_log import LogFactory
from gateway.engine.security import Security
from gateway.engine.security import session_id as _session_id
from gateway.engine.store import StoreError, read_store
from gateway.engine.tls import make_strict, tls_keys
from gateway.engine.waiting import REPORTS, Waiting
from gateway.fix.dictionary import widen

LOGOUT_WAIT_S = 4.0  # more than LogoutTimeout and a turn of QuickFIX's loop, 1 s
LOGON_TIMEOUT_S = 5
MAX_REMEMBERED = 100_000  # children that a Reject of their venue can still name
MAX_TEXT = 1000  # characters of a Reject's Text(58): the core takes no event that is longer than a message
LAST_RESORT_S = 20.0  # from a failed callback to the end of the process
NEVER_LATE = ("D", "F", "G")  # what must reach a venue now or not at all
NOT_KEPT = ("H", "V", "q")  # requests that the core makes anew; a mass cancel that came late would hit new orders
FENCE_EVERY_S = 1.0  # a TestRequest can be lost under gap fills, so it is sent again, with another id
LAST_STORED = 100_000  # messages of a store that are searched for one of the last run
LAST_REPORTS = 10_000  # and for reports that an EMS has not had
SESSION_TAGS = (b"8", b"9", b"34", b"43", b"49", b"52", b"56", b"97", b"122", b"10")
SOH = "\x01"

log = structlog.get_logger()


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback whose error reaches the core's thread, which ends the process, instead of QuickFIX's."""

    @functools.wraps(callback)
    def guard(self: _Application, *args: Any) -> None:
        if self.failed and callback.__name__ in ("fromApp", "fromAdmin", "onLogon"):
            return  # what came behind a message that was lost here must not be counted: it is asked for again
        try:
            callback(self, *args)
        except (fix.DoNotSend, fix.RejectLogon, fix.IncorrectTagValue):
            raise
        except Exception as error:
            if not self.failed:
                # The core's thread may hang, and take no error either.
                last_resort = threading.Timer(LAST_RESORT_S, os._exit, [70])
                last_resort.daemon = True
                last_resort.start()
            self.failed = True
            self.inbox.put(error)

    return guard


class _Fence:
    """TestRequests sent since a logon. An answer proves that the peer has resent what we missed and asked for what it
    missed: both are done in order of the sequence numbers.
    """

    def __init__(self, logon_ns: int) -> None:
        self.prefix = f"TIDEGATE-{logon_ns}-"
        self.count = 0
        self.next_s = 0.0

    def test_request(self) -> str | None:
        """TestReqID(112) of a TestRequest to send now, None when it is not time."""
        if time.monotonic() < self.next_s:
            return None
        self.next_s = time.monotonic() + FENCE_EVERY_S
        self.count += 1
        return f"{self.prefix}{self.count}"

    def answered_by(self, heartbeat: fix.Message) -> bool:
        """Whether a Heartbeat answers one of these TestRequests."""
        return bool(heartbeat.isSetField(112) and heartbeat.getField(112).startswith(self.prefix))


class _Application(fix.Application):
    """QuickFIX's callbacks."""

    def __init__(
        self,
        inbox: Inbox,
        sessions: list[SessionSection],
        security: Security,
        venue_lost: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.security = security
        self.venue_lost = venue_lost
        self.inbox = inbox
        self.rows = {_session_id(s).toString(): row for row, s in enumerate(sessions)}
        self.names = [section.id for section in sessions]
        self.venues = {row for row, s in enumerate(sessions) if s.role == "initiator"}
        self.logged_on: set[int] = set()
        self.sent: dict[int, dict[int, str]] = {row: {} for row in self.venues}  # ClOrdID of a child by its MsgSeqNum
        self.waiting: dict[int, Waiting] = {row: Waiting() for row in range(len(sessions))}
        self.declined = ""  # ClOrdID or MsgType of the last message if `toApp` kept it from being sent
        self.failed = False  # a callback has failed, and the process is about to end
        self.next_sender: dict[int, int] = {}  # number of our next message when the session was last off
        self.logon_seq: dict[int, int] = {}  # MsgSeqNum of our last Logon
        self.fences: dict[int, _Fence] = {}  # venues that have not answered a TestRequest since logon

    def _tell_logout(self, row: int, by: str, text: str) -> None:
        log.warning("logout", session=self.names[row], by=by, text=text)

    def _alert(self, row: int, what: str, message: fix.Message) -> None:
        log.error("alert", session=self.names[row], text=f"{what}: {message.toString().replace(SOH, '|')}")

    def _refused(self, row: int, reject: fix.Message) -> None:
        """A venue refuses the message that RefSeqNum(45) names, which the core knows by its ClOrdID only."""
        number = number_of(reject, 45)
        of_order = text_of(reject, 372) in ("", *NEVER_LATE)
        cl_ord_id = self.sent[row].get(number) if of_order and number is not None else None
        if cl_ord_id is None:
            self._alert(row, "reject of a message that is not known", reject)
        else:
            text = text_of(reject, 58)[:MAX_TEXT] or "refused without a reason"
            self.inbox.put(_undelivered(row, cl_ord_id, text))

    def _note_sent(self, row: int, number: int, cl_ord_id: str) -> None:
        """Remember which order message has a number, "" for any other message; under the session's lock."""
        sent = self.sent[row]
        while sent and next(reversed(sent)) >= number:
            sent.popitem()  # our numbers have begun anew, and these name nothing any more
        if cl_ord_id:
            sent[number] = cl_ord_id
        if len(sent) > MAX_REMEMBERED:
            del sent[next(iter(sent))]

    def _tell_lost(self, row: int, logon: int) -> None:
        """Our Logon has this number: reports that wait with a higher one were in the store before it was emptied."""
        waiting, self.waiting[row] = self.waiting[row], Waiting()
        if waiting.count and waiting.last >= logon:
            log.error(
                "the EMS began its numbers anew and may never have got reports, it must ask with OrderStatusRequest(H)",
                session=self.names[row],
                reports=waiting.count,
                cl_ord_ids=waiting.cl_ord_ids,
            )

    @_guarded
    def onCreate(self, session_id: fix.SessionID) -> None:
        """Nothing to do: sessions are known from the config."""

    @_guarded
    def onLogon(self, session_id: fix.SessionID) -> None:
        """The session is up; what the peer has to resend comes after this."""
        row = self.rows[session_id.toString()]
        self.logged_on.add(row)
        continued = self.logon_seq.get(row, 1) >= self.next_sender.get(row, 1)
        # A Logon with a lower number than this, without a logout before it, begins anew.
        self.next_sender[row] = fix.Session.lookupSession(session_id).getExpectedSenderNum()
        self.inbox.put(Event(a.LOGON, 0, row, value=(a.CONTINUED if continued else a.RESET,)))
        if row in self.venues:
            self.fences[row] = _Fence(time.time_ns())

    @_guarded
    def onLogout(self, session_id: fix.SessionID) -> None:
        """The session is down, by Logout or by loss of the connection; also called for a failed logon."""
        row = self.rows[session_id.toString()]
        self.fences.pop(row, None)
        if row in self.logged_on:
            self.logged_on.discard(row)
            self.waiting[row] = Waiting()
            self.next_sender[row] = fix.Session.lookupSession(session_id).getExpectedSenderNum()
            self.inbox.put(Event(a.LOGOUT, 0, row))
        if row in self.venues:
            self.venue_lost(row)

    @_guarded
    def toAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """A Reject(3) to a venue is of a message that QuickFIX could not take, and which the core will not see."""
        row = self.rows[session_id.toString()]
        header = message.getHeader()
        message_type = header.getField(35)
        number = int(header.getField(34))
        if row in self.venues and not is_again(header):
            self._note_sent(row, number, "")
        if message_type == "5" and message.isSetField(58):
            self._tell_logout(row, "us", message.getField(58))
        if message_type == "A":
            self.security.complete_logon(row, message)
            self.logon_seq[row] = number
            self._tell_lost(row, number)
        elif message_type == "3" and row in self.venues:
            self.inbox.put(Event(a.UNREAD, 0, row, data=bytes_of(message)))

    @_guarded
    def fromAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """What the session layer says that matters to orders: rejects, resets, the answer to a TestRequest."""
        row = self.rows[session_id.toString()]
        message_type = message.getHeader().getField(35)
        if message_type == "A" and (why := self.security.refusal(row)):
            raise fix.RejectLogon(why)
        if message_type in ("3", "5"):
            _keep_gap(message, session_id)
        if message_type == "5" and message.isSetField(58):
            self._tell_logout(row, "the peer", message.getField(58))
            if row not in self.logged_on and "too low" in message.getField(58):
                # It has had messages of ours that we know nothing of: a logon that it takes in the end proves nothing.
                self.next_sender[row] = sys.maxsize
        if message_type == "3":
            if row in self.venues:
                self._refused(row, message)
            else:
                self._alert(row, "the EMS refuses a message of ours", message)
        elif message_type == "4":
            self._on_sequence_reset(row, message)
        elif message_type == "0" and row in self.fences and self.fences[row].answered_by(message):
            del self.fences[row]
            self.inbox.put(Event(a.SYNCED, 0, row))

    def _on_sequence_reset(self, row: int, message: fix.Message) -> None:
        new_seq_no = number_of(message, 36)
        if not new_seq_no:
            raise fix.IncorrectTagValue(36)  # QuickFIX rejects it; it would take numbers that nobody can count on from
        if text_of(message, 123) != "Y":
            # Without GapFillFlag it skips messages that nobody has seen.
            self.inbox.put(Event(a.LOGON, 0, row, new_seq_no - 1, value=(a.RESET,)))

    @_guarded
    def toApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """The last word before an application message is stored and sent: no order late, no order twice."""
        row = self.rows[session_id.toString()]
        header = message.getHeader()
        message_type = header.getField(35)
        again = is_again(header)
        if row not in self.venues:
            if row not in self.logged_on and not again and message_type in REPORTS:
                self.waiting[row].add(int(header.getField(34)), text_of(message, 11))
            return
        if message_type == "j":
            self.inbox.put(Event(a.UNREAD, 0, row, data=bytes_of(message)))
        if message_type not in NEVER_LATE + NOT_KEPT:
            return
        cl_ord_id = message.getField(11) if message_type in NEVER_LATE else ""
        if again or row not in self.logged_on:
            # Only the core's thread sends new messages; resends are QuickFIX's.
            if not again:
                self.declined = cl_ord_id or message_type
            elif cl_ord_id:
                self.inbox.put(_undelivered(row, cl_ord_id, ""))
            raise fix.DoNotSend
        self._note_sent(row, int(header.getField(34)), cl_ord_id)

    @_guarded
    def fromApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """An application message: its bytes, for the core."""
        header = message.getHeader()
        poss_dup = is_again(header)
        row = self.rows[session_id.toString()]
        seq = int(header.getField(34))  # QuickFIX has compared it with the number that it expects
        if row in self.venues and header.getField(35) == "j" and _names_by_number(message):
            self._refused(row, message)
            return
        self.inbox.put_message(Event(a.MESSAGE, time.monotonic_ns(), row, seq, poss_dup, bytes_of(message)))


def _names_by_number(reject: fix.Message) -> bool:
    """Whether a BusinessMessageReject is of an order message that it names by RefSeqNum(45) alone."""
    return text_of(reject, 372) in NEVER_LATE and reject.isSetField(45) and not reject.isSetField(379)


def _keep_gap(message: fix.Message, session_id: fix.SessionID) -> None:
    """QuickFIX counts a Reject or Logout that comes ahead of a gap, and would drop the gap's first message as seen."""
    session = fix.Session.lookupSession(session_id)
    expected = session.getExpectedTargetNum()
    if (number_of(message.getHeader(), 34) or 0) > expected:
        session.setNextTargetMsgSeqNum(expected - 1)


def _undelivered(row: int, cl_ord_id: str, text: str, evidence: int = a.SAID) -> Event:
    fields = f"11={cl_ord_id}{SOH}" + (f"58={text}{SOH}" if text else "")
    return Event(a.UNDELIVERED, 0, row, data=fields.encode("utf-8", "surrogateescape"), value=(evidence,))


def _key(message: bytes) -> tuple[bytes, ...]:
    """What tells one message from another: MsgType and ClOrdID of an order message, since our ids are used once; else
    all fields but those of the session layer, sorted.
    """
    fields = message.rstrip(b"\x01").split(b"\x01")
    if any(f"35={message_type}".encode() in fields for message_type in NEVER_LATE):
        return tuple(sorted(field for field in fields if field.startswith((b"35=", b"11="))))
    return tuple(sorted(field for field in fields if field.partition(b"=")[0] not in SESSION_TAGS))


def _cl_ord_id(body: bytes) -> str:
    """ClOrdID(11) of an order message."""
    return next(field[3:].decode() for field in body.split(b"\x01") if field.startswith(b"11="))


def _text_of(body: bytes) -> str:
    """A body as it goes to QuickFIX, whose strings are UTF-8."""
    return body.decode("utf-8", "replace")


class QuickFixEngine:
    """The gateway's sessions: one acceptor for every EMS of a listening address, one initiator for each venue."""

    def __init__(self, sessions: list[SessionSection], folder: Path, inbox: Inbox) -> None:
        """Sessions of the config in their order; stores and logs go to `folder`. Raises ConfigError for certificates,
        credentials and addresses that cannot be used.
        """
        self._sessions = sessions
        self._folder = folder
        self._inbox = inbox
        self._security = Security(sessions, folder / "store", inbox.put)
        self._application = _Application(inbox, sessions, self._security, self._revive_later)
        self._ids = [_session_id(s) for s in sessions]
        self._dictionaries: list[fix.DataDictionary] = []
        self._factories: list[Any] = []
        self._movers: dict[str, Any] = {}  # by the id of their first session
        self._initiators: dict[int, Any] = {}
        self._unsafe: set[int] = set()  # sessions whose store may lack what was sent
        self._stored: dict[int, set[tuple[bytes, ...]]] = {}  # keys of what their stores held before `start`
        self._reviving: set[int] = set()
        self._stopping = False

    def prepare(self, last_in: list[int | None]) -> list[int]:
        """Make the sessions; raises RuntimeError with QuickFIX's reason when a setting cannot be used.

        `last_in` is the number of the last message of each session that was journaled: what came after it is asked for
        again, whatever QuickFIX says (it counts a message as seen as soon as its callback returns). None: not known,
        go on from where QuickFIX is. Returns the number of the last message of each session.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for begin_string in {section.begin_string for section in self._sessions}:
            name = begin_string.replace(".", "") + ".xml"
            widen(shipped("fix_specs") / name, self._folder / f"wide-{name}")
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
                raise RuntimeError(f"session {group[0].id}: {error}") from error
            self._movers[group[0].id] = mover
            if group[0].role == "initiator":
                self._initiators[self._sessions.index(group[0])] = mover
        for row, section in enumerate(self._sessions):
            if section.role == "acceptor" and not section.reset_on_logon:
                messages = self._messages_of_last_run(row, LAST_REPORTS)
                self._application.waiting[row] = Waiting.of_store(messages or {})
        return [self._expect(row, last) for row, last in enumerate(last_in)]

    def start(self) -> None:
        """Listen and connect; raises RuntimeError with QuickFIX's reason when a port cannot be used."""
        for name, mover in self._movers.items():
            try:
                mover.start()
            except (fix.ConfigError, fix.RuntimeError) as error:
                raise RuntimeError(f"session {name}: {error}") from error

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
        for row, fence in list(self._application.fences.items()):
            test_req_id = fence.test_request()
            if test_req_id is not None:
                message = fix.Message()
                message.getHeader().setField(35, "1")
                message.setField(112, test_req_id)
                fix.Session.sendToTarget(message, self._ids[row])

    def was_stored(self, session: int, message_type: str, body: bytes) -> bool | None:
        """Whether a message of the last run is among the last that QuickFIX stored before it sent them; None: unknown.

        To be asked before `start`: a session that begins anew empties its store.
        """
        if session in self._unsafe:
            return None
        if session not in self._stored:
            messages = self._messages_of_last_run(session, LAST_STORED)
            if messages is None:
                self._unsafe.add(session)
                return None
            self._stored[session] = {_key(message) for message in messages.values()}
        return _key(f"35={message_type}{SOH}{_text_of(body)}".encode()) in self._stored[session]

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

    def never_sent(self, session: int, message_type: str, body: bytes) -> Event | None:
        """The event that tells the core that an order message of the last run never reached its venue."""
        if message_type not in NEVER_LATE:
            return None
        return _undelivered(session, _cl_ord_id(body), "", a.INFERRED)

    def log_out(self, role: str) -> None:
        """Log the sessions of a role ("initiator": venues, "acceptor": EMS) out for good.

        QuickFIX's threads go on, so the process must end by `os._exit` (`cli.run`): its own stop frees the acceptor's
        server in two threads at once, which now and then crashes. What is sent to an EMS afterwards is stored for it.
        """
        self._stopping = True
        rows = {row for row, section in enumerate(self._sessions) if section.role == role}
        for row in rows:
            session = fix.Session.lookupSession(self._ids[row])
            if session is not None:  # None: `start` did not get that far
                session.logout()
        deadline = time.monotonic() + LOGOUT_WAIT_S
        while not rows.isdisjoint(self._application.logged_on) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _revive_later(self, row: int) -> None:
        """Look after a venue that was lost when it should long be back; called under its session's lock."""
        if row in self._reviving:
            return
        self._reviving.add(row)
        timer = threading.Timer(self._sessions[row].reconnect + LOGON_TIMEOUT_S + 1, self._revive, [row])
        timer.daemon = True
        timer.start()

    def _revive(self, row: int) -> None:
        """Start the initiator of a venue that is still off anew; what fails in this timer's thread ends the process."""
        self._reviving.discard(row)
        if self._stopping or row in self._application.logged_on:
            return
        try:
            self._initiators[row].stop()
            # Forgets a Logon that was sent into nothing; its onLogout sees to it that the venue is looked after again
            fix.Session.lookupSession(self._ids[row]).disconnect()
            self._initiators[row].start()
        except Exception as error:
            self._inbox.put(error)

    def refuse(self, session: int, message_type: str, body: bytes) -> Event | None:
        """The UNDELIVERED event of an order or replace that is not to be sent; None for what always goes."""
        if message_type in ("D", "G") and self._sessions[session].role == "initiator":
            return _undelivered(session, _cl_ord_id(body), "")
        return None

    def send(self, session: int, message_type: str, body: bytes) -> Event | None:
        """Send a message: `body` is its fields after the header; QuickFIX adds header and trailer.

        Returns the UNDELIVERED event of an order message that could not go out now. Raises RuntimeError when the
        message could not be stored, on a full disk for instance: it is lost otherwise.
        """
        section = self._sessions[session]
        application = self._application
        fields = _text_of(body)
        if section.reset_on_logon and session not in application.logged_on:
            return self._not_kept(session, message_type, body)
        text = f"8={section.begin_string}{SOH}9=0{SOH}35={message_type}{SOH}{fields}10=000{SOH}"
        try:
            message = fix.Message(text, self._dictionaries[session], False)
        except fix.InvalidMessage as error:
            # Nothing that can be sent. Ending the process would not help: the next start would be given it again.
            log.critical("a message is no FIX and is not sent", session=section.id, why=str(error), text=text)
            is_order = section.role == "initiator" and message_type in NEVER_LATE
            return _undelivered(session, _cl_ord_id(body), "") if is_order else None
        application.declined = ""
        if not fix.Session.sendToTarget(message, self._ids[session]) and not application.declined:
            raise RuntimeError(f"session {section.id}: a message could not be stored, see {self._folder / 'log'}")
        if application.declined and message_type in NEVER_LATE:
            return _undelivered(session, application.declined, "")
        return None

    def _not_kept(self, session: int, message_type: str, body: bytes) -> Event | None:
        """Nothing can be kept for a peer that is off and forgets its numbers; QuickFIX takes it for a full disk."""
        section = self._sessions[session]
        if section.role == "initiator" and message_type in NEVER_LATE:
            return _undelivered(session, _cl_ord_id(body), "")
        log.warning("not sent, the peer is off and resets its numbers", session=section.id, text=_text_of(body))
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
            settings.set(_session_id(section), dictionary)
        store = fix.FileStoreFactory(str(self._folder / "store"))
        logs = LogFactory(self._folder / "log", self._security.make_log)
        self._factories += [settings, store, logs]
        return kinds[group[0].role, group[0].tls is not None](self._application, store, settings, logs)

    def _dictionary_path(self, section: SessionSection) -> Path:
        """A wide dictionary: QuickFIX needs one for groups, but what a message may hold is for the core to judge, which
        lets every fill of a venue and every cancel of an EMS through.
        """
        return self._folder / f"wide-{section.begin_string.replace('.', '')}.xml"

    def _keys(self, section: SessionSection) -> dict[str, str]:
        venue = section.role == "initiator"
        host, _, port = (section.connect or section.listen or "").rpartition(":")
        keys = {
            "ConnectionType": section.role,
            "NonStopSession": "Y",
            "HeartBtInt": str(section.heartbeat),
            "ResetOnLogon": "Y" if section.reset_on_logon else "N",
            "UseDataDictionary": "Y",
            "DataDictionary": str(self._dictionary_path(section)),
            "PreserveMessageFieldsOrder": "N",
            "ValidateUserDefinedFields": "N",
            "ValidateFieldsOutOfOrder": "N",
            "ValidateFieldsHaveValues": "N",
            "AllowUnknownMsgFields": "Y",
            "TimestampPrecision": "3",
            "LogonTimeout": str(LOGON_TIMEOUT_S),
            "LogoutTimeout": "2",
        }
        if venue:
            keys |= {"SocketConnectHost": host, "SocketConnectPort": port, "ReconnectInterval": str(section.reconnect)}
        else:
            keys |= {"SocketAcceptHost": host, "SocketAcceptPort": port, "SocketReuseAddress": "Y"}
        return keys
