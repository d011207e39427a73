"""Commands of people about postures as events for the core: set one, release one, open an exit through a halt."""

from __future__ import annotations

import time
from typing import Any

from gateway.config.files import ConfigError, parse_fixed
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.core.layout import NONE
from gateway.fix.layout import E8
from gateway.kill.format import scope_text
from gateway.ops.confirm import Confirmation
from gateway.state.memory import State

MOST_EXIT_NS = 24 * 3600 * 10**9


def entity_of(state: State, request: dict[str, Any], command: str) -> tuple[int, str]:
    """Row of the entity that `scope` and `name` of a request name, and how people write it; raises ConfigError."""
    scope, name = str(request.get("scope")), str(request.get("name") or "")
    if scope not in a.SCOPE_NAMES:
        raise ConfigError(f"{command}: scope: want one of {', '.join(a.SCOPE_NAMES)}, got {scope!r:.80}")
    key = (a.SCOPE_NAMES.index(scope), name)
    if key not in state.entities:
        raise ConfigError(f"{command}: there is no {scope} {name!r:.80}")
    return state.entities[key], scope_text(*key)


def _reason_of(request: dict[str, Any], command: str) -> str:
    reason = str(request.get("reason", "")).strip()
    if not reason:
        raise ConfigError(f"{command}: a reason is required")
    return reason


def posture_event(state: State, request: dict[str, Any], user: str, easing: Confirmation) -> tuple[str, Event | None]:
    """Answer and event of a `posture` command (`scope`, `name`, `posture`, `reason`); no event where another person
    must confirm that it is eased. Raises ConfigError with what is wrong.
    """
    entity, where = entity_of(state, request, "posture")
    reason = _reason_of(request, "posture")
    if request.get("posture") not in a.POSTURE_NAMES:
        wanted = ", ".join(a.POSTURE_NAMES)
        raise ConfigError(f"posture: want one of {wanted}, got {request.get('posture')!r:.80}; killed: `tidegate kill`")
    posture = a.POSTURE_NAMES.index(request["posture"])
    was = int(state.record.entities[entity].posture)
    if posture == a.NORMAL == was:
        raise ConfigError(f"posture: {where}: is normal already")
    change = f"{a.POSTURE_NAMES[was]} -> {a.POSTURE_NAMES[posture]}"
    asked = (entity, posture, was, int(state.record.entities[entity].posture_ns))
    if posture < was and (wanted := easing.ask(asked, user, time.monotonic_ns())):
        return f"{where} stays {a.POSTURE_NAMES[was]}: {wanted}, by the same command", None
    text = f"{where} {change} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    return f"{where}: {change}", Event(ev.POSTURE, 0, data=text, value=(entity, posture))


def exit_event(state: State, request: dict[str, Any], user: str, now_ns: int) -> tuple[str, Event]:
    """Answer and event of an `exit` command (`scope`, `name`, `symbol`, `quantity`, `for_ns`, `reason`); `now_ns`: of
    the gateway's clock. A quantity of 0 closes the exit. Raises ConfigError with what is wrong.
    """
    entity, where = entity_of(state, request, "exit")
    reason = _reason_of(request, "exit")
    symbol = str(request.get("symbol") or "")
    instrument = state.instruments.get(symbol, NONE)
    if instrument == NONE:
        raise ConfigError(f"exit: symbol: there is no instrument {symbol!r:.80}")
    try:
        quantity_e8 = parse_fixed(str(request.get("quantity")), E8, "a quantity of at most 8 decimal places")
    except ValueError as error:
        raise ConfigError(f"exit: quantity: {error}, got {str(request.get('quantity'))!r:.80}") from None
    for_ns = int(request.get("for_ns") or 0)
    if quantity_e8 < 0 or not 0 <= for_ns <= MOST_EXIT_NS or (quantity_e8 > 0 and for_ns == 0):
        raise ConfigError("exit: want a quantity that is not negative, and a time of at most 24h")
    known = state.record.exits[: state.record.exit_count]
    is_open = bool(((known["entity"] == entity) & (known["instrument"] == instrument)).any())
    if quantity_e8 == 0 and not is_open:
        raise ConfigError(f"exit: {where} has none open in {symbol}")
    if quantity_e8 > 0 and not is_open and known.size == a.EXITS:
        raise ConfigError(f"exit: {a.EXITS} are open already, close one")
    what = f"{request['quantity']} {symbol} of {where} for {for_ns / 1e9:g} s"
    if quantity_e8 == 0:
        what = f"none in {symbol} of {where} any more"
    text = f"{what} by {user}: {reason}".encode("utf-8", "replace")[: a.TEXT_BYTES]
    value = (entity, instrument, quantity_e8, now_ns + for_ns)
    answer = f"exit open: {what}, orders that reduce it" if quantity_e8 else f"exit: {what}"
    return answer, Event(ev.EXIT, 0, data=text, value=value)
