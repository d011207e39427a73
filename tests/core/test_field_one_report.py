"""One report that cannot be counted as it stands: it is told, counts at its worst, and stops nobody else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.core.layout import CAPACITIES
from gateway.fix.layout import E8
from tests.support.checks import Reply
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.field import (
    SIDES,
    across,
    bust,
    held,
    is_told,
    killed,
    may,
    only_says,
    open_on,
    others_go_on,
    reports,
    trade_kind,
)
from tests.support.kill import Of, open_orders

Field = tuple[int, str]


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """A venue of each FIX version, and an EMS of the other; ACC1 may not go short."""
    return across(of, version, limits={"account.ACC1": {"max_short": 0}})


def traded(core: Core, side: str = "1") -> str:
    """An order for 100 of which 40 have traded; returns its child."""
    child = core.working("A", side=side)
    core.fill(child, "E1", "40", "40", t54=side, t38="100", t151="60")
    return child


# Fills without a quantity.

NO_QUANTITY = pytest.mark.parametrize("qty", ["0", "0.00", None, "-5", "x", "1e2", ""])


@NO_QUANTITY
def test_a_fill_of_nothing_is_a_status(core: Core, qty: str | None) -> None:
    """F7: a fee, an entry of the venue's books."""
    child = traded(core)
    reply = core.fill(child, "E2", "", "40", t32=qty, t38="100", t151="60")
    is_told(reply, child)
    only_says(reply, t11="A", t14="40", t151="60", t39="1")
    assert core.shares() == (40, 60, 0)
    others_go_on(core, "XNAS", "XNYS")
    assert may(core, "1", 10), "the same account"
    assert may(core, "2", 40), "an exit"
    assert killed(core) == [child]


@NO_QUANTITY
def test_a_fill_of_nothing_whose_sum_tells_of_more(core: Core, qty: str | None) -> None:
    """F7: what CumQty(14) says counts, once."""
    child = traded(core)
    reply = core.fill(child, "E2", "", "50", t32=qty, t38="100", t151="50")
    is_told(reply, child)
    for fields in reports(reply):
        assert (fields[14], fields[151], fields[39]) == ("50", "50", "1")
    assert core.shares() == (50, 50, 0)
    core.fill(child, "E3", "50", "100", "2", t38="100", t151="0")
    assert core.shares() == (100, 0, 0)
    others_go_on(core, "XNAS", "XNYS")


@pytest.mark.parametrize("qty", [None, "x", "-5"])
def test_a_fill_of_no_known_quantity(core: Core, qty: str | None) -> None:
    """F7: neither 32 nor 14; whom it cannot concern goes on."""
    child = traded(core)
    reply = core.fill(child, "E2", "", "", t32=qty, t14=None, t151=None, t6=None)
    is_told(reply, child)
    assert core.shares()[0] + core.shares()[1] >= 100
    others_go_on(core, "XNYS", symbol="MSFT")
    assert killed(core) == [child]


def test_a_fee_when_the_order_is_done(core: Core) -> None:
    """F7: it opens nothing."""
    child = core.working("A")
    core.fill(child, "E1", "100", "100", "2", t151="0")
    reply = core.fill(child, "E2", "0", "100", "2", t151="0")
    is_told(reply, child)
    only_says(reply, t14="100", t151="0", t39="2")
    assert core.shares() == (100, 0, 0)
    assert open_orders(core) == 0
    others_go_on(core)


@pytest.mark.parametrize("exec_id", [None, "0"])
def test_a_fill_without_an_exec_id(core: Core, exec_id: str | None) -> None:
    """F7: CumQty(14) says whether it is counted."""
    child = core.working("A")
    for qty, cum in (("40", "40"), ("40", "40"), ("20", "60")):
        core.fill(child, "", qty, cum, t17=exec_id, t38="100", t151=str(100 - int(cum)))
        assert core.shares() == (int(cum), 100 - int(cum), 0)
    others_go_on(core, "XNAS", "XNYS")
    assert killed(core) == [child]


@pytest.mark.parametrize("qty", ["x", "-5", "1e2"])
def test_a_correction_of_no_known_quantity(core: Core, qty: str) -> None:
    """F7"""
    child = traded(core)
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    more = {"t20": "2"} if old else {}
    reply = core.report(
        child, "E2", "1" if old else "G", "1", t19="E1", t31="100", t32=qty, t38="100", t14=None, **more
    )
    assert alerts(reply)
    assert core.shares()[0] + core.shares()[1] >= 100
    others_go_on(core, "XNYS", symbol="MSFT")
    assert killed(core) == [child]


