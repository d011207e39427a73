"""The terms of an order that can be checked, and that its venue's FIX version can say. Kernels only."""

from __future__ import annotations

from gateway.core import catalogue as c
from gateway.core.checks.breaches import fail
from gateway.core.layout import NONE
from gateway.core.messages.translate import can_be_said
from gateway.fix import tags as t
from gateway.fix.fields import char_of, decimal_of
from gateway.fix.index import find
from gateway.fix.layout import ABSENT, BODY, MAX_TAG, TRAILER, VALID
from gateway.fix.validate import find_message, value_reason
from gateway.fix.values import same_bytes
from gateway.jit import kernel

COMMON_STOCK, PREFERRED_STOCK, FUTURE = c.phrase("CS"), c.phrase("PS"), c.phrase("FUT")
MOVING_PRICE = c.phrase("LMOPRTWacde")  # ExecInst(18): pegs, trailing stop, no price check, target strategy


@kernel
def _plain_security(index, buf, f):
    """Whether a SecurityType(167) leaves the instrument what its Symbol says: common or preferred stock, a future."""
    start = index.start[f]
    for plain in (COMMON_STOCK, PREFERRED_STOCK, FUTURE):
        if index.length[f] == plain.size and same_bytes(buf, start, plain, 0, plain.size):
            return True
    return False


@kernel
def _refuse_unchecked_terms(s, x, index, buf, message):
    """WELL_FORMED: a body field that is not understood, or an ExecInst(18) that lets the price move."""
    for f in range(index.count):
        tag = index.tag[f]
        if message.role[tag] >= BODY and message.role[tag] != TRAILER and s.understood[tag] == 0:
            fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
    f = find(index, t.SecurityType)
    if f >= 0 and not _plain_security(index, buf, f):
        fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
    f = find(index, t.ExecInst)
    if f >= 0:
        for k in range(index.start[f], index.start[f] + index.length[f]):
            for moving in MOVING_PRICE:
                if buf[k] == moving:
                    fail(x, c.WELL_FORMED, c.DETAIL_TERM, f)
                    return


@kernel
def read_terms(s, x, index, buf, message):
    """Side, type, time in force, quantity and prices, and no term that could not be checked: WELL_FORMED."""
    _refuse_unchecked_terms(s, x, index, buf, message)
    x.side = char_of(index, buf, t.Side, 0)
    if x.side != t.BUY and x.side != t.SELL and x.side != t.SELL_SHORT:
        fail(x, c.WELL_FORMED, c.DETAIL_SIDE, NONE)
    x.ord_type = char_of(index, buf, t.OrdType, 0)
    if not t.MARKET <= x.ord_type <= t.STOP_LIMIT:
        fail(x, c.WELL_FORMED, c.DETAIL_ORD_TYPE, NONE)
    x.time_in_force = char_of(index, buf, t.TimeInForce, t.DAY)
    if not t.DAY <= x.time_in_force <= t.AT_THE_CLOSE or x.time_in_force == t.GOOD_TILL_CROSSING:
        fail(x, c.WELL_FORMED, c.DETAIL_TIME_IN_FORCE, NONE)
    x.qty_e8 = decimal_of(index, buf, t.OrderQty)
    if x.qty_e8 <= 0:
        fail(x, c.WELL_FORMED, c.DETAIL_QTY, NONE)
    x.price_e8 = 0
    if x.ord_type == t.LIMIT or x.ord_type == t.STOP_LIMIT:
        x.price_e8 = decimal_of(index, buf, t.Price)
        if x.price_e8 <= 0:
            fail(x, c.WELL_FORMED, c.DETAIL_PRICE, NONE)
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
        if message.role[tag] == ABSENT:
            said = can_be_said(index, buf, tag, version)
        else:
            said = value_reason(dictionary, tag, buf, index.start[f], index.length[f]) == VALID
        if not said:
            fail(x, c.TRANSLATION, c.DETAIL_VERSION, f)
