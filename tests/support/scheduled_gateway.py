"""`tidegate` whose sessions' schedules are what a file says: when they began, seconds since 1970; empty: closed."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.cli.main import main as tidegate
from gateway.engine.native.schedule import Schedule

BEGUN = "TIDEGATE_BEGUN"  # environment variable that names the file


def look(_: Schedule) -> int | None:
    """As `Schedule.look`."""
    text = Path(os.environ[BEGUN]).read_text()
    return int(text) if text else None


def main() -> None:
    """Stands in for that of `tidegate`."""
    Schedule.look = look
    tidegate()


if __name__ == "__main__":
    main()
