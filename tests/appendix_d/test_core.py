"""Appendix D through the core: every scenario and each of its ends; the venue tells sums, or executions alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.appendix_d.player import ALERT, EMS, FIX_42, PAIRS, VENUE, Fields, Player, Reply
from tests.appendix_d.scenarios import ENDS, ONLY_44
from tests.support.core import BASE, LIMITS, Core
from tests.support.referee import faults

OPEN = dict.fromkeys(("max_order_qty", "max_order_notional", "max_long", "max_short"), "unlimited")
NAMES = {"EMS1": EMS, "XNAS": VENUE, "": ALERT}


class CoreWire:
    """A core of its own."""

    def __init__(self, folder: Path, versions: tuple[str, str]) -> None:
        config = copy.deepcopy(BASE)
        for session, version in zip(config["sessions"], versions, strict=True):
            session["begin_string"] = version
        limits = copy.deepcopy(LIMITS)
        limits["account"]["default"] = dict(OPEN)
        self.core = Core(folder, config, limits)

    def from_ems(self, msg_type: str, fields: Fields, poss_dup: bool, _: list[str]) -> list[Reply]:
        fields = fields | ({60: self.core.utc()} if msg_type != "H" else {})
        return self._named(self.core.message("EMS1", msg_type, sorted(fields.items()), poss_dup))

    def from_venue(self, msg_type: str, fields: Fields, _: list[str]) -> list[Reply]:
        return self._named(self.core.message("XNAS", msg_type, sorted(fields.items())))

    def end_day(self) -> list[Reply]:
        return [reply for reply in self._named(self.core.day()) if reply[0] != ALERT]

    @staticmethod
    def _named(replies: list[tuple[str, str, Fields]]) -> list[Reply]:
        return [(NAMES[session], msg_type, fields) for session, msg_type, fields in replies]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0][4:]} at {pair[1][4:]}")
def wire(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CoreWire:
    made = CoreWire(tmp_path_factory.mktemp("core"), request.param)
    made.versions = request.param
    made.first = made.core.state.block.copy()
    return made


@pytest.mark.parametrize("sums", [True, False], ids=["sums", "executions"])
@pytest.mark.parametrize("end", ENDS)
def test_appendix_d(wire: CoreWire, end: str, sums: bool) -> None:
    scenario, lines = ENDS[end]
    if scenario.number_42 == ONLY_44 and FIX_42 in wire.versions:
        pytest.skip("FIX 4.2 has no such value")
    wire.core.state.block[:] = wire.first
    wire.core.log.clear()
    Player(wire, wire.versions, sums).play(lines)
    assert faults(wire.core) == []
