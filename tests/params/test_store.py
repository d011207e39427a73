"""The layout is what is documented, and the names that publishers know are those of the core."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import files
from gateway.config.sections import NAME, UNITS_NS
from gateway.core import catalogue
from gateway.core import layout as a
from gateway.params import publisher, store
from gateway.params.publisher import ParameterPublisher, QuotePublisher


def test_publishers_know_every_scope_and_every_limit_that_may_be_pushed() -> None:
    pushable = [limit for limit in catalogue.LIMITS if catalogue.PUSHABLE[limit.index]]
    assert {limit.key: (limit.index, limit.kind) for limit in pushable} == store.LIMITS
    assert list(store.SCOPES) == list(a.SCOPE_NAMES) and list(store.SCOPES.values()) == list(range(a.SCOPES))
    assert store.NAME.pattern == NAME.pattern
    assert {unit: int(seconds * 10**9) for unit, seconds in publisher.DURATION_SECONDS.items()} == UNITS_NS


@pytest.mark.parametrize("limit", [limit for limit in catalogue.LIMITS if catalogue.PUSHABLE[limit.index]])
def test_a_value_has_the_units_it_would_have_in_limits_yaml(limit: catalogue.Limit) -> None:
    text = {"quantity": "1234.00000001", "money": "99.0001", "bps": "25", "count": "7", "duration": "250ms"}[limit.kind]
    assert publisher.limit_units(limit.key, text) == files._limit_value(limit, text)


@pytest.mark.parametrize(
    ("fields", "size", "format_", "magic"),
    [
        (store.PARAMETER, store.PARAMETER_BYTES, store.PARAMETER_FORMAT, ParameterPublisher),
        (store.QUOTE, store.QUOTE_BYTES, store.QUOTE_FORMAT, QuotePublisher),
        (store.HEADER, store.HEADER_BYTES, "<8s8q56s", None),
    ],
)
def test_fields_and_formats_agree(fields: list[tuple[str, str]], size: int, format_: str, magic: Any) -> None:
    dtype = np.dtype(fields)
    assert dtype.itemsize == struct.calcsize(format_) == size and size % 8 == 0
    codes = struct.Struct(format_).unpack(bytes(range(size)) if size < 256 else bytes(size))
    row = np.frombuffer(bytes(range(size)), dtype)[0]
    assert [v if isinstance(v, bytes) else int(v) for v in row.tolist()] == list(codes)


def test_every_field_stands_at_its_documented_offset() -> None:
    source = Path(store.__file__).read_text()
    for fields in (store.HEADER, store.PARAMETER, store.QUOTE):
        dtype = np.dtype(fields)
        assert dtype.fields is not None
        for name, kind in fields:
            assert f'("{name}", "{kind}"),  # {dtype.fields[name][1]}' in source


def test_a_file_of_a_publisher_is_as_documented(path: Path) -> None:
    with ParameterPublisher(path, capacity=5) as publisher_:
        publisher_.push("max_long", "12.5", "account", "ACC1", symbol="AAPL", expires_s=60, model=3, tier=1)
        raw = path.read_bytes()
    head = np.frombuffer(raw[:128], np.dtype(store.HEADER))[0]
    assert (head["magic"], head["version"], head["record_size"]) == (b"TIDEPARM", 1, 144)
    assert (head["capacity"], head["used"], head["epoch"], len(raw)) == (5, 1, 1, 128 + 5 * 144)
    record = np.frombuffer(raw[128:272], np.dtype(store.PARAMETER))[0]
    assert (record["sequence"], record["epoch"], record["model"], record["tier"]) == (2, 1, 3, 1)
    assert (record["scope"], record["limit"], record["value"]) == (a.ACCOUNT, a.MAX_LONG, 12_5000_0000)
    assert (record["name"], record["symbol"]) == (b"ACC1", b"AAPL")
    assert record["expires_ns"] - record["time_ns"] == 60 * 10**9
    assert record["checksum"] == zlib.crc32(raw[136:264])
