"""Audit exports: they say what was sent and decided, and nothing in them can be changed unnoticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gateway.audit.export import Manifest, export, file_digest, read_manifest, row_bytes, row_hash
from gateway.audit.period import Period
from gateway.audit.tables import SCHEMAS
from gateway.audit.verify import verify
from gateway.cli.main import app
from gateway.core import events as ev
from gateway.core.driver import Event
from gateway.journal.read import JournalError, Segment, read_segment, segment_files
from gateway.journal.replayer import Replayer
from gateway.journal.snapshot import save
from tests.support.core import BASE, INSTRUMENTS, LIMITS, START_NS, WALL_NS, fields_of
from tests.support.journal import JournaledCore, fill_executions

ALL = Period()
Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def table(folder: Path, name: str, number: int = 1) -> list[dict[str, Any]]:
    """Rows of a table; times as ns since 1970."""
    read = pq.read_table(folder / f"{name}-{number:06d}.parquet")
    at = read.schema.get_field_index("time")
    return read.set_column(at, "time", read["time"].cast(pa.int64())).to_pylist()


def trade(core) -> str:
    """An order of 100 that the venue takes and fills twice; a refused one; a replace, accepted. Returns its child."""
    core.wait(1)
    core.quote("AAPL", 99.99, 100.01, 100)
    child = core.new("A1", qty="100", px="100.01", t7001="MOMO", t50="TOM")[0][2][11]
    core.report(child, "V1", "0", "0", t38="100", t151="100")
    core.report(child, "V2", "F", "1", t32="30", t31="100.005", t14="30", t6="100.005", t151="70", t38="100")
    core.wait(0.25)
    core.new("A2", qty="1001", px="200", side="2", symbol="MSFT")
    core.new("A3", px="106")
    replaced = core.replace("A4", "A1", qty="150", px="100.02")[0][2][11]
    core.report(replaced, "V3", "5", "5", t38="150", t41=child, t14="30", t151="120")
    core.report(replaced, "V4", "F", "1", t32="20.5", t31="100.01", t14="50.5", t6="100.01", t151="99.5", t38="150")
    return replaced


def exported(core, folder: Path, period: Period = ALL) -> Manifest:
    return export(core.folder, folder, period)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a small day's journal of three segments, closed, and an export of it in `out`."""
    core = JournaledCore(tmp_path_factory.mktemp("day"))
    trade(core)
    core.journal_writer.roll()
    core.new("B1", qty="5")
    core.journal_writer.roll()
    for k in range(20):
        core.new(f"C{k}", qty="7")
    core.logout("XNAS")
    core.close()
    exported(core, core.folder.parent / "out")
    return core.folder.parent


@pytest.fixture
def whole(day: Path, tmp_path: Path) -> Path:
    """Folder of that export, the journal beside it: copies to tamper with."""
    shutil.copytree(day, tmp_path / "day")
    return tmp_path / "day" / "out"


def test_a_decision_has_every_figure_that_it_was_made_on(core, tmp_path: Path) -> None:
    trade(core)
    sent = {
        fields_of(event.data)[11]: outputs
        for event, outputs in core.log
        if event.kind == ev.MESSAGE and b"\x0135=D" in event.data or b"\x0135=G" in event.data
    }
    exported(core, tmp_path / "out")
    rows = {row["cl_ord_id"]: row for row in table(tmp_path / "out", "decisions")}
    assert list(rows) == ["A1", "A2", "A3", "A4"]
    one = rows["A1"]
    assert one["verdict"] == "accepted" and one["text"] is None and one["checks"] == []
    assert one["child_cl_ord_id"] == fields_of(sent["A1"][0].body)[11] and one["order_id"] == "O1-0"
    who = {"session": "EMS1", "account": "ACC1", "strategy": "MOMO", "trader": "TOM", "desk": None, "flow": None}
    what = {"msg_type": "D", "symbol": "AAPL", "side": "buy", "ord_type": "limit", "venue": "XNAS"}
    figures = {
        **{"qty": Decimal(100), "price": Decimal("100.01"), "stop": None, "added_qty": Decimal(100)},
        **{"notional": Decimal("10001"), "reference_price": Decimal(100), "reference_age_ns": 0},
    }
    for key, value in (who | what | figures).items():
        assert one[key] == value, key
    assert one["time"] == WALL_NS + 10**9
    limits = {limit["limit"]: (limit["value"], limit["unit"], limit["where"]) for limit in one["limits"]}
    assert limits["max_order_notional"] == (Decimal(10_000_000), "money", "account ACC1")
    assert limits["reference_max_age"] == (Decimal(5000), "ms", "instrument AAPL")
    replaced = rows["A4"]
    assert (replaced["msg_type"], replaced["orig_cl_ord_id"], replaced["order_id"]) == ("G", "A1", "O1-0")
    assert replaced["child_cl_ord_id"] == fields_of(sent["A4"][0].body)[11]
    assert replaced["message"].startswith("8=FIX.4.4|9=0|35=G|")


