"""Write docs/order-life.md from tests/appendix_d/scenarios.txt: `python -m tools.build.appendix_docs`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.appendix_d.player import EXEC_TYPES, HEADER_TAGS, child_terms
from tests.appendix_d.scenarios import COMMENT, ONLY_44, OTHER_END, SCENARIOS, Scenario

PAGE = Path(__file__).parents[2] / "docs" / "order-life.md"
HEAD = """# The life of an order

For those who connect an EMS or a venue. Written by `python -m tools.build.appendix_docs` from
`tests/appendix_d/scenarios.txt`; a test keeps the two equal.

Every scenario of FIX 4.4 Appendix D (order state change matrices), and some that it leaves out, as message ladders: the
EMS on the left, the gateway in the middle, the venue on the right. Tests play each of them, and each other end that it
may take (`or`), in FIX 4.4, in 4.2, and between the two, through the core and over TCP.

How to read a ladder:

- One line is one message, from or to the EMS on the left, from or to the venue on the right.
- `or`: the scenario may also end with this message, in place of all that follows.
- `a / b`: a in FIX 4.4, b in FIX 4.2.
- `*`: any value.
- (people are alerted): the gateway logs an alert for people; where nothing else stands there, the EMS gets nothing.
- (nothing: it is known): a report that came before, which is not passed on.

A report is shown as ClOrdID(11), OrigClOrdID(41) in brackets, ExecType(150), OrdStatus(39), then OrderQty(38),
CumQty(14) and LeavesQty(151). In 4.2 a bust, correction or status is told by ExecTransType(20). ClOrdIDs at the venue
are the gateway's own; they are shown by the letter of the request that they stand for.
"""
LEFT, RIGHT = 66, 46
MESSAGES = {"D": "NewOrderSingle", "G": "Replace", "F": "Cancel", "H": "StatusRequest"}
WORDS = {code: name.replace("_", " ").capitalize() for name, code in EXEC_TYPES.items()}
WORDS |= {"1": "Partially filled", "2": "Filled", "I": "Order status"}
STATUSES = WORDS | {"5": "Replaced", "C": "Expired"}
NO_ID = "-"


def _words(codes: str, names: dict[str, str]) -> str:
    parts = [names.get(code, code) for code in codes.split("/") if code != "*"]
    return " / ".join(dict.fromkeys(parts))


def _more(words: list[str]) -> str:
    return "".join(f" {word}" for word in words if "=" in word and not word.startswith(("17=", "19=", "20=")))


def _told(want: list[str]) -> str:
    """What the EMS gets."""
    ids = want[1] + (f" ({want[2]})" if want[2] != NO_ID else "")
    if want[0] == "9":
        return f"CancelReject {ids}: {_words(want[3], STATUSES)}, 102={want[5]}{_more(want)}"
    quantities = " ".join(value for value in want[5:8] if value != NO_ID)
    kind, status = _words(want[3], WORDS), _words(want[4], STATUSES)
    return f"{ids}: {kind}, {status}, {quantities}{_more(want)}"


def _said(words: list[str]) -> str:
    """What comes in."""
    kind, *names = [word for word in words if "=" not in word]
    if kind == "9":
        return f"CancelReject {names[0]} ({names[1]}), 102={names[2]}"
    if kind == "8":
        who = "without a ClOrdID" if names[0] == NO_ID else names[0]
        quantity = f" {names[2]}" if len(names) > 2 else ""
        return f"{who}: {names[1].replace('_', ' ').capitalize()}{quantity}{_more(words)}"
    ids = f"{names[0]} ({names[1]})" if kind in "GF" else names[0]
    quantity = f" {names[-1]}" if kind in "DG" and names[-1] != NO_ID else ""
    return f"{MESSAGES[kind]} {ids}{quantity}{_more(words)}"


def _sent(words: list[str], want: list[str]) -> str:
    """The child that a message of the EMS becomes."""
    kind, *names = [word for word in words if "=" not in word]
    _, named = child_terms(want, names)
    ids = [names[0], named, *names[2:]] if kind in "GF" else names
    return _said([kind, *ids, *(word for word in words if "=" in word and word.split("=")[0] not in HEADER_TAGS)])


def _row(left: str, arrow_left: str, arrow_right: str, right: str) -> str:
    return f"{left:<{LEFT}} {arrow_left} | {arrow_right} {right}".rstrip()


def _rows(line: str) -> list[str]:
    """The rows of one line of a scenario."""
    said, _, wanted = line.partition("|")
    words = said.split()
    wants = [want.split() for want in wanted.split(";") if want.strip() not in ("", "-")]
    if words[0] == "DAY":
        return ["--- the next day ---"]
    rows = []
    if words[0] in "89":
        told = [want for want in wants if want[0] in "89"]
        alerts = ["(people are alerted)" for want in wants if want[0] == "!"]
        left = _told(told[0]) if told else " ".join(alerts) or "(nothing: it is known)"
        rows.append(_row(left, "<--" if told else "   ", "<--", _said(words)))
        return [*rows, *(_row(alert, "   ", "   ", "") for alert in alerts if told)]
    child = next((want for want in wants if want[0] == ">"), None)
    if child is not None:
        return [_row(_said(words), "-->", "-->", _sent(words, child))]
    rows.append(_row(_said(words), "-->", "   ", ""))
    return rows + [_row(_told(want), "<--", "   ", "") for want in wants if want[0] in "89"]


def ladder(scenario: Scenario) -> str:
    """A scenario as text."""
    lines: list[str] = []
    for line in scenario.lines:
        if line.startswith(COMMENT):
            lines.append(f"({line.removeprefix(COMMENT).strip()})")
        elif line.startswith(OTHER_END):
            lines += [f"or {row}" for row in _rows(line.removeprefix(OTHER_END).strip())]
        else:
            lines += [f"   {row}" for row in _rows(line)]
    return "\n".join(lines)


def _heading(scenario: Scenario) -> str:
    own = f" (FIX 4.2: {scenario.number_42})" if scenario.number_42 not in ("", ONLY_44) else ""
    own = " (FIX 4.4 only)" if scenario.number_42 == ONLY_44 else own
    number = f"{scenario.number} " if scenario.in_appendix else ""
    return f"{number}{scenario.title}{own}"


def _contents() -> str:
    """Links to all scenarios, as Markdown viewers make anchors of headings."""
    lines = []
    for scenario in SCENARIOS:
        heading = _heading(scenario)
        anchor = re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        lines.append(f"- [{heading}](#{anchor})")
    first = next(k for k, scenario in enumerate(SCENARIOS) if not scenario.in_appendix)
    return "\n".join([*lines[:first], "", "Beyond the appendix:", "", *lines[first:], ""])


def document() -> str:
    """The text of docs/order-life.md."""
    parts = [HEAD, _contents()]
    beyond = False
    for scenario in SCENARIOS:
        if not scenario.in_appendix and not beyond:
            parts.append("# Beyond the appendix\n")
            beyond = True
        parts.append(f"## {_heading(scenario)}\n\n```\n{ladder(scenario)}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write the file."""
    PAGE.write_text(document())
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
