"""FIX 4.4 Appendix D, order state changes, A to E: fills, cancels, replaces and chains of them.

How to read the tables: `tests/support/matrix.py`.
"""

from __future__ import annotations

from tests.support.matrix import Matrix

# A. Vanilla


def test_a1_filled_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        8 X TRADE 1000      | 8 X - F/1 1 10000 3000 7000
        8 X TRADE 7000      | 8 X - F/2 2 10000 10000 0
    """)


def test_a2_part_filled_day_order_done_for_day(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X PENDING_NEW     | 8 X - A A 10000 0 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        8 X TRADE 1000      | 8 X - F/1 1 10000 3000 7000
        8 X DONE            | 8 X - 3 3 10000 3000 0
    """)


def test_a3_filled_by_the_first_report(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
    """)


def test_a4_rejected_by_the_venue(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X REJECTED 103=11/0 58=no | 8 X - 8 8 10000 0 0 103=11/0 58=no
    """)


def test_a5_rejected_after_pending_new(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X PENDING_NEW     | 8 X - A A 10000 0 10000
        8 X REJECTED        | 8 X - 8 8 10000 0 0
    """)


def test_a6_the_same_report_twice_is_told_once(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW 17=n        | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000 17=e1 | 8 X - F/1 1 10000 2000 8000
        8 X TRADE 2000 17=e1 | -
        8 X NEW 17=n        | -
        8 X TRADE 2000 17=e2 | 8 X - F/1 1 10000 4000 6000
    """)


# B. Cancel


def test_b1_cancel_of_an_unfilled_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        F Y X               | > F
        8 Y PENDING_CANCEL  | 8 Y X 6 6 10000 0 10000
        8 Y CANCELED        | 8 Y X 4 4 10000 0 0
    """)


def test_b2_cancel_with_executions_while_it_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        F Y X               | > F
        8 X TRADE 3000      | 8 X - F/1 1 10000 5000 5000
        8 Y PENDING_CANCEL  | 8 Y X 6 6 10000 5000 5000
        8 X TRADE 1000      | 8 X - F/1 6 10000 6000 4000
        8 Y CANCELED        | 8 Y X 4 4 10000 6000 0
    """)


def test_b3_order_filled_before_the_cancel_is_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        F Y X               | > F
        8 X TRADE 8000      | 8 X - F/2 2 10000 10000 0
        9 Y X 0             | 9 Y X 2 1 0
    """)


def test_b4_order_filled_while_pending_cancel(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 5000      | 8 X - F/1 1 10000 5000 5000
        F Y X               | > F
        8 Y PENDING_CANCEL  | 8 Y X 6 6 10000 5000 5000
        8 X TRADE 5000      | 8 X - F/2 6 10000 10000 0
        9 Y X 0             | 9 Y X 2 1 0
    """)


def test_b5_cancel_rejected_at_once(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        F Y X               | > F
        9 Y X 2             | 9 Y X 0 1 2
        8 X TRADE 4000      | 8 X - F/1 1 10000 4000 6000
    """)


def test_b6_cancel_rejected_while_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        F Y X               | > F
        8 Y PENDING_CANCEL  | 8 Y X 6 6 10000 1000 9000
        9 Y X 2             | 9 Y X 1 1 2
        F Z X               | > F
        8 Z CANCELED        | 8 Z X 4 4 10000 1000 0
    """)


def test_b7_cancel_of_an_unknown_order(matrix: Matrix) -> None:
    matrix.play("""
        F Y X               | 9 Y X 8 1 1 37=NONE
    """)


def test_b8_cancel_of_a_closed_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
        F Y X               | 9 Y X 2 1 0
    """)


def test_b9_fill_after_the_cancel_was_accepted_still_counts(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        F Y X               | > F
        8 Y CANCELED        | 8 Y X 4 4 10000 0 0
        8 X TRADE 3000      | 8 X - F/* 4 10000 3000 0
    """)


# C. Replace to a larger quantity


def test_c1_replace_up_of_an_unfilled_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 11000         | > G 11000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 Y REPLACED        | 8 Y X 5 0/5 11000 0 11000
        8 Y TRADE 1000      | 8 Y - F/1 1 11000 1000 10000
        8 Y TRADE 2000      | 8 Y - F/1 1 11000 3000 8000
    """)


def test_c2_replace_up_of_a_part_filled_order_with_fills_while_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 12000         | > G 12000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 1000 9000
        8 X TRADE 100       | 8 X - F/1 E 10000 1100 8900
        8 Y REPLACED        | 8 Y X 5 1 12000 1100 10900
        8 Y TRADE 10900     | 8 Y - F/2 2 12000 12000 0
    """)


def test_c3_order_filled_while_a_larger_replace_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
        8 Y PENDING_REPLACE | 8 Y X E E 10000 10000 0
        8 Y REPLACED        | 8 Y X 5 1 12000 10000 2000
        8 Y TRADE 2000      | 8 Y - F/2 2 12000 12000 0
    """)


def test_c4_replace_of_a_filled_order_is_too_late(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
        G Y X 12000         | 9 Y X 2 2 0
    """)


def test_c5_replace_rejected_with_fills_while_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 E 10000 1000 9000
        9 Y X 2             | 9 Y X 1 2 2
        8 X TRADE 9000      | 8 X - F/2 2 10000 10000 0
    """)


def test_c6_filled_while_pending_replace_and_replace_rejected(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 12000         | > G 12000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 X TRADE 10000     | 8 X - F/2 E 10000 10000 0
        9 Y X 0             | 9 Y X 2 2 0
        F Z X               | 9 Z X 2 1 0
    """)


# D. Replace to a smaller quantity


