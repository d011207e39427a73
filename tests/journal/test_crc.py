"""CRC-32C against the vectors of RFC 3720, B.4, and its implementations against each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jit import entry
from gateway.journal.crc import _crc32_tables, crc32c
from tests.support.journal import crc_32c

ROOT = Path(__file__).parents[2]
VECTORS = {
    "zeros": (bytes(32), 0x8A9136AA),
    "ones": (b"\xff" * 32, 0x62A8AB43),
    "rising": (bytes(range(32)), 0x46DD794E),
    "falling": (bytes(range(31, -1, -1)), 0x113FDB5C),
    "iscsi": (
        bytes.fromhex("01c00000000000000000000000000000140000000000040000000014000000182800000000000000")
        + bytes.fromhex("0200000000000000"),
        0xD9963A56,
    ),
}
words_of_8 = st.binary(max_size=400).map(lambda data: data[: len(data) // 8 * 8])


@entry
def crc_of(words, start, count, crc):
    return crc32c(words, start, count, crc)


@entry
def crc_by_tables(words):
    crc = 0xFFFFFFFF
    for k in range(words.size):
        crc = _crc32_tables(crc, int(words[k]))
    return crc ^ 0xFFFFFFFF


def as_words(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.int64)


@pytest.mark.parametrize("name", VECTORS)
def test_known_vectors(name: str) -> None:
    data, wanted = VECTORS[name]
    assert crc_of(as_words(data), 0, len(data) // 8, 0) == wanted
    assert crc_by_tables(as_words(data)) == wanted
    assert crc_32c(data) == wanted


@given(words_of_8)
def test_instruction_tables_and_a_byte_at_a_time_agree(data: bytes) -> None:
    wanted = crc_32c(data)
    assert crc_of(as_words(data), 0, len(data) // 8, 0) == wanted
    assert crc_by_tables(as_words(data)) == wanted


@given(words_of_8, words_of_8)
def test_a_crc_goes_on_from_what_came_before(first: bytes, second: bytes) -> None:
    words = as_words(first + second)
    begun = crc_of(words, 0, len(first) // 8, 0)
    assert crc_of(words, len(first) // 8, len(second) // 8, begun) == crc_32c(first + second)


@pytest.mark.parametrize("environment", [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic"}])
def test_without_the_instruction(environment: dict[str, str], tmp_path: Path) -> None:
    """Plain Python, and code compiled for any processor: by tables, and the same."""
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "GATEWAY_CACHE_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told.pop("by_instruction") is False
    assert told == {name: wanted for name, (_, wanted) in VECTORS.items()}


def main() -> None:
    from gateway.journal.crc import BY_INSTRUCTION

    told = {name: int(crc_of(as_words(data), 0, len(data) // 8, 0)) for name, (data, _) in VECTORS.items()}
    print(json.dumps(told | {"by_instruction": BY_INSTRUCTION}))


if __name__ == "__main__":
    main()
