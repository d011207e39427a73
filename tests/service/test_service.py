"""What a start makes of a run that died: whose messages were sent, what is asked for again, what a failure leaves."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import quickfix as fix

from gateway.config.files import ConfigError
from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.engine.quickfix import engine
from tests.support.service import (
    BOTH,
    Run,
    before_send,
    config_of,
    die,
    in_process,
    lines,
    next_run,
    one_order,
    reports,
    store_of,
    stored,
)

PENDING, REJECTED = ("A", True), ("8", False)
HOUR_NS = 3600 * 10**9


def dies_in_sending(folder: Path, message_type: str, count: int = 1, config: dict | None = None, **more: Any) -> None:
    """A run that has journaled what orders give, and dies before the first message of this type goes out."""
    run = Run(folder, config)
    run.begin(*BOTH)
    send = run.engine.send
    run.engine.send = lambda output: die() if output.message_type == message_type else send(output)
    run.take(*[run.order(f"A{k}", t38=100 + k, **more) for k in range(count)])


def dies_before_sessions(folder: Path) -> None:
    """A start after a power cut that dies at once."""
    Run(folder, boot=2)


def restore(folder: Path, saved: Path) -> None:
    """QuickFIX's files lose what was not synced."""
    shutil.rmtree(store_of(folder))
    shutil.copytree(saved, store_of(folder))


# Whether an order was sent


