"""Kill switches: a file in the state folder that says who may not trade.

Standard library only, so that a kill acts at once.

Whoever may write the file sets a switch in it; the core's thread looks at one word of it before every order and acts on
what changed. A switch stays set until people rearm it by way of the gateway. The file fails closed: missing, cut short,
of a newer version or changed by accident, it means that the whole firm is killed. `gateway/kill/format.py` has its
format.

Each word is written in one store, and is there before the epoch changes. A record is filled while it is not SET, so a
process that dies at any point leaves every earlier switch set. Setters take turns by flock. `firm killed` needs no
turn: whoever cannot set a switch stores a new number there, and a release names the number that it has seen, so neither
undoes the other.

The file must not be cut to nothing while a gateway runs: reading its first page is then a SIGBUS, which ends the
process.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.kill.format import (
    BODY_AT,
    CORES_WORD,
    CRC,
    CRC_AT,
    EPOCH,
    FILE,
    FIRM,
    FIRM_KILLED,
    FIRM_RELEASED,
    HALF,
    HEADER,
    PAGE,
    RECORD_BYTES,
    RECORDS,
    RELEASED,
    SET,
    SIZE,
    UNKNOWN_SETTER,
    USED,
    Switch,
    SwitchFault,
    check_name,
    firm_killed,
    firm_records,
    merged,
    new_image,
    number_without,
    record_body,
    set_records,
)
from gateway.machine import boot_hash, sync_path

LOCK_WAIT_S = 0.5
LOCK_POLL_S = 0.005
READ_TRIES = 20
TRIES = 5  # when the file is replaced while a switch is being set


class CannotKill(Exception):
    """Not even the whole firm could be killed: nothing is blocked by this call. One line."""


@dataclass(frozen=True)
class Kill:
    """A switch that has just been set. `fault` is empty, or why the whole firm is killed instead.

    `word` is the core's word of the file with the switch in it; 0: the file has no room for one.
    """

    switch: Switch
    word: int
    fault: str

    def seen_in(self, word: int) -> bool:
        """Whether a core that has seen and applied this word (`Observer.epoch`) has seen this switch."""
        if self.fault:
            return self.word != 0 and word >> 32 == self.word >> 32
        return word & HALF >= self.word & HALF


def create(
    folder: Path, switches: Iterable[Switch] = (), group: str | None = None, instead: bool = False, firm: bool = False
) -> None:
    """Make the file, with these switches set, and on disk when this returns.

    `instead` puts it in the place of the one that is there; without it FileExistsError is raised. `firm` kills the firm
    without a switch of its own. With `group` its members may set switches too. Raises OSError, LookupError (no such
    group), or SwitchFault when there are too many switches.
    """
    image = new_image(list(switches), _epoch_of(folder), firm)
    path = folder / FILE
    new = folder / f"{FILE}.{os.getpid()}.new"
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _give_away(fd, folder, group)
        view = memoryview(image)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        if instead:
            os.rename(new, path)
        else:
            os.link(new, path)
    finally:
        os.close(fd)
        new.unlink(missing_ok=True)
    sync_path(folder)


def replace_file(folder: Path, switches: Iterable[Switch], word: bytes, group: str | None = None) -> None:
    """Put a sound file with these switches in the place of any that is there; raises as `create` does.

    `word` is the `firm_word` of before it was found out which they are. Who sets a switch in the old file after that
    sees that it is another one and sets it again, unless it looked too early: then the word is another one, and the
    firm stays killed.
    """
    old = None
    with contextlib.suppress(FileNotFoundError):
        old = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        create(folder, switches, group, instead=old is not None)
        if word != (b"" if old is None else _word_of(old)):
            kill_firm(folder)
    finally:
        if old is not None:
            os.close(old)


def set_switch(folder: Path, scope: int, name: str, user: str, reason: str) -> Kill:
    """Set a switch, or set it again: no order of the scope passes a gateway that looks from now on.

    Where it cannot be set (another holds the lock, no room, a missing or damaged file), the whole firm is killed
    instead and `Kill.fault` says why. It is not on disk before `sync_switches`. Longer users and reasons are cut.
    Raises ValueError for a name that no switch can have, before anything is done, and CannotKill when nothing could be
    blocked.
    """
    check_name(scope, name)
    try:
        for _ in range(TRIES):
            with _Mapped(folder) as file, file.locked():
                switch, word = file.put(Switch(scope, name, 0, 0, boot_hash(), time.time_ns(), user, reason))
                if file.is_current():
                    return Kill(switch, word, "")
        raise SwitchFault(f"{folder / FILE}: is replaced again and again")
    except SwitchFault as error:
        fault = str(error)
    except OSError as error:
        fault = f"{folder / FILE}: {error.strerror or error}"
    return replace(kill_firm(folder), fault=fault)


def kill_firm(folder: Path) -> Kill:
    """Kill the firm without waiting for anybody; makes the file when there is none. Raises CannotKill."""
    try:
        for _ in range(TRIES):
            try:
                with _Mapped(folder, PAGE) as file:
                    word = file.kill_firm()
                    set_ns = time.monotonic_ns()
                    if file.is_current():
                        return Kill(firm_killed(word, set_ns), word, UNKNOWN_SETTER)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    create(folder, firm=True)
            except SwitchFault as fault:
                # No page for the word: no gateway takes such a file for anything but a killed firm.
                if _mark_short(folder):
                    return Kill(firm_killed(0, time.monotonic_ns()), 0, str(fault))
        raise CannotKill(f"{folder / FILE}: is replaced again and again")
    except (OSError, LookupError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotKill(f"{folder / FILE}: {why}: no switch could be set") from None


def _mark_short(folder: Path) -> bool:
    """Make the `firm_word` of a file shorter than a page another one, so that no rearm forgets who killed meanwhile;
    returns False where another file has come to its place. Raises OSError.
    """
    fd = os.open(folder / FILE, os.O_WRONLY | os.O_CLOEXEC)
    try:
        own = os.fstat(fd)
        if own.st_size >= PAGE:
            return False
        os.pwrite(fd, os.urandom(8), CORES_WORD * 8)
        found = os.stat(folder / FILE)
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
    finally:
        os.close(fd)


def release_switch(folder: Path, switch: Switch) -> None:
    """Release a switch as it was read; one set again since then stays set. On disk when this returns.

    For the core's process only, when people have rearmed it. Raises SwitchFault or OSError.
    """
    with _Mapped(folder) as file, file.locked():
        file.release(switch)
        if not file.is_current():
            raise SwitchFault(f"{folder / FILE}: was replaced while a switch was released")
    sync_switches(folder)


def read_switches(folder: Path) -> list[Switch]:
    """Every switch that is set; raises SwitchFault, and then the firm counts as killed."""
    fd = _open_to_read(folder)
    try:
        return _read(fd, folder)[1]
    finally:
        os.close(fd)


def salvage(folder: Path) -> list[Switch]:
    """Every switch that can still be read in a damaged file; none when it is missing or cannot be read."""
    try:
        fd = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return list(merged(set_records(os.pread(fd, SIZE + 1, 0), strict=False)))
    finally:
        os.close(fd)


def firm_word(folder: Path) -> bytes:
    """The core's word of a file that may be damaged, empty where it has none: every switch that is set changes it."""
    try:
        fd = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return _word_of(fd)
    finally:
        os.close(fd)


