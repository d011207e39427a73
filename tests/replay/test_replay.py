"""`tidegate replay`: a journal rebuilt, compared, stopped, searched and explained."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.core import catalogue as c
from gateway.core import events as ev
from gateway.core.driver import Driver, Event
from gateway.journal.read import Entry, JournalError, entries, is_spare, read_segment, segment_files
from gateway.journal.scan import write_record_crc
from gateway.journal.snapshot import save
from gateway.replay.explain import explain, find_order
from gateway.replay.history import History, Moment, journal_folder, state_at, wall_text
from gateway.state.build import build_state
from tests.properties.test_plain_python import history as short_history
from tests.properties.test_plain_python import steered, steered_settings
from tests.support.core import BASE, LIMITS, WALL_NS
from tests.support.journal import OUT, ROOMY, Flow, JournaledCore, raw_records, state_digest, wait_for

ROOT = Path(__file__).parents[2]
Make = Callable[..., JournaledCore]


def replay(*args: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, args)])


def refusal(*args: object) -> str:
    """The one line with which a replay is refused."""
    result = replay(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


def day(core: JournaledCore, seed: int = 1, steps: int = 300) -> JournaledCore:
    """A day of trading in three segments."""
    flow = Flow(core, seed)
    for k in range(steps):
        flow.step()
        if k in (steps // 3, 2 * steps // 3):
            core.journal_writer.roll()
    core.close()
    return core


def rebuilt(folder: Path) -> str:
    """Digest of the state and of every output that a journal makes anew."""
    outputs = hashlib.sha256()
    replayer = History(folder).replayer()
    for path in segment_files(folder):
        segment = read_segment(path)
        replayer.apply(segment)
        for entry in entries(segment):
            if not isinstance(entry, Entry):
                driver = Driver(build_state(replayer.settings, 0).block)
            else:
                for output in driver.handle(entry.event):
                    outputs.update(repr(output).encode())
    return f"{state_digest(replayer.state.block).hex()} {outputs.hexdigest()} {replayer.differences}"


def spoil(path: Path, old: bytes, new: bytes) -> None:
    """Change one field of the first OUT record that has it, and make its CRC right."""
    content = bytearray(path.read_bytes())
    record = next(r for r in raw_records(bytes(content)) if r.kind == OUT and old in r.body)
    at = content.index(old, record.at)
    content[at : at + len(old)] = new
    words = np.frombuffer(content, np.int64, record.length // 8, record.at)
    write_record_crc(words)
    path.write_bytes(content)


def test_a_journal_replays_to_what_was_sent(make: Make) -> None:
    core = day(make(limits=ROOMY))
    outputs = sum(len(sent) for _, sent in core.log)
    for place in (core.folder, core.folder.parent):
        result = replay(place)
        assert result.exit_code == 0, result.output
        assert f"{outputs:,} outputs, 0 events differ" in result.stdout
        assert "3 segments, from the beginning of the journal" in result.stdout


def test_what_people_and_publishers_do_replays(make: Make) -> None:
    """Switches, sweeps, pushed limits, hours, sources: all that steers a core is in the journal."""
    config, limits = steered_settings()
    core = make(config=config, limits=limits)
    steered(core)
    core.close()
    kinds = {event.kind for event, _ in core.log}
    assert {ev.KILL, ev.SWEEP, ev.CANCEL, ev.PARAMETER, ev.RELEASE, ev.SOURCE, ev.HOURS} <= kinds
    assert rebuilt(core.folder).endswith(" 0")
    assert rebuilt(core.folder).split()[0] == state_digest(core.state.block).hex()
    result = replay(core.folder)
    assert result.exit_code == 0 and "0 events differ" in result.stdout


def test_a_journal_in_use_replays(make: Make) -> None:
    core = make()
    wait_for(lambda: any(is_spare(path) for path in segment_files(core.folder)), "a segment made ahead")
    core.new("A1")
    result = replay(core.folder)
    assert result.exit_code == 0, result.output
    assert "1 segments" in result.stdout


def test_one_changed_field_of_an_output_is_found(make: Make) -> None:
    core = day(make(limits=ROOMY))
    spoil(segment_files(core.folder)[1], b"\x0154=1\x01", b"\x0154=2\x01")
    result = replay(core.folder)
    assert result.exit_code == 1
    assert "1 events differ" in result.stdout
    table = result.stdout[result.stdout.index("#") :]
    assert "sent" in table and "replayed" in table
    assert "|54=1|" in table and "|54=2|" in table


def test_a_changed_receiver_is_found(make: Make) -> None:
    core = make()
    core.new("A1")
    core.close()
    spoil(segment_files(core.folder)[0], (1).to_bytes(8, "little") + bytes(8), bytes(16))
    assert replay(core.folder).exit_code == 1


@pytest.mark.parametrize("mode", ["", "NUMBA_DISABLE_JIT"])
def test_every_replay_gives_the_same_bytes(make: Make, mode: str) -> None:
    """Twice in this process, in another, and as plain Python."""
    core = make()
    short_history(core)
    core.close()
    here = rebuilt(core.folder)
    assert rebuilt(core.folder) == here
    assert here.endswith(" 0")
    program = (
        "import sys, pathlib; from tests.replay.test_replay import rebuilt; print(rebuilt(pathlib.Path(sys.argv[1])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(core.folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | ({mode: "1"} if mode else {}),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert other.stdout.strip() == here, other.stderr


def test_without_its_first_segment_a_journal_replays_from_the_oldest_snapshot(make: Make) -> None:
    core = day(make(limits=ROOMY))
    replayer = History(core.folder).replayer()
    for number, path in enumerate(segment_files(core.folder)[:2], 1):
        replayer.apply(read_segment(path))
        save(core.folder, replayer, number)
    whole = state_at(History(core.folder), "2030-01-01")
    segment_files(core.folder)[0].unlink()
    result = replay(core.folder)
    assert result.exit_code == 0, result.output
    assert "2 segments, from snapshot snapshot-00000001.zst" in result.stdout
    rest = state_at(History(core.folder), "2030-01-01")
    assert state_digest(rest.replayer.state.block) == state_digest(whole.replayer.state.block)
    assert rest.wall_ns == whole.wall_ns
    for path in core.folder.glob("snapshot-*"):
        path.unlink()
    assert "the segments before it are gone, and no snapshot stands for them" in refusal(core.folder)


def test_an_unusable_journal_is_refused_with_one_line(make: Make, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    assert refusal(empty).startswith(f"{empty}: has no journal")
    core = day(make(limits=ROOMY))
    files = segment_files(core.folder)
    files[1].rename(files[1].with_suffix(".away"))
    assert refusal(core.folder) == f"{core.folder}: segment 2: is missing"
    files[1].with_suffix(".away").rename(files[1])
    content = bytearray(files[1].read_bytes())
    content[raw_records(content)[5].at + 60] ^= 1
    files[1].write_bytes(content)
    assert "damaged behind record" in refusal(core.folder)
    files[1].write_bytes(b"something else")
    assert "is not a journal segment" in refusal(core.folder)


def at(core: JournaledCore, until: object) -> Moment:
    return state_at(History(core.folder), str(until))


def test_until_stops_at_a_commit_and_at_a_time(make: Make) -> None:
    core = make(limits=ROOMY)
    flow = Flow(core, 3)
    seen = []
    for _ in range(60):
        core.wait(0.5)
        flow.step()
        seen.append((core.sequence, core.time_ns, state_digest(core.state.block)))
    core.close()
    for sequence, time_ns, digest in (seen[0], seen[20], seen[-1]):
        assert state_digest(at(core, sequence).replayer.state.block) == digest
        wall_ns = WALL_NS + time_ns - 10**12
        moment = at(core, wall_text(wall_ns + 1_000))
        assert state_digest(moment.replayer.state.block) == digest
        assert moment.sequence == sequence
    sequence = seen[20][0]
    assert f"no event ends there, the last before it is {sequence}" in refusal(core.folder, "--until", sequence + 1)
    assert "want the number of a COMMIT or a time" in refusal(core.folder, "--until", "noon")
    assert "begins behind it" in refusal(core.folder, "--until", "1990-01-01")


def test_until_prints_orders_positions_sessions_and_fault(make: Make) -> None:
    core = make()
    core.new("A1", qty="100", px="99.5")
    core.report("C1-0", "V1", "F", "1", t32="30", t31="99.5", t14="30")
    core.logout("XNAS")
    core.close()
    rows = [" ".join(line.split()) for line in replay(core.folder, "--until", core.sequence).stdout.splitlines()]
    assert "O1-0 EMS1 A1 C1-0 XNAS AAPL buy 100 99.5 30 70 partially filled 2026-07-11 12:00:00.000000" in rows
    assert "account ACC1 AAPL 30 70 0" in rows
    assert any(row.startswith("XNAS initiator down ") for row in rows)
    assert "fault: none" in rows


def order_with_everything(core: JournaledCore) -> None:
    """O1-0: placed, replaced, refused a replace, filled in part, canceled; an order beside it."""
    core.new("A1", qty="100")
    core.new("B1", qty="7")
    core.report("C1-0", "V1", "0", "0")
    core.replace("A2", "A1", qty="200")
    core.report("C1-2", "V2", "5", "0", t41="C1-0")
    core.replace("A3", "A2", qty="5000")
    core.report("C1-2", "V3", "F", "1", t32="30", t31="100", t14="30")
    core.cancel("A4", "A2")
    core.report("C1-4", "V4", "4", "4", t41="C1-2", t14="30")


@pytest.mark.parametrize("wanted", ["A1", "A3", "A4", "EMS1:A2", "O1-0", "C1-0", "C1-4"])
def test_any_id_of_an_order_gives_its_time_line(make: Make, wanted: str) -> None:
    core = make()
    before = len(core.log)
    order_with_everything(core)
    core.close()
    order = find_order(History(core.folder), wanted)
    assert order.name == "O1-0"
    about = [(event, sent) for k, (event, sent) in enumerate(core.log[before:]) if k != 1]
    assert [(x.event.data, x.outputs) for x in order.events] == [(event.data, sent) for event, sent in about]
    text = replay(core.folder, "--order", wanted).stdout
    for line in (
        "accepted as C1-0",
        "refused: MAX_ORDER_QTY",
        "from XNAS: ExecutionReport",
        "to EMS1: OrderCancelReject",
    ):
        assert line in text
    assert "2026-07-11 12:00:00.000000" in text
    assert "11=B1" not in text


def test_a_refused_order_has_a_time_line(make: Make) -> None:
    core = make()
    core.new("A1", qty="5000")
    core.close()
    text = replay(core.folder, "--order", "A1").stdout
    assert "order EMS1:A1" in text and "MAX_ORDER_QTY 5000 > 1000" in text
    assert "no message names A2" in refusal(core.folder, "--order", "A2")


def test_of_an_event_about_many_orders_only_what_concerns_one_is_told(make: Make) -> None:
    core = make()
    children = [core.working(name, px=f"{99 - k}") for k, name in enumerate(("v1", "v2", "v3"))]
    core.killed(0)
    core.report("C1-4", "X1", "4", "4", t41=children[1])
    core.close()
    order = find_order(History(core.folder), "v2")
    assert order.name == "O1-1"
    swept = [x for x in order.events if x.event.kind == ev.SWEEP]
    assert [[output.message_type for output in x.outputs] for x in swept] == [["F"]]
    text = replay(core.folder, "--order", "v2").stdout
    assert "41=C1-1" in text and "11=C1-4" in text and "to EMS1: ExecutionReport" in text
    assert all(other not in text for other in ("11=v1", "11=v3", "41=C1-0", "41=C1-2", "37=O1-0"))
    assert [x.event.kind for x in find_order(History(core.folder), "v3").events].count(ev.SWEEP) == 1


def test_an_order_that_its_venue_has_not_acknowledged_is_found_by_its_order_id(make: Make) -> None:
    core = make()
    core.new("A1")
    core.new("A2", px="99")
    core.close()
    order = find_order(History(core.folder), "O1-1")
    assert (order.name, [x.request_id() for x in order.events]) == ("O1-1", ["A2"])
    assert [x.found.request_id() for x in explain(History(core.folder), "O1-1")] == ["A2"]
    assert "no message names O1-2" in refusal(core.folder, "--order", "O1-2")


def two_clients() -> dict:
    ems, venue = BASE["sessions"]
    return BASE | {"sessions": [ems, ems | {"id": "EMS2", "target_comp_id": "EMS2", "listen": "127.0.0.1:2"}, venue]}


def test_an_id_of_two_orders_asks_which(make: Make) -> None:
    core = make(config=two_clients())
    core.new("A1")
    core.new("A1", session="EMS2", qty="5")
    core.report("C1-0", "V1", "0", "0")
    core.report("C1-1", "V2", "0", "0")
    core.new("B1", session="EMS2", qty="5000")
    core.new("B1", qty="5000")
    core.close()
    history = History(core.folder)
    assert refusal(core.folder, "--order", "A1") == "A1 names several orders, want one of O1-0, O1-1"
    assert find_order(history, "EMS2:A1").name == find_order(history, "O1-1").name == "O1-1"
    assert refusal(core.folder, "--explain", "B1") == "B1 names several orders, want one of EMS1:B1, EMS2:B1"
    assert len(find_order(history, "EMS2:B1").events) == 1


def test_an_id_used_again_the_next_day_asks_which(make: Make) -> None:
    core = make()
    for k in range(2):
        core.new("A1")
        core.report(f"C1-{k * 2**24}" if k else "C1-0", f"V{k}", "4", "4")
        core.apply(Event(ev.DAY, core.time_ns))
    core.close()
    assert "A1 names several orders, want one of O1-0, O1-1" in refusal(core.folder, "--order", "A1")
    assert len(find_order(History(core.folder), "O1-1").events) == 2


def test_a_mass_cancel_is_no_order_and_is_told_with_that_of_its_id(make: Make) -> None:
    core = make()
    core.new("A1")
    core.report("C1-0", "V1", "0", "0")
    for k in range(60):
        core.message("EMS1", "q", [(11, "A1" if k == 59 else f"Q{k}"), (60, core.utc()), (530, "3")])
    core.new("A2")
    core.close()
    order = find_order(History(core.folder), "A1")
    assert (order.name, len(order.events)) == ("O1-0", 3)
    assert len(find_order(History(core.folder), "A2").events) == 1


def test_explain_gives_the_numbers_that_were_seen(make: Make) -> None:
    """A market sell of a future: worst price at the bid, notional with its multiplier; checked by decimals."""
    core = make()
    core.quote("ESZ6", 4500.25, 4501.25, 4500.75)
    core.new("A1", symbol="ESZ6", side="1", qty="3", px="4500")
    core.report("C1-0", "V1", "F", "1", t32="2", t31="4500", t14="2", t55="ESZ6")
    core.wait(2.5)
    core.new("A2", symbol="ESZ6", side="1", qty="40", px=None, t40="1")
    core.close()
    (x,) = explain(History(core.folder), "A2")
    reference = Decimal("4500.75")
    worst = Decimal("4501.25") + reference * 500 / 10_000
    notional = (40 * worst * 50).quantize(Decimal("0.0001"), ROUND_CEILING)
    assert x.same
    assert Decimal(int(x.decision["reference_e8"])) / 10**8 == reference
    assert Decimal(x.worst_price_e8) / 10**8 == worst
    assert Decimal(int(x.decision["notional_e4"])) / 10_000 == notional
    assert int(x.decision["reference_age_ns"]) == 2_500_000_000
    account = next(e for e in x.exposures if e.entity == "account ACC1")
    assert (account.position_e8, account.open_buy_e8, account.open_sell_e8) == (2 * 10**8, 10**8, 0)
    [value] = [int(found["value"]) for found in x.findings if found["check"] == c.MAX_LONG]
    assert value == 43 * 10**8
    text = replay(core.folder, "--explain", "A2").stdout
    for part in ("accepted as C1-1", "reference price 4,500.75 (2,500 ms old)", f"worst price {worst:,f}".rstrip("0")):
        assert part in text
    assert f"notional {notional.normalize():,f} USD" in text


def test_explain_tells_why_an_order_was_refused(make: Make) -> None:
    core = make()
    core.new("A1", qty="900", px="110")
    core.new("A2", qty="1200.5", symbol="NONE")
    core.cancel("A3", "A1")
    core.close()
    text = replay(core.folder, "--explain", "EMS1:A1").stdout
    assert "refused: PRICE_COLLAR" in text
    assert "PRICE_COLLAR: value 110, limit 105 at instrument AAPL" in text
    assert "text sent: PRICE_COLLAR 110 > 105" in text
    assert "max_order_qty 1,000 account ACC1 900" in " ".join(text.split())
    text = replay(core.folder, "--explain", "A2").stdout
    assert "KNOWN_INSTRUMENT: no such instrument" in text and "limits were not looked at" in text
    assert "no decision on it" in refusal(core.folder, "--explain", "A3")


def test_explain_tells_that_a_venue_s_messages_are_not_all_for_orders(make: Make) -> None:
    core = make(limits={**copy.deepcopy(LIMITS), "venue": {"XNAS": {"max_messages": 8}}})
    for k in range(7):
        core.new(f"A{k}")
    core.close()
    kept = "venue XNAS (a quarter is kept for cancels)"
    assert f"max_messages 6 {kept} 1" in " ".join(replay(core.folder, "--explain", "A0").stdout.split())
    text = " ".join(replay(core.folder, "--explain", "A6").stdout.split())
    assert f"MAX_MESSAGES: value 7, limit 6 at {kept}" in text


def test_explain_tells_how_wide_the_quote_was(make: Make) -> None:
    limits = copy.deepcopy(LIMITS)
    limits["instrument"]["default"]["max_quote_spread"] = 300
    core = make(limits=limits)
    core.quote("AAPL", 99, 101, 100)
    core.new("A1")
    core.wait(31)
    core.quote("AAPL", 96, 104)
    core.new("A2")
    core.close()
    text = " ".join(replay(core.folder, "--explain", "A1").stdout.split())
    assert "accepted" in text and "max_quote_spread 300 bps instrument AAPL 200 bps" in text
    text = " ".join(replay(core.folder, "--explain", "A2").stdout.split())
    assert "refused: REFERENCE_PRICE, MAX_QUOTE_SPREAD" in text
    assert "max_quote_spread 300 bps instrument AAPL 800 bps" in text
    assert "MAX_QUOTE_SPREAD: value 800 bps, limit 300 bps at instrument AAPL" in text


def test_explain_of_an_order_id_tells_of_every_request(make: Make) -> None:
    core = make()
    order_with_everything(core)
    core.close()
    history = History(core.folder)
    assert [x.found.request_id() for x in explain(history, "O1-0")] == ["A1", "A2", "A3"]
    (x,) = explain(history, "C1-2")
    assert x.found.request_id() == "A2" and int(x.decision["added_e8"]) == 100 * 10**8


def test_only_one_thing_at_a_time(tmp_path: Path) -> None:
    assert "at a time" in refusal(tmp_path, "--until", "1", "--order", "A1")
    assert "want --with FILE" in refusal(tmp_path, "--csv", tmp_path / "x.csv")
    with pytest.raises(JournalError):
        journal_folder(tmp_path)
