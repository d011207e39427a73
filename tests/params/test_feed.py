"""What is published becomes events with the gateway's rows and clock; what is wrong with it holds, and is told."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import Settings, known_entities
from gateway.core import catalogue
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Driver, Event
from gateway.core.layout import NONE
from gateway.params.feed import QuoteFeed, place_fault
from gateway.params.publisher import ParameterPublisher, QuotePublisher
from gateway.params.store import LIMITS, SCOPES
from gateway.state.memory import State
from tests.params.conftest import BASE_NS, TICK_NS, Make, tick, ups, values
from tests.params.raw import RawFile

E8 = 10**8


def momo(state: State, value: int, epoch: int = 0, model: int = 0, expires_ns: int = 0) -> tuple[int, ...]:
    """Values of a PARAMETER event of max_order_qty of strategy MOMO; a held one has a value alone."""
    entity = state.entities[a.STRATEGY, "MOMO"]
    return (3, entity, NONE, a.MAX_ORDER_QTY, value, epoch, model, expires_ns)


def told(log: list[Any], level: str) -> list[str]:
    return [entry["why"] for entry in log if entry["log_level"] == level]


def test_a_push_becomes_an_event_once(make: Make, state: State, path: Path) -> None:
    feed = make()
    with ParameterPublisher(path) as publisher:
        assert not feed.changed()
        assert ups(tick(feed)) == [(1, "")]
        assert not feed.changed()
        publisher.push("max_order_qty", 400, "strategy", "MOMO", model=12)
        assert feed.changed()
        assert values(feed.observe(time.monotonic_ns(), BASE_NS)) == [momo(state, 400 * E8, 1, 12)]
        assert not feed.changed() and feed.observe(time.monotonic_ns(), BASE_NS) == []
        publisher.push("max_order_qty", 300, "strategy", "MOMO")
        publisher.push("max_order_qty", 200, "strategy", "MOMO")
        assert values(feed.observe(time.monotonic_ns(), BASE_NS)) == [momo(state, 200 * E8, 3)]
        assert tick(feed) == []


def test_a_beat_is_no_change(make: Make, path: Path) -> None:
    with ParameterPublisher(path) as publisher:
        feed = make()
        tick(feed)
        publisher.beat()
        assert not feed.changed()


def test_expiry_is_told_in_the_gateways_clock(make: Make, state: State, path: Path) -> None:
    with ParameterPublisher(path) as publisher:
        before_ns = time.monotonic_ns()
        publisher.push("max_order_qty", 400, "strategy", "MOMO", expires_s=60)
        after_ns = time.monotonic_ns()
        expires_ns = values(tick(make()))[0][ev.PARAMETER_EXPIRES] - BASE_NS - 60 * 10**9
    assert before_ns <= expires_ns <= after_ns


def test_every_name_of_the_config_is_known(make: Make, settings: Settings, state: State, path: Path, log: Any) -> None:
    """All entities of a config, with all limits that may be pushed there, alone and in each instrument."""
    wanted = set()
    symbols = ["", *state.instruments]
    with ParameterPublisher(path) as publisher:
        for scope, name in known_entities(settings):
            for limit, (number, _) in LIMITS.items():
                for symbol in symbols:
                    if not place_fault(scope, number, symbol != ""):
                        publisher.push(limit, 1, a.SCOPE_NAMES[scope], name, symbol)
                        instrument = state.instruments[symbol] if symbol else NONE
                        wanted.add((state.entities[scope, name], instrument, number))
        assert {event[1:4] for event in values(tick(make()))} == wanted
    assert {a.SCOPE_NAMES[scope] for scope, _ in known_entities(settings)} == set(SCOPES) - {"desk", "flow"}
    assert told(log, "warning") == []


@pytest.mark.parametrize("limit", catalogue.LIMITS, ids=lambda limit: limit.key)
def test_a_limit_stands_where_limits_yaml_may_have_it(limit: catalogue.Limit) -> None:
    alone = {scope for scope in range(a.SCOPES) if not place_fault(scope, limit.index, False)}
    assert alone == (set(limit.scopes) if catalogue.PUSHABLE[limit.index] else set())
    paired = {scope for scope in range(a.SCOPES) if not place_fault(scope, limit.index, True)}
    counts = limit.key in ("max_open_orders", "max_messages")
    assert paired == (set() if counts else alone & set(catalogue.PER_INSTRUMENT_SCOPES) - {a.INSTRUMENT})


def test_a_publisher_in_plain_struct_code_is_understood(make: Make, state: State, path: Path) -> None:
    raw = RawFile(path)
    raw.parameter(0)
    raw.parameter(1, scope=2, limit=3, value=7 * E8, name=b"ACC1", symbol=b"AAPL", expires=10**15)
    pair = (
        3,
        state.entities[a.ACCOUNT, "ACC1"],
        state.instruments["AAPL"],
        a.MAX_LONG,
        7 * E8,
        2,
        12,
        10**15 + BASE_NS,
    )
    assert values(tick(make())) == [momo(state, 400 * E8, 1, 12), pair]


@pytest.mark.parametrize("value", [0, 1, a.UNLIMITED])
def test_values_at_the_edges_are_values(make: Make, state: State, path: Path, value: int) -> None:
    RawFile(path).parameter(value=value)
    assert values(tick(make())) == [momo(state, value, 1, 12)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"value": -1}, "value -1 is out of range"),
        ({"value": -(2**63)}, "value -9223372036854775808 is out of range"),
        ({"value": a.UNLIMITED + 1}, "is out of range"),
        ({"value": 0x7FF8000000000000}, "is out of range"),  # the bits of a NaN
        ({"epoch": 0}, "epoch 0"),
        ({"expires": -1}, "expires_ns -1"),
        ({"expires": 2**63 - 1}, "expires_ns 9223372036854775807"),
        ({"time": 0}, "its time 0"),
        ({"time": time.time_ns()}, "is not of CLOCK_MONOTONIC, or in the future"),
    ],
)
def test_a_value_that_cannot_be_holds_its_limit(
    make: Make, state: State, path: Path, log: Any, changes: dict[str, int], why: str
) -> None:
    raw = RawFile(path)
    raw.parameter(**changes)
    feed = make()
    assert values(tick(feed)) == [momo(state, -1)]
    assert values(tick(feed)) == []
    assert len(told(log, "error")) == 1 and why in told(log, "error")[0]
    raw.parameter()
    assert values(tick(feed)) == [momo(state, 400 * E8, 2, 12)]


@pytest.mark.parametrize("byte", range(8, 144))
def test_every_byte_is_covered_by_the_checksum(make: Make, state: State, path: Path, byte: int) -> None:
    raw = RawFile(path)
    raw.parameter()
    feed = make()
    tick(feed)
    raw.map[raw.at(0) + byte] ^= 4
    raw.put(raw.at(0), 4)
    raw.put(64, 2)
    assert values(tick(feed)) == [momo(state, -1)]


def test_a_damaged_record_is_told_once_for_each_sequence(make: Make, state: State, path: Path, log: Any) -> None:
    raw = RawFile(path)
    raw.parameter()
    raw.map[raw.at(0) + 50] ^= 1
    feed = make()
    assert values(tick(feed) + tick(feed)) == [momo(state, -1)]
    raw.put(raw.at(0), 4)
    assert values(tick(feed) + tick(feed)) == [momo(state, -1)]
    assert told(log, "error") == ["its checksum is wrong"] * 2


def test_a_damaged_key_that_was_never_whole_is_told_only(make: Make, path: Path, log: Any) -> None:
    raw = RawFile(path)
    raw.parameter()
    raw.map[raw.at(0) + 72] ^= 1
    assert values(tick(make())) == []
    assert told(log, "warning") == ["its checksum is wrong"]


def test_a_record_left_half_written_holds_its_limit(make: Make, state: State, path: Path, log: Any) -> None:
    raw = RawFile(path)
    raw.parameter()
    feed = make()
    tick(feed)
    raw.put(raw.at(0), 3)
    raw.put(raw.at(0) + 48, 10**18)
    assert values(tick(feed) + tick(feed)) == []  # a live writer may be in the middle of it
    assert values(tick(feed, TICK_NS)) == [momo(state, -1)]
    for later_ns in range(2 * TICK_NS, 5 * TICK_NS, TICK_NS):
        assert values(tick(feed, later_ns)) == []
    assert told(log, "error") == ["it was left half written"]
    raw.parameter(value=300 * E8)
    assert values(tick(feed, 5 * TICK_NS)) == [momo(state, 300 * E8, 2, 12)]


def test_a_writer_that_takes_long_is_waited_for(make: Make, state: State, path: Path, log: Any) -> None:
    raw = RawFile(path)
    raw.parameter()
    feed = make()
    tick(feed)
    for later_ns in range(TICK_NS, 5 * TICK_NS, TICK_NS):
        raw.put(raw.at(0), raw.get(raw.at(0)) + 1)
        assert values(tick(feed, later_ns)) == []
        raw.put(raw.at(0), raw.get(raw.at(0)) + 1)
    assert values(tick(feed, 5 * TICK_NS)) == [momo(state, 400 * E8, 1, 12)]
    assert told(log, "error") == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": b"NOBODY"}, "there is no strategy 'NOBODY'"),
        ({"name": b"\xff" * 32}, "there is no strategy"),
        ({"name": b""}, "there is no strategy ''"),
        ({"scope": a.SCOPES}, f"there is no scope {a.SCOPES}"),
        ({"scope": -1}, "there is no scope -1"),
        ({"limit": a.MAX_LIMITS}, f"there is no limit {a.MAX_LIMITS}"),
        ({"limit": -(2**63)}, "there is no limit"),
        ({"limit": a.MESSAGE_WINDOW}, "message_window cannot be pushed"),
        ({"limit": a.DUPLICATE_WINDOW}, "duplicate_window cannot be pushed"),
        ({"scope": 8, "name": b"XNAS", "limit": a.MAX_LONG}, "max_long cannot stand at scope venue"),
        ({"symbol": b"NONE"}, "there is no instrument 'NONE'"),
        ({"symbol": b"AAPL", "limit": a.MAX_MESSAGES}, "max_messages cannot stand at strategy and instrument together"),
    ],
)
def test_what_is_not_known_is_told_once(make: Make, path: Path, log: Any, changes: dict[str, Any], why: str) -> None:
    raw = RawFile(path)
    raw.parameter(**changes)
    feed = make()
    assert values(tick(feed)) == []
    raw.parameter(**changes)
    assert values(tick(feed)) == []
    assert len(told(log, "warning")) == 1 and told(log, "warning")[0].startswith(why)


def test_an_epoch_that_is_not_counted_is_made_up_for_at_the_next_check(make: Make, state: State, path: Path) -> None:
    raw = RawFile(path)
    feed = make()
    tick(feed)
    raw.parameter()
    raw.put(64, 0)
    assert not feed.changed()
    assert values(tick(feed)) == [momo(state, 400 * E8, 1, 12)]


def test_silence_is_told_once_and_all_is_given_again(make: Make, state: State, path: Path) -> None:
    feed = make()
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
        tick(feed)
        assert tick(feed, 5 * 10**9) == []
        down = tick(feed, 11 * 10**9) + tick(feed, 12 * 10**9)
        assert [up for up, _ in ups(down)] == [0]
        assert f"its publisher (process {os.getpid()}) has been silent for" in ups(down)[0][1]
        publisher.push("max_order_qty", 300, "strategy", "ARB")
        assert not feed.changed() and feed.observe(time.monotonic_ns(), BASE_NS) == []
        again = tick(feed)
        assert ups(again) == [(1, "")] and again[0].kind == ev.SOURCE
        assert {event[1:5] for event in values(again)} == {
            momo(state, 400 * E8)[1:5],
            (state.entities[a.STRATEGY, "ARB"], NONE, a.MAX_ORDER_QTY, 300 * E8),
        }


def test_who_pushes_by_hand_may_be_silent(make: Make, state: State, path: Path) -> None:
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
    feed = make(max_silence="none")
    assert values(tick(feed, 10**15)) == [momo(state, 400 * E8, 1)]
    assert ups(tick(feed, 2 * 10**15)) == []


def test_a_heartbeat_of_another_clock_is_not_believed(make: Make, path: Path) -> None:
    raw = RawFile(path)
    raw.put(56, time.time_ns())
    assert ups(tick(make())) == [(0, "its heartbeat is in the future: want CLOCK_MONOTONIC")]


def test_a_publisher_that_starts_again_goes_unnoticed(make: Make, state: State, path: Path) -> None:
    feed = make()
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
        tick(feed)
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 300, "strategy", "MOMO")
        assert feed.changed()
        assert tick(feed)[0].value == momo(state, 300 * E8, 2)


def test_a_file_that_comes_late_and_is_taken_away(make: Make, path: Path) -> None:
    feed = make()
    assert ups(tick(feed) + tick(feed)) == [(0, f"{path}: No such file or directory")]
    RawFile(path).parameter()
    assert ups(tick(feed)) == [(1, "")]
    path.unlink()
    assert ups(tick(feed) + tick(feed)) == [(0, f"{path}: No such file or directory")]
    assert not feed.changed()


def test_another_file_in_its_place_is_taken_up(make: Make, state: State, path: Path) -> None:
    RawFile(path).parameter()
    feed = make()
    tick(feed)
    other = RawFile(path.with_name("other"))
    other.parameter(value=300 * E8)
    other.path.rename(path)
    assert ups(tick(feed)) == [(0, f"{path}: was replaced by another file")]
    events = tick(feed)
    assert (ups(events), values(events)) == ([(1, "")], [momo(state, 300 * E8, 1, 12)])


@pytest.mark.parametrize("size", [0, 64, 128, 4096])
def test_a_file_that_is_cut_short_is_not_looked_at(make: Make, path: Path, size: int) -> None:
    raw = RawFile(path, capacity=64)
    raw.parameter()
    feed = make()
    tick(feed)
    os.truncate(path, size)
    events = tick(feed)
    assert ups(events) == [(0, f"{path}: was cut short: {size} bytes, want {128 + 64 * 144}")]
    assert not feed.changed() and tick(feed) == []


@pytest.mark.parametrize(
    ("offset", "word", "why"),
    [
        (0, int.from_bytes(b"TIDEQUOT", "little"), "is not a TIDEPARM file"),
        (0, 0, "is not a TIDEPARM file"),
        (8, 0, "has version 0, want 1"),
        (8, 2, "has version 2, want 1"),
        (16, 0, "has 8 records of 0 bytes"),
        (24, 0, "has 0 records"),
        (24, 2**62, "has 4611686018427387904 records"),
        (24, 9, "is cut short: 1280 bytes, want 1424"),
        (48, 1, "was left from before the machine was started"),
        (56, 0, "has been silent for"),
    ],
)
def test_a_file_of_no_use_is_told(make: Make, path: Path, offset: int, word: int, why: str) -> None:
    raw = RawFile(path)
    raw.parameter()
    good = raw.get(offset)
    raw.put(offset, word)
    feed = make()
    events = tick(feed) + tick(feed)
    assert [event.kind for event in events] == [ev.SOURCE]
    assert ups(events)[0][0] == 0 and why in ups(events)[0][1]
    raw.put(offset, good)
    assert ups(tick(feed)) == [(1, "")]


def test_a_header_that_changes_under_the_map_is_told(make: Make, path: Path) -> None:
    raw = RawFile(path)
    feed = make()
    tick(feed)
    raw.put(24, 2)
    assert ups(tick(feed)) == [(0, f"{path}: its header was changed")]
    raw.beat()
    assert ups(tick(feed)) == [(1, "")]


def test_what_is_no_file_is_told(make: Make, path: Path) -> None:
    os.mkfifo(path)
    assert ups(tick(make())) == [(0, f"{path}: is no plain file")]
    path.unlink()
    path.mkdir()
    assert ups(tick(make())) == [(0, f"{path}: is no plain file")]


def test_random_bytes_raise_nothing(make: Make, path: Path) -> None:
    """Whatever stands in the records, the core's thread goes on."""
    raw = RawFile(path)
    feed = make()
    tick(feed)
    for _ in range(300):
        raw.write(0, os.urandom(128))
        raw.map[raw.at(1) : raw.at(8)] = os.urandom(raw.at(8) - raw.at(1))
        raw.put(32, 8)
        assert all(event.value[4] == -1 for event in tick(feed))


