"""What the engine makes of QuickFIX's files and callbacks: expected numbers, resets, and the time after a failure."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import quickfix as fix

from gateway.core import events as ev
from gateway.core.driver import Output
from gateway.engine.quickfix import callbacks
from tests.support.service import SOH, Run, config_of, in_process, store_of

KNOWN = 500  # number of the next message of the venue, as QuickFIX has counted


def has_counted(folder: Path) -> None:
    """A session that QuickFIX knows well."""
    run = Run(folder)
    run.service._begin_sessions()
    run.session("XNAS").setNextTargetMsgSeqNum(KNOWN)
    run.session("XNAS").setNextSenderMsgSeqNum(100)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What such a session leaves."""
    folder = tmp_path_factory.mktemp("counted")
    in_process(has_counted, folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, counted: Path) -> Path:
    """A copy of it."""
    shutil.copytree(store_of(counted), store_of(tmp_path))
    return tmp_path


def prepared(folder: Path, last: int | None, **venue: Any) -> dict[str, Any]:
    """What the venue is asked for when the journal's last message has this number."""
    run = Run(folder, config_of(folder, venue))
    numbers = run.engine.prepare([None, last])
    row = run.names["XNAS"]
    return {
        "returned": numbers[row],
        "expected": run.session("XNAS").getExpectedTargetNum(),
        "continues": run.application.next_sender[row] < sys.maxsize,
        "stored": run.engine._was_stored(Output(row, "D", f"11=C1-0{SOH}".encode())),
    }


@pytest.mark.parametrize(
    ("last", "expected", "trusted"),
    [
        (None, KNOWN, True),
        (0, 1, True),
        (400, 401, True),
        (KNOWN - 1, KNOWN, True),
        (KNOWN, KNOWN, True),
        (KNOWN + 1, KNOWN, False),
        (KNOWN + 1000, KNOWN, False),
    ],
    ids=["unknown", "none", "behind", "equal", "killed in the callback", "store behind by one", "store far behind"],
)
def test_the_number_that_is_asked_for(folder: Path, last: int | None, expected: int, trusted: bool) -> None:
    """QuickFIX counts a message after its callback, so a kill leaves its store one behind the journal at most."""
    found = in_process(prepared, folder, last)
    assert (found["returned"], found["expected"]) == (expected - 1, expected)
    assert found["continues"] is trusted
    assert found["stored"] is (False if trusted else None)


@pytest.mark.parametrize("last", [None, 0, 499])
def test_a_store_that_began_anew_says_nothing_of_the_last_run(tmp_path: Path, last: int | None) -> None:
    found = in_process(prepared, tmp_path, last)
    assert found["expected"] == 1 and found["stored"] is None
    assert found["continues"] is (last != 499)


@pytest.mark.parametrize("number", [1, 50])
def test_a_venue_that_resets_while_it_is_up_did_not_continue(tmp_path: Path, number: int) -> None:
    """QuickFIX answers a Logon with ResetSeqNumFlag(141) by resetting, and calls onLogon without an onLogout."""
    assert in_process(logs_on_again, tmp_path, number) == [1, int(number == 50)]


def logs_on_again(folder: Path, number: int) -> list[int]:
    run = Run(folder)
    run.service._begin_sessions()
    continued = []
    for logon in (1, number):
        run.log_on("XNAS", logon)
        continued.append(int(run.record.sessions[run.names["XNAS"]].continued))
        run.session("XNAS").setNextSenderMsgSeqNum(50)
    return continued


def test_after_a_failed_callback_sessions_can_still_end_and_ask_again(tmp_path: Path) -> None:
    found = in_process(fails, tmp_path)
    assert found == {"put": ["RuntimeError"], "resent": True, "order": "declined", "up": [], "then": []}


def fails(folder: Path) -> dict[str, Any]:
    run = Run(folder)
    run.begin("EMS1", "XNAS")
    run.application.failed = False
    put_message = run.service._inbox.put_message

    def fail(_: object) -> None:
        raise RuntimeError("broken")

    run.service._inbox.put_message = fail
    fill = run.fill("C1-0", "X1", 10)
    run.call_back(fill)
    run.service._inbox.put_message = put_message
    put = waiting(run)
    run.call_back(run.fill("C1-0", "X2", 10))
    ems, venue = (run.engine._ids[run.names[name]] for name in ("EMS1", "XNAS"))
    run.application.toApp(again("8", "17=E1-1"), ems)
    try:
        run.application.toApp(again("D", "11=C1-0"), venue)
        order = "sent"
    except fix.DoNotSend:
        order = "declined"
    declined = waiting(run)
    run.log_out("initiator")
    run.log_out("acceptor")
    up = list(run.application.logged_on)
    run.application.onLogon(venue)
    then = [event for event in waiting(run) if event != "LOGOUT"]
    assert declined == ["UNDELIVERED"]
    return {"put": put, "resent": True, "order": order, "up": up, "then": then}


def test_a_reject_tells_the_core_or_a_person(tmp_path: Path) -> None:
    """After a restart it is not known any more which message had the number that the venue rejects."""
    told, alerts = in_process(rejected, tmp_path)
    assert told == [["UNDELIVERED"], []]
    [alert] = alerts
    assert "not known" in alert and "58=no such message" in alert


def rejected(folder: Path) -> tuple[list[list[str]], list[str]]:
    run = Run(folder)
    run.begin("EMS1", "XNAS")
    run.take(run.order("A"))
    session_id = run.engine._ids[run.names["XNAS"]]
    last = run.session("XNAS").getExpectedSenderNum() - 1
    told = []
    for number in (last, last - 1):
        head = ["8=FIX.4.4", "9=0", "35=3", "34=1", "49=XNAS", "56=GW", "52=20260711-12:00:00.000"]
        text = SOH.join([*head, f"45={number}", "58=no such message", "10=0", ""])
        run.application.fromAdmin(fix.Message(text, False), session_id)
        told.append(waiting(run))
    return told, [entry["text"] for entry in run.log if entry["event"] == "alert"]


def test_a_core_that_hangs_does_not_keep_a_failed_gateway_alive(tmp_path: Path) -> None:
    """Nobody takes the error from the inbox."""
    assert in_process(hangs, tmp_path) == [70]


def hangs(folder: Path) -> list[int]:
    run = Run(folder)
    run.begin("EMS1", "XNAS")
    callbacks.LAST_RESORT_S = 0.01
    leave, ended, status = os._exit, threading.Event(), []

    def end(number: int) -> None:
        status.append(number)
        ended.set()

    os._exit = end
    run.application.inbox = None
    with contextlib.suppress(AttributeError):
        run.call_back(run.fill("C1-0", "X1", 10))
    ended.wait(10)
    os._exit = leave
    return status


def again(message_type: str, *fields: str) -> fix.Message:
    """A message that QuickFIX sends again."""
    head = ["8=FIX.4.4", "9=0", f"35={message_type}", "34=2", "43=Y", "49=GW", "56=PEER", "52=20260711-12:00:00.000"]
    return fix.Message(SOH.join([*head, *fields, "10=0", ""]), False)


def waiting(run: Run) -> list[str]:
    """What the inbox has: kinds of events, and classes of errors."""
    names = {ev.LOGON: "LOGON", ev.LOGOUT: "LOGOUT", ev.UNDELIVERED: "UNDELIVERED", ev.MESSAGE: "MESSAGE"}
    found = []
    while True:
        try:
            event = run.service._inbox.get(0)
        except RuntimeError as error:
            found.append(type(error).__name__)
            continue
        if event is None:
            return found
        found.append(names[event.kind])
