"""What a failing callback, send, disk or command does to a run, and what the next run makes of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import quickfix as fix

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.journal.writer import _Segment
from gateway.kill.file import set_switch
from gateway.ops.control import SOCKET_NAME, ControlError, give_command
from tests.support.journal import wait_for
from tests.support.service import (
    BOTH,
    Run,
    before_send,
    config_of,
    in_process,
    lines,
    next_run,
    one_order,
    reports,
    store_of,
    stored,
)

PENDING, REJECTED = ("A", True), ("8", False)


def test_what_comes_behind_a_message_that_a_failed_callback_lost_is_not_counted(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    failed = in_process(fails_in_a_callback, tmp_path)
    assert failed["error"] == "lost" and failed["executed"] == [10]
    facts = in_process(next_run, tmp_path)
    assert facts["ended"] == ev.CRASHED and facts["expected"]["XNAS"] == 3


def fails_in_a_callback(folder: Path) -> dict[str, Any]:
    run = Run(folder)
    run.begin(*BOTH)
    child = "C1-0"
    run.call_back(run.fill(child, "X1", 10, 2))
    put_message = run.service._inbox.put_message

    def loses_one(event: Event) -> None:
        run.service._inbox.put_message = put_message
        raise RuntimeError("lost")

    run.service._inbox.put_message = loses_one
    run.call_back(run.fill(child, "X2", 20, 3))
    run.call_back(run.fill(child, "X3", 30, 4))
    return ends_with_an_error(run) | run.facts()


def ends_with_an_error(run: Run) -> dict[str, Any]:
    """Serve until the error that waits."""
    run.service._begin_sessions = lambda: None
    with pytest.raises(RuntimeError) as caught:
        run.service.run()
    return {"error": str(caught.value)}


def test_a_fill_that_comes_while_the_gateway_stops_is_told(tmp_path: Path) -> None:
    facts = in_process(stops_as_a_fill_comes, tmp_path)
    assert facts["executed"] == [40]
    assert [report[32] for report in reports(tmp_path, t150="F")] == ["40"]


def stops_as_a_fill_comes(folder: Path) -> dict[str, Any]:
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.order("A"))
    for _ in range(2):
        run.service.stop()
    run.call_back(run.fill("C1-0", "E1", 40))
    run.service._close()
    return run.facts()


def test_when_a_send_fails_nothing_goes_out_twice_and_the_rest_is_made_good(tmp_path: Path) -> None:
    failed = in_process(fails_in_a_batch, tmp_path)
    assert "could not be stored" in failed["error"]
    assert [m[11] for m in stored(tmp_path, "XNAS", "D")] == ["C1-0"]
    facts = in_process(next_run, tmp_path, before_send(tmp_path))
    assert facts["ended"] == ev.CRASHED
    assert facts["orders"] == [PENDING, REJECTED, REJECTED]
    assert [m[11] for m in stored(tmp_path, "XNAS", "D")] == ["C1-0"]
    assert sorted(m[11] for m in reports(tmp_path)) == ["A2", "A3"]


def fails_in_a_batch(folder: Path) -> dict[str, Any]:
    run = Run(folder, before_send(folder))
    run.begin(*BOTH)
    fail_once(2)
    for event in (run.order("A1"), run.order("A2", t38=200), run.order("A3", t38=300)):
        run.service._inbox.put(event)
    return ends_with_an_error(run) | run.facts()


def fail_once(count: int) -> None:
    """QuickFIX cannot store the message that is sent as this one from now on."""
    send, calls = fix.Session.sendToTarget, iter(range(1, 10**6))
    fix.Session.sendToTarget = staticmethod(lambda *to: False if next(calls) == count else send(*to))


def test_a_report_whose_send_failed_is_told_by_the_next_run(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    in_process(fails_in_a_report, tmp_path)
    assert reports(tmp_path, t17="X1") == []
    in_process(next_run, tmp_path)
    told = [m[32] for m in reports(tmp_path)]
    assert sorted(told) == ["10", "20"]


def fails_in_a_report(folder: Path) -> dict[str, Any]:
    run = Run(folder)
    run.begin(*BOTH)
    fail_once(1)
    run.service._inbox.put(run.fill("C1-0", "X1", 10))
    run.service._inbox.put(run.fill("C1-0", "X2", 20))
    return ends_with_an_error(run)


def test_a_sync_that_fails_before_the_send_stops_orders_only(tmp_path: Path) -> None:
    facts = in_process(cannot_sync, tmp_path)
    assert [m[11] for m in stored(tmp_path, "XNAS", "D")] == ["C1-0"]
    assert [m[41] for m in stored(tmp_path, "XNAS", "F")] == ["C1-0"]
    assert [(m[11], m[39]) for m in reports(tmp_path)][0] == ("A", "1")
    assert {m[11] for m in reports(tmp_path, t39="8")} == {"B", "C"}
    assert facts["orders"] == [("1", True), REJECTED]
    assert len(lines(facts, "the journal takes no orders")) == 1


def cannot_sync(folder: Path) -> dict[str, Any]:
    """One batch has a fill, a cancel and an order when the disk gives up; an order comes after it."""
    run = Run(folder, before_send(folder))
    run.begin(*BOTH)
    run.take(run.order("A"))

    def sync(self: object, used: int) -> None:
        raise OSError(5, "Input/output error")

    _Segment.sync = sync
    run.take(run.fill("C1-0", "X1", 10), run.order("B", t38=200), run.cancel("X", "A"))
    run.take(run.order("C", t38=300))
    return run.facts()


def test_the_day_ends_on_a_full_disk_too(tmp_path: Path) -> None:
    days, blocked = in_process(ends_the_day_on_a_full_disk, tmp_path)
    assert (days, blocked) == (1, 1)
    assert [m[41] for m in stored(tmp_path, "XNAS", "F")] == ["C1-0"]


def ends_the_day_on_a_full_disk(folder: Path) -> tuple[int, int]:
    run = Run(folder, config_of(folder, day={"zone": "UTC", "end": "17:00"}))
    run.begin(*BOTH)
    run.take(run.order("A"))

    def make() -> None:
        raise OSError(28, "No space left on device")

    run.service._journal._make = make
    run.service._journal.roll()
    run.service._journal.roll()
    run.service._journal._work.set()
    wait_for(lambda: "No space" in run.service._journal.trouble, "the disk to be full")
    run.service._watch_journal()
    run.service._end_day()
    run.take(run.cancel("X", "A"))
    return int(run.record.days), int(run.record.journal_blocked)


# Commands


def test_no_command_ends_the_gateway(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    answers, facts = in_process(commanded, tmp_path)
    for number, answer in enumerate(answers[:-1]):
        assert answer["ok"] is False and answer["text"] and "\n" not in answer["text"], (number, answer)
    assert answers[-1] == {"ok": True, "text": "order O1-0 is gone"}
    assert facts["orders"] == [REJECTED]
    [line] = lines(facts, "order resolved by a person")
    assert line["user"] != "x"


def commanded(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    shutil.rmtree(store_of(folder))
    run = Run(folder)
    run.begin("EMS1")
    resolve = {"command": "resolve", "order": "O1-0", "verdict": "gone", "reason": "by phone"}
    requests = [
        "[" * 3000,
        "{}",
        json.dumps({"command": "dance"}),
        json.dumps({"command": "resolve"}),
        *(json.dumps(resolve | {"executed": executed}) for executed in ("1e999999", "1e99999999999999", ["5"], {})),
        json.dumps(resolve | {"verdict": ["gone"]}),
        json.dumps(resolve | {"reason": b"gel\xf6scht".decode("utf-8", "surrogateescape")} | {"user": "x", "event": 1}),
    ]
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        for request in requests:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
                connection.sendall(request.encode() + b"\n")
                answers.append(json.loads(connection.makefile().readline()))

    descriptor = os.open(folder / "var", os.O_RDONLY)
    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        event = run.service._inbox.get(0.01)
        if event is not None:
            run.service._take(event)
    with pytest.raises(ControlError, match="is not an open order"):
        refused_by_the_socket(run, folder, resolve)
    run.service._command = fails_on_purpose
    with pytest.raises(ControlError, match="broken on purpose"):
        refused_by_the_socket(run, folder, resolve)
    return answers, run.facts()


def test_a_kill_that_comes_while_people_rearm_stands(tmp_path: Path) -> None:
    killed, children = in_process(kills_amid_a_rearm, tmp_path)
    assert killed == 1 and children == 0


def kills_amid_a_rearm(folder: Path) -> tuple[int, int]:
    """Another officer sets the switch again between its release in the file and the event of that."""
    run = Run(folder)
    run.begin(*BOTH)
    set_switch(folder / "var", a.ACCOUNT, "ACC1", "ann", "runaway")
    run.take(Event(ev.TICK, 0))
    rearm = run.service._observed.switches.rearm

    def rearm_slowly(*arguments: Any) -> tuple[str, list[Event]]:
        answer = rearm(*arguments)
        set_switch(folder / "var", a.ACCOUNT, "ACC1", "bob", "still running")
        return answer

    run.service._observed.switches.rearm = rearm_slowly
    request = {"command": "rearm", "scope": "account", "name": "ACC1", "reason": "looked into"}
    thread = threading.Thread(target=give_command, args=(folder / "var", request), daemon=True)
    thread.start()
    while (event := run.service._inbox.get(10)) is None:
        pass
    run.service._take(event)
    run.take(run.order("A"))
    row = run.service.state.entities[a.ACCOUNT, "ACC1"]
    return int(run.record.entities[row].killed), len(stored(folder, "XNAS", "D"))


def fails_on_purpose(*_: object) -> str:
    raise ZeroDivisionError("broken on purpose")


def refused_by_the_socket(run: Run, folder: Path, request: dict[str, Any]) -> None:
    """Give a command as the command line does, with the core at work beside it."""
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            give_command(folder / "var", request)
        except ControlError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        event = run.service._inbox.get(0.01)
        if event is not None:
            run.service._take(event)
    raise errors[0]
