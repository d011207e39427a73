"""What tests of restarts and doubts ask of a core: what the EMS was told, whom ticks ask, whether orders are taken."""

from __future__ import annotations

from tests.support.checks import Reply, fired, refused
from tests.support.core import Core, Fields


def told(reply: Reply, msg_type: str = "8", session: str = "EMS1", **wanted: str | None) -> Fields:
    """The one message that is no alert: to the EMS, with these fields (None: absent)."""
    [(got_session, got_type, fields)] = [message for message in reply if message[1]]
    assert (got_session, got_type) == (session, msg_type), reply
    assert {key: fields.get(int(key[1:])) for key in wanted} == wanted, fields
    return fields


def alerts(reply: Reply) -> list[str]:
    return [fields[58] for _, msg_type, fields in reply if not msg_type]


def asked(core: Core) -> list[str]:
    """Children that ticks ask about, until none does."""
    children: list[str] = []
    while reply := core.tick():
        assert core.record.fault == 0
        assert {msg_type for _, msg_type, _ in reply} == {"H"}, reply
        children += [fields[11] for _, _, fields in reply]
    return children


def is_open_for_orders(core: Core, cl_ord_id: str = "PROBE") -> bool:
    """Whether the venue gets a new order, which it then rejects; it must be RECOVERY alone that keeps it away."""
    core.quote("AAPL", 99.99, 100.01, 100)
    reply = core.new(cl_ord_id, qty="1")
    if fired(reply) == set():
        child = reply[0][2][11]
        core.report(child, f"R-{child}", "8", "8")
        return True
    refused(reply, "RECOVERY")
    return False
