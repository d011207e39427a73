"""Limits and quotes that other processes publish: in force at once, held when the publisher fails, and never looser
than what a person set.
"""

from __future__ import annotations

import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.core import layout as a
from gateway.params.publisher import QuotePublisher
from tests.end_to_end.acts import exposure, place, refused, tidegate
from tests.end_to_end.conftest import LIMITS, Topology
from tidegate_tools.fix.text import first
from tidegate_tools.sim.calibrator import CalibratorProcess
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.quickfix_peer import free_port

HELD_S = 0.5  # within which a publisher that fails is found out
LOADED = 10  # a machine under load may take so many times as long
STATIC, FLOOR = 1000, 100  # max_order_qty of an account, as a person set it, and its floor
SILENCE = "400ms"
OLD_S = 2  # a price, for an order
WHERE = "max_order_qty account=ACC1"
BUSY = LIMITS | {"session": {"default": {"max_messages": 100_000}}}

HELD = "held, not as pushed: max_order_qty of account ACC1 by RISK\n"


def wait_until(holds: Callable[[], object], timeout_s: float = 10, what: str = "") -> None:
    """Wait for something that is seen in shared memory or by HTTP, where nothing tells that it has changed."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, what or "not so in time"
        time.sleep(0.01)


def page(port: int, name: str) -> str:
    """Body of a page of the metrics process."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except urllib.error.URLError:
        return "not served yet"


def pushed(topology: Topology):
    """The one limit that is pushed, looked at from outside; epoch 0 before it is."""
    s = topology.state.record
    return s.parameters[0]


def wait_heard(topology: Topology, heard: int = 1) -> None:
    """Until the one source is alive, or (0) is not."""
    wait_until(lambda: topology.state.record.sources[0].up == heard, what="the source stays as it was")


def in_force(topology: Topology) -> int:
    """max_order_qty of ACC1 as it is in force."""
    state = topology.state
    return int(state.record.entities[state.entities[a.ACCOUNT, "ACC1"]].limit[a.MAX_ORDER_QTY]) // 10**8


def check_limit(ems: Ems, limit: int, epoch: int = 0) -> None:
    """By orders: so many pass, and one more does not; by the push of this epoch, or (0) by what a person set."""
    passes = place(ems, quantity=limit)
    ems.cancel(passes)
    ems.wait_for(lambda: ems.order(passes).status == "4")
    pushed_by = f", parameters #{epoch}" if epoch else ""
    assert refused(ems, quantity=limit + 1) == f"MAX_ORDER_QTY {limit + 1} > {limit} (account ACC1{pushed_by})"


def shown(topology: Topology) -> tuple[list[str], str]:
    """What `tidegate params show` says: cells of the line about the limit, and the rest."""
    done = tidegate(topology, "params", "show")
    assert done.returncode == 0, done
    (line,) = [line for line in done.stdout.splitlines() if "max_order_qty" in line]
    return [cell.strip() for cell in re.split(r"\s{2,}", line)], done.stdout


def sections(tmp_path: Path, **more) -> dict:
    """Of the config."""
    source = {"id": "RISK", "file": str(tmp_path / "risk.params"), "max_silence": SILENCE}
    return {"parameters": {"sources": [source], "floor": 10, "loosen": 0, **more}}


def epoch_of(answer: str) -> int:
    """Of a push."""
    return int(answer.rpartition(" ")[2])


def wait_held(topology: Topology, since_s: float) -> None:
    """Within the time that is promised."""
    wait_until(lambda: pushed(topology).state == a.HELD, what="the limit is not held")
    assert time.monotonic() - since_s < HELD_S * LOADED


