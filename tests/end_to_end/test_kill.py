"""Kill switches with real processes: the command, the gateway, its venues and its EMS."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from gateway.cli.kill import NOTHING_PROVEN, PROVEN, RESIDUE
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.kill.file import read_switches
from gateway.kill.format import FILE, SwitchFault
from tests.end_to_end.acts import (
    events,
    journaled,
    kill,
    open_at,
    place,
    rearm,
    refused,
    request_types,
    requests,
    tidegate,
    tidegate_command,
    wait_canceled,
)
from tests.end_to_end.conftest import FIX_42, LIMITS, Topology
from tests.support.gateway_process import CHECKOUT
from tidegate_tools.fix.text import first
from tidegate_tools.sim.ems import Ems

FIRM_ROW = 0
PROMISED_S = 1.0  # in which a kill says that nothing is proven
LOADED = 5  # a machine under load may take so many times as long
BURST = 400  # orders of each EMS at most
AFTER_KILL = 25


def folder_of(topology: Topology) -> Path:
    return topology.config.parent / "var"


def change_config(topology: Topology, **sections) -> None:
    """For the next run."""
    topology.config.write_text(yaml.safe_dump(yaml.safe_load(topology.config.read_text()) | sections))


def busy_limits(**more) -> dict:
    return LIMITS | {"session": {"default": {"max_messages": 100_000}}} | more


class Burst(threading.Thread):
    """Orders of one EMS at some hundred a second, until some have been sent behind the moment it is told of."""

    def __init__(self, ems: Ems, killed: threading.Event) -> None:
        super().__init__(daemon=True)
        self.ems, self.killed = ems, killed
        self.orders: list[str] = []

    def run(self) -> None:
        left = AFTER_KILL
        while left and len(self.orders) < BURST:
            self.orders.append(self.ems.new_order(symbol="AAPL", quantity=1, price="99"))
            left -= self.killed.wait(0.01)


def test_no_order_is_accepted_at_a_time_after_the_switch_was_set(start) -> None:
    names = ("EMS1", "EMS2", "EMS3", "EMS4")
    versions = {"EMS1": FIX_42, "EMS3": FIX_42}
    topology = start(ems=names, venues=("XNAS",), versions=versions, limits=busy_limits())
    venue, killed = topology.venues["XNAS"], threading.Event()
    bursts = [Burst(ems, killed) for ems in topology.ems.values()]
    for burst in bursts:
        burst.start()
    topology.ems["EMS1"].wait_for(lambda: len(topology.ems["EMS1"].working) > 5)
    arguments = ("kill", "--scope", "firm", "--reason", "burst", "--timeout", "60s")
    command = subprocess.Popen(
        tidegate_command(topology.config, *arguments), stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    while not read_switches(folder_of(topology)):
        assert any(burst.is_alive() for burst in bursts), "the burst was over before the switch was set"
    killed.set()
    for burst in bursts:
        burst.join(30)
    said, _ = command.communicate(timeout=90)
    assert (command.returncode, "no open orders" in said) == (PROVEN, True), said
    for burst in bursts:
        ems = burst.ems
        ems.wait_for(lambda ems=ems: not ems.working and not ems.unanswered, 20, "an end of every order")
        outcomes = {ems.order(order).status for order in burst.orders}
        assert outcomes == {"4", "8"}
        assert {ems.order(o).text for o in burst.orders if ems.order(o).status == "8"} == {
            "KILLED no order passes (firm)"
        }
    assert open_at(venue) == []
    (switch,) = read_switches(folder_of(topology))
    assert topology.gateway.stop() == 0
    (begin,) = events(topology, ev.START)
    set_ns = switch.set_ns + begin.event.value[ev.START_BASE]
    (seen,) = events(topology, ev.KILL)
    assert seen.event.value[:3] == (FIRM_ROW, 1, set_ns)
    decided = [entry for entry in journaled(topology) if entry.decision is not None]
    accepted = [entry for entry in decided if entry.decision["verdict"] == a.ACCEPTED]
    assert len(accepted) == request_types(venue).count("D") > 5
    assert len(decided) > len(accepted)
    assert [entry.event.time_ns - set_ns for entry in accepted if entry.event.time_ns > set_ns] == []


def test_what_is_left_is_named_by_venue_and_goes_when_the_venues_work_again(start) -> None:
    topology = start(venues=("XNAS", "XNYS"))
    ems, deaf, gone = topology.ems["EMS1"], topology.venues["XNAS"], topology.venues["XNYS"]
    at_deaf, at_gone = place(ems), place(ems, extra=[(100, "XNYS")])
    filled = ems.new_order(symbol="AAPL", quantity=7, price="100.1")
    ems.wait_for(lambda: ems.order(filled).status == "2")
    deaf.faults.ignore.add("F")
    gone.drop_connections(allow_reconnect=False)
    topology.gateway.wait_log("session is down", session="XNYS")
    done = kill(topology, "account=ACC1", timeout="1s")
    assert done.returncode == RESIDUE, done
    assert "2 orders are still open" in done.stdout and "no open orders" not in done.stdout
    assert "account ACC1: positions AAPL 7" in done.stdout
    there = {"XNAS": (at_deaf, deaf), "XNYS": (at_gone, gone)}
    for name, (order, venue) in there.items():
        (line,) = [line for line in done.stdout.splitlines() if order in line]
        (open_there,) = [o for o in venue.orders.values() if o.leaves_e8]
        assert ems.order(order).order_id in line and open_there.order_id in line
        assert ("venue down" in line) == (name == "XNYS")
        assert name in done.stdout
    assert "KILLED" in refused(ems)
    gone.allow_logon()
    wait_canceled(ems, at_gone)
    deaf.faults.ignore.clear()
    again = kill(topology, "account=ACC1")
    assert (again.returncode, "no open orders" in again.stdout) == (PROVEN, True), again
    wait_canceled(ems, at_deaf)
    assert open_at(deaf) == open_at(gone) == []


def test_a_process_that_is_stopped_proves_nothing_and_can_be_ended(start) -> None:
    topology = start()
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]
    orders = [place(ems, quantity=10 + k) for k in range(3)]
    topology.gateway.send_signal(signal.SIGSTOP)
    since_s = time.monotonic()
    command = subprocess.Popen(
        tidegate_command(topology.config, "kill", "--scope", "firm", "--reason", "hangs"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert command.stderr is not None
    proof = command.stderr.readline()
    took_s = time.monotonic() - since_s
    said, _ = command.communicate(timeout=60)
    assert proof.startswith("NOTHING IS PROVEN, orders may be open") and command.returncode == NOTHING_PROVEN
    assert took_s < PROMISED_S * LOADED
    assert "firm: blocked since" in said and "3 orders were open when last known" in said
    for order in orders:
        assert any(order in line and ems.order(order).order_id in line for line in said.splitlines())
    assert venue.logged_on
    dropped = tidegate(topology, "kill", "--scope", "firm", "--reason", "hangs", "--drop-sessions")
    assert dropped.returncode == NOTHING_PROVEN and "is ended, its venue sessions are gone" in dropped.stdout, dropped
    assert topology.gateway.wait_exit(10) == -signal.SIGKILL
    venue.wait_for(lambda: not venue.logged_on)
    assert len(open_at(venue)) == 3
    gone = kill(topology, "firm")
    assert gone.returncode == NOTHING_PROVEN and "no gateway runs" in gone.stderr
    topology.start_again()
    wait_canceled(ems, *orders, timeout=60)
    assert open_at(venue) == []
    assert "(firm)" in refused(ems)
    rearm(topology, "firm")
    place(ems)


def test_switches_outlive_the_process_and_whatever_becomes_of_their_file(start) -> None:
    topology = start()
    ems = topology.ems["EMS1"]
    in_advance = kill(topology, "account=LATER")
    assert in_advance.returncode == RESIDUE, in_advance
    assert "account LATER: NOT KNOWN to the gateway" in in_advance.stderr and "ACC1, ACC2" in in_advance.stderr
    assert kill(topology, "account=ACC2").returncode == PROVEN
    topology.gateway.stop(signal.SIGKILL)
    sessions = yaml.safe_load(topology.config.read_text())["sessions"]
    sessions[0]["accounts"].append("LATER")
    limits = LIMITS | {"account": {"default": LIMITS["account"]["default"]}}
    (topology.config.parent / "limits.yaml").write_text(yaml.safe_dump(limits))
    change_config(topology, sessions=sessions)
    topology.start_again()
    topology.wait_recovered()
    place(ems)
    for account in ("ACC2", "LATER"):
        assert refused(ems, extra=[(1, account)]) == f"KILLED no order passes (account {account})"

    def still_killed_but_firm() -> None:
        """The firm until it is rearmed, then what was killed before."""
        assert refused(ems) == "KILLED no order passes (firm)"
        refusal = tidegate(topology, "rearm", "--scope", "account=ACC2", "--reason", "repaired")
        assert refusal.returncode == 2 and "rearm the firm first" in refusal.stderr
        rearm(topology, "firm")
        place(ems)
        assert refused(ems, extra=[(1, "ACC2")]) == "KILLED no order passes (account ACC2)"

    topology.gateway.stop()
    file = folder_of(topology) / FILE
    content = bytearray(file.read_bytes())
    content[12] ^= 1
    file.write_bytes(content)
    with pytest.raises(SwitchFault):
        read_switches(folder_of(topology))
    topology.start_again()
    topology.wait_recovered()
    still_killed_but_firm()
    topology.gateway.stop(signal.SIGKILL)
    file.unlink()
    topology.start_again()
    topology.wait_recovered()
    still_killed_but_firm()
    topology.gateway.log.clear()
    file.unlink()  # while it runs
    topology.gateway.wait_log(
        "the kill switches cannot be read: the firm is killed", why=f"{file}: No such file or directory"
    )
    still_killed_but_firm()
    rearm(topology, "account=ACC2")
    place(ems, extra=[(1, "ACC2")])


AS_ANOTHER_USER = """
import os, sys
import gateway.cli.main, gateway.ops.control, gateway.config.settings
os.setgroups([])
os.setgid(int(sys.argv.pop(1)))
os.setuid(int(sys.argv.pop(1)))
gateway.cli.main.main()
"""
"""`tidegate` as another user, who need not be able to read Python's own files."""


