"""What a running gateway looks like from outside: plain rows made of its state, for commands and screens.

The state may change under the reading (`gateway.state.attach`): rows are copied before they are looked into, and every
link is checked before it is followed. Quantities, prices and money are exact decimals; an infinite one is a limit that
a person has set to unlimited. Times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.sections import Config
from gateway.core import layout as a
from gateway.core.catalogue import CHECKS, LIMITS
from gateway.core.layout import QUICK_CANCELS
from gateway.kill.file import read_switches
from gateway.kill.format import SwitchFault, scope_text
from gateway.state.memory import State
from gateway.state.names import FAULTS, Names
from gateway.state.pulse import CLOSED
from gateway.view.figures import LIMIT_UNITS, Clock, Latency, latency, limit_value, plain
from gateway.view.health import Problem, fault_text, not_resent, silence
from gateway.view.postures import ExitView, PostureView, exits_of, postures_of
from gateway.view.pushed import not_taken, pushed_rows, source_names

VERSIONS = {a.VERSION_42: "FIX.4.2", a.VERSION_44: "FIX.4.4", a.VERSION_50: "FIX.5.0SP2"}


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session. `not_sure`: orders in doubt or not confirmed yet; `recovering`: no new order goes there until then.
    `unknown_working`: reports that an order works there which is not the gateway's, the last at `unknown_working_at`.
    `ignored`, `passed`, `rejected` are messages of an EMS by verdict.
    """

    name: str
    role: str  # EMS or venue
    version: str
    up: bool
    since: datetime | None  # it is up or down, where that is known
    attempts: int  # to connect to a venue that is down, since then
    why: str  # the last of them came to nothing
    recovering: bool
    not_sure: int
    open_orders: int
    unknown_working: int
    unknown_working_at: datetime | None
    ignored: int
    passed: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Switch:
    """A kill switch that is set; not `known`: in advance, of a name that the gateway does not have."""

    where: str
    since: datetime
    known: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A publisher of parameters or quotes, heard or silent since then (None: it was never heard). One that pushes
    `by_hand` may be silent.
    """

    name: str
    up: bool
    by_hand: bool
    since: datetime | None
    pushes: int | None  # None: it publishes quotes


@dataclass(frozen=True, slots=True)
class PushedLimit:
    """A limit that a process pushes. `effective` is in force; `floor` and `ceiling` are its bounds, set by people."""

    key: str
    where: str
    unit: str
    source: str
    floor: Decimal
    ceiling: Decimal
    pushed: Decimal
    effective: Decimal
    held: bool
    epoch: int
    model: int
    pushed_at: datetime
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class NotTakenLimit:
    """A limit that a process has pushed and the gateway does not have, mostly because no person has set one there."""

    key: str
    where: str
    unit: str
    source: str
    pushed: Decimal


@dataclass(frozen=True, slots=True)
class Status:
    """A gateway at one moment. `heartbeat_age_ns` is None where nothing tells it; `silence`: why nothing is proven;
    `problems`: the worst first.
    """

    name: str
    run: int
    pid: int | None
    since: datetime
    heartbeat_age_ns: int | None
    silence: str
    fault: int
    faults: list[str]
    journal_blocked: bool
    market_closed: bool
    days_ended: int
    events: int
    waiting: int
    accepted_orders: int
    refused_orders: int
    open_orders: int
    never_canceled: int  # orders that the gateway has given up to cancel
    contradicted: int  # orders of which part may not have been executed
    unknown_executions: int
    duplicate_messages: int
    latency: Latency
    sessions: list[SessionView]
    switches: list[Switch]
    switch_fault: str  # why the file of the switches cannot be read; empty: it can
    postures: list[PostureView]
    exits: list[ExitView]
    sources: list[Source]
    pushed_limits: list[PushedLimit]
    not_taken: list[NotTakenLimit]
    refusals: dict[str, int]  # by check, the most first
    problems: list[Problem]

    @property
    def live(self) -> bool:
        """Whether the core is alive."""
        return not self.silence

    @property
    def trouble(self) -> list[str]:
        """A line for each thing that needs a person."""
        return [problem.text for problem in self.problems if problem.needs_person]

    @property
    def not_ready(self) -> list[str]:
        """A line for each reason why the gateway does not take every order that it should."""
        return [problem.text for problem in self.problems if problem.blocks]

    @property
    def word(self) -> str:
        """The state in one word: STALE proves nothing, FAULT and KILLED take no order, else LIVE."""
        if not self.live:
            return "STALE"
        if self.fault:
            return "FAULT"
        return "KILLED" if any(switch.where == "firm" for switch in self.switches) else "LIVE"


def status(state: State, pulse: np.record | None, config: Config, since_ns: int, monotonic_ns: int) -> Status:
    """The gateway of a config, whose process started at `since_ns` of the wall clock, as it is now."""
    s, clock = state.record, Clock(state, monotonic_ns)
    fault = int(s.fault)
    counts = np.zeros(1, np.int64) if pulse is None else np.array(pulse.latency_count)
    fired = {check.name: int(count) for check, count in zip(CHECKS, s.check_fired.tolist(), strict=False) if count}
    switches, switch_fault = _switches(state, clock, config.gateway.state_dir)
    heartbeat_ns = 0 if pulse is None else int(pulse.heartbeat_ns)
    parts: dict[str, Any] = {
        "silence": silence(heartbeat_ns, monotonic_ns),
        "fault": fault,
        "journal_blocked": bool(s.journal_blocked),
        "market_closed": bool(s.market_closed),
        "sessions": _sessions(state, clock, pulse),
        "switches": switches,
        "switch_fault": switch_fault,
        "postures": postures_of(state, clock),
        "exits": exits_of(state, clock),
        "sources": _sources(state, clock, config),
        "pushed_limits": _pushed_limits(state, clock),
        "not_taken": _not_taken(state, config, monotonic_ns),
        "never_canceled": _never_canceled(state),
        "contradicted": _contradicted(state),
    }
    return Status(
        name=config.gateway.name,
        run=int(s.run),
        pid=None if pulse is None else int(pulse.pid),
        since=datetime.fromtimestamp(since_ns / 1e9, UTC),
        heartbeat_age_ns=max(monotonic_ns - heartbeat_ns, 0) if heartbeat_ns else None,
        faults=[text for bit, text in FAULTS.items() if fault & bit],
        days_ended=int(s.days),
        events=int(s.events),
        waiting=0 if pulse is None else int(pulse.waiting),
        accepted_orders=int(s.accepted_orders),
        refused_orders=int(s.refused_orders),
        open_orders=int(s.open_order_count),
        unknown_executions=int(s.unknown_executions),
        duplicate_messages=int(s.duplicate_messages),
        latency=latency(counts),
        refusals=dict(sorted(fired.items(), key=lambda item: -item[1])),
        problems=_problems(parts),
        **parts,
    )


def not_proven(state: State, pulse: np.record | None, monotonic_ns: int) -> str:
    """Why what the state shows proves nothing; empty: it does. To be asked after it has been read."""
    s = state.record
    fault = int(s.fault)
    if why := silence(0 if pulse is None else int(pulse.heartbeat_ns), monotonic_ns):
        return why
    if fault:
        return f"the gateway has fault {fault}, there may be more than it counts: {fault_text(fault)}"
    return not_resent(name for name, own in zip(Names(state).sessions, s.sessions, strict=False) if own.recovering)


def _problems(parts: dict[str, Any]) -> list[Problem]:
    """What is not as it should be, the worst first."""
    found = []
    if parts["silence"]:
        found.append(Problem(f"{parts['silence']}: nothing that is shown is proven"))
    if parts["fault"]:
        found.append(Problem(f"fault {parts['fault']}, every order is blocked: {fault_text(parts['fault'])}"))
    if parts["journal_blocked"]:
        found.append(Problem("the journal takes no orders"))
    if parts["market_closed"]:
        found.append(Problem("outside the hours of the trading day", needs_person=False))
    if parts["switch_fault"]:
        found.append(Problem(f"the kill switches cannot be read: {parts['switch_fault']}"))
    for switch in parts["switches"]:
        unknown = "" if switch.known else ", which the gateway does not know: set in advance"
        found.append(Problem(f"kill switch set: {switch.where}{unknown}", blocks=switch.where == "firm"))
    for session in parts["sessions"]:
        found += _session_problems(session)
    if parts["never_canceled"]:
        count = f"{parts['never_canceled']} orders are open after repeated cancels by the gateway"
        found.append(Problem(count, blocks=False))
    if parts["contradicted"]:
        count = f"of {parts['contradicted']} orders it is not known how much was executed"
        found.append(Problem(f"{count}: ask the venue, then `tidegate resolve`, which lists them", blocks=False))
    for x in parts["sources"]:
        if not x.up and not x.by_hand:
            # Without quotes orders are still taken, at the prices that venues send.
            found.append(Problem(f"source {x.name} is silent", blocks=x.pushes is not None))
    held = [x for x in parts["pushed_limits"] if x.held]
    found += [Problem(f"held, not as pushed: {x.key} of {x.where} by {x.source}") for x in held]
    for x in parts["not_taken"]:
        found.append(Problem(f"not taken: {x.key} {plain(x.pushed)}{x.unit} of {x.where} by {x.source}", blocks=False))
    return found


def _session_problems(session: SessionView) -> list[Problem]:
    found = []
    if not session.up and session.why != CLOSED:
        found.append(Problem(_down_text(session)))
    if session.not_sure:
        found.append(Problem(f"{session.name}: {session.not_sure} orders are in doubt", blocks=False))
    if session.recovering:
        found.append(Problem(f"{session.name} takes no new order until the orders of before are confirmed"))
    return found


def _down_text(session: SessionView) -> str:
    since = "" if session.since is None else f" since {session.since:%Y-%m-%d %H:%M:%S} UTC"
    attempts = f", {session.attempts:,} attempt{'s' * (session.attempts != 1)}" if session.attempts else ""
    why = f": {session.why}" if session.why else ""
    return f"session {session.name} is down{since}{attempts}{why}"


def _down_since(pulse: np.record | None, row: int) -> datetime | None:
    since_ns = 0 if pulse is None else int(pulse.down_since_ns[row])
    return datetime.fromtimestamp(since_ns / 1e9, UTC) if since_ns else None


def _sessions(state: State, clock: Clock, pulse: np.record | None) -> list[SessionView]:
    s = state.record
    views = []
    for row, (name, own) in enumerate(zip(Names(state).sessions, s.sessions, strict=False)):
        counted = own.counted.sum(axis=0).tolist()
        entity = int(own.entity)
        views.append(
            SessionView(
                name=name,
                role="venue" if own.role == a.VENUE_ROLE else "EMS",
                version=VERSIONS.get(int(own.version), "?"),
                up=bool(own.up),
                since=clock.time(own.since_ns) if own.up else _down_since(pulse, row),
                attempts=0 if own.up or pulse is None else int(pulse.attempts[row]),
                why="" if own.up or pulse is None else bytes(pulse.why[row]).decode("ascii", "replace"),
                recovering=bool(own.recovering),
                not_sure=int(own.doubts),
                open_orders=int(s.entities[entity].open_orders) if 0 <= entity < s.entities.size else 0,
                unknown_working=int(own.unknown_working),
                unknown_working_at=clock.time(own.unknown_working_ns) if own.unknown_working else None,
                ignored=counted[a.IGNORED],
                passed=counted[a.PASSED],
                rejected=counted[a.REJECTED],
            )
        )
    return views


def _switches(state: State, clock: Clock, folder: Path) -> tuple[list[Switch], str]:
    """What is killed by the state, then what its switch file alone has; and why that cannot be read."""
    entities = state.record["entities"][: len(state.entities)]
    rows = np.flatnonzero(entities["killed"])
    names = Names(state)
    views = [Switch(names.place(int(row)) or "?", clock.time(entities["killed_ns"][row]), True) for row in rows]
    try:
        in_file = read_switches(folder)
    except SwitchFault as fault:
        return views, str(fault)
    seen = {view.where for view in views}
    for switch in in_file:
        if scope_text(*switch.key) not in seen:
            since = datetime.fromtimestamp(switch.wall_ns / 1e9, UTC)
            views.append(Switch(scope_text(*switch.key), since, switch.key in state.entities))
    return views, ""


def _never_canceled(state: State) -> int:
    orders = state.record["orders"][: state.record.order_count]
    wanted = (orders["counted_open"] == 1) & (orders["canceled_by"] != 0)
    return int(np.count_nonzero(wanted & (orders["cancel_tries"] >= QUICK_CANCELS)))


def _contradicted(state: State) -> int:
    orders = state.record["orders"][: state.record.order_count]
    return int(np.count_nonzero((orders["number"] != a.NONE) & (orders["unbooked_e8"] > 0)))


def _sources(state: State, clock: Clock, config: Config) -> list[Source]:
    by_hand = {s.id for s in (*config.parameters.sources, *config.quotes) if s.max_silence is None}
    quotes = {s.id for s in config.quotes}
    views = []
    # By the names that the running gateway has: the config file may have changed since.
    for name, row in zip(source_names(state), state.record.sources, strict=False):
        since = clock.time(row.since_ns) if row.since_ns else None
        pushes = None if name in quotes else int(row.pushes)
        views.append(Source(name, bool(row.up), name in by_hand, since, pushes))
    return views


def _not_taken(state: State, config: Config, monotonic_ns: int) -> list[NotTakenLimit]:
    return [
        NotTakenLimit(
            *(LIMITS[x.limit].key, x.where, LIMIT_UNITS[LIMITS[x.limit].kind], x.source, limit_value(x.limit, x.value))
        )
        for x in not_taken(state, config.parameters.sources, monotonic_ns)
    ]


def _pushed_limits(state: State, clock: Clock) -> list[PushedLimit]:
    views = []
    for row, source, where in pushed_rows(state):
        limit = int(row.limit)
        views.append(
            PushedLimit(
                key=LIMITS[limit].key,
                where=where,
                unit=LIMIT_UNITS[LIMITS[limit].kind],
                source=source,
                floor=limit_value(limit, int(row.floor)),
                ceiling=limit_value(limit, int(row.ceiling)),
                pushed=limit_value(limit, int(row.pushed)),
                effective=limit_value(limit, int(row.effective)),
                held=int(row.state) == a.HELD,
                epoch=int(row.epoch),
                model=int(row.model),
                pushed_at=clock.time(row.told_ns),
                expires=clock.time(row.expires_ns) if row.expires_ns else None,
            )
        )
    return views