def test_a_limit_is_tightened_while_orders_flow(start, tmp_path: Path) -> None:
    topology = start(limits=BUSY, **sections(tmp_path))
    ems = topology.ems["EMS1"]
    orders: list[str] = []
    stopping = threading.Event()

    def trade() -> None:
        while not stopping.wait(0.004):
            orders.append(ems.new_order(symbol="AAPL", quantity=500, price="99"))
            ems.cancel(orders[-1])

    with CalibratorProcess(tmp_path / "risk.params") as calibrator:
        wait_heard(topology)
        trader = threading.Thread(target=trade, daemon=True)
        trader.start()
        ems.wait_for(lambda: len(orders) > 20 and ems.order(orders[20]).status)
        epoch = epoch_of(calibrator.tell("push max_order_qty 400 account=ACC1 model=7"))
        ems.wait_for(lambda: ems.order(orders[-1]).status == "8")
        sent = len(orders)
        wait_until(lambda: len(orders) > sent + 20)
        stopping.set()
        trader.join(10)
        ems.wait_for(lambda: not ems.unanswered)
        outcomes = [ems.order(order).status for order in orders]
        assert set(outcomes) == {"4", "8"} and outcomes == sorted(outcomes)  # canceled by the EMS, then refused
        check_limit(ems, 400, epoch)
        cells, _ = shown(topology)
        assert cells[:8] == ["RISK", "account ACC1", "max_order_qty", "100", "400", "400", "1,000", str(epoch)]
        assert (cells[8], cells[11]) == ("7", "in force")


def test_a_publisher_that_fails_never_loosens_a_limit(start, tmp_path: Path) -> None:
    port = free_port()
    topology = start(metrics={"listen": f"127.0.0.1:{port}"}, **sections(tmp_path))
    ems, file = topology.ems["EMS1"], tmp_path / "risk.params"
    wait_until(lambda: "source RISK is silent" in page(port, "ready"), 30, "no metrics")
    with CalibratorProcess(file) as calibrator:
        wait_heard(topology)
        above = epoch_of(calibrator.tell(f"push max_order_qty {5 * STATIC} account=ACC1"))
        wait_until(lambda: pushed(topology).epoch == above)
        check_limit(ems, STATIC, above)
        epoch = epoch_of(calibrator.tell("push max_order_qty 500 account=ACC1"))
        wait_until(lambda: in_force(topology) == 500)
        assert page(port, "ready") == "ready\n"
        for nonsense in ("nan", "huge", "negative"):
            since_s = time.monotonic()
            calibrator.tell(f"nonsense {nonsense} {WHERE}")
            wait_held(topology, since_s)
            check_limit(ems, 500, epoch)
            assert page(port, "ready") == HELD
            epoch = epoch_of(calibrator.tell("push max_order_qty 500 account=ACC1"))
            wait_until(lambda: pushed(topology).state == a.VALID)
            assert page(port, "ready") == "ready\n"
        zero = epoch_of(calibrator.tell(f"nonsense zero {WHERE}"))  # a value, but one below the floor
        wait_until(lambda: in_force(topology) == FLOOR)
        check_limit(ems, FLOOR, zero)
        looser = epoch_of(calibrator.tell(f"push max_order_qty {5 * STATIC} account=ACC1"))
        wait_until(lambda: pushed(topology).epoch == looser)
        check_limit(ems, FLOOR, looser)  # `loosen` is 0
        since_s = time.monotonic()
        calibrator.tell("stick")
        wait_held(topology, since_s)
        check_limit(ems, FLOOR, looser)
        assert page(port, "ready") == "source RISK is silent\n" + HELD
        cells, text = shown(topology)
        assert (*cells[3:7], cells[11]) == ("100", "5,000", "100", "1,000", "held") and "silent" in text
    with CalibratorProcess(file) as calibrator:
        epoch = epoch_of(calibrator.tell("push max_order_qty 300 account=ACC1"))
        wait_until(lambda: pushed(topology).epoch == epoch and pushed(topology).state == a.VALID)
        wait_until(lambda: page(port, "ready") == "ready\n")
        since_s = time.monotonic()
        calibrator.tell("die")
        wait_held(topology, since_s)
    check_limit(ems, FLOOR, epoch)
    told = [line["text"] for line in topology.gateway.log if line["event"] == "alert" and "is silent" in line["text"]]
    assert len(told) == 3  # before the first publisher was there, and the two that failed
    assert all(text.startswith("publisher is silent: its limits are held ") for text in told)


