"""The native engine and its journal: what is resent, what a peer can leave there, the first Logon after a death."""

from __future__ import annotations

import signal

import numpy as np
import yaml

from gateway.journal import format as f
from gateway.journal.scan import write_record_crc
from tests.end_to_end.conftest import Topology
from tests.support.raw_venue import RawEms, RawVenue, compose
from tidegate_tools.fix.text import first, utc_now

LONGEST_MESSAGE = 8_192
SPINS = b"\x01" + b"\0" * 7  # read as the length of a record: none is so short


def refused_order(ems: RawEms, name: str, number: int) -> bytes:
    ems.next_seq_num += 1
    terms = [(1, "ACC1"), (11, f"{name}{number}"), (21, "1"), (38, "999999"), (40, "2"), (44, "100"), (54, "1")]
    fields = [*terms, (55, "AAPL"), (59, "0"), (60, utc_now())]
    return compose("FIX.4.4", "D", (name, "GW"), ems.next_seq_num - 1, fields)


def seen_heartbeat(content: bytes) -> bytes:
    """A copy of the first message, whose Text(58) lies on whole words: it changes nothing and leaves no record."""
    now = utc_now()
    for padding in range(8):
        fields = [(43, "Y"), (122, now), (58, b"x" * padding + content)]
        message = compose("FIX.4.4", "0", ("RAW", "GW"), 1, fields)
        if message.index(content) % 8 == 0:
            assert len(message) < LONGEST_MESSAGE
            return message
    raise AssertionError("no place for it")


def plant(ems: RawEms, content: bytes) -> None:
    """Send it at once behind a message, so that not even the time of the last one changes."""
    heartbeat = compose("FIX.4.4", "0", ("RAW", "GW"), ems.next_seq_num, [])
    ems.next_seq_num += 1
    ems.send_bytes(heartbeat + seen_heartbeat(content))


def is_answered(ems: RawEms, cl_ord_id: str) -> bool:
    """An order's status is asked for, of one that nobody knows."""
    ems.say("H", [(11, cl_ord_id), (54, "1"), (55, "AAPL")])
    while (message := ems.answer(10)) is not None:
        if first(message, 11) == cl_ord_id:
            return True
    return False


def test_the_first_logon_after_a_death_is_answered(start) -> None:
    topology: Topology = start(engine="native", raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        topology.gateway.stop(signal.SIGKILL)
    topology.start_again()
    with RawEms(topology.port, "RAW") as again:
        again.next_seq_num = ems.next_seq_num
        again.say("A", [(98, "0"), (108, "30")])
        answer = again.answer(10)
        assert answer is not None and first(answer, 35) == "A"


def test_nobody_is_resent_what_went_to_another(start) -> None:
    """The rows of two sessions are exchanged: the journal of before has each in the row of the other."""
    topology: Topology = start(engine="native", raw=("AAA", "BBB"))
    numbers = {}
    for name in ("AAA", "BBB"):
        with RawEms(topology.port, name) as ems:
            ems.logon()
            for number in range(3):
                ems.send_bytes(refused_order(ems, name, number))
                report = ems.answer(10)
                assert report is not None and first(report, 11) == f"{name}{number}"
            numbers[name] = ems.next_seq_num
    assert topology.gateway.stop() == 0
    config = yaml.safe_load(topology.config.read_text())
    rows = {section["id"]: row for row, section in enumerate(config["sessions"])}
    sessions = config["sessions"]
    sessions[rows["AAA"]], sessions[rows["BBB"]] = sessions[rows["BBB"]], sessions[rows["AAA"]]
    topology.config.write_text(yaml.safe_dump(config))
    topology.start_again()
    with RawEms(topology.port, "AAA") as ems:
        ems.next_seq_num = numbers["AAA"]
        ems.say("A", [(98, "0"), (108, "30")])
        logon = ems.answer(10)
        assert logon is not None and first(logon, 35) == "A"
        ems.say("2", [(7, "1"), (16, "0")])
        filled = ems.answer(10)
        assert filled is not None
        assert (first(filled, 35), first(filled, 36)) == ("4", str(int(first(logon, 34)) + 1))
        assert is_answered(ems, "T")


def test_what_a_peer_leaves_behind_the_journal_hangs_nobody(start) -> None:
    """A venue's Reject(3) has the journal searched, up to its end and no further."""
    with RawVenue("RV") as venue:
        topology: Topology = start(engine="native", raw=("RAW",), elsewhere={"RV": venue.port})
        venue.wait_on()
        with RawEms(topology.port, "RAW") as ems:
            ems.logon()
            for k in range(5):
                plant(ems, SPINS * 900)
                venue.send("3", [(45, "1"), (372, "D"), (58, "no")])
                assert is_answered(ems, f"T{k}")


def test_what_a_peer_leaves_behind_the_journal_is_no_part_of_it(start) -> None:
    record = np.zeros(8, np.int64)
    record[0], record[2], record[3], record[5] = 64, 100_000, f.VERSION << 32 | f.SETTINGS, 8
    write_record_crc(record)
    topology: Topology = start(engine="native", raw=("RAW",))
    with RawEms(topology.port, "RAW") as ems:
        ems.logon()
        plant(ems, record.tobytes() * 100)
        assert is_answered(ems, "T")
        plant(ems, record.tobytes() * 100)
        topology.gateway.stop(signal.SIGKILL)
    topology.start_again()
