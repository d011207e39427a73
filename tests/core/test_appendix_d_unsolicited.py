"""FIX 4.4 Appendix D, order state changes, F to L: mixed requests, unsolicited reports, time in force, busts, repeats.

How to read the tables: `tests/support/matrix.py`.
"""

from __future__ import annotations

import pytest

from tests.support.matrix import Matrix

# F. Replaces and cancels together


def test_f1_cancel_behind_a_pending_replace_both_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 8000          | > G 8000
        F Z Y               | > F
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 E 10000 1000 9000
        8 Y REPLACED        | 8 Y X 5 1 8000 1000 7000
        8 Z PENDING_CANCEL  | 8 Z Y 6 6 8000 1000 7000
        8 Z CANCELED        | 8 Z Y 4 4 8000 1000 0
    """)


def test_f2_pending_cancel_shows_before_pending_replace(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 8000          | > G 8000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        F Z X               | > F
        8 Z PENDING_CANCEL  | 8 Z X 6 6 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 6 10000 1000 9000
        9 Z X 2             | 9 Z X E 1 2
        9 Y X 2             | 9 Y X 1 2 2
    """)


def test_f3_replace_rejected_and_the_cancel_behind_it_too(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 8000          | > G 8000
        F Z Y               | > F
        9 Y X 2             | 9 Y X 0 2 2
        9 Z Y 1             | 9 Z X 0 1 1
        F W X               | > F
        8 W CANCELED        | 8 W X 4 4 10000 0 0
    """)


def test_f4_cancel_accepted_while_a_replace_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        F Z X               | > F
        8 Z CANCELED        | 8 Z X 4 4 10000 0 0
        9 Y X 0             | 9 Y X 4 2 0
    """)


# G. Unsolicited


def test_g1_unsolicited_cancel_of_a_part_filled_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        8 X CANCELED 378=4  | 8 X - 4 4 10000 1000 0 378=4
        F Y X               | 9 Y X 4 1 0
    """)


def test_g2_unsolicited_cancel_while_a_replace_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        8 X CANCELED        | 8 X - 4 4 10000 0 0
        9 Y X 0             | 9 Y X 4 2 0
    """)


def test_g3_unsolicited_cancel_of_a_replaced_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        8 Y REPLACED        | 8 Y X 5 0/5 12000 0 12000
        8 Y CANCELED 41=x   | 8 Y - 4 4 12000 0 0
    """)


def test_g4_unsolicited_cancel_of_an_order_that_was_never_acknowledged(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X CANCELED        | 8 X - 4 4 10000 0 0
    """)


def test_g5_unsolicited_partial_decline_of_the_quantity(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        8 X RESTATED 378=5  | 8 X - D 1 8000 1000 7000 378=5
        8 X TRADE 7000      | 8 X - F/2 2 8000 8000 0
    """)


# H. Good till cancelled


def test_h1_gtc_order_restated_on_the_next_day(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 59=1      | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        8 X RESTATED 378=1  | 8 X - D 1 10000 2000 8000 378=1
        8 X TRADE 1000      | 8 X - F/1 1 10000 3000 7000
        8 X TRADE 7000      | 8 X - F/2 2 10000 10000 0
    """)


def test_h2_gtc_order_done_for_day_then_restated(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 59=1      | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        8 X DONE            | 8 X - 3 3 10000 2000 *
        8 X RESTATED 378=1  | 8 X - D 1 10000 2000 8000 378=1
        8 X TRADE 8000      | 8 X - F/2 2 10000 10000 0
    """)


def test_h3_gtc_order_canceled_on_the_next_day(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 59=1      | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        8 X RESTATED 378=1  | 8 X - D 1 10000 2000 8000 378=1
        F Y X               | > F
        8 Y PENDING_CANCEL  | 8 Y X 6 6 10000 2000 8000
        8 Y CANCELED        | 8 Y X 4 4 10000 2000 0
    """)


# I. Time in force


@pytest.mark.parametrize("time_in_force", ["3", "4"])
@pytest.mark.parametrize(("kind", "code"), [("CANCELED", "4"), ("EXPIRED", "C")])
def test_i1_ioc_or_fok_that_nothing_meets(matrix: Matrix, time_in_force: str, kind: str, code: str) -> None:
    matrix.play(f"""
        D X 10000 59={time_in_force} | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X {kind}          | 8 X - {code} {code} 10000 0 0
        F Y X               | 9 Y X {code} 1 0
    """)


def test_i2_ioc_partly_filled_the_rest_expires(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 59=3      | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        8 X EXPIRED         | 8 X - C C 10000 1000 0
    """)


def test_i3_stopped_order_then_filled(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X STOPPED         | 8 X - 7 7 10000 0 10000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
    """)


