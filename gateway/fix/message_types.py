"""MsgTypes(35) of the FIX versions: which exist, and so are refused as unsupported, not as invalid."""

from __future__ import annotations

ADMIN = frozenset("012345A")
_OF_42 = frozenset("0123456789ABCDEFGHJKLMNPQRSTVWXYZabcdefghijklm")
_TWO_LETTERS = {f"A{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} | {f"B{letter}" for letter in "ABCDEFGH"}
_OF_44 = _OF_42 | frozenset("nopqrstuvwxyz") | _TWO_LETTERS
_OF_50 = _OF_44 | {f"{first}{letter}" for first in "BC" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
STANDARD = {"FIX.4.2": _OF_42, "FIX.4.4": _OF_44, "FIXT.1.1": _OF_50}
"""Every MsgType of a FIX version, by BeginString(8)."""

INVALID_TYPE = "11"  # SessionRejectReason(373)


def unsupported(begin_string: str, message_type: str, served: frozenset[str]) -> bool:
    """Whether a MsgType is one of a FIX version, but none of those that are served."""
    return message_type in STANDARD.get(begin_string, frozenset()) and message_type not in served
