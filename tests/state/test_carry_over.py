"""A state carried to changed settings knows all that it knew: orders work on, positions and counts stay."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config.files import ConfigError
from gateway.config.sections import ParametersSection
from gateway.config.settings import Settings, load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Driver
from gateway.core.layout import CAPACITIES, NONE
from gateway.core.tables.executions import find_execution
from gateway.core.tables.exposures import find_exposure
from gateway.core.tables.requests import find_request
from gateway.fix.layout import E8
from gateway.jit import entry
from gateway.state import carry_over as carrying
from gateway.state.build import build_state
from gateway.state.carry_over import carry
from gateway.state.memory import State
from tests.support.checks import NAMED
from tests.support.core import BASE, INSTRUMENTS, LIMITS, Core, write_config

POSITIONS = "account,strategy,symbol,quantity\nACC1,MOMO,AAPL,50\nACC2,,MSFT,-20\n"
EMS2 = {
    **{"id": "EMS2", "role": "acceptor", "begin_string": "FIX.4.4", "sender_comp_id": "GW", "target_comp_id": "EMS2"},
    **{"listen": "127.0.0.1:1", "accounts": ["AAA", "ACC2"], "traders": ["ANN"]},
}
XAAA = {
    **{"id": "XAAA", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW", "target_comp_id": "XAAA"},
    **{"connect": "127.0.0.1:1"},
}
ROOMY = {"name": "TEST", "engine": "quickfix", "state_dir": "var", "capacity": "standard"}
PARAMETERS: dict[str, Any] = {"sources": [{"id": "CAL", "file": "cal"}, {"id": "DESK", "file": "desk"}]}
PAIRED = {"account*instrument": {"ACC1*MSFT": {"max_long": 9_000}}, "firm*instrument": {"*AAPL": {"max_long": 80_000}}}

# Where each column comes from. A new column of the layout belongs in one of these or in the lists of
# gateway.state.carry_over; one that holds the row of something that the settings order anew must be mapped.
SETTINGS = {
    "": {"entity_count", "instrument_count", "session_count", "exposure_count", "pair_count", "execution_count"}
    | {"identity_tag", "understood", "carry_order", "carry_cancel", "carry_report", "dictionary", "pairs", "work"}
    | {"sessions", "entities", "instruments", "exposures", "orders", "requests", "executions", "sources", "parameters"}
    | {"unsent_cancels", "keep_days", "lines", "postured", "exits", "exit_count"}
    | {"grades", "grade_count", "widest_duplicate_ns", "reduces_by_account"}
    | {"killed_count", "loosen_percent", "floor_percent", "source_count", "parameter_count"},
    "entities": {"scope", "name_size", "name", "limit", "limit_set", "limit_epoch", "group", "grades"},
    "instruments": {"entity", "symbol_size", "symbol", "security_size", "security", "venue", "currency_size"}
    | {"currency", "lot_e8", "tick_e8", "value_e8", "previous_close_e8", "sector", "asset_class"},
    "sessions": {
        "role",
        "version",
        "entity",
        "default",
        "market_data",
        "takes_status",
        "takes_mass_status",
        "max_poss_dup_age_ns",
    }
    | {
        "may_use",
        "takes_mass_cancel",
        "tells_dont_know",
        "cancel_interval_ns",
        "cancels_on_drop",
        "replaces_open",
        "market_as_limit",
        "most_status",
    },
    "exposures": {"entity", "instrument", "pair"},
    "orders": set(),
    "requests": set(),
    "executions": set(),
    "sources": {"name_size", "name"},
    "parameters": {"floor", "ceiling", "target"},
    "exits": set(),
}
LINKS = {
    "": {"entity_head", "symbol_head", "security_head", "exposure_head", "fingerprint_head", "request_head"}
    | {"execution_head", "venue_order_id_head", "execution_oldest", "ending"},
    "entities": {"next"},
    "instruments": {"symbol_next", "security_next"},
    "sessions": set(),
    "exposures": {"next"},
    "orders": {"fingerprint", "fingerprint_older", "newest_fill", "venue_order_id_next"},
    "requests": set(),
    "executions": {"next", "older_fill"},
    "sources": set(),
    "parameters": set(),
    "exits": set(),
}
MAPPED = {
    "orders": {"session", "venue", "instrument", "entities", "exposures"},
    "requests": {"session"},
    "executions": {"venue", "corrects", "leg", "account"},
    "parameters": {"source", "entity", "instrument"},
    "exits": {"entity", "instrument"},
}
CARRIED: dict[str, set[str]] = {
    "": set(carrying.OF_STATE),
    "entities": set(carrying.OF_ENTITY),
    "instruments": set(carrying.OF_INSTRUMENT),
    "sessions": set(carrying.OF_SESSION),
    "exposures": set(carrying.OF_EXPOSURE),
    "orders": {"run", "number", "next", "doubt", "asked", "side", "status", "replaced", "first", "accepted", "pending"}
    | {"qty_e8", "fills_e8", "venue_cum_e8", "cum_e8", "avg_px_e8", "corrected", "reserved_e8", "counted_open"}
    | {"placed_ns", "venue_order_id_size", "venue_order_id", "canceled_by", "cancel_tries", "cancel_ns"}
    | {"avg_told", "traded", "traded_e16", "restated_e8", "doubtful_e8", "unbooked_e8"}
    | {"terms", "asks", "asked_ns", "cancel_asked_ns", "ended_day", "listed", "cancel_refused"}
    | {"mass_cancel", "raising", "exit_ns"},
    "requests": {
        "next",
        "run",
        "child",
        "kind",
        "state",
        "acknowledged",
        "order",
        "older",
        "qty_e8",
        "price_e8",
        "ours",
    }
    | {"stop_e8", "ord_type", "time_in_force", "cl_ord_id_size", "cl_ord_id", "unsent", "retired", "capped"}
    | {"answer"},
    "executions": {"order", "qty_e8", "run", "number", "exec_id_size", "exec_id", "next"}
    | {"px_e8", "told_cum_e8", "no_fill", "terms", "unclear_e8"},
    "sources": set(carrying.OF_SOURCE),
    "parameters": {"limit", "pushed", "effective", "moved_ns", "epoch", "model", "told_ns", "expires_ns", "state"},
    "exits": {"left_e8", "until_ns"},
}
COUNTS = {"entities": "entity_count", "instruments": "instrument_count", "sessions": "session_count"} | {
    **{"exposures": "exposure_count", "orders": "order_count", "requests": "request_count"},
    **{"executions": "execution_count", "sources": "source_count", "parameters": "parameter_count"},
    **{"exits": "exit_count"},
}
KEPT_AS_THEY_ARE = {"next", "first", "accepted", "pending", "older", "order", "killed", "posture", "limit"}


def used(state: State, table: str) -> np.ndarray:
    rows: np.ndarray = state.record[table][: state.record[COUNTS[table]]]
    return rows


def settings_of(folder: Path, **changes: Any) -> Settings:
    """Settings with other sections of the main config, limits, instruments or positions."""
    folder.mkdir(exist_ok=True)
    limits = {**LIMITS, **PAIRED, **changes.pop("limits", {})}
    instruments = changes.pop("instruments", INSTRUMENTS)
    positions = changes.pop("positions", POSITIONS)
    config: dict[str, Any] = {**copy.deepcopy(BASE), "parameters": PARAMETERS, **changes}
    return load_settings(write_config(folder, config, limits, instruments, positions))


def peers() -> list[dict[str, Any]]:
    """Sections of the two sessions of BASE, to change."""
    sections: Any = BASE["sessions"]
    return [copy.deepcopy(section) for section in sections]


def all_moved(folder: Path, capacity: str = "small") -> Settings:
    """Settings with all that there was and more, in which every row is another one.

    Another capacity needs kernels of its own as soon as there are events.
    """
    ems, venue = peers()
    ems["accounts"] = ["AAA", *ems["accounts"]]
    ems["desks"] = ["D1"]
    header, *rows = INSTRUMENTS.splitlines()
    instruments = "\n".join([header, "NEW,,0.01,1,1,7,,", *reversed(rows)]) + "\n"
    return settings_of(
        folder,
        gateway=ROOMY | {"capacity": capacity},
        sessions=[XAAA, venue, EMS2, ems],
        instruments=instruments,
        limits={"account*instrument": {"default*NEW": {"max_long": 1}, "ACC1*MSFT": {"max_long": 9_000}}},
    )


def take(core: Core, settings: Settings) -> None:
    """Go on with the state carried to other settings, as after a restart."""
    core.settings = settings
    core.state = carry(core.state, settings)
    core.driver = Driver(core.state.block)
    core.sessions = {s.id: row for row, s in enumerate(settings.config.sessions)}
    core.begin_strings = {s.id: s.begin_string for s in settings.config.sessions}
    core.start(ev.STOPPED)
    for name in core.sessions:
        core.logon(name)
    core.quote("AAPL", 99.99, 100.01, 100)
    core.quote("MSFT", 199.99, 200.01, 200)


def child(outputs: list[Any]) -> str:
    (found,) = [str(fields[11]) for _, kind, fields in outputs if kind in ("D", "F", "G")]
    return found


@pytest.fixture
def core(tmp_path: Path) -> Core:
    """A core with orders in all states, requests given back, executions busted and corrected, refusals, and limits
    that are pushed.
    """
    core = Core(tmp_path, {**BASE, "parameters": PARAMETERS}, {**LIMITS, **PAIRED}, positions=POSITIONS)
    core.push(a.MAX_ORDER_QTY, 700 * E8, source=1, epoch=5, model=9)
    core.posture(a.NO_NEW_LONGS, a.STRATEGY, "ARB")
    core.open_exit("30", a.ACCOUNT, "ACC2", "MSFT")
    core.push(a.MAX_LONG, 3_000 * E8, (a.ACCOUNT, "ACC1"), "MSFT", epoch=6, seconds=3600)
    core.quote("MSFT", 199.99, 200.01, 200)
    filled = child(core.new("FILLED", t7001="MOMO", t50="TOM"))
    core.report(filled, "E1", "F", "2", t14="100", t32="100", t31="100", t151="0")
    part = child(core.new("PART", side="2", t1="ACC2", t7001="ARB"))
    core.report(part, "E2", "0", "0", t54="2", t151="100")
    core.report(part, "E3", "F", "1", t54="2", t14="30", t32="30", t31="100", t151="70")
    core.report(part, "E4", "G", "1", t54="2", t14="40", t19="E3", t32="40", t31="100", t151="60")
    gone = child(core.new("GONE", px="99", t50="TOM"))
    core.report(child(core.cancel("GONE-1", "GONE")), "E5", "4", "4", t41=gone)
    core.new("MS", symbol="MSFT", px="200", qty="50")
    core.cancel_reject(child(core.cancel("PART-1", "PART", side="2")), part)
    core.replace("PART-2", "PART", qty="120", side="2", t1="ACC2")
    core.new("BAD", qty="99999")
    core.new("BAD2", t1="NOBODY")
    core.report("C9-9", "E6", "F", "2", t32="5", t31="100", t1="ACC1")
    core.wait(1)
    return core


def test_every_column_of_the_layout_is_dealt_with(core: Core) -> None:
    for table, from_settings in SETTINGS.items():
        dtype = core.state.record.dtype if not table else core.state.record[table].dtype
        dealt_with = from_settings | LINKS[table] | MAPPED.get(table, set()) | CARRIED[table]
        assert dealt_with == set(dtype.names), table or "state"


def test_unchanged_settings_change_no_byte(core: Core, tmp_path: Path) -> None:
    core.kill(a.TRADER, "TOM")
    old = core.state
    for table, columns in CARRIED.items():  # nothing is zero by chance
        where = old.record if not table else used(old, table)
        for name in columns - set(COUNTS.values()) - KEPT_AS_THEY_ARE:
            if where[name].dtype == np.int64 and table != "requests":
                where[name] = np.where(where[name] == 0, 7, where[name])
    grouped = np.isin(used(old, "entities")["scope"], a.GROUP_SCOPES)
    used(old, "entities")["open_orders"][grouped & (used(old, "entities")["open_orders"] == 7)] = 0
    before = old.block.copy()
    new = carry(old, settings_of(tmp_path / "same"))
    assert before.tobytes() == old.block.tobytes()
    for name in set(old.record.dtype.names) - {
        "work",
        "request_head",
        "execution_head",
        "fingerprint_head",
        *LINKS[""],
    }:
        if name not in COUNTS:
            assert old.record[name].tobytes() == new.record[name].tobytes(), name
            continue
        for column in old.record[name].dtype.names:
            if column in LINKS[name] or (name, column) == ("parameters", "moved_ns"):
                continue
            here, there = used(old, name)[column], used(new, name)[column]
            if (name, column) == ("requests", "next"):
                free = used(old, name)["session"] == NONE
                here, there = here[free], there[free]
            assert here.tobytes() == there.tobytes(), f"{name}.{column}"


def test_carrying_twice_gives_the_same_bytes(core: Core, tmp_path: Path) -> None:
    settings = all_moved(tmp_path / "new")
    assert carry(core.state, settings).block.tobytes() == carry(core.state, settings).block.tobytes()


def named(state: State, table: str, names: dict[str, dict[int, Any]]) -> list[tuple[Any, ...]]:
    """Rows of a table with what names the rows of others in place of their numbers; links are left out."""
    columns = [c for c in state.record[table].dtype.names if c not in LINKS[table] | SETTINGS[table] | {"next"}]
    shown = []
    for row in used(state, table):
        values = []
        for column in columns:
            value = row[column]
            if column in ("session", "venue"):
                values.append(names["sessions"].get(int(value)))
            elif column == "leg":
                values.append(names["instruments"].get(int(value) - 1))
            elif column == "account":
                values.append(names["entities"].get(int(value)))
            elif column == "instrument":
                values.append(names["instruments"].get(int(value)))
            elif column == "entities":
                values.append([names["entities"].get(int(v)) for v in value])
            elif column == "exposures":
                values.append([names["exposures"].get(int(v)) for v in value])
            else:
                values.append(value.tolist())
        shown.append(tuple(values))
    return shown


def names_of(state: State) -> dict[str, dict[int, Any]]:
    entities = {row: key for key, row in state.entities.items()}
    instruments = {row: symbol for symbol, row in state.instruments.items()}
    exposures = {
        row: (entities[int(x.entity)], instruments[int(x.instrument)]) for row, x in enumerate(used(state, "exposures"))
    }
    sessions = {row: entities[int(x.entity)] for row, x in enumerate(used(state, "sessions"))}
    return {"entities": entities, "instruments": instruments, "exposures": exposures, "sessions": sessions}


def test_rows_that_move_take_everything_with_them(core: Core, tmp_path: Path) -> None:
    old = core.state
    new = carry(old, all_moved(tmp_path / "new", "standard"))
    was, now = names_of(old), names_of(new)
    for table in ("orders", "requests", "executions"):
        assert named(old, table, was) == named(new, table, now)
    for table in ("entities", "instruments", "sessions", "exposures"):
        rows = {name: row for row, name in now[table].items()}
        for row, name in was[table].items():
            for column in CARRIED[table]:
                here, there = used(old, table)[column][row], used(new, table)[column][rows[name]]
                assert here.tobytes() == there.tobytes(), f"{table}.{column} of {name}"
    assert {name for name in now["entities"].values()} > {name for name in was["entities"].values()}
    assert int(new.record.pair_count) > int(old.record.pair_count)


@entry
def rows_not_found(block: np.ndarray) -> int:
    """How many requests, executions and exposures are not found by what they are known by."""
    s = block[0]
    count = 0
    for row in range(s.request_count):
        r = s.requests[row]
        if r.session != NONE and find_request(s, r.session, r.cl_ord_id, 0, r.cl_ord_id_size) != row:
            count += 1
    for row in range(s.execution_count):
        x = s.executions[row]
        if find_execution(s, x.venue, x.order, x.exec_id, 0, x.exec_id_size) != row:
            count += 1
    for row in range(s.exposure_count):
        if find_exposure(s, s.exposures[row].entity, s.exposures[row].instrument) != row:
            count += 1
    return count


def test_every_row_is_found_again(core: Core, tmp_path: Path) -> None:
    same = carry(core.state, settings_of(tmp_path / "same"))
    moved = carry(same, all_moved(tmp_path / "moved", "standard"))
    assert [rows_not_found(state.block) for state in (core.state, same, moved)] == [0, 0, 0]


def test_equal_orders_are_linked_newest_first(core: Core, tmp_path: Path) -> None:
    core.day()
    for name in ("N1", "N2", "N3"):
        child(core.new(name))
    s = carry(core.state, settings_of(tmp_path / "same")).record
    numbers = s["orders"]["number"][: s.order_count]
    assert list(numbers) != sorted(numbers), "rows were used again"
    linked = []
    for head in s["fingerprint_head"][s["fingerprint_head"] != NONE]:
        chain = []
        row = int(head)
        while row != NONE:
            chain.append(int(numbers[row]))
            row = int(s.orders[row].fingerprint_older)
        assert chain == sorted(chain, reverse=True)
        linked += chain
    assert sorted(linked) == sorted(numbers[numbers != NONE])


def test_orders_work_on_after_rows_have_moved(core: Core, tmp_path: Path) -> None:
    take(core, all_moved(tmp_path / "new"))
    part = f"C1-{core.record.requests['child'][1]}"
    position = core.exposure(a.ACCOUNT, "ACC2", "AAPL")
    again = core.report(part, "E3", "F", "1", t54="2", t14="30", t32="30", t31="100", t151="70", t43="Y")
    assert core.exposure(a.ACCOUNT, "ACC2", "AAPL") == position, again
    ((session, kind, fields),) = core.report(part, "E7", "F", "1", t54="2", t14="50", t32="10", t31="100", t151="50")
    assert (session, kind, fields[11], fields[14]) == ("EMS1", "8", "PART", "50")
    assert core.exposure(a.ACCOUNT, "ACC2", "AAPL")[0] == position[0] - 10 * E8
    ((_, _, fields),) = core.report(part, "E8", "H", "1", t54="2", t14="10", t19="E4", t151="90")
    assert fields[14] == "10"
    ((_, kind, fields),) = core.new("FILLED")
    assert (kind, fields[150], fields[39]) == ("8", "8", "2") and "used before" in fields[58]
    assert child(core.cancel("MS-1", "MS", symbol="MSFT", qty="50"))
    assert child(core.new("NEXT")).startswith("C2-")


def test_a_duplicate_is_still_one_after_rows_have_moved(core: Core, tmp_path: Path) -> None:
    moved = all_moved(tmp_path / "new")
    everyone = (a.ACCOUNT, "default", "")
    window = {**moved.limits[everyone], a.DUPLICATE_WINDOW: 3600 * 10**9}
    take(core, replace(moved, limits={**moved.limits, everyone: window}))
    ((_, _, fields),) = core.new("MS2", symbol="MSFT", px="200", qty="50")
    assert fields[39] == "8" and "DUPLICATE" in fields[58].upper()


def test_new_limits_and_prices_come_from_the_settings(core: Core, tmp_path: Path) -> None:
    limits = {"account": {"default": {"max_long": 60}}, **PAIRED}
    settings = settings_of(tmp_path / "new", limits=limits, instruments=INSTRUMENTS.replace(",1,1,100", ",1,1,111"))
    new = carry(core.state, settings)
    assert new.record.entities[new.entities[a.ACCOUNT, "ACC1"]].limit[a.MAX_LONG] == 60 * E8
    assert new.record.instruments[new.instruments["AAPL"]].previous_close_e8 == 111 * E8
    assert new.record.instruments[new.instruments["AAPL"]].bid_e8 == 9_999_000_000


def position(state: State, scope: int, name: str, symbol: str) -> int | None:
    """Position of an entity in an instrument; None where it has no row."""
    for x in used(state, "exposures"):
        if x.entity == state.entities[scope, name] and x.instrument == state.instruments[symbol]:
            return int(x.position_e8) // E8
    return None


def test_opening_positions_count_once(core: Core, tmp_path: Path) -> None:
    ems, venue = peers()
    ems["accounts"].append("ACC3")
    before = {symbol: position(core.state, a.FIRM, "", symbol) or 0 for symbol in ("AAPL", "ESZ6")}
    held = position(core.state, a.ACCOUNT, "ACC1", "AAPL")
    file = POSITIONS.replace("50", "999") + "ACC3,ARB,AAPL,5\nACC3,,AAPL,6\nACC2,,ESZ6,-3\n"
    new = carry(core.state, settings_of(tmp_path / "new", sessions=[ems, venue], positions=file))
    assert position(new, a.ACCOUNT, "ACC1", "AAPL") == held
    assert position(new, a.ACCOUNT, "ACC2", "MSFT") == -20
    assert position(new, a.ACCOUNT, "ACC3", "AAPL") == 11
    assert position(new, a.ACCOUNT, "ACC2", "ESZ6") == -3
    assert position(new, a.FIRM, "", "AAPL") == before["AAPL"] + 11
    assert position(new, a.FIRM, "", "ESZ6") == -3


def refused(core: Core, settings: Settings) -> list[str]:
    with pytest.raises(ConfigError) as error:
        carry(core.state, settings)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{settings.path}: ") for line in lines)
    return [line.removeprefix(f"{settings.path}: ") for line in lines]


def test_an_account_with_an_open_order_or_a_position_must_stay(core: Core, tmp_path: Path) -> None:
    ems, venue = peers()
    ems["accounts"] = ["ACC1"]
    order, first, second = refused(core, settings_of(tmp_path / "new", sessions=[ems, venue], positions=None))
    assert order == "account ACC2: is missing, want it until order O1-1 (ClOrdID PART) is canceled"
    assert {first, second} == {
        "account ACC2: is missing, want it until the position of account ACC2 in MSFT, now -20, is flat",
        "account ACC2: is missing, want it until the position of account ACC2 in AAPL, now -40, is flat",
    }


def test_a_session_with_an_open_order_must_stay(core: Core, tmp_path: Path) -> None:
    ems, venue = peers()
    lines = refused(core, settings_of(tmp_path / "ems", sessions=[{**ems, "id": "OTHER"}, venue]))
    assert lines == [
        "session EMS1: is missing, want it until order O1-1 (ClOrdID PART) is canceled",
        "session EMS1: is missing, want it until order O1-3 (ClOrdID MS) is canceled",
    ]
    lines = refused(core, settings_of(tmp_path / "venue", sessions=[ems, XAAA], routing={"default": "XAAA"}))
    assert [line.split(":")[0] for line in lines] == ["venue XNAS", "venue XNAS"]


def test_strategies_and_instruments_take_all_they_have_to_their_new_groups(core: Core, tmp_path: Path) -> None:
    """A group may go: what counts for it is told by its members."""
    trend, maker = (core.exposure(a.CLASS, name, "AAPL") for name in ("TREND", "MAKER"))
    assert (trend, maker) == ((150 * E8, 0, 0), (-40 * E8, 0, 80 * E8))
    instruments = INSTRUMENTS.replace("DEVICES", "SOFTWARE")
    classes = {"MAKER": ["MOMO", "ARB"]}
    take(core, settings_of(tmp_path / "new", classes=classes, instruments=instruments, limits={"class": {}}))
    assert core.exposure(a.CLASS, "MAKER", "AAPL") == (110 * E8, 0, 80 * E8)
    counted = core.record["entities"]["open_orders"]
    assert counted[core.state.entities[a.CLASS, "MAKER"]] == 1
    assert counted[core.state.entities[a.SECTOR, "SOFTWARE"]] == 2
    part = next(o for o in used(core.state, "orders") if o.entities[a.CLASS] != NONE and o.counted_open == 1)
    core.fill(f"C1-{core.record.requests['child'][part.accepted]}", "E9", "80", "120", "2", t54="2")
    assert core.exposure(a.CLASS, "MAKER", "AAPL") == (30 * E8, 0, 0)
    assert counted[core.state.entities[a.CLASS, "MAKER"]] == 0
    core.kill(a.CLASS, "MAKER")
    ((_, _, fields),) = core.new("NEXT", t7001="MOMO")
    assert "KILLED no order passes (class MAKER)" in fields[58]


def test_an_instrument_with_a_position_must_stay(core: Core, tmp_path: Path) -> None:
    without = "\n".join(line for line in INSTRUMENTS.splitlines() if "MSFT" not in line) + "\n"
    limits = {"account*instrument": {"ACC1*AAPL": {"max_long": 9_000}}}
    lines = refused(core, settings_of(tmp_path / "new", instruments=without, limits=limits, positions=None))
    assert lines[0] == "instrument MSFT: is missing, want it until order O1-3 (ClOrdID MS) is canceled"
    assert "instrument MSFT: is missing, want it until the position of firm in MSFT, now -20, is flat" in lines


def test_what_is_closed_and_flat_may_go(tmp_path: Path) -> None:
    core = Core(tmp_path)
    stays = child(core.new("D"))
    core.report(stays, "ED", "F", "1", t14="10", t32="10", t31="100", t151="90")
    core.report(stays, "EX", "G", "1", t14="9", t19="ED", t32="9", t31="100", t151="91")
    for side, name in (("1", "A"), ("2", "B")):
        order = child(core.new(name, side=side, t50="TOM", t7001="ARB"))
        core.report(order, "E" + name, "F", "2", t54=side, t14="100", t32="100", t31="100", t151="0")
    rejected = child(core.new("C", t50="TOM"))
    request = child(core.cancel("C-1", "C"))
    core.cancel_reject(request, rejected)
    core.report(rejected, "EC", "8", "8")
    ems, venue = peers()
    ems["traders"] = ["ANN"]
    take(core, settings_of(tmp_path / "new", sessions=[ems, venue], limits={}, positions=None))
    s = core.record
    assert (s.order_count, s.order_free_count, s.request_free_count) == (4, 3, 4)
    assert [int(row.number) for row in used(core.state, "orders")[1:]] == [NONE] * 3
    assert int(s.execution_count) == 2 and s.executions["corrects"][:2].tolist() == [NONE, 0]
    assert core.exposure(a.FIRM, "", "AAPL") == (9 * E8, 91 * E8, 0)
    late = core.report(request, "EL", "F", "1", t14="1", t32="1", t31="100", t151="9")
    assert [kind for _, kind, _ in late] == [""], "the order of that cancel is forgotten"
    for name in "ABC":
        assert child(core.new(name))
    assert (s.order_count, s.order_free_count, s.request_free_count) == (4, 0, 1)
    (_, _, fields), *_ = core.new("D")
    assert "used before" in fields[58]


@pytest.mark.parametrize("scope", range(a.SCOPES))
def test_what_is_killed_stays_killed(core: Core, tmp_path: Path, scope: int) -> None:
    ems, venue = peers()
    ems |= {"desks": ["D1"], "flows": ["ALGO"], "defaults": {"desk": "D1", "flow": "ALGO"}}
    take(core, settings_of(tmp_path / "before", sessions=[ems, venue]))
    core.hours(is_open=False)
    core.kill(scope, NAMED[scope])
    ems["accounts"] = ["AAA", *ems["accounts"]]
    ems["desks"] = ["D0", "D1"]
    take(core, settings_of(tmp_path / "new", sessions=[XAAA, venue, EMS2, ems]))
    assert core.record.killed_count == 1
    who: dict[str, Any] = {"t7001": "MOMO", "t50": "TOM"}
    ((_, _, fields),) = core.new("NEXT", **who)
    where = f"{a.SCOPE_NAMES[scope]} {NAMED[scope]}".strip()
    assert fields[58] == f"TRADING_DAY the trading day has not begun; KILLED no order passes ({where})"
    core.hours(is_open=True)
    core.kill(scope, NAMED[scope], on=False)
    assert child(core.new("AFTER", **who))


def test_a_cancel_of_our_own_goes_on(core: Core, tmp_path: Path) -> None:
    """What was killed is canceled on, anew after the venue's logon, and the EMS is told why."""
    sent = core.killed(a.ACCOUNT, "ACC1")
    account = core.state.entities[a.ACCOUNT, "ACC1"]
    (working,) = [o for o in used(core.state, "orders") if o.counted_open and o.entities[a.ACCOUNT] == account]
    assert [fields[41] for _, _, fields in sent] == [f"C1-{core.record.requests['child'][working.accepted]}"]
    take(core, all_moved(tmp_path / "new"))
    ((session, kind, again),) = core.later(0.1)
    assert (session, kind, again[41]) == ("XNAS", "F", sent[0][2][41])
    assert again[11].startswith("C2-")
    assert core.later(0.9) == []
    reply = core.report(sent[0][2][11], "EK", "4", "4", t41=sent[0][2][41], t55="MSFT")
    assert [(s, k, f[11], f.get(41), f[378]) for s, k, f in reply] == [("EMS1", "8", "MS", None, "4")]
    assert reply[0][2][58] == "canceled by the gateway: kill switch"


