r"""A FIX client without an engine: lines in, messages out, replies printed. For scripts, and for a person who debugs.

    printf '35=D|11=1|55=AAPL|54=1|38=100|40=2|44=187.5|21=1\nwait 1\n' | tidegate fixclient 127.0.0.1:9876

It checks nothing that it sends: a wrong CheckSum, a missing field or a gap is a matter of giving it.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Annotated, Self

import simplefix
import typer

from tidegate_tools.fix.text import (
    SOH,
    Fields,
    body_length_and_checksum,
    first,
    input_lines,
    parse_address,
    split_fields,
    utc_now,
)

HEADER_TAGS = (8, 9, 35, 49, 56, 34, 52)
TRANSACT_TIME_TYPES = frozenset(("D", "F", "G", "q"))


class RawFixClient:
    """One FIX session over one TCP connection, for one thread. Heartbeats are answered while `receive` runs."""

    def __init__(
        self, host: str, port: int, begin_string: str = "FIX.4.4", sender: str = "EMS", target: str = "GATEWAY"
    ) -> None:
        self.address = (host, port)
        self.begin_string, self.sender, self.target = begin_string, sender, target
        self.next_seq_num = 1
        """MsgSeqNum(34) of the next message sent; assign to it to make a gap or a repeat."""
        self._parser = simplefix.FixParser()
        self._socket: socket.socket | None = None

    def connect(self, timeout: float = 5.0) -> Self:
        """Open the connection; OSError if it cannot be had."""
        self._parser = simplefix.FixParser()
        self._socket = socket.create_connection(self.address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def close(self) -> None:
        """Close the connection without a Logout."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self if self._socket else self.connect()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def logon(self, heartbeat_s: int = 30, reset: bool = True, timeout: float = 5.0) -> Fields:
        """Log on and return the counterparty's Logon; ConnectionError if it answers otherwise."""
        if reset:
            self.next_seq_num = 1
        version = [(1137, "9")] if self.begin_string == "FIXT.1.1" else []  # FIX 5.0 SP2
        self.send("A", [(98, "0"), (108, str(heartbeat_s)), *([(141, "Y")] if reset else []), *version])
        answer = self.receive(timeout)
        if first(answer, 35) != "A":
            raise ConnectionError(f"logon refused: {readable(answer)}")
        return answer

    def logout(self, timeout: float = 5.0) -> None:
        """Log out, wait for the answer (whatever else comes is passed over) and close."""
        self.send("5", [])
        while first(self.receive(timeout), 35) != "5":
            pass
        self.close()

    def send(self, msg_type: str, fields: Fields) -> int:
        """Send a message and return its MsgSeqNum.

        `fields` is the body in wire order. A header field in it (8, 34, 49, 52, 56) replaces the one made here; 9 and
        10 are counted unless given.
        """
        given = dict(fields)
        seq_num = int(given.get(34, self.next_seq_num))
        made = {49: self.sender, 56: self.target, 34: str(seq_num), 52: utc_now()}
        head = [(35, msg_type), *((tag, given.get(tag, value)) for tag, value in made.items())]
        body = [(tag, value) for tag, value in fields if tag not in (*HEADER_TAGS, 10)]
        text = "".join(f"{tag}={value}{SOH}" for tag, value in [*head, *body])
        front = f"8={given.get(8, self.begin_string)}{SOH}9="
        draft = f"{front}0{SOH}{text}10=000{SOH}".encode("latin-1")
        length = given.get(9, str(body_length_and_checksum(draft)[0]))
        whole = f"{front}{length}{SOH}{text}10=000{SOH}".encode("latin-1")
        checksum = given.get(10, f"{body_length_and_checksum(whole)[1]:03d}")
        self.send_bytes(whole[:-7] + f"10={checksum}{SOH}".encode("latin-1"))
        self.next_seq_num = seq_num + 1
        return seq_num

    def send_bytes(self, raw: bytes) -> None:
        """Send bytes as they are."""
        if self._socket is None:
            raise ConnectionError("not connected")
        self._socket.sendall(raw)

    def receive(self, timeout: float = 5.0) -> Fields:
        """The next message other than a Heartbeat.

        TestRequests and ResendRequests (by a gap fill) are answered first. TimeoutError if none comes in `timeout`
        seconds, ConnectionError if the other side closed.
        """
        deadline = time.monotonic() + timeout
        while True:
            message = self._next_message(deadline)
            match first(message, 35):
                case "0":
                    continue
                case "1":
                    self.send("0", [(112, first(message, 112))])
                case "2":
                    following = self.next_seq_num
                    self.send(
                        "4", [(34, first(message, 7)), (43, "Y"), (122, utc_now()), (123, "Y"), (36, str(following))]
                    )
                    self.next_seq_num = following
            return message

    def receive_type(self, msg_type: str, timeout: float = 5.0) -> Fields:
        """The next message of a type; others are passed over. TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while first(message := self.receive(deadline - time.monotonic()), 35) != msg_type:
            pass
        return message

    def _next_message(self, deadline: float) -> Fields:
        while (message := self._parser.get_message()) is None:
            if self._socket is None:
                raise ConnectionError("not connected")
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise TimeoutError("no message in time") from None
            if not data:
                raise ConnectionError("the other side closed the connection")
            self._parser.append_buffer(data)
        return [(int(tag), value.decode("latin-1")) for tag, value in message.pairs]


def readable(fields: Fields) -> str:
    """A message with | between its fields."""
    return "|".join(f"{tag}={value}" for tag, value in fields)


def parse_line(line: str) -> tuple[str, Fields]:
    """`35=D|11=1|...` (or SOH between the fields) to message type and other fields; orders get 60 if it is absent."""
    try:
        fields = split_fields(line.strip().replace("|", SOH))
    except ValueError as error:
        raise ValueError(f"wanted TAG=VALUE|TAG=VALUE..., not {line.strip()!r}") from error
    msg_type = first(fields, 35)
    if not msg_type:
        raise ValueError(f"35 is missing in {line.strip()!r}")
    if msg_type in TRANSACT_TIME_TYPES and not first(fields, 60):
        fields.append((60, utc_now()))
    return msg_type, [(tag, value) for tag, value in fields if tag != 35]


def print_replies(client: RawFixClient, seconds: float) -> None:
    """Print what comes in for a while."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            print("<", readable(client.receive(left)), flush=True)
        except TimeoutError:
            return


