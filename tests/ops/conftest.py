"""Cores whose journals the audit tools read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.journaled import Journaled


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Journaled]]:
    """Makes a journaled core; arguments go to `Journaled`."""
    made: list[Journaled] = []

    def making(*more: Any, **named: Any) -> Journaled:
        made.append(Journaled(tmp_path, *more, **named))
        return made[-1]

    yield making
    for core in made:
        core.close()


@pytest.fixture
def core(make: Callable[..., Journaled]) -> Journaled:
    return make()
