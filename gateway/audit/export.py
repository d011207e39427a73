"""Audit exports: Parquet tables of a journal, each row chained to the one before, and a manifest over them.

A folder holds one export or more. `manifest.json` is that of the newest; it names the digest of the one before, which
is kept as `manifest-NNNNNN.json`. Tables are `NAME-NNNNNN.parquet`, N the number of the export. The hash of a row is
SHA-256 over the hash of the row before (as hex; empty in front of the first) and the row's other columns as compact
JSON: a list in column order, decimals as text with all their places, times as ns since 1970, structs as lists.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from gateway import __version__
from gateway.audit.period import ALWAYS_NS, Period
from gateway.audit.tables import SCHEMAS, TIME, Row, change_rows, control_rows, decision_row, execution_rows
from gateway.journal.chain import Link
from gateway.replay.history import History, Watch, unwatched
from gateway.replay.walk import Change, Step, Walk

MANIFEST = "manifest.json"
ROW_GROUP = 10_000  # rows; a segment begins a new one


class AuditError(ValueError):
    """An export cannot be made or read; one line with the file and what is wrong."""


def _fixed(value: Decimal) -> str:
    return format(value, "f")


_encode = json.JSONEncoder(separators=(",", ":"), default=_fixed).encode


def row_bytes(row: Iterable[Any]) -> bytes:
    """The values of a row, without its hash, as they are hashed. Structs may be tuples or dicts."""
    cells = (
        [tuple(part.values()) if isinstance(part, dict) else part for part in cell] if isinstance(cell, list) else cell
        for cell in row
    )
    return _encode(tuple(cells)).encode()


def row_hash(previous: str, content: bytes) -> str:
    """Hash of a row in hex, chained to the hash of the row before (empty: there is none)."""
    return hashlib.sha256(previous.encode() + content).hexdigest()


class Part(BaseModel):
    """Base of what a manifest is made of."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ExportedSegment(Part):
    """A segment of the journal as it was read. `digest` covers all but its SEAL, and `previous`, as the SEAL does."""

    number: int
    first_sequence: int
    last_sequence: int
    sealed: bool
    previous: str
    digest: str


class ExportedTable(Part):
    """The file of a table. `last_hash` is the hash of its last row, `sha256` that of the file."""

    file: str
    rows: int
    first_sequence: int
    last_sequence: int
    last_hash: str
    sha256: str


class Manifest(Part):
    """What an export holds and where it comes from. `previous`: digest of the manifest of the export before, or empty.

    `replay_differences` counts events to which this release answers otherwise than was answered then.
    """

    export: int
    gateway: str
    release: str
    created: str
    period: Period
    segments: list[ExportedSegment]
    last_sequence: int
    journal_faults: list[str]
    replay_differences: int
    tables: dict[str, ExportedTable]
    previous: str
    digest: str = ""
    _bounds_ns: tuple[int, int] = PrivateAttr(ALWAYS_NS)

    def period_utc(self) -> str:
        """In words and in UTC what an export that has just been made is of; empty: all of the journal."""
        bounds = zip(("from", "to"), self._bounds_ns, ALWAYS_NS, strict=True)
        return " ".join(f"{word} {_utc(ns)}" for word, ns, always in bounds if ns != always)

    def own_digest(self) -> str:
        """SHA-256 in hex of all but `digest`, as compact JSON with sorted keys."""
        rest = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _utc(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_manifest(path: Path) -> Manifest:
    """A manifest; raises AuditError."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "(top level)"
        raise AuditError(f"{path}: is not a manifest: {key}: {fault['msg']}") from None


class Collector:
    """Gathers the rows of a period while a history goes by. `rows`: by table, until somebody takes them out;
    `bounds_ns`: the period by the settings of the time.
    """

    def __init__(self, period: Period) -> None:
        """Collect what lies in the period."""
        self.period = period
        self.rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
        self.bounds_ns = (0, 0)
        self._in_force: Change | None = None  # the settings of before the period, not written yet

    def take(self, walk: Walk, item: Step | Change) -> bool:
        """Add the rows of one step; says whether it lies in the period."""
        if isinstance(item, Change):
            self.bounds_ns = self.period.bounds_ns(item.settings)
        start, end = self.bounds_ns
        if item.wall_ns < start and isinstance(item, Change):
            self._in_force = Change(item.sequence, item.wall_ns, None, item.settings)
        if not start <= item.wall_ns < end:
            return False
        self.finish()
        if isinstance(item, Change):
            self.rows["limit_changes"] += change_rows(item)
            return True
        if item.entry.decision is not None:
            self.rows["decisions"].append(decision_row(walk, item))
        if item.entry.outputs:
            self.rows["executions"] += execution_rows(walk, item)
        self.rows["controls"] += control_rows(walk, item)
        return True

    def finish(self) -> None:
        """Add the settings that were in force when the period began."""
        if self._in_force is not None:
            self.rows["limit_changes"] += change_rows(self._in_force)
            self._in_force = None


class TableWriter:
    """Writes one table; `rows`, `last_hash`, `first_sequence` and `last_sequence` are as written."""

    def __init__(self, name: str, path: Path) -> None:
        """Begin the file of a table; raises OSError."""
        self.path = path
        self._schema = SCHEMAS[name]
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self.rows = 0
        self.last_hash = ""
        self.first_sequence = self.last_sequence = 0

    def write(self, rows: list[Row]) -> None:
        """Write rows as a row group and chain them."""
        if not rows:
            return
        hashes = []
        for row in rows:
            self.last_hash = row_hash(self.last_hash, row_bytes(row))
            hashes.append(self.last_hash)
        columns = [*zip(*rows, strict=True), hashes]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self.first_sequence = self.first_sequence or rows[0][0]
        self.last_sequence = rows[-1][0]
        self.rows += len(rows)

    def close(self) -> None:
        """End the file and put it on disk."""
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def read_rows(path: Path, name: str) -> Iterator[tuple[Row, str]]:
    """Each row of a table's file and its hash; raises AuditError when it is not a file of this table."""
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMAS[name]):
                raise AuditError(f"{path.name}: has other columns than table {name}")
            for batch in file.iter_batches(ROW_GROUP):
                columns = [
                    column.cast(pa.int64()).to_pylist() if field.type == TIME else column.to_pylist()
                    for column, field in zip(batch.columns, batch.schema, strict=True)
                ]
                for values in zip(*columns, strict=True):
                    yield values[:-1], values[-1]
    except (OSError, pa.ArrowException) as error:
        raise AuditError(f"{path.name}: cannot be read as Parquet: {' '.join(str(error).split())}") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_path(folder: Path, name: str, number: int) -> Path:
    """File of a table of an export."""
    return folder / f"{name}-{number:06d}.parquet"


