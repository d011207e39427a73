"""Kill switches in the service: what changed in the switch file, as events for the core; and their release by people.

A switch is set in the file by anyone who may write it, and released only here. What the file and the state say are
united at a start: a switch that either has is set.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.config.files import ConfigError
from gateway.config.sections import ControlSection
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.kill import file as w
from gateway.kill.file import Observer
from gateway.kill.format import CORES_WORD, FIRM, SCOPE_NAMES, Switch, SwitchFault, scope_text
from gateway.machine import boot_hash
from gateway.ops.confirm import Confirmation
from gateway.state.memory import State
from gateway.view.orders import open_orders_of

log = structlog.get_logger()
OURSELVES = "tidegate"
TOLD_ORDERS = 1_000
Key = tuple[int, str]


class KillSwitches:
    """The switch file as the service sees it. For the core's thread only.

    `epoch` is the file's as last seen: once the events of `look` or `check` are applied, it is what others may be told
    that the core has seen. `fault` says why the file cannot be used; the firm is killed then, until people rearm it,
    and the file is looked at no more.
    """

    def __init__(self, folder: Path, state: State, control: ControlSection) -> None:
        """Nothing is opened before `begin`."""
        self._folder = folder
        self._state = state
        self._group = control.group
        self._rearming = Confirmation(control.rearm_people, control.rearm_within)
        self._observer: Observer | None = None
        self._set: dict[Key, Switch] = {}  # every switch that the core knows of, or would if it knew the name
        self._to_tell: list[tuple[Switch, tuple[int, Callable[[], list[dict[str, str]]]] | None]] = []
        self._word_at_fault = b""
        self.epoch = 0
        self.fault = ""

    def begin(self, fresh: bool) -> list[Event]:
        """What to apply at a start, after START. In a `fresh` state folder, which no run has used, the file is made.

        Raises OSError or LookupError (no such group) when it cannot be.
        """
        if fresh:
            with contextlib.suppress(FileExistsError):
                w.create(self._folder, group=self._group)
        try:
            w.give_to(self._folder, self._group)
            self._observer = Observer(self._folder)
            _, found = self._observer.read()
            for key in self._killed() - {switch.key for switch in found}:
                self._set_again(key, OURSELVES, "was set when the last run ended")
        except SwitchFault as fault:
            return self._fail(fault)
        return self.check()

    def changed(self) -> bool:
        """Whether there is something to see. Cheap: to be called before every order, after its time was taken."""
        return self._observer is not None and self._observer.epoch() != self.epoch

    def word(self) -> tuple[int, int] | None:
        """Address of the word that `changed` looks at, and its value as seen; None where there is none."""
        if self._observer is None:
            return None
        return np.frombuffer(self._observer.words, np.int64)[CORES_WORD:].ctypes.data, self.epoch

    def look(self) -> list[Event]:
        """What to apply now that the file has changed; empty when it has not."""
        if self._observer is None or not self.changed():
            return []
        try:
            return self._changes(*self._observer.read())
        except SwitchFault as fault:
            return self._fail(fault)

    def check(self) -> list[Event]:
        """The same after the whole file has been verified; to be called every 100 ms."""
        if self._observer is None:
            return []
        try:
            return self._changes(*self._observer.check())
        except SwitchFault as fault:
            return self._fail(fault)

    def rearm(self, request: dict[str, Any], user: str) -> tuple[str, list[Event]]:
        """Answer and events of the command `rearm` (`scope`, `name`, `reason`); raises ConfigError with one line.

        The switch is released in the file, and on disk, before there is an event: dying in between leaves it killed.
        To be called once the events of `look` have been applied.
        """
        reason = str(request.get("reason", "")).strip()
        scope, name = str(request.get("scope")), str(request.get("name") or "")
        if scope not in SCOPE_NAMES or not reason:
            raise ConfigError(f"rearm: want a scope ({', '.join(SCOPE_NAMES)}), its name and a reason")
        key = (SCOPE_NAMES.index(scope), name)
        if self.fault and key[0] != FIRM:
            raise ConfigError(f"rearm: {_of(key)}: stays killed, rearm the firm first: {self.fault}")
        switch = self._set.get(key)
        if switch is None:
            raise ConfigError(f"rearm: {_of(key)}: is not killed")
        word = w.firm_word(self._folder)
        if self.fault and word != self._word_at_fault:
            self._word_at_fault = word
            log.critical("a switch was set that the file could not take, the firm stays killed for it")
            raise ConfigError(
                "rearm: firm: was killed again since its file was damaged, by a setter that could not be "
                "recorded: find out who and why, then rearm again"
            )
        wanted = self._rearming.ask((key, switch.sequence), user, time.monotonic_ns())
        if wanted:
            log.warning("rearm asked for", scope=_of(key), user=user, why=reason)
            return f"{_of(key)} stays killed: {wanted}", []
        self._release(switch)
        text = f"{_of(key)} by {user}: {reason}"
        log.warning("kill switch released", scope=_of(key), user=user, why=reason)
        row = self._state.entities.get(key, a.NONE)
        return f"the kill switch of {_of(key)} is released", [self._event(row, 0, time.monotonic_ns(), text)]

    def _release(self, switch: Switch) -> None:
        """In the file. For the firm, a file that cannot be used is replaced by one with every other switch."""
        try:
            if self.fault:
                self._replace_file()
            else:
                w.release_switch(self._folder, switch)
        except (SwitchFault, OSError, LookupError) as error:
            raise ConfigError(f"rearm: {_of(switch.key)}: stays killed: {error}") from None
        del self._set[switch.key]

    def _replace_file(self) -> None:
        kept = {switch.key: switch for switch in w.salvage(self._folder)}
        kept |= self._set
        kept |= {key: self._of_state(key) for key in self._killed() - kept.keys()}
        others = [switch for switch in kept.values() if switch.scope != FIRM]
        w.replace_file(self._folder, others, self._word_at_fault, self._group)
        self._observer = Observer(self._folder)
        self.fault = ""
        self.epoch = 0  # everything in it is looked at anew

    def _of_state(self, key: Key) -> Switch:
        """A switch of which only the state knows."""
        s = self._state.record
        killed_ns = int(s.entities[self._state.entities[key]].killed_ns)
        set_ns, wall_ns = max(killed_ns - int(s.time_base_ns), 0), killed_ns + int(s.wall_offset_ns)
        return Switch(*key, 0, set_ns, boot_hash(), wall_ns, OURSELVES, "was set when its file could not be used")

    def _killed(self) -> set[Key]:
        """What the state has as killed."""
        entities = self._state.record["entities"]
        return {key for key, row in self._state.entities.items() if entities["killed"][row]}

    def _changes(self, epoch: int, found: Iterable[Switch]) -> list[Event]:
        """Events for every switch that is new or was set again."""
        self.epoch = epoch
        events = []
        now = {switch.key: switch for switch in found}
        for key, switch in now.items():
            known = self._set.get(key)
            if known is not None and known.sequence == switch.sequence:
                continue
            self._set[key] = switch
            row = self._state.entities.get(key)
            text = f"{_of(key)} by {switch.user or 'unknown'}{': ' if switch.reason else ''}{switch.reason}"
            # What is open now: venues may have answered by the time that it is told.
            self._to_tell.append((switch, None if row is None else open_orders_of(self._state, row, TOLD_ORDERS)))
            events.append(self._event(a.NONE if row is None else row, 1, self._monotonic_ns(switch), text))
        for key in self._set.keys() - now.keys():
            # Nobody but this process releases one.
            self._set_again(key, self._set[key].user, self._set[key].reason)
        return events

    def _set_again(self, key: Key, user: str, reason: str) -> None:
        """A switch that is set but not in the file; raises SwitchFault."""
        log.critical("kill switch is not in the file any more and is set again", scope=_of(key))
        try:
            w.set_switch(self._folder, *key, user, reason)
            w.sync_switches(self._folder)
        except (w.CannotKill, OSError) as error:
            raise SwitchFault(str(error)) from None

    def tell(self) -> None:
        """Log the switches that are new; to be called when their cancels are on their way, which do not wait for it."""
        for switch, was_open in self._to_tell:
            # Who killed what, when, why, and what was open: an examiner needs no more than this line.
            count, orders = was_open or (0, list)
            log.critical(
                "kill switch set",
                scope=_of(switch.key),
                user=switch.user,
                why=switch.reason,
                set_at=datetime.fromtimestamp(switch.wall_ns / 1e9, UTC).isoformat(),
                known=was_open is not None,
                open_orders=count,
                orders=orders(),
            )
        self._to_tell.clear()

    def _fail(self, fault: SwitchFault) -> list[Event]:
        self.fault = str(fault)
        self._word_at_fault = w.firm_word(self._folder)
        if self._observer is not None:
            # A file that was cut must not be touched any more: to read its page would end the process.
            self._observer.close()
            self._observer = None
        log.critical("the kill switches cannot be read: the firm is killed", why=self.fault)
        return [self._firm_event(self.fault)]

    def _firm_event(self, reason: str) -> Event:
        now_ns = time.monotonic_ns()
        key = (FIRM, "")
        self._set[key] = Switch(*key, now_ns, now_ns, boot_hash(), time.time_ns(), OURSELVES, reason)
        return self._event(self._state.entities[key], 1, now_ns, f"firm by {OURSELVES}: {reason}")

    def _monotonic_ns(self, switch: Switch) -> int:
        """When a switch was set, in CLOCK_MONOTONIC of this boot; never later than now."""
        now_ns = time.monotonic_ns()
        if not 0 < switch.set_ns <= now_ns:
            return now_ns  # it is being set
        if switch.boot == boot_hash():
            return switch.set_ns
        return min(now_ns - (time.time_ns() - switch.wall_ns), now_ns)

    def _event(self, row: int, on: int, monotonic_ns: int, text: str) -> Event:
        set_ns = monotonic_ns + int(self._state.record.time_base_ns)
        return Event(ev.KILL, 0, data=text.encode("utf-8", "replace")[: a.TEXT_BYTES], value=(row, on, set_ns))


def _of(key: Key) -> str:
    return scope_text(*key)
