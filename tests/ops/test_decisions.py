"""The decision log: what a line says of each message, and that it never holds the core up."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import structlog

from gateway.config.sections import Config
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event, Output
from gateway.ops import decision_log as module
from gateway.ops.decision_log import DecisionLog
from gateway.ops.log import configure_log
from tests.support.core import BASE, WALL_NS, Core
from tests.support.journal import wait_for

Note = tuple[Event, list[Output]]


@pytest.fixture
def core(tmp_path) -> Core:
    return Core(tmp_path)


@pytest.fixture
def written(capfd, monkeypatch) -> Iterator[Callable[[], list[dict]]]:
    """Lines that this process and those beside it have written to stderr since the last look."""
    with open(2, "w", buffering=1, closefd=False) as stderr:  # pytest's own keeps a place in the file for itself
        monkeypatch.setattr(sys, "stderr", stderr)
        configure_log()
        yield lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    structlog.reset_defaults()


@pytest.fixture
def logged(written) -> Callable[..., list[dict]]:
    """The lines about events and what they gave, by a gateway with this config."""

    def write(config: Config, *notes: Note) -> list[dict]:
        decisions = DecisionLog(config)
        for event, outputs in notes:
            decisions.note(WALL_NS + 1_500, event, outputs, 12_345)
        decisions.close()
        return written()

    return write


@pytest.fixture
def last_line(core, logged) -> Callable[[], dict]:
    """The line about the last event of the core."""

    def line() -> dict:
        [only] = logged(core.settings.config, core.log[-1])
        return only

    return line


def test_an_accepted_order(core, last_line):
    [(_, _, child)] = core.new("A", t44="99.5", t7001="MOMO")
    line = last_line()
    assert line == {
        **{"event": "decision", "level": "info", "timestamp": "2026-07-11T12:00:00.000001Z", "session": "EMS1"},
        **{"message": "new order", "verdict": "accepted", "cl_ord_id": "A", "account": "ACC1", "symbol": "AAPL"},
        **{"side": "buy", "quantity": "100", "price": "99.5", "venue": "XNAS", "child_cl_ord_id": child[11]},
        "latency_us": 12.3,
    }


def test_a_refused_order_says_why(core, last_line):
    [(_, _, report)] = core.new("A", qty="1001")
    line = last_line()
    assert (line["verdict"], line["text"]) == ("refused", report[58])
    assert line["text"].startswith("MAX_ORDER_QTY 1001 > 1000")
    assert "venue" not in line


def test_replaces(core, last_line):
    core.working("A")
    core.replace("B", "A", qty="200")
    line = last_line()
    assert (line["message"], line["verdict"], line["orig_cl_ord_id"]) == ("replace", "accepted", "A")
    core.replace("C", "B", qty="2000")
    assert last_line()["verdict"] == "refused"
    core.replace("D", "Z")
    line = last_line()
    assert (line["verdict"], line["text"]) == ("rejected", "OrigClOrdID(41) names no order of this session")


def test_cancels(core, last_line):
    child = core.working("A")
    core.cancel("B", "A")
    line = last_line()
    assert (line["message"], line["verdict"], line["venue"]) == ("cancel", "passed", "XNAS")
    assert line["child_cl_ord_id"] not in ("B", child)
    core.cancel("C", "Z")
    assert last_line()["verdict"] == "rejected"


def test_a_copy_is_ignored_and_what_cannot_be_read_is_rejected(core, last_line):
    core.new("A")
    core.new("A", poss_dup=True, t97="Y")
    assert last_line()["verdict"] == "ignored"
    core.raw("EMS1", b"no FIX at all")
    line = last_line()
    assert (line["message"], line["verdict"]) == ("unreadable", "rejected")
    core.message("EMS1", "B", [(148, "news")])
    line = last_line()
    assert (line["message"], line["verdict"], line["text"]) == ("B", "rejected", "Unsupported Message Type")


def test_a_status_is_told(core, last_line):
    core.working("A")
    for cl_ord_id in ("A", "Z"):
        core.message("EMS1", "H", [(11, cl_ord_id), (54, "1"), (55, "AAPL")])
        line = last_line()
        assert (line["message"], line["verdict"], line["cl_ord_id"]) == ("status", "passed", cl_ord_id)
    core.message("EMS1", "H", [(54, "1"), (55, "AAPL")])
    assert last_line()["verdict"] == "rejected"


@pytest.mark.parametrize("message", [b"35=D\x0111=A\x01", b"no FIX"])
def test_an_alert_is_no_answer(core, logged, message):
    alert = Output(a.NONE, "", b"an alert")
    [line] = logged(core.settings.config, (Event(ev.MESSAGE, 0, 0, data=message), [alert]))
    assert line["verdict"] == "ignored"


PARTIES = b"35=D\x01453=2\x01448=X\x01447=D\x01452=3\x01448=ACC2\x01447=D\x01452=24\x01"


@pytest.mark.parametrize(
    ("message", "tag", "default", "account"),
    [
        (PARTIES, "party:24", None, "ACC2"),
        (PARTIES, "party:38", "ACC1", "ACC1"),
        (b"35=D\x011=ACC2\x01", 1, "ACC1", "ACC2"),
        (b"35=D\x0150=ACC2\x011=NO\x01", 50, None, "ACC2"),
        (b"35=D\x01", 1, None, None),
    ],
)
def test_the_account_is_where_the_config_says(logged, message: bytes, tag: object, default: str | None, account: str):
    config = copy.deepcopy(BASE)
    config["identity"] = {"account": tag}
    config["sessions"][0]["defaults"] = {"account": default}
    [line] = logged(Config.model_validate(config), (Event(ev.MESSAGE, 0, 0, data=message), []))
    assert line.get("account") == account


def test_what_stands_in_data_is_no_field(logged):
    config = copy.deepcopy(BASE)
    config["identity"] = {"account": "party:24"}
    data = b"x\x01448=ACC2\x01447=D\x01452=24\x0155=FAKE\x01y"
    message = b"35=D\x0111=A\x01354=%d\x01355=%b\x01448=ACC1\x01447=D\x01452=24\x0155=AAPL\x01" % (len(data), data)
    [line] = logged(Config.model_validate(config), (Event(ev.MESSAGE, 0, 0, data=message), []))
    assert (line["account"], line["symbol"], line["cl_ord_id"]) == ("ACC1", "AAPL", "A")


def test_a_full_queue_loses_lines_and_says_how_many(core, written, monkeypatch):
    """The core's thread never waits, though nothing is handed over."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    may_go_on = threading.Event()
    feed = DecisionLog._feed
    monkeypatch.setattr(DecisionLog, "_feed", lambda *arguments: may_go_on.wait(20) and feed(*arguments))
    core.new("A")
    decisions = DecisionLog(core.settings.config)
    for _ in range(5):
        decisions.note(WALL_NS, *core.log[-1], 0)
    may_go_on.set()
    decisions.close()
    lines = written()
    assert sorted(line["event"] for line in lines) == ["decision"] * 3 + ["decisions were not logged"]
    assert [line["count"] for line in lines if "count" in line] == [2]


