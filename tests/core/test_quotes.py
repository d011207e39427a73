"""Prices that the checks go by: a bad tick moves none of them, and a real move is believed when it is told again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.fix.layout import E8
from tests.support.checks import fired, passed
from tests.support.core import BASE, Core


@pytest.fixture
def core(tmp_path: Path) -> Core:
    """AAPL at 99.99 x 100.01, last 100; its venue XNAS tells market data, XLON too but of nothing that it trades."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    config["sessions"][1]["market_data"] = True
    config["sessions"].append({**config["sessions"][1], "id": "XLON", "target_comp_id": "XLON"})
    return Core(tmp_path, config)


def prices(core: Core, symbol: str = "AAPL") -> tuple[float, float, float]:
    i = core.record.instruments[core.state.instruments[symbol]]
    return i.bid_e8 / E8, i.ask_e8 / E8, i.last_e8 / E8


def left_aside(core: Core, symbol: str = "AAPL") -> int:
    return int(core.record.instruments[core.state.instruments[symbol]].quotes_left_aside)


@pytest.mark.parametrize(("bid", "ask", "last"), [(101, 100, 0), (-1, 100, 0), (100, -1, 0), (100, 101, -5)])
def test_an_absurd_quote_is_left_aside_however_often(core: Core, bid: float, ask: float, last: float) -> None:
    before = prices(core)
    for _ in range(3):
        core.quote("AAPL", bid, ask, last)
    assert prices(core) == before and left_aside(core) == 3


@pytest.mark.parametrize(("price", "believed"), [(199, True), (201, False), (51, True), (49, False), (0.01, False)])
def test_a_price_far_off_is_not_believed_at_once(core: Core, price: float, believed: bool) -> None:
    core.quote("AAPL", price, price)
    assert (prices(core)[0] == price) == believed
    assert left_aside(core) == (0 if believed else 1)


def test_it_is_believed_when_the_next_one_says_the_same(core: Core) -> None:
    core.quote("AAPL", 300, 300)
    core.quote("AAPL", 310, 310)
    assert prices(core)[0] == 310
    core.quote("AAPL", 320, 320)
    assert prices(core)[0] == 320, "and is what the next ones are held against"


def test_two_bad_ticks_that_differ_are_both_left_aside(core: Core) -> None:
    for price in (300, 900, 5, 300):
        core.quote("AAPL", price, price)
    assert prices(core)[:2] == (99.99, 100.01) and left_aside(core) == 4


def test_a_good_quote_in_between_forgets_the_bad_one(core: Core) -> None:
    core.quote("AAPL", 300, 300)
    core.quote("AAPL", 100, 100.02)
    core.quote("AAPL", 300, 300)
    assert prices(core)[:2] == (100, 100.02)


def test_the_first_price_is_held_against_the_previous_close(core: Core) -> None:
    core.quote("ESZ6", 100, 100.25)
    assert prices(core, "ESZ6") == (0, 0, 0)
    core.quote("ESZ6", 4500, 4500.25)
    assert prices(core, "ESZ6")[0] == 4500


def test_the_first_price_without_a_previous_close_is_believed(tmp_path: Path) -> None:
    core = Core(tmp_path, instruments="symbol,security_id,tick,lot,multiplier\nAAPL,,0.01,1,1\nNEW,,0.01,1,1\n")
    core.quote("NEW", 7, 7.01)
    assert prices(core, "NEW")[0] == 7


def test_a_bad_tick_does_not_make_an_old_price_fresh(core: Core) -> None:
    core.wait(6)
    core.quote("AAPL", 300, 300)
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}


def test_a_bad_tick_stops_no_orders_and_lets_none_through(core: Core) -> None:
    core.quote("AAPL", 300, 300)
    passed(core.new("A"))
    assert fired(core.new("B", px="300", qty="10")) == {"PRICE_COLLAR"}


def test_a_bad_last_with_a_good_quote(core: Core) -> None:
    """The last trade of one far off is not what the collar goes by: it lies outside the quote."""
    core.quote("AAPL", 99.99, 100.01, 900)
    assert fired(core.new("A", px="106", qty="10")) == {"PRICE_COLLAR"}


def test_a_bad_last_alone(core: Core) -> None:
    core.quote("AAPL", 0, 0, 900)
    assert prices(core)[2] == 100
    assert fired(core.new("A", px="900", qty="10")) == {"PRICE_COLLAR"}


def test_the_first_of_many_is_told(core: Core) -> None:
    told = [message for _ in range(1_500) for message in core.quote("AAPL", 101, 100)]
    assert len(told) == 2 and all(m[:2] == ("", "") and "AAPL" in m[2][58] for m in told)


def test_an_older_quote_does_not_overtake_a_newer(core: Core) -> None:
    core.wait(10)
    core.quote("AAPL", 101, 101.02)
    core.quote("AAPL", 90, 90.02, time_ns=core.time_ns - 1)
    assert prices(core)[0] == 101
    core.quote("AAPL", 102, 102.02, time_ns=core.time_ns)
    assert prices(core)[0] == 102


def test_the_age_of_a_quote_is_when_it_was_made(core: Core) -> None:
    core.wait(10)
    core.quote("AAPL", 100, 100.02, 100.01, time_ns=core.time_ns - 6 * 10**9)
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}
    core.quote("AAPL", 100, 100.02, 100.01, time_ns=core.time_ns - 4 * 10**9)
    passed(core.new("B"))


def test_a_quote_of_the_future_is_of_now(core: Core) -> None:
    """A clock that is ahead must not keep a price fresh, nor shut later ones out."""
    core.wait(10)
    core.quote("AAPL", 100, 100.02, 100.01, time_ns=core.time_ns + 3600 * 10**9)
    core.wait(6)
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}
    core.quote("AAPL", 101, 101.02)
    assert prices(core)[0] == 101


