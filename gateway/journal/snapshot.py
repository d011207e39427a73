"""Snapshots: the state after all of a segment, so that a start need not replay the journal from its beginning.

A file `snapshot-NNNNNNNN.zst` (number of the segment) is a SNAPSHOT_HEAD, then one zstd frame: settings as JSON, the
layout of the state as JSON (`describe`) and the bytes of the state's block. A state of an older release whose layout is
not today's is carried over by the names of its columns.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard

from gateway import __version__
from gateway.config.files import ConfigError
from gateway.config.settings import Settings, restore_settings
from gateway.core.layout import CAPACITIES, record_dtype, state_dtype
from gateway.journal.read import JournalError, NewerReleaseError
from gateway.journal.replayer import Replayer
from gateway.journal.scan import words_crc
from gateway.journal.seal import previous_digest
from gateway.machine import sync_path
from gateway.state.carry_over import carry, layout_faults
from gateway.state.memory import State

MAGIC = b"TIDESNAP"
VERSION = 1
PREFIX, SUFFIX = "snapshot-", ".zst"
TEMPORARY_SUFFIX = ".tmp"  # of a file that is not whole yet
CHUNK_BYTES = 1 << 20
ZEROS = bytes(CHUNK_BYTES)

SNAPSHOT_HEAD = np.dtype(
    [
        ("magic", "S8"),
        ("version", "i8"),
        ("segment", "i8"),  # all of it is in the state
        ("sequence", "i8"),  # of the last record applied
        ("settings_size", "i8"),  # bytes of JSON
        ("layout_size", "i8"),  # bytes of JSON
        ("block_size", "i8"),  # bytes
        ("release", "S24"),  # that wrote it
        ("seal", "u1", 32),  # digest in the SEAL of the segment; zeros where it has none
        ("digest", "u1", 32),  # SHA-256 of what the frame holds
        ("crc", "i8"),  # of the words before
    ]
)


@dataclass(frozen=True)
class Snapshot:
    """A state that holds everything up to the record `sequence`, the last of `segment`, and the settings in force.

    `seal` is the digest in the SEAL of the segment, zeros where it has none.
    """

    segment: int
    sequence: int
    state: State
    settings: Settings
    seal: bytes


@dataclass(frozen=True)
class Found:
    """The newest valid snapshot, None when there is none; `notes` say which were left aside and why."""

    snapshot: Snapshot | None
    notes: list[str]


def snapshot_path(folder: Path, segment: int) -> Path:
    """File of the snapshot after a segment."""
    return folder / f"{PREFIX}{segment:08d}{SUFFIX}"


def snapshot_files(folder: Path) -> list[Path]:
    """Files of all snapshots, the newest first."""
    return sorted(folder.glob(f"{PREFIX}[0-9]*{SUFFIX}"), reverse=True)


def snapshot_segment(path: Path) -> int:
    """Number of the segment after which a snapshot was made, from the name of its file."""
    return int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))


def create_private(path: Path) -> BinaryIO:
    """Make a file that only its owner may read, and open it for writing."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115


def describe(dtype: np.dtype) -> bytes:
    """The layout of a packed dtype as JSON: a number is its type, an array [type, shape], a record {name: type}."""

    def part(dtype: np.dtype) -> object:
        if dtype.subdtype is not None:
            return [part(dtype.subdtype[0]), list(dtype.subdtype[1])]
        if dtype.fields is not None:
            return {name: part(dtype.fields[name][0]) for name in dtype.names or ()}
        return dtype.str

    return json.dumps(part(dtype)).encode()


