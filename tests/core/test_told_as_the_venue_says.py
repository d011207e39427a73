"""Prices, times and reasons of a venue, as its EMS hears them: as told where FIX has that value, never made up.

All that is sent is valid by QuickFIX's dictionary of the receiver's version.
"""

from __future__ import annotations

import pytest

from tests.support.checks import passed
from tests.support.core import Core
from tests.support.doubts import alerts, told
from tests.support.kill import VERSIONS, Of

NOW = "20260711-12:00:05.000"


@pytest.fixture
def core(of: Of, version: str) -> Core:
    """An EMS of each FIX version, and a venue of the other."""
    return of(version, "FIX.4.2" if version == "FIX.4.4" else "FIX.4.4")


@pytest.fixture(params=VERSIONS, ids=lambda pair: f"{pair[0][4:]} at {pair[1][4:]}")
def pair(of: Of, request: pytest.FixtureRequest) -> Core:
    """A core of each pair of FIX versions, of the EMS and of the venue."""
    return of(*request.param)


def ems_version(core: Core) -> str:
    return core.begin_strings["EMS1"]


# Prices


@pytest.mark.parametrize(
    ("price", "average", "shown"),
    [
        ("100.333333333333", "100.333333333333", "100.33333333"),
        ("100.00000000000001", "99.99999999999999", "99.99999999"),
        ("-2.5", "-2.5", "-2.5"),
        ("-0.333333333333", "-0.333333333333", "-0.33333333"),
        ("100.50", "100.50", "100.5"),
    ],
    ids=["double", "rounding", "negative", "negative double", "plain"],
)
def test_the_price_of_a_fill(pair: Core, price: str, average: str, shown: str) -> None:
    """AvgPx(6) is what nearly every venue prints as a double; what is negative are spreads, power, oil."""
    core = pair
    child = core.working("A")
    reply = core.fill(child, "E1", "3", "3", t31=price, t6=average, t151="97")
    told(reply, t31=price, t32="3", t6=shown, t14="3")
    assert alerts(reply) == []
    told(core.status_request("A"), t6=shown)
    told(core.report(child, "E2", "4", "4", t14="3"), t6=shown, t14="3")


def test_the_average_of_later_fills_is_the_last_one(core: Core) -> None:
    child = core.working("A")
    told(core.fill(child, "E1", "10", "10", t31="100", t6="100", t151="90"), t6="100")
    told(core.fill(child, "E2", "20", "30", t31="101", t6="100.666666666667", t151="70"), t6="100.66666666")


def test_the_price_of_a_correction(core: Core) -> None:
    child = core.working("A")
    core.fill(child, "E1", "3", "3", t31="100", t6="100", t151="97")
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    kind, more = ("1", {"t20": "2"}) if old else ("G", {})
    reply = core.report(
        child, "E2", kind, "1", t14="3", t19="E1", t31="100.123456789012", t32="3", t6="100.123456789012", **more
    )
    told(reply, t31="100.123456789012", t6="100.12345678", t14="3")


@pytest.mark.parametrize("price", ["0", "1e3", None])
def test_a_price_that_cannot_be_read_is_none(core: Core, price: str | None) -> None:
    """LastPx(31) must be there; what FIX cannot read is not passed on as if it were a price."""
    child = core.working("A")
    told(core.fill(child, "E1", "3", "3", t31=price, t6="0", t151="97"), t31="0", t32="3", t14="3")


def test_a_guarantee_is_passed_on_and_is_no_fill(pair: Core) -> None:
    """Stopped: LastQty(32) and LastPx(31) are what the venue guarantees (Appendix D, L.1.a)."""
    core = pair
    child = core.working("A")
    stopped = {"t31": "50.1", "t32": "40", "t151": "100"}
    told(core.report(child, "E1", "7", "7", **stopped), t150="7", t39="7", t31="50.1", t32="40", t14="0", t151="100")
    told(core.status_request("A"), t39="7", t31=None, t32=None)
    told(core.report(child, "E2", "7", "7", t31="x", t32="0", t151="100"), t150="7", t31=None, t32=None)
    assert core.shares() == (0, 100, 0)
    told(core.fill(child, "E3", "40", "40", t151="60"), t39="7", t32="40", t14="40")
    assert core.shares() == (40, 60, 0)


# Times


@pytest.mark.parametrize("stamp", ["20260711-09:02:03", "20260711-09:02:03.456"])
def test_the_time_of_what_happened_is_the_venue_s(core: Core, stamp: str) -> None:
    """A fill that is resent hours later was made when it was made."""
    child = core.working("A")
    core.wait(5)
    told(core.fill(child, "E1", "10", "10", t60=stamp, t151="90"), t60=stamp)
    told(core.report(child, "E2", "D", "1", t14="10", t38="100", t60=stamp, t151="90"), t60=stamp)
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    kind, more = ("0", {"t20": "1"}) if old else ("H", {})
    told(core.report(child, "E3", kind, "0", t19="E1", t31="100", t32="10", t60=stamp, t151="100", **more), t60=stamp)
    told(core.report(child, "E4", "4", "4", t60=stamp), t60=stamp)