def test_a_refusal_lists_its_checks_and_the_text_that_was_sent(core, tmp_path: Path) -> None:
    trade(core)
    texts = {fields_of(o.body).get(11): fields_of(o.body).get(58) for _, outputs in core.log for o in outputs}
    exported(core, tmp_path / "out")
    rows = {row["cl_ord_id"]: row for row in table(tmp_path / "out", "decisions")}
    for cl_ord_id in ("A2", "A3"):
        assert rows[cl_ord_id]["verdict"] == "refused"
        assert rows[cl_ord_id]["text"] == texts[cl_ord_id] != ""
        assert rows[cl_ord_id]["child_cl_ord_id"] is None and rows[cl_ord_id]["order_id"] is None
    checks = {check["check"]: check for check in rows["A2"]["checks"]}
    assert checks["MAX_ORDER_QTY"] == {
        **{"check": "MAX_ORDER_QTY", "detail": None, "value": Decimal(1001), "limit": Decimal(1000)},
        **{"unit": "quantity", "where": "account ACC1"},
    }
    assert checks["LOT"]["value"] == Decimal(1001) and checks["LOT"]["limit"] == Decimal(10)
    assert checks["REFERENCE_PRICE"]["detail"] == "none known" and checks["REFERENCE_PRICE"]["value"] is None
    (collar,) = rows["A3"]["checks"]
    assert (collar["check"], collar["value"], collar["limit"]) == ("PRICE_COLLAR", Decimal(106), Decimal(105))
    assert collar["where"] == "instrument AAPL" and collar["unit"] == "price"


@pytest.mark.parametrize("version", ["FIX.4.4", "FIX.4.2"])
def test_executions_are_as_the_ems_was_told(make, tmp_path: Path, version: str) -> None:
    core = make(config={**BASE, "sessions": [{**s, "begin_string": version} for s in BASE["sessions"]]})
    fix42 = version == "FIX.4.2"
    child = core.new("A1", qty="100", px="100.01")[0][2][11]
    core.report(child, "V1", "0", "0", t38="100", t151="100")
    fill = {"t32": "30", "t31": "100.005", "t14": "30", "t6": "100.005", "t151": "70", "t38": "100"}
    core.report(child, "V2", "1" if fix42 else "F", "1", **fill)
    core.report(child, "V3", "1" if fix42 else "F", "1", **fill | {"t14": "60", "t151": "40"})
    corrected = {"t20": "2"} if fix42 else {}
    core.report(
        child, "V4", "1" if fix42 else "G", "1", t19="V2", t32="25", t31="100", t14="55", t38="100", **corrected
    )
    busted = {"t20": "1"} if fix42 else {}
    core.report(child, "V5", "0" if fix42 else "H", "1", t19="V3", t32="30", t31="0", t14="25", t38="100", **busted)
    told = [fields_of(o.body) for _, outputs in core.log for o in outputs if o.message_type == "8"]
    told = [fields for fields in told if 32 in fields]
    exported(core, tmp_path / "out")
    rows = table(tmp_path / "out", "executions")
    assert [row["kind"] for row in rows] == ["fill", "fill", "correction", "bust"]
    for row, fields in zip(rows, told, strict=True):
        assert (row["qty"], row["price"]) == (Decimal(fields[32]), Decimal(fields[31]))
        assert (row["exec_id"], row["exec_ref_id"]) == (fields[17], fields.get(19))
        assert (row["cum_qty"], row["leaves_qty"]) == (Decimal(fields[14]), Decimal(fields[151]))
        assert (row["account"], row["symbol"], row["side"], row["venue"]) == ("ACC1", "AAPL", "buy", "XNAS")
    assert [row["venue_exec_id"] for row in rows] == ["V2", "V3", "V4", "V5"]
    assert [row["venue_exec_ref_id"] for row in rows] == [None, None, "V2", "V3"]


