"""FIX sessions of the core, without sockets: what a peer says, and what time brings, through `handle`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core.driver import Driver, Event, clock_event
from gateway.fix.session import layout as line
from gateway.fix.session.protocol import MOST_NUMBER
from gateway.state.build import build_state
from tests.support.core import BASE, INSTRUMENTS, LIMITS, START_NS, WALL_NS, Core, Fields, fields_of, write_config

EMS, VENUE = "EMS1", "XNAS"
ORDER = [(1, "ACC1"), (11, "A"), (21, "1"), (38, "10"), (40, "2"), (44, "100"), (54, "1"), (55, "AAPL"), (59, "0")]
FILL = [(37, "V1"), (17, "E1"), (150, "F"), (39, "1"), (55, "AAPL"), (54, "1"), (11, "C9-9"), (32, "1"), (31, "100")]
FILL += [(14, "1"), (151, "0"), (6, "100")]
CUT = ""


class Sent(NamedTuple):
    """What the gateway sends to a session: MsgType ("" closes the connection), MsgSeqNum(34), fields of the body."""

    type: str
    number: int
    fields: Fields


SCRATCH = {"happened", "held"}  # columns of a session that say what has just been


class House(Core):
    """A core whose sessions are its own, none of them connected."""

    def __init__(self, folder: Path, **section: object) -> None:
        """`section` are keys of both sessions."""
        config = copy.deepcopy(BASE)
        config["gateway"]["engine"] = "native"
        config["sessions"] = [session | section for session in config["sessions"]]
        self.settings = load_settings(write_config(folder, config, LIMITS, INSTRUMENTS, None))
        self.state = build_state(self.settings, run=1)
        self.driver = Driver(self.state.block)
        self.sessions = {s.id: row for row, s in enumerate(self.settings.config.sessions)}
        self.begin_strings = {s.id: s.begin_string for s in self.settings.config.sessions}
        self.time_ns = START_NS
        self.log = []
        self.sent_before_s = 0.0
        self.numbers = dict.fromkeys(self.sessions, 1)
        self.apply(clock_event(self.time_ns, WALL_NS))
        self.quote("AAPL", 99.99, 100.01, 100)

    def line(self, name: str):
        """The session's row."""
        return self.record.lines[self.sessions[name]]

    def event(self, kind: int, name: str, data: bytes = b"") -> list[Sent]:
        """Apply an event of a session; returns what is sent to that session. One that is idle, and so leaves no record
        in the journal, must leave nothing in the session either.
        """
        row = self.sessions[name]
        lines, sessions = self.record.lines.copy(), self.record.sessions.copy()
        outputs = self.driver.handle(Event(kind, self.time_ns, row, data=data))
        if self.record.work.idle == 1:
            for column in set(lines.dtype.names) - SCRATCH:
                assert (lines[column] == self.record.lines[column]).all(), column
            for column in sessions.dtype.names:
                assert (sessions[column] == self.record.sessions[column]).all(), column
        return [
            Sent(o.message_type, o.msg_seq_num, fields_of(o.body) if o.message_type else {58: o.body.decode()})
            for o in outputs
            if o.session == row
        ]

    def says(self, name: str, msg_type: str, fields=(), number: int | None = None, **header: str) -> list[Sent]:
        """A message of a session's peer, under the next number or this one; header as t43="Y" or t49="X"."""
        if number is None:
            number, self.numbers[name] = self.numbers[name], self.numbers[name] + 1
        head = {35: msg_type, 34: str(number), 49: name, 52: self.utc(self.sent_before_s), 56: "GW"}
        begin = header.pop("t8", self.begin_strings[name])
        head |= {int(tag[1:]): value for tag, value in header.items()}
        said = [(tag, value) for tag, value in head.items() if value is not None] + list(fields)
        body = b"".join(b"%d=%s\x01" % (tag, str(value).encode()) for tag, value in said)
        start = b"8=%s\x019=%d\x01" % (begin.encode(), len(body))
        return self.event(ev.MESSAGE, name, start + body + b"10=%03d\x01" % (sum(start + body) % 256))

    def logs_on(self, name: str = EMS, number: int | None = None, heartbeat: int | str = 30, **more: str) -> list[Sent]:
        """The peer's Logon."""
        extra = [(int(tag[1:]), value) for tag, value in more.items()]
        return self.says(name, "A", [(98, "0"), (108, heartbeat), *extra], number)

    def after(self, seconds: float, name: str = EMS) -> list[Sent]:
        """Time passes, a tick every tenth of a second; returns what goes to the session."""
        sent = []
        for _ in range(round(seconds * 10)):
            self.time_ns += 10**8
            sent += self.event(ev.TICK, name)
        return sent


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def on(house: House) -> House:
    """The EMS is logged on."""
    house.logs_on()
    return house


