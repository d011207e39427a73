"""What SessionRejectReason(373) says, in the words of FIX 4.4 volume 2, "Reject"."""

from __future__ import annotations

import numpy as np

_TEXTS = {
    0: "Invalid tag number",
    1: "Required tag missing",
    2: "Tag not defined for this message type",
    3: "Undefined tag",
    4: "Tag specified without a value",
    5: "Value is incorrect (out of range) for this tag",
    6: "Incorrect data format for value",
    9: "CompID problem",
    10: "SendingTime accuracy problem",
    11: "Invalid MsgType",
    13: "Tag appears more than once",
    14: "Tag specified out of required order",
    15: "Repeating group fields out of order",
    16: "Incorrect NumInGroup count for repeating group",
}
TEXT_SIZE = np.zeros(max(_TEXTS) + 1, np.int64)
TEXT = np.zeros((TEXT_SIZE.size, 64), np.uint8)
for _reason, _text in _TEXTS.items():
    TEXT_SIZE[_reason] = len(_text)
    TEXT[_reason, : len(_text)] = np.frombuffer(_text.encode("ascii"), np.uint8)

LAST_OF_42 = 11  # FIX 4.2 has no number for those behind it: 373 is left out there
