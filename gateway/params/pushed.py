"""Pushed limits as people see them: list them and their publishers, and give one back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.driver import Event
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.journal.names import Names
from gateway.params.store import DECIMALS
from gateway.settings import ConfigError
from gateway.state import State

PUSHED_COLUMNS = (
    *("source", "where", "limit", "floor", "pushed", "in force", "ceiling"),
    *("epoch", "model", "age", "expires", "state"),
)
SOURCE_COLUMNS = ("source", "is", "for", "pushes")
STATES = {a.VALID: "valid", a.HELD: "held"}
HOUR_NS, MINUTE_NS, SECOND_NS = 3600 * 10**9, 60 * 10**9, 10**9


def pushed_limits(state: State, now_ns: int) -> list[tuple[str, ...]]:
    """A row of PUSHED_COLUMNS for each pushed limit; `now_ns` is of the gateway's clock.

    `in force` is what counts there, the tightest of all that publishers push.
    """
    s = state.record
    names, sources = Names(state), source_names(state)
    rows = []
    for p in s["parameters"][: s.parameter_count].copy():
        if int(p["state"]) not in STATES:
            continue
        source, entity, instrument, limit = (int(p[key]) for key in ("source", "entity", "instrument", "limit"))
        where = names.place(entity, int(instrument != NONE), instrument) or ""
        in_force = limit_in_force(state, entity, instrument, limit)
        figures = [limit_text(limit, int(v)) for v in (p["floor"], p["pushed"], in_force, p["ceiling"])]
        expires = span_text(int(p["expires_ns"]) - now_ns) if p["expires_ns"] else "never"
        is_loosening = p["state"] == a.VALID and p["effective"] < p["target"]
        rows.append(
            (
                *(sources[source], where, LIMITS[limit].key, *figures, str(p["epoch"]), str(p["model"])),
                *(span_text(now_ns - int(p["told_ns"])), expires),
                "loosening" if is_loosening else STATES[int(p["state"])],
            )
        )
    return rows


def publishers(state: State, now_ns: int) -> list[tuple[str, ...]]:
    """A row of SOURCE_COLUMNS for each publisher of limits or quotes; `now_ns` is of the gateway's clock."""
    s = state.record
    return [
        (
            name,
            "heard" if source["up"] else "silent",
            span_text(now_ns - int(source["since_ns"])),
            str(source["pushes"]),
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
    if instrument == NONE:
        return int(s.entities[entity].limit[limit])
    exposures = s["exposures"][: s.exposure_count]
    found = (exposures["entity"] == entity) & (exposures["instrument"] == instrument) & (exposures["pair"] != NONE)
    return int(s.pairs[int(exposures["pair"][found][0])].limit[limit]) if found.any() else UNSET


def limit_text(limit: int, value: int) -> str:
    """A limit as people write it down; `-` where none is set."""
    if value == UNLIMITED:
        return "unlimited"
    if value == UNSET:
        return "-"
    kind = LIMITS[limit].kind
    number = format(Decimal(value).scaleb(-DECIMALS[kind]).normalize(), "f")
    return number + ("s" if kind == "duration" else "")


def span_text(ns: int) -> str:
    """A length of time for people to read."""
    for unit_ns, unit in ((HOUR_NS, "h"), (MINUTE_NS, "m")):
        if abs(ns) >= 2 * unit_ns:
            return f"{ns // unit_ns}{unit}"
    return f"{ns / SECOND_NS:.1f}s"


def release_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `release` command: a pushed limit goes back to what a person set.

    The request names source, scope, name, symbol ("": no pair), limit and reason. Raises ConfigError with what is
    wrong.
    """
    source, scope, name, symbol, limit, reason = (
        str(request.get(key, "")).strip() for key in ("source", "scope", "name", "symbol", "limit", "reason")
    )
    if not reason:
        raise ConfigError("release: want a reason")
    sources, keys = source_names(state), [each.key for each in LIMITS]
    for what, value, known in (("source", source, sources), ("scope", scope, a.SCOPE_NAMES), ("limit", limit, keys)):
        if value not in known:
            raise ConfigError(f"release: {what}: want one of {', '.join(known)}, got {value!r:.80}")
    where = f"{scope} {name}".strip() + (f"*{symbol}" if symbol else "")
    entity = state.entities.get((a.SCOPE_NAMES.index(scope), name), NONE)
    instrument = state.instruments.get(symbol, NONE) if symbol else NONE
    if entity == NONE or (symbol and instrument == NONE):
        raise ConfigError(f"release: there is no {where}")
    wanted = (sources.index(source), entity, instrument, keys.index(limit))
    pushed = state.record["parameters"][: state.record.parameter_count]
    columns = ("source", "entity", "instrument", "limit")
    if not np.logical_and.reduce([pushed[key] == value for key, value in zip(columns, wanted, strict=True)]).any():
        raise ConfigError(f"release: {source} has pushed no {limit} of {where}")
    text = f"{limit} of {where}, pushed by {source}, released by {user}: {reason}"
    return Event(a.RELEASE, 0, data=text.encode("utf-8", "replace")[: a.TEXT_BYTES], value=wanted)
