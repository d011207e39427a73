"""Where log lines go: JSON, or readable at a terminal; and never the end of the gateway when they cannot be written."""

from __future__ import annotations

import json
import select
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

log = structlog.get_logger()


class LossyFile:
    """A text file that loses what it cannot write (a full disk, a reader that has gone), and says later how much."""

    def __init__(self, file: TextIO) -> None:
        """Write to `file`."""
        self._file = file
        self._lost = 0
        self._turn = threading.Lock()  # several threads log, and no line may stand within another

    def write(self, text: str) -> int:
        """Write whole lines, after word of what was lost before."""
        try:
            with self._turn:
                if self._lost:
                    self._file.write(f'{{"event": "log lines were lost", "count": {self._lost}}}\n')
                    self._file.flush()
                    self._lost = 0
                self._file.write(text)
        except (OSError, ValueError):  # ValueError: it was closed
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Flush the file."""
        try:
            with self._turn:
                self._file.flush()
        except (OSError, ValueError):  # ValueError: it was closed
            self._lost += 1


_json_file: list[LossyFile] = []  # where JSON lines go, once they do


def configure_log() -> None:
    """JSON lines on stderr, or readable ones at a terminal."""
    file = LossyFile(sys.stderr)
    readable = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    _json_file[:] = [] if readable else [file]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file),  # type: ignore[arg-type]
    )


def log_many(event: str, lines: list[dict[str, Any]]) -> None:
    """Log lines of level info together; a `timestamp` that a line has stays. As JSON they go past structlog, whose work
    for a line is four times theirs.
    """
    if not _json_file:
        for line in lines:
            log.info(event, **line)
        return
    head = {"event": event, "level": "info", "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z")}
    together = ""
    for line in lines:
        text = json.dumps(head | line) + "\n"
        if len(together) + len(text) > select.PIPE_BUF:
            _write(together)
            together = ""
        together += text
    _write(together)


def _write(text: str) -> None:
    """Write lines at once: up to PIPE_BUF bytes stay whole among those of other processes."""
    _json_file[0].write(text)
    _json_file[0].flush()
