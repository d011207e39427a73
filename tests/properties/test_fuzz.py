"""Messages broken in every way: the core never fails, sends only what a strict reading allows, and loses nothing."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.core.layout import MAX_MESSAGE_BYTES
from tests.support.core import BASE, LIMITS, Core, Fields

SOH = b"\x01"
STAMP = "20260711-12:00:00.000"
DATA_FIELDS = {89: 93, 91: 90, 96: 95, 213: 212, 349: 348, 351: 350, 353: 352, 355: 354, 357: 356, 359: 358, 361: 360}
DATA_FIELDS |= {363: 362, 365: 364, 446: 445, 619: 618, 622: 621}
OWN_FIELDS = {11, 37, 41, 526}  # of a child: not as they came
TERMS = {38, 40, 44, 54, 59, 99}
ORD_TYPES = {"FIX.4.2": "12345B", "FIX.4.4": "1234"}
ON_CLOSE = (b"5", b"B")  # of FIX 4.2: they are for the close, and TimeInForce(59) says nothing else
FUZZ = settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
EXAMPLES_A_START = 250  # the tables have room for so many orders and more

Reply = list[tuple[str, str, Fields]]
ParsedFields = list[tuple[int, bytes]]


# The reference: a strict reading of a message, written from the specification


def strict_fields(data: bytes) -> ParsedFields | None:
    """Fields of a message, or None where it is no message at all."""
    fields: ParsedFields = []
    at = 0
    while at < len(data):
        match = re.compile(rb"([1-9][0-9]{0,8})=").match(data, at)
        if match is None:
            return None
        tag, at = int(match[1]), match.end()
        end = data.find(SOH, at)
        if fields and tag in DATA_FIELDS and fields[-1][0] == DATA_FIELDS[tag]:
            if not re.fullmatch(rb"[0-9]+", fields[-1][1]):
                return None
            end = at + int(fields[-1][1])
            if data[end : end + 1] != SOH:
                return None
        if end < 0:
            return None
        fields.append((tag, data[at:end]))
        at = end + 1
    return fields


def positive(value: bytes) -> Decimal:
    """An exact positive decimal of at most eight places."""
    assert re.fullmatch(rb"[0-9]+\.?[0-9]*|\.[0-9]+", value), value
    number = Decimal(value.decode())
    assert 0 < number <= 10**10 and number == round(number, 8)
    return number


def check_child(version: str, data: bytes, msg_type: str, child: Fields, known: set[str]) -> None:
    """A child must be what the message says, and what the message says must be allowed."""
    fields = strict_fields(data)
    assert fields is not None, "a child of bytes that are no message"
    assert len(data) <= MAX_MESSAGE_BYTES
    by_tag: dict[int, list[bytes]] = {}
    for tag, value in fields:
        by_tag.setdefault(tag, []).append(value)
    # A cancel is made of the order: what else it says keeps no order alive.
    assert all(value for tag, value in fields if msg_type != "F" or tag in (11, 41)), "a child of an empty field"
    assert by_tag[35] == [msg_type.encode()]
    assert by_tag[11][0].decode("latin-1") == child.get(526, by_tag[11][0].decode("latin-1"))
    if msg_type in "GF":
        assert by_tag[41][0].decode("latin-1") in known
    if msg_type == "F":
        return
    for tag in child.keys() - OWN_FIELDS - TERMS:
        assert [v.decode("latin-1") for v in by_tag[tag]] == [child[tag]], f"tag {tag}"
    for tag in (1, 11, 38, 40, 44, 54, 55, 59, 60, 99):
        assert len(by_tag.get(tag, [])) <= 1, f"a child of a message with tag {tag} twice"
        assert tag in OWN_FIELDS | TERMS or (tag in by_tag) == (tag in child)
    # The terms are written anew, so that what was checked goes out: the same values, and none that has no meaning.
    assert (child[40], child[54]) == (by_tag[40][0].decode(), by_tag[54][0].decode())
    assert child[59] == by_tag.get(59, [b"0"])[0].decode()
    for tag, types in ((38, ORD_TYPES[version]), (44, "24B"), (99, "34")):
        assert (tag in child) == (child[40] in types)
        assert tag not in child or Decimal(child[tag]) == Decimal(by_tag[tag][0].decode())
    # A replace that names no account is for that of its order, ACC1.
    account = {1: b"ACC1"} if msg_type == "G" else {}
    check_terms(version, account | {tag: values[0] for tag, values in by_tag.items()})


def check_terms(version: str, value: dict[int, bytes]) -> None:
    """The limits of the config, by hand: 1000 shares, 10,000,000 of money, 5% beyond a reference of 100."""
    assert value[1] in (b"ACC1", b"ACC2")
    assert value[54] in (b"1", b"2", b"5")
    assert value[40].decode() in ORD_TYPES[version]
    times = (b"0",) if value[40] in ON_CLOSE else (b"0", b"1", b"2", b"3", b"4", b"6", b"7")
    assert value.get(59, b"0") in times
    assert value.get(55) == b"AAPL" or value.get(48) == b"US0378331005"
    assert value.get(48, b"US0378331005") == b"US0378331005" and value.get(55, b"AAPL") == b"AAPL"
    quantity = positive(value[38])
    assert quantity <= 1000 and quantity == int(quantity)
    for tag, types in ((44, b"24B"), (99, b"34")):
        if value[40] in types:
            assert positive(value[tag]) * 100 % 1 == 0
    if value[40] in b"24B":
        price = positive(value[44])
        assert price <= 105 if value[54] == b"1" else price >= 95
        assert price * quantity <= 10_000_000


# Ways to break a message


ODD_VALUES = [
    b"",
    b"0",
    b"-1",
    b"1e9",
    b"99999999999999999999",
    b"0.000000001",
    b"\xff",
    b"Y",
    b"A=B",
    b"1" * 70,
    b" ",
    b"NaN",
]
POSITION = st.integers(0, 2000)
VALUE = st.one_of(st.sampled_from(ODD_VALUES), st.binary(max_size=12))
TAG = st.sampled_from(
    [1, 11, 34, 35, 38, 40, 41, 43, 44, 48, 54, 55, 59, 60, 97, 99, 100, 354, 355, 453, 448, 9999, 10_000]
)
MUTATION = st.one_of(
    st.tuples(st.just("flip"), POSITION, st.integers(0, 7)),
    st.tuples(st.just("cut"), POSITION, st.integers(0, 20)),
    st.tuples(st.just("truncate"), POSITION, st.just(0)),
    st.tuples(st.just("insert"), POSITION, st.binary(max_size=8)),
    st.tuples(st.just("double"), POSITION, POSITION),
    st.tuples(st.just("swap"), POSITION, POSITION),
    st.tuples(st.just("value"), POSITION, VALUE),
    st.tuples(st.just("field"), POSITION, st.tuples(TAG, VALUE)),
    st.tuples(
        st.just("grow"), st.sampled_from([600, 8_000, 8_192, 20_000, 100_000]), st.sampled_from([b"58=", b"x", SOH])
    ),
)
MUTATIONS = st.lists(MUTATION, min_size=1, max_size=4)


def mutate(data: bytes, mutations: list[tuple[str, int, Any]]) -> bytes:
    """The message after all mutations."""
    for kind, position, argument in mutations:
        at = position % (len(data) + 1)
        fields = data.split(SOH)
        one = position % len(fields)
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << argument)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at] + data[at + argument :]
        elif kind == "truncate":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + argument + data[at:]
        elif kind == "grow":
            data = data[: len(data) // 2] + (argument * position)[:position] + data[len(data) // 2 :]
        elif kind == "double":
            data = SOH.join([*fields[: argument % len(fields)], fields[one], *fields[argument % len(fields) :]])
        elif kind == "swap":
            other = argument % len(fields)
            fields[one], fields[other] = fields[other], fields[one]
            data = SOH.join(fields)
        elif kind == "value":
            fields[one] = fields[one].partition(b"=")[0] + b"=" + argument
            data = SOH.join(fields)
        elif kind == "field":
            data = SOH.join([*fields[:one], b"%d=%s" % argument, *fields[one:]])
    return data


# The core under attack


def latin(body: bytes) -> Fields:
    """Fields of what the core sends; an alert has none."""
    parts = [part.partition(b"=") for part in body.split(SOH) if part]
    return {int(tag): value.decode("latin-1") for tag, _, value in parts if tag.isdigit()}


class Target:
    """A core that starts over before its tables are full, and the ids in use."""

    def __init__(self, folder: Path, version: str) -> None:
        self.version = version
        self.examples = self.next_id = 0
        self.sent: set[bytes] = set()
        config: dict[str, Any] = copy.deepcopy(BASE)
        for session in config["sessions"]:
            session["begin_string"] = version
        limits = copy.deepcopy(LIMITS)
        limits["account"]["default"] |= {"max_long": "unlimited", "max_short": "unlimited"}
        self.core = Core(folder, config, limits)
        self.block = self.core.state.block.view(np.uint8)
        self.fresh = self.block.copy()

    def renew(self) -> None:
        """Back to the state of a start."""
        self.block[:] = self.fresh
        self.sent = set()

    def begin(self) -> Core:
        self.examples += 1
        if self.examples % EXAMPLES_A_START == 0 or self.core.record.fault:
            self.renew()
        self.core.wait(0.1)
        self.core.quote("AAPL", 99.99, 100.01, 100)
        return self.core

    def send(self, session: str, data: bytes) -> Reply:
        """What the core sends when these bytes come in; values as latin-1, since any byte may come back."""
        names = {row: name for name, row in self.core.sessions.items()}
        event = Event(ev.MESSAGE, self.core.time_ns, self.core.sessions[session], 5, False, data)
        return [(names.get(o.session, ""), o.message_type, latin(o.body)) for o in self.core.driver.handle(event)]

    def fresh_id(self) -> str:
        self.next_id += 1
        return f"F{self.next_id}"

    def order(self) -> tuple[str, Fields]:
        """A sound order: its ClOrdID and its child."""
        cl_ord_id = self.fresh_id()
        self.sent.add(cl_ord_id.encode())
        ((session, msg_type, child),) = self.core.new(cl_ord_id)
        assert (session, msg_type) == ("XNAS", "D")
        return cl_ord_id, child

    def message(self, msg_type: str, fields: list[tuple[int, str]], sender: str) -> bytes:
        head = [(8, self.version), (9, "100"), (35, msg_type), (34, "5"), (49, sender), (52, STAMP), (56, "GW")]
        return b"".join(b"%d=%s\x01" % (tag, value.encode("latin-1")) for tag, value in [*head, *fields, (10, "000")])


@pytest.fixture(scope="module", params=["FIX.4.4", "FIX.4.2"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("fuzz"), request.param)
    yield made
    made.begin()
    made.order()


def ems_message(target: Target, kind: str) -> tuple[bytes, set[str]]:
    """A sound message of an EMS, and the ClOrdIDs that its 41 may name."""
    mine = target.fresh_id()
    terms = [(21, "1"), (38, "7"), (40, "2"), (44, "100.01"), (54, "1"), (55, "AAPL"), (59, "0"), (60, STAMP)]
    if kind == "D":
        return target.message("D", [(1, "ACC1"), (11, mine), *terms], "EMS1"), set()
    if kind == "stop":
        stop = [
            (1, "ACC2"),
            (11, mine),
            (21, "1"),
            (38, "5"),
            (40, "4"),
            (44, "99.5"),
            (48, "US0378331005"),
            (22, "4"),
            (54, "2"),
        ]
        stop += [(55, "AAPL"), (60, STAMP), (99, "99"), (354, "5"), (355, "a\x0138=")]
        if target.version == "FIX.4.4":
            stop += [(453, "2"), (448, "P"), (447, "D"), (452, "1"), (448, "Q"), (452, "3")]
        return target.message("D", stop, "EMS1"), set()
    order, _ = target.order()
    if kind == "G":
        return target.message("G", [(1, "ACC1"), (11, mine), *terms, (41, order)], "EMS1"), {order}
    return target.message("F", [(11, mine), (38, "100"), (41, order), (54, "1"), (55, "AAPL"), (60, STAMP)], "EMS1"), {
        order
    }


def first_values(data: bytes) -> dict[int, bytes]:
    """The first value of each tag."""
    first: dict[int, bytes] = {}
    for tag, value in strict_fields(data) or []:
        first.setdefault(tag, value)
    return first


def is_seen(target: Target, data: bytes) -> bool:
    """Whether its ClOrdID was sent before."""
    return first_values(data).get(11, b"") in target.sent


@pytest.mark.parametrize("kind", ["D", "stop", "G", "F"])
@FUZZ
@given(mutations=MUTATIONS, twice=st.booleans())
def test_broken_messages_of_an_ems(
    target: Target, kind: str, mutations: list[tuple[str, int, Any]], twice: bool
) -> None:
    core = target.begin()
    pristine, known = ems_message(target, kind)
    data = mutate(pristine, mutations)
    before = {cl_ord_id.decode("latin-1") for cl_ord_id in target.sent}
    for times in range(1 + twice):
        replies = target.send("EMS1", data)
        if not times or replies or first_values(data).get(97) != b"Y":  # a refusal is not given again
            check_answer(target, data, replies, known | before)
        target.sent.update(value for tag, value in strict_fields(data) or [] if tag == 11)
    assert core.record.fault == 0


def check_answer(target: Target, data: bytes, replies: Reply, known: set[str]) -> None:
    answers = [reply for reply in replies if reply[0]]
    assert len(answers) == 1, f"{len(answers)} answers to {data[:600]!r}"
    for session, msg_type, fields in answers:
        if session == "XNAS":
            assert msg_type in ("D", "G", "F")
            check_child(target.version, data, msg_type, fields, known)
        else:
            assert session == "EMS1" and msg_type in ("8", "9", "3", "j")
            assert msg_type != "8" or is_answer(target, data, fields)


def is_answer(target: Target, data: bytes, fields: Fields) -> bool:
    """Whether a report refuses an order, or tells the state of one that has its ClOrdID: of a working order where that
    is used again, or when the message says by PossResend that it came before.
    """
    if (fields[150], fields[39]) == ("8", "8"):
        return True
    has_order = is_seen(target, data) and fields[37] != "NONE"
    if fields[150] == "8":
        return has_order and fields[103] == "6"
    is_status = fields[150] == "I" if target.version == "FIX.4.4" else fields[20] == "3"
    return has_order and is_status and first_values(data).get(97) == b"Y"


@FUZZ
@given(data=st.binary(max_size=300), grow=st.sampled_from([1, 1, 1, 30, 350]))
def test_bytes_at_random(target: Target, data: bytes, grow: int) -> None:
    target.begin()
    check_answer(target, data * grow, target.send("EMS1", data * grow), set())
    replies = target.send("XNAS", data * grow)
    assert not [reply for reply in replies if reply[0] == "XNAS"]
    check_nobody_is_blocked(target)


def check_nobody_is_blocked(target: Target) -> None:
    """Whatever came from a venue raises no fault, and the next order passes."""
    assert target.core.record.fault == 0
    for _ in range(2):  # the first may seem too far off the price that came
        target.core.quote("AAPL", 99.99, 100.01, 100)
    target.order()


def venue_message(target: Target, kind: str) -> bytes:
    """A sound message of a venue about a fresh order."""
    _, child = target.order()
    exec_id = target.fresh_id()
    if kind == "9":
        fields = [(11, child[11]), (37, "V1"), (39, "0"), (41, child[11]), (102, "0"), (434, "1")]
        return target.message("9", fields, "XNAS")
    if kind == "W":
        fields = [(55, "AAPL"), (262, "1"), (268, "2"), (269, "0"), (270, "99.99"), (269, "1"), (270, "100.01")]
        return target.message("W", fields, "XNAS")
    fields = [(6, "100"), (11, child[11]), (14, "40"), (17, exec_id), (31, "100"), (32, "40"), (37, "V"), (39, "1")]
    fields += [(54, "1"), (55, "AAPL"), (150, "F" if target.version == "FIX.4.4" else "1"), (151, "60")]
    return target.message("8", sorted([*fields, (20, "0")] if target.version == "FIX.4.2" else fields), "XNAS")


@pytest.mark.parametrize("kind", ["8", "9", "W"])
@FUZZ
@given(mutations=MUTATIONS)
def test_broken_messages_of_a_venue(target: Target, kind: str, mutations: list[tuple[str, int, Any]]) -> None:
    core = target.begin()
    data = mutate(venue_message(target, kind), mutations)
    replies = target.send("XNAS", data)
    assert {session for session, _, _ in replies} <= {"", "EMS1", "XNAS"}
    if re.findall(rb"\x0135=([^\x01]*)", data) == [b"8"]:
        assert len([reply for reply in replies if not reply[0]]) <= 1, "a report raises one alert"
    for session, msg_type, fields in replies:
        assert session != "XNAS" or msg_type == "H", "a venue's report never makes an order, it may make a question"
        if session == "EMS1":
            assert msg_type in ("8", "9")
            assert msg_type == "9" or Decimal(fields[14]) >= 0 and Decimal(fields[151]) >= 0
    exposures = core.record["exposures"][: core.record.exposure_count]
    assert (exposures["open_buy_e8"] >= 0).all() and (exposures["open_sell_e8"] >= 0).all()
    check_nobody_is_blocked(target)


@FUZZ
@given(mutations=MUTATIONS)
def test_a_sound_fill_counts_whatever_came_before(target: Target, mutations: list[tuple[str, int, Any]]) -> None:
    """A broken report on an order, then a sound fill, twice: the fill is in the position, once."""
    core = target.begin()
    broken = venue_message(target, "8")
    fill = re.sub(rb"\x0117=[^\x01]*", b"\x0117=" + target.fresh_id().encode(), broken)
    order = core.record.orders[core.record.order_count - 1]
    target.send("XNAS", mutate(broken, mutations))
    target.send("XNAS", fill)
    cum_e8 = int(order.cum_e8)
    assert cum_e8 >= 40 * 10**8
    target.send("XNAS", fill)
    assert order.cum_e8 == cum_e8


@pytest.mark.soak
def test_the_same_with_every_index_checked() -> None:
    """The tests above in kernels compiled with bounds checks; compiles them first, which takes a while."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not soak", __file__]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:]