def in_force(core: Core, limit: int, symbol: str = "") -> tuple[int, int]:
    """Limit and epoch in force at ACC1, or at its pair with an instrument."""
    s = core.record
    entity = core.state.entities[a.ACCOUNT, "ACC1"]
    if not symbol:
        return int(s.entities[entity].limit[limit]), int(s.entities[entity].limit_epoch[limit])
    for x in used(core.state, "exposures"):
        if (x.entity, x.instrument) == (entity, core.state.instruments[symbol]):
            return int(s.pairs[x.pair].limit[limit]), int(s.pairs[x.pair].limit_epoch[limit])
    raise LookupError(symbol)


def with_account(**limits: Any) -> dict[str, Any]:
    return {"account": {"default": {**LIMITS["account"]["default"], **limits}}, **PAIRED}


def test_pushed_limits_stay_in_force_where_rows_have_moved(core: Core, tmp_path: Path) -> None:
    moved = {"sources": [{"id": "NEW", "file": "new"}, *reversed(PARAMETERS["sources"])]}
    settings = all_moved(tmp_path / "new")
    take(
        core,
        replace(
            settings, config=settings.config.model_copy(update={"parameters": ParametersSection.model_validate(moved)})
        ),
    )
    assert in_force(core, a.MAX_ORDER_QTY) == (700 * E8, 5)
    assert in_force(core, a.MAX_LONG, "MSFT") == (3_000 * E8, 6)
    assert [int(source.pushes) for source in core.record.sources[:3]] == [0, 1, 1]
    ((_, _, fields),) = core.new("NEXT", qty="701")
    assert "MAX_ORDER_QTY 701 > 700 (account ACC1, parameters #5)" in fields[58]
    core.push(a.MAX_ORDER_QTY, 600 * E8, source=1, epoch=7)
    assert in_force(core, a.MAX_ORDER_QTY) == (600 * E8, 7)
    assert core.record.parameter_count == 2