# Quantities that do not fit.


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sums", [True, False], ids=["with sums", "without"])
def test_a_quantity_of_nine_decimals(of: Of, version: str, side: str, sums: bool) -> None:
    """F7: rounded up."""
    core = across(of, version)
    child = core.working("A", side=side)
    totals = {"t14": "0.123456789", "t151": "99.876543211"} if sums else {"t14": None, "t151": None}
    reply = core.fill(child, "E1", "0.123456789", "", t54=side, t38="100", **totals)
    is_told(reply, child)
    [fields] = reports(reply)
    assert Decimal("0.123456789") <= Decimal(fields[14]) <= Decimal("0.12345679")
    assert fields[39] == "1"
    assert held(core, side) == 12_345_679 / E8
    assert open_on(core, side) >= 99.87654321
    others_go_on(core, "XNAS", "XNYS")
    assert killed(core) == [child]


def test_quantities_of_nine_decimals_that_fill_the_order(core: Core) -> None:
    """F7: three thirds are one whole."""
    child = core.working("A")
    thirds = [("33.333333333", "33.333333333", "66.666666667"), ("33.333333333", "66.666666666", "33.333333334")]
    for k, (qty, cum, left) in enumerate(thirds):
        core.fill(child, f"E{k}", qty, cum, t38="100", t151=left)
    reply = core.fill(child, "E9", "33.333333334", "100", "2", t38="100", t151="0")
    assert (reports(reply)[-1][39], reports(reply)[-1][151]) == ("2", "0")
    assert 100 <= core.shares()[0] <= 100.000001
    assert core.shares()[1] == 0
    assert open_orders(core) == 0
    others_go_on(core)


def test_nine_decimals_that_say_nothing_are_exact(core: Core) -> None:
    child = core.working("A")
    reply = core.fill(child, "E1", "40.0000000000", "40.000000000", t38="100.000000000", t151="60.000000000")
    told(reply, t14="40", t32="40", t151="60")
    assert alerts(reply) == []


@pytest.mark.parametrize("qty", ["99999999999", "9" * 30])
def test_a_quantity_beyond_all_bounds(core: Core, qty: str) -> None:
    """F7: it cannot be counted, and concerns nobody but this account."""
    child = traded(core)
    reply = core.fill(child, "E2", qty, qty, "2", t38="100", t151="0")
    is_told(reply, child)
    assert core.shares()[0] + core.shares()[1] >= 100
    others_go_on(core, "XNYS", symbol="MSFT")


# Reports that are too long.


def contra_brokers(count: int, name: str = "B") -> list[Field]:
    """NoContraBrokers(382) and as many of them."""
    fields: list[Field] = [(382, str(count))]
    for k in range(count):
        fields += [(375, f"{name}{k}"), (337, f"T{k}"), (437, "1"), (438, "20260711-12:00:00"), (655, f"L{k}")]
    return fields


GROUPS = pytest.mark.parametrize(
    "group",
    [contra_brokers(120), contra_brokers(120, "B" * 60), [(58, "x" * 9_000)], contra_brokers(1_000)],
    ids=["many fields", "many bytes", "a long text", "both"],
)


def long_report(core: Core, child: str, exec_id: str, kind: str, status: str, group: list[Field], **more: Any) -> Reply:
    """A report whose group comes last but for what `after` holds."""
    after = more.pop("after", [])
    head: list[Field] = [(37, "V" + child), (11, child), (17, exec_id), (150, kind), (39, status), (55, "AAPL")]
    if core.begin_strings["XNAS"] == "FIX.4.2":
        head.append((20, more.pop("t20", "0")))
    head += [(int(key[1:]), value) for key, value in ({"t54": "1", "t38": "100", "t6": "100"} | more).items()]
    return core.message("XNAS", "8", [*head, *group, *after])


