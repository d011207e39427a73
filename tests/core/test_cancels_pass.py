"""Whatever was refused before, and to whomever: a cancel goes to the venue, and so does an exit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.support.checks import Reply, fired, passed
from tests.support.core import BASE, LIMITS, Core
from tests.support.kill import VERSIONS, Of

SYMBOLS = [f"S{k}" for k in range(245)]
ACCOUNTS = [f"ACC{k}" for k in range(1, 68)]


def sent_cancel(reply: Reply) -> dict[int, str]:
    [(session, msg_type, fields)] = reply
    assert (session, msg_type) == ("XNAS", "F"), reply
    return fields


def reject_of(reply: Reply) -> dict[int, str]:
    [(session, msg_type, fields)] = reply
    assert (session, msg_type) == ("EMS1", "9"), reply
    return fields


def test_behind_a_replace_that_a_check_refused(tmp_path: Path) -> None:
    """An EMS that sends D, G and F without waiting names the replace in its cancel."""
    core = Core(tmp_path)
    child = passed(core.new("A"))
    assert fired(core.replace("G", "A", qty="5000")) == {"MAX_ORDER_QTY"}
    assert sent_cancel(core.cancel("F", "G"))[41] == child[11]


def test_behind_a_replace_that_was_refused_for_message_rate(tmp_path: Path) -> None:
    limits: dict[str, Any] = copy.deepcopy(LIMITS)
    limits["session"]["default"]["max_messages"] = 1
    core = Core(tmp_path, limits=limits)
    child = passed(core.new("A"))
    assert fired(core.replace("G", "A", qty="50")) == {"MAX_MESSAGES"}
    assert sent_cancel(core.cancel("F", "G"))[41] == child[11]


def test_behind_a_replace_of_a_superseded_id(tmp_path: Path) -> None:
    core = Core(tmp_path)
    order = passed(core.new("A"))[11]
    replace = passed(core.replace("G1", "A", qty="50"))[11]
    core.report(replace, "X1", "5", "0", t41=order, t151="50")
    assert reject_of(core.replace("G2", "A", qty="60"))[102] == "2"
    assert sent_cancel(core.cancel("F", "G2"))[41] == replace


def test_behind_one_replace_too_many(tmp_path: Path) -> None:
    core = Core(tmp_path)
    order = passed(core.new("G0"))[11]
    for k in range(16):
        passed(core.replace(f"G{k + 1}", f"G{k}", qty=str(90 - k)))
    assert reject_of(core.replace("G17", "G16", qty="50"))[102] == "3"
    assert sent_cancel(core.cancel("F", "G17"))[41] == order


def test_behind_a_replace_that_the_venue_refused(tmp_path: Path) -> None:
    core = Core(tmp_path)
    order = passed(core.new("A"))[11]
    replace = passed(core.replace("G", "A", qty="50"))[11]
    reject_of(core.cancel_reject(replace, order, "2"))
    assert sent_cancel(core.cancel("F", "G"))[41] == order


def test_behind_a_chain_of_refused_replaces(tmp_path: Path) -> None:
    core = Core(tmp_path)
    order = passed(core.new("A"))[11]
    reject_of(core.replace("G1", "A", qty="5000"))
    assert reject_of(core.replace("G2", "G1", qty="50"))[102] == "2"
    assert sent_cancel(core.cancel("F", "G2"))[41] == order


def test_the_id_of_a_refused_replace_stays_used(tmp_path: Path) -> None:
    core = Core(tmp_path)
    passed(core.new("A"))
    reject_of(core.replace("G", "A", qty="5000"))
    again = reject_of(core.replace("G", "A", qty="50"))
    assert (again[102], again[41], again[39]) == ("6", "A", "A")
    assert fired(core.new("G")) == {"CL_ORD_ID_REUSE"}


def test_a_refused_cancel_can_be_sent_again(tmp_path: Path) -> None:
    core = Core(tmp_path)
    order = passed(core.new("A"))[11]
    first = sent_cancel(core.cancel("F", "A"))[11]
    reject_of(core.cancel_reject(first, order))
    second = sent_cancel(core.cancel("F", "A"))[11]
    assert second != first


def test_behind_another_cancel(tmp_path: Path) -> None:
    """The venue knows the order by the child of the order, not by that of a cancel."""
    core = Core(tmp_path)
    order = passed(core.new("A"))[11]
    sent_cancel(core.cancel("F1", "A"))
    assert sent_cancel(core.cancel("F2", "F1"))[41] == order


def test_refused_orders_take_no_room_from_an_exit(tmp_path: Path) -> None:
    """Refused orders in every instrument for every account make no exposure: an opening position can be sold, by a
    trader who has none in it.
    """
    config: dict[str, Any] = copy.deepcopy(BASE)
    config["sessions"][0]["accounts"] = ACCOUNTS
    instruments = "symbol,tick,lot,multiplier,previous_close\nAAPL,0.01,1,1,100\n"
    instruments += "".join(f"{symbol},0.01,1,1,1\n" for symbol in SYMBOLS)
    core = Core(tmp_path, config, instruments=instruments, positions="account,symbol,quantity\nACC1,AAPL,500\n")
    rows = core.record.exposure_count
    assert len(ACCOUNTS) * len(SYMBOLS) > core.record.exposures.size
    for symbol in SYMBOLS:
        for account in ACCOUNTS:
            assert fired(core.new(f"{symbol}{account}", symbol=symbol, qty="0.5", px="1", t1=account)) >= {"LOT"}
        core.wait(0.1)
    core.quote("AAPL", 99.99, 100.01, 100)
    assert core.record.exposure_count == rows
    passed(core.new("EXIT", side="2", qty="500", t50="TOM"))
    sent_cancel(core.cancel("F", "EXIT", side="2", qty="500"))


def test_refused_orders_take_no_room_from_others(tmp_path: Path) -> None:
    """One EMS whose every order and replace is refused, for as long as there are ClOrdIDs to be kept."""
    config: dict[str, Any] = copy.deepcopy(BASE)
    config["sessions"].append(config["sessions"][0] | {"id": "EMS2", "target_comp_id": "EMS2"})
    core = Core(tmp_path, config, positions="account,symbol,quantity\nACC2,AAPL,500\n")
    passed(core.new("A"))
    for k in range(core.record.requests.size // 2):
        assert fired(core.new(f"D{k}", qty="5000")) >= {"MAX_ORDER_QTY"}
        assert fired(core.replace(f"G{k}", "A", qty="5000")) >= {"MAX_ORDER_QTY"}
        core.wait(0.001)
    passed(core.new("EXIT", side="2", qty="500", px="99", session="EMS2", t1="ACC2"))
    [(session, msg_type, _)] = core.cancel("F", "EXIT", side="2", session="EMS2")
    assert (session, msg_type) == ("XNAS", "F")
    sent_cancel(core.cancel("F", "A"))


@pytest.mark.parametrize(
    "odd",
    [{"t9999": "x"}, {"t21": "1", "t40": "2", "t44": "100"}, {"t38": None}, {"t54": None, "t55": None}, {"t54": "Z"}],
)
def test_a_cancel_passes_whatever_else_it_says(tmp_path: Path, odd: dict[str, str | None]) -> None:
    """The child is made from the order: a field too many or too few must not keep the order alive."""
    core = Core(tmp_path)
    core.new("A")
    ((session, msg_type, child),) = core.cancel("B", "A", **odd)
    assert (session, msg_type) == ("XNAS", "F")
    assert {tag: child[tag] for tag in (38, 41, 54, 55)} == {38: "100", 41: "C1-0", 54: "1", 55: "AAPL"}


@pytest.mark.parametrize(("lacks", "tag"), [({"t41": None}, "41"), ({"t11": None}, "11")])
def test_a_cancel_without_its_ids_is_rejected(tmp_path: Path, lacks: dict[str, None], tag: str) -> None:
    core = Core(tmp_path)
    core.new("A")
    ((session, msg_type, fields),) = core.cancel("B", "A", **lacks)
    assert (session, msg_type, fields[371], fields[373]) == ("EMS1", "3", tag, "1")


@pytest.mark.parametrize("empty", ["t58", "t1", "t38", "t48", "t50", "t54", "t55", "t60"])
def test_a_cancel_with_an_empty_field_passes(of: Of, version: str, empty: str) -> None:
    """Many EMSs write an empty Text(58)."""
    core = of(version, version)
    child = core.working("A")
    fields = sent_cancel(core.cancel("F", "A", **{empty: ""}))
    assert {tag: fields[tag] for tag in (38, 41, 54, 55)} == {38: "100", 41: child, 54: "1", 55: "AAPL"}
    assert "" not in fields.values()


@pytest.mark.parametrize(("empty", "tag"), [("t11", "11"), ("t41", "41")])
def test_a_cancel_whose_ids_are_empty_is_rejected(of: Of, version: str, empty: str, tag: str) -> None:
    core = of(version, version)
    core.working("A")
    [(session, msg_type, fields)] = core.cancel("F", "A", **{empty: "", "t58": ""})
    assert (session, msg_type, fields[371], fields[373]) == ("EMS1", "3", tag, "4")


@pytest.mark.parametrize("msg_type", ["D", "G"])
def test_an_empty_field_of_an_order_is_rejected(of: Of, version: str, msg_type: str) -> None:
    core = of(version, version)
    core.working("A")
    reply = core.new("B", t58="") if msg_type == "D" else core.replace("B", "A", t58="")
    [(session, answer, fields)] = reply
    assert (session, answer, fields[371], fields[373]) == ("EMS1", "3", "58", "4")


# What a child cancel says beside the order's own terms: a venue must not refuse it for what the EMS wrote.

FOR_OTHERS = {"t15": "USD", "t18": "G", "t21": "1", "t40": "2", "t44": "100", "t59": "0", "t63": "0"}
FOR_OTHERS |= {
    "t126": "20260712-12:00:00",
    "t47": "A",
    "t110": "10",
    "t167": "CS",
    "t204": "0",
    "t207": "XNAS",
    "t432": "20260712",
    "t528": "A",
}


@pytest.mark.parametrize("versions", VERSIONS)
def test_fields_that_a_cancel_does_not_have_stay_here(of: Of, versions: tuple[str, str]) -> None:
    """The referee of `of` judges the child by its venue's dictionary."""
    core = of(*versions)
    child = core.working("A")
    fields = sent_cancel(core.cancel("F", "A", **FOR_OTHERS))
    assert fields[41] == child
    assert {15, 18, 21, 40, 44, 47, 59, 110, 126, 204, 432, 528}.isdisjoint(fields)


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize(
    ("written", "sent"), [(["ACC1"], "ACC1"), (["XXX"], None), (["ACC2"], None), (["ACC1", "ACC2"], "ACC1"), ([], None)]
)
def test_an_account_that_is_not_the_order_s_stays_here(
    of: Of, versions: tuple[str, str], written: list[str], sent: str | None
) -> None:
    core = of(*versions)
    core.working("A")
    fields = [(1, account) for account in written]
    fields += [(11, "F"), (38, "100"), (41, "A"), (54, "1"), (55, "AAPL"), (60, "20260711-12:00:00")]
    assert sent_cancel(core.message("EMS1", "F", fields)).get(1) == sent


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize(
    ("security", "source", "sent"),
    [
        *[("US0378331005", "4", ("US0378331005", "4")), ("NOSUCH", "4", (None, None))],
        *[("US5949181045", "4", (None, None)), (None, "4", (None, None)), ("", "", (None, None))],
    ],
    ids=["its own", "unknown", "another", "none", "empty"],
)
def test_a_security_that_is_not_the_order_s_stays_here(
    of: Of,
    versions: tuple[str, str],
    security: str | None,
    source: str,
    sent: tuple[str | None, str | None],
) -> None:
    core = of(*versions)
    core.working("A")
    fields = sent_cancel(core.cancel("F", "A", t48=security, t22=source))
    assert (fields.get(48), fields.get(22)) == sent


