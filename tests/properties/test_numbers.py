"""Numbers of the kernels against `decimal` and `datetime`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.checks import price, size
from gateway.fix import values
from gateway.fix.layout import E8, MALFORMED, MAX_WHOLE, NO_TIME, TOO_LARGE, TOO_PRECISE
from gateway.jit import entry

D = Decimal
EXACT = Context(prec=100)
LARGEST_E8 = MAX_WHOLE * E8


@entry
def parse_decimal(buf, start, length):
    return values.parse_decimal(buf, start, length)


@entry
def parse_utc_timestamp(buf, start, length):
    return values.parse_utc_timestamp(buf, start, length)


@entry
def multiply_up(quantity_e8, price_e8):
    return values.multiply_up(quantity_e8, price_e8)


@entry
def scale_up(money_e4, value_e8):
    return size.scale_up(money_e4, value_e8)


@entry
def share_of(price_e8, bps):
    return price.share_of(price_e8, bps)


def parse(kernel, text: str) -> int:
    """The text stands in the middle of a buffer, so a kernel that reads too far is seen."""
    data = b"77" + text.encode() + b"77"
    return kernel(np.frombuffer(data, np.uint8), 2, len(data) - 4)


def exact(value: Decimal, rounding: str) -> int:
    return int(value.quantize(D(1), rounding, EXACT))


def wanted_decimal(text: str) -> int:
    value = D(text)
    scaled = EXACT.multiply(value, D(E8))
    if scaled != scaled.to_integral_value():
        return TOO_PRECISE
    return TOO_LARGE if abs(int(value)) > MAX_WHOLE else int(scaled)


amounts = st.one_of(
    st.integers(0, LARGEST_E8),
    st.integers(0, 10**6),
    st.builds(
        lambda whole, off: min(max(whole * E8 + off, 0), LARGEST_E8), st.integers(0, MAX_WHOLE), st.integers(-2, 2)
    ),
    st.builds(lambda n: 10**n, st.integers(0, 18)),
)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.from_regex(r"-?([0-9]{1,12}(\.[0-9]{0,11})?|\.[0-9]{1,11})", fullmatch=True))
@example("10000000000")
@example("10000000000.99999999")
@example("10000000001")
@example("-0")
@example("1.000000010")
@example("0000000000000000000000000000001")
def test_decimals_are_read_exactly(text):
    wanted = wanted_decimal(text)
    got = parse(parse_decimal, text)
    if wanted == TOO_LARGE or abs(int(D(text))) > MAX_WHOLE:
        assert got in (TOO_LARGE, TOO_PRECISE)
    else:
        assert got == wanted


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.text("0123456789.-+eE ,", max_size=8))
@example("")
@example("-")
@example(".")
@example("--1")
@example("1e3")
@example("+1")
@example("1 ")
def test_what_is_no_decimal_is_malformed(text):
    digits = text.removeprefix("-")
    is_decimal = digits.count(".") <= 1 and digits.replace(".", "", 1).isdigit()
    assert (parse(parse_decimal, text) == MALFORMED) == (not is_decimal)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(amounts, amounts)
@example(LARGEST_E8, LARGEST_E8)
@example(1, 1)
@example(LARGEST_E8, 1)
def test_products_are_exact_and_rounded_up(quantity_e8, price_e8):
    wanted = exact(EXACT.multiply(D(quantity_e8), D(price_e8)) / D(10**12), ROUND_CEILING)
    got = multiply_up(quantity_e8, price_e8)
    assert got == wanted or (got == -1 and wanted > 2**61)
    assert multiply_up(price_e8, quantity_e8) == got


@pytest.mark.parametrize("pair", [(-1, 1), (1, -1), (LARGEST_E8 + 1, 1), (1, LARGEST_E8 + 1)])
def test_products_of_what_is_no_amount_are_refused(pair):
    assert multiply_up(*pair) == -1


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.integers(0, 2**62), amounts)
@example(2**62, E8)
@example(1, 1)
@example(2**62, LARGEST_E8)
def test_money_times_multiplier_is_rounded_up(money_e4, value_e8):
    wanted = exact(EXACT.multiply(D(money_e4), D(value_e8)) / D(E8), ROUND_CEILING)
    got = scale_up(money_e4, value_e8)
    assert got == wanted or (got == -1 and money_e4 * (value_e8 // E8 + 1) > 4 * 10**18)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(amounts, st.integers(0, 10_000))
@example(LARGEST_E8, 10_000)
@example(1, 9_999)
def test_share_of_a_price_is_rounded_down(price_e8, bps):
    assert share_of(price_e8, bps) == exact(D(price_e8) * bps / D(10_000), ROUND_FLOOR)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 12, 31)), st.sampled_from((0, 3, 6, 9)), st.integers(0, 999))
@example(datetime(2000, 2, 29), 3, 0)
@example(datetime(2100, 3, 1), 9, 999)
@example(datetime(1970, 1, 1), 0, 0)
def test_time_stamps_are_read_as_by_datetime(moment, decimals, nanos):
    fraction = f"{moment.microsecond:06d}{nanos:03d}"[:decimals]
    text = moment.strftime("%Y%m%d-%H:%M:%S").zfill(17) + ("." + fraction if decimals else "")
    since = moment.replace(microsecond=0, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    wanted = since // timedelta(seconds=1) * 10**9 + int(fraction.ljust(9, "0"))
    assert parse(parse_utc_timestamp, text) == wanted


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.integers(0, 26), st.sampled_from("x-:. /"))
def test_a_spoilt_time_stamp_is_none(at, mark):
    text = "20260711-12:00:00.123456789"
    if text[at] != mark:
        assert parse(parse_utc_timestamp, text[:at] + mark + text[at + 1 :]) == NO_TIME


@pytest.mark.parametrize(
    "text",
    [
        *("", "20260711", "20261311-12:00:00", "20260732-12:00:00", "20260711-24:00:00", "20260711-12:60:00"),
        *("20260711-12:00:61", "20260711-12:00:00.", "20260711-12:00:00.1", "20260700-12:00:00", "20260011-12:00:00"),
        *("20260230-12:00:00", "20250229-12:00:00", "20260431-12:00:00"),
    ],
)
def test_what_is_no_time_is_none(text):
    assert parse(parse_utc_timestamp, text) == NO_TIME
