"""Make the state of a gateway: allocate or map the block and fill its tables from the settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import TypeVar

import numpy as np

from gateway import shipped
from gateway.config.files import ConfigError, Instrument
from gateway.config.sections import SessionSection
from gateway.config.settings import Settings, known_entities
from gateway.core import layout as a
from gateway.core.layout import NONE, record_dtype
from gateway.core.setup import add_entity, add_exposure, add_instrument
from gateway.fix import tags as t
from gateway.fix.dictionary import load_dictionary
from gateway.fix.layout import DICTIONARY_TABLE, MAX_TAG
from gateway.fix.tables import allow_user_tags, fill_dictionary_table
from gateway.state.groups import regroup
from gateway.state.memory import State, new_block, require_row

BEGIN_STRINGS = {"FIX.4.2": a.VERSION_42, "FIX.4.4": a.VERSION_44, "FIXT.1.1": a.VERSION_50}
EMPTY = np.zeros(a.NAME_BYTES, np.uint8)

# Business terms of an order that go to the venue as they came. Identity and header tags do not.
# fmt: off
CARRIED_FROM_ORDERS = (
    t.Account, t.Currency, t.ExecInst, 21, t.SecurityIDSource, 47, t.SecurityID, t.Symbol, t.TransactTime, 63, 64, 77,
    106, 107, 110, 111, 114, 120, 126, t.SecurityType, 203, 204, 207, 210, 432, 528, 529, 582,
)
# What does not change the order and need not reach the venue: texts, parties, allocation, booking, commission, links.
IGNORED_IN_ORDERS = (
    12, 13, 58, 70, 75, 76, 78, 79, 80, 81, 109, 229, 354, 355, 439, 440, 447, 448, 452, 453, 460, 467, 479, 497, 523,
    524, 525, 526, 538, 539, 545, 578, 579, 581, 583, 589, 590, 591, 627, 628, 629, 630, 635, 660, 661, 736, 775, 802,
    803, 804, 805, 8011,
)
# fmt: on
CARRIED_FROM_REPORTS = (29, 30, 75, 851)

# What the gateway writes itself is never carried.
FRAMING = (
    t.BeginString,
    t.BodyLength,
    t.MsgType,
    t.MsgSeqNum,
    t.SenderCompID,
    t.TargetCompID,
    t.SendingTime,
    t.CheckSum,
)
OWN_IN_ORDERS = (
    *(*FRAMING, t.ClOrdID, t.OrderID, t.OrigClOrdID, t.SecondaryClOrdID, t.OrderQty, t.OrdType, t.Price, t.Side),
    *(t.TimeInForce, t.StopPx),
)
OWN_IN_CANCELS = (t.Account, t.SecurityIDSource, t.SecurityID, t.Symbol, t.TransactTime)
OWN_IN_REPORTS = (
    *(*FRAMING, t.Account, t.AvgPx, t.ClOrdID, t.CumQty, t.ExecID, t.ExecRefID, t.ExecTransType, t.LastPx, t.LastQty),
    *(t.OrderID, t.OrderQty, t.OrdStatus, t.OrdType, t.OrigClOrdID, t.Price, t.Side, t.Symbol, t.Text, t.TimeInForce),
    *(t.TransactTime, t.StopPx, t.OrdRejReason, t.ExecType, t.LeavesQty, t.SecondaryOrderID, t.ExecRestatementReason),
    t.SecondaryExecID,
)
Key = TypeVar("Key")
Pair = tuple[int, int]
LOGON_TIMEOUT_NS = 10 * 10**9
MAX_LATENCY_NS = 120 * 10**9  # that an EMS may be off, by SendingTime(52)
LISTS = (
    *("entity_head", "symbol_head", "security_head", "exposure_head", "fingerprint_head", "request_head"),
    *("execution_head", "venue_order_id_head"),
)


def build_state(settings: Settings, run: int) -> State:
    """A fresh state from the settings; `run` numbers this start. Raises ConfigError when the tables are too small."""
    block = new_block(settings.config.gateway.capacity)
    s = block[0]
    s.run = run
    for name in LISTS:
        s[name][:] = NONE
    s.request_free = NONE
    s.order_free = NONE
    s.sweep_row = NONE
    s.keep_days = settings.config.day.keep_executions if settings.config.day is not None else 0
    s.loosen_percent = settings.config.parameters.loosen
    s.floor_percent = settings.config.parameters.floor
    _fill_dictionaries(s, settings)
    _fill_entities(block, settings)
    state = State(block)
    _fill_limits(state, settings)
    _fill_groups(state, settings)
    _fill_sessions(state, settings)
    _fill_instruments(state, settings)
    state = State(block)
    _fill_pairs(state, settings)
    _fill_grades(state, settings)
    _fill_positions(state, settings)
    regroup(state, settings)
    _fill_sources(s, settings)
    s.identity_tag[: a.SCOPES] = [getattr(settings.config.identity, name, None) or 0 for name in a.SCOPE_NAMES]
    s.carry_order[[*CARRIED_FROM_ORDERS, *settings.config.carry.orders]] = 1
    identity = [tag for tag in s.identity_tag if 0 < tag < MAX_TAG]
    s.understood[[*OWN_IN_ORDERS, *IGNORED_IN_ORDERS, t.ExDestination, *identity]] = 1
    s.understood[:] |= s.carry_order
    s.carry_order[list(OWN_IN_ORDERS)] = 0
    s.carry_cancel[:] = s.carry_order
    s.carry_cancel[list(OWN_IN_CANCELS)] = 0
    s.carry_report[[*CARRIED_FROM_REPORTS, *settings.config.carry.reports]] = 1
    s.carry_report[list(OWN_IN_REPORTS)] = 0
    return state


def _bytes(name: str) -> tuple[np.ndarray, int]:
    array = EMPTY.copy()
    raw = name.encode()
    array[: len(raw)] = np.frombuffer(raw, np.uint8)
    return array, len(raw)


@functools.cache
def _shipped_dictionaries() -> np.ndarray:
    """Tables of the dictionaries in fix_specs/, by version."""
    tables = np.zeros(len(BEGIN_STRINGS), record_dtype(DICTIONARY_TABLE))
    for begin_string, version in BEGIN_STRINGS.items():
        path = shipped("fix_specs") / (begin_string.replace(".", "") + ".xml")
        fill_dictionary_table(tables[version], load_dictionary(path))
    return tables


def _fill_dictionaries(s: np.record, settings: Settings) -> None:
    """The shipped dictionaries, with the user-defined tags that the config names allowed in every message."""
    config = settings.config
    named = {*config.carry.orders, *config.carry.reports, *config.identity.model_dump().values()} - {None}
    s.dictionary[:] = _shipped_dictionaries()
    for table in s.dictionary:
        allow_user_tags(table, sorted(tag for tag in named if 5_000 <= tag < MAX_TAG))


def _fill_entities(block: np.ndarray, settings: Settings) -> None:
    for scope, name in sorted(known_entities(settings)):
        row = require_row(add_entity(block, scope, *_bytes(name)), settings, "entities")
        entity = block[0].entities[row]
        entity.limit_set[:] = a.UNSET
        entity.limit[:] = a.UNSET
        entity.grades = NONE


def _fill_limits(state: State, settings: Settings) -> None:
    """Each entity has its own value of a limit, else its scope's default."""
    for (scope, name), row in state.entities.items():
        entity = state.record.entities[row]
        for source in ("default", name):
            for limit, value in settings.limits.get((scope, source, ""), {}).items():
                entity.limit_set[limit] = value
        entity.limit[:] = entity.limit_set


