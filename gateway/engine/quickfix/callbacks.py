"""QuickFIX's callbacks: they put events into the inbox and do nothing else.

An exception that leaves a callback makes a process that serves nothing: every callback is guarded, and the first error
ends the process. `onLogout` runs under the session's lock, so sending from a callback can deadlock: none sends.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import quickfix as fix
import structlog

from gateway.config.sections import SessionSection
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.engine.engine import undelivered
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix.fields import bytes_of, is_again, number_of, text_of
from gateway.engine.quickfix.line import CONNECTING, Line
from gateway.engine.quickfix.raw import RawMessages, condensed, is_whole
from gateway.engine.quickfix.security import Security, session_id
from gateway.engine.quickfix.waiting import REPORTS, Waiting
from gateway.fix.message_types import ADMIN, unsupported

MAX_REMEMBERED = 100_000  # children that a Reject of their venue can still name
MAX_TEXT = 1000  # characters of a Reject's Text(58): the core takes no event that is longer than a message
LAST_RESORT_S = 20.0  # from a failed callback to the end of the process
NEVER_LATE = ("D", "F", "G")  # what must reach a venue now or not at all
STATUS_REQUEST = "H"
NOT_KEPT = ("H", "V", "q")  # requests that the core makes anew; a mass cancel that came late would hit new orders
FENCE_EVERY_S = 1.0  # a TestRequest can be lost under gap fills, so it is sent again, with another id
MAX_HEARTBEAT_S = 3_600  # a peer that asks for a longer HeartBtInt(108) could be gone for that long unnoticed
# How QuickFIX says that it could not take a message apart.
UNPARSED = "Invalid message: "
# How it says that it has counted a message which came behind the end of its session, in the same segment.
COUNTED_BEHIND = "Tried to send a reject while not logged on"
REPEATED = (58, 112, 371, 372)  # Text, TestReqID, RefTagID, RefMsgType
SOH = "\x01"

log = structlog.get_logger()


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback whose error reaches the core's thread, which ends the process, instead of QuickFIX's."""

    @functools.wraps(callback)
    def guard(self: Application, *args: Any) -> None:
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


class Fence:
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


