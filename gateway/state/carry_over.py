"""Carry a state over to settings, or to a layout, that changed while the gateway was down.

Entities, instruments, sessions and limits come from the settings; all that events made comes from the old state. Orders
and requests keep their rows, since child ClOrdIDs name them; rows of what the settings order anew are mapped by name.
Columns are taken by name too: one that the layout of the old state lacks keeps what `build_state` gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.recfunctions import assign_fields_by_name

from gateway.config.files import ConfigError, Position
from gateway.config.settings import Settings
from gateway.core.handlers.pushed import restore_parameters
from gateway.core.layout import (
    ACCOUNT,
    CAPACITIES,
    GROUP_SCOPES,
    NONE,
    NORMAL,
    POSTURE_NAMES,
    REDUCE_ONLY,
    SCOPE_NAMES,
    SESSION,
    VENUE,
    state_dtype,
)
from gateway.core.setup import exposure_rows, link_rows
from gateway.fix.layout import E8
from gateway.state.build import build_state
from gateway.state.groups import regroup
from gateway.state.memory import State

# What events make. Other columns come from the settings, or are links that are made anew.
OF_STATE = (
    *("fault", "run", "now_ns", "wall_offset_ns", "started_wall_ns", "time_base_ns", "boot", "ended"),
    *("journal_blocked", "days", "next_exec", "next_order", "order_count", "order_free", "order_free_count"),
    *("open_order_count", "request_count", "request_free", "request_free_count", "events", "accepted_orders"),
    *("refused_orders", "unknown_executions", "duplicate_messages", "check_fired"),
    *("sweep_row", "sweep_again", "sweep_due_ns", "sweeps_on", "market_closed"),
    *("parameter_epoch", "parameter_model", "reduce_due", "graded_orders"),
)
OF_ENTITY = (
    *("open_orders", "slice", "sliced", "in_window", "messages", "refused", "killed", "killed_ns"),
    *("posture", "posture_ns"),
)
OF_INSTRUMENT = (
    *("bid_e8", "ask_e8", "last_e8", "quote_ns", "last_ns", "bid_qty_e8", "ask_qty_e8", "last_qty_e8"),
    *("unconfirmed_e8", "quotes_left_aside"),
)
OF_SESSION = (
    *("up", "subscribed", "last_in", "continued", "recovering", "doubts", "queried", "since_ns", "told", "numbering"),
    *("asked", "cancel_due_ns", "dropped_ns", "counted", "fired", "review", "reviewed_ns", "review_due"),
    *("turn_ns", "next_turn_ns", "unknown_working", "unknown_working_ns"),
    *("list_total", "list_left", "list_id_size", "list_id"),
    *("status_out", "status_ns", "status_refusals", "status_again", "status_refused_ns"),
)
OF_LINE = ("next_in", "next_out", "lost", "fresh", "disabled", "begun_s")
OF_SOURCE = ("up", "since_ns", "pushes", "not_taken")
OF_EXPOSURE = ("position_e8", "open_buy_e8", "open_sell_e8")
# Columns of each table ("": of the state itself) without which an older layout cannot be carried.
NEEDED = {
    "": ("entity_count", "instrument_count", "session_count", "exposure_count", "order_count", "request_count")
    + ("execution_count", "run"),
    "entities": ("scope", "name_size", "name"),
    "instruments": ("symbol_size", "symbol"),
    "sessions": ("entity",),
    "exposures": ("entity", "instrument", *OF_EXPOSURE),
    "orders": ("run", "number", "session", "venue", "instrument", "entities", "exposures", "first", "counted_open"),
    "requests": ("session", "order", "cl_ord_id_size", "cl_ord_id"),
    "executions": ("venue", "order", "corrects"),
}
# Arrays that had less room in older layouts.
GROWN = {"orders": ("entities", "exposures")}
# What is taken of each table; of a table that is not here, all.
TAKEN = {
    "": OF_STATE,
    "entities": OF_ENTITY,
    "instruments": OF_INSTRUMENT,
    "sessions": OF_SESSION,
    "lines": OF_LINE,
    "exposures": OF_EXPOSURE,
    "sources": OF_SOURCE,
}


@dataclass(frozen=True)
class Rows:
    """New row by old row (int64 arrays), NONE where the settings no longer have it; at the end NONE for NONE itself."""

    entities: np.ndarray
    instruments: np.ndarray
    sessions: np.ndarray


def layout_faults(old: np.dtype) -> Iterator[str]:
    """Why `carry` cannot take a state of this dtype: columns that it needs are missing, or those taken changed type."""
    new = state_dtype(CAPACITIES["small"])
    for table, needed in NEEDED.items():
        had, want = _row_dtype(old, table), _row_dtype(new, table)
        assert want is not None and want.names is not None, table
        for column in dict.fromkeys((*needed, *TAKEN.get(table, want.names))):
            label = f"{table}.{column}" if table else column
            if had is None or column not in (had.names or ()):
                if column in needed:
                    yield f"it has no {label}"
            elif not _fits(had[column], want[column], column in GROWN.get(table, ())):
                yield f"its {label} is {had[column]}, want {want[column]}"


def _fits(had: np.dtype, want: np.dtype, may_grow: bool) -> bool:
    """Whether a column is as it was, or an array that has become longer where that is allowed for."""
    return had == want or (may_grow and had.base == want.base and len(had.shape) == 1 and had.shape < want.shape)


def _row_dtype(state: np.dtype, table: str) -> np.dtype | None:
    """Dtype of the rows of a table, or of the state itself without one; None where there is no such table."""
    return state if not table else state[table].base if table in (state.names or ()) else None


def carry(old: State, settings: Settings) -> State:
    """A state of `settings` with all that `old` knows; `old` stays as it is.

    `old` may be of any layout in which `layout_faults` finds nothing. The new state is of today's.
    Positions of the positions file count only for an account that the old state has no row for in that instrument.
    Raises ConfigError where the settings lack something that an open order or a position is in, or room.
    """
    new = build_state(replace(settings, positions=_new_positions(old, settings)), int(old.record.run))
    rows = _map_rows(old, new)
    lost = _lost_orders(old, rows)
    faults = [*_open_orders_lost(old, rows, lost), *_positions_lost(old, rows), *_postures_lost(old, rows)]
    if faults:
        raise ConfigError("\n".join(f"{settings.path}: {fault}" for fault in faults))
    for name in _shared(old.block, OF_STATE):
        new.record[name] = old.record[name]
    _carry_columns(old.record["entities"], new.record["entities"], rows.entities, OF_ENTITY)
    _carry_columns(old.record["instruments"], new.record["instruments"], rows.instruments, OF_INSTRUMENT)
    _carry_columns(old.record["sessions"], new.record["sessions"], rows.sessions, OF_SESSION)
    if "lines" in (old.block.dtype.names or ()):
        # Of a session that QuickFIX spoke for, the row says nothing.
        spoke = old.record["lines"]["native"][: old.record.session_count] == 1
        own = np.append(np.where(spoke, rows.sessions[: spoke.size], NONE), NONE)
        _carry_columns(old.record["lines"], new.record["lines"], own, OF_LINE)
        stayed = [row for row, now in enumerate(rows.sessions[:-1].tolist()) if row == now]
        moved_run = new.record["lines"]["moved_run"]
        moved_run[: new.record.session_count] = old.record.run
        moved_run[stayed] = old.record["lines"]["moved_run"][stayed]
    exposures = _carry_exposures(old, new, rows, settings)
    _carry_orders(old, new, rows, exposures, lost, settings)
    _carry_requests(old, new, rows, lost, settings)
    _carry_executions(old, new, rows, lost, settings)
    new.record.killed_count = int(new.record["entities"]["killed"][: new.record.entity_count].sum())
    _count_postures(new)
    if "exits" in (old.block.dtype.names or ()):
        _carry_exits(old, new, rows)
    if "parameters" in (old.block.dtype.names or ()):
        _carry_parameters(old, new, rows, settings)
    regroup(new, settings)
    orders = new.record["orders"][: new.record.order_count]
    used = np.flatnonzero(orders["number"] != NONE)
    link_rows(new.block, used[np.argsort(orders["number"][used])])
    return new


def _map_rows(old: State, new: State) -> Rows:
    entities = np.full(len(old.entities) + 1, NONE, np.int64)
    for key, row in old.entities.items():
        entities[row] = new.entities.get(key, NONE)
    instruments = np.full(len(old.instruments) + 1, NONE, np.int64)
    for symbol, row in old.instruments.items():
        instruments[row] = new.instruments.get(symbol, NONE)
    by_entity = {int(s.entity): row for row, s in enumerate(new.record.sessions[: new.record.session_count])}
    of_sessions = old.record["sessions"]["entity"][: old.record.session_count]
    sessions = [by_entity.get(int(entity), NONE) for entity in entities[of_sessions]]
    return Rows(entities, instruments, np.array([*sessions, NONE], np.int64))


def _new_positions(old: State, settings: Settings) -> list[Position]:
    """Positions of the file for an account that the old state has no exposure row for in that instrument."""
    known = old.record["exposures"][: old.record.exposure_count]
    known_pairs = known["entity"] * len(old.instruments) + known["instrument"]
    pairs = [
        old.entities[ACCOUNT, p.account] * len(old.instruments) + old.instruments[p.symbol]
        if (ACCOUNT, p.account) in old.entities and p.symbol in old.instruments
        else NONE
        for p in settings.positions
    ]
    counted = np.isin(pairs, known_pairs)
    return [position for position, known in zip(settings.positions, counted, strict=True) if not known]


def _lost_orders(old: State, rows: Rows) -> np.ndarray:
    """Of each order row (bool): it holds an order that names what is no longer there."""
    orders = old.record["orders"][: old.record.order_count]
    named = orders["entities"][:, [scope for scope in range(orders["entities"].shape[1]) if scope not in GROUP_SCOPES]]
    gone = (named != NONE) & (rows.entities[named] == NONE)
    return np.asarray((orders["number"] != NONE) & gone.any(axis=1))


def _entity_names(old: State) -> list[str]:
    return [f"{SCOPE_NAMES[scope]} {name}".strip() for scope, name in old.entities]


def _open_orders_lost(old: State, rows: Rows, lost: np.ndarray) -> Iterator[str]:
    s = old.record
    names = _entity_names(old)
    orders = s["orders"][: lost.size]
    unsettled = orders["counted_open"] == 1
    if "unbooked_e8" in (orders.dtype.names or ()):
        unsettled |= orders["unbooked_e8"] > 0
    for row in np.flatnonzero(lost & unsettled):
        order = s.orders[row]
        request = s.requests[order.first]
        cl_ord_id = bytes(request.cl_ord_id[: request.cl_ord_id_size]).decode("ascii", "replace")
        named = [k for k in order.entities if k != NONE and s.entities[k].scope not in GROUP_SCOPES]
        gone = ", ".join(names[k] for k in named if rows.entities[k] == NONE)
        over = "canceled" if order.counted_open == 1 else "resolved"
        yield f"{gone}: is missing, want it until order O{order.run}-{order.number} (ClOrdID {cl_ord_id}) is {over}"


def _positions_lost(old: State, rows: Rows) -> Iterator[str]:
    s = old.record
    exposures = s["exposures"][: s.exposure_count]
    grouped = np.isin(s["entities"]["scope"][exposures["entity"]], GROUP_SCOPES)
    gone = ~grouped & (rows.entities[exposures["entity"]] == NONE) | (rows.instruments[exposures["instrument"]] == NONE)
    names = _entity_names(old)
    symbols = list(old.instruments)
    for x in exposures[gone & (exposures["position_e8"] != 0)]:
        holder, symbol = names[x["entity"]], symbols[x["instrument"]]
        missing = holder if rows.entities[x["entity"]] == NONE else f"instrument {symbol}"
        position = int(x["position_e8"])
        shown = f"{'-' if position < 0 else ''}{abs(position) // E8}.{abs(position) % E8:08}".rstrip("0").rstrip(".")
        yield f"{missing}: is missing, want it until the position of {holder} in {symbol}, now {shown}, is flat"


def _postures_lost(old: State, rows: Rows) -> Iterator[str]:
    """What is gone and comes back one day must not be normal then without anybody having said so."""
    if "posture" not in (old.record["entities"].dtype.names or ()):
        return
    for row, holder in enumerate(_entity_names(old)):
        posture = int(old.record.entities[row].posture)
        if posture != NORMAL and rows.entities[row] == NONE:
            yield f"{holder}: is missing, want it until its posture {POSTURE_NAMES[posture]} is released"


def _shared(old: np.ndarray, columns: tuple[str, ...]) -> list[str]:
    """Those columns that the layout of the old state has."""
    return [column for column in columns if column in (old.dtype.names or ())]


def _carry_columns(old: np.ndarray, new: np.ndarray, rows: np.ndarray, columns: tuple[str, ...]) -> None:
    kept = np.flatnonzero(rows != NONE)
    for column in _shared(old, columns):
        new[column][rows[kept]] = old[column][kept]


def _require_room(settings: Settings, table: str, used: int, room: int) -> None:
    if used > room:
        capacity = f"{settings.path}: gateway.capacity: {settings.config.gateway.capacity}"
        raise ConfigError(f"{capacity}: has room for {room} {table}, want a larger capacity for the {used} in use")


def _carry_exposures(old: State, new: State, rows: Rows, settings: Settings) -> np.ndarray:
    """Add positions and open quantities to the new state's; returns new rows by old rows, as in `Rows`."""
    before = old.record["exposures"][: old.record.exposure_count]
    entities = rows.entities[before["entity"]]
    instruments = rows.instruments[before["instrument"]]
    kept = np.flatnonzero((entities != NONE) & (instruments != NONE))
    found = np.empty(kept.size, np.int64)
    exposure_rows(new.block, entities[kept], instruments[kept], found)
    after = new.record["exposures"]
    _require_room(settings, "exposures", int(after.size + (found == NONE).sum()), after.size)
    for column in OF_EXPOSURE:
        after[column][found] += before[column][kept]
    mapped = np.full(before.size + 1, NONE, np.int64)
    mapped[kept] = found
    return mapped