def only(sent: list[Sent], of_type: str, number: int | None = None) -> Fields:
    """The fields of the one message that was sent."""
    assert [each.type for each in sent] == [of_type], sent
    assert number is None or sent[0].number == number
    return sent[0].fields


def test_fixt_1_1_is_for_fix_5_0_sp2(tmp_path: Path) -> None:
    """DefaultApplVerID(1137) says so, in both Logons; a peer of another version is told."""
    house = House(tmp_path, begin_string="FIXT.1.1")
    logout, cut = house.logs_on(t1137="8")
    assert (logout.type, cut.type) == ("5", CUT) and "DefaultApplVerID(1137) must be 9" in logout.fields[58]
    house.event(ev.LOGOUT, EMS)
    assert only(house.logs_on(number=1, t1137="9"), "A")[1137] == "9"
    report = only(house.says(EMS, "D", [*ORDER[:2], *ORDER[3:], (60, house.utc())], 2), "8", 3)
    assert (report[39], report[150]) == ("8", "8") and "venue" in report[58].lower()  # which is not logged on


def test_a_logon_is_answered_in_kind(house: House) -> None:
    fields = only(house.logs_on(heartbeat=7), "A", 1)
    assert (fields[98], fields[108]) == ("0", "7") and 141 not in fields
    assert (house.line(EMS).next_in, house.line(EMS).next_out) == (2, 2)
    assert house.record.sessions[0].up == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "86400", "x"])
def test_a_heartbeat_out_of_bounds_is_refused(house: House, seconds: str) -> None:
    sent = house.logs_on(heartbeat=seconds)
    assert [each.type for each in sent] == ["5", CUT] and "108" in sent[0].fields[58]
    assert house.record.sessions[0].up == 0


@pytest.mark.parametrize("seconds", ["1", "3600"])
def test_a_heartbeat_within_bounds_is_taken(house: House, seconds: str) -> None:
    assert only(house.logs_on(heartbeat=seconds), "A")[108] == seconds


FAULTY = (
    ({"t49": "X"}, "the answer is of another session: SenderCompID(49) X, TargetCompID(56) GW"),
    ({"t56": "Y"}, "the answer is of another session: SenderCompID(49) EMS1, TargetCompID(56) Y"),
    ({"t34": "x"}, "34"),
    ({"t52": "x"}, "the header is not as FIX wants it"),
)


@pytest.mark.parametrize(("header", "why"), FAULTY)
def test_a_logon_with_a_faulty_header_is_cut(house: House, header: dict[str, str], why: str) -> None:
    [sent] = house.says(EMS, "A", [(98, "0"), (108, "30")], **header)
    assert sent.type == CUT and why in sent.fields[58]


def test_the_first_message_must_be_a_logon(house: House) -> None:
    assert only(house.says(EMS, "0"), CUT)[58] == "the first message is not a Logon"


def test_a_number_too_high_at_logon_asks_for_the_gap(house: House) -> None:
    sent = house.logs_on(number=5)
    assert [each.type for each in sent] == ["A", "2"]
    assert (sent[1].fields[7], sent[1].fields[16]) == ("1", "0")
    house.says(EMS, "4", [(123, "Y"), (36, "6")], 1, t43="Y", t122=house.utc())
    assert house.line(EMS).next_in == 6 and house.line(EMS).asked_to == 0


def test_a_number_too_low_at_logon_is_refused_and_begins_anew(house: House) -> None:
    """The peer knows less than we have had of it: what it sends now would be taken for copies."""
    house.logs_on()
    house.says(EMS, "0")
    house.event(ev.LOGOUT, EMS)
    sent = house.logs_on(number=1)
    assert [each.type for each in sent] == ["5", CUT]
    assert sent[0].fields[58] == "MsgSeqNum too low, expecting 3 but received 1"


