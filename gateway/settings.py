"""The config files, read and validated: every error is one line with file, key and the value wanted."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.core import layout as a
from gateway.core.catalogue import LIMITS, PER_INSTRUMENT_SCOPES, Limit
from gateway.fix.values import E8, MAX_WHOLE

UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 24 * 3600 * 10**9}
NAME = re.compile(r"[A-Za-z0-9_.:/+-]{1,32}")
SYNC_WORDS = {"none": 0, "before_send": -1}  # as NO_SYNC and SYNC_BEFORE_SEND of gateway.journal.writer

EXACT = Context(prec=60, traps=[InvalidOperation, Overflow, Inexact])

Read = Callable[[Path], str]
"""Gives the text of a config file; raises ConfigError."""


class ConfigError(Exception):
    """A config file cannot be used; the message is one line a fault, each with file, key and the value wanted."""


def parse_duration_ns(value: object) -> int:
    """Nanoseconds of a duration written as a number and ms, s, m, h or d."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", str(value).strip())
    duration = int(Decimal(match[1]) * UNITS_NS[match[2]]) if match else a.UNLIMITED
    if duration >= a.UNLIMITED:
        raise ValueError("want a duration such as 250ms, 5s or 1m")
    return duration


def parse_fixed(value: object, scale: int, what: str) -> int:
    """An exact fixed-point integer of `value` in units of 1/scale; refuses what would be rounded."""
    try:
        number = EXACT.multiply(EXACT.create_decimal(str(value)), Decimal(scale))
    except (InvalidOperation, Overflow, Inexact):
        raise ValueError(f"want {what}") from None
    if isinstance(value, bool) or not number.is_finite() or number != int(number) or abs(number) > MAX_WHOLE * E8:
        raise ValueError(f"want {what}")
    return int(number)


def _tag_or_party(value: object) -> int:
    match = re.fullmatch(r"party:(\d{1,3})", str(value))
    if match:
        return a.PARTY_ROLE + int(match[1])
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10_000:
        return value
    raise ValueError("want a FIX tag below 10000, or party:ROLE for a PartyRole(452)")


def _host_port(value: object) -> str:
    if not re.fullmatch(r"[^:\s]+:\d{1,5}", str(value)) or not 0 < int(str(value).rpartition(":")[2]) < 65_536:
        raise ValueError("want host:port")
    return str(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or value == "default":
        raise ValueError("want a name of at most 32 letters, digits and _ . : / + -, and not `default`")
    return value


def _sync_ns(value: object) -> int:
    if isinstance(value, str) and value in SYNC_WORDS:
        return SYNC_WORDS[value]
    try:
        duration = parse_duration_ns(value)
    except ValueError:
        duration = 0
    if not 10**6 <= duration <= 60 * 10**9:
        raise ValueError("want none, before_send or a duration of 1ms to 1m")
    return duration


def _zone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ValueError, KeyError, OSError):
        raise ValueError("want an IANA time zone such as America/New_York") from None


def _local_time(value: object) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('want a local time of day such as "17:30", in quotes')
    return time.fromisoformat(value)


def _silence_ns(value: object) -> int | None:
    if value == "none":
        return None
    duration = parse_duration_ns(value)
    if duration < 10**8:
        raise ValueError("want none or a duration of at least 100ms")
    return duration


def _network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        raise ValueError("want an address or a network such as 10.1.0.0/16") from None


Duration = Annotated[int, BeforeValidator(parse_duration_ns)]
Silence = Annotated[int | None, BeforeValidator(_silence_ns)]
Network = Annotated[str, BeforeValidator(_network)]
IdentityTag = Annotated[int, BeforeValidator(_tag_or_party)]
HostPort = Annotated[str, BeforeValidator(_host_port)]
Name = Annotated[str, BeforeValidator(_name)]
Tag = Annotated[int, Field(gt=0, lt=10_000)]


