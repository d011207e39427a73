"""The state folder at a start: who has it, what its journal gives, and which run this is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from gateway.config.files import ConfigError
from gateway.config.settings import Settings
from gateway.core.driver import Output
from gateway.core.layout import NONE
from gateway.journal.follower import LOCK_FILE
from gateway.journal.memory import END_LOST, restore
from gateway.journal.read import JournalError, segment_files
from gateway.journal.recovery import NamedOutput, Recovered, recover
from gateway.machine import sync_path

FOLLOWER_WAIT_S = 10.0

log = structlog.get_logger()


def lock(folder: Path) -> int:
    """Take the folder for this process, by a descriptor that is to be kept; raises ConfigError when another has it.

    The folder itself is locked, not a file in it, which somebody could take for stale and remove.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"gateway.state_dir: {folder}: another gateway process uses it") from None
    return descriptor


def open_to_group(folder: Path, group: str | None) -> None:
    """Let the members of a group reach the control socket and the kill switches in the folder, and nothing else in it.

    Without a group nobody but the owner. Raises ConfigError when there is no such group.
    """
    for name in ("fix", "journal"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        (folder / name).chmod(0o700)
    if group is None:
        folder.chmod(0o700)
        return
    try:
        shutil.chown(folder, group=group)
    except LookupError:
        raise ConfigError(f"control.group: {group}: want a group of this machine") from None
    folder.chmod(0o710)


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


def of_todays_sessions(outputs: list[NamedOutput], settings: Settings) -> list[Output]:
    """Outputs of the last run with the rows that their sessions have in today's settings."""
    rows = {section.id: row for row, section in enumerate(settings.config.sessions)}
    found = []
    for output in outputs:
        if output.session is None or output.session in rows:
            row = NONE if output.session is None else rows[output.session]
            found.append(Output(row, output.message_type, output.body, output.alert))
        else:
            text = output.body.decode("utf-8", "replace")
            log.error("not sent, its session is gone", session=output.session, text=text)
    return found


def put_aside(folder: Path, run: int) -> bool:
    """Keep the journal under another name, and QuickFIX's sequence numbers where they are, if `run` is the last one."""
    last = last_run(folder)
    if run != last:
        log.error("--forget names another run, nothing is put aside", named=run, last=last)
        return False
    journal = folder / "journal"
    if not segment_files(journal):
        return True
    journal.rename(folder / f"journal-until-run-{run}")
    journal.mkdir()
    log.warning("the journal is put aside", folder=str(folder / f"journal-until-run-{run}"))
    return True


def restore_memory(folder: Path) -> bool:
    """Put on disk what the last run left of its journal in memory; returns whether the end of it may be lost, as after
    a power cut. Raises ConfigError.
    """
    try:
        lost = restore(folder / "journal")
    except OSError as error:
        raise ConfigError(f"gateway.state_dir: {folder / 'journal'}: cannot be restored: {error}") from None
    if lost:
        log.warning("the memory of the journal is gone, its end may be missing", segments=lost)
    return (folder / "journal" / END_LOST).exists()


def recover_folder(folder: Path, forgotten: bool, accept_loss: int | None) -> Recovered:
    """What the journal of a state folder gives; raises ConfigError when it is of no use, or a loss is not accepted."""
    try:
        recovered = recover(folder / "journal")
    except JournalError as error:
        raise ConfigError(str(error)) from None
    state = recovered.replayer.state
    journaled = 0 if state is None else int(state.record.run)
    begun = last_run(folder)
    if recovered.replayer.differences and not recovered.lost:
        recovered.lost = (
            f"this release makes something else of {recovered.replayer.differences} events than was sent, the first in "
            f"record {recovered.replayer.first_difference}: start the release that wrote them and stop it cleanly"
        )
    if begun > journaled and not forgotten and not recovered.lost:
        recovered.lost = f"it ends in run {journaled}, but run {begun} was begun" if journaled else "all of it"
    last = max(begun, journaled)
    if recovered.lost and accept_loss != last:
        raise ConfigError(
            f"gateway.state_dir: {folder / 'journal'}: a part of the journal is lost: {recovered.lost}. "
            "What was sent and filled there is not known: restore it, or reconcile with the venues and start with "
            f"--accept-loss {last}"
        )
    if accept_loss is not None and not recovered.lost:
        log.error("--accept-loss is given, but no part of the journal is lost", named=accept_loss, last=last)
    if state is None:
        log.warning("there is no journal, begins from the positions file", folder=str(folder.resolve()))
    return recovered


def last_run(folder: Path) -> int:
    """Number of the last start whose beginning is in the journal; 0 before the first. Raises ConfigError."""
    path = folder / "run"
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise ConfigError(f"{path}: want the number of the last run, got {path.read_text()!r:.40}") from None


def note_run(folder: Path, run: int) -> None:
    """Keep the number of this start, once its beginning is on disk."""
    sync_path(folder / "journal")
    path = folder / "run"
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(f"{run}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_path(folder)
    (folder / "journal" / END_LOST).unlink(missing_ok=True)  # how this run begins stands in the journal
