"""The switch file: a switch that was set is never lost, and what is not surely sound kills the firm."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core import layout as a
from gateway.kill import file as w
from gateway.kill import format as f
from gateway.kill.file import (
    CannotKill,
    Observer,
    create,
    firm_word,
    kill_firm,
    read_switches,
    release_switch,
    salvage,
    set_switch,
)
from gateway.kill.format import Switch, SwitchFault, parse_scope
from gateway.machine import boot_hash
from tests.support.switches import ACC1, ARB, FIRM, MOMO, found, keys, kill, new_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path)
    return tmp_path


# What a setter writes, write by write


class Died(BaseException):
    """The setter is gone."""


class Stepwise:
    """A view of the file that notes each write and lets the setter die before one of them."""

    def __init__(self, name: str, view: Any, writes: list[tuple[str, Any]], dies_before: int) -> None:
        self.name, self.view, self.writes, self.dies_before = name, view, writes, dies_before

    def __getitem__(self, key: Any) -> Any:
        return self.view[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self.writes) == self.dies_before:
            raise Died
        self.writes.append((self.name, key))
        self.view[key] = value

    def __bytes__(self) -> bytes:
        return bytes(self.view)

    def release(self) -> None:
        self.view.release()


def dying(monkeypatch: pytest.MonkeyPatch, dies_before: int, action: Callable[[], object]) -> list[tuple[str, Any]]:
    """Writes of an action that dies before the n-th of them."""
    writes: list[tuple[str, Any]] = []
    enter = w._Mapped.__enter__

    def enter_stepwise(self: Any) -> Any:
        for name in ("_bytes", "_words", "_halves"):
            setattr(self, name, Stepwise(name, getattr(self, name), writes, dies_before))
        return enter(self)

    with monkeypatch.context() as patch:
        patch.setattr(w._Mapped, "__enter__", enter_stepwise)
        try:
            action()
        except Died:
            return writes
    return writes


def deaths(
    monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], prepare: Callable[[], object]
) -> Iterator[list[tuple[str, Any]]]:
    """Lets the action die before its first write, its second, and so on to its end; gives what it has written."""
    for n in range(100):
        prepare()
        writes = dying(monkeypatch, n, action)
        if len(writes) < n:
            return
        yield writes
    raise AssertionError("no end")


def test_a_switch_is_seen_before_its_time_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision stamped later than `set_ns` has looked at a file in which the switch is set."""
    writes = dying(monkeypatch, -1, lambda: kill(folder, MOMO))
    record = f.PAGE // 8
    body, word = writes.index(next(x for x in writes if x[0] == "_bytes")), writes.index(("_words", record))
    epoch = writes.index(("_halves", f.EPOCH))
    last_time = len(writes) - 1 - writes[::-1].index(("_words", record + 1))
    assert body < word < epoch < last_time


def test_a_setter_that_dies_loses_no_other_switch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def prepare() -> None:
        new_file(folder)
        kill(folder, ARB)

    for _ in deaths(monkeypatch, lambda: kill(folder, MOMO), prepare):
        assert ARB in keys(folder)
        seen.add(MOMO in keys(folder))
        kill(folder, ACC1)  # the file can be written as before
        assert {ARB, ACC1} <= keys(folder)
        assert FIRM not in keys(folder)
    assert seen == {False, True}


def test_a_setter_that_dies_setting_again_leaves_it_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = set()

    def prepare() -> None:
        new_file(folder)
        kill(folder, MOMO)

    for writes in deaths(monkeypatch, lambda: kill(folder, MOMO, "bob", "still"), prepare):
        users.add(found(folder)[MOMO].user)
        assert ("_halves", f.EPOCH) not in writes or found(folder)[MOMO].user == "bob"
        before = found(folder)[MOMO].sequence
        kill(folder, MOMO, "carol")
        assert found(folder)[MOMO].user == "carol"
        assert found(folder)[MOMO].sequence > before
    assert users == {"alice", "bob"}


