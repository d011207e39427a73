"""The order state change matrices of FIX 4.4 volume 4, Appendix D, through the gateway: what the EMS is told.

One matrix a test. A line is `what comes in | what goes out`, both in the letters that the appendix gives to ClOrdIDs:

    D X 10000            NewOrderSingle X          > D 10000                   child to the venue, its 38
    G Y X 11000          Replace Y of X            8 Y X 5 0 11000 0 11000     report: 11 41 150 39 38 14 151
    F Y X                Cancel Y of X             9 Y X 1 1 0                 reject: 11 41 39 434 102
    8 X TRADE 2000       the venue on child X      -                           nothing
    9 Y X 0              the venue refuses Y, 102=0

`a/b` is a in FIX 4.4 and b in FIX 4.2, `*` any value. `17=e1` names an execution of the venue, `19=e1` the ExecID under
which the EMS got to know it. The venue tells the 39, 14 and 151 that the EMS is to see, or leaves 14 and 151 out.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.support.core import BASE, LIMITS, Core, Fields

EXEC_TYPES = {
    **{"NEW": "0", "DONE": "3", "CANCELED": "4", "REPLACED": "5", "PENDING_CANCEL": "6", "STOPPED": "7"},
    **{"REJECTED": "8", "SUSPENDED": "9", "PENDING_NEW": "A", "CALCULATED": "B", "EXPIRED": "C", "RESTATED": "D"},
    **{"PENDING_REPLACE": "E", "TRADE": "F", "CORRECT": "G", "BUST": "H"},
}
REPORT_TAGS = (11, 41, 150, 39, 38, 14, 151)
REJECT_TAGS = (11, 41, 39, 434, 102)


class Matrix:
    """Plays the lines of a matrix against a core and holds every answer against the table."""

    def __init__(self, folder: Path, version: str, full: bool) -> None:
        config = copy.deepcopy(BASE)
        for session in config["sessions"]:
            session["begin_string"] = version
        limits = copy.deepcopy(LIMITS)
        limits["account"]["default"] = dict.fromkeys(
            ("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited"
        )
        self.core = Core(folder, config, limits)
        self.column = 0 if version == "FIX.4.4" else 1
        self.full = full
        self.children: dict[str, Fields] = {}
        self.seen: dict[str, str] = {}  # ExecID of the venue to the one that the EMS saw
        self.order_ids: set[str] = set()
        self.exec_ids: set[str] = set()
        self.next_exec = 1

    def play(self, table: str) -> None:
        for line in filter(None, (text.strip() for text in table.splitlines())):
            said, _, wanted = line.partition("|")
            wants = [w.split() for w in wanted.split(";") if w.strip() not in ("", "-")]
            words = said.split()
            got = self.step(words, wants)
            assert len(got) == len(wants), f"{line}\nwanted {len(wants)} messages, got {got}"
            for want, (session, msg_type, fields) in zip(wants, got, strict=True):
                self.compare(line, words, want, session, msg_type, fields)

    def step(self, words: list[str], wants: list[list[str]]) -> list[tuple[str, str, Fields]]:
        options = {"t" + w.split("=")[0]: self.pick(w.split("=")[1]) for w in words if "=" in w}
        kind, *names = [w for w in words if "=" not in w]
        if kind == "D":
            return self.core.new(names[0], qty=names[1], poss_dup=options.pop("t43", "N") == "Y", **options)
        if kind == "G":
            return self.core.replace(names[0], names[1], qty=names[2], **options)
        if kind == "F":
            return self.core.cancel(names[0], names[1], **options)
        if kind == "9":
            child = self.children[names[0]]
            return self.core.cancel_reject(child[11], child[41], "2" if 44 in child else "1", names[2])
        return self.report(names, options, wants)

    def report(self, names: list[str], options: dict[str, str], wants: list[list[str]]):
        child = self.children[names[0]]
        exec_type = EXEC_TYPES[names[1]]
        row = next((w for w in wants if w[0] == "8"), None)
        values = dict(zip(REPORT_TAGS, map(self.pick, row[1:8]), strict=True)) if row else {}
        exec_id = options.pop("t17", None) or f"auto{self.next_exec}"
        self.next_exec += 1
        fields = {"t14": None, "t151": None, "t38": values.get(38, "0")}
        if self.full and row:
            fields |= {"t14": values[14], "t151": values[151]}
        if len(names) > 2:
            fields |= {"t32": names[2], "t31": "100", "t44": "100"}
        if exec_type in "456EC" and 41 in child:
            fields["t41"] = child[41]
        if self.column == 1 and exec_type in "FGH":
            fields["t20"] = {"F": "0", "G": "2", "H": "1"}[exec_type]
            exec_type = "2" if values.get(151) == "0" else "1"
        status = values.get(39, "0")
        return self.core.report(child[11], exec_id, exec_type, status, **(fields | options))

    def pick(self, value: str) -> str:
        return value.split("/")[self.column] if "/" in value else value

    def compare(
        self, line: str, words: list[str], want: list[str], session: str, msg_type: str, fields: Fields
    ) -> None:
        if want[0] == "!":
            assert (session, msg_type) == ("", ""), f"{line}\ngot {msg_type} {fields}"
            return
        if want[0] == ">":
            assert (session, msg_type) == ("XNAS", want[1]), f"{line}\ngot {session} {msg_type} {fields}"
            assert len(want) < 3 or fields[38] == want[2], f"{line}\ngot 38={fields.get(38)}"
            self.children[words[1]] = fields
            return
        assert (session, msg_type) == ("EMS1", want[0]), f"{line}\ngot {session} {msg_type} {fields}"
        tags = REPORT_TAGS if msg_type == "8" else REJECT_TAGS
        wanted = dict(zip(tags, map(self.pick, want[1 : 1 + len(tags)]), strict=True))
        extra = {int(w.split("=")[0]): self.pick(w.split("=")[1]) for w in want[1 + len(tags) :]}
        if msg_type == "8":
            wanted[19] = self.seen[extra.pop(19)] if 19 in extra else "-"
            trans_type = extra.pop(20, "0")
            wanted[20] = trans_type if self.column == 1 else "-"
            self.check_ids(line, words, fields)
        wanted |= extra
        got = {tag: fields.get(tag, "-") for tag in wanted}
        wanted = {tag: got[tag] if value == "*" and got[tag] != "-" else value for tag, value in wanted.items()}
        assert got == wanted, line

    def check_ids(self, line: str, words: list[str], fields: Fields) -> None:
        """OrderID is the same all along, ExecID never the same; the venue's stand beside them."""
        assert fields[17] not in self.exec_ids, f"{line}: ExecID used twice"
        self.exec_ids.add(fields[17])
        if fields[37] != "NONE":
            self.order_ids.add(fields[37])
        assert len(self.order_ids) <= 1, f"{line}: OrderID changed {self.order_ids}"
        for word in words:
            if word.startswith("17="):
                self.seen[word[3:]] = fields[17]


