"""FIX data dictionaries in the QuickFIX XML format, read into plain Python data.

`load_dictionary` gives tables with every component expanded in place; `widen` writes a lenient copy of a dictionary
for venue sessions, so that an odd report reaches the gateway instead of being refused by the session layer.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class DictionaryError(ValueError):
    """A dictionary file that cannot be used; the text is one line naming the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field's definition; `type` is the FIX data type in capitals, `values` the allowed values (empty: any)."""

    tag: int
    name: str
    type: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A repeating group. `fields` maps tag to "each entry must carry it"; nested groups are in `groups`."""

    count_tag: int
    delimiter_tag: int
    required: bool
    fields: dict[int, bool]
    groups: dict[int, "Group"]


@dataclass(frozen=True, slots=True)
class Members:
    """What a message, header or trailer holds, in dictionary order: tag to required, and count tag to group.

    Count tags appear in `groups` only.
    """

    fields: dict[int, bool]
    groups: dict[int, Group]


@dataclass(frozen=True, slots=True)
class Message:
    """A message's name, its MsgType (35) and its body members."""

    name: str
    msgtype: str
    members: Members


@dataclass(frozen=True, slots=True)
class Dictionary:
    """One FIX version: fields by tag, header and trailer, messages by MsgType (35). `begin_string` is as in tag 8."""

    begin_string: str
    fields: dict[int, Field]
    header: Members
    trailer: Members
    messages: dict[str, Message]


def read_xml(path: str | Path) -> ET.Element:
    """Root element of the dictionary file; raises DictionaryError if it is not there or is not a FIX dictionary."""
    try:
        root = ET.parse(path).getroot()
    except OSError as error:
        raise DictionaryError(f"{path}: cannot be read: {error.strerror}") from error
    except ET.ParseError as error:
        raise DictionaryError(f"{path}: not well-formed XML: {error}") from error
    if root.tag != "fix":
        raise DictionaryError(f"{path}: root element is <{root.tag}>, wanted <fix>")
    for section in ("header", "trailer", "messages", "fields"):
        if root.find(section) is None:
            raise DictionaryError(f"{path}: no <{section}> section")
    return root


def load_dictionary(path: str | Path) -> Dictionary:
    """Read the QuickFIX XML dictionary at `path`; raises DictionaryError with one line on anything wrong in it."""
    return dictionary_of(read_xml(path), path)


def dictionary_of(root: ET.Element, path: str | Path) -> Dictionary:
    """The tables of a dictionary that has been read; `path` is for errors."""
    return _Reader(root, path).dictionary()


def widen(xml_path: str | Path, out_path: str | Path) -> None:
    """Write to `out_path` a lenient copy of the dictionary: any text passes in every body field, nothing is required.

    Header and trailer keep their types; a count of a group is a number, whatever its type was. Nothing is a data field,
    since QuickFIX believes the length before one whatever it says. Tags that the dictionary does not know stay unknown;
    whether they pass is a setting of the session.
    """
    root = read_xml(xml_path)
    framing = {member.get("name") for section in ("header", "trailer") for member in root.iterfind(f"{section}//*")}
    counts = {group.get("name") for group in root.iterfind(".//group")}
    for field in root.iterfind("fields/field"):
        if field.get("name") in counts:
            field.set("type", "NUMINGROUP")
        elif field.get("name") not in framing or field.get("type") in ("LENGTH", "DATA") and field.get("number") != "9":
            field.set("type", "STRING")
        for value in field.findall("value"):
            field.remove(value)
    for element in root.iter():
        if "required" in element.attrib:
            element.set("required", "N")
    ET.indent(root, space=" ")
    try:
        new = Path(f"{out_path}.new")
        ET.ElementTree(root).write(new, encoding="UTF-8", xml_declaration=True)
        new.replace(out_path)
    except OSError as error:
        raise DictionaryError(f"{out_path}: cannot be written: {error.strerror}") from error


def data_lengths(dictionary: Dictionary) -> dict[int, int]:
    """Tag of the length field by that of each data field (96: 95, 355: 354 ...); raises DictionaryError without one."""
    lengths = {field.name: tag for tag, field in dictionary.fields.items() if field.type == "LENGTH"}
    pairs = {}
    for tag, field in dictionary.fields.items():
        if field.type == "DATA":
            length_tag = lengths.get(field.name + "Length") or lengths.get(field.name + "Len")
            if length_tag is None:
                raise DictionaryError(f"{dictionary.begin_string}: data field {field.name} has no length field")
            pairs[tag] = length_tag
    return pairs


