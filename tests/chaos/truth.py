"""What must hold between the gateway, its journal, the venues' own books and the EMS' own views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import numpy as np

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.journal.read import Entry, entries, is_spare, read_segment, segment_files
from gateway.journal.recovery import recover
from gateway.journal.replayer import Replayer
from gateway.state.memory import State
from tests.end_to_end.conftest import Topology
from tests.support.journal import state_digest
from tidegate_tools.fix.text import Fields, first, split_fields
from tidegate_tools.sim.exchange import VenueOrder
from tidegate_tools.sim.venue import Venue

T = TypeVar("T")
E8 = 10**8
REQUESTS = ("D", "F", "G")
SESSION_LAYER = ("0", "1", "2", "4", "5", "A")  # MsgTypes that no application sees
NOTHING = (0, 0, 0)
Amounts = dict[tuple[str, str], tuple[int, int, int]]
"""Position, open buys and open sells (e8) by account and symbol; what is all zero is left out."""


def frozen(venues: Sequence[Venue], look: Callable[[], T]) -> T:
    """Call `look` while no venue can do anything."""
    if not venues:
        return look()
    return venues[0].wait_for(lambda: (frozen(venues[1:], look),), 20)[0]


def received(venue: Venue) -> list[Fields]:
    """The orders, cancels and replaces that came to a venue, repeats included."""
    return [m.fields for m in venue.log if not m.sent and first(m.fields, 35) in REQUESTS]


def at_venues(topology: Topology) -> dict[str, VenueOrder]:
    """Every order that a venue has, by the ClOrdID that placed it; one that has just come it may not have yet."""
    found = {}
    for venue in topology.venues.values():
        orders = venue.orders
        placed = {first(m, 11) for m in received(venue) if first(m, 35) == "D"}
        found |= {name: orders[name] for name in placed & orders.keys()}
    return found


def amounts_at_venues(topology: Topology) -> Amounts:
    """What the venues have traded and could still trade."""
    found: Amounts = {}
    for order in at_venues(topology).values():
        position, buys, sells = found.get((order.account, order.symbol), NOTHING)
        if order.side == "1":
            position, buys = position + order.cum_e8, buys + order.leaves_e8
        else:
            position, sells = position - order.cum_e8, sells + order.leaves_e8
        found[order.account, order.symbol] = (position, buys, sells)
    return {key: value for key, value in found.items() if value != NOTHING}


def _rows_at_rest(rows: np.ndarray) -> np.ndarray:
    """A copy that nobody wrote to while it was taken."""
    before = rows.copy()
    while (after := rows.copy()).tobytes() != before.tobytes():
        before = after
    return after


def amounts_counted(state: State) -> Amounts:
    """What the gateway counts for accounts."""
    s = state.record
    found: Amounts = {}
    names = {row: name for (scope, name), row in state.entities.items() if scope == a.ACCOUNT}
    symbols = {row: symbol for symbol, row in state.instruments.items()}
    for x in _rows_at_rest(s.exposures[: s.exposure_count]):
        value = (int(x["position_e8"]), int(x["open_buy_e8"]), int(x["open_sell_e8"]))
        if x["entity"] in names and value != NOTHING:
            found[names[int(x["entity"])], symbols[int(x["instrument"])]] = value
    return found


def uncounted(counted: Amounts, truth: Amounts) -> str:
    """Where an account could be longer or shorter than is counted, empty when nowhere."""
    for key, (position, buys, sells) in truth.items():
        own_position, own_buys, own_sells = counted.get(key, NOTHING)
        if own_position + own_buys < position + buys or own_sells - own_position < sells - position:
            return f"{key}: counted {counted.get(key)}, at the venues {truth[key]}"
    return ""


def check_counted(topology: Topology, state: State) -> None:
    """At any moment, whatever is under way: nothing can happen at a venue that is not counted."""

    def look() -> tuple[Amounts, Amounts]:
        return amounts_counted(state), amounts_at_venues(topology)

    assert uncounted(*frozen(list(topology.venues.values()), look)) == ""


@dataclass
class Journaled:
    """What the whole journal says, from its first event on."""

    replayer: Replayer
    given: dict[int, list[Fields]]  # outputs by session row
    taken: dict[int, list[Fields]]  # messages that came, by session row


def read_journal(folder: Path) -> Journaled:
    """Replay and list a journal that nobody writes to."""
    result = Journaled(Replayer(), {}, {})
    for path in segment_files(folder):
        if is_spare(path):
            continue
        segment = read_segment(path)
        result.replayer.apply(segment)
        for entry in entries(segment):
            if not isinstance(entry, Entry):
                continue
            if entry.event.kind == ev.MESSAGE:
                result.taken.setdefault(entry.event.session, []).append(_fields(entry.event.data))
            for output in entry.outputs:
                if output.session == a.NONE or not output.message_type:
                    continue  # an alert, or a word to close the connection: no FIX message
                fields = [(35, output.message_type), *_fields(output.body)]
                result.given.setdefault(output.session, []).append(fields)
    return result


def _fields(data: bytes) -> Fields:
    return split_fields(data.decode("utf-8", "surrogateescape"))


def check_dead(topology: Topology) -> None:
    """The process is dead: what it has left leads back to all that it did, and to the same state on every way."""
    folder = topology.config.parent / "var" / "journal"
    recovered = recover(folder)
    journal = read_journal(folder)
    assert recovered.lost == ""
    assert (journal.replayer.differences, recovered.replayer.differences) == (0, 0), journal.replayer.first_difference
    assert recovered.replayer.state is not None and journal.replayer.state is not None
    assert state_digest(recovered.replayer.state.block) == state_digest(journal.replayer.state.block)
    check_counted(topology, recovered.replayer.state)
    for row, venue in _by_row(topology, topology.venues).items():
        sent = {first(m, 11) for m in journal.given.get(row, []) if first(m, 35) in REQUESTS}
        unknown = {first(m, 11) for m in received(venue)} - sent
        assert unknown == set(), f"at {venue} but not in the journal"


def check_quiet(topology: Topology) -> None:
    """Nothing is under way: all sides agree on every order, fill, position and id."""
    state = topology.state
    s = state.record
    truth = amounts_at_venues(topology)
    assert int(s.fault) == 0
    assert amounts_counted(state) == truth
    requests = s.requests[: s.request_count]
    names = {f"C{r.run}-{r.child}": r for r in requests if r.session != a.NONE}
    orders = at_venues(topology)
    assert set(orders) - set(names) == set(), "orders at a venue that the gateway does not know"
    open_there = {child for child, order in orders.items() if order.leaves_e8}
    open_here = {f"C{requests[o.first].run}-{requests[o.first].child}" for o in _open_orders(state)}
    assert open_here == open_there
    for name, venue in topology.venues.items():
        ids = [first(m, 11) for m in received(venue)]
        assert [i for i, n in Counter(ids).items() if n > 1] == [], f"sent to {name} twice"
        assert not any(first(m, 43) == "Y" for m in received(venue)), f"sent to {name} again"
    placed = {(int(names[child].session), _cl_ord_id(names[child])): order for child, order in orders.items()}
    for row, ems in _by_row(topology, topology.ems).items():
        _check_view(ems.orders, {own: order for (session, own), order in placed.items() if session == row})
    _check_ids(topology)


def _open_orders(state: State) -> list[np.record]:
    s = state.record
    return [o for o in s.orders[: s.order_count] if o.number != a.NONE and o.counted_open == 1]


def _cl_ord_id(request: np.record) -> str:
    return bytes(request.cl_ord_id[: request.cl_ord_id_size]).decode()


def _by_row(topology: Topology, peers: dict[str, T]) -> dict[int, T]:
    """Peers by the row of their session: EMS come first, then venues, as in the config."""
    first_row = 0 if peers is topology.ems else len(topology.ems)
    return {first_row + k: peer for k, peer in enumerate(peers.values())}


def _check_view(views: dict, placed: dict[str, VenueOrder]) -> None:
    """An EMS sees of each of its orders what the venue has; what no venue has was refused, or lost on the way in."""
    assert set(placed) - set(views) == set(), "orders at a venue that no EMS sent"
    known = {views[cl_ord_id].order_id for cl_ord_id in placed}
    for cl_ord_id, view in views.items():
        there = placed.get(cl_ord_id)
        if there is not None:
            status = "0" if view.status == "5" else view.status  # Replaced, in FIX 4.2
            seen = (status, int(Decimal(view.cum) * E8), int(Decimal(view.leaves or "0") * E8))
            assert seen == (there.status, there.cum_e8, there.leaves_e8), (view, there)
    for view in views.values():
        assert view.order_id in known or view.status in ("", "8"), view


def _check_ids(topology: Topology) -> None:
    exec_ids = [first(m, 17) for ems in topology.ems.values() for m in ems.messages if first(m, 17)]
    assert [i for i, n in Counter(exec_ids).items() if n > 1] == [], "ExecIDs used twice"
    owners: dict[str, set[tuple[str, str]]] = {}
    for name, ems in topology.ems.items():
        for view in ems.orders.values():
            if view.order_id not in ("", "NONE"):
                owners.setdefault(view.order_id, set()).add((name, view.cl_ord_id))
    assert {i: who for i, who in owners.items() if len(who) > 1} == {}, "OrderIDs used twice"


def check_told(topology: Topology) -> None:
    """The process is dead, and nothing was under way: each EMS has every report and reject of the journal, once."""
    journal = read_journal(topology.config.parent / "var" / "journal")
    for row, ems in _by_row(topology, topology.ems).items():
        given = Counter(_report_key(m) for m in journal.given.get(row, []) if first(m, 35) not in SESSION_LAYER)
        got = Counter(_report_key(m) for m in ems.messages)
        assert got == given, f"{ems}: lacks {given - got}, has more {got - given}"
        asked = {first(m, 11) for m in journal.taken.get(row, [])}
        assert asked & ems.unanswered == set(), f"{ems}: requests without an answer"


def _report_key(m: Fields) -> tuple[str, str, str]:
    return first(m, 35), first(m, 17), first(m, 11)