def test_sizes_are_kept(core: Core) -> None:
    value = (core.state.instruments["AAPL"], 100 * E8, 101 * E8, 100 * E8, 3 * E8, 4 * E8, 5 * E8, 0)
    core.apply(Event(ev.QUOTE, core.time_ns, value=value))
    i = core.record.instruments[core.state.instruments["AAPL"]]
    assert (i.bid_qty_e8, i.ask_qty_e8, i.last_qty_e8) == (3 * E8, 4 * E8, 5 * E8)


@pytest.mark.parametrize("row", [-1, 3, 255, 256, 2**40])
def test_a_quote_of_no_instrument(core: Core, row: int) -> None:
    assert core.apply(Event(ev.QUOTE, core.time_ns, value=(row, E8, E8, E8))) == []
    assert prices(core)[0] == 99.99


# Market data of venues: snapshots (W) are in test_venue_reports.py


@pytest.mark.parametrize("msg_type", ["W", "X"])
@pytest.mark.parametrize("poss_dup", [True, False], ids=["resent", "new"])
def test_what_a_venue_resends_is_not_of_now(core: Core, msg_type: str, poss_dup: bool) -> None:
    """After a reconnect it may send what it said before: prices of then."""
    core.wait(1_800)
    core.logout("XNAS")
    core.logon("XNAS")
    entries: list[tuple[int, str]] = []
    for kind, price in (("0", "101.00"), ("1", "101.02")):
        entries += [(279, "1")] if msg_type == "X" else []
        entries += [(269, kind), (55, "AAPL"), (270, price)] if msg_type == "X" else [(269, kind), (270, price)]
    head = [(268, "2")] if msg_type == "X" else [(55, "AAPL"), (268, "2")]
    core.message("XNAS", msg_type, [*head, *entries], poss_dup)
    if poss_dup:
        assert fired(core.new("A", px="101")) == {"REFERENCE_PRICE"}
        assert prices(core) == (99.99, 100.01, 100) and left_aside(core) == 0
    else:
        passed(core.new("A", px="101"))


Entry = tuple[str, str, str | None, str | None]  # MDUpdateAction, MDEntryType, MDEntryPx, Symbol


def incremental(core: Core, *entries: Entry, venue: str = "XNAS") -> None:
    fields = [(268, str(len(entries)))]
    for action, kind, price, symbol in entries:
        fields += [(279, action), (269, kind)]
        fields += [(55, symbol)] if symbol else []
        fields += [(270, price)] if price else []
    assert {message[:2] for message in core.message(venue, "X", fields)} <= {("", "")}


def test_an_incremental_refresh_moves_what_it_names(core: Core) -> None:
    incremental(core, ("1", "0", "99.50", "AAPL"))
    assert prices(core) == (99.5, 100.01, 100)
    incremental(core, ("1", "1", "100.20", "AAPL"), ("0", "2", "100.10", None))
    assert prices(core) == (99.5, 100.2, 100.1)


def test_both_sides_that_move_at_once_do_not_cross(core: Core) -> None:
    incremental(core, ("1", "0", "101.00", "AAPL"), ("1", "1", "101.02", None))
    assert prices(core)[:2] == (101, 101.02) and left_aside(core) == 0


def test_one_refresh_for_two_instruments(core: Core) -> None:
    core.quote("MSFT", 199.99, 200.01)
    incremental(core, ("1", "0", "99.5", "AAPL"), ("1", "0", "199.5", "MSFT"), ("1", "1", "200.5", None))
    assert prices(core)[:2] == (99.5, 100.01)
    assert prices(core, "MSFT")[:2] == (199.5, 200.5)


def test_a_side_that_is_deleted_is_gone(core: Core) -> None:
    incremental(core, ("2", "0", None, "AAPL"))
    assert prices(core) == (0, 100.01, 100)
    incremental(core, ("0", "0", "99.90", "AAPL"))
    assert prices(core)[0] == 99.9


def test_a_bad_price_of_a_venue_is_left_aside(core: Core) -> None:
    incremental(core, ("1", "0", "300", "AAPL"), ("1", "1", "300.02", None))
    assert prices(core)[0] == 99.99
    incremental(core, ("1", "0", "9x", "AAPL"))
    incremental(core, ("1", "0", "-5", "AAPL"))
    assert prices(core)[0] == 99.99
    incremental(core, ("1", "0", "300", "AAPL"), ("1", "1", "300.02", None))
    assert prices(core)[:2] == (300, 300.02), "told twice"


@pytest.mark.parametrize("venue", ["XLON"])
def test_another_venue_s_refresh_moves_nothing(core: Core, venue: str) -> None:
    incremental(core, ("1", "0", "99.50", "AAPL"), venue=venue)
    assert prices(core)[0] == 99.99


def test_what_names_no_known_instrument_is_passed_over(core: Core) -> None:
    incremental(core, ("1", "0", "99.50", "NOPE"), ("1", "0", "99.60", "AAPL"))
    assert prices(core)[0] == 99.6
    incremental(core, ("1", "0", "99.70", None))
    assert prices(core)[0] == 99.6


def test_an_entry_after_an_unknown_instrument_is_not_the_one_before_s(core: Core) -> None:
    """The second entry names no instrument: it is of NOPE, not of AAPL."""
    incremental(core, ("1", "0", "99.50", "AAPL"), ("1", "0", "99.90", "NOPE"), ("1", "1", "100.5", None))
    assert prices(core) == (99.5, 100.01, 100)