class Model(BaseModel):
    """Base of all config sections: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewaySection(Model):
    """`gateway:` the process itself."""

    name: Name
    engine: Literal["quickfix"] = "quickfix"
    state_dir: Path
    capacity: Literal["small", "standard", "large"] = "standard"
    currency: Name = "USD"


class IdentitySection(Model):
    """`identity:` which FIX tag names what."""

    desk: IdentityTag | None = None
    account: IdentityTag = 1
    strategy: IdentityTag | None = None
    trader: IdentityTag | None = None
    flow: IdentityTag | None = None


class Defaults(Model):
    """Entities of messages that name none."""

    desk: Name | None = None
    account: Name | None = None
    strategy: Name | None = None
    trader: Name | None = None
    flow: Name | None = None


class TlsSection(Model):
    """`tls:` of a session. An acceptor needs `certificate` and `key`, and with `ca` it asks the peer for one signed by
    it; an initiator needs `ca` and a host name in `connect`, and shows `certificate` where the venue asks for one. PEM
    files. Sessions that listen on one address agree on it.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TlsSection:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        return self


class CredentialsSection(Model):
    """`credentials:` Username(553) and Password(554) of a Logon. Of an acceptor the hash that `tidegate hash-password`
    prints, of an initiator a file that holds the password and is its owner's only.
    """

    username: str = Field(min_length=1, max_length=64, pattern=r"[ -~]+")
    password_hash: str | None = None
    password_file: Path | None = None


class SessionSection(Model):
    """One of `sessions:`. An acceptor serves an EMS, an initiator connects to a venue."""

    id: Name
    role: Literal["acceptor", "initiator"]
    begin_string: Literal["FIX.4.2", "FIX.4.4"]
    sender_comp_id: Name
    target_comp_id: Name
    listen: HostPort | None = None
    connect: HostPort | None = None
    heartbeat: int = Field(default=30, ge=1, le=3600)
    reconnect: int = Field(default=5, ge=1, le=3600)
    reset_on_logon: bool = False
    desks: list[Name] = []
    accounts: list[Name] = []
    strategies: list[Name] = []
    traders: list[Name] = []
    flows: list[Name] = []
    defaults: Defaults = Defaults()
    max_poss_dup_age: Duration = Field(default=10 * 10**9, validate_default=False)
    market_data: bool = False
    mass_status: bool = Field(default=False, description="the venue answers OrderMassStatusRequest(AF), FIX 4.4")
    order_status: bool = Field(default=True, description="the venue answers OrderStatusRequest(H)")
    mass_cancel: bool = Field(default=False, description="the venue answers OrderMassCancelRequest(q), FIX 4.4")
    cancel_rate: int | None = Field(
        default=None, ge=1, le=1_000_000, description="cancels a second that the gateway sends of its own accord"
    )
    dont_know: bool = Field(default=False, description="an unknown fill is booked and answered with DontKnowTrade(Q)")
    on_disconnect: Literal["leave", "cancel"] = Field(
        default="leave", description="what becomes of an EMS's orders when it is gone; GTC and GTD stay"
    )
    tls: TlsSection | None = None
    credentials: CredentialsSection | None = None
    allow: list[Network] = Field(default=[], description="where an EMS may connect from; empty: from anywhere")

    @model_validator(mode="after")
    def _consistent(self) -> SessionSection:
        if self.role == "acceptor" and (self.listen is None or self.connect is not None):
            raise ValueError("an acceptor needs `listen: host:port` and no `connect`")
        if self.role == "initiator" and (self.connect is None or self.listen is not None):
            raise ValueError("an initiator needs `connect: host:port` and no `listen`")
        if self.role == "acceptor" and not self.accounts:
            raise ValueError("`accounts` must list what the session may trade for")
        self._check_role()
        self._check_security()
        for scope, names in self.allowed().items():
            default = getattr(self.defaults, a.SCOPE_NAMES[scope])
            if default is not None and default not in names:
                raise ValueError(f"default {a.SCOPE_NAMES[scope]} {default} is not in the session's list")
        return self

    def _check_role(self) -> None:
        """What is for the other side would do nothing here, unnoticed."""
        of_venues = ("market_data", "mass_status", "mass_cancel", "cancel_rate", "dont_know")
        wrong = [key for key in of_venues if getattr(self, key)] if self.role == "acceptor" else []
        if self.role == "initiator" and self.on_disconnect != "leave":
            wrong = ["on_disconnect"]
        if wrong:
            raise ValueError(f"`{wrong[0]}` is not for an {self.role}")
        if self.begin_string == "FIX.4.2" and (self.mass_cancel or self.mass_status):
            raise ValueError("`mass_cancel` and `mass_status` are for FIX.4.4: FIX 4.2 has no such messages")

    def _check_security(self) -> None:
        acceptor = self.role == "acceptor"
        if self.tls is not None and (self.tls.certificate if acceptor else self.tls.ca) is None:
            raise ValueError(f"tls: an {self.role} needs {'`certificate` and `key`' if acceptor else '`ca`'}")
        if self.credentials is not None:
            key = "password_hash" if acceptor else "password_file"
            given = self.credentials.model_dump(exclude={"username"}, exclude_none=True)
            if set(given) != {key}:
                raise ValueError(f"credentials: an {self.role} needs `{key}`, and no other")
        if self.allow and not acceptor:
            raise ValueError("`allow` is for acceptors")

    def allowed(self) -> dict[int, list[str]]:
        """Names that the session may use, by scope."""
        return dict(
            zip(
                a.IDENTITY_SCOPES,
                (self.desks, self.accounts, self.strategies, self.traders, self.flows),
                strict=True,
            )
        )


