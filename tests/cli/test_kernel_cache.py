"""The cache of compiled kernels, written by several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

KERNEL = """
import sys
from numba import types
from gateway.jit import entry

@entry
def twice(x, y):
    return x + y

KINDS = [types.int8, types.int16, types.int32, types.int64, types.uint8, types.uint16, types.uint32, types.float64]
MINE = [(KINDS[int(sys.argv[1])], other) for other in KINDS]
if sys.argv[2] == "compile":
    print("ready", flush=True)
    sys.stdin.readline()
    for pair in MINE:
        twice.compile(pair)
else:
    for pair in MINE:
        cres = twice._cache.load_overload(pair, twice.targetctx)
        assert cres is not None and tuple(cres.signature.args) == pair, (pair, cres and cres.signature)
"""


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_processes_that_save_at_once_take_no_number_twice(tmp_path: Path) -> None:
    """Else a signature would be loaded as another's code, until somebody removes the folder."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    environment = os.environ | {"GATEWAY_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, str(tmp_path / "kernel.py")]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, str(k), "compile"], stdin=pipe, stdout=pipe, text=True, env=environment)
        for k in range(8)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=120)
        assert process.returncode == 0
    for k in range(8):
        subprocess.run([*command, str(k), "load"], check=True, env=environment, timeout=60)