def test_d1_replace_down_of_an_unfilled_order(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 8000          | > G 8000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 Y REPLACED        | 8 Y X 5 0/5 8000 0 8000
        8 Y TRADE 8000      | 8 Y - F/2 2 8000 8000 0
    """)


def test_d2_replace_down_to_more_than_traded(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 8000          | > G 8000
        8 X TRADE 500       | 8 X - F/1 1 10000 1500 8500
        8 Y PENDING_REPLACE | 8 Y X E E 10000 1500 8500
        8 X TRADE 100       | 8 X - F/1 E 10000 1600 8400
        8 Y REPLACED        | 8 Y X 5 1 8000 1600 6400
    """)


def test_d3_replace_down_to_what_has_traded(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 7000          | > G 7000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 1000 9000
        8 X TRADE 6000      | 8 X - F/1 E 10000 7000 3000
        8 Y REPLACED        | 8 Y X 5 2 7000 7000 0
        F Z Y               | 9 Z Y 2 1 0
    """)


def test_d4_replace_down_to_less_than_has_traded(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 3000      | 8 X - F/1 1 10000 3000 7000
        G Y X 7000          | > G 7000
        8 X TRADE 5000      | 8 X - F/1 1 10000 8000 2000
        8 Y REPLACED        | 8 Y X 5 2 8000 8000 0
    """)


def test_d5_replace_rejected_before_it_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 8000          | > G 8000
        9 Y X 2             | 9 Y X 1 2 2
        8 X TRADE 9000      | 8 X - F/2 2 10000 10000 0
    """)


# E. Sequences of replaces


def test_e1_two_replaces_one_after_the_other(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 8000          | > G 8000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 1000 9000
        8 X TRADE 100       | 8 X - F/1 E 10000 1100 8900
        8 Y REPLACED        | 8 Y X 5 1 8000 1100 6900
        8 Y TRADE 500       | 8 Y - F/1 1 8000 1600 6400
        G Z Y 6000          | > G 6000
        8 Z PENDING_REPLACE | 8 Z Y E E 8000 1600 6400
        8 Z REPLACED        | 8 Z Y 5 1 6000 1600 4400
        8 Z TRADE 4400      | 8 Z - F/2 2 6000 6000 0
    """)


def test_e2_first_replace_rejected_second_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 8000          | > G 8000
        9 Y X 2             | 9 Y X 0 2 2
        G Z X 6000          | > G 6000
        8 Z PENDING_REPLACE | 8 Z X E E 10000 0 10000
        8 Z REPLACED        | 8 Z X 5 0/5 6000 0 6000
        8 Z TRADE 1000      | 8 Z - F/1 1 6000 1000 5000
    """)


def test_e3_first_replace_rejected_while_pending_second_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 8000          | > G 8000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 1000 9000
        9 Y X 2             | 9 Y X 1 2 2
        8 X TRADE 100       | 8 X - F/1 1 10000 1100 8900
        G Z X 6000          | > G 6000
        8 Z PENDING_REPLACE | 8 Z X E E 10000 1100 8900
        8 Z REPLACED        | 8 Z X 5 1 6000 1100 4900
    """)


def test_e4_chained_replaces_both_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 11000         | > G 11000
        G Z Y 12000         | > G 12000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 E 10000 1000 9000
        8 Y REPLACED        | 8 Y X 5 1 11000 1000 10000
        8 Z PENDING_REPLACE | 8 Z Y E E 11000 1000 10000
        8 Y TRADE 500       | 8 Y - F/1 E 11000 1500 9500
        8 Z REPLACED        | 8 Z Y 5 1 12000 1500 10500
        8 Z TRADE 10500     | 8 Z - F/2 2 12000 12000 0
    """)


def test_e5_second_of_a_chain_rejected_while_the_first_is_pending(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 11000         | > G 11000
        8 Y PENDING_REPLACE | 8 Y X E E 10000 0 10000
        G Z Y 12000         | > G 12000
        9 Z Y 3             | 9 Z X E 2 3
        8 Y REPLACED        | 8 Y X 5 0/5 11000 0 11000
        8 Y TRADE 11000     | 8 Y - F/2 2 11000 11000 0
    """)


def test_e6_second_of_a_chain_rejected_after_the_first_was_accepted(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 11000         | > G 11000
        G Z Y 12000         | > G 12000
        8 Y REPLACED        | 8 Y X 5 1 11000 1000 10000
        9 Z Y 2             | 9 Z Y 1 2 2
        8 Y TRADE 10000     | 8 Y - F/2 2 11000 11000 0
    """)


def test_e7_both_of_a_chain_rejected(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 11000         | > G 11000
        G Z Y 12000         | > G 12000
        9 Y X 2             | 9 Y X 0 2 2
        9 Z Y 2             | 9 Z X 0 2 2
        8 X TRADE 10000     | 8 X - F/2 2 10000 10000 0
    """)


def test_e8_replace_of_a_superseded_or_refused_clordid_is_refused(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        G Y X 11000         | > G 11000
        8 Y REPLACED        | 8 Y X 5 0/5 11000 0 11000
        G Z X 12000         | 9 Z Y 0/5 2 2
        G W Y 12000         | > G 12000
        9 W Y 2             | 9 W Y 0/5 2 2
        G V W 12000         | 9 V Y 0/5 2 2
        F U X               | > F
        8 U CANCELED        | 8 U Y 4 4 11000 0 0
    """)


def test_e9_replace_accepted_without_pending_replace_changes_price_only(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 1000 9000
        G Y X 10000 44=101  | > G 10000
        8 X TRADE 1000      | 8 X - F/1 1 10000 2000 8000 44=100
        8 Y REPLACED 44=101 | 8 Y X 5 1 10000 2000 8000 44=101
        8 Y TRADE 1000      | 8 Y - F/1 1 10000 3000 7000 44=101
    """)
