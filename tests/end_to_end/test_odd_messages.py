"""Messages that are unusual but no fault of anybody: encoded texts, types that are not supported, late and repeated
reports. What they tell counts once, whoever asks is answered, and trading goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.acts import exposure, place
from tests.end_to_end.conftest import FIX_42, FIX_44, Topology, Versions
from tests.support.raw_venue import Field, RawEms, RawVenue, fields_of, fits
from tidegate_tools.fix.text import first, utc_now
from tidegate_tools.sim.ems import Ems

ANSWERED_S = 3.0
BOTH = pytest.mark.parametrize("version", [FIX_42, FIX_44])
CARRY = {"carry": {"reports": [354, 355]}}
TEXTS = {
    "ISO-8859-1": "exécuté à Zürich".encode("iso-8859-1"),
    "Shift-JIS": "約定しました".encode("shift_jis"),
    "UTF-8": "exécuté à Zürich".encode(),
    "no text": bytes((0xE9, 0xFC, 0xFF, 0xFE, 0x80, 0x3D, 0x31, 0x30, 0x3D, 0x7C)),
    "ASCII": b"done",
}


def order_of(cl_ord_id: str, venue: str = "XRAW", quantity: int = 10) -> list[Field]:
    fields: list[Field] = [(1, "ACC1"), (11, cl_ord_id), (21, "1"), (55, "AAPL"), (54, "1"), (38, str(quantity))]
    return [*fields, (40, "2"), (44, "99"), (59, "0"), (60, utc_now()), (100, venue)]


def log_on(topology: Topology, version: str) -> RawEms:
    client = RawEms(topology.port, "RAW", version).connect()
    client.logon()
    return client


def works(client: RawEms, cl_ord_id: str, venue: str = "XRAW") -> None:
    """An order of a raw EMS is acknowledged; the status of another, which the gateway asked for, may come before."""
    client.say("D", order_of(cl_ord_id, venue))
    while first(report := client.receive_type("8"), 11) != cl_ord_id:
        assert first(report, 20) == "3" or first(report, 150) == "I", report
    assert first(report, 39) == "0", report


def fill_seen(topology: Topology, client: RawEms) -> bytes:
    """The next report of a fill, as it came."""
    try:
        while not first(client.receive_type("8"), 32):
            pass
    except OSError as error:
        ended = "the gateway has ended; " if topology.gateway.ended else ""
        raise AssertionError(f"{ended}no report of the fill: {error}; {topology.gateway.log[-3:]}") from None
    return client.messages[-1]


Texts = tuple[Topology, RawEms, RawVenue, str]


@pytest.fixture
def texts(start, version: Versions) -> Iterator[Texts]:
    """An EMS and a venue, both raw, and an order that works between them."""
    with RawVenue("XRAW", version.venue) as venue:
        topology = start(
            version, ems=(), raw=("RAW",), elsewhere={"XRAW": venue.port}, versions={"XNAS": FIX_44}, **CARRY
        )
        venue.wait_on()
        with log_on(topology, version) as client:
            works(client, "a1")
            yield topology, client, venue, first(venue.got("D")[0], 11)


def test_encoded_text_of_a_fill_reaches_the_ems_byte_by_byte(texts: Texts) -> None:
    topology, client, venue, child = texts
    for name, text in TEXTS.items():
        venue.fill(child, 1, [(354, str(len(text))), (355, text)])
        report = fill_seen(topology, client)
        assert b"\x01354=%d\x01355=%s\x01" % (len(text), text) in report, f"{name}: {report!r}"
        assert fits(report), f"{name}: BodyLength or CheckSum of {report!r}"
    assert exposure(topology) == (len(TEXTS), 10 - len(TEXTS), 0)
    assert topology.state.record.fault == 0
    works(client, "a2")


@pytest.mark.parametrize("length", ["0", "1", "99", "-1", "2147483647", "9223372036854775808", "", "x", None])
@pytest.mark.parametrize("version", [Versions(FIX_44, FIX_44), Versions(FIX_42, FIX_42)], ids=str)
def test_an_encoded_text_of_another_length_costs_the_text_and_not_the_fill(texts: Texts, length: str | None) -> None:
    topology, client, venue, child = texts
    said: list[Field] = [] if length is None else [(354, length)]
    venue.fill(child, 4, [*said, (355, TEXTS["ISO-8859-1"])])
    report = fill_seen(topology, client)
    told = {tag: first(fields_of(report), tag) for tag in (32, 14, 151, 354, 355)}
    assert told == {32: "4", 14: "4", 151: "6", 354: "", 355: ""}
    assert fits(report), report
    assert exposure(topology) == (4, 6, 0) and topology.state.record.fault == 0
    works(client, "a2")


@pytest.mark.parametrize(
    "text", [b"a\x01b", b"\x0110=000\x01", b"a\x019=5\x01"], ids=["delimiter", "trailer", "length"]
)
@pytest.mark.parametrize("version", [Versions(FIX_44, FIX_44), Versions(FIX_42, FIX_42)], ids=str)
def test_a_fill_whose_encoded_text_holds_delimiters_counts(texts: Texts, text: bytes) -> None:
    """And so does what comes behind it."""
    topology, client, venue, child = texts
    venue.fill(child, 1, [(354, str(len(text))), (355, text)])
    assert first(fields_of(fill_seen(topology, client)), 14) == "1"
    venue.fill(child, 2)
    assert first(fields_of(fill_seen(topology, client)), 14) == "3"
    assert exposure(topology) == (3, 7, 0) and topology.state.record.fault == 0
    works(client, "a2")


@pytest.mark.parametrize("number", [100_000, 2**31, 2**64 - 1])
@pytest.mark.parametrize("version", [Versions(FIX_44, FIX_44), Versions(FIX_42, FIX_42)], ids=str)
def test_a_refused_message_far_ahead_is_not_one_that_was_seen(texts: Texts, number: int) -> None:
    """Else its venue could never log on again: what it sends would be of too low a number."""
    topology, client, venue, child = texts
    venue.put("8", number, [(11, child), (37, "V1"), (38, "x"), (150, "x"), (39, ""), (14, "0")])
    venue.fill(child, 4)
    fill_seen(topology, client)
    assert exposure(topology) == (4, 6, 0) and topology.state.record.fault == 0
    assert max(topology.state.record.sessions["last_in"]) < 1000
    works(client, "a2")


LIST_ID: list[Field] = [(66, "L1")]
ENTRY: list[Field] = [(11, "l1"), (67, "1"), (55, "AAPL"), (54, "1"), (38, "1"), (40, "2"), (44, "99"), (60, utc_now())]
STATUS: list[Field] = [*LIST_ID, (429, "2"), (82, "1"), (431, "3"), (83, "1"), (68, "1"), (73, "1")]
UNSERVED: list[tuple[str, list[Field]]] = [
    ("E", [*LIST_ID, (394, "3"), (68, "1")]),
    ("E", [*LIST_ID, (394, "3"), (68, "1"), (73, "1"), *ENTRY]),
    ("E", [*LIST_ID, (394, "3"), (68, "2"), (73, "2"), *ENTRY, (11, "l2"), (67, "2"), *ENTRY[2:]]),
    ("R", [(131, "Q1"), (146, "1"), (55, "AAPL")]),
    ("c", [(320, "S1"), (321, "0"), (55, "AAPL")]),
    ("e", [(324, "S2"), (55, "AAPL"), (263, "0")]),
    ("L", [*LIST_ID, (60, utc_now())]),
    ("N", [*STATUS, (11, "l1"), (14, "0"), (39, "0"), (151, "1"), (84, "0"), (6, "0")]),
]
SIDES: list[Field] = [(552, "1"), (54, "1"), (11, "x1"), (38, "1")]
CROSS: list[Field] = [(548, "X1"), (549, "1"), (550, "0"), *SIDES, (55, "AAPL"), (40, "2"), (44, "99"), (60, utc_now())]
UNSERVED_44: list[tuple[str, list[Field]]] = [
    ("s", CROSS),
    ("t", [(551, "X0"), *CROSS]),
    ("AE", [(571, "T1"), (570, "N"), (55, "AAPL"), (32, "1"), (31, "99"), (75, "20260711"), (60, utc_now())]),
    ("BH", [(859, "B1"), (773, "1"), (60, utc_now())]),
]


@BOTH
def test_message_types_that_are_not_served_are_answered(start, version: str) -> None:
    """A standard type with a business reject, one that no FIX version has with a session reject."""
    topology = start(ems=(), raw=("RAW",), versions={"RAW": version})
    wanted = [(kind, fields, "j") for kind, fields in UNSERVED + (UNSERVED_44 if version == FIX_44 else [])]
    wanted.append(("ZZ", [(58, "nobody knows this")], "3"))
    problems = []
    with log_on(topology, version) as client:
        for kind, fields, answer in wanted:
            number = client.say(kind, fields)
            told = client.answer(ANSWERED_S) or []
            tags = (35, 45, 372, 380) if answer == "j" else (35, 45, 372, 373)
            right = [answer, str(number), kind, "3" if answer == "j" else "11"]
            if [first(told, tag) for tag in tags] != right:
                problems.append(f"{kind} {fields}: {told or 'no answer'}")
        works(client, "a1", "XNAS")
    assert problems == [], "\n".join(["", *problems])


def booked(topology: Topology, ems: Ems, order: str, quantity: int) -> None:
    """The EMS has been told of a fill, and it is in the position."""
    try:
        ems.wait_for(lambda: ems.order(order).cum == str(quantity), 5)
    except TimeoutError:
        fault = int(topology.state.record.fault)
        raise AssertionError(f"the fill is not booked; fault {fault}; {topology.gateway.log[-3:]}") from None
    assert exposure(topology)[0] == quantity


def trades_on(topology: Topology, ems: Ems, venue: RawVenue) -> None:
    """Orders go out to the venue, to the other one too, and nothing is broken."""
    before = len(venue.got("D"))
    order = ems.new_order(symbol="AAPL", quantity=2, price="99", extra=[(100, venue.name)])
    ems.wait_for(lambda: ems.order(order).status, 10, "an answer")
    assert ems.order(order).status == "0", ems.order(order).text
    assert len(venue.got("D")) == before + 1
    place(ems)
    assert topology.state.record.fault == 0


def with_order(start, venue: RawVenue) -> tuple[Topology, Ems, str, str]:
    """An order of an EMS that works at a raw venue: its ClOrdIDs with the EMS and there."""
    topology = start(elsewhere={"XRAW": venue.port}, versions={"XRAW": venue.begin_string})
    venue.wait_on()
    order = place(topology.ems["EMS1"], extra=[(100, "XRAW")])
    return topology, topology.ems["EMS1"], order, first(venue.got("D")[0], 11)


@pytest.mark.parametrize("more", [[], [(97, "Y")]], ids=["", "possresend"])
@BOTH
def test_a_fill_sent_again_without_its_time_counts_once(start, version: str, more: list[Field]) -> None:
    """PossDupFlag(43) without OrigSendingTime(122), with the number of before."""
    with RawVenue("XRAW", version) as venue:
        topology, ems, order, child = with_order(start, venue)
        exec_id, number = venue.fill(child, 3)
        booked(topology, ems, order, 3)
        venue.fill(child, 3, [(43, "Y"), (34, str(number)), *more], exec_id=exec_id)
        trades_on(topology, ems, venue)
        booked(topology, ems, order, 3)
        assert fills(ems, order) == ["3"]
        venue.fill(child, 2)
        booked(topology, ems, order, 5)


@BOTH
def test_a_fill_that_was_missed_and_is_sent_again_without_its_time_counts(start, version: str) -> None:
    """It is what a ResendRequest is answered with."""
    with RawVenue("XRAW", version) as venue:
        topology, ems, order, child = with_order(start, venue)
        venue.tells_original_time = False
        venue.fill(child, 3, lost=True)
        venue.fill(child, 2)
        booked(topology, ems, order, 5)
        trades_on(topology, ems, venue)
        assert (sorted(fills(ems, order)), exposure(topology)[0]) == (["2", "3"], 5)


@pytest.mark.parametrize("age_s", [125, -125, 100_000], ids=["late", "ahead", "days-late"])
@BOTH
def test_a_fill_is_booked_whatever_its_sending_time(start, version: str, age_s: int) -> None:
    with RawVenue("XRAW", version) as venue:
        topology, ems, order, child = with_order(start, venue)
        sent_at = datetime.now(UTC) - timedelta(seconds=age_s)
        venue.fill(child, 3, [(52, sent_at.strftime("%Y%m%d-%H:%M:%S.%f")[:-3])])
        booked(topology, ems, order, 3)
        trades_on(topology, ems, venue)
        assert fills(ems, order) == ["3"]


def test_a_fill_of_another_version_is_booked(start) -> None:
    """QuickFIX counts it, says nothing and logs out."""
    with RawVenue("XRAW", FIX_44) as venue:
        topology, ems, order, child = with_order(start, venue)
        venue.begin_string = FIX_42
        venue.fill(child, 3, once=True)
        venue.begin_string = FIX_44
        booked(topology, ems, order, 3)
        topology.gateway.wait_log("logout", session="XRAW", text="Incorrect BeginString")
        venue.wait_for(lambda: len(venue.got("A")) > 1 and venue.is_on, 20, "another logon")
        venue.fill(child, 2)
        booked(topology, ems, order, 5)


def fills(ems: Ems, order: str) -> list[str]:
    """LastQty(32) of each fill that the EMS was told of."""
    return [first(report, 32) for report in ems.reports(order) if first(report, 32) not in ("", "0")]
