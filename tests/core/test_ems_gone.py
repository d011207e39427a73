"""`on_disconnect: cancel`: what an EMS leaves is canceled but for GTC and GTD; one that is back keeps the rest."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from tests.support.checks import Reply, passed
from tests.support.core import Core, Fields
from tests.support.kill import VERSIONS, Of, canceled, cancels, is_told_by_us, open_orders

GTC: dict[str, Any] = {"t59": "1"}
GTD: dict[str, Any] = {"t59": "6", "t432": "20260712"}


@pytest.fixture
def of(of: Of) -> Of:
    """Makes cores whose EMSs have `on_disconnect: cancel`."""
    return lambda *versions, **more: of(*versions, **{"ems_section": {"on_disconnect": "cancel"}} | more)


def lost(core: Core, session: str = "EMS1") -> list[Fields]:
    reply: Reply = core.logout(session) + core.sweep()
    return cancels(reply)


@pytest.mark.parametrize("versions", VERSIONS)
def test_its_orders_are_canceled_and_gtc_and_gtd_stay(of: Of, versions: tuple[str, str]) -> None:
    core = of(*versions)
    day = core.working("A")
    nothing = core.working("B", px="99", t59=None)
    core.working("C", px="98", **GTC)
    core.working("D", px="97", **GTD)
    core.working("E", px="96", session="EMS2")
    sent = lost(core)
    assert sorted(fields[41] for fields in sent) == sorted([day, nothing])
    for fields in sent:
        told = is_told_by_us(canceled(core, fields, "X" + fields[11]), "the EMS is gone")
        assert told[11] in "AB"
    assert open_orders(core) == 3
    assert cancels(core.later(60)) == []


def test_by_default_they_are_left(of: Of) -> None:
    core = of(ems_section={})
    core.working("A")
    assert lost(core) == [] and cancels(core.later(60)) == []


def test_an_order_that_became_gtc_by_a_replace_stays(of: Of) -> None:
    core = of()
    child = core.working("A")
    newer = core.replace("R", "A", qty="50", **GTC)[0][2][11]
    core.report(newer, "X1", "5", "0", t41=child, t38="50", t151="50")
    assert lost(core) == []


def test_an_ems_that_is_back_keeps_what_was_not_sent(of: Of) -> None:
    core = of(cancel_rate=10)
    for k in range(5):
        core.working(f"A{k}", px=f"{99 - k}")
    sent = lost(core)
    assert 1 <= len(sent) <= 2
    core.logon("EMS1")
    assert cancels(core.later(1)) == [] and cancels(core.later(10)) == []
    assert open_orders(core) == 5


def test_one_that_comes_and_goes_floods_no_venue(of: Of) -> None:
    core = of()
    core.working("A")
    sent = []
    for _ in range(20):
        sent += lost(core)
        core.logon("EMS1")
        sent += cancels(core.later(0.05))
    assert 1 <= len(sent) <= 5
    is_told_by_us(canceled(core, sent[0], "X1"), "the EMS is gone")
    assert cancels(core.later(60)) == []


def test_orders_after_it_is_back_are_its_own(of: Of) -> None:
    core = of()
    core.working("A")
    [first] = lost(core)
    canceled(core, first, "X1")
    core.logon("EMS1")
    core.working("B")
    assert cancels(core.later(60)) == []
    assert len(lost(core)) == 1


def test_a_venue_that_is_down_is_told_when_it_is_back(of: Of) -> None:
    core = of()
    child = core.working("A")
    core.logout("XNAS")
    assert lost(core) == []
    core.later(30)
    core.logon("XNAS")
    assert [fields[41] for fields in cancels(core.later(0.1))] == [child]


def test_a_venue_that_is_lost_takes_nothing_along(of: Of) -> None:
    core = of()
    core.working("A")
    assert core.logout("XNAS") == [] and core.sweep() == []
    core.logon("XNAS")
    assert cancels(core.later(60)) == []


@pytest.mark.parametrize("ended", [ev.STOPPED, ev.CRASHED, ev.REBOOTED])
def test_after_a_start_an_ems_has_thirty_seconds_to_be_back(of: Of, ended: int) -> None:
    core = of()
    child = core.working("A")
    core.start(ended)
    core.logon("XNAS")
    core.synced("XNAS")
    sent: list[Fields] = []
    for _ in range(29):
        sent += [f for _, m, f in core.later(1) if m == "F"]
    assert sent == []
    for _ in range(2):
        sent += [f for _, m, f in core.later(1) if m == "F"]
    assert [fields[41] for fields in sent][:1] == [child]


@pytest.mark.parametrize("after", [0, 29])
def test_one_that_is_back_in_time_keeps_them(of: Of, after: int) -> None:
    core = of()
    core.working("A")
    core.start(ev.STOPPED)
    core.logon("XNAS")
    core.synced("XNAS")
    core.later(after)
    core.logon("EMS1")
    assert [m for _, m, _ in core.later(60) if m == "F"] == []


def test_a_gateway_that_was_gone_itself_cancels_nothing(of: Of) -> None:
    """Nor one that crashes: what it left works on when its EMSs are back."""
    core = of()
    core.working("A")
    core.start(ev.STOPPED)
    core.come_back()
    assert [m for _, m, _ in core.later(60) if m == "F"] == []
    core.quote("AAPL", 99.99, 100.01)
    passed(core.new("B", qty="10"))


def test_killed_and_gone_is_told_as_killed(of: Of) -> None:
    core = of()
    core.working("A")
    [first] = lost(core)
    core.cancel_reject(first[11], first[41])
    core.kill(a.FIRM)
    [again] = cancels(core.sweep())
    is_told_by_us(canceled(core, again, "X1"), "kill switch")


def test_tries_of_a_switch_long_released_do_not_count(of: Of) -> None:
    """The venue was deaf then; it may not be now."""
    core = of()
    child = core.working("A")
    core.kill(a.FIRM)
    for _ in range(8):
        core.later(1)
    core.kill(a.FIRM, on=False)
    core.later(60)
    assert [fields[41] for fields in lost(core)] == [child]


def test_a_mass_cancel_that_takes_them_along_does_not_make_them_killed(of: Of) -> None:
    core = of(mass_cancel=True)
    children = [core.working("A"), core.working("B", px="99")]
    killed = core.working("C", t1="ACC2", session="EMS2")
    assert len(lost(core)) == 2
    sent = [m for _, m, _ in core.killed(a.ACCOUNT, "ACC2")]
    assert sent in (["q"], ["F"])
    for child in children:
        is_told_by_us(core.report(child, "X" + child, "4", "4"), "the EMS is gone")
    is_told_by_us(core.report(killed, "X", "4", "4"), "kill switch")


def stays(core: Core) -> None:
    """Nothing is to be canceled for a while, since nothing is open that may be."""
    for _ in range(5):
        assert cancels(core.later(1)) == []


def seen_to(core: Core) -> list[Fields]:
    """Cancels within two seconds, and that no more follow than tries of them."""
    sent = cancels(core.sweep())
    for _ in range(20):
        sent += cancels(core.later(0.1))
    return sent


@pytest.mark.parametrize("versions", VERSIONS)
def test_an_order_that_a_replace_makes_cancelable_later(of: Of, versions: tuple[str, str]) -> None:
    core = of(*versions)
    child = core.working("A", **GTC)
    newer = passed(core.replace("R", "A", px="99"))[11]
    assert lost(core) == []
    stays(core)
    core.report(newer, "X1", "5", "0", t41=child, t38="100", t151="100")
    sent = seen_to(core)
    assert sent[0][41] == newer
    is_told_by_us(canceled(core, sent[0], "X2"), "the EMS is gone")
    stays(core)


def test_an_order_that_stays_good_till_canceled_by_a_replace(of: Of) -> None:
    core = of()
    child = core.working("A", **GTC)
    newer = passed(core.replace("R", "A", px="99", **GTC))[11]
    assert lost(core) == []
    core.report(newer, "X1", "5", "0", t41=child, t38="100", t151="100")
    assert seen_to(core) == []


@pytest.mark.parametrize("how", ["expired", "filled and busted", "refused, then filled"])
@pytest.mark.parametrize("good_till", [{}, GTC], ids=["day", "gtc"])
def test_an_order_that_is_open_again(of: Of, how: str, good_till: dict[str, Any]) -> None:
    """Of an EMS that is gone: nobody else would cancel it."""
    core = of()
    child = core.working("A", **good_till)
    if how == "filled and busted":
        core.fill(child, "X1", "100", "100", "2", t151="0")
    else:
        status = "C" if how == "expired" else "8"
        core.report(child, "X1", status, status)
    assert open_orders(core) == 0
    assert lost(core) == []
    stays(core)
    if how == "filled and busted":
        core.report(child, "X2", "H", "0", t19="X1", t31="100", t32="100", t151="100")
    elif how == "expired":
        core.report(child, "X2", "D", "0", t38="100", t151="100")
    else:
        core.fill(child, "X2", "10", "10", t151="90")
    assert open_orders(core) == 1
    sent = seen_to(core)
    assert [fields[41] for fields in sent[:1]] == ([] if good_till else [child])


def test_an_order_that_is_open_again_of_an_ems_that_is_there(of: Of) -> None:
    core = of()
    child = core.working("A")
    core.report(child, "X1", "C", "C")
    core.report(child, "X2", "D", "0", t38="100", t151="100")
    assert open_orders(core) == 1
    assert seen_to(core) == []