def test_a_group_may_kill_and_a_rearm_takes_two_people(start) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    other = pwd.getpwnam("nobody")
    topology = start(control={"group": grp.getgrgid(other.pw_gid).gr_name, "rearm_people": 2})
    topology.config.parent.chmod(0o755)
    ems = topology.ems["EMS1"]

    def run_as(uid: int, gid: int, command: str) -> subprocess.CompletedProcess[str]:
        """Paths are from the folder of the config: those above it are its owner's only."""
        options = ["--scope", "firm", "--reason", "by two", "--config", topology.config.name]
        return subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, str(gid), str(uid), command, *options],
            cwd=topology.config.parent,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    killed = run_as(other.pw_uid, other.pw_gid, "kill")  # who may not see the orders
    assert (killed.returncode, "firm: blocked since" in killed.stdout) == (NOTHING_PROVEN, True), killed
    assert "(firm)" in refused(ems)
    assert topology.gateway.wait_log("kill switch set")["user"] == "nobody"
    for _ in range(2):
        asked = run_as(0, 0, "rearm")
        assert "firm stays killed: another person than root must confirm within 10 m" in asked.stdout, asked
        assert "(firm)" in refused(ems)
    done = run_as(other.pw_uid, other.pw_gid, "rearm")
    assert (done.returncode, "the kill switch of firm is released" in done.stdout) == (0, True), done
    place(ems)
    released = topology.gateway.wait_log("kill switch released", scope="firm")
    assert (released["user"], released["why"]) == ("nobody", "by two")