def _fill_groups(state: State, settings: Settings) -> None:
    """Who is in which class of strategies."""
    for name, strategies in settings.config.classes.items():
        for strategy in strategies:
            state.record.entities[state.entities[a.STRATEGY, strategy]].group = state.entities[a.CLASS, name]


def _fill_sessions(state: State, settings: Settings) -> None:
    s = state.record
    sessions = settings.config.sessions
    if len(sessions) > s.sessions.size:
        require_row(NONE, settings, "sessions")
    for record, section in zip(s.sessions, sessions, strict=False):
        venue = section.role == "initiator"
        record.role = a.VENUE_ROLE if venue else a.EMS
        record.version = BEGIN_STRINGS[section.begin_string]
        record.entity = state.entities[a.VENUE if venue else a.SESSION, section.id]
        record.market_data = section.market_data
        record.last_in = NONE
        record.takes_status = venue and section.order_status
        record.most_status = section.status_requests
        record.replaces_open = venue and section.replace_qty == "open"
        record.takes_mass_status = venue and section.mass_status
        record.max_poss_dup_age_ns = section.max_poss_dup_age
        record.takes_mass_cancel = venue and section.mass_cancel
        record.tells_dont_know = venue and section.dont_know
        record.market_as_limit = venue and section.market_as_limit
        record.cancel_interval_ns = 10**9 // section.cancel_rate if venue and section.cancel_rate else 0
        record.cancels_on_drop = not venue and section.on_disconnect == "cancel"
        record.dropped_ns = NONE
        record.review = NONE
        _fill_identity(state, record, section)
    s.session_count = len(sessions)
    if settings.config.gateway.engine == "native":
        for line, section in zip(s.lines, sessions, strict=False):
            _fill_line(line, section)