def test_a_reset_at_logon_is_answered_with_one(on: House) -> None:
    on.event(ev.LOGOUT, EMS)
    fields = only(on.logs_on(number=1, t141="Y"), "A", 1)
    assert fields[141] == "Y" and (on.line(EMS).next_in, on.line(EMS).next_out) == (2, 2)
    assert on.record.sessions[0].continued == 0


def test_next_expected_number_is_answered_by_what_is_missing(on: House) -> None:
    on.says(EMS, "1", [(112, "x")])
    on.says(EMS, "1", [(112, "x")])
    on.event(ev.LOGOUT, EMS)
    fields = only(on.logs_on(t789="2"), "A")
    own = on.line(EMS)
    assert fields[789] == "5" and own.happened & line.RESEND
    assert (own.resend_from, own.resend_to) == (2, 3), "what was sent before this Logon"


def test_a_next_expected_number_of_the_future_is_refused(house: House) -> None:
    sent = house.logs_on(t789="9")
    assert [each.type for each in sent] == ["5", CUT] and "789" in sent[0].fields[58]


def test_a_test_request_is_answered(on: House) -> None:
    assert only(on.says(EMS, "1", [(112, "HELLO")]), "0", 2)[112] == "HELLO"


def test_heartbeats_and_the_end_of_a_silent_peer(on: House) -> None:
    """A Heartbeat an interval after what we sent last, a TestRequest after 1.2, the end after 2.4 intervals."""
    assert [each.type for each in on.after(30)] == ["0"]
    assert [each.type for each in on.after(6.1)] == ["1"]
    sent = on.after(36.1)
    assert [each.type for each in sent] == [CUT] and "TestRequest" in sent[0].fields[58]


def test_a_peer_that_answers_stays(on: House) -> None:
    for _ in range(5):
        [asked] = [each for each in on.after(36.2) if each.type == "1"]
        on.says(EMS, "0", [(112, asked.fields[112])])
    assert on.line(EMS).state == line.UP


def test_a_step_of_the_wall_clock_ends_nothing(on: House) -> None:
    for minutes in (10, -20):
        on.apply(clock_event(on.time_ns, WALL_NS + minutes * 60 * 10**9))
        assert on.after(5) == []
    assert on.line(EMS).state == line.UP


@pytest.mark.parametrize("step_s", [-300, 300])
def test_a_step_of_the_wall_clock_ends_nothing_while_messages_come(on: House, step_s: int) -> None:
    """Peers whose clocks did not step, and what one sends later that steps with ours."""
    on.event(ev.CONNECTED, VENUE)
    on.logs_on(VENUE)
    for name, seconds in ((EMS, step_s), (VENUE, 100 * step_s)):
        on.apply(clock_event(on.time_ns, WALL_NS + seconds * 10**9))
        assert only(on.says(name, "1", [(112, "x")]), "0")[112] == "x"
        on.says(name, "0")
        on.sent_before_s = -seconds
        on.says(name, "0")
        on.sent_before_s = 0.0
        assert on.line(name).state == line.UP


def test_an_order_ahead_of_a_gap_waits(on: House) -> None:
    """It is not taken before what is missing has come: HELD, for the engine to give again."""
    sent = on.says(EMS, "D", [*ORDER, (60, on.utc())], number=4)
    assert (only(sent, "2")[7], on.line(EMS).happened) == ("2", line.AHEAD)
    assert on.record.accepted_orders == 0
    assert on.says(EMS, "D", [*ORDER, (60, on.utc())], number=5) == [], "it is under way"
    on.says(EMS, "4", [(123, "Y"), (36, "4")], 2, t43="Y", t122=on.utc())
    on.says(EMS, "D", [*ORDER, (60, on.utc())], number=4)
    assert on.line(EMS).next_in == 5


def test_a_gap_fill_does_not_cover_what_has_come(on: House) -> None:
    """An EMS that resends no order fills the gap up to its last number; an order that is HELD was sent and has come."""
    for number in (5, 6):
        on.says(EMS, "D", [*ORDER, (60, on.utc())], number=number)
    on.says(EMS, "4", [(123, "Y"), (36, "9")], 2, t43="Y", t122=on.utc())
    assert on.line(EMS).next_in == 5
    on.says(EMS, "D", [*ORDER, (60, on.utc())], number=5)
    assert on.line(EMS).next_in == 6
    on.says(EMS, "D", [*ORDER, (11, "B"), (60, on.utc())], number=6)
    assert on.line(EMS).next_in == 9
    on.says(EMS, "0", number=9)
    assert on.line(EMS).next_in == 10