@pytest.mark.parametrize(
    "stamp",
    [None, "", "20260711-09:02:03.123456", "20260711-09:02:03.123456789", "20261311-09:02:03", "yesterday, 9:00"],
)
def test_a_time_that_is_not_of_both_versions_is_now(core: Core, stamp: str | None) -> None:
    child = core.working("A")
    core.wait(5)
    told(core.fill(child, "E1", "10", "10", t60=stamp, t151="90"), t60=NOW)


def test_what_the_gateway_says_itself_is_of_now(core: Core) -> None:
    child = core.working("A")
    core.wait(5)
    told(core.status_request("A"), t60=NOW)
    cancel = core.cancel("F", "A")[0][2][11]
    told(core.cancel_reject(cancel, child), "9", t60=NOW)


# Reasons


@pytest.mark.parametrize(
    ("reason", "in_42", "in_44"),
    [
        *[("0", "0", "0"), ("6", "6", "6"), ("8", "8", "8"), ("9", "0", "9"), ("15", "0", "15"), ("16", "0", "99")],
        *[("99", "0", "99"), ("1003", "0", "99"), ("-1", "0", "0"), ("x", "0", "0"), (None, "0", "0")],
    ],
)
def test_the_reason_of_a_reject(core: Core, reason: str | None, in_42: str, in_44: str) -> None:
    """Venues use codes of their own: an EMS that holds to its dictionary must still learn of the reject."""
    child = passed(core.new("A"))[11]
    wanted = in_42 if ems_version(core) == "FIX.4.2" else in_44
    told(core.report(child, "E1", "8", "8", t103=reason, t58="no"), t11="A", t39="8", t103=wanted, t58="no")


@pytest.mark.parametrize(
    ("reason", "in_42", "in_44"),
    [
        *[("0", "0", "0"), ("3", "3", "3"), ("4", "2", "4"), ("6", "2", "6"), ("7", "2", "99"), ("99", "2", "99")],
        *[("1017", "2", "99"), ("-1", "2", "2"), ("x", "2", "2")],
    ],
)
@pytest.mark.parametrize("kind", ["F", "G"])
def test_the_reason_of_a_cancel_reject(core: Core, kind: str, reason: str, in_42: str, in_44: str) -> None:
    child = core.working("A")
    request = (core.cancel("R", "A") if kind == "F" else core.replace("R", "A", qty="50"))[0][2][11]
    reply = core.cancel_reject(request, child, response="1" if kind == "F" else "2", reason=reason)
    told(reply, "9", t11="R", t41="A", t102=in_42 if ems_version(core) == "FIX.4.2" else in_44)


@pytest.mark.parametrize(
    ("reason", "in_42", "in_44"),
    [
        *[("0", "0", "0"), ("3", "3", "3"), ("5", "5", "5"), ("6", "4", "6"), ("10", "4", "10"), ("11", "4", "4")],
        *[("99", "4", "99"), ("1000", "4", "4"), ("-1", "4", "4"), (None, None, None)],
    ],
)
@pytest.mark.parametrize("kind", ["D", "4"])
def test_the_reason_of_a_restatement(
    core: Core, kind: str, reason: str | None, in_42: str | None, in_44: str | None
) -> None:
    child = core.working("A")
    reply = core.report(child, "E1", kind, kind if kind == "4" else "0", t378=reason, t38="100", t151=None)
    told(reply, t150=kind, t378=in_42 if ems_version(core) == "FIX.4.2" else in_44)


# Fields that are carried


@pytest.mark.parametrize(
    ("tag", "value"), [("t851", "1"), ("t851", "9"), ("t30", "XNAS"), ("t75", "20260711"), ("t75", "then")]
)
def test_a_field_that_the_ems_does_not_know_stays_here(pair: Core, tag: str, value: str) -> None:
    """851 came with FIX 4.4, and no version has 851=9 or 75=then: a report that is refused is a fill that is lost."""
    core = pair
    child = core.working("A")
    known = (tag, value) in [("t30", "XNAS"), ("t75", "20260711")] or (
        (tag, value) == ("t851", "1") and ems_version(core) == "FIX.4.4"
    )
    fields = told(core.fill(child, "E1", "10", "10", t151="90", **{tag: value}), t14="10")
    assert fields.get(int(tag[1:])) == (value if known else None)


def test_a_field_that_is_there_twice_is_told_once(pair: Core) -> None:
    core = pair
    child = core.working("A")
    kind = "1" if core.begin_strings["XNAS"] == "FIX.4.2" else "F"
    fields = [(6, "100"), (11, child), (14, "10"), (17, "E1"), (31, "100"), (32, "10"), (37, "V1"), (39, "1")]
    fields += [(54, "1"), (55, "AAPL"), (75, "20260711"), (75, "20260712"), (150, kind), (151, "90")]
    told(core.message("XNAS", "8", fields), t75="20260711", t14="10")
