"""Publishers take exact values only, one process at a time, and go on where the last one ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.params.publisher import ParameterPublisher, PublisherError, QuotePublisher
from tests.params.raw import RawFile

HOLDER = """
import sys
from gateway.params.publisher import ParameterPublisher
with ParameterPublisher(sys.argv[1]) as publisher:
    publisher.push("max_order_qty", 400, "strategy", "MOMO")
    print("has it", flush=True)
    sys.stdin.read()
"""


def test_importing_it_takes_the_standard_library_only() -> None:
    code = "import sys, gateway.params.publisher; print({'numpy', 'numba', 'structlog', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_one_process_at_a_time_and_the_next_goes_on(path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"has it\n"
        with pytest.raises(PublisherError, match="source: another process publishes there"):
            ParameterPublisher(path)
        other.kill()
    with ParameterPublisher(path) as publisher:
        assert publisher.epoch == 1
        assert publisher.push("max_order_qty", 300, "strategy", "MOMO") == 2
        assert publisher.push("max_order_qty", 200, "strategy", "ARB") == 3
    raw = path.read_bytes()
    assert (raw[32], raw[64], int.from_bytes(raw[40:48], "little")) == (2, 3, os.getpid())
    assert (raw[128], raw[128 + 144]) == (4, 2)


BAD_VALUES: list[Any] = [
    *(float("nan"), Decimal("nan"), Decimal("snan"), "NaN", "inf", Decimal("-inf"), "1e999999999", "1e30", 10**11),
    *(-1, "-0.00000001", 0.5, True, None, b"1", "", "many", "1.000000001", Decimal("1") / Decimal("3")),
    f"1.{'0' * 30}1",
    f"1.{'0' * 80}1",
]


@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_value_that_is_no_exact_amount_is_refused(path: Path, value: Any) -> None:
    with ParameterPublisher(path) as publisher, pytest.raises(ValueError, match="^max_order_qty: want"):
        publisher.push("max_order_qty", value, "firm")
    with QuotePublisher(path.with_name("quotes")) as quotes, pytest.raises(ValueError, match="^bid: want"):
        quotes.publish("AAPL", bid=value)
    assert path.read_bytes()[32:40] == path.with_name("quotes").read_bytes()[32:40] == bytes(8)


@pytest.mark.parametrize(
    ("limit", "value", "units"),
    [
        ("max_order_qty", "0", 0),
        ("max_order_qty", Decimal("-0"), 0),
        ("max_order_qty", 10**10, 10**18),
        ("max_order_qty", Decimal("0.00000001"), 1),
        ("max_order_notional", "25000.5", 250_005_000),
        ("collar_bps", 10_000, 10_000),
        ("max_messages", "7", 7),
        ("reference_max_age", "250ms", 250 * 10**6),
        ("reference_max_age", "2m", 120 * 10**9),
        ("reference_max_age", Decimal("0.5"), 5 * 10**8),
    ],
)
def test_values_are_exact(path: Path, limit: str, value: Any, units: int) -> None:
    with ParameterPublisher(path) as publisher:
        publisher.push(limit, value, "firm")
    assert int.from_bytes(path.read_bytes()[128 + 48 : 128 + 56], "little") == units


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"limit": "message_window"}, "limit: want one of max_order_qty"),
        ({"limit": "max_position"}, "limit: want one of max_order_qty"),
        ({"scope": "fund"}, "scope: want one of firm"),
        ({"name": ""}, "name: want one for every scope but firm"),
        ({"scope": "firm"}, "name: want one for every scope but firm"),
        ({"name": "a" * 33}, "name: want at most 32"),
        ({"name": "MO MO"}, "name: want at most 32"),
        ({"symbol": "AAPL\0"}, "symbol: want at most 32"),
        ({"limit": "collar_bps", "value": 10_001}, "collar_bps: want at most 10000"),
        ({"limit": "max_messages", "value": "1.5"}, "max_messages: want at most 0 decimals"),
        ({"limit": "reference_max_age", "value": "5 weeks"}, "reference_max_age: want a number"),
        ({"expires_s": 0}, "expires_s: want more than zero"),
        ({"expires_s": -1.0}, "expires_s: want more than zero"),
        ({"expires_s": float("nan")}, "expires_s: want more than zero"),
        ({"expires_s": float("inf")}, "expires_s: want more than zero"),
        ({"model": -1}, "model: want"),
        ({"tier": 2**63}, "tier: want"),
    ],
)
def test_what_is_of_no_use_is_refused_with_one_line(path: Path, change: dict[str, Any], what: str) -> None:
    good: dict[str, Any] = {"limit": "max_order_qty", "value": 400, "scope": "strategy", "name": "MOMO"}
    with ParameterPublisher(path) as publisher:
        with pytest.raises(ValueError, match=f"^{what}") as error:
            publisher.push(**(good | change))
        assert "\n" not in str(error.value) and publisher.epoch == 0
        assert publisher.push(**good) == 1


def test_every_push_beats(path: Path) -> None:
    with ParameterPublisher(path) as publisher:
        before_ns = time.monotonic_ns()
        publisher.push("max_order_qty", 400, "firm")
        pushed_ns = int.from_bytes(path.read_bytes()[56:64], "little")
        publisher.beat()
        beat_ns = int.from_bytes(path.read_bytes()[56:64], "little")
    assert before_ns < pushed_ns < beat_ns


def test_a_quote_is_of_a_time_that_has_passed(path: Path) -> None:
    with QuotePublisher(path) as publisher:
        for time_ns in (0, -1, time.monotonic_ns() + 10**9):
            with pytest.raises(ValueError, match="^time_ns: want a time of CLOCK_MONOTONIC"):
                publisher.publish("AAPL", last=100, time_ns=time_ns)
        assert publisher.publish("AAPL", last=100, time_ns=time.monotonic_ns() - 10**6) == 1


def test_a_full_file_says_so_and_old_keys_still_go(path: Path) -> None:
    with QuotePublisher(path, capacity=2) as publisher:
        for symbol in ("AAPL", "MSFT"):
            publisher.publish(symbol, last=1)
        with pytest.raises(PublisherError, match="source: all 2 records are taken"):
            publisher.publish("ESZ6", last=1)
        assert publisher.publish("AAPL", last=2) == 3


def test_a_record_left_half_written_is_made_good_by_its_next_push(path: Path) -> None:
    raw = RawFile(path)
    raw.parameter()
    raw.put(raw.at(0), 3)
    raw.put(raw.at(0) + 48, 1)
    with ParameterPublisher(path) as publisher:
        publisher.push("max_order_qty", 400, "strategy", "MOMO")
    assert (raw.get(raw.at(0)), raw.get(raw.at(0) + 48), raw.get(32)) == (4, 400 * 10**8, 1)


def test_a_file_of_another_boot_is_begun_anew_but_its_epoch(path: Path) -> None:
    raw = RawFile(path)
    raw.parameter()
    raw.put(48, 1)
    with ParameterPublisher(path) as publisher:
        assert raw.get(32) == 0 and not any(raw.map[128:])
        assert publisher.push("max_order_qty", 400, "strategy", "MOMO") == 2


@pytest.mark.parametrize(
    ("offset", "word", "what"),
    [
        (0, 0x5555, "is not a TIDEPARM file"),
        (8, 2, "has version 2, want 1"),
        (16, 136, "has 8 records of 136 bytes, want 1 to 65536 of 144"),
        (24, 9, "is cut short: 1280 bytes, want 1424"),
        (24, -1, "has -1 records"),
        (32, 9, "has 9 records of 8"),
        (128 + 48, 1, "record 0 is damaged"),
    ],
)
def test_a_file_of_no_use_is_left_as_it_is(path: Path, offset: int, word: int, what: str) -> None:
    raw = RawFile(path)
    raw.parameter()
    raw.put(offset, word)
    before = path.read_bytes()
    with pytest.raises(PublisherError, match=what):
        ParameterPublisher(path)
    assert path.read_bytes() == before


def test_limits_are_not_published_in_a_file_of_quotes(path: Path) -> None:
    with QuotePublisher(path) as quotes:
        quotes.close()
    with pytest.raises(PublisherError, match="is not a TIDEPARM file"):
        ParameterPublisher(path)
