"""Look at a running gateway from outside: its state and its pulse, mapped read only.

Both are memory of another process, which writes while we read: each number is whole, but two of them need not belong to
the same moment. A row number is good for nothing until its bounds are checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.config.sections import GatewaySection
from gateway.core.layout import record_dtype
from gateway.machine import owner
from gateway.state.memory import State, map_state
from gateway.state.pulse import PULSE


class NoGateway(Exception):
    """No gateway can be looked at; one line with the state folder."""


@dataclass(frozen=True)
class Attached:
    """A running gateway. `since_ns` is the wall clock at its start; `pulse` is None where it has none to show."""

    state: State
    pulse: np.record | None
    since_ns: int
    path: Path
    inode: int

    def is_current(self) -> bool:
        """Whether the process that we look at is still there; its memory stays readable when it is gone."""
        try:
            return self.path.stat().st_ino == self.inode
        except OSError:
            return False


def attach(gateway: GatewaySection) -> Attached:
    """Map the gateway of a state folder; raises NoGateway, or ConfigError when its state has another form."""
    folder = gateway.state_dir
    path = folder / "state.bin"
    try:
        since_ns = path.lstat().st_mtime_ns  # the link is made at the start
        owner(path)
        inode = path.stat().st_ino
        state = map_state(path, gateway.capacity)
    except PermissionError:
        raise NoGateway(f"{folder}: only the user of the gateway and root may look at it") from None
    except (OSError, ValueError):  # a link of another process, or a map of what has just gone
        raise NoGateway(f"no gateway runs on {folder}") from None
    if state.record.run == 0 or len(state.entities) != state.record.entity_count:
        raise NoGateway(f"the gateway on {folder} has not started yet")
    return Attached(state, _pulse(folder / "pulse"), since_ns, path, inode)


def _pulse(path: Path) -> np.record | None:
    dtype = record_dtype(PULSE)
    try:
        owner(path)
        if path.stat().st_size != dtype.itemsize:
            return None
        return np.asarray(np.memmap(path, dtype, "r", shape=(1,)))[0]
    except (OSError, ValueError):
        return None
