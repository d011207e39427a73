"""Turns: who is canceled first where a venue takes less than is to be canceled."""

from __future__ import annotations

from typing import Any

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.core import Core
from tests.support.kill import ANOTHER, EVERYONE, Of, cancels, many, mass, one_by_one

UNLIMITED = {"venue.XNAS": {"max_messages": "unlimited", "message_window": "10s"}}


def takes(core: Core, most: int) -> None:
    """From now on, when whatever went out before counts no more, the venue takes so many messages in 10 s."""
    core.wait(11)
    core.record.entities[core.state.entities[a.VENUE, "XNAS"]].limit[a.MAX_MESSAGES] = most


def few(of: Of, count: int, most: int = 8, **more: Any) -> tuple[Core, list[str]]:
    """A core with so many orders at a silent venue that takes `most` messages in 10 s from now on."""
    core = of(limits=UNLIMITED, **more)
    children = many(core, count)
    takes(core, most)
    return core, children


def asked_until(core: Core, seconds: float) -> list[str]:
    """What the cancels name that go until so much later, in their order."""
    named = []
    for _ in range(round(seconds * 10)):
        core.quote("AAPL", 99.99, 100.01, 100)
        named += [fields.get(41, "q") for _, msg_type, fields in core.later(0.1) if msg_type in "Fq"]
    return named


def fair(named: list[str], children: list[str]) -> bool:
    """Whether each was asked about once first, and later in any two rounds."""
    count = len(children)
    later = (named[k : k + 2 * count] for k in range(count, len(named) - 2 * count + 1))
    return set(named[:count]) == set(children) and all(set(part) == set(children) for part in later)


def test_each_order_is_canceled_once_before_any_is_twice(of: Of) -> None:
    core, children = few(of, 11)
    named = [fields[41] for fields in cancels(core.killed(a.FIRM))] + asked_until(core, 60)
    assert len(named) >= 44 and named[:11] == children and fair(named, children)


def test_a_kill_again_and_again_starves_none(of: Of) -> None:
    core, children = few(of, 11)
    named: list[str] = []
    for second in range(60):
        named += [fields[41] for fields in cancels(core.killed(a.FIRM))] + asked_until(core, 1)
        if second % 20 == 5:
            core.logout("XNAS")
            core.logon("XNAS")
    assert fair(named, children) and len(named) >= 44


def test_what_is_killed_later_goes_before_what_is_asked_again(of: Of) -> None:
    core = of(limits=UNLIMITED)
    first = many(core, 8, **EVERYONE)
    later = [core.working(f"L{k}", px=f"{80 - k}", **ANOTHER) for k in range(4)]
    takes(core, 10)
    assert [fields[41] for fields in cancels(core.killed(a.STRATEGY, "MOMO"))] == first
    core.wait(1)
    assert [fields[41] for fields in cancels(core.killed(a.STRATEGY, "ARB"))] == later[:2]
    assert asked_until(core, 11)[:2] == later[2:]


def test_a_mass_cancel_of_an_ems_asks_for_each_once_before_any_is_twice(of: Of) -> None:
    core, children = few(of, 11)
    reply = core.message("EMS1", "q", [(11, "Q"), (60, core.utc()), (530, "7")]) + core.sweep()
    named = one_by_one(reply)
    assert [fields[41] for fields in named] + asked_until(core, 11)[:3] == children


def test_a_mass_cancel_at_the_venue_counts_for_all_its_orders(of: Of) -> None:
    core, children = few(of, 9, most=5, mass_cancel=True)
    assert len(mass(core.killed(a.FIRM))) == 1
    named = asked_until(core, 80)
    assert fair(named, children) and len(named) >= 27


def test_a_cancel_of_an_ems_that_waits_does_not_starve_behind_a_kill(of: Of) -> None:
    core = of(limits=UNLIMITED)
    killed = many(core, 8, **EVERYONE)
    mine = [core.working(f"L{k}", px=f"{80 - k}", **ANOTHER) for k in range(2)]
    takes(core, 8)
    assert [fields[41] for fields in cancels(core.killed(a.STRATEGY, "MOMO"))] == killed
    assert core.cancel("F0", "L0") == core.cancel("F1", "L1") == []
    assert asked_until(core, 11)[:2] == mine


def test_an_ems_that_asks_again_and_again_starves_no_kill(of: Of) -> None:
    core = of(limits=UNLIMITED)
    loud = [core.working(f"L{k}", px=f"{80 - k}", **ANOTHER) for k in range(8)]
    killed = many(core, 8, **EVERYONE)
    takes(core, 8)
    named = [fields[41] for fields in cancels(core.killed(a.STRATEGY, "MOMO"))]
    for second in range(80):
        sent = [m for k in range(8) for m in core.cancel(f"F{second}-{k}", f"L{k}") if m[1] == "F"]
        named += [fields[41] for _, _, fields in sent] + asked_until(core, 1)
    assert fair(named, loud + killed) and len(named) >= 48


def test_cancels_of_an_ems_that_wait_are_few_an_order(of: Of) -> None:
    core, _ = few(of, 1, most=1)
    assert len(cancels(core.cancel("F", "M0"))) == 1
    told = []
    for k in range(12):
        core.wait(1)
        told += [fields[102] for _, m, fields in core.cancel(f"F{k}", "M0") if m == "9"]
    assert set(told) == {"3"} and int(core.record.unsent_cancels) == 3


def test_a_venue_s_rate_is_kept_by_turns(of: Of) -> None:
    core = of(cancel_rate=2)
    children = many(core, 11)
    named = [fields[41] for fields in cancels(core.killed(a.FIRM))] + asked_until(core, 30)
    assert fair(named, children) and len(named) >= 55


def test_a_pass_that_takes_many_events_ends_when_there_is_no_room(of: Of) -> None:
    """Only so many orders are looked at again at once as others had to go before."""
    core, _ = few(of, 300, most=40)
    core.killed(a.FIRM)
    since = len(core.log)
    asked_until(core, 5)
    sweeps = sum(event.kind == ev.SWEEP for event, _ in core.log[since:])
    assert sweeps <= 3 * 50
