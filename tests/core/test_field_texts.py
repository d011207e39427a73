"""Data fields of reports: a wrong length costs the text and not the fill, and bytes are carried as they came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core import events as ev
from gateway.core.driver import Event
from tests.support.checks import OPEN, Reply, config_with_everyone, limits_with
from tests.support.core import Core, fields_of
from tests.support.doubts import alerts, told
from tests.support.field import OTHER, killed, others_go_on, trade_kind
from tests.support.kill import IDENTITY, open_orders
from tests.support.referee import faults

Carrying = Callable[..., Core]
WRONG = ["0", "-1", "5", "10", "12", "13", "4000", "8192", "2147483647", "4294967296", "9" * 25, "x", "11.0", ""]
TEXT = b"hello world"


@pytest.fixture
def core(tmp_path: Path, version: str) -> Core:
    """A venue of each FIX version, an EMS of the other, and a config that carries encoded texts from reports."""
    config = config_with_everyone()
    config["identity"] = dict(IDENTITY)
    config["carry"] = {"reports": [354, 355]}
    for session in config["sessions"]:
        session["begin_string"] = OTHER[version] if session["role"] == "acceptor" else version
    return Core(tmp_path, config, limits_with({}, dict(OPEN)))


def report(core: Core, child: str, exec_id: str, kind: str, status: str, data: bytes, where: str, said: str) -> bytes:
    """A report with data fields, at its end or before what it says."""
    head = (
        f"8={core.begin_strings['XNAS']}|9=0|35=8|34=9|49=XNAS|52=20260711-12:00:00.000|56=GW|37=V{child}|11={child}|"
    )
    head += f"17={exec_id}|20=0|150={kind}|39={status}|55=AAPL|54=1|"
    first = (head if where == "middle" else head + said).replace("|", "\x01").encode()
    last = ((said if where == "middle" else "") + "10=000|").replace("|", "\x01").encode()
    return first + data + last


def fill(core: Core, child: str, data: bytes, where: str = "end", exec_id: str = "E1") -> bytes:
    """A fill of 40 out of 100."""
    return report(core, child, exec_id, trade_kind(core), "1", data, where, "38=100|32=40|31=100|6=100|14=40|151=60|")


def data_of(length: str, text: bytes, tags: tuple[int, int] = (354, 355)) -> bytes:
    return b"%d=%s\x01%d=%s\x01" % (tags[0], length.encode(), tags[1], text)


def bodies(core: Core, data: bytes) -> list[bytes]:
    """What an EMS is sent for a message of the venue, as bytes."""
    core._next_seq += 1
    event = Event(ev.MESSAGE, core.time_ns, core.sessions["XNAS"], core._next_seq - 1, False, data)
    return [o.body for o in core.driver.handle(event) if o.message_type == "8"]


def is_whole(reply: Reply) -> None:
    """What is passed on of a text has the length that it says."""
    for _, msg_type, fields in reply:
        if msg_type == "8":
            assert (354 in fields) == (355 in fields)
            assert 355 not in fields or int(fields[354]) == len(fields[355])


@pytest.mark.parametrize("where", ["end", "middle"])
@pytest.mark.parametrize("length", WRONG)
def test_a_fill_with_a_wrong_length_is_booked(core: Core, length: str, where: str) -> None:
    """F10"""
    child = core.working("A")
    reply = core.raw("XNAS", fill(core, child, data_of(length, TEXT), where))
    told(reply, t11="A", t32="40", t14="40", t151="60", t39="1")
    is_whole(reply)
    assert core.shares() == (40, 60, 0)
    assert faults(core) == []
    others_go_on(core, "XNAS", "XNYS")
    assert killed(core) == [child]


@pytest.mark.parametrize("length", ["0", "-1", "5", "2147483647"])
def test_it_is_booked_once(core: Core, length: str) -> None:
    """F10"""
    child = core.working("A")
    for _ in range(2):
        core.raw("XNAS", fill(core, child, data_of(length, TEXT), "middle"))
    assert core.shares() == (40, 60, 0)
    told(core.fill(child, "E2", "60", "100", "2", t38="100", t151="0"), t39="2", t14="100")
    assert open_orders(core) == 0


@pytest.mark.parametrize("tags", [(95, 96), (212, 213), (348, 349), (350, 351), (358, 359), (360, 361)])
@pytest.mark.parametrize("length", ["-1", "0", "3", "2147483647"])
def test_other_data_fields(core: Core, tags: tuple[int, int], length: str) -> None:
    """F10"""
    child = core.working("A")
    reply = core.raw("XNAS", fill(core, child, data_of(length, TEXT, tags), "middle"))
    told(reply, t32="40", t14="40", t151="60")
    assert core.shares() == (40, 60, 0)
    others_go_on(core, "XNAS", "XNYS")


@pytest.mark.parametrize("length", ["0", "-1", "2147483647"])
def test_an_end_with_a_wrong_length_is_taken(core: Core, length: str) -> None:
    """F10"""
    child = core.working("A")
    said = "38=100|14=0|6=0|151=0|"
    reply = core.raw("XNAS", report(core, child, "E1", "4", "4", data_of(length, TEXT), "middle", said))
    told(reply, t11="A", t150="4", t39="4", t151="0")
    assert core.shares() == (0, 0, 0)
    others_go_on(core)


@pytest.mark.parametrize("length", ["0", "-1", "2147483647"])
def test_a_refused_cancel_with_a_wrong_length_is_told(core: Core, length: str) -> None:
    """F10"""
    child = core.working("A")
    cancel = core.cancel("F", "A")[0][2][11]
    head = f"8={core.begin_strings['XNAS']}|9=0|35=9|34=9|49=XNAS|56=GW|37=V1|11={cancel}|".replace("|", "\x01")
    tail = f"41={child}|39=0|434=1|102=0|10=000|".replace("|", "\x01")
    reply = core.raw("XNAS", head.encode() + data_of(length, TEXT) + tail.encode())
    told(reply, "9", t11="F", t41="A")
    assert core.shares() == (0, 100, 0)


def test_a_length_without_its_text(core: Core) -> None:
    """F10"""
    child = core.working("A")
    reply = core.raw("XNAS", fill(core, child, b"354=2147483647\x01", "middle"))
    told(reply, t32="40", t14="40", t151="60")
    assert core.shares() == (40, 60, 0)
    others_go_on(core)


def test_a_text_without_its_length(core: Core) -> None:
    """F10"""
    child = core.working("A")
    reply = core.raw("XNAS", fill(core, child, b"355=hello\x01", "middle"))
    told(reply, t32="40", t14="40", t151="60")
    is_whole(reply)
    assert core.shares() == (40, 60, 0)


TEXTS = {
    "ISO-8859-1": "Börse geschlossen: naïve Ã".encode("iso-8859-1"),
    "Shift JIS": "約定しました".encode("shift_jis"),
    "all bytes": bytes(range(256)),
    "with SOH": b"a\x0132=999\x0114=999\x01b",
    "ASCII": TEXT,
}


@pytest.mark.parametrize("where", ["end", "middle"])
@pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
def test_bytes_are_carried_as_they_came(core: Core, text: bytes, where: str) -> None:
    """F10"""
    child = core.working("A")
    [body] = bodies(core, fill(core, child, data_of(str(len(text)), text), where))
    assert data_of(str(len(text)), text) in b"\x01" + body
    plain = fields_of(body.replace(data_of(str(len(text)), text), b""))
    assert (plain[11], plain[32], plain[14], plain[151]) == ("A", "40", "40", "60")
    assert core.shares() == (40, 60, 0)
    others_go_on(core)


def test_a_text_in_another_encoding_and_a_wrong_length(core: Core) -> None:
    """F10: the fill counts, whatever becomes of the text."""
    child = core.working("A")
    text = TEXTS["ISO-8859-1"]
    [body] = bodies(core, fill(core, child, data_of(str(len(text) + 1), text), "middle"))
    assert b"\x0114=40\x01" in body and b"\x0132=40\x01" in body
    assert core.shares() == (40, 60, 0)
    others_go_on(core)


@pytest.mark.parametrize("length", WRONG)
def test_an_order_with_a_wrong_length_stops_nobody(core: Core, length: str) -> None:
    """F10's other side: an EMS is told, or its order goes out without the text."""
    fields = f"8={core.begin_strings['EMS1']}|9=0|35=D|34=9|49=EMS1|52=20260711-12:00:00.000|56=GW|1=ACC1|11=A|21=1|"
    fields += "38=100|40=2|44=100|54=1|55=AAPL|59=0|60=20260711-12:00:00.000|"
    reply = core.raw("EMS1", fields.replace("|", "\x01").encode() + data_of(length, TEXT) + b"10=000\x01")
    assert len(reply) == 1 and alerts(reply) == []
    assert reply[0][1] in ("3", "8", "D", "j")
    others_go_on(core)
