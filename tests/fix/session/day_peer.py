"""For `test_simulated_day`: the FIX session of a counterparty, in plain Python with its own numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.fix.session import layout as line
from tests.fix.session.day_gateway import ADMIN, SECOND_NS, Body, Link, body_of, message
from tests.support.core import Fields, fields_of

if TYPE_CHECKING:
    from tests.fix.session.test_simulated_day import Day

HEARTBEAT_S, ASK_AGAIN_S, LOGON_WAIT_S = 30, 5, 10


class Peer:
    """A FIX session of a counterparty: its numbers, what it sent, gaps, time-outs."""

    def __init__(self, day: Day, name: str) -> None:
        self.day, self.name = day, name
        self.next_in = self.next_out = 1
        self.sent: dict[int, tuple[str, Body, int]] = {}  # what may be sent again
        self.is_connected = self.is_on = self.was_on = self.is_logging_out = self.resets = False
        self.asked_ns = self.since_ns = self.heard_ns = self.said_ns = self.tests = 0
        self.gap_to = 0  # the highest number that came ahead of a gap

    @property
    def link(self) -> Link:
        """Its link."""
        return self.day.links[self.name]

    def connected(self) -> None:
        """It has a new connection."""
        self.is_connected = True
        self.is_on = self.was_on = self.is_logging_out = False
        self.since_ns = self.heard_ns = self.said_ns = self.day.now_ns
        self.gap_to = self.tests = 0

    def closed(self, name: str = "") -> None:
        """It has none any more."""
        self.is_connected = self.is_on = False

    def close(self) -> None:
        """It closes its connection."""
        self.closed()
        self.link.close(1)

    def say(self, msg_type: str, fields: Body = (), number: int = 0) -> int:
        """Send a message, or keep it for a resend while the session is off; returns its MsgSeqNum(34)."""
        goes_out = self.is_on or (msg_type == "A" and self.is_connected)
        if msg_type in ADMIN and not goes_out:
            return 0
        if not number:
            number, self.next_out = self.next_out, self.next_out + 1
        if msg_type not in ADMIN:
            self.sent[number] = msg_type, fields, self.day.wall_ns
        if goes_out:
            self.said_ns = self.day.now_ns
            self.link.send(0, message((self.name, "GW"), msg_type, number, body_of(fields), self.day.wall_ns))
        return number

    def hear(self, name: str, data: bytes) -> None:
        """A message of the gateway."""
        fields = fields_of(data)
        number, msg_type = int(fields[34]), fields[35]
        self.heard_ns, self.tests = self.day.now_ns, 0
        if not self.is_connected:
            return
        if msg_type == "A" and fields.get(141) == "Y":
            self.next_in = 1
        assert self.was_on or msg_type == "A", f"{self.name} is not logged on and hears {fields}"
        if number < self.next_in:
            assert fields.get(43) == "Y", f"{self.name} expects {self.next_in} and hears {fields}"
            return
        if msg_type == "A":
            number = self.on_logon(number)
        if msg_type == "2":
            self.resend(int(fields[7]), int(fields[16]))
        if msg_type == "5":
            self.on_logout(number)
        elif number > self.next_in:
            self.ask(number)
        else:
            self.next_in = int(fields[36]) if msg_type == "4" else number + 1
            self.gap_to = self.gap_to if self.gap_to >= self.next_in else 0
            self.asked_ns = self.day.now_ns
            self.take(msg_type, fields)

    def take(self, msg_type: str, fields: Fields) -> None:
        """A message that is in order."""
        if msg_type == "1":
            self.say("0", [(112, fields[112])])
        elif msg_type not in ADMIN or msg_type == "3":
            self.on_application(msg_type, fields)

    def on_logon(self, number: int) -> int:
        """The gateway logs on; returns the MsgSeqNum(34) for which its Logon counts."""
        self.is_on = self.was_on = True
        return number

    def on_application(self, msg_type: str, fields: Fields) -> None:
        """A message for the application."""

    def log_out(self) -> None:
        """Log out, to begin anew."""
        self.say("5")
        self.is_logging_out = self.resets = True

    def on_logout(self, number: int) -> None:
        """The gateway logs out, or answers our Logout."""
        self.next_in += number == self.next_in
        if not self.is_logging_out:
            self.say("5")
        self.is_on = False

    def ask(self, number: int) -> None:
        """ResendRequest(2), unless one is open."""
        if not self.gap_to or self.day.now_ns - self.asked_ns >= ASK_AGAIN_S * SECOND_NS:
            self.say("2", [(7, self.next_in), (16, 0)])
            self.asked_ns = self.day.now_ns
        self.gap_to = max(self.gap_to, number)

    def resend(self, first: int, last: int) -> None:
        """Answer a ResendRequest(2), now and then in part only."""
        last = min(last or self.next_out - 1, self.next_out - 1)
        self.day.counts[f"resend of {self.name}"] += 1
        if last > first and self.day.draw.random() < 0.25 and not self.day.is_quiet:
            self.day.counts["partial answer"] += 1
            last = self.day.draw.randrange(first, last)
        gap = 0
        for number in range(first, last + 2):
            stored = self.sent.get(number) if number <= last else None
            if stored and not self.keeps_back(number, stored):
                self._fill_gap(gap, number)
                gap = 0
                self._say_again(number, stored)
            elif number <= last:
                gap = gap or number
        self._fill_gap(gap, last + 1)

    def _say_again(self, number: int, stored: tuple[str, Body, int]) -> None:
        msg_type, fields, first_ns = stored
        names = self.name, "GW"
        self.link.send(0, message(names, msg_type, number, body_of(fields), self.day.wall_ns, first_ns))

    def _fill_gap(self, first: int, number: int) -> None:
        if first:
            self._say_again(first, ("4", [(36, number), (123, "Y")], self.day.wall_ns))

    def keeps_back(self, number: int, stored: tuple[str, Body, int]) -> bool:
        """Whether a message is not to be sent again."""
        return False

    def tick(self) -> None:
        """Heartbeats and time-outs."""
        now_ns, silent_s = self.day.now_ns, (self.day.now_ns - self.heard_ns) / SECOND_NS
        if not self.is_connected:
            return
        if not self.is_on:
            if now_ns - self.since_ns > LOGON_WAIT_S * SECOND_NS:
                self.close()
        elif silent_s >= 2.4 * HEARTBEAT_S:
            self.day.counts["timed out"] += 1
            self.close()
        else:
            if now_ns - self.said_ns >= HEARTBEAT_S * SECOND_NS:
                self.say("0")
            if silent_s >= 1.2 * HEARTBEAT_S * (self.tests + 1):
                self.tests += 1
                self.say("1", [(112, "ALIVE")])
            if self.gap_to and now_ns - self.asked_ns >= ASK_AGAIN_S * SECOND_NS:
                self.ask(self.gap_to)

    @property
    def is_settled(self) -> bool:
        """Whether it is logged on, and both sides have had all that the other has sent."""
        own = self.day.gateway.house.line(self.name)
        numbers = (int(own.next_in), int(own.next_out)) == (self.next_out, self.next_in)
        return self.is_on and own.state == line.UP and numbers and self.link.is_idle

    def skip(self) -> None:
        """SequenceReset(4) without GapFillFlag(123), at a moment when nothing is under way."""
        if self.is_settled and not self.day.is_quiet:
            self.say("4", [(36, self.next_out + 5), (123, "N")], self.next_out)
            self.next_out += 5
            self.day.counts["SequenceReset"] += 1

    def reset(self) -> None:
        """The numbers begin anew with the Logon that follows."""
        self.next_out = 1
        self.sent.clear()