@pytest.fixture(params=["FIX.4.4", "FIX.4.2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["cumqty", "lastqty"])
def matrix(tmp_path: Path, version: str, request: pytest.FixtureRequest) -> Matrix:
    return Matrix(tmp_path, version, request.param)


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


@pytest.mark.parametrize("flag", ["97=Y", "43=Y"])
def test_l1_an_order_sent_again_is_ignored(matrix: Matrix, flag: str) -> None:
    matrix.play(f"""
        D X 10000 {flag}    | > D 10000
        D X 10000 {flag}    | -
        8 X NEW             | 8 X - 0 0 10000 0 10000
        D X 10000 {flag}    | -
        G Y X 12000 97=Y    | > G 12000
        G Y X 12000 97=Y    | -
        F Z X 97=Y          | > F
        F Z X 97=Y          | -
        D Y 12000 {flag}    | -
    """)


def test_l2_a_clordid_used_again_is_refused(matrix: Matrix) -> None:
    matrix.play("""
        D X 10000           | > D 10000
        8 X NEW             | 8 X - 0 0 10000 0 10000
        8 X TRADE 2000      | 8 X - F/1 1 10000 2000 8000
        D X 15000           | 8 X - 8 8 15000 0 0 37=NONE 103=6
        G X X 12000         | 9 X X 1 2 6/2
        F X X               | 9 X X 1 1 6/2
        8 X TRADE 8000      | 8 X - F/2 2 10000 10000 0
        D X 10000           | 8 X - 8 8 10000 0 0 37=NONE 103=6
    """)
