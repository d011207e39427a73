"""Commands of people as events for the core: cancel an order, resolve a doubt, release a pushed limit, and so on."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import structlog

from gateway.config.files import ConfigError, parse_fixed
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.core.driver import Event
from gateway.core.layout import NONE
from gateway.fix.layout import E8
from gateway.fix.session.layout import OFF
from gateway.ops.confirm import Confirmation
from gateway.ops.posture_commands import exit_event, posture_event
from gateway.state.memory import State
from gateway.state.names import Names
from gateway.view.figures import fixed
from gateway.view.orders import find_order
from gateway.view.pushed import source_names, where_text

VERDICTS = {"gone": ev.GONE, "working": ev.WORKING}
OPERATIONS = {"disconnect": ev.DISCONNECT, "disable": ev.DISABLE, "enable": ev.ENABLE, "set-seq": ev.SET_NUMBERS}
DONE = {"disconnect": "is being logged out", "disable": "is disabled", "enable": "is enabled", "set-seq": "numbers set"}
MOST_NUMBER = 10**12
FACTS = (
    "what",
    "session",
    "next_in",
    "next_out",
    "order",
    "verdict",
    "source",
    "scope",
    "name",
    "account",
    "symbol",
    "by",
    "limit",
    "posture",
    "quantity",
)

log = structlog.get_logger()


class Confirmations(NamedTuple):
    """Of what may take two people."""

    adjusting: Confirmation
    easing: Confirmation
    """Of a posture."""


def command_events(
    state: State, request: dict[str, Any], user: str, confirmations: Confirmations
) -> tuple[str, list[Event]]:
    """The answer to a person's command and its events, logged with who gave it: none where another person must confirm
    it. Raises ConfigError with what is wrong about it.
    """
    name = request["command"]
    event: Event | None
    if name == "resolve":
        event = resolve_event(state, request, user)
        text, done = f"order {request['order']} is {request['verdict']}", "order resolved by a person"
    elif name == "cancel":
        event = cancel_event(state, request, user)
        text, done = f"order {request['order']} is being canceled", "order canceled by a person"
    elif name == "release":
        event = release_event(state, request, user)
        text, done = f"{request['limit']} is released", "pushed limit released"
    elif name == "adjust":
        event = adjust_event(state, request, user)
        text, done = _adjusted_text(state, request, event), "position adjusted"
        if wanted := confirmations.adjusting.ask(event.value, user, time.monotonic_ns()):
            text, done, event = f"nothing is adjusted yet: {wanted}, by the same command", "adjustment asked for", None
    elif name == "posture":
        text, event = posture_event(state, request, user, confirmations.easing)
        done = "posture set by a person" if event is not None else "posture asked for"
    elif name == "exit":
        text, event = exit_event(state, request, user, time.monotonic_ns() + int(state.record.time_base_ns))
        done = "exit set by a person"
    elif name == "session":
        event = session_event(state, request, user)
        text, done = f"session {request['session']}: {DONE[request['what']]}", "session changed by a person"
    else:
        raise ConfigError(f"no such command: {name}")
    facts = {key: str(request[key]) for key in FACTS if request.get(key) is not None}
    log.warning(done, user=user, why=str(request["reason"]), **facts)
    return text, [] if event is None else [event]


def resolve_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `resolve` command; raises ConfigError with what is wrong about it.

    An order that is not in doubt can be said to be gone: some venues never say so themselves. Of an order of which the
    venue's fills and CumQty(14) contradict each other, open or not, a person can say what has traded.
    """
    row = find_order(state, str(request.get("order", "")))
    if row == a.NONE or (state.record.orders[row].counted_open == 0 and state.record.orders[row].unbooked_e8 == 0):
        raise ConfigError(f"order {request.get('order')}: is not an open order")
    verdict = VERDICTS.get(str(request.get("verdict")))
    reason = str(request.get("reason", "")).strip()
    if verdict is None or not reason:
        raise ConfigError("resolve: want a verdict (gone or working) and a reason")
    order = state.record.orders[row]
    if order.doubt == a.SURE and order.unbooked_e8 == 0 and verdict != ev.GONE:
        raise ConfigError(f"order {request['order']}: works and is not in doubt")
    restated_e8 = int(order.restated_e8)
    cum_e8 = int(order.cum_e8)
    if request.get("executed") is not None:
        try:
            cum_e8 = parse_fixed(request["executed"], E8, "the quantity executed in all") + restated_e8
        except ValueError as error:
            raise ConfigError(f"resolve: executed: {error}, got {request['executed']!r}") from None
    known_e8 = int(order.cum_e8 - order.unbooked_e8)
    most_e8 = max(int(order.qty_e8), known_e8 + int(order.reserved_e8))  # a replace may have been accepted
    known_e8 = known_e8 if order.unbooked_e8 == 0 else restated_e8  # of two counts either may be the wrong one
    if not known_e8 <= cum_e8 <= most_e8:
        raise ConfigError(
            f"order {request['order']}: want executed between {Decimal(known_e8 - restated_e8) / E8} (what is known) "
            f"and {Decimal(most_e8 - restated_e8) / E8} (the most that was asked for), got {request['executed']}"
        )
    text = f"{request['order']} {request['verdict']}, by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(ev.RESOLVE, 0, data=text, value=(row, verdict, cum_e8))