def test_pushed_limits_over_a_restart_and_their_release(start, tmp_path: Path) -> None:
    topology = start(**sections(tmp_path))
    ems, file = topology.ems["EMS1"], tmp_path / "risk.params"
    with CalibratorProcess(file) as calibrator:
        epoch = epoch_of(calibrator.tell("push max_order_qty 300 account=ACC1"))
        wait_until(lambda: in_force(topology) == 300)
        topology.gateway.stop(signal.SIGKILL)
        topology.start_again()  # the publisher lives
        topology.wait_recovered()
        check_limit(ems, 300, epoch)
        wait_until(lambda: pushed(topology).state == a.VALID)
        topology.gateway.stop(signal.SIGKILL)
        calibrator.tell("die")
    topology.start_again()
    topology.wait_recovered()
    check_limit(ems, 300, epoch)
    wait_until(lambda: pushed(topology).state == a.HELD)
    options = ("release", "--source", "RISK", "--scope", "account=ACC1", "--limit", "max_order_qty", "--reason", "gone")
    done = tidegate(topology, "params", *options)
    assert done.returncode == 0 and "is released; in force: 1,000, set by a person" in done.stdout, done
    check_limit(ems, STATIC)
    released = topology.gateway.wait_log("pushed limit released")
    assert (released["source"], released["name"], released["why"]) == ("RISK", "ACC1", "gone")
    topology.gateway.stop(signal.SIGKILL)
    topology.start_again()
    topology.wait_recovered()
    check_limit(ems, STATIC)


class Prices(threading.Thread):
    """Publishes quotes of both instruments some times a second, as of now, until it is frozen: then it only beats."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.frozen, self.stopping = threading.Event(), threading.Event()

    def run(self) -> None:
        with QuotePublisher(self._path) as publisher:
            while not self.stopping.wait(0.05):
                if self.frozen.is_set():
                    publisher.beat()
                    continue
                publisher.publish("AAPL", bid="99.9", ask="100.1", bid_qty=200, ask_qty=200)
                publisher.publish("MSFT", bid="199.9", ask="200.1")


def quote_age_s(topology: Topology) -> float:
    """Of AAPL's price in the gateway."""
    state = topology.state
    quote_ns = state.record.instruments[state.instruments["AAPL"]].quote_ns
    return (time.monotonic_ns() + state.record.time_base_ns - quote_ns) / 1e9


@pytest.fixture
def prices(tmp_path: Path) -> Iterator[Prices]:
    thread = Prices(tmp_path / "prices.quotes")
    thread.start()
    yield thread
    thread.stopping.set()
    thread.join(10)


def test_quotes_of_a_publisher_that_goes_stale(start, tmp_path: Path, prices: Prices) -> None:
    """No venue sends prices here."""
    limits = LIMITS | {"instrument": {"default": {"collar_bps": 1000, "reference_max_age": f"{OLD_S}s"}}}
    source = {"id": "PRICES", "file": str(tmp_path / "prices.quotes"), "max_silence": SILENCE}
    topology = start(limits=limits, venue_session={"market_data": False}, quotes=[source])
    topology.wait_up()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    assert not any(first(m.fields, 35) == "V" for m in venue.log)
    bought = ems.new_order(symbol="AAPL", quantity=50, price="100.1")
    ems.wait_for(lambda: ems.order(bought).status == "2")
    kept = place(ems)
    prices.frozen.set()
    wait_until(lambda: quote_age_s(topology) > OLD_S)
    assert refused(ems).startswith("REFERENCE_PRICE")
    assert refused(ems, side="2", price="101", quantity=51).startswith("REFERENCE_PRICE")
    leaves = place(ems, side="2", price="101", quantity=50)  # the exit, at the last good price's collar
    assert exposure(topology) == (50, 10, 50)
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")
    prices.frozen.clear()
    ems.wait_for(lambda: ems.order(leaves).status == "0")
    wait_until(lambda: quote_age_s(topology) < OLD_S / 2)
    place(ems)
    prices.stopping.set()
    wait_heard(topology, heard=0)
    wait_until(lambda: quote_age_s(topology) > OLD_S)
    assert refused(ems).startswith("REFERENCE_PRICE")