app = typer.Typer(name="fixclient", add_completion=False)


@app.command()
def fixclient(
    address: Annotated[str, typer.Argument(help="HOST:PORT to connect to.")],
    file: Annotated[str, typer.Argument(help="File of lines `35=D|11=1|...` or `wait SECONDS`; - for stdin.")] = "-",
    begin_string: Annotated[str, typer.Option(help="BeginString(8).")] = "FIX.4.4",
    sender: Annotated[str, typer.Option(help="SenderCompID(49).")] = "EMS",
    target: Annotated[str, typer.Option(help="TargetCompID(56).")] = "GATEWAY",
    heartbeat: Annotated[int, typer.Option(help="HeartBtInt(108), s.")] = 30,
    logon: Annotated[bool, typer.Option(help="Log on first, with a sequence reset; log out at the end.")] = True,
    wait: Annotated[float, typer.Option(help="Seconds to print replies after each line.")] = 0.2,
) -> None:
    """Send lines as FIX messages with header, trailer and TransactTime filled in, and print the replies."""
    try:
        host, port = parse_address(address)
        with RawFixClient(host, port, begin_string, sender, target) as client:
            if logon:
                print("<", readable(client.logon(heartbeat)), flush=True)
            for line in input_lines(file):
                if line.startswith("wait"):
                    print_replies(client, float(line.split()[1]))
                elif line.strip() and not line.startswith("#"):
                    client.send(*parse_line(line))
                    print_replies(client, wait)
            if logon:
                client.logout()
    except (OSError, ValueError) as error:
        print(f"fixclient: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
