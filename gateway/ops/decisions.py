"""The decision log: a line for each message of an EMS, and what it came to.

The lines are made in a process of their own, from the bytes that came in and the messages that went out, since the
state has moved on by then. `gateway.ops.decision_log` feeds it: blobs of `marshal`, their size before them; the first
is what `Lines` is made with, the others are lists of what `Lines.line` takes. The process needs nothing of the core, so
it starts in a moment.
"""

from __future__ import annotations

import marshal
import os
import re
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple

import structlog

from gateway.fix import tags as t
from gateway.ops.log import configure_log, log_many

SIZE_BYTES = 4
NICENESS = 5
MAX_TEXT = 1_000  # characters of a refusal

MESSAGES = {"D": "new order", "G": "replace", "F": "cancel", "H": "status"}
ORDERS = ("D", "G")
TOLD_TAGS = (t.MsgType, t.ClOrdID, t.OrigClOrdID, t.Symbol, t.SecurityID, t.Side, t.OrderQty, t.Price, t.Text)
# Length of EncodedText, of encoded names of issuers, securities and legs, of XML data, and the data's tag.
DATA_LENGTH = re.compile(rb"\x01(?:90|93|95|212|34[68]|35[0246]|36[024]|445|618|621)=(\d{1,5})\x01\d{1,4}=")

log = structlog.get_logger(process="decisions")


class Sent(NamedTuple):
    """A message that went out: row of its session, MsgType(35), body as tag=value fields."""

    session: int
    message_type: str
    body: bytes


class Lines:
    """What the log says of each message."""

    def __init__(
        self,
        sessions: Sequence[str],
        accounts: Sequence[str | None],
        account_tag: int,
        account_role: int,
        sides: Mapping[int, str],
        checks: Collection[str],
    ) -> None:
        """Ids and default accounts of the sessions, by row; the tag that names an account, or 0 and the PartyRole(452)
        of the party that is one; names of Side(54) by character; names of all checks.
        """
        self._sessions = sessions
        self._default_accounts = accounts
        self._account_tag = account_tag
        role = rb"\x01448=([^\x01]*)\x01(?:447=[^\x01]*\x01)?452=%d\x01" % account_role
        self._account_party = re.compile(role)
        self._sides = sides
        self._checks = frozenset(checks)
        self._tags = {b"%d" % tag: tag for tag in (*TOLD_TAGS, account_tag)}

    def line(
        self, wall_ns: int, latency_ns: int, session: int, message: bytes, outputs: Sequence[tuple[int, str, bytes]]
    ) -> dict[str, Any]:
        """The line about a message that came from `session` at `wall_ns`, ns since 1970, and the outputs it gave."""
        message = without_data(message)
        fields = self._fields(message)
        message_type = fields.get(t.MsgType, "")
        verdict, child, answer = self._judge(session, message_type, [Sent(*output) for output in outputs])
        side = fields.get(t.Side, "")
        came = datetime.fromtimestamp(wall_ns // 10**9, UTC)
        line: dict[str, Any] = {
            "timestamp": f"{came:%Y-%m-%dT%H:%M:%S}.{wall_ns // 1000 % 10**6:06}Z",
            "session": self._sessions[session],
            "message": MESSAGES.get(message_type, message_type or "unreadable"),
            "verdict": verdict,
            "cl_ord_id": fields.get(t.ClOrdID),
            "orig_cl_ord_id": fields.get(t.OrigClOrdID),
            "account": self._account(session, message, fields),
            "symbol": fields.get(t.Symbol) or fields.get(t.SecurityID),
            "side": self._sides.get(ord(side), side) if len(side) == 1 else None,
            "quantity": fields.get(t.OrderQty),
            "price": fields.get(t.Price),
        }
        if child is not None:
            line["venue"] = self._sessions[child.session]
            line["child_cl_ord_id"] = _child_id(child.body)
        if answer is not None:
            line["text"] = self._fields(answer.body).get(t.Text, "")[:MAX_TEXT]
        line["latency_us"] = round(latency_ns / 1000, 1)
        return {key: value for key, value in line.items() if value is not None}

    def _judge(self, session: int, message_type: str, outputs: Sequence[Sent]) -> tuple[str, Sent | None, Sent | None]:
        """What a message of an EMS came to: (verdict, the child that it became, what says why not).

        accepted, refused: an order or replace, by the checks; passed: a cancel sent on, a status request answered;
        rejected: refused for another reason than a check; ignored: a copy of one seen before.
        """
        child = next((o for o in outputs if o.session != session and o.message_type == message_type), None)
        if child is not None:
            return ("accepted" if message_type in ORDERS else "passed"), child, None
        answer = next((o for o in outputs if o.session == session), None)
        if answer is None:
            return "ignored", None, None
        if message_type == "H" and answer.message_type == "8":
            return "passed", None, None
        by_check = self._fields(answer.body).get(t.Text, "").partition(" ")[0] in self._checks
        return ("refused" if message_type in ORDERS and by_check else "rejected"), None, answer

    def _fields(self, message: bytes) -> dict[int, str]:
        """The fields that lines are made of, of a repeated one the first."""
        told: dict[int, str] = {}
        for part in message.split(b"\x01"):
            tag, _, value = part.partition(b"=")
            number = self._tags.get(tag)
            if number is not None and number not in told:
                told[number] = value.decode("latin-1")
        return told

    def _account(self, session: int, message: bytes, fields: dict[int, str]) -> str | None:
        """The account that a message names, or its session's default."""
        if self._account_tag:
            named = fields.get(self._account_tag)
        else:
            found = self._account_party.search(message)
            named = found[1].decode("latin-1") if found else None
        return named or self._default_accounts[session]


def without_data(message: bytes) -> bytes:
    """A message without its data fields, which may hold delimiters: their length stands in the field before."""
    parts = []
    at = 0
    while found := DATA_LENGTH.search(message, at):
        parts.append(message[at : found.start() + 1])
        at = min(found.end() + int(found[1]) + 1, len(message))
    return b"".join([*parts, message[at:]])


def _child_id(body: bytes) -> str:
    """ClOrdID(11) of a child, which we wrote ourselves: it stands among the first fields."""
    start = 3 if body.startswith(b"11=") else body.find(b"\x0111=") + 4
    return body[start : body.find(b"\x01", start)].decode("latin-1")


def blobs(file: BinaryIO) -> Iterator[Any]:
    """What the gateway hands over, until it ends; half a blob at the end is left out."""
    while len(head := file.read(SIZE_BYTES)) == SIZE_BYTES:
        size = int.from_bytes(head, "little")
        data = file.read(size)
        if len(data) < size:
            return
        yield marshal.loads(data)


def write(lines: Lines, notes: Sequence[tuple[Any, ...]]) -> None:
    """Log the line of each note; one of which none can be made costs no other."""
    made = []
    for note in notes:
        try:
            made.append(lines.line(*note))
        except Exception:
            log.error("a decision could not be logged", exc_info=True)
    log_many("decision", made)


def main() -> None:
    """Log what stdin brings until it ends, which is when the gateway does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the gateway gets them too, and has more to hand over
    os.nice(NICENESS)
    configure_log()
    handed = blobs(sys.stdin.buffer)
    lines = Lines(**next(handed))
    for notes in handed:
        write(lines, notes)


if __name__ == "__main__":
    main()