def test_a_release_that_dies_releases_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare() -> None:
        new_file(folder)
        kill(folder, MOMO)
        kill(folder, ARB)

    for _ in deaths(monkeypatch, lambda: release_switch(folder, found(folder)[MOMO]), prepare):
        assert ARB in keys(folder)


# Setting, setting again, releasing


def test_a_switch_is_read_as_it_was_set(folder: Path) -> None:
    observer = Observer(folder)
    epoch = observer.epoch()
    done = kill(folder, MOMO)
    assert not done.fault and not done.seen_in(epoch) and not done.seen_in(0)
    assert done.seen_in(observer.epoch())
    (switch,) = observer.check()[1]
    assert switch == done.switch
    assert (switch.key, switch.user, switch.reason, switch.boot) == (MOMO, "alice", "runs away", boot_hash())
    assert switch.set_ns > 0


def test_set_again_it_has_a_new_time_user_and_epoch(folder: Path) -> None:
    observer = Observer(folder)
    first = kill(folder, MOMO)
    epoch = observer.epoch()
    again = kill(folder, MOMO, "bob", "still")
    assert observer.epoch() != epoch and not again.seen_in(epoch) and again.seen_in(observer.epoch())
    (switch,) = read_switches(folder)
    assert (switch.user, switch.reason) == ("bob", "still")
    assert switch.set_ns > first.switch.set_ns and switch.sequence != first.switch.sequence


def test_long_users_and_reasons_are_cut_at_a_character(folder: Path) -> None:
    kill(folder, MOMO, "é" * 40, "a\nb" + "é" * 200)
    (switch,) = read_switches(folder)
    assert switch.user == "é" * 16
    assert switch.reason.startswith("a b") and set(switch.reason[3:]) == {"é"}


def test_a_released_switch_is_gone_and_the_others_stay(folder: Path) -> None:
    observer = Observer(folder)
    for key in (MOMO, ARB, FIRM):
        kill(folder, key)
    epoch = observer.epoch()
    release_switch(folder, found(folder)[MOMO])
    assert keys(folder) == {ARB, FIRM} and observer.epoch() != epoch
    release_switch(folder, found(folder)[FIRM])
    assert keys(folder) == {ARB}


def test_a_switch_set_again_after_it_was_read_stays_set(folder: Path) -> None:
    kill(folder, MOMO)
    seen = found(folder)[MOMO]
    kill(folder, MOMO, "bob")
    release_switch(folder, seen)
    assert found(folder)[MOMO].user == "bob"


def test_a_firm_killed_again_after_it_was_read_stays_killed(folder: Path) -> None:
    kill_firm(folder)
    seen = found(folder)[FIRM]
    kill_firm(folder)
    release_switch(folder, seen)
    assert keys(folder) == {FIRM}
    release_switch(folder, found(folder)[FIRM])
    assert not keys(folder)


def test_the_firm_killed_both_ways_is_released_at_once_and_says_who(folder: Path) -> None:
    kill(folder, FIRM)
    before = found(folder)[FIRM]
    kill_firm(folder)
    switch = found(folder)[FIRM]
    assert switch.user == "alice" and switch.sequence != before.sequence
    release_switch(folder, before)
    assert keys(folder) == {FIRM}
    release_switch(folder, switch)
    assert not keys(folder)


@pytest.mark.parametrize(
    "text",
    ["", "desk", "strategy=", "strategy=" + "x" * 33, "strategy=" + "é" * 17, "firm=", "firm=X", "fund=A", "desk=a\n"],
)
def test_a_scope_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        parse_scope(text)


def test_scopes_are_those_of_the_state() -> None:
    assert f.SCOPE_NAMES == a.SCOPE_NAMES and f.NAME_BYTES == a.NAME_BYTES and f.FIRM == a.FIRM
    assert parse_scope("firm") == FIRM
    assert parse_scope("strategy=A=B") == (a.STRATEGY, "A=B")


def test_a_name_too_long_changes_nothing(folder: Path) -> None:
    before = (folder / f.FILE).read_bytes()
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        set_switch(folder, a.STRATEGY, "x" * 33, "alice", "")
    assert (folder / f.FILE).read_bytes() == before