class Application(fix.Application):
    """QuickFIX's callbacks, and what its log tells before them."""

    def __init__(
        self,
        inbox: Inbox,
        sessions: list[SessionSection],
        security: Security,
        served: dict[str, frozenset[str]],
    ) -> None:
        """`served`: the MsgTypes that the dictionary of each BeginString holds."""
        super().__init__()
        self.security = security
        self.inbox = inbox
        self.served = served
        self.begin_strings = [section.begin_string for section in sessions]
        self.session_ids = [session_id(section) for section in sessions]
        self.rows = {each.toString(): row for row, each in enumerate(self.session_ids)}
        self.names = [section.id for section in sessions]
        self.venues = {row for row, s in enumerate(sessions) if s.role == "initiator"}
        self.logged_on: set[int] = set()
        self.sent: dict[int, dict[int, str]] = {row: {} for row in self.venues}  # ClOrdID of a child by its MsgSeqNum
        self.waiting: dict[int, Waiting] = {row: Waiting() for row in range(len(sessions))}
        self.declined = ""  # ClOrdID or MsgType of the last message if `toApp` kept it from being sent
        self.failed = False  # a callback has failed, and the process is about to end
        self.next_sender: dict[int, int] = {}  # number of our next message when the session was last off
        self.logon_seq: dict[int, int] = {}  # MsgSeqNum of our last Logon
        self.fences: dict[int, Fence] = {}  # venues that have not answered a TestRequest since logon
        self.lines = {row: Line(sessions[row].reconnect) for row in self.venues}
        self.raw = [RawMessages() for _ in sessions]
        self.cut: set[int] = set()  # sessions that are being logged out, since too much came ahead of a gap

    def came(self, row: int, text: str) -> None:
        """A message was logged that QuickFIX has not looked at yet."""
        if row in self.cut:
            return
        self._settle(row)
        raw, session = self.raw[row], fix.Session.lookupSession(self.session_ids[row])
        raw.expected = session.getExpectedTargetNum()
        if raw.add(text):
            return
        raw.drop_seen(session.getExpectedTargetNum())
        if not raw.add(text):
            log.error(
                "alert",
                alert="ahead_of_a_gap",
                session=self.names[row],
                text="too much comes ahead of a gap, the session is cut",
            )
            self.cut.add(row)
            # QuickFIX holds a lock that disconnecting needs another one before; this is done at its next turn.
            session.logout("too much ahead of a gap")

    def said(self, row: int, text: str) -> None:
        """QuickFIX says something of a session in its log."""
        if row in self.lines:
            self.lines[row].note_event(text)
        if text.startswith(UNPARSED):
            self._take_unparsed(row)
            session = fix.Session.lookupSession(self.session_ids[row])
            if row in self.venues and not session.isLoggedOn():
                # QuickFIX closes the socket now, but goes on with what came behind: a Logon would be taken, and orders
                # written to a number that may by then be another connection's.
                session.disconnect()
        elif text == COUNTED_BEHIND or text.startswith(CONNECTING):
            self._settle(row)

    def _settle(self, row: int) -> None:
        """QuickFIX has done with the latest message. If it has counted it, but no callback has had it (of another
        BeginString(8), or behind the end of its session), the core gets it now. If it has counted it for the number
        that was expected (ahead of a gap, without SenderCompID(49)), nobody has seen that number, and it is asked for.
        """
        raw = self.raw[row]
        if raw.is_claimed:
            return
        session = fix.Session.lookupSession(self.session_ids[row])
        if session.getExpectedTargetNum() <= raw.expected:
            return
        raw.is_claimed = True
        number, expected = raw.number, raw.expected
        is_admin = _type_of(raw.latest.encode("utf-8", "surrogateescape")) in ADMIN
        if number != str(expected):
            session.setNextTargetMsgSeqNum(expected)
        elif row not in self.venues or is_admin or self._hand_on(row, number):
            return
        what = f"QuickFIX has counted message {number or 'without a number'} where {expected} was expected"
        text = f"{what}, and has not handed it on"
        log.error("alert", alert="not_handed_on", session=self.names[row], text=text)
        if row in self.venues:
            refusal = f"35=3{SOH}45={number}{SOH}58={what}{SOH}"
            self.inbox.put(Event(ev.UNREAD, 0, row, data=refusal.encode("utf-8", "surrogateescape")))

    def _take_unparsed(self, row: int) -> None:
        """A message that QuickFIX could not take apart, as it does not know where its data fields end: when it came
        whole and in order, the core gets it, and it counts as seen.
        """
        raw, session = self.raw[row], fix.Session.lookupSession(self.session_ids[row])
        text = raw.latest
        expected = session.getExpectedTargetNum()
        message = text.encode("utf-8", "surrogateescape")
        in_order = row in self.logged_on and f"{SOH}34={expected}{SOH}" in text
        if in_order and is_whole(message) and self._hand_on(row, str(expected)):
            session.setNextTargetMsgSeqNum(expected + 1)

    def _hand_on(self, row: int, number: str) -> bool:
        """Give the core an application message that QuickFIX refuses; whether it was one that is at hand.

        It never waits, as QuickFIX holds a lock that the core's thread may need.
        """
        message = self.raw[row].claim(number)
        if message is None or self.failed or _type_of(message) in ADMIN:
            return False
        poss_dup = b"\x0143=Y\x01" in message
        self.inbox.put(self._message(row, int(number), poss_dup, message))
        return True

    def _message(self, row: int, number: int, poss_dup: bool, message: bytes) -> Event:
        if row in self.venues:
            message = condensed(message, a.MAX_MESSAGE_BYTES)
        return Event(ev.MESSAGE, time.monotonic_ns(), row, number, poss_dup, message)

    def _tell_logout(self, row: int, by: str, text: str) -> None:
        log.warning("logout", session=self.names[row], by=by, text=text)
        if row in self.lines and by == "the peer":
            self.lines[row].note_logout(text)

    def _alert(self, row: int, what: str, message: fix.Message) -> None:
        text = f"{what}: {message.toString().replace(SOH, '|')}"
        log.error("alert", alert="session_reject", session=self.names[row], text=text)

    def _refused(self, row: int, reject: fix.Message) -> None:
        """A venue refuses the message that RefSeqNum(45) names, which the core knows by its ClOrdID only."""
        number = number_of(reject, 45)
        of_order = text_of(reject, 372) in ("", *NEVER_LATE)
        cl_ord_id = self.sent[row].get(number) if of_order and number is not None else None
        if text_of(reject, 372) == STATUS_REQUEST:
            fields = f"372={STATUS_REQUEST}{SOH}58={text_of(reject, 58)[:MAX_TEXT] or 'refused without a reason'}{SOH}"
            self.inbox.put(Event(ev.UNDELIVERED, 0, row, data=fields.encode("utf-8", "surrogateescape")))
        elif cl_ord_id is None:
            self._alert(row, "reject of a message that is not known", reject)
        else:
            text = text_of(reject, 58)[:MAX_TEXT] or "refused without a reason"
            self.inbox.put(undelivered(row, cl_ord_id, text))

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
                "the EMS reset its numbers and may never have got reports, it must ask with OrderStatusRequest(H)",
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
        if row in self.lines and self.lines[row].was_closed:
            # QuickFIX reads on behind a Logout, and takes a Logon that has no connection any more.
            fix.Session.lookupSession(session_id).disconnect()
            return
        self.logged_on.add(row)
        continued = self.logon_seq.get(row, 1) >= self.next_sender.get(row, 1)
        # A Logon with a lower number than this, without a logout before it, begins anew.
        self.next_sender[row] = fix.Session.lookupSession(session_id).getExpectedSenderNum()
        self.inbox.put(Event(ev.LOGON, 0, row, value=(ev.CONTINUED if continued else ev.RESET,)))
        if row in self.venues:
            self.fences[row] = Fence(time.time_ns())
            self.lines[row].note_logon()

    @_guarded
    def onLogout(self, session_id: fix.SessionID) -> None:
        """The session is down, by Logout or by loss of the connection; also called for a failed logon."""
        row = self.rows[session_id.toString()]
        self._settle(row)
        self.fences.pop(row, None)
        if row in self.logged_on:
            self.logged_on.discard(row)
            self.waiting[row] = Waiting()
            self.next_sender[row] = fix.Session.lookupSession(session_id).getExpectedSenderNum()
            self.inbox.put(Event(ev.LOGOUT, 0, row))
        self.raw[row].clear()
        if row in self.cut:
            self.cut.discard(row)
            fix.Session.lookupSession(session_id).logon()
        if row in self.lines:
            self.lines[row].note_logout()

    @_guarded
    def toAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """A Reject(3) is of a message that QuickFIX would not take: one of a venue goes to the core all the same, as it
        may be a fill; to an EMS the Reject says what FIX wants to be said.
        """
        row = self.rows[session_id.toString()]
        header = message.getHeader()
        message_type = header.getField(35)
        number = int(header.getField(34))
        if row in self.venues and not is_again(header):
            self._note_sent(row, number, "")
        if message_type == "5" and message.isSetField(58):
            self._tell_logout(row, "us", message.getField(58))
            if row in self.lines:
                self.lines[row].note_own_logout(message.getField(58))
        if message_type == "A":
            self.security.complete_logon(row, message)
            self.logon_seq[row] = number
            self._tell_lost(row, number)
        elif message_type == "3":
            self._on_own_reject(row, message)
        _make_storable(message)

    def _has_counted(self, row: int, number: str) -> bool:
        """Whether QuickFIX has counted the message with this MsgSeqNum(34), which it refuses, under its number: else it
        comes again, and its number, which may be anything, must not be taken for one that was seen.
        """
        return number == str(fix.Session.lookupSession(self.session_ids[row]).getExpectedTargetNum() - 1)

    def _take_refused(self, row: int, reject: fix.Message) -> None:
        """Give the core a venue's message that QuickFIX refuses, as it may be a fill; else what QuickFIX says of it."""
        number = text_of(reject, 45)
        if not self._has_counted(row, number) or not self._hand_on(row, number):
            self.inbox.put(Event(ev.UNREAD, 0, row, data=bytes_of(reject)))

    def _on_own_reject(self, row: int, reject: fix.Message) -> None:
        if row in self.venues:
            self._take_refused(row, reject)
            return
        number, of_type = text_of(reject, 45), text_of(reject, 372)
        self.raw[row].claim(number)
        if unsupported(self.begin_strings[row], of_type, self.served[self.begin_strings[row]]):
            reject.getHeader().setField(35, "j")
            for tag in (371, 373):
                reject.removeField(tag)
            reject.setField(380, "3")
            reject.setField(58, "Unsupported Message Type")

    @_guarded
    def fromAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """What the session layer says that matters to orders: rejects, resets, the answer to a TestRequest."""
        row = self.rows[session_id.toString()]
        message_type = message.getHeader().getField(35)
        self.raw[row].claim(text_of(message.getHeader(), 34))
        if message_type == "A" and (why := self.security.refusal(row) or _logon_fault(message)):
            raise fix.RejectLogon(why)
        if message_type not in ("A", "5") and row not in self.logged_on:
            if message_type == "3" and row in self.lines:
                self.lines[row].note_reject(text_of(message, 58))
            raise fix.RejectLogon("not logged on")  # QuickFIX takes a SequenceReset before a Logon, and fails on it
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
            self.inbox.put(Event(ev.SYNCED, 0, row))

    def _on_sequence_reset(self, row: int, message: fix.Message) -> None:
        new_seq_no = number_of(message, 36)
        if not new_seq_no:
            raise fix.IncorrectTagValue(36)  # QuickFIX rejects it; it would take numbers that nobody can count on from
        if text_of(message, 123) != "Y":
            # Without GapFillFlag it skips messages that nobody has seen.
            self.inbox.put(Event(ev.LOGON, 0, row, new_seq_no - 1, value=(ev.RESET,)))

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
            _make_storable(message)
        if message_type == "j" and not again:
            self._take_refused(row, message)
        if message_type not in NEVER_LATE + NOT_KEPT:
            return
        cl_ord_id = message.getField(11) if message_type in NEVER_LATE else ""
        if again or row not in self.logged_on:
            # Only the core's thread sends new messages; resends are QuickFIX's.
            if not again:
                self.declined = cl_ord_id or message_type
            elif cl_ord_id:
                self.inbox.put(undelivered(row, cl_ord_id, ""))
            raise fix.DoNotSend
        self._note_sent(row, int(header.getField(34)), cl_ord_id)

    @_guarded
    def fromApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        """An application message: its bytes, for the core."""
        header = message.getHeader()
        poss_dup = is_again(header)
        row = self.rows[session_id.toString()]
        number = header.getField(34)  # QuickFIX has compared it with the number that it expects
        data = self.raw[row].claim(number, text_of(message.getTrailer(), 10)) or bytes_of(message)
        if row in self.venues and header.getField(35) == "j" and _names_by_number(message):
            self._refused(row, message)
            return
        self.inbox.put_message(self._message(row, int(number), poss_dup, data))


