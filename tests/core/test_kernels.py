"""Properties of the compiled code as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

from gateway.core import catalogue
from gateway.core.checks import judge as checks
from gateway.core.layout import CAPACITIES, state_dtype


def run_python(script: str, **environment: str) -> str:
    """Standard output of a script in a process of its own, where nothing else has used the kernels."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": "."} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize("name", CAPACITIES)
def test_a_state_of_every_capacity_fits_into_one_record(name: str) -> None:
    """Beyond 2 GiB numpy's sizes wrap, without a word."""
    dtype = state_dtype(CAPACITIES[name])
    last = max(offset + size.itemsize for size, offset in (dtype.fields[field][:2] for field in dtype.names))
    assert 0 < last == dtype.itemsize < 2**31


def test_each_kernel_has_one_signature(tmp_path: Path) -> None:
    """A second one is a second compilation, and mostly a mixture of integer types."""
    script = f"""
import sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from tests.support.core import Core
Core(Path({str(tmp_path)!r})).new("A")
modules = [module for name, module in sys.modules.items() if name.startswith("gateway.")]
kernels = {{v for m in modules for v in vars(m).values() if isinstance(v, Dispatcher)}}
print(len(kernels) > 100, sorted(k.py_func.__name__ for k in kernels if len(k.signatures) > 1))
"""
    assert run_python(script) == "True []\n"


def test_every_limit_check_is_a_function_that_judge_calls() -> None:
    """A check of the catalogue that nothing calls would be a limit wired to nothing."""
    called = set(checks.judge.py_func.__code__.co_names)
    for check in catalogue.CHECKS:
        if check.judged:
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
    calls, arrays = 300, 4
    assert int(run_python(script, NUMBA_NRT_STATS="1")) == calls * arrays
