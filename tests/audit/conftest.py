"""Cores whose journals are read."""

from __future__ import annotations

from tests.journal.conftest import core, make

__all__ = ["core", "make"]
