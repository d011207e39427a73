"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the processes of pytest end at the same time."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)
