"""Runs of the gateway without network: the test plays the peers and QuickFIX's callbacks, and decides when a run dies.

QuickFIX keeps sessions for as long as a process lives, so each run is a process of its own. It ends by `os._exit`: what
a run leaves is what a killed process leaves.
"""

from __future__ import annotations

import copy
import functools
import os
import shutil
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import quickfix as fix
import structlog
from structlog.testing import LogCapture

from gateway import machine as boot_module
from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.engine.quickfix import engine as engine_module
from gateway.engine.quickfix.store import read_store
from gateway.fix.layout import E8
from gateway.service.core_thread import Service
from tests.support.core import BASE, INSTRUMENTS, LIMITS, Fields, write_config
from tests.support.forked import CONTEXT, fork

DIED = 9
TIMEOUT_S = 60
BOTH = ("EMS1", "XNAS")
SOH = "\x01"


def die(*_: object) -> None:
    """The process is gone, here and now."""
    os._exit(DIED)


def in_process(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """What a function of a module gives in a process of its own, which then is gone; None when it died on the way."""
    ours, theirs = CONTEXT.Pipe()
    process = fork(_call, theirs, functools.partial(function, *arguments, **more))
    theirs.close()
    try:
        assert ours.poll(TIMEOUT_S), f"{function.__name__} does not end"
        error, result = ours.recv()
    except EOFError:
        process.join(TIMEOUT_S)
        assert process.exitcode == DIED, f"{function.__name__} ended with {process.exitcode}"
        return None
    finally:
        process.kill()
        process.join(TIMEOUT_S)
    assert not error, error
    return result


def _call(to: Connection, function: Callable[[], Any]) -> None:
    try:
        answer = ("", function())
    except BaseException:
        answer = (traceback.format_exc(), None)
    to.send(answer)
    die()


def config_of(folder: Path, venue: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The base config with its state in a folder; `venue` changes the venue's section, `more` adds sections."""
    config = copy.deepcopy(BASE)
    config["gateway"]["state_dir"] = str(folder / "var")
    config["journal"] = {"segment": 1}
    config["sessions"][1] |= venue or {}
    return config | more


def store_of(folder: Path) -> Path:
    """QuickFIX's files of a gateway."""
    return folder / "var" / "fix" / "store"


def stored(folder: Path, session: str, *message_types: str) -> list[Fields]:
    """Messages of these types that a session's store has, in order: they went out, or will when the peer asks."""
    store = read_store(store_of(folder), "FIX.4.4", "GW", session)
    sent = [] if store is None else [message for _, message in sorted(store.sent.items())]
    parts = [
        [part.partition("=") for part in message.decode("utf-8", "replace").split(SOH) if part] for message in sent
    ]
    messages = [{int(tag): value for tag, _, value in message} for message in parts]
    return [message for message in messages if message[35] in message_types]


class Run:
    """One run, taken through `Service.run` step by step; QuickFIX's sessions are made and never connect."""

    def __init__(self, folder: Path, config: dict[str, Any] | None = None, boot: int = 1, **options: int) -> None:
        """Read the journal and begin it anew; another `boot` than the last run's means that the machine went down."""
        boot_module.BOOT_ID = folder / "boot"
        boot_module.BOOT_ID.write_text(f"{boot:015x}")
        engine_module.require_ports = lambda sections: None  # they have one, and nobody listens
        capture = LogCapture()
        structlog.configure(processors=[capture])
        self.log = capture.entries
        config = config or config_of(folder)
        self.service = Service(load_settings(write_config(folder, config, LIMITS, INSTRUMENTS)), **options)
        self.engine = self.service._engine
        self.application = self.engine._application
        self.names = {section.id: row for row, section in enumerate(self.service.settings.config.sessions)}
        self.engine.start = lambda: None
        self.engine.log_out = self.log_out

    @property
    def record(self) -> Any:
        """The state's record."""
        return self.service.state.record

    def session(self, name: str) -> fix.Session:
        """QuickFIX's session."""
        return fix.Session.lookupSession(self.engine._ids[self.names[name]])

    def begin(self, *names: str) -> None:
        """Make the sessions good, then these log on, AAPL has a price, and venues have resent what was missed."""
        self.service._begin_sessions()
        for name in names:
            self.log_on(name)
        self.quote()
        for name in names:
            if self.names[name] in self.application.venues:
                self.service._take(Event(ev.SYNCED, 0, self.names[name]))
        self.service._send_waiting()

    def log_on(self, name: str, number: int | None = None) -> None:
        """QuickFIX says that a session is up; `number` is that of our Logon, otherwise the next."""
        number = number or self.session(name).getExpectedSenderNum()
        text = f"8=FIX.4.4|9=0|35=A|34={number}|49=GW|56={name}|52=20260711-12:00:00.000|98=0|108=30|10=0|"
        session_id = self.engine._ids[self.names[name]]
        self.application.toAdmin(fix.Message(text.replace("|", SOH), False), session_id)
        self.session(name).setNextSenderMsgSeqNum(number + 1)
        self.application.onLogon(session_id)
        self.take_all()

    def log_out(self, role: str) -> None:
        """Stands in for the engine's: every peer of a role answers at once."""
        for section, session_id in zip(self.service.settings.config.sessions, self.engine._ids, strict=True):
            if section.role == role:
                self.application.onLogout(session_id)

    def take_all(self) -> None:
        """Apply what the engine has put, and send."""
        while (event := self.service._inbox.get(0)) is not None:
            self.service._take(event)
        self.service._send_waiting()

    def quote(self) -> None:
        """A price for AAPL."""
        prices = (round(price * E8) for price in (99.99, 100.01, 100))
        self.service._take(Event(ev.QUOTE, 0, value=(self.service.state.instruments["AAPL"], *prices)))

    def message(self, name: str, message_type: str, number: int | None = None, **fields: Any) -> Event:
        """The event of a message from a peer (t44="1": tag 44), which QuickFIX has counted."""
        session = self.session(name)
        number = number or session.getExpectedTargetNum()
        session.setNextTargetMsgSeqNum(number + 1)
        head = {8: "FIX.4.4", 9: 0, 35: message_type, 34: number, 49: name, 52: "20260711-12:00:00.000", 56: "GW"}
        body = sorted((int(key[1:]), value) for key, value in fields.items())
        parts = [
            (tag, v if isinstance(v, bytes) else str(v).encode()) for tag, v in [*head.items(), *body, (10, "000")]
        ]
        data = b"".join(b"%d=%s\x01" % part for part in parts)
        return Event(ev.MESSAGE, 0, self.names[name], number, False, data)

    def order(self, cl_ord_id: str, **more: Any) -> Event:
        """The event of a limit order for 100 AAPL of EMS1."""
        fields = {"t1": "ACC1", "t11": cl_ord_id, "t21": 1, "t38": 100, "t40": 2, "t44": 100, "t54": 1, "t55": "AAPL"}
        fields |= {"t59": 0, "t60": "20260711-12:00:00.000"}
        return self.message("EMS1", "D", **fields | more)

    def cancel(self, cl_ord_id: str, orig: str) -> Event:
        """The event of a cancel of such an order."""
        fields = {"t11": cl_ord_id, "t38": 100, "t41": orig, "t54": 1, "t55": "AAPL", "t60": "20260711-12:00:00.000"}
        return self.message("EMS1", "F", **fields)

    def fill(self, child: str, exec_id: str, quantity: int, number: int | None = None, **more: Any) -> Event:
        """The event of a fill by XNAS, which says no CumQty(14)."""
        fields = {"t11": child, "t17": exec_id, "t31": 100, "t32": quantity, "t37": "V" + child, "t39": 1, "t54": 1}
        fields |= {"t55": "AAPL", "t150": "F", "t151": 100 - quantity}
        return self.message("XNAS", "8", number, **fields | more)

    def take(self, *events: Event) -> None:
        """Apply events as one batch, and send what they give."""
        for event in events:
            self.service._take(event)
        self.service._send_waiting()

    def call_back(self, event: Event) -> None:
        """The callback of QuickFIX for a message that is an event of this class."""
        message = fix.Message(event.data.decode(), self.engine._dictionaries[event.session], False)
        self.application.fromApp(message, self.engine._ids[event.session])

    def facts(self) -> dict[str, Any]:
        """What is left of a run to look at, for another process."""
        s = self.record
        return {
            "ended": self.service._start.ended,
            "orders": [(chr(o.status), bool(o.counted_open)) for o in s.orders[: s.order_count]],
            "executed": [int(o.cum_e8) // E8 for o in s.orders[: s.order_count]],
            "doubts": int(s.sessions["doubts"].sum()),
            "expected": {name: self.session(name).getExpectedTargetNum() for name in self.names},
            "log": [dict(entry) for entry in self.log],
        }


def next_run(folder: Path, config: dict[str, Any] | None = None, boot: int = 1, **options: int) -> dict[str, Any]:
    """A run that gets as far as its sessions."""
    run = Run(folder, config, boot, **options)
    run.service._begin_sessions()
    return run.facts()


def before_send(folder: Path) -> dict[str, Any]:
    """A config in which events go out in batches, each after a sync."""
    return config_of(folder, journal={"segment": 1, "sync": "before_send"})


def one_order(folder: Path, saved: Path | None = None, **more: Any) -> None:
    """A run that dies right after an order has gone out; `saved` gets QuickFIX's files as they were before it."""
    run = Run(folder)
    run.begin(*BOTH)
    if saved is not None:
        shutil.copytree(store_of(folder), saved)
    run.take(run.order("A", **more))
    run.service._journal.sync()  # else a power cut may take the order with it


def reports(folder: Path, session: str = "EMS1", **wanted: str) -> list[dict[int, str]]:
    """ExecutionReports that a session's store has with these fields (t39="2": tag 39)."""
    found = stored(folder, session, "8")
    return [m for m in found if all(m.get(int(key[1:])) == value for key, value in wanted.items())]


def lines(facts: dict[str, Any], event: str) -> list[dict[str, Any]]:
    return [line for line in facts["log"] if line["event"] == event]
