"""The log viewer: wrappings, names, filters, chains, and the check of length and checksum."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate_tools.fix.log import app, follow_lines, parse_message, read_messages
from tidegate_tools.fix.text import SOH, body_length_and_checksum, first


def message(msg_type: str, *fields: str, sender: str = "EMS", target: str = "VENUE", version: str = "FIX.4.4") -> str:
    """A correct message, SOH between its fields."""
    head = [f"35={msg_type}", f"49={sender}", f"56={target}", "34=2", "52=20260105-14:30:00.000"]
    text = "".join(part + SOH for part in [*head, *fields])
    whole = f"8={version}{SOH}9={len(text)}{SOH}{text}10=000{SOH}"
    checksum = body_length_and_checksum(whole.encode("latin-1"))[1]
    return f"{whole[:-4]}{checksum:03d}{SOH}"


ORDER = message("D", "11=a", "55=AAPL", "54=1", "38=100", "40=2", "44=10.5")
LOG = "\n".join(
    [
        ORDER,
        message("8", "37=o1", "11=a", "17=e1", "150=0", "39=0", sender="VENUE", target="EMS"),
        message("G", "11=b", "41=a", "55=AAPL", "54=1"),
        message("8", "37=o1", "11=c", "41=b", "17=e2", "150=4", "39=4", sender="VENUE", target="EMS"),
        message("D", "11=other", "55=MSFT", "54=2", sender="EMS2"),
        message("0"),
    ]
)


def run(*arguments: str, text: str = LOG) -> list[str]:
    result = CliRunner().invoke(app, list(arguments), input=text)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize("delimiter", [SOH, "|", "^A", "<SOH>", "\\x01", ";"])
@pytest.mark.parametrize("prefix", ["", "20260105-14:30:00.123456789 : ", "INFO sent [7] "])
def test_common_wrappings(delimiter: str, prefix: str) -> None:
    line = prefix + ORDER.replace(SOH, delimiter) + "\n"
    (found,) = read_messages([line])
    assert found.fault == ""
    assert first(found.fields, 11) == "a"
    assert found.prefix == prefix.strip().rstrip(":").strip()


def test_messages_without_line_breaks() -> None:
    found = list(read_messages([ORDER + message("0") + ORDER]))
    assert [first(m.fields, 35) for m in found] == ["D", "0", "D"]
    assert not any(m.fault for m in found)


def test_trailing_delimiter_may_be_missing_and_text_may_follow() -> None:
    line = ORDER.replace(SOH, "|").rstrip("|") + " (sent)\n"
    (found,) = read_messages([line])
    assert found.fault == ""


def test_wrong_length_and_checksum_are_marked() -> None:
    longer = ORDER.replace("38=100", "38=1000")
    (found,) = read_messages([longer])
    assert "BodyLength" in found.fault and "CheckSum" in found.fault
    assert "missing" in parse_message("", "8=FIX.4.4|35=D|11=a", "|").fault
    lines = run("--bad", text=f"{LOG}\n{longer}\n")
    assert len(lines) == 1 and "BAD" in lines[0]


def test_names_of_types_tags_and_values() -> None:
    (line,) = run("--type", "D", "--session", "EMS>VENUE")
    assert "NewOrderSingle" in line and "Symbol=AAPL" in line and "Side=1(BUY)" in line
    assert "BeginString" not in line
    (line,) = run(text=message("8", "20=0", "150=1", version="FIX.4.2"))
    assert "ExecutionReport" in line and "ExecTransType=0(NEW)" in line
    assert "    BeginString=FIX.4.4" in run("--fields", "--type", "0")


def test_unknown_tags_values_and_versions_are_shown_bare() -> None:
    (line,) = run(text=message("U1", "9999=x", "54=w"))
    assert "U1" in line and "9999=x" in line and "Side=w" in line
    assert len(run(text=message("D", version="FIX.4.0"))) == 1


def test_filters() -> None:
    assert len(run()) == 6
    assert len(run("--type", "D,8")) == 4
    assert len(run("--session", "EMS2")) == 1
    assert "Heartbeat" in run("--tail", "1")[0]


def test_order_chain_is_followed_by_all_three_ids() -> None:
    for start in ("a", "b", "c"):
        lines = run("--order", start)
        assert len(lines) == 4 and not any("other" in line for line in lines)
    assert len(run("--order", "nothing")) == 0


def test_files_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(LOG)
    assert len(run(str(path), str(path))) == 12
    assert CliRunner().invoke(app, [str(tmp_path / "none")]).exit_code == 2
    assert CliRunner().invoke(app, ["--follow", "--tail", "3"]).exit_code == 2
    assert len(run("--follow", "--order", "a")) == 4


def test_lines_without_a_message_are_passed_over(tmp_path: Path) -> None:
    """A log of events, a comment, an empty line."""
    path = tmp_path / "x.log"
    path.write_text("20261130-20:00:00 : Created session\n\n# a comment\n" + LOG)
    assert len(run(str(path))) == 6
    path.write_text("nothing of FIX\n")
    assert len(run(str(path))) == 0


def test_follow_gives_whole_lines_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("w") as log:
        lines = follow_lines(path)
        log.write("first\nsec")
        log.flush()
        assert next(lines) == "first\n"
        timer = threading.Timer(0.15, print, ["ond"], {"file": log, "flush": True})
        timer.start()
        assert next(lines) == "second\n"
        timer.join()