@pytest.mark.parametrize("versions", VERSIONS)
@pytest.mark.parametrize("source", ["ZZ", "A", "4"])
def test_a_source_that_the_venue_s_version_does_not_know_stays_here(
    of: Of, versions: tuple[str, str], source: str
) -> None:
    """A is Bloomberg's symbol in FIX 4.4, and nothing in 4.2."""
    core = of(*versions)
    core.working("A")
    known = source == "4" or (source == "A" and versions[1] == "FIX.4.4")
    fields = sent_cancel(core.cancel("F", "A", t48="US0378331005", t22=source))
    assert fields.get(22) == (source if known else None)


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_field_that_is_there_twice_goes_once(of: Of, versions: tuple[str, str]) -> None:
    core = of(*versions)
    core.working("A")
    fields = [(11, "F"), (38, "100"), (41, "A"), (54, "1"), (55, "AAPL"), (60, "20260711-12:00:00")]
    fields += [(22, "4"), (22, "4"), (48, "US0378331005"), (48, "US0378331005"), (207, "XNAS"), (207, "XNYS")]
    sent_cancel(core.message("EMS1", "F", fields))
    body = core.log[-1][1][0].body
    assert b"\x0148=US0378331005\x01" in body and body.count(b"\x0148=") == body.count(b"\x0122=") == 1


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"t54": "Z"}, "Value is incorrect (out of range) for this tag"),
        ({"t38": "many"}, "Incorrect data format for value"),
        ({"t60": None}, "Required tag missing"),
        ({"t41": "A"}, "Tag not defined for this message type"),
        ({"t58": ""}, "Tag specified without a value"),
    ],
)
def test_the_text_of_a_reject_says_what_is_wrong_with_which_tag(tmp_path: Path, wrong: dict, text: str) -> None:
    [(_, msg_type, fields)] = Core(tmp_path).new("A", **wrong)
    assert (msg_type, fields[58], fields[371]) == ("3", text, next(iter(wrong)).removeprefix("t"))