class _Reader:
    """Turns one file into tables; holds what every step looks up: the path, and tags and components by name."""

    def __init__(self, root: ET.Element, path: str | Path) -> None:
        self.path = path
        self.root = root
        self.components = {self.attribute(c, "name"): c for c in self.root.iterfind("components/component")}
        self.fields = self.read_fields()
        self.tags = {field.name: field.tag for field in self.fields.values()}

    def dictionary(self) -> Dictionary:
        parts = [self.attribute(self.root, key) for key in ("type", "major", "minor")]
        messages: dict[str, Message] = {}
        for element in self.root.iterfind("messages/message"):
            name, msgtype = self.attribute(element, "name"), self.attribute(element, "msgtype")
            if msgtype in messages:
                raise DictionaryError(f"{self.path}: message type {msgtype} defined twice")
            messages[msgtype] = Message(name, msgtype, self.members(element))
        return Dictionary(
            begin_string=".".join(parts),
            fields=self.fields,
            header=self.section("header"),
            trailer=self.section("trailer"),
            messages=messages,
        )

    def read_fields(self) -> dict[int, Field]:
        fields: dict[int, Field] = {}
        for element in self.root.iterfind("fields/field"):
            name, number = self.attribute(element, "name"), self.attribute(element, "number")
            if not (number.isascii() and number.isdigit()):
                raise DictionaryError(f"{self.path}: field {name} has number {number!r}, wanted a positive integer")
            tag = int(number)
            if tag in fields:
                raise DictionaryError(f"{self.path}: field number {tag} defined twice")
            values = tuple(self.attribute(value, "enum") for value in element.iterfind("value"))
            fields[tag] = Field(tag, name, self.attribute(element, "type"), values)
        return fields

    def section(self, name: str) -> Members:
        element = self.root.find(name)
        assert element is not None, "read_xml has checked the sections"
        return self.members(element)

    def members(self, element: ET.Element) -> Members:
        fields: dict[int, bool] = {}
        groups: dict[int, Group] = {}
        for member, required in self.expand(element, ()):
            tag = self.tag(member)
            if member.tag == "group":
                groups[tag] = self.group(member, tag, required)
            else:
                fields[tag] = required
        return Members(fields, groups)

    def group(self, element: ET.Element, count_tag: int, required: bool) -> Group:
        first = next(self.expand(element, ()), None)
        if first is None:
            raise DictionaryError(f"{self.path}: group {element.get('name')} is empty")
        inner = self.members(element)
        return Group(count_tag, self.tag(first[0]), required, inner.fields, inner.groups)

    def expand(self, element: ET.Element, inside: tuple[str, ...]) -> Iterator[tuple[ET.Element, bool]]:
        """Fields and groups under `element`, in order, with components (names in `inside`) replaced by their members.

        A member of a component is required only where both it and the component are.
        """
        for member in element:
            required = member.get("required", "N").upper() == "Y"
            if member.tag == "component":
                name = self.attribute(member, "name")
                if name not in self.components:
                    raise DictionaryError(f"{self.path}: component {name} is used but not defined")
                if name in inside:
                    raise DictionaryError(f"{self.path}: component {name} contains itself")
                for inner, inner_required in self.expand(self.components[name], (*inside, name)):
                    yield inner, required and inner_required
            elif member.tag in ("field", "group"):
                yield member, required
            else:
                raise DictionaryError(f"{self.path}: <{member.tag}> is no field, group or component")

    def tag(self, element: ET.Element) -> int:
        name = self.attribute(element, "name")
        if name not in self.tags:
            raise DictionaryError(f"{self.path}: field {name} is used but not defined")
        return self.tags[name]

    def attribute(self, element: ET.Element, key: str) -> str:
        value = element.get(key)
        if value is None:
            owner = element.get("name", "without a name")
            raise DictionaryError(f"{self.path}: <{element.tag}> {owner} lacks the attribute {key!r}")
        return value