SCOPED = {  # what the order in scope says, and what any other one says
    "desk=D1": ((7002, "D1"), (7002, "D2")),
    "account=ACC1": ((1, "ACC1"), (1, "ACC2")),
    "strategy=S1": ((7001, "S1"), (7001, "S2")),
    "trader=T1": ((50, "T1"), (50, "T2")),
    "flow=F1": ((7003, "F1"), (7003, "F2")),
    "venue=XNAS": ((100, "XNAS"), (100, "XNYS")),
}


def test_every_kind_of_scope(start) -> None:
    """Orders that have one thing in scope each are canceled, one that has none stays."""
    names = {"desks": ["D1", "D2"], "strategies": ["S1", "S2"], "traders": ["T1", "T2"], "flows": ["F1", "F2"]}
    topology = start(
        ems=("EMS1", "EMS2"),
        venues=("XNAS", "XNYS"),
        identity={"desk": 7002, "account": 1, "strategy": 7001, "trader": 50, "flow": 7003},
        ems_session=names,
    )
    ems, other = topology.ems["EMS2"], topology.ems["EMS1"]

    def place_for(scope: str, place=place) -> tuple[Ems, str]:
        said = [inside if key == scope else outside for key, (inside, outside) in SCOPED.items()]
        client = other if scope == "session=EMS1" else ems
        symbol, price = ("AAPL", "99") if scope == "instrument=AAPL" else ("MSFT", "199")
        return client, place(client, symbol=symbol, price=price, extra=said)

    scopes = [*SCOPED, "instrument=AAPL", "session=EMS1"]
    inside = [place_for(scope) for scope in scopes]
    _, outside = place_for("none")
    done = kill(topology, *scopes)
    assert (done.returncode, "no open orders" in done.stdout) == (PROVEN, True), done
    for client, order in inside:
        wait_canceled(client, order)
    for scope in scopes:
        assert place_for(scope, refused)[1] == f"KILLED no order passes ({scope.replace('=', ' ')})"
    assert ems.order(outside).status == "0"
    for scope in scopes:
        rearm(topology, scope)
    again = [place_for(scope) for scope in scopes]
    assert kill(topology, "firm").returncode == PROVEN
    for client, order in [*again, (ems, outside)]:
        wait_canceled(client, order)
    assert [open_at(venue) for venue in topology.venues.values()] == [[], []]


