"""What people and peers do in these tests, and what they see of it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.core import layout as a
from gateway.journal.read import Entry, entries, is_spare, read_segment, segment_files
from gateway.ops.control import give_command
from tests.end_to_end.conftest import Topology
from tests.support.gateway_process import CHECKOUT
from tidegate_tools.fix.text import Fields, first
from tidegate_tools.sim.ems import Ems
from tidegate_tools.sim.venue import Venue

COMMAND_TIMEOUT_S = 60


def place(ems: Ems, **fields) -> str:
    """A working order."""
    order = ems.new_order(**{"symbol": "AAPL", "quantity": 10, "price": "99"} | fields)
    ems.wait_for(lambda: ems.order(order).status)
    assert ems.order(order).status == "0", ems.order(order)
    return order


def refused(ems: Ems, **fields) -> str:
    """The text of the refusal of an order."""
    order = ems.new_order(**{"symbol": "AAPL", "quantity": 10, "price": "99"} | fields)
    ems.wait_for(lambda: ems.order(order).status)
    assert ems.order(order).status == "8", ems.order(order)
    return ems.order(order).text


def wait_canceled(ems: Ems, *orders: str, timeout: float = 15) -> None:
    """Wait until the EMS has been told that all of them are canceled."""
    ems.wait_for(lambda: all(ems.order(order).status == "4" for order in orders), timeout, f"cancels of {orders}")


def tidegate_command(config: Path, *arguments: str) -> list[str]:
    """The command line of `tidegate`."""
    return [sys.executable, "-m", "gateway.cli", *arguments, "--config", str(config)]


def tidegate(topology: Topology, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person does."""
    return subprocess.run(
        tidegate_command(topology.config, *arguments),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | {"COLUMNS": "300"},
        timeout=COMMAND_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def kill(topology: Topology, *scopes: str, timeout: str = "20s") -> subprocess.CompletedProcess[str]:
    """`tidegate kill` of some scopes."""
    options = [option for scope in scopes for option in ("--scope", scope)]
    return tidegate(topology, "kill", *options, "--reason", "runaway", "--timeout", timeout)


def rearm(topology: Topology, scope: str) -> None:
    """What `tidegate rearm` does, by one person."""
    kind, _, name = scope.partition("=")
    request = {"command": "rearm", "scope": kind, "name": name, "reason": "repaired"}
    assert "is released" in give_command(topology.config.parent / "var", request)


def requests(venue: Venue) -> list[Fields]:
    """The orders, cancels, replaces and mass cancels that a venue has received, repeats included."""
    return [m.fields for m in venue.log if not m.sent and first(m.fields, 35) in ("D", "F", "G", "q")]


def request_types(venue: Venue) -> list[str]:
    """Their MsgTypes."""
    return [first(message, 35) for message in requests(venue)]


def open_at(venue: Venue) -> list[str]:
    """ClOrdIDs of what is open at a venue."""
    return sorted({order.cl_ord_id for order in venue.orders.values() if order.leaves_e8})


def journaled(topology: Topology) -> list[Entry]:
    """Every event of the journal of a gateway that has ended, with what it gave."""
    found: list[Entry] = []
    for path in segment_files(topology.config.parent / "var" / "journal"):
        if not is_spare(path):
            found += (entry for entry in entries(read_segment(path)) if isinstance(entry, Entry))
    return found


def events(topology: Topology, kind: int) -> Iterator[Entry]:
    """Those of one kind (layout.MESSAGE ...)."""
    return (entry for entry in journaled(topology) if entry.event.kind == kind)


def exposure(topology: Topology, name: str = "ACC1", symbol: str = "AAPL") -> tuple[float, float, float]:
    """(position, open buys, open sells) of an account in whole shares, as the gateway counts them."""
    state = topology.state
    entity, instrument = state.entities[a.ACCOUNT, name], state.instruments[symbol]
    for x in state.record.exposures[: state.record.exposure_count]:
        if (x.entity, x.instrument) == (entity, instrument):
            return int(x.position_e8) / 1e8, int(x.open_buy_e8) / 1e8, int(x.open_sell_e8) / 1e8
    return 0, 0, 0


def zone_where_it_is(folder: Path, hour: int, ahead_s: int) -> None:
    """A time zone file `Soon` in which it is `ahead_s` before an hour now."""
    now = datetime.now(UTC)
    offset_s = hour * 3600 - ahead_s - (now.hour * 3600 + now.minute * 60 + now.second)
    head = struct.pack(">4s16x6l", b"TZif", 0, 0, 0, 0, 1, 4)
    folder.mkdir()
    (folder / "Soon").write_bytes(head + struct.pack(">lbb", offset_s, 0, 0) + b"SOO\0")