# Where a switch cannot be set, the firm is killed


def assert_firm_instead(folder: Path, done: w.Kill, why: str) -> None:
    assert why in done.fault and done.switch.key == FIRM and done.switch.set_ns > 0


def test_a_lock_that_is_not_to_be_had_kills_the_firm(folder: Path) -> None:
    kill(folder, ARB)
    observer = Observer(folder)
    epoch = observer.epoch()
    with open(folder / f.FILE) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        done = kill(folder, MOMO)
        again = kill(folder, MOMO)
    assert_firm_instead(folder, done, "lock")
    assert keys(folder) == {FIRM, ARB}
    assert not done.seen_in(epoch) and again.seen_in(observer.epoch())
    assert again.word != done.word


def test_a_full_file_kills_the_firm_but_what_is_set_can_be_set_again(folder: Path) -> None:
    names = [(a.TRADER, f"T{k}") for k in range(f.RECORDS - 1)]
    for key in names:
        assert not kill(folder, key).fault
    assert not kill(folder, names[3], "bob").fault
    assert found(folder)[names[3]].user == "bob"
    assert_firm_instead(folder, kill(folder, MOMO), "no room")
    assert keys(folder) == {*names, FIRM}
    release_switch(folder, found(folder)[names[0]])
    assert not kill(folder, MOMO).fault


def test_a_missing_file_kills_the_firm_for_the_next_start(tmp_path: Path) -> None:
    done = kill(tmp_path, MOMO)
    assert_firm_instead(tmp_path, done, "No such file")
    assert keys(tmp_path) == {FIRM}
    with pytest.raises(FileExistsError):
        create(tmp_path)


def test_the_file_that_it_makes_has_the_firm_killed_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dying(monkeypatch, 0, lambda: kill_firm(tmp_path)) == []
    assert keys(tmp_path) == {FIRM}


def test_without_a_folder_nothing_is_blocked_and_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotKill, match="no switch could be set"):
        kill(tmp_path / "gone", MOMO)


@pytest.mark.parametrize("size", [0, 10, f.PAGE, f.SIZE - 1, f.SIZE + 1])
def test_a_file_of_another_size_kills_the_firm(folder: Path, size: int) -> None:
    kill(folder, ARB)
    os.truncate(folder / f.FILE, size)
    with pytest.raises(SwitchFault, match="bytes"):
        read_switches(folder)
    assert_firm_instead(folder, kill(folder, MOMO), "bytes")


@pytest.mark.parametrize("size", [0, 10, f.PAGE - 1])
def test_a_kill_leaves_its_mark_in_a_file_that_has_no_room_for_it(folder: Path, size: int) -> None:
    """By which a rearm of the firm knows that somebody killed since."""
    os.truncate(folder / f.FILE, size)
    words = [firm_word(folder)]
    for _ in range(2):
        assert_firm_instead(folder, kill(folder, MOMO), "bytes")
        words.append(firm_word(folder))
    assert len(set(words)) == 3


def with_holes(folder: Path) -> None:
    """The file as many tools copy one: with nothing on disk for its zeros."""
    data = (folder / f.FILE).read_bytes()
    (folder / f.FILE).unlink()
    with open(folder / f.FILE, "xb") as file:
        file.truncate(f.SIZE)
        file.write(data[: f.PAGE])
    assert read_switches(folder) == []


def test_holes_of_the_file_are_filled_before_a_switch_is_written(folder: Path) -> None:
    """To write into a hole by way of a map ends the process when the disk is full."""
    with_holes(folder)
    assert (folder / f.FILE).stat().st_blocks * 512 < f.SIZE
    assert not kill(folder, MOMO).fault
    assert (folder / f.FILE).stat().st_blocks * 512 >= f.SIZE
    assert keys(folder) == {MOMO}


