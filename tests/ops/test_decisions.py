"""The decision log: what a line says of each message, made out of the journal by a process beside the gateway."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import structlog

from gateway.config.sections import Config
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event, Output
from gateway.journal.tail import Committed, Tail
from gateway.ops import decisions as module
from gateway.ops.decisions import Lines, keep_up, write
from gateway.ops.log import configure_log
from gateway.service.companions import about_decisions as about
from tests.support.core import BASE, LIMITS, START_NS, WALL_NS
from tests.support.journal import JournaledCore, wait_for


@pytest.fixture
def core(tmp_path) -> Iterator[JournaledCore]:
    core = JournaledCore(tmp_path)
    yield core
    core.close()


@pytest.fixture
def written(capfd, monkeypatch) -> Iterator[Callable[[], list[dict]]]:
    """Lines that this process and those beside it have written to stderr since the last look."""
    with open(2, "w", buffering=1, closefd=False) as stderr:  # pytest's own keeps a place in the file for itself
        monkeypatch.setattr(sys, "stderr", stderr)
        configure_log()
        yield lambda: [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    structlog.reset_defaults()


@pytest.fixture
def lines_of(written) -> Callable[[JournaledCore], list[dict]]:
    """The lines about all events of a core."""

    def lines(core: JournaledCore) -> list[dict]:
        write(Lines(**about(core.settings.config, 0)), Tail(core.folder, 1).read())
        return written()

    return lines


@pytest.fixture
def last_line(core, lines_of) -> Callable[[], dict]:
    """The line about the last message of an EMS."""
    return lambda: lines_of(core)[-1]


def committed(event: Event, outputs: list[Output], verdict: int) -> Committed:
    sent = [(output.session, output.message_type, output.body) for output in outputs]
    value = (0,) * ev.VALUES
    return Committed(event.kind, event.time_ns, event.session, value, event.data, sent, 1, verdict, 12_345)


@pytest.fixture
def logged(written) -> Callable[..., list[dict]]:
    """The lines about single events and what they gave, by a gateway with this config."""

    def lines(config: Config, *noted: tuple[Event, list[Output], int]) -> list[dict]:
        write(Lines(**about(config, WALL_NS)), [committed(*each) for each in noted])
        return written()

    return lines


def wall_time(core: JournaledCore) -> str:
    """Of the last event, as the log writes it."""
    micros = (WALL_NS + core.time_ns - START_NS) // 1000
    return f"{datetime.fromtimestamp(micros // 10**6, UTC):%Y-%m-%dT%H:%M:%S}.{micros % 10**6:06}Z"


def test_an_accepted_order(core, last_line):
    [(_, _, child)] = core.new("A", t44="99.5", t7001="MOMO")
    line = last_line()
    assert line.pop("latency_us") > 0
    assert line == {
        **{"event": "decision", "level": "info", "timestamp": wall_time(core), "session": "EMS1"},
        **{"message": "new order", "verdict": "accepted", "cl_ord_id": "A", "account": "ACC1", "symbol": "AAPL"},
        **{"side": "buy", "quantity": "100", "price": "99.5", "venue": "XNAS", "child_cl_ord_id": child[11]},
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
        assert (line["message"], line["verdict"], line["cl_ord_id"]) == (
            *("order status request", "passed", cl_ord_id),
        )
    core.message("EMS1", "H", [(54, "1"), (55, "AAPL")])
    assert last_line()["verdict"] == "rejected"


def mass_cancel(core: JournaledCore, kind: str = "7") -> None:
    core.message("EMS1", "q", [(11, "Q"), (60, core.utc()), (530, kind)])


def mass_status(core: JournaledCore, kind: str = "7") -> None:
    core.message("EMS1", "AF", [(584, "S"), (585, kind)])


COUNTED_AS = {"ignored": a.IGNORED, "accepted": a.PASSED, "passed": a.PASSED}
SENT: list[tuple[Callable[[JournaledCore], object], str, str, str | None]] = [
    (lambda core: mass_status(core), "mass status request", "passed", None),
    (lambda core: mass_status(core, "3"), "mass status request", "rejected", "MassStatusReqType(585)"),
    (lambda core: core.new("A", t97="Y"), "new order", "passed", None),
    (lambda core: core.replace("R", "A", qty="50", t97="Y"), "replace", "passed", None),
    (lambda core: core.replace("S", "A", qty="0", t97="Y"), "replace", "rejected", "refused before"),
    (lambda core: core.new("A", poss_dup=True), "new order", "ignored", None),
    (lambda core: core.new("A"), "new order", "refused", "CL_ORD_ID_REUSE"),
    (lambda core: core.new("B"), "new order", "accepted", None),
    (lambda core: core.cancel("F", "NONE"), "cancel", "rejected", "names no order"),
    (lambda core: core.status_request("A"), "order status request", "passed", None),
    (lambda core: core.message("EMS1", "j", [(372, "8"), (380, "0")]), "j", "ignored", None),
    (lambda core: core.message("EMS1", "Q", [(127, "D")]), "Q", "rejected", "Unsupported"),
    (lambda core: mass_cancel(core), "mass cancel request", "passed", None),
    (lambda core: mass_cancel(core, "3"), "mass cancel request", "rejected", "used before"),
]


@pytest.mark.parametrize("open_orders", [0, 1])
def test_lines_and_counters_say_the_same(core, lines_of, open_orders: int) -> None:
    core.working("A")
    core.replace("R", "A", qty="50")
    core.replace("S", "A", qty="0")
    if not open_orders:
        core.report("C1-0", "X1", "4", "4")
    sent_before = len(lines_of(core))
    for send, message, verdict, _ in SENT:
        before = core.record.sessions[0].counted.sum(axis=0)
        send(core)
        counted = (core.record.sessions[0].counted.sum(axis=0) - before).tolist()
        assert counted.index(1) == COUNTED_AS.get(verdict, a.REJECTED), message
    lines = lines_of(core)[sent_before:]
    assert [(line["message"], line["verdict"]) for line in lines] == [sent[1:3] for sent in SENT]
    for line, (_, _, _, text) in zip(lines, SENT, strict=True):
        assert line.get("text") is None if text is None else text in line["text"]


def test_a_cancel_that_waits_for_room_is_passed_on(tmp_path, lines_of) -> None:
    core = JournaledCore(tmp_path, limits=LIMITS | {"venue": {"XNAS": {"max_messages": 2, "message_window": "10s"}}})
    core.working("A")
    core.cancel("F", "A")
    assert core.cancel("G", "A") == []
    assert lines_of(core)[-1]["verdict"] == "passed"
    core.close()


@pytest.mark.parametrize("message", [b"35=D\x0111=A\x01", b"no FIX"])
def test_an_alert_is_no_answer(core, logged, message):
    alert = Output(a.NONE, "", b"an alert")
    [line] = logged(core.settings.config, (Event(ev.MESSAGE, 0, 0, data=message), [alert], a.IGNORED))
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
    [line] = logged(Config.model_validate(config), (Event(ev.MESSAGE, 0, 0, data=message), [], a.PASSED))
    assert line.get("account") == account


def test_what_stands_in_data_is_no_field(logged):
    config = copy.deepcopy(BASE)
    config["identity"] = {"account": "party:24"}
    data = b"x\x01448=ACC2\x01447=D\x01452=24\x0155=FAKE\x01y"
    message = b"35=D\x0111=A\x01354=%d\x01355=%b\x01448=ACC1\x01447=D\x01452=24\x0155=AAPL\x01" % (len(data), data)
    [line] = logged(Config.model_validate(config), (Event(ev.MESSAGE, 0, 0, data=message), [], a.PASSED))
    assert (line["account"], line["symbol"], line["cl_ord_id"]) == ("ACC1", "AAPL", "A")


def test_a_line_that_cannot_be_made_costs_no_other(core, logged):
    strange = Event(ev.MESSAGE, 0, 99, data=b"35=D\x01")
    order = Event(ev.MESSAGE, 0, 0, data=b"35=D\x0111=A\x01")
    lines = logged(core.settings.config, (strange, [], a.PASSED), (order, [], a.PASSED))
    assert [line["event"] for line in lines] == ["a decision could not be logged", "decision"]


def process_beside(core: JournaledCore, after: int) -> subprocess.Popen[bytes]:
    options = ["--journal", str(core.folder), "--segment", "1", "--after", str(after)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.ops.decisions", *options], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(about(core.settings.config, 0)).encode() + b"\n")
    process.stdin.flush()
    return process


def test_the_process_logs_what_is_committed_until_the_gateway_has_ended(core):
    """SIGTERM, which a service manager sends to all processes of a service, does not end it before."""
    core.new("A")
    process = process_beside(core, core.sequence)
    assert process.stdin is not None and process.stderr is not None
    core.new("B")
    assert json.loads(process.stderr.readline())["cl_ord_id"] == "B"
    process.send_signal(signal.SIGTERM)
    core.new("C")
    assert json.loads(process.stderr.readline())["cl_ord_id"] == "C"
    for k in range(100):
        core.new(f"D{k}")
    core.journal_writer.roll()
    core.new("LAST")
    process.stdin.close()
    lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert [line["cl_ord_id"] for line in lines] == [f"D{k}" for k in range(100)] + ["LAST"]
    assert process.wait(20) == 0


def test_lines_are_left_out_when_too_many_wait_and_the_log_says_which(core, written):
    tail = Tail(core.folder, 1)
    lines = Lines(**about(core.settings.config, 0))
    core.new("A")
    write(lines, tail.read())
    for k in range(module.MOST_BEHIND + 1):
        core.new(f"B{k}")
        wait_for(lambda: core.journal_writer.has_spares, "a spare segment")
        core.journal_writer.roll()
    before = core.sequence
    core.new("C")
    keep_up(tail)
    write(lines, tail.read())
    first, left_out, last = written()
    assert (first["cl_ord_id"], last["cl_ord_id"]) == ("A", "C")
    assert left_out["event"] == "decisions were not logged" and left_out["last_event"] == before + 1  # a SEAL's number


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