def _make_storable(message: fix.Message) -> None:
    """Put "?" for each NUL in what a message repeats of a peer's: QuickFIX could not read its own store behind it."""
    for tag in REPEATED:
        if "\0" in (text := text_of(message, tag)):
            message.setField(tag, text.replace("\0", "?"))


def _names_by_number(reject: fix.Message) -> bool:
    """Whether a BusinessMessageReject is of an order message that it names by RefSeqNum(45) alone."""
    return text_of(reject, 372) in NEVER_LATE and reject.isSetField(45) and not reject.isSetField(379)


def _keep_gap(message: fix.Message, session_id: fix.SessionID) -> None:
    """QuickFIX counts a Reject or Logout that comes ahead of a gap, and would drop the gap's first message as seen."""
    session = fix.Session.lookupSession(session_id)
    expected = session.getExpectedTargetNum()
    if (number_of(message.getHeader(), 34) or 0) > expected:
        session.setNextTargetMsgSeqNum(expected - 1)


def _logon_fault(logon: fix.Message) -> str:
    """Why a Logon is refused for its HeartBtInt(108), "" when it is not: QuickFIX fails on what is no number, and
    without heartbeats it does not notice that a peer is gone.
    """
    seconds = number_of(logon, 108)
    if seconds is None or not 0 < seconds <= MAX_HEARTBEAT_S:
        return f"HeartBtInt(108) must be a whole number of seconds from 1 to {MAX_HEARTBEAT_S}"
    return ""


def _type_of(message: bytes) -> str:
    """MsgType(35)."""
    return message.partition(b"\x0135=")[2].partition(b"\x01")[0].decode("ascii", "replace")
