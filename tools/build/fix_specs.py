"""Reduce a stock QuickFIX dictionary to what the gateway speaks, and add the risk alert field.

    python -m tools.build.fix_specs --stock FIX44.xml --out fix_specs/FIX44.xml
    python -m tools.build.fix_specs --stock FIX50SP2.xml --session FIXT11.xml --out fix_specs/FIXT11.xml

From FIX 5.0 on the session layer has a dictionary of its own; the two become one, without what extension packs have
added to FIX 5.0 SP2. Kept: header, trailer, the messages listed here, and the components and fields that these use.
Added: user field 8011, optional in every application message. The output depends on the stock files alone.
"""

import argparse
import functools
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.fix.dictionary import DictionaryError, dictionary_of, load_dictionary, read_xml

SESSION = ("0", "1", "2", "3", "4", "5", "A")
APPLICATION = ("D", "F", "G", "8", "9", "H", "Q", "j", "h", "f", "V", "W", "X", "Y")
MASS_ORDER = ("q", "r", "AF")
MESSAGES = {
    "FIX.4.2": SESSION + APPLICATION,
    "FIX.4.4": SESSION + APPLICATION + MASS_ORDER,
    "FIXT.1.1": SESSION + APPLICATION + MASS_ORDER,
}
"""MsgType (35) values kept, by BeginString (8)."""

LAST_TAG = 1_621  # of FIX 5.0 SP2; extension packs go on behind it
RISK_ALERT_TAG = "8011"
RISK_ALERT_NAME = "RiskAlert"

COMMENT = """
 {begin_string} as Tidegate speaks it: a QuickFIX data dictionary reduced to the messages of an order gateway, with the
 user field {tag} ({name}) allowed in every application message.
 Made by tools/build/fix_specs.py from {stock} of the QuickFIX source archive; run that again rather than edit this.
 Copyright (c) 2001-2020 Oren Miller. This product includes software developed by quickfixengine.org
 (http://www.quickfixengine.org/). Terms: QUICKFIX-LICENSE.txt beside this file.
"""


def reduce_dictionary(stock: Path, session: Path | None = None) -> str:
    """The reduced dictionary as XML text; `session` is that of the session layer where it has its own. Raises
    DictionaryError if a stock file is unfit or lacks a message.
    """
    root = read_xml(stock) if session is None else _joined(read_xml(stock), read_xml(session))
    dictionary = dictionary_of(root, stock)
    begin_string = dictionary.begin_string
    if begin_string not in MESSAGES:
        raise DictionaryError(f"{stock}: version is {begin_string}, wanted one of {', '.join(MESSAGES)}")
    wanted = MESSAGES[begin_string]
    if missing := [msgtype for msgtype in wanted if msgtype not in dictionary.messages]:
        raise DictionaryError(f"{stock}: lacks message type {', '.join(missing)}, which {begin_string} should have")
    if int(RISK_ALERT_TAG) in dictionary.fields:
        raise DictionaryError(f"{stock}: already has field {RISK_ALERT_TAG}, wanted a stock dictionary")

    _keep(root, "messages", "msgtype", wanted)
    fields, components = _names_used(root)
    _keep(root, "components", "name", components)
    _keep(root, "fields", "name", fields)
    _add_risk_alert(root)
    ET.indent(root, space=" ")
    comment = COMMENT.format(
        begin_string=begin_string,
        tag=RISK_ALERT_TAG,
        name=RISK_ALERT_NAME,
        stock=" and ".join(each.name for each in (stock, session) if each),
    )
    xml = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!--{comment}-->\n{xml}\n'


def _joined(application: ET.Element, session: ET.Element) -> ET.Element:
    """The session layer's dictionary with the messages of the application, and what these use."""
    for section in ("messages", "components", "fields"):
        there = session.find(section)
        assert there is not None
        names = {child.get("name") for child in there}
        there.extend(child for child in application.iterfind(f"{section}/*") if child.get("name") not in names)
    tags = {field.get("name"): int(field.get("number", 0)) for field in session.iterfind("fields/field")}
    later = {name for name, tag in tags.items() if tag > LAST_TAG}
    _remove(session, lambda child: child.tag in ("field", "group") and child.get("name") in later)
    found = True
    while found:
        empty = {each.get("name") for each in session.iterfind("components/component") if len(each) == 0}
        found = _remove(session, functools.partial(_is_empty, empty))
    return session


def _is_empty(components: set[str | None], child: ET.Element) -> bool:
    """Whether a child is a group of nothing, or one of these components."""
    return (child.tag == "group" and len(child) == 0) or (child.tag == "component" and child.get("name") in components)


def _remove(root: ET.Element, is_wanted: Callable[[ET.Element], bool]) -> bool:
    """Remove children anywhere; whether there were any."""
    pairs = [(parent, child) for parent in root.iter() for child in parent if is_wanted(child)]
    for parent, child in pairs:
        parent.remove(child)
    return bool(pairs)


def _keep(root: ET.Element, section: str, key: str, wanted: Iterable[str]) -> None:
    """Remove from a section every child whose attribute `key` is not wanted."""
    names = set(wanted)
    for parent in root.iterfind(section):
        for child in list(parent):
            if child.get(key) not in names:
                parent.remove(child)


def _names_used(root: ET.Element) -> tuple[set[str], set[str]]:
    """Names of the fields (count fields of groups too) and of the components reached from header, trailer, messages."""
    definitions = {component.get("name", ""): component for component in root.iterfind("components/component")}
    fields: set[str] = set()
    components: set[str] = set()
    to_visit = [element for section in ("header", "trailer", "messages") for element in root.iterfind(section)]
    while to_visit:
        for element in to_visit.pop().iter():
            name = element.get("name", "")
            if element.tag in ("field", "group"):
                fields.add(name)
            elif element.tag == "component" and name not in components:
                components.add(name)
                to_visit.append(definitions[name])
    return fields, components


def _add_risk_alert(root: ET.Element) -> None:
    for message in root.iterfind("messages/message[@msgcat='app']"):
        ET.SubElement(message, "field", name=RISK_ALERT_NAME, required="N")
    for fields in root.iterfind("fields"):
        ET.SubElement(fields, "field", number=RISK_ALERT_TAG, name=RISK_ALERT_NAME, type="STRING")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: read --stock, write --out; one line on stderr and exit status 1 on an error."""
    parser = argparse.ArgumentParser(prog="python -m tools.build.fix_specs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--stock", type=Path, required=True, help="FIX44.xml, say, from QuickFIX's spec folder")
    parser.add_argument("--session", type=Path, help="FIXT11.xml, for FIX 5.0 and later")
    parser.add_argument("--out", type=Path, required=True, help="file to write, overwritten if it is there")
    options = parser.parse_args(arguments)
    try:
        xml = reduce_dictionary(options.stock, options.session)
        options.out.write_text(xml, encoding="utf-8")
    except (DictionaryError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{options.out}: {len(load_dictionary(options.out).messages)} messages")


if __name__ == "__main__":
    main()