def kept_manifest_path(folder: Path, number: int) -> Path:
    """Where the manifest of an export is kept once there is a newer one."""
    return folder / f"manifest-{number:06d}.json"


def export(journal: Path, folder: Path, period: Period, watch: Watch = unwatched) -> Manifest:
    """Write an export of a journal into a folder; returns its manifest.

    Raises AuditError, JournalError or ConfigError with one line, OSError; an export that fails leaves those before it
    as they were.
    """
    walk = Walk(History(journal), watch)
    folder.mkdir(parents=True, exist_ok=True)
    before = read_manifest(folder / MANIFEST) if (folder / MANIFEST).exists() else None
    number = before.export + 1 if before else 1
    temporary = {name: table_path(folder, name, number).with_suffix(".tmp") for name in SCHEMAS}
    try:
        writers = {name: TableWriter(name, path) for name, path in temporary.items()}
        collector = Collector(period)
        segments = _write_tables(walk, collector, writers)
        manifest = _manifest(walk, segments, period, number, before)
        manifest._bounds_ns = collector.bounds_ns
        for name, writer in writers.items():
            path = temporary[name].replace(table_path(folder, name, number))
            manifest.tables[name] = _table_entry(writer, path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    manifest.digest = manifest.own_digest()
    _put_manifest(folder, manifest, before)
    return manifest


def _write_tables(walk: Walk, collector: Collector, writers: dict[str, TableWriter]) -> list[ExportedSegment]:
    """Write the tables of all of a journal; returns the segments that it has."""
    segments = []
    for link in walk.links():
        segments.append(_exported_segment(link))
        for item in walk.steps(link.segment):
            if collector.take(walk, item):
                _flush(collector, writers, ROW_GROUP)
        _flush(collector, writers, 1)
    collector.finish()
    _flush(collector, writers, 1)
    for writer in writers.values():
        writer.close()
    return segments


def _exported_segment(link: Link) -> ExportedSegment:
    return ExportedSegment(
        number=link.segment.number,
        first_sequence=link.segment.first_sequence,
        last_sequence=link.segment.first_sequence + link.records - 1,
        sealed=link.segment.seal is not None,
        previous=link.previous.hex(),
        digest=link.digest.hex(),
    )


def _flush(collector: Collector, writers: dict[str, TableWriter], least: int) -> None:
    for name, rows in collector.rows.items():
        if len(rows) >= least:
            writers[name].write(rows)
            rows.clear()


def _manifest(
    walk: Walk, segments: list[ExportedSegment], period: Period, number: int, before: Manifest | None
) -> Manifest:
    if walk.settings is None:
        raise AuditError(f"{walk.history.folder}: the journal holds no event yet")
    return Manifest(
        export=number,
        gateway=walk.settings.config.gateway.name,
        release=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        period=period,
        segments=segments,
        last_sequence=walk.last_sequence,
        journal_faults=walk.faults,
        replay_differences=walk.differences,
        tables={},
        previous=before.digest if before else "",
    )


def _table_entry(writer: TableWriter, path: Path) -> ExportedTable:
    return ExportedTable(
        file=path.name,
        rows=writer.rows,
        first_sequence=writer.first_sequence,
        last_sequence=writer.last_sequence,
        last_hash=writer.last_hash,
        sha256=file_digest(path),
    )


def _put_manifest(folder: Path, manifest: Manifest, before: Manifest | None) -> None:
    """Keep the manifest of before under its number, then put the new one in its place."""
    newest = folder / MANIFEST
    if before is not None:
        kept = kept_manifest_path(folder, before.export)
        kept.unlink(missing_ok=True)
        kept.hardlink_to(newest)
    new = newest.with_suffix(".tmp")
    with new.open("w") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(newest)
