"""Keeps the files of a release as its code writes them: `python -m tests.releases.keep FOLDER`, in that release.

A journal with a crash in it, refusals and pushed limits; a snapshot; the switch file; a publisher's file; and in
`known.json` what each of them says. `tests/releases/test_releases.py` reads them with the code of today.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import zstandard

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.journal import snapshot
from gateway.journal.read import segment_files
from gateway.journal.recovery import recover
from gateway.kill import file as switches
from gateway.params.publisher import ParameterPublisher
from tests.releases.known import decisions_of, known_of
from tests.support.core import BASE
from tests.support.journal import ROOMY, Flow, JournaledCore

STEPS = 250
CONFIG = BASE | {"parameters": {"sources": [{"id": "CAL", "file": "cal"}], "loosen": 10, "floor": 10}}


def trade(folder: Path) -> JournaledCore:
    """Some trading, a crash, some more; an account is killed and a limit is pushed."""
    core = JournaledCore(folder, limits=ROOMY, config=CONFIG)
    flow = Flow(core, seed=7)
    core.source(0, up=True)
    for step in range(STEPS):
        flow.step()
        if step == STEPS // 3:
            core.push(a.MAX_ORDER_QTY, 400 * 10**8, epoch=3)
        if step == STEPS // 2:
            core.begin(ev.CRASHED)
            core.source(0, up=True)
        if step == STEPS * 2 // 3:
            core.kill(a.ACCOUNT, "ACC2")
    rest(core)
    core.close()
    return core


def rest(core: JournaledCore) -> None:
    """Orders that are open at the end, each in another way, and one that is refused by several checks."""
    core.wait(2)
    core.quote("AAPL", 99.99, 100.01, 100)
    core.working("WORKS", qty="300")
    partly = core.working("PARTLY", qty="200", t7001="MOMO", t50="TOM")
    core.fill(partly, "PARTLY1", "50", "50", t38="200", t151="150")
    core.working("REPLACED", qty="100")
    core.replace("REPLACE", "REPLACED", qty="250")
    core.working("CANCELED", qty="100", side="2")
    core.cancel("CANCEL", "CANCELED", side="2")
    core.new("SENT", qty="30")
    core.new("REFUSED", qty="900", px="300", t1="ACC2")


def write_others(folder: Path) -> None:
    """The switch file and a publisher's file."""
    switches.create(folder)
    switches.set_switch(folder, a.ACCOUNT, "ACC2", "alice", "runaway")
    switches.set_switch(folder, a.INSTRUMENT, "MSFT", "bob", "news")
    with ParameterPublisher(folder / "cal") as publisher:
        publisher.push("max_order_qty", 400, "account", "ACC1")
        publisher.push("max_long", "99.5", "account", "ACC1", symbol="MSFT")


def keep(folder: Path) -> None:
    """Write everything to a folder."""
    (folder / "journal").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        core = trade(scratch)
        first, last = segment_files(core.folder)
        begun = scratch / "begun"
        begun.mkdir()
        shutil.copy(first, begun)
        written = snapshot.save(begun, recover(begun).replayer, 1)
        # To be made false by hand once a later release is meant to send something else.
        known = {"same_messages": True, "state": known_of(recover(core.folder).replayer.state)}
        known["decisions"] = [decisions_of(first), decisions_of(last)]
        write_others(scratch)
        found = {f"journal/{path.name}": path for path in (first, last, written)}
        found |= {"switches": scratch / switches.FILE, "parameters": scratch / "cal"}
        for kept, path in found.items():
            (folder / f"{kept}.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(path.read_bytes()))
        (folder / "known.json").write_text(json.dumps(known, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
