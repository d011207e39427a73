"""Reports that QuickFIX keeps for an EMS that is off: it throws them away when the EMS begins its numbers anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

REPORTS = ("8", "9")
SESSION_LAYER = tuple("012345A")
MAX_NAMED = 20


class Waiting:
    """The reports of one session that wait."""

    def __init__(self) -> None:
        """None yet."""
        self.count = 0
        self.last = 0
        """MsgSeqNum(34) of the latest."""
        self.cl_ord_ids: list[str] = []
        """ClOrdID(11) of the first ones, each once, no more than MAX_NAMED."""

    @classmethod
    def of_store(cls, messages: Mapping[int, bytes]) -> Self:
        """Those of the last run: what its store has behind the latest message of the session layer.

        A Logout, as a rule: they are those that wait. Without one some may have been sent, since nothing tells.
        """
        waiting = cls()
        for number, message in sorted(messages.items()):
            text = message.decode("utf-8", "surrogateescape")
            fields = dict(field.split("=", 1) for field in text.split("\x01") if "=" in field)
            if fields["35"] in REPORTS:
                waiting.add(number, fields.get("11", ""))
            elif fields["35"] in SESSION_LAYER:
                waiting = cls()
        return waiting

    def add(self, number: int, cl_ord_id: str) -> None:
        """A report was stored with this MsgSeqNum(34)."""
        self.count += 1
        self.last = number
        if cl_ord_id not in self.cl_ord_ids and len(self.cl_ord_ids) < MAX_NAMED:
            self.cl_ord_ids.append(cl_ord_id)
