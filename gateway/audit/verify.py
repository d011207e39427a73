"""Prove an audit export: nothing removed, added, reordered or changed; with the journal, that it tells the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.audit.export import (
    MANIFEST,
    AuditError,
    Collector,
    Manifest,
    file_digest,
    kept_manifest_path,
    read_manifest,
    read_rows,
    row_bytes,
    row_hash,
    table_path,
)
from gateway.audit.tables import SCHEMAS, Row
from gateway.config.files import ConfigError
from gateway.journal.chain import Link
from gateway.journal.read import JournalError
from gateway.replay.history import History, Watch, unwatched
from gateway.replay.walk import Walk


def verify(folder: Path, journal: Path | None = None, watch: Watch = unwatched) -> tuple[list[Manifest], list[str]]:
    """Check all exports in a folder: their manifests, the newest first, and what is wrong, one line each.

    Raises JournalError or ConfigError when the journal cannot be read at all.
    """
    manifests, faults = _read_manifests(folder)
    for manifest in manifests:
        for name in SCHEMAS:
            faults += _table_faults(folder, manifest, name)
        faults += [f"export {manifest.export}: journal: {fault}" for fault in manifest.journal_faults]
    if journal is not None and manifests:
        faults += _compare(folder, manifests, Walk(History(journal), watch))
    return manifests, faults


def _read_manifests(folder: Path) -> tuple[list[Manifest], list[str]]:
    """The newest manifest and all before it, as far as they can be read, and what is wrong with them."""
    manifests: list[Manifest] = []
    faults: list[str] = []
    path, number, digest = folder / MANIFEST, None, None
    while True:
        try:
            manifest = read_manifest(path)
        except AuditError as error:
            return manifests, [*faults, str(error)]
        if manifest.digest != manifest.own_digest():
            faults.append(f"{path.name}: was changed, it does not have its own digest")
        if digest is not None and manifest.digest != digest:
            faults.append(f"{path.name}: is not the manifest that export {manifest.export + 1} followed")
        if number is not None and manifest.export != number:
            faults.append(f"{path.name}: is of export {manifest.export}, want {number}")
            return manifests, faults
        manifests.append(manifest)
        number, digest = manifest.export - 1, manifest.previous
        if number < 1:
            return manifests, faults + ([f"{path.name}: names an export before the first"] if digest else [])
        path = kept_manifest_path(folder, number)


def _table_faults(folder: Path, manifest: Manifest, name: str) -> Iterator[str]:
    """What is wrong with a table by itself and by its manifest."""
    path, entry = table_path(folder, name, manifest.export), manifest.tables.get(name)
    if entry is None or entry.file != path.name:
        yield f"export {manifest.export}: the manifest does not name {path.name}"
        return
    count, last, first_sequence, last_sequence = 0, "", 0, 0
    try:
        for row, said in read_rows(path, name):
            count += 1
            last, last_sequence = row_hash(last, row_bytes(row)), row[0]
            first_sequence = first_sequence or last_sequence
            if said != last:
                yield f"{path.name}: row {count} (sequence {row[0]}): was changed or does not follow the row before"
                return
        if count != entry.rows or last != entry.last_hash:
            yield f"{path.name}: has {count} rows up to hash {last}, want {entry.rows} up to {entry.last_hash}"
        elif (first_sequence, last_sequence) != (entry.first_sequence, entry.last_sequence):
            yield f"{path.name}: holds sequences {first_sequence} to {last_sequence}, the manifest says otherwise"
        elif file_digest(path) != entry.sha256:
            yield f"{path.name}: is not the file that was written, though its rows are"
    except AuditError as error:
        yield str(error)


class _Comparison:
    """One export beside the journal."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.collector = Collector(manifest.period)
        self._files = {name: table_path(folder, name, manifest.export) for name in SCHEMAS}
        self._rows = {name: read_rows(path, name) for name, path in self._files.items()}
        self._segments = {said.number: said for said in manifest.segments}
        self._count = dict.fromkeys(SCHEMAS, 0)
        self._faults: dict[str, str] = {}  # the first of each table
        self._changed: list[str] = []

    def take_segment(self, link: Link) -> None:
        """See that a segment begins with what was exported of it; a segment in use then may have grown since."""
        segment = link.segment
        said = self._segments.pop(segment.number, None)
        if said is not None:
            records = said.last_sequence - segment.first_sequence + 1
            if link.digest_up_to(records).hex() != said.digest:
                self._changed.append(f"journal: {segment.path.name}: was changed since it was exported")

    def catch_up(self) -> None:
        """Compare the rows collected from the journal with those of the files."""
        for name, rows in self.collector.rows.items():
            for row in rows if name not in self._faults else ():
                self._count[name] += 1
                fault = self._next_fault(name, row)
                if fault:
                    self._faults[name] = f"{self._files[name].name}: row {self._count[name]}: {fault}"
                    break
            rows.clear()

    def _next_fault(self, name: str, row: Row) -> str:
        try:
            found, _ = next(self._rows[name], (None, ""))
        except AuditError:
            return "cannot be compared with the journal"
        if found is None:
            return f"is missing, the journal has one more at sequence {row[0]}"
        if row_bytes(found) == row_bytes(row):
            return ""
        pairs = zip(SCHEMAS[name].names, found, row, strict=False)
        differing = ", ".join(column for column, one, other in pairs if row_bytes([one]) != row_bytes([other]))
        return f"is not what the journal says at sequence {row[0]}: {differing}"

    def segment_faults(self) -> list[str]:
        """What became of the segments that were exported."""
        return self._changed + [f"journal: segment {number}: was exported and is missing" for number in self._segments]

    def row_faults(self) -> list[str]:
        """What differs, after all of the journal: the first of each table."""
        self.collector.finish()
        self.catch_up()
        for name, path in self._files.items():
            if name not in self._faults:
                try:
                    if next(self._rows[name], None) is not None:
                        self._faults[name] = f"{path.name}: has more rows than the journal gives"
                except AuditError:
                    self._faults[name] = f"{path.name}: cannot be compared with the journal"
        return list(self._faults.values())


def _compare(folder: Path, manifests: list[Manifest], walk: Walk) -> list[str]:
    """What differs between exports and the journal, and what is wrong with the journal itself."""
    comparisons = [_Comparison(folder, manifest) for manifest in manifests]
    last = max(manifest.last_sequence for manifest in manifests)
    lost = ""  # why the history cannot be followed any more
    for link in walk.links():
        for comparison in comparisons:
            comparison.take_segment(link)
        try:
            for item in walk.steps(link.segment, last) if not lost else ():
                for comparison in comparisons:
                    if item.sequence <= comparison.manifest.last_sequence:
                        comparison.collector.take(walk, item)
        except (JournalError, ConfigError) as error:
            lost = f"journal: cannot be compared further: {error}"
        for comparison in comparisons:
            comparison.catch_up()
    found = [f"journal: {fault}" for fault in walk.faults]
    for comparison in comparisons:
        found += comparison.segment_faults()
        found += comparison.row_faults() if not lost else ()
    return [*dict.fromkeys(found), *filter(None, [lost])]