def test_controls_tell_of_starts_switches_overrides_and_faults(core, tmp_path: Path) -> None:
    child = core.new("A1")[0][2][11]
    core.report(child, "V1", "0", "0", t38="100", t151="100")
    core.working("A2", t59="1")
    core.apply(Event(ev.JOURNAL, core.time_ns, value=(1,)))
    core.apply(Event(ev.JOURNAL, core.time_ns, value=(0,)))
    core.logout("XNAS")
    core.start(ev.CRASHED)
    core.apply(Event(ev.RESOLVE, core.time_ns, value=(0, ev.GONE, 10 * 10**8), data=b"ann: the venue says gone"))
    core.apply(Event(ev.DAY, core.time_ns, value=(ev.POSITIONS_KEPT,)))
    fill_executions(core, "C1-1")
    core.apply(Event(ev.STOP, core.time_ns))
    exported(core, tmp_path / "out")
    rows = table(tmp_path / "out", "controls")
    told = [(row["control"], row["session"] or row["order_id"], row["detail"]) for row in rows]
    assert told[0] == ("start", None, "run 1, the run before was stopped")
    assert [row[:2] for row in told[1:3]] == [("session up", "EMS1"), ("session up", "XNAS")]
    assert [row[2] for row in told[3:5]] == ["cannot be written: every order is blocked", "can be written again"]
    assert told[5][:2] == ("session down", "XNAS")
    assert told[6] == ("start", None, "run 2, the run before crashed")
    assert told[7] == ("resolve", "O1-0", "the order is gone, executed 10: ann: the venue says gone")
    assert told[8][0] == "alert" and told[9] == ("day", None, "positions are kept")
    assert told[10] == ("fault", None, "the table of executions is full: every order is blocked")
    assert told[11][0] == "alert" and told[12] == ("stop", None, "run 2")


def test_limit_changes_begin_with_all_settings_then_tell_old_and_new(core, tmp_path: Path) -> None:
    limits = {**LIMITS, "account": {"default": LIMITS["account"]["default"], "ACC2": {"max_order_qty": "unlimited"}}}
    instruments = INSTRUMENTS.replace("AAPL,US0378331005,0.01,1,", "AAPL,US0378331005,0.05,1,")
    core.wait(60)
    core.take_settings(BASE, limits, instruments)
    core.start(ev.STOPPED)
    core.wait(1)
    core.start(ev.STOPPED)
    exported(core, tmp_path / "out")
    rows = table(tmp_path / "out", "limit_changes")
    first = {row["key"]: row["new"] for row in rows if row["sequence"] == 1}
    assert all(row["old"] is None and row["time"] == WALL_NS for row in rows if row["sequence"] == 1)
    assert first["limits.account.default.max_order_qty"] == "1,000"
    assert first["limits.instrument.default.reference_max_age"] == "5 s"
    assert first["identity.strategy"] == "7001" and first["sessions.EMS1.accounts"] == "ACC1, ACC2"
    assert first["instruments.AAPL.tick"] == "0.01"
    later = [(row["key"], row["old"], row["new"]) for row in rows if row["sequence"] > 1]
    assert later == [
        ("instruments.AAPL.tick", "0.01", "0.05"),
        ("limits.account.ACC2.max_order_qty", None, "unlimited"),
    ]
    assert {row["time"] for row in rows if row["sequence"] > 1} == {WALL_NS + 60 * 10**9}