class RoutingSection(Model):
    """`routing:` the venue of an instrument where the order names none."""

    default: Name | None = None
    instruments: dict[Name, Name] = {}


class CarrySection(Model):
    """`carry:` tags copied beside the standard ones, from orders to children and from reports to reports."""

    orders: list[Tag] = []
    reports: list[Tag] = []


class CurrencyRate(Model):
    """One of `rates:` money of the firm's currency for one of another."""

    rate: Decimal = Field(gt=0)
    date: date


class JournalSection(Model):
    """`journal:` of every event and decision, in the state folder."""

    sync_ns: Annotated[int, BeforeValidator(_sync_ns)] = Field(
        default=10 * 10**6, alias="sync", description="how often it is synced to disk; 0 never, -1 before every send"
    )
    segment: int = Field(default=64, ge=1, le=64, description="size of a file of it in MiB")
    keep: Duration = Field(default=7 * UNITS_NS["d"], description="how long segments stay that no recovery needs")
    snapshot_every: int = Field(default=4, ge=1, description="sealed segments between two snapshots")


class DaySection(Model):
    """`day:` when a trading day begins and ends, and what becomes of positions then."""

    zone: Annotated[str, BeforeValidator(_zone)]
    start: Annotated[time, BeforeValidator(_local_time)] | None = Field(
        default=None, description="no order is taken between `end` and `start`; without it they are at all times"
    )
    end: Annotated[time, BeforeValidator(_local_time)]
    positions: Literal["keep", "reset"] = "keep"

    @model_validator(mode="after")
    def _consistent(self) -> DaySection:
        if self.start == self.end:
            raise ValueError("`start` and `end` must differ")
        return self


class ControlSection(Model):
    """`control:` who may steer the gateway by its control socket, and release a kill switch."""

    group: str | None = Field(default=None, description="a group of users who may, besides the gateway's own user")
    rearm_people: Literal[1, 2] = Field(default=1, description="how many people it takes to release a switch")
    rearm_within: Duration = Field(
        default=10 * UNITS_NS["m"],
        ge=10 * UNITS_NS["s"],
        le=24 * UNITS_NS["h"],
        description="time in which the second one must confirm",
    )


class MetricsSection(Model):
    """`metrics:` where Prometheus finds /metrics, /live and /ready."""

    listen: HostPort


class LogSection(Model):
    """`log:` what is logged besides events of the gateway itself."""

    decisions: bool = Field(default=True, description="a line for each order, replace and cancel")


class SourceSection(Model):
    """One publisher of parameters or quotes: a file in shared memory (docs/parameters.md has its layout)."""

    id: Name
    file: Path
    max_silence: Silence = Field(
        default=400 * UNITS_NS["ms"],
        validate_default=False,
        description="a publisher that is silent for longer is taken for dead; none: one that pushes by hand",
    )


class ParametersSection(Model):
    """`parameters:` limits that processes push within those that people set."""

    sources: list[SourceSection] = Field(default=[], max_length=a.SOURCES)
    loosen: int = Field(default=10, ge=0, le=100, description="percent of its ceiling that a limit loosens by a minute")
    floor: int = Field(default=10, ge=0, le=100, description="percent of its ceiling below which no limit is pushed")


