"""The decision log: a line for each message of an EMS, and what it came to.

The core's thread only appends to a bounded queue; a thread of its own makes the lines, from the bytes that came in and
the messages that went out, since the state has moved on by then.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.core import layout as a
from gateway.core.catalogue import CHECKS
from gateway.core.driver import Event, Output
from gateway.fix import tags as t
from gateway.journal.names import SIDES, fields_of
from gateway.ops.log import log_many
from gateway.settings import Config

MAX_WAITING = 10_000
POLL_S = 0.05
CLOSE_S = 2.0
MAX_TEXT = 1_000  # characters of a refusal

MESSAGES = {"D": "new order", "G": "replace", "F": "cancel", "H": "status"}
ORDERS = ("D", "G")
TOLD_TAGS = (t.MsgType, t.ClOrdID, t.OrigClOrdID, t.Symbol, t.SecurityID, t.Side, t.OrderQty, t.Price)
CHECK_NAMES = frozenset(check.name for check in CHECKS)
Note = tuple[int, Event, Sequence[Output], int]

log = structlog.get_logger()


class DecisionLog:
    """Logs decisions of one gateway. `note` is for the core's thread."""

    def __init__(self, config: Config) -> None:
        """Of a gateway with this config."""
        self._sessions = [section.id for section in config.sessions]
        self._default_accounts = [section.defaults.account for section in config.sessions]
        self._account_tag = config.identity.account
        self._tags = {b"%d" % tag: tag for tag in (*TOLD_TAGS, self._account_tag)}
        self._waiting: deque[Note] = deque()
        self._lost = 0  # written by the core's thread only
        self._told = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="decisions", daemon=True)
        self._thread.start()

    def note(self, wall_ns: int, event: Event, outputs: Sequence[Output], latency_ns: int) -> None:
        """Have a line written about a message of an EMS (an Event of kind MESSAGE) that came in at `wall_ns`, ns since
        1970, and what it gave. With MAX_WAITING lines waiting this one is lost, and counted.
        """
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((wall_ns, event, outputs, latency_ns))
        else:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, for CLOSE_S at most."""
        self._closed.set()
        self._thread.join(CLOSE_S)

    def _write_all(self) -> None:
        while not self._closed.wait(POLL_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        lines = []
        for _ in range(len(self._waiting)):
            note = self._waiting.popleft()
            try:
                lines.append(self._line(note))
            except Exception:
                log.error("a decision could not be logged", exc_info=True)
        if lines:
            log_many("decision", lines)
        lost = self._lost
        if lost > self._told:
            log.warning("decisions were not logged", count=lost - self._told)
            self._told = lost

    def _line(self, note: Note) -> dict[str, Any]:
        wall_ns, event, outputs, latency_ns = note
        fields = self._fields(event.data)
        message = fields.get(t.MsgType, "")
        verdict, child, answer = judge(event.session, message, outputs)
        side = fields.get(t.Side, "")
        line: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(wall_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{wall_ns // 1000 % 10**6:06}Z",
            "session": self._sessions[event.session],
            "message": MESSAGES.get(message, message or "unreadable"),
            "verdict": verdict,
            "cl_ord_id": fields.get(t.ClOrdID),
            "orig_cl_ord_id": fields.get(t.OrigClOrdID),
            "account": self._account(event, fields),
            "symbol": fields.get(t.Symbol) or fields.get(t.SecurityID),
            "side": SIDES.get(ord(side), side) if len(side) == 1 else None,
            "quantity": fields.get(t.OrderQty),
            "price": fields.get(t.Price),
        }
        if child is not None:
            line["venue"] = self._sessions[child.session]
            line["child_cl_ord_id"] = _child_id(child.body)
        if answer is not None:
            line["text"] = fields_of(answer.body).get(t.Text, "")[:MAX_TEXT]
        line["latency_us"] = round(latency_ns / 1000, 1)
        return {key: value for key, value in line.items() if value is not None}

    def _fields(self, message: bytes) -> dict[int, str]:
        """The fields that a line tells, of a repeated one the first."""
        told: dict[int, str] = {}
        for part in message.split(b"\x01"):
            tag, _, value = part.partition(b"=")
            number = self._tags.get(tag)
            if number is not None and number not in told:
                told[number] = value.decode("latin-1")
        return told

    def _account(self, event: Event, fields: dict[int, str]) -> str | None:
        """The account that a message names, or its session's default."""
        if self._account_tag < a.PARTY_ROLE:
            named = fields.get(self._account_tag)
        else:
            role = self._account_tag - a.PARTY_ROLE
            found = re.search(rb"\x01448=([^\x01]*)\x01(?:447=[^\x01]*\x01)?452=%d\x01" % role, event.data)
            named = found[1].decode("latin-1") if found else None
        return named or self._default_accounts[event.session]


def _child_id(body: bytes) -> str:
    """ClOrdID(11) of a child, which we wrote ourselves: it stands among the first fields."""
    start = 3 if body.startswith(b"11=") else body.find(b"\x0111=") + 4
    return body[start : body.find(b"\x01", start)].decode("latin-1")


def judge(session: int, message: str, outputs: Sequence[Output]) -> tuple[str, Output | None, Output | None]:
    """What a message of an EMS came to: (verdict, the child that it became, what says why not).

    accepted, refused: an order or replace, by the checks; passed: a cancel sent on, a status request answered;
    rejected: refused for another reason than a check; ignored: a copy of one seen before.
    """
    child = next((o for o in outputs if o.session not in (a.NONE, session) and o.message_type == message), None)
    if child is not None:
        return ("accepted" if message in ORDERS else "passed"), child, None
    answer = next((o for o in outputs if o.session == session), None)
    if answer is None:
        return "ignored", None, None
    if message == "H" and answer.message_type == "8":
        return "passed", None, None
    by_check = fields_of(answer.body).get(t.Text, "").partition(" ")[0] in CHECK_NAMES
    return ("refused" if message in ORDERS and by_check else "rejected"), None, answer