@GROUPS
@pytest.mark.parametrize("side", SIDES)
def test_what_stands_before_a_long_group_is_booked(of: Of, version: str, group: list[Field], side: str) -> None:
    """F7"""
    core = across(of, version)
    child = core.working("A", side=side)
    fill = {"t54": side, "t31": "100"}
    kind = trade_kind(core)
    reply = long_report(core, child, "E1", kind, "1", group, **fill, t32="40", t14="40", t151="60")
    told(reply, t11="A", t32="40", t14="40", t151="60", t39="1")
    assert (held(core, side), open_on(core, side)) == (40, 60)
    kind = trade_kind(core, "2")
    reply = long_report(core, child, "E2", kind, "2", group, **fill, t32="60", t14="100", t151="0")
    told(reply, t32="60", t14="100", t151="0", t39="2")
    assert (held(core, side), open_on(core, side)) == (100, 0)
    others_go_on(core, "XNAS", "XNYS")


@GROUPS
def test_a_bust_with_a_long_group(core: Core, group: list[Field]) -> None:
    """F7"""
    child = traded(core)
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    more = {"t20": "1"} if old else {}
    said = {"t19": "E1", "t31": "100", "t32": "40", "t14": "0", "t151": "100"}
    reply = long_report(core, child, "E2", "0" if old else "H", "0", group, **said, **more)
    told(reply, t11="A", t14="0", t151="100")
    assert core.shares() == (0, 100, 0)
    others_go_on(core)
    assert killed(core) == [child]


@GROUPS
def test_an_end_with_a_long_group(core: Core, group: list[Field]) -> None:
    """F7"""
    child = traded(core)
    told(long_report(core, child, "E2", "4", "4", group, t14="40", t151="0"), t39="4", t14="40", t151="0")
    assert core.shares() == (40, 0, 0)
    others_go_on(core)


@GROUPS
def test_what_stands_behind_a_long_group_stops_nobody_else(core: Core, group: list[Field]) -> None:
    """F7: the quantity may not be read; then people are told and the order is no smaller."""
    child = core.working("A")
    behind: list[Field] = [(31, "100"), (32, "40"), (14, "40"), (151, "60")]
    reply = long_report(core, child, "E1", trade_kind(core), "1", group, after=behind)
    if core.shares() != (40, 60, 0):
        assert alerts(reply)
        assert core.shares()[0] + core.shares()[1] >= 100
    others_go_on(core, "XNYS", symbol="MSFT")
    assert killed(core) == [child]


@pytest.mark.parametrize("cut", ["letters", "no equals sign", "a large tag", "no end"])
def test_a_report_that_is_no_sequence_of_fields_stops_no_other_venue(core: Core, cut: str) -> None:
    """F7: it may be a fill of what is open there."""
    child = traded(core)
    fields = f"8={core.begin_strings['XNAS']}|9=0|35=8|34=9|49=XNAS|56=GW|37=V{child}|11={child}|17=E2|".encode()
    bad = {"letters": b"abc=1|", "no equals sign": b"150|", "a large tag": b"12345678901=1|", "no end": b""}[cut]
    tail = b"150=F|39=1|55=AAPL|54=1|32=10|14=50|151=50|31=100" + (b"" if cut == "no end" else b"|10=000|")
    reply = core.raw("XNAS", (fields + bad + tail).replace(b"|", b"\x01"))
    assert alerts(reply)
    assert core.shares()[0] + core.shares()[1] >= 100
    others_go_on(core, "XNYS", symbol="MSFT")
    assert killed(core) == [child]


# Reports that are no fills.


def test_any_number_of_restatements_leaves_room_for_fills(of: Of) -> None:
    """F7: only executions take a row of their table."""
    core = of("FIX.4.4", "FIX.4.4")
    child = core.working("A")
    core.fill(child, "E1", "10", "10", t38="100", t151="90")
    for k in range(CAPACITIES["small"].executions + 10):
        kind = ("D", "9", "0")[k % 3]
        core.report(child, f"R{k}", kind, "9" if kind == "9" else "1", t38="100", t14="10", t151="90")
    told(core.fill(child, "E2", "30", "40", t38="100", t151="60"), t14="40", t32="30", t151="60")
    core.fill(child, "E1", "10", "10", t38="100", t151="90", poss_dup=True)
    core.fill(child, "E2", "30", "40", t38="100", t151="60", poss_dup=True)
    assert core.shares() == (40, 60, 0)
    bust(core, child, "E3", "E1", "1", t32="10", t38="100", t14="30", t151="70")
    assert core.shares() == (30, 70, 0)
    others_go_on(core, "XNAS", "XNYS")
    assert killed(core) == [child]
