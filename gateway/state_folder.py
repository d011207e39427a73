"""The state folder at a start: who has it, what its journal gives, and which run this is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import structlog

from gateway.core.driver import Output
from gateway.core.layout import NONE
from gateway.journal.follower import LOCK_FILE
from gateway.journal.read import JournalError
from gateway.journal.recovery import Recovered, recover
from gateway.settings import ConfigError, Settings

FOLLOWER_WAIT_S = 10.0

log = structlog.get_logger()


def lock(path: Path) -> IO[str]:
    """Take the folder for this process; raises ConfigError when another has it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"gateway.state_dir: {path.parent}: another gateway process uses it") from None
    return file


@contextlib.contextmanager
def follower_gone(folder: Path) -> Iterator[None]:
    """Hold the lock of the journal's follower, which ends a moment after the gateway that started it."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + FOLLOWER_WAIT_S
    with (folder / LOCK_FILE).open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigError(f"gateway.state_dir: {folder}: a follower of the journal does not end") from None
                time.sleep(0.02)
        yield


def of_todays_sessions(outputs: list[Output], recovered: Recovered, settings: Settings) -> list[Output]:
    """Outputs of the last run with the rows that their sessions have in today's settings."""
    last = recovered.replayer.settings
    rows = {section.id: row for row, section in enumerate(settings.config.sessions)}
    found = []
    for output in outputs:
        name = "" if output.session == NONE or last is None else last.config.sessions[output.session].id
        if output.session == NONE:
            found.append(output)
        elif name in rows:
            found.append(Output(rows[name], output.message_type, output.body))
        else:
            log.error("not sent, its session is gone", session=name, text=output.body.decode("utf-8", "replace"))
    return found


def put_aside(folder: Path) -> None:
    """Keep the journal under another name, and QuickFIX's sequence numbers where they are."""
    journal = folder / "journal"
    journal.rename(folder / f"journal-until-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    journal.mkdir()


def recover_folder(folder: Path, accept_loss: bool) -> Recovered:
    """What the journal gives; raises ConfigError when it cannot be used, or a loss is not accepted."""
    try:
        recovered = recover(folder)
    except JournalError as error:
        raise ConfigError(str(error)) from None
    if recovered.lost and not accept_loss:
        raise ConfigError(
            f"gateway.state_dir: {folder}: a part of the journal is lost: {recovered.lost}; what was sent and filled "
            "there is not known. Reconcile with the venues, then start with --accept-loss"
        )
    return recovered


def next_run(path: Path, last: int) -> int:
    """Count this start, on disk before any id is made of it; `last` is the run that the journal knows."""
    try:
        run = max(int(path.read_text()), last) + 1
    except FileNotFoundError:
        run = last + 1
    except ValueError:
        raise ConfigError(f"{path}: want the number of the last run, got {path.read_text()!r:.40}") from None
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(f"{run}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return run