def test_pushed_limits_stay_within_what_people_set_now(core: Core, tmp_path: Path) -> None:
    tight = settings_of(tmp_path / "tight", limits=with_account(max_order_qty=500))
    wide = settings_of(tmp_path / "wide", limits=with_account(max_order_qty=2_000))
    take(core, tight)
    assert in_force(core, a.MAX_ORDER_QTY)[0] == 500 * E8
    take(core, wide)
    assert in_force(core, a.MAX_ORDER_QTY) == (500 * E8, 5)
    for second in range(1, 61):
        core.later(1)
        value, epoch = in_force(core, a.MAX_ORDER_QTY)
        assert value <= 500 * E8 + 200 * E8 * second // 60 and epoch == 5
    assert 699 * E8 <= in_force(core, a.MAX_ORDER_QTY)[0] <= 700 * E8


def test_a_wider_limit_of_a_person_moves_no_pushed_one(core: Core, tmp_path: Path) -> None:
    take(core, settings_of(tmp_path / "wide", limits=with_account(max_order_qty=2_000)))
    assert in_force(core, a.MAX_ORDER_QTY) == (700 * E8, 5)
    core.source(1, up=False)
    take(core, settings_of(tmp_path / "wider", limits=with_account(max_order_qty=20_000)))
    core.later(60)
    assert in_force(core, a.MAX_ORDER_QTY) == (700 * E8, 5), "held"