class Config(Model):
    """The main config file."""

    gateway: GatewaySection
    identity: IdentitySection = IdentitySection()
    sessions: list[SessionSection] = Field(min_length=2)
    instruments: Path
    limits: Path
    positions: Path | None = None
    routing: RoutingSection = RoutingSection()
    carry: CarrySection = CarrySection()
    rates: dict[Name, CurrencyRate] = {}
    journal: JournalSection = JournalSection()
    day: DaySection | None = Field(default=None, description="without it trading days do not end")
    control: ControlSection = ControlSection()
    metrics: MetricsSection | None = None
    log: LogSection = LogSection()
    parameters: ParametersSection = ParametersSection()
    quotes: list[SourceSection] = []

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        ids = [s.id for s in self.sessions]
        for name in {i for i in ids if ids.count(i) > 1}:
            raise ValueError(f"sessions: id {name} is used twice")
        sources = [source.id for source in (*self.parameters.sources, *self.quotes)]
        for name in {i for i in sources if sources.count(i) > 1}:
            raise ValueError(f"parameters.sources, quotes: id {name} is used twice")
        venues = {s.id for s in self.sessions if s.role == "initiator"}
        for where, venue in {"default": self.routing.default, **self.routing.instruments}.items():
            if venue is not None and venue not in venues:
                raise ValueError(f"routing.{where}: want the id of an initiator session, got {venue}")
        peers = [(s.begin_string, s.sender_comp_id, s.target_comp_id) for s in self.sessions]
        if len(set(peers)) < len(peers):
            raise ValueError("sessions: two have the same begin_string, sender_comp_id and target_comp_id")
        return self


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


@dataclass(frozen=True)
class Position:
    """One row of the opening positions file: signed quantity of an account (and strategy) in an instrument."""

    account: str
    strategy: str
    symbol: str
    quantity_e8: int


LimitTable = dict[tuple[int, str, str], dict[int, int]]
"""Limits by (scope, name, symbol of a pair or ""); name "default" stands for every entity of the scope."""


@dataclass(frozen=True)
class Settings:
    """Everything a gateway is made of. `sources` has the text of each file that was read, by its path as opened;
    `path` is the main one.
    """

    config: Config
    instruments: list[Instrument]
    limits: LimitTable
    positions: list[Position]
    path: Path
    sources: dict[str, str]

    def to_json(self) -> bytes:
        """The settings as a journal carries them: the path of the main file and the text of every file."""
        return json.dumps({"path": str(self.path), "sources": self.sources}).encode()


def load_settings(path: Path) -> Settings:
    """Read the main config and the files it names (paths are relative to it); raises ConfigError."""
    return _parse(path, _read_text)


def restore_settings(data: bytes) -> Settings:
    """The settings that `Settings.to_json` gave, parsed and checked anew; no file is opened. Raises ConfigError."""
    kept = json.loads(data)
    sources = kept["sources"]

    def read(path: Path) -> str:
        if str(path) not in sources:
            raise ConfigError(f"{path}: is not among the files that the journal carries")
        return str(sources[str(path)])

    return _parse(Path(kept["path"]), read)


def _parse(path: Path, read: Read) -> Settings:
    sources: dict[str, str] = {}

    def read_once(file: Path) -> str:
        if str(file) not in sources:
            sources[str(file)] = read(file)
        return sources[str(file)]

    config = _validated(path, _parse_yaml(path, read_once))
    folder = path.parent
    config = _with_paths(config, folder)
    instruments = _parse_instruments(folder / config.instruments, read_once)
    limits = _parse_limits(folder / config.limits, read_once)
    positions = _parse_positions(folder / config.positions, read_once) if config.positions else []
    settings = Settings(config, instruments, limits, positions, path, sources)
    _cross_check(path, folder, settings)
    return settings


