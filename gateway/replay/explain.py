"""One order in a journal: all events that are about it, and why each of its requests was accepted or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np

from gateway.config.sections import SessionSection
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event, Output
from gateway.core.layout import NONE
from gateway.fix import tags as t
from gateway.journal import format as f
from gateway.journal.decision import breaches_of
from gateway.journal.read import JournalError
from gateway.replay.history import History, Part, Watch, unwatched
from gateway.state.memory import State
from gateway.state.names import Names, fields_of
from gateway.view.orders import find_order as find_row

CHILD_ID, ORDER_ID = re.compile(r"C\d+-\d+"), re.compile(r"O\d+-\d+")
NAMING_TAGS = (t.ClOrdID, t.OrigClOrdID, t.OrderID, t.BusinessRejectRefID)
OF_ONE_ORDER = (ev.MESSAGE, ev.UNDELIVERED, ev.RESOLVE)  # events; others may send messages about many


@dataclass(frozen=True)
class Found:
    """An event about an order, with all that it gave of that order; `first` and `last` are its records in the segment.

    Holds copies only: a segment is large.
    """

    sequence: int  # of its COMMIT
    wall_ns: int
    event: Event
    outputs: list[Output]
    took_ns: int
    decision: np.record | None
    findings: np.ndarray
    sections: list[SessionSection]  # sessions by row
    currency: str  # of the firm
    first: int
    last: int

    @staticmethod
    def at(part: Part, first: int, last: int) -> Found:
        """The event of the records from `first` to before `last`."""
        x = part.entry(first, last)
        config = part.settings_at(first).config
        decision = None if x.decision is None else x.decision.copy()
        return Found(
            *(x.sequence, int(part.wall_ns[first]), x.event, x.outputs, x.took_ns, decision, x.findings.copy()),
            *(config.sessions, config.gateway.currency, first, last),
        )

    def split(self) -> list[Found]:
        """One for each message, where an event may be about many orders."""
        if self.event.kind in OF_ONE_ORDER:
            return [self]
        return [replace(self, outputs=[output]) for output in self.outputs if output.session != NONE]

    @property
    def breaches(self) -> np.ndarray:
        """The findings for which it was refused."""
        return breaches_of(self.findings)

    def own_ids(self) -> set[str]:
        """OrderIDs(37) and child ClOrdIDs(11) of ours in the event: what ties an order's events together."""
        ids: set[str] = set()
        for session, body in self._messages():
            venue = self.sections[session].role == "initiator"
            values = (fields_of(body).get(tag, "") for tag in NAMING_TAGS)
            ids.update(value for value in values if (CHILD_ID if venue else ORDER_ID).fullmatch(value))
        return ids

    def client_ids(self) -> set[tuple[str, str]]:
        """(EMS session, ClOrdID) of every ClOrdID(11) and OrigClOrdID(41) that its EMS used or was told."""
        ids: set[tuple[str, str]] = set()
        for session, body in self._messages():
            section = self.sections[session]
            if section.role == "acceptor":
                fields = fields_of(body)
                ids.update((section.id, fields[tag]) for tag in (t.ClOrdID, t.OrigClOrdID) if tag in fields)
        return ids

    def request_id(self) -> str:
        """ClOrdID(11) of the message that came in."""
        return fields_of(self.event.data).get(t.ClOrdID, "")

    def _messages(self) -> Iterable[tuple[int, bytes]]:
        if self.event.kind in (ev.MESSAGE, ev.UNDELIVERED):
            yield self.event.session, self.event.data
        yield from ((o.session, o.body) for o in self.outputs if o.session != NONE)


