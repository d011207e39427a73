"""The terms of an order that can be checked, and that its venue's FIX version can say. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.checks.breaches import fail
from gateway.core.layout import NONE, VERSION_42
from gateway.core.messages.translate import can_be_said, ord_type_in
from gateway.fix import tags as t
from gateway.fix.fields import char_of, decimal_of
from gateway.fix.index import find
from gateway.fix.layout import ABSENT, BODY, MAX_TAG, TRAILER, VALID
from gateway.fix.validate import find_message, value_reason
from gateway.fix.values import same_bytes
from gateway.jit import kernel

COMMON_STOCK, PREFERRED_STOCK, FUTURE = c.phrase("CS"), c.phrase("PS"), c.phrase("FUT")
PEGS = c.phrase("LMOPRW")  # ExecInst(18)
MOVING_PRICE = c.phrase("Tacde")  # pegs to a price that we do not see, trailing stop, no price check, target strategy


@kernel
def _plain_security(index, buf, f):
    """Whether a SecurityType(167) leaves the instrument what its Symbol says: common or preferred stock, a future."""
    start = index.start[f]
    for plain in (COMMON_STOCK, PREFERRED_STOCK, FUTURE):
        if index.length[f] == plain.size and same_bytes(buf, start, plain, 0, plain.size):
            return True
    return False


@kernel
def _takes_pegs(s):
    """Whether the config says that venues take pegged orders: the carry list names PegOffsetValue(211)."""
    return s.carry_order[t.PegOffsetValue] == 1


@kernel
def _one_of(char, chars):
    for other in chars:
        if char == other:
            return True
    return False


@kernel
def _refuse_instructions(s, x, index, buf):
    """WELL_FORMED: an ExecInst(18) that lets the price move, but for the peg of a pegged order, which has just one."""
    pegged = x.ord_type == t.PEGGED and _takes_pegs(s)
    pegs = 0
    f = find(index, t.ExecInst)
    if f >= 0:
        for k in range(index.start[f], index.start[f] + index.length[f]):
            is_peg = _one_of(buf[k], PEGS)
            pegs += 1 if is_peg else 0
            if _one_of(buf[k], MOVING_PRICE) or (is_peg and not pegged):
                fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
                return
    if pegged and pegs != 1:
        fail(x, c.WELL_FORMED, c.DETAIL_ONE_PEG, NONE)


@kernel
def _refuse_unchecked_terms(s, x, index, buf, message):
    """WELL_FORMED: a body field that is not understood, a peg's offset on any other order, an instrument that is not
    what its Symbol(55) says.
    """
    for f in range(index.count):
        tag = index.tag[f]
        in_body = message.role[tag] >= BODY and message.role[tag] != TRAILER
        if (in_body and s.understood[tag] == 0) or (tag == t.PegOffsetValue and x.ord_type != t.PEGGED):
            fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
    f = find(index, t.SecurityType)
    if f >= 0 and not _plain_security(index, buf, f):
        fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)


@kernel
def _read_type(s, x, index, buf):
    """OrdType(40) and TimeInForce(59). FIX 4.2 says with the type that an order is for the close."""
    x.ord_type = char_of(index, buf, t.OrdType, 0)
    x.time_in_force = char_of(index, buf, t.TimeInForce, t.DAY)
    on_close = x.ord_type == t.MARKET_ON_CLOSE_42 or x.ord_type == t.LIMIT_ON_CLOSE_42
    if on_close and s.sessions[x.session].version == VERSION_42:
        at_market = x.ord_type == t.MARKET_ON_CLOSE_42
        x.ord_type = t.MARKET if at_market else t.LIMIT
        if x.time_in_force == t.DAY:
            x.time_in_force = t.AT_THE_CLOSE
        else:
            detail = c.DETAIL_MARKET_ON_CLOSE if at_market else c.DETAIL_LIMIT_ON_CLOSE
            fail(x, c.WELL_FORMED, detail, NONE)
    if x.ord_type == t.PEGGED and not _takes_pegs(s):
        fail(x, c.WELL_FORMED, c.DETAIL_NO_PEGS, NONE)
    elif not t.MARKET <= x.ord_type <= t.STOP_LIMIT and x.ord_type != t.PEGGED:
        fail(x, c.WELL_FORMED, c.DETAIL_ORD_TYPE, NONE)
    if not t.DAY <= x.time_in_force <= t.AT_THE_CLOSE or x.time_in_force == t.GOOD_TILL_CROSSING:
        fail(x, c.WELL_FORMED, c.DETAIL_TIME_IN_FORCE, NONE)


@kernel
def _hash_of(index, buf, tag):
    """24-bit hash of a field's bytes; 0 where there is none."""
    h = 0
    f = find(index, tag)
    if f >= 0:
        for k in range(index.start[f], index.start[f] + index.length[f]):
            h = (h * 31 + int(buf[k])) & 0xFFFFFF
    return h


@kernel
def read_terms(s, x, index, buf, message):
    """Side, type, time in force, quantity and prices, and no term that could not be checked: WELL_FORMED."""
    _read_type(s, x, index, buf)
    _refuse_unchecked_terms(s, x, index, buf, message)
    _refuse_instructions(s, x, index, buf)
    x.side = char_of(index, buf, t.Side, 0)
    if x.side != t.BUY and x.side != t.SELL and x.side != t.SELL_SHORT:
        fail(x, c.WELL_FORMED, c.DETAIL_SIDE, NONE)
    x.qty_e8 = decimal_of(index, buf, t.OrderQty)
    if x.qty_e8 <= 0:
        fail(x, c.WELL_FORMED, c.DETAIL_QTY, NONE)
    x.price_e8 = 0
    capped_peg = x.ord_type == t.PEGGED and find(index, t.Price) >= 0
    if x.ord_type == t.LIMIT or x.ord_type == t.STOP_LIMIT or capped_peg:
        x.price_e8 = decimal_of(index, buf, t.Price)
        if x.price_e8 <= 0:
            fail(x, c.WELL_FORMED, c.DETAIL_PRICE, NONE)
    x.peg = 0
    if x.ord_type == t.PEGGED:
        x.peg = _hash_of(index, buf, t.PegOffsetValue) ^ 31 * _hash_of(index, buf, t.ExecInst)
    x.stop_e8 = 0
    if x.ord_type == t.STOP or x.ord_type == t.STOP_LIMIT:
        x.stop_e8 = decimal_of(index, buf, t.StopPx)
        if x.stop_e8 <= 0:
            fail(x, c.WELL_FORMED, c.DETAIL_STOP, NONE)


@kernel
def check_translation(s, x, index, buf, message_type):
    """TRANSLATION: every term that goes to the venue, and TimeInForce(59), is in its FIX version with this value."""
    version = s.sessions[x.venue].version
    if version == s.sessions[x.session].version:
        return
    dictionary = s.dictionary[version]
    message = dictionary.messages[find_message(dictionary, message_type)]
    for f in range(index.count):
        tag = index.tag[f]
        if tag >= MAX_TAG or (s.carry_order[tag] == 0 and tag != t.TimeInForce):
            continue
        if tag == t.TimeInForce:
            said = ord_type_in(version, x.ord_type, x.time_in_force) >= 0
        elif message.role[tag] == ABSENT:
            said = can_be_said(index, buf, tag, version)
        else:
            said = value_reason(dictionary, tag, buf, index.start[f], index.length[f]) == VALID
        if not said:
            fail(x, c.TRANSLATION, c.DETAIL_VERSION, f)
