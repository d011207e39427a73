"""A core with two publishers of limits, and what is in force in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core import layout as a
from tests.support.checks import config_with_everyone, limits_with
from tests.support.core import Core

ACC1 = (a.ACCOUNT, "ACC1")


def pushed_core(
    folder: Path,
    changes: dict[str, dict[str, Any]],
    loosen: int = 10,
    floor: int = 10,
    config: dict[str, Any] | None = None,
) -> Core:
    """A core in which everything passes but what `changes` say; sources 0 and 1 are CAL and DESK."""
    config = config_with_everyone() if config is None else config
    sources = [{"id": name, "file": name} for name in ("CAL", "DESK")]
    config["parameters"] = {"sources": sources, "loosen": loosen, "floor": floor}
    core = Core(folder, config, limits_with(changes))
    for source in (0, 1):
        core.source(source, up=True)
    return core


def in_force(core: Core, limit: int, entity: tuple[int, str] = ACC1, symbol: str = "") -> tuple[int, int]:
    """Limit in force at an entity, or at its pair with an instrument, and the epoch of the push that set it."""
    s = core.record
    row = core.state.entities[entity]
    if not symbol:
        return int(s.entities[row].limit[limit]), int(s.entities[row].limit_epoch[limit])
    for x in s.exposures[: s.exposure_count]:
        if (x.entity, x.instrument) == (row, core.state.instruments[symbol]):
            return int(s.pairs[x.pair].limit[limit]), int(s.pairs[x.pair].limit_epoch[limit])
    raise LookupError(symbol)