def test_quotes_have_their_time_in_the_gateways_clock(make: Make, state: State, path: Path) -> None:
    feed = make(QuoteFeed)
    with QuotePublisher(path) as publisher:
        as_of_ns = time.monotonic_ns() - 10**9
        publisher.publish("AAPL", "99.99", "100.01", 100, 1, 2, "0.5", time_ns=as_of_ns)
        publisher.publish("MSFT", last=200)
        first, second = values(tick(feed), ev.QUOTE)
        prices = (9999 * 10**6, 10001 * 10**6, 100 * E8, E8, 2 * E8, E8 // 2)
        assert first == (state.instruments["AAPL"], *prices, as_of_ns + BASE_NS)
        assert second[:7] == (state.instruments["MSFT"], 0, 0, 200 * E8, 0, 0, 0)
        publisher.publish("MSFT", last=201)
        assert feed.changed()
        (third,) = values(feed.observe(time.monotonic_ns(), BASE_NS), ev.QUOTE)
        assert third[3] == 201 * E8


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bid": -1}, "a price or quantity is out of range"),
        ({"ask_qty": 10**18 + 1}, "a price or quantity is out of range"),
        ({"time": time.time_ns()}, "is not of CLOCK_MONOTONIC, or in the future"),
        ({"time": 0}, "its time 0"),
    ],
)
def test_a_quote_that_cannot_be_is_left_aside(
    make: Make, path: Path, log: Any, changes: dict[str, int], why: str
) -> None:
    raw = RawFile(path, b"TIDEQUOT")
    raw.quote(**changes)
    feed = make(QuoteFeed)
    assert values(tick(feed), ev.QUOTE) == []
    assert len(told(log, "error")) == 1 and why in told(log, "error")[0]
    raw.quote()
    assert len(values(tick(feed), ev.QUOTE)) == 1


