"""Where log lines go: JSON, or readable at a terminal; and never the end of the gateway when they cannot be written."""

from __future__ import annotations

import sys
from typing import TextIO

import structlog


class LossyFile:
    """A text file that loses what it cannot write (a full disk, a reader that has gone), and says later how much."""

    def __init__(self, file: TextIO) -> None:
        """Write to `file`."""
        self._file = file
        self._lost = 0

    def write(self, text: str) -> int:
        """Write text, after word of what was lost before."""
        try:
            if self._lost:
                self._file.write(f'{{"event": "log lines were lost", "count": {self._lost}}}\n')
                self._file.flush()
                self._lost = 0
            self._file.write(text)
        except OSError:
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Flush the file."""
        try:
            self._file.flush()
        except OSError:
            self._lost += 1


def configure_log() -> None:
    """JSON lines on stderr, or readable ones at a terminal."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(LossyFile(sys.stderr)),  # type: ignore[arg-type]
    )
