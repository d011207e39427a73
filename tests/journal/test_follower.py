"""The follower: snapshots and compressed segments come about, nothing a start needs is lost, whatever happens."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

import gateway
from gateway.core import events as ev
from gateway.journal import follower as module
from gateway.journal import format as f
from gateway.journal.follower import Follower, is_closed, main, pack
from gateway.journal.read import JournalError, read_segment, segment_files, segment_path
from gateway.journal.recovery import recover
from gateway.journal.scan import write_record_crc
from gateway.journal.snapshot import snapshot_path
from gateway.journal.writer import Journal, JournalingDriver
from tests.support.journal import ROOMY, Flow, JournaledCore, state_digest, wait_for

SEGMENTS = 6
LONG_NS = 10**18
ROOT = Path(gateway.__file__).parent.parent


@dataclass
class Running:
    """A follower in a process of its own."""

    process: subprocess.Popen
    log_file: Path

    def log(self) -> list[dict]:
        """What it has logged so far, whole lines only."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for_log(self, event: str) -> None:
        wait_for(lambda: any(line["event"] == event for line in self.log()), event, 120)


@contextmanager
def following(folder: Path, every: int = 2, keep_ns: int = 0, parent: int = 0) -> Iterator[Running]:
    """A real follower beside this process; killed at the end."""
    log_file = folder.parent / f"follower-{len(list(folder.parent.glob('follower-*')))}.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(command(folder, every, keep_ns, str(parent or os.getpid())), stderr=log, cwd=ROOT)
    try:
        yield Running(process, log_file)
    finally:
        process.kill()
        process.wait()


def command(folder: Path, every: int, keep_ns: int, parent: str) -> list[str]:
    options = ["--journal", str(folder), "--every", str(every), "--keep-ns", str(keep_ns), "--parent", parent]
    return [sys.executable, "-m", "gateway.journal.follower", *options]


def trade(core: JournaledCore, flow: Flow, segment: int) -> None:
    """Trade until so many segments are closed."""
    while core.journal_writer.number <= segment:
        flow.step()


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """A core whose journal has SEGMENTS closed and sealed segments."""
    core = JournaledCore(tmp_path_factory.mktemp("core"), limit_bytes=1 << 18, limits=ROOMY)
    trade(core, Flow(core, 3), SEGMENTS - 1)
    core.journal_writer.close()
    return core


