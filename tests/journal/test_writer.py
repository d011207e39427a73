"""Segments made ahead, rolled, synced and sealed; and what is told when one of that fails.

A segment file that another process truncates under the running one is outside of what the gateway can stand: it is
mapped, and a page that is gone is SIGBUS.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.journal import format as f
from gateway.journal import writer
from gateway.journal.read import is_spare, segment_files
from gateway.journal.writer import NO_SYNC, SPARE_SEGMENTS, SYNC_BEFORE_SEND, Journal, JournalingDriver
from tests.support.core import Core
from tests.support.journal import SEAL, raw_records, wait_for

LIMIT = 256 << 10
LONG = b"8=FIX.4.4\x01" + b"x" * 8000


class Bench:
    """A journal with a core that fills it; `quote` is a small event, `fill` large ones."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.core = Core(folder)
        self.folder = folder / "journal"
        self.journal = Journal(self.folder, 1, 1, 1, **{"limit_bytes": LIMIT} | more)
        self.driver = JournalingDriver(self.core.state.block, self.journal)

    def quote(self) -> None:
        self.core.wait(0.001)
        self.driver.handle(Event(ev.QUOTE, self.core.time_ns, value=(0, 10**10, 10**10 + 10**6, 0)))

    def fill(self) -> None:
        """Large events up to where the next would not fit."""
        while self.used + f.MAX_EVENT_BYTES <= LIMIT:
            self.core.wait(0.001)
            self.driver.handle(Event(ev.MESSAGE, self.core.time_ns, self.core.sessions["EMS1"], 1, False, LONG))

    @property
    def used(self) -> int:
        return int(self.journal.cursor[0].used)

    def roll(self) -> None:
        """Roll when there is a spare."""
        self.wait_spares()
        self.journal.roll()

    def wait_spares(self) -> None:
        wait_for(lambda: len(self.journal._spares) == SPARE_SEGMENTS or self.journal.error, "spare segments")

    def begun(self) -> list[Path]:
        return [path for path in segment_files(self.folder) if not is_spare(path)]

    def close(self) -> list[list[Any]]:
        """Close, and give back the records of all segments."""
        self.journal.close()
        return [raw_records(path.read_bytes()) for path in segment_files(self.folder)]


