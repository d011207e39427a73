"""OrderStatusRequests(H) to a venue: so many at a time, and again what it has refused or not answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from tests.support.checks import Reply
from tests.support.core import Core
from tests.support.doubts import asked, is_open_for_orders
from tests.support.kill import core_of


def in_doubt(folder: Path, count: int, **venue: object) -> tuple[Core, list[str]]:
    """A core whose venue has begun its numbers anew with so many orders."""
    core = core_of(folder, **venue)
    children = [core.working(f"A{k}", px=f"{90 - k / 100:.2f}") for k in range(count)]
    core.start(ev.CRASHED)
    for name in core.sessions:
        core.logon(name, reset=name == "XNAS")
    core.synced("XNAS")
    core.synced("XNYS")
    return core, children


def answer(core: Core, child: str) -> None:
    core.status(child, "0", t38="100", t14="0", t151="100")


def refuse(core: Core) -> Reply:
    """The venue takes no more questions for now."""
    return core.message("XNAS", "j", [(45, "1"), (58, "too many"), (372, "H"), (380, "0")])


def test_so_many_wait_for_an_answer_at_a_time(tmp_path: Path) -> None:
    core, children = in_doubt(tmp_path, 300, status_requests=20)
    waiting = asked(core)
    assert waiting == children[:20] and core.doubts() == 300
    seen = list(waiting)
    while waiting:
        answer(core, waiting.pop(0))
        more = asked(core)
        seen += more
        waiting += more
        assert len(waiting) <= 20
    assert seen == children and core.doubts() == 0
    assert is_open_for_orders(core)


def test_what_a_venue_refuses_is_asked_again_soon(tmp_path: Path) -> None:
    """It takes 50 at a time, and the gateway was told 300."""
    core, children = in_doubt(tmp_path, 120, status_requests=300)
    first = asked(core)
    assert first == children
    told = []
    for number, child in enumerate(first):
        if number < 50:
            answer(core, child)
        else:
            told += refuse(core)
    assert ["for now" in fields[58] for _, _, fields in told] == [True], "one alert, not seventy"
    assert asked(core) == []
    core.wait(1.1)
    again = asked(core)
    assert again == children[50:]
    for child in again:
        answer(core, child)
    assert core.doubts() == 0


def test_a_venue_that_goes_on_refusing_is_asked_ever_less_often(tmp_path: Path) -> None:
    core, children = in_doubt(tmp_path, 3)
    times_s = []
    for second in range(50):
        if told := asked(core):
            times_s.append(second)
        for _ in told:
            refuse(core)
        core.wait(1)
    gaps = [later - earlier for earlier, later in zip(times_s, times_s[1:], strict=False)]
    assert gaps == sorted(gaps) and gaps[0] <= 2 and gaps[-1] >= 16, times_s
    for child in children:
        answer(core, child)
    assert core.doubts() == 0


def test_a_session_reject_of_a_question_is_a_refusal_too(tmp_path: Path) -> None:
    core, children = in_doubt(tmp_path, 1)
    assert asked(core) == children
    event = Event(ev.UNDELIVERED, core.time_ns, core.sessions["XNAS"], data=b"372=H\x0158=throttled\x01")
    [(_, _, fields)] = core.apply(event)
    assert "for now" in fields[58] and "throttled" in fields[58]
    core.wait(1.1)
    assert asked(core) == children


@pytest.mark.parametrize("reason", ["3", None])
def test_a_venue_without_such_a_message_is_an_alert(tmp_path: Path, reason: str | None) -> None:
    core, _ = in_doubt(tmp_path, 1)
    asked(core)
    more = [] if reason is None else [(380, reason)]
    [(session, _, fields)] = core.message("XNAS", "j", [(45, "1"), (372, "H"), *more])
    assert session == "" and "tidegate resolve" in fields[58]
