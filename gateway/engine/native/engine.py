"""FIX sessions of our own. The core's state holds them, this carries their bytes: in the core's thread, one at a time.

What comes is put before the core as events; the core says in the row of the session what became of it. A message ahead
of a gap is kept and given again when the gap is closed. What the peer asks for again comes from the journal, which has
the number of every message: reports go out once more, orders never do, and the core is told of those.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import structlog

from gateway.config.sections import SessionSection
from gateway.core import events as ev
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE, record_dtype
from gateway.engine.credentials import Verifier, read_password
from gateway.engine.engine import OrderPath, StartError, cl_ord_id_of, undelivered
from gateway.engine.inbox import Inbox
from gateway.engine.native import layout as n
from gateway.engine.native.again import send_again
from gateway.engine.native.connection import Connection
from gateway.engine.native.dialer import Attempt, Dialer
from gateway.engine.native.door import SOH, Admitted, Door, Stranger, field_of
from gateway.engine.native.loop import put_message, serve
from gateway.engine.native.resends import Resends
from gateway.engine.native.schedule import Schedule
from gateway.engine.native.tls import TlsContext
from gateway.engine.native.venue import VenueLink
from gateway.engine.quickfix.store import Store, StoreError, read_store
from gateway.engine.tls import check_tls
from gateway.fix.session import layout as line
from gateway.fix.tags import message_type as type_number
from gateway.ops.control import Command
from gateway.state.pulse import CLOSED, DISABLED, MOST_SESSIONS, QUEUES

ORDERS = frozenset("DFG")
BATCH = 1_000  # messages that the loop handles before the service has its turn
MOST_BEHIND = 10_000  # messages that wait behind those that are sent again
MOST_STUCK_NS = 30_000_000_000  # that a peer may take to read what waits for it
CLOSE_WAIT_S = 2.5
WAKE = 0
LONGEST_NUMBER = 18  # digits of a MsgSeqNum
PASSWORD = re.compile(rb"\x01(554|925)=[^\x01]*")
MASKED = b"\x01\\1=***"

NOT_AGAIN = "what QuickFIX sent and the peer never got is not sent again: let an EMS that was away ask for its orders"

log = structlog.get_logger()


class NativeEngine:
    """The gateway's sessions over sockets of its own."""

    def __init__(self, sessions: list[SessionSection], folder: Path, inbox: Inbox) -> None:
        """Sessions of the config in their order; `folder` is the state folder. Raises ConfigError for credentials and
        addresses that cannot be used.
        """
        self._sections = sessions
        self._folder = folder
        self._inbox = inbox
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, WAKE)
        inbox.on_put = lambda: os.eventfd_write(self._wake, 1)
        self._ready: deque[Event] = deque()
        self._last: Event | None = None
        self._by_row: dict[int, Connection] = {}
        self._due: dict[int, None] = {}  # rows of sessions that hold the message that comes next
        self._again = Resends(folder / "journal", inbox.on_put)
        check_tls(sessions)
        by_listen = {section.listen: section for section in sessions if section.listen is not None and section.tls}
        contexts = {listen: TlsContext(section) for listen, section in by_listen.items()}
        verifiers: dict[int, Verifier] = {}
        self._passwords: dict[int, str] = {}
        for row, section in enumerate(sessions):
            if section.credentials is not None and section.credentials.password_file is not None:
                self._passwords[row] = read_password(section, section.credentials.password_file)
            elif section.credentials is not None:
                verifiers[row] = Verifier(section, section.credentials)
        self._door = Door(sessions, verifiers, contexts, self._selector, self._why_not, inbox.on_put)
        self._dialer = Dialer(sessions, self._selector, inbox.on_put)
        self._links = self._dialer.links
        self._schedules = {row: Schedule(own.schedule) for row, own in enumerate(sessions) if own.schedule is not None}
        self._begun_s = dict[int, int | None]()
        self._slots = np.zeros(len(sessions), record_dtype(n.LINK))
        self._slots["fd"] = NONE
        self._loop = np.zeros(1, record_dtype(n.LOOP))
        self._loop[0].epoll = self._selector.fileno()
        self._loop[0].row_of_fd[:] = NONE
        self._closing_s = 0.0
        self._closing = ""  # role of the sessions that are being logged out for good

    @property
    def connections(self) -> Mapping[int, VenueLink]:
        """The connection to each venue, by row."""
        return self._links

    def prepare(self, last_in: list[int | None], path: OrderPath) -> list[int]:
        """Use the sessions of a state, which has all numbers but those that QuickFIX has left. Returns the number of
        the last message of each.
        """
        self._path = path
        self._state = path.block[0]
        self._lines = self._state.lines
        self._left = {row: store for row in range(len(self._sections)) if (store := self._left_by_quickfix(row))}
        numbers = [int(self._lines[row].next_in) - 1 for row in range(len(self._sections))]
        for row, store in self._left.items():
            numbers[row] = store.next_target - 1
        return numbers

    def _left_by_quickfix(self, row: int) -> Store | None:
        """QuickFIX's store of a session for which it has spoken so far; raises StartError when it cannot be read."""
        section = self._sections[row]
        names = section.begin_string, section.sender_comp_id, section.target_comp_id
        try:
            return read_store(self._folder / "fix" / "store", *names, last=1) if self._lines[row].fresh else None
        except StoreError as error:
            raise StartError(f"session {section.id}: {error}") from None

    def settle_unsent(self, outputs: list[Output], rebooted: bool) -> list[Output | Event]:
        """Alerts only: of messages the numbers tell at the next logon whether the peer has them."""
        return [output for output in outputs if output.session == NONE]

    def start(self) -> None:
        """Listen, and connect from the next `tick` on; raises StartError when a port cannot be used."""
        self._take_over()
        self._door.listen()
        self.tick()

    def _take_over(self) -> None:
        """Go on with the numbers of sessions for which QuickFIX has spoken so far. The journal knows what was applied
        of what they sent; what was sent to them stands in QuickFIX's store.
        """
        for row, store in self._left.items():
            section = self._sections[row]
            next_in = int(self._state.sessions[row].last_in) + 1
            numbers = {"next_in": next_in, "next_out": store.next_sender}
            log.warning("goes on where QuickFIX was", session=section.id, **numbers, note=NOT_AGAIN)
            data = f"{section.id} set-seq as QuickFIX's store has it".encode()
            values = (ev.SET_NUMBERS, next_in, store.next_sender)
            self._ready.append(Event(ev.OPERATE, 0, row, data=data, value=values))

    # In.

    def get(self, timeout_s: float) -> Event | Command | None:
        """Serve the sessions, for `timeout_s` or until something comes that is the service's: the next event or
        command, or None.
        """
        self._settle()
        if self._inbox.waiting:
            return self._inbox.get(0)
        if not self._ready:
            self._go_on_with_resends()
        if not self._ready:
            self._serve(0 if self._due or self._again.is_busy(self._reads) else timeout_s)
            self._settle()
        if not self._ready:
            self._give_held()
        if not self._ready:
            return self._inbox.get(0) if self._inbox.waiting else None
        self._last = self._ready.popleft()
        return self._last

    @property
    def waiting(self) -> bool:
        """Whether something has come that `get` would give, or sessions are still being logged out."""
        left = [each for row, each in self._by_row.items() if self._sections[row].role == self._closing]
        if not self._ready and time.monotonic() - self._closing_s > CLOSE_WAIT_S:
            for connection in left:
                self._close(connection)
        return bool(self._ready or self._due or self._inbox.waiting or self._last or left)

    def _serve(self, timeout_s: float) -> None:
        path = self._path
        loop = self._loop[0]
        loop.deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        loop.look_ns = path.look_ns
        loop.base_ns = path.base_ns
        loop.most = BATCH
        loop.sends = int(not path.journal.syncs_before_send)
        loop.watched = path.watch(loop.watch)
        path.journal.make_room()
        journal = path.journal
        blocks = (path.block, journal.cursor, journal.block, *path.driver.buffers)
        why = serve(*blocks, self._slots, self._loop, path.pulse)
        if why == n.MESSAGE:
            self._on_message(int(loop.row), int(loop.start), int(loop.length), loop.left[: loop.left_count].tolist())
        elif why == n.SWEPT:
            path.took(Event(ev.SWEEP, 0), loop.left[: loop.left_count].tolist())
        elif why == n.LOST:
            self._close(self._by_row[int(loop.row)])
        if loop.of_python:
            loop.of_python = 0
            self._poll()

    def _on_message(self, row: int, start: int, size: int, left: list[int]) -> None:
        """The loop has handled a message of which more than it could do itself must follow."""
        slot = self._slots[row]
        self._last = self._message(row, bytes(slot.inbox[start : start + size]), int(slot.received_ns))
        self._path.took(self._last, left)

    def _settle(self) -> None:
        """Do what follows from what the core has made of the last event."""
        event, self._last = self._last, None
        if event is None or event.kind != ev.MESSAGE:
            return
        row = event.session
        own = self._lines[row]
        happened = int(own.happened)
        if happened & line.ANEW:
            self._again.drop(row)
            self._slots[row].busy = 0
        if happened & line.RESEND and row in self._by_row:
            self._path.send_waiting()
            self._slots[row].busy = 1
            self._again.begin(row, int(own.resend_from), int(own.resend_to), int(own.moved_run))
        if happened & line.REFUSED or _names_by_number(event.data):
            self._note_refused(row, event.data)
        if happened & line.CAME_UP and row in self._links:
            self._links[row].note_logon()
        connection = self._by_row.get(row)
        if connection is None:
            return
        if happened & line.ANEW:
            connection.forget_held()
        if happened & line.AHEAD:
            connection.hold(int(own.held), event.data)
        if connection.holds_next(int(own.next_in)):
            self._due[row] = None
        self._slots[row].followed = int(connection.held > 0)

    def _give_held(self) -> None:
        """Give a message again that came ahead of a gap, now closed; of each session one, so that nobody waits long."""
        for row in list(self._due):
            del self._due[row]
            connection = self._by_row.get(row)
            held = connection and connection.take_held(int(self._lines[row].next_in))
            if held:
                self._ready.append(self._message(row, held))

    def _message(self, row: int, data: bytes, time_ns: int = 0) -> Event:
        return Event(ev.MESSAGE, time_ns or time.monotonic_ns(), row, data=data)

    def _poll(self) -> None:
        """Look at the sockets that are not the loop's."""
        for key, _ in self._selector.select(0):
            if key.data == WAKE:
                os.eventfd_read(self._wake)
            elif isinstance(key.data, str):
                self._door.accept(key.fileobj, key.data)  # type: ignore[arg-type]
            elif isinstance(key.data, Stranger):
                admitted_now = self._door.hear(key.data)
                if admitted_now is not None:
                    self._admit(admitted_now)
            elif isinstance(key.data, Attempt):
                connected = self._dialer.hear(key.data)
                if connected is not None:
                    self._on_connected(connected)
        # Behind the read of what wakes: what a thread ends from here on wakes again.
        for connection in self._dialer.connected():
            self._on_connected(connection)
        for admitted in self._door.checked():
            self._admit(admitted)

    def rests(self, row: int) -> str:
        """Why a session is not to be up now; empty: it is."""
        if self._lines[row].disabled:
            return DISABLED
        return CLOSED if self._is_closed(row) else ""

    def _why_not(self, row: int) -> str:
        """Why a session may not log on now; empty when it may."""
        if self._closing:
            return "the gateway is stopping"
        if self._lines[row].disabled:
            return "the session is disabled"
        if self._is_closed(row):
            return "it is not the time of the session's schedule"
        return "the session is logged on already" if row in self._by_row else ""

    def _admit(self, admitted: Admitted) -> None:
        """A connection is a session's: its Logon goes to the core, then what came behind it."""
        if self._why_not(admitted.row):  # another of the same moment was first
            Connection(admitted.socket, admitted.row, admitted.tls).close()
            return
        connection = Connection(admitted.socket, admitted.row, admitted.tls)
        self._by_row[admitted.row] = connection
        self._selector.register(admitted.socket, selectors.EVENT_READ, connection)
        self._ready.append(self._message(admitted.row, PASSWORD.sub(MASKED, admitted.logon)))
        self._open(connection, admitted.rest)

    def _open(self, connection: Connection, data: bytes = b"") -> None:
        """Give a connection to the loop; `data` has come already."""
        slot = self._slots[connection.row]
        slot.more = int(connection.tls is not None)  # it may have more than the handshake's side has read
        for name in ("followed", "busy", "stuck_ns", "in_start", "out_start", "used"):
            slot[name] = 0
        slot.inbox[: len(data)] = np.frombuffer(data, np.uint8)
        slot.in_end = len(data)
        slot.received_ns = time.monotonic_ns()
        slot.ready = int(bool(data))
        slot.ssl = 0 if connection.tls is None else connection.tls.handle
        slot.fd = connection.socket.fileno()
        self._loop[0].row_of_fd[slot.fd] = connection.row

    def tick(self) -> None:
        """Connect to venues that are due, and cut connections that have waited too long; call it ten times a second."""
        self._door.tick()
        self._keep_to_schedules()
        for row, link in self._links.items():
            link.is_wanted = not (self._closing or self._lines[row].disabled or self._is_closed(row))
            if link.is_wanted and row not in self._by_row:
                self._dialer.dial(row)
        self._dialer.tick()
        for connection in list(self._by_row.values()):
            slot = self._slots[connection.row]
            self._tell_queues(connection.row, int(slot.used - slot.out_start), connection.held)
            self._tell_gap(connection)
            if connection.is_closing and slot.out_start == slot.used:
                self._close(connection)
            elif slot.fd != NONE and slot.stuck_ns and time.monotonic_ns() - slot.stuck_ns > MOST_STUCK_NS:
                self._cut_off(connection)

    def _tell_gap(self, connection: Connection) -> None:
        """People are told of a message that does not come though it was asked for again and again."""
        own = self._lines[connection.row]
        if own.asks >= line.MOST_ASKS and own.asked_to == 0 and connection.told_gap != own.next_in:
            connection.told_gap = int(own.next_in)
            session = self._sections[connection.row].id
            log.error("alert", alert="gap_stays_open", session=session, msg_seq_num=connection.told_gap)

    def _tell_queues(self, row: int, unsent_bytes: int, held: int) -> None:
        self._path.pulse[QUEUES + row] = unsent_bytes
        self._path.pulse[QUEUES + MOST_SESSIONS + row] = held

    def _is_closed(self, row: int) -> bool:
        """Whether a session has a schedule, and is not to be logged on by it now."""
        return row in self._schedules and self._begun_s.get(row) is None

    def _keep_to_schedules(self) -> None:
        """Log out what has ended by its schedule, and begin numbers anew where that says so."""
        for row, schedule in self._schedules.items():
            before_s, begun_s = self._begun_s.get(row, 0), schedule.look()
            self._begun_s[row] = begun_s
            own = self._lines[row]
            if begun_s != before_s:
                log.info("session's schedule", session=self._sections[row].id, open=begun_s is not None)
            ended = begun_s is None or own.begun_s != begun_s
            if ended and own.begun_s and row in self._by_row:
                if own.state == line.UP:
                    self._ready.append(Event(ev.LOG_OUT, 0, row))
            elif begun_s is not None and own.begun_s != begun_s and row not in self._by_row:
                # Those of before the first schedule go on, and those that a clock far ahead has begun too early.
                number = 1 if schedule.resets and 0 < own.begun_s < begun_s else 0
                values = (ev.SET_NUMBERS, number, number, begun_s)
                data = f"{self._sections[row].id} set-seq by its schedule".encode()
                self._ready.append(Event(ev.OPERATE, 0, row, data=data, value=values))

    def _on_connected(self, connection: Connection) -> None:
        """A connection to a venue is of use: the session logs on, unless it is not to be up any more."""
        row = connection.row
        if self._why_not(row):
            connection.close()
            self._links[row].note_closed()
            return
        self._by_row[row] = connection
        self._links[row].note_connected()
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._open(connection)
        self._ready.append(Event(ev.CONNECTED, 0, row))

    def _close(self, connection: Connection) -> None:
        """Close a connection, and tell the core that the session has lost it."""
        row = connection.row
        self._selector.unregister(connection.socket)
        self._loop[0].row_of_fd[connection.socket.fileno()] = NONE
        self._slots[row].fd = NONE
        self._slots[row].ready = 0
        connection.close()
        del self._by_row[row]
        self._tell_queues(row, 0, 0)
        self._again.drop(row)
        if row in self._links:
            self._links[row].note_closed()
        self._ready.append(Event(ev.LOGOUT, 0, row))

    # Out.

    def send(self, output: Output) -> Event | None:
        """Send a message that has its number, or close a connection. Returns the UNDELIVERED event of an order message
        that cannot go out: the session is off.
        """
        row = output.session
        connection = self._by_row.get(row)
        if not output.message_type:
            self._cut(row, connection, output.body)
            return None
        if connection is None or connection.is_closing:
            return self.refuse(output)
        if output.message_type == "5":
            text = field_of(SOH + output.body, b"58").decode("latin-1")
            log.warning("logout", session=self._sections[row].id, by="us", text=text)
        behind = self._again.behind(row)
        if behind is not None and len(behind) >= MOST_BEHIND:
            self._cut_off(connection)
        elif behind is not None:
            behind.append(output)
        else:
            self._write(connection, output)
        return None

    def refuse(self, output: Output) -> Event | None:
        """The UNDELIVERED event of an order or replace that is not to be sent; None for what must go out always."""
        if output.session in self._links and output.message_type in ORDERS:
            return undelivered(output.session, cl_ord_id_of(output.body), "")
        return None

    def _cut(self, row: int, connection: Connection | None, why: bytes) -> None:
        """Close a connection when what waits has gone."""
        if connection is None:
            return
        text = why.decode("latin-1")
        if row in self._links:
            self._links[row].note_cut(text)
        log.info("connection closed", session=self._sections[row].id, why=text)
        connection.is_closing = True
        if self._slots[row].out_start == self._slots[row].used:
            self._close(connection)

    def _cut_off(self, connection: Connection) -> None:
        """Close the connection of a peer that leaves too much unread, or for too long."""
        log.error("alert", alert="peer_does_not_read", session=self._sections[connection.row].id)
        self._close(connection)

    def _write(self, connection: Connection, output: Output) -> None:
        """Write a message with header and trailer."""
        row = connection.row
        body = output.body
        if output.message_type == "A" and row in self._passwords:
            credentials = self._sections[row].credentials
            assert credentials is not None
            body += f"553={credentials.username}\x01554={self._passwords[row]}\x01".encode()
        wall_ns = int(self._state.now_ns) + int(self._state.wall_offset_ns)
        what = (row, type_number(output.message_type), output.msg_seq_num, wall_ns, 0)
        if not put_message(self._lines, self._slots, self._loop, *what, np.frombuffer(body, np.uint8)):
            self._cut_off(connection)

    # Again.

    def _go_on_with_resends(self) -> None:
        while found := self._again.looked_up():
            self._tell_refused(*found)
        for row, order in self._again.turn(self._send_again):
            if order is not None:
                self._ready.append(undelivered(row, cl_ord_id_of(order.body), ""))
                continue
            self._slots[row].busy = 0
            for output in self._again.done(row):
                self.send(output)

    def _reads(self, row: int) -> bool:
        """Whether a session's peer takes what is sent."""
        return not self._slots[row].stuck_ns

    def _send_again(self, row: int, words: np.ndarray, resend: np.ndarray) -> int:
        offset_ns = int(self._state.wall_offset_ns)
        times = (int(self._state.now_ns) + offset_ns, offset_ns)
        of = (self._lines, self._slots, self._loop, row, words, words.view(np.uint8), resend, row in self._links)
        return int(send_again(*of, *times))

    def _note_refused(self, row: int, message: bytes) -> None:
        """A peer refuses the message that RefSeqNum(45) names, which the core knows by its ClOrdID only."""
        of_type = field_of(message, b"372").decode("latin-1")
        number = field_of(message, b"45")
        if row not in self._links:
            self._alert(row, "the EMS refuses a message of ours", message)
        elif of_type == "H":
            self._tell_refused(row, message, None)
        elif (of_type and of_type not in ORDERS) or not number.isdigit() or len(number) > LONGEST_NUMBER:
            self._alert(row, "reject of a message that is not known", message)
        elif not self._again.look_up(row, int(number), int(self._lines[row].moved_run), message):
            self._alert(row, "one of too many rejects", message)

    def _tell_refused(self, row: int, message: bytes, sent: Output | None) -> None:
        """The core is told which message of ours a venue refuses: an order, or a question about one."""
        text = field_of(message, b"58")[:1000] or b"refused without a reason"
        if field_of(message, b"372") == b"H" or (sent is not None and sent.message_type == "H"):
            fields = b"372=H\x0158=" + text + SOH
            self._ready.append(Event(ev.UNDELIVERED, 0, row, data=fields))
        elif sent is None or sent.message_type not in ORDERS:
            self._alert(row, "reject of a message that is not known", message)
        else:
            self._ready.append(undelivered(row, cl_ord_id_of(sent.body), text.decode("utf-8", "surrogateescape")))

    def _alert(self, row: int, what: str, message: bytes) -> None:
        text = f"{what}: {message.replace(SOH, b'|').decode('latin-1')}"
        log.error("alert", alert="session_reject", session=self._sections[row].id, text=text)

    # The end.

    def sync(self) -> None:
        """Nothing: the journal is the only store."""

    def log_out(self, role: str) -> None:
        """Log the sessions of a role ("initiator": venues, "acceptor": EMS) out for good."""
        self._closing = role
        self._closing_s = time.monotonic()
        for row in list(self._by_row):
            if self._sections[row].role == role:
                self._ready.append(Event(ev.LOG_OUT, 0, row))


def _names_by_number(message: bytes) -> bool:
    """Whether a BusinessMessageReject is of an order message that it names by RefSeqNum(45) alone."""
    if b"\x0135=j\x01" not in message[:40]:
        return False
    named = field_of(message, b"372").decode("latin-1") in ORDERS and field_of(message, b"45") != b""
    return named and b"\x01379=" not in message