class Disk:
    """Stands in for the disk: counts calls of fdatasync, and lets them fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, str]] = []  # name of the file, bytes of whole records in it, thread
        self.fails = False
        self._fdatasync = os.fdatasync

    def fdatasync(self, file: int) -> None:
        content = os.pread(file, LIMIT, 0)
        used = f.SEGMENT_HEAD.itemsize
        while length := int.from_bytes(content[used : used + 8], "little"):
            used += length
        name = Path(os.readlink(f"/proc/self/fd/{file}")).name
        self.calls.append((name, used, threading.current_thread().name))
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fdatasync(file)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fdatasync", disk.fdatasync)
    return disk


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def descriptors(folder: Path) -> list[str]:
    """Open files in a folder. A map has one of its own for as long as it lives."""
    paths = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return sorted(
        str(path.readlink()) for path in paths if path.exists() and str(path.readlink()).startswith(str(folder))
    )


# Rolling


def test_segments_are_ready_before_they_are_needed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert [path.name for path in bench.begun()] == ["00000001.journal"]
    for number in range(2, 7):
        bench.wait_spares()
        assert len(bench.journal._spares) == SPARE_SEGMENTS
        bench.quote()
        bench.journal.roll()
        assert bench.journal.number == number
        assert bench.begun()[-1].name == f"{number:08d}.journal"
    bench.close()


def test_an_event_goes_to_the_next_segment_only_when_it_might_not_fit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.fill()
    assert bench.journal.number == 1
    assert LIMIT - f.MAX_EVENT_BYTES < bench.used <= LIMIT
    bench.wait_spares()
    bench.quote()
    assert bench.journal.number == 2
    assert bench.used < 1000
    bench.close()


def test_close_seals_all_segments_and_leaves_no_spare(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(3):
        bench.quote()
        bench.roll()
    segments = bench.close()
    assert [path.name for path in sorted(bench.folder.iterdir())] == [f"{n:08d}.journal" for n in range(1, 5)]
    assert [records[-1].kind for records in segments] == [SEAL] * 4
    assert len(descriptors(bench.folder)) <= 1
    assert bench.journal.error is None


def test_seals_are_a_chain(tmp_path: Path) -> None:
    """Of each: SHA-256 of the segment up to it and of the digest before."""
    bench = Bench(tmp_path)
    for _ in range(3):
        bench.quote()
        bench.roll()
    previous = bytes(32)
    for records, path in zip(bench.close(), segment_files(bench.folder), strict=True):
        seal = records[-1]
        assert seal.body[:32] == previous
        previous = seal.body[32:64]
        assert previous == hashlib.sha256(path.read_bytes()[: seal.at] + seal.body[:32]).digest()


@pytest.mark.parametrize("damage", ["gone", "empty", "zeros", "no seal"])
def test_the_chain_begins_anew_where_the_segment_before_is_lost(tmp_path: Path, damage: str) -> None:
    bench = Bench(tmp_path)
    bench.quote()
    (records,) = bench.close()
    (path,) = segment_files(bench.folder)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "zeros": bytes(4096), "no seal": content[: records[-1].at]}[damage])
    journal = Journal(bench.folder, 2, records[-1].sequence + 1, 2, limit_bytes=LIMIT)
    journal.close()
    assert journal.error is None
    sealed = raw_records((bench.folder / "00000002.journal").read_bytes())[-1]
    assert (sealed.kind, sealed.body[:32]) == (SEAL, bytes(32))


def test_the_chain_goes_on_from_the_last_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.quote()
    (records,) = bench.close()
    Journal(bench.folder, 2, records[-1].sequence + 1, 2, limit_bytes=LIMIT).close()
    sealed = raw_records((bench.folder / "00000002.journal").read_bytes())[-1]
    assert sealed.body[:32] == records[-1].body[32:64]
    assert sealed.sequence == records[-1].sequence + 1


def test_spares_that_a_dead_process_left_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    for name, byte in (("00000001.journal.disk", b"\xff"), ("00000002.journal", b"\0")):
        (tmp_path / "journal" / name).write_bytes(byte * 4096)
    os.truncate(tmp_path / "journal" / "00000002.journal", f.SEGMENT_BYTES)
    bench = Bench(tmp_path)
    bench.quote()
    bench.roll()
    bench.quote()
    first, second = bench.close()
    assert [r.sequence for r in first + second] == list(range(1, len(first + second) + 1))
    assert [path.suffix for path in bench.folder.iterdir()] == [".journal"] * 2


def test_a_segment_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "00000002.journal").write_bytes(b"\xff" * 4096)
    with pytest.raises(FileExistsError, match="there already"):
        Bench(tmp_path)
    assert [path.read_bytes() for path in (tmp_path / "journal").iterdir()] == [b"\xff" * 4096]


@pytest.mark.parametrize("limit", [LIMIT, LIMIT + 8, 300_000])
def test_nothing_behind_the_limit_is_ever_touched(tmp_path: Path, limit: int) -> None:
    """There the file has no room on the disk: a write would be SIGBUS once the disk is full."""
    bench = Bench(tmp_path, limit_bytes=limit)
    bench.fill()
    bench.wait_spares()
    block = os.statvfs(bench.folder).f_bsize
    for path in bench.folder.iterdir():
        with path.open("rb") as file:
            assert path.stat().st_size == f.SEGMENT_BYTES
            with pytest.raises(OSError) as error:
                os.lseek(file.fileno(), -(-limit // block) * block, os.SEEK_DATA)
            assert error.value.errno == errno.ENXIO
    bench.close()


# Syncing


def test_without_sync_a_segment_is_synced_when_it_is_closed(tmp_path: Path, disk: Disk) -> None:
    bench = Bench(tmp_path, sync_ns=NO_SYNC)
    assert not bench.journal.syncs_before_send
    for _ in range(50):
        bench.quote()
    bench.wait_spares()
    assert disk.calls == []
    used = bench.used
    bench.journal.roll()
    wait_for(lambda: not bench.journal._closed, "the seal")
    assert disk.calls[0] == ("00000001.journal.disk", used, "journal")
    bench.quote()
    used = bench.used
    bench.close()
    assert ("00000002.journal.disk", used) in [call[:2] for call in disk.calls]


def test_sync_before_send_covers_all_that_was_written(tmp_path: Path, disk: Disk) -> None:
    bench = Bench(tmp_path, sync_ns=SYNC_BEFORE_SEND)
    assert bench.journal.syncs_before_send
    for _ in range(300):
        bench.quote()
        bench.journal.sync()
        assert disk.calls[-1] == ("00000001.journal.disk", bench.used, "MainThread")
    bench.journal.sync()
    assert len(disk.calls) == 300
    whole = (bench.folder / "00000001.journal").read_bytes()
    assert (bench.folder / "00000001.journal.disk").read_bytes() == whole
    bench.close()


def test_sync_before_send_covers_a_segment_that_was_just_closed(tmp_path: Path, disk: Disk) -> None:
    """Even when the journal's thread has not come to it."""
    bench = Bench(tmp_path, sync_ns=SYNC_BEFORE_SEND)
    bench.wait_spares()
    reached, go_on = threading.Event(), threading.Event()
    make = bench.journal._make

    def held() -> Any:
        reached.set()
        assert go_on.wait(20)
        return make()

    bench.journal._make = held  # the thread makes a spare before it seals
    bench.quote()
    used = bench.used
    bench.journal.roll()
    assert reached.wait(20)
    bench.quote()
    bench.journal.sync()
    go_on.set()
    assert disk.calls[:2] == [
        ("00000001.journal.disk", used, "MainThread"),
        ("00000002.journal.disk", bench.used, "MainThread"),
    ]
    bench.close()


