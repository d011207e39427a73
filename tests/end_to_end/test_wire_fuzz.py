"""Whatever comes in over TCP: the gateway lives, honest peers trade on, and a session that was broken logs on again."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core import layout as a
from tests.support.wire_fuzz import ADMIN_TERMS, GARBAGE, OF_EMS, OF_VENUE, Fuzz, ems_terms, venue_terms
from tests.support.wire_peers import RawEms, RawPeer, RawVenue, WireTopology, wire

SECONDS = float(os.environ.get("FUZZ_SECONDS", "45"))
IS_SHORT = SECONDS <= 60  # the same messages each time; a soak sends other ones
SEED = int(os.environ.get("FUZZ_SEED", "1" if IS_SHORT else random.SystemRandom().getrandbits(32)))
AVOIDED = frozenset(filter(None, os.environ.get("FUZZ_AVOID", "").split(",")))
BATCHES_A_SECOND = 25
"""At most, so that the tables of a day last."""
CAPACITY = "small" if IS_SHORT else "standard"
MANY = 7000
"""Messages behind a gap."""
BACK_S = 30.0
"""In which a venue that was lost is connected to again."""
MAX_GROWTH_KB, MAX_MORE = 9 * 16 * 1024, 20
"""What may wait ahead of gaps in nine sessions, for as long as their connections last; threads, descriptors."""
MAY_BE_A_FILL = a.FAULT_UNREADABLE_FILL | a.FAULT_UNREADABLE
NOT_TOLD = ("decision", "  File", "Thread", "Current thread", "Extension modules")
QUOTES = [(b"269", b"0"), (b"270", b"99.9"), (b"269", b"1"), (b"270", b"100.1")]


class Run:
    """Batches of broken messages, and after each a look at everybody else.

    With `any_report` venues also send reports that cannot be read, after which orders may be refused.
    """

    def __init__(self, topology: WireTopology, fuzz: Fuzz, any_report: bool = False) -> None:
        self.topology, self.fuzz, self.rng = topology, fuzz, fuzz.rng
        self.any_report = any_report
        self.batches: deque[list[tuple[str, bytes]]] = deque(maxlen=4)
        self.counts: Counter[str] = Counter()
        self.known: deque[bytes] = deque(maxlen=20)

    def go_on(self, seconds: float) -> None:
        """So long."""
        end_s = time.monotonic() + seconds
        while (begun_s := time.monotonic()) < end_s:
            self.batch()
            self.check()
            time.sleep(max(0.0, 1 / BATCHES_A_SECOND - (time.monotonic() - begun_s)))

    # What is sent

    def batch(self) -> None:
        """One batch on a ground that is ready for it."""
        self.batches.append([])
        venues = list(self.topology.venues.values())
        for venue in venues:
            venue.look()
        up, waiting = [v for v in venues if v.up], [v for v in venues if v.logon]
        grounds = ["ems before", "ems after", "ems after"] * (not self.any_report)
        grounds += ["venue before"] * (6 if waiting else 0) + ["venue after"] * (3 if up else 0)
        if not grounds:
            time.sleep(0.05)
            return
        ground = "ems dawdles" if self.rng.random() < 0.003 else self.rng.choice(grounds)
        self.counts[ground] += 1
        if ground == "venue before":
            self.venue_before(self.rng.choice(waiting))
        elif ground == "venue after":
            self.venue_after(self.rng.choice(up))
        else:
            ems = self.rng.choice(list(self.topology.fuzzed.values()))
            {"ems before": self.ems_before, "ems after": self.ems_after, "ems dawdles": self.ems_dawdles}[ground](ems)

    def ems_before(self, ems: RawEms) -> None:
        ems.connect()
        types = [self.rng.choice(("A", "A", "A", *OF_EMS)), *self.rng.choices(OF_EMS, k=self.rng.choice((0, 0, 1, 2)))]
        self.send(ems, types)
        ems.read(0.05)
        ems.close(abort=self.rng.random() < 0.2)
        self.log_on(ems)

    def ems_after(self, ems: RawEms) -> None:
        if not ems.connected:
            self.log_on(ems)
        if self.rng.random() < 0.01:
            self.many_behind_a_gap(ems)
        self.send(ems, self.rng.choices(OF_EMS, k=self.rng.randint(1, 6)))
        if not ems.answers(0.5):
            self.log_on(ems)

    def log_on(self, ems: RawEms) -> None:
        if not ems.log_on(reset=self.rng.random() < 0.3):
            self.fail(f"{ems.name} cannot log on again")
        if self.rng.random() < 0.1 and not ems.resends() and ems.connected:
            self.fail(f"{ems.name} gets no answer to a ResendRequest")

    def ems_dawdles(self, ems: RawEms) -> None:
        """A Logon that comes byte by byte holds nobody up."""
        data = self.message(ems, "A")
        if self.fuzz.is_avoided(b"", 0):
            return
        ems.connect()
        self.batches[-1].append((ems.name, data))

        def send() -> None:
            for piece in re.findall(rb"(?s).", data)[:12]:
                ems.send_bytes(piece)
                time.sleep(0.25)

        dawdler = threading.Thread(target=send)
        dawdler.start()
        why = self.topology.trades(2.0)
        dawdler.join()
        if why:
            self.fail(f"{ems.name} holds up others: {why}")
        self.log_on(ems)

    def log_all_on(self) -> None:
        """At the end: every fuzzed session, a venue's without beginning its numbers anew."""
        for ems in self.topology.fuzzed.values():
            self.log_on(ems)
        for venue in self.topology.venues.values():
            deadline_s = time.monotonic() + BACK_S
            while not venue.up and time.monotonic() < deadline_s:
                venue.look()
                if venue.logon:
                    venue.log_on(reset=False)
                time.sleep(0.02)
            if not venue.up:
                self.fail(f"{venue.name} cannot log on again")

    def many_behind_a_gap(self, peer: RawPeer) -> None:
        """Some thousands of messages ahead of one that is missing, and then that one."""
        gap, peer.answering = peer.seq, False
        msg_type = self.rng.choice(("0", "1", "3", "8"))
        terms = ADMIN_TERMS | venue_terms(self.fuzz, peer.begin_string, None)
        body = self.fuzz.body(peer.begin_string, msg_type, terms)
        peer.seq = gap + 1
        messages = [wire([*peer.header(msg_type.encode()), *body], peer.begin_string) for _ in range(MANY)]
        data = b"".join(messages)
        if not self.fuzz.is_avoided(data, peer.seq):
            self.batches[-1].append((peer.name, b"%d times, counting on: " % MANY + messages[0]))
            peer.send_bytes(data)
            following, peer.seq = peer.seq, gap
            pairs = peer.header(b"0")
            self.write(peer, wire(pairs, peer.begin_string))
            peer.seq = following
        else:
            peer.seq = gap
        peer.answering = True

    def venue_before(self, venue: RawVenue) -> None:
        """Some of the time nothing but a sound answer, so that there is a session to break later."""
        if self.rng.random() < 0.5:
            if venue.log_on(reset=self.rng.random() < 0.4):
                venue.send(b"W", [(b"55", b"AAPL"), (b"262", b"1"), (b"268", b"2"), *QUOTES])
            return
        venue.logon = b""
        types = [
            self.rng.choice(("A", "A", "A", *OF_VENUE)),
            *self.rng.choices(OF_VENUE, k=self.rng.choice((0, 0, 1, 2))),
        ]
        self.send(venue, types)
        self.settle(venue)

    def venue_after(self, venue: RawVenue) -> None:
        if self.rng.random() < 0.02:
            self.many_behind_a_gap(venue)
        self.send(venue, self.rng.choices(OF_VENUE, k=self.rng.randint(1, 6)))
        self.settle(venue)

    def settle(self, venue: RawVenue) -> None:
        """A venue that gets no answer closes the connection, as one would in the end."""
        venue.up = venue.answers(0.5)
        if not venue.up:
            venue.close(abort=self.rng.random() < 0.2)
            venue.logon, venue.away_since_s = b"", time.monotonic()

    def send(self, peer: RawPeer, types: list[str]) -> None:
        """Messages of these types, broken, one by one or glued and cut anew."""
        messages = [data for data in (self.message(peer, msg_type) for msg_type in types) if data]
        way = self.rng.random()
        if way < 0.5:
            for data in messages:
                self.write(peer, data)
                peer.read(0.003)
            return
        if way < 0.65:
            messages.insert(self.rng.randrange(len(messages) + 1), self.rng.choice(GARBAGE))
        whole = b"".join(messages)
        if way < 0.8:
            self.write(peer, whole)
            return
        for piece in self.pieces(whole):
            self.write(peer, piece)
            time.sleep(self.rng.choice((0, 0.001, 0.005)))

    def message(self, peer: RawPeer, msg_type: str) -> bytes:
        """A broken message; none when it would do what is to be avoided."""
        if isinstance(peer, RawVenue):
            order = self.rng.choice(peer.orders) if peer.orders and self.rng.random() < 0.9 else None
            terms = venue_terms(self.fuzz, peer.begin_string, order)
        else:
            terms = ems_terms(self.fuzz, list(self.known))
            if msg_type in "DG":
                self.known.append(terms[11])
        if msg_type in "012345A":
            terms = ADMIN_TERMS | {36: b"%d" % (peer.seq + self.rng.choice((1, 1, 2, 30)))}
            if self.rng.random() < 0.3:
                terms |= {141: b"Y"}
            if msg_type == "A" and 141 in terms and self.rng.random() < 0.8:
                peer.seq = 1
        pairs = [*peer.header(msg_type.encode()), *self.fuzz.body(peer.begin_string, msg_type, terms)]
        if msg_type == "8" and isinstance(peer, RawVenue) and not self.any_report:
            data = self.fuzz.report(peer.begin_string, pairs)
        else:
            data = self.fuzz.message(peer.begin_string, pairs)
        is_avoided = self.fuzz.is_avoided(data, peer.seq)
        # What is refused without a type that can be read may have been a report
        types = re.findall(rb"\x0135=([^\x01]*)", data)
        untold = isinstance(peer, RawVenue) and not self.any_report and any(not 0 < len(t) < 1000 for t in types)
        return b"" if is_avoided or untold else data

    def write(self, peer: RawPeer, data: bytes) -> None:
        self.batches[-1].append((peer.name, data))
        peer.send_bytes(data)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = self.rng.choice((5, 50, 500))
            yield data[:size]
            data = data[size:]

    # What is seen

    def check(self) -> None:
        """The process lives, trades, and looks for every venue that it has lost."""
        self.topology.gateway.ends_within(0.001)
        why = "" if self.topology.gateway.ended else self.topology.trades()
        if why and self.any_report and self.topology.state.record.fault & MAY_BE_A_FILL and "FAULT" in why:
            why = ""
        if why or self.topology.gateway.ended:
            self.fail(why)
        for venue in self.topology.venues.values():
            venue.look()
            if not venue.connected and time.monotonic() - venue.away_since_s > BACK_S:
                self.fail(f"{venue.name} is not connected to again")

    def fail(self, why: str) -> None:
        gateway = self.topology.gateway
        stops = any(line["event"] == "gateway is stopping" for line in gateway.log)
        gateway.ends_within(30 if stops else 2)
        if self.topology.gateway.ended:
            why = f"the process has ended with {self.topology.gateway.wait_exit(5)}; {why}"
        told = [line for line in self.topology.gateway.log if not line["event"].startswith(NOT_TOLD)][-25:]
        batches = "\n\n".join("\n".join(f"  {name} {data!r}" for name, data in batch) for batch in self.batches)
        lines = "\n".join(f"  {line}" for line in told)
        fault = 0 if self.topology.gateway.ended else int(self.topology.state.record.fault)
        head = f"{why}\nFUZZ_SEED={SEED}, fault {fault}, after {dict(self.counts)}"
        pytest.fail(f"{head}\nthe log:\n{lines}\nsent, the last batch at the end:\n{batches}")