def _fill_line(line: np.record, section: SessionSection) -> None:
    """A session of the native engine, with which nothing has been exchanged yet."""
    line.native = 1
    line.initiates = section.role == "initiator"
    line.version = BEGIN_STRINGS[section.begin_string]
    line.strict = section.role == "acceptor"
    line.reset_on_logon = section.reset_on_logon
    line.heartbeat_s = section.heartbeat
    line.logon_timeout_ns = LOGON_TIMEOUT_NS
    by_role_ns = MAX_LATENCY_NS if section.role == "acceptor" else 0
    line.max_latency_ns = by_role_ns if section.max_latency is None else section.max_latency
    for name in ("begin_string", "sender", "target"):
        raw = getattr(section, name if name == "begin_string" else f"{name}_comp_id").encode()
        line[name][: len(raw)] = np.frombuffer(raw, np.uint8)
        line[f"{name}_size"] = len(raw)
    line.next_in = line.next_out = line.fresh = 1


def _fill_identity(state: State, record: np.record, section: SessionSection) -> None:
    record.default[:] = NONE
    for scope, names in section.allowed().items():
        for name in names:
            record.may_use[state.entities[scope, name]] = 1
        default = getattr(section.defaults, a.SCOPE_NAMES[scope])
        if default is not None:
            record.default[scope] = state.entities[scope, default]


def _value_e8(instrument: Instrument, settings: Settings) -> int:
    """Money of the firm's currency for one point of price, rounded up; 0 where the currency has no rate."""
    currency = instrument.currency or settings.config.gateway.currency
    if currency == settings.config.gateway.currency:
        return instrument.multiplier_e8
    if currency not in settings.config.rates:
        return 0
    exact = instrument.multiplier_e8 * settings.config.rates[currency].rate
    return int(Decimal(exact).to_integral_value(ROUND_CEILING))


def _fill_instruments(state: State, settings: Settings) -> None:
    s = state.record
    config = settings.config
    venues = {section.id: row for row, section in enumerate(config.sessions)}
    for instrument in settings.instruments:
        row = add_instrument(state.block, *_bytes(instrument.symbol), *_bytes(instrument.security_id))
        record = s.instruments[require_row(row, settings, "instruments")]
        venue = config.routing.instruments.get(instrument.symbol, config.routing.default)
        record.entity = state.entities[a.INSTRUMENT, instrument.symbol]
        record.sector = state.entities.get((a.SECTOR, instrument.sector), NONE)
        record.asset_class = state.entities.get((a.ASSET_CLASS, instrument.asset_class), NONE)
        record.venue = NONE if venue is None else venues[venue]
        currency = (instrument.currency or config.gateway.currency).encode()
        record.currency[: len(currency)] = np.frombuffer(currency, np.uint8)
        record.currency_size = len(currency)
        record.lot_e8 = instrument.lot_e8
        record.tick_e8 = instrument.tick_e8
        record.value_e8 = _value_e8(instrument, settings)
        record.previous_close_e8 = instrument.previous_close_e8
        record.quote_ns = NONE
        record.last_ns = NONE


