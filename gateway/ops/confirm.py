"""What takes two people: the first one asks, another must ask for the same within some time."""

from __future__ import annotations

from collections.abc import Hashable


class Confirmation:
    """Who has asked for what, where it takes two people."""

    def __init__(self, people: int, within_ns: int) -> None:
        """`people` is 1 or 2; the second one has `within_ns` to confirm."""
        self._people = people
        self._within_ns = within_ns
        self._asked: dict[Hashable, tuple[str, int]] = {}  # user, CLOCK_MONOTONIC

    def ask(self, what: Hashable, user: str, now_ns: int) -> str:
        """Empty when it may be done now, else what is wanted. To be asked for again by the same person begins anew."""
        if self._people == 1:
            return ""
        self._asked = {key: value for key, value in self._asked.items() if now_ns - value[1] <= self._within_ns}
        first, _ = self._asked.pop(what, (user, 0))
        if first != user:
            return ""
        self._asked[what] = (user, now_ns)
        return f"another person than {user} must confirm within {_minutes(self._within_ns)}"


def _minutes(ns: int) -> str:
    seconds = ns / 10**9
    return f"{seconds / 60:g} m" if seconds >= 60 else f"{seconds:g} s"