def test_what_was_held_on_a_lost_connection_is_covered_by_a_gap_fill(on: House) -> None:
    on.says(EMS, "D", [*ORDER, (60, on.utc())], number=5)
    on.event(ev.LOGOUT, EMS)
    on.logs_on(number=6)
    on.says(EMS, "4", [(123, "Y"), (36, "7")], 2, t43="Y", t122=on.utc())
    assert on.line(EMS).next_in == 7


def test_a_gap_that_stays_open_leaves_its_count_in_the_journal(on: House) -> None:
    """Ticks that only count leave a record, too: a replay asks as often as the session did."""
    on.says(EMS, "0", number=9)
    assert [each.type for each in on.after(40) if each.type == "2"] == ["2"] * (line.MOST_ASKS - 1)
    assert on.line(EMS).asked_to == 0


def test_what_was_answered_in_part_is_asked_for_again(on: House) -> None:
    on.says(EMS, "0", number=9)
    on.says(EMS, "4", [(123, "Y"), (36, "5")], 2, t43="Y", t122=on.utc())
    asked = [each for each in on.after(6) if each.type == "2"]
    assert [each.fields[7] for each in asked] == ["5"]


def test_a_resend_request_names_what_the_engine_is_to_send(on: House) -> None:
    for _ in range(4):
        on.says(EMS, "1", [(112, "x")])
    for first, last, wanted in ((2, 3, (2, 3)), (1, 0, (1, 5)), (2, 99, (2, 5)), (9, 0, (0, 0))):
        on.line(EMS).resend_from = on.line(EMS).resend_to = 0
        assert on.says(EMS, "2", [(7, first), (16, last)]) == []
        assert (on.line(EMS).resend_from, on.line(EMS).resend_to) == wanted


def test_a_resend_request_ahead_of_a_gap_is_answered_at_once(on: House) -> None:
    """Two sides that both miss something would else wait for each other."""
    on.says(EMS, "2", [(7, "1"), (16, "0")], number=8)
    assert on.line(EMS).happened & line.RESEND


@pytest.mark.parametrize(("gap_fill", "new", "next_in"), [("Y", "9", 9), ("N", "9", 9), ("Y", "2", 3), ("N", "1", 2)])
def test_sequence_resets(on: House, gap_fill: str, new: str, next_in: int) -> None:
    """A NewSeqNo that would go back is rejected; a gap fill that does counts as a message."""
    sent = on.says(EMS, "4", [(123, gap_fill), (36, new)], number=2)
    assert on.line(EMS).next_in == next_in
    assert [each.type for each in sent] == ([] if new == "9" else ["3"])


def test_a_number_seen_before_ends_the_session_unless_it_is_a_copy(on: House) -> None:
    assert on.says(EMS, "0", number=1, t43="Y", t122=on.utc()) == []
    sent = on.says(EMS, "0", number=1)
    assert [each.type for each in sent] == ["5", CUT] and "too low, expecting 2" in sent[0].fields[58]


def test_an_order_resent_without_original_time_is_rejected(on: House) -> None:
    fields = only(on.says(EMS, "D", [*ORDER, (60, on.utc())], t43="Y"), "3")
    assert (fields[371], fields[373]) == ("122", "1")
    assert on.line(EMS).state == line.UP and on.record.accepted_orders == 0


def test_an_order_whose_sending_time_is_off_ends_the_session(on: House) -> None:
    on.sent_before_s = 180
    sent = on.says(EMS, "D", [*ORDER, (60, on.utc())])
    assert [each.type for each in sent] == ["3", "5"] and sent[0].fields[373] == "10"


def test_a_cancel_whose_sending_time_is_off_passes(on: House) -> None:
    on.sent_before_s = 180
    sent = on.says(EMS, "F", [(11, "C"), (41, "NONE"), (54, "1"), (55, "AAPL"), (60, on.utc())])
    assert only(sent, "9")[102] == "1"


