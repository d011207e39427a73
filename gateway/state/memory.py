"""The block of memory that is a gateway's state: allocated, shared and mapped."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

from gateway.config.files import ConfigError
from gateway.config.settings import Settings
from gateway.core.layout import CAPACITIES, NONE, record_dtype, state_dtype
from gateway.machine import memory_name


class State:
    """The block of a gateway, and which row has which name. `record` is the block's one record."""

    def __init__(self, block: np.ndarray) -> None:
        """Take a block as it is; the names are read from its tables."""
        self.block = block
        self.record = block[0]
        self.entities = {
            (int(e.scope), bytes(e.name[: e.name_size]).decode()): row
            for row, e in enumerate(self.record.entities[: self.record.entity_count])
        }
        self.instruments = {
            bytes(i.symbol[: i.symbol_size]).decode(): row
            for row, i in enumerate(self.record.instruments[: self.record.instrument_count])
        }

    def word(self, name: str) -> memoryview[int]:
        """An int64 of the state's head as a view of one word: far quicker from Python than a record's field."""
        fields = self.block.dtype.fields
        assert fields is not None
        start = fields[name][1]
        return self.block.view("u1")[start : start + 8].view("i8").data


def require_row(row: int, settings: Settings, table: str) -> int:
    """A row of a table as it is; raises ConfigError where it is NONE, since the table is full."""
    if row == NONE:
        capacity = settings.config.gateway.capacity
        raise ConfigError(f"gateway.capacity: {capacity}: has no room for all {table}, want a larger capacity")
    return row


def new_block(capacity: str) -> np.ndarray:
    """An array of one zeroed record: the state."""
    return np.zeros(1, record_dtype(state_dtype(CAPACITIES[capacity])))


def shared_block(capacity: str, path: Path) -> np.ndarray:
    """The same in memory that others can look at by way of `path`, as long as this process lives; raises OSError."""
    return shared_record(record_dtype(state_dtype(CAPACITIES[capacity])), path)


def shared_record(dtype: np.dtype, path: Path) -> np.ndarray:
    """An array of one zeroed record that others can look at by way of `path`, as long as this process lives.

    Not a file of a disk: its pages would cost a fault each time they have been written back, microseconds an order.
    Raises OSError.
    """
    memory = os.memfd_create(memory_name(path))
    os.posix_fallocate(memory, 0, dtype.itemsize)
    path.unlink(missing_ok=True)
    path.symlink_to(f"/proc/{os.getpid()}/fd/{memory}")
    return np.frombuffer(mmap.mmap(memory, dtype.itemsize), dtype)


def map_state(path: Path, capacity: str) -> State:
    """The state of a running gateway, seen from outside and read only; raises OSError or ConfigError."""
    dtype = record_dtype(state_dtype(CAPACITIES[capacity]))
    if path.stat().st_size != dtype.itemsize:
        raise ConfigError(f"{path}: is the state of another capacity than {capacity}, or of another release")
    return State(np.asarray(np.memmap(path, dtype, "r", shape=(1,))))
