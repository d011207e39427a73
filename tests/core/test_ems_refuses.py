"""An EMS that refuses what it was told: somebody must hear of it, and two that refuse each other must not go on."""

from __future__ import annotations

import pytest

from gateway.core import layout as a
from tests.support.checks import passed
from tests.support.core import Core
from tests.support.doubts import alerts
from tests.support.kill import Of

REFUSAL = [(45, "3"), (58, "no such type"), (372, "j"), (380, "3")]


@pytest.fixture
def core(of: Of, version: str) -> Core:
    return of(version, version)


def counted(core: Core, verdict: int) -> int:
    """Messages of EMS1 that are no order, cancel, replace or status request, by what they came to."""
    return int(core.record.sessions[core.sessions["EMS1"]].counted[a.COUNTED_TYPES - 1, verdict])


def test_a_refusal_is_told_and_never_answered(core: Core) -> None:
    """Every QuickFIX of the default kind answers a BusinessMessageReject(j) that it does not handle with another."""
    reply = core.message("EMS1", "j", REFUSAL)
    [alert] = alerts(reply)
    assert len(reply) == 1 and "EMS" in alert and "no such type" in alert
    assert (counted(core, a.IGNORED), counted(core, a.PASSED), counted(core, a.REJECTED)) == (1, 0, 0)


@pytest.mark.parametrize(
    "fields", [[], [(45, "x")], [(372, "8"), (380, "0")], [(58, "")], [*REFUSAL, (58, "twice"), (9999, "x")]]
)
def test_a_refusal_that_is_malformed_is_told_as_well(core: Core, fields: list[tuple[int, str]]) -> None:
    """Many EMSs write an empty Text(58); and it is no business of the gateway to teach an EMS how to refuse."""
    reply = core.message("EMS1", "j", fields)
    assert len(alerts(reply)) == len(reply) == 1


def test_an_order_after_refusals_passes(core: Core) -> None:
    for _ in range(20):
        core.message("EMS1", "j", REFUSAL)
    passed(core.new("A"))


def test_what_answers_an_unknown_type_is_not_answered_again(core: Core) -> None:
    """The first turn of what was a loop: a type that is not taken, its refusal, the refusal of that."""
    [(session, msg_type, _)] = core.message("EMS1", "R", [(131, "Q1"), (146, "1"), (55, "AAPL")])
    assert (session, msg_type) == ("EMS1", "j")
    assert [m for _, m, _ in core.message("EMS1", "j", REFUSAL) if m] == []


def test_a_fill_that_the_ems_does_not_know_is_told_to_people(core: Core) -> None:
    """35=Q DontKnowTrade: the EMS lacks a fill. It hears that nobody here acts on its message."""
    child = core.working("A")
    [(_, _, fill)] = core.fill(child, "E1", "10", "10", t151="90")
    fields = [(17, fill[17]), (37, fill[37]), (54, "1"), (55, "AAPL"), (127, "D")]
    reply = core.message("EMS1", "Q", fields)
    [alert] = alerts(reply)
    assert "EMS" in alert and fill[17] in alert
    [(session, msg_type, answer)] = [message for message in reply if message[1]]
    assert (session, msg_type, answer[372], answer[380]) == ("EMS1", "j", "Q", "3")
    assert core.shares() == (10, 90, 0)
