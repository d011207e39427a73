"""A gateway core in a test: sessions by name, FIX messages as plain text, time in the test's hands."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import yaml

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Driver, Event, Output, clock_event
from gateway.fix.layout import E8
from gateway.state.build import build_state

WALL_NS = 1_783_771_200_000_000_000  # 2026-07-11 12:00:00 UTC
START_NS = 10**12
Fields = dict[int, str]

BASE = {
    # Not `native`, with which every message would go through its session first.
    "gateway": {"name": "TEST", "engine": "quickfix", "state_dir": "var", "capacity": "small"},
    "identity": {"account": 1, "strategy": 7001, "trader": 50},
    "sessions": [
        {
            **{"id": "EMS1", "role": "acceptor", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "EMS1", "listen": "127.0.0.1:1", "accounts": ["ACC1", "ACC2"]},
            **{"strategies": ["MOMO", "ARB"], "traders": ["TOM"]},
        },
        {
            **{"id": "XNAS", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "XNAS", "connect": "127.0.0.1:1"},
        },
    ],
    "instruments": "instruments.csv",
    "limits": "limits.yaml",
    "routing": {"default": "XNAS"},
    "classes": {"TREND": ["MOMO"], "MAKER": ["ARB"]},
}
INSTRUMENTS = """symbol,security_id,tick,lot,multiplier,previous_close,sector,asset_class
AAPL,US0378331005,0.01,1,1,100,DEVICES,STOCK
MSFT,US5949181045,0.01,10,1,200,SOFTWARE,RECEIPT
ESZ6,,0.25,1,50,4500,,FUTURE
"""
LIMITS = {
    "account": {
        "default": {**{"max_order_qty": 1000, "max_order_notional": 10_000_000, "max_long": 5000, "max_short": 5000}}
    },
    "instrument": {"default": {"collar_bps": 500, "reference_max_age": "5s"}},
    "session": {"default": {"max_messages": 10_000, "message_window": "1s"}},
}


def fields_of(body: bytes) -> Fields:
    """Fields of a body; of a repeated tag the last."""
    return {int(tag): value for tag, _, value in (part.partition("=") for part in body.decode().split("\x01") if part)}


def of_version(version: str, **venue: object) -> dict:
    """The base config with all sessions of one FIX version; keywords go to the venue's section."""
    config = copy.deepcopy(BASE)
    for session in config["sessions"]:
        session["begin_string"] = version
    config["sessions"][1] |= venue
    return config


def write_config(folder: Path, config: dict, limits: dict, instruments: str, positions: str | None = None) -> Path:
    """Write the config files into a folder; returns the main one."""
    config = dict(config)
    if positions is not None:
        (folder / "positions.csv").write_text(positions)
        config["positions"] = "positions.csv"
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    (folder / "limits.yaml").write_text(yaml.safe_dump(limits))
    (folder / "instruments.csv").write_text(instruments)
    return folder / "gateway.yaml"


