"""The scenarios of `scenarios.txt`, each with every end that it may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OTHER_END = "?"
COMMENT = "#"
ONLY_44 = "only 4.4"


@dataclass(frozen=True)
class Scenario:
    """A scenario: its number in FIX 4.4 and in 4.2 (empty: it has none; ONLY_44: it cannot be), what it is about, its
    lines as they are written down.
    """

    number: str
    number_42: str
    title: str
    lines: tuple[str, ...]

    @property
    def in_appendix(self) -> bool:
        """Whether it is one of the appendix, and not one of ours."""
        return "+" not in self.number

    def ends(self) -> dict[str, list[str]]:
        """What is played, by a name: the whole scenario, and what leads to each other end."""
        played: list[str] = []
        found: dict[str, list[str]] = {}
        for line in self.lines:
            if line.startswith(COMMENT):
                continue
            if line.startswith(OTHER_END):
                found[f"{self.number} ends at {len(played)}"] = [*played, line.removeprefix(OTHER_END).strip()]
            else:
                played.append(line)
        return {self.number: played, **found}


def read_scenarios() -> list[Scenario]:
    """All of them, in the order of the file."""
    blocks = (Path(__file__).parent / "scenarios.txt").read_text().split("\n\n")
    found = []
    for block in blocks:
        head, *lines = block.strip().splitlines()
        if not head.startswith(COMMENT):
            number, number_42, title = (part.strip() for part in head.split("|"))
            found.append(Scenario(number, number_42, title, tuple(line.strip() for line in lines)))
    return found


SCENARIOS = read_scenarios()
ENDS = {name: (scenario, lines) for scenario in SCENARIOS for name, lines in scenario.ends().items()}
