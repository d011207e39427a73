"""One gateway process: made from its settings and its journal, run until it is told to stop."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import structlog

from gateway.config.files import ConfigError
from gateway.config.settings import Settings
from gateway.core import events as ev
from gateway.core.driver import Event, Output, clock_event
from gateway.core.layout import NONE
from gateway.engine.engine import OrderPath, make_engine
from gateway.engine.inbox import Inbox
from gateway.fix.session.layout import CAME_UP, SYNCED
from gateway.journal.read import JournalError
from gateway.journal.recovery import Recovered, repair
from gateway.journal.replayer import Replayer
from gateway.journal.snapshot import save
from gateway.journal.writer import JournalingDriver
from gateway.machine import ALLOWED, pin
from gateway.ops.commands import Confirmations, command_events
from gateway.ops.confirm import Confirmation
from gateway.ops.control import Command, ControlSocket
from gateway.ops.decisions import ADMIN
from gateway.service.companions import Companions
from gateway.service.down import DownWatch
from gateway.service.observe import Observed
from gateway.service.outbox import Outbox
from gateway.service.start import log_start, open_journal, start_of, take_state
from gateway.service.state_folder import (
    follower_gone,
    last_run,
    lock,
    note_run,
    open_to_group,
    put_aside,
    recover_folder,
    restore_memory,
)
from gateway.service.trading_day import TradingDay
from gateway.state.pulse import PulseWriter

TICK_NS = 100_000_000
LOOK_NS = 10_000_000  # a core with nothing to do looks at the switches so often, a compiled loop more often
LOOPS_LOOK_NS = 2_000_000
CLOCK_STEP_NS = 50_000_000  # a wall clock that moved by more is told to the core
BATCH = 100  # events between two syncs when sync comes before send
CLOCK_TOLD_NS = 1_000_000_000
LAST_RESORT_S = 20.0
DAY_WAIT_S = 600.0

log = structlog.get_logger()


class Service:
    """Owns the state: the thread that calls `run` is the only one that touches it."""

    def __init__(
        self,
        settings: Settings,
        forget: int | None = None,
        accept_loss: int | None = None,
        clear_fault: int | None = None,
    ) -> None:
        """Take the state folder and rebuild the state from its journal.

        Raises ConfigError when another process has the folder, when the settings leave out what the state still holds,
        or when a part of the journal is lost and `accept_loss` does not say that a person has reconciled it. `forget`
        puts the journal aside and starts from the positions file. Both name the last run, `clear_fault` the fault word
        that it takes back, so that one left in a script is about nothing at the next start.
        """
        self.settings = settings
        gateway = settings.config.gateway
        self.folder = gateway.state_dir
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if gateway.cpu is not None and gateway.cpu not in ALLOWED:
            raise ConfigError(f"gateway.cpu: {gateway.cpu}: want one of {', '.join(map(str, sorted(ALLOWED)))}")
        self._lock = lock(self.folder)
        self._inbox = Inbox()
        self._engine = make_engine(settings.config, self.folder, self._inbox)
        open_to_group(self.folder, settings.config.control.group)
        with follower_gone(self.folder / "journal"):
            lost_end = restore_memory(self.folder)
            forgotten = forget is not None and put_aside(self.folder, forget)
            recovered = recover_folder(self.folder, forgotten, accept_loss)
            recovered.rebooted |= lost_end
            repair(self.folder / "journal", recovered)
        last = recovered.replayer.state
        self.run_number = max(last_run(self.folder), 0 if last is None else int(last.record.run)) + 1
        self.state = take_state(settings, recovered)
        self._journal = open_journal(settings, recovered, self.run_number, self._engine.sync)
        self._driver = JournalingDriver(self.state.block, self._journal)
        self._observed = Observed(settings, self.state)
        self._pulse = PulseWriter(self.folder / "pulse")
        self._down = DownWatch(settings.config.sessions, self._pulse)
        self._outbox = Outbox(self._engine, self._journal, self._pulse, self._handle, self._watch_journal)
        # Few segments behind the snapshot can wait for the next one to be closed.
        many = recovered.segments >= settings.config.journal.snapshot_every
        self._companions = Companions(settings, self._journal, self._journal.number - (1 if many else 0))
        self._sweep_word = self.state.word("sweep_row")
        self._control = ControlSocket(self.folder, self._inbox.put, settings.config.control.group)
        control = settings.config.control
        self._confirmations = Confirmations(
            Confirmation(control.adjust_people, control.rearm_within),
            Confirmation(control.rearm_people, control.rearm_within),
        )
        self._stopping = threading.Event()
        self._fault = 0
        self._up: set[int] = set()
        self._is_native = gateway.engine == "native"
        self._look_ns = TICK_NS if self._is_native else LOOK_NS  # the native engine looks itself
        self._sweeps = not self._is_native or self._journal.syncs_before_send  # else the engine does
        self._ems = {row for row, section in enumerate(settings.config.sessions) if section.role == "acceptor"}
        self._failed = False
        self._handed_noted = 0
        self._started_s = time.monotonic()
        self._day = TradingDay(settings.config.day)
        self._begin_run(recovered, clear_fault or 0, forgotten)

    def stop(self) -> None:
        """Ask `run` to end; any thread and any signal handler may call it."""
        self._stopping.set()
        self._inbox.wake()

    def run(self) -> None:
        """Serve until `stop`; an unexpected error anywhere ends it and is raised here."""
        try:
            if self.settings.config.gateway.cpu is not None:
                pin(self.settings.config.gateway.cpu)
            self._begin_sessions()
            log.info("gateway is up", name=self.settings.config.gateway.name, run=self.run_number)
            self._loop()
        except BaseException:
            self._fail()
            raise
        finally:
            self._close()

    def _begin_run(self, recovered: Recovered, clear_fault: int, forgotten: bool) -> None:
        """Journal the settings and how this run begins."""
        s = self.state.record
        self._start = start_of(s, recovered, self.settings, forgotten)
        self._base_ns = self._start.base_ns
        self._wall_offset_ns = self._start.wall_offset_ns
        self._journal.append_settings(self.settings.to_json(), self._now_ns())
        if clear_fault and int(s.fault) != clear_fault:
            log.error("--clear-fault names another word, nothing is cleared", named=clear_fault, fault=int(s.fault))
        self._apply(self._start.event(self.run_number, s.fault != 0 and s.fault == clear_fault))
        self._look_about(self._observed.begin(self.run_number == 1))
        self._journal.sync()
        note_run(self.folder, self.run_number)
        self._fault = int(s.fault)
        self._day.begin(time.time_ns() if recovered.replayer.state is None else self._start.last_wall_ns)
        self._watch_hours()
        log_start(s, self._start, recovered)

    def _now_ns(self) -> int:
        """The gateway's clock: monotonic, and going on across restarts."""
        return time.monotonic_ns() + self._base_ns

    def _loop(self) -> None:
        next_tick = time.monotonic_ns() + TICK_NS
        while not self._stopping.is_set():
            sweeping = self._sweeps and self._sweep_word[0] != NONE
            wait_ns = 0 if sweeping else min(max(next_tick - time.monotonic_ns(), 0), self._look_ns)
            event = self._engine.get(wait_ns / 1e9)
            count = 0
            while event is not None:
                self._take(event)
                count += 1
                # Between two sweeps everything that came meanwhile has its turn.
                event = self._engine.get(0) if (self._outbox or sweeping) and count < BATCH else None
            if self._observed.changed():
                self._look_about([])
            if sweeping:
                self._apply(Event(ev.SWEEP, 0))
            self._send_waiting()
            if time.monotonic_ns() >= next_tick:
                self._tick()
                next_tick = time.monotonic_ns() + TICK_NS

    def _tick(self) -> None:
        self._set_clock()
        self._look_about(self._observed.check())
        self._observed.switches.tell()
        self._watch_journal()
        if self._journal.handed > self._handed_noted:
            # An event of its own: the next one may be hours away, and by then what was sent is looked for in vain.
            self._handed_noted = self._journal.handed
            self._apply(clock_event(self._now_ns(), self._now_ns() + self._wall_offset_ns))
        self._apply(Event(ev.TICK, 0))
        if self._day.has_ended() and self._may_end_day():
            self._end_day()
        self._watch_hours()
        self._down.look(self._up, self._engine.connections, self._engine.rests)
        self._send_waiting()
        self._engine.tick()
        self._companions.watch(self._wall_offset_ns)
        self._pulse.tell_waiting(self._inbox.waiting)

    def _take(self, item: Event | Command) -> None:
        """Apply an event, or carry out a command."""
        if isinstance(item, Event):
            self._apply(item)
            return
        if not item.is_wanted():
            log.warning(
                "command not carried out, nobody waits for it",
                user=item.user,
                command=str(item.request["command"]),
            )
            return
        self._look_about([])
        try:
            text, events = self._command(item.request, item.user)
        except Exception as error:  # of whatever somebody sent; nothing has been applied yet
            log.warning("command refused", user=item.user, why=str(error))
            self._send_waiting()
            item.reply(False, str(error))
            return
        # What goes wrong from here on ends the process, as with any other event. No look comes before these events: a
        # switch that was set while a person released it would be applied first, and then be released with the other.
        for event in events:
            self._apply_now(event, self._now_ns())
        self._look_about([])
        if not self._journal.syncs_before_send:
            self._send_waiting()
        if any(event.kind in (ev.POSTURE, ev.EXIT) for event in events):
            self._journal.sync()  # a kill is in its file when it is answered; what else blocks must be as sure
        item.reply(True, text)

    def _command(self, request: dict[str, Any], user: str) -> tuple[str, list[Event]]:
        """Answer and events of a person's command; raises ConfigError with what is wrong about it."""
        if request["command"] == "rearm":
            return self._observed.switches.rearm(request, user)
        return command_events(self.state, request, user, self._confirmations)

    def _apply(self, event: Event) -> None:
        """Journal and apply an event; what it gives is sent at once, or waits for the sync that must come before."""
        self._handle(event)
        if self._outbox and not self._journal.syncs_before_send:
            self._send_waiting()

    def _look_about(self, events: list[Event]) -> None:
        """Apply events of switches and publishers, and what they changed since; then tell that it has been seen."""
        events = events + self._observed.look()
        for event in events:
            self._apply_now(event, self._now_ns())
        self._pulse.tell_switches(self._observed.switches.epoch)

    def _handle(self, event: Event) -> None:
        """Journal and apply an event, after whatever has changed about it; its time is taken before the look."""
        now_ns = self._now_ns()
        self._pulse.beat(now_ns - self._base_ns)
        if self._observed.changed():
            self._look_about([])
        self._apply_now(event, now_ns)

    def _apply_now(self, event: Event, now_ns: int) -> None:
        stamped = Event(
            event.kind,
            now_ns,
            event.session,
            event.msg_seq_num,
            event.poss_dup,
            event.data,
            event.value,
        )
        outputs = self._driver.handle(stamped)
        self._outbox.add(outputs)
        if event.kind == ev.MESSAGE and event.session in self._ems and not ADMIN.match(event.data):
            self._outbox.note_request(event.time_ns)
        if event.kind in (ev.LOGON, ev.LOGOUT, ev.SYNCED):
            self._tell_session(event.session, event.kind)
        elif event.kind == ev.MESSAGE and self._is_native:
            self._tell_happened(event.session)
        fault = int(self.state.record.fault)
        if fault != self._fault:
            self._fault = fault
            log.critical("fault: every order is blocked", fault=fault)

    def _took(self, event: Event, left: list[int]) -> None:
        """The engine has applied an event itself; what is left of what it gave is sent now."""
        self._outbox.add(self._driver.outputs(left))
        if event.kind != ev.MESSAGE:
            self._send_waiting()
            return
        if event.session in self._ems and self._journal.syncs_before_send and not ADMIN.match(event.data):
            self._outbox.note_request(event.time_ns)
        self._send_waiting()
        self._tell_happened(event.session)

    def _tell_happened(self, row: int) -> None:
        """Tell what a message was to its session, where the core speaks for that."""
        happened = int(self.state.record.lines[row].happened)
        if happened & CAME_UP:
            self._tell_session(row, ev.LOGON)
        if happened & SYNCED:
            self._tell_session(row, ev.SYNCED)

    def _tell_session(self, row: int, kind: int) -> None:
        """Log that a session has logged on or is lost, or that its resend is complete (LOGON, LOGOUT, SYNCED)."""
        name = self.settings.config.sessions[row].id
        own = self.state.record.sessions[row]
        if kind == ev.SYNCED:
            log.info("resend complete", session=name, in_doubt=int(own.doubts))
        elif kind == ev.LOGOUT:
            if row in self._up:
                tell = log.info if row in self._ems else log.warning
                tell("session is down", session=name)
            self._up.discard(row)
        else:
            self._up.add(row)
            self._down.note_up(row)
            log.info("session is up", session=name, continued=bool(own.continued), in_doubt=int(own.doubts))

    def _send_waiting(self) -> None:
        self._outbox.send()

    def _begin_sessions(self) -> None:
        """Connect; a session of which no number is known goes on from what the engine has counted."""
        sessions = self.state.record.sessions[: len(self.settings.config.sessions)]
        last_in = [None if own.last_in == NONE else int(own.last_in) for own in sessions]
        path = OrderPath(
            self.state.block,
            self._driver,
            self._journal,
            self._pulse.words,
            self._base_ns,
            self._observed.watch,
            0 if self.settings.config.gateway.busy_poll else LOOPS_LOOK_NS,
            self._took,
            self._send_waiting,
        )
        for row, number in enumerate(self._engine.prepare(last_in, path)):
            if last_in[row] is None:
                self._apply(Event(ev.LOGOUT, 0, row, number))
        unsettled = self._engine.settle_unsent(self._start.unsent, self._start.ended == ev.REBOOTED)
        self._engine.start()
        for item in unsettled:
            self._settle(item)
        self._start.unsent.clear()
        self._outbox.settled = True
        self._send_waiting()
        self._journal.hand()

    def _settle(self, item: Output | Event) -> None:
        if isinstance(item, Event):
            self._handle(item)
        else:
            self._outbox.send_now(item)

    def _watch_journal(self) -> None:
        if self._journal.error is not None:
            raise self._journal.error
        blocked = int(bool(self._journal.trouble))
        if blocked != self.state.record.journal_blocked:
            self._handle(Event(ev.JOURNAL, 0, value=(blocked,)))
            if blocked:
                log.critical("the journal takes no orders", why=self._journal.trouble)
            else:
                log.info("the journal takes orders again")

    def _set_clock(self) -> None:
        now_ns = self._now_ns()
        offset_ns = time.time_ns() - now_ns
        step_ns = offset_ns - self._wall_offset_ns
        if abs(step_ns) > CLOCK_STEP_NS:
            self._wall_offset_ns = offset_ns
            if abs(step_ns) > CLOCK_TOLD_NS:
                log.warning("the wall clock was set", by_s=round(step_ns / 1e9, 3))
            if step_ns < -CLOCK_TOLD_NS:
                self._day.begin(time.time_ns())
            self._apply(clock_event(now_ns, now_ns + offset_ns))

    def _watch_hours(self) -> None:
        is_open = self._day.is_open()
        if is_open == bool(self.state.record.market_closed):
            self._apply(Event(ev.HOURS, 0, value=(int(is_open),)))
            log.info("orders are taken" if is_open else "no orders are taken before the trading day begins")

    def _may_end_day(self) -> bool:
        """An end of day waits, for so long, until venues have resent what belongs to the day."""
        recovering = bool(self.state.record.sessions["recovering"].any())
        return not recovering or time.monotonic() - self._started_s > DAY_WAIT_S

    def _end_day(self) -> None:
        section = self.settings.config.day
        assert section is not None
        open_orders = int(self.state.record.open_order_count)
        positions = ev.POSITIONS_KEPT if section.positions == "keep" else ev.POSITIONS_RESET
        self._apply(Event(ev.DAY, 0, value=(positions,)))
        self._send_waiting()
        if self._journal.has_spares:
            self._journal.roll()
        log.info("the trading day has ended", open_orders=open_orders, positions=section.positions)
        self._day.begin(time.time_ns())

    def _close(self) -> None:
        # If an engine thread never ends, the process must: a gateway that hangs looks like one that works.
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, [70])
        last_resort.daemon = True
        last_resort.start()
        log.info("gateway is stopping", failed=self._failed)
        # Venues first, while every EMS can still be told what they say; then the EMS, for what those still say.
        self._control.close()
        self._observed.switches.tell()
        self._companions.ask_to_end()
        try:
            for role in ("initiator", "acceptor"):
                self._engine.log_out(role)
                self._drain()
            if not self._failed:
                self._apply(Event(ev.STOP, 0))
                self._engine.sync()
        finally:
            self._journal.close()
            self._companions.end()
        self._observed.switches.tell()
        for name in ("state.bin", "pulse"):
            (self.folder / name).unlink(missing_ok=True)
        last_resort.cancel()
        self._save_snapshot()
        os.close(self._lock)
        log.info("gateway is down", events=int(self.state.record.events))

    def _save_snapshot(self) -> None:
        """Leave the state behind a clean stop: the next start, perhaps of another release, has nothing to replay."""
        if self._failed or self._journal.sync_failed:
            return
        replayer = Replayer(self.state, self.settings, self._journal.committed + 1)  # and the SEAL
        try:
            save(self.folder / "journal", replayer, self._journal.number)
        except (OSError, JournalError) as error:
            log.warning("the snapshot of the stop could not be saved", why=str(error))

    def _fail(self) -> None:
        """What is sent from here on may not have been: the next start must look."""
        self._failed = True
        self._outbox.settled = False

    def _drain(self) -> None:
        """Apply what the sessions said while they closed, so that nothing taken from a peer is lost."""
        while self._engine.waiting:
            try:
                event = self._engine.get(0)
            except Exception:
                log.critical("error of a session while it closed", exc_info=True)
                self._fail()
                continue
            if event is not None:
                self._take(event)
        self._send_waiting()
