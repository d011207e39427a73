"""Programs of Debian packages, unpacked into the user's cache without installing them: what tests run against."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from gateway.jit import cache_root

TIMEOUT_S = 300


class NotAvailable(Exception):
    """A program cannot be had here; one line that says why."""


def find_program(package: str, program: str) -> Path:
    """Path of a program: on PATH, or of the Debian package, which is fetched once. Raises NotAvailable."""
    on_path = shutil.which(program)
    if on_path is not None:
        return Path(on_path)
    path = _unpacked(package) / "usr" / "bin" / program
    if not path.is_file():
        raise NotAvailable(f"the package {package} has no program {program}")
    return path


def _unpacked(package: str) -> Path:
    """Folder with the files of a package. It appears whole or not at all, whoever else fetches it at the same time."""
    folder = cache_root() / "debian" / package
    if folder.is_dir():
        return folder
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise NotAvailable(f"{package}: not on PATH, and there is no {tool} to fetch it with")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            content = Path(temporary) / "content"
            _run("dpkg", "-x", str(_fetch(package, Path(temporary))), str(content))
            if not folder.is_dir():
                content.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise NotAvailable(f"{package}: {error}") from None
    return folder


def _fetch(package: str, folder: Path) -> Path:
    """Download the package's file into a folder, after an update of the package lists where they are missing."""
    try:
        _run("apt-get", "download", package, cwd=folder)
    except NotAvailable:
        if os.geteuid() != 0:
            raise
        _run("apt-get", "update")
        _run("apt-get", "download", package, cwd=folder)
    [file] = folder.glob("*.deb")
    return file


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"{' '.join(command)}: took longer than {TIMEOUT_S} s") from None
    if done.returncode != 0:
        why = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise NotAvailable(f"{' '.join(command)}: {why[-1]}")
