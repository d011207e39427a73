"""The files of instruments, positions and limits, and what all config files share: YAML, exact numbers, errors."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from pathlib import Path
from typing import Any

import yaml

from gateway.config.sections import NAME, parse_duration_ns
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS, PER_INSTRUMENT_SCOPES, Limit
from gateway.fix.layout import E8, MAX_WHOLE

EXACT = Context(prec=60, traps=[InvalidOperation, Overflow, Inexact])

Read = Callable[[Path], str]
"""Gives the text of a config file; raises ConfigError."""


class ConfigError(Exception):
    """A config file cannot be used; the message is one line a fault, each with file, key and the value wanted."""


def parse_fixed(value: object, scale: int, what: str) -> int:
    """An exact fixed-point integer of `value` in units of 1/scale; refuses what would be rounded, or is too large."""
    try:
        number = EXACT.multiply(EXACT.create_decimal(str(value)), Decimal(scale))
    except (InvalidOperation, Overflow, Inexact):
        raise ValueError(f"want {what}") from None
    if isinstance(value, bool) or not number.is_finite() or number != int(number):
        raise ValueError(f"want {what}")
    if abs(number) > MAX_WHOLE * E8:
        raise ValueError(f"is too large, want at most {MAX_WHOLE * E8 // scale:,}")
    return int(number)


@dataclass(frozen=True)
class Instrument:
    """One row of the instruments file."""

    symbol: str
    security_id: str
    lot_e8: int
    tick_e8: int
    multiplier_e8: int
    currency: str
    previous_close_e8: int
    sector: str = ""
    asset_class: str = ""


@dataclass(frozen=True)
class Position:
    """One row of the opening positions file: signed quantity of an account (and strategy) in an instrument."""

    account: str
    strategy: str
    symbol: str
    quantity_e8: int


LimitTable = dict[tuple[int, str, str], dict[int, int]]
"""Limits by (scope, name, symbol of a pair or ""); name "default" stands for every entity of the scope."""
GradeTable = dict[tuple[int, str, str], dict[tuple[int, int], int]]
"""The values at which limits watch, warn and stop, by the same and by (limit, severity)."""


def read_text(path: Path) -> str:
    """Text of a config file; raises ConfigError."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error: of two blocks of limits one would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.append(key)
        return dict(super().construct_mapping(node, deep))


def parse_yaml(path: Path, read: Read) -> Any:
    """What a YAML file holds; raises ConfigError."""
    try:
        return yaml.load(read(path), _Loader)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            place = f"at line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
            why = f"{', '.join(filter(None, (error.context, error.problem)))} {place}"
        raise ConfigError(f"{path}: is not YAML: {why}") from None


