"""Properties of the compiled code as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from numba import config
from numba.core.dispatcher import Dispatcher

from gateway import core, fix
from gateway.core import catalogue, checks
from tests.support.core import Core


def dispatchers() -> dict[str, Dispatcher]:
    """Every kernel by its full name."""
    modules = [
        import_module(f"{package.__name__}.{path.stem}")
        for package in (core, fix)
        for path in Path(package.__path__[0]).glob("*.py")
    ]
    return {
        f"{value.py_func.__module__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_each_kernel_has_one_signature(tmp_path: Path) -> None:
    """A second one is a second compilation, and mostly a mixture of integer types."""
    Core(tmp_path).new("A")
    several = {name: d.signatures for name, d in dispatchers().items() if len(d.signatures) > 1}
    assert several == {}


def test_every_limit_check_is_a_function_that_judge_calls() -> None:
    """A check of the catalogue that nothing calls would be a limit wired to nothing."""
    called = set(checks.judge.py_func.__code__.co_names)
    for check in catalogue.CHECKS:
        if check.limit is not None or check.id in (catalogue.LOT, catalogue.TICK_SIZE):
            name = "check_positions" if check.name in ("MAX_LONG", "MAX_SHORT") else f"check_{check.name.lower()}"
            assert name in called


def test_catalogue_rows_stand_at_their_numbers() -> None:
    assert [check.id for check in catalogue.CHECKS] == list(range(len(catalogue.CHECKS)))
    assert [limit.index for limit in catalogue.LIMITS] == list(range(len(catalogue.LIMITS)))


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_the_inline_path_allocates_nothing(tmp_path: Path) -> None:
    """No order, refused or accepted, takes memory in compiled code; the call from Python wraps its four arrays."""
    script = f"""
from pathlib import Path
from numba.core.runtime import rtsys
from tests.support.core import Core
core = Core(Path({str(tmp_path)!r}))
core.new("A"), core.new("B", qty="7777")
before = rtsys.get_allocation_stats().alloc
for k in range(100):
    core.new(f"C{{k}}", px=str(100 + k % 9)), core.cancel(f"D{{k}}", f"C{{k}}"), core.new(f"E{{k}}", qty="7777")
print(rtsys.get_allocation_stats().alloc - before)
"""
    environment = os.environ | {"NUMBA_NRT_STATS": "1", "PYTHONPATH": "."}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    calls, arrays = 300, 4
    assert int(done.stdout) == calls * arrays