def test_an_order_that_was_stored_was_sent(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    facts = in_process(next_run, tmp_path)
    assert facts["ended"] == ev.CRASHED and facts["orders"] == [PENDING]
    assert len(stored(tmp_path, "XNAS", "D")) == 1 and reports(tmp_path) == []


def test_orders_that_were_not_stored_are_refused(tmp_path: Path) -> None:
    in_process(dies_in_sending, tmp_path, "D", 2, before_send(tmp_path))
    facts = in_process(next_run, tmp_path, before_send(tmp_path))
    assert facts["orders"] == [REJECTED] * 2
    assert [m[11] for m in reports(tmp_path, t39="8")] == ["A0", "A1"]
    assert stored(tmp_path, "XNAS", "D") == []


def test_after_a_power_cut_no_start_takes_a_missing_message_for_one_never_sent(tmp_path: Path) -> None:
    """The first start dies before it has decided anything, the second sees only that a process of this boot ended."""
    in_process(one_order, tmp_path, tmp_path / "saved")
    restore(tmp_path, tmp_path / "saved")
    in_process(dies_before_sessions, tmp_path)
    facts = in_process(next_run, tmp_path, None, 2)
    assert facts["orders"] == [PENDING] and facts["doubts"] == 1
    assert reports(tmp_path) == []


def test_a_store_that_was_removed_proves_nothing(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    shutil.rmtree(store_of(tmp_path))
    facts = in_process(next_run, tmp_path)
    assert facts["orders"] == [PENDING] and facts["doubts"] == 1
    assert reports(tmp_path) == []


def test_a_store_behind_the_journal_proves_nothing(tmp_path: Path) -> None:
    in_process(order_and_quote, tmp_path, tmp_path / "saved")
    restore(tmp_path, tmp_path / "saved")
    facts = in_process(next_run, tmp_path)
    assert facts["orders"] == [PENDING] and reports(tmp_path) == []


def order_and_quote(folder: Path, saved: Path) -> None:
    run = Run(folder)
    run.begin(*BOTH)
    shutil.copytree(store_of(folder), saved)
    for _ in range(3):
        run.take(run.message("XNAS", "W", t55="AAPL", t268=0))
    run.take(run.order("A"))


def test_stores_are_looked_into_before_a_session_can_begin_anew(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    facts = in_process(starts_with_a_reset, tmp_path)
    assert facts["orders"] == [PENDING] and reports(tmp_path) == []


def starts_with_a_reset(folder: Path) -> dict[str, Any]:
    """As quick as QuickFIX can be with ResetOnLogon."""
    run = Run(folder, config_of(folder, {"reset_on_logon": True}))
    run.engine.start = lambda: run.session("XNAS").reset()
    run.service._begin_sessions()
    return run.facts()


@pytest.mark.parametrize("tag", ["t106", "t58"])
def test_bytes_that_are_no_utf_8_are_found_in_a_store(tmp_path: Path, tag: str) -> None:
    in_process(one_order, tmp_path, **{tag: b"Nestl\xe9"})
    facts = in_process(next_run, tmp_path)
    assert len(stored(tmp_path, "XNAS", "D")) == 1
    assert facts["orders"] == [PENDING] and reports(tmp_path) == []


def test_a_report_with_such_bytes_is_told_once(tmp_path: Path) -> None:
    in_process(odd_report, tmp_path)
    in_process(next_run, tmp_path)
    assert len(reports(tmp_path, t32="10")) == 1


def odd_report(folder: Path) -> None:
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.order("A"))
    run.take(run.fill("C1-0", "X1", 10, t58=b"Z\xfcrich"))


def test_what_was_sent_before_a_quiet_night_is_not_sent_again(tmp_path: Path) -> None:
    in_process(quiet_night, tmp_path)
    facts = in_process(looks_at_the_last_few, tmp_path)
    assert facts["orders"] == [("1", True), PENDING]
    assert len(reports(tmp_path)) == 1


def looks_at_the_last_few(folder: Path) -> dict[str, Any]:
    engine.LAST_STORED = 10
    return next_run(folder)


def quiet_night(folder: Path) -> None:
    """After the last messages QuickFIX stores more heartbeats than the next run looks through."""
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.order("A"))
    run.take(run.fill("C1-0", "X1", 10), run.order("B", t38=200))
    run.service._tick()
    for name in BOTH:
        for _ in range(11):
            heartbeat = fix.Message()
            heartbeat.getHeader().setField(35, "0")
            fix.Session.sendToTarget(heartbeat, run.engine._ids[run.names[name]])


def test_a_start_that_dies_while_it_refuses_what_was_never_sent(tmp_path: Path) -> None:
    in_process(dies_in_sending, tmp_path, "D", 2, before_send(tmp_path))
    in_process(dies_in_making_good, tmp_path)
    facts = in_process(next_run, tmp_path, before_send(tmp_path))
    assert facts["orders"] == [REJECTED] * 2
    assert [m[11] for m in reports(tmp_path)] == ["A0", "A1"]


def dies_in_making_good(folder: Path) -> None:
    """It has heard from an EMS, and refused one of the orders."""
    run = Run(folder, before_send(folder))
    run.service._inbox.put(Event(ev.LOGON, 0, 0, value=(ev.CONTINUED,)))
    run.service._settle = make_good_and_die(run)
    run.service._begin_sessions()


def make_good_and_die(run: Run) -> Any:
    settle = run.service._settle

    def wrapper(*arguments: Any) -> None:
        settle(*arguments)
        while (event := run.service._inbox.get(0)) is not None:
            run.service._take(event)
        die()

    return wrapper


def test_a_start_that_cannot_listen_leaves_it_to_the_next(tmp_path: Path) -> None:
    in_process(dies_in_sending, tmp_path, "8", t55="NOSUCH")
    assert "in use" in in_process(cannot_listen, tmp_path)
    assert [m[11] for m in reports(tmp_path)] == ["DRAINED"]
    in_process(next_run, tmp_path)
    assert [m[11] for m in reports(tmp_path)] == ["DRAINED", "A0"]


def cannot_listen(folder: Path) -> str:
    run = Run(folder)

    def fails() -> None:
        run.service._inbox.put(run.order("DRAINED", t55="NOSUCH"))
        run.service._inbox._room.acquire()
        raise RuntimeError("port in use")

    run.engine.start = fails
    run.engine.log_out = lambda _: run.service._inbox.put(Event(ev.LOGOUT, 0, 0))
    with pytest.raises(RuntimeError) as caught:
        run.service.run()
    return str(caught.value)


def test_an_order_that_the_engine_declines_is_refused_before_anything_else_is_journaled(tmp_path: Path) -> None:
    in_process(declined, tmp_path)
    assert in_process(next_run, tmp_path)["orders"] == [REJECTED]
    assert [m[11] for m in reports(tmp_path, t39="8")] == ["A"]


def declined(folder: Path) -> None:
    """The venue has dropped, which the core has not heard; the run dies when it does, or a moment after."""
    run = Run(folder)
    run.begin(*BOTH)
    run.application.logged_on.discard(run.names["XNAS"])
    handle = run.service._driver.handle
    run.service._driver.handle = lambda e: die() if e.kind == ev.UNDELIVERED else handle(e)
    run.service._handle(run.order("A"))
    run.service._send_waiting()
    run.quote()


# What the peer is asked for again


@pytest.mark.parametrize("how", ["renamed", "forgotten", "forgotten and killed"])
def test_a_session_of_which_nothing_is_known_goes_on_where_quickfix_is(tmp_path: Path, how: str) -> None:
    in_process(ran_for_days, tmp_path)
    config = config_of(tmp_path)
    if how == "renamed":
        config["sessions"][1]["id"] = config["routing"]["default"] = "NASDAQ"
    if how == "forgotten and killed":
        in_process(forgets, tmp_path)
    facts = in_process(next_run, tmp_path, config, 1, **{"forget": 1} if how == "forgotten" else {})
    assert facts["expected"][config["sessions"][1]["id"]] == 500
    again = in_process(next_run, tmp_path, config)
    assert again["expected"] == facts["expected"]


def test_a_clean_stop_leaves_its_state_for_the_next_start(tmp_path: Path) -> None:
    """Also for that of a newer release, which could not replay this one's events."""
    in_process(ran_for_days, tmp_path)
    [left] = (tmp_path / "var" / "journal").glob("snapshot-*.zst")
    facts = in_process(next_run, tmp_path)
    [recovered] = lines(facts, "recovered")
    assert recovered["last_run"] == "stopped" and recovered["events"] == 0, left


def test_a_loss_that_there_is_not_is_told_where_it_is_accepted(tmp_path: Path) -> None:
    in_process(ran_for_days, tmp_path)
    told = "--accept-loss is given, but no part of the journal is lost"
    [line] = lines(in_process(next_run, tmp_path, accept_loss=1), told)
    assert line["named"] == 1
    assert lines(in_process(next_run, tmp_path), told) == []


def ran_for_days(folder: Path) -> None:
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.message("XNAS", "W", 499, t55="AAPL", t268=0))
    run.service._close()


