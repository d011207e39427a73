"""FIX peers on raw sockets, for what no engine would send: a venue that says whatever it is told to, and an EMS that
keeps the bytes that it gets. Every message has the BodyLength(9) and CheckSum(10) that fit.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from tidegate_tools.fix.raw_client import RawFixClient
from tidegate_tools.fix.text import SOH, Fields, body_length_and_checksum, first, split_fields, utc_now

TRADES, CLOSES, SAYS_NOTHING, LOGS_OUT, REJECTS = "trades", "closes", "says nothing", "logs out", "rejects the logon"
LISTENS = "keeps its session, and answers no order, cancel or question"

Field = tuple[int, str | bytes]

_HEADER = frozenset((49, 56, 34, 52, 43, 97, 122, 50, 57, 90, 91, 212, 213, 115, 128, 129, 347))
_TRAILER = frozenset((93, 89))
_START = re.compile(rb"8=FIX[^\x01]*\x019=(\d{1,9})\x01")
_TURN_S = 0.02
_RESENT = ("8", "9")

T = TypeVar("T")


def framed(begin_string: str, body: bytes) -> bytes:
    """A message of a body that begins with MsgType(35)."""
    draft = f"8={begin_string}{SOH}9={len(body)}{SOH}".encode() + body
    return draft + f"10={sum(draft) % 256:03d}{SOH}".encode()


def compose(
    begin_string: str, msg_type: str, comp_ids: tuple[str, str], number: int | str, fields: Sequence[Field]
) -> bytes:
    """A message from the first of two CompIDs to the second. Fields of header and trailer go to their place; those
    that are given stand for what is made here.
    """
    given = {tag for tag, _ in fields}
    made: list[Field] = [(49, comp_ids[0]), (56, comp_ids[1]), (34, str(number)), (52, utc_now())]
    head = [(35, msg_type), *(field for field in made if field[0] not in given)]
    head += [field for field in fields if field[0] in _HEADER]
    body = [field for field in fields if field[0] not in _HEADER | _TRAILER]
    tail = [field for field in fields if field[0] in _TRAILER]
    return framed(begin_string, b"".join(_bytes_of(*field) for field in (*head, *body, *tail)))


def _bytes_of(tag: int, value: str | bytes) -> bytes:
    return b"%d=%s%s" % (tag, value.encode("latin-1") if isinstance(value, str) else value, SOH.encode())


def take_messages(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages at the start of some bytes, cut by their BodyLength(9), and what is left."""
    found = []
    while match := _START.match(data):
        end = match.end() + int(match[1]) + len("10=000") + 1
        if len(data) < end:
            break
        found.append(data[:end])
        data = data[end:]
    return found, data


def fields_of(message: bytes) -> Fields:
    """Fields of a message; bytes beyond ASCII are as in Latin-1. Pieces that a data field leaves are passed over."""
    parts = [part for part in message.split(b"\x01") if part.partition(b"=")[0].isdigit()]
    return split_fields(b"\x01".join(parts).decode("latin-1"))


def fits(message: bytes) -> bool:
    """Whether BodyLength(9) and CheckSum(10) of a message are right."""
    fields = fields_of(message)
    length, checksum = body_length_and_checksum(message)
    return (first(fields, 9), first(fields, 10)) == (str(length), f"{checksum:03d}")


class RawEms(RawFixClient):
    """An EMS that keeps every message that it has read, as bytes."""

    def __init__(self, port: int, name: str, begin_string: str = "FIX.4.4") -> None:
        super().__init__("127.0.0.1", port, begin_string, name, "GW")
        self.messages: list[bytes] = []
        self._rest = b""

    def connect(self, timeout: float = 5.0) -> Self:
        """Open the connection; OSError if it cannot be had."""
        self._rest = b""
        return super().connect(timeout)

    @property
    def line(self) -> socket.socket:
        """The connection."""
        if self._socket is None:
            raise ConnectionError("not connected")
        return self._socket

    def say(self, msg_type: str, fields: Sequence[Field], number: str | None = None) -> int:
        """Send fields as they are given, repeated ones and bytes too; `number` stands for the MsgSeqNum(34)."""
        sent = self.next_seq_num
        comp_ids = (self.sender, self.target)
        self.send_bytes(compose(self.begin_string, msg_type, comp_ids, number or sent, fields))
        self.next_seq_num += 1
        return sent

    def answer(self, timeout: float = 5.0) -> Fields | None:
        """The next message other than a Heartbeat; None when the other side has closed the connection, or says nothing
        in time.
        """
        with contextlib.suppress(OSError):
            return self.receive(timeout)
        return None

    def _next_message(self, deadline: float) -> Fields:
        while True:
            found, self._rest = take_messages(self._rest)
            if found:
                self._rest = b"".join([*found[1:], self._rest])
                self.messages.append(found[0])
                return fields_of(found[0])
            self.line.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.line.recv(65536)
            except TimeoutError:
                raise TimeoutError("no message in time") from None
            if not data:
                raise ConnectionError("the other side closed the connection")
            self._rest += data


