"""The order of the tests, and what those of more than one folder use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certificates import Authority


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the processes of pytest end at the same time."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """An authority that signs certificates of TLS."""
    return Authority(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Another one."""
    return Authority(tmp_path / "other")