def test_sync_every_so_often_needs_no_one_to_ask(tmp_path: Path, disk: Disk) -> None:
    bench = Bench(tmp_path, sync_ns=5_000_000)
    assert not bench.journal.syncs_before_send
    for _ in range(5):
        bench.quote()
        wait_for(lambda: bench.journal._segment.synced == bench.used, "a sync")
    assert {thread for _, _, thread in disk.calls} == {"journal"}
    bench.close()


@pytest.mark.parametrize("sync_ns", [NO_SYNC, 5_000_000, SYNC_BEFORE_SEND])
def test_what_else_is_to_be_synced_is_synced_with_it(tmp_path: Path, sync_ns: int) -> None:
    called = threading.Event()
    bench = Bench(tmp_path, sync_ns=sync_ns, also_sync=called.set)
    bench.quote()
    if sync_ns == SYNC_BEFORE_SEND:
        bench.journal.sync()
    if sync_ns != NO_SYNC:
        assert called.wait(20)
    assert called.is_set() == (sync_ns != NO_SYNC)
    bench.close()


def test_the_name_of_a_segment_is_synced_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut could leave events that were sent in a file that has no name."""
    synced: list[tuple[int, list[str]]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        names = [p.name for p in (tmp_path / "journal").iterdir()]
        synced.append((os.fstat(descriptor).st_ino, names))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    bench = Bench(tmp_path, sync_ns=SYNC_BEFORE_SEND)
    folder = bench.folder.stat().st_ino
    named = {name for inode, names in synced if inode == folder for name in names}
    assert {"00000001.journal", "00000002.journal", "00000003.journal"} <= named
    bench.close()


# Trouble


def test_without_room_for_a_spare_the_rest_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble is told, and events go on until the last segment is full; then an error says so, and nothing is lost."""
    bench = Bench(tmp_path)
    bench.wait_spares()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        bench.quote()
        bench.journal.roll()
        wait_for(lambda: "No space left on device" in bench.journal.trouble, "trouble")
        assert "\n" not in bench.journal.trouble
        while bench.journal.number < 1 + SPARE_SEGMENTS:
            bench.fill()
            bench.quote()
        bench.fill()
        before = (bench.journal.committed, int(bench.core.record.events))
        with pytest.raises(OSError, match="the journal is full") as error:
            bench.quote()
        assert str(bench.folder) in str(error.value) and "\n" not in str(error.value)
        assert (bench.journal.committed, int(bench.core.record.events)) == before
        assert bench.journal.error is None
        assert [path.name for path in segment_files(bench.folder)] == [f"{n:08d}.journal" for n in (1, 2, 3)]
        assert sum(1 for path in bench.folder.iterdir() if path.suffix == ".disk") == sum(
            1 for path in bench.folder.iterdir() if path.is_symlink()
        )
    wait_for(lambda: not bench.journal.trouble, "an end of the trouble")
    bench.quote()
    assert bench.journal.number == 2 + SPARE_SEGMENTS
    records = [record for segment in bench.close() for record in segment]
    assert [r.sequence for r in records] == list(range(1, len(records) + 1))


def stall(bench: Bench) -> threading.Event:
    """The disk makes no segment from here on, until the event is set."""
    bench.wait_spares()
    go_on = threading.Event()
    make = bench.journal._make

    def stalled() -> Any:
        assert go_on.wait(20)
        return make()

    bench.journal._make = stalled
    return go_on


