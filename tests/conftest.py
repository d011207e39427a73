"""The order of the tests, and what those of more than one folder use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.machine import MEMORY_PREFIX
from tests.support.certificates import Authority


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the processes of pytest end at the same time."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Free the memory of the journals of gateways that died in a test."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is None:  # of the process that only gives out the tests
        return
    for folder, _, names in os.walk(factory.getbasetemp()):
        for name in names:
            path = Path(folder) / name
            if name.endswith(".journal") and path.is_symlink() and MEMORY_PREFIX in os.readlink(path):
                Path(os.readlink(path)).unlink(missing_ok=True)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """An authority that signs certificates of TLS."""
    return Authority(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Another one."""
    return Authority(tmp_path / "other")
