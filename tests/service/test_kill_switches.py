"""The switch file and the state agree, whatever became of either; only people release a switch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config.files import ConfigError
from gateway.config.sections import ControlSection
from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.core.layout import NONE
from gateway.kill import file as w
from gateway.kill import format as f
from gateway.kill.file import kill_firm, read_switches, set_switch
from gateway.kill.format import Switch
from gateway.machine import boot_hash
from gateway.ops.confirm import Confirmation
from gateway.service.kill_switches import KillSwitches
from gateway.state.build import build_state
from gateway.state.memory import State
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

FIRM = (a.FIRM, "")
MOMO, ARB, LATER = (a.STRATEGY, "MOMO"), (a.STRATEGY, "ARB"), (a.STRATEGY, "LATER")
NOBODY = (NONE, "")  # whom the event of a name that is not known is about
BASE_NS, WALL_OFFSET_NS = 5 * 10**12, 10**18
MINUTE_NS = 60 * 10**9


class Gateway:
    """The switches of a gateway, and what of their events the core keeps in the state."""

    def __init__(self, folder: Path, fresh: bool = False, state: State | None = None, **control: Any) -> None:
        if state is None:
            settings = load_settings(write_config(folder, BASE, LIMITS, INSTRUMENTS))
            state = build_state(settings, 1)
            state.record.time_base_ns, state.record.wall_offset_ns = BASE_NS, WALL_OFFSET_NS
        self.folder = folder
        self.state = state
        self.switches = KillSwitches(folder, state, ControlSection(**control))
        self.events = self.apply(self.switches.begin(fresh))

    def apply(self, events: Iterable[Event]) -> list[tuple[tuple[int, str], int, str]]:
        """Apply events; returns (what, on, text) of each."""
        rows = {row: key for key, row in self.state.entities.items()}
        told = []
        for event in events:
            row, on, set_ns = event.value
            assert event.kind == ev.KILL
            if row == NONE:
                told.append((NOBODY, on, event.data.decode()))
                continue
            self.state.record.entities[row].killed = on
            self.state.record.entities[row].killed_ns = set_ns
            told.append((rows[row], on, event.data.decode()))
        return told

    def look(self) -> list[tuple[tuple[int, str], int, str]]:
        return self.apply(self.switches.look())

    def check(self) -> list[tuple[tuple[int, str], int, str]]:
        return self.apply(self.switches.check())

    def rearm(self, scope: str, name: str = "", user: str = "ann", reason: str = "reconciled") -> str:
        text, events = self.switches.rearm({"scope": scope, "name": name, "reason": reason}, user)
        self.apply(events)
        return text

    @property
    def killed(self) -> set[tuple[int, str]]:
        return {key for key, row in self.state.entities.items() if self.state.record.entities[row].killed}

    def assert_agrees(self, *keys: tuple[int, str]) -> None:
        """State and file have exactly these as killed; the file may have names that the state does not know."""
        assert self.killed == set(keys) - {LATER}
        assert {switch.key for switch in read_switches(self.folder)} == set(keys)


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, fresh=True)


def kill(folder: Path, key: tuple[int, str], user: str = "alice", reason: str = "runs away") -> w.Kill:
    return set_switch(folder, *key, user, reason)


def damage(folder: Path, at: int = 0) -> None:
    with open(folder / f.FILE, "r+b") as file:
        file.seek(at)
        file.write(b"?")


# What was set


def test_a_switch_is_an_event_with_its_time_and_who_and_why(gateway: Gateway) -> None:
    assert not gateway.switches.changed() and gateway.look() == []
    done = kill(gateway.folder, MOMO)
    assert gateway.switches.changed()
    assert gateway.look() == [(MOMO, 1, "strategy MOMO by alice: runs away")]
    row = gateway.state.entities[MOMO]
    assert gateway.state.record.entities[row].killed_ns == done.switch.set_ns + BASE_NS
    assert done.seen_in(gateway.switches.epoch) and not gateway.switches.changed()
    assert gateway.look() == [] and gateway.check() == []


def test_set_again_it_is_an_event_again(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    kill(gateway.folder, MOMO, "bob", "still")
    kill(gateway.folder, ARB)
    assert sorted(gateway.look()) == [
        (ARB, 1, "strategy ARB by alice: runs away"),
        (MOMO, 1, "strategy MOMO by bob: still"),
    ]


def test_a_switch_whose_setter_died_before_the_epoch_is_found_by_the_check(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file as it leaves: set, with the epoch of before."""
    with w._Mapped(gateway.folder) as file:
        epoch = file._halves[f.EPOCH]
        file.put(Switch(*MOMO, 0, 0, boot_hash(), 0, "alice", "runs away"))
        file._halves[f.EPOCH] = epoch
    assert gateway.look() == []
    assert gateway.check() == [(MOMO, 1, "strategy MOMO by alice: runs away")]


