"""FIX order semantics of the venue, without wires: states, chains, rejects, busts."""

from __future__ import annotations

import pytest

from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.exchange import Exchange, Reply, Rules
from tidegate_tools.sim.matching_book import E8

SESSIONS = ["FIX.4.2:V->A", "FIX.4.4:V->A"]
OTHER = "FIX.4.4:V->B"


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def order(cl_ord_id: str, quantity: object = 100, price: object = 10, side: str = "1", tif: str = "0") -> Fields:
    fields = [(35, "D"), (11, cl_ord_id), (55, "X"), (54, side), (38, str(quantity)), (59, tif)]
    return [*fields, (40, "1")] if price is None else [*fields, (40, "2"), (44, str(price))]


def replace(cl_ord_id: str, orig: str, quantity: object = 100, price: object = 10) -> Fields:
    return [(35, "G"), (41, orig), *order(cl_ord_id, quantity, price)[1:]]


def cancel(cl_ord_id: str, orig: str) -> Fields:
    return [(35, "F"), (11, cl_ord_id), (41, orig), (55, "X"), (54, "1")]


def states(replies: list[Reply]) -> list[tuple[str, str, str, str]]:
    """ExecType, OrdStatus, CumQty, LeavesQty of each report."""
    return [tuple(first(r.body, tag) for tag in (150, 39, 14, 151)) for r in replies]  # type: ignore[misc]


def get(reply: Reply, *tags: int) -> tuple[str, ...]:
    return tuple(first(reply.body, tag) for tag in tags)


def fill(session: str, status: str) -> str:
    """ExecType of a fill in this version."""
    return status if "4.2" in session else "F"


def test_a_peg_rests_at_its_limit_and_needs_one(session: str) -> None:
    """Its peg is not simulated; one for the opening trades at once."""
    venue = Exchange(Rules())
    pegged = [(tag, "P" if tag == 40 else value) for tag, value in order("a", 100, 10, tif="2")]
    [report] = venue.request(session, pegged)
    assert get(report, 39, 40, 44, 59) == ("0", "P", "10", "2")
    assert states(venue.request(OTHER, order("b", 100, 10, side="2", tif="2")))[-1] == ("F", "2", "100", "0")
    [report] = venue.request(session, [field for field in pegged if field[0] not in (11, 44)] + [(11, "c")])
    assert get(report, 39) == ("8",) and "Price" in first(report.body, 58)


def test_partial_fill_then_fill_reports_both_sides(session: str) -> None:
    venue = Exchange(Rules())
    assert states(venue.request(session, order("a", 100, 10))) == [("0", "0", "0", "100")]
    replies = venue.request(OTHER, order("b", 60, 9, side="2"))
    assert states(replies) == [
        ("0", "0", "0", "60"),
        (fill(session, "1"), "1", "60", "40"),
        ("F", "2", "60", "0"),
    ]
    assert get(replies[1], 32, 31, 6) == ("60", "10", "10")
    replies = venue.request(OTHER, order("c", 40, 9.5, side="2"))
    assert states([r for r in replies if r.session == session]) == [(fill(session, "2"), "2", "100", "0")]


def test_average_price_is_exact_to_eight_decimals(session: str) -> None:
    venue = Exchange(Rules())
    for name, quantity, price in (("s1", 1, "10"), ("s2", 2, "10.01")):
        venue.request(OTHER, order(name, quantity, price, side="2"))
    venue.request(session, order("a", 3, 11))
    report = venue.request(session, [(35, "H"), (11, "a"), (55, "X"), (54, "1")])[0]
    assert get(report, 6, 14) == ("10.00666667", "3")


def test_execution_ids_are_fresh_and_order_id_is_stable(session: str) -> None:
    venue = Exchange(Rules(fill_slice_e8=30 * E8))
    replies = venue.request(session, order("a", 100))
    replies += venue.request(OTHER, order("b", 70, 10, side="2"))
    replies += venue.request(session, replace("c", "a", 90, 9)) + venue.request(session, cancel("d", "c"))
    mine = [r for r in replies if r.session == session]
    assert len({first(r.body, 37) for r in mine}) == 1
    assert len({first(r.body, 17) for r in replies}) == len(replies)
    assert [get(r, 32)[0] for r in mine if first(r.body, 32)] == ["30", "30", "10"]


def test_exec_trans_type_is_in_4_2_only() -> None:
    venue = Exchange(Rules())
    assert get(venue.request(SESSIONS[0], order("a"))[0], 20) == ("0",)
    assert get(venue.request(SESSIONS[1], order("a"))[0], 20) == ("",)


