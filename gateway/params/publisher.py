"""Publish limits and quotes in shared memory. Standard library only; one thread at a time may use a publisher.

    with ParameterPublisher("/dev/shm/tidegate/volatility") as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO", expires_s=60)
        while True:
            time.sleep(0.1)
            publisher.beat()

Stores are ordered as written on x86-64. A processor that reorders them could show a record half written; its checksum
gives that away, and the gateway looks again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
import zlib
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Self

from gateway.machine import boot_hash
from gateway.params import store

Number = Decimal | int | str
NS = 10**9
DURATION_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
ONE = Decimal(1)
MAX_BPS = 10_000


class PublisherError(Exception):
    """The file cannot be published to; one line."""


class _RecordFile:
    """The mapped file of one publisher: its lock, its header, and which key has which record."""

    magic: bytes
    record_size: int

    def __init__(self, path: str | os.PathLike[str], capacity: int = store.CAPACITY) -> None:
        """Take the file, or make one with room for so many records; what a file of this boot holds is kept.

        Raises PublisherError when another process publishes there or the file is of no use, and OSError.
        """
        if not 0 < capacity <= store.MAX_CAPACITY:
            raise ValueError(f"capacity: want 1 to {store.MAX_CAPACITY}, got {capacity}")
        self.path = os.fspath(path)
        os.makedirs(os.path.dirname(self.path) or ".", mode=0o755, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            self._map = self._mapped(capacity)
            # A word of this view is loaded and stored by one instruction; `struct` would go byte by byte.
            self._words = memoryview(self._map).cast("q")
            self._rows = self._take_over()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._words[store.PID_WORD] = os.getpid()
        self.beat()

    def __enter__(self) -> Self:
        """The publisher itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file; it stays, and the gateway finds its publisher silent."""
        if not self._map.closed:
            self._words.release()
            self._map.close()
            os.close(self._descriptor)

    @property
    def epoch(self) -> int:
        """Changes so far, of all who have published in this file."""
        return self._words[store.EPOCH_WORD]

    def beat(self) -> None:
        """Say that the publisher is about; to be done a few times in every `max_silence` of the source."""
        self._words[store.HEARTBEAT_WORD] = time.monotonic_ns()

    def _fail(self, why: str) -> PublisherError:
        return PublisherError(f"{self.path}: {why}")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._fail("another process publishes there") from None
        if not os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
            raise self._fail("was replaced by another file while it was opened")

    def _mapped(self, capacity: int) -> mmap.mmap:
        head = os.pread(self._descriptor, store.HEADER_BYTES, 0)
        if not head[: len(self.magic)].strip(b"\0"):
            size = store.HEADER_BYTES + capacity * self.record_size
            os.posix_fallocate(self._descriptor, 0, size)
            fixed = struct.pack("<3q", store.VERSION, self.record_size, capacity)
            # The magic last: a file without it has not been begun.
            os.pwrite(self._descriptor, fixed + bytes(8) + struct.pack("<2q", 0, boot_hash()), store.WORD)
            os.pwrite(self._descriptor, self.magic, 0)
            return mmap.mmap(self._descriptor, size)
        fault = store.header_fault(head, os.fstat(self._descriptor).st_size, self.magic, self.record_size)
        if fault:
            raise self._fail(f"{fault}; remove it to start over")
        return mmap.mmap(self._descriptor, store.file_bytes(head, self.record_size))

    def _take_over(self) -> dict[bytes, int]:
        """The record of each key, of a file as another publisher left it."""
        words, boot = self._words, boot_hash()
        if words[store.BOOT_WORD] != boot:
            # Its times mean nothing now. The boot last, so that this is done again if it is not finished.
            words[store.USED_WORD] = 0
            self._map[store.HEADER_BYTES :] = bytes(len(self._map) - store.HEADER_BYTES)
            words[store.BOOT_WORD] = boot
        if not 0 <= words[store.USED_WORD] <= words[store.CAPACITY_WORD]:
            raise self._fail(f"has {words[store.USED_WORD]} records of {words[store.CAPACITY_WORD]}; remove it")
        rows = {}
        for row in range(words[store.USED_WORD]):
            start = self._start(row)
            record = self._map[start : start + self.record_size]
            body, checksum = record[store.WORD : -store.WORD], record[-store.WORD :]
            # One left half written is put right by its next push: its key has been written before.
            half_written = words[start // store.WORD] & 1
            if not half_written and int.from_bytes(checksum, "little") != zlib.crc32(body):
                raise self._fail(f"record {row} is damaged; remove the file to start over")
            rows[self._key(body)] = row
        return rows

    def _start(self, row: int) -> int:
        return store.HEADER_BYTES + row * self.record_size

    def _key(self, body: bytes) -> bytes:
        """The bytes of a record's body that name what it is about."""
        raise NotImplementedError

    def _write(self, body: bytes) -> None:
        """Put a record, without sequence and checksum, at the place of its key."""
        words, key = self._words, self._key(body)
        row = self._rows.get(key)
        if row is None:
            row = words[store.USED_WORD]
            if row == words[store.CAPACITY_WORD]:
                raise self._fail(f"all {row} records are taken")
        start = self._start(row)
        sequence = start // store.WORD
        words[sequence] |= 1
        self._map[start + store.WORD : start + self.record_size] = body + struct.pack("<q", zlib.crc32(body))
        words[sequence] += 1
        if key not in self._rows:
            self._rows[key] = row
            words[store.USED_WORD] = row + 1
        words[store.EPOCH_WORD] += 1
        self.beat()


