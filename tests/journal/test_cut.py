"""A long journal cut at every record and inside them, torn, and with wrong bits: what is left is what happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.journal.read import JournalError, Segment
from gateway.journal.recovery import recover, repair
from gateway.journal.writer import Journal, JournalingDriver
from tests.journal.conftest import History
from tests.support.journal import COMMIT, HEAD, IN, SEAL, SEGMENT_START, SETTINGS, Raw, excerpt, state_digest

NOWHERE = Path("00000001.journal")
WHOLE = (COMMIT, SETTINGS, SEAL)
BEFORE = 3  # records in front of the one that a test damages


def committed_of(records: list[Raw]) -> int:
    """How many of the first records make up whole events."""
    return max((k + 1 for k, record in enumerate(records) if record.kind in WHOLE), default=0)


def sample(history: History, count: int, seed: int) -> Iterator[tuple[bytes, list[Raw], int]]:
    """Records with others before and behind them: the segment's content, its records, which one."""
    choose = random.Random(seed)
    kinds = sorted({r.kind for records in history.records for r in records} - {SEAL})
    for n in range(count):
        wanted = kinds[n % len(kinds)]
        segment = choose.choice([s for s, rs in enumerate(history.records) if wanted != SETTINGS or has(rs, SETTINGS)])
        records = history.records[segment]
        places = [k for k, r in enumerate(records) if r.kind == wanted and k < len(records) - BEFORE]
        yield history.contents[segment], records, choose.choice(places)


def has(records: list[Raw], kind: int) -> bool:
    return any(record.kind == kind for record in records)


# Cut


def test_the_history_is_worth_cutting(long_history: History) -> None:
    assert len(long_history.contents) >= 5
    assert sum(r.kind == IN for records in long_history.records for r in records) >= 10_000
    assert len(long_history.states) > 100
    assert {r.kind for records in long_history.records for r in records} == {1, 2, 3, 4, 5, 6}


def test_a_cut_at_every_boundary_of_records(long_history: History) -> None:
    for content, records in zip(long_history.contents, long_history.records, strict=True):
        committed = 0
        for k, record in enumerate(records):
            segment = Segment.of(NOWHERE, content[: record.at])
            assert (segment.starts.size, segment.end * 8, segment.broken) == (k, record.at, False)
            assert segment.committed() == committed
            if record.kind in WHOLE:
                committed = k + 1
        segment = Segment.of(NOWHERE, content)
        assert [8 * at for at in segment.starts] == [r.at for r in records]
        assert segment.committed() == len(records)
        assert segment.lost_records() == 0
        assert segment.seal is not None


@pytest.mark.parametrize("tail", ["nothing", "zeros", "garbage"])
def test_a_cut_inside_a_record(long_history: History, tail: str) -> None:
    """At every byte of its head, at every word behind that and at odd bytes; zeros may be all that was missing."""
    choose = random.Random(2)
    for content, records, k in sample(long_history, 300, seed=3):
        first = max(0, k - BEFORE)
        part = excerpt(content, records, first, k + 1)
        start, end = len(part) - records[k].length, len(part)
        cuts = {*range(start, start + HEAD.size), *range(start, end, 8), *choose.choices(range(start, end), k=10)}
        for cut in sorted(cuts):
            torn = part[:cut]
            if tail == "zeros":
                torn += bytes(end - cut + 64)
            elif tail == "garbage":
                torn += choose.randbytes(end - cut + 64)
            segment = Segment.of(NOWHERE, torn)
            whole = k - first + (torn[:end] == part)
            assert segment.starts.size == whole
            assert segment.committed() == committed_of(records[first : first + whole])
            assert segment.lost_records() == 0
            assert segment.first_sequence == records[first].sequence


def folder_with(history: History, path: Path, last: int, content: bytes) -> Path:
    """A journal folder with all segments before the one with index `last`, and that one with another content."""
    path.mkdir()
    for k in range(last):
        name = f"{k + 1:08d}.journal"
        (path / name).symlink_to(history.folder / name)
    (path / f"{last + 1:08d}.journal").write_bytes(content)
    return path