def test_i4_suspended_order_then_canceled(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X SUSPENDED       | 8 X - 9 9 10000 0 10000
        F Y X               | > F
        8 Y CANCELED        | 8 Y X 4 4 10000 0 0
    """)


def test_i5_filled_order_calculated(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
        8 X CALCULATED      | 8 X - B B 10000 10000 0
    """)


# J. Busts and corrections


def test_j1_filled_order_execution_corrected_and_busted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000 17=e1       | 8 X - F/1 1 10000 1000 9000
        8 X TRADE 9000 17=e2       | 8 X - F/2 2 10000 10000 0
        8 X BUST 9000 17=b2 19=e2  | 8 X - H/* 1 10000 1000 9000 19=e2 20=1
        8 X CORRECT 500 17=c1 19=e1 | 8 X - G/* 1 10000 500 9500 19=e1 20=2
        8 X TRADE 9500 17=e3       | 8 X - F/2 2 10000 10000 0
    """)


def test_j2_canceled_order_execution_busted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X TRADE 5000 17=e1       | 8 X - F/1 1 10000 5000 5000
        F Y X                      | > F
        8 Y CANCELED               | 8 Y X 4 4 10000 5000 0
        8 X BUST 5000 17=b1 19=e1  | 8 * - H/* 4 10000 0 0 19=e1 20=1
    """)


def test_j3_canceled_order_execution_corrected(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X TRADE 5000 17=e1       | 8 X - F/1 1 10000 5000 5000
        8 X CANCELED               | 8 X - 4 4 10000 5000 0
        8 X CORRECT 4000 17=c1 19=e1 | 8 X - G/* 4 10000 4000 0 19=e1 20=2
    """)


def test_j4_part_filled_order_bust_leaves_it_new(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000 17=e1       | 8 X - F/1 1 10000 1000 9000
        8 X BUST 1000 17=b1 19=e1  | 8 X - H/* 0 10000 0 10000 19=e1 20=1
        8 X TRADE 10000 17=e2      | 8 X - F/2 2 10000 10000 0
    """)


def test_j5_correction_of_a_correction(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                    | > D 10000
        8 X NEW                      | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000 17=e1         | 8 X - F/1 1 10000 1000 9000
        8 X CORRECT 2000 17=c1 19=e1 | 8 X - G/* 1 10000 2000 8000 19=e1 20=2
        8 X CORRECT 1500 17=c2 19=c1 | 8 X - G/* 1 10000 1500 8500 19=c1 20=2
        8 X BUST 1500 17=b1 19=c2    | 8 X - H/* 0 10000 0 10000 19=c2 20=1
    """)


def test_j6_bust_while_a_replace_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000 17=e1       | 8 X - F/1 1 10000 1000 9000
        G Y X 12000                | > G 12000
        8 Y PENDING_REPLACE        | 8 Y X E E 10000 1000 9000
        8 X BUST 1000 17=b1 19=e1  | 8 X - H/* E 10000 0 10000 19=e1 20=1
        8 Y REPLACED               | 8 Y X 5 0/5 12000 0 12000
    """)


def test_j7_bust_of_an_execution_that_nobody_knows(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000                  | > D 10000
        8 X NEW                    | 8 X - 0 0 10000 0 10000
        8 X BUST 1000 17=b1 19=e9  | !
        8 X TRADE 10000            | 8 X - F/2 2 10000 10000 0
    """)


# Repeated requests (in the appendix: PossResend and duplicate ClOrdID)


def test_l1_an_order_of_the_session_layer_s_own_resend_is_ignored(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 43=Y      | > D 10000
        D X 10000 43=Y      | -
        8 X NEW             | 8 X - 0 0 10000 0 10000
        D X 10000 43=Y      | -
        G Y X 12000         | > G 12000
        D Y 12000 43=Y      | -
    """)


def test_l1_an_order_sent_again_is_told_as_it_stands(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000 97=Y      | > D 10000
        D X 10000 97=Y      | 8 X - I/A A 10000 0 10000 20=3
        8 X NEW             | 8 X - 0 0 10000 0 10000
        D X 10000 97=Y      | 8 X - I/0 0 10000 0 10000 20=3
        G Y X 12000 97=Y    | > G 12000
        G Y X 12000 97=Y    | 8 Y - I/0 0 10000 0 10000 20=3
        F Z X 97=Y          | > F
        F Z X 97=Y          | 8 Z - I/0 0 10000 0 10000 20=3
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        D X 10000 97=Y      | 8 X - I/1 1 10000 2000 8000 20=3
    """)


def test_l2_a_clordid_used_again_is_refused(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        D X 15000           | 8 X - 8 1 10000 2000 8000 103=6
        G X X 12000         | 9 X X 1 2 6/2
        F X X               | 9 X X 1 1 6/2
        8 X TRADE 8000      | 8 X - F/2 2 10000 10000 0
        D X 10000           | 8 X - 8 2 10000 10000 0 103=6
    """)
