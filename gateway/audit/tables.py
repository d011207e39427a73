"""The rows of an audit export: what an examiner reads of each event. All figures are exact."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.config.settings import Settings
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Output
from gateway.core.layout import NONE, UNLIMITED, UNSET
from gateway.fix import tags as t
from gateway.fix.layout import TOO_LARGE
from gateway.journal.decision import limits_found
from gateway.replay.history import wall_text
from gateway.replay.walk import Change, Step, Walk
from gateway.state.names import FAULTS, ORDER_TYPES, SIDES, Names, fields_of
from gateway.view.figures import fixed, limit_text

BY_NAME = {ev.ADJUST: "adjust", ev.POSTURE: "posture", ev.EXIT: "exit"}  # events whose bytes say all

Row = tuple[Any, ...]

AMOUNT = pa.decimal128(19, 8)  # a quantity or price, 10^-8 of it in an int64
MONEY = pa.decimal128(19, 4)
FIGURE = pa.decimal128(27, 8)  # any number of a check or limit, see its unit
TIME = pa.timestamp("ns", tz="UTC")
TEXT, WHOLE = pa.string(), pa.int64()
HASH = "hash"  # the last column of every table: SHA-256 in hex of the row and of the hash before it

FIRED = pa.struct(
    [("check", TEXT), ("detail", TEXT), ("value", FIGURE), ("limit", FIGURE), ("unit", TEXT), ("where", TEXT)]
)
IN_FORCE = pa.struct([("limit", TEXT), ("value", FIGURE), ("unit", TEXT), ("where", TEXT)])  # no value: unlimited

SCHEMAS: dict[str, pa.Schema] = {
    "decisions": pa.schema(
        [
            *[("sequence", WHOLE), ("time", TIME), ("session", TEXT), ("msg_seq_num", WHOLE), ("msg_type", TEXT)],
            *[("cl_ord_id", TEXT), ("orig_cl_ord_id", TEXT), ("account", TEXT), ("desk", TEXT), ("strategy", TEXT)],
            *[("trader", TEXT), ("flow", TEXT), ("symbol", TEXT), ("side", TEXT), ("ord_type", TEXT)],
            *[("qty", AMOUNT), ("price", AMOUNT), ("stop", AMOUNT), ("added_qty", AMOUNT), ("notional", MONEY)],
            *[("reference_price", AMOUNT), ("reference_age_ns", WHOLE), ("collar_factor", WHOLE), ("verdict", TEXT)],
            *[("checks", pa.list_(FIRED)), ("limits", pa.list_(IN_FORCE)), ("child_cl_ord_id", TEXT)],
            *[("order_id", TEXT), ("venue", TEXT), ("text", TEXT), ("took_ns", WHOLE), ("parameter_epoch", WHOLE)],
            *[("model", WHOLE), ("score", AMOUNT), ("candidate_model", WHOLE), ("candidate_score", AMOUNT)],
            *[("candidate_verdict", TEXT), ("message", TEXT), (HASH, TEXT)],
        ]
    ),
    "limit_changes": pa.schema(
        [("sequence", WHOLE), ("time", TIME), ("key", TEXT), ("old", TEXT), ("new", TEXT), (HASH, TEXT)]
    ),
    "controls": pa.schema(
        [
            *[("sequence", WHOLE), ("time", TIME), ("control", TEXT), ("session", TEXT), ("order_id", TEXT)],
            *[("detail", TEXT), (HASH, TEXT)],
        ]
    ),
    "executions": pa.schema(
        [
            *[("sequence", WHOLE), ("time", TIME), ("kind", TEXT), ("session", TEXT), ("cl_ord_id", TEXT)],
            *[("order_id", TEXT), ("account", TEXT), ("symbol", TEXT), ("side", TEXT), ("qty", AMOUNT)],
            *[("price", AMOUNT), ("exec_id", TEXT), ("exec_ref_id", TEXT), ("cum_qty", AMOUNT), ("leaves_qty", AMOUNT)],
            *[("avg_price", AMOUNT), ("venue", TEXT), ("venue_order_id", TEXT), ("venue_exec_id", TEXT)],
            *[("venue_exec_ref_id", TEXT), (HASH, TEXT)],
        ]
    ),
}

VERDICTS = {a.ACCEPTED: "accepted", a.REFUSED: "refused"}
MESSAGE_TYPES = {t.NEW_ORDER_SINGLE: "D", t.ORDER_CANCEL_REPLACE_REQUEST: "G"}
FILL, BUST, CORRECTION = "fill", "bust", "correction"
ENDED = {ev.STOPPED: "was stopped", ev.CRASHED: "crashed", ev.REBOOTED: "went down with the machine"}
# How the numbers of a check or limit are told: unit, and what one of them is in 10^-8 of it.
UNITS = {
    c.NO_NUMBERS: ("", 0),
    c.QUANTITY: ("quantity", 1),
    c.MONEY: ("money", 10**4),
    c.PRICE: ("price", 1),
    c.COUNT: ("count", 10**8),
    c.MILLISECONDS: ("ms", 100),
    c.BASIS_POINTS: ("bps", 10**8),
}
KINDS = {
    "quantity": UNITS[c.QUANTITY],
    "money": UNITS[c.MONEY],
    "bps": UNITS[c.BASIS_POINTS],
    "count": UNITS[c.COUNT],
    "duration": UNITS[c.MILLISECONDS],
}


def scaled(value: int, places: int) -> Decimal:
    """Exact decimal of a fixed-point integer."""
    return Decimal(int(value)).scaleb(-places)


def shown(message: bytes) -> str:
    """A message as people write it down, `|` for the delimiter."""
    return message.rstrip(b"\0").replace(b"\x01", b"|").decode("latin-1")


def amount(value: int) -> Decimal | None:
    """A quantity or price of a message; None where it has none or one that cannot be read."""
    return None if value == 0 or value <= TOO_LARGE else scaled(value, 8)


def _told(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text).quantize(Decimal("1e-8"))


def decision_values(decision: np.record) -> dict[str, Any]:
    """Fields of a DECISION record by name, as plain numbers and arrays."""
    assert decision.dtype.names is not None
    return dict(zip(decision.dtype.names, decision.item(), strict=True))


def decision_row(walk: Walk, step: Step) -> Row:
    """The order or replace that an event brought, and what was decided on which figures."""
    names = walk.names
    entry, decision = step.entry, step.entry.decision
    assert decision is not None
    d = decision_values(decision)
    fields = fields_of(entry.event.data)
    accepted = d["verdict"] == a.ACCEPTED
    entities = d["entities"]
    order = walk.state.record.orders[d["order"]] if d["order"] != NONE else None
    model, candidate = d["model"], d["candidate_model"]
    return (
        *(step.sequence, step.wall_ns, names.session(entry.event.session), entry.event.msg_seq_num),
        *(MESSAGE_TYPES[d["message_type"]], fields.get(t.ClOrdID), fields.get(t.OrigClOrdID)),
        *(names.entity(entities[k]) for k in (a.ACCOUNT, a.DESK, a.STRATEGY, a.TRADER, a.FLOW)),
        names.instrument(d["instrument"]) or fields.get(t.Symbol),
        *(SIDES.get(d["side"]), ORDER_TYPES.get(d["ord_type"])),
        *(amount(d["qty_e8"]), amount(d["price_e8"]), amount(d["stop_e8"]), scaled(d["added_e8"], 8)),
        scaled(d["notional_e4"], 4) if d["notional_e4"] > 0 else None,
        amount(d["reference_e8"]),
        d["reference_age_ns"] if d["reference_age_ns"] != NONE else None,
        *(d["collar_factor"], VERDICTS[d["verdict"]]),
        [_fired(walk.names, breach, d["instrument"]) for breach in entry.breaches],
        limits_in_force(names, d, entry.findings),
        f"C{d['run']}-{d['child']}" if accepted else None,
        f"O{order.run}-{order.number}" if order is not None else None,
        *(names.session(d["venue"]), None if accepted else _text_sent(entry.outputs, entry.event.session)),
        *(entry.took_ns, d["parameter_epoch"] or None, model or None, scaled(d["score_e8"], 8) if model else None),
        *(candidate or None, scaled(d["candidate_score_e8"], 8) if candidate else None),
        *(VERDICTS.get(d["candidate_verdict"]), shown(entry.event.data)),
    )


def _fired(names: Names, breach: np.void, instrument: int) -> Row:
    check = c.CHECKS[int(breach["check"])]
    detail, entity, paired, value, limit = (int(breach[n]) for n in ("detail", "entity", "paired", "value", "bound"))
    where = names.place(entity, paired, instrument)
    if detail != NONE:
        return check.name, c.DETAILS[detail], None, None, None, where
    if limit == UNSET:
        return check.name, f"no limit, set {check.limit}", None, None, None, where
    unit, factor = UNITS[check.unit]
    return check.name, None, scaled(value * factor, 8), scaled(limit * factor, 8), unit, where


def limits_in_force(names: Names, d: dict[str, Any], findings: np.ndarray) -> list[Row]:
    """Of every limit that an order was held to the one with least room left, and where it stands."""
    held = tuple(
        (int(c.CHECK_LIMIT[x["check"]]), int(x["bound"]), int(x["entity"]), int(x["paired"]))
        for x in limits_found(findings)
    )
    return list(_limit_rows(names, held, d["collar_bps"], d["instrument"]))


@lru_cache(maxsize=10_000)  # orders of a flow are mostly held to the same limits
def _limit_rows(
    names: Names, held: tuple[tuple[int, int, int, int], ...], collar_bps: int, instrument: int
) -> tuple[Row, ...]:
    rows = []
    for limit, bound, entity, paired in held:
        unit, factor = KINDS[c.LIMITS[limit].kind]
        value = collar_bps if limit == a.COLLAR_BPS else bound
        shown = scaled(value * factor, 8) if value != UNLIMITED else None
        rows.append((c.LIMITS[limit].key, shown, unit, names.place(entity, paired, instrument)))
    return tuple(rows)


def _text_sent(outputs: list[Output], session: int) -> str | None:
    """Text(58) of what the EMS was sent."""
    for output in outputs:
        if output.session == session and output.message_type in ("8", "9"):
            return fields_of(output.body).get(t.Text)
    return None


def execution_rows(walk: Walk, step: Step) -> Iterator[Row]:
    """Fills, busts and corrections as the EMS was told."""
    names, event = walk.names, step.entry.event
    for output in step.entry.outputs:
        if output.message_type != "8" or names.roles[output.session] != a.EMS:
            continue
        told = fields_of(output.body)
        kind = _execution_kind(told)
        if kind is not None:
            from_venue = event.kind == ev.MESSAGE and names.roles[event.session] == a.VENUE_ROLE
            venue = fields_of(event.data) if from_venue else {}
            yield (
                *(step.sequence, step.wall_ns, kind, names.session(output.session), told.get(t.ClOrdID)),
                *(told.get(t.OrderID), told.get(t.Account), told.get(t.Symbol), SIDES.get(ord(told[t.Side]))),
                *(_told(told.get(t.LastQty)), _told(told.get(t.LastPx)), told.get(t.ExecID), told.get(t.ExecRefID)),
                *(_told(told.get(t.CumQty)), _told(told.get(t.LeavesQty)), _told(told.get(t.AvgPx))),
                names.session(event.session) if from_venue else None,
                *(told.get(t.SecondaryOrderID), venue.get(t.ExecID), venue.get(t.ExecRefID)),
            )


def _execution_kind(told: dict[int, str]) -> str | None:
    """Fill, bust or correction by ExecTransType(20) in FIX 4.2 and ExecType(150); None for any other report."""
    trans, exec_type = told.get(t.ExecTransType), told[t.ExecType]
    if trans is not None:
        if trans in "12":
            return BUST if trans == "1" else CORRECTION
        return FILL if trans == "0" and exec_type in "12" and t.LastQty in told else None
    return {"F": FILL, "H": BUST, "G": CORRECTION}.get(exec_type)


def control_rows(walk: Walk, step: Step) -> Iterator[Row]:
    """Starts and stops, sessions, switches, overrides, faults and alerts."""
    head = (step.sequence, step.wall_ns)
    own = _control(walk, step)
    if own is not None:
        yield (*head, *own)
    for bit, words in FAULTS.items():
        if step.entry.fault & bit and not step.fault_before & bit:
            yield (*head, "fault", None, None, f"{words}: every order is blocked")
        if step.fault_before & bit and not step.entry.fault & bit:
            yield (*head, "fault cleared", None, None, words)
    for output in step.entry.outputs:
        if output.session == NONE:
            yield (*head, "alert", None, None, shown(output.body))


def _control(walk: Walk, step: Step) -> tuple[str, str | None, str | None, str] | None:
    event, value = step.entry.event, step.entry.event.value
    if event.kind == ev.START:
        return "start", None, None, f"run {value[ev.START_RUN]}, the run before {ENDED[value[ev.START_ENDED]]}"
    if event.kind == ev.STOP:
        return "stop", None, None, f"run {walk.state.record.run}"
    if event.kind == ev.JOURNAL:
        blocked = value[0] != 0
        return "journal", None, None, "cannot be written: every order is blocked" if blocked else "can be written again"
    if event.kind == ev.DAY:
        return "day", None, None, f"positions {'start from zero' if value[0] == ev.POSITIONS_RESET else 'are kept'}"
    if event.kind == ev.CLOCK:
        return "clock", None, None, f"the wall clock is {value[0]} ns ahead of the gateway's"
    if event.kind in (ev.LOGON, ev.LOGOUT):
        how = "" if event.kind == ev.LOGOUT else "goes on" if value[0] == ev.CONTINUED else "sequence numbers reset"
        return (
            *("session up" if event.kind == ev.LOGON else "session down", walk.names.session(event.session), None),
            how,
        )
    if event.kind == ev.HOURS:
        return "hours", None, None, "orders are taken" if value[0] else "no orders are taken"
    if event.kind == ev.RESOLVE:
        return _resolve(walk, step)
    if event.kind == ev.KILL:
        return _kill(walk, step)
    if event.kind == ev.CANCEL:
        return "cancel", None, _order_id(walk, value[0]), shown(event.data)
    if event.kind in BY_NAME:
        return BY_NAME[event.kind], None, None, shown(event.data)
    if event.kind in (ev.PARAMETER, ev.RELEASE, ev.SOURCE):
        return _parameter(walk, step)
    return None


def _order_id(walk: Walk, row: int) -> str | None:
    """OrderID(37) of an order's row."""
    s = walk.state.record
    return f"O{s.orders[row].run}-{s.orders[row].number}" if 0 <= row < s.order_count else None