def _word_of(fd: int) -> bytes:
    return os.pread(fd, 8, CORES_WORD * 8)


def sync_switches(folder: Path) -> None:
    """Put the file on disk; raises OSError."""
    sync_path(folder / FILE)


class Observer:
    """The file as the core's thread sees it."""

    def __init__(self, folder: Path) -> None:
        """Open the file; raises SwitchFault."""
        self._folder = folder
        self._fd = _open_to_read(folder)
        own = os.fstat(self._fd)
        self._inode = own.st_dev, own.st_ino
        if own.st_size < PAGE:
            os.close(self._fd)
            raise SwitchFault(f"{folder / FILE}: has {own.st_size} bytes, want {SIZE}")
        self._map = mmap.mmap(self._fd, PAGE, prot=mmap.PROT_READ)
        self.words = memoryview(self._map).cast("q")
        self._sound = b""  # the bytes of the file that gave what was last seen
        self._seen: tuple[int, list[Switch]] = (0, [])

    def epoch(self) -> int:
        """A number that is another one after every change. Take an event's time first, then look, then apply it."""
        return self.words[CORES_WORD]

    def read(self) -> tuple[int, list[Switch]]:
        """(epoch, every switch that is set at it); raises SwitchFault."""
        return _read(self._fd, self._folder)

    def check(self) -> tuple[int, list[Switch]]:
        """The same, once the folder still leads to this very file; raises SwitchFault."""
        try:
            found = os.stat(self._folder / FILE)
        except OSError as error:
            raise SwitchFault(f"{self._folder / FILE}: {error.strerror}") from None
        if (found.st_dev, found.st_ino) != self._inode:
            raise SwitchFault(f"{self._folder / FILE}: is not the file that it was")
        # To compare is far quicker than to verify, and nearly always nothing has changed.
        data = os.pread(self._fd, SIZE + 1, 0)
        if data != self._sound:
            self._seen = self.read()
            word = int.from_bytes(data[CORES_WORD * 8 : CORES_WORD * 8 + 8], "little", signed=True)
            self._sound = data if word == self._seen[0] else b""
        return self._seen

    def close(self) -> None:
        """Let go of the file."""
        self.words.release()
        self._map.close()
        os.close(self._fd)


