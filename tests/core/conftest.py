"""Cores for the checks, and of every pair of FIX versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checks import Make, config_with_everyone, limits_with
from tests.support.core import Core
from tests.support.kill import Of, core_of
from tests.support.referee import faults


@pytest.fixture(params=["FIX.4.4", "FIX.4.2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a core in which everything passes but what is said; keywords go to `Core`."""

    def made(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> Core:
        account = more.pop("account", None)
        return Core(
            tmp_path, **{"config": config_with_everyone(), "limits": limits_with(changes or {}, account)} | more
        )

    return made


@pytest.fixture
def of(tmp_path: Path) -> Iterator[Of]:
    """Makes cores as `core_of` does; at the end all that they have sent must be valid."""
    made: list[Core] = []

    def make(*versions: str, **more: Any) -> Core:
        made.append(core_of(tmp_path, *versions, **more))
        return made[-1]

    yield make
    assert [fault for core in made for fault in faults(core)] == []
