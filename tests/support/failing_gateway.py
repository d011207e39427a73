"""`tidegate` with an engine that fails on one message: that of the trader BOOM, SenderSubID(50)."""

from __future__ import annotations

from typing import Any

from gateway.cli import main as cli
from gateway.engine.quickfix import callbacks

is_again = callbacks.is_again


def _fails(header: Any) -> bool:
    if header.isSetField(50) and header.getField(50) == "BOOM":
        raise RuntimeError("broken on purpose")
    return is_again(header)


def main() -> None:
    callbacks.is_again = _fails
    cli.main()
