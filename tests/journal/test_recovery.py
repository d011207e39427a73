"""What a start finds in a journal folder, beside the state: what may not have been sent, and what it can do without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core.driver import Output
from gateway.journal.follower import Follower
from gateway.journal.read import PACKED_SUFFIX
from gateway.journal.recovery import late_outputs, recover
from tests.support.core import fields_of
from tests.support.journal import JournaledCore
from tests.support.service import in_process, next_run

KEEP_NS = 10**18


def packed(core: JournaledCore, every: int) -> list[Path]:
    """The compressed segments of a closed journal, once there are snapshots after each `every` segments."""
    core.close()
    follower = Follower(core.folder, every, KEEP_NS)
    while follower.step():
        pass
    return sorted(path for path in core.folder.iterdir() if path.name.endswith(PACKED_SUFFIX))


def three_orders(core: JournaledCore) -> None:
    """Working orders, each in a segment of its own."""
    for number in range(3):
        core.working(f"A{number}", px=str(99 - number))
        if number < 2:
            core.journal_writer.roll()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def ids(outputs: list[Output]) -> list[str]:
    return [fields_of(output.body)[11] for output in outputs]


def test_a_damaged_segment_that_a_snapshot_covers_costs_no_start(core: JournaledCore, tmp_path: Path) -> None:
    """Only what it had to say about messages not sent is missed: no order there is sure."""
    three_orders(core)
    whole = packed(core, 1)
    before = recover(core.folder)
    assert before.unsent_known and before.notes == []
    damage(whole[-1])
    found = recover(core.folder)
    assert not found.unsent_known and found.lost == "" and len(found.notes) == 1 and whole[-1].name in found.notes[0]
    assert found.replayer.state is not None and found.replayer.state.record.open_order_count == 3
    (tmp_path / "gateway" / "var").mkdir(parents=True)
    core.folder.rename(tmp_path / "gateway" / "var" / "journal")
    facts = in_process(next_run, tmp_path / "gateway", boot=0)
    assert facts["ended"] == ev.REBOOTED and facts["doubts"] == 3
    assert [status for status, _ in facts["orders"]] == ["0", "0", "0"]


def test_a_damaged_segment_further_back_is_not_even_looked_at(core: JournaledCore) -> None:
    three_orders(core)
    damage(packed(core, 1)[0])
    found = recover(core.folder)
    assert found.unsent_known and found.lost == "" and found.notes == []


def test_a_damaged_segment_that_no_snapshot_covers_is_a_loss(core: JournaledCore) -> None:
    three_orders(core)
    core.close()
    last = sorted(core.folder.iterdir())[-1]
    content = bytearray(last.read_bytes())
    content[20] ^= 1  # of its head
    last.write_bytes(content)
    assert last.name in recover(core.folder).lost


@pytest.mark.parametrize("rolled", [False, True])
def test_what_may_have_been_lost_with_the_machine(make: Callable[..., JournaledCore], rolled: bool) -> None:
    """All of the last seconds, whether it was handed over or not, over the end of a segment too."""
    core = make()
    core.new("OLD")
    core.wait(3600)
    core.quote("AAPL", 99.99, 100.01, 100)
    core.new("A", qty="50")
    core.journal_writer.hand()
    if rolled:
        core.journal_writer.roll()
    core.new("B", qty="60")
    core.close()
    found = recover(core.folder)
    children = [f"C1-{number}" for number in range(3)]
    assert ids(late_outputs(found)) == children[1:]
    assert ids(found.unsent) == children[2:]
