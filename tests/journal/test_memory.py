"""Segments in memory: what a process that died has left there is not lost, and what is not there is known to be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.journal import format as f
from gateway.journal.memory import restore
from gateway.journal.read import disk_path, memory_of, read_segment, segment_files
from gateway.journal.writer import NO_SYNC, SPARE_SEGMENTS, SYNC_BEFORE_SEND, Journal
from tests.journal.test_writer import LIMIT, Bench
from tests.support.journal import wait_for


@pytest.fixture
def dead(tmp_path: Path) -> Bench:
    """A journal whose process has died: one closed segment, one in use of which the last event is not on disk."""
    bench = Bench(tmp_path, sync_ns=SYNC_BEFORE_SEND)
    bench.quote()
    bench.roll()
    wait_for(lambda: not bench.journal._closed, "the seal")
    bench.wait_spares()
    bench.quote()
    bench.journal.sync()
    bench.quote()
    return bench


def events(path: Path) -> int:
    return sum(read_segment(path).kind(k) == f.COMMIT for k in range(read_segment(path).starts.size))


def in_memory(folder: Path) -> list[Path]:
    return [memory for path in sorted(folder.iterdir()) if (memory := memory_of(path)) is not None]


def test_what_was_written_last_is_read_by_name(dead: Bench) -> None:
    assert [events(path) for path in dead.begun()] == [1, 2]
    assert events(disk_path(dead.begun()[1])) == 1
    assert len(in_memory(dead.folder)) == 1 + SPARE_SEGMENTS
    dead.journal.close()
    assert in_memory(dead.folder) == []


def test_a_closed_segment_is_on_disk_alone(dead: Bench) -> None:
    first = dead.begun()[0]
    assert not first.is_symlink() and not disk_path(first).exists()
    dead.journal.close()


def test_what_a_dead_process_has_left_goes_to_disk(dead: Bench) -> None:
    memories = in_memory(dead.folder)
    content = dead.begun()[1].read_bytes()
    assert restore(dead.folder) == []
    assert not any(memory.exists() for memory in memories)
    assert [path.name for path in sorted(dead.folder.iterdir())] == [f"{n:08d}.journal" for n in (1, 2)]
    assert not any(path.is_symlink() for path in dead.folder.iterdir())
    assert dead.folder.joinpath("00000002.journal").read_bytes() == content
    assert restore(dead.folder) == []


@pytest.mark.parametrize("size", [0, 4096, f.SEGMENT_BYTES])
def test_a_spare_that_was_being_made_is_no_loss(dead: Bench, size: int) -> None:
    """The process died before it was in memory too."""
    with disk_path(dead.folder / "00000005.journal").open("wb") as file:
        file.truncate(size)
    assert restore(dead.folder) == []
    assert [path.name for path in segment_files(dead.folder)] == ["00000001.journal", "00000002.journal"]


def test_memory_of_a_segment_that_took_its_place_on_disk_is_cleared(dead: Bench) -> None:
    """The process died between the two. That of other folders stays."""
    (memory, *_) = in_memory(dead.folder)
    left = memory.with_name(memory.name.replace("00000002", "00000001"))
    other = memory.with_name("tidegate-00000001-0-0")
    for path in (left, other):
        path.write_bytes(bytes(4096))
    restore(dead.folder)
    Journal(dead.folder, 3, 9, 2, limit_bytes=LIMIT).close()
    assert not left.exists() and other.exists()
    other.unlink()


def test_of_memory_that_is_gone_the_copy_on_disk_is_left(dead: Bench) -> None:
    """As after a power cut. Readers find it before a start has put it in place; spares are nothing to miss."""
    for memory in in_memory(dead.folder):
        memory.unlink()
    assert [events(path) for path in dead.begun()] == [1, 1]
    assert restore(dead.folder) == [2]
    assert [events(path) for path in dead.begun()] == [1, 1]


def test_a_copy_of_the_folder_does_not_reach_into_the_memory_of_the_first(dead: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dead.folder, copy, symlinks=True)
    assert [events(path) for path in segment_files(copy)[:2]] == [1, 1]
    assert restore(copy) == [2]
    assert all(memory.exists() for memory in in_memory(dead.folder))
    dead.quote()
    dead.journal.close()


def test_memory_left_of_a_folder_that_is_gone_is_used_anew(dead: Bench, tmp_path: Path) -> None:
    """Its number may be given to another folder."""
    (memory, *_) = in_memory(dead.folder)
    Path(os.readlink(dead.folder / "00000002.journal")).write_bytes(b"\xff" * 4096)
    (dead.folder / "00000002.journal").unlink()
    disk_path(dead.folder / "00000002.journal").unlink()
    journal = Journal(dead.folder, 2, 9, 2, limit_bytes=LIMIT, sync_ns=NO_SYNC)
    assert in_memory(dead.folder)[0] == memory
    journal.close()
    assert read_segment(dead.folder / "00000002.journal").seal is not None


def test_memory_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="/nowhere/else"):
        Bench(tmp_path, memory=Path("/nowhere/else"))
    assert list((tmp_path / "journal").iterdir()) == []


def test_memory_may_be_a_folder_of_its_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path, memory=tmp_path / "memory")
    bench.quote()
    assert len(list((tmp_path / "memory").iterdir())) == 1 + SPARE_SEGMENTS
    bench.close()
    assert list((tmp_path / "memory").iterdir()) == []
