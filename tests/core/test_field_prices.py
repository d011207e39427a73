"""Market data that is older than it looks, trades that are taken back, and replaces that pay more by old prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.core import layout as a
from tests.support.checks import Reply, fired, passed, refused
from tests.support.core import START_NS, WALL_NS, Core
from tests.support.field import across, killed, others_go_on
from tests.support.kill import Of

COLLAR: dict[str, dict[str, Any]] = {"instrument.AAPL": {"collar_bps": 500}}
PRICES = {"REFERENCE_PRICE", "PRICE_COLLAR"}
Field = tuple[int, str]


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """AAPL at 99.99 x 100.01, last 100, with a collar of 5 %; prices grow old in 5 s. A venue of each FIX version."""
    return across(of, version, limits=COLLAR, market_data=True)


def at(core: Core, ago: float = 0) -> datetime:
    """The time of day, so many seconds ago."""
    return datetime.fromtimestamp((WALL_NS - START_NS + core.time_ns) / 1e9, UTC) - timedelta(seconds=ago)


def stamp(when: datetime) -> str:
    return when.strftime("%Y%m%d-%H:%M:%S.") + f"{when.microsecond // 1000:03}"


def made(when: datetime) -> list[Field]:
    """MDEntryDate(272) and MDEntryTime(273)."""
    return [(272, when.strftime("%Y%m%d")), (273, when.strftime("%H:%M:%S"))]


def market_data(core: Core, msg_type: str, fields: list[Field], sent: datetime | None = None) -> Reply:
    """Market data of the venue, sent now or when it says."""
    head = [(8, core.begin_strings["XNAS"]), (9, "0"), (35, msg_type), (34, "9"), (49, "XNAS"), (56, "GW")]
    head.append((52, stamp(sent or at(core))))
    data = b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in [*head, *fields, (10, "000")])
    return core.raw("XNAS", data)


def snapshot(core: Core, *entries: list[Field], sent: datetime | None = None) -> Reply:
    """MarketDataSnapshotFullRefresh(W) of AAPL."""
    fields = [(55, "AAPL"), (268, str(len(entries)))] + [field for entry in entries for field in entry]
    return market_data(core, "W", fields, sent)


def refresh(core: Core, *entries: list[Field], sent: datetime | None = None) -> Reply:
    """MarketDataIncrementalRefresh(X)."""
    return market_data(core, "X", [(268, str(len(entries)))] + [f for entry in entries for f in entry], sent)


def trade(price: str, *more: Field) -> list[Field]:
    return [(269, "2"), (270, price), *more]


def quote(bid: str, ask: str, *more: Field) -> list[list[Field]]:
    return [[(269, "0"), (270, bid), *more], [(269, "1"), (270, ask), *more]]


def change(action: str, entry: list[Field]) -> list[Field]:
    """An entry of a refresh: 0 new, 1 changed, 2 deleted."""
    return [(279, action), entry[0], (55, "AAPL"), *entry[1:]]


def stale(core: Core, seconds: float = 60) -> None:
    """All prices grow old."""
    core.wait(seconds)
    assert fired(core.new(f"STALE{seconds}")) == {"REFERENCE_PRICE"}


# How old a price is.


def test_a_trade_of_months_ago_is_no_price_of_now(core: Core) -> None:
    """F5"""
    stale(core)
    snapshot(core, trade("187.20", (272, "20260410"), (273, "20:59:58")))
    for cl_ord_id, side, px in (("A", "1", "190"), ("B", "1", "187.20"), ("C", "2", "187.20")):
        names = fired(core.new(cl_ord_id, side, px=px))
        assert "REFERENCE_PRICE" in names and names <= PRICES, cl_ord_id
    others_go_on(core)


@pytest.mark.parametrize("ago", [6, 60, 86_400 * 90])
@pytest.mark.parametrize("what", ["trade", "quote"])
@pytest.mark.parametrize("msg_type", ["W", "X"])
def test_an_entry_is_as_old_as_it_says(core: Core, msg_type: str, what: str, ago: float) -> None:
    """F5, by MDEntryDate(272) and MDEntryTime(273)."""
    stale(core)
    when = made(at(core, ago))
    entries = [trade("100", *when)] if what == "trade" else quote("99.99", "100.01", *when)
    if msg_type == "W":
        snapshot(core, *entries)
    else:
        refresh(core, *(change("0", entry) for entry in entries))
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize("what", ["trade", "quote"])
@pytest.mark.parametrize("msg_type", ["W", "X"])
def test_an_entry_that_says_no_time_is_as_old_as_its_message(core: Core, msg_type: str, what: str) -> None:
    """F5, by SendingTime(52): what waited in a buffer while the gateway stood still."""
    stale(core)
    entries = [trade("100")] if what == "trade" else quote("99.99", "100.01")
    for ago, wanted in ((60, {"REFERENCE_PRICE"}), (6, {"REFERENCE_PRICE"}), (2, set())):
        if msg_type == "W":
            snapshot(core, *entries, sent=at(core, ago))
        else:
            refresh(core, *(change("0", entry) for entry in entries), sent=at(core, ago))
        assert fired(core.new(f"A{ago}")) == wanted


def test_a_message_sent_now_does_not_make_its_entry_new(core: Core) -> None:
    """F5: 272 and 273 before 52."""
    stale(core)
    snapshot(core, trade("100", *made(at(core, 60))), sent=at(core))
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}


@pytest.mark.parametrize("fields", [[272], [273]], ids=["date alone", "time alone"])
def test_half_a_time(core: Core, fields: list[int]) -> None:
    """F5: a date of months ago is old at any time of day, and so is an hour ago today."""
    stale(core)
    when = [field for field in made(at(core, 86_400 * 90 if fields == [272] else 3_600)) if field[0] in fields]
    snapshot(core, trade("100", *when))
    assert fired(core.new("A")) == {"REFERENCE_PRICE"}


def test_a_price_that_is_fresh_by_its_own_time(core: Core) -> None:
    stale(core)
    snapshot(core, trade("100", *made(at(core, 1))))
    passed(core.new("A"))
    core.wait(4.5)
    assert fired(core.new("B")) == {"REFERENCE_PRICE"}


def test_an_old_trade_beside_a_fresh_quote(core: Core) -> None:
    """F5: the quote is the price then."""
    stale(core)
    snapshot(core, *quote("99.99", "100.01"), trade("187.20", (272, "20260410"), (273, "20:59:58")))
    passed(core.new("A", px="104"))
    assert fired(core.new("B", px="106")) == {"PRICE_COLLAR"}
    assert fired(core.new("C", px="190")) == {"PRICE_COLLAR"}


def test_a_time_to_come_is_now(core: Core) -> None:
    """A venue whose clock is ahead keeps no price fresh by that."""
    stale(core)
    snapshot(core, trade("100", *made(at(core, -3_600))), sent=at(core, -3_600))
    passed(core.new("A"))
    core.wait(6)
    assert fired(core.new("B")) == {"REFERENCE_PRICE"}
    snapshot(core, trade("101"))
    passed(core.new("C", px="101"))


@pytest.mark.parametrize("when", [[(273, "x")], [(272, "20261399")], [(272, ""), (273, "")], [(273, "99:99:99")]])
def test_a_time_that_cannot_be_read_stops_nobody(core: Core, when: list[Field]) -> None:
    """F5"""
    stale(core)
    snapshot(core, trade("100", *when))
    assert fired(core.new("A", px="190"))
    others_go_on(core)


def test_an_older_price_does_not_overtake_a_newer(core: Core) -> None:
    """F5"""
    stale(core)
    snapshot(core, *quote("101", "101.02"))
    snapshot(core, *quote("90", "90.02"), sent=at(core, 60))
    passed(core.new("A", px="105"))
    assert fired(core.new("B", px="90", side="2"))


def test_an_exit_in_old_prices_is_not_denied(core: Core) -> None:
    """F5: 100 held, to be sold near the last good price."""
    child = core.working("BEFORE")
    core.fill(child, "E0", "100", "100", "2", t151="0")
    stale(core)
    snapshot(core, trade("100", (272, "20260410"), (273, "20:59:58")))
    passed(core.new("A", side="2", px="95"))


# Trades that are taken back.


def trades_alone(core: Core, *prices: str) -> None:
    """No quote, and these trades one after the other."""
    snapshot(core, trade(prices[0]))
    for price in prices[1:]:
        refresh(core, change("0", trade(price)))


@pytest.mark.parametrize("with_price", [True, False])
def test_a_trade_that_is_taken_back_is_no_reference(core: Core, with_price: bool) -> None:
    """F5"""
    trades_alone(core, "100", "150")
    refresh(core, change("2", trade("150") if with_price else [(269, "2")]))
    names = fired(core.new("A", px="155"))
    assert names and names <= PRICES
    names = fired(core.new("B", px=None, t40="1"))
    assert names <= PRICES
    assert core.record.fault == 0


def test_a_trade_that_is_corrected_is_the_reference(core: Core) -> None:
    """F5: deleted and told anew in one message."""
    trades_alone(core, "100", "150")
    refresh(core, change("2", trade("150")), change("0", trade("100.50")))
    passed(core.new("A", px="105"))
    assert fired(core.new("B", px="106")) == {"PRICE_COLLAR"}


def test_a_trade_after_one_that_was_taken_back_is_the_reference(core: Core) -> None:
    """F5"""
    trades_alone(core, "100", "150")
    refresh(core, change("2", trade("150")))
    refresh(core, change("0", trade("101")))
    passed(core.new("A", px="106"))
    assert fired(core.new("B", px="107")) == {"PRICE_COLLAR"}


def test_a_quote_stays_when_a_trade_is_taken_back(core: Core) -> None:
    """F5: its middle is the reference."""
    snapshot(core, *quote("99.99", "120"), trade("119"))
    refresh(core, change("2", trade("119")))
    assert fired(core.new("A", px="119")) == {"PRICE_COLLAR"}
    passed(core.new("B", px="104"))


def test_an_exit_after_a_trade_was_taken_back_is_not_denied(core: Core) -> None:
    """F5: by the trade before it or the previous close, 100."""
    child = core.working("BEFORE")
    core.fill(child, "E0", "100", "100", "2", t151="0")
    trades_alone(core, "100", "150")
    refresh(core, change("2", trade("150")))
    passed(core.new("A", side="2", px="96"))


# Replaces by old prices.


@pytest.fixture
def still(of: Of, version: str) -> Core:
    """The same without market data, and no limit but the collar."""
    return across(of, version, limits=COLLAR)


def bought(core: Core, quantity: str, side: str = "1") -> None:
    """ACC1 holds something."""
    child = core.working("BEFORE", side=side, qty=quantity)
    core.fill(child, "E0", quantity, quantity, "2", t54=side, t151="0")


@pytest.mark.parametrize(
    ("side", "px", "worse"),
    [("1", "99", "109.90"), ("2", "101", "90.10"), ("1", "99", "99.01"), ("2", "101", "100.99")],
)
@pytest.mark.parametrize("qty", ["100", "50"])
def test_a_replace_that_pays_more_is_no_exit(still: Core, side: str, px: str, worse: str, qty: str) -> None:
    """F19: the account is flat, the reference old, the quantity the same or less."""
    core = still
    child = core.working("A", side=side, px=px)
    core.wait(60)
    assert "REFERENCE_PRICE" in fired(core.replace("B", "A", qty=qty, px=worse, side=side))
    assert core.shares()[1 if side == "1" else 2] == 100
    assert killed(core) == [child]


def test_it_pays_more_than_what_is_in_force(still: Core) -> None:
    """F19: a cheaper replace is pending."""
    core = still
    core.working("A", px="99")
    core.wait(60)
    passed(core.replace("B", "A", px="98"))
    assert "REFERENCE_PRICE" in fired(core.replace("C", "B", px="109.90"))


def test_it_pays_more_on_what_is_left(still: Core) -> None:
    """F19: 40 of 100 have traded, which makes no exit of the rest."""
    core = still
    child = core.working("A", px="99")
    core.fill(child, "E1", "40", "40", t151="60")
    core.wait(60)
    assert "REFERENCE_PRICE" in fired(core.replace("B", "A", px="109.90"))
    passed(core.replace("C", "A", px="98.50"))


def test_it_pays_more_than_what_brings_the_account_to_flat(still: Core) -> None:
    """F19: 100 short, 150 to be bought."""
    core = still
    bought(core, "100", "2")
    core.working("A", px="99", qty="150")
    core.wait(60)
    assert "REFERENCE_PRICE" in fired(core.replace("B", "A", qty="150", px="109.90"))


@pytest.mark.parametrize(
    ("side", "px", "better", "beyond"), [("2", "101", "90", "89.99"), ("1", "99", "110", "110.01")]
)
def test_an_exit_that_pays_more_is_not_denied(still: Core, side: str, px: str, better: str, beyond: str) -> None:
    """F19's other side: it closes what is held, within twice the collar of the last good price."""
    core = still
    bought(core, "100", "1" if side == "2" else "2")
    core.working("A", side=side, px=px)
    core.wait(60)
    refused(core.replace("B", "A", px=beyond, side=side), "PRICE_COLLAR")
    passed(core.replace("C", "A", px=better, side=side))