def described_dtype(layout: bytes) -> np.dtype:
    """The dtype that `describe` described, its records with fields as attributes; raises ValueError for anything else.

    Only integers and floating-point numbers are known: no bytes of a file are ever taken for a Python object.
    """

    def part(described: object) -> np.dtype:
        match described:
            case str() if re.fullmatch(r"[<|][iuf][1248]", described):
                return np.dtype(described)
            case [element, [*shape]] if shape and all(type(size) is int and size > 0 for size in shape):
                return np.dtype((part(element), tuple(shape)))
            case dict() if described:
                columns = [(name, part(column)) for name, column in described.items()]
                if sum(column.itemsize for _, column in columns) >= 2**31:
                    raise ValueError("a record has 2 GiB or more")  # of which numpy would make a wrong size
                return np.dtype((np.record, np.dtype(columns)))
        raise ValueError(f"want a number, an array or a record, got {described!r:.40}")

    try:
        return part(json.loads(layout))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def save(folder: Path, replayer: Replayer, segment: int) -> Path:
    """Write the snapshot after all of `segment` and read it back whole before it gets its name.

    Raises OSError, or JournalError when what was written reads back as something else; nothing is left behind then.
    """
    if replayer.state is None or replayer.settings is None:
        raise JournalError(f"{folder}: segment {segment} brought no settings, there is no state to keep")
    path = snapshot_path(folder, segment)
    new = path.with_name(path.name + TEMPORARY_SUFFIX)
    block = replayer.state.block
    settings, layout = replayer.settings.to_json(), describe(block.dtype)
    head = np.zeros(1, SNAPSHOT_HEAD)
    head["magic"], head["version"], head["segment"], head["sequence"] = MAGIC, VERSION, segment, replayer.sequence
    head["settings_size"], head["layout_size"], head["block_size"] = len(settings), len(layout), block.nbytes
    head["release"] = __version__.encode()
    head["seal"] = np.frombuffer(previous_digest(folder, segment + 1), np.uint8)
    try:
        _write(new, head, _pieces(settings, layout, block))
        with new.open("rb") as file:
            written = _contents(new, file, _read_head(new, file))
            for was, wanted in zip(written, _pieces(settings, layout, block), strict=True):
                if was != wanted:
                    raise JournalError(f"{new}: reads back as something else than was written")
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)
    sync_path(folder)
    return path


def _pieces(settings: bytes, layout: bytes, block: np.ndarray) -> Iterator[bytes]:
    """What the frame of a snapshot holds, in pieces, so that a large state is never copied as a whole."""
    yield settings
    yield layout
    data = block.view(np.uint8).data
    for start in range(0, len(data), CHUNK_BYTES):
        yield bytes(data[start : start + CHUNK_BYTES])


def _write(path: Path, head: np.ndarray, pieces: Iterator[bytes]) -> None:
    """Write and sync a snapshot; fills in `digest` and `crc` of its head."""
    digest = hashlib.sha256()
    with create_private(path) as file:
        file.write(head.tobytes())
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as writer:
            for piece in pieces:
                digest.update(piece)
                writer.write(piece)
        head["digest"] = np.frombuffer(digest.digest(), np.uint8)
        head["crc"] = _head_crc(head)
        file.seek(0)
        file.write(head.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _head_crc(head: np.ndarray) -> int:
    words = head.view("i8")
    return int(words_crc(words, 0, words.size - 1))


def _read_head(path: Path, file: BinaryIO) -> np.void:
    """The head of a snapshot; raises JournalError for one that is damaged or of a newer release."""
    content = file.read(SNAPSHOT_HEAD.itemsize)
    if not content.startswith(MAGIC):
        raise JournalError(f"{path}: is not a snapshot, want a file that starts with {MAGIC.decode()}")
    version = int.from_bytes(content[8:16], "little", signed=True)
    if version > VERSION:
        raise NewerReleaseError(
            f"{path}: was written by a newer release (snapshot version {version}, this one reads up to {VERSION})"
        )
    if len(content) < SNAPSHOT_HEAD.itemsize:
        raise JournalError(f"{path}: is damaged: it ends within its head")
    head = np.frombuffer(content, SNAPSHOT_HEAD)
    if version < 1 or _head_crc(head) != head["crc"][0]:
        raise JournalError(f"{path}: the head of the snapshot is damaged")
    if not path.name.startswith(snapshot_path(path.parent, int(head["segment"][0])).name):
        raise JournalError(f"{path}: was renamed, it is the snapshot after segment {int(head['segment'][0])}")
    return head[0]


def _contents(path: Path, file: BinaryIO, head: np.void) -> Iterator[bytes]:
    """The pieces of a snapshot whose head has been read; raises JournalError, at the last for a wrong digest."""
    digest = hashlib.sha256()
    sizes = [int(head["settings_size"]), int(head["layout_size"])]
    whole, rest = divmod(int(head["block_size"]), CHUNK_BYTES)
    sizes += [CHUNK_BYTES] * whole + [rest] * (rest > 0)
    with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False) as reader:
        try:
            for size in sizes:
                piece = reader.read(size)
                if len(piece) != size:
                    raise JournalError(f"{path}: is damaged: it ends early")
                digest.update(piece)
                yield piece
            if reader.read(1):
                raise JournalError(f"{path}: is damaged: it goes on behind its end")
        except zstandard.ZstdError as error:
            raise JournalError(f"{path}: is damaged: {error}") from None
    if digest.digest() != head["digest"].tobytes():
        raise JournalError(f"{path}: is damaged: its digest is not that of its content")