@pytest.mark.parametrize("gone", ["source", "limit", "unlimited"])
def test_a_pushed_limit_goes_with_its_source_or_its_envelope(core: Core, tmp_path: Path, gone: str) -> None:
    changes: dict[str, Any] = {}
    if gone == "source":
        changes["parameters"] = {"sources": PARAMETERS["sources"][:1]}
    elif gone == "limit":
        limits = with_account()
        del limits["account"]["default"]["max_order_qty"]
        changes["limits"] = limits
    else:
        changes["limits"] = with_account(max_order_qty="unlimited")
    take(core, settings_of(tmp_path / "new", **changes))
    static = {"source": 1_000 * E8, "limit": a.UNSET, "unlimited": a.UNLIMITED}[gone]
    assert in_force(core, a.MAX_ORDER_QTY) == (static, 0)
    assert in_force(core, a.MAX_LONG, "MSFT") == (3_000 * E8, 6)
    assert core.record.parameter_count == 1


def test_a_pushed_limit_goes_with_its_entity(tmp_path: Path) -> None:
    core = Core(tmp_path, {**BASE, "parameters": PARAMETERS}, {**LIMITS, **PAIRED})
    core.push(a.MAX_ORDER_QTY, 700 * E8, (a.ACCOUNT, "ACC2"))
    core.push(a.MAX_LONG, 700 * E8, (a.ACCOUNT, "ACC1"), "MSFT")
    ems, venue = peers()
    ems["accounts"] = ["ACC1"]
    without = "\n".join(line for line in INSTRUMENTS.splitlines() if "MSFT" not in line) + "\n"
    changes = {"instruments": without, "limits": {"account*instrument": {}}, "positions": None}
    new = carry(core.state, settings_of(tmp_path / "new", sessions=[ems, venue], **changes))
    assert new.record.parameter_count == 0


