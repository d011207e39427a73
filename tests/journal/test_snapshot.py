"""Snapshots: what is read back is what was saved, and nothing else is ever taken for a state."""

from __future__ import annotations

import random
import resource
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.driver import Driver
from gateway.core.layout import CAPACITIES, RATE_SLICES, state_dtype
from gateway.journal import snapshot as snap
from gateway.journal.follower import Follower
from gateway.journal.read import JournalError, read_segment, segment_files
from gateway.journal.recovery import recover
from gateway.journal.replayer import Replayer
from gateway.journal.scan import words_crc
from gateway.state.carry_over import NEEDED, TAKEN, layout_faults
from gateway.state.memory import State
from tests.support.core import Core
from tests.support.journal import ROOMY, Flow, JournaledCore, state_digest

HEAD = snap.SNAPSHOT_HEAD
SMALL = state_dtype(CAPACITIES["small"])


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A flow through a few segments of its core, whose journal is closed."""
    made = Flow(JournaledCore(tmp_path_factory.mktemp("core"), limit_bytes=1 << 18, limits=ROOMY), 7)
    while made.core.journal_writer.number < 4:
        made.step()
    made.core.journal_writer.close()
    return made


@pytest.fixture(scope="module")
def core(flow):
    """That core."""
    return flow.core


@pytest.fixture(scope="module")
def replayer(core):
    """The state after all segments but the last."""
    made = Replayer()
    for path in segment_files(core.folder)[:-1]:
        made.apply(read_segment(path))
    return made


@pytest.fixture(scope="module")
def content(core, replayer):
    """The bytes of a snapshot after segment 3."""
    path = snap.save(core.folder, replayer, 3)
    data = path.read_bytes()
    path.unlink()
    return data


def put(folder: Path, content: bytes, segment: int = 3) -> Path:
    path = snap.snapshot_path(folder, segment)
    path.write_bytes(content)
    return path


def with_head(content: bytes, **fields: object) -> bytes:
    """Other values in the head, which is whole all the same."""
    head = np.frombuffer(content, HEAD, 1).copy()
    for name, value in fields.items():
        head[name] = value
    words = head.view("i8")
    head["crc"] = words_crc(words, 0, words.size - 1)
    return head.tobytes() + content[HEAD.itemsize :]


def test_a_snapshot_reads_back_equal_in_every_byte(core, replayer):
    path = snap.save(core.folder, replayer, 3)
    loaded = snap.load(path)
    assert path.name == "snapshot-00000003.zst"
    assert loaded.state.block.tobytes() == replayer.state.block.tobytes()
    assert loaded.state.entities == replayer.state.entities
    assert loaded.settings == replayer.settings
    assert (loaded.segment, loaded.sequence) == (3, replayer.sequence)
    assert loaded.seal == read_segment(core.folder / "00000003.journal").seal["digest"].tobytes()
    snap.check(path)


def test_replay_goes_on_from_a_snapshot(core, tmp_path, content):
    loaded = snap.load(put(tmp_path, content))
    replayer = Replayer(loaded.state, loaded.settings, loaded.sequence)
    replayer.apply(read_segment(segment_files(core.folder)[-1]))
    assert replayer.events > 0
    assert replayer.differences == 0
    assert state_digest(replayer.state.block) == state_digest(core.state.block)


def test_a_snapshot_is_small_and_only_its_owner_can_read_it(core, replayer):
    path = snap.save(core.folder, replayer, 3)
    assert path.stat().st_size < replayer.state.block.nbytes / 10
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_seal_of_a_segment_without_one_is_zeros(core, replayer, tmp_path):
    assert snap.load(snap.save(tmp_path, replayer, 3)).seal == bytes(32)


def test_there_is_nothing_to_save_before_the_settings(tmp_path):
    with pytest.raises(JournalError, match="no settings"):
        snap.save(tmp_path, Replayer(), 1)


@pytest.mark.parametrize("at", range(HEAD.itemsize))
def test_a_flipped_bit_in_the_head_is_seen(tmp_path, content, at):
    damaged = bytearray(content)
    damaged[at] ^= 1 << at % 8
    with pytest.raises(JournalError) as error:
        snap.load(put(tmp_path, bytes(damaged)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_never_gives_another_state(tmp_path, content, replayer, seed):
    dice = random.Random(seed)
    damaged = bytearray(content)
    at = dice.randrange(HEAD.itemsize, len(content))
    damaged[at] ^= 1 << dice.randrange(8)
    try:
        loaded = snap.load(put(tmp_path, bytes(damaged)))
    except JournalError as error:
        assert "\n" not in str(error)
        assert str(tmp_path) in str(error)
    else:  # a few bits of a zstd frame mean nothing
        assert loaded.state.block.tobytes() == replayer.state.block.tobytes()


@pytest.mark.parametrize("part", [0, 1, 8, 12, HEAD.itemsize - 1, HEAD.itemsize, HEAD.itemsize + 4, 0.3, 0.7, 0.99, -1])
def test_a_snapshot_cut_short_is_refused(tmp_path, content, part):
    end = round(part * len(content)) if isinstance(part, float) else part
    path = put(tmp_path, content[:end])
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError):
            read(path)


@pytest.mark.parametrize("more", [b"\0", b"anything else behind the end"])
def test_bytes_behind_the_end_are_refused(tmp_path, content, more):
    with pytest.raises(JournalError, match="damaged"):
        snap.load(put(tmp_path, content + more))


def test_content_that_is_not_what_the_digest_says_is_refused(tmp_path, content):
    with pytest.raises(JournalError, match="digest"):
        snap.load(put(tmp_path, with_head(content, digest=7)))


def test_a_newer_version_is_refused_by_name(tmp_path, content):
    newer = with_head(content, version=snap.VERSION + 1)
    for data in (newer, newer[:24]):
        with pytest.raises(JournalError, match="newer release"):
            snap.load(put(tmp_path, data))


def test_a_snapshot_under_the_number_of_another_segment_is_refused(tmp_path, content):
    with pytest.raises(JournalError, match="after segment 3"):
        snap.load(put(tmp_path, content, segment=4))


def test_a_file_that_is_not_there_is_told(tmp_path):
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError, match="No such file"):
            read(tmp_path / "snapshot-00000001.zst")


def test_the_newest_that_is_whole_is_found(tmp_path, core, replayer, content):
    for segment in (1, 2, 4):
        snap.save(tmp_path, replayer, segment)
    put(tmp_path, content)
    for segment in (3, 4):
        path = snap.snapshot_path(tmp_path, segment)
        path.write_bytes(path.read_bytes()[:-10])
    found = snap.newest_snapshot(tmp_path)
    assert found.snapshot.segment == 2
    assert [note.split(":")[0][-12:] for note in found.notes] == ["00000004.zst", "00000003.zst"]


def test_one_of_a_newer_release_is_not_left_aside(tmp_path, replayer, content):
    snap.save(tmp_path, replayer, 2)
    put(tmp_path, with_head(content, version=snap.VERSION + 1))
    for read in (snap.newest_snapshot, recover):
        with pytest.raises(JournalError, match="newer release"):
            read(tmp_path)


def test_a_folder_without_snapshots(tmp_path):
    found = snap.newest_snapshot(tmp_path)
    assert found.snapshot is None
    assert found.notes == []


def test_a_full_disk_leaves_nothing_behind(tmp_path, replayer):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError):
            snap.save(tmp_path, replayer, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


# Other layouts


def changed(row: np.dtype, **columns: object) -> np.dtype:
    """A record with other types of some columns (None: without the column); columns that it has not come first."""
    kept = [(name, columns.get(name, row[name])) for name in row.names if columns.get(name, "") is not None]
    added = [(name, column) for name, column in columns.items() if name not in row.names]
    return np.dtype([*added, *kept])


def layout(table: str = "", state: np.dtype = SMALL, /, **columns: object) -> np.dtype:
    """The dtype of the state with other columns of one table, or of its own."""
    if not table:
        return changed(state, **columns)
    row = changed(state[table].base, **columns)
    return changed(state, **{table: (np.dtype((np.record, row)), state[table].shape)})


def copy_by_name(old: np.ndarray, new: np.ndarray) -> None:
    """Copy what both have, of arrays as much as there is room for; what is new is garbage."""
    for name in new.dtype.names:
        if name not in old.dtype.names or (new.dtype[name].names is None) != (old.dtype[name].names is None):
            new[name] = 7
        elif new.dtype[name].base.names:
            rows = min(old[name].shape[-1], new[name].shape[-1]) if new[name].ndim > 1 else None
            copy_by_name(old[name][..., :rows] if rows else old[name], new[name][..., :rows] if rows else new[name])
        else:
            part = tuple(slice(min(sizes)) for sizes in zip(old[name].shape, new[name].shape, strict=False))
            new[name][part] = old[name][part]


def in_layout(replayer: Replayer, dtype: np.dtype) -> Replayer:
    """The same state, settings and place in the journal, in a release whose state has that dtype."""
    block = np.zeros(1, snap.described_dtype(snap.describe(dtype)))
    copy_by_name(replayer.state.block, block)
    return Replayer(State(block), replayer.settings, replayer.sequence)


def pruned(core: JournaledCore, folder: Path) -> Path:
    """A journal of which only the segment behind the snapshot is left."""
    folder.mkdir()
    shutil.copy(segment_files(core.folder)[-1], folder)
    return folder


LARGER = replace(CAPACITIES["small"], orders=4096, entities=1024, exposures=20_000, sessions=32)
OTHERS = {
    "lacks a column": layout("orders", avg_px_e8=None),
    "lacks a column of entities": layout("entities", messages=None),
    "lacks a column of the state": layout(duplicate_messages=None),
    "has another column": layout("orders", hidden_e8="i8"),
    "has another column of requests": layout("requests", hidden="u1"),
    "has another column of the state": layout(mood=("i4", 3)),
    "has another table": layout(moods=(np.dtype((np.record, [("mood", "i8")])), 5)),
    "has another order of columns": np.dtype([(name, SMALL[name]) for name in reversed(SMALL.names)]),
    "has fewer limits": layout("pairs", layout("entities", limit=("i8", 9)), limit=("i8", 9)),
    "has another scratch": layout(work="i8"),
    "has larger tables": state_dtype(LARGER),
}


@pytest.mark.parametrize("dtype", OTHERS.values(), ids=OTHERS.keys())
def test_a_state_of_another_layout_trades_on(tmp_path, core, flow, replayer, dtype):
    folder = pruned(core, tmp_path / "journal")
    snap.check(snap.save(folder, in_layout(replayer, dtype), 3))
    recovered = recover(folder)
    assert (recovered.lost, recovered.notes, recovered.replayer.differences) == ("", [], 0)
    assert recovered.replayer.events > 0
    then = Core(tmp_path, limits=ROOMY)
    then.state, then.time_ns = recovered.replayer.state, core.time_ns
    then.driver = Driver(then.state.block)
    assert then.state.block.dtype == SMALL
    for scope, name in core.state.entities:
        for symbol in core.state.instruments:
            assert then.exposure(scope, name, symbol) == core.exposure(scope, name, symbol)
    for name in ("open_orders", "sliced", "in_window", "refused"):
        assert (then.record["entities"][name] == core.record["entities"][name]).all()
    then.start(ev.STOPPED)
    then.come_back()
    then.quote("AAPL", 99.99, 100.01, 100)
    assert flow.working
    for w in flow.working:
        [(_, refused, _)] = then.new(w.cl_ord_id)
        assert refused == "8", "its ClOrdID was used"
        [(venue, kind, child)] = then.cancel("C-" + w.cl_ord_id, w.cl_ord_id, symbol=w.symbol, side=w.side)
        assert (venue, kind, child[41]) == ("XNAS", "F", w.child)
        more = {"t54": w.side, "t55": w.symbol, "t14": str(w.cum), "t38": str(w.qty), "t41": w.child}
        [(_, _, told)] = then.report(child[11], "X" + w.child, "4", "4", **more)
        assert (told[11], told[39]) == ("C-" + w.cl_ord_id, "4")
    assert then.record.open_order_count == 0
    assert then.exposure(a.FIRM, "", "AAPL") == (core.exposure(a.FIRM, "", "AAPL")[0], 0, 0)
    then.working("NEW")


def test_the_follower_goes_on_from_another_layout(tmp_path, core, replayer):
    folder = pruned(core, tmp_path / "journal")
    snap.save(folder, in_layout(replayer, OTHERS["lacks a column"]), 3)
    follower = Follower(folder, 1, 0)
    while follower.step():
        pass
    found = snap.newest_snapshot(folder)
    assert (found.snapshot.segment, found.notes) == (4, [])
    assert found.snapshot.sequence == recover(folder).replayer.sequence
    assert snap.describe(found.snapshot.state.block.dtype) == snap.describe(SMALL)


def of_zeros(replayer: Replayer, dtype: np.dtype) -> SimpleNamespace:
    """A replayer of an empty state in any layout."""
    state = SimpleNamespace(block=np.zeros(1, dtype))
    return SimpleNamespace(state=state, settings=replayer.settings, sequence=replayer.sequence)


UNLIKE = {
    "entities.sliced": layout("entities", sliced=("i8", RATE_SLICES - 1)),
    "entities.name": layout("entities", name=("u1", 16)),
    "instruments.bid_e8": layout("instruments", bid_e8="f8"),
    "orders.qty_e8": layout("orders", qty_e8="i4"),
    "orders.entities": layout("orders", entities=("i8", a.MAX_SCOPES + 1)),
    "requests.price_e8": layout("requests", price_e8=("i8", 1)),
    "fault": layout(fault="u8"),
    "check_fired": layout(check_fired=("i8", 32)),
    "exposures.position_e8": layout("exposures", position_e8=None),
    "orders.number": layout("orders", number=None),
    "order_count": layout(order_count=None),
    "executions.venue": layout(executions=None),
    "sessions.entity": layout(sessions="i8"),
}


@pytest.mark.parametrize(("column", "dtype"), UNLIKE.items(), ids=UNLIKE.keys())
def test_a_layout_that_cannot_be_carried_is_left_aside(tmp_path, replayer, column, dtype):
    path = snap.save(tmp_path, of_zeros(replayer, dtype), 3)
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError, match=rf"another release \(.*not used: it(s| has no) {column}\b") as error:
            read(path)
        assert "\n" not in str(error.value)
    assert len(snap.newest_snapshot(tmp_path).notes) == 1


def test_only_what_is_needed_may_not_be_missing(tmp_path, replayer):
    """A layout with no other columns is carried over, one without any of these is not."""
    bare = SMALL
    for table, needed in NEEDED.items():
        row = SMALL[table].base if table else SMALL
        bare = layout(table, bare, **{name: None for name in row.names if name not in {*needed, *NEEDED}})
        for name in needed:
            label = f"{table}.{name}" if table else name
            assert list(layout_faults(layout(table, **{name: None}))) == [f"it has no {label}"]
    state = snap.load(snap.save(tmp_path, in_layout(replayer, bare), 3)).state
    assert state.record.run == replayer.state.record.run
    for name in ("entity", "instrument", "position_e8"):
        assert (state.record["exposures"][name] == replayer.state.record["exposures"][name]).all()


@pytest.mark.parametrize(("table", "columns"), TAKEN.items())
def test_what_is_taken_may_be_missing(tmp_path, replayer, table, columns):
    gone = {name: None for name in columns if name not in NEEDED.get(table, ())}
    state = snap.load(snap.save(tmp_path, in_layout(replayer, layout(table, **gone)), 3)).state
    assert (state.record["exposures"]["position_e8"] == replayer.state.record["exposures"]["position_e8"]).all()


def test_a_release_before_ours_or_of_our_layout_is_read_and_one_after_is_not(tmp_path, monkeypatch, replayer):
    other = in_layout(replayer, OTHERS["has another column"])
    for release in ("0.4.19", "0.5.0rc1", "0.5.0"):
        monkeypatch.setattr(snap, "__version__", release)
        path = snap.save(tmp_path, other, 3)
        monkeypatch.setattr(snap, "__version__", "0.5.0")
        assert snap.load(path).sequence == replayer.sequence
    for release in ("0.5.1", "0.10.0", "1.0"):
        monkeypatch.setattr(snap, "__version__", release)
        path = snap.save(tmp_path, other, 3)
        same = snap.save(tmp_path, replayer, 2)
        monkeypatch.setattr(snap, "__version__", "0.5.0")
        for read in (snap.load, snap.check):
            with pytest.raises(JournalError, match=rf"newer release \({release}, this is 0.5.0"):
                read(path)
        with pytest.raises(JournalError, match="newer release"):
            recover(tmp_path)
        assert snap.load(same).sequence == replayer.sequence


@pytest.mark.parametrize("capacity", CAPACITIES.values(), ids=CAPACITIES.keys())
def test_a_layout_is_described_whole(capacity):
    dtype = state_dtype(capacity)
    again = snap.described_dtype(snap.describe(dtype))
    assert again == dtype
    assert snap.describe(again) == snap.describe(dtype)
    assert again.type is np.record and again["work"]["candidate"]["breach"].base.type is np.record


@pytest.mark.parametrize(
    "described",
    [
        *(b"", b"[", b"null", b"7", b"{}", b"[]", b'"O"', b'"|O"', b'"|V8"', b'"<M8[s]"', b'"|S8"', b'{"a": "object"}'),
        *(b'["<i8", []]', b'["<i8", [0]]', b'["<i8", [-1]]', b'["<i8", [2.5]]', b'["<i8", [true]]', b'["<i8", 3]'),
        *(b'["<i8", [4000000000]]', b'[["<i8", [99999]], [99999]]', b'"i8,O"', b"__import__('os')", b"[" * 100_000),
        b'{"a": ["|u1", [1073741824]], "b": ["|u1", [1073741824]]}',
        *(b'"<i9"', b'"<f1"', b'{"a": {"b": ["|O", [2]]}}', b"\xff"),
    ],
)
def test_nothing_but_numbers_is_ever_made_of_a_file(tmp_path, monkeypatch, replayer, described):
    with pytest.raises(ValueError):
        snap.described_dtype(described)
    monkeypatch.setattr(snap, "describe", lambda dtype: described)
    path = snap.save(tmp_path, of_zeros(replayer, np.dtype("i8")), 3)
    monkeypatch.undo()
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError, match="layout cannot be read") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [SMALL, OTHERS["has another column"]], ids=["today's", "another"])
def test_a_state_of_another_size_than_its_layout_says_is_refused(tmp_path, monkeypatch, replayer, dtype):
    described = snap.describe(dtype)
    monkeypatch.setattr(snap, "describe", lambda dtype: described)
    path = snap.save(tmp_path, of_zeros(replayer, np.dtype("i8")), 3)
    monkeypatch.undo()
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError, match="its state has 8 bytes, want"):
            read(path)
