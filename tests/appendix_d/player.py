"""Plays a scenario between an EMS and a venue, of FIX 4.4 and 4.2 in any pair, and compares every answer."""

from __future__ import annotations

from typing import Protocol

Fields = dict[int, str]
EMS, VENUE, ALERT = "EMS", "VENUE", "alert"
Reply = tuple[str, str, Fields]
"""To whom (EMS, VENUE or ALERT), MsgType(35), fields."""

FIX_44, FIX_42 = "FIX.4.4", "FIX.4.2"
PAIRS = [(ems, venue) for ems in (FIX_44, FIX_42) for venue in (FIX_44, FIX_42)]
EXEC_TYPES = {
    **{"NEW": "0", "DONE": "3", "CANCELED": "4", "REPLACED": "5", "PENDING_CANCEL": "6", "STOPPED": "7"},
    **{"REJECTED": "8", "SUSPENDED": "9", "PENDING_NEW": "A", "CALCULATED": "B", "EXPIRED": "C", "RESTATED": "D"},
    **{"PENDING_REPLACE": "E", "TRADE": "F", "CORRECT": "G", "BUST": "H"},
}
REPORT_TAGS = (11, 41, 150, 39, 38, 14, 151)
REJECT_TAGS = (11, 41, 39, 434, 102)
NO_ID = "-"
HEADER_TAGS = ("43", "97")  # which a child never has


class Wire(Protocol):
    """The two sides of the gateway. Each method returns what goes out; `wanted` is how many messages that should be, to
    each side and as alerts, which a wire may wait for.
    """

    def from_ems(self, msg_type: str, fields: Fields, poss_dup: bool, wanted: list[str]) -> list[Reply]:
        """A message of the EMS."""
        ...

    def from_venue(self, msg_type: str, fields: Fields, wanted: list[str]) -> list[Reply]:
        """A message of the venue."""
        ...

    def end_day(self) -> list[Reply]:
        """The trading day ends."""
        ...


def child_terms(want: list[str], names: list[str]) -> tuple[str | None, str]:
    """What the table says of a child (`want`) of a message with these ids: OrderQty(38), None where it says nothing,
    and the letter of the request whose child it names.
    """
    quantity = next((word for word in want[2:] if "=" not in word), None)
    return quantity, next((word[3:] for word in want if word.startswith("41=")), names[1] if len(names) > 1 else "")