@pytest.mark.parametrize("off_s", [-11, -9, 9, 11])
def test_max_latency_says_how_far_a_sending_time_may_be_off(tmp_path: Path, off_s: int) -> None:
    """Of an EMS and of a venue, either way; a fill and a cancel pass."""
    house = House(tmp_path, max_latency="10s")
    house.event(ev.CONNECTED, VENUE)
    for name in (EMS, VENUE):
        house.logs_on(name)
    house.sent_before_s = off_s
    in_time = abs(off_s) < 10
    cancel = house.says(EMS, "F", [(11, "C"), (41, "NONE"), (54, "1"), (55, "AAPL"), (60, house.utc())])
    assert only(cancel, "9")[102] == "1"
    house.says(VENUE, "8", FILL)
    assert house.record.unknown_executions == 1
    for name in (EMS, VENUE):
        sent = house.says(name, "1", [(112, "x")])
        assert [each.type for each in sent] == (["0"] if in_time else ["3", "5"]), name


@pytest.mark.parametrize("off_s", [-180, 180])
def test_a_logon_that_is_off_is_cut_unless_max_latency_is_0(tmp_path: Path, off_s: int) -> None:
    """120 s of an EMS where nothing is said; of a venue it is not looked at."""
    for number, section in enumerate(({}, {"max_latency": "0s"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        house = House(folder, **section)
        house.sent_before_s = off_s
        [answer] = house.logs_on()
        assert answer.type == ("A" if section else CUT)
        assert section or "SendingTime" in answer.fields[58]
        house.event(ev.CONNECTED, VENUE)
        assert house.logs_on(VENUE) == [] and house.line(VENUE).state == line.UP


def test_a_wrong_begin_string_ends_the_session(on: House) -> None:
    assert only(on.says(EMS, "0", t8="FIX.4.2"), "5")[58] == "Incorrect BeginString"


def test_a_message_of_somebody_else_is_rejected_and_ends_the_session(on: House) -> None:
    sent = on.says(EMS, "0", t49="OTHER")
    assert [each.type for each in sent] == ["3", "5"] and sent[0].fields[373] == "9"


def test_a_logout_is_answered_and_the_connection_closed(on: House) -> None:
    assert [each.type for each in on.says(EMS, "5")] == ["5", CUT]


@pytest.mark.parametrize("answers", [True, False])
def test_our_logout(on: House, answers: bool) -> None:
    only(on.event(ev.LOG_OUT, EMS), "5")
    sent = on.says(EMS, "5") if answers else on.after(2.5)
    assert [each.type for each in sent] == [CUT]


def test_no_logon_in_time(house: House) -> None:
    house.event(ev.CONNECTED, VENUE)
    assert CUT in [each.type for each in house.after(30, VENUE)]


# To a venue.


@pytest.fixture
def up(house: House) -> House:
    """The venue has answered our Logon."""
    only(house.event(ev.CONNECTED, VENUE), "A", 1)
    house.logs_on(VENUE)
    return house


def test_what_the_venue_missed_is_settled_when_it_has_answered(up: House) -> None:
    """A TestRequest follows the Logon: its answer comes behind whatever was asked for."""
    [asked] = [each for each in up.after(0.2, VENUE) if each.type == "1"]
    up.says(VENUE, "0", [(112, asked.fields[112])])
    assert up.line(VENUE).happened & line.SYNCED


def test_a_fill_is_booked_whatever_its_header_says(up: House) -> None:
    up.logs_on(EMS)
    for header in ({"t52": "20200101-00:00:00"}, {"t43": "Y"}, {"t43": "Y", "t122": up.utc(-3600)}, {"t52": None}):
        before = up.line(VENUE).next_in
        report = [(37, "V1"), (17, f"E{before}"), (150, "F"), (39, "1"), (55, "AAPL"), (54, "1"), (11, "C9-9")]
        sent = up.says(VENUE, "8", [*report, (32, "1"), (31, "100"), (14, "1"), (151, "0"), (6, "100")], **header)
        assert [each.type for each in sent if each.type in ("3", "5", CUT)] == [], header
        assert up.line(VENUE).next_in == before + 1


def test_of_two_numbers_the_one_that_counts_is_told(up: House) -> None:
    """The engine keeps the message under it: kept under the other, it would be given again and again."""
    up.says(VENUE, "8", [(37, "V1"), (17, "E1"), (34, "2")], number=2**63)
    assert (up.line(VENUE).happened, up.line(VENUE).held) == (line.AHEAD, MOST_NUMBER)


def test_a_venue_that_has_seen_more_of_us_is_told_the_number_that_it_wants(house: House) -> None:
    """Our journal has lost its end. What the venue sent meanwhile can still be asked for; its orders are in doubt."""
    house.event(ev.CONNECTED, VENUE)
    sent = house.says(VENUE, "5", [(58, "MsgSeqNum too low, expecting 40 but received 1")])
    assert [each.type for each in sent] == [CUT]
    house.event(ev.LOGOUT, VENUE)
    assert 141 not in only(house.event(ev.CONNECTED, VENUE), "A", 40)
    house.logs_on(VENUE)
    assert house.record.sessions[1].continued == 0


def test_a_reset_in_the_middle(up: House) -> None:
    up.says(VENUE, "0")
    fields = only(up.says(VENUE, "A", [(98, "0"), (108, "30"), (141, "Y")], number=1), "A", 1)
    assert fields[141] == "Y" and up.line(VENUE).next_in == 2 and up.line(VENUE).happened & line.RESET


def test_a_session_that_is_disabled_logs_on_neither_way(house: House) -> None:
    """Also where the connection was under way when a person disabled it."""
    for name in (EMS, VENUE):
        house.line(name).disabled = 1
    assert only(house.event(ev.CONNECTED, VENUE), CUT) == {58: "the session is disabled"}
    assert only(house.logs_on(), CUT) == {58: "the session is disabled"}
    assert house.record.sessions["up"].sum() == 0


def test_no_order_goes_to_a_venue_that_is_being_logged_out(up: House) -> None:
    up.logs_on(EMS)
    [asked] = [each for each in up.after(0.2, VENUE) if each.type == "1"]
    up.says(VENUE, "0", [(112, asked.fields[112])])
    up.event(ev.LOG_OUT, VENUE)
    for state in (line.LOGOUT_SENT, line.CUT):
        assert up.line(VENUE).state == state
        before = up.line(VENUE).next_out
        refused = up.says(EMS, "D", [*((tag, f"A{state}" if tag == 11 else v) for tag, v in ORDER), (60, up.utc())])
        assert only(refused, "8")[39] == "8"
        assert up.line(VENUE).next_out == before
        up.says(VENUE, "5")


def test_our_next_expected_number_is_that_of_the_gap(house: House) -> None:
    house.logs_on()
    house.event(ev.LOGOUT, EMS)
    answer = only(house.logs_on(number=5, t789="2"), "A")
    assert answer[789] == "2"


def test_a_venue_that_uses_next_expected_number_is_asked_for_the_gap(house: House) -> None:
    """Our Logon has none, so it cannot know what we miss."""
    house.event(ev.CONNECTED, VENUE)
    house.logs_on(VENUE)
    house.event(ev.LOGOUT, VENUE)
    house.event(ev.CONNECTED, VENUE)
    assert only(house.logs_on(VENUE, number=5, t789=str(house.line(VENUE).next_out)), "2")[7] == "2"


def test_a_reset_in_the_middle_that_is_refused_changes_no_number(on: House) -> None:
    for _ in range(3):
        on.says(EMS, "0")
    before = on.line(EMS).next_in
    assert only(on.says(EMS, "A", [(98, "0"), (141, "Y")], number=1), "3")
    assert on.line(EMS).next_in == before


def test_a_reset_in_the_middle_ends_what_was_asked_for(on: House) -> None:
    on.says(EMS, "0", number=30)
    on.says(EMS, "A", [(98, "0"), (108, 30), (141, "Y")], number=1)
    assert on.line(EMS).happened & line.ANEW
    assert "2" not in [each.type for each in on.after(6)]


def test_one_logout_is_enough_and_its_answer_ends_the_session(on: House) -> None:
    on.sent_before_s = 600.0
    assert [each.type for each in on.says(EMS, "0")] == ["3", "5"]
    assert [each.type for each in on.says(EMS, "0")] == ["3"]
    assert [each.type for each in on.says(EMS, "5")] == [CUT]


def test_a_start_knows_of_no_connection(on: House) -> None:
    on.start(ev.CRASHED)
    assert on.line(EMS).state == line.OFF
    only(on.logs_on(number=on.line(EMS).next_in), "A")
