"""The loop's own part in a sweep: it goes as fast as it can, and waits for no time while a peer reads."""

from __future__ import annotations

import select
import time

import numpy as np
import pytest

from gateway.core.events import BUFFER, EVENT, OUT
from gateway.core.layout import CAPACITIES, NONE, record_dtype, state_dtype
from gateway.engine.native import layout as n
from gateway.engine.native.loop import CROWDED_BYTES, PAUSE_NS, serve
from gateway.journal import format as f

SHORT_NS, LONG_NS = 20 * PAUSE_NS, 500 * PAUSE_NS


def sweep(unsent_bytes: int, for_ns: int = SHORT_NS, synced_first: bool = False) -> tuple[int, bool, int]:
    """Serve a venue for which so much waits, a whole table of orders to be swept, for some time: the steps taken,
    whether the sweep has ended, and how long it took, ns.
    """
    block = np.zeros(1, record_dtype(state_dtype(CAPACITIES["standard"])))
    s = block[0]
    s.orders["number"] = NONE
    s.order_count = s.orders.size
    s.sweep_row = 0
    segment, event, buffer, out = (np.zeros(1, record_dtype(dtype)) for dtype in (f.SEGMENT, EVENT, BUFFER, OUT))
    cursor = np.zeros(1, record_dtype(f.CURSOR))
    cursor["used"], cursor["limit"] = f.SEGMENT_HEAD.itemsize, segment["bytes"].size
    links, loop = np.zeros(1, record_dtype(n.LINK)), np.zeros(1, record_dtype(n.LOOP))
    links["fd"], links["used"], links["stuck_ns"] = 1_000_000, unsent_bytes, 1
    with select.epoll() as epoll:
        loop["epoll"], loop["look_ns"], loop["most"], loop["sends"] = epoll.fileno(), 10**9, 1000, not synced_first
        begun_ns = time.monotonic_ns()
        loop["deadline_ns"] = begun_ns + for_ns
        assert serve(block, cursor, segment, event, buffer, out, links, loop, np.zeros(64, np.int64)) == n.QUIET
    return int(s.events), bool(s.sweep_row == NONE), time.monotonic_ns() - begun_ns


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Nothing is compiled or loaded while time runs."""
    sweep(0)


def test_a_sweep_ends_within_one_call() -> None:
    events, ended, _ = sweep(CROWDED_BYTES, LONG_NS)
    assert (events, ended) == (33, True)


def test_while_a_peer_does_not_read_cancels_go_out_more_slowly_but_go() -> None:
    events, ended, took_ns = sweep(CROWDED_BYTES + 1)
    assert 1 < events <= took_ns // PAUSE_NS + 1 and not ended


@pytest.mark.parametrize("unsent_bytes", [0, CROWDED_BYTES + 1])
def test_what_must_be_synced_first_is_left_to_python(unsent_bytes: int) -> None:
    assert sweep(unsent_bytes, synced_first=True)[:2] == (0, False)