def test_what_was_given_back_stays_so(core: Core, tmp_path: Path) -> None:
    """And so does when that was: what was pushed before is not taken by reading it again."""
    core.give_back(a.MAX_ORDER_QTY, source=1)
    released_ns = core.record.now_ns
    take(core, settings_of(tmp_path / "wide", limits=with_account(max_order_qty=2_000)))
    assert in_force(core, a.MAX_ORDER_QTY) == (2_000 * E8, 0)
    [row] = [p for p in core.record.parameters[: core.record.parameter_count] if p.state == a.RELEASED]
    assert row.told_ns == released_ns


def test_a_capacity_that_is_too_small(tmp_path: Path) -> None:
    large = settings_of(tmp_path / "large", gateway=ROOMY)
    small = settings_of(tmp_path / "small")
    old = build_state(large, run=1)
    old.record.order_count = CAPACITIES["small"].orders + 1
    old.record["orders"]["number"][: old.record.order_count] = NONE
    with pytest.raises(ConfigError, match="gateway.capacity: small: has room for 2048 orders, want a larger capacity"):
        carry(old, small)
    old.record.order_count = 0
    old.record.request_count = CAPACITIES["small"].requests + 1
    old.record["requests"]["session"][: old.record.request_count] = NONE
    with pytest.raises(ConfigError, match="gateway.capacity: small: has room for 8192 requests"):
        carry(old, small)


def test_sessions_that_quickfix_spoke_for_begin_with_numbers_of_their_own(tmp_path: Path) -> None:
    """What the row of such a session holds says nothing; one of the native engine goes on."""
    core = Core(tmp_path)
    native = {"gateway": {**BASE["gateway"], "engine": "native"}}
    ours = load_settings(write_config(tmp_path, BASE | native, LIMITS, INSTRUMENTS))
    taken = carry(core.state, ours)
    assert [(int(own.next_in), int(own.next_out), int(own.fresh)) for own in taken.record.lines[:2]] == [(1, 1, 1)] * 2
    taken.record.lines[0].next_in, taken.record.lines[0].next_out, taken.record.lines[0].fresh = 17, 23, 0
    again = carry(taken, ours).record.lines[0]
    assert (int(again.next_in), int(again.next_out), int(again.fresh)) == (17, 23, 0)
