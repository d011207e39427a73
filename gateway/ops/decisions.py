"""The decision log: a line for each message of an EMS, and what it came to.

A process beside the gateway makes the lines out of the journal, so that the order path has nothing to do with them. It
is told by stdin what `Lines` is made with, and ends when stdin does, which is when the gateway has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from gateway.core import events as ev
from gateway.core.layout import IGNORED, NONE, REJECTED
from gateway.fix import tags as t
from gateway.journal.tail import Committed, Tail
from gateway.ops.log import configure_log, log_many

NICENESS = 5
POLL_S = 0.05
TOGETHER = 200  # lines that are written at a time
MOST_BEHIND = 3  # segments: beyond, lines are left out
MAX_TEXT = 1_000  # characters of a refusal

MESSAGES = {
    **{"D": "new order", "G": "replace", "F": "cancel", "H": "order status request"},
    **{"q": "mass cancel request", "AF": "mass status request"},
}
ORDERS = ("D", "G")
TOLD_TAGS = (t.MsgType, t.ClOrdID, t.OrigClOrdID, t.Symbol, t.SecurityID, t.Side, t.OrderQty, t.Price, t.Text)
# Length of EncodedText, of encoded names of issuers, securities and legs, of XML data, and the data's tag.
DATA_LENGTH = re.compile(rb"\x01(?:90|93|95|212|34[68]|35[0246]|36[024]|445|618|621)=(\d{1,5})\x01\d{1,4}=")

ADMIN = re.compile(rb"8=[^\x01]*\x019=[^\x01]*\x0135=[0-5A]\x01")  # a message of the session layer

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
        is_ems: Sequence[bool],
        accounts: Sequence[str | None],
        account_tag: int,
        account_role: int,
        sides: Mapping[str, str],
        checks: Collection[str],
        wall_offset_ns: int,
    ) -> None:
        """Ids of the sessions, which are of an EMS, and their default accounts, by row; the tag that names an account,
        or 0 and the PartyRole(452) of the party that is one; names of Side(54) by value; names of all checks; wall
        clock less the gateway's.
        """
        self._sessions = sessions
        self._is_ems = is_ems
        self._wall_offset_ns = wall_offset_ns
        self._default_accounts = accounts
        self._account_tag = account_tag
        role = rb"\x01448=([^\x01]*)\x01(?:447=[^\x01]*\x01)?452=%d\x01" % account_role
        self._account_party = re.compile(role)
        self._sides = sides
        self._checks = frozenset(checks)
        self._tags = {b"%d" % tag: tag for tag in (*TOLD_TAGS, account_tag)}

    def line(self, event: Committed) -> dict[str, Any] | None:
        """The line about an event of the journal; None where none is due. Events must come in their order."""
        if event.kind == ev.START:
            self._wall_offset_ns = event.value[ev.START_WALL_OFFSET]
        elif event.kind == ev.CLOCK:
            self._wall_offset_ns = event.value[0]
        message = event.data
        if event.kind != ev.MESSAGE or not self._is_ems[event.session] or ADMIN.match(message):
            return None
        return None if event.verdict == NONE else self._line_about(event)

    def _line_about(self, event: Committed) -> dict[str, Any]:
        session = event.session
        wall_ns = event.time_ns + self._wall_offset_ns
        sent = [sent for sent in map(Sent._make, event.outputs) if sent.session != NONE]  # NONE: an alert
        message = without_data(event.data)
        fields = self._fields(message)
        message_type = fields.get(t.MsgType, "")
        word, child, answer = self._judge(session, message_type, sent, event.verdict)
        side = fields.get(t.Side, "")
        came = datetime.fromtimestamp(wall_ns // 10**9, UTC)
        line: dict[str, Any] = {
            "timestamp": f"{came:%Y-%m-%dT%H:%M:%S}.{wall_ns // 1000 % 10**6:06}Z",
            "session": self._sessions[session],
            "message": MESSAGES.get(message_type, message_type or "unreadable"),
            "verdict": word,
            "cl_ord_id": fields.get(t.ClOrdID),
            "orig_cl_ord_id": fields.get(t.OrigClOrdID),
            "account": self._account(session, message, fields),
            "symbol": fields.get(t.Symbol) or fields.get(t.SecurityID),
            "side": self._sides.get(side, side) if len(side) == 1 else None,
            "quantity": fields.get(t.OrderQty),
            "price": fields.get(t.Price),
        }
        if child is not None:
            line["venue"] = self._sessions[child.session]
            line["child_cl_ord_id"] = _child_id(child.body)
        if answer is not None:
            line["text"] = self._fields(answer.body).get(t.Text, "")[:MAX_TEXT]
        line["latency_us"] = round(event.took_ns / 1000, 1)
        return {key: value for key, value in line.items() if value is not None}

    def _judge(
        self, session: int, message_type: str, outputs: Sequence[Sent], verdict: int
    ) -> tuple[str, Sent | None, Sent | None]:
        """What a message of an EMS came to: (word for the core's verdict, the child that it became, what says why not).

        accepted, refused: an order or replace, by the checks; passed: a cancel sent on, a request answered; rejected:
        refused for another reason than a check; ignored: a copy of one seen before.
        """
        if verdict == IGNORED:
            return "ignored", None, None
        answer = next((o for o in outputs if o.session == session), None)
        if verdict != REJECTED or answer is None:
            child = next((o for o in outputs if o.session != session and o.message_type == message_type), None)
            return ("accepted" if child is not None and message_type in ORDERS else "passed"), child, None
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


def write(lines: Lines, events: Iterable[Committed]) -> None:
    """Log the line of each event; one of which none can be made costs no other."""
    made = []
    for event in events:
        try:
            line = lines.line(event)
        except Exception:
            log.error("a decision could not be logged", exc_info=True)
            continue
        if line is not None:
            made.append(line)
        if len(made) == TOGETHER:
            log_many("decision", made)
            made.clear()
    log_many("decision", made)


def keep_up(tail: Tail) -> None:
    """Leave lines out when too many wait: the journal has them all."""
    behind = tail.behind
    if behind > MOST_BEHIND:
        first = tail.sequence + 1
        tail.skip(behind)
        log.warning("decisions were not logged", first_event=first, last_event=tail.sequence)


def follow(tail: Tail, lines: Lines, after: int) -> None:
    """Log what is committed after event `after`, until stdin ends and nothing is left."""
    ended = False
    while True:
        ended = ended or bool(select.select([sys.stdin], [], [], 0 if tail.behind else POLL_S)[0])
        keep_up(tail)
        before = tail.number, tail.sequence
        write(lines, (event for event in tail.read() if event.sequence > after))
        if ended and (tail.number, tail.sequence) == before:
            return


def main() -> None:
    """Follow the journal in --journal from segment --segment on, and log what comes after event --after."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--segment", type=int, required=True)
    parser.add_argument("--after", type=int, required=True)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the gateway gets them too, and has more to tell
    os.nice(NICENESS)
    configure_log()
    lines = Lines(**json.loads(sys.stdin.readline()))
    try:
        follow(Tail(options.journal, options.segment), lines, options.after)
    except OSError as error:
        log.error("decisions are logged no more", why=str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