def test_trouble_when_the_disk_stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No orders before the next segment is ready, cancels and reports may use what there is."""
    monkeypatch.setattr(writer, "STALL_S", 0.1)
    monkeypatch.setattr(writer, "ROOM_WAIT_S", 0.1)
    bench = Bench(tmp_path)
    go_on = stall(bench)
    assert bench.journal.trouble == ""
    for _ in range(SPARE_SEGMENTS):
        bench.quote()
        bench.journal.roll()
    wait_for(lambda: "the next segment is not ready" in bench.journal.trouble, "trouble")
    bench.fill()
    with pytest.raises(OSError, match="the journal is full"):
        bench.quote()
    go_on.set()
    wait_for(lambda: bench.journal.trouble == "", "an end of the trouble")
    bench.quote()
    assert bench.journal.number == 2 + SPARE_SEGMENTS
    bench.close()


def test_who_writes_faster_than_the_disk_waits(tmp_path: Path) -> None:
    """And goes on as soon as there is a segment: that is no trouble, and nothing ends."""
    bench = Bench(tmp_path)
    go_on = stall(bench)
    for _ in range(SPARE_SEGMENTS):
        bench.quote()
        bench.journal.roll()
    bench.fill()
    threading.Timer(0.2, go_on.set).start()
    bench.quote()
    assert (bench.journal.number, bench.journal.trouble) == (2 + SPARE_SEGMENTS, "")
    bench.close()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_journal_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    calls, allocate = [0], os.posix_fallocate

    def sometimes(*arguments: int) -> None:
        calls[0] += 1
        if calls[0] > at:
            no_room()
        allocate(*arguments)

    monkeypatch.setattr(os, "posix_fallocate", sometimes)
    with pytest.raises(OSError, match="No space left"):
        Journal(tmp_path / "journal", 1, 1, 1, limit_bytes=LIMIT)
    assert list((tmp_path / "journal").iterdir()) == []
    assert descriptors(tmp_path) == []


def test_a_failed_spare_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    bench.wait_spares()
    tries = threading.Semaphore(0)

    def count(*_: object) -> None:
        tries.release()
        no_room()

    monkeypatch.setattr(os, "posix_fallocate", count)
    bench.journal.roll()
    assert all(tries.acquire(timeout=20) for _ in range(5))
    wait_for(lambda: len(descriptors(bench.folder)) <= 2 * (1 + SPARE_SEGMENTS), "descriptors closed")
    monkeypatch.undo()
    bench.close()


@pytest.mark.parametrize("sync_ns", [5_000_000, SYNC_BEFORE_SEND])
def test_trouble_of_a_failed_sync_stays(tmp_path: Path, disk: Disk, sync_ns: int) -> None:
    """What the kernel failed to write once it may forget: that the next sync succeeds proves nothing."""
    bench = Bench(tmp_path, sync_ns=sync_ns)
    bench.quote()
    disk.fails = True
    bench.quote()
    if sync_ns == SYNC_BEFORE_SEND:
        bench.journal.sync()
    wait_for(lambda: "sync failed" in bench.journal.trouble, "trouble")
    assert "Input/output error" in bench.journal.trouble and "00000001.journal" in bench.journal.trouble
    disk.fails = False
    bench.quote()
    bench.journal.sync()
    bench.roll()
    bench.quote()
    wait_for(lambda: not bench.journal._closed, "the seal")
    bench.wait_spares()
    assert "sync failed" in bench.journal.trouble
    assert bench.journal.error is None
    bench.close()


def test_a_segment_that_could_not_be_synced_is_not_sealed(tmp_path: Path, disk: Disk) -> None:
    bench = Bench(tmp_path)
    bench.quote()
    disk.fails = True
    bench.roll()
    wait_for(lambda: "sync failed" in bench.journal.trouble, "trouble")
    wait_for(lambda: not bench.journal._closed, "the segment given up")
    disk.fails = False
    bench.quote()
    first, second = bench.close()
    assert first[-1].kind != SEAL
    assert second[-1].kind == SEAL
    assert second[0].sequence == first[-1].sequence + 2


def test_trouble_when_what_else_is_to_be_synced_fails(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sync_ns=SYNC_BEFORE_SEND, also_sync=no_room)
    bench.quote()
    assert bench.journal.trouble == ""
    bench.journal.sync()
    assert "sync failed" in bench.journal.trouble
    bench.close()


def test_an_unexpected_error_of_the_thread_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    bench.wait_spares()

    def broken() -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(bench.journal, "_make", broken)
    bench.quote()
    bench.journal.roll()
    wait_for(lambda: bench.journal.error, "the error")
    assert isinstance(bench.journal.error, RuntimeError)
    bench.quote()
    assert [records[-1].kind for records in bench.close()] == [SEAL, SEAL]


def test_handed_is_written_with_the_next_event(tmp_path: Path) -> None:
    bench = Bench(tmp_path, handed=0)
    bench.quote()
    bench.quote()
    told = bench.journal.committed
    bench.journal.hand()
    bench.quote()
    (records,) = bench.close()
    commits = [int.from_bytes(r.body[16:24], "little") for r in records if r.kind == f.COMMIT]
    assert commits == [0, 0, told]
