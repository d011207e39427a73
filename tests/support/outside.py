"""A gateway as others see it, without its process: a state and a pulse in shared memory, filled by the test."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config.settings import load_settings
from gateway.core import layout as a
from gateway.core.layout import record_dtype
from gateway.fix import tags as t
from gateway.fix.layout import E8
from gateway.kill.file import create
from gateway.state.build import build_state
from gateway.state.memory import State, shared_block, shared_record
from gateway.state.pulse import PULSE
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

CHECKOUT = Path(__file__).resolve().parents[2]
SECOND_NS = 10**9
COMMAND = [sys.executable, "-m", "gateway.cli"]


class Outside:
    """State and pulse of a gateway that is up for an hour, with every session up; fields are for the test to set.

    The gateway's clock is an hour ahead of the machine's, as after a restart, and its wall clock is the machine's.
    """

    def __init__(self, folder: Path, config: dict = BASE, limits: dict = LIMITS) -> None:
        """Write the config into `folder` and put state and pulse into its state folder, as long as the test runs."""
        self.path = write_config(folder, config, limits, INSTRUMENTS)
        settings = load_settings(self.path)
        self.config = settings.config
        self.gateway = settings.config.gateway
        self.folder = self.gateway.state_dir
        self.folder.mkdir()
        create(self.folder)
        built = build_state(settings, run=7)
        block = shared_block(self.gateway.capacity, self.folder / "state.bin")
        block[:] = built.block
        self.state = State(block)
        self.pulse = shared_record(record_dtype(PULSE), self.folder / "pulse")[0]
        self.monotonic_ns = time.monotonic_ns()
        s = self.state.record
        s.time_base_ns = 3_600 * SECOND_NS
        s.now_ns = self.monotonic_ns + s.time_base_ns
        s.wall_offset_ns = time.time_ns() - s.now_ns
        self.beat()
        self.pulse.pid = os.getpid()
        for own in s.sessions[: s.session_count]:
            own.up = 1
            own.since_ns = s.now_ns - 3_600 * SECOND_NS

    @property
    def record(self) -> Any:
        """The state's record."""
        return self.state.record

    def beat(self, age_s: float = 0) -> None:
        """Write a heartbeat that is so old."""
        self.pulse.heartbeat_ns = time.monotonic_ns() - int(age_s * 1e9)

    def entity(self, scope: int, name: str) -> Any:
        """The row of an entity."""
        return self.record.entities[self.state.entities[scope, name]]

    def add_order(
        self,
        cl_ord_id: str,
        qty: int = 100,
        price: float = 100,
        *,
        cum: int = 0,
        symbol: str = "AAPL",
        side: int = t.BUY,
        account: str = "ACC1",
        strategy: str = "MOMO",
        session: int = 0,
        venue: int = 1,
        status: int = t.STATUS_NEW,
        age_s: float = 60,
    ) -> Any:
        """Put an order and its request into the tables; open unless it is filled or its status has ended it."""
        s = self.record
        row = int(s.order_count)
        s.order_count += 1
        o = s.orders[row]
        o.run, o.number, o.status, o.side = s.run, row + 1, status, side
        o.session, o.venue, o.instrument = session, venue, self.state.instruments[symbol]
        o.qty_e8, o.cum_e8, o.fills_e8 = qty * E8, cum * E8, cum * E8
        o.placed_ns = s.now_ns - int(age_s * 1e9)
        o.entities[:] = a.NONE
        o.entities[a.FIRM] = 0
        o.entities[a.ACCOUNT] = self.state.entities[a.ACCOUNT, account]
        o.entities[a.STRATEGY] = self.state.entities[a.STRATEGY, strategy]
        o.accepted = o.first = self.add_request(row, cl_ord_id, t.NEW_ORDER_SINGLE, qty, price)
        o.pending = a.NONE
        ended = (t.STATUS_FILLED, t.STATUS_CANCELED, t.STATUS_REJECTED, t.STATUS_EXPIRED)
        o.counted_open = int(status not in ended)
        s.open_order_count += o.counted_open
        return o

    def add_request(self, order: int, cl_ord_id: str, kind: int, qty: int = 100, price: float = 100) -> int:
        """Put a request of an order into the table; returns its row."""
        s = self.record
        row = int(s.request_count)
        s.request_count += 1
        r = s.requests[row]
        r.kind, r.order, r.older, r.ord_type, r.time_in_force = kind, order, a.NONE, t.LIMIT, t.DAY
        r.qty_e8, r.price_e8 = qty * E8, round(price * E8)
        r.cl_ord_id[: len(cl_ord_id)] = np.frombuffer(cl_ord_id.encode(), np.uint8)
        r.cl_ord_id_size = len(cl_ord_id)
        return row

    def add_exposure(
        self, scope: int, name: str, symbol: str, position: int, buy: int = 0, sell: int = 0, pair: int = a.NONE
    ) -> None:
        """Put a position with open quantities into the table."""
        s = self.record
        x = s.exposures[s.exposure_count]
        s.exposure_count += 1
        x.entity, x.instrument = self.state.entities[scope, name], self.state.instruments[symbol]
        x.position_e8, x.open_buy_e8, x.open_sell_e8, x.pair = position * E8, buy * E8, sell * E8, pair

    def push_limit(self, of: tuple[int, str], symbol: str | None, limit: int, **values: int) -> None:
        """Put a pushed limit of the first source into the table; `values` sets columns."""
        s = self.record
        row = s.parameters[s.parameter_count]
        s.parameter_count += 1
        row.entity, row.limit, row.state = self.state.entities[of], limit, a.VALID
        row.instrument = a.NONE if symbol is None else self.state.instruments[symbol]
        row.told_ns, row.expires_ns = s.now_ns, s.now_ns + 60 * SECOND_NS
        for column, value in values.items():
            row[column] = value

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `tidegate` command on this gateway's config."""
        return tidegate(*arguments, "--config", str(self.path))


def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The `tidegate` command, in a process of its own."""
    environment = os.environ | {"NO_COLOR": "1"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=CHECKOUT, env=environment, timeout=60
    )