def test_a_quote_a_second_ahead_is_left_aside(make: Make, path: Path) -> None:
    RawFile(path, b"TIDEQUOT").quote(time=time.monotonic_ns() + 10**9)
    assert values(tick(make(QuoteFeed)), ev.QUOTE) == []


def test_a_damaged_quote_and_an_unknown_symbol_are_left_aside(make: Make, path: Path, log: Any) -> None:
    raw = RawFile(path, b"TIDEQUOT")
    raw.quote()
    raw.map[raw.at(0) + 20] ^= 1
    raw.quote(1, symbol=b"NONE")
    assert values(tick(make(QuoteFeed)), ev.QUOTE) == []
    assert told(log, "error") == ["its checksum is wrong"]
    assert told(log, "warning") == ["there is no instrument 'NONE'"]


def test_quotes_of_before_the_gateway_s_clock_are_old(make: Make, path: Path) -> None:
    """A state folder of a machine that has been up for longer: the clock's base is below zero. 0 would mean now."""
    raw = RawFile(path, b"TIDEQUOT")
    as_of_ns = time.monotonic_ns()
    raw.quote(0, time=as_of_ns)
    raw.quote(1, time=as_of_ns, symbol=b"MSFT")
    feed = make(QuoteFeed)
    now_ns = time.monotonic_ns()
    feed.check(now_ns)
    for base_ns in (-as_of_ns - 10**9, -as_of_ns):
        quotes = values(feed.observe(now_ns, base_ns), ev.QUOTE)
        assert [quote[-1] for quote in quotes] == [1, 1]
        raw.quote(0, time=as_of_ns)
        raw.quote(1, time=as_of_ns, symbol=b"MSFT")