def _count_postures(new: State) -> None:
    postures = new.record["entities"]["posture"][: new.record.entity_count]
    for posture in range(NORMAL + 1, len(POSTURE_NAMES)):
        new.record.postured[posture] = np.count_nonzero(postures == posture)
    by_account = np.isin(new.record["entities"]["scope"][: postures.size], (SESSION, VENUE))
    new.record.reduces_by_account = np.count_nonzero(by_account & (postures >= REDUCE_ONLY))


def _carry_exits(old: State, new: State, rows: Rows) -> None:
    """Exits stay open, but for what the settings no longer have."""
    before = old.record["exits"][: old.record.exit_count]
    entities, instruments = rows.entities[before["entity"]], rows.instruments[before["instrument"]]
    kept = np.flatnonzero((entities != NONE) & (instruments != NONE))
    after = new.record["exits"][: kept.size]
    assign_fields_by_name(after, before[kept], zero_unassigned=False)
    after["entity"], after["instrument"] = entities[kept], instruments[kept]
    new.record.exit_count = kept.size


def _carry_parameters(old: State, new: State, rows: Rows, settings: Settings) -> None:
    """Sources keep what is known of them, by name; pushed limits stay in force within what people set now."""
    sources = _source_names(new)
    of_source = np.array([*(sources.get(name, NONE) for name in _source_names(old)), NONE], np.int64)
    _carry_columns(old.record["sources"], new.record["sources"], of_source[:-1], OF_SOURCE)
    before = old.record["parameters"][: old.record.parameter_count]
    entities = rows.entities[before["entity"]]
    instruments = rows.instruments[before["instrument"]]
    lost = (of_source[before["source"]] == NONE) | (entities == NONE)
    lost |= (before["instrument"] != NONE) & (instruments == NONE)
    kept = np.flatnonzero(~lost)
    _require_room(settings, "pushed limits", kept.size, new.record.parameters.size)
    after = new.record["parameters"][: kept.size]
    assign_fields_by_name(after, before[kept], zero_unassigned=False)
    after["source"] = of_source[before["source"][kept]]
    after["entity"] = entities[kept]
    after["instrument"] = instruments[kept]
    new.record.parameter_count = kept.size
    no_room = restore_parameters(new.block)
    _require_room(settings, "pairs of limits", new.record.pairs.size + no_room, new.record.pairs.size)