class ParameterPublisher(_RecordFile):
    """Pushes limits: `value` as limits.yaml has it, an exact number, a duration in seconds or as `250ms`."""

    magic = store.PARAMETER_MAGIC
    record_size = store.PARAMETER_BYTES

    def push(
        self,
        limit: str,
        value: Number,
        scope: str,
        name: str = "",
        symbol: str = "",
        expires_s: float | None = None,
        model: int = 0,
        tier: int = 0,
    ) -> int:
        """Push a limit of an entity, or with `symbol` of the entity in that instrument; returns the epoch of the push.

        It is in force for `expires_s` seconds, or until it is pushed again. Raises ValueError where an argument is of
        no use, and PublisherError when the file is full.
        """
        if limit not in store.LIMITS:
            raise ValueError(f"limit: want one of {', '.join(store.LIMITS)}, got {limit!r:.80}")
        if scope not in store.SCOPES:
            raise ValueError(f"scope: want one of {', '.join(store.SCOPES)}, got {scope!r:.80}")
        units = limit_units(limit, value)
        if (name == "") != (scope == "firm"):
            raise ValueError(f"name: want one for every scope but firm, got {name!r:.80} for {scope}")
        names = [_padded(key, text) for key, text in (("name", name), ("symbol", symbol))]
        now_ns = time.monotonic_ns()
        expires_ns = 0
        if expires_s is not None:
            if isinstance(expires_s, bool) or not 0 < expires_s < store.MAX_VALUE / NS:
                raise ValueError(f"expires_s: want more than zero seconds, got {expires_s}")
            expires_ns = now_ns + int(expires_s * NS)
        for key, own in (("model", model), ("tier", tier)):
            if not 0 <= own < 2**63:
                raise ValueError(f"{key}: want a number of at most 63 bits, got {own}")
        epoch = self.epoch + 1
        words = (epoch, now_ns, expires_ns, store.SCOPES[scope], store.LIMITS[limit][0], units, model, tier)
        self._write(struct.pack(store.PARAMETER_BODY, *words, *names))
        return epoch

    def _key(self, body: bytes) -> bytes:
        return body[24:40] + body[64:128]


class QuotePublisher(_RecordFile):
    """Publishes prices and quantities of instruments, exact to 8 decimals; what is not given counts as none."""

    magic = store.QUOTE_MAGIC
    record_size = store.QUOTE_BYTES

    def publish(
        self,
        symbol: str,
        bid: Number = 0,
        ask: Number = 0,
        last: Number = 0,
        bid_qty: Number = 0,
        ask_qty: Number = 0,
        last_qty: Number = 0,
        time_ns: int | None = None,
    ) -> int:
        """Publish a quote as of `time_ns` (CLOCK_MONOTONIC; None: now); returns the epoch of the file.

        Raises ValueError where an argument is of no use, and PublisherError when the file is full.
        """
        if not symbol:
            raise ValueError("symbol: is missing")
        parts = {"bid": bid, "ask": ask, "last": last, "bid_qty": bid_qty, "ask_qty": ask_qty, "last_qty": last_qty}
        units = [exact_units(key, value, store.DECIMALS["quantity"]) for key, value in parts.items()]
        now_ns = time.monotonic_ns()
        as_of_ns = now_ns if time_ns is None else time_ns
        if not 0 < as_of_ns <= now_ns:
            raise ValueError(f"time_ns: want a time of CLOCK_MONOTONIC that has passed, got {time_ns}")
        self._write(struct.pack(store.QUOTE_BODY, as_of_ns, *units, _padded("symbol", symbol)))
        return self.epoch

    def _key(self, body: bytes) -> bytes:
        return body[56:]


def limit_units(limit: str, value: Number) -> int:
    """A limit's value in units of 10^-decimals of its kind; raises ValueError."""
    kind = store.LIMITS[limit][1]
    seconds = ONE
    if kind == "duration" and isinstance(value, str):
        value = value.strip()
        unit = next((unit for unit in DURATION_SECONDS if value.endswith(unit)), "")
        value, seconds = value.removesuffix(unit), DURATION_SECONDS.get(unit, seconds)
    units = exact_units(limit, value, store.DECIMALS[kind], seconds)
    if kind == "bps" and units > MAX_BPS:
        raise ValueError(f"{limit}: want at most {MAX_BPS} basis points, got {value}")
    return units


def exact_units(key: str, value: Number, decimals: int, times: Decimal = ONE) -> int:
    """A number, `times` another, in units of 10^-decimals.

    Raises ValueError for what is no number, negative, too large or not exact.
    """
    number = _decimal(key, value)
    if number < 0:
        raise ValueError(f"{key}: want zero or more, got {value!s:.80}")
    try:
        units = EXACT.scaleb(EXACT.multiply(number, times), decimals)
    except ArithmeticError:
        raise ValueError(f"{key}: want a number of at most {decimals} decimals, got {value!s:.80}") from None
    if units > store.MAX_VALUE:
        raise ValueError(f"{key}: want at most {Decimal(store.MAX_VALUE).scaleb(-decimals)}, got {value!s:.80}")
    if units != units.to_integral_value():
        raise ValueError(f"{key}: want at most {decimals} decimals, got {value!s:.80}")
    return int(units)


def _decimal(key: str, value: Number) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise ValueError(f"{key}: want a Decimal, an int or text, which are exact, got {value!r:.80}")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"{key}: want a number, got {value!r:.80}") from None
    if not number.is_finite():
        raise ValueError(f"{key}: want a finite number, got {value!r:.80}")
    return number


def _padded(key: str, text: str) -> bytes:
    if text and not store.NAME.fullmatch(text):
        raise ValueError(f"{key}: want at most 32 letters, digits and _ . : / + -, got {text!r:.80}")
    return text.encode().ljust(32, b"\0")