@dataclass
class RawOrder:
    """An order at the raw venue."""

    fields: Fields
    cl_ord_id: str
    order_id: str
    cum: int = 0
    open: bool = True

    @property
    def quantity(self) -> int:
        """Whole shares."""
        return int(first(self.fields, 38))


class RawVenue:
    """Listens on a free `port` of the loopback, and acknowledges orders and cancels.

    `logon_fields` are said in its Logons from then on, and stand for what it would say. Its numbers go on from one
    connection to the next. It resends reports when it is asked to; all else it fills with a gap.
    """

    def __init__(self, name: str, begin_string: str = "FIX.4.4", behaviour: str = TRADES) -> None:
        """Not running yet: use as a context manager."""
        self.name, self.begin_string = name, begin_string
        self.logon_fields: list[Field] = []
        self.tells_original_time = True
        """Of what it resends, by OrigSendingTime(122)."""
        self.next_out = 1
        self.connections = 0
        """How often somebody has connected."""
        self.messages: list[bytes] = []
        """All that has come, oldest first."""
        self.orders: dict[str, RawOrder] = {}
        """By each ClOrdID of an order and of its cancels."""
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._changed = threading.Condition(threading.RLock())
        self._selector = selectors.DefaultSelector()
        self._rests: dict[socket.socket, bytes] = {}
        self._line: socket.socket | None = None
        self._sent: dict[int, tuple[str, Sequence[Field], str]] = {}
        self._ids = 0
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"raw venue {name}", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(10)

    def behave(self, behaviour: str) -> None:
        """From now on. Connections of before are closed, with a Logout before where it logs out; those to which it has
        said nothing stay as they are.
        """
        with self._changed:
            if behaviour == LOGS_OUT and self._line is not None:
                self.send("5", [(58, "the day is over")])
            if self._behaviour != SAYS_NOTHING:
                self.drop()
            self._behaviour = behaviour

    def drop(self) -> None:
        """Close every connection."""
        with self._changed:
            self._line = None
            for connection in self._rests:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def is_on(self) -> bool:
        """Whether the connection that has logged on last is still there."""
        return self._line is not None

    def wait_for(self, predicate: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:
        """Wait until `predicate()` is true and return what it returned; AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (result := predicate()):
                assert self._failure is None, f"{self.name} failed: {self._failure!r}"
                left = deadline - time.monotonic()
                assert left > 0, f"{self.name}: {what or 'condition'} not true in {timeout:g} s; {self.messages[-3:]}"
                self._changed.wait(min(left, 0.1))
            return result

    def wait_on(self, timeout: float = 15.0) -> None:
        """Wait for somebody to be logged on."""
        self.wait_for(lambda: self.is_on, timeout, "a logon")

    def got(self, msg_type: str) -> list[Fields]:
        """What has come of a type, oldest first."""
        with self._changed:
            return [fields for fields in map(fields_of, self.messages) if first(fields, 35) == msg_type]

    def open_orders(self) -> list[str]:
        """ClOrdIDs of what is open here."""
        with self._changed:
            return sorted({order.cl_ord_id for order in self.orders.values() if order.open})

    def send(self, msg_type: str, fields: Sequence[Field], *, once: bool = False, lost: bool = False) -> int:
        """Send what is given, and return its MsgSeqNum(34); one that is given uses up no number of ours. What is `lost`
        on the way, as all that is said to a connection that is gone, the peer can ask for, but not for what is said
        `once`.
        """
        with self._changed:
            number = self.next_out
            if not any(tag == 34 for tag, _ in fields):
                self.next_out += 1
                if msg_type in _RESENT and not once:
                    self._sent[number] = (msg_type, fields, utc_now())
            if not lost:
                self.put(msg_type, number, fields)
            return number

    def put(self, msg_type: str, number: int, fields: Sequence[Field]) -> None:
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.sendall(compose(self.begin_string, msg_type, (self.name, "GW"), number, fields))

    def put_bytes(self, data: bytes) -> None:
        """Send bytes as they are, in one segment if they are few."""
        with self._changed:
            if self._line is not None:
                self._line.sendall(data)

    def fill(
        self, cl_ord_id: str, quantity: int, more: Sequence[Field] = (), exec_id: str = "", **how: bool
    ) -> tuple[str, int]:
        """Report a fill, a new one unless its ExecID(17) is given; returns that and its number. `how`: see `send`."""
        with self._changed:
            order = self.orders[cl_ord_id]
            if not exec_id:
                order.cum += quantity
            exec_id = exec_id or self._new_id("X")
            status = "2" if order.cum == order.quantity else "1"
            order.open = status == "1"
            exec_type = status if self.begin_string == "FIX.4.2" else "F"
            price = first(order.fields, 44)
            fields = self._report(order, exec_type, status, exec_id)
            return exec_id, self.send("8", [*fields, (32, str(quantity)), (31, price), *more], **how)

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{self.name}-{kind}{self._ids}"

    def _report(self, order: RawOrder, exec_type: str, status: str, exec_id: str = "", **own: str) -> list[Field]:
        leaves = order.quantity - order.cum if order.open else 0
        version = [(20, own.get("trans_type", "0"))] if self.begin_string == "FIX.4.2" else []
        return [
            (37, order.order_id),
            (11, own.get("cl_ord_id", order.cl_ord_id)),
            *([(41, order.cl_ord_id)] if "cl_ord_id" in own else []),
            (17, exec_id or self._new_id("X")),
            *version,
            *((150, exec_type), (39, status), (55, first(order.fields, 55)), (54, first(order.fields, 54))),
            *((38, str(order.quantity)), (14, str(order.cum)), (151, str(leaves)), (6, "0"), (60, utc_now())),
        ]

    # The thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, _ in self._selector.select(_TURN_S):
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    with self._changed:
                        if connection is self._listener:
                            self._accept()
                        else:
                            self._read(connection)
                        self._changed.notify_all()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            for connection in (*self._rests, self._listener):
                connection.close()
            self._selector.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self.connections += 1
        if self._behaviour == CLOSES:
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rests[connection] = b""
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        found, self._rests[connection] = take_messages(self._rests[connection] + data)
        for message in found:
            self.messages.append(message)
            if self._behaviour != SAYS_NOTHING and connection in self._rests:
                self._serve(connection, fields_of(message))

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._rests[connection]
        connection.close()
        if self._line is connection:
            self._line = None

    def _serve(self, connection: socket.socket, message: Fields) -> None:
        match first(message, 35):
            case "A":
                self._line = connection
                if self._behaviour == REJECTS:
                    self.send("3", [(45, first(message, 34)), (372, "A"), (58, "unknown firm \x1b[31m")])
                    return
                if self._behaviour == LOGS_OUT:
                    self.send("5", [(58, "come back later")])
                    self._close(connection)
                    return
                own = [(98, "0"), (108, first(message, 108))]
                if first(message, 141) == "Y":
                    self.next_out = 1
                    self._sent.clear()
                    own.append((141, "Y"))
                self.send("A", [*(f for f in own if f[0] not in dict(self.logon_fields)), *self.logon_fields])
            case "1":
                self.send("0", [(112, first(message, 112))])
            case "2":
                self._resend(int(first(message, 7)))
            case "5":
                self.send("5", [])
                self._close(connection)
            case "D" | "F" | "H" if self._behaviour == LISTENS:
                pass
            case "D":
                order = RawOrder(message, first(message, 11), self._new_id("O"))
                self.orders[order.cl_ord_id] = order
                self.send("8", self._report(order, "0", "0"))
            case "F":
                self._cancel(message)
            case "H":
                self._tell_status(message)

    def _resend(self, begin: int) -> None:
        for number in range(begin, self.next_out + 1):
            if number in self._sent or (number == self.next_out and begin < number):
                if begin < number:
                    self.put("4", begin, [(43, "Y"), (122, utc_now()), (123, "Y"), (36, str(number))])
                begin = number + 1
            if number in self._sent:
                msg_type, fields, sent_at = self._sent[number]
                original = [(122, sent_at)] if self.tells_original_time else []
                self.put(msg_type, number, [(43, "Y"), *original, *fields])

    def _cancel(self, message: Fields) -> None:
        order, cl_ord_id = self.orders.get(first(message, 41)), first(message, 11)
        if order is None or not order.open:
            known = (37, order.order_id if order else "NONE"), (39, "2" if order else "8")
            self.send("9", [*known, (11, cl_ord_id), (41, first(message, 41)), (434, "1"), (102, "1")])
            return
        order.open = False
        self.orders[cl_ord_id] = order
        self.send("8", self._report(order, "4", "4", cl_ord_id=cl_ord_id))

    def _tell_status(self, message: Fields) -> None:
        order = self.orders.get(first(message, 11))
        if order is not None:
            status = "0" if order.open else "2" if order.cum else "4"
            new = self.begin_string != "FIX.4.2"
            self.send("8", self._report(order, "I" if new else status, status, trans_type="3"))
