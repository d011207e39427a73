"""A viewer of FIX logs: names instead of numbers, filters, order chains, and a check of each length and checksum.

tidegate fixlog gateway.log --type D,8 --order ABC-1
tail -f messages.log | tidegate fixlog --follow
"""

from __future__ import annotations

import functools
import re
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tidegate_tools.fix.text import SOH, Fields, body_length_and_checksum, dictionary_path, first

# The delimiter is whatever follows BeginString; a message ends with its CheckSum
_START = re.compile(r"8=FIXT?\.\d\.\d(\x01|\||\^A|<SOH>|\\x01|\\u0001|;)")
_SESSION_TAGS = frozenset((8, 9, 10, 34, 35, 49, 52, 56))
_CHAIN_TAGS = (11, 41, 37)
_STYLES = {"D": "cyan", "G": "cyan", "F": "magenta", "q": "magenta", "3": "bold red", "9": "red", "j": "bold red"}
_EXEC_STYLES = {"8": "red", "1": "green", "2": "green", "F": "green", "4": "yellow", "C": "yellow", "H": "bold yellow"}


@dataclass(frozen=True, slots=True)
class Names:
    """Names from a dictionary: of tags, of message types, and of enum values by (tag, value)."""

    tags: dict[int, str]
    types: dict[str, str]
    values: dict[tuple[int, str], str]


