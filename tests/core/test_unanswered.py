"""Messages that a venue has not answered when all that was missed is read, and children perhaps never sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from tests.support.checks import Reply, fired, passed
from tests.support.core import Core, of_version
from tests.support.doubts import alerts, asked, is_open_for_orders, told

UNEXPECTED = pytest.mark.parametrize("ended", [ev.CRASHED, ev.REBOOTED], ids=["crashed", "rebooted"])
FILL = {"t31": "100", "t151": "0"}


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


@pytest.fixture
def of_both(tmp_path: Path, version: str) -> Core:
    """A core of either FIX version."""
    return Core(tmp_path, of_version(version))


# What a venue has not answered.


def unanswered(core: Core, what: str) -> list[str]:
    """An "order", or a "replace" or "cancel" of one, that its venue does not answer; returns its children."""
    children = [passed(core.new("A"))[11] if what == "order" else core.working("A")]
    if what == "replace":
        children.append(passed(core.replace("G", "A", qty="300"))[11])
    elif what == "cancel":
        children.append(core.cancel("F", "A")[0][2][11])
    return children


UNANSWERED = pytest.mark.parametrize("what", ["order", "replace", "cancel"])


@UNEXPECTED
@UNANSWERED
def test_what_is_not_answered_when_all_is_read_is_asked_about(core: Core, ended: int, what: str) -> None:
    """It may have been refused in a way that is never said again: a Reject(3) is not resent."""
    wanted = unanswered(core, what)
    core.working("B", qty="50")
    core.start(ended)
    core.logon("XNAS")
    assert core.tick() == []
    assert core.doubts() == 2
    core.synced()
    assert core.doubts() == 1
    assert asked(core) == wanted
    assert not is_open_for_orders(core, "P1")
    assert fired(core.replace("G2", "G" if what == "replace" else "A", qty="60")) == {"RECOVERY"}
    passed(core.replace("G3", "B", qty="60"))
    for child in wanted:
        core.status(child, "0", t38="100", t151="100")
    assert core.doubts() == 0


def answer(core: Core, how: str, children: list[str]) -> Reply:
    """The venue answers about the last child, the order, replace or cancel that waits for it."""
    order, child = children[0], children[-1]
    if how == "refused":
        if child == order:
            return core.report(child, "X1", "8", "8")
        return core.cancel_reject(child, order)
    if how == "refused by j":
        return core.message("XNAS", "j", [(45, "2"), (58, "no"), (372, "D"), (379, child), (380, "4")])
    if how == "refused by 3":
        return core.undelivered({35: "D", 11: child, 58: "no"})
    if how == "filled":
        return core.report(order, "X1", "F", "2", t32="100", t14="100", **FILL)
    if child == order:
        return core.report(child, "X1", "0", "0", t151="100")
    kind = "4" if core.record.requests["kind"][1] == ord("F") else "5"
    return core.report(child, "X1", kind, "4" if kind == "4" else "0", t41=order, t38="300")


ANSWERS = pytest.mark.parametrize("how", ["accepted", "refused", "refused by j", "refused by 3"])


@UNEXPECTED
@UNANSWERED
@ANSWERS
def test_sure_as_soon_as_the_venue_answers(core: Core, ended: int, what: str, how: str) -> None:
    """What it says of the message itself settles it as well as a status."""
    children = unanswered(core, what)
    core.start(ended)
    core.come_back()
    assert asked(core) == children
    assert not is_open_for_orders(core, "P1")
    told(answer(core, how, children), "8" if what == "order" or how == "accepted" else "9")
    assert core.doubts() == 0
    assert is_open_for_orders(core, "P2")


@UNEXPECTED
@UNANSWERED
@ANSWERS
def test_an_answer_among_what_is_resent(core: Core, ended: int, what: str, how: str) -> None:
    """Other orders of the venue may yet change: it stays closed until all is read, and then nothing is asked."""
    children = unanswered(core, what)
    core.working("B", qty="50")
    core.start(ended)
    core.logon("XNAS")
    told(answer(core, how, children), "8" if what == "order" or how == "accepted" else "9")
    ends = (what, how) == ("cancel", "accepted") or what == "order" and how != "accepted"
    assert core.doubts() == (1 if ends else 2)
    assert not is_open_for_orders(core, "P1")
    core.synced()
    assert core.doubts() == 0
    assert asked(core) == []
    assert is_open_for_orders(core, "P2")


@UNEXPECTED
@pytest.mark.parametrize("venue_order_id", ["V1", "NONE"])
def test_a_fill_is_an_answer(of_both: Core, ended: int, venue_order_id: str) -> None:
    core = of_both
    order = passed(core.new("A"))[11]
    core.start(ended)
    core.come_back()
    kind = "F" if core.begin_strings["XNAS"] == "FIX.4.4" else "1"
    told(core.report(order, "X1", kind, "1", t32="40", t14="40", t31="100", t151="60", t37=venue_order_id), t14="40")
    assert core.doubts() == 0
    assert core.shares() == (40, 60, 0)


def test_a_report_that_changes_nothing_is_an_answer(core: Core) -> None:
    """The venue has the order, else it would not bust an execution of it."""
    order = passed(core.new("A"))[11]
    core.start(ev.CRASHED)
    core.come_back()
    assert len(alerts(core.report(order, "X1", "H", "0", t19="X0", t32="10"))) == 1
    assert core.doubts() == 0


@UNEXPECTED
def test_every_message_must_be_answered(core: Core, ended: int) -> None:
    order = core.working("A")
    replace = passed(core.replace("G", "A", qty="300"))[11]
    cancel = core.cancel("F", "A")[0][2][11]
    core.start(ended)
    core.come_back()
    told(core.cancel_reject(cancel, order), "9", t11="F")
    assert core.doubts() == 1
    assert core.shares() == (0, 300, 0)
    assert asked(core) == [order, replace]
    told(core.report(replace, "X1", "5", "0", t41=order, t38="300", t151="300"), t11="G", t38="300")
    assert core.doubts() == 0


def test_what_is_not_answered_is_asked_again_after_each_logon(core: Core) -> None:
    children = unanswered(core, "replace")
    core.start(ev.CRASHED)
    core.come_back()
    for _ in range(2):
        assert asked(core) == children
        core.logout("XNAS")
        core.logon("XNAS")
        core.synced()
    assert core.doubts() == 1


def test_in_a_run_a_message_may_wait_for_its_answer(core: Core) -> None:
    """A line that was lost and came back casts no doubt: the engine of this run says what was refused."""
    other = core.working("B", qty="50")
    unanswered(core, "cancel")
    core.logout("XNAS")
    core.logon("XNAS")
    core.synced()
    assert core.doubts() == 0
    assert asked(core) == []
    assert is_open_for_orders(core, "P1")
    core.start(ev.CRASHED)
    core.come_back()
    core.cancel("F2", "B")
    for _ in range(2):
        assert core.doubts() == 1
        assert other not in asked(core)
        core.logout("XNAS")
        core.logon("XNAS")
        core.synced()


@UNEXPECTED
@UNANSWERED
def test_an_answer_settles_nothing_where_numbers_began_anew(core: Core, ended: int, what: str) -> None:
    """Before the answer came the order may have been filled, and nobody will resend that."""
    children = unanswered(core, what)
    core.start(ended)
    core.logon("XNAS", reset=True)
    core.synced()
    asked(core)
    answer(core, "refused" if what != "order" else "accepted", children)
    assert core.doubts() == 1
    assert not is_open_for_orders(core)
    core.resolve(0, ev.WORKING)
    assert core.doubts() == 0


def test_numbers_that_begin_anew_cast_doubt_on_what_was_only_not_answered(core: Core) -> None:
    children = unanswered(core, "cancel")
    core.start(ev.CRASHED)
    core.come_back()
    core.logon("XNAS", reset=True)
    core.synced()
    told(answer(core, "refused", children), "9")
    assert core.doubts() == 1
    assert not is_open_for_orders(core)


# A child that perhaps was never sent.


@UNANSWERED
@pytest.mark.parametrize("evidence", [ev.SAID, ev.INFERRED], ids=["said", "inferred"])
@pytest.mark.parametrize("how", ["sure", "crashed"])
def test_what_was_never_sent_is_refused(core: Core, how: str, evidence: int, what: str) -> None:
    """The files of the engine outlive its process."""
    children = unanswered(core, what)
    if how == "crashed":
        core.start(ev.CRASHED)
    reply = core.undelivered({35: "D", 11: children[-1]}, evidence=evidence)
    told(reply, "8" if what == "order" else "9", t39="8" if what == "order" else "0")
    assert alerts(reply) == []
    assert core.shares() == (0, 0 if what == "order" else 100, 0)


IN_DOUBT = pytest.mark.parametrize(
    "how", ["rebooted", "rebooted, then crashed", "rebooted, then stopped", "synced", "reset"]
)


def cast_doubt(core: Core, how: str) -> None:
    """Leave unanswered what is, or all, in doubt."""
    if how == "reset":
        core.logon("XNAS", reset=True)
    elif how == "synced":
        core.start(ev.CRASHED)
        core.come_back()
    else:
        core.start(ev.REBOOTED)
    if how.endswith("crashed"):
        core.start(ev.CRASHED)
    elif how.endswith("stopped"):
        core.apply(Event(ev.STOP, core.time_ns))
        core.start(ev.STOPPED)


@UNANSWERED
@IN_DOUBT
def test_what_only_the_engine_s_files_say_is_believed_of_no_order_in_doubt(core: Core, how: str, what: str) -> None:
    """They lose their end with the machine: what is not in them may be at the venue."""
    children = unanswered(core, what)
    cast_doubt(core, how)
    before = core.shares()
    reply = core.undelivered({35: "D", 11: children[-1]}, evidence=ev.INFERRED)
    assert [kind for _, kind, _ in reply] == [""]
    assert "not known whether this was sent" in alerts(reply)[0] and children[-1] in alerts(reply)[0]
    assert core.shares() == before
    assert core.doubts() == 1
    assert core.record.requests["state"][len(children) - 1] == (
        a.REQUEST_ACCEPTED if what == "order" else a.REQUEST_PENDING
    )


@UNANSWERED
@IN_DOUBT
def test_what_the_venue_says_it_never_had_is_refused_in_doubt_too(core: Core, how: str, what: str) -> None:
    children = unanswered(core, what)
    cast_doubt(core, how)
    told(core.undelivered({35: "D", 11: children[-1]}), "8" if what == "order" else "9")
    assert core.shares() == (0, 0 if what == "order" else 100, 0)


@pytest.mark.parametrize("asked_about", [False, True])
def test_what_a_venue_refuses_by_number_is_no_word_on_an_order_in_doubt(of_both: Core, asked_about: bool) -> None:
    """Its numbers began anew: that of the order may be that of our OrderStatusRequest now, which it does not take."""
    core = of_both
    order = unanswered(core, "order")[0]
    core.logon("XNAS", reset=True)
    if asked_about:
        assert asked(core) == [order]
    reply = core.undelivered({35: "H", 11: order, 58: "Invalid MsgType"})
    assert [kind for _, kind, _ in reply] == [""]
    [alert] = alerts(reply)
    assert order in alert and "Invalid MsgType" in alert
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 1
    told(core.status(order, "0", t38="100", t151="100"), t39="0", t151="100")
    assert core.doubts() == 0


def test_what_a_venue_refuses_by_number_is_no_word_on_a_replace_in_doubt(of_both: Core) -> None:
    """No replace of an order in doubt goes out: this one's number is of before."""
    core = of_both
    _, replace = unanswered(core, "replace")
    core.logon("XNAS", reset=True)
    reply = core.undelivered({35: "H", 11: replace, 58: "Invalid MsgType"})
    assert [kind for _, kind, _ in reply] == [""]
    assert core.shares() == (0, 300, 0)
    assert core.doubts() == 1


def test_a_cancel_that_a_venue_refuses_by_number_is_told_in_doubt_too(of_both: Core) -> None:
    """Cancels go out in doubt as well: the EMS must hear of what became of this one."""
    core = of_both
    core.working("A")
    core.logon("XNAS", reset=True)
    cancel = core.cancel("F", "A")[0][2][11]
    told(core.undelivered({35: "F", 11: cancel, 58: "Invalid MsgType"}), "9", t11="F", t41="A")
    assert core.shares() == (0, 100, 0)
    assert core.doubts() == 1
