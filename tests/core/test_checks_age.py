"""MAX_ORDER_AGE: orders and replaces that were sent too long ago are refused, cancels are not."""

from __future__ import annotations

import pytest

from gateway.core import layout as a
from tests.support.checks import NAMED, WHO, Make, at, fired, passed, refused, scopes_of


@pytest.mark.parametrize("scope", scopes_of("max_order_age"))
def test_max_order_age_is_by_the_oldest_time_that_an_order_tells(make: Make, scope: int) -> None:
    core = make({at(scope): {"max_order_age": "2s"}})
    passed(core.new("A", **WHO, t60=core.utc(2)))
    text = refused(core.new("B", **WHO, t60=core.utc(2.001)), "MAX_ORDER_AGE", 8)[58]
    assert text == f"MAX_ORDER_AGE 2001ms > 2000ms ({a.SCOPE_NAMES[scope]} {NAMED[scope]})".replace(" )", ")")


def test_a_socket_that_stalled_makes_an_order_old_by_its_sending_time(make: Make) -> None:
    core = make({"session.EMS1": {"max_order_age": "2s"}})
    core.sent_before_s = 100
    refused(core.new("A", t60=core.utc(0)), "MAX_ORDER_AGE", 8)
    core.sent_before_s = 0
    passed(core.new("B", t60=core.utc(0)))


def test_a_time_ahead_of_ours_is_held_to_the_same_bound(make: Make) -> None:
    core = make({"session.EMS1": {"max_order_age": "2s"}})
    passed(core.new("A", t60=core.utc(-2)))
    text = refused(core.new("B", t60=core.utc(-30)), "MAX_ORDER_AGE", 8)[58]
    assert text == "MAX_ORDER_AGE 30000ms > 2000ms (session EMS1)"
    core.sent_before_s = -30
    refused(core.new("C", t60=core.utc(0)), "MAX_ORDER_AGE", 8)


def test_an_old_replace_is_refused_and_an_old_cancel_passes(make: Make) -> None:
    core = make({"session.EMS1": {"max_order_age": "2s"}})
    passed(core.new("A", t60=core.utc(0)))
    assert fired(core.replace("R", "A", qty="50", t60=core.utc(100))) == {"MAX_ORDER_AGE"}
    assert [(s, m) for s, m, _ in core.cancel("C", "A", t60=core.utc(100))] == [("XNAS", "F")]


def test_without_a_limit_no_order_is_too_old(make: Make) -> None:
    core = make()
    passed(core.new("A", t60=core.utc(86_400)))
