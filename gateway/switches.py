"""Kill switches: a file in the state folder that says who may not trade.

Standard library only, so that a kill acts at once.

Whoever may write the file sets a switch in it; the core's thread looks at one word of it before every order and acts on
what changed. A switch stays set until people rearm it by way of the gateway. The file fails closed: missing, cut short,
of a newer version or changed by accident, it means that the whole firm is killed.

Numbers are little-endian. A page of header, then RECORDS records of RECORD_BYTES:

| header | | record | |
|---|---|---|---|
| 0 | magic, 8 bytes | 0 | word: FREE, SET or RELEASED |
| 8 | version, u32 | 8 | set_ns, i64: CLOCK_MONOTONIC, taken when the switch could be seen; 0: not yet |
| 12 | number of records, u32 | 16 | sequence, u32; number of the record, u32 |
| 16 | CRC-32 of 0 to 15, u32 | 24 | hash of the boot id, u64; wall clock, i64, ns since 1970 |
| 24 | records used, u32 | 40 | scope, u32; name, user, reason: 32, 32 and 128 bytes, filled with zeros |
| 28 | firm released, u32 | 236 | CRC-32 of 16 to 235, u32 |
| 32 | epoch, u32: changes with every change | | |
| 36 | firm killed, u32: anything but `firm released` kills the firm | | |

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
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.boot import boot_hash
from gateway.durable import sync_path

FILE = "switches"
SCOPE_NAMES = ("firm", "desk", "account", "strategy", "trader", "flow", "instrument", "session", "venue")
FIRM = 0
NAME_BYTES, USER_BYTES, REASON_BYTES = 32, 32, 128

MAGIC = b"TGSWITCH"
VERSION = 1
RECORDS = 512
PAGE = 4096
RECORD_BYTES = 256
SIZE = PAGE + RECORDS * RECORD_BYTES
HEADER = struct.Struct("<8sIII4xIIII")  # magic, version, records, crc, used, firm released, epoch, firm killed
FIXED_BYTES = 16  # of the header, under its CRC
BODY = struct.Struct("<IIQqI32s32s128sxxxx")  # sequence, number, boot, wall_ns, scope, name, user, reason
CRC = struct.Struct("<I")
BODY_AT = 16
CRC_AT = BODY_AT + BODY.size
# No byte of one is that of another: no single damaged byte makes a released switch of one that is set.
FREE, SET, RELEASED = 0, int.from_bytes(b"KILLED!\x01", "little"), int.from_bytes(b"released", "little")
# Words by their number: halves of 4 bytes, words of 8. The core's word holds epoch and `firm killed`.
USED, FIRM_RELEASED, EPOCH, FIRM_KILLED = 6, 7, 8, 9
CORES_WORD = 4
RECORD_WORDS = RECORD_BYTES // 8

LOCK_WAIT_S = 0.5
LOCK_POLL_S = 0.005
READ_TRIES = 20
TRIES = 5  # when the file is replaced while a switch is being set
UNKNOWN_SETTER = "whole firm, since a switch could not be set"
HALF = 0xFFFFFFFF


class SwitchFault(Exception):
    """The file is missing, damaged or cannot be written now: the firm counts as killed. One line."""


class CannotKill(Exception):
    """Not even the whole firm could be killed: nothing is blocked by this call. One line."""


@dataclass(frozen=True)
class Switch:
    """A switch that is set. `scope` numbers SCOPE_NAMES; `name` is empty for the firm.

    `sequence` changes when it is set again. `set_ns` is CLOCK_MONOTONIC of the boot with the hash `boot`, 0: not known.
    """

    scope: int
    name: str
    sequence: int
    set_ns: int
    boot: int
    wall_ns: int
    user: str
    reason: str

    @property
    def key(self) -> tuple[int, str]:
        """What it kills: (scope, name)."""
        return self.scope, self.name


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


def parse_scope(text: str) -> tuple[int, str]:
    """(scope, name) of `firm` or `SCOPE=NAME`; raises ValueError with what was wanted."""
    scope, _, name = text.partition("=")
    if scope not in SCOPE_NAMES:
        raise ValueError(f"{text}: want firm or SCOPE=NAME with one of {', '.join(SCOPE_NAMES[1:])}")
    number = SCOPE_NAMES.index(scope)
    if text == "firm=":
        raise ValueError(f"{text}: want firm, which has no name")
    check_name(number, name)
    return number, name


def scope_text(scope: int, name: str) -> str:
    """A scope as people read it: `firm`, `strategy MOMO`."""
    return f"{SCOPE_NAMES[scope]} {name}".strip()


def check_name(scope: int, name: str) -> None:
    """Raises ValueError when there can be no switch of this scope and name."""
    if scope == FIRM:
        if name:
            raise ValueError(f"firm={name}: want firm, which has no name")
    elif not 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES or not name.isprintable() or name.strip() != name:
        raise ValueError(f"{SCOPE_NAMES[scope]}={name}: want a name of 1 to {NAME_BYTES} bytes")


def create(
    folder: Path, switches: Iterable[Switch] = (), group: str | None = None, instead: bool = False, firm: bool = False
) -> None:
    """Make the file, with these switches set, and on disk when this returns.

    `instead` puts it in the place of the one that is there; without it FileExistsError is raised. `firm` kills the firm
    without a switch of its own. With `group` its members may set switches too. Raises OSError, LookupError (no such
    group), or SwitchFault when there are too many switches.
    """
    image = _image(list(switches), _epoch_of(folder), firm)
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


def replace_file(folder: Path, switches: Iterable[Switch], group: str | None = None) -> None:
    """Put a sound file with these switches in the place of any that is there; raises as `create` does.

    Who sets a switch in the old file meanwhile sees that it is another one and sets it again, unless it looked too
    early: then it is found here, and the firm stays killed.
    """
    old = None
    with contextlib.suppress(FileNotFoundError):
        old = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        before = set() if old is None else _marks(old)
        create(folder, switches, group, instead=True)
        if old is not None and _marks(old) - before:
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
                        return Kill(_firm_killed(word, set_ns), word, UNKNOWN_SETTER)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    create(folder, firm=True)
        raise CannotKill(f"{folder / FILE}: is replaced again and again")
    except (OSError, LookupError) as error:
        why = getattr(error, "strerror", None) or error
        raise CannotKill(f"{folder / FILE}: {why}: no switch could be set") from None
    except SwitchFault as fault:
        # No room even for the word: no gateway takes such a file for anything but a killed firm.
        return Kill(_firm_killed(0, time.monotonic_ns()), 0, str(fault))


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
        return list(_merged(_records(os.pread(fd, SIZE + 1, 0), strict=False)))
    finally:
        os.close(fd)


def firm_word(folder: Path) -> bytes:
    """The core's word of a file that may be damaged, empty where it has none: a kill of the firm always changes it."""
    try:
        fd = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, 8, CORES_WORD * 8)
    finally:
        os.close(fd)


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
        self._halves[FIRM_KILLED] = _number_without(taken)
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
        self._bytes[at + BODY_AT : at + CRC_AT + CRC.size] = _body(switch, number)
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
        return _records(bytes(self._bytes), path=self._path)

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