def forgets(folder: Path) -> None:
    Run(folder, forget=1)


# Another config


@pytest.mark.parametrize("message_type", ["8", "D"])
def test_what_was_not_sent_goes_to_the_session_it_was_for(tmp_path: Path, message_type: str) -> None:
    in_process(dies_in_sending, tmp_path, message_type, **{"t55": "NOSUCH"} if message_type == "8" else {})
    config = config_of(tmp_path)
    rival = config["sessions"][0] | {"id": "RIVAL", "target_comp_id": "RIVAL"}
    config["sessions"].insert(0, rival)
    in_process(next_run, tmp_path, config)
    assert stored(tmp_path, "RIVAL", "8", "D") == []
    assert [m[11] for m in reports(tmp_path, t39="8")] == ["A0"]
    assert stored(tmp_path, "XNAS", "8", "D") == []


def test_what_was_for_a_session_that_is_gone_is_logged(tmp_path: Path) -> None:
    in_process(dies_in_sending, tmp_path, "8", t55="NOSUCH")
    config = config_of(tmp_path)
    config["sessions"][0] |= {"id": "RIVAL", "target_comp_id": "RIVAL"}
    facts = in_process(next_run, tmp_path, config)
    [line] = lines(facts, "not sent, its session is gone")
    assert line["session"] == "EMS1" and "NOSUCH" in line["text"]
    assert stored(tmp_path, "RIVAL", "8") == []


# The machine went down


def test_after_a_power_cut_reports_that_the_store_lost_are_told_as_possible_repeats(tmp_path: Path) -> None:
    in_process(two_fills, tmp_path, tmp_path / "saved")
    assert len(reports(tmp_path)) == 2
    restore(tmp_path, tmp_path / "saved")
    facts = in_process(next_run, tmp_path, None, 2)
    assert facts["ended"] == ev.REBOOTED
    assert [(m[32], m.get(97)) for m in reports(tmp_path)] == [("10", None), ("20", "Y")]
    assert len(stored(tmp_path, "XNAS", "D")) == 1


def refused_start(folder: Path) -> str:
    config = config_of(folder)
    config["gateway"]["name"] = "OTHER"
    with pytest.raises(ConfigError) as error:
        Run(folder, config)
    return str(error.value)


def test_that_the_memory_of_the_journal_is_gone_counts_as_a_power_cut(tmp_path: Path) -> None:
    """Also when the first start that sees it is refused."""
    in_process(one_order, tmp_path)
    links = [path for path in (tmp_path / "var" / "journal").iterdir() if path.is_symlink()]
    assert links
    for path in links:
        Path(os.readlink(path)).unlink()
    assert "OTHER" in in_process(refused_start, tmp_path)
    assert in_process(next_run, tmp_path)["ended"] == ev.REBOOTED