def test_a_day_is_of_the_zone_in_the_settings(make, tmp_path: Path) -> None:
    core = make(config={**BASE, "day": {"zone": "America/New_York", "end": "17:00"}})
    midnight_ns = int(datetime(2026, 7, 12, 4, tzinfo=UTC).timestamp()) * 10**9
    for name, offset in (("before", -1), ("first", 0), ("last", 86_400 * 10**9 - 1), ("behind", 86_400 * 10**9)):
        core.time_ns = START_NS + midnight_ns - WALL_NS + offset
        core.new(name)
    exported(core, tmp_path / "out", Period("2026-07-12"))
    assert [row["cl_ord_id"] for row in table(tmp_path / "out", "decisions")] == ["first", "last"]
    changes = table(tmp_path / "out", "limit_changes")
    assert {row["sequence"] for row in changes} == {1} and len(changes) > 20  # what was in force when it began
    times = Period("", "2026-07-12T00:00:00", "2026-07-12T04:00:00.000000+00:00")
    exported(core, tmp_path / "none", times)
    assert table(tmp_path / "none", "decisions") == []
    assert verify(tmp_path / "none", core.folder)[1] == []


def test_every_row_has_the_hash_of_itself_and_of_the_row_before(whole: Path) -> None:
    for name in SCHEMAS:
        last = ""
        rows = table(whole, name)
        assert rows
        for row in rows:
            last = row_hash(last, row_bytes([value for key, value in row.items() if key != "hash"]))
            assert row["hash"] == last
        assert read_manifest(whole / "manifest.json").tables[name].last_hash == last


def test_a_whole_export_is_proven_with_and_without_the_journal(whole: Path) -> None:
    for more in ([], ["--journal", str(whole.parent / "journal")]):
        result = CliRunner().invoke(app, ["audit", "verify", str(whole), *more])
        assert result.exit_code == 0 and result.output.count("\n") == 1, result.output
        assert read_manifest(whole / "manifest.json").digest in result.output


def _rewrite(path: Path, change: Change) -> None:
    schema = pq.read_schema(path)
    pq.write_table(pa.Table.from_pylist(change(pq.read_table(path).to_pylist()), schema), path)


CHANGES: dict[str, Change] = {
    "changed": lambda rows: [{**row, "qty": Decimal(1)} if k == 2 else row for k, row in enumerate(rows)],
    "nested": lambda rows: [{**row, "limits": row["limits"][1:]} for row in rows],
    "removed": lambda rows: rows[:1] + rows[2:],
    "first removed": lambda rows: rows[1:],
    "last removed": lambda rows: rows[:-1],
    "all removed": lambda rows: [],
    "swapped": lambda rows: [rows[1], rows[0], *rows[2:]],
    "doubled": lambda rows: [*rows, rows[-1]],
    "appended": lambda rows: [*rows, {**rows[-1], "hash": row_hash(rows[-1]["hash"], b"[]")}],
}


@pytest.mark.parametrize("how", CHANGES)
def test_tampering_with_rows_is_found(whole: Path, how: str) -> None:
    _rewrite(whole / "decisions-000001.parquet", CHANGES[how])
    result = CliRunner().invoke(app, ["audit", "verify", str(whole)])
    assert result.exit_code == 1
    assert "decisions-000001.parquet: " in result.output and result.output.count("\n") == 1