def test_a_time_that_cannot_be_is_now(gateway: Gateway) -> None:
    for set_ns in (0, 2**62, -5):
        kill(gateway.folder, MOMO)
        with w._Mapped(gateway.folder) as file:
            number = next(number for number, _ in file._set_records())
            file._words[(f.PAGE + number * f.RECORD_BYTES) // 8 + 1] = set_ns
        gateway.look()
        killed_ns = int(gateway.state.record.entities[gateway.state.entities[MOMO]].killed_ns)
        assert BASE_NS < killed_ns <= w.time.monotonic_ns() + BASE_NS


def test_an_unknown_name_is_told_once_and_kept(gateway: Gateway) -> None:
    kill(gateway.folder, LATER)
    with capture_logs() as log:
        assert gateway.look() == [(NOBODY, 1, "strategy LATER by alice: runs away")] and gateway.check() == []
        gateway.switches.tell()
    assert [(entry["event"], entry["known"]) for entry in log] == [("kill switch set", False)]
    gateway.assert_agrees(LATER)
    assert "released" in gateway.rearm("strategy", "LATER")
    gateway.assert_agrees()


def test_a_switch_taken_out_of_its_file_stays_set(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    w.release_switch(gateway.folder, read_switches(gateway.folder)[0])
    gateway.look()
    gateway.check()
    gateway.assert_agrees(MOMO)
    assert read_switches(gateway.folder)[0].user == "alice"


# A start


def test_a_fresh_folder_gets_its_file(gateway: Gateway) -> None:
    assert gateway.events == [] and not gateway.switches.fault
    gateway.assert_agrees()


def test_a_kill_before_the_first_start_is_kept(tmp_path: Path) -> None:
    kill(tmp_path, MOMO)
    gateway = Gateway(tmp_path, fresh=True)
    gateway.assert_agrees(FIRM)


def test_a_missing_file_kills_the_firm(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert [key for key, *_ in gateway.events] == [FIRM]
    assert "No such file" in gateway.events[0][2] and "No such file" in gateway.switches.fault
    assert gateway.killed == {FIRM}


def test_a_damaged_file_kills_the_firm(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    damage(gateway.folder)
    again = Gateway(gateway.folder, state=gateway.state)
    assert again.killed == {FIRM, MOMO} and again.switches.fault


def test_after_a_start_a_switch_that_either_has_is_set(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    w.release_switch(gateway.folder, read_switches(gateway.folder)[0])  # and the process dies
    kill(gateway.folder, ARB)
    again = Gateway(gateway.folder, state=gateway.state)
    again.assert_agrees(MOMO, ARB)
    assert again.check() == []


# While it runs


@pytest.mark.parametrize(
    "change", [damage, lambda folder: (folder / f.FILE).unlink(), lambda folder: w.create(folder, instead=True)]
)
def test_a_file_that_is_not_what_it_was_kills_the_firm_once(gateway: Gateway, change: Any) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    change(gateway.folder)
    assert [(key, on) for key, on, _ in gateway.check()] == [(FIRM, 1)]
    assert gateway.switches.fault
    assert gateway.check() == [] and gateway.look() == []
    assert gateway.killed == {FIRM, MOMO}


def test_a_damaged_record_is_noticed_when_the_file_is_looked_at(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    kill(gateway.folder, ARB)
    damage(gateway.folder, f.PAGE + 60)
    assert [(key, on) for key, on, _ in gateway.look()] == [(FIRM, 1)]


# Rearming


def test_a_switch_is_released_in_the_file_before_there_is_an_event(gateway: Gateway) -> None:
    kill(gateway.folder, MOMO)
    kill(gateway.folder, ARB)
    gateway.look()
    text, events = gateway.switches.rearm({"scope": "strategy", "name": "MOMO", "reason": "fixed"}, "ann")
    assert {switch.key for switch in read_switches(gateway.folder)} == {ARB}
    assert gateway.apply(events) == [(MOMO, 0, "strategy MOMO by ann: fixed")]
    assert gateway.look() == [] and gateway.check() == []
    gateway.assert_agrees(ARB)


@pytest.mark.parametrize(
    "request_,wanted",
    [
        ({"scope": "strategy", "name": "MOMO"}, "a reason"),
        ({"scope": "strategy", "name": "MOMO", "reason": "  "}, "a reason"),
        ({"scope": "fund", "name": "MOMO", "reason": "x"}, "want a scope"),
        ({"scope": "strategy", "name": "ARB", "reason": "x"}, "is not killed"),
        ({"scope": "firm", "reason": "x"}, "is not killed"),
    ],
)
def test_a_rearm_that_cannot_be_is_refused(gateway: Gateway, request_: dict[str, str], wanted: str) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()
    with pytest.raises(ConfigError, match=wanted):
        gateway.switches.rearm(request_, "ann")
    gateway.assert_agrees(MOMO)


def test_a_release_that_cannot_be_written_leaves_it_killed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(gateway.folder, MOMO)
    gateway.look()

    def fails(path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(w, "sync_path", fails)
        with pytest.raises(ConfigError, match="stays killed"):
            gateway.rearm("strategy", "MOMO")
    gateway.look()
    gateway.assert_agrees(MOMO)


def test_two_people_release_a_switch(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, fresh=True, rearm_people=2)
    kill(tmp_path, MOMO)
    gateway.look()
    assert "another person than ann must confirm within 10 m" in gateway.rearm("strategy", "MOMO")
    assert "another person than ann" in gateway.rearm("strategy", "MOMO")
    gateway.assert_agrees(MOMO)
    assert "released" in gateway.rearm("strategy", "MOMO", "bob")
    gateway.assert_agrees()


def test_a_confirmation_is_about_one_switch_as_it_was_and_only_for_a_time() -> None:
    rearming = Confirmation(2, MINUTE_NS)
    momo, arb, set_again = (MOMO, 1), (ARB, 1), (MOMO, 2)
    assert rearming.ask(momo, "ann", 0)
    assert rearming.ask(arb, "bob", 0)
    assert rearming.ask(set_again, "bob", 1)
    assert rearming.ask(set_again, "ann", MINUTE_NS + 2)
    assert not rearming.ask(set_again, "bob", 2 * MINUTE_NS + 2)
    assert rearming.ask(set_again, "bob", 2 * MINUTE_NS + 2)
    assert not Confirmation(1, MINUTE_NS).ask(momo, "ann", 0)


def test_a_switch_set_again_needs_a_rearm_of_its_own(gateway: Gateway) -> None:
    """Set after the gateway has last looked, while it is being released."""
    kill(gateway.folder, MOMO)
    gateway.look()
    kill(gateway.folder, MOMO, "bob")
    gateway.rearm("strategy", "MOMO")
    assert gateway.look() == [(MOMO, 1, "strategy MOMO by bob: runs away")]
    gateway.assert_agrees(MOMO)


def test_the_firm_killed_without_a_lock_is_rearmed(gateway: Gateway) -> None:
    kill(gateway.folder, ARB)
    kill_firm(gateway.folder)
    assert (FIRM, 1) in [(key, on) for key, on, _ in gateway.look()]
    gateway.rearm("firm")
    gateway.look()
    gateway.assert_agrees(ARB)


@pytest.mark.parametrize("change", [damage, lambda folder: (folder / f.FILE).unlink()])
def test_rearming_the_firm_writes_a_new_file_with_every_other_switch(gateway: Gateway, change: Any) -> None:
    kill(gateway.folder, MOMO)
    kill(gateway.folder, LATER)
    gateway.look()
    change(gateway.folder)
    gateway.check()
    with pytest.raises(ConfigError, match="rearm the firm first"):
        gateway.rearm("strategy", "MOMO")
    gateway.rearm("firm")
    assert gateway.switches.changed()
    gateway.look()
    assert not gateway.switches.fault
    gateway.assert_agrees(MOMO, LATER)
    done = kill(gateway.folder, ARB)
    gateway.look()
    assert done.seen_in(gateway.switches.epoch)
    gateway.assert_agrees(MOMO, LATER, ARB)
    gateway.rearm("strategy", "MOMO")
    gateway.assert_agrees(LATER, ARB)


def test_rearming_the_firm_keeps_what_only_the_state_or_only_the_damaged_file_has(gateway: Gateway) -> None:
    kill(gateway.folder, ARB)
    gateway.look()
    w.release_switch(gateway.folder, read_switches(gateway.folder)[0])
    kill(gateway.folder, LATER)
    damage(gateway.folder)
    again = Gateway(gateway.folder, state=gateway.state)
    again.rearm("firm")
    again.look()
    again.assert_agrees(ARB, LATER)


@pytest.mark.parametrize("key", [MOMO, FIRM])
def test_a_switch_set_while_the_rearm_replaces_the_file_keeps_the_firm_killed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, key: tuple[int, str]
) -> None:
    w.create(gateway.folder, instead=True)
    gateway.check()
    salvage = w.salvage

    def salvage_and_kill(folder: Path) -> list[Switch]:
        found = salvage(folder)
        kill(folder, key)
        return found

    monkeypatch.setattr(w, "salvage", salvage_and_kill)
    gateway.rearm("firm")
    gateway.look()
    gateway.assert_agrees(FIRM)


def test_a_kill_after_the_file_was_cut_short_is_not_forgotten_by_the_first_rearm(gateway: Gateway) -> None:
    os.truncate(gateway.folder / f.FILE, 2_000)
    gateway.check()
    assert kill(gateway.folder, MOMO).fault
    with pytest.raises(ConfigError, match="was killed again"):
        gateway.rearm("firm")
    gateway.rearm("firm")
    gateway.look()
    gateway.assert_agrees()
