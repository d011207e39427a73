"""Where a command finds its config when it is not named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

CHECK = ["limits", "check"]


@pytest.mark.parametrize("named", ["option", "environment", "folder"])
def test_the_config_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """The option before the environment, that before the current folder."""
    path = write_config(tmp_path, BASE, LIMITS, INSTRUMENTS)
    other = tmp_path / "other"
    other.mkdir()
    (other / "gateway.yaml").write_text("nonsense: 1\n")
    monkeypatch.chdir(path.parent if named == "folder" else other)
    if named == "environment":
        monkeypatch.setenv("TIDEGATE_CONFIG", str(path))
    else:
        monkeypatch.delenv("TIDEGATE_CONFIG", raising=False)
    assert path.name == "gateway.yaml"
    done = CliRunner().invoke(app, [*CHECK, *(["-c", str(path)] if named == "option" else [])])
    assert (done.exit_code, "nonsense" in done.output) == (0, False), done.output


@pytest.mark.parametrize("command", [CHECK, ["status"], ["kill", "--scope", "firm", "--reason", "r"]])
def test_no_config_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDEGATE_CONFIG", raising=False)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "no gateway.yaml in this folder" in done.output and "TIDEGATE_CONFIG" in done.output
    assert done.output.count("\n") == 1
