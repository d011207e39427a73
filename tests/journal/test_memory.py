"""Segments in memory: what a process that died has left there is not lost, and what is not there is known to be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.journal import format as f
from gateway.journal import read
from gateway.journal.memory import END_LOST, restore
from gateway.journal.read import JournalError, disk_path, memory_of, read_segment, segment_files
from gateway.journal.seal import NO_DIGEST, seal
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


def events_on_disk(path: Path) -> int:
    try:
        return events(disk_path(path))
    except JournalError:
        return 0


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
    """As after a power cut. Readers find it before a start has put it in place; of spares it is not known."""
    for memory in in_memory(dead.folder):
        memory.unlink()
    assert [events(path) for path in dead.begun()] == [1, 1]
    assert restore(dead.folder) == [2, 3, 4]
    assert [events(path) for path in dead.begun()] == [1, 1]


def test_that_memory_is_gone_is_known_until_a_start_has_made_it_good(dead: Bench) -> None:
    """The first start may be refused, for what its config says."""
    for memory in in_memory(dead.folder):
        memory.unlink()
    assert not (dead.folder / END_LOST).exists()
    restore(dead.folder)
    assert (dead.folder / END_LOST).exists()
    assert restore(dead.folder) == [] and (dead.folder / END_LOST).exists()


def test_memory_of_an_earlier_boot_is_not_trusted(dead: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is on a disk a power cut leaves it, but nobody has synced it."""
    (path, *_) = in_memory(dead.folder)
    path.write_bytes(bytes(f.SEGMENT_BYTES))
    monkeypatch.setattr(read, "_memory_suffix", lambda: "-1")
    assert [events(path) for path in dead.begun()] == [1, 1]
    assert restore(dead.folder) == [2, 3, 4]
    assert [events(path) for path in dead.begun()] == [1, 1]


def test_a_segment_that_was_sealed_keeps_its_seal(dead: Bench) -> None:
    """The process died before the copy on disk took its place; what a failed sync has left out of it is written."""
    path = dead.begun()[1]
    used, disk = dead.used, disk_path(path)
    file = os.open(disk, os.O_RDWR)
    os.pwrite(file, path.read_bytes()[:used], 0)
    seal(path, file, used, NO_DIGEST)
    os.pwrite(file, bytes(100), 200)
    os.close(file)
    assert restore(dead.folder) == []
    assert read_segment(path).seal is not None and events(path) == 2


def test_a_copy_without_what_is_on_disk_is_refused(dead: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dead.folder, copy, symlinks=True)
    for disk in copy.glob("*.disk"):
        disk.unlink()
    with pytest.raises(JournalError, match="leads to memory that is not of this folder, and 0000000..journal.disk is"):
        segment_files(copy)
    assert all(memory.stat().st_size == f.SEGMENT_BYTES for memory in in_memory(dead.folder))
    dead.journal.close()


def test_an_event_that_is_taken_back_hides_none_behind_it(dead: Bench) -> None:
    """The journal's thread may look while it is written: its bytes are not those of an event."""
    dead.journal._words[0] += 4096
    dead.journal.sync()
    dead.journal._words[0] -= 4096
    dead.quote()
    dead.journal.sync()
    path = dead.begun()[1]
    assert events(disk_path(path)) == events(path) == 3
    dead.journal.close()


def test_without_sync_the_system_has_what_was_written(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sync_ns=NO_SYNC)
    bench.quote()
    path = bench.begun()[0]
    wait_for(lambda: events_on_disk(path) == 1, "a copy")
    bench.close()


def test_a_copy_of_the_folder_does_not_reach_into_the_memory_of_the_first(dead: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dead.folder, copy, symlinks=True)
    assert [events(path) for path in segment_files(copy)[:2]] == [1, 1]
    assert restore(copy) == [2, 3, 4]
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
