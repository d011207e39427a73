"""What a running gateway looks like from outside: status, orders and positions made of its state."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gateway.config.files import ConfigError
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.layout import QUICK_CANCELS
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.ops.commands import cancel_event
from gateway.params.publisher import ParameterPublisher
from gateway.state.attach import Attached, NoGateway, attach
from gateway.state.pulse import BUCKETS
from gateway.view.figures import ABOVE_BOUNDS_NS, latency
from gateway.view.orders import OrderView, Wanted, find_orders, order_views, orders_in_doubt
from gateway.view.positions import PositionView, positions
from gateway.view.screens import status_parts
from gateway.view.status import Status, status
from tests.support.core import BASE, LIMITS
from tests.support.outside import SECOND_NS, Outside

CONFIG = BASE | {
    "parameters": {
        "sources": [{"id": "model", "file": "model"}, {"id": "hand", "file": "hand", "max_silence": "none"}]
    },
    "quotes": [{"id": "feed", "file": "feed"}],
}


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(tmp_path, CONFIG)
    made.record.sources["up"][:3] = (1, 0, 1)
    return made


def status_of(outside: Outside) -> Status:
    state, pulse = outside.state, outside.pulse
    return status(state, pulse, outside.config, time.time_ns() - 90 * SECOND_NS, time.monotonic_ns())


def orders_of(outside: Outside, **wanted: str | bool) -> list[OrderView]:
    rows = find_orders(outside.state, Wanted(**wanted))
    return list(order_views(outside.state, rows, outside.monotonic_ns))


def position_of(outside: Outside, scope: str = "account") -> PositionView:
    [view] = positions(outside.state, scope)
    return view


def test_a_gateway_that_is_well_has_no_trouble(outside: Outside) -> None:
    view = status_of(outside)
    assert (view.word, view.trouble, view.run, view.name) == ("LIVE", [], 7, "TEST")
    assert [(x.name, x.role, x.version, x.up) for x in view.sessions] == [
        ("EMS1", "EMS", "FIX.4.4", True),
        ("XNAS", "venue", "FIX.4.4", True),
    ]
    up_since = view.sessions[0].since
    assert up_since is not None and abs(time.time() - 3_600 - up_since.timestamp()) < 60


def kill(scope: int, name: str) -> Callable[[Outside], None]:
    def set_switch(outside: Outside) -> None:
        outside.entity(scope, name).killed = 1
        outside.entity(scope, name).killed_ns = outside.record.now_ns

    return set_switch


def hold_limit(outside: Outside) -> None:
    outside.push_limit((a.ACCOUNT, "ACC1"), "AAPL", a.MAX_LONG, state=a.HELD, effective=300 * E8)


def give_up_cancel(outside: Outside) -> None:
    order = outside.add_order("C1")
    order.canceled_by, order.cancel_tries = a.BY_KILL, QUICK_CANCELS


def doubt_a_fill(outside: Outside) -> None:
    outside.add_order("C1").unbooked_e8 = 40 * 10**8


def set_field(name: str, value: int) -> Callable[[Outside], None]:
    return lambda outside: setattr(outside.record, name, value)


def set_session(row: int, name: str, value: int) -> Callable[[Outside], None]:
    return lambda outside: setattr(outside.record.sessions[row], name, value)


@pytest.mark.parametrize(
    ("trouble", "word", "line"),
    [
        (lambda outside: outside.beat(5), "STALE", "nothing that is shown is proven"),
        (lambda outside: setattr(outside.pulse, "heartbeat_ns", 0), "STALE", "the gateway shows no heartbeat"),
        (set_field("fault", 6), "FAULT", "executions is full; a fill without a readable quantity"),
        (set_field("fault", 1 << 40), "FAULT", "of an unknown kind"),
        (set_field("journal_blocked", 1), "LIVE", "the journal takes no orders"),
        (kill(a.FIRM, ""), "KILLED", "kill switch set: firm"),
        (kill(a.STRATEGY, "ARB"), "LIVE", "kill switch set: strategy ARB"),
        (set_session(0, "up", 0), "LIVE", "session EMS1 is down"),
        (set_session(1, "doubts", 3), "LIVE", "XNAS: 3 orders are in doubt"),
        (set_session(1, "recovering", 1), "LIVE", "XNAS takes no new order"),
        (lambda outside: setattr(outside.record.sources[2], "up", 0), "LIVE", "source feed is silent"),
        (hold_limit, "LIVE", "held, not as pushed: max_long of account ACC1*AAPL by model"),
        (doubt_a_fill, "LIVE", "of 1 orders it is not known how much was executed"),
        (give_up_cancel, "LIVE", "1 orders are open after repeated cancels by the gateway"),
    ],
)
def test_what_needs_a_person_is_told(
    outside: Outside, trouble: Callable[[Outside], None], word: str, line: str
) -> None:
    trouble(outside)
    view = status_of(outside)
    assert view.word == word
    assert len(view.trouble) == 1 and line in view.trouble[0]


def test_why_a_venue_is_down_is_told(outside: Outside) -> None:
    set_session(1, "up", 0)(outside)
    outside.pulse.attempts[1], outside.pulse.why[1] = 3, b"Reject of the Logon: unknown firm"
    assert status_of(outside).trouble[0].endswith("XNAS is down, 3 attempts: Reject of the Logon: unknown firm")


def test_messages_by_verdict_and_refusals_by_check(outside: Outside) -> None:
    outside.record.sessions[0].counted[:2] = [[1, 20, 3], [0, 5, 1]]
    outside.record.check_fired[[c.KILLED, c.MAX_LONG]] = (2, 9)
    view = status_of(outside)
    assert (view.sessions[0].ignored, view.sessions[0].passed, view.sessions[0].rejected) == (1, 25, 4)
    assert list(view.refusals.items()) == [("MAX_LONG", 9), ("KILLED", 2)]


def test_a_pushed_limit_stands_between_floor_and_ceiling(outside: Outside) -> None:
    values = {"floor": 5_000, "ceiling": a.UNLIMITED, "pushed": 1_234_567, "effective": 999_999}
    outside.push_limit((a.STRATEGY, "MOMO"), None, a.MAX_ORDER_NOTIONAL, **values, epoch=4, model=2)
    [view] = status_of(outside).pushed_limits
    assert (view.key, view.where, view.source, view.held) == ("max_order_notional", "strategy MOMO", "model", False)
    assert (view.floor, view.pushed, view.effective) == (Decimal("0.5"), Decimal("123.4567"), Decimal("99.9999"))
    assert not view.ceiling.is_finite()


def test_a_push_that_is_not_taken_needs_a_person(outside: Outside) -> None:
    with ParameterPublisher(outside.config.parameters.sources[1].file) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
    later_ns = time.monotonic_ns() + 2 * SECOND_NS
    outside.pulse.heartbeat_ns = later_ns
    view = status(outside.state, outside.pulse, outside.config, time.time_ns(), later_ns)
    assert view.trouble == ["not taken: max_order_qty 400 of strategy MOMO by hand"]
    [limit] = view.not_taken
    assert (limit.key, limit.where, limit.source, limit.pushed) == ("max_order_qty", "strategy MOMO", "hand", 400)


def test_a_publisher_of_quotes_has_no_count_of_pushed_limits(outside: Outside) -> None:
    assert [(x.name, x.pushes) for x in status_of(outside).sources] == [("model", 0), ("hand", 0), ("feed", None)]


def test_a_percentile_is_the_upper_bound_of_its_bucket() -> None:
    counts = np.zeros(BUCKETS, np.int64)
    assert (latency(counts).p50_ns, latency(counts).p99_ns) == (None, None)
    counts[1], counts[4], counts[-1] = 50, 49, 1
    assert (latency(counts).messages, latency(counts).p50_ns, latency(counts).p99_ns) == (100, 20_000, 200_000)
    counts[-1] = 3
    assert latency(counts).p99_ns == ABOVE_BOUNDS_NS


def test_an_order_has_the_terms_in_force(outside: Outside) -> None:
    order = outside.add_order("C1", 300, 101.25, cum=50, status=t.STATUS_PARTIALLY_FILLED, age_s=90)
    order.avg_px_e8 = 10_120_000_001
    [view] = orders_of(outside)
    assert (view.order_id, view.cl_ord_id, view.session, view.venue) == ("O7-1", "C1", "EMS1", "XNAS")
    assert (view.account, view.strategy, view.trader) == ("ACC1", "MOMO", "")
    assert (view.symbol, view.side, view.order_type, view.time_in_force) == ("AAPL", "buy", "limit", "day")
    assert (view.price, view.quantity, view.executed, view.leaves) == (Decimal("101.25"), 300, 50, 250)
    assert (view.average_price, view.stop_price) == (Decimal("101.20000001"), None)
    assert (view.status, view.pending, view.open, view.age_s) == ("partially filled", "", True, 90)


@pytest.mark.parametrize(
    ("kind", "acknowledged", "words"),
    [
        (t.ORDER_CANCEL_REQUEST, 0, ("new", "cancel sent")),
        (t.ORDER_CANCEL_REQUEST, 1, ("pending cancel", "")),
        (t.ORDER_CANCEL_REPLACE_REQUEST, 0, ("new", "replace sent")),
        (t.ORDER_CANCEL_REPLACE_REQUEST, 1, ("pending replace", "")),
    ],
)
def test_what_waits_for_the_venue_is_told(
    outside: Outside, kind: int, acknowledged: int, words: tuple[str, str]
) -> None:
    order = outside.add_order("C1")
    order.pending = outside.add_request(0, "C2", kind)
    outside.record.requests[order.pending].acknowledged = acknowledged
    [view] = orders_of(outside)
    assert (view.status, view.pending) == words


def test_a_cancel_that_waits_for_room_has_not_been_sent(outside: Outside) -> None:
    order = outside.add_order("C1")
    order.pending = outside.add_request(0, "C2", t.ORDER_CANCEL_REQUEST)
    outside.record.requests[order.pending].unsent = 1
    [view] = orders_of(outside)
    assert (view.status, view.pending) == ("new", "cancel not sent yet")


@pytest.mark.parametrize(("tries", "pending"), [(0, "cancel not sent yet"), (1, "")])
def test_a_mass_cancel_is_told_with_its_ems(outside: Outside, tries: int, pending: str) -> None:
    order = outside.add_order("C1")
    order.canceled_by, order.cancel_tries = a.BY_MASS, tries
    [view] = orders_of(outside)
    assert (view.pending, view.canceled_by) == (pending, "mass cancel of EMS1")


def test_orders_that_did_not_come_through_the_gateway_are_told_and_are_no_trouble(outside: Outside) -> None:
    outside.record.sessions[1].unknown_working = 1
    outside.record.sessions[1].unknown_working_ns = outside.record.now_ns
    view = status_of(outside)
    assert view.trouble == [] and [x.unknown_working for x in view.sessions] == [0, 1]
    [line] = [str(part) for part in status_parts(view, datetime.now(UTC)) if "XNAS has reported" in str(part)]
    assert "working orders that are not the gateway's, once at 20" in line


def test_doubt_and_the_gateways_own_cancels_are_told(outside: Outside) -> None:
    order = outside.add_order("C1")
    order.doubt, order.canceled_by, order.cancel_tries = a.IN_DOUBT, a.BY_PERSON, 2
    [view] = orders_of(outside)
    assert (view.doubt, view.canceled_by, view.cancel_tries) == ("in doubt", "a person", 2)
    assert orders_in_doubt(outside.state) == [
        ("O7-1", "XNAS", "", "C0-0", "ACC1", "AAPL", "buy", "100", "0", "in doubt")
    ]


def test_orders_are_chosen_by_name_and_told_oldest_first(outside: Outside) -> None:
    outside.add_order("A", account="ACC2", age_s=10)
    outside.add_order("B", symbol="MSFT", strategy="ARB", age_s=30)
    outside.add_order("C", side=t.SELL_SHORT, age_s=20)
    outside.add_order("D", cum=100, status=t.STATUS_FILLED, age_s=40)

    def names(**wanted: str | bool) -> list[str]:
        return [view.cl_ord_id for view in orders_of(outside, **wanted)]

    assert names() == ["B", "C", "A"]
    assert names(finished=True) == ["D", "B", "C", "A"]
    assert names(account="ACC2") == ["A"]
    assert names(strategy="ARB") == names(symbol="MSFT") == ["B"]
    assert names(side="sell short") == ["C"]
    assert names(side="sell") == []
    assert names(session="EMS1", venue="XNAS") == ["B", "C", "A"]
    assert names(account="ACC1", symbol="AAPL", finished=True) == ["D", "C"]


@pytest.mark.parametrize("wanted", [{"account": "ACC9"}, {"symbol": "TSLA"}, {"venue": "EMS1"}, {"side": "short"}])
def test_a_name_that_is_not_known_is_refused(outside: Outside, wanted: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wanted.values()))):
        find_orders(outside.state, Wanted(**wanted))


@pytest.mark.parametrize("row", [-5, 10**9, 2**62])
def test_links_to_nowhere_are_not_followed(outside: Outside, row: int) -> None:
    order = outside.add_order("C1")
    order.accepted = order.pending = order.venue = order.instrument = row
    order.entities[:] = row
    outside.add_exposure(a.ACCOUNT, "ACC1", "AAPL", 100, pair=row)
    outside.record.exposures[outside.record.exposure_count - 1].instrument = row
    outside.add_exposure(a.ACCOUNT, "ACC1", "MSFT", 100, pair=row)
    outside.push_limit((a.ACCOUNT, "ACC1"), None, a.MAX_LONG, entity=row, instrument=row, source=row)
    outside.push_limit((a.ACCOUNT, "ACC1"), None, a.MAX_LONG)
    outside.record.parameters[1].limit = row
    [view] = orders_of(outside)
    assert (view.order_id, view.cl_ord_id, view.venue, view.symbol, view.account) == ("O7-1", "", "", "", "")
    assert position_of(outside).symbol == "MSFT"
    assert [(x.where, x.source) for x in status_of(outside).pushed_limits] == [("?", "?")]


def test_terms_of_another_order_are_not_shown(outside: Outside) -> None:
    outside.add_order("C1").accepted = outside.add_request(77, "OTHER", t.NEW_ORDER_SINGLE)
    [view] = orders_of(outside)
    assert (view.cl_ord_id, view.price, view.order_type) == ("", None, "?")


def test_a_row_that_was_given_back_is_left_out(outside: Outside) -> None:
    outside.add_order("C1")
    rows = find_orders(outside.state, Wanted())
    outside.record.orders[0].number = a.NONE
    assert list(order_views(outside.state, rows, outside.monotonic_ns)) == []


def test_a_position_counts_open_orders_at_their_worst(outside: Outside) -> None:
    outside.add_exposure(a.ACCOUNT, "ACC1", "AAPL", -1_000, buy=200, sell=3_000)
    outside.add_exposure(a.STRATEGY, "MOMO", "AAPL", 7)
    view = position_of(outside)
    assert (view.position, view.open_buy, view.open_sell) == (-1_000, 200, 3_000)
    assert (view.worst_long, view.worst_short) == (0, 4_000)
    assert (view.max_long, view.used_long, view.max_short, view.used_short) == (5_000, 0, 5_000, 80)
    assert view.used == 80
    assert position_of(outside, "strategy").position == 7
    assert positions(outside.state, "firm") == []


def test_the_tighter_of_the_entitys_limit_and_the_pairs_is_in_force(tmp_path: Path) -> None:
    limits = copy.deepcopy(LIMITS) | {"account*instrument": {"ACC1*AAPL": {"max_long": 200}}}
    limits["account"]["ACC1"] = {"max_short": "unlimited"}
    outside = Outside(tmp_path, limits=limits)
    [x] = np.flatnonzero(outside.record.exposures["pair"][: outside.record.exposure_count] == 0)
    outside.record.exposures[x].position_e8 = 300 * E8
    view = position_of(outside)
    assert (view.max_long, view.used_long) == (200, 150)
    assert view.max_short is not None and not view.max_short.is_finite() and view.used_short is None
    outside.record.pairs[0].limit[a.MAX_LONG] = 0
    assert position_of(outside).used_long == 100


@pytest.mark.parametrize(
    ("bid", "ask", "last", "price", "of"),
    [
        (0, 0, 0, "100", "previous close"),
        (99, 101, 0, "100", "mid"),
        (99, 101, "99.5", "99.5", "last"),
        (99, 101, 150, "101", "last"),
        (0, 0, 42, "42", "last"),
    ],
)
def test_a_position_is_valued_at_the_reference_price(
    outside: Outside, bid: int, ask: int, last: int | str, price: str, of: str
) -> None:
    outside.add_exposure(a.ACCOUNT, "ACC1", "AAPL", -3)
    instrument = outside.record.instruments[outside.state.instruments["AAPL"]]
    instrument.bid_e8, instrument.ask_e8, instrument.last_e8 = bid * E8, ask * E8, int(Decimal(last) * E8)
    view = position_of(outside)
    assert (view.price, view.price_of, view.market_value) == (Decimal(price), of, -3 * Decimal(price))


def test_a_large_value_is_exact_and_one_without_a_rate_is_unknown(outside: Outside) -> None:
    outside.add_exposure(a.ACCOUNT, "ACC1", "ESZ6", 0)
    x = outside.record.exposures[outside.record.exposure_count - 1]
    x.position_e8 = 9 * 10**17 + 1
    instrument = outside.record.instruments[outside.state.instruments["ESZ6"]]
    instrument.last_e8 = 123_456_789_012_345
    value = position_of(outside).market_value
    assert value is not None
    assert Fraction(value) == Fraction((9 * 10**17 + 1) * 123_456_789_012_345 * 50, 10**16)
    instrument.value_e8 = 0
    assert position_of(outside).market_value is None


def test_a_cancel_names_the_order_who_and_why(outside: Outside) -> None:
    outside.add_order("C0")
    outside.add_order("C1")
    event = cancel_event(outside.state, {"order": "O7-2", "reason": " wrong side "}, "alice")
    assert (event.kind, event.data, event.value) == (ev.CANCEL, b"O7-2 by alice: wrong side", (1,))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"order": "O7-9", "reason": "x"}, "O7-9: is not known"),
        ({"order": "C1", "reason": "x"}, "C1: is not known"),
        ({"reason": "x"}, "is not known"),
        ({"order": "O7-1", "reason": "  "}, "a reason is required"),
        ({"order": "O7-1"}, "a reason is required"),
        ({"order": "O7-2", "reason": "x"}, "O7-2: is not open any more"),
    ],
)
def test_a_cancel_that_cannot_be_is_refused(outside: Outside, request_: dict[str, str], why: str) -> None:
    outside.add_order("C1")
    outside.add_order("C2", status=t.STATUS_CANCELED)
    with pytest.raises(ConfigError, match=why):
        cancel_event(outside.state, request_, "alice")


def test_a_gateway_is_attached_to_while_it_runs(outside: Outside) -> None:
    attached = attach(outside.gateway)
    assert isinstance(attached, Attached) and attached.is_current()
    outside.record.events = 5
    assert attached.state.record.events == 5
    with pytest.raises(ValueError, match="read-only"):
        attached.state.record.events = 6
    (outside.folder / "state.bin").unlink()
    assert not attached.is_current()
    with pytest.raises(NoGateway, match="no gateway runs on"):
        attach(outside.gateway)


@pytest.mark.parametrize("column", ["run", "entities"])
def test_a_state_that_is_not_whole_yet_is_not_shown(outside: Outside, column: str) -> None:
    outside.record[column] = np.zeros((), outside.record[column].dtype)
    with pytest.raises(NoGateway, match="has not started yet"):
        attach(outside.gateway)


def test_a_state_of_another_capacity_is_refused(outside: Outside) -> None:
    with pytest.raises(ConfigError, match="of another capacity"):
        attach(outside.gateway.model_copy(update={"capacity": "standard"}))


@pytest.mark.parametrize("name", ["state.bin", "pulse"])
def test_a_link_that_leads_to_another_gateway_now_is_none(
    outside: Outside, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """Its process was given the number of one that was killed."""
    another = Outside(tmp_path_factory.mktemp("another"))
    (outside.folder / name).unlink()
    (outside.folder / name).symlink_to((another.folder / name).readlink())
    if name == "pulse":
        assert attach(outside.gateway).pulse is None and attach(another.gateway).pulse is not None
        return
    with pytest.raises(NoGateway, match="no gateway runs on"):
        attach(outside.gateway)


def test_a_link_that_leads_to_another_process_now_is_no_gateway(outside: Outside) -> None:
    link = outside.folder / "state.bin"
    link.unlink()
    with outside.path.open() as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        with pytest.raises(NoGateway, match="no gateway runs on"):
            attach(outside.gateway)