def _with_paths(config: Config, folder: Path) -> Config:
    """The config with the paths of what the gateway opens itself; they are relative to the main file's folder."""

    def below(section: Any, *keys: str) -> Any:
        paths = {key: folder / path for key in keys if (path := getattr(section, key)) is not None}
        return section.model_copy(update=paths)

    sessions = []
    for session in config.sessions:
        update = {}
        if session.tls is not None:
            update["tls"] = below(session.tls, "certificate", "key", "ca")
        if session.credentials is not None:
            update["credentials"] = below(session.credentials, "password_file")
        sessions.append(session.model_copy(update=update))
    parameters = config.parameters
    sources = [below(source, "file") for source in parameters.sources]
    return config.model_copy(
        update={
            "gateway": below(config.gateway, "state_dir"),
            "sessions": sessions,
            "parameters": parameters.model_copy(update={"sources": sources}),
            "quotes": [below(source, "file") for source in config.quotes],
        }
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error: of two blocks of limits one would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def _parse_yaml(path: Path, read: Read) -> Any:
    try:
        return yaml.load(read(path), _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None


def _validated(path: Path, data: Any) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
            got = "" if fault["type"] in ("missing", "extra_forbidden") else f", got {fault['input']!r:.80}"
            wanted = {"missing": "is missing", "extra_forbidden": "is not a known key"}.get(fault["type"], fault["msg"])
            lines.append(f"{path}: {key}: {wanted.removeprefix('Value error, ')}{got}")
        raise ConfigError("\n".join(lines)) from None


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


def _parse_instruments(path: Path, read: Read) -> list[Instrument]:
    optional = {"security_id", "lot", "multiplier", "currency", "previous_close"}
    instruments = []
    seen: dict[str, int] = {}
    for line, row in _rows(path, read, {"symbol", "tick"}, optional):
        for key in ("symbol", "security_id"):
            if row.get(key) and not NAME.fullmatch(row[key]):
                raise ConfigError(f"{path}: line {line}: {key}: want at most 32 letters, digits and _ . : / + -")
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
            )
        )
    return instruments


def _parse_positions(path: Path, read: Read) -> list[Position]:
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


def _parse_limits(path: Path, read: Read) -> LimitTable:
    data = _parse_yaml(path, read)
    by_key = {limit.key: limit for limit in LIMITS}
    pair_scopes = {f"{a.SCOPE_NAMES[k]}*instrument": k for k in PER_INSTRUMENT_SCOPES if k != a.INSTRUMENT}
    table: LimitTable = {}
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
                        row[limit.index] = _limit_value(limit, value)
                    except ValueError as error:
                        faults.append(f"{path}: {where}.{key}: {error}, got {value!r}")
    if faults:
        raise ConfigError("\n".join(faults))
    return table


def _mapping(path: Path, where: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {where}: want a mapping of keys to values, got {value!r:.80}")
    return value


def _cross_check(path: Path, folder: Path, settings: Settings) -> None:
    """Names in one file that another must know."""
    config = settings.config
    symbols = {i.symbol for i in settings.instruments}
    faults = [
        f"{path}: routing.instruments.{symbol}: is not in the instruments file"
        for symbol in config.routing.instruments
        if symbol not in symbols
    ]
    known = known_entities(settings)
    for scope, name, symbol in settings.limits:
        where = f"{folder / config.limits}: {a.SCOPE_NAMES[scope]}{'*instrument' if symbol else ''}"
        if name not in ("default", "") and (scope, name) not in known:
            faults.append(f"{where}.{name}: no {a.SCOPE_NAMES[scope]} of that name in {path}")
        if symbol and symbol not in symbols:
            faults.append(f"{where}.{name}*{symbol}: {symbol} is not in the instruments file")
    for position in settings.positions:
        if (a.ACCOUNT, position.account) not in known:
            faults.append(f"{folder / (config.positions or '')}: account {position.account}: no session may use it")
        if position.strategy and (a.STRATEGY, position.strategy) not in known:
            faults.append(f"{folder / (config.positions or '')}: strategy {position.strategy}: no session may use it")
        if position.symbol not in symbols:
            faults.append(f"{folder / (config.positions or '')}: symbol {position.symbol}: not in the instruments file")
    if faults:
        raise ConfigError("\n".join(faults))


def known_entities(settings: Settings) -> set[tuple[int, str]]:
    """Every (scope, name) that the config knows: what sessions may use, instruments, sessions and venues."""
    known = {(a.FIRM, "")}
    for session in settings.config.sessions:
        known.add((a.VENUE if session.role == "initiator" else a.SESSION, session.id))
        for scope, names in session.allowed().items():
            known.update((scope, name) for name in names)
    known.update((a.INSTRUMENT, i.symbol) for i in settings.instruments)
    return known
