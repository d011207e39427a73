"""What the compiled code writes, read by a reader that knows only the documented format."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.core import alerts as al
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.alerts import alert_text
from gateway.core.driver import Event
from gateway.core.layout import MAX_MESSAGE_BYTES, NONE
from gateway.fix.tags import message_type
from gateway.jit import entry
from gateway.journal import format as f
from gateway.journal.append import _append_decision, append_settings
from gateway.journal.decision import read_decision
from gateway.journal.read import Entry, JournalError, Segment, entries, read_segment, segment_files, segment_head
from gateway.journal.recovery import recover
from tests.properties.test_plain_python import history
from tests.support.core import BASE, Fields, fields_of
from tests.support.journal import (
    COMMIT,
    DECISION,
    HEAD,
    IN,
    OUT,
    SEAL,
    SETTINGS,
    Bare,
    JournaledCore,
    Raw,
    crc_32c,
    padded,
    raw_records,
)

ROOT = Path(__file__).parents[2]
SETTINGS_BODY = struct.Struct("<q")
IN_BODY = struct.Struct("<5q8q")
OUT_BODY = struct.Struct("<4q")
COMMIT_BODY = struct.Struct("<4q")
DECISION_BODY = struct.Struct("<27q")
SEGMENT = struct.Struct("<8s5q9qq")
FINDING = struct.Struct("<4q")
REJECTED = "8"


def read(core: JournaledCore) -> list[Raw]:
    """All records of the segment in use."""
    used = int(core.journal_writer.cursor[0].used)
    return raw_records(core.journal_writer.block[0].bytes[:used].tobytes())


def grouped(records: list[Raw]) -> list[list[Raw]]:
    """The records of each event, from IN to COMMIT."""
    events: list[list[Raw]] = []
    for record in records:
        if record.kind == IN:
            events.append([])
        if record.kind not in (SETTINGS, SEAL):
            events[-1].append(record)
    return events


def put_together(record: Raw) -> bytes:
    """The bytes of a record that its CRC is of."""
    head = HEAD.pack(record.length, record.crc, record.sequence, record.kind, record.version, record.time_ns)
    return head[:8] + head[16:] + record.body


# What was written is what happened


def test_the_head_of_a_segment(core: JournaledCore) -> None:
    head = core.journal_writer.block[0].bytes[: SEGMENT.size].tobytes()
    magic, version, number, first, run, wall_ns, *spare, crc = SEGMENT.unpack(head)
    assert (magic, version, number, first, run) == (b"TIDEJRNL", 2, 1, 1, 1)
    assert wall_ns > 0
    assert spare == [0] * 9
    assert crc == crc_32c(head[:-8])


def test_every_record_has_its_number_version_time_and_crc(core: JournaledCore) -> None:
    history(core)
    records = read(core)
    assert len(records) > 80
    assert [r.sequence for r in records] == list(range(1, len(records) + 1))
    assert {r.version for r in records} == {2}
    assert all(r.length % 8 == 0 for r in records)
    assert all(r.crc == crc_32c(put_together(r)) for r in records)
    assert {r.kind for r in records} == {SETTINGS, IN, DECISION, OUT, COMMIT}
    times = [r.time_ns for r in records]
    assert times == sorted(times)
    assert core.journal_writer.committed == records[-1].sequence


def test_events_and_outputs(core: JournaledCore) -> None:
    """Byte for byte, and each between the IN and the COMMIT of its event."""
    history(core)
    events = grouped(read(core))
    assert len(events) == len(core.log)
    for records, (event, outputs) in zip(events, core.log, strict=True):
        kinds = [r.kind for r in records]
        decided = [DECISION] * (DECISION in kinds)
        assert kinds == [IN, *decided, *[OUT] * len(outputs), COMMIT]
        assert {r.time_ns for r in records} == {event.time_ns}
        kind, session, msg_seq_num, poss_dup, size, *value = IN_BODY.unpack_from(records[0].body)
        data = records[0].body[IN_BODY.size :]
        assert Event(kind, event.time_ns, session, msg_seq_num, bool(poss_dup), data[:size], tuple(value)) == padded(
            event
        )
        assert data[size:] == bytes(-size % 8)
        for record, output in zip([r for r in records if r.kind == OUT], outputs, strict=True):
            to, number, written_type, size = OUT_BODY.unpack_from(record.body)
            body = record.body[OUT_BODY.size :]
            assert (to, number) == (output.session, 0)
            assert body[size:] == bytes(-size % 8)
            if output.session == NONE:
                assert (written_type, alert_text(written_type, body[:size])) == (output.alert, output.body)
            else:
                assert (written_type, body[:size]) == (message_type(output.message_type), output.body)
        count, took_ns, _, fault = COMMIT_BODY.unpack(records[-1].body)
        assert count & 0xFFFFFFFF == len(outputs)  # above it, what it came to
        assert took_ns >= 0
        assert fault & core.record.fault == fault
    assert COMMIT_BODY.unpack(events[-1][-1].body)[3] == core.record.fault


def test_decisions(core: JournaledCore) -> None:
    """Each order that was judged has one, with the numbers that the child or the reject tells too."""
    history(core)
    verdicts = set()
    for records, (event, outputs) in zip(grouped(read(core)), core.log, strict=True):
        told = [r for r in records if r.kind == DECISION]
        children = [fields_of(o.body) for o in outputs if o.message_type in "DG" and o.session == core.sessions["XNAS"]]
        refusals = [fields_of(o.body) for o in outputs if b"\x01103=" in o.body and o.message_type == REJECTED]
        if children:
            assert len(told) == 1
        if told:
            verdicts.add(DECISION_BODY.unpack_from(told[0].body)[0])
            check_decision(core, told[0], fields_of(event.data), children, refusals)
    assert verdicts == {a.ACCEPTED, a.REFUSED}


def check_decision(
    core: JournaledCore, record: Raw, order: Fields, children: list[Fields], refusals: list[Fields]
) -> None:
    words = DECISION_BODY.unpack_from(record.body)
    verdict, kind, _, run, child, instrument, venue, side, ord_type, qty_e8, price_e8 = words[:11]
    entity_count, finding_count = words[-2:]
    rest = record.body[DECISION_BODY.size :]
    assert len(rest) == entity_count * 8 + finding_count * FINDING.size
    findings = [FINDING.unpack_from(rest, entity_count * 8 + k * FINDING.size) for k in range(finding_count)]
    fired = [finding for finding in findings if finding[0] >> 25 & 1]
    assert kind == message_type(order[35])
    assert qty_e8 == int(order[38]) * 10**8
    if 44 in order:
        assert price_e8 == round(float(order[44]) * 10**8)
    assert instrument == core.state.instruments[order[55]]
    assert venue == core.sessions["XNAS"]
    assert (chr(side), chr(ord_type)) == (order[54], order[40])
    if verdict == a.ACCEPTED:
        assert [fields[11] for fields in children] == [f"C{run}-{child}"]
        assert fired == []
        assert {what & 0xFF for what, *_ in findings} >= {c.MAX_ORDER_QTY, c.MAX_ORDER_NOTIONAL, c.MAX_MESSAGES}
        assert all(value <= bound for what, _, value, bound in findings if what & 0xFF != c.PRICE_COLLAR)
    else:
        assert (children, run, child) == ([], 0, 0)
        assert fired == findings[: len(fired)] != []
        mask = words[18]
        assert mask == sum({1 << (what & 0xFF) for what, *_ in fired})
        for what, _, value, bound in fired:
            has_numbers = what >> 8 & 0xFFFF == 0 and bound > 0
            if has_numbers and what & 0xFF in (c.MAX_ORDER_QTY, c.MAX_LONG):
                assert f"{value // 10**8} > {bound // 10**8}" in refusals[0][58]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES])
def test_padding_is_zeros_whatever_was_there(core: JournaledCore, size: int) -> None:
    """The segment is full of other bytes, and so is the word that the message ends in."""
    bare = Bare()
    core.driver._journal = bare
    core.raw("EMS1", b"x" * size)
    record = raw_records(bare.content())[0]
    assert record.length == HEAD.size + IN_BODY.size + (size + 7) // 8 * 8
    assert record.body[IN_BODY.size :] == b"x" * size + bytes(-size % 8)
    assert record.crc == crc_32c(put_together(record))


def test_of_a_message_that_is_too_long_the_start_is_kept_and_its_size(core: JournaledCore) -> None:
    data = bytes(range(1, 251)) * 40
    core.raw("EMS1", data)
    record = grouped(read(core))[-1][0]
    assert IN_BODY.unpack_from(record.body)[4] == len(data)
    assert record.body[IN_BODY.size :] == data[:MAX_MESSAGE_BYTES]
    core.close()
    *_, last = entries(read_segment(segment_files(core.folder)[0]))
    assert isinstance(last, Entry)
    assert last.event.data == data[:MAX_MESSAGE_BYTES] + bytes(len(data) - MAX_MESSAGE_BYTES)


def test_an_idle_tick_leaves_nothing(core: JournaledCore) -> None:
    before, events = read(core), int(core.record.events)
    for _ in range(3):
        core.wait(1)
        assert core.tick() == []
    assert read(core) == before
    assert core.record.events == events
    core.quote("AAPL", 99.98, 100.02)
    after = read(core)
    assert [r.kind for r in after[len(before) :]] == [IN, COMMIT]
    assert after[len(before)].sequence == before[-1].sequence + 1


def test_a_tick_that_sends_is_kept(make: Callable[..., JournaledCore]) -> None:
    sessions = [dict(section, market_data=section["id"] == "XNAS") for section in BASE["sessions"]]
    core = make(config=BASE | {"sessions": sessions})
    before = read(core)
    assert [kind for _, kind, _ in core.tick()] == ["V"]
    assert [r.kind for r in read(core)[len(before) :]] == [IN, OUT, COMMIT]


def test_numbers_go_on_over_segments(make: Callable[..., JournaledCore]) -> None:
    core = make(limit_bytes=256 << 10)
    while core.journal_writer.number < 5:
        core.wait(0.01)
        core.new(f"A{len(core.log)}", qty="1")
    core.close()
    sequence = 0
    for number, path in enumerate(segment_files(core.folder), 1):
        content = path.read_bytes()
        assert path.name == f"{number:08d}.journal"
        assert SEGMENT.unpack_from(content)[2:4] == (number, sequence + 1)
        records = raw_records(content)
        assert [r.sequence for r in records] == list(range(sequence + 1, sequence + 1 + len(records)))
        assert [r.kind == SEAL for r in records] == [False] * (len(records) - 1) + [True]
        assert records[-1].at + records[-1].length == len(content)
        sequence += len(records)
    assert number == 5


def test_settings_begin_a_segment(core: JournaledCore) -> None:
    core.new("A1")
    core.journal_writer.append_settings(b'{"later": 1}', core.time_ns)
    core.new("A2")
    core.close()
    texts = []
    for path in segment_files(core.folder):
        first, *others = raw_records(path.read_bytes())
        assert first.kind == SETTINGS not in [r.kind for r in others]
        (size,) = SETTINGS_BODY.unpack_from(first.body)
        packed = first.body[SETTINGS_BODY.size :]
        assert packed[size:] == bytes(-size % 8)
        texts.append(zlib.decompress(packed[:size]))
    assert texts == [core.settings.to_json(), b'{"later": 1}']


def test_settings_that_no_segment_can_hold_are_refused_with_a_sentence(make: Callable[..., JournaledCore]) -> None:
    core = make(limit_bytes=128 << 10)
    with pytest.raises(OSError, match="settings do not fit") as error:
        core.journal_writer.append_settings(os.urandom(100_000), core.time_ns)
    assert str(core.folder) in str(error.value) and "\n" not in str(error.value)


def test_the_reader_gives_back_what_happened(core: JournaledCore) -> None:
    history(core)
    core.close()
    (path,) = segment_files(core.folder)
    first, *got = entries(read_segment(path))
    assert isinstance(first, bytes)
    assert zlib.decompress(first) == core.settings.to_json()
    for entry_, (event, outputs) in zip(got, core.log, strict=True):
        assert isinstance(entry_, Entry)
        assert entry_.event == padded(event)
        assert entry_.outputs == outputs
        if entry_.decision is None:
            assert entry_.breaches.size == 0
        elif entry_.decision["verdict"] == a.REFUSED:
            assert entry_.decision["mask"] == np.bitwise_or.reduce(1 << entry_.breaches["check"])
    assert sum(entry_.decision is not None for entry_ in got if isinstance(entry_, Entry)) > 5


# Every field of the documented dtypes is the one that the kernels write


@entry
def append_decision(block, cursor_block, segment_block):
    _append_decision(block[0], cursor_block[0], segment_block[0])


def fields_by_name(dtype: np.dtype, record: Raw) -> dict[str, list[int]]:
    """The fields of a record behind its head, as lists of numbers."""
    raw = np.frombuffer(bytes(HEAD.size) + record.body, dtype, 1)[0]
    return {name: np.atleast_1d(raw[name]).tolist() for name in dtype.names if name != "head"}


def expected(**values: object) -> dict[str, list[int]]:
    return {name: np.atleast_1d(value).tolist() for name, value in values.items()}


@pytest.mark.parametrize("verdict", [a.ACCEPTED, a.REFUSED])
@pytest.mark.parametrize("breach_count", [0, 1, 3, a.MAX_BREACHES])
def test_fields_of_a_decision(core: JournaledCore, verdict: int, breach_count: int) -> None:
    """Each word of the candidate has a number of its own, and must be found under its name."""
    bare = Bare(first_sequence=41)
    s = core.record
    candidate = s.work.candidate
    words = core.state.block.view("i8")
    start = (core.state.block.dtype.fields["work"][1] + a.WORK.fields["candidate"][1]) // 8
    words[start : start + a.CANDIDATE.itemsize // 8] = 10**6 + np.arange(a.CANDIDATE.itemsize // 8)
    for k in range(a.MAX_BREACHES):
        b = candidate.breach[k]
        b.check, b.detail, b.paired = k, k - 1, k % 2
    candidate.measured["paired"] = np.arange(a.MAX_CHECKS) % 2
    candidate.mask = 0b0110
    candidate.compared = 1 << 62 | 0b0111  # 1 and 2 have fired: of 0 and 62 is told what was compared
    candidate.breach_count = breach_count
    candidate.graded_count = 1
    candidate.graded[0].check, candidate.graded[0].paired, candidate.graded[0].severity = 12, 1, a.WARN
    s.work.decision = verdict
    s.work.request = 3
    request = s.requests[3]
    request.order, request.run, request.child = 71, 72, 73
    append_decision(core.state.block, bare.cursor, bare.block)
    (record,) = raw_records(bare.content())
    rest = record.body[f.DECISION_RECORD.itemsize - HEAD.size :]
    accepted = verdict == a.ACCEPTED
    wanted = {name: candidate[name] for name in f.DECISION_RECORD.names if name in candidate.dtype.names} | {
        "verdict": verdict,
        "message_type": candidate.kind,
        "order": 71 if accepted else candidate.order,
        "run": 72 if accepted else 0,
        "child": 73 if accepted else 0,
        "collar_bps": candidate.limit[a.COLLAR_BPS],
        "entity_count": a.SCOPES,
        "finding_count": breach_count + 3,
        **dict.fromkeys(("parameter_epoch", "model", "score_e8"), 0),
        **dict.fromkeys(("candidate_model", "candidate_score_e8", "candidate_verdict"), 0),
    }
    assert fields_by_name(f.DECISION_RECORD, record) == expected(**wanted)
    assert (record.sequence, record.time_ns) == (41, s.now_ns)
    segment = Segment.of(Path("s"), segment_head(1, 41, 1, 0) + bare.content()[f.SEGMENT_HEAD.itemsize :])
    decision, findings = read_decision(segment, 0)
    assert decision["entities"].tolist() == candidate.entities[: a.SCOPES].tolist() + [NONE] * (a.MAX_SCOPES - a.SCOPES)
    breaches = [(b.check, b.detail, b.entity, b.paired, b.value, b.limit, 1, 0) for b in candidate.breach]
    others = [(k, NONE, *candidate.measured[k].item(), 0, 0) for k in (0, 62)]
    g = candidate.graded[0]
    others.append((12, NONE, g.entity, 1, g.value, g.bound, 0, a.WARN))
    assert findings.tolist() == breaches[:breach_count] + others
    assert len(rest) == a.SCOPES * 8 + (breach_count + 3) * FINDING.size


def test_fields_of_the_other_records(core: JournaledCore) -> None:
    """A venue's message that is not handled, every field of the event with a number of its own."""
    bare = Bare(first_sequence=7)
    bare.cursor[0].handed = 5
    core.record.fault = 8
    packed = np.frombuffer(b"packed", np.uint8).copy()
    append_settings(bare.cursor, bare.block, packed, 99)
    core.driver._journal = bare
    data = b"8=FIX.4.4\x0135=B\x01148=A\x0133=1\x01"
    event = Event(ev.MESSAGE, core.time_ns + 5, core.sessions["XNAS"], 1234, True, data, tuple(range(201, 209)))
    core.apply(event)
    settings, begun, sent, committed = raw_records(bare.content())
    assert [r.sequence for r in (settings, begun, sent, committed)] == [7, 8, 9, 10]
    assert fields_by_name(f.SETTINGS_RECORD, settings) == expected(size=len(packed))
    assert settings.time_ns == 99
    assert fields_by_name(f.IN_RECORD, begun) == expected(
        event_kind=ev.MESSAGE,
        session=core.sessions["XNAS"],
        msg_seq_num=1234,
        poss_dup=1,
        size=len(data),
        value=range(201, 209),
    )
    alert = {"session": NONE, "msg_seq_num": 0, "message_type": al.NOT_HANDLED}
    assert fields_by_name(f.OUT_RECORD, sent) == expected(**alert, size=len(data))
    assert core.log[-1][1][0].body == alert_text(al.NOT_HANDLED, data)
    got = fields_by_name(f.COMMIT_RECORD, committed)
    assert got.pop("took_ns")[0] >= 0
    assert got == expected(outputs=1, verdict=1, handed=5, fault=8)
    assert bare.cursor[0].committed == 10