class Player:
    """One scenario. With `sums` the venue tells CumQty(14) and LeavesQty(151), else only what it executes."""

    def __init__(self, wire: Wire, versions: tuple[str, str], sums: bool = True, prefix: str = "") -> None:
        """`prefix` stands before every ClOrdID and ExecID."""
        self._wire = wire
        self._ems_42, self._venue_42 = (version == FIX_42 for version in versions)
        self._sums = sums
        self._prefix = prefix
        self._children: dict[str, Fields] = {}
        self._seen: dict[str, str] = {}  # ExecID of the venue to the one that the EMS saw
        self._order_ids: dict[str, str] = {}
        self._exec_ids: set[str] = set()
        self._execs = 0

    def play(self, lines: list[str]) -> None:
        """Play a scenario; AssertionError with the line that does not hold."""
        for line in lines:
            said, _, wanted = line.partition("|")
            wants = [want.split() for want in wanted.split(";") if want.strip() not in ("", "-")]
            got = self._step(said.split(), wants)
            assert len(got) == len(wants), f"{line}\nwanted {len(wants)} messages, got {got}"
            for want, reply in zip(wants, got, strict=True):
                self._compare(line, said.split(), want, reply)

    def _step(self, words: list[str], wants: list[list[str]]) -> list[Reply]:
        options = {int(w.split("=")[0]): self._relayed(*w.split("=")) for w in words if "=" in w}
        kind, *names = [w for w in words if "=" not in w]
        wanted = [{">": VENUE, "!": ALERT}.get(want[0], EMS) for want in wants]
        if kind == "DAY":
            return self._wire.end_day()
        if kind == "9":
            child = self._children[names[0]]
            response = "2" if 44 in child else "1"
            fields = {11: child[11], 37: "V" + child[41], 39: "0", 41: child[41], 102: names[2], 434: response}
            return self._wire.from_venue("9", fields, wanted)
        if kind == "8":
            return self._wire.from_venue("8", self._report(names, options, wants), wanted)
        fields = {11: self._id(names[0]), 54: "1", 55: "AAPL"}
        if kind in "DG":
            fields |= {1: "ACC1", 21: "1", 40: "2", 44: "100", 59: "0"}
            fields |= {38: names[-1]} if names[-1] != NO_ID else {}
        elif kind == "F":
            fields |= {38: "10000"}
        if kind in "GF":
            fields[41] = self._id(names[1])
        poss_dup = options.pop(43, "N") == "Y"
        return self._wire.from_ems(kind, fields | options, poss_dup, wanted)

    def _report(self, names: list[str], options: Fields, wants: list[list[str]]) -> Fields:
        """What the venue says: of the numbers that the EMS is to see those that it tells."""
        exec_type = EXEC_TYPES[names[1]]
        row = next((want for want in wants if want[0] == "8"), None)
        values = dict(zip(REPORT_TAGS, (self._pick(w, self._venue_42) for w in row[1:8]), strict=True)) if row else {}
        fields = {37: "V-" + self._prefix, 39: values.get(39, "0"), 54: "1", 55: "AAPL"}
        fields[38] = values.get(38, "0")
        if self._sums and row:
            fields |= {6: next((w[2:] for w in row if w.startswith("6=")), "0"), 14: values[14], 151: values[151]}
        if names[0] != NO_ID:
            child = self._children[names[0]]
            fields |= {11: child[11], 37: "V" + self._order_of(names[0])}
            if exec_type in "456EC" and 41 in child and 41 not in options:
                fields[41] = child[41]
        if len(names) > 2:
            fields |= {32: names[2], 31: "100", 44: "100"}
        self._execs += 1
        fields[17] = self._prefix + (options.pop(17, "") or f"auto{self._execs}")
        if 19 in options:
            options[19] = self._prefix + options[19]
        if self._venue_42:
            fields[20] = {"G": "2", "H": "1"}.get(exec_type, "0")
            if exec_type in "FGH":
                leaves = options.get(151, values.get(151))
                exec_type = "2" if leaves == "0" else "1"
        return fields | {150: exec_type} | options

    def _order_of(self, name: str) -> str:
        """What the venue's OrderID is made of: the first child of an order's chain."""
        child = self._children[name]
        while 41 in child:
            child = next(c for c in self._children.values() if c[11] == child[41])
        return child[11]

    def _id(self, name: str) -> str:
        return self._prefix + name

    @staticmethod
    def _pick(value: str, is_42: bool) -> str:
        return value.split("/")[is_42] if "/" in value else value

    def _relayed(self, tag: str, value: str) -> str:
        """A value that is relayed as it is only where both sides know it."""
        return self._pick(value, self._ems_42 or self._venue_42)

    def _compare(self, line: str, words: list[str], want: list[str], reply: Reply) -> None:
        to, msg_type, fields = reply
        shown = f"{line}\ngot {to} {msg_type} {fields}"
        if want[0] == "!":
            assert to == ALERT, shown
            return
        if want[0] == ">":
            assert (to, msg_type) == (VENUE, want[1]), shown
            self._check_child(shown, words, want, fields)
            self._children[words[1]] = fields
            return
        assert (to, msg_type) == (EMS, want[0]), shown
        tags = REPORT_TAGS if msg_type == "8" else REJECT_TAGS
        wanted = dict(zip(tags, (self._pick(w, self._ems_42) for w in want[1 : 1 + len(tags)]), strict=True))
        for tag in (11, 41):
            wanted[tag] = self._id(wanted[tag]) if wanted[tag] not in ("-", "*") else wanted[tag]
        extra = {int(w.split("=")[0]): self._relayed(*w.split("=")) for w in want[1 + len(tags) :]}
        if msg_type == "8":
            wanted[19] = self._seen[extra.pop(19)] if 19 in extra else "-"
            trans_type = extra.pop(20, "0")
            wanted[20] = trans_type if self._ems_42 else "-"
            self._check_ids(shown, words, fields)
        wanted |= extra
        got = {tag: fields.get(tag, "-") for tag in wanted}
        wanted = {tag: got[tag] if value == "*" and got[tag] != "-" else value for tag, value in wanted.items()}
        assert got == wanted, shown

    def _check_child(self, shown: str, words: list[str], want: list[str], fields: Fields) -> None:
        """A child has an id of its own and what its message said of the order. It names the child of the request that
        its message names, or of the one that the table says.
        """
        kind, *names = [word for word in words if "=" not in word]
        said = dict(word.split("=") for word in words if "=" in word)
        quantity, named = child_terms(want, names)
        assert quantity is None or fields[38] == quantity, shown
        assert fields[11] not in {child[11] for child in self._children.values()}, shown
        assert fields.get(41) == (self._children[named][11] if kind in "GF" else None), shown
        for tag, value in said.items():
            assert fields.get(int(tag)) == (None if tag in HEADER_TAGS else value), shown

    def _check_ids(self, shown: str, words: list[str], fields: Fields) -> None:
        """ExecID is never the same, OrderID the same for all that is said of one order."""
        assert fields[17] not in self._exec_ids, f"ExecID used twice: {shown}"
        self._exec_ids.add(fields[17])
        known = self._order_ids.setdefault(fields[11], fields[37])
        assert known in (fields[37], "NONE") or fields[37] == "NONE", f"OrderID changed from {known}: {shown}"
        if 41 in fields:
            self._order_ids.setdefault(fields[41], fields[37])
        for word in words:
            if word.startswith("17="):
                self._seen[word[3:]] = fields[17]
