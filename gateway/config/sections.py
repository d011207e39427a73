"""The main config file as models: a section each, with what its keys may say. A wrong value is a ValueError."""

from __future__ import annotations

import ipaddress
import re
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.core import layout as a

UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 24 * 3600 * 10**9}
NAME = re.compile(r"[A-Za-z0-9_.:/+-]{1,32}")
SYNC_WORDS = {"none": 0, "before_send": -1}  # as NO_SYNC and SYNC_BEFORE_SEND of gateway.journal.writer


def parse_duration_ns(value: object) -> int:
    """Nanoseconds of a duration written as a number and ms, s, m, h or d."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", str(value).strip())
    duration = int(Decimal(match[1]) * UNITS_NS[match[2]]) if match else a.UNLIMITED
    if duration >= a.UNLIMITED:
        raise ValueError("want a duration such as 250ms, 5s or 1m")
    return duration


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


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _week_time(value: object) -> tuple[int | None, time]:
    match = re.fullmatch(rf"(?:({'|'.join(WEEKDAYS)}) )?(([01]\d|2[0-3]):[0-5]\d)", str(value))
    if match is None:
        raise ValueError('want a local time of day such as "17:30", or with its day such as "sun 17:30", in quotes')
    return (None if match[1] is None else WEEKDAYS.index(match[1])), time.fromisoformat(match[2])


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
    engine: Literal["native", "quickfix"] = Field(default="native", description="what carries the FIX sessions")
    state_dir: Path
    capacity: Literal["small", "standard", "large"] = "standard"
    currency: Name = "USD"
    busy_poll: bool = Field(default=False, description="the order thread never sleeps: a processor is its own")
    cpu: int | None = Field(default=None, ge=0, description="the processor that the order thread keeps to")


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


class ScheduleSection(Model):
    """`schedule:` of a session: it is logged on from `start` to `end`, each day ("07:00", "17:30") or each week ("sun
    17:00", "fri 17:00"). With the same start and end it is interrupted for a moment.
    """

    zone: Annotated[str, BeforeValidator(_zone)]
    start: Annotated[tuple[int | None, time], BeforeValidator(_week_time)]
    end: Annotated[tuple[int | None, time], BeforeValidator(_week_time)]
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(
        default=[], description="days on which a daily session starts; empty: every day"
    )
    reset: bool = Field(default=True, description="MsgSeqNums begin with 1 at each start")

    @model_validator(mode="after")
    def _consistent(self) -> ScheduleSection:
        if (self.start[0] is None) != (self.end[0] is None):
            raise ValueError("`start` and `end` must both name a day of the week, or neither")
        if self.start[0] is not None and self.days:
            raise ValueError("`days` is for daily sessions: `start` names a day already")
        return self


class SessionSection(Model):
    """One of `sessions:`. An acceptor serves an EMS, an initiator connects to a venue."""

    id: Name
    role: Literal["acceptor", "initiator"]
    begin_string: Literal["FIX.4.2", "FIX.4.4", "FIXT.1.1"] = Field(description="FIXT.1.1: with FIX 5.0 SP2")
    sender_comp_id: Name
    target_comp_id: Name
    listen: HostPort | None = None
    connect: HostPort | None = None
    backup: list[HostPort] = Field(default=[], description="other addresses of the venue, tried in turn")
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
    max_latency: Duration | None = Field(
        default=None,
        description="how far SendingTime(52) may be from our clock before a message is refused, fills and cancels "
        "never; 0s: not looked at. Of an EMS 120s, of a venue 0s unless given",
    )
    schedule: ScheduleSection | None = None
    market_data: bool = False
    mass_status: bool = Field(default=False, description="the venue answers OrderMassStatusRequest(AF), FIX 4.4")
    order_status: bool = Field(default=True, description="the venue answers OrderStatusRequest(H)")
    status_requests: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="OrderStatusRequests(H) that may wait for an answer of the venue at one time",
    )
    mass_cancel: bool = Field(default=False, description="the venue answers OrderMassCancelRequest(q), FIX 4.4")
    replace_qty: Literal["total", "open"] = Field(
        default="total",
        description="what OrderQty(38) of a replace means at the venue: the total, as in FIX, or what shall be open",
    )
    cancel_rate: int | None = Field(
        default=None, ge=1, le=1_000_000, description="cancels a second that the gateway itself sends"
    )
    market_as_limit: bool = Field(
        default=False,
        description="a market or stop order that would pay more than the collar allows goes out as a limit order at "
        "the collar; else it is refused",
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
        of_venues = ("market_data", "mass_status", "mass_cancel", "cancel_rate", "dont_know", "market_as_limit")
        wrong = [key for key in of_venues if getattr(self, key)] if self.role == "acceptor" else []
        if self.role == "acceptor" and "status_requests" in self.model_fields_set:
            wrong = ["status_requests"]
        if self.role == "acceptor" and self.replace_qty != "total":
            wrong = ["replace_qty"]
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
        if self.backup and acceptor:
            raise ValueError("`backup` is for initiators")

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
    memory: Path = Field(default=Path("/dev/shm"), description="where the files in use are kept in memory: a tmpfs")
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
    keep_executions: int = Field(
        default=3,
        ge=0,
        le=30,
        description="days for which executions of finished orders are kept, so that their busts and corrections count",
    )

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
    adjust_people: Literal[1, 2] = Field(default=1, description="how many people it takes to adjust a position")


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
    classes: dict[Name, list[Name]] = Field(default={}, description="strategies by the class that they are in")
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
        strategies = [name for names in self.classes.values() for name in names]
        for name in {name for name in strategies if strategies.count(name) > 1}:
            raise ValueError(f"classes: strategy {name} is named twice")
        venues = {s.id for s in self.sessions if s.role == "initiator"}
        for where, venue in {"default": self.routing.default, **self.routing.instruments}.items():
            if venue is not None and venue not in venues:
                raise ValueError(f"routing.{where}: want the id of an initiator session, got {venue}")
        if self.gateway.engine == "quickfix":
            for session in self.sessions:
                for key in ("schedule", "backup", "max_latency"):
                    if key in session.model_fields_set:
                        raise ValueError(f"sessions.{session.id}: {key}: want gateway.engine native")
            if self.gateway.busy_poll:
                raise ValueError("gateway.busy_poll: want gateway.engine native")
        peers = [(s.begin_string, s.sender_comp_id, s.target_comp_id) for s in self.sessions]
        if len(set(peers)) < len(peers):
            raise ValueError("sessions: two have the same begin_string, sender_comp_id and target_comp_id")
        return self