def test_holes_that_a_full_disk_cannot_fill_kill_the_firm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_holes(folder)

    def full(fd: int, at: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert_firm_instead(folder, kill(folder, MOMO), "No space left")
    assert keys(folder) == {FIRM}


def test_an_epoch_at_its_end_is_damage(folder: Path) -> None:
    with open(folder / f.FILE, "r+b") as file:
        file.seek(f.EPOCH * 4)
        file.write(b"\xff" * 4)
    with pytest.raises(SwitchFault, match="header is damaged"):
        read_switches(folder)
    assert_firm_instead(folder, kill(folder, MOMO), "header is damaged")
    new_file(folder)
    assert not kill(folder, MOMO).fault


def test_a_newer_file_kills_the_firm(folder: Path) -> None:
    with open(folder / f.FILE, "r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", f.VERSION + 1))
    with pytest.raises(SwitchFault, match="version 2, want 1"):
        read_switches(folder)
    done = kill(folder, MOMO)
    assert_firm_instead(folder, done, "version")
    assert (FIRM, done.switch.sequence) in {(s.key, s.sequence) for s in salvage_firm(folder)}


def salvage_firm(folder: Path) -> list[Switch]:
    """The firm's word of a file whose header says something else."""
    data = (folder / f.FILE).read_bytes()
    return [switch for _, switch in f.firm_records(data)]


def damaged(good: bytes, at: int, change: Callable[[int], int]) -> bytes:
    return good[:at] + bytes([change(good[at])]) + good[at + 1 :]


def test_no_damaged_byte_loses_a_switch(folder: Path) -> None:
    """Of the header, records set, set again, released and free."""
    for key in (MOMO, ARB, ACC1, MOMO):
        kill(folder, key)
    release_switch(folder, found(folder)[ARB])
    good = (folder / f.FILE).read_bytes()
    told = {(s.key, s.user, s.reason) for s in read_switches(folder)}
    near = [*range(64), *range(f.PAGE, f.PAGE + 6 * f.RECORD_BYTES), *range(f.SIZE - f.RECORD_BYTES, f.SIZE)]
    faults = 0
    file = os.open(folder / f.FILE, os.O_RDWR)
    for at in [*near, *range(64, f.SIZE, 997)]:
        for change in (lambda x: x ^ 0xFF, lambda x: x ^ 1, lambda x: x ^ 3, lambda x: 0, lambda x: 0xFF):
            os.pwrite(file, bytes([change(good[at])]), at)
            try:
                now = w._read(file, folder)[1]
            except SwitchFault:
                faults += 1
            else:
                assert {(s.key, s.user, s.reason) for s in now if s.user} == told, at
        os.pwrite(file, good[at : at + 1], at)
    os.close(file)
    assert {(s.key, s.user, s.reason) for s in read_switches(folder)} == told
    assert faults > 500


@pytest.mark.parametrize("at", [0, 9, 13, 17, 27])
def test_a_damaged_header_is_noticed(folder: Path, at: int) -> None:
    with open(folder / f.FILE, "r+b") as file:
        file.seek(at)
        file.write(b"?")
    with pytest.raises(SwitchFault):
        read_switches(folder)


@pytest.mark.parametrize("first,last", [(0, 1), (1, 2), (0, 16), (2, 3)])
def test_records_that_a_disk_has_lost_are_noticed(folder: Path, first: int, last: int) -> None:
    for key in (MOMO, ARB, ACC1):
        kill(folder, key)
    with open(folder / f.FILE, "r+b") as file:
        file.seek(f.PAGE + first * f.RECORD_BYTES)
        file.write(bytes((last - first) * f.RECORD_BYTES))
    with pytest.raises(SwitchFault, match="damaged"):
        read_switches(folder)


def test_records_in_each_others_place_are_noticed(folder: Path) -> None:
    kill(folder, MOMO)
    good = (folder / f.FILE).read_bytes()
    copied = good[: f.PAGE + 256] + good[f.PAGE : f.PAGE + 256] + good[f.PAGE + 512 :]
    (folder / f.FILE).write_bytes(copied)
    with pytest.raises(SwitchFault, match="damaged"):
        read_switches(folder)