@functools.cache
def load_names(path: Path) -> Names:
    """Names from a QuickFIX XML dictionary; none if there is no such file."""
    if not path.is_file():
        return Names({}, {}, {})
    root = ElementTree.parse(path).getroot()
    fields = [(int(node.attrib["number"]), node) for node in root.iterfind("fields/field")]
    return Names(
        {tag: node.attrib["name"] for tag, node in fields},
        {node.attrib["msgtype"]: node.attrib["name"] for node in root.iterfind("messages/message")},
        {(tag, v.attrib["enum"]): v.attrib["description"] for tag, node in fields for v in node.iterfind("value")},
    )


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A message of a log: what stood before it on its line, its fields, and what is wrong with it (empty: nothing)."""

    prefix: str
    fields: Fields
    fault: str = ""

    @property
    def session(self) -> str:
        """`SENDER>TARGET` of the message."""
        return f"{first(self.fields, 49)}>{first(self.fields, 56)}"


def read_messages(lines: Iterable[str]) -> Iterator[LogMessage]:
    """All messages of the lines, several a line or one, with any common delimiter; others are passed over."""
    for line in lines:
        starts = list(_START.finditer(line))
        ends = [*(start.start() for start in starts[1:]), len(line)][: len(starts)]
        previous_end = 0
        for start, limit in zip(starts, ends, strict=True):
            delimiter = start.group(1)
            trailer = re.compile(rf"{re.escape(delimiter)}10=[^\x01|;<^\\\s]*").search(line, start.start(), limit)
            end = trailer.end() if trailer else limit
            prefix = line[previous_end : start.start()].removeprefix(delimiter).strip().rstrip(":").strip()
            yield parse_message(prefix, line[start.start() : end].rstrip("\r\n"), delimiter)
            previous_end = end


def parse_message(prefix: str, text: str, delimiter: str) -> LogMessage:
    """One message; a field that is no TAG=VALUE, or a wrong length or checksum, becomes its fault."""
    fields: Fields = []
    faults = []
    parts = [part for part in text.split(delimiter) if part]
    for part in parts:
        tag, equals, value = part.partition("=")
        if equals and tag.isdigit():
            fields.append((int(tag), value))
        else:
            faults.append(f"no field: {part!r}")
    raw = (SOH.join(parts) + SOH).encode("latin-1", errors="replace")
    try:
        length, checksum = body_length_and_checksum(raw)
    except ValueError:
        return LogMessage(prefix, fields, "; ".join([*faults, "BodyLength or CheckSum missing"]))
    if first(fields, 9) != str(length):
        faults.append(f"BodyLength {first(fields, 9)} should be {length}")
    if first(fields, 10) != f"{checksum:03d}":
        faults.append(f"CheckSum {first(fields, 10)} should be {checksum:03d}")
    return LogMessage(prefix, fields, "; ".join(faults))


class OrderChain:
    """The messages of one order: those tied by ClOrdID, OrigClOrdID and OrderID to a first ClOrdID."""

    def __init__(self, cl_ord_id: str) -> None:
        self._known = {("id", cl_ord_id)}

    def grow(self, message: LogMessage) -> bool:
        """Take in the ids of a message that belongs to the chain; True if any was new."""
        ids = self._ids(message)
        if not ids & self._known or ids <= self._known:
            return False
        self._known |= ids
        return True

    def __contains__(self, message: LogMessage) -> bool:
        return bool(self._ids(message) & self._known)

    @staticmethod
    def _ids(message: LogMessage) -> set[tuple[str, str]]:
        found = [("OrderID" if tag == 37 else "id", first(message.fields, tag)) for tag in _CHAIN_TAGS]
        return {(kind, value) for kind, value in found if value not in ("", "NONE", "0")}


def describe_field(names: Names, tag: int, value: str) -> str:
    """`Side=1(BUY)`, or the bare tag where the dictionary has no name for it."""
    meaning = names.values.get((tag, value))
    return f"{names.tags.get(tag, tag)}={value}{f'({meaning})' if meaning else ''}"


def render(message: LogMessage, dictionary: Path | None, every_field: bool) -> Text:
    """A message as a line; with `every_field` one field a line below it."""
    fields = message.fields
    names = load_names(dictionary or dictionary_path(first(fields, 8)))
    msg_type = first(fields, 35)
    style = _EXEC_STYLES.get(first(fields, 150), "") if msg_type == "8" else _STYLES.get(msg_type, "dim")
    line = Text(f"{first(fields, 52) or message.prefix} {message.session} #{first(fields, 34)} ")
    line.append(f"{names.types.get(msg_type, msg_type)} ", style=f"bold {style}".strip())
    shown = fields if every_field else [(tag, value) for tag, value in fields if tag not in _SESSION_TAGS]
    start, gap = ("\n    ", "\n    ") if every_field else ("", " ")
    line.append(start + gap.join(describe_field(names, tag, value) for tag, value in shown), style=style)
    if message.fault:
        line.append(f" [BAD: {message.fault}]", style="bold white on red")
    return line


def follow_lines(path: Path) -> Iterator[str]:
    """Lines of a file, now and as they are written, until interrupted."""
    with path.open(encoding="latin-1", newline="\n") as file:
        partial = ""
        while True:
            partial += file.readline()
            if partial.endswith("\n"):
                yield partial
                partial = ""
            else:
                time.sleep(0.1)


def file_lines(paths: Iterable[Path]) -> Iterator[str]:
    """Lines of files one after the other; of stdin if there are none."""
    listed = list(paths)
    if not listed:
        sys.stdin.reconfigure(encoding="latin-1")  # type: ignore[union-attr]
        yield from sys.stdin
    for path in listed:
        with path.open(encoding="latin-1", newline="\n") as file:
            yield from file


def select(
    messages: Iterable[LogMessage], types: frozenset[str] = frozenset(), session: str = "", bad: bool = False
) -> Iterator[LogMessage]:
    """Messages of the given types (empty: all), with `session` in SENDER>TARGET, only the wrong ones if `bad`."""
    for message in messages:
        if types and first(message.fields, 35) not in types:
            continue
        if session in message.session and (message.fault or not bad):
            yield message


def order_messages(messages: Iterable[LogMessage], cl_ord_id: str, follow: bool = False) -> Iterator[LogMessage]:
    """Messages of the chain of an order. With `follow` ids are learnt as they come; else from the whole log first."""
    chain = OrderChain(cl_ord_id)
    if not follow:
        messages = list(messages)
        while any([chain.grow(message) for message in messages]):
            pass
    for message in messages:
        chain.grow(message)
        if message in chain:
            yield message


app = typer.Typer(name="fixlog", add_completion=False)


@app.command()
def fixlog(
    files: Annotated[list[Path] | None, typer.Argument(help="Logs; stdin if none is given.")] = None,
    type_: Annotated[str, typer.Option("--type", help="Only these MsgTypes, e.g. D,8.")] = "",
    order: Annotated[str, typer.Option(help="Only the chain of the order with this ClOrdID (11, 41, 37).")] = "",
    session: Annotated[str, typer.Option(help="Only sessions with this text in SENDER>TARGET.")] = "",
    tail: Annotated[int, typer.Option(help="Only the last N messages that match; 0: all.", min=0)] = 0,
    follow: Annotated[bool, typer.Option(help="Go on as the (one) file or stdin grows.")] = False,
    fields: Annotated[bool, typer.Option(help="Every field, one a line.")] = False,
    bad: Annotated[bool, typer.Option(help="Only messages with a wrong BodyLength, CheckSum or field.")] = False,
    dictionary: Annotated[Path | None, typer.Option(help="QuickFIX dictionary instead of the stock ones.")] = None,
) -> None:
    """Print the FIX messages of logs readably, one a line; wrong BodyLength or CheckSum is marked BAD."""
    paths = files or []
    missing = [path for path in [*paths, *([dictionary] if dictionary else [])] if not path.is_file()]
    if missing:
        raise typer.BadParameter(f"no such file: {missing[0]}")
    if follow and (len(paths) > 1 or tail):
        raise typer.BadParameter("--follow takes one file, and no --tail")
    messages = read_messages(follow_lines(paths[0]) if follow and paths else file_lines(paths))
    if order:
        messages = order_messages(messages, order, follow)
    messages = select(messages, frozenset(type_.split(",")) if type_ else frozenset(), session, bad)
    if tail:
        messages = iter(deque(messages, maxlen=tail))
    console = Console(highlight=False)
    try:
        for message in messages:
            console.print(render(message, dictionary, fields), soft_wrap=True)
    except KeyboardInterrupt:
        return
