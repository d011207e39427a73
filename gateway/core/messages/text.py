"""The text of a refusal: every breach with its numbers and where the limit stands. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.layout import HALTED, NONE, TEXT_BYTES, UNSET
from gateway.fix import tags as t
from gateway.fix.layout import E4, E8
from gateway.fix.write import write_decimal, write_digits
from gateway.jit import kernel

SPACE, COMMA, SEMICOLON, DOT = 32, 44, 59, 46
OPEN, CLOSE, STAR, LESS, EQUALS, MORE = 40, 41, 42, 60, 61, 62
NO_LIMIT = c.phrase("no limit, set ")
PARAMETERS = c.phrase(", parameters #")
MS, BPS = c.phrase("ms"), c.phrase(" bps")
NOT_A_MULTIPLE = c.phrase(" not a multiple of ")
POSITION, COMMA_SPACE = c.phrase(": position "), c.phrase(", ")
OPEN_TO_BUY = c.phrase(" open to buy: cancel or replace those")
OPEN_TO_SELL = c.phrase(" open to sell: cancel or replace those")


@kernel
def add_bytes(work, source, start, size):
    """Append bytes to the text; what does not fit is cut. Bytes that are not printable ASCII become '?'."""
    size = min(size, TEXT_BYTES - work.text_size)
    for k in range(size):
        byte = source[start + k]
        work.text[work.text_size + k] = byte if 32 <= byte < 127 else 63
    work.text_size += max(size, 0)


@kernel
def say(work, phrase):
    """Make a phrase the text."""
    work.text_size = 0
    add_bytes(work, phrase, 0, phrase.size)


@kernel
def add_char(work, char):
    """Append one byte to the text."""
    if work.text_size < TEXT_BYTES:
        work.text[work.text_size] = char
        work.text_size += 1


@kernel
def add_count(work, value):
    """Append a whole number."""
    if work.text_size + 24 <= TEXT_BYTES:
        work.text_size = write_digits(work.text, work.text_size, value)


@kernel
def _add_number(work, unit, value):
    if work.text_size + 24 > TEXT_BYTES:
        return
    if unit == c.QUANTITY or unit == c.PRICE:
        work.text_size = write_decimal(work.text, work.text_size, value, E8)
    elif unit == c.MONEY:
        work.text_size = write_decimal(work.text, work.text_size, value, E4)
    elif unit == c.MILLISECONDS:
        work.text_size = write_digits(work.text, work.text_size, value // 1_000_000)
        add_bytes(work, MS, 0, MS.size)
    elif unit == c.BASIS_POINTS:
        work.text_size = write_digits(work.text, work.text_size, value)
        add_bytes(work, BPS, 0, BPS.size)
    else:
        work.text_size = write_digits(work.text, work.text_size, value)


@kernel
def _add_place(s, work, breach, between):
    """Append scope and name of the entity where the limit stands, and the instrument when it stands at a pair."""
    e = s.entities[breach.entity]
    add_bytes(work, c.SCOPE_NAME[e.scope], 0, c.SCOPE_NAME_SIZE[e.scope])
    if e.name_size > 0:
        add_char(work, between)
        add_bytes(work, e.name, 0, e.name_size)
    if breach.paired == 1:
        i = s.instruments[work.candidate.instrument]
        add_char(work, STAR)
        add_bytes(work, i.symbol, 0, i.symbol_size)


@kernel
def _add_epoch(s, work, breach):
    """Append the epoch of the pushed value, where the limit is one."""
    limit = c.CHECK_LIMIT[breach.check]
    if limit == NONE:
        return
    epoch = s.entities[breach.entity].limit_epoch[limit]
    if breach.paired == 1:
        x = work.candidate
        exposure = x.exposures[s.entities[breach.entity].scope]
        epoch = s.pairs[s.exposures[exposure].pair].limit_epoch[limit]
    if epoch > 0:
        add_bytes(work, PARAMETERS, 0, PARAMETERS.size)
        add_count(work, epoch)


@kernel
def _add_missing(s, work, breach):
    """Append that a mandatory limit is missing, and the key to set."""
    limit = c.CHECK_LIMIT[breach.check]
    add_char(work, SPACE)
    add_bytes(work, NO_LIMIT, 0, NO_LIMIT.size)
    _add_place(s, work, breach, DOT)
    add_char(work, DOT)
    add_bytes(work, c.LIMIT_KEY[limit], 0, c.LIMIT_KEY_SIZE[limit])


@kernel
def _add_beyond(work, unit, value, bound):
    """Append that a value is beyond a bound: ` 600 > 500`."""
    add_char(work, SPACE)
    _add_number(work, unit, value)
    add_char(work, SPACE)
    add_char(work, MORE if value > bound else LESS)
    add_char(work, SPACE)
    _add_number(work, unit, bound)


@kernel
def _add_breach(s, work, breach, buf):
    add_bytes(work, c.CHECK_NAME[breach.check], 0, c.CHECK_NAME_SIZE[breach.check])
    unit = c.CHECK_UNIT[breach.check]
    if breach.detail != NONE:
        add_char(work, SPACE)
        add_bytes(work, c.DETAIL[breach.detail], 0, c.DETAIL_SIZE[breach.detail])
        if breach.field != NONE:
            add_char(work, SPACE)
            if breach.detail == c.DETAIL_TERM or breach.detail == c.DETAIL_VERSION:
                _add_number(work, c.COUNT, work.index.tag[breach.field])
                add_char(work, EQUALS)
            add_bytes(work, buf, work.index.start[breach.field], work.index.length[breach.field])
    elif breach.limit == UNSET:
        _add_missing(s, work, breach)
        return
    elif breach.check == c.LOT or breach.check == c.TICK_SIZE:
        add_char(work, SPACE)
        _add_number(work, unit, breach.value)
        add_bytes(work, NOT_A_MULTIPLE, 0, NOT_A_MULTIPLE.size)
        _add_number(work, unit, breach.limit)
    else:
        _add_beyond(work, unit, breach.value, breach.limit)
    if breach.entity != NONE:
        add_char(work, SPACE)
        add_char(work, OPEN)
        _add_place(s, work, breach, SPACE)
        _add_epoch(s, work, breach)
        add_char(work, CLOSE)
    if breach.check == c.POSTURE:
        _add_in_the_way(work, breach)


@kernel
def _add_in_the_way(work, breach):
    """Append why an order does not reduce: the position where it would have to, and what is open on its side, if
    without that it could.
    """
    if breach.detail == c.DETAIL_POSTURE + HALTED:
        return
    add_bytes(work, POSITION, 0, POSITION.size)
    _add_number(work, c.QUANTITY, breach.value)
    buys = work.candidate.side == t.BUY
    if breach.limit > 0 and (breach.value < 0 if buys else breach.value > 0):
        add_bytes(work, COMMA_SPACE, 0, COMMA_SPACE.size)
        _add_number(work, c.QUANTITY, breach.limit)
        hint = OPEN_TO_BUY if buys else OPEN_TO_SELL
        add_bytes(work, hint, 0, hint.size)


@kernel
def say_graded(s, work, graded):
    """Make the text what of an order is beyond one of the values of a limit, and where that stands."""
    work.text_size = 0
    add_bytes(work, c.CHECK_NAME[graded.check], 0, c.CHECK_NAME_SIZE[graded.check])
    _add_beyond(work, c.CHECK_UNIT[graded.check], graded.value, graded.bound)
    add_char(work, SPACE)
    add_char(work, OPEN)
    _add_place(s, work, graded, SPACE)
    add_char(work, CLOSE)


@kernel
def explain(s, work, buf):
    """Write every breach of the candidate into the text, in the order of the catalogue's checks, tightest first."""
    work.text_size = 0
    for b in range(work.candidate.breach_count):
        if b > 0:
            add_char(work, SEMICOLON)
            add_char(work, SPACE)
        _add_breach(s, work, work.candidate.breach[b], buf)
