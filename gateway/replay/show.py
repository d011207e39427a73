"""Journals for people: numbers, FIX and tables as text for a terminal."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from gateway import shipped
from gateway.config.sections import SessionSection
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE
from gateway.fix.dictionary import load_dictionary
from gateway.journal.decision import NOT_KEPT, breaches_of, graded_of, limits_found
from gateway.replay.compare import Difference
from gateway.replay.explain import Explanation, Found, OrderHistory, worst_after
from gateway.replay.history import Moment, wall_text
from gateway.state.memory import State
from gateway.state.names import DOUBTS, FAULTS, ORDER_TYPES, SIDES, Names
from gateway.view.figures import fixed, limit_text
from gateway.view.orders import STATUSES
from gateway.view.table import table

HEADER_TAGS = frozenset((8, 9, 10, 34, 35, 49, 52, 56))
SHOWN_ROWS = 1_000
EVENT_NAMES = {
    ev.MESSAGE: "message",
    ev.LOGON: "logon",
    ev.LOGOUT: "logout",
    ev.UNDELIVERED: "not delivered",
    ev.TICK: "tick",
    ev.QUOTE: "quote",
    ev.CLOCK: "wall clock",
    ev.UNREAD: "unread message",
    ev.START: "start",
    ev.STOP: "stop",
    ev.SYNCED: "synced",
    ev.JOURNAL: "journal state",
    ev.RESOLVE: "resolved by a person",
    ev.DAY: "end of day",
    ev.HOURS: "trading hours",
    ev.KILL: "kill switch",
    ev.CANCEL: "canceled by a person",
    ev.SWEEP: "next cancels",
    ev.PARAMETER: "pushed limit",
    ev.RELEASE: "pushed limit released",
    ev.SOURCE: "publisher",
    ev.ADJUST: "position adjusted",
    ev.OPERATE: "session changed by a person",
    ev.POSTURE: "posture set",
    ev.EXIT: "exit through a halt",
}
UNIT_PLACES = {c.QUANTITY: 8, c.PRICE: 8, c.MONEY: 4, c.MILLISECONDS: 6}  # a duration is kept in ns
UNIT_NAMES = {c.MILLISECONDS: " ms", c.BASIS_POINTS: " bps"}


def in_unit(value: int, unit: int) -> str:
    """A number of a breach, by its unit in the catalogue."""
    return fixed(value, UNIT_PLACES.get(unit, 0)) + UNIT_NAMES.get(unit, "")


@functools.cache
def _message_names(begin_string: str) -> dict[str, str]:
    dictionary = load_dictionary(shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml")
    return {msg_type: message.name for msg_type, message in dictionary.messages.items()}


def readable(body: bytes) -> str:
    """Fields of a message without its header and trailer, `|` for SOH; what is not printable as `?`."""
    parts = [part for part in body.split(b"\x01") if part]
    shown = [p for p in parts if not (p.partition(b"=")[0].isdigit() and int(p.partition(b"=")[0]) in HEADER_TAGS)]
    return "".join(chr(b) if 32 <= b < 127 else "?" for b in b"|".join(shown))


def output_text(output: Output, sections: list[SessionSection]) -> str:
    """One line: where it went, what it is, its fields."""
    if output.session == NONE:
        return f"alert: {readable(output.body)}"
    section = sections[output.session]
    name = _message_names(section.begin_string).get(output.message_type, output.message_type)
    return f"to {section.id}: {name} {readable(output.body)}"


def event_text(event: Event, sections: list[SessionSection]) -> str:
    """One line: what happened, with the fields of its message."""
    name = EVENT_NAMES.get(event.kind, f"event {event.kind}")
    if event.kind in (ev.LOGON, ev.LOGOUT, ev.SYNCED, ev.UNDELIVERED, ev.UNREAD):
        return f"{sections[event.session].id} {name} {readable(event.data)}".rstrip()
    if event.kind != ev.MESSAGE:
        return f"{name} {readable(event.data)}".rstrip()
    section = sections[event.session]
    msg_type = next((p[3:] for p in event.data.split(b"\x01") if p.startswith(b"35=")), b"").decode("latin-1")
    known = _message_names(section.begin_string).get(msg_type, f"35={msg_type}")
    return f"from {section.id}: {known} {readable(event.data)}"


def difference_table(difference: Difference) -> RenderableType:
    """What was sent and what the replay gave, side by side."""
    sections = difference.settings.config.sessions
    entry = difference.entry
    made = table("sent", "replayed", title=f"#{entry.sequence} {wall_text(difference.wall_ns)} UTC")
    made.caption = event_text(entry.event, sections)
    made.caption_justify = "left"
    for k in range(max(len(entry.outputs), len(difference.replayed))):
        sent = [output_text(o, sections) for o in entry.outputs[k : k + 1]] or ["(nothing)"]
        replayed = [output_text(o, sections) for o in difference.replayed[k : k + 1]] or ["(nothing)"]
        style = "" if sent == replayed else "red"
        made.add_row(Text(sent[0], style), Text(replayed[0], style))
    return made


def state_tables(moment: Moment) -> Iterator[RenderableType]:
    """Open orders, exposures and sessions of a state, and its fault."""
    state, settings = moment.replayer.state, moment.replayer.settings
    assert state is not None and settings is not None
    s = state.record
    sections = settings.config.sessions
    yield f"state after #{moment.sequence}, {wall_text(moment.wall_ns)} UTC"
    yield _order_table(state, sections)
    yield _exposure_table(state)
    sessions = table("session", "role", "up", "last MsgSeqNum in", "orders in doubt", "recovering", title="sessions")
    for section, row in zip(sections, s.sessions[: s.session_count], strict=True):
        recovering = "yes" if row.recovering else ""
        up = "up" if row.up else "down"
        sessions.add_row(section.id, section.role, up, str(row.last_in), str(row.doubts or ""), recovering)
    yield sessions
    faults = [text for bit, text in FAULTS.items() if s.fault & bit]
    yield f"fault: {'; '.join(faults) or 'none'}"


def _order_table(state: State, sections: list[SessionSection]) -> RenderableType:
    s, names = state.record, Names(state)
    orders = s.orders[: s.order_count]
    rows = np.flatnonzero((orders["number"] != NONE) & (orders["counted_open"] == 1))
    numbers = ("quantity", "price", "filled", "open")
    made = table(
        *("OrderID", "session", "ClOrdID", "child", "venue", "symbol", "side", *numbers, "status", "doubt", "placed"),
        right=numbers,
        title=f"open orders: {rows.size}",
    )
    for row in rows[:SHOWN_ROWS]:
        o = s.orders[row]
        r = s.requests[o.accepted]
        price = fixed(int(r.price_e8), 8) if r.price_e8 else ORDER_TYPES[int(r.ord_type)]
        made.add_row(
            *(f"O{o.run}-{o.number}", sections[o.session].id, bytes(r.cl_ord_id[: r.cl_ord_id_size]).decode()),
            *(f"C{r.run}-{r.child}", sections[o.venue].id, names.instrument(o.instrument), SIDES[int(o.side)]),
            *(fixed(int(o.qty_e8 - o.restated_e8), 8), price),
            *(fixed(int(o.cum_e8 - o.restated_e8), 8), fixed(int(o.reserved_e8), 8)),
            *(STATUSES.get(int(o.status), chr(int(o.status))), DOUBTS[int(o.doubt)]),
            wall_text(int(o.placed_ns + s.wall_offset_ns)),
        )
    if rows.size > SHOWN_ROWS:
        made.caption = f"and {rows.size - SHOWN_ROWS} more"
    return made


def _exposure_table(state: State) -> RenderableType:
    s, names = state.record, Names(state)
    numbers = ("position", "open buys", "open sells")
    made = table("entity", "instrument", *numbers, right=numbers, title="positions and open quantities")
    for x in s.exposures[: s.exposure_count]:
        values = (int(x.position_e8), int(x.open_buy_e8), int(x.open_sell_e8))
        if any(values):
            where = (names.place(x.entity), names.instrument(x.instrument))
            made.add_row(*where, *(fixed(value, 8) for value in values))
    return made


def order_table(order: OrderHistory) -> RenderableType:
    """The events of one order as a time line."""
    made = table("time (UTC)", "#", "event, decision, messages sent", right=("#",), title=f"order {order.name}")
    for x in order.events:
        lines = Text(event_text(x.event, x.sections), "cyan")
        if x.decision is not None:
            accepted = x.decision["verdict"] == a.ACCEPTED
            lines.append(f"\n  {verdict_text(x)}", "green" if accepted else "red")
        for output in x.outputs:
            lines.append(f"\n  {output_text(output, x.sections)}", "default")
        made.add_row(wall_text(x.wall_ns), str(x.sequence), lines)
    return made


def verdict_text(x: Found) -> str:
    """What was decided on the message of an event."""
    assert x.decision is not None
    if x.decision["verdict"] == a.ACCEPTED:
        return f"accepted as C{x.decision['run']}-{x.decision['child']}"
    return f"refused: {', '.join(dict.fromkeys(c.CHECKS[int(b['check'])].name for b in x.breaches))}"


def explanation(x: Explanation) -> Iterator[RenderableType]:
    """All that was seen when an order or replace was decided on."""
    found, d = x.found, x.decision
    yield Text(f"#{found.sequence} {wall_text(found.wall_ns)} UTC, {found.took_ns / 1000:.1f} µs", "bold")
    yield event_text(found.event, found.sections)
    yield Text(verdict_text(found), "green" if d["verdict"] == a.ACCEPTED else "red")
    if not x.same:
        yield Text("the replay decides otherwise: what follows is of the replay where the journal does not say", "red")
    yield "for " + ", ".join(filter(None, map(x.names.place, d["entities"].tolist())))
    yield _terms_text(x)
    if limits_found(x.findings):
        yield _limit_table(x)
    elif d["verdict"] == a.REFUSED:
        yield "a prerequisite failed: limits were not looked at"
    yield _held_table(x)
    for b in breaches_of(x.findings):
        yield Text(_breach_text(x, b), "red")
    for b in graded_of(x.findings):
        yield Text(f"{a.SEVERITY_NAMES[int(b['severity'])]}: {_breach_text(x, b)}", "yellow")
    if x.text:
        yield f"text sent: {x.text}"
    for name in ("parameter_epoch", "model", "score_e8", "candidate_model", "candidate_score_e8", "candidate_verdict"):
        if d[name]:
            shown = fixed(int(d[name]), 8) if name.endswith("_e8") else str(d[name])
            yield f"{name.removesuffix('_e8').replace('_', ' ')}: {shown}"


def _terms_text(x: Explanation) -> str:
    d = x.decision
    price = f" {fixed(int(d['price_e8']), 8)}" if d["price_e8"] else ""
    stop = f" stop {fixed(int(d['stop_e8']), 8)}" if d["stop_e8"] else ""
    terms = f"{SIDES.get(int(d['side']), '?')} {fixed(int(d['qty_e8']), 8)} {x.symbol or '?'}"
    terms += f" {ORDER_TYPES.get(int(d['ord_type']), '?')}{price}{stop} at {x.venue or 'no venue'}"
    notional = (
        "too large to compute" if d["notional_e4"] < 0 else f"{fixed(int(d['notional_e4']), 4)} {x.found.currency}"
    )
    age = "no time" if d["reference_age_ns"] == NONE else f"{fixed(int(d['reference_age_ns']), 6)} ms old"
    reference = fixed(int(d["reference_e8"]), 8) if d["reference_e8"] else "none"
    factor = f", collar x {d['collar_factor']}" if d["collar_factor"] != 1 else ""
    return (
        f"{terms}\nadds {fixed(int(d['added_e8']), 8)} to the open quantity; reference price {reference} ({age})"
        f"{factor}; worst price {fixed(x.worst_price_e8, 8)}; notional {notional}"
    )


def _limit_table(x: Explanation) -> RenderableType:
    made = table("limit", "value", "stands at", "this order", right=("value", "this order"), title="tightest limits")
    for finding in limits_found(x.findings):
        limit = c.LIMITS[c.CHECK_LIMIT[finding["check"]]]
        is_collar = limit.index == a.COLLAR_BPS
        bound, seen = int(x.decision["collar_bps"] if is_collar else finding["bound"]), int(finding["value"])
        shown = ""
        if is_collar:
            shown = f"price {fixed(seen, 8)}"
        elif seen != NOT_KEPT:
            shown = limit_text(limit.index, seen) if seen >= 0 else "-" + limit_text(limit.index, -seen)
        made.add_row(limit.key, limit_text(limit.index, bound), _where(x, finding), shown)
    return made


def _where(x: Explanation, finding: np.void) -> str:
    """Where the limit of a finding stands; that of a venue's messages is told less what orders may not use of it."""
    place = x.names.place(finding["entity"], finding["paired"], x.decision["instrument"]) or ""
    at_venue = finding["check"] == c.MAX_MESSAGES and x.names.entities[finding["entity"]][0] == a.VENUE
    return f"{place} (a quarter is kept for cancels)" if at_venue else place


def _held_table(x: Explanation) -> RenderableType:
    numbers = ("position", "open buys", "open sells", "worst case with this order")
    made = table("entity", *numbers, right=numbers, title=f"held in {x.symbol or 'no instrument'} before it")
    for e in x.exposures:
        values = (e.position_e8, e.open_buy_e8, e.open_sell_e8, worst_after(e, x.decision))
        made.add_row(e.entity, *(fixed(value, 8) for value in values))
    return made


def _breach_text(x: Explanation, breach: np.record) -> str:
    check = c.CHECKS[int(breach["check"])]
    if breach["detail"] != NONE:
        return f"{check.name}: {c.DETAILS[int(breach['detail'])].rstrip(':')}"
    value = in_unit(int(breach["value"]), check.unit)
    if breach["entity"] == NONE:
        return f"{check.name}: value {value}, want a multiple of {in_unit(int(breach['bound']), check.unit)}"
    where = _where(x, breach)
    if breach["bound"] == a.UNSET:
        return f"{check.name}: no limit is set at {where}"
    return f"{check.name}: value {value}, limit {in_unit(int(breach['bound']), check.unit)} at {where}"
