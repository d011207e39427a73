"""Messages made from the dictionaries and then broken, for the gateway's sockets; all from one seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gateway.fix.dictionary import Dictionary, Field, Group, Members, load_dictionary
from tests.support.wire_peers import ACCOUNT, FIX_44, FUZZED_VENUES, PASSWORD, SOH, USERNAME, Pairs, value_of, wire
from tidegate_tools.fix.text import dictionary_path

ADMIN = "A012345"
OF_EMS = [*ADMIN, *"DDDDFFGGHHq", "AF", *"89jVWXYQfhE"]
OF_VENUE = [*ADMIN, *"88888899jjrrWWXX", *"YQfhDFGHVE"]
DATA_OF = {90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 354: 355, 362: 363, 364: 365, 618: 619, 621: 622}
LENGTH_OF = {data: length for length, data in DATA_OF.items()}
COUNTS = (73, 78, 136, 146, 232, 267, 268, 382, 384, 386, 453, 454, 555, 627, 711, 802, 864)
NUMBERS = (7, 16, 34, 36, 45, 108, 141, 123, 43, 97, 369, 383, 789, 6, 14, 31, 32, 38, 44, 99, 151, 210, 270, 271, 371)
TIMES = (52, 60, 122, 126, 168, 432)
SPECIAL = frozenset((*DATA_OF, *DATA_OF.values(), *COUNTS, *NUMBERS, *TIMES))
# fmt: off
ODD = [
    b"", b"0", b"-1", b"1", b"2", b"3", b"00000001", b"+1", b"2147483647", b"2147483648", b"-2147483648",
    b"-2147483649", b"4294967295", b"4294967296", b"999999999999999999", b"1000000000000000000", b"9223372036854775807",
    b"9223372036854775808", b"18446744073709551615", b"18446744073709551616", b"9" * 40, b"1.000000001", b"0.00000001",
    b"-0.5", b"1e9", b"NaN", b"x", b"Y", b"N", b" ", b"=", b"A=B", b"\xff", b"\xff\xfe\xfd", b"\xc3\x28",
    b"\xed\xa0\x80", b"\0", b"a\0b", b"1" * 70, b"x" * 300, b"%s%n", b"8=FIX.4.4", b"10=000",
]
ODD_TIMES = [
    b"", b"x", b"00000000-00:00:00", b"19700101-00:00:00", b"20260230-12:00:00", b"99991231-23:59:60.999999999",
    b"20260711-12:00:00.", b"20260711-12:00:00.0000000001", b"20261332-25:61:61", b"-0260711-12:00:00", b"20260711",
]
# fmt: on
TELLING = frozenset((8, 9, 35, 49, 56, 34, 52, 17, 19, 20, 32, 150))
GARBAGE = [
    b"\0",
    b"\x01",
    b"8=",
    b"8=FIX",
    b"9=5\x01",
    b"\x0110=",
    b"10=000\x01",
    b"\xff" * 7,
    b"GET / HTTP/1.1\r\n\r\n",
]
OPTIONAL = 0.08
"""Share of the optional fields that a message has."""


def _frames(field: Field) -> bool:
    """Whether the session layer asks for a number in it, or cuts by it."""
    return field.type in ("LENGTH", "DATA", "NUMINGROUP")


def stamp(offset_s: float = 0.0) -> bytes:
    """A UTCTimestamp so far from now."""
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).strftime("%Y%m%d-%H:%M:%S.%f")[:-3].encode()


class Fuzz:
    """Makes messages and breaks them. `avoided` names what is known to end the gateway: see AVOIDABLE."""

    def __init__(self, seed: int, avoided: frozenset[str] = frozenset()) -> None:
        """The same seed gives the same choices; times and ids differ."""
        self.rng = random.Random(seed)
        self.dictionaries = {v: load_dictionary(dictionary_path(v)) for v in set(FUZZED_VENUES.values())}
        self.avoided = [AVOIDABLE[name] for name in sorted(avoided)]
        self._next_id = 0

    # Sound messages

    def fresh_id(self) -> bytes:
        """A ClOrdID that was not used before."""
        self._next_id += 1
        return b"F%d-%d" % (self._next_id, self.rng.getrandbits(30))

    def body(self, begin_string: str, msg_type: str, sound: dict[int, bytes]) -> Pairs:
        """The fields of a message after its header: required ones, some optional ones, and all of `sound` that fit."""
        dictionary = self.dictionaries[begin_string]
        message = dictionary.messages.get(msg_type)
        if message is None:
            return [(b"%d" % tag, value) for tag, value in sound.items()]
        return self._members(dictionary, message.members, sound)

    def _members(self, dictionary: Dictionary, members: Members | Group, sound: dict[int, bytes]) -> Pairs:
        pairs: Pairs = []
        for tag, required in members.fields.items():
            if tag in LENGTH_OF or not (required or tag in sound or self.rng.random() < OPTIONAL):
                continue
            if tag in DATA_OF:
                data = self._data()
                pairs += [(b"%d" % tag, b"%d" % len(data)), (b"%d" % DATA_OF[tag], data)]
            else:
                value = sound[tag] if tag in sound else self._value(dictionary.fields[tag])
                pairs.append((b"%d" % tag, value))
        for tag, group in members.groups.items():
            if group.required or self.rng.random() < OPTIONAL:
                count = self.rng.randint(1, 3)
                pairs.append((b"%d" % tag, b"%d" % count))
                for _ in range(count):
                    pairs += self._entry(dictionary, group, sound)
        return pairs

    def _entry(self, dictionary: Dictionary, group: Group, sound: dict[int, bytes]) -> Pairs:
        """One entry of a group, its first field first."""
        pairs = self._members(dictionary, group, sound)
        delimiter = b"%d" % group.delimiter_tag
        rest = [pair for pair in pairs if pair[0] != delimiter]
        first = [pair for pair in pairs if pair[0] == delimiter][:1]
        return (first or [(delimiter, self._value(dictionary.fields[group.delimiter_tag]))]) + rest

    def _value(self, field: Field) -> bytes:
        if field.values:
            return self.rng.choice(field.values).encode()
        kind = field.type
        if kind in ("UTCTIMESTAMP", "UTCTIMEONLY", "LOCALMKTDATE", "UTCDATE", "UTCDATEONLY", "MONTHYEAR"):
            now = stamp()
            date = {"UTCTIMEONLY": now[9:], "UTCTIMESTAMP": now, "MONTHYEAR": now[:6]}
            return date.get(kind, now[:8])
        if kind in ("INT", "SEQNUM", "NUMINGROUP", "LENGTH", "DAYOFMONTH"):
            return b"%d" % self.rng.randint(1, 20)
        if kind in ("PRICE", "QTY", "AMT", "FLOAT", "PRICEOFFSET", "PERCENTAGE"):
            return b"%d.%02d" % (self.rng.randint(1, 200), self.rng.randint(0, 99))
        known = {"BOOLEAN": b"N", "CURRENCY": b"USD", "COUNTRY": b"US", "EXCHANGE": b"N", "CHAR": b"A"}
        return known.get(kind, b"T%d" % self.rng.getrandbits(12))

    def _data(self) -> bytes:
        return bytes(self.rng.choice(b"aZ=\x01\xff\x00 9") for _ in range(self.rng.randint(1, 12)))

    # Broken ones

    def message(self, begin_string: str, pairs: Pairs, breaks: int | None = None) -> bytes:
        """A message after so many changes (None: up to four)."""
        pairs = list(pairs)
        if breaks is None:
            breaks = self.rng.choices([0, 1, 2, 3, 4], [3, 8, 4, 2, 1])[0]
        for _ in range(breaks):
            self.rng.choice(CHANGES)(self, pairs)
        length = checksum = None
        if breaks and self.rng.random() < 0.06:
            true = len(wire(pairs, "")) - len(wire([], ""))
            near = b"%d" % (true + self.rng.choice((-1, 1, -20, 20, 5000)))
            length = self.rng.choice((near, self.rng.choice(ODD)))
        if breaks and self.rng.random() < 0.04:
            checksum = self.rng.choice([b"256", b"999", b"-01", b"000", b"00", b"0000", *ODD])
        version = begin_string
        if breaks and self.rng.random() < 0.02:
            version = self.rng.choice(("FIX.4.3", "FIX.4.2", "FIX.4.4", "FIXT.1.1", "", "FIX.4.4\0", "FIX.9.9"))
        data = wire(pairs, version, length, checksum)
        if breaks and self.rng.random() < 0.08:
            data = self._bytes_broken(data)
        return data

    def report(self, begin_string: str, pairs: Pairs) -> bytes:
        """An ExecutionReport with odd values, but one of which the gateway can tell what has traded.

        What else there is in one that cannot be read may be a fill, and blocks every order: that is as it should be.
        """
        pairs = list(pairs)
        fields = self.dictionaries[begin_string].fields
        places = [k for k, (tag, _) in enumerate(pairs) if int(tag) not in TELLING and not _frames(fields[int(tag)])]
        for at in self.rng.sample(places, min(len(places), self.rng.choice((0, 1, 2, 3)))):
            pairs[at] = pairs[at][0], self._odd(pairs[at][0])
        return wire(pairs, begin_string)

    def _bytes_broken(self, data: bytes) -> bytes:
        at, kind = self.rng.randrange(len(data)), self.rng.randrange(4)
        if kind == 0:
            return data[:at] + bytes([data[at] ^ 1 << self.rng.randrange(8)]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + data[at + self.rng.randint(1, 20) :]
        if kind == 2:
            return data[:at] + self.rng.choice(GARBAGE) + data[at:]
        return data[:at]

    def is_avoided(self, data: bytes, seq: int) -> bool:
        """Whether these bytes would do what is to be avoided; `seq` is the next number of the session."""
        return any(avoid(data, seq) for avoid in self.avoided)

    def _place(self, pairs: Pairs) -> int:
        """Of a field to break: often one in which QuickFIX or the gateway counts."""
        special = [k for k, (tag, _) in enumerate(pairs) if tag.isdigit() and int(tag) in SPECIAL]
        return self.rng.choice(special) if special and self.rng.random() < 0.6 else self.rng.randrange(len(pairs))

    def _odd(self, tag: bytes) -> bytes:
        if tag.isdigit() and int(tag) in TIMES and self.rng.random() < 0.7:
            return self.rng.choice([*ODD_TIMES, stamp(-86_400), stamp(86_400), stamp(-110), stamp(110)])
        return self.rng.choice(ODD)

    def _set_value(self, pairs: Pairs) -> None:
        at = self._place(pairs)
        pairs[at] = pairs[at][0], self._odd(pairs[at][0])

    def _set_near(self, pairs: Pairs) -> None:
        """A number that is off by a little."""
        at = self._place(pairs)
        tag, value = pairs[at]
        if value.isdigit() and len(value) < 10:
            pairs[at] = tag, b"%d" % (int(value) + self.rng.choice((-2, -1, 1, 2, 10, 1000)))

    def _drop(self, pairs: Pairs) -> None:
        if len(pairs) > 2:
            del pairs[self._place(pairs)]

    def _double(self, pairs: Pairs) -> None:
        tag, value = pairs[self._place(pairs)]
        again = value if self.rng.random() < 0.5 else self._odd(tag)
        pairs.insert(self.rng.randrange(len(pairs) + 1), (tag, again))

    def _swap(self, pairs: Pairs) -> None:
        one, other = self.rng.randrange(len(pairs)), self.rng.randrange(len(pairs))
        pairs[one], pairs[other] = pairs[other], pairs[one]

    def _shuffle(self, pairs: Pairs) -> None:
        keep = self.rng.choice((0, 1, 5))
        rest = pairs[keep:]
        self.rng.shuffle(rest)
        pairs[keep:] = rest

    def _insert(self, pairs: Pairs) -> None:
        tag = b"%d" % self.rng.choice((*COUNTS, *NUMBERS, *TIMES, *NUMBERS[:14], 0, 35, 49, 56, 5001, 99_999, 2**31))
        pairs.insert(self.rng.randrange(1, len(pairs) + 1), (tag, self._odd(tag)))

    def _insert_data(self, pairs: Pairs) -> None:
        tag = self.rng.choice(list(DATA_OF))
        data = self._data()
        length = self.rng.choice((b"%d" % len(data), b"%d" % (len(data) + self.rng.choice((-1, 1, 40))), b"", *ODD))
        at = self.rng.randrange(1, len(pairs) + 1)
        pairs[at:at] = [(b"%d" % tag, length), (b"%d" % DATA_OF[tag], data)]

    def _grow(self, pairs: Pairs) -> None:
        at = self._place(pairs)
        pairs[at] = pairs[at][0], pairs[at][1] + b"x" * self.rng.choice((100, 1000, 9000, 40_000))

    def _again(self, pairs: Pairs) -> None:
        """PossDupFlag or PossResend, with and without OrigSendingTime."""
        flags: Pairs = [(self.rng.choice((b"43", b"97")), self.rng.choice((b"Y", b"Y", b"N", b"x", b"")))]
        if self.rng.random() < 0.6:
            flags.append((b"122", self.rng.choice((stamp(), stamp(-60), stamp(3600), *ODD_TIMES))))
        at = min(4, len(pairs))
        pairs[at:at] = flags

    def _renumber(self, pairs: Pairs) -> None:
        for k, (tag, value) in enumerate(pairs):
            if tag == b"34" and value.isdigit() and len(value) < 10:
                off = self.rng.choice((-1, -2, -50, 1, 2, 50, 10**6))
                pairs[k] = tag, b"%d" % max(0, int(value) + off)

    def _bad_tag(self, pairs: Pairs) -> None:
        at = self.rng.randrange(len(pairs))
        pairs[at] = self.rng.choice((b"", b"x", b"-1", b"0", b"+1", b"01", b"99999999999", b"\xff")), pairs[at][1]


CHANGES: list[Callable[[Fuzz, Pairs], None]] = [
    *[Fuzz._set_value] * 7,
    *[Fuzz._insert] * 3,
    *[Fuzz._insert_data] * 2,
    *[Fuzz._double] * 2,
    *[Fuzz._again] * 2,
    *[Fuzz._drop] * 2,
    *[Fuzz._renumber] * 2,
    Fuzz._set_near,
    Fuzz._swap,
    Fuzz._shuffle,
    Fuzz._grow,
    Fuzz._bad_tag,
]


def ems_terms(fuzz: Fuzz, known: list[bytes]) -> dict[int, bytes]:
    """Values with which an order, cancel or replace of the fuzzed EMS is taken."""
    rng = fuzz.rng
    terms = {1: ACCOUNT.encode(), 11: fuzz.fresh_id(), 21: b"1", 38: b"%d" % rng.randint(1, 50), 40: b"2", 54: b"1"}
    terms |= {44: b"99.%02d" % rng.randint(0, 99), 55: b"AAPL", 59: b"0", 60: stamp()}
    terms |= {41: rng.choice(known) if known else b"F0", 100: rng.choice(list(FUZZED_VENUES)).encode()}
    return terms


def venue_terms(fuzz: Fuzz, begin_string: str, order: bytes | None) -> dict[int, bytes]:
    """Values of a report of a venue about an order that it was sent (or about none)."""
    rng = fuzz.rng
    quantity = int(value_of(order, 38) or b"1") if order else 1
    filled = rng.choice((1, quantity))
    status = rng.choice((b"0", b"1", b"2", b"4", b"8", b"C"))
    exec_type = b"F" if status in b"12" and begin_string == FIX_44 else status
    terms = {
        11: value_of(order, 11) if order else b"C0-1",
        6: b"99",
        14: b"%d" % filled,
        151: b"%d" % (quantity - filled),
    }
    terms |= {17: fuzz.fresh_id(), 20: b"0", 31: b"99", 32: b"%d" % filled, 37: b"V1", 39: status, 150: exec_type}
    terms |= {
        54: b"1",
        55: b"AAPL",
        41: terms[11],
        434: b"1",
        262: b"1",
        269: b"0",
        270: b"99.9",
        271: b"100",
        279: b"0",
    }
    terms |= {45: b"%d" % rng.randint(1, 30), 372: rng.choice((b"D", b"F", b"G", b"H", b"V")), 380: b"0", 58: b"text"}
    return terms


ADMIN_TERMS = {
    98: b"0",
    553: USERNAME,
    554: PASSWORD,
    108: b"30",
    36: b"5",
    7: b"1",
    16: b"0",
    112: b"T",
    45: b"1",
    123: b"Y",
}


# What is known to end the gateway


def _bad_data_length(data: bytes, seq: int) -> bool:
    for match in re.finditer(rb"\x01(\d+)=", data):
        tag = int(match[1][:9])
        if tag not in LENGTH_OF:
            continue
        front = data[: match.start()].rpartition(SOH)[2]
        name, _, value = front.partition(b"=")
        end = match.end() + int(value) if value.isdigit() and len(value) < 6 else -1
        if name != b"%d" % LENGTH_OF[tag] or not 0 <= end < len(data) or data[end : end + 1] != SOH:
            return True
    return False


def _bad_heartbeat(data: bytes, seq: int) -> bool:
    return any(not re.fullmatch(rb"[1-9]\d{1,3}", value) for value in re.findall(rb"\x01108=([^\x01]*)", data))


def _low_sequence_reset(data: bytes, seq: int) -> bool:
    if b"\x0135=4\x01" not in data:
        return False
    news = re.findall(rb"\x0136=(\d*)", data)
    return any(new and int(new) < seq + 20 for new in news)


def _many_behind_a_gap(data: bytes, seq: int) -> bool:
    return data.count(b"\x0135=") > 1000


def _nul(data: bytes, seq: int) -> bool:
    return b"\0" in data


AVOIDABLE: dict[str, Callable[[bytes, int], bool]] = {
    "data-length": _bad_data_length,
    "heartbeat": _bad_heartbeat,
    "sequence-reset": _low_sequence_reset,
    "many-behind-gap": _many_behind_a_gap,
    "nul": _nul,
    "dawdling": lambda data, seq: data == b"",
}
