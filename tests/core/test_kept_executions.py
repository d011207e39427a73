"""Busts and corrections of executions of days that have ended, and positions adjusted by a person."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import load_settings
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from gateway.state.carry_over import carry
from tests.support.checks import OPEN, fired, limits_with, passed
from tests.support.core import BASE, INSTRUMENTS, Core, write_config
from tests.support.referee import faults

DAY: dict[str, Any] = {"zone": "UTC", "end": "22:00"}


def of(folder: Path, version: str = "FIX.4.4", **day: Any) -> Core:
    """A core whose days end, with all limits open."""
    config = copy.deepcopy(BASE)
    for session in config["sessions"]:
        session["begin_string"] = version
    return Core(folder, config | {"day": DAY | day}, limits_with({}, dict(OPEN)))


def filled(core: Core, cl_ord_id: str = "A", exec_id: str = "E1", qty: str = "100", **more: Any) -> str:
    """An order that has filled; returns its child."""
    child = core.working(cl_ord_id, qty=qty, **more)
    core.fill(child, exec_id, qty, qty, "2", t38=qty, t151="0", t6="100")
    return child


def bust(core: Core, child: str, ref: str, qty: str = "100", cum: str = "0", exec_id: str = "B1", **more: Any):
    """A bust of an execution; returns what goes out."""
    old = core.begin_strings["XNAS"] == "FIX.4.2"
    version = {"t20": "1"} if old else {}
    fields = {"t19": ref, "t32": qty, "t31": "100", "t14": cum, "t151": "0", "t38": "100"} | version | more
    return core.report(child, exec_id, "1" if old else "H", "0", **fields)


@pytest.mark.parametrize("days", [1, 3])
def test_a_bust_of_an_earlier_day_takes_the_position_back(tmp_path: Path, version: str, days: int) -> None:
    core = of(tmp_path, version)
    child = filled(core)
    for _ in range(days):
        assert core.day() == []
    assert core.shares() == (100, 0, 0)
    [(session, msg_type, told)] = bust(core, child, "E1")
    assert (session, msg_type, told[11], told[14], told[151], told[39]) == ("EMS1", "8", "A", "0", "0", "3")
    assert told[19] and faults(core) == []
    assert core.shares() == (0, 0, 0), "nothing is open for it"
    assert int(core.record.open_order_count) == 0


def test_its_cl_ord_id_is_free_though_its_bust_is_told_by_it(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    [(_, _, unknown)] = core.status_request("A")
    assert (unknown[37], unknown[39], unknown[103]) == ("NONE", "8", "5")
    [(_, _, told)] = bust(core, child, "E1")
    assert (told[11], told[39], told[151]) == ("A", "3", "0")


def test_a_correction_of_an_earlier_day_counts_what_it_says(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    [(_, _, told)] = core.report(child, "C1", "G", "2", t19="E1", t32="60", t31="100", t14="60", t151="0", t38="100")
    assert (told[150], told[14], told[151]) == ("G", "60", "0")
    assert core.shares() == (60, 0, 0)
    bust(core, child, "C1", "60")
    assert core.shares() == (0, 0, 0)


def test_after_the_days_that_are_kept_a_bust_is_an_alert_that_names_the_command(tmp_path: Path) -> None:
    core = of(tmp_path, keep_executions=2)
    child = filled(core)
    for _ in range(3):
        core.day()
    [(session, _, told)] = bust(core, child, "E1")
    assert session == "" and "tidegate positions adjust" in told[58]
    assert core.shares() == (100, 0, 0)


def test_with_positions_that_start_from_zero_nothing_is_kept(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day(ev.POSITIONS_RESET)
    [(session, _, _)] = bust(core, child, "E1")
    assert session == "" and core.shares() == (0, 0, 0)


def test_a_venue_that_still_works_it_is_believed(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    reply = bust(core, child, "E1", t39="0", t151="100")
    assert [told[151] for session, _, told in reply if session == "EMS1"] == ["100"]
    assert core.shares() == (0, 100, 0)


def test_a_good_till_canceled_order_is_open_again_after_a_bust(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core, t59="1")
    core.day()
    [(_, _, told)] = bust(core, child, "E1", t151="100")
    assert (told[39], told[151]) == ("0", "100")
    assert core.shares() == (0, 100, 0)


@pytest.mark.parametrize("status", ["3", "B"], ids=["done for day", "calculated"])
def test_the_end_of_an_order_told_again_is_told_as_before(tmp_path: Path, version: str, status: str) -> None:
    """Under an ExecID of its own: the EMS does not get 150=B with 39=3, which its venue never said."""
    core = of(tmp_path, version)
    child = core.working("A", qty="180")
    core.fill(child, "E1", "75", "75", t38="180", t151="105")
    for exec_id in ("D1", "D2"):
        [(session, _, told)] = core.report(child, exec_id, status, status, t38="180", t14="75", t151="0")
        assert (session, told[150], told[39], told[14], told[151]) == ("EMS1", status, status, "75", "0")
        assert core.day() == []
    [(_, _, told)] = bust(core, child, "E1", "75", t38="180")
    assert (told[39], told[14], told[151]) == (status, "0", "0")
    assert core.shares() == (0, 0, 0) and int(core.record.open_order_count) == 0


def test_an_order_that_is_open_again_is_its_ems_s_as_before(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core, t59="1")
    core.day()
    bust(core, child, "E1", t151="100")
    [(session, msg_type, cancel)] = core.cancel("F", "A")
    assert (session, msg_type, cancel[41]) == ("XNAS", "F", child)
    assert core.status_request("A")[0][2][39] == "0"
    core.logon("XNAS", reset=True)
    core.synced()
    assert child in [fields[11] for _, msg_type, fields in core.tick() if msg_type == "H"]


def test_requests_that_no_bust_needs_are_given_back(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = core.working("A")
    for k in range(10):
        [(_, _, replace)] = core.replace(f"R{k}", "A", qty="150")
        core.cancel_reject(replace[11], child, "2")
    core.fill(child, "E1", "100", "100", "2", t38="100", t151="0", t6="100")
    core.day()
    used = core.record["requests"][: core.record.request_count]
    assert int((used["retired"] == 1).sum()) == 1 and int(core.record.request_free_count) == used.size - 1
    bust(core, child, "E1")
    assert core.shares() == (0, 0, 0)


def test_a_busy_day_keeps_as_much_as_there_is_room_for(tmp_path: Path) -> None:
    core = of(tmp_path)
    children = []
    for k in range(core.record.orders.size // 2):
        children.append(filled(core, f"A{k}", f"E{k}"))
    core.day()
    used = core.record["orders"][: core.record.order_count]
    kept = int((used["number"] != a.NONE).sum())
    assert core.record.orders.size // 5 < kept <= core.record.orders.size // 4
    assert bust(core, children[-1], f"E{len(children) - 1}")[0][0] == "EMS1"


def test_a_fill_of_a_stranger_s_order_under_an_old_order_id_is_none_of_ours(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    [(session, _, told)] = core.report(
        "DESK1", "E9", "F", "1", t37="V" + child, t32="50", t31="100", t14="50", t151="0", t38="50", t54="1"
    )
    assert session == "" and "not the gateway's" in told[58]


def test_what_is_resent_of_a_finished_order_is_told_to_nobody_again(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    assert [session for session, _, _ in core.report(child, "NEW", "0", "0", poss_dup=True, t151="100")] == [""]
    assert core.shares() == (100, 0, 0)


def test_clordids_of_a_day_that_has_ended_are_free(tmp_path: Path) -> None:
    core = of(tmp_path)
    old = filled(core)
    core.day()
    assert core.cancel("F", "A")[0][1] == "9"
    new = passed(core.new("A"))[11]
    assert new != old
    assert "CL_ORD_ID_REUSE" in fired(core.new("A"))
    [(_, _, told)] = bust(core, old, "E1")
    assert told[11] == "A" and core.shares() == (0, 100, 0)


def test_a_venue_order_id_given_again_names_the_order_of_today(tmp_path: Path) -> None:
    core = of(tmp_path)
    filled(core, t55="AAPL")
    core.record.orders[0].venue_order_id[:2] = [ord("V"), ord("1")]
    core.record.orders[0].venue_order_id_size = 2
    core.day()
    child = passed(core.new("B"))[11]
    core.report(child, "N1", "0", "0", t37="V1", t38="100", t151="100")
    core.day()  # both are linked anew
    [(_, _, told)] = core.report(
        "UNKNOWN", "E9", "F", "1", t37="V1", t32="10", t31="100", t14="10", t151="90", t38="100"
    )
    assert told[11] == "B"


def test_what_is_kept_never_fills_the_tables(tmp_path: Path) -> None:
    core = of(tmp_path, keep_executions=30)
    size = core.record.orders.size
    for day in range(6):
        for k in range(size // 10):
            filled(core, f"{day}-{k}", f"E{day}-{k}", px="100")
        core.day()
        used = core.record["orders"][: core.record.order_count]
        assert int((used["number"] != a.NONE).sum()) <= size // 4
    used = core.record["requests"][: core.record.request_count]
    free = int(core.record.request_free_count)
    assert int((used["retired"] == 1).sum()) + free == used.size, "no row is lost"
    child = filled(core, "LAST", "LAST")
    core.day()
    assert bust(core, child, "LAST")[0][0] == "EMS1"


def test_other_settings_keep_them_and_those_without_their_venue_give_them_back(tmp_path: Path) -> None:
    core = of(tmp_path)
    child = filled(core)
    core.day()
    (tmp_path / "same").mkdir()
    settings = load_settings(
        write_config(tmp_path / "same", BASE | {"day": DAY}, limits_with({}, dict(OPEN)), INSTRUMENTS)
    )
    core.state = carry(core.state, settings)
    core.driver = type(core.driver)(core.state.block)
    assert int(core.record.requests[0].retired) == 1
    [(_, _, told)] = bust(core, child, "E1")
    assert told[11] == "A" and core.shares() == (0, 0, 0)
    other = copy.deepcopy(BASE)
    other["sessions"][1] |= {"id": "XNEW", "target_comp_id": "XNEW"}
    other["routing"] = {"default": "XNEW"}
    (tmp_path / "other").mkdir()
    settings = load_settings(write_config(tmp_path / "other", other, limits_with({}, dict(OPEN)), INSTRUMENTS))
    left = carry(core.state, settings).record
    assert int(left.requests[0].retired) == 0 and int(left.request_free_count) == int(left.request_count)


# A person


def adjusted(core: Core, by: int, *entities: int, instrument: int = 0) -> list[str]:
    """Apply an adjustment; returns the alerts."""
    rows = [*entities, *[a.NONE] * (5 - len(entities))]
    data = b"100 AAPL for account ACC1 by ann: bust of yesterday"
    event = Event(ev.ADJUST, core.time_ns, data=data, value=(instrument, by * 10**8, *rows))
    return [told[58] for _, _, told in core.apply(event)]


def test_an_adjustment_counts_for_all_that_it_names(tmp_path: Path) -> None:
    """And for the class of the strategy."""
    core = of(tmp_path)
    filled(core, t7001="MOMO")
    account, strategy = core.state.entities[a.ACCOUNT, "ACC1"], core.state.entities[a.STRATEGY, "MOMO"]
    [alert] = adjusted(core, -100, account, a.NONE, strategy)
    assert alert.startswith("position adjusted by a person: 100 AAPL for account ACC1 by ann")
    held = core.record["exposures"][: core.record.exposure_count]
    assert held["position_e8"].tolist() == [0] * held.size and held.size == 5


def test_an_adjustment_of_nothing_known_changes_nothing(tmp_path: Path) -> None:
    core = of(tmp_path)
    assert adjusted(core, 5, instrument=77) == [] and adjusted(core, 5, instrument=-1) == []
    adjusted(core, 5, 10**6)
    assert core.shares() == (0, 0, 0)
