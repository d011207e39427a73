"""A switch file that another one takes the place of: no switch that anybody sets meanwhile is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.kill import file as w
from gateway.kill import format as f
from gateway.kill.file import Observer, create, firm_word, kill_firm, read_switches, replace_file
from gateway.kill.format import Switch
from tests.support.switches import ARB, FIRM, MOMO, keys, kill, new_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path)
    return tmp_path


def test_a_replaced_file_keeps_the_switches_and_goes_on(folder: Path) -> None:
    old = kill(folder, MOMO)
    new_file(folder, *read_switches(folder))
    (switch,) = read_switches(folder)
    assert (switch.key, switch.user, switch.set_ns) == (MOMO, "alice", old.switch.set_ns)
    observer = Observer(folder)
    assert old.seen_in(observer.epoch())
    epoch = observer.epoch()
    assert not kill(folder, ARB).seen_in(epoch)


def test_a_switch_set_in_a_file_just_replaced_is_set_in_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = w._Mapped.put
    once = iter([True])

    def put_late(self: Any, switch: Switch) -> Any:
        if next(once, False):
            w.create(folder, instead=True)
        return put(self, switch)

    monkeypatch.setattr(w._Mapped, "put", put_late)
    assert not kill(folder, MOMO).fault
    assert keys(folder) == {MOMO}


@pytest.mark.parametrize("late", [lambda folder: kill(folder, MOMO), kill_firm])
def test_a_switch_set_in_the_old_file_at_the_last_moment_is_not_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, late: Callable[[Path], object]
) -> None:
    rename = os.rename

    def rename_late(*arguments: Any) -> None:
        late(folder)
        rename(*arguments)

    monkeypatch.setattr(os, "rename", rename_late)
    new_file(folder)
    assert keys(folder) == {FIRM}


@pytest.mark.parametrize("late", [lambda folder: kill(folder, MOMO), lambda folder: kill(folder, FIRM), kill_firm])
@pytest.mark.parametrize("missing", [False, True])
def test_a_switch_set_while_it_is_found_out_what_to_keep_is_not_lost(
    folder: Path, late: Callable[[Path], object], missing: bool
) -> None:
    if missing:
        (folder / f.FILE).unlink()
    word = firm_word(folder)
    late(folder)
    replace_file(folder, [], word)
    assert keys(folder) == {FIRM}


def test_a_missing_file_that_a_setter_makes_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f.FILE).unlink()
    script = "import sys, pathlib, gateway.kill.file as w; w.kill_firm(pathlib.Path(sys.argv[1]))"
    link = os.link

    def link_late(*arguments: Any) -> None:
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
        link(*arguments)

    monkeypatch.setattr(os, "link", link_late)
    with pytest.raises(FileExistsError):
        replace_file(folder, [], b"")
    assert keys(folder) == {FIRM}
