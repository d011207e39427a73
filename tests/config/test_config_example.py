"""The example config in `config/`: it loads, nobody in it is blocked, and the image's edit of it still works."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from typer.testing import CliRunner

from gateway import shipped
from gateway.cli.main import app
from gateway.config.settings import load_settings
from gateway.core import layout as a
from gateway.state.build import CARRIED_FROM_ORDERS, CARRIED_FROM_REPORTS
from tests.support.core import BASE, INSTRUMENTS, LIMITS, write_config

CONFIG = shipped("config") / "gateway.yaml"
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def test_example_loads_and_every_mandatory_limit_is_set() -> None:
    result = CliRunner().invoke(app, ["limits", "check", "--config", str(CONFIG)])
    assert (result.exit_code, result.output.strip()) == (0, "every mandatory limit is set")


def test_example_shows_every_kind_of_input() -> None:
    settings = load_settings(CONFIG)
    assert {s.begin_string for s in settings.config.sessions} == {"FIX.4.2", "FIX.4.4"}
    assert settings.positions and any(i.multiplier_e8 != 10**8 for i in settings.instruments)
    scopes = {scope for scope, _, _ in settings.limits}
    assert {a.FIRM, a.ACCOUNT, a.STRATEGY, a.TRADER, a.INSTRUMENT, a.SESSION} <= scopes
    assert any(symbol for _, _, symbol in settings.limits)


def test_what_is_commented_out_loads_too(tmp_path: Path) -> None:
    text = CONFIG.read_text()
    shown = re.search(r"^# carry:\n(#   .*\n)+", text, re.MULTILINE)
    assert shown is not None
    section = yaml.safe_load(re.sub("^# ", "", shown[0], flags=re.MULTILINE))
    write_config(tmp_path, BASE | section, LIMITS, INSTRUMENTS)
    assert load_settings(tmp_path / "gateway.yaml").config.carry.orders == [211]


def test_the_docs_list_the_tags_that_are_always_carried() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    always = re.search(r"always carried to the venue as they came: ([^;]*); of reports to the EMS: ([^.]*)\.", text)
    assert always is not None
    told = [[int(tag) for tag in re.findall(r"\d+", tags)] for tags in always.groups()]
    assert told == [sorted(CARRIED_FROM_ORDERS), sorted(CARRIED_FROM_REPORTS)]


def test_image_exposes_the_listening_port_and_moves_the_state() -> None:
    """The Dockerfile rewrites keys of the example by `s|old|new|`; all must be there to be rewritten."""
    ports = {s.listen.rpartition(":")[2] for s in load_settings(CONFIG).config.sessions if s.listen}
    dockerfile = DOCKERFILE.read_text()
    assert ports == set(re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE))
    text = CONFIG.read_text()
    edits = re.findall(r"s\|([^|]+)\|([^|]+)\|", dockerfile)
    assert len(edits) == 3
    for old, new in edits:
        assert re.search(old, text)
        text = re.sub(old, new, text)
    assert "state_dir: /var/lib/tidegate" in text and "listen: 127" not in text
    assert "memory: /var/lib/tidegate/memory" in text
