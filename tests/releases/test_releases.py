"""What earlier releases wrote is read by this one: their files are kept beside this test, one folder for each.

`python -m tests.releases.keep tests/releases/VERSION` keeps those of the release at hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.catalogue import LIMITS
from gateway.journal.read import segment_files
from gateway.journal.recovery import recover
from gateway.journal.snapshot import newest_snapshot
from gateway.kill import file as switches
from gateway.machine import boot_hash
from gateway.params import store
from gateway.params.feed import ParameterFeed
from gateway.params.publisher import ParameterPublisher
from gateway.state.build import build_state
from tests.releases.keep import CONFIG
from tests.releases.known import decisions_of, known_of
from tests.support.core import INSTRUMENTS, write_config
from tests.support.journal import ROOMY

LATER_NS = 2**61  # of the machine's clock, after anything kept
RELEASES = sorted(path.parent for path in Path(__file__).parent.glob("*/known.json"))


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a release wrote, as it wrote it."""
    for path in request.param.rglob("*.zst"):
        written = tmp_path / path.relative_to(request.param).with_suffix("")
        written.parent.mkdir(exist_ok=True)
        written.write_bytes(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
    (tmp_path / "known.json").write_bytes((request.param / "known.json").read_bytes())
    return tmp_path


def known(kept: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kept / "known.json").read_text())
    return found


def agrees(kept: Path) -> None:
    """What a start finds is what the release knew when it wrote it, and no event gives anything else than it sent."""
    recovered = recover(kept / "journal")
    wanted = known(kept)
    assert json.loads(json.dumps(known_of(recovered.replayer.state))) == wanted["state"]
    assert (recovered.replayer.differences == 0) == wanted["same_messages"]
    assert not recovered.lost
    assert recovered.notes == []


def test_a_start_from_the_journal_alone(kept: Path) -> None:
    for snapshot in (kept / "journal").glob("snapshot-*"):
        snapshot.unlink()
    agrees(kept)


def test_a_start_from_the_snapshot(kept: Path) -> None:
    assert newest_snapshot(kept / "journal").snapshot is not None
    agrees(kept)


def test_the_decisions_of_the_journal(kept: Path) -> None:
    found = [decisions_of(path) for path in segment_files(kept / "journal")]
    assert json.loads(json.dumps(found)) == known(kept)["decisions"]


def test_the_kill_switches(kept: Path) -> None:
    found = {(x.scope, x.name, x.user, x.reason) for x in switches.read_switches(kept)}
    assert found == {(a.ACCOUNT, "ACC2", "alice", "runaway"), (a.INSTRUMENT, "MSFT", "bob", "news")}


def test_the_limits_of_a_publisher(kept: Path) -> None:
    """The gateway reads the file, and a publisher goes on with it."""
    path = kept / "parameters"
    with path.open("r+b") as file:  # as if it were of this start of the machine
        file.seek(store.BOOT_WORD * store.WORD)
        file.write(boot_hash().to_bytes(store.WORD, "little"))
    with ParameterPublisher(path) as publisher:
        publisher.push("max_short", 7, "account", "ACC1")
    settings = load_settings(write_config(kept, CONFIG, ROOMY, INSTRUMENTS))
    section = settings.config.parameters.sources[0].model_copy(update={"file": str(path), "max_silence": None})
    feed = ParameterFeed(section, 0, build_state(settings, 1))
    assert [x.value[ev.SOURCE_UP] for x in feed.check(LATER_NS)] == [1]
    pushed = [x.value for x in feed.observe(LATER_NS, 0)]
    assert [(LIMITS[x[ev.PARAMETER_LIMIT]].key, x[ev.PARAMETER_VALUE]) for x in pushed] == [
        ("max_order_qty", 40_000_000_000),
        ("max_long", 9_950_000_000),
        ("max_short", 700_000_000),
    ]
