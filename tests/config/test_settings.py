"""Bad config is refused with one line a fault, naming file, key and the value wanted; good config loads exactly."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from gateway.config.files import ConfigError
from gateway.config.limits import missing_limits
from gateway.config.settings import load_settings, restore_settings
from gateway.core import layout as a
from gateway.journal.writer import NO_SYNC, SYNC_BEFORE_SEND
from gateway.state.build import build_state
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

E8 = 10**8
SECOND_NS = 10**9
IN_EURO = "symbol,tick,multiplier,currency\nAAPL,0.01,1,USD\nFESX,1,10,EUR\n"
Change = Callable[[dict[str, Any]], object]


def faults(
    folder: Path,
    config: Change | None = None,
    limits: Change | None = None,
    instruments: str = INSTRUMENTS,
    positions: str | None = None,
) -> list[str]:
    """Lines of the ConfigError that a changed config draws, up to and with the building of the state."""
    parts = []
    for base, change in ((BASE, config), (LIMITS, limits)):
        data: dict[str, Any] = copy.deepcopy(base)
        if change:
            change(data)
        parts.append(data)
    with pytest.raises(ConfigError) as error:
        build_state(load_settings(write_config(folder, parts[0], parts[1], instruments, positions)), run=1)
    return str(error.value).splitlines()


def put(where: str, value: Any) -> Change:
    """A change that sets the value under dotted keys (numbers are rows of a list); DROP removes the key."""

    def change(data: dict[str, Any]) -> None:
        target: Any = data
        *keys, last = [int(key) if key.isdigit() else key for key in where.split(".")]
        for key in keys:
            target = target[key] if isinstance(target, list) else target.setdefault(key, {})
        if value is DROP:
            del target[last]
        else:
            target[last] = value

    return change


DROP = object()


@pytest.mark.parametrize(
    ("where", "value", "key", "wanted"),
    [
        ("colour", "red", "colour", "is not a known key"),
        ("gateway.colour", "red", "gateway.colour", "is not a known key"),
        ("sessions.0.colour", "red", "sessions.0.colour", "is not a known key"),
        ("identity.colour", 1, "identity.colour", "is not a known key"),
        ("routing.colour", "XNAS", "routing.colour", "is not a known key"),
        ("gateway", DROP, "gateway", "is missing"),
        ("gateway.name", DROP, "gateway.name", "is missing"),
        ("gateway.state_dir", DROP, "gateway.state_dir", "is missing"),
        ("sessions", DROP, "sessions", "is missing"),
        ("sessions.0.begin_string", DROP, "sessions.0.begin_string", "is missing"),
        ("sessions.1.sender_comp_id", DROP, "sessions.1.sender_comp_id", "is missing"),
        ("instruments", DROP, "instruments", "is missing"),
        ("limits", DROP, "limits", "is missing"),
        ("gateway", "TEST", "gateway", "dictionary"),
        ("gateway.name", 7, "gateway.name", "want a name"),
        ("gateway.name", "x" * 33, "gateway.name", "at most 32"),
        ("gateway.name", "two words", "gateway.name", "want a name"),
        ("gateway.capacity", "huge", "gateway.capacity", "'small', 'standard' or 'large'"),
        ("gateway.engine", "other", "gateway.engine", "'quickfix'"),
        ("gateway.busy_poll", True, "gateway.busy_poll", "gateway.busy_poll: want gateway.engine native"),
        ("gateway.cpu", -1, "gateway.cpu", "greater than or equal to 0"),
        ("gateway.record", True, "gateway.record", "is not a known key"),
        ("sessions", [], "sessions", "at least 2"),
        ("sessions", {}, "sessions", "list"),
        ("sessions.0.role", "both", "sessions.0.role", "'acceptor' or 'initiator'"),
        ("sessions.0.begin_string", "FIX.4.3", "sessions.0.begin_string", "'FIX.4.2', 'FIX.4.4' or 'FIXT.1.1'"),
        ("sessions.0.listen", "localhost", "sessions.0.listen", "want host:port"),
        ("sessions.0.listen", "127.0.0.1:123456", "sessions.0.listen", "want host:port"),
        ("sessions.0.listen", "127.0.0.1:70000", "sessions.0.listen", "want host:port"),
        ("sessions.0.listen", DROP, "sessions.0", "an acceptor needs `listen: host:port`"),
        ("sessions.0.connect", "127.0.0.1:1", "sessions.0", "no `connect`"),
        ("sessions.1.connect", DROP, "sessions.1", "an initiator needs `connect: host:port`"),
        ("sessions.1.listen", "127.0.0.1:1", "sessions.1", "no `listen`"),
        ("sessions.0.heartbeat", 0, "sessions.0.heartbeat", "greater than or equal to 1"),
        ("sessions.0.heartbeat", "often", "sessions.0.heartbeat", "integer"),
        ("sessions.0.reconnect", 3601, "sessions.0.reconnect", "less than or equal to 3600"),
        ("sessions.0.accounts", [], "sessions.0", "`accounts` must list"),
        ("sessions.0.accounts", "ACC1", "sessions.0.accounts", "list"),
        ("sessions.0.accounts", ["ACC 1"], "sessions.0.accounts.0", "want a name"),
        ("sessions.0.defaults", {"account": "ACC9"}, "sessions.0", "default account ACC9 is not in the session's list"),
        ("sessions.0.defaults", {"colour": "ACC1"}, "sessions.0.defaults.colour", "is not a known key"),
        ("sessions.0.max_poss_dup_age", "ten", "sessions.0.max_poss_dup_age", "want a duration"),
        ("sessions.0.max_poss_dup_age", 10, "sessions.0.max_poss_dup_age", "want a duration"),
        ("sessions.0.max_poss_dup_age", "-1s", "sessions.0.max_poss_dup_age", "want a duration"),
        ("sessions.0.max_poss_dup_age", "5 days", "sessions.0.max_poss_dup_age", "want a duration"),
        ("identity.trader", "party", "identity.trader", "want a FIX tag below 10000, or party:ROLE"),
        ("identity.trader", 10_000, "identity.trader", "want a FIX tag below 10000"),
        ("identity.trader", 0, "identity.trader", "want a FIX tag below 10000"),
        ("identity.trader", True, "identity.trader", "want a FIX tag below 10000"),
        ("carry.orders", [0], "carry.orders.0", "greater than 0"),
        ("carry.reports", [10_000], "carry.reports.0", "less than 10000"),
        ("routing.default", "XLON", "routing.default", "want the id of an initiator session, got XLON"),
        ("routing.default", "EMS1", "routing.default", "want the id of an initiator session, got EMS1"),
        ("routing.instruments", {"AAPL": "XLON"}, "routing.AAPL", "want the id of an initiator session, got XLON"),
        ("routing.instruments", {"NOPE": "XNAS"}, "routing.instruments.NOPE", "is not in the instruments file"),
        ("classes", {"TREND": ["MOMO", "MOMO"]}, "classes", "strategy MOMO is named twice"),
        ("classes", {"TREND": ["MOMO"], "FAST": ["MOMO"]}, "classes", "strategy MOMO is named twice"),
        ("classes", {"TREND": ["NOPE"]}, "classes.TREND", "NOPE: no session may use a strategy of that name"),
        ("classes", {"default": ["MOMO"]}, "classes.default", "and not `default`"),
        ("classes", {"TREND": "MOMO"}, "classes.TREND", "list"),
        ("rates", {"EUR": {"rate": 0, "date": "2026-07-10"}}, "rates.EUR.rate", "greater than 0"),
        ("rates", {"EUR": {"rate": 1.1, "date": "today"}}, "rates.EUR.date", "valid date"),
        ("rates", {"EUR": {"rate": 1.1}}, "rates.EUR.date", "is missing"),
        ("rates", {"EUR": {"rate": "Infinity", "date": "2026-07-10"}}, "rates.EUR.rate", "finite"),
        ("journal.colour", "red", "journal.colour", "is not a known key"),
        ("journal.sync", 0, "journal.sync", "want none, before_send or a duration of 1ms to 1m"),
        ("journal.sync", "0s", "journal.sync", "want none, before_send or a duration of 1ms to 1m"),
        ("journal.sync", "2m", "journal.sync", "want none, before_send or a duration of 1ms to 1m"),
        ("journal.sync", "often", "journal.sync", "want none, before_send or a duration of 1ms to 1m"),
        ("journal.sync", False, "journal.sync", "want none, before_send or a duration of 1ms to 1m"),
        ("journal.segment", 0, "journal.segment", "greater than or equal to 1"),
        ("journal.segment", 65, "journal.segment", "less than or equal to 64"),
        ("journal.keep", "a week", "journal.keep", "want a duration"),
        ("journal.keep", "999999999d", "journal.keep", "want a duration"),
        ("journal.snapshot_every", 0, "journal.snapshot_every", "greater than or equal to 1"),
        ("rates", {"EURO": {"rate": 1.1, "date": "2026-07-10"}}, "rates.EURO", "no instrument is in this currency"),
        ("sessions.1.accounts", ["ACC1"], "sessions.1.accounts", "is not for an initiator"),
        ("sessions.1.defaults", {}, "sessions.1.defaults", "is not for an initiator"),
        ("sessions.1.max_poss_dup_age", "10s", "sessions.1.max_poss_dup_age", "is not for an initiator"),
        ("sessions.0.order_status", True, "sessions.0.order_status", "is not for an acceptor"),
        ("sessions.0.reconnect", 5, "sessions.0.reconnect", "is not for an acceptor"),
        ("day", {"end": "17:30"}, "day.zone", "is missing"),
        ("day", {"zone": "UTC"}, "day.end", "is missing"),
        ("day", {"zone": "America/Nowhere", "end": "17:30"}, "day.zone", "want an IANA time zone"),
        ("day", {"zone": "America", "end": "17:30"}, "day.zone", "want an IANA time zone"),
        ("day", {"zone": "../UTC", "end": "17:30"}, "day.zone", "want an IANA time zone"),
        ("day", {"zone": "UTC", "end": "24:00"}, "day.end", "want a local time of day"),
        ("day", {"zone": "UTC", "end": "8:30"}, "day.end", "want a local time of day"),
        ("day", {"zone": "UTC", "end": 17 * 60 + 30}, "day.end", "in quotes"),
        ("day", {"zone": "UTC", "end": "17:30", "positions": "flat"}, "day.positions", "'keep' or 'reset'"),
    ],
)
def test_main_config(tmp_path: Path, where: str, value: Any, key: str, wanted: str) -> None:
    (line, *more) = faults(tmp_path, config=put(where, value))
    assert line.startswith(f"{tmp_path / 'gateway.yaml'}: ")
    assert key in line and wanted in line
    assert more == []


def test_sessions_with_the_same_id(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, config=put("sessions.1.id", "EMS1"))
    assert line.startswith(f"{tmp_path / 'gateway.yaml'}: ") and "sessions: id EMS1 is used twice" in line


def test_sessions_with_the_same_comp_ids(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, config=put("sessions.1.target_comp_id", "EMS1"))
    assert "gateway.yaml: " in line and "sessions: two have the same begin_string" in line


def test_every_fault_of_the_main_config_has_a_line(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["colour"] = "red"
        data["sessions"][0]["role"] = "both"
        del data["gateway"]["name"]

    lines = faults(tmp_path, config=change)
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'gateway.yaml'}: ") for line in lines)


@pytest.mark.parametrize(
    ("where", "value", "key", "wanted"),
    [
        ("venues.XNAS.max_open_orders", 5, "venues", "is not a known scope, want one of firm, desk, account"),
        ("instrument*account.AAPL*ACC1.max_long", 5, "instrument*account", "is not a known scope"),
        ("account.ACC1.max_qty", 5, "account.ACC1.max_qty", "is not a known limit, want one of max_order_qty"),
        ("firm.max_qty", 5, "firm.max_qty", "is not a known limit"),
        ("account.ACC1.max_long", -1, "account.ACC1.max_long", "want a quantity of at most 8 decimals, or unlimited"),
        ("account.ACC1.max_long", "1.123456789", "account.ACC1.max_long", "want a quantity of at most 8 decimals"),
        ("account.ACC1.max_long", "many", "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_long", "NaN", "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_long", float("inf"), "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_long", True, "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_long", None, "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_long", [5], "account.ACC1.max_long", "want a quantity"),
        ("account.ACC1.max_order_notional", "0.00001", "account.ACC1.max_order_notional", "at most 4 decimals"),
        ("account.ACC1.max_open_orders", 1.5, "account.ACC1.max_open_orders", "want a whole number, or unlimited"),
        ("instrument.AAPL.collar_bps", 10_001, "instrument.AAPL.collar_bps", "from 0 to 10000"),
        ("instrument.AAPL.collar_bps", 0.5, "instrument.AAPL.collar_bps", "whole basis points"),
        ("instrument.AAPL.reference_max_age", 5, "instrument.AAPL.reference_max_age", "want a duration such as"),
        ("instrument.AAPL.reference_max_age", "unlimited", "instrument.AAPL.reference_max_age", "want a duration"),
        ("session.EMS1.message_window", "0s", "session.EMS1.message_window", "want a duration of 1ms to 24h"),
        ("session.EMS1.message_window", "25h", "session.EMS1.message_window", "want a duration of 1ms to 24h"),
        ("session.EMS1.max_long", 5, "session.EMS1.max_long", "cannot stand at scope session"),
        ("venue.XNAS.max_short", 5, "venue.XNAS.max_short", "cannot stand at scope venue"),
        ("instrument.AAPL.max_messages", 5, "instrument.AAPL.max_messages", "cannot stand at scope instrument"),
        ("instrument.AAPL.message_window", "1s", "instrument.AAPL.message_window", "cannot stand at scope instrument"),
        ("account*instrument.ACC1*AAPL.max_messages", 5, "account*instrument.ACC1*AAPL.max_messages", "cannot stand"),
        ("account*instrument.ACC1*AAPL.max_open_orders", 5, "ACC1*AAPL.max_open_orders", "cannot stand"),
        ("account*instrument.ACC1.max_long", 5, "account*instrument.ACC1", "want NAME*SYMBOL as the key of a pair"),
        ("account.ACC9.max_long", 5, "account.ACC9", "no account of that name in"),
        ("strategy.NOPE.max_long", 5, "strategy.NOPE", "no strategy of that name in"),
        ("instrument.NOPE.max_long", 5, "instrument.NOPE", "no instrument of that name in"),
        ("session.XNAS.max_messages", 5, "session.XNAS", "no session of that name in"),
        ("venue.EMS1.max_open_orders", 5, "venue.EMS1", "no venue of that name in"),
        ("account*instrument.ACC1*NOPE.max_long", 5, "ACC1*NOPE", "NOPE is not in the instruments file"),
        ("account*instrument.ACC9*AAPL.max_long", 5, "account*instrument.ACC9", "no account of that name in"),
        ("account", 5, "account", "want a mapping"),
        ("account.ACC1", 5, "account.ACC1", "want a mapping"),
        ("firm", [5], "firm", "want a mapping"),
    ],
)
def test_limits(tmp_path: Path, where: str, value: Any, key: str, wanted: str) -> None:
    (line, *more) = faults(tmp_path, limits=put(where, value))
    assert line.startswith(f"{tmp_path / 'limits.yaml'}: ")
    assert key in line and wanted in line
    assert more == []


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "5\n"])
def test_limits_that_are_no_mapping(tmp_path: Path, text: str) -> None:
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)
    (tmp_path / "limits.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"limits\.yaml: \(top level\): want a mapping"):
        load_settings(path)


@pytest.mark.parametrize("name", ["gateway.yaml", "limits.yaml"])
@pytest.mark.parametrize("text", ["a: [1,\n", "a: b: c\n", "\tx: 1\n", "a: 1\n---\nb: 2\n", "{1: 2}: &x *y\n"])
def test_invalid_yaml(tmp_path: Path, name: str, text: str) -> None:
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path / name}: is not YAML: ")


@pytest.mark.parametrize("name", ["gateway.yaml", "limits.yaml", "instruments.csv", "positions.csv"])
def test_text_that_is_not_utf8(tmp_path: Path, name: str) -> None:
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS, "account,symbol,quantity\n")
    (tmp_path / name).write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("text", ["account:\n  ACC1: {max_long: 5}\n  ACC1: {max_long: 6}\n", "firm: {}\nfirm: {}\n"])
def test_a_key_given_twice(tmp_path: Path, text: str) -> None:
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)
    (tmp_path / "limits.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"limits\.yaml: "):
        load_settings(path)


@pytest.mark.parametrize("name", ["limits.yaml", "instruments.csv", "positions.csv", "gateway.yaml"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS, "account,symbol,quantity\n")
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    (line,) = str(error.value).splitlines()
    assert line == f"{tmp_path / name}: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("text", "where", "wanted"),
    [
        ("symbol\nAAPL\n", "line 1: columns", "want symbol, tick"),
        ("", "line 1: columns", "want symbol, tick"),
        ("symbol,tick,colour\nAAPL,0.01,red\n", "line 1: columns", "want symbol, tick and perhaps"),
        ("symbol,tick,tick\nAAPL,0.01,0.05\n", "line 1: columns", "want"),
        ("symbol,tick\nAAPL\n", "line 2", "want 2 values"),
        ("symbol,tick\nAAPL,0.01,1\n", "line 2", "want 2 values"),
        ("symbol,tick\nAAPL,0.01\nMSFT,\n", "line 3: tick", "want a decimal"),
        ("symbol,tick\nAAPL,0\n", "line 2: tick", "want more than zero"),
        ("symbol,tick\nAAPL,-0.01\n", "line 2: tick", "want more than zero"),
        ("symbol,tick\nAAPL,a cent\n", "line 2: tick", "want a decimal of at most 8 places"),
        ("symbol,tick\nAAPL,0.000000001\n", "line 2: tick", "want a decimal of at most 8 places"),
        ("symbol,tick,lot\nAAPL,0.01,0\n", "line 2: lot", "want more than zero"),
        ("symbol,tick,multiplier\nAAPL,0.01,-5\n", "line 2: multiplier", "want more than zero"),
        ("symbol,tick,multiplier\nAAPL,0.01,1e20\n", "line 2: multiplier", "is too large, want at most 10,000,000,000"),
        ("symbol,tick,previous_close\nAAPL,0.01,?\n", "line 2: previous_close", "want a decimal"),
        ("symbol,tick,previous_close\nAAPL,0.01,-1\n", "line 2: previous_close", "want"),
        ("symbol,tick\n,0.01\n", "line 2: symbol", "is missing"),
        (f"symbol,tick\n{'A' * 33},0.01\n", "line 2: symbol", "at most 32"),
        ("symbol,tick\nA B,0.01\n", "line 2: symbol", "at most 32 letters"),
        ("symbol,tick,security_id\nAAPL,0.01,a b\n", "line 2: security_id", "at most 32 letters"),
        ("symbol,tick\nAAPL,0.01\nAAPL,0.01\n", "line 3: symbol AAPL", "is already on line 2"),
        ("symbol,tick,security_id\nA,1,US1\nB,1,US1\n", "line 3: security_id US1", "is already on line 2"),
    ],
)
def test_instruments(tmp_path: Path, text: str, where: str, wanted: str) -> None:
    (line, *more) = faults(tmp_path, instruments=text)
    assert line.startswith(f"{tmp_path / 'instruments.csv'}: {where}")
    assert wanted in line
    assert more == []


@pytest.mark.parametrize(
    ("text", "where", "wanted"),
    [
        ("account,symbol\nACC1,AAPL\n", "line 1: columns", "want account, quantity, symbol"),
        ("account,symbol,quantity\nACC1,AAPL,\n", "line 2: quantity", "want a decimal"),
        ("account,symbol,quantity\nACC1,AAPL,lots\n", "line 2: quantity", "want a decimal"),
        ("account,symbol,quantity\nACC1,AAPL,0.000000001\n", "line 2: quantity", "want a decimal"),
        ("account,symbol,quantity\nACC9,AAPL,5\n", "account ACC9", "no session may use it"),
        ("account,symbol,quantity\nACC1,NOPE,5\n", "symbol NOPE", "not in the instruments file"),
        ("account,symbol,quantity,strategy\nACC1,AAPL,5,NOPE\n", "strategy NOPE", "no session may use it"),
    ],
)
def test_positions(tmp_path: Path, text: str, where: str, wanted: str) -> None:
    (line, *more) = faults(tmp_path, positions=text)
    assert line.startswith(f"{tmp_path / 'positions.csv'}: {where}")
    assert wanted in line
    assert more == []


def many_instruments(number: int) -> str:
    return "symbol,tick\n" + "".join(f"S{n},0.01\n" for n in range(number))


def test_more_instruments_than_the_capacity_has_room_for(tmp_path: Path) -> None:
    room = a.CAPACITIES["small"].instruments
    build_state(load_settings(write_config(tmp_path, BASE, LIMITS, many_instruments(room))), run=1)
    (line,) = faults(tmp_path, instruments=many_instruments(room + 1))
    assert "gateway.capacity" in line and "small" in line and "want a larger capacity" in line


def test_more_sessions_than_the_capacity_has_room_for(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        ems = data["sessions"][0]
        data["sessions"] += [{**ems, "id": f"E{n}", "target_comp_id": f"E{n}"} for n in range(15)]

    (line,) = faults(tmp_path, config=change)
    assert "gateway.capacity" in line and "sessions" in line and "want a larger capacity" in line


def test_good_config_loads_exact_numbers(tmp_path: Path) -> None:
    instruments = (
        "symbol,tick,lot,multiplier,currency,previous_close,security_id\n"
        "AAPL,0.00000001,0.1,12.34567891,USD,123.45678901,US0378331005\n"
        "MSFT, 0.05 ,,,,,\n"
    )
    positions = "account,strategy,symbol,quantity\nACC1,MOMO,AAPL,-0.00000003\nACC2,,MSFT,9999999999.99999999\n"
    limits = {
        "firm": {"max_order_notional": "12345678.9012"},
        "account": {"default": {"max_long": 0.1, "max_order_qty": "unlimited"}, "ACC1": {"max_long": "10000000000"}},
        "instrument": {"AAPL": {"collar_bps": 0, "reference_max_age": "0.5s"}},
        "session": {"EMS1": {"max_messages": 7, "message_window": "1.5m"}},
        "account*instrument": {"ACC1*AAPL": {"max_short": "0.00000001"}, "default*MSFT": {"duplicate_window": "250ms"}},
        "firm*instrument": {"*AAPL": {"max_long": 3}},
    }
    settings = load_settings(write_config(tmp_path, BASE, limits, instruments, positions))
    first, second = settings.instruments
    assert (first.tick_e8, first.lot_e8, first.multiplier_e8) == (1, 10_000_000, 1_234_567_891)
    assert (first.previous_close_e8, first.currency, first.security_id) == (12_345_678_901, "USD", "US0378331005")
    assert (second.tick_e8, second.lot_e8, second.multiplier_e8, second.previous_close_e8) == (5_000_000, E8, E8, 0)
    assert [(p.account, p.strategy, p.symbol, p.quantity_e8) for p in settings.positions] == [
        ("ACC1", "MOMO", "AAPL", -3),
        ("ACC2", "", "MSFT", 999_999_999_999_999_999),
    ]
    assert settings.limits == {
        (a.FIRM, "", ""): {a.MAX_ORDER_NOTIONAL: 123_456_789_012},
        (a.ACCOUNT, "default", ""): {a.MAX_LONG: 10_000_000, a.MAX_ORDER_QTY: a.UNLIMITED},
        (a.ACCOUNT, "ACC1", ""): {a.MAX_LONG: 10**10 * E8},
        (a.INSTRUMENT, "AAPL", ""): {a.COLLAR_BPS: 0, a.REFERENCE_MAX_AGE: SECOND_NS // 2},
        (a.SESSION, "EMS1", ""): {a.MAX_MESSAGES: 7, a.MESSAGE_WINDOW: 90 * SECOND_NS},
        (a.ACCOUNT, "ACC1", "AAPL"): {a.MAX_SHORT: 1},
        (a.ACCOUNT, "default", "MSFT"): {a.DUPLICATE_WINDOW: SECOND_NS // 4},
        (a.FIRM, "", "AAPL"): {a.MAX_LONG: 3 * E8},
    }
    assert settings.config.sessions[0].max_poss_dup_age == 10 * SECOND_NS


def test_state_of_a_good_config(tmp_path: Path) -> None:
    positions = "account,strategy,symbol,quantity\nACC1,MOMO,AAPL,-5.5\nACC2,,AAPL,2\nACC1,,AAPL,1\n"
    limits: dict[str, Any] = {"account": {"default": {"max_long": 7}, "ACC1": {"max_short": 9}}}
    state = build_state(load_settings(write_config(tmp_path, BASE, limits, INSTRUMENTS, positions)), run=3)
    position = {}
    for row in state.record.exposures[: state.record.exposure_count]:
        position[int(row.entity)] = int(row.position_e8)
    wanted = {(a.FIRM, ""): -2.5, (a.ACCOUNT, "ACC1"): -4.5, (a.ACCOUNT, "ACC2"): 2, (a.STRATEGY, "MOMO"): -5.5}
    wanted |= {(a.INSTRUMENT, "AAPL"): -2.5, (a.CLASS, "TREND"): -5.5}
    assert position == {state.entities[key]: int(value * E8) for key, value in wanted.items()}
    limit = state.record.entities[state.entities[a.ACCOUNT, "ACC1"]].limit
    assert (limit[a.MAX_LONG], limit[a.MAX_SHORT], limit[a.MAX_ORDER_QTY]) == (7 * E8, 9 * E8, a.UNSET)
    assert state.record.run == 3


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        *[("1ms", 10**6), ("1.5ms", 1_500_000), ("0s", 0), ("10s", 10**10), ("2m", 120 * 10**9), ("1h", 3600 * 10**9)],
        ("2d", 48 * 3600 * 10**9),
    ],
)
def test_durations(tmp_path: Path, text: str, ns: int) -> None:
    config: dict[str, Any] = copy.deepcopy(BASE)
    config["sessions"][0]["max_poss_dup_age"] = text
    settings = load_settings(write_config(tmp_path, config, LIMITS, INSTRUMENTS))
    assert settings.config.sessions[0].max_poss_dup_age == ns


def test_rate_date_without_quotes(tmp_path: Path) -> None:
    path = write_config(tmp_path, BASE, LIMITS, IN_EURO)
    path.write_text(path.read_text() + "rates:\n  EUR: {rate: 1.1, date: 2026-07-10}\n")
    settings = load_settings(path)
    assert str(settings.config.rates["EUR"].date) == "2026-07-10"
    assert missing_limits(settings) == []


def test_an_instrument_whose_currency_has_no_rate_is_blocked(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path, BASE, LIMITS, IN_EURO))
    assert missing_limits(settings) == [("instrument FESX", "rates.EUR")]


def test_settings_that_a_gateway_has_run_with_are_read_back_whatever_is_idle_in_them(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path, BASE, LIMITS, INSTRUMENTS))
    rates = "rates:\n  EUR: {rate: 1.1, date: 2026-07-10}\n"
    settings.sources[str(settings.path)] += rates
    assert list(restore_settings(settings.to_json()).config.rates) == ["EUR"]


def test_a_fault_between_keys_does_not_show_all_of_their_section(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    between = faults(tmp_path, config=put("routing.default", "XLON"))
    assert between == [f"{path}: routing.default: want the id of an initiator session, got XLON"]
    of_session = faults(tmp_path, config=put("sessions.0.defaults", {"account": "ACC9"}))
    assert of_session == [f"{path}: sessions.0: default account ACC9 is not in the session's list"]


def test_a_key_that_is_given_twice_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("log: {}\nlimits: a\nlimits: b\n")
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    assert str(error.value) == f"{path}: is not YAML: key 'limits' is given twice at line 3, column 1"


def test_paths_are_told_as_people_look_for_them(tmp_path: Path) -> None:
    """Of a folder that is a link, what is beside it is beside what it leads to."""
    (tmp_path / "elsewhere" / "config").mkdir(parents=True)
    (tmp_path / "config").symlink_to("elsewhere/config")
    config = BASE | {"gateway": {**BASE["gateway"], "state_dir": "../var"}}
    write_config(tmp_path / "config", config, LIMITS, INSTRUMENTS)
    settings = load_settings(tmp_path / "config" / "gateway.yaml")
    assert settings.config.gateway.state_dir == tmp_path / "elsewhere" / "var"


@pytest.mark.parametrize(
    ("sync", "sync_ns"),
    [("10ms", 10**7), ("1m", 60 * SECOND_NS), ("none", NO_SYNC), ("before_send", SYNC_BEFORE_SEND)],
)
def test_how_often_the_journal_is_synced(tmp_path: Path, sync: str, sync_ns: int) -> None:
    config = {**BASE, "journal": {"sync": sync}}
    assert load_settings(write_config(tmp_path, config, LIMITS, INSTRUMENTS)).config.journal.sync_ns == sync_ns


def test_defaults_of_journal_and_day(tmp_path: Path) -> None:
    config = load_settings(write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)).config
    journal = config.journal
    assert (journal.sync_ns, journal.segment, journal.snapshot_every) == (10**7, 64, 4)
    assert journal.keep == 7 * 24 * 3600 * SECOND_NS
    assert config.day is None
    with_day = {**BASE, "day": {"zone": "America/New_York", "end": "17:30"}}
    day = load_settings(write_config(tmp_path, with_day, LIMITS, INSTRUMENTS)).config.day
    assert day is not None
    assert (day.zone, day.end, day.positions) == ("America/New_York", time(17, 30), "keep")


def test_settings_are_restored_without_the_files(tmp_path: Path) -> None:
    positions = "account,strategy,symbol,quantity\nACC1,MOMO,AAPL,-5.5\n"
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS, positions)
    names = ("gateway.yaml", "instruments.csv", "limits.yaml", "positions.csv")
    texts = {str(tmp_path / name): (tmp_path / name).read_text() for name in names}
    settings = load_settings(path)
    assert settings.path == path
    assert settings.sources == texts
    for name in texts:
        Path(name).unlink()
    assert restore_settings(settings.to_json()) == settings


def test_restored_settings_are_checked_again(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path, BASE, LIMITS, INSTRUMENTS))
    limits = str(tmp_path / "limits.yaml")
    foreign = replace(settings, sources={**settings.sources, limits: "account: {ACC9: {max_long: 5}}"})
    with pytest.raises(ConfigError, match="account.ACC9: no account of that name"):
        restore_settings(foreign.to_json())
    lost = replace(settings, sources={key: text for key, text in settings.sources.items() if key != limits})
    with pytest.raises(ConfigError, match=r"limits\.yaml: is not among the files"):
        restore_settings(lost.to_json())


def test_a_journal_keeps_the_engine_that_the_text_left_to_the_release(tmp_path: Path) -> None:
    """QuickFIX where the journal does not say: it was the default when that was written."""
    config = BASE | {"gateway": {key: value for key, value in BASE["gateway"].items() if key != "engine"}}
    settings = load_settings(write_config(tmp_path, config, LIMITS, INSTRUMENTS))
    kept = json.loads(settings.to_json())
    assert kept["engine"] == settings.config.gateway.engine
    told = restore_settings(json.dumps(kept | {"engine": "native"}).encode())
    assert told.config.gateway.engine == "native"
    del kept["engine"]
    assert restore_settings(json.dumps(kept).encode()).config.gateway.engine == "quickfix"
