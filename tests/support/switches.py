"""Set and read the switches of a file, as tests of the switch file do."""

from __future__ import annotations

from pathlib import Path

from gateway.core import layout as a
from gateway.kill import file as w
from gateway.kill.file import firm_word, read_switches, replace_file, set_switch
from gateway.kill.format import Switch

FIRM = (a.FIRM, "")
MOMO, ARB, ACC1 = (a.STRATEGY, "MOMO"), (a.STRATEGY, "ARB"), (a.ACCOUNT, "ACC1")


def kill(folder: Path, key: tuple[int, str], user: str = "alice", reason: str = "runs away") -> w.Kill:
    """Set a switch."""
    return set_switch(folder, *key, user, reason)


def keys(folder: Path) -> set[tuple[int, str]]:
    """What is killed."""
    return {switch.key for switch in read_switches(folder)}


def new_file(folder: Path, *switches: Switch) -> None:
    """A sound file with these switches in the place of the one that is there."""
    replace_file(folder, switches, firm_word(folder))


def found(folder: Path) -> dict[tuple[int, str], Switch]:
    """The switches by what they kill."""
    return {switch.key: switch for switch in read_switches(folder)}