@pytest.mark.parametrize(("side", "px", "cheaper"), [("1", "99", "98"), ("2", "101", "102")])
def test_a_replace_that_pays_less_passes(still: Core, side: str, px: str, cheaper: str) -> None:
    core = still
    core.working("A", side=side, px=px)
    core.wait(60)
    passed(core.replace("B", "A", px=cheaper, side=side))


def test_a_replace_that_pays_more_by_a_fresh_price(still: Core) -> None:
    core = still
    core.working("A", px="99")
    core.quote("AAPL", 99.99, 100.01, 100)
    passed(core.replace("B", "A", px="105"))
    refused(core.replace("C", "B", px="105.01"), "PRICE_COLLAR")


@pytest.mark.parametrize(
    "more", [{"t40": "1", "px": None}, {"t40": "3", "px": None, "t99": "110"}], ids=["market", "stop"]
)
def test_a_replace_that_gives_up_its_limit_pays_more(still: Core, more: dict[str, Any]) -> None:
    """F19's neighbour."""
    core = still
    core.working("A", px="99")
    core.wait(60)
    refused(core.replace("B", "A", **more), "REFERENCE_PRICE")


def test_the_order_can_be_canceled_after_all(still: Core) -> None:
    """F19"""
    core = still
    child = core.working("A", px="99")
    core.wait(60)
    core.replace("B", "A", px="109.90")
    [(session, msg_type, cancel)] = core.cancel("F", "A")
    assert (session, msg_type, cancel[41]) == ("XNAS", "F", child)
    core.report(cancel[11], "E1", "4", "4", t41=child)
    assert core.shares(a.ACCOUNT, "ACC1") == (0, 0, 0)
