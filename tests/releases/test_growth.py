"""The gateway grows as docs/architecture.md says, and what was written before stays as it was: tried on a copy."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gateway
from gateway.vocabulary import LIMITS, SCOPES

ROOT = Path(gateway.__file__).parent.parent
COPIED = ("gateway", "fix_specs", "tests", "tools", "tidegate_tools", "docs", "pyproject.toml")
STEP = re.compile(r"In `([^`]+)`(?:, (behind|at the end of) `([^`]+)`)?:\n\n((?: {8}.*\n|\n)+)")
BASKET = {
    ('*("class", "sector", "asset_class"),', '*("class", "sector", "asset_class", "basket"),'),
    ("CLASS, SECTOR, ASSET_CLASS = range(SCOPES)", "CLASS, SECTOR, ASSET_CLASS, BASKET = range(SCOPES)"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in COPIED:
        put = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        put(ROOT / name, tmp_path / name)
    return tmp_path


def insert(source: str, how: str, where: str, text: str) -> str:
    """Source with a text behind the line `where`, at the end of what has this name, or at its own end."""
    lines = source.split("\n")
    if not how:
        return f"{source.rstrip()}\n\n\n{text}"
    if how == "behind":
        at = next(k + 1 for k, line in enumerate(lines) if line.strip() == where)
        indent = len(lines[at - 1]) - len(lines[at - 1].lstrip())
    else:
        starts = (f"{where} =", f"@kernel\ndef {where}(")
        (node,) = [node for node in ast.parse(source).body if ast.unparse(node).startswith(starts)]
        assert node.end_lineno is not None
        at, indent = node.end_lineno - (not isinstance(node, ast.FunctionDef)), 4
    return "\n".join([*lines[:at], textwrap.indent(text.rstrip(), " " * indent), *lines[at:]])


def follow_the_recipe(copy: Path) -> int:
    """Add the check of docs/architecture.md; returns how many lines that takes."""
    recipe = (copy / "docs" / "architecture.md").read_text().partition("### a check")[2].partition("###")[0]
    steps = STEP.findall(recipe)
    count = 0
    for file, how, where, block in steps:
        text = textwrap.dedent(block).strip("\n") + "\n"
        path = copy / file
        path.write_text(insert(path.read_text(), how, where, text))
        count += text.count("\n")
    return count


def run(copy: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_check_is_added_by_the_recipe(copy: Path) -> None:
    """It fires alone, the catalogue and its page have it, and the journals of earlier releases are read."""
    assert follow_the_recipe(copy) < 40
    run(copy, "-m", "tools.build.catalogue_docs")
    tests = ("tests/core/test_checks.py", "tests/core/test_kernels.py", "tests/tools/test_catalogue_docs.py")
    wanted = "odd_lot or catalogue or up_to_date"
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", wanted)
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/releases/test_releases.py")


def test_a_scope_more_leaves_what_was_written_before(copy: Path) -> None:
    follow_the_recipe(copy)
    path = copy / "gateway" / "vocabulary.py"
    source = path.read_text()
    for old, new in BASKET:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    path.write_text(source)
    run(copy, "-c", f"import gateway.core.layout as a; assert (a.SCOPES, a.LIMITS) == ({SCOPES + 1}, {LIMITS + 1})")
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/releases/test_releases.py")
