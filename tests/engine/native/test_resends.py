"""What is sent again out of segments of the journal."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gateway.core.layout import NONE, record_dtype
from gateway.engine.native import layout as n
from gateway.engine.native.again import send_again
from gateway.engine.native.resends import Resends
from gateway.fix.session.layout import LINE
from gateway.journal import format as f
from gateway.journal.read import segment_path

ROW = 3
CHECKSUM = re.compile(rb"\x0110=\d{3}\x01")
FIELD = re.compile(r"(\d+)=([^\x01]*)")
WALL_NS = 1_764_585_600 * 10**9


class Journal:
    """Segments of messages to one session, each the report `R` and its number; the next is the run's if not told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sequence = 1
        self.count = 0

    def add(self, numbers: Iterable[int], run: int = 1, message_type: str = "8", left: bytes = b"") -> None:
        """A segment more; `left` stands behind its end."""
        self.count += 1
        words = [0] * f.SEGMENT_HEAD_WORDS
        words[0] = int.from_bytes(f.MAGIC, "little")
        words[3], words[4] = self.sequence, run
        for number in numbers:
            body = b"58=R%d\x01" % number
            data = np.frombuffer(body + b"\0" * (-len(body) % 8), np.int64).tolist()
            head = [8 * (f.HEAD_WORDS + 4 + len(data)), 0, self.sequence, f.VERSION << 32 | f.OUT, 0]
            words += [*head, ROW, number, ord(message_type), len(body), *data]
            self.sequence += 1
        content = np.array(words, np.int64).tobytes() + left + bytes(64)
        segment_path(self.folder, self.count).write_bytes(content)

    def resent(self, first: int, last: int, moved_run: int = 0) -> list[str]:
        """What `Resends` sends: `R` and a number, or `first>next` for a gap that is filled."""
        links, lines = np.zeros(ROW + 1, record_dtype(n.LINK)), np.zeros(ROW + 1, record_dtype(LINE))
        links["fd"], links["stuck_ns"] = NONE, 1  # nobody reads: all of it stays
        loop = np.zeros(1, record_dtype(n.LOOP))

        def step(_: int, words: np.ndarray, state: np.ndarray) -> int:
            return int(send_again(lines, links, loop, ROW, words, words.view(np.uint8), state, False, WALL_NS, 0))

        there = threading.Event()
        resends = Resends(self.folder, there.set)
        resends.begin(ROW, first, last, moved_run)
        done = False
        while not done:
            assert there.wait(5)
            done = (ROW, None) in resends.turn(step)
        sent = bytes(links[ROW].bytes[: links[ROW].used])
        return [_told(dict(FIELD.findall(message.decode()))) for message in CHECKSUM.split(sent)[:-1]]


def _told(message: dict[str, str]) -> str:
    return f"{message['34']}>{message['36']}" if message["35"] == "4" else message["58"]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_messages_of_several_segments_go_out_in_order(journal: Journal) -> None:
    journal.add(range(1, 4))
    journal.add(range(4, 6))
    assert journal.resent(2, 5) == ["R2", "R3", "R4", "R5"]
    assert journal.resent(2, 3) == ["R2", "R3"]


def test_numbers_that_began_anew_are_not_mixed_with_those_of_before(journal: Journal) -> None:
    """The first of them, our Logon, stands at the end of the older ones under another number."""
    journal.add(range(300, 310))
    journal.add(range(2, 6))
    assert journal.resent(1, 5) == ["1>2", "R2", "R3", "R4", "R5"]


def test_nothing_goes_out_beyond_the_last_that_was_asked_for(journal: Journal) -> None:
    journal.add(iter([1, 2, 9, 10]))
    assert journal.resent(1, 5) == ["R1", "R2", "3>6"]


def test_runs_with_another_session_in_the_row_are_left_out(journal: Journal) -> None:
    journal.add(range(1, 4), run=1)
    journal.add(range(4, 6), run=2)
    assert journal.resent(1, 5, moved_run=1) == ["1>4", "R4", "R5"]


def test_a_reject_is_sent_again_and_heartbeats_are_not(journal: Journal) -> None:
    journal.add(range(1, 3), message_type="0")
    journal.add(range(3, 4), message_type="3")
    assert journal.resent(1, 3) == ["1>3", "R3"]


@pytest.mark.parametrize("word", [1, 8, 48, 1 << 40], ids="a word of {}".format)
def test_what_stands_behind_the_end_is_not_read(journal: Journal, word: int) -> None:
    journal.add(range(1, 4), left=word.to_bytes(8, "little") * 4_000)
    assert journal.resent(1, 6) == ["R1", "R2", "R3", "4>7"]
