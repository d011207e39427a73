"""How kernels are compiled: one decorator for leaves, one for entry points, one cache for all.

Numba's cache looks only at the file that holds a function, so a changed callee in another file would leave a stale
caller behind. The cache folder is therefore named after a hash of every kernel source and of the compiler's version:
any edit compiles anew, and switching back finds the old build.

Environment: ``GATEWAY_CACHE_DIR`` (default: a per-user cache folder) holds the builds; ``NUMBA_DISABLE_JIT=1`` runs
the same kernels as plain Python; ``NUMBA_BOUNDSCHECK=1`` checks every index.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy
from numba import njit

KERNEL_FOLDERS = ("core", "fix")


def cache_folder() -> Path:
    """Folder of the compiled kernels that belong to the sources as they are now."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in [Path(__file__), *(p for folder in KERNEL_FOLDERS for p in sorted((here / folder).glob("*.py")))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    versions = (numba.__version__, numpy.__version__, platform.python_version(), os.environ.get("NUMBA_BOUNDSCHECK"))
    digest.update(repr(versions).encode())
    root = os.environ.get("GATEWAY_CACHE_DIR") or Path.home() / ".cache" / "tidegate"
    return Path(root) / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(cache_folder())


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a leaf: called from other kernels only, so it needs no Python wrapper (which would cost compile time)."""
    return njit(nogil=True, cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def entry(function: Callable[..., Any]) -> Any:
    """Compile an entry point: callable from Python, runs without the GIL."""
    return njit(nogil=True, cache=True, error_model="numpy", no_cfunc_wrapper=True)(function)
