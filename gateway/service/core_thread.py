"""One gateway process: made from its settings and its journal, run until it is told to stop."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.config.files import ConfigError
from gateway.config.settings import Settings
from gateway.core import events as ev
from gateway.core.driver import Event, Output, clock_event
from gateway.core.layout import NONE
from gateway.engine.inbox import Inbox
from gateway.engine.quickfix.engine import QuickFixEngine
from gateway.engine.quickfix.peers import require_ports
from gateway.engine.quickfix.store import sync_store
from gateway.journal.read import JournalError
from gateway.journal.recovery import Recovered, late_outputs, repair
from gateway.journal.replayer import Replayer
from gateway.journal.snapshot import save
from gateway.journal.writer import Journal, JournalingDriver
from gateway.machine import boot_hash
from gateway.ops.commands import cancel_event, release_event, resolve_event
from gateway.ops.companion import Companion
from gateway.ops.control import Command, ControlSocket
from gateway.ops.decision_log import DecisionLog
from gateway.service.down import DownWatch
from gateway.service.observe import Observed
from gateway.service.state_folder import (
    follower_gone,
    last_run,
    lock,
    note_run,
    of_todays_sessions,
    open_to_group,
    put_aside,
    recover_folder,
)
from gateway.service.trading_day import TradingDay
from gateway.state.build import build_state
from gateway.state.carry_over import carry
from gateway.state.memory import State, shared_block
from gateway.state.pulse import PulseWriter

TICK_NS = 100_000_000
LOOK_NS = 10_000_000  # a core with nothing to do looks at the switches so often
CLOCK_STEP_NS = 50_000_000  # a wall clock that moved by more is told to the core
BATCH = 100  # events between two syncs when sync comes before send
CLOCK_TOLD_NS = 1_000_000_000
LAST_RESORT_S = 20.0
DAY_WAIT_S = 600.0
METRICS_AGAIN_S = 5.0
STORE_SYNC_S = 1.0  # each time costs the engine's own writes a wait
COMMANDS_TOLD = {
    "resolve": "order in doubt resolved",
    "cancel": "order canceled by a person",
    "release": "pushed limit given back",
}
COMMAND_FACTS = ("order", "verdict", "source", "scope", "name", "symbol", "limit")
ENDED = {ev.STOPPED: "stopped", ev.CRASHED: "its process ended", ev.REBOOTED: "the machine went down with it"}

log = structlog.get_logger()


def every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """The action, done at most so often, whenever it is called."""
    due_s = 0.0

    def act() -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            action()
            due_s = time.monotonic() + seconds

    return act


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
        self._lock = lock(self.folder)
        require_ports(settings.config.sessions)
        open_to_group(self.folder, settings.config.control.group)
        with follower_gone(self.folder / "journal"):
            forgotten = forget is not None and put_aside(self.folder, forget)
            recovered = recover_folder(self.folder, forgotten, accept_loss)
            repair(self.folder / "journal", recovered)
        last = recovered.replayer.state
        self.run_number = max(last_run(self.folder), 0 if last is None else int(last.record.run)) + 1
        fresh = self.run_number == 1
        self.state = self._take_state(recovered)
        self._inbox = Inbox()
        self._engine = QuickFixEngine(settings.config.sessions, self.folder / "fix", self._inbox)
        self._journal = self._open_journal(recovered)
        self._driver = JournalingDriver(self.state.block, self._journal)
        self._observed = Observed(settings, self.state)
        self._pulse = PulseWriter(self.folder / "pulse")
        self._down = DownWatch(settings.config.sessions, self._pulse)
        self._decisions = DecisionLog(settings.config) if settings.config.log.decisions else None
        self._in_hand: list[tuple[Event, list[Output]]] = []  # messages of an EMS whose outputs have not all been sent
        self._follower, self._metrics = self._companions()
        self._next_metrics_s = 0.0
        self._sweep_word = self.state.word("sweep_row")
        # Few segments behind the snapshot can wait for the next one to be closed.
        many = recovered.segments >= settings.config.journal.snapshot_every
        self._followed = self._journal.number - (1 if many else 0)
        self._unsent: list[Output] = []
        self._control = ControlSocket(self.folder, self._inbox.put, settings.config.control.group)
        self._stopping = threading.Event()
        self._wall_offset_ns = 0
        self._fault = 0
        self._up: set[int] = set()
        self._ems = {row for row, section in enumerate(settings.config.sessions) if section.role == "acceptor"}
        self._waiting: deque[Output] = deque()  # journaled, to be sent
        self._failed = False
        self._handed_noted = 0
        self._started_s = time.monotonic()
        self._day = TradingDay(settings.config.day)
        self._start(recovered, clear_fault or 0, fresh, forgotten)

    def stop(self) -> None:
        """Ask `run` to end; any thread and any signal handler may call it."""
        self._stopping.set()
        self._inbox.wake()

    def run(self) -> None:
        """Serve until `stop`; an unexpected error anywhere ends it and is raised here."""
        try:
            self._begin_sessions()
            log.info("gateway is up", name=self.settings.config.gateway.name, run=self.run_number)
            self._loop()
        except BaseException:
            self._failed = True
            raise
        finally:
            self._close()

    def _take_state(self, recovered: Recovered) -> State:
        """The recovered state under today's settings, in the mapped file."""
        last = recovered.replayer
        ours = self.settings.config.gateway.name
        if last.settings is not None and last.settings.config.gateway.name != ours:
            name = last.settings.config.gateway.name
            raise ConfigError(f"gateway.name: {ours}: {self.folder} holds the state of {name}")
        if last.state is None:
            state = build_state(self.settings, 0)
        elif last.settings is not None and last.settings.sources == self.settings.sources:
            state = last.state
        else:
            state = carry(last.state, self.settings)
        block = shared_block(self.settings.config.gateway.capacity, self.folder / "state.bin")
        block[:] = state.block
        return State(block)

    def _open_journal(self, recovered: Recovered) -> Journal:
        config = self.settings.config.journal
        store = self.folder / "fix" / "store"
        return Journal(
            self.folder / "journal",
            recovered.next_segment,
            recovered.next_sequence,
            self.run_number,
            recovered.handed,
            config.sync_ns,
            config.segment << 20,
            every(STORE_SYNC_S, lambda: sync_store(store) if store.exists() else None),
        )

    def _companions(self) -> tuple[Companion, Companion | None]:
        """The process that compresses and snapshots closed segments, and the one that Prometheus asks."""
        journal = self.settings.config.journal
        options = {"--journal": self.folder / "journal", "--every": journal.snapshot_every, "--keep-ns": journal.keep}
        follower = Companion("follower", "gateway.journal.follower", options | {"--parent": os.getpid()})
        if self.settings.config.metrics is None:
            return follower, None
        of_metrics = {"--config": self.settings.path.absolute(), "--parent": os.getpid()}
        return follower, Companion("metrics", "gateway.ops.metrics", of_metrics)

    def _start(self, recovered: Recovered, clear_fault: int, fresh: bool, forgotten: bool) -> None:
        """Journal the settings and how this run begins."""
        s = self.state.record
        boot = boot_hash()
        ended = ev.STOPPED
        if recovered.replayer.state is not None and s.ended == 0:
            ended = ev.CRASHED if s.boot == boot else ev.REBOOTED
        if forgotten or recovered.lost or recovered.rebooted or not recovered.unsent_known:
            ended = ev.REBOOTED  # venues may have more of ours than is known here
        self._ended = ended
        # After a power cut the engine's files may lack what had been handed to it.
        outputs = late_outputs(recovered) if ended == ev.REBOOTED else recovered.unsent
        self._unsent = of_todays_sessions(outputs, self.settings)
        wall_ns = time.time_ns()
        base_ns = int(s.time_base_ns)
        if s.boot != boot:
            passed_ns = max(wall_ns - int(s.now_ns) - int(s.wall_offset_ns), 0) if s.now_ns else 0
            base_ns = int(s.now_ns) + passed_ns - time.monotonic_ns() if s.now_ns else 0
        self._base_ns = base_ns
        now_ns = self._now_ns()
        last_wall_ns = int(s.now_ns) + int(s.wall_offset_ns)
        self._wall_offset_ns = wall_ns - now_ns
        self._journal.append_settings(self.settings.to_json(), now_ns)
        if clear_fault and int(s.fault) != clear_fault:
            log.error("--clear-fault is about another word, nothing is cleared", named=clear_fault, fault=int(s.fault))
        values = (
            self.run_number,
            ended,
            base_ns,
            self._wall_offset_ns,
            boot,
            int(s.fault != 0 and s.fault == clear_fault),
        )
        self._apply(Event(ev.START, 0, value=values))
        self._look_about(self._observed.begin(fresh))
        self._journal.sync()
        note_run(self.folder, self.run_number)
        self._fault = int(s.fault)
        self._day.begin(last_wall_ns if recovered.replayer.state is not None else wall_ns)
        self._watch_hours()
        self._tell_start(recovered, ended, datetime.fromtimestamp(last_wall_ns // 10**9, UTC))

    def _tell_start(self, recovered: Recovered, ended: int, as_of: datetime) -> None:
        s = self.state.record
        for note in recovered.notes:
            log.warning("journal", note=note)
        if recovered.replayer.state is not None:
            log.info(
                "recovered",
                last_run=ENDED[ended],
                as_of=as_of.isoformat(),  # a restored copy of the folder shows here
                events=recovered.replayer.events,
                open_orders=int(s.open_order_count),
                in_doubt=int(s.sessions["doubts"].sum()),
                unsent=len(self._unsent),
            )
        if recovered.replayer.differences:
            log.critical(
                "the journal's events give other outputs than were sent: every order at a venue is in doubt",
                events=recovered.replayer.differences,
                first=recovered.replayer.first_difference,
            )
        if s.fault:
            log.critical(
                "fault: every order is blocked", fault=int(s.fault), reconciled=f"--clear-fault {int(s.fault)}"
            )

    def _now_ns(self) -> int:
        """The gateway's clock: monotonic, and going on across restarts."""
        return time.monotonic_ns() + self._base_ns

    def _loop(self) -> None:
        next_tick = time.monotonic_ns() + TICK_NS
        while not self._stopping.is_set():
            sweeping = self._sweep_word[0] != NONE
            wait_ns = 0 if sweeping else min(max(next_tick - time.monotonic_ns(), 0), LOOK_NS)
            event = self._inbox.get(wait_ns / 1e9)
            count = 0
            while event is not None:
                self._take(event)
                count += 1
                # Between two sweeps everything that came meanwhile has its turn.
                event = self._inbox.get(0) if (self._waiting or sweeping) and count < BATCH else None
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
        self._watch_journal()
        if self._journal.handed > self._handed_noted:
            # An event of its own: the next one may be hours away, and by then what was sent is looked for in vain.
            self._handed_noted = self._journal.handed
            self._apply(clock_event(self._now_ns(), self._now_ns() + self._wall_offset_ns))
        self._apply(Event(ev.TICK, 0))
        if self._day.has_ended() and self._may_end_day():
            self._end_day()
        self._watch_hours()
        self._down.look(self._up, self._engine.lines)
        self._send_waiting()
        self._engine.tick()
        self._watch_companions()
        self._pulse.tell_waiting(self._inbox.waiting)

    def _take(self, item: Event | Command) -> None:
        """Apply an event, or carry out a command."""
        if isinstance(item, Event):
            self._apply(item)
            return
        if not item.is_wanted():
            log.warning("command left aside, its giver has gone", user=item.user, command=str(item.request["command"]))
            return
        self._look_about([])
        try:
            text, events = self._command(item.request, item.user)
        except Exception as error:  # of whatever somebody sent; nothing has been applied yet
            log.warning("command refused", user=item.user, why=str(error))
            item.reply(False, str(error))
            return
        # What goes wrong from here on ends the process, as with any other event. No look comes before these events: a
        # switch that was set while a person released it would be applied first, and then be released with the other.
        for event in events:
            self._apply_now(event, self._now_ns())
        self._look_about([])
        if not self._journal.syncs_before_send:
            self._send_waiting()
        item.reply(True, text)

    def _command(self, request: dict[str, Any], user: str) -> tuple[str, list[Event]]:
        """Answer and events of a person's command; raises ConfigError with what is wrong about it."""
        name = request["command"]
        if name == "rearm":
            return self._observed.switches.rearm(request, user)
        if name == "resolve":
            event = resolve_event(self.state, request, user)
            text = f"order {request['order']} is {request['verdict']}"
        elif name == "cancel":
            event = cancel_event(self.state, request, user)
            text = f"order {request['order']} is being canceled"
        elif name == "release":
            event = release_event(self.state, request, user)
            text = f"{request['limit']} is given back"
        else:
            raise ConfigError(f"no such command: {name}")
        facts = {key: str(request[key]) for key in COMMAND_FACTS if request.get(key) is not None}
        log.warning(COMMANDS_TOLD[name], user=user, why=str(request["reason"]), **facts)
        return text, [event]

    def _apply(self, event: Event) -> None:
        """Journal and apply an event; what it gives is sent at once, or waits for the sync that must come before."""
        self._handle(event)
        if self._waiting and not self._journal.syncs_before_send:
            self._send_waiting()

    def _look_about(self, events: list[Event]) -> None:
        """Apply events of switches and publishers, and what they changed since; then tell that it has been seen."""
        events = events + self._observed.look()
        for event in events:
            self._apply_now(event, self._now_ns())
        self._pulse.tell_switches(self._observed.switches.epoch)
        self._observed.switches.tell()

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
        self._waiting += outputs
        if event.kind == ev.MESSAGE and event.session in self._ems:
            self._in_hand.append((event, outputs))
        if event.kind in (ev.LOGON, ev.LOGOUT, ev.SYNCED):
            self._tell_session(event)
        fault = int(self.state.record.fault)
        if fault != self._fault:
            self._fault = fault
            log.critical("fault: every order is blocked", fault=fault)

    def _tell_session(self, event: Event) -> None:
        name = self.settings.config.sessions[event.session].id
        own = self.state.record.sessions[event.session]
        if event.kind == ev.SYNCED:
            log.info("session has exchanged what was missed", session=name, in_doubt=int(own.doubts))
        elif event.kind == ev.LOGOUT:
            if event.session in self._up:
                log.info("session is down", session=name)
            self._up.discard(event.session)
        else:
            self._up.add(event.session)
            self._down.note_up(event.session)
            log.info("session is up", session=name, continued=bool(own.continued), in_doubt=int(own.doubts))

    def _send_waiting(self) -> None:
        """Send what waits. Each output is taken off before it is sent: none goes out twice, whatever fails."""
        if not self._waiting:
            self._tell_decisions()
            return
        while self._waiting:
            if self._journal.syncs_before_send:
                self._journal.sync()
                self._watch_journal()
            for _ in range(len(self._waiting)):
                self._send(self._waiting.popleft())
        self._tell_decisions()
        if not self._unsent and not self._failed:
            self._journal.hand()

    def _tell_decisions(self) -> None:
        """Messages of an EMS whose outputs have all been sent: count the time each took, and log it."""
        now_ns = time.monotonic_ns()
        for event, outputs in self._in_hand:
            took_ns = now_ns - event.time_ns
            self._pulse.count(took_ns)
            if self._decisions is not None:
                wall_ns = event.time_ns + self._base_ns + self._wall_offset_ns
                self._decisions.note(wall_ns, event, outputs, took_ns)
        self._in_hand.clear()

    def _send(self, output: Output) -> None:
        """Send one output; that it cannot go out is journaled before anything else is."""
        if output.session == NONE:
            log.error("alert", text=output.body.replace(b"\x01", b"|").decode("utf-8", "replace"))
            return
        fields = (output.session, output.message_type, output.body)
        undelivered = None
        if self._journal.syncs_before_send and self._journal.sync_failed:
            undelivered = self._engine.refuse(*fields)
        if undelivered is None:
            undelivered = self._engine.send(*fields)
        if undelivered is not None:
            self._handle(undelivered)

    def _begin_sessions(self) -> None:
        """Connect; a session of which no number is known goes on from what QuickFIX has counted."""
        sessions = self.state.record.sessions[: len(self.settings.config.sessions)]
        last_in = [None if own.last_in == NONE else int(own.last_in) for own in sessions]
        for row, number in enumerate(self._engine.prepare(last_in)):
            if last_in[row] is None:
                self._apply(Event(ev.LOGOUT, 0, row, number))
        # Before any session can begin its store anew.
        unsent = [(output, self._was_stored(output)) for output in self._unsent]
        self._engine.start()
        for output, stored in unsent:
            if stored is not True:
                self._make_good(output, stored is None)
        self._unsent = []
        self._send_waiting()
        self._journal.hand()

    def _was_stored(self, output: Output) -> bool | None:
        """Whether QuickFIX has a message of the last run; None after a power cut, which its files may not have met."""
        if output.session == NONE:
            return False
        stored = self._engine.was_stored(output.session, output.message_type, output.body)
        return None if self._ended == ev.REBOOTED and not stored else stored

    def _make_good(self, output: Output, perhaps_sent: bool) -> None:
        """Send a report of the last run, marked where it may have been sent; but never an order: the core refuses one
        that surely never left.
        """
        if output.session == NONE:
            self._send(output)
        elif self.settings.config.sessions[output.session].role == "acceptor":
            body = b"97=Y\x01" + output.body if perhaps_sent else output.body
            self._send(Output(output.session, output.message_type, body))
        elif not perhaps_sent:
            never = self._engine.never_sent(output.session, output.message_type, output.body)
            if never is not None:
                self._handle(never)

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

    def _watch_companions(self) -> None:
        """Start the follower when there are closed segments, once for each; the metrics' process whenever it is not."""
        if not self._follower.runs and self._journal.number > self._followed:
            self._followed = self._journal.number
            self._follower.start()
        metrics = self._metrics
        if metrics is not None and not metrics.runs and time.monotonic() >= self._next_metrics_s:
            self._next_metrics_s = time.monotonic() + METRICS_AGAIN_S
            metrics.start()

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
        companions = [each for each in (self._follower, self._metrics) if each is not None]
        for companion in companions:
            companion.ask_to_end()
        try:
            for role in ("initiator", "acceptor"):
                self._engine.log_out(role)
                self._drain()
            if not self._failed:
                self._apply(Event(ev.STOP, 0))
                if (self.folder / "fix" / "store").exists():
                    sync_store(self.folder / "fix" / "store")
        finally:
            self._journal.close()
            for companion in companions:
                companion.end()
            if self._decisions is not None:
                self._decisions.close()
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

    def _drain(self) -> None:
        """Apply what the sessions said while they closed, so that nothing taken from a peer is lost."""
        while self._inbox.waiting:
            try:
                event = self._inbox.get(0)
            except Exception:
                log.critical("error of a session while it closed", exc_info=True)
                self._failed = True
                continue
            if event is not None:
                self._take(event)
        self._send_waiting()