def _of_pairs(state: State, table: Mapping[tuple[int, str, str], Mapping[Key, int]]) -> dict[Pair, dict[Key, int]]:
    """What a table has of each pair, by (row of the entity, row of the instrument): its own, else its scope's."""
    merged: dict[Pair, dict[Key, int]] = {}
    for (scope, name, symbol), values in sorted(table.items(), key=lambda item: item[0][1] != "default"):
        if symbol:
            for (entity_scope, entity_name), row in state.entities.items():
                if entity_scope == scope and name in ("default", entity_name):
                    merged.setdefault((row, state.instruments[symbol]), {}).update(values)
    return merged


def _fill_grades(state: State, settings: Settings) -> None:
    """The values at which limits watch, warn and stop: of each severity the entity's own, else its scope's default."""
    s = state.record
    for (scope, name), row in state.entities.items():
        found: dict[tuple[int, int], int] = {}
        for source in ("default", name):
            found |= settings.grades.get((scope, source, ""), {})
        s.entities[row].grades = _add_grades(s, settings, found)
    known = s["exposures"][: s.exposure_count]
    for (entity, instrument), found in _of_pairs(state, settings.grades).items():
        pair = int(known["pair"][(known["entity"] == entity) & (known["instrument"] == instrument)][0])
        s.pairs[pair].grades = _add_grades(s, settings, found)


def _add_grades(s: np.record, settings: Settings, values: Mapping[tuple[int, int], int]) -> int:
    """Enter the limits of an entity or pair that do more than refuse; the first row of their chain, or NONE."""
    first = NONE
    for limit in sorted({limit for limit, _ in values}):
        if s.grade_count == s.grades.size:
            require_row(NONE, settings, "limits that watch, warn or stop")
        grade = s.grades[s.grade_count]
        grade.limit, grade.next = limit, first
        grade.value[:] = [values.get((limit, severity), a.UNSET) for severity in range(a.SEVERITIES)]
        if limit == a.DUPLICATE_WINDOW:
            s.widest_duplicate_ns = max(int(s.widest_duplicate_ns), *grade.value.tolist())
        first = int(s.grade_count)
        s.grade_count += 1
    return first


def _fill_pairs(state: State, settings: Settings) -> None:
    """A pair's limits stand at the exposure of its entity in its instrument; `default` is every entity of a scope."""
    s = state.record
    merged = _of_pairs(state, settings.limits)
    if len(merged) > s.pairs.size:
        require_row(NONE, settings, "pairs of limits")
    for pair, ((entity, instrument), limits) in enumerate(merged.items()):
        s.pairs[pair].limit_set[:] = a.UNSET
        for limit, value in limits.items():
            s.pairs[pair].limit_set[limit] = value
        s.pairs[pair].limit[:] = s.pairs[pair].limit_set
        s.pairs[pair].grades = NONE
        require_row(add_exposure(state.block, entity, instrument, 0, pair), settings, "exposures")
    s.pair_count = len(merged)


def _fill_positions(state: State, settings: Settings) -> None:
    """Opening positions count for the account, its strategy if named, the firm and the instrument."""
    for position in settings.positions:
        entities = [(a.FIRM, ""), (a.ACCOUNT, position.account), (a.INSTRUMENT, position.symbol)]
        if position.strategy:
            entities.append((a.STRATEGY, position.strategy))
        for key in entities:
            row = add_exposure(
                state.block, state.entities[key], state.instruments[position.symbol], position.quantity_e8, NONE
            )
            require_row(row, settings, "exposures")


def _fill_sources(s: np.record, settings: Settings) -> None:
    """Publishers, of parameters first; none has been heard yet."""
    sections = [*settings.config.parameters.sources, *settings.config.quotes]
    if len(sections) > s.sources.size:
        raise ConfigError(f"parameters.sources, quotes: want at most {s.sources.size} together, got {len(sections)}")
    for source, section in zip(s.sources, sections, strict=False):
        array, size = _bytes(section.id)
        source.name[:] = array
        source.name_size = size
    s.source_count = len(sections)
