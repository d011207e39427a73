"""How kernels are compiled: one decorator for leaves, one for entry points, one cache for all.

Numba's cache looks only at the file that holds a function, so a changed callee in another file would leave a stale
caller behind. The cache folder of a module's kernels is therefore named after a hash of that module and of every module
of ours that it imports, directly or not: an edit compiles anew what depends on it, and only that.

Environment: `GATEWAY_CACHE_DIR` (default: a per-user cache folder) holds the builds; `NUMBA_DISABLE_JIT=1` runs the
same kernels as plain Python; `NUMBA_BOUNDSCHECK=1` checks every index.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Level 3 compiles half as long again and the kernels run no faster; numba reads this when it is imported.
os.environ.setdefault("NUMBA_OPT", "2")

import numba  # noqa: E402
import numpy  # noqa: E402
from llvmlite import binding  # noqa: E402
from numba import njit  # noqa: E402
from numba.core.caching import FunctionCache  # noqa: E402
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen  # noqa: E402
from numba.core.compiler import Compiler  # noqa: E402
from numba.core.registry import cpu_target  # noqa: E402

PACKAGE = Path(__file__).parent
IMPORT = re.compile(rf"^\s*from ({PACKAGE.name}[\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)
LEAF = "leaf"
UNRESOLVED = ".numba.unresolved$"  # how numba names a function that is called before it is compiled
OPTIONS = ("NUMBA_OPT", "NUMBA_BOUNDSCHECK", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")


def cache_root() -> Path:
    """Folder of all compiled kernels."""
    return Path(os.environ.get("GATEWAY_CACHE_DIR") or Path.home() / ".cache" / "tidegate")


@functools.cache
def _source(path: Path) -> tuple[bytes, frozenset[Path]]:
    """Source of a module, and the files of the modules of ours that it imports."""
    source = path.read_bytes()
    names = set()
    # Not by `ast`, which takes 0.3 s of a start.
    for module, imported in IMPORT.findall(source.decode()):
        names |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", imported))}
    paths = (PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names)
    return source, frozenset(path for path in paths if path.exists())


@functools.cache
def cache_folder(path: Path) -> str:
    """Folder of the compiled kernels of a module, as its sources are now."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        source_file = waiting.pop()
        if source_file not in seen:
            seen.add(source_file)
            waiting += _source(source_file)[1]
    digest = hashlib.sha256(repr([os.environ.get(option) for option in OPTIONS]).encode())
    digest.update(repr((numba.__version__, numpy.__version__, platform.python_version())).encode())
    for source_file in sorted(seen):
        digest.update(source_file.name.encode() + b"\0" + _source(source_file)[0])
    return str(cache_root() / f"{path.stem}-{digest.hexdigest()[:16]}")


@functools.cache
def may_cache() -> bool:
    """Whether kernels can be kept; a user without a place for them compiles what is called, each time."""
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(cache_root(), os.W_OK)


class _Library(JITCodeLibrary):
    """The code of a compiled function, which may come out of the cache as that of a leaf."""

    @classmethod
    def _unserialize(cls, codegen: Any, state: Any) -> Any:
        name, kind, data = state
        if kind != LEAF:
            return super()._unserialize(codegen, state)
        library = _LeafLibrary(codegen, name)
        library._final_module = binding.parse_bitcode(data)
        library._finalize_final_module()
        return library


class _LeafLibrary(_Library):
    """The code of a leaf: bitcode for its callers. It is optimised as part of them, and never becomes machine code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        if any(each.name.startswith(UNRESOLVED) for each in self._final_module.global_variables):
            raise RuntimeError(f"{self.name}: a kernel that calls itself must be an entry point")
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    def serialize_using_object_code(self) -> Any:
        self._ensure_finalized()
        return self.name, LEAF, self._final_module.as_bitcode()


class _LeafCompiler(Compiler):
    """Compiles a function into a `_LeafLibrary`."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.library = _LeafLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class _Codegen(JITCPUCodegen):
    """Numba's own, for libraries of which some have no machine code."""

    _library_class = _Library

    def set_env(self, env_name: str, env: object) -> None:
        if self._engine.is_symbol_defined(env_name):
            super().set_env(env_name, env)


cpu_target.target_context.codegen().__class__ = _Codegen


class _Cache(FunctionCache):
    """Numba's own, which several processes may write: it numbers the files of a kernel by an index that it reads first,
    so two that save at once would take one number for two signatures.
    """

    def save_overload(self, sig: Any, data: Any) -> None:
        folder = Path(self._cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().save_overload(sig, data)
        finally:
            os.close(lock)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    # A dispatcher takes its cache folder from this setting when it is made.
    numba.config.CACHE_DIR = cache_folder(Path(function.__code__.co_filename))
    made = njit(nogil=True, cache=may_cache(), error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    if may_cache() and not numba.config.DISABLE_JIT:
        made._cache.__class__ = _Cache
    return made


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a leaf: called from other kernels only, so it needs no Python wrapper (which would cost compile time)."""
    return _compile(function, no_cpython_wrapper=True, pipeline_class=_LeafCompiler)


def entry(function: Callable[..., Any]) -> Any:
    """Compile an entry point: callable from Python, runs without the GIL."""
    return _compile(function)
