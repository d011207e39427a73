"""`tidegate` with an engine that fails on one message: what names the symbol BOOM raises in a QuickFIX callback."""

from __future__ import annotations

from typing import Any

from gateway import cli
from gateway.engine import quickfix as engine

bytes_of = engine.bytes_of


def _bytes_or_failure(message: Any) -> bytes:
    data = bytes_of(message)
    if b"\x0155=BOOM\x01" in data:
        raise RuntimeError("broken on purpose")
    return data


def main() -> None:
    engine.bytes_of = _bytes_or_failure
    cli.main()