def cancel_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `cancel` command (`order`: its OrderID, and `reason`); raises ConfigError with what is wrong."""
    name, reason = str(request.get("order", "")), str(request.get("reason", "")).strip()
    row = find_order(state, name)
    if row == a.NONE:
        raise ConfigError(f"order {name}: is not known, want an OrderID(37) such as O1-3")
    if state.record.orders[row].counted_open == 0:
        raise ConfigError(f"order {name}: is not open any more")
    if not reason:
        raise ConfigError("cancel: a reason is required")
    text = f"{name} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(ev.CANCEL, 0, data=text, value=(row,))


def release_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `release` command: a pushed limit goes back to what a person set.

    The request names source, scope, name, symbol ("": no pair), limit and reason. Raises ConfigError with what is
    wrong.
    """
    source, scope, name, symbol, limit, reason = (
        str(request.get(key, "")).strip() for key in ("source", "scope", "name", "symbol", "limit", "reason")
    )
    if not reason:
        raise ConfigError("release: a reason is required")
    sources, keys = source_names(state), [each.key for each in LIMITS]
    for what, value, known in (("source", source, sources), ("scope", scope, a.SCOPE_NAMES), ("limit", limit, keys)):
        if value not in known:
            raise ConfigError(f"release: {what}: want one of {', '.join(known)}, got {value!r:.80}")
    where = where_text(scope, name, symbol)
    entity = state.entities.get((a.SCOPE_NAMES.index(scope), name), NONE)
    instrument = state.instruments.get(symbol, NONE) if symbol else NONE
    if entity == NONE or (symbol and instrument == NONE):
        raise ConfigError(f"release: there is no {where}")
    wanted = (sources.index(source), entity, instrument, keys.index(limit))
    pushed = state.record["parameters"][: state.record.parameter_count]
    columns = ("source", "entity", "instrument", "limit")
    found = np.logical_and.reduce([pushed[key] == value for key, value in zip(columns, wanted, strict=True)])
    if not found.any():
        raise ConfigError(f"release: {source} has pushed no {limit} of {where}")
    if (pushed["state"][found] == a.RELEASED).all():
        raise ConfigError(f"release: {limit} of {where}, pushed by {source}: has been released already")
    text = f"{limit} of {where}, pushed by {source}, released by {user}: {reason}"
    return Event(ev.RELEASE, 0, data=text.encode("utf-8", "replace")[: a.TEXT_BYTES], value=wanted)


def _adjusted_text(state: State, request: dict[str, Any], event: Event) -> str:
    """What an adjustment makes of the account's position."""
    instrument, by_e8 = event.value[:2]
    account = state.entities[a.ACCOUNT, str(request["account"]).strip()]
    rows = state.record.exposures[: state.record.exposure_count]
    held = rows["position_e8"][(rows["entity"] == account) & (rows["instrument"] == instrument)]
    before_e8 = int(held.sum())
    change = f"{fixed(before_e8, 8)} -> {fixed(before_e8 + by_e8, 8)}"
    return f"position of {request['account']} in {request['symbol']}: {change}"


def adjust_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of an `adjust` command: `by` is added to the position of `account` in `symbol`, and of whom else the
    request names (desk, strategy, trader, flow), with a reason. Raises ConfigError with what is wrong.
    """
    symbol, by, reason = (str(request.get(key) or "").strip() for key in ("symbol", "by", "reason"))
    if not reason:
        raise ConfigError("adjust: a reason is required")
    instrument = state.instruments.get(symbol, NONE)
    if instrument == NONE:
        raise ConfigError(f"adjust: symbol: there is no instrument {symbol!r:.80}")
    try:
        by_e8 = parse_fixed(by, E8, "a decimal of at most 8 places, with a minus to take away")
    except ValueError as error:
        raise ConfigError(f"adjust: by: {error}, got {by!r:.80}") from None
    if by_e8 == 0:
        raise ConfigError("adjust: by: want a quantity that is not 0")
    rows, named = [], []
    for scope in ev.ADJUSTED_SCOPES:
        key = a.SCOPE_NAMES[scope]
        name = str(request.get(key) or "").strip()
        row = state.entities.get((scope, name), NONE) if name else NONE
        if row == NONE and (name or scope == a.ACCOUNT):
            raise ConfigError(f"adjust: {key}: there is no {key} {name!r:.80}")
        rows.append(row)
        named += [f"{key} {name}"] if name else []
    if state.record.exposures.size - state.record.exposure_count < len(rows) + 2:
        raise ConfigError("adjust: the table of positions has no room: want a larger gateway.capacity")
    text = f"{by} {symbol} for {', '.join(named)} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(ev.ADJUST, 0, data=text, value=(instrument, by_e8, *rows))


def session_event(state: State, request: dict[str, Any], user: str) -> Event:
    """The event of a `session` command (`session`: its id, `what`: one of OPERATIONS, `next_in` and `next_out` with
    set-seq, `reason`); raises ConfigError with what is wrong.
    """
    name, reason = str(request.get("session", "")), str(request.get("reason", "")).strip()
    row = Names(state).sessions.index(name) if name in Names(state).sessions else NONE
    what = OPERATIONS.get(str(request.get("what")))
    if row == NONE:
        raise ConfigError(f"session {name}: is not known, want one of {', '.join(Names(state).sessions)}")
    line = state.record.lines[row]
    if line.native == 0:
        raise ConfigError(f"session {name}: engine quickfix cannot change sessions while the gateway runs")
    if what is None or not reason:
        raise ConfigError(f"session: want one of {', '.join(OPERATIONS)}, and a reason")
    numbers = [int(request.get(key) or 0) for key in ("next_in", "next_out")]
    if what == ev.SET_NUMBERS:
        if line.state != OFF:
            raise ConfigError(f"session {name}: has a connection, disable it first")
        if not any(numbers) or not all(0 <= number <= MOST_NUMBER for number in numbers):
            raise ConfigError(f"session {name}: want --in, --out or both, MsgSeqNums from 1 to {MOST_NUMBER}")
    text = f"{name} {request['what']} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return Event(ev.OPERATE, 0, row, data=text, value=(what, *numbers))
