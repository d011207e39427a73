"""The order state change matrices of FIX 4.4 volume 4, Appendix D, through the gateway: what the EMS is told.

One matrix a test. A line is `what comes in | what goes out`, both in the letters that the appendix gives to ClOrdIDs:

    D X 10000            NewOrderSingle X          > D 10000                   child to the venue, its 38
    G Y X 11000          Replace Y of X            8 Y X 5 0 11000 0 11000     report: 11 41 150 39 38 14 151
    F Y X                Cancel Y of X             9 Y X 1 1 0                 reject: 11 41 39 434 102
    8 X TRADE 2000       the venue on child X      -                           nothing
    9 Y X 0              the venue refuses Y, 102=0

`a/b` is a in FIX 4.4 and b in FIX 4.2, `*` any value. `17=e1` names an execution of the venue, `19=e1` the ExecID under
which the EMS got to know it. The venue tells the 39, 14 and 151 that the EMS is to see, or leaves 14 and 151 out.
"""

from __future__ import annotations

import copy
from pathlib import Path

from tests.support.core import BASE, LIMITS, Core, Fields

EXEC_TYPES = {
    **{"NEW": "0", "DONE": "3", "CANCELED": "4", "REPLACED": "5", "PENDING_CANCEL": "6", "STOPPED": "7"},
    **{"REJECTED": "8", "SUSPENDED": "9", "PENDING_NEW": "A", "CALCULATED": "B", "EXPIRED": "C", "RESTATED": "D"},
    **{"PENDING_REPLACE": "E", "TRADE": "F", "CORRECT": "G", "BUST": "H"},
}
REPORT_TAGS = (11, 41, 150, 39, 38, 14, 151)
REJECT_TAGS = (11, 41, 39, 434, 102)


class Matrix:
    """Plays the lines of a matrix against a core and holds every answer against the table."""

    def __init__(self, folder: Path, version: str, full: bool) -> None:
        config = copy.deepcopy(BASE)
        for session in config["sessions"]:
            session["begin_string"] = version
        limits = copy.deepcopy(LIMITS)
        limits["account"]["default"] = dict.fromkeys(
            ("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited"
        )
        self.core = Core(folder, config, limits)
        self.column = 0 if version == "FIX.4.4" else 1
        self.full = full
        self.children: dict[str, Fields] = {}
        self.seen: dict[str, str] = {}  # ExecID of the venue to the one that the EMS saw
        self.order_ids: set[str] = set()
        self.exec_ids: set[str] = set()
        self.next_exec = 1

    def play(self, table: str) -> None:
        for line in filter(None, (text.strip() for text in table.splitlines())):
            said, _, wanted = line.partition("|")
            wants = [w.split() for w in wanted.split(";") if w.strip() not in ("", "-")]
            words = said.split()
            got = self.step(words, wants)
            assert len(got) == len(wants), f"{line}\nwanted {len(wants)} messages, got {got}"
            for want, (session, msg_type, fields) in zip(wants, got, strict=True):
                self.compare(line, words, want, session, msg_type, fields)

    def step(self, words: list[str], wants: list[list[str]]) -> list[tuple[str, str, Fields]]:
        options = {"t" + w.split("=")[0]: self.pick(w.split("=")[1]) for w in words if "=" in w}
        kind, *names = [w for w in words if "=" not in w]
        if kind == "D":
            return self.core.new(names[0], qty=names[1], poss_dup=options.pop("t43", "N") == "Y", **options)
        if kind == "G":
            return self.core.replace(names[0], names[1], qty=names[2], **options)
        if kind == "F":
            return self.core.cancel(names[0], names[1], **options)
        if kind == "9":
            child = self.children[names[0]]
            return self.core.cancel_reject(child[11], child[41], "2" if 44 in child else "1", names[2])
        return self.report(names, options, wants)

    def report(self, names: list[str], options: dict[str, str], wants: list[list[str]]):
        child = self.children[names[0]]
        exec_type = EXEC_TYPES[names[1]]
        row = next((w for w in wants if w[0] == "8"), None)
        values = dict(zip(REPORT_TAGS, map(self.pick, row[1:8]), strict=True)) if row else {}
        exec_id = options.pop("t17", None) or f"auto{self.next_exec}"
        self.next_exec += 1
        fields = {"t14": None, "t151": None, "t38": values.get(38, "0")}
        if self.full and row:
            fields |= {"t14": values[14], "t151": values[151]}
        if len(names) > 2:
            fields |= {"t32": names[2], "t31": "100", "t44": "100"}
        if exec_type in "456EC" and 41 in child:
            fields["t41"] = child[41]
        if self.column == 1 and exec_type in "FGH":
            fields["t20"] = {"F": "0", "G": "2", "H": "1"}[exec_type]
            exec_type = "2" if values.get(151) == "0" else "1"
        status = values.get(39, "0")
        return self.core.report(child[11], exec_id, exec_type, status, **(fields | options))

    def pick(self, value: str) -> str:
        return value.split("/")[self.column] if "/" in value else value

    def compare(
        self, line: str, words: list[str], want: list[str], session: str, msg_type: str, fields: Fields
    ) -> None:
        if want[0] == "!":
            assert (session, msg_type) == ("", ""), f"{line}\ngot {msg_type} {fields}"
            return
        if want[0] == ">":
            assert (session, msg_type) == ("XNAS", want[1]), f"{line}\ngot {session} {msg_type} {fields}"
            assert len(want) < 3 or fields[38] == want[2], f"{line}\ngot 38={fields.get(38)}"
            self.children[words[1]] = fields
            return
        assert (session, msg_type) == ("EMS1", want[0]), f"{line}\ngot {session} {msg_type} {fields}"
        tags = REPORT_TAGS if msg_type == "8" else REJECT_TAGS
        wanted = dict(zip(tags, map(self.pick, want[1 : 1 + len(tags)]), strict=True))
        extra = {int(w.split("=")[0]): self.pick(w.split("=")[1]) for w in want[1 + len(tags) :]}
        if msg_type == "8":
            wanted[19] = self.seen[extra.pop(19)] if 19 in extra else "-"
            trans_type = extra.pop(20, "0")
            wanted[20] = trans_type if self.column == 1 else "-"
            self.check_ids(line, words, fields)
        wanted |= extra
        got = {tag: fields.get(tag, "-") for tag in wanted}
        wanted = {tag: got[tag] if value == "*" and got[tag] != "-" else value for tag, value in wanted.items()}
        assert got == wanted, line

    def check_ids(self, line: str, words: list[str], fields: Fields) -> None:
        """OrderID is the same all along, ExecID never the same; the venue's stand beside them."""
        assert fields[17] not in self.exec_ids, f"{line}: ExecID used twice"
        self.exec_ids.add(fields[17])
        if fields[37] != "NONE":
            self.order_ids.add(fields[37])
        assert len(self.order_ids) <= 1, f"{line}: OrderID changed {self.order_ids}"
        for word in words:
            if word.startswith("17="):
                self.seen[word[3:]] = fields[17]