@pytest.mark.parametrize(("tif", "quantity", "expected"), [("3", 100, "60"), ("4", 100, "0")])
def test_ioc_and_fok_remainders_expire(session: str, tif: str, quantity: int, expected: str) -> None:
    venue = Exchange(Rules())
    venue.request(OTHER, order("s", 60, 10, side="2"))
    assert states(venue.request(session, order("a", quantity, 10, tif=tif)))[-1] == ("C", "C", expected, "0")


def test_market_order_without_liquidity_expires(session: str) -> None:
    assert states(Exchange(Rules()).request(session, order("a", 10, None)))[-1] == ("C", "C", "0", "0")


def test_cancel_replace_chain_names_the_last_accepted_order(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x", 100, 10))
    replaced = venue.request(session, replace("y", "x", 200, 9))[0]
    assert get(replaced, 150, 11, 41, 38, 151) == ("5", "y", "x", "200", "200")
    assert get(replaced, 39) == ("5" if "4.2" in session else "0",)
    # z names the refused w: refused too, and 41 says what stands
    assert get(venue.request(session, replace("w", "x"))[0], 11, 41, 434, 39) == ("w", "y", "2", "0")
    assert get(venue.request(session, cancel("z", "w"))[0], 11, 41, 434, 39) == ("z", "y", "1", "0")
    done = venue.request(session, cancel("c", "y"))[0]
    assert get(done, 150, 39, 11, 41, 151) == ("4", "4", "c", "y", "0")


def test_replace_to_what_is_filled_fills_the_order(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x", 100, 10))
    venue.request(OTHER, order("s", 60, 10, side="2"))
    reply = venue.request(session, replace("y", "x", 50, 10))[0]
    assert get(reply, 150, 39, 38, 14, 151) == ("5", "2", "60", "60", "0")
    assert venue.book("X").resting(buy=True) == []


def test_replace_to_a_crossing_price_trades_after_the_report(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x", 100, 10))
    venue.request(OTHER, order("s", 30, 11, side="2"))
    mine = [r for r in venue.request(session, replace("y", "x", 100, 11)) if r.session == session]
    assert [get(r, 11, 14, 151) for r in mine] == [("y", "0", "100"), ("y", "30", "70")]


def test_cancel_refusals(session: str) -> None:
    venue = Exchange(Rules())
    assert get(venue.request(session, cancel("c", "nothing"))[0], 37, 39, 102, 434, 41) == (
        "NONE",
        "8",
        "1",
        "1",
        "nothing",
    )
    venue.request(session, order("x"))
    duplicate = get(venue.request(session, cancel("x", "x"))[0], 102, 39)
    assert duplicate == ("2" if "4.2" in session else "6", "0")
    venue.request(session, cancel("c1", "x"))
    too_late = venue.request(session, cancel("c2", "c1"))[0]
    assert get(too_late, 102, 39, 41) == ("0", "4", "c1")
    assert first(too_late.body, 37) not in ("", "NONE")


def test_refused_replace_leaves_the_order_working(session: str) -> None:
    venue = Exchange(Rules(lot_e8=10 * E8))
    venue.request(session, order("x", 100, 10))
    assert get(venue.request(session, replace("y", "x", 15))[0], 102, 434, 39) == ("2", "2", "0")
    assert venue.book("X").top(buy=True) == (10 * E8, 100 * E8)


def test_new_order_rejects(session: str) -> None:
    def rule(message: Fields) -> str | None:
        return "no 13s" if first(message, 38) == "13" else None

    venue = Exchange(Rules(listed=frozenset({"X"}), reject_rule=rule))
    venue.request(session, order("a"))
    unknown = [(tag, "Q" if tag == 55 else value) for tag, value in order("b")]
    cases = [(order("a"), "6"), (unknown, "1"), (order("c", 13), "0"), (order("d", "-1"), "0"), (order("e", "x"), "0")]
    for message, reason in cases:
        reply = venue.request(session, message)[0]
        assert get(reply, 150, 39, 103, 151, 14, 11) == ("8", "8", reason, "0", "0", first(message, 11))
    assert len(venue.open_orders()) == 1


def test_seeded_rejects_repeat() -> None:
    def verdicts() -> list[str]:
        venue = Exchange(Rules(reject_probability=0.5), seed=7)
        return [first(venue.request(SESSIONS[0], order(f"o{n}"))[0].body, 150) for n in range(40)]

    assert verdicts() == verdicts()
    assert set(verdicts()) == {"0", "8"}


def test_resent_order_is_not_taken_twice(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("a"))
    assert venue.request(session, [*order("a"), (97, "Y")]) == []


def test_bust_of_a_filled_order_reopens_it_on_both_sides(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x", 100, 10))
    fills = venue.request(OTHER, order("s", 100, 10, side="2"))
    exec_id = next(first(r.body, 17) for r in fills if r.session == session and first(r.body, 32))
    replies = venue.bust(exec_id)
    mine = next(r for r in replies if r.session == session)
    assert get(mine, 19, 20) == (exec_id, "1" if "4.2" in session else "")
    assert get(mine, 150, 39, 14, 151) == ("0" if "4.2" in session else "H", "0", "0", "100")
    assert {r.session for r in replies} == {session, OTHER}
    with pytest.raises(KeyError):
        venue.bust(exec_id)


def test_bust_on_a_cancelled_order_keeps_it_cancelled(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x", 100, 10))
    fills = venue.request(OTHER, order("s", 40, 10, side="2", tif="3"))
    venue.request(session, cancel("c", "x"))
    exec_id = next(first(r.body, 17) for r in fills if r.session == session and first(r.body, 32))
    mine = next(r for r in venue.bust(exec_id) if r.session == session)
    assert get(mine, 39, 14, 151) == ("4", "0", "0")


def test_status_request(session: str) -> None:
    venue = Exchange(Rules())
    venue.request(session, order("x"))
    request = [(35, "H"), (11, "x"), (55, "X"), (54, "1")]
    expected = ("0", "0", "3") if "4.2" in session else ("I", "0", "")
    assert get(venue.request(session, request)[0], 150, 39, 20) == expected
    assert get(venue.request(session, [(35, "H"), (11, "q"), (55, "X"), (54, "1")])[0], 37, 39) == ("NONE", "8")


def test_mass_cancel_and_unsupported_types(session: str) -> None:
    venue = Exchange(Rules())
    for name in "abc":
        venue.request(session, order(name))
    venue.request(OTHER, order("other"))
    replies = venue.request(session, [(35, "q"), (34, "9"), (11, "m"), (530, "7")])
    if "4.2" in session:
        assert [r.msg_type for r in replies] == ["j"]
        assert get(replies[0], 45, 372, 380) == ("9", "q", "3")
        return
    assert get(replies[0], 11, 530, 531, 533) == ("m", "7", "7", "3")
    assert [get(r, 11, 150) for r in replies[1:]] == [("a", "4"), ("b", "4"), ("c", "4")]
    assert [o.cl_ord_id for o in venue.open_orders()] == ["other"]


def test_a_house_quote_that_moves_far_does_not_trade_with_itself(session: str) -> None:
    venue = Exchange(Rules())
    for bid, ask in ((9, 11), (19, 21), (9, 11)):
        replies = venue.quote("X", True, bid * E8, 50 * E8) + venue.quote("X", False, ask * E8, 50 * E8)
        assert replies == [] and venue.last_trade == {}
        assert (venue.book("X").top(True), venue.book("X").top(False)) == ((bid * E8, 50 * E8), (ask * E8, 50 * E8))


def mass_cancel(scope: str, symbol: str = "") -> Fields:
    return [(35, "q"), (34, "9"), (11, "m"), (530, scope), *([(55, symbol)] if symbol else [])]


def test_mass_cancel_by_security_leaves_other_symbols() -> None:
    venue = Exchange(Rules())
    for name in ("a", "b"):
        venue.request(OTHER, order(name))
    venue.request(OTHER, [(tag, "Y" if tag == 55 else value) for tag, value in order("c")])
    report, *closed = venue.request(OTHER, mass_cancel("1", "X"))
    assert get(report, 530, 531, 533, 55) == ("1", "1", "2", "X") and first(report.body, 37)
    assert [get(r, 11, 41, 150, 39, 151) for r in closed] == [(name, "", "4", "4", "0") for name in ("a", "b")]
    assert [o.cl_ord_id for o in venue.open_orders()] == ["c"]


@pytest.mark.parametrize(("scope", "symbol", "reason"), [("3", "", "0"), ("1", "Q", "1"), ("1", "", "1")])
def test_mass_cancel_refusals(scope: str, symbol: str, reason: str) -> None:
    venue = Exchange(Rules(listed=frozenset({"X"} if symbol else ())))
    venue.request(OTHER, order("a"))
    replies = venue.request(OTHER, mass_cancel(scope, symbol))
    assert [get(r, 530, 531, 532, 533) for r in replies] == [(scope, "0", reason, "")]
    assert [o.cl_ord_id for o in venue.open_orders()] == ["a"]


def test_pending_acknowledgements(session: str) -> None:
    venue = Exchange(Rules(pending_acks=True))
    replies = venue.request(session, order("x", 100)) + venue.request(session, replace("y", "x", 50))
    replies += venue.request(session, cancel("z", "y"))
    assert [first(r.body, 150) for r in replies] == ["A", "0", "E", "5", "6", "4"]
    assert [get(r, 11, 41) for r in replies[2:]] == [("y", "x"), ("y", "x"), ("z", "y"), ("z", "y")]
