"""A gateway far from its venues: a packet takes 20 ms, and a connection comes about only after some packets.

On the loopback it is there at once, which hides what goes wrong while it is being made.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.end_to_end.acts import kill, open_at, place, wait_canceled
from tests.end_to_end.test_outages import Counterparty, Ordeal
from tests.support.delayed_network import HERE, ONE_WAY_S, THERE, DelayedNetwork, own_network
from tests.support.gateway_process import CHECKOUT
from tests.support.proxy import DOWN, Proxy
from tests.support.raw_venue import CLOSES, LOGS_OUT, TRADES, RawVenue

HEARTBEAT_S = 2  # silence is noticed after 2.4 times as long
ORDEAL_S = 90
OUTAGES = {
    "V-logs-out": (1.0, 1.0),
    "V-closes": (1.0, 1.0),
    "V-says-nothing": (1.0, 1.0),
    "V-port-closed": (12.0,),
    "V-packets-lost": (12.0,),
    "V-packets-lost-longer": (19.0,),  # than the gateway waits for a connection
}
"""How long each venue is away, time after time, but always until that is noticed."""


@pytest.mark.first
def test_venues_far_away(tmp_path: Path) -> None:
    """Runs `inside` in a network of its own."""
    options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}", "-o", "python_functions=inside"]
    command = [*own_network(), sys.executable, "-m", "pytest", *options, __file__]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def inside(start) -> None:
    """Every venue goes away in its own way and comes back; then there is a fill, and a kill of what rests."""
    with ExitStack() as stack:
        network = stack.enter_context(DelayedNetwork())
        venues = {name: stack.enter_context(RawVenue(name)) for name in OUTAGES}
        proxies = {name: stack.enter_context(Proxy(("127.0.0.1", venue.port), HERE)) for name, venue in venues.items()}
        check_delay(proxies["V-closes"].port)
        topology = start(
            elsewhere={name: proxy.port for name, proxy in proxies.items()},
            venue_host=THERE,
            of_session=dict.fromkeys(OUTAGES, {"heartbeat": HEARTBEAT_S}),
        )
        ems, resting = topology.ems["EMS1"], []

        def trade(name: str) -> None:
            resting.append(place(ems, extra=[(100, name)]))

        for name in OUTAGES:
            topology.gateway.wait_log("resend complete", session=name)
            trade(name)
        ordeals = [
            Ordeal(topology, who, OUTAGES[who.name], partial(trade, who.name))
            for who in venues_that_go_away(network, venues, proxies)
        ]
        for ordeal in ordeals:
            ordeal.start()
        problems = []
        for ordeal in ordeals:
            ordeal.join(ORDEAL_S)
            problems += ordeal.problems or ([f"{ordeal.name} hangs"] if ordeal.is_alive() else [])
        assert problems == [], "\n".join(["", *problems])

        filled = ems.new_order(symbol="AAPL", quantity=10, price="100.1")
        ems.wait_for(lambda: ems.order(filled).status == "2", what="a fill")
        resting.append(place(ems))
        done = kill(topology, "firm")
        assert done.returncode == 0, done
        wait_canceled(ems, *resting)
        assert open_at(topology.venues["XNAS"]) == []
        assert [name for name, venue in venues.items() if venue.open_orders()] == []
        assert topology.state.record.fault == 0
        assert topology.gateway.stop() == 0


def check_delay(port: int) -> None:
    """The control: to connect takes the time there and back."""
    since_s = time.monotonic()
    socket.create_connection((THERE, port), timeout=5).close()
    assert time.monotonic() - since_s >= 2 * ONE_WAY_S


def venues_that_go_away(
    network: DelayedNetwork, venues: dict[str, RawVenue], proxies: dict[str, Proxy]
) -> list[Counterparty]:
    """Each in its own way; of lost packets nobody is told."""
    logs_out, closes = venues["V-logs-out"], venues["V-closes"]
    silent, closed = proxies["V-says-nothing"], proxies["V-port-closed"]
    lost = [(name, proxies[name].port) for name in ("V-packets-lost", "V-packets-lost-longer")]
    return [
        Counterparty("V-logs-out", partial(logs_out.behave, LOGS_OUT), partial(logs_out.behave, TRADES)),
        Counterparty("V-closes", partial(closes.behave, CLOSES), partial(closes.behave, TRADES)),
        Counterparty("V-says-nothing", partial(silent.swallow, DOWN), silent.cut),
        Counterparty("V-port-closed", partial(closed.cut, close_port=True), closed.allow),
        *(
            Counterparty(name, partial(network.lost_ports.add, port), partial(network.lost_ports.discard, port))
            for name, port in lost
        ),
    ]
