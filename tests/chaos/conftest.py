"""The topologies of the end-to-end tests."""

import pytest

from tests.end_to_end.conftest import start

pytest.register_assert_rewrite("tests.chaos.truth")

__all__ = ["start"]
