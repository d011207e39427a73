"""The report of a day: its figures are those of the orders and fills that went by."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.audit.period import Period
from gateway.audit.render import to_html, to_markdown
from gateway.audit.report import Report, make_report
from gateway.cli.main import app
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Event
from tests.support.core import BASE, LIMITS, START_NS, WALL_NS
from tests.support.journal import JournaledCore, fill_executions

TWO_EMS = {**BASE, "sessions": [BASE["sessions"][0], {**BASE["sessions"][0], "id": "EMS2", "target_comp_id": "EMS2"}]}
TWO_EMS["sessions"].append(BASE["sessions"][1])
Make = Callable[..., JournaledCore]
UTILISATION, INCIDENTS = "Highest utilisation of limits", "Faults, alerts, doubts and controls"


def rows_of(report: Report, heading: str) -> list[dict[str, str]]:
    """Rows of a section by column; of a column that is there twice the first has a `_` behind it."""
    (section,) = [s for s in report.sections if s.heading == heading]
    header = [name + "_" * section.header[k + 1 :].count(name) for k, name in enumerate(section.header)]
    return [dict(zip(header, row, strict=True)) for row in section.rows]


def text_of(report: Report, heading: str) -> str:
    (section,) = [s for s in report.sections if s.heading == heading]
    return section.text


def filled(core: JournaledCore, name: str, side: str, fills: list[tuple[str, str]], **more: str) -> str:
    """An order that its venue takes and fills; returns its child."""
    child = core.new(name, side=side, qty="100", px="100", **more)[0][2][11]
    core.report(child, f"N{name}", "0", "0", t38="100", t54=side, t151="100")
    done = Decimal(0)
    for k, (qty, price) in enumerate(fills):
        done += Decimal(qty)
        told = {"t32": qty, "t31": price, "t14": str(done), "t151": str(100 - done), "t38": "100", "t54": side}
        core.report(child, f"F{name}-{k}", "F", "1", **told)
    return child


def test_orders_checks_fills_and_positions_are_counted(make: Make) -> None:
    core = make(config=TWO_EMS)
    buys, sells = [("30", "100.01"), ("20.5", "99.99")], [("10", "100.02")]
    child = filled(core, "A1", "1", [*buys, ("7", "98")])
    filled(core, "A2", "2", sells, t1="ACC2", session="EMS2")
    core.report(child, "B1", "H", "1", t19="FA1-2", t32="7", t31="98", t14="50.5", t38="100")
    core.new("A3", qty="2000", px="110")
    core.new("A4", qty="2000")
    core.replace("A5", "A1", qty="120")
    core.cancel("A6", "A2", session="EMS2")
    report = make_report(core.folder, Period())
    by_session = {row["session"]: row for row in rows_of(report, "Orders and replaces by session")}
    assert (by_session["EMS1"]["accepted"], by_session["EMS1"]["refused"]) == ("2", "2")
    assert (by_session["EMS2"]["accepted"], by_session["EMS2"]["share refused"]) == ("1", "0.0 %")
    assert [row["account"] for row in rows_of(report, "Orders and replaces by account")] == ["ACC1", "ACC2"]
    fired = {row["check"]: row["orders"] for row in rows_of(report, "Checks that fired")}
    assert fired == {"MAX_ORDER_QTY": "2", "PRICE_COLLAR": "1"}
    one, other = rows_of(report, "Fills")
    bought = sum(Decimal(qty) for qty, _ in buys)
    value = sum(Decimal(qty) * Decimal(price) for qty, price in buys)
    assert (one["account"], one["bought"], one["sold"]) == ("ACC1", str(bought), "0")
    assert Decimal(one["value_"].replace(",", "")) == value
    assert Decimal(one["average_"]) == (value / bought).quantize(Decimal("1e-8"))
    assert (other["account"], other["sold"], other["average"], other["net"]) == ("ACC2", "10", "100.02", "-10")
    positions = {(row["account"], row["instrument"]): row for row in rows_of(report, "Positions at the end")}
    for name in ("ACC1", "ACC2"):
        position, buying, selling = core.exposure(a.ACCOUNT, name, "AAPL")
        row = positions[name, "AAPL"]
        figures = [Decimal(row[key]) for key in ("position", "open buys", "open sells")]
        assert figures == [Decimal(v) / 10**8 for v in (position, buying, selling)]
    ratio = {row["session"]: row for row in rows_of(report, "Order-to-trade ratio")}
    assert (ratio["EMS1"]["orders"], ratio["EMS1"]["replaces"], ratio["EMS1"]["fills"]) == ("3", "1", "3")
    assert ratio["EMS1"]["ratio"] == "1.33" and ratio["EMS2"]["cancels"] == "1"


def test_a_correction_counts_with_its_own_quantity_and_price(make: Make) -> None:
    core = make()
    child = filled(core, "A1", "1", [("30", "100.01")])
    core.report(child, "G1", "G", "1", t19="FA1-0", t32="25", t31="99", t14="25", t38="100")
    (row,) = rows_of(make_report(core.folder, Period()), "Fills")
    assert (row["bought"], row["average_"], row["value_"]) == ("25", "99", "2,475")
    core.report(child, "B1", "H", "1", t19="G1", t32="25", t31="99", t14="0", t38="100")
    (row,) = rows_of(make_report(core.folder, Period()), "Fills")
    assert (row["bought"], row["net"]) == ("0", "0")


def test_value_has_the_multiplier(make: Make) -> None:
    limits = {**LIMITS, "account": {"default": {**LIMITS["account"]["default"], "max_order_notional": "unlimited"}}}
    core = make(limits=limits)
    core.quote("ESZ6", 4500, 4500.25, 4500)
    child = core.new("A1", qty="3", px="4500.25", symbol="ESZ6")[0][2][11]
    core.report(child, "F1", "F", "2", t32="3", t31="4500.25", t14="3", t38="3", t55="ESZ6")
    (row,) = rows_of(make_report(core.folder, Period()), "Fills")
    assert Decimal(row["value_"].replace(",", "")) == 3 * Decimal("4500.25") * 50


def test_limits_tell_who_came_nearest(make: Make) -> None:
    core = make(limits={**LIMITS, "strategy": {"MOMO": {"max_open_orders": 4}}})
    core.new("A1", qty="250", px="102")
    core.new("A2", qty="800", px="99", t7001="MOMO")
    core.new("A3", qty="900", px="99", side="2", t1="ACC2")
    core.new("A4", qty="5000")
    uses = {(row["limit"], row["where"]): row for row in rows_of(make_report(core.folder, Period()), UTILISATION)}
    qty = uses["max_order_qty", "account ACC2"]
    assert (qty["used"], qty["value"], qty["limit value"], qty["ClOrdID"]) == ("90.0 %", "900", "1,000", "A3")
    assert uses["max_order_qty", "account ACC1"]["ClOrdID"] == "A2"
    assert uses["max_order_notional", "account ACC2"]["value"] == "90,000"
    long = uses["max_long", "account ACC1 in AAPL"]
    assert (long["value"], long["limit value"], long["used"]) == ("1,050", "5,000", "21.0 %")
    assert uses["max_short", "account ACC2 in AAPL"]["used"] == "18.0 %"
    collar = uses["collar_bps", "instrument AAPL"]
    assert (collar["value"], collar["used"], collar["ClOrdID"]) == ("200 bps", "40.0 %", "A1")
    assert uses["max_open_orders", "strategy MOMO"]["used"] == "25.0 %"
    assert uses["max_messages", "session EMS1"]["value"] == "3"


def test_open_orders_doubts_faults_and_alerts_are_told(make: Make) -> None:
    core = make()
    filled(core, "A1", "1", [("30", "100")])
    core.start(ev.CRASHED)
    fill_executions(core, "C1-0")
    report = make_report(core.folder, Period())
    (order,) = rows_of(report, "Open orders carried")
    assert (order["order"], order["ClOrdID"], order["doubt"]) == ("O1-0", "A1", "unconfirmed")
    told = rows_of(report, INCIDENTS)
    assert [row["what"] for row in told][:4] == ["start", "start", "fault", "alert"]
    assert {row["what"] for row in told[4:]} <= {"alert"}
    assert told[1]["detail"] == "run 2, the run before crashed"
    assert "Orders in doubt at the end: 1 at XNAS." in text_of(report, INCIDENTS)
    assert "A fault blocks every order at the end." in text_of(report, INCIDENTS)


def test_a_day_ends_with_the_positions_of_its_end(make: Make) -> None:
    core = make()
    child = filled(core, "A1", "1", [("30", "100")])
    midnight_ns = int(datetime(2026, 7, 12, tzinfo=UTC).timestamp()) * 10**9
    core.time_ns = START_NS + midnight_ns - WALL_NS
    core.quote("AAPL", 99.99, 100.01, 100)
    filled(core, "A2", "1", [("50", "100")])
    core.report(child, "B1", "H", "1", t19="FA1-0", t32="30", t31="100", t14="0", t38="100")
    first = make_report(core.folder, Period("2026-07-11"))
    second = make_report(core.folder, Period("2026-07-12"))
    assert [row["position"] for row in rows_of(first, "Positions at the end")] == ["30"]
    assert [row["position"] for row in rows_of(second, "Positions at the end")] == ["50"]
    assert [row["bought"] for row in rows_of(first, "Fills")] == ["30"]
    assert [row["bought"] for row in rows_of(second, "Fills")] == ["50"]
    assert "Busts and corrections of executions before this period, left out of the fills: 1." in text_of(
        second, INCIDENTS
    )
    assert rows_of(first, "Summary")[4] == {"what": "open orders at the end", "value": "1"}


def test_latency_is_that_of_the_journal(make: Make) -> None:
    core = make()
    for k in range(30):
        core.new(f"A{k}", qty="1")
    report = make_report(core.folder, Period())
    orders, events = rows_of(report, "Latency")
    took = sorted(int(ns) for ns in report.took_ns)
    assert (orders["number"], len(took)) == ("30", 30)
    assert orders["p50"] == f"{took[14] / 1000:,.1f}" and orders["max"] == f"{took[-1] / 1000:,.1f}"
    assert int(events["number"]) == 30 + 5


def test_markdown_and_html_say_the_same_and_html_has_plots(make: Make) -> None:
    core = make()
    filled(core, "A|1", "1", [("30", "100")])
    core.new("A<2>", qty="5000")
    report = make_report(core.folder, Period())
    markdown, page = to_markdown(report), to_html(report)
    for section in report.sections:
        assert f"## {section.heading}\n" in markdown and f"<h2>{section.heading}</h2>" in page
    assert "A\\|1" in markdown and "A&lt;2&gt;" in page and "<2>" not in page
    assert len(re.findall(r'src="data:image/png;base64,iVBOR', page)) == 3


def test_without_matplotlib_the_page_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    core = make()
    core.new("A1")
    page = to_html(make_report(core.folder, Period()))
    assert "Plots are left out" in page and "<img" not in page


def test_a_period_without_orders_has_a_report(make: Make, tmp_path: Path) -> None:
    core = make()
    core.apply(Event(ev.STOP, core.time_ns))
    core.close()
    for out in ("report.md", "report.html"):
        arguments = ["audit", "report", str(core.folder), "--day", "2026-07-10", "--out", str(tmp_path / out)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert "None." in (tmp_path / out).read_text()
    printed = CliRunner().invoke(app, ["audit", "report", str(core.folder)])
    assert printed.exit_code == 0 and printed.output.startswith("# TEST: post-trade report, all of the journal")