def _source_names(state: State) -> dict[bytes, int]:
    sources = state.record.sources[: state.record.source_count]
    return {bytes(source.name[: source.name_size]): row for row, source in enumerate(sources)}


def _give_back(table: np.ndarray, rows: np.ndarray, first_free: int) -> int:
    """Put rows in the list of free ones; returns the first of it."""
    table["next"][rows] = np.concatenate(([first_free], rows))[:-1]
    return int(rows[-1]) if rows.size else first_free


def _carry_orders(
    old: State, new: State, rows: Rows, exposures: np.ndarray, lost: np.ndarray, settings: Settings
) -> None:
    s = new.record
    _require_room(settings, "orders", lost.size, s.orders.size)
    orders, before = s["orders"][: lost.size], old.record["orders"][: lost.size]
    for column in set(_shared(before, orders.dtype.names)) - {*GROWN["orders"]}:
        orders[column] = before[column]
    orders["session"] = rows.sessions[orders["session"]]
    orders["venue"] = rows.sessions[orders["venue"]]
    orders["instrument"] = rows.instruments[orders["instrument"]]
    for column, mapped in (("entities", rows.entities), ("exposures", exposures)):
        orders[column] = NONE
        orders[column][:, : before[column].shape[1]] = mapped[before[column]]
    orders["number"][lost] = NONE
    if "avg_told" not in (old.record["orders"].dtype.names or ()):
        orders["avg_told"] = orders["cum_e8"] > 0  # of fills without their prices no average can be computed
    s.order_free = _give_back(orders, np.flatnonzero(lost), int(s.order_free))
    s.order_free_count += lost.sum()


