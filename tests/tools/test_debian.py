"""Programs of Debian packages: from PATH, from the cache, or word of why there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.prometheus import program
from tools.build.debian import NotAvailable, find_program


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Path:
    """A PATH and a cache with nothing in them; returns the folder that PATH names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("GATEWAY_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_on_path_is_used(bare):
    on_path = executable(bare / "promtool")
    assert find_program("prometheus", "promtool") == on_path


def test_a_package_that_was_unpacked_is_used(bare, tmp_path):
    unpacked = executable(tmp_path / "cache" / "debian" / "prometheus" / "usr" / "bin" / "promtool")
    assert find_program("prometheus", "promtool") == unpacked
    with pytest.raises(NotAvailable, match="the package prometheus has no program other"):
        find_program("prometheus", "other")


def test_a_machine_that_is_no_debian_is_told(bare):
    with pytest.raises(NotAvailable, match="prometheus: not on PATH, and there is no apt-get"):
        find_program("prometheus", "promtool")


def test_a_download_that_fails_says_why_and_leaves_nothing(bare, tmp_path):
    executable(bare / "apt-get", "#!/bin/sh\necho 'E: no such host' >&2\nexit 100\n")
    executable(bare / "dpkg")
    with pytest.raises(NotAvailable, match="apt-get .*: E: no such host"):
        find_program("prometheus", "promtool")
    assert list((tmp_path / "cache" / "debian").iterdir()) == []


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb")
def test_a_package_is_fetched_and_unpacked_once(tmp_path, monkeypatch):
    """By a real dpkg, of a package of our own making."""
    executable(tmp_path / "package" / "usr" / "bin" / "hello-tidegate")
    control = tmp_path / "package" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text("Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: us <us@localhost>\nDescription: x\n")
    fetch = (
        f'#!/bin/sh\ntest "$1" = download && dpkg-deb --build {tmp_path}/package . >&2 && echo >> {tmp_path}/fetched\n'
    )
    executable(tmp_path / "bin" / "apt-get", fetch)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("GATEWAY_CACHE_DIR", str(tmp_path / "cache"))
    for _ in range(2):
        path = find_program("hello", "hello-tidegate")
        assert path.is_relative_to(tmp_path / "cache")
    assert (tmp_path / "fetched").read_text() == "\n"


def test_what_is_not_there_is_a_skip_and_in_ci_a_failure(bare, monkeypatch):
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="promtool is not available: prometheus: not on PATH"):
        program("promtool")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="must be there in CI"):
        program("promtool")
