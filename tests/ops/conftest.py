"""Cores whose journals the audit tools read."""

from __future__ import annotations

from tests.journal.conftest import core, make

__all__ = ["core", "make"]