@pytest.fixture
def folder(traded, tmp_path):
    """A copy of that journal."""
    return Path(shutil.copytree(traded.folder, tmp_path / "journal"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != module.LOCK_FILE)


def raw_names(*numbers: int) -> list[str]:
    return [f"{number:08d}.journal" for number in numbers]


def packed_names(*numbers: int) -> list[str]:
    return [f"{number:08d}.journal.zst" for number in numbers]


def snapshot_names(*numbers: int) -> list[str]:
    return [f"snapshot-{number:08d}.zst" for number in numbers]


def recovered_digest(folder: Path) -> bytes:
    recovered = recover(folder)
    assert recovered.lost == ""
    assert recovered.replayer.differences == 0
    return state_digest(recovered.replayer.state.block)


def follow_all(folder: Path, every: int = 2, keep_ns: int = 0) -> list[dict]:
    """Follow to the end of the journal; returns what was logged as worse than a note."""
    with capture_logs() as logs:
        follower = Follower(folder, every, keep_ns)
        while follower.step():
            pass
    return [line for line in logs if line["log_level"] != "info"]


def critical(logs: list[dict]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == "critical"]


def change(path: Path, k: int, at: int, value: bytes) -> None:
    """Overwrite bytes of record k of a segment, under a right CRC."""
    segment = read_segment(path)
    content = bytearray(path.read_bytes())
    start = int(segment.starts[k]) * 8
    end = start + int(segment.words[segment.starts[k]])
    content[start + at : start + at + len(value)] = value
    record = np.frombuffer(bytes(content[start:end]), np.int64).copy()
    write_record_crc(record)
    content[start:end] = record.tobytes()
    path.write_bytes(content)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# In a process of its own


def test_it_follows_a_journal_that_is_being_written(tmp_path):
    core = JournaledCore(tmp_path, limit_bytes=1 << 18, limits=ROOMY)
    flow = Flow(core, 5)
    with following(core.folder) as follower:
        for segment in (2, 4, 6):
            trade(core, flow, segment)
            wait_for(snapshot_path(core.folder, segment).exists, f"snapshot {segment}", 120)
        wait_for(lambda: not segment_path(core.folder, 3).with_suffix(".journal.zst").exists(), "segment 3 is removed")
        in_use = segment_path(core.folder, core.journal_writer.number)
        assert in_use.stat().st_size == f.SEGMENT_BYTES
        assert os.getpriority(os.PRIO_PROCESS, follower.process.pid) == module.NICENESS
        follower.process.send_signal(signal.SIGTERM)
        assert follower.process.wait(60) == 0
        assert {line["level"] for line in follower.log()} == {"info"}
    assert [name for name in names(core.folder) if name.endswith(".zst")] == [
        *packed_names(4, 5, 6),
        *snapshot_names(4, 6),
    ]
    assert recovered_digest(core.folder) == state_digest(core.state.block)
    core.journal_writer.close()


def test_killed_at_any_time_it_leaves_what_a_start_needs_and_goes_on(folder, traded):
    want = state_digest(traded.state.block)
    for number in range(1, SEGMENTS):
        before = names(folder)
        with following(folder, every=1) as follower:
            wait_for(lambda before=before: names(folder) != before, f"change {number}", 120)
            follower.process.kill()
            follower.process.wait()
        assert recovered_digest(folder) == want
    with following(folder, every=1):
        wait_for(snapshot_path(folder, SEGMENTS).exists, "the last snapshot", 120)
        wait_for(lambda: names(folder)[-2:] == snapshot_names(SEGMENTS - 1, SEGMENTS), "old snapshots are removed")
    assert recovered_digest(folder) == want


def test_a_second_follower_waits_for_the_first(folder):
    with following(folder) as first:
        first.wait_for_log("following the journal")
        with following(folder) as second:
            second.wait_for_log("another follower has the journal, waiting for its end")
            first.process.kill()
            second.wait_for_log("following the journal")


def test_it_ends_when_its_parent_is_gone(folder):
    script = " ".join([*command(folder, 2, 0, "$$"), "&"]) + "\nread line\n"
    shell = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    for line in shell.stderr:
        if "following the journal" in line:
            break
    shell.stdin.close()
    shell.stderr.read()  # to its end: nobody is left who could write to it
    assert shell.wait(60) != 0


@pytest.mark.parametrize(
    ("wrong", "told"), [({"every": 0}, "--every: want 1 or more"), ({"keep_ns": -1}, "--keep-ns: want 0 or more")]
)
def test_wrong_options_are_told(folder, capsys, wrong, told):
    options = {"every": 1, "keep_ns": 0, "parent": "1"} | wrong
    with pytest.raises(SystemExit):
        main(command(folder, **options)[3:])
    assert told in capsys.readouterr().err


def test_a_journal_that_leads_no_further_ends_it(folder):
    segment_path(folder, 2).unlink()
    with following(folder) as follower:
        assert follower.process.wait(120) == 1
        assert "segment 2 before it is missing" in follower.log()[-1]["reason"]


def test_each_line_of_its_log_is_one_write(folder):
    """It shares standard error with the gateway: a line and its end in two writes would be mixed with the gateway's."""
    segment_path(folder, 2).unlink()
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with ours, its:
        subprocess.run(
            command(folder, 2, 0, str(os.getpid())), stderr=its.fileno(), cwd=ROOT, env=unbuffered, timeout=120
        )
        its.close()
        writes = list(iter(lambda: ours.recv(65536), b""))
    assert writes
    assert all(json.loads(write) and write.endswith(b"\n") for write in writes)


# At every single moment


@dataclass
class Cuts:
    """Ends the process in front of one operation on a file of the folder: number `at`, counted from 0."""

    folder: Path
    at: int
    seen: int = 0
    kinds: frozenset[str] = field(default=frozenset({"open", "os.rename", "os.remove", "os.utime"}))

    def __call__(self, event: str, arguments: tuple) -> None:
        if event in self.kinds and str(arguments[0]).startswith(str(self.folder)):
            if self.seen == self.at:
                os._exit(9)
            self.seen += 1


def follow_and_die(folder: Path, at: int) -> int:
    """Follow in a copy of this process until operation `at` on a file; returns 9, or 0 when there were fewer."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            sys.addaudithook(Cuts(folder, at))
            follow_all(folder, every=1)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_process_may_die_before_every_operation_on_a_file(traded, tmp_path):
    want = state_digest(traded.state.block)
    status, at = 9, 0
    while status == 9:
        folder = tmp_path / str(at)
        folder.mkdir()
        for path in segment_files(traded.folder)[:3]:
            shutil.copy2(path, folder)
        status = follow_and_die(folder, at)
        for path in segment_files(traded.folder)[3:]:
            shutil.copy2(path, folder)
        assert recovered_digest(folder) == want
        assert follow_all(folder, every=1) == []
        assert recovered_digest(folder) == want
        assert names(folder) == [
            *packed_names(*range(SEGMENTS - 1, SEGMENTS + 1)),
            *snapshot_names(SEGMENTS - 1, SEGMENTS),
        ]
        shutil.rmtree(folder)
        at += 1
    assert status == 0
    assert at > 30


# What it makes


def test_segments_are_compressed_and_read_the_same(folder, traded):
    wanted = [read_segment(path) for path in segment_files(folder)]
    times = [path.stat().st_mtime_ns for path in segment_files(folder)]
    assert follow_all(folder, every=100) == []
    assert names(folder) == packed_names(*range(1, SEGMENTS + 1))
    packed = segment_files(folder)
    assert [read_segment(path).octets.tobytes() for path in packed] == [segment.octets.tobytes() for segment in wanted]
    assert [path.stat().st_mtime_ns for path in packed] == times
    assert recovered_digest(folder) == state_digest(traded.state.block)


def test_it_goes_on_from_the_newest_snapshot(folder, traded):
    later = [folder / name for name in raw_names(*range(4, SEGMENTS + 1))]
    for path in later:
        path.rename(path.with_suffix(".hidden"))
    follow_all(folder, every=3, keep_ns=LONG_NS)
    for path in later:
        path.with_suffix(".hidden").rename(path)
    damage(folder / packed_names(2)[0])
    assert follow_all(folder, every=3, keep_ns=LONG_NS) == []
    assert snapshot_path(folder, SEGMENTS).exists()
    assert recovered_digest(folder) == state_digest(traded.state.block)


def test_leftovers_of_a_killed_follower_are_removed(folder):
    for name in ("snapshot-00000001.zst.tmp", "00000001.journal.zst.tmp"):
        (folder / name).write_bytes(b"half")
    Follower(folder, 2, 0)
    assert names(folder) == raw_names(*range(1, SEGMENTS + 1))


def test_a_segment_without_a_seal_is_left_alone(folder):
    last = segment_path(folder, SEGMENTS)
    content = last.read_bytes()[: -f.SEAL_RECORD.itemsize]
    last.write_bytes(content)
    os.truncate(last, f.SEGMENT_BYTES)
    follow_all(folder, every=1)
    assert raw_names(SEGMENTS)[0] in names(folder)
    assert not snapshot_path(folder, SEGMENTS).exists()
    assert not is_closed(last)


def test_a_segment_that_never_got_its_seal_is_replayed_when_a_later_one_has(tmp_path):
    core = JournaledCore(tmp_path, limit_bytes=1 << 18, limits=ROOMY)
    trade(core, Flow(core, 1), 2)
    core.journal_writer.close()
    last = segment_path(core.folder, 3)
    sequence = read_segment(last).last_sequence
    os.truncate(last, last.stat().st_size - f.SEAL_RECORD.itemsize)
    core.journal_writer = Journal(core.folder, 4, sequence + 1, 2, limit_bytes=1 << 18)
    core.driver = JournalingDriver(core.state.block, core.journal_writer)
    core.begin(ev.CRASHED)
    core.journal_writer.close()
    logs = follow_all(core.folder, every=1, keep_ns=LONG_NS)
    assert [line["event"] for line in logs] == ["a segment has no seal"]
    assert names(core.folder) == [
        *(packed_names(1, 2) + raw_names(3) + packed_names(4)),
        *snapshot_names(3, 4),
    ]
    assert recovered_digest(core.folder) == state_digest(core.state.block)


# What it removes


def test_segments_before_the_older_snapshot_are_removed_once_old_enough(folder):
    now_ns = time.time_ns()
    for number in (1, 2, 4, 5, 6):
        os.utime(segment_path(folder, number), ns=(now_ns - 10**13, now_ns - 10**13))
    follow_all(folder, every=2, keep_ns=10**12)
    # Segment 3 is too young, and none behind it goes before it does; 4 holds the seal that a snapshot was made after.
    assert names(folder) == [*packed_names(3, 4, 5, 6), *snapshot_names(4, 6)]


def test_segments_are_kept_for_the_time_that_was_asked_for(folder):
    follow_all(folder, every=2, keep_ns=LONG_NS)
    assert names(folder) == [*packed_names(*range(1, SEGMENTS + 1)), *snapshot_names(4, 6)]


def test_nothing_is_removed_behind_a_single_snapshot(folder):
    follow_all(folder, every=4, keep_ns=0)
    assert names(folder) == [*packed_names(*range(1, SEGMENTS + 1)), *snapshot_names(4)]


def test_a_damaged_snapshot_does_not_count(folder, traded):
    hidden = segment_path(folder, SEGMENTS).rename(folder / "hidden")
    follow_all(folder, every=2, keep_ns=LONG_NS)
    damage(snapshot_path(folder, 2))
    hidden.rename(segment_path(folder, SEGMENTS))
    logs = follow_all(folder, every=100, keep_ns=0)
    assert [line["event"] for line in logs] == ["a snapshot is not used"]
    assert names(folder) == [*packed_names(*range(1, SEGMENTS + 1)), *snapshot_names(2, 4)]
    assert recovered_digest(folder) == state_digest(traded.state.block)


# What does not fit


@pytest.mark.parametrize(("every", "snapshots"), [(1, [1]), (2, [])])
def test_replay_that_gives_something_else_is_told_and_makes_no_snapshot(tmp_path, every, snapshots):
    core = JournaledCore(tmp_path, limit_bytes=1 << 18, limits=ROOMY)
    flow = Flow(core, 2)
    trade(core, flow, 1)
    core.state.record.next_order += 1000  # nothing in the journal says so
    first = core.sequence
    trade(core, flow, 3)
    core.journal_writer.close()
    logs = [line for line in follow_all(core.folder, every=every) if line["log_level"] == "critical"]
    assert {line["event"] for line in logs} == {"replay gives something else than was sent"}
    assert len({line["file"] for line in logs}) == len(logs)
    assert logs[0]["file"].endswith("00000002.journal")
    assert first < logs[0]["first_sequence"] <= read_segment(segment_files(core.folder)[1]).last_sequence
    assert names(core.folder) == [*packed_names(1, 2, 3, 4), *snapshot_names(*snapshots)]


def test_a_broken_chain_of_seals_is_told(folder):
    path = segment_path(folder, 3)
    change(path, read_segment(path).starts.size - 1, f.HEAD.itemsize, b"another digest")
    assert critical(follow_all(folder, every=2)) == [
        "the chain of seals is broken before a segment",
        "a segment is not what its seal says",
    ]
    assert names(folder)[-1:] == snapshot_names(2)


def test_a_segment_changed_after_it_was_sealed_is_told(folder):
    path = segment_path(folder, 5)
    segment = read_segment(path)
    commit = next(k for k in range(segment.starts.size) if segment.kind(k) == f.COMMIT)
    at = int(segment.starts[commit]) * 8 + f.HEAD.itemsize + 8  # how long it took
    change(path, commit, f.HEAD.itemsize + 8, bytes([int(segment.octets[at]) ^ 1]))
    assert critical(follow_all(folder, every=1)) == ["a segment is not what its seal says"]
    assert names(folder)[-1:] == snapshot_names(4)


def test_damage_within_a_segment_is_told(folder):
    damage(segment_path(folder, 5))
    logs = critical(follow_all(folder, every=1))
    assert logs[0] == "records of a segment are lost"
    assert names(folder)[-1:] == snapshot_names(4)


def test_records_missing_between_segments_are_told(tmp_path):
    core = JournaledCore(tmp_path, limit_bytes=1 << 18, limits=ROOMY)
    trade(core, Flow(core, 1), 1)
    core.journal_writer.close()
    sequence = read_segment(segment_path(core.folder, 2)).last_sequence
    core.journal_writer = Journal(core.folder, 3, sequence + 10, 2, limit_bytes=1 << 18)
    core.driver = JournalingDriver(core.state.block, core.journal_writer)
    core.begin(ev.CRASHED)
    core.journal_writer.close()
    assert critical(follow_all(core.folder, every=1)) == ["records are missing before a segment"]


def test_a_missing_segment_ends_it(folder):
    follower = Follower(folder, 100, 0)
    assert follower.step()
    segment_path(folder, 2).unlink()
    with pytest.raises(JournalError, match="segment 2 before it is missing"):
        follower.step()


# A full disk


def test_a_full_disk_is_told_and_tried_again(folder, traded):
    with capture_logs() as logs:
        follower = Follower(folder, 1, LONG_NS)
        with file_size_limit(4096):
            for _ in range(2):
                assert follower.step()
        assert names(folder) == raw_names(*range(1, SEGMENTS + 1))
        assert [line["event"] for line in logs if line["log_level"] == "error"] == 2 * [
            "a segment could not be compressed, it stays as it is for now",
            "a snapshot could not be made, the next segment is another try",
        ]
        assert follower.step()
    assert names(folder) == sorted([*packed_names(1, 2, 3), *raw_names(4, 5, 6), *snapshot_names(3)])
    assert recovered_digest(folder) == state_digest(traded.state.block)


def test_a_segment_that_cannot_be_compressed_stays(folder):
    path = segment_path(folder, 1)
    content = path.read_bytes()
    with file_size_limit(1000), pytest.raises(OSError):
        pack(path)
    assert path.read_bytes() == content
    assert names(folder) == raw_names(*range(1, SEGMENTS + 1))
