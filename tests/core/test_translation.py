"""An EMS of one FIX version at a venue of the other: what is said arrives with the same meaning, or is refused.

QuickFIX's strict dictionary of the receiving side is the referee of every message, and the XML files say which values
there are.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import shipped
from gateway.state.build import CARRIED_FROM_ORDERS
from tests.support.checks import Reply, fired
from tests.support.core import Core, Fields
from tests.support.kill import canceled, cancels, core_of, is_told_by_us, to_ems
from tests.support.referee import faults

CROSSED = [("FIX.4.2", "FIX.4.4"), ("FIX.4.4", "FIX.4.2")]
TO_44, TO_42 = CROSSED
CROSSED += [("FIX.4.2", "FIXT.1.1"), ("FIXT.1.1", "FIX.4.2"), ("FIX.4.4", "FIXT.1.1"), ("FIXT.1.1", "FIX.4.4")]
SAMPLES = {"STRING": "X1", "CHAR": "A", "INT": "1", "CURRENCY": "USD", "UTCTIMESTAMP": "20260711-12:00:00.000"}
SAMPLES |= {"LOCALMKTDATE": "20260712", "PRICE": "100.5", "QTY": "10", "EXCHANGE": "XNAS", "BOOLEAN": "Y"}
SAMPLES |= {"MULTIPLEVALUESTRING": "1", "MULTIPLESTRINGVALUE": "1", "AMT": "1", "PRICEOFFSET": "1"}


class Book:
    """What a dictionary's XML file says of fields and messages; components are taken apart, groups left out."""

    def __init__(self, begin_string: str) -> None:
        root = ET.parse(shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml").getroot()
        fields = {f.attrib["name"]: f for f in root.find("fields") or ()}
        self.number = {name: int(f.attrib["number"]) for name, f in fields.items()}
        self.type = {int(f.attrib["number"]): f.attrib["type"] for f in fields.values()}
        self.values = {int(f.attrib["number"]): [v.attrib["enum"] for v in f] for f in fields.values()}
        components = {c.attrib["name"]: c for c in root.find("components") or ()}
        self.tags: dict[str, set[int]] = {}
        for message in root.find("messages") or ():
            self.tags[message.attrib["msgtype"]] = set(self._tags(message, components))

    def _tags(self, element: ET.Element, components: dict[str, ET.Element]) -> Iterator[int]:
        for child in element:
            if child.tag == "field":
                yield self.number[child.attrib["name"]]
            elif child.tag == "component":
                yield from self._tags(components[child.attrib["name"]], components)

    def samples(self, tag: int) -> list[str]:
        """Every value of a field, or one of its type; the core's tables keep values of up to eight bytes."""
        return [value for value in self.values[tag] if len(value) <= 8] or [SAMPLES[self.type[tag]]]


BOOKS = {version: Book(version) for version in ("FIX.4.2", "FIX.4.4", "FIXT.1.1")}

# Rule80A(47), OrderCapacity(528), OrderRestrictions(529): FIX 4.4 volume 7 has the same pairs.
CAPACITIES = {
    **{"A": ("A", None), "I": ("I", None), "P": ("P", None), "W": ("W", None)},
    **{"D": ("P", "1 2"), "C": ("P", "1 3"), "J": ("I", "1 2"), "K": ("I", "1 3")},
    **{"U": ("A", "1 2"), "Y": ("A", "1 3"), "M": ("W", "1 2"), "N": ("W", "1 3")},
}
MAPPED = {47, 204, 528, 529, 582}


@pytest.fixture(params=CROSSED, ids="-".join)
def versions(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def core(tmp_path: Path, versions: tuple[str, str]) -> Iterator[Core]:
    made = core_of(tmp_path, *versions)
    yield made
    assert faults(made) == []


def crossing(tmp_path: Path, versions: tuple[str, str]) -> Core:
    return core_of(tmp_path, *versions)


def child_of(reply: Reply) -> Fields | None:
    """The child that went to the venue, or None after a refusal for its translation."""
    if fired(reply) == set():
        return reply[0][2]
    assert fired(reply) == {"TRANSLATION"}, reply
    return None


def fields_of(msg_type: str, tags: set[int], of_venue: bool = False) -> pytest.MarkDecorator:
    """Parameters `versions` and `tag`: the tags that messages of a type have in the version they come in."""
    found = [(pair, tag) for pair in CROSSED for tag in sorted(tags) if tag in BOOKS[pair[of_venue]].tags[msg_type]]
    names = [f"{pair[0][4:]} to {pair[1][4:]}-{tag}" for pair, tag in found]
    return pytest.mark.parametrize(("versions", "tag"), found, indirect=["versions"], ids=names)


# Orders and replaces, field by field


@pytest.mark.parametrize("msg_type", ["D", "G"])
@fields_of("D", {*CARRIED_FROM_ORDERS, 59} - MAPPED - {1, 48, 22, 54, 55})
def test_a_field_arrives_as_it_was_or_the_order_is_refused(
    core: Core, versions: tuple[str, str], tag: int, msg_type: str
) -> None:
    ems, venue = (BOOKS[version] for version in versions)
    since = len(core.log)
    for number, value in enumerate(ems.samples(tag)):
        more = {f"t{tag}": value}
        if tag == 432 or (tag == 59 and value == "6"):
            more |= {"t59": "6", "t432": "20260712"}
        if msg_type == "D":
            reply = core.new(f"A{number}", px=f"{90 - number / 100:.2f}", **more)
        else:
            core.working(f"A{number}", px=f"{90 - number / 100:.2f}")
            reply = core.replace(f"R{number}", f"A{number}", px=f"{80 - number / 100:.2f}", **more)
        if "WELL_FORMED" in fired(reply) or (tag, value) == (59, "7"):
            continue  # for the close: FIX 4.2 says it by OrdType(40), see test_terms
        child = child_of(reply)
        known = tag in venue.tags[msg_type] and (not venue.values[tag] or value in venue.values[tag])
        assert (child is not None) == known, (tag, value, reply)
        assert child is None or child[tag] == value
    assert faults(core, since) == []


@fields_of("D", {18})
def test_a_value_of_several_words_is_judged_word_by_word(core: Core, versions: tuple[str, str], tag: int) -> None:
    ems, venue = (BOOKS[version] for version in versions)
    own = [v for v in ems.values[tag] if "WELL_FORMED" not in fired(core.new(f"T{v}", **{f"t{tag}": v}))]
    shared = [v for v in own if v in venue.values.get(tag, ())]
    alone = [v for v in own if v not in venue.values.get(tag, ())]
    child = child_of(core.new("A", **{f"t{tag}": " ".join(shared[:2])}))
    assert child is not None and child[tag] == " ".join(shared[:2])
    for number, value in enumerate(alone):
        assert child_of(core.new(f"B{number}", **{f"t{tag}": f"{shared[0]} {value}"})) is None


def test_an_order_with_the_least_that_its_version_asks_for(core: Core, versions: tuple[str, str]) -> None:
    """4.2 requires HandlInst(21), later ones do not: a child of an order without it is for automated execution."""
    without = {"t21": None} if versions[0] != "FIX.4.2" else {}
    handled = "1" if "FIX.4.2" in versions else None
    [(_, _, child)] = core.new("A", t59=None, **without)
    assert child.get(21) == handled and child[59] == "0"
    core.report(child[11], "X1", "0", "0", t151="100")
    [(_, msg_type, child)] = core.replace("R", "A", qty="50", **without)
    assert (msg_type, child.get(21)) == ("G", handled)


def test_handl_inst_of_the_ems_is_kept(core: Core) -> None:
    assert core.new("A", t21="2")[0][2][21] == "2"


@pytest.mark.parametrize("kind", "1234")
def test_every_type_of_order(core: Core, kind: str) -> None:
    price = "100" if kind in "24" else None
    child = child_of(core.new("A", t40=kind, px=price, t99="100" if kind in "34" else None))
    assert child is not None and (child[40], child.get(44)) == (kind, price)


def test_short_sales(core: Core, versions: tuple[str, str]) -> None:
    child = child_of(core.new("A", side="5", t114="N"))
    assert child is not None and (child[54], child[114]) == ("5", "N")


def test_links_to_the_parent_are_for_44_and_later(core: Core, versions: tuple[str, str]) -> None:
    child = child_of(core.new("A"))
    assert child is not None and child.get(526) == ("A" if versions[1] != "FIX.4.2" else None)


def test_an_instrument_named_by_its_security_id(core: Core, versions: tuple[str, str]) -> None:
    child = child_of(core.new("A", t48="US0378331005", t22="4"))
    assert child is not None and (child[55], child[48], child[22]) == ("AAPL", "US0378331005", "4")


def test_an_instrument_named_by_its_security_id_alone(tmp_path: Path) -> None:
    """In 4.2 Symbol(55) is required, so it must be filled in, or the order refused."""
    core = crossing(tmp_path, TO_42)
    reply = core.new("A", symbol=None, t48="US0378331005", t22="4")
    assert faults(core) == [], "what goes to the venue must be valid there"
    if fired(reply) == set():
        assert reply[0][2][55] == "AAPL"


# For whom it is


@pytest.mark.parametrize("rule", BOOKS["FIX.4.2"].values[47])
def test_rule_80a_to_44(tmp_path: Path, rule: str) -> None:
    core = crossing(tmp_path, TO_44)
    child = child_of(core.new("A", t47=rule))
    if rule not in CAPACITIES:
        assert child is None
    else:
        assert child is not None and (child[528], child.get(529)) == CAPACITIES[rule]
        assert 47 not in child
    assert faults(core) == []


@pytest.mark.parametrize("rule", CAPACITIES)
def test_order_capacity_to_42(tmp_path: Path, rule: str) -> None:
    core = crossing(tmp_path, TO_42)
    capacity, restriction = CAPACITIES[rule]
    child = child_of(core.new("A", t528=capacity, t529=restriction))
    assert child is not None and child[47] == rule and 528 not in child and 529 not in child
    assert faults(core) == []


@pytest.mark.parametrize("msg_type", ["D", "G"])
@pytest.mark.parametrize("capacity", BOOKS["FIX.4.4"].values[528])
@pytest.mark.parametrize(
    "restriction", [None, *BOOKS["FIX.4.4"].values[529], "1 2", "1 3", "2 1", "1 2 3", "1  2", "1 4"]
)
def test_every_capacity_and_restriction_to_42(
    tmp_path: Path, capacity: str, restriction: str | None, msg_type: str
) -> None:
    core = crossing(tmp_path, TO_42)
    if msg_type == "D":
        reply = core.new("A", t528=capacity, t529=restriction)
    else:
        core.working("A")
        reply = core.replace("R", "A", qty="50", t528=capacity, t529=restriction)
    if reply[0][1] == "3":
        assert restriction is not None, "no value of the dictionary"
        return
    child = child_of(reply)
    meant = [rule for rule, said in CAPACITIES.items() if said == (capacity, restriction)]
    assert (child is not None) == bool(meant), reply
    assert child is None or child[47] == meant[0]
    assert faults(core) == []


def test_a_restriction_without_a_capacity_cannot_be_said_in_42(tmp_path: Path) -> None:
    core = crossing(tmp_path, TO_42)
    assert child_of(core.new("A", t529="1 2")) is None


@pytest.mark.parametrize(("customer", "capacity"), [("0", "A"), ("1", "P")])
def test_customer_or_firm_to_44(tmp_path: Path, customer: str, capacity: str) -> None:
    core = crossing(tmp_path, TO_44)
    child = child_of(core.new("A", t204=customer))
    assert child is not None and child[528] == capacity and 204 not in child
    child = child_of(core.new("B", t204=customer, t47="I", px="99"))
    assert child is not None and child[528] == "I", "Rule80A says more"
    assert faults(core) == []


@pytest.mark.parametrize(("capacity", "customer"), [("1", "1"), ("2", "1"), ("3", "0"), ("4", "0")])
def test_cust_order_capacity_to_42(tmp_path: Path, capacity: str, customer: str) -> None:
    """Members trading for themselves and clearing firms are firm, members for others and all others customers."""
    core = crossing(tmp_path, TO_42)
    child = child_of(core.new("A", t582=capacity))
    assert child is not None and child[204] == customer and 582 not in child
    assert faults(core) == []


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4"])
def test_nothing_is_translated_within_one_version(tmp_path: Path, version: str) -> None:
    core = core_of(tmp_path, version, version)
    said = {"t47": "J", "t204": "0"} if version == "FIX.4.2" else {"t528": "G", "t529": "4", "t582": "3"}
    child = child_of(core.new("A", **said, t59="7" if version == "FIX.4.4" else "0"))
    assert child is not None and {f"t{tag}": child.get(int(tag)) for tag in (k[1:] for k in said)} == said
    assert faults(core) == []


def test_what_cannot_be_said_is_refused_with_other_reasons(tmp_path: Path) -> None:
    core = crossing(tmp_path, TO_42)
    reply = core.new("A", t528="G", qty="0")
    assert fired(reply) == {"TRANSLATION", "WELL_FORMED"} and "G" in reply[0][2][58]
    assert reply[0][2][103] == "0"
    core.working("B")
    [(_, msg_type, fields)] = core.replace("R", "B", qty="50", t528="G")
    assert (msg_type, fields[434], fields[102], fields[39]) == ("9", "2", "2", "0")
    assert faults(core) == []


def test_parties_and_texts_do_not_stop_an_order(tmp_path: Path) -> None:
    """They go to no venue, so they need no translation."""
    core = crossing(tmp_path, TO_42)
    head = b"8=FIX.4.4\x019=0\x0135=D\x0134=9\x0149=EMS1\x0152=20260711-12:00:00.000\x0156=GW\x01"
    body = b"1=ACC1\x0111=A\x0138=1\x0140=2\x0144=100\x0154=1\x0155=AAPL\x0158=hello\x0159=0\x01"
    body += b"60=20260711-12:00:00.000\x01453=1\x01448=D1\x01447=D\x01452=7\x0110=000\x01"
    assert child_of(core.raw("EMS1", head + body)) is not None
    assert faults(core) == []


# Cancels


def test_a_cancel(core: Core) -> None:
    child = core.working("A")
    [(venue, msg_type, fields)] = core.cancel("F", "A")
    assert (venue, msg_type, fields[41], fields[54], fields[55]) == ("XNAS", "F", child, "1", "AAPL")
    [(msg_type, fields)] = to_ems(core.report(fields[11], "X1", "4", "4", t41=child))
    assert (msg_type, fields[11], fields[41], fields[150], fields[39]) == ("8", "F", "A", "4", "4")


@fields_of("F", set(CARRIED_FROM_ORDERS) - {1, 55, 60})
def test_a_cancel_with_fields_of_an_order_passes_whatever_they_say(
    core: Core, versions: tuple[str, str], tag: int
) -> None:
    """A cancel is never refused for its words; those that the other version lacks do not travel."""
    ems = BOOKS[versions[0]]
    for number, value in enumerate(ems.samples(tag)):
        core.working(f"A{number}", px=f"{90 - number / 10:.2f}")
        [(venue, msg_type, _)] = core.cancel(f"F{number}", f"A{number}", **{f"t{tag}": value})
        assert (venue, msg_type) == ("XNAS", "F"), value
    assert faults(core) == []


def test_the_gateway_s_own_cancel(core: Core) -> None:
    core.working("A")
    [cancel] = cancels(core.killed(0))
    is_told_by_us(canceled(core, cancel, "X1"))


# Reports


def fill_of(version: str) -> dict[str, Any]:
    return {"exec_type": "1" if version == "FIX.4.2" else "F", "t31": "100", "t32": "40", "t14": "40", "t151": "60"}


def heard(reply: Reply) -> Fields:
    [(msg_type, fields)] = to_ems(reply)
    assert msg_type == "8"
    return fields


def kind(fields: Fields) -> tuple[str | None, ...]:
    return fields.get(20), fields[150], fields[39]


def test_fills(core: Core, versions: tuple[str, str]) -> None:
    child = core.working("A")
    part = heard(core.report(child, "X1", status="1", **fill_of(versions[1])))
    whole = {"t31": "101", "t32": "60", "t14": "100", "t151": "0", "t6": "100.6"}
    full = heard(core.report(child, "X2", "F" if versions[1] != "FIX.4.2" else "2", "2", **whole))
    in_42 = versions[0] == "FIX.4.2"
    assert kind(part) == (("0", "1", "1") if in_42 else (None, "F", "1"))
    assert kind(full) == (("0", "2", "2") if in_42 else (None, "F", "2"))
    assert (part[32], part[31], full[32], full[31], full[6]) == ("40", "100", "60", "101", "100.6")
    assert core.shares() == (100, 0, 0)


@pytest.mark.parametrize("change", ["bust", "correction"])
def test_busts_and_corrections(core: Core, versions: tuple[str, str], change: str) -> None:
    child = core.working("A")
    part = heard(core.report(child, "X1", status="1", **fill_of(versions[1])))
    left = "0" if change == "bust" else "25"
    said: dict[str, Any] = {"t19": "X1", "t31": "100", "t32": "40" if change == "bust" else "25", "t14": left}
    if versions[1] == "FIX.4.2":
        said["t20"] = "1" if change == "bust" else "2"
        said["exec_type"] = "0" if change == "bust" else "1"
    else:
        said["exec_type"] = "H" if change == "bust" else "G"
    status = "0" if change == "bust" else "1"
    fields = heard(core.report(child, "X2", status=status, t151=str(100 - int(left)), **said))
    assert fields[19] == part[17] and fields[14] == left
    if versions[0] == "FIX.4.2":
        assert kind(fields) == (("1" if change == "bust" else "2"), status, status)
    else:
        assert kind(fields) == (None, "H" if change == "bust" else "G", status)
    assert core.shares()[0] == int(left)


@pytest.mark.parametrize("exec_type", ["0", "3", "4", "6", "7", "8", "9", "B", "C", "D", "E"])
def test_every_kind_of_report(core: Core, versions: tuple[str, str], exec_type: str) -> None:
    child = core.working("A")
    status = {"D": "0"}.get(exec_type, exec_type)
    ended = exec_type in "348BC"
    more: dict[str, Any] = {"t103": "1"} if exec_type == "8" else {"t378": "1"} if exec_type == "D" else {}
    fields = heard(core.report(child, "X1", exec_type, status, t151="0" if ended else "100", t58="why", **more))
    assert fields[150] == exec_type and fields[58] == "why"
    if exec_type not in "6E":  # nothing of the EMS is pending
        assert fields[39] == status


def test_a_replace(core: Core, versions: tuple[str, str]) -> None:
    child = core.working("A")
    newer = core.replace("R", "A", qty="200")[0][2][11]
    pending = heard(core.report(newer, "X1", "E", "E", t41=child, t151="100"))
    done = heard(
        core.report(newer, "X2", "5", "5" if versions[1] == "FIX.4.2" else "0", t41=child, t38="200", t151="200")
    )
    assert (pending[11], pending[41], done[11], done[41], done[38]) == ("R", "A", "R", "A", "200")
    assert kind(pending)[1:] == ("E", "E")
    assert kind(done)[1:] == ("5", "5" if versions[0] == "FIX.4.2" else "0")


@pytest.mark.parametrize("reason", ["0", "1", "3", "6", "8", "9", "11", "13", "15", "99", "x"])
def test_reasons_of_a_refusal_are_those_of_the_ems_s_version(
    core: Core, versions: tuple[str, str], reason: str
) -> None:
    child = child_of(core.new("A"))
    assert child is not None
    fields = heard(core.report(child[11], "X1", "8", "8", t103=reason))
    known = reason in BOOKS[versions[0]].values[103]
    assert fields[103] == (reason if known else "0")


@pytest.mark.parametrize("reason", ["0", "1", "5", "6", "7", "8", "9", "99"])
def test_reasons_of_an_unsolicited_cancel(core: Core, versions: tuple[str, str], reason: str) -> None:
    child = core.working("A")
    fields = heard(core.report(child, "X1", "4", "4", t378=reason))
    known = reason in BOOKS[versions[0]].values[378]
    assert fields[378] == (reason if known else "4")


@pytest.mark.parametrize("reason", ["0", "1", "2", "3", "4", "5", "6", "99"])
def test_reasons_of_a_refused_cancel(core: Core, versions: tuple[str, str], reason: str) -> None:
    child = core.working("A")
    request = core.cancel("F", "A")[0][2][11]
    [(msg_type, fields)] = to_ems(core.cancel_reject(request, child, reason=reason))
    assert msg_type == "9"
    assert fields[102] == (reason if reason in BOOKS[versions[0]].values[102] else "2")


@fields_of("8", {29, 30, 75, 851}, of_venue=True)
def test_fields_carried_from_a_fill(core: Core, versions: tuple[str, str], tag: int) -> None:
    """LastCapacity, LastMkt, TradeDate, LastLiquidityInd: each value of the venue's version."""
    ems, venue = BOOKS[versions[0]], BOOKS[versions[1]]
    for number, value in enumerate(venue.samples(tag)):
        child = core.working(f"A{number}", px=f"{90 - number}")
        fields = heard(core.report(child, f"X{number}", status="1", **fill_of(versions[1]), **{f"t{tag}": value}))
        known = tag in ems.tags["8"] and (not ems.values[tag] or value in ems.values[tag])
        assert fields.get(tag) == (value if known else None)


def test_status_answers_of_a_venue(core: Core, versions: tuple[str, str]) -> None:
    child = core.working("A")
    fields = heard(core.status(child, "0", t151="100"))
    assert kind(fields) == (("3", "0", "0") if versions[0] == "FIX.4.2" else (None, "I", "0"))
