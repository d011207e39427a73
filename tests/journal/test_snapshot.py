"""Snapshots: what is read back is what was saved, and nothing else is ever taken for a state."""

from __future__ import annotations

import random
import resource
import stat
from pathlib import Path

import numpy as np
import pytest

from gateway.core.layout import CAPACITIES, state_dtype
from gateway.journal import snapshot as snap
from gateway.journal.read import JournalError, read_segment, segment_files
from gateway.journal.replayer import Replayer
from gateway.journal.scan import words_crc
from tests.support.journal import ROOMY, Flow, JournaledCore, state_digest

HEAD = snap.SNAPSHOT_HEAD


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """A core that has traded through a few segments, its journal closed."""
    made = JournaledCore(tmp_path_factory.mktemp("core"), limit_bytes=1 << 18, limits=ROOMY)
    flow = Flow(made, 7)
    while made.journal_writer.number < 4:
        flow.step()
    made.journal_writer.close()
    return made


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


@pytest.mark.parametrize("fields", [{"layout": 7}, {"capacity": b"vast"}, {"capacity": b"standard"}])
def test_another_layout_is_left_aside(tmp_path, content, fields):
    with pytest.raises(JournalError, match="another release, it is left aside"):
        snap.load(put(tmp_path, with_head(content, **fields)))


def test_a_snapshot_under_the_number_of_another_segment_is_refused(tmp_path, content):
    with pytest.raises(JournalError, match="after segment 3"):
        snap.load(put(tmp_path, content, segment=4))


def test_a_file_that_is_not_there_is_told(tmp_path):
    for read in (snap.load, snap.check):
        with pytest.raises(JournalError, match="No such file"):
            read(tmp_path / "snapshot-00000001.zst")


def test_every_change_of_layout_shows():
    row = np.dtype([("a", "i8"), ("b", "i4", 2)])
    others = (
        np.dtype([("a", "i8"), ("c", "i4", 2)]),
        np.dtype([("a", "i8"), ("b", "i4", 3)]),
        np.dtype([("a", "i8"), ("b", "u4", 2)]),
        np.dtype([("b", "i4", 2), ("a", "i8")]),
    )
    digests = {snap.layout_digest(np.dtype([("table", part, 5)])) for part in (row, *others)}
    digests |= {snap.layout_digest(state_dtype(capacity)) for capacity in CAPACITIES.values()}
    assert len(digests) == 1 + len(others) + len(CAPACITIES)


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
