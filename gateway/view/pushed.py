"""Pushed limits and their publishers as people see them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.sections import SourceSection
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.layout import NONE, UNSET
from gateway.machine import boot_hash
from gateway.params import store
from gateway.params.store import padded_text
from gateway.state.memory import State
from gateway.state.names import Names
from gateway.view.figures import limit_text

PUSHED_COLUMNS = (
    *("source", "where", "limit", "floor", "pushed", "in force", "ceiling"),
    *("epoch", "model", "age", "expires", "state"),
)
SOURCE_COLUMNS = ("source", "is", "for", "pushes")
STATES = {a.VALID: "in force", a.HELD: "held"}
HOUR_NS, MINUTE_NS, SECOND_NS = 3600 * 10**9, 60 * 10**9, 10**9


def pushed_rows(state: State, released: bool = False) -> Iterator[tuple[np.record, str, str]]:
    """(row, source, where) of each pushed limit: a copy of its row of `parameters`, who pushes it, where it stands;
    with `released` also of those that a person has released.

    The state may change under the reading: a row that makes no sense is left out, and a name that the state does not
    have is `?`.
    """
    s, names = state.record, Names(state)
    sources = dict(enumerate(source_names(state)))
    for row in s.parameters[: s.parameter_count].copy():
        if 0 <= int(row.limit) < a.LIMITS and (int(row.state) in STATES or (released and row.state == a.RELEASED)):
            where = _place(names, int(row.entity), int(row.instrument))
            yield row, sources.get(int(row.source), "?"), where


def _place(names: Names, entity: int, instrument: int) -> str:
    if not 0 <= entity < len(names.entities) or instrument >= len(names.instruments):
        return "?"
    return names.place(entity, int(instrument >= 0), instrument) or "?"


def pushed_limits(state: State, now_ns: int) -> list[tuple[str, ...]]:
    """A row of PUSHED_COLUMNS for each pushed limit; `now_ns` is of the gateway's clock.

    `in force` is what counts there, the tightest of all that publishers push.
    """
    rows = []
    for p, source, where in pushed_rows(state):
        limit = int(p.limit)
        in_force = limit_in_force(state, int(p.entity), int(p.instrument), limit)
        figures = [limit_text(limit, int(v)) for v in (p.floor, p.pushed, in_force, p.ceiling)]
        expires = _expires_text(int(p.expires_ns), now_ns)
        is_loosening = p.state == a.VALID and p.effective < p.target
        rows.append(
            (
                *(source, where, LIMITS[limit].key, *figures, str(p.epoch), str(p.model)),
                *(span_text(now_ns - int(p.told_ns)), expires),
                "loosening" if is_loosening else STATES[int(p.state)],
            )
        )
    return rows


def _expires_text(expires_ns: int, now_ns: int) -> str:
    if expires_ns == 0:
        return "never"
    return span_text(expires_ns - now_ns) if expires_ns > now_ns else "ran out"


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A limit that stands in a publisher's file and not in the gateway: `value` in the limit's unit, `time_ns` and
    `expires_ns` (0: never) of CLOCK_MONOTONIC.
    """

    source: str
    where: str
    limit: int
    value: int
    epoch: int
    model: int
    time_ns: int
    expires_ns: int


def not_taken(state: State, sources: Iterable[SourceSection], monotonic_ns: int) -> list[NotTaken]:
    """What publishers have pushed for a second and the gateway does not have: no person has set a limit there, or it
    knows no such name. A file that cannot be read has none: its source is silent.
    """
    known = set(source_names(state))
    taken = {(source, where, int(row.limit)) for row, source, where in pushed_rows(state, released=True)}
    found = []
    for section in sources:
        for record in _records(section.file) if section.id in known else ():
            _, epoch, time_ns, expires_ns, scope, limit, value, model, _, name, symbol, _ = record
            if 0 <= scope < a.SCOPES and 0 <= limit < a.LIMITS and monotonic_ns - time_ns > SECOND_NS:
                where = where_text(a.SCOPE_NAMES[scope], padded_text(name), padded_text(symbol))
                if (section.id, where, limit) not in taken:
                    found.append(NotTaken(section.id, where, limit, value, epoch, model, time_ns, expires_ns))
    return found