def _kill(walk: Walk, step: Step) -> tuple[str, str | None, str | None, str]:
    """A kill switch set or released: the event's bytes say of what, by whom and why."""
    value, s = step.entry.event.value, walk.state.record
    text = shown(step.entry.event.data)
    if value[ev.KILL_ON] == 0:
        return "rearm", None, None, text
    open_orders = s.entities[value[ev.KILL_ENTITY]].open_orders if 0 <= value[ev.KILL_ENTITY] < s.entity_count else 0
    set_at = wall_text(value[ev.KILL_SET] + int(s.wall_offset_ns))
    return "kill", None, None, f"{text} (set at {set_at} UTC; {open_orders} orders open)"


def _parameter(walk: Walk, step: Step) -> tuple[str, str | None, str | None, str]:
    """A limit pushed or released, or a publisher that is silent or back."""
    event, value, s = step.entry.event, step.entry.event.value, walk.state.record
    source = s.sources[value[ev.PARAMETER_SOURCE]]
    name = bytes(source.name[: source.name_size]).decode()
    if event.kind == ev.SOURCE:
        return "source", None, None, f"{name} {'is alive' if value[ev.SOURCE_UP] else 'is silent'} {shown(event.data)}"
    if event.kind == ev.RELEASE:
        return "release", None, None, shown(event.data)
    instrument, limit = value[ev.PARAMETER_INSTRUMENT], value[ev.PARAMETER_LIMIT]
    place = walk.names.place(value[ev.PARAMETER_ENTITY], int(instrument != NONE), instrument)
    pushed = value[ev.PARAMETER_VALUE]
    told = limit_text(limit, pushed) if 0 <= pushed <= UNLIMITED else "no value"
    return (
        *("parameter", None, None),
        f"{name} pushes {place} {c.LIMITS[limit].key} {told}, epoch {value[ev.PARAMETER_EPOCH]}, "
        f"model {value[ev.PARAMETER_MODEL]}",
    )