# A limit that a person gave back.


class Held:
    """A core's state, and a feed of it; what the feed gives is applied, as the service does."""

    def __init__(self, make: Make, state: State, static: float = 1_000) -> None:
        self.state = state
        self.core = Driver(state.block)
        self.entity = state.entities[a.STRATEGY, "MOMO"]
        state.record.entities["limit_set"][self.entity, a.MAX_ORDER_QTY] = static * E8
        state.record.entities["limit"][self.entity, a.MAX_ORDER_QTY] = static * E8
        state.record.source_count = 4
        self.feed = make(max_silence="none")

    def read(self) -> float:
        """Let the feed look; returns the limit in force, in shares."""
        for event in tick(self.feed):
            self.apply(event)
        return float(self.state.record.entities["limit"][self.entity, a.MAX_ORDER_QTY]) / E8

    def apply(self, event: Event) -> None:
        now_ns = time.monotonic_ns() + BASE_NS
        self.core.handle(Event(event.kind, now_ns, data=event.data, value=event.value))

    def give_back(self) -> None:
        self.apply(Event(ev.RELEASE, 0, data=b"alice: done", value=(3, self.entity, NONE, a.MAX_ORDER_QTY)))


def test_a_push_after_it_was_given_back_counts_though_its_epoch_is_the_same(
    make: Make, state: State, path: Path
) -> None:
    """A new file after a reboot: epochs begin at 1 again."""
    held = Held(make, state)
    RawFile(path).parameter()
    assert held.read() == 400
    held.give_back()
    path.unlink()
    assert held.read() == 1_000
    RawFile(path).parameter(value=200 * E8)
    assert held.read() == 200
    assert state.record.entities["limit_epoch"][held.entity, a.MAX_ORDER_QTY] == 1


