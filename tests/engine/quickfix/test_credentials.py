"""Credentials of sessions, between two real engines and from a raw socket; no password stays in any file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.config.sections import SessionSection
from gateway.engine import credentials
from gateway.engine.credentials import TRIES_A_SECOND, Verifier, hash_password
from gateway.engine.quickfix.message_log import hide_password, masked
from gateway.engine.quickfix.store import read_store
from tests.support.engines import Engine, acceptor, answer, fault, initiator, logon, refused, secret_in
from tidegate_tools.sim.quickfix_peer import free_port

PASSWORD = "correct horse battery"
WRONG = "incorrect pony cell"
VERSIONS = ["FIX.4.2", "FIX.4.4"]


def asks(port: int, **more: str) -> dict:
    return acceptor(port, credentials={"username": "ems-one", "password_hash": hash_password(PASSWORD)}, **more)


def offers(folder: Path, port: int, password: str, **more: str) -> dict:
    path = folder / "password"
    path.touch(0o600)
    path.write_text(password + "\n")
    return initiator(port, credentials={"username": "ems-one", "password_file": str(path)}, **more)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_right_password_logs_on_and_stays_in_no_file(tmp_path: Path, version: str) -> None:
    port = free_port()
    venue = offers(tmp_path, port, PASSWORD, begin_string=version)
    (tmp_path / "states").mkdir()
    with (
        Engine(tmp_path / "states" / "a", asks(port, begin_string=version)) as server,
        Engine(tmp_path / "states" / "b", venue) as client,
    ):
        client.wait("SYNCED")
        client.send(0, "D", b"11=C1\x0121=1\x0155=AAPL\x0154=1\x0138=1\x0140=1\x0160=20260711-12:00:00.000\x01")
        assert b"\x0111=C1\x01" in server.wait("MESSAGE")[2]
    assert secret_in(tmp_path / "states", PASSWORD.encode()) == []
    names = (version, "EMS1", "GW")
    store = read_store(tmp_path / "states" / "b" / "store", *names)
    assert store is not None and b"\x01554=" + b"*" * len(PASSWORD) + b"\x01" in store.sent[1]
    for folder, log in (("a", f"{version}-GW-EMS1"), ("b", f"{version}-EMS1-GW")):
        written = (tmp_path / "states" / folder / "log" / f"{log}.messages.current.log").read_text()
        assert "553=ems-one" in written and "554=***" in written and "11=C1" in written


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"t553": "ems-one", "t554": WRONG}, "wrong Password"),
        ({"t553": "ems-two", "t554": PASSWORD}, "wrong Username"),
        ({"t553": "ems-one"}, "want one"),
        ({"t554": PASSWORD}, "want one"),
        ({}, "want one"),
    ],
    ids=["wrong password", "wrong name", "no password", "no name", "nothing"],
)
def test_others_are_refused(tmp_path: Path, version: str, fields: dict[str, str], why: str) -> None:
    port = free_port()
    with Engine(tmp_path, asks(port, begin_string=version)) as server:
        assert refused(answer(port, logon(begin_string=version, **fields)))
        line = server.wait("logon refused")[2].decode()
        assert why in line and "EMS1" in line and PASSWORD not in line and WRONG not in line
        assert not server.is_on()
        if fields.get("t554") != WRONG:
            right = logon(begin_string=version, t553="ems-one", t554=PASSWORD)
            assert b"\x0135=A\x01" in answer(port, right)
            server.wait("LOGON")
    assert secret_in(tmp_path, PASSWORD.encode()) + secret_in(tmp_path, WRONG.encode()) == []


def test_a_stranger_cannot_reset_the_numbers(tmp_path: Path) -> None:
    """QuickFIX would empty the store for a Logon with ResetSeqNumFlag(141) before it asks anybody."""
    port = free_port()
    with Engine(tmp_path, asks(port)) as server:
        assert b"\x0135=A\x01" in answer(port, logon(t553="ems-one", t554=PASSWORD))
        server.wait("LOGOUT")
        before = read_store(tmp_path / "store", "FIX.4.4", "GW", "EMS1")
        assert before is not None and before.next_target == 2 and before.sent
        assert refused(answer(port, logon(t553="ems-one", t554=WRONG, t141="Y")))
        assert read_store(tmp_path / "store", "FIX.4.4", "GW", "EMS1") == before
        assert b"\x0135=A\x01" in answer(port, logon(number=2, t553="ems-one", t554=PASSWORD))


def test_wrong_passwords_cost_one_hash_a_second_until_the_right_one_is_known(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, asks(port)) as server:
        for _ in range(2):
            assert refused(answer(port, logon(t553="ems-one", t554=WRONG)))
        assert "was not looked at" in server.wait("logon refused", count=2)[2].decode()


def test_wrong_passwords_from_elsewhere_do_not_shut_out_the_right_one(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, asks(port)) as server:
        assert refused(answer(port, logon(t553="ems-one", t554=WRONG), source="127.0.0.2"))
        assert b"\x0135=A\x01" in answer(port, logon(t553="ems-one", t554=PASSWORD))
        assert "wrong Password" in server.wait("logon refused")[2].decode()


def test_wrong_passwords_from_many_addresses_cost_a_few_hashes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(credentials, "time", SimpleNamespace(monotonic=lambda: now_s))
    section = SessionSection.model_validate(asks(1))
    assert section.credentials is not None
    verifier = Verifier(section, section.credentials)

    def looked_at(password: str, *peers: str) -> bool:
        return "not looked at" not in verifier.fault(logon(t553="ems-one", t554=password), set(peers))

    assert [looked_at(WRONG, *peers) for peers in ((), (), ("a",), ("a",))] == [True, False, True, False]
    assert [looked_at(WRONG, *peers) for peers in (("a", "b"), ("a", "b"), ("b",))] == [True, False, False]
    assert [looked_at(WRONG, f"c{number}") for number in range(10)].count(True) == TRIES_A_SECOND - 3
    now_s += 1
    assert looked_at(WRONG, "a") and verifier.fault(logon(t553="ems-one", t554=PASSWORD), {"b"}) == ""
    assert [looked_at(WRONG, "a") for _ in range(10)].count(True) == 10, "no hash is needed any more"


def test_passwords_of_unknown_and_broken_logons_stay_in_no_file(tmp_path: Path) -> None:
    port = free_port()
    with Engine(tmp_path, asks(port)) as server:
        answer(port, logon(sender="NOBODY", t553="x", t554=PASSWORD, t925=WRONG))
        answer(port, logon(t553="ems-one", t554=PASSWORD).replace(b"\x0110=", b"\x0158=x\x0110="))
        answer(port, logon(t553="ems-one", t95="9", t96=WRONG))
        server.wait("logon refused")
    assert secret_in(tmp_path, PASSWORD.encode()) + secret_in(tmp_path, WRONG.encode()) == []
    assert "49=NOBODY" in (tmp_path / "log" / "GLOBAL.messages.current.log").read_text()


def test_what_a_crash_left_in_the_store_is_hidden(tmp_path: Path) -> None:
    body = tmp_path / "store.body"
    order = b"8=FIX.4.4\x019=5\x0135=D\x0158=554=\x0110=000\x01"
    whole = logon(t553="ems-one", t554=PASSWORD)
    body.write_bytes(order + whole)
    hide_password(body)
    left = body.read_bytes()
    assert left.startswith(order) and len(left) == len(order + whole) and PASSWORD.encode() not in left
    message = left[len(order) :]
    assert int(message[-4:-1]) == sum(message[:-7]) % 256


def test_a_logon_in_the_log_shows_only_what_is_known_to_be_harmless() -> None:
    text = masked("Session not found: " + logon(t553="me", t554="pass", t96="raw\x01more", t5001="x").decode())
    assert text.startswith("Session not found: 8=FIX.4.4\x01") and "553=me" in text and "108=30" in text
    assert "554=***\x01" in text and "96=***\x01***\x01" in text and "5001=***" in text


@pytest.mark.parametrize(
    ("mode", "content", "want"),
    [
        (0o640, "secret", "only its owner"),
        (0o604, "secret", "only its owner"),
        (0o600, "", "1 to 256"),
        (0o600, "a\nb", "1 to 256"),
    ],
)
def test_password_files_that_will_not_do(tmp_path: Path, mode: int, content: str, want: str) -> None:
    section = offers(tmp_path, 1, "x")
    (tmp_path / "password").write_text(content)
    (tmp_path / "password").chmod(mode)
    found = fault(tmp_path / "state", section)
    assert found.startswith("session EMS1: credentials.password_file: ") and want in found


@pytest.mark.parametrize(
    "text", ["secret", "scrypt$16384$8$1$!$!", "scrypt$99999$8$1$c2FsdHNhbHQ=$c2FsdHNhbHRzYWx0c2FsdA=="]
)
def test_hashes_that_will_not_do(tmp_path: Path, text: str) -> None:
    section = acceptor(1, credentials={"username": "x", "password_hash": text})
    assert "tidegate hash-password" in fault(tmp_path, section)


def test_hash_password_reads_stdin() -> None:
    code = "import typer; from gateway.cli.security import hash_password; typer.run(hash_password)"
    done = subprocess.run([sys.executable, "-c", code], input=PASSWORD + "\n", capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("scrypt$") and PASSWORD not in done.stdout + done.stderr
    done = subprocess.run([sys.executable, "-c", code], input="\n", capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("password: want")
