"""Terms of an order in another FIX version: 4.2 to 4.4 or 5.0 SP2 and back. Kernels only.

Most fields are the same in both. Who trades for whom is Rule80A(47) and CustomerOrFirm(204) in 4.2, OrderCapacity(528),
OrderRestrictions(529) and CustOrderCapacity(582) since 4.3; program trades are restriction 1 there, with 2 for index
arbitrage or 3 for none. What cannot be translated to the other version is refused.
"""

from __future__ import annotations

import numpy as np

from gateway.core import catalogue as c
from gateway.core.layout import NONE, VERSION_42
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.values import copy_bytes
from gateway.fix.write import put_char, put_soh, put_tag
from gateway.jit import kernel

# Rule80A(47), OrderCapacity(528), and the second of OrderRestrictions(529) where it is "1 2" or "1 3".
RULE_80A = c.phrase("APIWJKUYDCMN")
CAPACITY = c.phrase("APIWIIAAPPWW")
RESTRICTION = np.array([0, 0, 0, 0, 50, 51, 50, 51, 50, 51, 50, 51], np.int64)
PROGRAM_TRADE = c.phrase("1 ")
AUTOMATED = ord("1")  # HandlInst(21), which FIX 4.2 requires
CUSTOMER, FIRM = ord("0"), ord("1")  # CustomerOrFirm(204)
AGENCY, PRINCIPAL = ord("A"), ord("P")


@kernel
def _char(index, buf, f):
    return int(buf[index.start[f]]) if f >= 0 and index.length[f] == 1 else 0


@kernel
def _row_44(index, buf):
    """Row of the table for a Rule80A, -1 when it has no counterpart."""
    rule = _char(index, buf, find(index, t.Rule80A))
    for k in range(RULE_80A.size):
        if RULE_80A[k] == rule:
            return k
    return -1


@kernel
def _restriction(index, buf):
    """50 or 51 ('2', '3') of an OrderRestrictions "1 2" or "1 3", 0 when there is none, -1 when it is another."""
    f = find(index, t.OrderRestrictions)
    if f < 0:
        return 0
    start = index.start[f]
    if index.length[f] != 3 or buf[start] != 49 or buf[start + 1] != 32:
        return -1
    last = int(buf[start + 2])
    return last if last == 50 or last == 51 else -1


@kernel
def _row_42(index, buf):
    """Row of the table for OrderCapacity and OrderRestrictions, -1 when they have no counterpart."""
    capacity = _char(index, buf, find(index, t.OrderCapacity))
    restriction = _restriction(index, buf)
    for k in range(CAPACITY.size):
        if CAPACITY[k] == capacity and RESTRICTION[k] == restriction:
            return k
    return -1


@kernel
def can_be_said(index, buf, tag, version):
    """Whether a field that the other version does not have is told by another there."""
    if version != VERSION_42:
        return tag == t.CustomerOrFirm or (tag == t.Rule80A and _row_44(index, buf) >= 0)
    if tag == t.CustOrderCapacity:
        return True
    return (tag == t.OrderCapacity or tag == t.OrderRestrictions) and _row_42(index, buf) >= 0


@kernel
def ord_type_in(version, ord_type, time_in_force):
    """OrdType(40) of an order in a FIX version, NONE where it has none: 4.2 says with it what is for the close."""
    if version != VERSION_42 or time_in_force != t.AT_THE_CLOSE:
        return ord_type
    if ord_type == t.MARKET:
        return t.MARKET_ON_CLOSE_42
    return t.LIMIT_ON_CLOSE_42 if ord_type == t.LIMIT else NONE


@kernel
def time_in_force_in(version, time_in_force):
    """TimeInForce(59) of an order in a FIX version; of what is for the close in 4.2 OrdType(40) says so."""
    return t.DAY if version == VERSION_42 and time_in_force == t.AT_THE_CLOSE else time_in_force


@kernel
def put_terms_44(out, index, buf):
    """Append in 4.4 what a 4.2 order says in its own tags."""
    row = _row_44(index, buf)
    if row >= 0:
        put_char(out, t.OrderCapacity, CAPACITY[row])
        if RESTRICTION[row] > 0:
            put_tag(out, t.OrderRestrictions)
            copy_bytes(out.bytes, out.used, PROGRAM_TRADE, 0, PROGRAM_TRADE.size)
            out.bytes[out.used + PROGRAM_TRADE.size] = RESTRICTION[row]
            out.used += PROGRAM_TRADE.size + 1
            put_soh(out)
        return
    f = find(index, t.CustomerOrFirm)
    if f >= 0:
        put_char(out, t.OrderCapacity, AGENCY if _char(index, buf, f) == CUSTOMER else PRINCIPAL)


@kernel
def put_terms_42(out, index, buf):
    """Append in 4.2 what a 4.4 order says in its own tags, and HandlInst(21) where it has none."""
    if find(index, t.HandlInst) == NONE:
        put_char(out, t.HandlInst, AUTOMATED)
    row = _row_42(index, buf)
    if row >= 0:
        put_char(out, t.Rule80A, RULE_80A[row])
    capacity = _char(index, buf, find(index, t.CustOrderCapacity))
    if capacity > 0:
        put_char(out, t.CustomerOrFirm, FIRM if capacity <= 50 else CUSTOMER)