@pytest.mark.parametrize("how", ["another look", "silence", "a new feed", "a new file"])
def test_what_was_given_back_is_not_taken_by_reading_it_again(make: Make, state: State, path: Path, how: str) -> None:
    held = Held(make, state)
    pushed_ns = time.monotonic_ns()
    raw = RawFile(path)
    raw.parameter(time=pushed_ns)
    assert held.read() == 400
    held.give_back()
    if how == "another look":
        raw.put(64, raw.get(64) + 1)
        raw.put(raw.at(0), raw.get(raw.at(0)) + 2)
    elif how == "silence":
        path.rename(path.with_name("away"))
        held.read()
        path.with_name("away").rename(path)
    elif how == "a new feed":
        held.feed = make(max_silence="none")
    else:
        other = RawFile(path.with_name("other"))
        other.parameter(time=pushed_ns, epoch=9)
        other.path.rename(path)
    for _ in range(3):
        assert held.read() == 1_000
    raw = RawFile(path.with_name("next"))
    raw.parameter(value=300 * E8)
    raw.path.rename(path)
    held.read()
    assert held.read() == 300


def test_a_push_that_was_not_yet_read_when_it_was_given_back(make: Make, state: State, path: Path) -> None:
    """The person did not see it, and it is older than the word of the person."""
    held = Held(make, state)
    raw = RawFile(path)
    raw.parameter()
    assert held.read() == 400
    raw.parameter(value=200 * E8)
    held.give_back()
    assert held.read() == 1_000
    raw.parameter(value=200 * E8)
    assert held.read() == 200


def test_what_one_gives_back_leaves_other_limits_and_sources(make: Make, state: State, path: Path) -> None:
    """Of another source, entity, limit or instrument: their records are read again as ever."""
    held = Held(make, state)
    raw = RawFile(path)
    raw.parameter(0)
    raw.parameter(1, name=b"ARB")
    raw.parameter(2, symbol=b"AAPL")
    raw.parameter(3, limit=1)
    held.read()
    held.give_back()
    again = values(tick(make(max_silence="none")))
    assert {event[1:4] for event in again} == {
        (state.entities[a.STRATEGY, "ARB"], NONE, a.MAX_ORDER_QTY),
        (held.entity, state.instruments["AAPL"], a.MAX_ORDER_QTY),
        (held.entity, NONE, 1),
    }


def test_a_damaged_record_of_a_limit_that_was_given_back_changes_nothing(
    make: Make, state: State, path: Path, log: Any
) -> None:
    held = Held(make, state)
    raw = RawFile(path)
    raw.parameter()
    assert held.read() == 400
    held.give_back()
    raw.map[raw.at(0) + 50] ^= 1
    raw.put(raw.at(0), 4)
    raw.put(64, 2)
    assert held.read() == 1_000
    assert told(log, "error") == ["its checksum is wrong"]