class _Mapped:
    """The file, open and mapped for writing: all of it, or at least its first page for `kill_firm`."""

    def __init__(self, folder: Path, size: int = SIZE) -> None:
        self._path = folder / FILE
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            own = os.fstat(self._fd)
            if not stat.S_ISREG(own.st_mode) or own.st_size < size or (size == SIZE and own.st_size != SIZE):
                raise SwitchFault(f"{self._path}: has {own.st_size} bytes, want {SIZE}")
            self._inode = own.st_dev, own.st_ino
            if own.st_blocks * 512 < size:
                # A copy may have holes. To fill one by way of the map is the end of the process when the disk is full.
                os.posix_fallocate(self._fd, 0, size)
            self._map = mmap.mmap(self._fd, size)
        except BaseException:
            os.close(self._fd)
            raise
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("q")
        self._halves = self._bytes.cast("I")

    def __enter__(self) -> _Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        for view in (self._halves, self._words, self._bytes):
            view.release()
        self._map.close()
        os.close(self._fd)

    def is_current(self) -> bool:
        """Whether the folder still leads to this file."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Take the turn to write; raises SwitchFault when it is not to be had in LOCK_WAIT_S."""
        deadline_s = time.monotonic() + LOCK_WAIT_S
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() >= deadline_s:
                raise SwitchFault(f"{self._path}: another process has held its lock for {LOCK_WAIT_S} s")
            time.sleep(LOCK_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def kill_firm(self) -> int:
        """Store a number that nobody has released; returns the core's word."""
        taken = {*self._half_bytes(FIRM_RELEASED), *self._half_bytes(FIRM_KILLED)}
        # Another byte at every place: no damaged byte makes the two numbers equal.
        self._halves[FIRM_KILLED] = number_without(taken)
        return self._words[CORES_WORD]

    def _half_bytes(self, half: int) -> bytes:
        return bytes(self._bytes[half * 4 : half * 4 + 4])

    def put(self, switch: Switch) -> tuple[Switch, int]:
        """Set a switch in a record that is not; returns it as it is set, and the core's word. Raises SwitchFault."""
        records = self._set_records()
        same = [number for number, other in records if other.key == switch.key]
        number = self._room({number for number, _ in records}, bool(same))
        sequence = max([self._halves[EPOCH], *(other.sequence & HALF for _, other in records)]) + 1
        switch = replace(switch, sequence=sequence)
        at = PAGE + number * RECORD_BYTES
        self._words[at // 8 + 1] = 0  # set_ns
        self._bytes[at + BODY_AT : at + CRC_AT + CRC.size] = record_body(switch, number)
        self._words[at // 8] = SET
        self._halves[USED] = max(self._halves[USED], number + 1)
        self._halves[EPOCH] = sequence
        set_ns = time.monotonic_ns()
        self._words[at // 8 + 1] = set_ns
        word = self._words[CORES_WORD]
        for older in same:
            self._words[(PAGE + older * RECORD_BYTES) // 8] = RELEASED
        return replace(switch, set_ns=set_ns), word

    def _set_records(self) -> list[tuple[int, Switch]]:
        return set_records(bytes(self._bytes), path=self._path)

    def _room(self, taken: set[int], again: bool) -> int:
        """A record that is not SET. The last one is kept for switches that are set again."""
        free = [number for number in range(RECORDS) if number not in taken]
        if len(free) < (1 if again else 2):
            raise SwitchFault(f"{self._path}: has no room for another switch, {RECORDS - 1} are set")
        return free[0]

    def release(self, switch: Switch) -> None:
        """Release a switch up to the sequence that was read."""
        upto = switch.sequence & HALF
        for number, other in self._set_records():
            if other.key == switch.key and other.sequence <= upto:
                self._words[(PAGE + number * RECORD_BYTES) // 8] = RELEASED
        if switch.scope == FIRM and switch.sequence >> 32:
            self._halves[FIRM_RELEASED] = switch.sequence >> 32
        self._halves[EPOCH] += 1


def give_to(folder: Path, group: str | None) -> None:
    """Let a group's members set switches; without one nobody but the owner may. Raises SwitchFault, LookupError."""
    fd = _open_to_read(folder)
    try:
        _give_away(fd, folder, group)
    except OSError as error:
        raise SwitchFault(f"{folder / FILE}: {error.strerror}") from None
    finally:
        os.close(fd)


def _give_away(fd: int, folder: Path, group: str | None) -> None:
    """To the folder's owner, where root makes the file; to the group, where there is one."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.fchown(fd, owner.st_uid, owner.st_gid)
    if group is None:
        os.fchmod(fd, 0o600)
    else:
        import grp

        os.fchown(fd, -1, grp.getgrnam(group).gr_gid)
        os.fchmod(fd, 0o660)


def _epoch_of(folder: Path) -> int:
    """Where a new file's epoch begins: behind that of any before, since no file sees a change each second for long."""
    epoch = int(time.time())
    with contextlib.suppress(OSError), open(folder / FILE, "rb") as file:
        data = file.read(HEADER.size)
        told = HEADER.unpack(data)[6] if len(data) == HEADER.size else 0
        # A damaged one may be anything.
        epoch = max(epoch, told + 1) if told < epoch + 10**6 else epoch
    return epoch


def _open_to_read(folder: Path) -> int:
    try:
        return os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SwitchFault(f"{folder / FILE}: {error.strerror}") from None


def _read(fd: int, folder: Path) -> tuple[int, list[Switch]]:
    """(core's word, switches) of one moment: again while somebody changes the file."""
    fault = SwitchFault(f"{folder / FILE}: is being changed all the time")
    for _ in range(READ_TRIES):
        try:
            before = _word_of(fd)
            data = os.pread(fd, SIZE + 1, 0)
            after = _word_of(fd)
            records = set_records(data, path=folder / FILE)
        except OSError as error:
            raise SwitchFault(f"{folder / FILE}: {error.strerror}") from None
        except SwitchFault as found:
            fault = found
            continue
        if before == after:
            return int.from_bytes(before, "little", signed=True), list(merged([*records, *firm_records(data)]))
    raise fault