def _find(history: History, ids: set[str], found: dict[int, list[Found]], watch: Watch) -> None:
    """Add the events in which a NAMING_TAG has one of these values, split, by the number of their COMMIT.

    What else looks like that is added too: the caller goes by the ids of an event.
    """
    needles = [f"{tag}={value}\x01".encode() for tag in NAMING_TAGS for value in ids]
    for part in history.parts(watch):
        content = part.segment.octets.tobytes()
        messages = np.isin(part.kinds, (f.IN, f.OUT))
        for needle in needles:
            at = content.find(needle)
            while at >= 0:
                record = int(np.searchsorted(part.segment.starts, at // 8, "right")) - 1
                if 0 <= record < messages.size and messages[record]:
                    first, behind = part.event_of(record)
                    sequence = part.segment.first_sequence + behind - 1
                    if sequence not in found:
                        found[sequence] = Found.at(part, first, behind).split()
                at = content.find(needle, at + 1)


@dataclass(frozen=True)
class OrderHistory:
    """The events of one order in order. `name` is its OrderID(37), else its first child, else SESSION:CLORDID."""

    name: str
    events: list[Found]


def find_order(history: History, wanted: str, watch: Watch = unwatched) -> OrderHistory:
    """All events about the order that `wanted` names: a ClOrdID, SESSION:CLORDID, our OrderID or a child's ClOrdID.

    Raises JournalError with one line when there is none, or more than one.
    """
    found: dict[int, list[Found]] = {}
    session, _, qualified = wanted.partition(":")
    searched = {wanted, qualified} - {""}
    _find(history, searched, found, watch)
    seeds = [x for x in _all(found) if wanted in x.own_ids()]
    if not seeds:
        seeds = [x for x in _all(found) if {wanted} & {name for _, name in x.client_ids()}]
        seeds = seeds or [x for x in _all(found) if (session, qualified) in x.client_ids()]
    if not seeds and (child := _child_of(history, wanted, watch)):
        return replace(find_order(history, child, watch), name=wanted)
    if not seeds:
        raise JournalError(f"{history.folder}: no message names {wanted}, want a ClOrdID, OrderID or child's ClOrdID")
    new = set().union(*(x.own_ids() for x in seeds))
    while new:
        searched |= new
        _find(history, new, found, watch)
        tied = (x.own_ids() for x in _all(found))
        new = set().union(*(ids for ids in tied if ids & searched)) - searched
    return _one_order(wanted, seeds, list(_all(found)))


def _all(found: dict[int, list[Found]]) -> Iterator[Found]:
    return chain.from_iterable(found.values())


def _child_of(history: History, wanted: str, watch: Watch) -> str:
    """ClOrdID(11) of the child of an order by its OrderID(37), which its EMS has not been told yet; empty: none has it.

    Only a replay knows the two together.
    """
    if not ORDER_ID.fullmatch(wanted):
        return ""
    replayer = history.replayer()
    for part in history.parts(watch):
        replayer.apply(part.cut(0))
    row = NONE if replayer.state is None else find_row(replayer.state, wanted)
    if replayer.state is None or row == NONE:
        return ""
    s = replayer.state.record
    first = s.requests[s.orders[row].first]
    return f"C{first.run}-{first.child}"


def _one_order(wanted: str, seeds: list[Found], found: list[Found]) -> OrderHistory:
    groups = _groups(found)
    named = [ids for ids in groups if any(x.own_ids() & ids for x in seeds)]
    if wanted in set().union(*named):
        named = [ids for ids in named if wanted in ids]
    # A refused new order has no ids of ours: it is told with the order of its session, or stands alone.
    alone = [x for x in seeds if not x.own_ids()]
    sessions = {session for x in seeds if x.own_ids() for session, _ in x.client_ids()}
    refused = sorted({session for x in alone for session, _ in x.client_ids()} - sessions)
    names = [_name(ids) for ids in named] + [f"{session}:{wanted.rpartition(':')[2]}" for session in refused]
    if len(names) > 1:
        raise JournalError(f"{wanted} names several orders, want one of {', '.join(sorted(names))}")
    events = [x for x in found if (named and x.own_ids() & named[0]) or x in alone]
    ordered = groupby(sorted(events, key=lambda x: x.sequence), key=lambda x: x.sequence)
    return OrderHistory(names[0], [_joined(list(parts)) for _, parts in ordered])


def _joined(parts: list[Found]) -> Found:
    """What one event gave of one order."""
    return parts[0] if len(parts) == 1 else replace(parts[0], outputs=[o for part in parts for o in part.outputs])


def _groups(found: list[Found]) -> list[set[str]]:
    """Ids of ours that some event names together, directly or through others: one set an order."""
    groups: list[set[str]] = []
    for x in found:
        ids = x.own_ids()
        if ids:
            joined = [group for group in groups if group & ids]
            groups = [group for group in groups if not group & ids] + [ids.union(*joined)]
    return groups


def _name(ids: set[str]) -> str:
    def number(name: str) -> tuple[int, int]:
        run, _, count = name[1:].partition("-")
        return int(run), int(count)

    orders = [name for name in ids if ORDER_ID.fullmatch(name)]
    return min(orders or ids, key=number)


@dataclass(frozen=True)
class Exposure:
    """What an entity held in the instrument in front of a decision, in 10^-8."""

    row: int  # of the entity
    entity: str
    position_e8: int
    open_buy_e8: int
    open_sell_e8: int


@dataclass(frozen=True)
class Explanation:
    """A decision with what the journal does not carry: names, positions in front of it, the worst price."""

    found: Found
    decision: np.record
    findings: np.ndarray
    names: Names
    symbol: str
    venue: str
    exposures: list[Exposure]
    worst_price_e8: int
    same: bool  # replaying the event decided alike
    text: str  # Text(58) that was sent


def explain(history: History, wanted: str, watch: Watch = unwatched) -> list[Explanation]:
    """The decisions on the request that `wanted` names, or on all requests of the order when that is an OrderID.

    Raises JournalError when nothing was decided about it.
    """
    order = find_order(history, wanted, watch)
    decided = [x for x in order.events if x.decision is not None]
    whole = ORDER_ID.fullmatch(wanted) and order.name == wanted
    if not whole:
        decided = [x for x in decided if _decides(x, wanted)]
    if not decided:
        raise JournalError(f"{wanted}: the journal has no decision on it; only new orders and replaces are judged")
    wanted_at = {x.sequence: x for x in decided}
    replayer = history.replayer()
    explained = []
    for part in history.parts(watch):
        at = 0
        for sequence in sorted(wanted_at):
            if part.segment.first_sequence <= sequence <= part.segment.last_sequence:
                x = wanted_at.pop(sequence)
                replayer.apply(part.cut(at, x.first))
                assert replayer.state is not None, "settings come before every event"
                exposures = _exposures(replayer.state, x.decision)
                replayer.apply(part.cut(x.first, x.last))
                explained.append(_explanation(replayer.state, x, exposures))
                at = x.last
        if not wanted_at:
            break
        replayer.apply(part.cut(at))
    return explained


def _decides(x: Found, wanted: str) -> bool:
    """Whether the decision of the event is on the request with this ClOrdID or child."""
    decision = x.decision
    assert decision is not None
    if decision["verdict"] == a.ACCEPTED and wanted == f"C{decision['run']}-{decision['child']}":
        return True
    return wanted in (x.request_id(), f"{x.sections[x.event.session].id}:{x.request_id()}")


def _exposures(state: State, decision: np.record | None) -> list[Exposure]:
    assert decision is not None
    s, names = state.record, Names(state)
    rows = s.exposures[: s.exposure_count]
    found = []
    for entity in decision["entities"][list(a.POSITION_SCOPES)]:
        if entity != NONE:
            own = rows[(rows["entity"] == entity) & (rows["instrument"] == decision["instrument"])]
            numbers = (int(own[0].position_e8), int(own[0].open_buy_e8), int(own[0].open_sell_e8)) if own.size else ()
            found.append(Exposure(int(entity), names.place(int(entity)) or "", *(numbers or (0, 0, 0))))
    return found


def _explanation(state: State, x: Found, exposures: list[Exposure]) -> Explanation:
    decision = x.decision
    assert decision is not None
    s = state.record
    names = Names(state)
    replayed = s.work.candidate
    texts = [fields_of(o.body).get(t.Text, "") for o in x.outputs if o.session == x.event.session]
    return Explanation(
        found=x,
        decision=decision,
        findings=x.findings,
        names=names,
        symbol=names.instrument(int(decision["instrument"])) or "",
        venue=names.session(int(decision["venue"])) or "",
        exposures=exposures,
        worst_price_e8=int(replayed.worst_price_e8),
        same=bool(s.work.decision == decision["verdict"] and replayed.mask == decision["mask"]),
        text=next((text for text in texts if text), ""),
    )


def worst_after(exposure: Exposure, decision: np.record) -> int:
    """Worst-case position on the order's side with the order, in 10^-8."""
    if decision["side"] == t.BUY:
        before = exposure.position_e8 + exposure.open_buy_e8
    else:
        before = exposure.open_sell_e8 - exposure.position_e8
    return before + int(decision["added_e8"])
