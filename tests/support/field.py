"""What tests of field reports ask of a core: that one odd report was told, and that it stops nobody."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal
from typing import Any

from gateway.core import layout as a
from tests.support.checks import Reply, fired, passed
from tests.support.core import Core, Fields
from tests.support.doubts import alerts
from tests.support.kill import Of, cancels, to_ems

OTHER = {"FIX.4.4": "FIX.4.2", "FIX.4.2": "FIX.4.4"}
SIDES = ("1", "2")
PROBES = itertools.count(1)
TRADES = ("1", "2", "F")  # ExecType(150) of fills


def across(of: Of, version: str, **more: Any) -> Core:
    """A core whose venues are of a FIX version and whose EMSs are of the other."""
    return of(OTHER[version], version, **more)


def is_told(reply: Reply, child: str) -> None:
    """People are told of something on the order with this child."""
    texts = alerts(reply)
    assert any(child in text or re.search(r"\bO\d+-\d+\b", text) for text in texts), reply


def others_go_on(core: Core, *venues: str, symbol: str = "AAPL", account: str = "ACC2") -> None:
    """No fault, and an order of another account goes out to each venue (XNAS), which rejects it."""
    assert core.record.fault == 0
    core.quote(symbol, 99.99, 100.01, 100)
    for venue in venues or ("XNAS",):
        child = passed(core.new(f"PROBE{next(PROBES)}", qty="10", symbol=symbol, t1=account, t100=venue))
        core.report(child[11], f"R-{child[11]}", "8", "8", venue, t55=symbol)


def may(core: Core, side: str, qty: int, symbol: str = "AAPL", account: str = "ACC1") -> bool:
    """Whether an order may go out (its venue rejects it); if not, it is for the position alone."""
    core.quote(symbol, 99.99, 100.01, 100)
    reply = core.new(f"PROBE{next(PROBES)}", side, str(qty), symbol=symbol, t1=account)
    names = fired(reply)
    assert names <= {"MAX_LONG", "MAX_SHORT"}, reply
    if not names:
        core.report(reply[0][2][11], f"R-{reply[0][2][11]}", "8", "8", t54=side, t55=symbol)
    return not names


def open_on(core: Core, side: str) -> float:
    """Shares of ACC1 that may still trade on a side."""
    return core.shares()[1 if side == "1" else 2]


def held(core: Core, side: str) -> float:
    """Position of ACC1, above zero when it is on that side."""
    position = core.shares()[0]
    return position if side == "1" else -position


def killed(core: Core) -> list[str | None]:
    """Children that a kill of the firm cancels."""
    return [fields.get(41) for fields in cancels(core.killed(a.FIRM))]


def reports(reply: Reply) -> list[Fields]:
    """ExecutionReports to an EMS."""
    return [fields for msg_type, fields in to_ems(reply) if msg_type == "8"]


def only_says(reply: Reply, **wanted: str) -> None:
    """No trade is told to the EMS; what is told of the order, if anything, has these fields."""
    for fields in reports(reply):
        is_status = fields[150] == "I" or fields.get(20) == "3"
        assert is_status or fields[150] not in TRADES, fields
        assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields


def adds_up(fields: Fields) -> bool:
    """Whether OrderQty(38) is what has traded and what is left."""
    return Decimal(fields[38]) == Decimal(fields[14]) + Decimal(fields[151])


def trade_kind(core: Core, status: str = "1", venue: str = "XNAS") -> str:
    """ExecType(150) of a fill in the venue's FIX version."""
    return "F" if core.begin_strings[venue] == "FIX.4.4" else ("2" if status == "2" else "1")


def bust(core: Core, child: str, exec_id: str, of: str, status: str = "0", **more: Any) -> Reply:
    """The venue takes an execution back."""
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    fields = {"t19": of, "t31": "100"} | ({"t20": "1"} if old else {}) | more
    return core.report(child, exec_id, status if old else "H", status, **fields)