def _empty_block(path: Path, head: np.void, layout: bytes) -> np.ndarray:
    """A zeroed state (pages not touched) of the layout of a snapshot; raises JournalError for one of no use."""
    today = next((dtype for dtype in _todays_dtypes() if describe(dtype) == layout), None)
    block = np.zeros(1, _other_dtype(path, head, layout) if today is None else today)
    if block.nbytes != head["block_size"]:
        raise JournalError(f"{path}: is damaged: its state has {head['block_size']} bytes, want {block.nbytes}")
    return block


def _todays_dtypes() -> list[np.dtype]:
    return [record_dtype(state_dtype(capacity)) for capacity in CAPACITIES.values()]


def _other_dtype(path: Path, head: np.void, layout: bytes) -> np.dtype:
    """Dtype of a state that is to be carried over; raises JournalError where that cannot be."""
    release = head["release"].decode("ascii", "replace")
    if _numbers(release) > _numbers(__version__):
        raise NewerReleaseError(f"{path}: was written by a newer release ({release}, this is {__version__})")
    try:
        dtype = described_dtype(layout)
    except ValueError as error:
        raise JournalError(f"{path}: is damaged: its layout cannot be read: {error}") from None
    for fault in layout_faults(dtype):
        raise JournalError(f"{path}: was made by another release ({release}), it is not used: {fault}")
    return dtype


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall("[0-9]+", release)[:3]]


def check(path: Path) -> None:
    """See that a snapshot is whole and of a layout that can be used; raises JournalError."""
    try:
        with path.open("rb") as file:
            head = _read_head(path, file)
            pieces = _contents(path, file, head)
            next(pieces)
            _empty_block(path, head, next(pieces))
            for _ in pieces:
                pass
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from None


def load(path: Path) -> Snapshot:
    """Read a snapshot, and carry a state of another layout over to today's.

    Raises JournalError for one that is damaged, of a newer release or of a layout that cannot be carried over.
    """
    try:
        with path.open("rb") as file:
            head = _read_head(path, file)
            pieces = _contents(path, file, head)
            settings = next(pieces)
            block = _empty_block(path, head, next(pieces))
            _fill(block, pieces)
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        restored = restore_settings(settings)
        state = State(block) if block.dtype in _todays_dtypes() else carry(State(block), restored)
    except ConfigError as error:
        reason = str(error).replace("\n", "; ")
        raise JournalError(f"{path}: was made by another release, it is not used: {reason}") from None
    return Snapshot(int(head["segment"]), int(head["sequence"]), state, restored, head["seal"].tobytes())


def _fill(block: np.ndarray, pieces: Iterator[bytes]) -> None:
    data = block.view(np.uint8).data
    at = 0
    for piece in pieces:
        # Pages of a fresh block that are never written take no memory, and most of a state is zeros.
        if piece != ZEROS:
            data[at : at + len(piece)] = piece
        at += len(piece)


def newest_snapshot(folder: Path) -> Found:
    """Load the newest snapshot that can be used; raises JournalError for one of a newer release."""
    notes: list[str] = []
    for path in snapshot_files(folder):
        try:
            return Found(load(path), notes)
        except NewerReleaseError:
            raise
        except JournalError as error:
            notes.append(str(error))
    return Found(None, notes)
