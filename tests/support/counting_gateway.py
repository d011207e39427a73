"""`tidegate` that counts what its compiled loop allocates: a file has how often it was called, and how often it did."""

from __future__ import annotations

import os
from pathlib import Path

from numba.core.runtime import _nrt_python, rtsys

from gateway.cli.main import main as tidegate
from gateway.engine.native import engine

COUNTED = "TIDEGATE_COUNTED"  # environment variable that names the file
serve, log_out = engine.serve, engine.NativeEngine.log_out
calls = allocations = 0


def serve_counted(*arguments: object) -> int:
    """As `loop.serve`."""
    global calls, allocations
    before = rtsys.get_allocation_stats().alloc
    why = serve(*arguments)
    allocations += rtsys.get_allocation_stats().alloc - before
    calls += 1
    return int(why)


def log_out_and_tell(self: engine.NativeEngine, role: str) -> None:
    """As `NativeEngine.log_out`, with which a stop begins."""
    Path(os.environ[COUNTED]).write_text(f"{calls} {allocations}")
    log_out(self, role)


def main() -> None:
    """Stands in for that of `tidegate`."""
    _nrt_python.memsys_enable_stats()
    engine.serve = serve_counted
    engine.NativeEngine.log_out = log_out_and_tell
    tidegate()


if __name__ == "__main__":
    main()
