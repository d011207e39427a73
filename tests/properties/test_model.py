"""Random histories: after every event the compiled core and the slow model must agree on every message and number.

`TIDEGATE_SEED` says which histories; `pytest -m soak` draws other ones each time and says the seed where it fails.
`TIDEGATE_EVENTS` is of how many events the core is told in all: 100,000, in a soak 2,000,000.
"""

from __future__ import annotations

import itertools
import os
import secrets

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.histories import Compared
from tests.properties.histories_days import Histories

PARTS = 4  # so that more than one process can share the work
EVENTS = int(os.environ.get("TIDEGATE_EVENTS", "100000"))
SOAK_EVENTS = max(EVENTS, 2_000_000)
SEED = int(os.environ.get("TIDEGATE_SEED", "1"))
SETTINGS = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    derandomize=False,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def run(part: int, events: int, seed_of_run: int) -> None:
    """Draw a hundred histories after another until the core has been told of its part of so many events."""
    Compared.events_told = 0
    for hundred in itertools.count():
        seed((seed_of_run + hundred) * PARTS + part)(Histories)
        before = Compared.events_told
        try:
            run_state_machine_as_test(Histories, settings=SETTINGS)
        except BaseException as error:
            error.add_note(f"TIDEGATE_SEED={seed_of_run + hundred} draws the same histories, at once, in part {part}")
            raise
        assert Compared.events_told > before, "histories without an event"
        if Compared.events_told >= events / PARTS:
            break
    print(f"TIDEGATE_SEED={seed_of_run}, part {part}: {Compared.events_told} events")


@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part):
    run(part, EVENTS, SEED)
    assert Compared.events_told * PARTS >= EVENTS


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_many_histories(part):
    run(part, SOAK_EVENTS, secrets.randbelow(10**9) if "TIDEGATE_SEED" not in os.environ else SEED)
    assert Compared.events_told * PARTS >= 2_000_000


def test_a_replaced_report_that_tells_of_a_missed_fill():
    state = Histories()
    state.begin(orders=1, quoted=True)
    state.fill(pick=0, part=1, tell=False, missed=True, ended=False)
    state.replace(pick=0, of="current", qty=0, bps=0, kind="2")
    state.answer_request(pick=0, answer="yes", tell=True)


def test_a_replace_under_an_id_that_was_refused_is_answered_once():
    state = Histories()
    filled, told = ("F", "count", "sum", "1", False), ("I", "count", "sum", "1", False)
    state.begin(orders=2, quoted=True, says=[filled, filled, told, told])
    state.bust_of_old(again=False, busts=[(0, False, "0"), (0, False, "0")], days=1, pick=0)
    state.repeated_id(flag=None, kind="D", pick=0)
    state.repeated_id(flag="resend", kind="G", pick=0)


def test_an_order_that_is_to_be_canceled_and_opens_again_is_canceled():
    state = Histories()
    back = ["synced"] * 3
    filled = ("F", "count", "sum", "1", False)
    state.begin(orders=3, quoted=True, says=[])
    state.cancel_all(again="", answers=[], asked=("7", None, None), rounds=0, session="EMS1")
    state.restart(back=back, ended=1)
    state.hurry(answers=["no"], cancels=3, pick=0)
    state.hurry(answers=["no", "no"], cancels=3, pick=0)
    state.answer_doubt(backwards=False, pick=0, qty=0, statuses=["2"], tell=False)
    state.restart(back=back, ended=0)
    state.contradictory(part=0, pick=1, says=[*[filled] * 6, ("F", "count", "more", "1", False)], then="")
    state.cancel_all(again="", answers=[], asked=("1", None, None), rounds=2, session="EMS1")
