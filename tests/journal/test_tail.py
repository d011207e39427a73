"""Who follows the journal of a running gateway sees every event once it is committed, and none before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal import format as f
from gateway.journal.follower import pack
from gateway.journal.read import read_segment, segment_path
from gateway.journal.tail import Tail
from tests.support.journal import JournaledCore, wait_for


@pytest.fixture
def core(tmp_path: Path) -> Iterator[JournaledCore]:
    core = JournaledCore(tmp_path)
    yield core
    core.close()


def seen(tail: Tail) -> list[bytes]:
    events = []
    for _ in range(1 + tail.behind):
        events += tail.read()
    return [event.data for event in events if event.data.startswith(b"8=")]


def roll(core: JournaledCore) -> None:
    wait_for(lambda: core.journal_writer.has_spares, "a spare segment")
    core.journal_writer.roll()


def sent(core: JournaledCore) -> bytes:
    return core.log[-1][0].data


def test_every_event_is_told_once_and_in_order(core: JournaledCore) -> None:
    tail = Tail(core.folder, 1)
    list(tail.read())
    core.new("A")
    first = sent(core)
    assert seen(tail) == [first]
    assert seen(tail) == []
    core.new("B")
    second = sent(core)
    roll(core)
    core.new("C")
    assert seen(tail) == [second, sent(core)]
    assert tail.number == 2 and tail.sequence == core.sequence


def test_one_that_is_far_behind_reads_what_was_compressed(core: JournaledCore) -> None:
    tail = Tail(core.folder, 1)
    list(tail.read())
    wanted = []
    for name in ("A", "B", "C"):
        core.new(name)
        wanted.append(sent(core))
        roll(core)
    second = segment_path(core.folder, 2)
    wait_for(lambda: read_segment(second).seal is not None, "the second segment to be sealed")
    pack(second)
    assert tail.behind == 3
    assert seen(tail) == wanted


def test_an_event_without_its_commit_is_not_told(core: JournaledCore) -> None:
    core.new("A")
    path = segment_path(core.folder, 1)
    whole = path.read_bytes()
    commit = next(k for k in reversed(range(core.sequence)) if read_segment(path).kind(k) == f.COMMIT)
    at = int(read_segment(path).starts[commit]) * 8
    other = core.folder / "copy"
    other.mkdir()
    copy = segment_path(other, 1)
    copy.write_bytes(whole[:at] + bytes(len(whole) - at))
    tail = Tail(other, 1)
    assert sent(core) not in seen(tail)
    torn = bytearray(whole)
    torn[at + 8 : at + 16] = bytes(8)  # its CRC is not written yet
    copy.write_bytes(torn)
    assert seen(tail) == []
    copy.write_bytes(whole)
    assert seen(tail) == [sent(core)]


def test_a_segment_is_begun_when_its_head_is_whole(core: JournaledCore) -> None:
    other = core.folder / "copy"
    other.mkdir()
    for number in (1, 2):
        content = segment_path(core.folder, number).read_bytes()
        segment_path(other, number).write_bytes(content)
    tail = Tail(other, 1)
    assert tail.behind == 0
    segment_path(other, 2).write_bytes(f.MAGIC + bytes(f.SEGMENT_BYTES - len(f.MAGIC)))
    assert tail.behind == 0