def test_a_line_that_cannot_be_made_costs_no_other(core, logged):
    core.new("A")
    strange = Event(ev.MESSAGE, 0, 99, data=b"35=D\x01")
    lines = logged(core.settings.config, (strange, []), core.log[-1])
    assert [line["event"] for line in lines] == ["a decision could not be logged", "decision"]


def process_of(decisions: DecisionLog) -> subprocess.Popen[bytes]:
    wait_for(lambda: decisions._process._process is not None, "the process")
    process = decisions._process._process
    assert process is not None
    return process


def test_close_waits_for_a_process_that_hangs_no_longer_than_its_time(core, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    decisions = DecisionLog(core.settings.config)
    process = process_of(decisions)
    process.send_signal(signal.SIGSTOP)
    more_than_a_pipe_holds = Event(ev.MESSAGE, 0, 0, data=b"35=D\x01" + bytes(200_000))
    decisions.note(WALL_NS, more_than_a_pipe_holds, [], 0)
    wait_for(lambda: not decisions._waiting, "the thread to be stuck")
    decisions.close()
    decisions._thread.join(20)
    assert process.wait(20) == -signal.SIGKILL and not decisions._thread.is_alive()


def test_a_process_that_has_died_is_started_again(core, written, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    core.new("A")
    decisions = DecisionLog(core.settings.config)
    process = process_of(decisions)
    process.kill()
    process.wait(20)
    decisions.note(WALL_NS, *core.log[-1], 0)
    decisions.close()
    assert [line["event"] for line in written()] == ["a process beside the gateway has ended", "decision"]


DIES = """
import os, signal, time
from tests.support.core import BASE
from gateway.config.sections import Config
from gateway.core.driver import Event
from gateway.ops.decision_log import DecisionLog
decisions = DecisionLog(Config.model_validate(BASE))
decisions._closed.set()
decisions._thread.join()
decisions.note(0, Event(7, 0, 0, data=b"35=D\x0111=A\x01"), [], 0)
decisions._feed_waiting()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_handed_over_is_written_though_the_gateway_is_killed():
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL
    [line] = [json.loads(text) for text in died.stderr.splitlines()]
    assert (line["event"], line["cl_ord_id"]) == ("decision", "A")


LOGGING_THREADS = """
import threading, structlog
from gateway.ops.log import configure_log, log_many
configure_log()
log = structlog.get_logger()
one = lambda: [log.info("one", number=k) for k in range(2000)]
many = lambda: [log_many("decision", [{"number": k} for k in range(100)]) for _ in range(20)]
threads = [threading.Thread(target=target) for target in (one, many, one, many)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_lines_of_several_threads_and_processes_are_whole():
    reads, writes = os.pipe()
    command = [sys.executable, "-c", LOGGING_THREADS]
    processes = [subprocess.Popen(command, stderr=writes) for _ in range(2)]
    os.close(writes)
    with open(reads) as file:
        lines = [json.loads(line) for line in file]
    assert [process.wait(20) for process in processes] == [0, 0]
    assert len(lines) == 16_000 and {line["event"] for line in lines} == {"one", "decision"}