@pytest.mark.parametrize("name", SCHEMAS)
def test_row_groups_cut_off_or_a_file_cut_or_gone_are_found(whole: Path, name: str) -> None:
    path = whole / f"{name}-000001.parquet"
    content = path.read_bytes()
    groups = pq.ParquetFile(path)
    with pq.ParquetWriter(path.with_suffix(".new"), groups.schema_arrow) as writer:
        for k in range(groups.num_row_groups - 1):
            writer.write_table(groups.read_row_group(k))
    path.with_suffix(".new").replace(path)
    assert len(verify(whole)[1]) == 1
    path.write_bytes(content[: len(content) // 2])
    assert "cannot be read as Parquet" in verify(whole)[1][0]
    path.unlink()
    assert len(verify(whole)[1]) == 1
    path.write_bytes(content)
    assert verify(whole)[1] == []


def test_a_file_written_anew_with_the_same_rows_is_found(whole: Path) -> None:
    _rewrite(whole / "controls-000001.parquet", lambda rows: rows)
    assert verify(whole)[1] == ["controls-000001.parquet: is not the file that was written, though its rows are"]


@pytest.mark.parametrize("key", list(Manifest.model_fields))
def test_an_edited_manifest_is_found(whole: Path, key: str) -> None:
    path = whole / "manifest.json"
    content = json.loads(path.read_text())
    others = {
        **{"period": {"day": "2026-07-11", "start": "", "end": ""}, "journal_faults": ["none"]},
        **{"segments": content["segments"][:-1], "tables": {**content["tables"], "decisions": {}}},
    }
    value = content[key]
    content[key] = others.get(key, value + 1 if isinstance(value, int) else f"{value}0")
    path.write_text(json.dumps(content))
    assert verify(whole)[1]


def _forge(folder: Path, change: Change) -> None:
    """Change rows and make every hash, the manifest and its digest anew."""
    path = folder / "decisions-000001.parquet"
    last, rows = "", [dict(row) for row in change(table(folder, "decisions"))]
    for row in rows:
        last = row["hash"] = row_hash(last, row_bytes([value for key, value in row.items() if key != "hash"]))
    pq.write_table(pa.Table.from_pylist(rows, SCHEMAS["decisions"]), path)
    manifest = read_manifest(folder / "manifest.json")
    entry = manifest.tables["decisions"]
    entry.rows, entry.last_hash, entry.last_sequence = len(rows), last, rows[-1]["sequence"]
    entry.sha256 = file_digest(path)
    manifest.digest = manifest.own_digest()
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def _quieter(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows[1]["qty"] = Decimal("10.00000000")
    return rows


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_quieter, "row 2: is not what the journal says at sequence {}: qty"),
        (lambda rows: rows[:-3], "row 23: is missing, the journal has one more at sequence {}"),
        (lambda rows: [*rows, rows[0]], "has more rows than the journal gives"),
    ],
)
def test_a_forged_export_is_found_by_its_journal(whole: Path, change: Change, told: str) -> None:
    rows = table(whole, "decisions")
    told = told.format(rows[22 if "23" in told else 1]["sequence"])
    _forge(whole, change)
    assert verify(whole)[1] == []
    assert verify(whole, whole.parent / "journal")[1] == [f"decisions-000001.parquet: {told}"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_changed_byte_of_the_journal_is_found_and_the_segment_named(whole: Path, number: int) -> None:
    path = segment_files(whole.parent / "journal")[number - 1]
    segment = read_segment(path)
    content = bytearray(path.read_bytes())
    content[int(segment.starts[segment.starts.size // 2]) * 8 + 48] ^= 1
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["audit", "verify", str(whole), "--journal", str(path.parent)])
    assert result.exit_code == 1 and path.name in result.output


def test_a_removed_segment_is_named(whole: Path) -> None:
    journal = whole.parent / "journal"
    paths = segment_files(journal)
    shutil.copytree(journal, whole.parent / "copy")
    paths[1].unlink()
    faults = verify(whole, journal)[1]
    assert "journal: segment 2: is missing" in faults
    shutil.copy(whole.parent / "copy" / paths[1].name, journal)
    assert verify(whole, journal)[1] == []
    paths[2].unlink()
    assert "journal: segment 3: was exported and is missing" in verify(whole, journal)[1]
    paths[0].unlink()
    with pytest.raises(JournalError, match=r"00000002.journal: the segments before it are gone"):
        verify(whole, journal)


def test_swapped_segments_and_a_seal_taken_off_are_found(whole: Path) -> None:
    first, second, _ = segment_files(whole.parent / "journal")
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    assert any("00000001.journal: is segment 2 by its head" in fault for fault in verify(whole, first.parent)[1])
    first.write_bytes(contents[0])
    second.write_bytes(contents[1][: int(Segment.of(second, contents[1]).starts[-1]) * 8])
    assert any("00000002.journal: has no seal" in fault for fault in verify(whole, first.parent)[1])


def test_a_later_export_is_chained_to_the_one_before(whole: Path) -> None:
    journal = whole.parent / "journal"
    first = read_manifest(whole / "manifest.json")
    second = export(journal, whole, Period("2026-07-11"))
    assert (second.export, second.previous) == (2, first.digest)
    assert len(verify(whole, journal)[0]) == 2 and verify(whole, journal)[1] == []
    kept = whole / "manifest-000001.json"
    content = kept.read_bytes()
    forged = read_manifest(kept).model_copy(update={"gateway": "OTHER"})
    forged.digest = forged.own_digest()
    kept.write_text(forged.model_dump_json())
    assert verify(whole)[1] == ["manifest-000001.json: is not the manifest that export 2 followed"]
    kept.unlink()
    assert "manifest-000001.json: cannot be read" in verify(whole)[1][0]
    kept.write_bytes(content)
    _rewrite(whole / "decisions-000001.parquet", CHANGES["changed"])
    assert "decisions-000001.parquet" in verify(whole)[1][0]


def test_an_export_of_a_journal_in_use_still_holds_when_that_has_grown(core, tmp_path: Path) -> None:
    trade(core)
    manifest = exported(core, tmp_path / "out")
    assert not manifest.segments[-1].sealed
    assert verify(tmp_path / "out", tmp_path / "journal")[1] == []
    core.new("B1")
    core.journal_writer.roll()
    core.new("B2")
    core.close()
    assert verify(tmp_path / "out", tmp_path / "journal")[1] == []


def test_a_journal_whose_first_segments_are_gone_is_read_behind_its_snapshot(whole: Path) -> None:
    journal = whole.parent / "journal"
    expected = [row["cl_ord_id"] for row in table(whole, "decisions")][4:]
    first = segment_files(journal)[0]
    replayer = Replayer()
    replayer.apply(read_segment(first))
    save(journal, replayer, 1)
    first.unlink()
    manifest = export(journal, whole.parent / "later", ALL)
    assert [row["cl_ord_id"] for row in table(whole.parent / "later", "decisions")] == expected
    assert len(table(whole.parent / "later", "limit_changes")) == len(table(whole, "limit_changes"))
    assert manifest.journal_faults == [] and manifest.replay_differences == 0
    assert verify(whole.parent / "later", journal)[1] == []


def test_the_period_of_an_export_is_told_in_utc(make, tmp_path: Path) -> None:
    make(config={**BASE, "day": {"zone": "America/New_York", "end": "17:00"}})
    command = ["audit", "export", str(tmp_path), "--out", str(tmp_path / "out"), "--from", "2026-07-11T09:30:00"]
    result = CliRunner().invoke(app, [*command, "--to", "2026-07-11T14:00:00Z"])
    assert result.exit_code == 0
    assert ", from 2026-07-11T13:30:00Z to 2026-07-11T14:00:00Z: " in result.output
    whole = CliRunner().invoke(app, ["audit", "export", str(tmp_path), "--out", str(tmp_path / "all")])
    assert f"export 1 in {tmp_path / 'all'}: " in whole.output


def test_a_damaged_journal_is_exported_and_told(whole: Path) -> None:
    path = segment_files(whole.parent / "journal")[1]
    content = bytearray(path.read_bytes())
    content[int(read_segment(path).starts[1]) * 8 + 48] ^= 1
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["audit", "export", str(path.parent), "--out", str(whole)])
    assert result.exit_code == 0 and "journal: 00000002.journal: " in result.output
    assert any("export 2: journal: 00000002.journal" in fault for fault in verify(whole)[1])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "{folder}/none", "--out", "{folder}/x"], "has no journal"),
        (["export", "{folder}", "--out", "{folder}/x", "--day", "11.7.2026"], "--day: want YYYY-MM-DD"),
        (["export", "{folder}", "--out", "{folder}/x", "--from", "noon"], "--from: want an ISO time"),
        (
            ["export", "{folder}", "--out", "{folder}/x", "--day", "2026-07-11", "--to", "2026-07-12"],
            "--day: want either",
        ),
        (["export", "{folder}", "--out", "{folder}/gateway.yaml"], "gateway.yaml"),
        (["verify", "{folder}/out", "--journal", "{folder}/none"], "has no journal"),
        (["report", "{folder}", "--out", "{folder}/report.pdf"], "--out: want a file that ends in .md or .html"),
    ],
)
def test_errors_are_one_line(whole: Path, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["audit", *(text.format(folder=whole.parent) for text in arguments)])
    assert result.exit_code == 2
    assert told in result.output and result.output.count("\n") == 1
    assert verify(whole)[1] == []


def test_a_failed_export_leaves_the_folder_as_it_was(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path.name for path in whole.iterdir())

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gateway.audit.export._put_manifest", full)
    with pytest.raises(OSError, match="disk full"):
        export(whole.parent / "journal", whole, ALL)
    assert verify(whole)[1] == []
    assert [name for name in before if not (whole / name).exists()] == []
