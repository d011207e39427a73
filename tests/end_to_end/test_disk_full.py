"""The disk of the state folder fills while the gateway trades."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DISK_MIB = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_MIB for the state folder."""
    folder = tmp_path / "var"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tidegate-test"]
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_orders_and_lets_cancels_and_reports_through(small_disk: Path, start) -> None:
    topology = start(journal={"segment": 1})
    ems, venue, gateway = topology.ems["EMS1"], topology.venues["XNAS"], topology.gateway
    resting = [ems.new_order(symbol="AAPL", quantity=10, price="99") for _ in range(2)]
    ems.wait_for(lambda: all(ems.order(i).status == "0" for i in resting))
    filler = small_disk / "filler"
    with filler.open("wb") as file, pytest.raises(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    # What the engine needs to write is left; no whole segment is.
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - (1 << 20))
    place = 0
    while not any(line.get("event") == "the journal takes no orders" for line in gateway.log):
        place += 1
        order = ems.new_order(symbol="AAPL", quantity=1, price="99")
        ems.wait_for(lambda order=order: ems.order(order).status in ("0", "8"))
        assert place < 3000
    refused = ems.new_order(symbol="AAPL", quantity=1, price="99")
    ems.wait_for(lambda: ems.order(refused).status == "8")
    assert "JOURNAL" in ems.order(refused).text
    ems.cancel(resting[0])
    ems.wait_for(lambda: ems.order(resting[0]).status == "4")
    child = next(o for o in venue.orders.values() if o.status == "0" and o.quantity_e8 == 10 * 10**8)
    venue.cancel_unsolicited(child.order_id)
    ems.wait_for(lambda: ems.order(resting[1]).status == "4")
    filler.unlink()
    gateway.wait_log("the journal takes orders again")
    after = ems.new_order(symbol="AAPL", quantity=1, price="99")
    ems.wait_for(lambda: ems.order(after).status == "0")
    assert gateway.stop() == 0


@pytest.mark.parametrize("engine", ["quickfix", "native"])
def test_an_order_that_cannot_be_synced_before_it_is_sent_is_refused(tmp_path: Path, start, engine: str) -> None:
    module = "tests.support.unsynced_gateway"
    topology = start(engine=engine, module=module, journal={"segment": 4, "sync": "before_send"})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    good = ems.new_order(symbol="AAPL", quantity=10, price="99")
    ems.wait_for(lambda: ems.order(good).status == "0")
    (tmp_path / "var" / "sick").touch()
    bad = ems.new_order(symbol="AAPL", quantity=20, price="99")
    ems.wait_for(lambda: ems.order(bad).status == "8")
    assert [order.quantity_e8 for order in venue.orders.values()] == [10 * 10**8]