def test_so_they_are_when_the_first_start_after_it_died(tmp_path: Path) -> None:
    in_process(two_fills, tmp_path, tmp_path / "saved")
    restore(tmp_path, tmp_path / "saved")
    in_process(dies_before_sessions, tmp_path)
    facts = in_process(next_run, tmp_path, None, 2)
    assert facts["ended"] == ev.REBOOTED
    assert [(m[32], m.get(97)) for m in reports(tmp_path)] == [("10", None), ("20", "Y")]
    in_process(next_run, tmp_path, None, 2)
    assert len(reports(tmp_path)) == 2


def two_fills(folder: Path, saved: Path) -> None:
    """The second fill's report is not in the saved files, though it was handed over."""
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.order("A"))
    run.take(run.fill("C1-0", "X1", 10))
    shutil.copytree(store_of(folder), saved)
    run.take(run.fill("C1-0", "X2", 20))
    run.quote()
    run.take(Event(ev.CLOCK, 0, value=(run.service._now_ns() + run.service._wall_offset_ns,)))
    run.service._journal.sync()  # else a power cut may take them with it


@pytest.mark.parametrize("boot", [1, 2])
def test_after_a_boot_no_price_of_before_is_fresh_whatever_its_clock_says(tmp_path: Path, boot: int) -> None:
    in_process(one_order, tmp_path)
    in_process(order_an_hour_earlier, tmp_path, boot)
    refused = [m[58].split()[0] for m in reports(tmp_path, t39="8")]
    assert refused == (["REFERENCE_PRICE"] if boot == 2 else [])
    assert [m[11] for m in stored(tmp_path, "XNAS", "D")] == (["C1-0"] if boot == 2 else ["C1-0", "C2-1"])


def order_an_hour_earlier(folder: Path, boot: int) -> None:
    time_ns = time.time_ns
    time.time_ns = lambda: time_ns() - (HOUR_NS if boot == 2 else 0)
    run = Run(folder, boot=boot)
    run.quote = lambda: None
    run.begin(*BOTH)
    run.take(run.fill("C1-0", "X1", 10))
    run.take(run.order("B", t38=200))


def test_an_end_of_day_that_is_made_up_waits_for_what_venues_resend(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    assert in_process(days_by_then, tmp_path) == [0, 0, 1]


def day_passed(run: Run) -> None:
    """It has been over for an hour."""
    run.service._day.begin(time.time_ns() - 24 * HOUR_NS)
    run.service._day._not_passed_s -= 3600


def days_by_then(folder: Path) -> list[int]:
    run = Run(folder, config_of(folder, day={"zone": "UTC", "end": "17:00"}))
    run.service._begin_sessions()
    day_passed(run)
    days = []
    for event in (None, Event(ev.LOGON, 0, 1, value=(ev.CONTINUED,)), Event(ev.SYNCED, 0, 1)):
        if event is not None:
            run.take(event)
        run.service._tick()
        days.append(int(run.record.days))
    return days


def test_it_waits_for_minutes_only(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    assert in_process(days_after_an_hour, tmp_path) == 1


def days_after_an_hour(folder: Path) -> int:
    run = Run(folder, config_of(folder, day={"zone": "UTC", "end": "17:00"}))
    run.service._begin_sessions()
    day_passed(run)
    run.service._started_s -= 3600
    run.service._tick()
    return int(run.record.days)


# What else must not be lost


def test_ids_go_on_when_the_count_of_runs_is_gone(tmp_path: Path) -> None:
    in_process(one_order, tmp_path)
    in_process(next_run, tmp_path)
    (tmp_path / "var" / "run").unlink()
    in_process(order_again, tmp_path)
    assert [m[11] for m in stored(tmp_path, "XNAS", "D")] == ["C1-0", "C3-1"]
    (tmp_path / "var" / "run").write_text("many\n")
    assert "want the number of the last run" in in_process(refused_to_start, tmp_path)


def order_again(folder: Path) -> None:
    run = Run(folder)
    run.begin(*BOTH)
    run.take(run.fill("C1-0", "X1", 10))
    run.take(run.order("B", t38=200))


def refused_to_start(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Run(folder)
    return str(caught.value)


def test_an_alert_of_the_last_moment_is_told_by_the_next_run(tmp_path: Path) -> None:
    in_process(dies_before_an_alert, tmp_path)
    facts = in_process(next_run, tmp_path)
    assert any("X9" in line["text"] for line in lines(facts, "alert"))


def dies_before_an_alert(folder: Path) -> None:
    run = Run(folder)
    run.begin(*BOTH)
    run.service._outbox.send_now = die
    run.take(run.fill("NOSUCH", "X9", 10))