class Core:
    """The core under test. Messages from a peer get a header; replies come back as (session, type, fields)."""

    def __init__(
        self,
        folder: Path,
        config: dict = BASE,
        limits: dict = LIMITS,
        instruments: str = INSTRUMENTS,
        positions: str | None = None,
    ) -> None:
        """Build the state from config files written to `folder`, log every session on, quote AAPL at 99.99 x 100.01."""
        self.settings = load_settings(write_config(folder, config, limits, instruments, positions))
        self.state = build_state(self.settings, run=1)
        self.driver = Driver(self.state.block)
        self.sessions = {s.id: row for row, s in enumerate(self.settings.config.sessions)}
        self.begin_strings = {s.id: s.begin_string for s in self.settings.config.sessions}
        self.time_ns = START_NS
        self.log: list[tuple[Event, list[Output]]] = []
        self._next_seq = 1
        self.sent_before_s = 0.0  # how old the messages of peers are when they come
        self.apply(clock_event(self.time_ns, WALL_NS))
        for name in self.sessions:
            self.logon(name)
        self.quote("AAPL", 99.99, 100.01, 100)

    @property
    def record(self):
        """The state's record, to look at."""
        return self.state.record

    def apply(self, event: Event) -> list[tuple[str, str, Fields]]:
        """Apply an event; returns what is sent as (session id or "" for an alert, MsgType, fields)."""
        outputs = self.driver.handle(event)
        self.log.append((event, outputs))
        names = {row: name for name, row in self.sessions.items()}
        return [
            (
                names.get(o.session, ""),
                o.message_type,
                fields_of(o.body) if o.message_type else {58: o.body.decode("latin-1")},
            )
            for o in outputs
        ]

    def message(self, session: str, msg_type: str, fields: Sequence[tuple[int, str]], poss_dup: bool = False):
        """A message from the peer of a session, with a header."""
        head = [(8, self.begin_strings[session]), (9, "0"), (35, msg_type), (34, str(self._next_seq)), (49, session)]
        head += [(52, self.utc(self.sent_before_s)), (56, "GW")]
        if poss_dup:
            head.append((43, "Y"))
        data = b"".join(b"%d=%s\x01" % (tag, str(v).encode()) for tag, v in [*head, *fields, (10, "000")])
        return self.raw(session, data, poss_dup)

    @property
    def sending_time(self) -> str:
        """SendingTime(52) of a message that is sent now."""
        return self.utc()

    def utc(self, ago_s: float = 0.0) -> str:
        """UTCTimestamp of now, or of some time before."""
        millis = (WALL_NS + self.time_ns - START_NS - round(ago_s * 1e9)) // 1_000_000
        return f"{datetime.fromtimestamp(millis // 1000, UTC):%Y%m%d-%H:%M:%S}.{millis % 1000:03d}"

    def raw(self, session: str, data: bytes, poss_dup: bool = False):
        """Bytes as they come from the peer of a session."""
        self._next_seq += 1
        row = self.sessions[session]
        return self.apply(Event(ev.MESSAGE, self.time_ns, row, self._next_seq - 1, poss_dup, data))

    def new(self, cl_ord_id: str, side="1", qty="100", px="100", symbol="AAPL", session="EMS1", poss_dup=False, **more):
        """NewOrderSingle: a limit order of ACC1 unless `more` says else (t40="1": tag 40; None leaves a field out)."""
        fields = {1: "ACC1", 11: cl_ord_id, 21: "1", 38: qty, 40: "2", 44: px, 54: side, 55: symbol, 59: "0"}
        return self._order(session, "D", fields, more, poss_dup)

    def replace(self, cl_ord_id: str, orig: str, qty="100", px="100", side="1", symbol="AAPL", session="EMS1", **more):
        """OrderCancelReplaceRequest of a limit order."""
        fields = {1: "ACC1", 11: cl_ord_id, 21: "1", 38: qty, 40: "2", 41: orig, 44: px, 54: side, 55: symbol, 59: "0"}
        return self._order(session, "G", fields, more, False)

    def cancel(self, cl_ord_id: str, orig: str, qty="100", side="1", symbol="AAPL", session="EMS1", **more):
        """OrderCancelRequest."""
        return self._order(session, "F", {11: cl_ord_id, 38: qty, 41: orig, 54: side, 55: symbol}, more, False)

    def _order(self, session, msg_type, fields, more, poss_dup):
        fields[60] = "20260711-12:00:00.000"
        for key, value in more.items():
            fields[int(key[1:])] = value
        present = sorted((tag, value) for tag, value in fields.items() if value is not None)
        return self.message(session, msg_type, present, poss_dup)

    def report(
        self, child: str, exec_id: str, exec_type: str, status: str, session="XNAS", poss_dup: bool = False, **more
    ):
        """ExecutionReport from a venue on a child ClOrdID; `more` as in `new`."""
        fields = {6: "0", 11: child, 14: "0", 17: exec_id, 37: "V" + child, 39: status, 54: "1", 55: "AAPL"}
        fields |= {150: exec_type, 151: "0"}
        if self.begin_strings[session] == "FIX.4.2":
            fields[20] = "0"
        for key, value in more.items():
            fields[int(key[1:])] = value
        return self.message(session, "8", sorted((t, v) for t, v in fields.items() if v is not None), poss_dup)

    def fill(self, child: str, exec_id: str, qty: str, cum: str, status: str = "1", session="XNAS", **more):
        """A fill at 100 from a venue, `cum` executed by its count; `more` as in `new`."""
        old = self.begin_strings[session] == "FIX.4.2"
        kind = ("2" if status == "2" else "1") if old else "F"
        fields = {"t14": cum, "t31": "100", "t32": qty} | more
        return self.report(child, exec_id, kind, status, session, **fields)

    def status(self, child: str, status: str, session="XNAS", **more):
        """A venue's answer to an OrderStatusRequest about a child; `more` as in `new`."""
        if self.begin_strings[session] == "FIX.4.2":
            return self.report(child, "0", status, status, session, **{"t20": "3"} | more)
        return self.report(child, "0", "I", status, session, **more)

    def cancel_reject(self, child: str, orig: str, response="1", reason="0", status="0", session="XNAS"):
        """OrderCancelReject from a venue on a child request."""
        fields = [(11, child), (37, "V1"), (39, status), (41, orig), (102, reason), (434, response)]
        return self.message(session, "9", fields)

    def quote(self, symbol: str, bid: float, ask: float, last: float = 0, time_ns: int = 0):
        """A quote for an instrument, now or (`time_ns` of the gateway's clock) as of then."""
        prices = (round(price * E8) for price in (bid, ask, last))
        value = (self.state.instruments[symbol], *prices, 0, 0, 0, time_ns)
        return self.apply(Event(ev.QUOTE, self.time_ns, value=value))

    def logon(self, session: str, reset: bool = False):
        """A session logs on; with `reset` its sequence numbers reset."""
        value = (ev.RESET if reset else ev.CONTINUED,)
        return self.apply(Event(ev.LOGON, self.time_ns, self.sessions[session], value=value))

    def logout(self, session: str, msg_seq_num: int = 0):
        """A session logs out or is lost; `msg_seq_num` is the last one that the engine has read from it."""
        return self.apply(Event(ev.LOGOUT, self.time_ns, self.sessions[session], msg_seq_num))

    def undelivered(self, child_message: Fields, session="XNAS", evidence: int = ev.SAID):
        """The engine says that a child never reached its venue: as told by that, or a.INFERRED from its own files."""
        data = b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in child_message.items())
        return self.apply(Event(ev.UNDELIVERED, self.time_ns, self.sessions[session], data=data, value=(evidence,)))

    def start(self, ended: int):
        """The next run begins; `ended` says how the last one did: a.STOPPED, a.CRASHED or a.REBOOTED."""
        run = int(self.record.run) + 1
        boot = int(self.record.boot) + (1 if ended == ev.REBOOTED else 0)
        return self.apply(Event(ev.START, self.time_ns, value=(run, ended, 0, WALL_NS - START_NS, boot)))

    def synced(self, session: str = "XNAS"):
        """A venue has answered the TestRequest that the engine sent after logon."""
        return self.apply(Event(ev.SYNCED, self.time_ns, self.sessions[session]))

    def tick(self):
        """Time passes for the core, which asks about orders in doubt."""
        return self.apply(Event(ev.TICK, self.time_ns))

    def day(self, positions: int = ev.POSITIONS_KEPT):
        """The trading day ends."""
        return self.apply(Event(ev.DAY, self.time_ns, value=(positions,)))

    def resolve(self, order: int, verdict: int, cum: str = "0", who: str = "TOM: by phone"):
        """A person says what became of the order in a row: a.GONE or a.WORKING, and how much of it has traded."""
        value = (order, verdict, round(Decimal(cum) * E8))
        return self.apply(Event(ev.RESOLVE, self.time_ns, data=who.encode(), value=value))

    def adjust(self, symbol: str, by: str, entities: dict[str, str], who: str = "ann: by phone"):
        """A person adds to the positions in an instrument, of the entities named by scope."""
        rows = [a.NONE] * len(ev.ADJUSTED_SCOPES)
        for scope, name in entities.items():
            number = a.SCOPE_NAMES.index(scope)
            rows[ev.ADJUSTED_SCOPES.index(number)] = self.state.entities[number, name]
        value = (self.state.instruments[symbol], round(Decimal(by) * E8), *rows)
        return self.apply(Event(ev.ADJUST, self.time_ns, data=who.encode(), value=value))

    def status_request(self, cl_ord_id: str, session: str = "EMS1", side="1", symbol="AAPL", **more):
        """OrderStatusRequest of an EMS."""
        fields = {11: cl_ord_id, 54: side, 55: symbol} | {int(key[1:]): value for key, value in more.items()}
        return self.message(session, "H", sorted((tag, v) for tag, v in fields.items() if v is not None))

    def hours(self, is_open: bool):
        """The trading day begins, or orders must wait for the next."""
        return self.apply(Event(ev.HOURS, self.time_ns, value=(int(is_open),)))

    def kill(self, scope: int, name: str = "", on: bool = True, who: str = "alice: because"):
        """A kill switch is set, or (`on` False) released; the sweep that it begins is not under way yet."""
        value = (self.state.entities[scope, name], int(on), self.time_ns)
        return self.apply(Event(ev.KILL, self.time_ns, data=who.encode(), value=value))

    def posture(self, posture: int, scope: int, name: str = "", who: str = "alice: because"):
        """A person sets a posture; the sweep that it begins is not under way yet."""
        return self.apply(Event(ev.POSTURE, self.time_ns, data=who.encode(), value=(self.entity(scope, name), posture)))

    def open_exit(self, quantity: str, scope: int, name: str = "", symbol: str = "AAPL", seconds: float = 300):
        """A person lets orders through a halt."""
        until_ns = self.time_ns + round(seconds * 10**9)
        rows = self.entity(scope, name), self.state.instruments[symbol]
        value = (*rows, round(Decimal(quantity) * E8), until_ns)
        return self.apply(Event(ev.EXIT, self.time_ns, data=b"alice: because", value=value))

    def entity(self, scope: int, name: str = "") -> int:
        """Row of an entity."""
        return self.state.entities[scope, name]

    def sweep(self):
        """Apply SWEEP events while a sweep is under way, as the service does."""
        sent = []
        while self.record.sweep_row != a.NONE:
            sent += self.apply(Event(ev.SWEEP, self.time_ns))
        return sent

    def killed(self, scope: int, name: str = ""):
        """A kill switch is set and swept for; returns what goes to venues."""
        return [output for output in self.kill(scope, name) + self.sweep() if output[0]]

    def later(self, seconds: float):
        """Time passes: a tick and the sweep that it begins; returns what goes out."""
        self.wait(seconds)
        return self.tick() + self.sweep()

    def cancel_by_person(self, order: int, who: str = "alice: by phone"):
        """A person cancels the order in a row."""
        return self.apply(Event(ev.CANCEL, self.time_ns, data=who.encode(), value=(order,))) + self.sweep()

    def push(
        self,
        limit: int,
        value: int,
        entity: tuple[int, str] = (a.ACCOUNT, "ACC1"),
        symbol: str = "",
        source: int = 0,
        epoch: int = 1,
        model: int = 0,
        seconds: float = 0,
    ):
        """A publisher pushes a limit, in the state's units; it expires in so many seconds (0: never)."""
        instrument = self.state.instruments[symbol] if symbol else a.NONE
        expires_ns = self.time_ns + round(seconds * 10**9) if seconds else 0
        row = self.state.entities[entity]
        value_ = (source, row, instrument, limit, value, epoch, model, expires_ns)
        return self.apply(Event(ev.PARAMETER, self.time_ns, value=value_))

    def give_back(self, limit: int, entity: tuple[int, str] = (a.ACCOUNT, "ACC1"), symbol: str = "", source: int = 0):
        """A person gives a pushed limit back."""
        instrument = self.state.instruments[symbol] if symbol else a.NONE
        value = (source, self.state.entities[entity], instrument, limit)
        return self.apply(Event(ev.RELEASE, self.time_ns, data=b"alice: done", value=value))

    def source(self, source: int, up: bool):
        """A publisher is alive again, or has gone silent."""
        return self.apply(Event(ev.SOURCE, self.time_ns, value=(source, int(up))))

    def journal(self, blocked: bool):
        """The journal cannot take orders any more, or can again."""
        return self.apply(Event(ev.JOURNAL, self.time_ns, value=(int(blocked),)))

    def come_back(self) -> None:
        """After `start`: AAPL is quoted, every session logs on, every venue has sent again what we missed."""
        self.quote("AAPL", 99.99, 100.01, 100)
        for name in self.sessions:
            self.logon(name)
        for name, row in self.sessions.items():
            if self.record.sessions[row].role == a.VENUE_ROLE:
                self.synced(name)

    def working(self, cl_ord_id: str, session: str = "EMS1", **more) -> str:
        """An order that goes out and is acknowledged by its venue (qty 100, else by `more`); returns its child."""
        [(venue, msg_type, child)] = self.new(cl_ord_id, session=session, **more)
        assert msg_type == "D", child
        self.report(child[11], f"ACK-{child[11]}", "0", "0", venue, t54=child[54], t55=child[55], t151=child[38])
        return child[11]

    def doubts(self, venue: str = "XNAS") -> int:
        """Orders at a venue whose fate is not known."""
        return int(self.record.sessions[self.sessions[venue]].doubts)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time_ns += round(seconds * 10**9)

    def exposure(self, scope: int, name: str, symbol: str) -> tuple[int, int, int]:
        """(position, open buys, open sells) of an entity in an instrument, in 10^-8."""
        entity = self.state.entities[scope, name]
        instrument = self.state.instruments[symbol]
        for x in self.record.exposures[: self.record.exposure_count]:
            if x.entity == entity and x.instrument == instrument:
                return int(x.position_e8), int(x.open_buy_e8), int(x.open_sell_e8)
        return 0, 0, 0

    def shares(self, scope: int = a.ACCOUNT, name: str = "ACC1", symbol: str = "AAPL") -> tuple[float, float, float]:
        """As `exposure`, in whole shares."""
        position, buys, sells = self.exposure(scope, name, symbol)
        return position / E8, buys / E8, sells / E8