# Plain Python


def history_in_records(folder: Path) -> list[list[object]]:
    """What the journal has of `history`, but for how long each event took."""
    core = JournaledCore(folder)
    history(core)
    core.close()
    recovered = recover(core.folder)
    assert (recovered.lost, recovered.replayer.differences) == ("", 0)
    (path,) = segment_files(core.folder)
    told: list[list[object]] = []
    for record in raw_records(path.read_bytes()):
        body = record.body if record.kind != COMMIT else record.body[:8] + record.body[16:]
        if record.kind not in (SETTINGS, SEAL):
            told.append([record.sequence, record.kind, record.time_ns, record.length, body.hex()])
    return told


def test_plain_python_writes_and_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", __file__, str(tmp_path / "plain")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    (tmp_path / "compiled").mkdir()
    assert json.loads(done.stdout) == history_in_records(tmp_path / "compiled")


# What cannot be read


@pytest.mark.parametrize("version", [3, 7])
def test_a_newer_version_is_refused_with_a_sentence(tmp_path: Path, version: int) -> None:
    head = bytearray(segment_head(1, 1, 1, 0))
    head[8:16] = version.to_bytes(8, "little")
    head[-8:] = crc_32c(bytes(head[:-8])).to_bytes(8, "little")
    with pytest.raises(JournalError) as error:
        Segment.of(tmp_path / "00000001.journal", bytes(head))
    said = str(error.value)
    assert "newer release" in said and str(version) in said and str(tmp_path) in said and "\n" not in said