def _carry_requests(old: State, new: State, rows: Rows, lost: np.ndarray, settings: Settings) -> None:
    s = new.record
    _require_room(settings, "requests", int(s.request_count), s.requests.size)
    requests = s["requests"][: s.request_count]
    assign_fields_by_name(requests, old.record["requests"][: s.request_count], zero_unassigned=False)
    used = (requests["session"] != NONE) | (requests["retired"] == 1)
    of_lost = np.append(lost, False)[requests["order"]]
    requests["session"] = rows.sessions[requests["session"]]
    requests["session"][of_lost] = NONE
    requests["order"][of_lost] = NONE
    requests["retired"][of_lost] = 0
    requests["unsent"][of_lost] = 0
    s.unsent_cancels = int(np.count_nonzero(requests["unsent"]))
    freed = np.flatnonzero(used & (requests["session"] == NONE) & (requests["retired"] == 0))
    s.request_free = _give_back(requests, freed, int(s.request_free))
    s.request_free_count += freed.size


def _carry_executions(old: State, new: State, rows: Rows, lost: np.ndarray, settings: Settings) -> None:
    """Executions of lost orders and venues go, and the rest close the gaps."""
    s = new.record
    before = old.record["executions"][: old.record.execution_count]
    kept = (rows.sessions[before["venue"]] != NONE) & ~np.append(lost, False)[before["order"]]
    count = int(kept.sum())
    _require_room(settings, "executions", count, s.executions.size)
    executions = s["executions"][:count]
    assign_fields_by_name(executions, before if kept.all() else before[kept], zero_unassigned=False)
    executions["venue"] = rows.sessions[executions["venue"]]
    moved = np.append(np.where(kept, np.cumsum(kept) - 1, NONE), NONE)
    executions["corrects"] = moved[executions["corrects"]]
    had_accounts = "account" in (before.dtype.names or ())
    executions["account"] = rows.entities[executions["account"]] if had_accounts else NONE
    legs = np.flatnonzero(executions["leg"])
    executions["leg"][legs] = rows.instruments[executions["leg"][legs] - 1] + 1
    executions["number"][legs[executions["leg"][legs] == 0]] = 0  # of an instrument that is gone
    s.execution_count = count