def _rows(path: Path, read: Read, required: set[str], optional: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with their line numbers; the header must hold known columns only."""
    reader = csv.DictReader(io.StringIO(read(path), newline=""))
    try:
        columns = set(reader.fieldnames or ())
        twice = len(columns) < len(reader.fieldnames or ())
        if twice or not required <= columns or not columns <= required | optional:
            want = ", ".join(sorted(required)) + (f" and perhaps {', '.join(sorted(optional))}" if optional else "")
            raise ConfigError(f"{path}: line 1: columns: want {want}, got {', '.join(reader.fieldnames or ())}")
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise ConfigError(f"{path}: line {reader.line_num}: want {len(columns)} values, as in the header")
            rows.append((reader.line_num, {key: value.strip() for key, value in row.items()}))
        return rows
    except csv.Error as error:
        raise ConfigError(f"{path}: line {reader.line_num}: is not CSV: {error}") from None


def _number(path: Path, line: int, row: dict[str, str], key: str, default: str, least: int | None = 1) -> int:
    text = row.get(key) or default
    try:
        value = parse_fixed(text, E8, "a decimal of at most 8 places")
    except ValueError as error:
        raise ConfigError(f"{path}: line {line}: {key}: {error}, got {text!r}") from None
    if least is not None and value < least:
        raise ConfigError(
            f"{path}: line {line}: {key}: want {'more than zero' if least else 'zero or more'}, got {text!r}"
        )
    return value


def parse_instruments(path: Path, read: Read) -> list[Instrument]:
    """Instruments of a CSV file; raises ConfigError."""
    optional = {"security_id", "lot", "multiplier", "currency", "previous_close", "sector", "asset_class"}
    instruments = []
    seen: dict[str, int] = {}
    for line, row in _rows(path, read, {"symbol", "tick"}, optional):
        for key in ("symbol", "security_id", "sector", "asset_class"):
            if row.get(key) and (not NAME.fullmatch(row[key]) or row[key] == "default"):
                wanted = "want at most 32 letters, digits and _ . : / + -, and not `default`"
                raise ConfigError(f"{path}: line {line}: {key}: {wanted}")
        if not row["symbol"]:
            raise ConfigError(f"{path}: line {line}: symbol: is missing")
        for name in {"symbol " + row["symbol"], "security_id " + row.get("security_id", "")}:
            if name in seen and name != "security_id ":
                raise ConfigError(f"{path}: line {line}: {name} is already on line {seen[name]}")
            seen[name] = line
        instruments.append(
            Instrument(
                row["symbol"],
                row.get("security_id", ""),
                _number(path, line, row, "lot", "1"),
                _number(path, line, row, "tick", ""),
                _number(path, line, row, "multiplier", "1"),
                row.get("currency", ""),
                _number(path, line, row, "previous_close", "0", least=0),
                row.get("sector", ""),
                row.get("asset_class", ""),
            )
        )
    return instruments


def parse_positions(path: Path, read: Read) -> list[Position]:
    """Opening positions of a CSV file; raises ConfigError."""
    positions: dict[tuple[str, str, str], Position] = {}
    for line, row in _rows(path, read, {"account", "symbol", "quantity"}, {"strategy"}):
        key = (row["account"], row.get("strategy", ""), row["symbol"])
        if key in positions:
            raise ConfigError(
                f"{path}: line {line}: {' '.join(filter(None, key))}: is given on an earlier line already"
            )
        positions[key] = Position(*key, _number(path, line, row, "quantity", "", least=None))
    return list(positions.values())


def _limit_value(limit: Limit, value: object) -> int:
    if value == "unlimited" and limit.kind != "duration":
        return a.UNLIMITED
    if limit.kind == "duration":
        duration = parse_duration_ns(value)
        if limit.index == a.MESSAGE_WINDOW and not 10**6 <= duration <= 24 * 3600 * 10**9:
            raise ValueError("want a duration of 1ms to 24h")
        return duration
    scale = {"quantity": E8, "money": 10_000, "bps": 1, "count": 1}[limit.kind]
    what = {
        "quantity": "a quantity of at most 8 decimals, or unlimited",
        "money": "an amount of at most 4 decimals, or unlimited",
        "bps": "whole basis points from 0 to 10000, or unlimited",
        "count": "a whole number, or unlimited",
    }[limit.kind]
    number = parse_fixed(value, scale, what)
    if number < 0 or (limit.kind == "bps" and number > 10_000):
        raise ValueError(f"want {what}")
    return number


def _severities(limit: Limit, values: object) -> dict[int, int]:
    """The values of a limit by severity; raises ValueError, with the severity in front where it is about one."""
    if not isinstance(values, dict):
        return {a.REJECT: _limit_value(limit, values)}
    if limit.index == a.MESSAGE_WINDOW:
        raise ValueError("want one duration")
    known = ", ".join(a.SEVERITY_NAMES[severity] for severity in a.RISING)
    found: dict[int, int] = {}
    for name in values:
        if name not in a.SEVERITY_NAMES:
            raise ValueError(f"{name}: is not a known severity, want {known}")
    before = ""
    for severity in a.RISING:
        name = a.SEVERITY_NAMES[severity]
        if name not in values:
            continue
        try:
            found[severity] = _limit_value(limit, values[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        last = found.get(a.SEVERITY_NAMES.index(before)) if before else None
        if last is not None and (found[severity] > last if limit.tighter == "higher" else found[severity] < last):
            raise ValueError(f"{name}: want a value that is no tighter than that of {before}")
        before = name
    if not found:
        raise ValueError(f"want a value, or at least one of {known}")
    if a.STOP in found:
        found.setdefault(a.REJECT, found[a.STOP])
    return found


def parse_limits(path: Path, read: Read) -> tuple[LimitTable, GradeTable]:
    """Limits of a YAML file, and the values at which they do more than refuse; raises ConfigError."""
    data = parse_yaml(path, read)
    by_key = {limit.key: limit for limit in LIMITS}
    pair_scopes = {f"{a.SCOPE_NAMES[k]}*instrument": k for k in PER_INSTRUMENT_SCOPES if k != a.INSTRUMENT}
    table: LimitTable = {}
    grades: GradeTable = {}
    faults = []
    for scope_key, members in _mapping(path, "(top level)", data).items():
        if scope_key not in a.SCOPE_NAMES and scope_key not in pair_scopes:
            wanted = ", ".join([*a.SCOPE_NAMES, *pair_scopes])
            faults.append(f"{path}: {scope_key}: is not a known scope, want one of {wanted}")
            continue
        paired = scope_key in pair_scopes
        scope = pair_scopes[scope_key] if paired else a.SCOPE_NAMES.index(scope_key)
        named = {"": members} if scope == a.FIRM and not paired else _mapping(path, scope_key, members)
        for name, limits in named.items():
            where = f"{scope_key}.{name}" if name else scope_key
            entity, _, symbol = str(name).partition("*") if paired else (str(name), "", "")
            if scope == a.FIRM and paired:
                entity, symbol = "", str(name).removeprefix("*")
            if paired and (not symbol or (scope != a.FIRM and not entity)):
                faults.append(f"{path}: {where}: want NAME*SYMBOL as the key of a pair")
                continue
            row = table.setdefault((scope, entity, symbol), {})
            for key, value in _mapping(path, where, limits).items():
                limit = by_key.get(key)
                if limit is None:
                    faults.append(f"{path}: {where}.{key}: is not a known limit, want one of {', '.join(by_key)}")
                elif scope not in limit.scopes or (
                    paired and key in ("max_open_orders", "max_messages", "message_window")
                ):
                    faults.append(f"{path}: {where}.{key}: cannot stand at scope {scope_key}")
                else:
                    try:
                        found = _severities(limit, value)
                        if a.REJECT in found:
                            row[limit.index] = found.pop(a.REJECT)
                        more = grades.setdefault((scope, entity, symbol), {})
                        more |= {(limit.index, severity): each for severity, each in found.items()}
                    except ValueError as error:
                        faults.append(f"{path}: {where}.{key}: {error}, got {value!r}")
    if faults:
        raise ConfigError("\n".join(faults))
    return table, {key: more for key, more in grades.items() if more}


def _mapping(path: Path, where: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {where}: want a mapping of keys to values, got {value!r:.80}")
    return value