def _number_without(taken: set[int]) -> int:
    """A number of four bytes, none of which is zero or taken."""
    free = [byte for byte in os.urandom(256) if byte not in {0, *taken}]
    return int.from_bytes(bytes(free[:4]), "little")


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


def _image(switches: list[Switch], epoch: int, firm: bool) -> bytes:
    """Content of a new file."""
    if len(switches) >= RECORDS:
        raise SwitchFault(f"{FILE}: has no room for {len(switches)} switches")
    image = bytearray(SIZE)
    fixed = struct.pack("<8sII", MAGIC, VERSION, RECORDS)
    released = _number_without(set())
    killed = _number_without(set(released.to_bytes(4, "little"))) if firm else released
    HEADER.pack_into(image, 0, MAGIC, VERSION, RECORDS, zlib.crc32(fixed), len(switches), released, epoch, killed)
    for number, switch in enumerate(switches):
        at = PAGE + number * RECORD_BYTES
        struct.pack_into("<qq", image, at, SET, switch.set_ns)
        image[at + BODY_AT : at + CRC_AT + CRC.size] = _body(replace(switch, sequence=epoch), number)
    return bytes(image)


def _body(switch: Switch, number: int) -> bytes:
    """Body and CRC of a record."""
    texts = (switch.name.encode(), _cut(switch.user, USER_BYTES), _cut(switch.reason, REASON_BYTES))
    body = BODY.pack(switch.sequence & HALF, number, switch.boot, switch.wall_ns, switch.scope, *texts)
    return body + CRC.pack(zlib.crc32(body))


