"""A journal on a file system that is really full: a small one in memory, mounted in a process of its own.

The process must end by itself: a signal is what a write to a mapped page without room behind it gets.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.journal.read import is_spare, read_segment, segment_files
from gateway.journal.recovery import recover
from gateway.journal.writer import Journal, JournalingDriver
from gateway.state.build import build_state
from tests.support.core import WALL_NS, Core
from tests.support.journal import state_digest, wait_for

ROOT = Path(__file__).parents[2]
SIZE = "3m"
LIMIT = 512 << 10
LONG = b"8=FIX.4.4\x01" + b"x" * 8000
MOUNT = f'mount -t tmpfs -o size={SIZE} tidegate "$0" && exec "$@"'
NAMESPACES = (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"])


def own_mount(folder: Path) -> list[str]:
    """What to put before a command that shall see a small file system in the folder, which goes when it ends."""
    for namespace in NAMESPACES:
        command = [*namespace, "sh", "-c", MOUNT, str(folder)]
        try:
            if subprocess.run([*command, "true"], capture_output=True, timeout=30).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("a file system cannot be mounted here")


def run(tmp_path: Path, what: str) -> subprocess.CompletedProcess[str]:
    """Run a function of this file in a process that has a small file system in the folder `disk`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    return subprocess.run(
        [*own_mount(disk), sys.executable, __file__, what, str(disk), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_write_without_room_would_be_seen_here(tmp_path: Path) -> None:
    """The control: the same file system kills a process that maps what is not allocated."""
    assert run(tmp_path, "write_without_room").returncode in (-signal.SIGBUS, 128 + signal.SIGBUS)


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    done = run(tmp_path, "fill_disk")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert "No space left on device" in told["trouble"]
    assert told["appended"] > 100
    assert told["segments_in_trouble"] == 3
    assert "the journal is full" in told["error"] and "No space left" in told["error"] and "\n" not in told["error"]
    assert told["state_moved"] is False
    assert told["after"] == {"trouble": "", "error": "None", "events": told["events"]}
    assert told["read"] == {"lost": "", "differences": 0, "same_state": True, "seals": [True] * told["segments"]}


def test_a_disk_that_is_full_at_the_start_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "start_full")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"errno": errno.ENOSPC, "left": ["ballast"]}


# What runs in the other process


def take_all_room(disk: Path) -> Path:
    """Fill the disk with a file, which is returned."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return ballast


def write_without_room(disk: Path, folder: Path) -> None:
    with (disk / "sparse").open("w+b") as file:
        file.truncate(1 << 20)
        take_all_room(disk)
        with mmap.mmap(file.fileno(), 1 << 20) as mapped:
            mapped[:] = b"x" * (1 << 20)


def start_full(disk: Path, folder: Path) -> None:
    """There is room for one segment, not for the others."""
    (disk / "journal").mkdir()
    (disk / "ballast").write_bytes(bytes((3 << 20) - 2 * LIMIT))
    told: dict[str, Any] = {}
    try:
        Journal(disk / "journal", 1, 1, 1, limit_bytes=LIMIT)
    except OSError as error:
        told["errno"] = error.errno
    told["left"] = [str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()]
    print(json.dumps(told))


def fill_disk(disk: Path, folder: Path) -> None:
    """Fill the disk under a running journal, use up what is left, make room again, and read all back."""
    told: dict[str, Any] = {}
    core = Core(folder)
    state = build_state(core.settings, 0)
    journal = Journal(disk / "journal", 1, 1, 1, limit_bytes=LIMIT)
    journal.append_settings(core.settings.to_json(), core.time_ns)
    driver = JournalingDriver(state.block, journal)
    driver.handle(Event(ev.START, core.time_ns, value=(1, ev.STOPPED, 0, WALL_NS - core.time_ns, 7)))

    def append() -> None:
        core.wait(0.001)
        driver.handle(Event(ev.MESSAGE, core.time_ns, core.sessions["EMS1"], 1, False, LONG))

    append()
    ballast = take_all_room(disk)
    journal.roll()
    wait_for(lambda: "No space" in journal.trouble, "trouble")
    # What was closed has been cut to its end, and gave room back.
    wait_for(lambda: not journal._closed, "the seal")
    take_all_room(disk)
    told["trouble"] = journal.trouble
    events = int(state.record.events)
    try:
        while True:
            append()
    except OSError as error:
        told["error"] = str(error)
    told["appended"] = int(state.record.events) - events
    told["segments_in_trouble"] = journal.number
    counted = (int(state.record.events), journal.committed)
    try:
        append()
    except OSError:
        told["state_moved"] = counted != (int(state.record.events), journal.committed)
    ballast.unlink()
    wait_for(lambda: not journal.trouble, "an end of the trouble")
    append()
    told["events"] = counted[0] + 1
    told["after"] = {
        "trouble": journal.trouble,
        "error": str(journal.error),
        "events": int(state.record.events),
    }
    journal.close()
    segments = [path for path in segment_files(disk / "journal") if not is_spare(path)]
    recovered = recover(disk / "journal")
    told["segments"] = len(segments)
    told["read"] = {
        "lost": recovered.lost,
        "differences": recovered.replayer.differences,
        "same_state": recovered.replayer.state is not None
        and state_digest(recovered.replayer.state.block) == state_digest(state.block),
        "seals": [read_segment(path).seal is not None for path in segments],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    _, name, disk_folder, work_folder = sys.argv
    {"write_without_room": write_without_room, "start_full": start_full, "fill_disk": fill_disk}[name](
        Path(disk_folder), Path(work_folder)
    )
