"""What a run leaves behind and the next one makes of it: orders, positions, ids, doubts, days, a damaged journal."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from gateway.journal import format as f
from gateway.journal.read import PACKED_SUFFIX, read_segment, segment_files
from gateway.journal.scan import words_crc
from tests.end_to_end.acts import exposure, place, refused, tidegate, zone_where_it_is
from tests.end_to_end.conftest import FIX_42, FIX_44, LIMITS, Topology, Versions, wait_settled
from tests.support.gateway_process import GatewayProcess
from tidegate_tools.fix.text import first
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.venue import Liquidity, Venue

E8 = 10**8
AT_ONCE = 500  # messages that a venue sends in one go

STOPS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])


@pytest.fixture(params=[(FIX_42, FIX_44), (FIX_44, FIX_42)], ids="-".join)
def version(request: pytest.FixtureRequest) -> Versions:
    """Each version on each side once."""
    return Versions(*request.param)


def buy(ems: Ems, quantity: int = 50) -> str:
    """A filled order."""
    order = ems.new_order(symbol="AAPL", quantity=quantity, price="100.1")
    ems.wait_for(lambda: ems.order(order).status == "2")
    return order


def end(topology: Topology, how: int) -> None:
    """End the run with a signal."""
    assert topology.gateway.stop(how) == (-signal.SIGKILL if how == signal.SIGKILL else 0)


def fill_and_cancel(venue: Venue, children: list[str]) -> None:
    """40 of the first order trade, the second is cancelled."""
    venue.set_liquidity(Liquidity("AAPL", 98 * E8, 100 * E8, 99 * E8 + 90_000_000, 40 * E8))
    venue.cancel_unsolicited(venue.orders[children[1]].order_id)


def children(venue: Venue) -> list[str]:
    """ClOrdIDs of the orders, cancels and replaces that a venue has received, repeats included."""
    return [first(m.fields, 11) for m in venue.log if not m.sent and first(m.fields, 35) in ("D", "F", "G")]


def journal(topology: Topology) -> Path:
    return topology.config.parent / "var" / "journal"


def refused_start(topology: Topology, why: str, *options: str) -> None:
    """A start that ends at once, with a sentence."""
    process = GatewayProcess(topology.config, options=options)
    with pytest.raises(AssertionError, match=why):
        process.start()
    assert process.wait_exit(10) == 2, process.log
    assert not any("Traceback" in line["event"] for line in process.log)


@STOPS
def test_orders_positions_and_ids_live_on(start, version: str, how: int) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    buy(ems)
    kept, changed, gone = place(ems), place(ems, quantity=20), place(ems, quantity=30)
    ids = {order: ems.order(order).order_id for order in (kept, changed, gone)}
    end(topology, how)
    topology.start_again()
    topology.wait_recovered()
    assert exposure(topology) == (50, 60, 0)
    assert topology.state.record.open_order_count == 3
    ems.replace(changed, quantity=25)
    ems.cancel(gone)
    ems.wait_for(lambda: ems.order(changed).leaves == "25" and ems.order(gone).status == "4")
    new = place(ems, quantity=5)
    assert {order: ems.order(order).order_id for order in ids} == ids
    assert ems.order(new).order_id not in ids.values()
    assert exposure(topology) == (50, 40, 0)
    assert [c.split("-")[0] for c in children(venue)] == ["C1"] * 4 + ["C2"] * 3
    assert len(set(children(venue))) == 7
    exec_ids = [first(m, 17) for m in ems.messages]
    assert len(set(exec_ids)) == len(exec_ids)
    ems.cancel(ems.order(changed).cl_ord_id)
    ems.wait_for(lambda: ems.order(changed).status == "4")


@STOPS
def test_what_happened_while_it_was_down_is_told_and_booked_once(start, version: str, how: int) -> None:
    topology = start(version)
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    traded, cancelled = place(ems, quantity=100, price="99.95"), place(ems)
    end(topology, how)
    fill_and_cancel(venue, children(venue))
    topology.start_again()
    ems.wait_for(lambda: ems.order(traded).cum == "40" and ems.order(cancelled).status == "4", 30)
    topology.wait_recovered()
    assert exposure(topology) == (40, 60, 0)
    end(topology, how)
    topology.start_again()
    topology.wait_recovered()
    venue.cancel_all()
    ems.wait_for(lambda: ems.order(traded).status == "4")
    assert exposure(topology) == (40, 0, 0)
    assert [first(m, 32) for m in ems.reports(traded) if first(m, 32)] == ["40"]


def test_after_a_kill_a_venue_gets_orders_once_it_has_sent_what_was_missed(start) -> None:
    topology = start(proxied=("XNAS",))
    ems = topology.ems["EMS1"]
    kept = place(ems)
    end(topology, signal.SIGKILL)
    topology.proxies["XNAS"].delay_s = 1.5
    gateway = topology.start_again()
    ems.wait_logged_on(20)
    assert refused(ems).split()[0] in ("VENUE_DOWN", "RECOVERY")
    gateway.wait_log("session is up", 30, session="XNAS", continued=True, in_doubt=1)
    assert refused(ems).startswith("RECOVERY")
    assert exposure(topology) == (0, 10, 0)
    gateway.wait_log("resend complete", 30, session="XNAS", in_doubt=0)
    topology.proxies["XNAS"].delay_s = 0
    place(ems)
    assert ems.order(kept).status == "0" and exposure(topology) == (0, 20, 0)


@STOPS
def test_a_venue_that_forgets_its_numbers_is_asked_about_every_order(start, version: str, how: int) -> None:
    topology = start(version, venue_session={"reset_on_logon": True})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    traded, cancelled, kept = place(ems, quantity=100, price="99.95"), place(ems), place(ems, quantity=20)
    end(topology, how)
    fill_and_cancel(venue, children(venue))
    gateway = topology.start_again()
    gateway.wait_log("session is up", 30, session="XNAS", continued=False, in_doubt=3)
    topology.wait_recovered()
    ems.wait_for(lambda: ems.order(traded).cum == "40" and ems.order(cancelled).status == "4")
    assert ems.order(kept).status == "0"
    assert exposure(topology) == (40, 80, 0)
    place(ems, quantity=5)
    assert len(set(children(venue))) == len(children(venue)) == 4


def test_orders_in_doubt_that_a_person_resolves(start) -> None:
    topology = start(venue_session={"reset_on_logon": True, "order_status": False})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    traded, kept = place(ems, quantity=100), place(ems, quantity=20)
    numbers = [ems.order(order).order_id for order in (traded, kept)]
    assert "no order is in doubt" in tidegate(topology, "resolve").stdout
    end(topology, signal.SIGKILL)
    gateway = topology.start_again()
    gateway.wait_log("resend complete", 30, session="XNAS", in_doubt=2)
    ems.wait_logged_on()
    wait_settled(ems)
    assert refused(ems).startswith("RECOVERY")
    listed = tidegate(topology, "resolve").stdout
    assert all(number in listed for number in numbers)
    assert all(child in listed for child in children(venue)) and "ACC1" in listed
    wrong = [
        (["O9-9", "--as", "gone", "--reason", "x"], "is not an open order"),
        ([numbers[0], "--as", "lost", "--reason", "x"], "--as: want gone or working, got lost"),
        ([numbers[0], "--as", "gone"], "--reason: want one"),
        (
            [numbers[0], "--as", "gone", "--executed", "101", "--reason", "x"],
            "between 0 (what is known) and 100",
        ),
        ([numbers[0], "--as", "gone", "--executed", "many", "--reason", "x"], "got 'many'"),
    ]
    for arguments, why in wrong:
        answer = tidegate(topology, "resolve", *arguments)
        assert answer.returncode == 2 and why in answer.stderr, answer
    gone = tidegate(topology, "resolve", numbers[0], "--as", "gone", "--executed", "30", "--reason", "by phone")
    assert gone.returncode == 0 and f"order {numbers[0]} is gone" in gone.stdout
    ems.wait_for(lambda: ems.order(traded).status == "4")
    assert ems.order(traded).cum == "30"
    assert refused(ems).startswith("RECOVERY")
    assert tidegate(topology, "resolve", numbers[1], "--as", "working", "--reason", "by phone").returncode == 0
    place(ems, quantity=5)
    assert exposure(topology) == (30, 25, 0)
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")
    assert "no order is in doubt" in tidegate(topology, "resolve").stdout
    assert len(set(children(venue))) == len(children(venue))
    end(topology, signal.SIGTERM)
    answer = tidegate(topology, "resolve", numbers[1], "--as", "gone", "--reason", "x")
    assert answer.returncode == 2 and "no gateway runs on" in answer.stderr


def test_limits_changed_between_runs_hold_for_what_was_carried(start) -> None:
    topology = start()
    ems = topology.ems["EMS1"]
    buy(ems)
    kept = place(ems)
    end(topology, signal.SIGTERM)
    limits = {**LIMITS, "account": {"default": {**LIMITS["account"]["default"], "max_long": 65}}}
    (topology.config.parent / "limits.yaml").write_text(yaml.safe_dump(limits))
    topology.start_again()
    topology.wait_up()
    assert refused(ems, quantity=6).startswith("MAX_LONG")
    place(ems, quantity=5)
    assert exposure(topology) == (50, 15, 0)
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")
    place(ems, quantity=6)


def test_forget_puts_the_journal_aside_and_begins_from_nothing(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    buy(ems)
    old = place(ems)
    end(topology, signal.SIGTERM)
    topology.start_again("--forget", "1")
    topology.wait_ready()
    topology.wait_up()
    place(ems, quantity=5)
    assert exposure(topology) == (0, 5, 0)
    assert list(journal(topology).parent.glob("journal-until-*"))
    cancel = ems.cancel(old)
    ems.wait_for(lambda: ems.reports(cancel))
    assert first(ems.reports(cancel)[-1], 102) == "1"  # unknown order
    assert len(set(children(venue))) == len(children(venue))
    end(topology, signal.SIGKILL)
    topology.start_again()
    topology.wait_recovered()
    assert exposure(topology) == (0, 5, 0)


def test_a_damaged_journal_needs_a_person(start) -> None:
    """What is lost is resent by the venue as far as it can be: positions are right, what is unknown is told."""
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    kept = place(ems)
    middle = read_segment(segment_files(journal(topology))[0]).end
    buy(ems)
    end(topology, signal.SIGTERM)
    path = segment_files(journal(topology))[0]
    for snapshot in journal(topology).glob("snapshot-*"):
        snapshot.unlink()
    with path.open("r+b") as file:
        file.seek(middle * 8 + 60)
        byte = file.read(1)
        file.seek(middle * 8 + 60)
        file.write(bytes([byte[0] ^ 1]))
    refused_start(topology, "a part of the journal is lost.*--accept-loss")
    refused_start(topology, "a part of the journal is lost.*--accept-loss 1", "--clear-fault", "1")
    topology.start_again("--accept-loss", "1")
    topology.wait_recovered()
    venue.wait_for(lambda: exposure(topology) == (50, 10, 0))
    assert list(journal(topology).glob("*.damaged")) or list(journal(topology).glob("*.torn"))
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")
    place(ems, quantity=5)
    assert len(set(children(venue))) == len(children(venue))
    end(topology, signal.SIGTERM)
    topology.start_again()
    topology.wait_up()
    assert exposure(topology) == (50, 5, 0)


def test_behind_a_clean_stop_a_damaged_journal_is_told_and_left_as_it_is(start) -> None:
    """The snapshot of the stop has the state; the segment is evidence."""
    topology = start()
    place(topology.ems["EMS1"])
    middle = read_segment(segment_files(journal(topology))[0]).end
    buy(topology.ems["EMS1"])
    before = exposure(topology)
    end(topology, signal.SIGTERM)
    path = segment_files(journal(topology))[0]
    content = bytearray(path.read_bytes())
    content[middle * 8 + 60] ^= 1
    path.write_bytes(content)
    topology.start_again().wait_log("journal", 10)
    topology.wait_recovered()
    assert exposure(topology) == before and path.read_bytes() == content


def test_a_fault_stands_until_a_person_clears_it(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    place(ems)
    order = venue.orders[children(venue)[0]]
    body = [(37, order.order_id), (11, order.cl_ord_id), (150, "F"), (39, "1"), (55, "AAPL"), (54, "1"), (31, "99")]

    def fill(begin: int) -> None:
        for k in range(begin, begin + AT_ONCE):
            venue._send(order.session, "8", [*body, (17, f"MANY-{k}"), (32, "0.001"), (151, "1"), (14, "0"), (6, "0")])

    for begin in range(0, topology.state.record.executions.size + 1, AT_ONCE):
        venue._call(lambda begin=begin: fill(begin))
    topology.gateway.wait_log("fault: every order is blocked", 60)
    assert refused(ems).startswith("FAULT")
    for how in (signal.SIGTERM, signal.SIGKILL):
        end(topology, how)
        gateway = topology.start_again()
        gateway.wait_log("fault: every order is blocked", reconciled="--clear-fault 2")
        topology.wait_recovered()
        assert refused(ems).startswith("FAULT")
    end(topology, signal.SIGTERM)
    topology.start_again("--clear-fault", "2")
    topology.wait_up()
    place(ems)
    assert topology.state.record.fault == 0


def test_a_journal_of_a_newer_release_is_refused(start) -> None:
    topology = start()
    place(topology.ems["EMS1"])
    end(topology, signal.SIGTERM)
    path = segment_files(journal(topology))[-1]
    content = bytearray(path.read_bytes())
    head = np.frombuffer(content[: f.SEGMENT_HEAD.itemsize], f.SEGMENT_HEAD).copy()
    head["version"] = f.VERSION + 1
    head["crc"] = words_crc(head.view("i8"), 0, f.SEGMENT_HEAD_WORDS - 1)
    content[: f.SEGMENT_HEAD.itemsize] = head.tobytes()
    path.write_bytes(content)
    for options in ((), ("--accept-loss", "1")):
        refused_start(topology, "was written by a newer release", *options)
    assert path.read_bytes() == content


@pytest.mark.parametrize("sync", ["none", "10ms", "before_send"])
def test_every_sync_policy_carries_over_a_kill(start, sync: str) -> None:
    topology = start(journal={"sync": sync, "segment": 1})
    ems = topology.ems["EMS1"]
    buy(ems)
    orders = [ems.new_order(symbol="AAPL", quantity=1, price="99") for _ in range(50)]
    ems.wait_for(lambda: all(ems.order(order).status == "0" for order in orders))
    end(topology, signal.SIGKILL)
    topology.start_again()
    topology.wait_recovered()
    assert exposure(topology) == (50, 50, 0)
    ems.cancel(orders[0])
    ems.wait_for(lambda: ems.order(orders[0]).status == "4")


def test_segments_roll_under_load_and_a_start_uses_the_snapshots(start) -> None:
    topology = start(journal={"segment": 1, "snapshot_every": 1})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    kept = place(ems)
    for _ in range(12):
        orders = [ems.new_order(symbol="AAPL", quantity=1, price="100.1", time_in_force="3") for _ in range(50)]
        ems.wait_for(lambda orders=orders: all(ems.order(order).status in ("2", "C") for order in orders), 30)
    topology.gateway.wait_log("snapshot made", 180)  # by a process that gives way to all others
    buys = sum(int(order.cum_e8) for order in venue.orders.values()) / E8
    end(topology, signal.SIGKILL)
    assert any(path.name.endswith(PACKED_SUFFIX) for path in segment_files(journal(topology)))
    gateway = topology.start_again()
    recovered = gateway.wait_log("recovered", last_run="its process ended", open_orders=1)
    assert recovered["events"] < topology.state.record.events - 500
    topology.wait_recovered()
    assert exposure(topology) == (buys, 10, 0)
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")


@pytest.mark.parametrize("positions", ["keep", "reset"])
def test_the_end_of_the_day_gives_back_what_is_finished(start, tmp_path: Path, positions: str) -> None:
    topology = start()
    ems = topology.ems["EMS1"]
    done = [buy(ems, 10) for _ in range(3)]
    kept = place(ems)
    end(topology, signal.SIGTERM)
    zone_where_it_is(tmp_path / "zones", 12, 5)
    day = {"day": {"zone": "Soon", "end": "12:00", "positions": positions, "keep_executions": 0}}
    topology.config.write_text(yaml.safe_dump(yaml.safe_load(topology.config.read_text()) | day))
    gateway = topology.start_again(PYTHONTZPATH=str(tmp_path / "zones"))
    gateway.wait_log("the trading day has ended", 30, open_orders=1, positions=positions)
    topology.wait_up()
    s = topology.state.record
    assert (s.days, s.order_free_count, s.open_order_count) == (1, 3, 1)
    bought = 30 if positions == "keep" else 0
    assert exposure(topology) == (bought, 10, 0)
    new = place(ems, quantity=5)
    assert ems.order(new).order_id not in {ems.order(order).order_id for order in (*done, kept)}
    end(topology, signal.SIGKILL)
    topology.start_again(PYTHONTZPATH=str(tmp_path / "zones"))
    topology.wait_recovered()
    assert exposure(topology) == (bought, 15, 0) and topology.state.record.days == 1
    ems.cancel(kept)
    ems.wait_for(lambda: ems.order(kept).status == "4")
