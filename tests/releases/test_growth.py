"""A limit and a scope more leave what was written before as it was: tried on a copy of the gateway that has both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gateway

ROOT = Path(gateway.__file__).parent.parent
GROWN = {
    "vocabulary.py": [
        ('"session", "venue")', '"session", "venue", "sector")'),
        ("SESSION, VENUE = range(9)", "SESSION, VENUE, SECTOR = range(10)"),
        ('"reference_max_age": "duration",', '"reference_max_age": "duration", "max_odd_lots": "count",'),
        ("    REFERENCE_MAX_AGE,\n) = range(10)", "    REFERENCE_MAX_AGE,\n    MAX_ODD_LOTS,\n) = range(11)"),
    ],
    "core/catalogue.py": [
        (
            '"age up to which a reference price is fresh"),',
            '"age up to which a reference price is fresh"),\n'
            '    Limit(a.MAX_ODD_LOTS, ORDER_SCOPES, None, "orders at an odd lot"),',
        ),
    ],
}


def test_what_was_written_before_is_read_by_a_gateway_with_a_limit_and_a_scope_more(tmp_path: Path) -> None:
    for name in ("gateway", "fix_specs", "tests", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for name, changes in GROWN.items():
        path = tmp_path / "gateway" / name
        source = path.read_text()
        for old, new in changes:
            assert source.count(old) == 1, old
            source = source.replace(old, new)
        path.write_text(source)
    checked = "import gateway.core.layout as a; assert (a.SCOPES, a.LIMITS) == (10, 11), a.__file__"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/releases/test_releases.py"]
    for run in ([sys.executable, "-c", checked], command):
        done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
