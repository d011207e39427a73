"""The index of a message: every field where it lies, data fields with SOH inside, and what makes it unreadable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.core.layout import MAX_MESSAGE_BYTES, record_dtype
from gateway.fix import index as ix
from gateway.fix import layout as fix_layout
from gateway.jit import entry
from tests.support.core import Core, Fields

DATA_LENGTH_TAG = np.zeros(fix_layout.MAX_TAG, np.int64)
DATA_LENGTH_TAG[[96, 213, 355]] = [95, 212, 354]


@entry
def index_of(records, buf, start, size, data_length_tag):
    """Result of index_message as an entry point."""
    return ix.index_message(records[0], buf, start, size, data_length_tag, False)


@entry
def find_in(records, tag):
    """Result of find as an entry point."""
    return ix.find(records[0], tag)


class Index:
    """One index record, used for message after message as the core does."""

    def __init__(self) -> None:
        self.records = np.zeros(1, record_dtype(fix_layout.INDEX))

    def read(self, data: bytes) -> int:
        # Bytes around the message are SOH and digits, so that reading beyond it would change the result.
        self.start = 7
        self.buffer = np.frombuffer(b"1=1\x01\x01\x01\x01" + data + b"9\x01=9\x01", np.uint8).copy()
        return int(index_of(self.records, self.buffer, self.start, len(data), DATA_LENGTH_TAG))

    @property
    def fields(self) -> list[tuple[int, bytes]]:
        record = self.records[0]
        spans = zip(record.tag, record.start, record.length, strict=True)
        return [(int(t), self.buffer[s : s + n].tobytes()) for t, s, n in list(spans)[: record.count]]

    def find(self, tag: int) -> int:
        return int(find_in(self.records, tag))


@pytest.fixture(scope="module")
def index() -> Index:
    return Index()


def test_fields_are_found_by_tag(index: Index) -> None:
    assert index.read(b"8=FIX.4.4\x0135=D\x0111=A=B\x0138=100\x0112345=x\x0110=000\x01") == fix_layout.INDEXED
    assert index.fields == [(8, b"FIX.4.4"), (35, b"D"), (11, b"A=B"), (38, b"100"), (12345, b"x"), (10, b"000")]
    assert [index.find(tag) for tag in (8, 35, 11, 38, 10, 44, 0, 9999)] == [0, 1, 2, 3, 5, -1, -1, -1]


def test_a_message_leaves_nothing_of_the_one_before(index: Index) -> None:
    assert index.read(b"11=A\x0138=100\x0144=1\x01") == fix_layout.INDEXED
    assert index.read(b"44=2\x01") == fix_layout.INDEXED
    assert (index.find(11), index.find(38), index.find(44)) == (-1, -1, 0)


def test_of_a_repeated_tag_the_first_is_found(index: Index) -> None:
    assert index.read(b"11=A\x0138=1\x0111=B\x01") == fix_layout.INDEXED
    assert index.find(11) == 0
    assert index.fields[2] == (11, b"B")


@pytest.mark.parametrize("raw", [b"a\x01b", b"\x01\x01\x01", b"10=000\x0138=1\x01", b"x", b"=\x00\xff"])
def test_data_fields_may_hold_anything(index: Index, raw: bytes) -> None:
    data = b"11=A\x01354=%d\x01355=%s\x0138=5\x01" % (len(raw), raw)
    assert index.read(data) == fix_layout.INDEXED
    assert index.fields == [(11, b"A"), (354, b"%d" % len(raw)), (355, raw), (38, b"5")]


@pytest.mark.parametrize("length", [b"4", b"6", b"999", b"99999999999999999999", b"-1", b"x", b"5.0"])
def test_data_fields_with_a_wrong_length(index: Index, length: bytes) -> None:
    assert index.read(b"354=%s\x01355=a\x01b=c\x0138=5\x01" % length) == fix_layout.BAD_DATA_LENGTH


def test_data_field_that_runs_to_the_end(index: Index) -> None:
    assert index.read(b"354=3\x01355=abc\x01") == fix_layout.INDEXED
    assert index.read(b"354=3\x01355=abc") == fix_layout.BAD_DATA_LENGTH
    assert index.read(b"354=4\x01355=abc\x01") == fix_layout.BAD_DATA_LENGTH


def test_data_field_without_its_length_is_read_as_text(index: Index) -> None:
    assert index.read(b"355=abc\x0138=5\x01") == fix_layout.INDEXED
    assert index.read(b"354=3\x0111=A\x01355=abc\x01") == fix_layout.INDEXED
    assert index.fields == [(354, b"3"), (11, b"A"), (355, b"abc")]


@pytest.mark.parametrize("data", [b"11=A", b"11=A\x0138=5", b"11=A\x0138", b"11=A\x0138=", b"1", b"11=A\x015"])
def test_truncated(index: Index, data: bytes) -> None:
    assert index.read(data) == fix_layout.TRUNCATED


@pytest.mark.parametrize(
    "field",
    [b"38\x01", b"=5\x01", b"\x01", b"x=5\x01", b"-1=5\x01", b"3x8=5\x01", b" 38=5\x01", b"38 =5\x01", b"038=5\x01"]
    + [b"0=5\x01", b"1234567890=5\x01", b"99999999999999999999999999=5\x01", b"\xff=5\x01", b"+38=5\x01"],
)
def test_bad_tags(index: Index, field: bytes) -> None:
    assert index.read(b"11=A\x01" + field + b"44=1\x01") == fix_layout.BAD_TAG
    assert index.read(field + b"44=1\x01") == fix_layout.BAD_TAG


def test_the_largest_tags_are_listed_but_not_found(index: Index) -> None:
    assert index.read(b"9999=a\x0110000=b\x01999999999=c\x01") == fix_layout.INDEXED
    assert index.fields == [(9999, b"a"), (10000, b"b"), (999_999_999, b"c")]
    assert index.find(9999) == 0


def test_an_empty_value_is_told_after_everything_is_indexed(index: Index) -> None:
    assert index.read(b"11=A\x0138=\x0144=\x0154=1\x01") == fix_layout.EMPTY_VALUE
    assert index.records[0].empty_tag == 38
    assert index.fields == [(11, b"A"), (38, b""), (44, b""), (54, b"1")]
    assert index.find(54) == 3
    assert index.read(b"11=A\x01") == fix_layout.INDEXED


def test_an_empty_data_field_is_an_empty_value(index: Index) -> None:
    assert index.read(b"354=0\x01355=\x0138=5\x01") == fix_layout.EMPTY_VALUE
    assert index.records[0].empty_tag == 355


def test_an_empty_message(index: Index) -> None:
    assert index.read(b"") == fix_layout.INDEXED
    assert index.fields == []


def test_as_many_fields_as_there_is_room_for(index: Index) -> None:
    data = b"58=x\x01" * fix_layout.MAX_FIELDS
    assert index.read(data) == fix_layout.INDEXED
    assert len(index.fields) == fix_layout.MAX_FIELDS
    assert index.read(data + b"58=x\x01") == fix_layout.TOO_MANY_FIELDS
    assert index.read(b"58=x\x01") == fix_layout.INDEXED


# What the EMS sees of it


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    return Core(tmp_path_factory.mktemp("core"))


HEAD = b"8=FIX.4.4\x019=0\x0135=D\x0134=77\x0149=EMS1\x0152=20260711-12:00:00.000\x0156=GW\x01"
TAIL = b"10=000\x01"
COUNT = iter(range(10**6))


def order() -> bytes:
    number = next(COUNT)
    return (
        b"1=ACC1\x0111=I%d\x0121=1\x0138=1\x0140=2\x0144=100\x0154=1\x0155=AAPL\x0160=20260711-12:00:00.000\x01"
        % number
    )


def answer(core: Core, data: bytes) -> tuple[str, str, Fields]:
    (reply,) = core.raw("EMS1", data)
    return reply


def test_order_with_a_data_field_reaches_the_venue_unchanged_by_it(core: Core) -> None:
    session, msg_type, fields = answer(core, HEAD + order() + b"354=12\x01355=a\x0138=99999\x01b\x01" + TAIL)
    assert (session, msg_type, fields[38]) == ("XNAS", "D", "1")


def test_empty_value_is_a_session_reject(core: Core) -> None:
    session, msg_type, fields = answer(core, HEAD + order() + b"15=\x01" + TAIL)
    assert (session, msg_type) == ("EMS1", "3")
    assert (fields[371], fields[372], fields[373], fields[45]) == ("15", "D", "4", str(core._next_seq - 1))


@pytest.mark.parametrize("field", [b"1234567890=5\x01", b"038=5\x01", b"xyz\x01", b"=\x01", b"\x01"])
def test_bad_tag_is_a_session_reject(core: Core, field: bytes) -> None:
    session, msg_type, fields = answer(core, HEAD + order() + field + TAIL)
    assert (session, msg_type) == ("EMS1", "3")
    assert fields[372] == "D" and fields[373] == "0"


@pytest.mark.parametrize("cut", [1, 3, 6, 8, 12, 20, 33])
def test_truncated_message_is_answered(core: Core, cut: int) -> None:
    session, msg_type, _ = answer(core, (HEAD + order() + TAIL)[:-cut])
    assert (session, msg_type) in {("EMS1", "3"), ("EMS1", "8"), ("EMS1", "j")}


def test_too_many_fields_are_answered(core: Core) -> None:
    session, msg_type, _ = answer(core, HEAD + order() + b"".join(b"%d=x\x01" % t for t in range(20000, 20600)) + TAIL)
    assert session == "EMS1" and msg_type in ("3", "j")


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, 10 * MAX_MESSAGE_BYTES, 100_000])
def test_a_message_that_is_too_long_draws_a_business_reject(core: Core, size: int) -> None:
    body = HEAD + order()
    data = body + b"58=" + b"x" * (size - len(body) - len(TAIL) - 4) + b"\x01" + TAIL
    assert len(data) == size
    session, msg_type, fields = answer(core, data)
    assert (session, msg_type, fields[372]) == ("EMS1", "j", "D")


def test_the_longest_message_is_taken(core: Core) -> None:
    body = HEAD + order()
    data = body + b"58=" + b"x" * (MAX_MESSAGE_BYTES - len(body) - len(TAIL) - 4) + b"\x01" + TAIL
    assert len(data) == MAX_MESSAGE_BYTES
    assert answer(core, data)[:2] == ("XNAS", "D")


def test_reports_of_a_venue_with_broken_bytes_are_alerts(tmp_path: Path) -> None:
    core = Core(tmp_path)
    head = HEAD.replace(b"35=D", b"35=8").replace(b"49=EMS1", b"49=XNAS")
    for tail in (b"11=C1-0", b"x=1\x01", b"37=\x01", b"=\x01"):
        (reply,) = core.raw("XNAS", head + tail)
        assert reply[:2] == ("", ""), reply