def places(history: History) -> list[tuple[int, int, int]]:
    """Of each known state its sequence, and segment and record of the COMMIT that it is the state after."""
    found = {r.sequence: (s, k) for s, records in enumerate(history.records) for k, r in enumerate(records)}
    return [(sequence, *found[sequence]) for sequence in sorted(history.states)]


def cut_place(choose: random.Random, records: list[Raw], k: int, way: int) -> int:
    """A place behind record k where no further event is whole: just there, between records, anywhere."""
    end = records[k].at + records[k].length
    last = next((r for r in records[k + 1 :] if r.kind in WHOLE), None)
    if last is None or way == 0:
        return end
    if way == 1:
        return choose.choice([r.at for r in records[k + 1 :] if r.at <= last.at])
    return choose.randrange(end, last.at + HEAD.size + 8)  # the last words of a COMMIT may be zeros, as a tail may be


def test_recovery_of_a_cut_journal_gives_the_state_of_its_last_whole_event(
    long_history: History, tmp_path: Path
) -> None:
    """Against the live state at that time, for each known state; and nothing that was sent differs."""
    choose = random.Random(4)
    for n, (sequence, s, k) in enumerate(places(long_history)):
        content, records = long_history.contents[s], long_history.records[s]
        cut = cut_place(choose, records, k, n % 3)
        tail = (b"", bytes(4096), choose.randbytes(4096))[n // 3 % 3]
        folder = folder_with(long_history, tmp_path / str(n), s, content[:cut] + tail)
        recovered = recover(folder)
        replayer = recovered.replayer
        assert replayer.state is not None
        assert state_digest(replayer.state.block) == long_history.states[sequence]
        assert (replayer.sequence, replayer.differences, recovered.lost) == (sequence, 0, "")
        assert (recovered.next_segment, recovered.next_sequence) == (s + 2, sequence + 2)


def test_a_journal_goes_on_after_a_cut(long_history: History, tmp_path: Path) -> None:
    """Repaired, begun again in a segment of its own, cut and repaired once more."""
    choose = random.Random(5)
    for n, (sequence, s, k) in enumerate(choose.sample(places(long_history), 6)):
        cut = cut_place(choose, long_history.records[s], k, 2)
        folder = folder_with(long_history, tmp_path / str(n), s, b"")
        (folder / f"{s + 1:08d}.journal").write_bytes(long_history.contents[s][:cut])
        for again in range(2):
            recovered = recover(folder)
            repair(folder, recovered)
            state, settings = recovered.replayer.state, recovered.replayer.settings
            assert state is not None and settings is not None
            assert again == 1 or recovered.replayer.sequence == sequence
            journal = Journal(folder, recovered.next_segment, recovered.next_sequence, 9, limit_bytes=256 << 10)
            journal.append_settings(settings.to_json(), int(state.record.now_ns))
            driver = JournalingDriver(state.block, journal)
            for step in range(20):
                driver.handle(Event(ev.QUOTE, int(state.record.now_ns) + step, value=(0, 10**9, 2 * 10**9, 0)))
            wanted = state_digest(state.block)
            journal.close()
            after = recover(folder)
            assert after.replayer.state is not None
            assert state_digest(after.replayer.state.block) == wanted
            assert (after.lost, after.notes, after.replayer.differences) == ("", [], 0)
            newest = folder / f"{recovered.next_segment:08d}.journal"
            newest.write_bytes(newest.read_bytes()[:-120])


# Wrong bits


def flipped(content: bytes, bit: int) -> bytes:
    other = bytearray(content)
    other[bit // 8] ^= 1 << bit % 8
    return bytes(other)


def test_a_flipped_bit_in_the_head_of_a_segment(long_history: History) -> None:
    content = long_history.contents[0]
    for bit in range(SEGMENT_START * 8):
        with pytest.raises(JournalError) as error:
            Segment.of(NOWHERE, flipped(content[:4096], bit))
        assert "\n" not in str(error.value)


def test_a_flipped_bit_anywhere_in_a_record(long_history: History) -> None:
    """Each bit of the head, some of the rest and all of the padding: never a record, and always known as a gap."""
    choose = random.Random(6)
    for content, records, k in sample(long_history, 60, seed=7):
        first = max(0, k - BEFORE)
        part = excerpt(content, records, first, k + BEFORE)
        start = (SEGMENT_START + sum(r.length for r in records[first:k])) * 8
        end = start + records[k].length * 8
        bits = {*range(start, start + HEAD.size * 8), *range(end - 64, end), *choose.choices(range(start, end), k=60)}
        for bit in sorted(bits):
            segment = Segment.of(NOWHERE, flipped(part, bit))
            assert segment.starts.size == k - first
            assert segment.committed() == committed_of(records[first:k])
            assert segment.lost_records() > 0
            last = Segment.of(NOWHERE, flipped(part[: end // 8], bit))
            assert last.starts.size == k - first
            assert last.lost_records() == 0


def test_a_length_that_one_bit_makes_zero_is_a_gap(long_history: History) -> None:
    """Zero is how a segment ends, so that the scan takes it for the end; what follows tells."""
    for content, records in zip(long_history.contents, long_history.records, strict=True):
        sizes = {r.length: k for k, r in enumerate(records[BEFORE:-BEFORE], BEFORE) if r.length.bit_count() == 1}
        for size, k in sizes.items():
            part = excerpt(content, records, k - BEFORE, k + BEFORE)
            at = SEGMENT_START + sum(r.length for r in records[k - BEFORE : k])
            segment = Segment.of(NOWHERE, flipped(part, at * 8 + size.bit_length() - 1))
            assert segment.starts.size == BEFORE
            assert segment.lost_records() > 0


@pytest.mark.parametrize("damage", ["a bit", "a record gone", "two events exchanged", "a page of zeros"])
def test_damage_in_the_middle_is_told_and_ends_the_history_there(
    long_history: History, tmp_path: Path, damage: str
) -> None:
    choose = random.Random(8)
    inside = [(q, s, k) for q, s, k in places(long_history) if k + 60 < len(long_history.records[s])]
    for n, (sequence, s, k) in enumerate(choose.sample(inside, 8)):
        content, records = long_history.contents[s], long_history.records[s]
        begin, end = records[k + 1].at, records[k + 1].at + records[k + 1].length
        if damage == "a bit":
            wrong = flipped(content, choose.randrange(begin * 8, end * 8))
        elif damage == "a record gone":
            wrong = content[:begin] + content[end:]
        elif damage == "two events exchanged":
            ends = [r.at + r.length for r in records[k + 1 :] if r.kind == COMMIT][:2]
            wrong = content[:begin] + content[ends[0] : ends[1]] + content[begin : ends[0]] + content[ends[1] :]
        else:
            wrong = content[:begin] + bytes(4096) + content[begin + 4096 :]
        folder = folder_with(long_history, tmp_path / str(n), s, wrong)
        for later in range(s + 1, len(long_history.contents)):
            (folder / f"{later + 1:08d}.journal").write_bytes(long_history.contents[later])
        recovered = recover(folder)
        assert f"{s + 1:08d}.journal" in recovered.lost and "\n" not in recovered.lost
        assert recovered.replayer.sequence == sequence
        assert recovered.replayer.state is not None
        assert state_digest(recovered.replayer.state.block) == long_history.states[sequence]


def test_a_segment_that_is_missing_or_another_is_told(long_history: History, tmp_path: Path) -> None:
    last = len(long_history.contents) - 1
    folder = folder_with(long_history, tmp_path / "missing", last, long_history.contents[last])
    whole = recover(folder)
    assert whole.lost == ""
    (folder / "00000004.journal").unlink()
    missing = recover(folder)
    assert "00000005.journal" in missing.lost
    assert missing.replayer.sequence == long_history.records[2][-1].sequence
    (folder / "00000004.journal").write_bytes(long_history.contents[2])
    another = recover(folder)
    assert "00000004.journal" in another.lost
    assert another.replayer.sequence == missing.replayer.sequence
    (folder / "00000004.journal").write_bytes(flipped(long_history.contents[3], 200))
    assert "00000004.journal" in recover(folder).lost