def _records(path: Path) -> list[tuple[Any, ...]]:
    """The whole records of a publisher's file; none of one that is of no use, or from before a reboot."""
    try:
        if not path.is_file():  # to open a pipe would wait
            return []
        data = path.read_bytes()
    except OSError:
        return []
    if store.header_fault(data, len(data), store.PARAMETER_MAGIC, store.PARAMETER_BYTES):
        return []
    words = memoryview(data)[: store.HEADER_BYTES].cast("q")
    if words[store.BOOT_WORD] != boot_hash():
        return []
    body = memoryview(data)[store.HEADER_BYTES :]
    rows = range(min(words[store.USED_WORD], words[store.CAPACITY_WORD]))
    copies = [bytes(body[store.PARAMETER_BYTES * k :][: store.PARAMETER_BYTES]) for k in rows]
    found = [struct.unpack(store.PARAMETER_FORMAT, copy) for copy in copies]
    return [
        record
        for copy, record in zip(copies, found, strict=True)
        if record[0] % 2 == 0 and record[-1] == zlib.crc32(copy[store.WORD : -store.WORD])
    ]


def not_taken_rows(left: Iterable[NotTaken], monotonic_ns: int) -> list[tuple[str, ...]]:
    """A row of PUSHED_COLUMNS for each limit that is not taken."""
    return [
        (
            *(x.source, x.where, LIMITS[x.limit].key, "-", limit_text(x.limit, x.value), "-", "-"),
            *(str(x.epoch), str(x.model), span_text(monotonic_ns - x.time_ns)),
            *(_expires_text(x.expires_ns, monotonic_ns), "not taken"),
        )
        for x in left
    ]


def publishers(state: State, now_ns: int, quotes: Collection[str] = ()) -> list[tuple[str, ...]]:
    """A row of SOURCE_COLUMNS for each publisher of limits or quotes; `now_ns` is of the gateway's clock. Those of
    `quotes` push no limits.
    """
    s = state.record
    return [
        (
            name,
            "alive" if source["up"] else "silent",
            span_text(now_ns - int(source["since_ns"])),
            "" if name in quotes else str(source["pushes"]),
        )
        for name, source in zip(source_names(state), s["sources"][: s.source_count].copy(), strict=True)
    ]


def source_names(state: State) -> list[str]:
    """Ids of the sources, by row."""
    sources = state.record["sources"][: state.record.source_count]
    return [bytes(source["name"][: source["name_size"]]).decode() for source in sources]


def limit_in_force(state: State, entity: int, instrument: int, limit: int) -> int:
    """What counts for an entity, or for it in an instrument (NONE: everywhere); UNSET when nothing does."""
    s = state.record
    if not 0 <= entity < len(state.entities):
        return UNSET
    if instrument == NONE:
        return int(s.entities[entity].limit[limit])
    exposures = s["exposures"][: s.exposure_count]
    found = (exposures["entity"] == entity) & (exposures["instrument"] == instrument) & (exposures["pair"] != NONE)
    return int(s.pairs[int(exposures["pair"][found][0])].limit[limit]) if found.any() else UNSET


def in_force_text(state: State, entity: int, instrument: int, limit: int) -> str:
    """What counts for an entity, or for it in an instrument, and by whom: `800, pushed by VOL`."""
    value = limit_in_force(state, entity, instrument, limit)
    if value == UNSET:
        return f"no {LIMITS[limit].key} of its own"
    place = (entity, instrument, limit, value)
    by = [
        source
        for p, source, _ in pushed_rows(state)
        if (int(p.entity), int(p.instrument), int(p.limit), int(p.effective)) == place
    ]
    return f"{limit_text(limit, value)}, {f'pushed by {by[0]}' if by else 'set by a person'}"


def floor_of(ceiling: int, percent: int) -> int:
    """The least that is in force of a pushed limit, as the core has it."""
    return max(ceiling * percent // 100, 1 if ceiling > 0 else 0)


def span_text(ns: int) -> str:
    """A length of time for people to read."""
    for unit_ns, unit in ((HOUR_NS, "h"), (MINUTE_NS, "m")):
        if abs(ns) >= 2 * unit_ns:
            return f"{ns // unit_ns}{unit}"
    return f"{ns / SECOND_NS:.1f}s"


def where_text(scope: str, name: str, symbol: str) -> str:
    """A place as `Names.place` has it."""
    return f"{scope} {name}".strip() + (f"*{symbol}" if symbol else "")
