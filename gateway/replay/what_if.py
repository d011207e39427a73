"""What other limits would have decided: every recorded order judged again, in the state that it met.

The history stays as it was recorded: an order that would now be refused keeps its fills, one that would now pass gets
none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway.config.files import ConfigError
from gateway.config.settings import Settings, restore_settings
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import NONE, record_dtype
from gateway.core.rejudge import PAIR_KEY, VERDICT, follow_message, judge_again
from gateway.journal import format as f
from gateway.journal.decision import breaches_of, read_decision
from gateway.journal.replayer import Replayer
from gateway.replay.explain import Found
from gateway.replay.history import History, Part, Watch, unwatched
from gateway.state.build import build_state
from gateway.state.memory import State
from gateway.state.names import Names

WINDOW_LIMITS = (a.MESSAGE_WINDOW, a.DUPLICATE_WINDOW)  # periods: nothing is used of them

PLACED = ["check", "entity", "paired"]

Place = tuple[str, str]
"""Name of a check, and where its limit stands; empty for a check without a limit."""

PairLimits = dict[tuple[tuple[int, str], str], tuple[int, ...]]
"""Limits that stand at pairs, by ((scope, name) of the entity, symbol)."""


def with_limits(settings: Settings, path: Path) -> Settings:
    """The settings with the limits of another file; raises ConfigError that names that file."""
    named = settings.path.parent / settings.config.limits
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    kept = json.loads(settings.to_json())
    kept["sources"][str(named)] = text
    try:
        return restore_settings(json.dumps(kept).encode())
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(named), str(path))) from None


class _Others:
    """The other limits as arrays beside a state: what `judge_again` takes, and which limits they change."""

    def __init__(self, state: State, settings: Settings, before: _Others | None) -> None:
        """Lay the limits of `settings` beside a state. `before` has the windows counted so far, by entity."""
        built = build_state(settings, 0)
        self.state = state
        self.names = Names(state)
        self.entities = state.record.entities.copy()
        self.changed: set[int] = set()
        for key, row in state.entities.items():
            if key in built.entities:
                self._take_limits(row, built.record.entities[built.entities[key]].limit)
            if before is not None and key in before.state.entities:
                self._take_window(row, before.entities[before.state.entities[key]])
        self._take_pairs(_pair_limits(built), settings)
        self.pairs = np.zeros(a.MAX_SCOPES, np.int64)
        self.verdict = np.zeros(1, record_dtype(VERDICT))
        self.verdict_words = self.verdict.view(np.ndarray).view(VERDICT)
        self.currency = settings.config.gateway.currency

    def place(self, instrument: int, breach: tuple[int, ...]) -> Place:
        """Name of the check, and where its limit stands, of a breach (PLACED)."""
        check, entity, paired = breach
        return c.CHECKS[check].name, self.names.place(entity, paired, instrument) or ""

    def _take_limits(self, row: int, limits: np.ndarray) -> None:
        entity = self.entities[row]
        self.changed.update(np.flatnonzero(entity.limit != limits).tolist())
        if entity.limit[a.MESSAGE_WINDOW] != limits[a.MESSAGE_WINDOW]:
            entity.slice = entity.in_window = 0
            entity.sliced[:] = 0
        entity.limit[:] = limits

    def _take_window(self, row: int, counted: np.record) -> None:
        entity = self.entities[row]
        entity.slice, entity.in_window, entity.messages = counted.slice, counted.in_window, counted.messages
        entity.sliced[:] = counted.sliced

    def _take_pairs(self, limits: PairLimits, settings: Settings) -> None:
        """Put the other limits of pairs behind those in force."""
        s = self.state.record
        now = {pair: row for pair, row in limits.items() if pair[0] in self.state.entities}
        now = {pair: row for pair, row in now.items() if pair[1] in self.state.instruments}
        if s.pair_count + len(now) > s.pairs.size:
            raise ConfigError(
                f"{settings.config.limits}: pairs of limits: the tables have no room for those of both files, "
                f"want at most {s.pairs.size} together, got {s.pair_count + len(now)}"
            )
        keyed = sorted(
            (self.state.entities[entity] * PAIR_KEY + self.state.instruments[symbol], row)
            for (entity, symbol), row in now.items()
        )
        self.pair_keys = np.array([key for key, _ in keyed], np.int64)
        self.pair_rows = np.arange(s.pair_count, s.pair_count + len(keyed))
        for row, (_, own) in zip(self.pair_rows, keyed, strict=True):
            s.pairs[row].limit[:] = own
            s.pairs[row].grades = a.NONE
        then = _pair_limits(self.state)
        unset = (a.UNSET,) * a.MAX_LIMITS
        for pair in {*then, *now}:
            differs = np.not_equal(then.get(pair, unset), now.get(pair, unset))
            self.changed.update(np.flatnonzero(differs).tolist())


def _pair_limits(state: State) -> PairLimits:
    s = state.record
    entities = {row: key for key, row in state.entities.items()}
    symbols = {row: symbol for symbol, row in state.instruments.items()}
    exposures = s.exposures[: s.exposure_count]
    return {
        (entities[int(x.entity)], symbols[int(x.instrument)]): tuple(s.pairs[x.pair].limit.tolist())
        for x in exposures[exposures["pair"] != NONE]
    }


@dataclass(frozen=True)
class Change:
    """An order or replace on which the other limits decide otherwise."""

    sequence: int  # of its COMMIT
    wall_ns: int
    session: str
    cl_ord_id: str
    message_type: int
    symbol: str
    side: int
    qty_e8: int
    price_e8: int
    notional_e4: int
    then: list[str]  # what refused it, empty: accepted
    now: list[str]


@dataclass
class Tally:
    """Orders by check and entity: how many, and their notional in 10^-4."""

    count: Counter[Place] = field(default_factory=Counter)
    notional_e4: Counter[Place] = field(default_factory=Counter)

    def add(self, places: set[Place], notional_e4: int) -> None:
        """Count an order at each of the places where a limit refused it."""
        for place in places:
            self.count[place] += 1
            self.notional_e4[place] += notional_e4


@dataclass
class WhatIf:
    """What other limits would have decided."""

    currency: str = ""  # of the firm
    changed_limits: set[int] = field(default_factory=set)
    decided: int = 0
    refused_then: Tally = field(default_factory=Tally)
    refused_now: Tally = field(default_factory=Tally)
    newly_refused: Tally = field(default_factory=Tally)
    newly_accepted: Tally = field(default_factory=Tally)
    orders: Counter[str] = field(default_factory=Counter)  # refused then, now; newly refused, accepted
    notional_e4: Counter[str] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)
    refusals: list[tuple[int, int, int]] = field(default_factory=list)  # wall-clock time, mask then, mask now
    used_then: list[np.ndarray] = field(default_factory=list)  # by limit, as VERDICT has it
    used_now: list[np.ndarray] = field(default_factory=list)
    snapshot: str = ""  # name of that with which the replay began
    differences: int = 0  # events that replayed to something else than was sent

    def add(self, then: set[Place], now: set[Place], notional_e4: int) -> None:
        """Count one decision, by the places that refused it."""
        self.decided += 1
        for name, tally, places in (
            ("refused then", self.refused_then, then),
            ("refused now", self.refused_now, now),
            ("newly refused", self.newly_refused, set() if then else now),
            ("newly accepted", self.newly_accepted, set() if now else then),
        ):
            if places:
                tally.add(places, notional_e4)
                self.orders[name] += 1
                self.notional_e4[name] += notional_e4


def what_if(history: History, limits: Path, watch: Watch = unwatched) -> WhatIf:
    """Judge all recorded orders again under the limits of another file.

    Raises JournalError, and ConfigError when the limits do not fit the recorded config.
    """
    result = WhatIf(snapshot=history.snapshot.name if history.snapshot else "")
    replayer = history.replayer()
    others: _Others | None = None
    checked: Settings | None = None
    for part in history.parts(watch):
        for _, settings in part.settings:
            if settings is not checked:
                with_limits(settings, limits)
                checked = settings
        at = 0
        fresh = [record + 1 for record, _ in part.settings] + [part.segment.starts.size + 1]
        for first, last, session in _events(part):
            if others is None or first >= fresh[0]:
                replayer.apply(part.cut(at, first))
                others = _fresh(replayer, limits, others, result)
                fresh = [record for record in fresh if record > first]
                at = first
            replayer.apply(part.cut(at, last))
            at = last
            block = others.state.block
            follow_message(block, session, others.entities)
            # The record behind IN is the DECISION, when there is one.
            if session != NONE and part.segment.kind(first + 1) == f.DECISION:
                judge_again(block, others.entities, others.pair_keys, others.pair_rows, others.pairs, others.verdict)
                _note(result, others, part, first, last)
        replayer.apply(part.cut(at))
    result.differences = replayer.differences
    return result


def _events(part: Part) -> Iterator[tuple[int, int, int]]:
    """(IN, behind COMMIT, session) of every event; the session of a message of an EMS, else NONE."""
    segment = part.segment
    for first, last in part.events.tolist():
        at = int(segment.starts[first]) + f.HEAD_WORDS
        session = int(segment.words[at + 1])
        message = segment.words[at] == ev.MESSAGE
        of_ems = message and part.settings_at(first).config.sessions[session].role == "acceptor"
        yield first, last, session if of_ems else NONE


def _fresh(replayer: Replayer, limits: Path, others: _Others | None, result: WhatIf) -> _Others:
    """The other limits beside the state as it is: laid out anew when settings have changed it."""
    state, settings = replayer.state, replayer.settings
    assert state is not None and settings is not None, "settings come before every event"
    if others is None or others.state is not state:
        others = _Others(state, with_limits(settings, limits), others)
        result.changed_limits |= others.changed
        result.currency = others.currency
    return others


def _note(result: WhatIf, others: _Others, part: Part, first: int, last: int) -> None:
    """Count the verdict on the event of these records beside the one recorded."""
    decision, findings = read_decision(part.segment, first + 1)
    verdict = others.verdict_words[0]
    now = verdict["breach"][: verdict["breach_count"]][PLACED]
    instrument = int(decision["instrument"])
    places_then = {others.place(instrument, breach) for breach in breaches_of(findings)[PLACED].tolist()}
    places_now = {others.place(instrument, breach) for breach in now.tolist()}
    notional_e4 = int(decision["notional_e4"] or verdict["notional_e4"])
    result.add(places_then, places_now, max(notional_e4, 0))
    if places_then or places_now:
        result.refusals.append((int(part.wall_ns[first]), int(decision["mask"]), int(verdict["mask"])))
    result.used_then.append(verdict["used_then"].copy())
    result.used_now.append(verdict["used_now"].copy())
    if bool(places_then) != bool(places_now):
        found = Found.at(part, first, last)
        result.changes.append(
            Change(
                sequence=found.sequence,
                wall_ns=found.wall_ns,
                session=found.sections[found.event.session].id,
                cl_ord_id=found.request_id(),
                message_type=int(decision["message_type"]),
                symbol=others.names.instrument(instrument) or "",
                side=int(decision["side"]),
                qty_e8=int(decision["qty_e8"]),
                price_e8=int(decision["price_e8"]),
                notional_e4=notional_e4,
                then=_reasons(places_then),
                now=_reasons(places_now),
            )
        )


def _reasons(places: set[Place]) -> list[str]:
    return sorted(f"{check} ({where})" if where else check for check, where in places)
