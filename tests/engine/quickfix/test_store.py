"""The reader against stores that QuickFIX wrote in a process of its own, which ends by SIGKILL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import quickfix as fix
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.quickfix.store import Store, StoreError, read_store, sync_store
from tidegate_tools.sim.quickfix_peer import free_port

CHECKOUT = Path(__file__).resolve().parents[3]
SOH = "\x01"
GATEWAY, EMS = ("FIX.4.4", "GW", "EMS"), ("FIX.4.4", "EMS", "GW")
PREFIX = "FIX.4.4-GW-EMS."
TEXTS = ["a", "b", "c" * 10_000, "Zürich", "e"]


# The other process: a gateway and its EMS, and what the EMS got


class Sessions(fix.Application):
    """Callbacks of both sessions."""

    def __init__(self, kill_in_to_app: bool) -> None:
        super().__init__()
        self.kill_in_to_app = kill_in_to_app
        self.logged_on: set[str] = set()
        self.received: dict[int, str] = {}
        self.changed = threading.Condition()

    def onCreate(self, session_id: fix.SessionID) -> None:
        pass

    def onLogon(self, session_id: fix.SessionID) -> None:
        with self.changed:
            self.logged_on.add(session_id.toString())
            self.changed.notify_all()

    def onLogout(self, session_id: fix.SessionID) -> None:
        pass

    def toAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        pass

    def fromAdmin(self, message: fix.Message, session_id: fix.SessionID) -> None:
        with self.changed:
            self.changed.notify_all()

    def toApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        if self.kill_in_to_app:
            os.kill(os.getpid(), signal.SIGKILL)

    def fromApp(self, message: fix.Message, session_id: fix.SessionID) -> None:
        raw = message.toString().encode("utf-8", "surrogateescape")
        with self.changed:
            self.received[int(message.getHeader().getField(34))] = raw.hex()
            self.changed.notify_all()

    def wait(self, predicate: Any) -> None:
        """Until it is true; looks again after each callback, and now and then for what has none."""
        with self.changed:
            for _ in range(1000):
                if predicate():
                    return
                self.changed.wait(0.01)
        raise TimeoutError


def make(kind: Any, names: tuple[str, str, str], folder: str, port: int, options: dict[str, str], app: Sessions) -> Any:
    """An engine with one session, and what it must not outlive."""
    keys = {"NonStopSession": "Y", "HeartBtInt": "30", "UseDataDictionary": "N", "ReconnectInterval": "1"} | options
    if kind is fix.SocketAcceptor:
        keys |= {"ConnectionType": "acceptor", "SocketAcceptHost": "127.0.0.1", "SocketAcceptPort": str(port)}
    else:
        keys |= {"ConnectionType": "initiator", "SocketConnectHost": "127.0.0.1", "SocketConnectPort": str(port)}
    settings, dictionary = fix.SessionSettings(), fix.Dictionary()
    for key, value in keys.items():
        dictionary.setString(key, value)
    settings.set(fix.SessionID(*names), dictionary)
    store = fix.FileStoreFactory(folder)
    return kind(app, store, settings), store, settings


def main(folder: str, scenario: str) -> None:
    """Send TEXTS from the gateway to the EMS and be killed."""
    app, port = Sessions(scenario == "in toApp"), free_port()
    gateway = make(fix.SocketAcceptor, GATEWAY, folder, port, {}, app)
    reset = {"ResetOnLogon": "Y" if scenario == "reset" else "N"}
    ems = make(fix.SocketInitiator, EMS, folder, port, reset, app)
    if scenario != "logged off":
        gateway[0].start()
        ems[0].start()
        app.wait(lambda: len(app.logged_on) == 2)
    for text in TEXTS:
        message = fix.Message(f"8=FIX.4.4{SOH}9=0{SOH}35=B{SOH}148={text}{SOH}10=000{SOH}", False)
        assert fix.Session.sendToTarget(message, fix.SessionID(*GATEWAY))
    if scenario != "logged off":
        sender, target = (fix.Session.lookupSession(fix.SessionID(*names)) for names in (GATEWAY, EMS))
        app.wait(lambda: target.getExpectedTargetNum() == sender.getExpectedSenderNum())
    print(json.dumps(app.received), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


# The tests


def run(folder: Path, scenario: str = "logged on") -> dict[int, bytes]:
    """Messages that the EMS got, by number."""
    command = [sys.executable, __file__, str(folder), scenario]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=CHECKOUT, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return {int(number): bytes.fromhex(raw) for number, raw in json.loads(ended.stdout or "{}").items()}


def read(folder: Path, last: int | None = None) -> Store:
    store = read_store(folder, *GATEWAY, last=last)
    assert store is not None
    return store


def news(store: Store) -> dict[int, bytes]:
    return {number: message for number, message in store.sent.items() if b"\x0135=B\x01" in message}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes]]:
    """A folder after a run, and what the EMS got; not to be changed."""
    folder = tmp_path_factory.mktemp("store")
    return folder, run(folder)


@pytest.fixture
def copy(written: tuple[Path, dict[int, bytes]], tmp_path: Path) -> Path:
    """A folder to spoil."""
    return shutil.copytree(written[0], tmp_path / "store")


def test_what_was_sent_is_read_byte_for_byte(written: tuple[Path, dict[int, bytes]]) -> None:
    folder, received = written
    store = read(folder)
    assert len(received) == len(TEXTS)
    assert news(store) == received
    assert sorted(store.sent) == list(range(1, store.next_sender))  # the Logon is there too


def test_both_sides_agree_on_the_numbers(written: tuple[Path, dict[int, bytes]]) -> None:
    ours, theirs = read(written[0]), read_store(written[0], *EMS)
    assert theirs is not None
    assert (theirs.next_target, ours.next_target) == (ours.next_sender, theirs.next_sender)


def test_a_message_that_the_kill_caught_before_the_store_is_not_there(tmp_path: Path) -> None:
    run(tmp_path, "in toApp")
    store = read(tmp_path)
    assert news(store) == {}
    assert store.next_sender == max(store.sent) + 1


def test_messages_stored_while_logged_off_and_the_run_after(tmp_path: Path) -> None:
    assert run(tmp_path, "logged off") == {}
    stored = news(read(tmp_path))
    assert sorted(stored) == [1, 2, 3, 4, 5]
    received = run(tmp_path)
    assert news(read(tmp_path)).items() >= stored.items()
    assert sorted(received) == sorted(news(read(tmp_path)))


def test_a_reset_begins_anew(tmp_path: Path) -> None:
    run(tmp_path)
    received = run(tmp_path, "reset")
    assert news(read(tmp_path)) == received
    assert min(read(tmp_path).sent) == 1


def test_the_latest_only(written: tuple[Path, dict[int, bytes]]) -> None:
    every = read(written[0])
    for last in range(len(every.sent) + 3):
        store = read(written[0], last)
        assert store.sent == dict(list(every.sent.items())[len(every.sent) - min(last, len(every.sent)) :])
        assert (store.next_sender, store.next_target) == (every.next_sender, every.next_target)


def test_no_store(tmp_path: Path) -> None:
    assert read_store(tmp_path, *GATEWAY) is None
    assert read_store(tmp_path / "missing", *GATEWAY) is None


def test_a_store_that_was_just_being_made(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}body").touch()
    assert read(tmp_path) == Store(1, 1, {})
    (tmp_path / f"{PREFIX}header").touch()
    (tmp_path / f"{PREFIX}seqnums").touch()
    assert read(tmp_path) == Store(1, 1, {})


def test_half_an_entry_at_the_end_is_left_out(copy: Path) -> None:
    whole, header = read(copy), copy / f"{PREFIX}header"
    content = header.read_bytes()
    length = len(content.split(b" ")[-2]) + 1
    for missing in range(1, length + 1):
        header.write_bytes(content[:-missing])
        assert read(copy).sent == {n: m for n, m in whole.sent.items() if n != max(whole.sent)}


def test_an_entry_for_more_than_the_body_has_is_left_out(copy: Path) -> None:
    whole, body = read(copy), copy / f"{PREFIX}body"
    body.write_bytes(body.read_bytes()[:-1])
    assert read(copy).sent == {n: m for n, m in whole.sent.items() if n != max(whole.sent)}
    body.unlink()
    assert read(copy).sent == {}


def test_a_message_whose_number_is_still_to_come_was_not_sent(copy: Path) -> None:
    whole = read(copy)
    (copy / f"{PREFIX}seqnums").write_bytes(b"%020d : %020d" % (whole.next_sender - 1, whole.next_target))
    store = read(copy)
    assert store.next_sender == whole.next_sender - 1
    assert store.sent == {n: m for n, m in whole.sent.items() if n < store.next_sender}


def test_of_a_number_that_was_taken_again_the_latest_counts(copy: Path) -> None:
    whole, body, header = read(copy), copy / f"{PREFIX}body", copy / f"{PREFIX}header"
    number = max(whole.sent)
    again = whole.sent[number].replace(b"148=e", b"148=f")
    entry = b"%d,%d,%d " % (number, body.stat().st_size, len(again))
    body.write_bytes(body.read_bytes() + again)
    header.write_bytes(header.read_bytes() + entry)
    assert read(copy).sent == whole.sent | {number: again}


@pytest.mark.parametrize(
    ("part", "content", "wanted"),
    [
        ("seqnums", b"", "two numbers of 20 digits"),
        ("seqnums", b"00000000000000000008 : ", "two numbers of 20 digits"),
        ("header", b"1,0,73 2,7x,9 ", "number,offset,size"),
        ("header", b"1,0,73 2,73 ", "number,offset,size"),
        ("header", b"1,-1,73 ", "number,offset,size"),
        ("header", b"1,1,60 ", "wanted message 1 at byte 1"),
        ("header", b"2,0,60 ", "wanted message 2 at byte 0"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_file(copy: Path, part: str, content: bytes, wanted: str) -> None:
    (copy / f"{PREFIX}{part}").write_bytes(content)
    with pytest.raises(StoreError, match=wanted) as error:
        read(copy)
    assert str(copy / PREFIX) in str(error.value)
    assert "\n" not in str(error.value)


@given(body=st.integers(0, 12_000), header=st.integers(0, 200))
def test_a_cut_anywhere_only_takes_messages_away(
    written: tuple[Path, dict[int, bytes]], tmp_path_factory: pytest.TempPathFactory, body: int, header: int
) -> None:
    whole, folder = read(written[0]), tmp_path_factory.mktemp("cut")
    for part, size in (("body", body), ("header", header), ("seqnums", 43)):
        (folder / f"{PREFIX}{part}").write_bytes((written[0] / f"{PREFIX}{part}").read_bytes()[:size])
    store = read(folder)
    assert store.sent.items() <= whole.sent.items()
    assert sorted(store.sent) == list(range(1, len(store.sent) + 1))


def test_sync_reaches_every_file_and_the_folder(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "gone").symlink_to(copy / "nowhere")
    synced, fsync = set(), os.fsync

    def record(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    sync_store(copy)
    assert synced == {path.stat().st_ino for path in (copy, *copy.iterdir()) if path.name != "gone"}


if __name__ == "__main__":
    main(*sys.argv[1:])
