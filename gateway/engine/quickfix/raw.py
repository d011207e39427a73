"""The bytes of messages as they came, from QuickFIX's log of them until their callback.

QuickFIX hands on what it has parsed: sorted, its groups counted, and nothing at all where it refuses a message. The
core judges the bytes themselves. So each message is kept by its MsgSeqNum(34) when it is logged, which comes before
QuickFIX looks at it, and claimed by the callback that takes or refuses it. What is left has come ahead of a gap, and
waits for QuickFIX to have closed it.
"""

from __future__ import annotations

SOH = "\x01"
SEQ_NUM = f"{SOH}34="
# Of messages behind a gap: a peer that does not close it would fill the memory, and QuickFIX's stack when it does.
MAX_AHEAD, MAX_AHEAD_CHARS = 10_000, 8 << 20
MANY = 1_000


class RawMessages:
    """The unclaimed messages of one session; only the thread of that session may touch it."""

    def __init__(self) -> None:
        """None yet."""
        self._by_number: dict[str, str] = {}
        self._chars = 0
        self.latest = ""
        self.number = ""
        """MsgSeqNum(34) of the latest."""
        self.expected = 0
        """The number that QuickFIX expected when the latest came."""
        self.is_claimed = True
        """Whether a callback has claimed the latest, or whatever had the expected number."""
        self.were_many = False
        """So many have waited that what QuickFIX has freed since is worth giving back to the machine."""

    def add(self, text: str) -> bool:
        """A message has come; False when too many wait behind a gap, and this one is not kept."""
        self.latest, self.number, self.is_claimed = text, _plain(field(text, SEQ_NUM)), False
        if len(self._by_number) >= MAX_AHEAD or self._chars > MAX_AHEAD_CHARS:
            return False
        if self.number:
            self._chars += len(text) - len(self._by_number.get(self.number, ""))
            self._by_number[self.number] = text
            self.were_many = self.were_many or len(self._by_number) > MANY
        return True

    def have_passed(self) -> bool:
        """Whether there were many, and none waits any more; said once."""
        if not self.were_many or self._by_number:
            return False
        self.were_many = False
        return True

    def drop_seen(self, expected: int) -> None:
        """Forget what came before the next number that QuickFIX expects: it has thrown those away."""
        kept = self._by_number.items()
        self._by_number = {number: text for number, text in kept if number.isdecimal() and int(number) >= expected}
        self._chars = sum(map(len, self._by_number.values()))

    def claim(self, number: str, checksum: str = "") -> bytes | None:
        """The message with this MsgSeqNum(34), and CheckSum(10) where it is given, as it was written there; None when
        it is not known. Another one may have borne the number since, or one that was changed on the way.
        """
        number = _plain(number)
        self.is_claimed = self.is_claimed or number in (self.number, str(self.expected))
        text = self._by_number.pop(number, None)
        if text is None:
            return None
        self._chars -= len(text)
        message = text.encode("utf-8", "surrogateescape")
        if not is_whole(message) or (checksum and not text.endswith(f"{SOH}10={checksum}{SOH}")):
            return None
        return message

    def clear(self) -> None:
        """The connection has ended: what is missing will be sent again."""
        self._by_number.clear()
        self._chars = 0
        self.latest = self.number = ""
        self.is_claimed = True


def field(text: str, start: str) -> str:
    """Value of the first field that begins with `start` (delimiter, tag and "="), "" without one."""
    at = text.find(start)
    if at < 0:
        return ""
    end = text.find(SOH, at + 1)
    return text[at + len(start) : end] if end >= 0 else ""


def _plain(number: str) -> str:
    """A number without the zeros in front that FIX allows."""
    return number.lstrip("0")


def is_whole(message: bytes) -> bool:
    """Whether BodyLength(9) and CheckSum(10) fit: nothing of the message was lost or changed on the way."""
    head, found, rest = message.partition(b"\x0135=")
    begin, _, length = head.partition(b"\x019=")
    if not found or not begin.startswith(b"8=") or not length.isdigit() or message[-8:-4] != b"\x0110=":
        return False
    size = len(message) - len(head) - 1 - 7
    checksum = sum(message[:-7]) % 256
    return len(length) < 10 and int(length) == size and message[-4:] == b"%03d\x01" % checksum


def storable(body: bytes, pairs: dict[bytes, bytes]) -> bytes:
    """The fields of a message as QuickFIX can keep them: without data fields that hold a delimiter or NUL, and with "?"
    for NUL elsewhere. It is not told of data fields, and reads a stored message up to the first NUL.

    `pairs`: tag of the length by that of the data field.
    """
    if any(b"\x01" + tag + b"=" in body for tag in pairs):
        body = _without_odd_data(body, pairs)
    return body.replace(b"\0", b"?")


def _without_odd_data(body: bytes, pairs: dict[bytes, bytes]) -> bytes:
    kept: list[bytes] = []
    at = 0
    while at < len(body):
        end = body.find(b"\x01", at) + 1 or len(body)
        part = body[at : end - 1]
        tag, _, value = part.partition(b"=")
        length_tag, _, length = kept[-1].partition(b"=") if kept else (b"", b"", b"")
        size = int(length) if pairs.get(tag) == length_tag and length.isdigit() and len(length) < 10 else -1
        if size > len(value) or (size >= 0 and b"\0" in value):
            kept.pop()
            at += len(tag) + 1 + size + 1
            continue
        kept.append(part)
        at = end
    return b"".join(part + b"\x01" for part in kept)


def condensed(message: bytes, most: int) -> bytes:
    """A message; of one of more than so many bytes only the first field with each tag. A group of hundreds of entries
    must not hide what stands behind it.
    """
    if len(message) <= most:
        return message
    first: dict[bytes, bytes] = {}
    for part in message.split(b"\x01"):
        first.setdefault(part.partition(b"=")[0], part)
    return b"\x01".join(first.values())