def _resolve(walk: Walk, step: Step) -> tuple[str, str | None, str | None, str]:
    """A person's word on an order in doubt: the event's bytes say who and why."""
    value = step.entry.event.value
    verdict = "is gone" if value[ev.RESOLVE_VERDICT] == ev.GONE else "works"
    done = fixed(value[ev.RESOLVE_CUM], 8)
    order_id = _order_id(walk, value[ev.RESOLVE_ORDER])
    return "resolve", None, order_id, f"the order {verdict}, executed {done}: {shown(step.entry.event.data)}"


def change_rows(change: Change) -> Iterator[Row]:
    """What settings are new, gone or others than before; all of them when there are none before."""
    old = settings_values(change.before) if change.before is not None else {}
    new = settings_values(change.settings)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield change.sequence, change.wall_ns, key, old.get(key), new.get(key)


def settings_values(settings: Settings) -> dict[str, str]:
    """Everything that settings say, as text by dotted key: limits, instruments, positions, and the main file."""
    found = dict(_flat("", settings.config.model_dump(mode="json")))
    for instrument in settings.instruments:
        for key, value in vars(instrument).items():
            text = fixed(value, 8) if key.endswith("_e8") else value
            if key != "symbol" and text != "":
                found[f"instruments.{instrument.symbol}.{key.removesuffix('_e8')}"] = text
    for position in settings.positions:
        names = (position.account, position.strategy, position.symbol)
        found[".".join(("positions", *filter(None, names)))] = fixed(position.quantity_e8, 8)
    for place, limits in settings.limits.items():
        for index, value in limits.items():
            found[f"{_limits_at(*place)}.{c.LIMITS[index].key}"] = limit_text(index, value)
    for place, grades in settings.grades.items():
        for (index, severity), value in grades.items():
            key = f"{c.LIMITS[index].key}.{a.SEVERITY_NAMES[severity]}"
            found[f"{_limits_at(*place)}.{key}"] = limit_text(index, value)
    return found


def _limits_at(scope: int, name: str, symbol: str) -> str:
    """Dotted key of the limits at a place of limits.yaml."""
    place = [a.SCOPE_NAMES[scope] + ("*instrument" if symbol else ""), name + (f"*{symbol}" if symbol else "")]
    return ".".join(("limits", *filter(None, place)))


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{key}.{name}" if key else name, part)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for part in value:
            yield from _flat(f"{key}.{part['id']}", part)
    elif value is not None and value != []:
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