def test_an_observer_notices_another_file_in_its_place(folder: Path) -> None:
    observer = Observer(folder)
    new_file(folder)
    with pytest.raises(SwitchFault, match="not the file that it was"):
        observer.check()
    (folder / f.FILE).unlink()
    with pytest.raises(SwitchFault, match="No such file"):
        observer.check()
    with pytest.raises(SwitchFault, match="No such file"):
        Observer(folder)


def test_what_can_be_read_of_a_damaged_file_is_salvaged(folder: Path) -> None:
    for key in (MOMO, ARB, ACC1):
        kill(folder, key)
    good = (folder / f.FILE).read_bytes()
    (folder / f.FILE).write_bytes(bytes(8) + damaged(good, f.PAGE + 256 + 50, lambda x: x ^ 1)[8:])
    assert {switch.key for switch in salvage(folder)} == {MOMO, ACC1}


# Reading while others write


def reading(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    """The next time that the whole file is read, `change` has its hands on it."""
    pread = os.pread
    once = iter([True])

    def read(fd: int, size: int, at: int) -> bytes:
        data = pread(fd, size, at)
        return change(data) if size > f.SIZE and next(once, False) else data

    monkeypatch.setattr(os, "pread", read)


def test_a_switch_that_moves_while_the_file_is_read_is_not_missed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new record was read before it was set there, its old one after it was released."""
    kill(folder, ARB)
    kill(folder, MOMO)
    release_switch(folder, found(folder)[ARB])

    def torn(data: bytes) -> bytes:
        kill(folder, MOMO, "bob")
        at = f.PAGE + f.RECORD_BYTES
        return data[:at] + (folder / f.FILE).read_bytes()[at:]

    reading(monkeypatch, torn)
    assert [(switch.key, switch.user) for switch in read_switches(folder)] == [(MOMO, "bob")]


def test_what_is_damaged_only_once_was_being_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(folder, MOMO)
    reading(monkeypatch, lambda data: damaged(data, f.PAGE + 3, lambda x: x ^ 1))
    assert keys(folder) == {MOMO}


# Processes


def test_setters_do_not_lose_each_others_switches(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gateway.kill.file import set_switch\n"
        "for k in range(30): assert not set_switch(Path(sys.argv[1]), 4, sys.argv[2] + str(k), 'u', 'r').fault\n"
    )
    observer = Observer(folder)
    setters = [subprocess.Popen([sys.executable, "-c", script, str(folder), name]) for name in "ABC"]
    seen: set[tuple[int, str]] = set()
    while any(setter.poll() is None for setter in setters):
        now = {switch.key for switch in observer.check()[1]}
        assert seen <= now
        seen = now
    assert [setter.returncode for setter in setters] == [0, 0, 0]
    assert keys(folder) == {(a.TRADER, f"{name}{k}") for name in "ABC" for k in range(30)}


def test_readers_see_a_switch_all_the_time_while_it_is_set_again(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from gateway.kill.file import set_switch\n"
        "for k in range(300): set_switch(Path(sys.argv[1]), 3, 'MOMO', str(k), 'r')\n"
    )
    kill(folder, MOMO)
    kill(folder, ARB)
    observer = Observer(folder)
    setter = subprocess.Popen([sys.executable, "-c", script, str(folder)])
    while setter.poll() is None:
        assert {switch.key for switch in observer.read()[1]} == {MOMO, ARB}
    assert setter.returncode == 0


def test_a_kill_needs_nothing_but_the_standard_library() -> None:
    script = "import sys, gateway.kill.file\nassert not {'numpy', 'yaml', 'pydantic', 'structlog'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_file_is_its_owners_unless_there_is_a_group(tmp_path: Path) -> None:
    create(tmp_path)
    assert (tmp_path / f.FILE).stat().st_mode & 0o777 == 0o600
    group = grp.getgrgid(os.getgid()).gr_name
    create(tmp_path, group=group, instead=True)
    assert (tmp_path / f.FILE).stat().st_mode & 0o777 == 0o660
    with pytest.raises(LookupError):
        create(tmp_path, group="no such group", instead=True)
    assert [path.name for path in tmp_path.iterdir()] == [f.FILE]
