"""The decision log: what a line says of each message, and that it never holds the core up."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import threading

import pytest
from structlog.testing import capture_logs

from gateway.core import layout as a
from gateway.core.driver import Event, Output
from gateway.ops import decisions as module
from gateway.ops.decisions import DecisionLog
from gateway.settings import Config
from tests.support.core import BASE, WALL_NS, Core
from tests.support.journal import wait_for


@pytest.fixture
def core(tmp_path) -> Core:
    return Core(tmp_path)


def logged(config: Config, *notes: tuple[Event, list[Output]]) -> list[dict]:
    """The lines about events and what they gave."""
    with capture_logs() as lines:
        decisions = DecisionLog(config)
        for event, outputs in notes:
            decisions.note(WALL_NS + 1_500, event, outputs, 12_345)
        decisions.close()
    return [dict(line) for line in lines]


def last_line(core: Core) -> dict:
    """The line about the last event of a core."""
    [line] = logged(core.settings.config, core.log[-1])
    return line


def test_an_accepted_order(core):
    [(_, _, child)] = core.new("A", t44="99.5", t7001="MOMO")
    assert last_line(core) == {
        **{"event": "decision", "log_level": "info", "time": "2026-07-11T12:00:00.000001Z", "session": "EMS1"},
        **{"message": "new order", "verdict": "accepted", "cl_ord_id": "A", "account": "ACC1", "symbol": "AAPL"},
        **{"side": "buy", "quantity": "100", "price": "99.5", "venue": "XNAS", "child_cl_ord_id": child[11]},
        "latency_us": 12.3,
    }


def test_a_refused_order_says_why(core):
    [(_, _, report)] = core.new("A", qty="1001")
    line = last_line(core)
    assert (line["verdict"], line["text"]) == ("refused", report[58])
    assert line["text"].startswith("MAX_ORDER_QTY 1001 > 1000")
    assert "venue" not in line


def test_replaces(core):
    core.working("A")
    core.replace("B", "A", qty="200")
    line = last_line(core)
    assert (line["message"], line["verdict"], line["orig_cl_ord_id"]) == ("replace", "accepted", "A")
    core.replace("C", "B", qty="2000")
    assert last_line(core)["verdict"] == "refused"
    core.replace("D", "Z")
    line = last_line(core)
    assert (line["verdict"], line["text"]) == ("rejected", "OrigClOrdID(41) names no order of this session")


def test_cancels(core):
    child = core.working("A")
    core.cancel("B", "A")
    line = last_line(core)
    assert (line["message"], line["verdict"], line["venue"]) == ("cancel", "passed", "XNAS")
    assert line["child_cl_ord_id"] not in ("B", child)
    core.cancel("C", "Z")
    assert last_line(core)["verdict"] == "rejected"


def test_a_copy_is_ignored_and_what_cannot_be_read_is_rejected(core):
    core.new("A")
    core.new("A", poss_dup=True, t97="Y")
    assert last_line(core)["verdict"] == "ignored"
    core.raw("EMS1", b"no FIX at all")
    line = last_line(core)
    assert (line["message"], line["verdict"]) == ("unreadable", "rejected")
    core.message("EMS1", "B", [(148, "news")])
    line = last_line(core)
    assert (line["message"], line["verdict"], line["text"]) == ("B", "rejected", "Unsupported Message Type")


def test_a_status_is_told(core):
    core.working("A")
    for cl_ord_id in ("A", "Z"):
        core.message("EMS1", "H", [(11, cl_ord_id), (54, "1"), (55, "AAPL")])
        line = last_line(core)
        assert (line["message"], line["verdict"], line["cl_ord_id"]) == ("status", "passed", cl_ord_id)
    core.message("EMS1", "H", [(54, "1"), (55, "AAPL")])
    assert last_line(core)["verdict"] == "rejected"


@pytest.mark.parametrize("message", [b"35=D\x0111=A\x01", b"no FIX"])
def test_an_alert_is_no_answer(core, message):
    alert = Output(a.NONE, "", b"an alert")
    [line] = logged(core.settings.config, (Event(a.MESSAGE, 0, 0, data=message), [alert]))
    assert line["verdict"] == "ignored"


def account_of(message: bytes, tag: object, default: str | None) -> str | None:
    config = copy.deepcopy(BASE)
    config["identity"] = {"account": tag}
    config["sessions"][0]["defaults"] = {"account": default}
    [line] = logged(Config.model_validate(config), (Event(a.MESSAGE, 0, 0, data=message), []))
    return line.get("account")


def test_the_account_is_where_the_config_says():
    parties = b"35=D\x01453=2\x01448=X\x01447=D\x01452=3\x01448=ACC2\x01447=D\x01452=24\x01"
    assert account_of(parties, "party:24", None) == "ACC2"
    assert account_of(parties, "party:38", "ACC1") == "ACC1"
    assert account_of(b"35=D\x011=ACC2\x01", 1, "ACC1") == "ACC2"
    assert account_of(b"35=D\x0150=ACC2\x011=NO\x01", 50, None) == "ACC2"
    assert account_of(b"35=D\x01", 1, None) is None


def test_a_full_queue_loses_lines_and_says_how_many(core, monkeypatch):
    """The core's thread never waits, though nothing is written."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    may_write = threading.Event()
    write = DecisionLog._write_waiting
    monkeypatch.setattr(DecisionLog, "_write_waiting", lambda self: may_write.wait(20) and write(self))
    core.new("A")
    with capture_logs() as lines:
        decisions = DecisionLog(core.settings.config)
        for _ in range(5):
            decisions.note(WALL_NS, *core.log[-1], 0)
        may_write.set()
        wait_for(lambda: len(lines) == 4, "the lines")
        decisions.close()
    assert [line["event"] for line in lines] == ["decision"] * 3 + ["decisions were not logged"]
    assert lines[-1]["count"] == 2


def test_a_line_that_cannot_be_made_costs_no_other(core):
    core.new("A")
    strange = Event(a.MESSAGE, 0, 99, data=b"35=D\x01")
    lines = logged(core.settings.config, (strange, []), core.log[-1])
    assert [line["event"] for line in lines] == ["a decision could not be logged", "decision"]


def test_close_waits_for_a_log_that_hangs_no_longer_than_its_time(core, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    hangs = threading.Event()
    monkeypatch.setattr(DecisionLog, "_write_waiting", lambda self: hangs.wait(20))
    decisions = DecisionLog(core.settings.config)
    decisions.close()
    assert decisions._thread.is_alive()
    hangs.set()
    decisions._thread.join(20)


LOGGING_THREADS = """
import threading, structlog
from gateway.ops.log import configure_log, log_many
configure_log()
log = structlog.get_logger()
one = lambda: [log.info("one", number=k) for k in range(2000)]
many = lambda: [log_many("decision", [{"number": k} for k in range(10)]) for _ in range(200)]
threads = [threading.Thread(target=target) for target in (one, many, one, many)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_lines_of_several_threads_are_whole():
    written = subprocess.run([sys.executable, "-c", LOGGING_THREADS], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in written.stderr.splitlines()]
    assert len(lines) == 8_000 and {line["event"] for line in lines} == {"one", "decision"}