def _cut(text: str, size: int) -> bytes:
    """At most so many bytes of a text, on one line."""
    one_line = " ".join(text.replace("\0", " ").split())
    return one_line.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()


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
            before = os.pread(fd, 8, CORES_WORD * 8)
            data = os.pread(fd, SIZE + 1, 0)
            after = os.pread(fd, 8, CORES_WORD * 8)
            records = _records(data, path=folder / FILE)
        except OSError as error:
            raise SwitchFault(f"{folder / FILE}: {error.strerror}") from None
        except SwitchFault as found:
            fault = found
            continue
        if before == after:
            return int.from_bytes(before, "little", signed=True), list(_merged([*records, *_firm(data)]))
    raise fault


def _records(data: bytes | memoryview, strict: bool = True, path: Path | str = FILE) -> list[tuple[int, Switch]]:
    """(number, switch) of every record that is SET; raises SwitchFault. Not `strict`: what can be read of them."""
    if strict:
        _check_header(data, path)
    size = (len(data) - PAGE) // RECORD_BYTES if len(data) > PAGE else 0
    used = HEADER.unpack_from(data)[4] if strict else 0
    found = []
    for number in range(min(size, RECORDS)):
        at = PAGE + number * RECORD_BYTES
        (word,) = struct.unpack_from("<q", data, at)
        if word == SET and _is_sound(data, number):
            found.append((number, _switch(data, number)))
        elif strict and word != RELEASED and (word != FREE or number < used):
            raise SwitchFault(f"{path}: record {number} is damaged")
    return found


def _check_header(data: bytes | memoryview, path: Path | str) -> None:
    if len(data) != SIZE:
        raise SwitchFault(f"{path}: has {len(data)} bytes or more, want {SIZE}")
    magic, version, records, crc, used, *_ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SwitchFault(f"{path}: is no file of kill switches")
    if version != VERSION:
        raise SwitchFault(f"{path}: has version {version}, want {VERSION}")
    if records != RECORDS or crc != zlib.crc32(data[:FIXED_BYTES]) or used > RECORDS:
        raise SwitchFault(f"{path}: its header is damaged")


def _is_sound(data: bytes | memoryview, number: int) -> bool:
    at = PAGE + number * RECORD_BYTES
    body = data[at + BODY_AT : at + CRC_AT]
    told = BODY.unpack(body)
    return (
        zlib.crc32(body) == CRC.unpack_from(data, at + CRC_AT)[0] and told[1] == number and told[4] < len(SCOPE_NAMES)
    )


def _switch(data: bytes | memoryview, number: int) -> Switch:
    at = PAGE + number * RECORD_BYTES
    (set_ns,) = struct.unpack_from("<q", data, at + 8)
    sequence, _, boot, wall_ns, scope, *texts = BODY.unpack_from(data, at + BODY_AT)
    name, user, reason = (text.rstrip(b"\0").decode("utf-8", "replace") for text in texts)
    return Switch(scope, name, sequence, set_ns, boot, wall_ns, user, reason)


def _firm(data: bytes) -> list[tuple[int, Switch]]:
    """The firm as killed without a record of its own, if it is."""
    *_, released, _, killed = HEADER.unpack_from(data)
    return [] if killed == released else [(RECORDS, _firm_killed(killed << 32, 0))]


def _firm_killed(word: int, set_ns: int) -> Switch:
    """The firm's switch as `kill_firm` sets it: nobody had the time to say who and why."""
    boot, wall_ns = (boot_hash(), time.time_ns()) if set_ns else (0, 0)
    return Switch(FIRM, "", (word >> 32 & HALF) << 32, set_ns, boot, wall_ns, "", UNKNOWN_SETTER)


def _merged(records: Iterable[tuple[int, Switch]]) -> Iterator[Switch]:
    """One switch of each key: the newest, where a setter died before it could release the older one.

    Of the firm the one with a name and a reason, and a sequence that tells both apart.
    """
    newest: dict[tuple[int, str], Switch] = {}
    for _, switch in records:
        other = newest.get(switch.key)
        if other is None:
            newest[switch.key] = switch
        elif switch.sequence >> 32 and not other.sequence >> 32:
            newest[switch.key] = replace(other, sequence=switch.sequence | other.sequence)
        elif switch.sequence > other.sequence:
            newest[switch.key] = switch
    yield from newest.values()


def _marks(fd: int) -> set[tuple[int, str, int]]:
    """What of an old file changes when a switch is set in it."""
    data = os.pread(fd, SIZE + 1, 0)
    marks = {(switch.scope, switch.name, switch.sequence) for _, switch in _records(data, strict=False)}
    if len(data) >= HEADER.size:
        marks.add((FIRM, "", HEADER.unpack_from(data)[7] << 32))
    return marks