def test_mass_cancel_where_it_hits_no_other_order_and_the_pace_of_cancels(start) -> None:
    rate = 20
    topology = start(versions={"EMS1": FIX_42}, venue_session={"mass_cancel": True, "cancel_rate": rate})
    ems, venue = topology.ems["EMS1"], topology.venues["XNAS"]

    def kill_and_rearm(scope: str, *orders: str) -> list[str]:
        """Types of what the venue got."""
        before = len(requests(venue))
        done = kill(topology, scope)
        assert (done.returncode, "no open orders" in done.stdout) == (PROVEN, True), done
        wait_canceled(ems, *orders)
        rearm(topology, scope)
        return request_types(venue)[before:]

    orders = [place(ems) for _ in range(8)]
    assert kill_and_rearm("account=ACC1", *orders) == ["q"]
    assert first(requests(venue)[-1], 530) == "7"
    report = ems.reports(orders[0])[-1]
    told = {tag: first(report, tag) for tag in (11, 41, 20, 150, 39, 378, 58)}
    assert told == {
        11: orders[0],
        41: "",
        20: "0",
        150: "4",
        39: "4",
        378: "4",
        58: "canceled by the gateway: kill switch",
    }
    kept = place(ems, symbol="MSFT", price="199", extra=[(1, "ACC2")])
    orders = [place(ems) for _ in range(8)]
    assert kill_and_rearm("instrument=AAPL", *orders) == ["q"]
    assert (first(requests(venue)[-1], 530), first(requests(venue)[-1], 55)) == ("1", "AAPL")
    many = [ems.new_order(symbol="AAPL", quantity=1, price="99") for _ in range(2 * rate)]
    ems.wait_for(lambda: all(ems.order(order).status == "0" for order in many))
    assert kill_and_rearm("account=ACC1", *many) == ["F"] * len(many)
    single = tidegate(topology, "cancel", ems.order(kept).order_id, "--reason", "asked by the desk")
    assert single.returncode == 0, single
    wait_canceled(ems, kept)
    assert first(ems.reports(kept)[-1], 378) == "4"
    assert "is not open any more" in tidegate(topology, "cancel", ems.order(kept).order_id, "--reason", "x").stderr
    assert open_at(venue) == []
    assert topology.gateway.stop() == 0
    sent = [e.event.time_ns for e in journaled(topology) for output in e.outputs if output.message_type == "F"]
    at_once = rate // 10 + 1  # what a tenth of a second allows
    busiest = max(sum(since <= sent_ns < since + 10**9 for sent_ns in sent) for since in sent)
    assert busiest <= rate + at_once


@pytest.mark.parametrize("forgets", [False, True], ids=["continued", "in-doubt"])
def test_a_kill_while_the_gateway_recovers(start, forgets: bool) -> None:
    """Orders of the last run at a venue that is not back yet: they are residue, and go once it is."""
    topology = start(proxied=("XNAS",), venue_session={"reset_on_logon": forgets})
    ems, venue, proxy = topology.ems["EMS1"], topology.venues["XNAS"], topology.proxies["XNAS"]
    orders = [place(ems, quantity=10 + k) for k in range(3)]
    topology.gateway.stop(signal.SIGKILL)
    proxy.cut(refuse=True)
    topology.start_again()
    done = kill(topology, "firm", timeout="1s")
    assert done.returncode == RESIDUE and "3 orders are still open" in done.stdout, done
    assert done.stdout.count("venue down") == 3
    proxy.allow()
    wait_canceled(ems, *orders, timeout=30)
    topology.wait_recovered()
    again = kill(topology, "firm")
    assert (again.returncode, "no open orders" in again.stdout) == (PROVEN, True), again
    assert open_at(venue) == [] and request_types(venue).count("F") >= 3
    status = json.loads(tidegate(topology, "status", "--json").stdout)
    assert status["state"] == "KILLED"
    rearm(topology, "firm")
    place(ems)