def test_a_record_of_a_newer_version_is_refused_too(core: JournaledCore) -> None:
    content = bytearray(core.journal_writer.block[0].bytes[: int(core.journal_writer.cursor[0].used)].tobytes())
    last = raw_records(bytes(content))[-1]
    newer = replace(last, version=3)
    content[last.at + 8 : last.at + 16] = crc_32c(put_together(newer)).to_bytes(8, "little")
    content[last.at + 28 : last.at + 32] = (3).to_bytes(4, "little")
    with pytest.raises(JournalError, match="newer release"):
        Segment.of(core.folder / "00000001.journal", bytes(content))


@pytest.mark.parametrize("content", [b"", b"TIDEJRNL", bytes(4096), b"not a journal" * 100])
def test_what_is_no_segment_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "00000001.journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is not a journal segment") as error:
        read_segment(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_segment_leaves_room_for_the_largest_event() -> None:
    """MAX_EVENT_BYTES is at least what the largest message with a full output buffer takes."""
    largest = (
        HEAD.size + IN_BODY.size + MAX_MESSAGE_BYTES,
        HEAD.size + DECISION_BODY.size + a.MAX_SCOPES * 8 + (a.MAX_BREACHES + a.MAX_CHECKS) * FINDING.size,
        a.OUT_MESSAGES * (HEAD.size + OUT_BODY.size + 7) + a.OUT_BYTES,
        HEAD.size + COMMIT_BODY.size,
    )
    assert sum(largest) <= f.MAX_EVENT_BYTES


if __name__ == "__main__":
    print(json.dumps(history_in_records(Path(sys.argv[1]))))