def test_the_gateway_lives_and_trades_whatever_is_sent(tmp_path: Path) -> None:
    with WireTopology(tmp_path, CAPACITY) as topology:
        run = Run(topology, Fuzz(SEED, AVOIDED))
        run.go_on(SECONDS * 0.08)
        before = topology.gateway_usage()
        run.go_on(SECONDS * 0.72)
        run.log_all_on()
        after = topology.gateway_usage()
        s = topology.state.record
        print(f"\nseed {SEED}: {dict(run.counts)}, {before} -> {after}, {s.open_order_count} orders open")
        assert int(s.fault) == 0
        assert after["RssAnon"] - before["RssAnon"] < MAX_GROWTH_KB, (before, after)
        assert after["fds"] - before["fds"] <= MAX_MORE and after["threads"] - before["threads"] <= MAX_MORE
        for honest in (topology.venue, topology.ems):
            assert honest.refused == [] and honest.session_rejects == []


def test_reports_that_cannot_be_read_block_orders_and_do_nothing_else(tmp_path: Path) -> None:
    """What may be a fill that nobody has counted sets the fault word, until a person has reconciled it."""
    with WireTopology(tmp_path, CAPACITY) as topology:
        run = Run(topology, Fuzz(SEED + 1, AVOIDED), any_report=True)
        run.go_on(SECONDS * 0.2)
        print(f"\nseed {SEED}: {dict(run.counts)}, fault {topology.state.record.fault}")
        assert int(topology.state.record.fault) & ~MAY_BE_A_FILL == 0
        topology.start_again("--clear-fault", str(topology.state.record.fault))
        assert topology.trades() == ""
