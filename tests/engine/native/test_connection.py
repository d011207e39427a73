"""What a connection holds ahead of a gap."""

from __future__ import annotations

import socket

import pytest

from gateway.engine.native.connection import MOST_HELD, MOST_HELD_BYTES, Connection
from gateway.state.pulse import MOST_SESSIONS, PULSE, QUEUES


def test_where_others_look_for_the_queues() -> None:
    assert PULSE.fields is not None
    assert PULSE.fields["unsent_bytes"][1] == 8 * QUEUES
    assert PULSE.fields["held_messages"][1] == 8 * (QUEUES + MOST_SESSIONS)


@pytest.fixture
def connection() -> Connection:
    return Connection(socket.socket(), 0)


def test_messages_are_given_when_their_number_comes_next(connection: Connection) -> None:
    for number in (6, 5, 9):
        connection.hold(number, b"%d" % number)
    assert not connection.holds_next(3)
    for number in (5, 6):
        assert connection.holds_next(number)
        assert connection.take_held(number) == b"%d" % number
    assert not connection.holds_next(7)
    assert connection.held == 1


@pytest.mark.parametrize("jump", [10, 10**17])
def test_a_gap_that_is_filled_over_them_forgets_them(connection: Connection, jump: int) -> None:
    connection.hold(9, b"x" * (MOST_HELD_BYTES - 1))
    assert not connection.holds_next(jump)
    assert connection.held == 0
    connection.hold(jump + 5, b"xx")
    assert connection.holds_next(jump + 5), "there is room again"


def test_numbers_that_begin_anew_leave_nothing_of_before(connection: Connection) -> None:
    connection.hold(9, b"old")
    connection.forget_held()
    for number in range(1, 11):
        assert not connection.holds_next(number)


def test_no_more_are_held_than_there_is_room_for(connection: Connection) -> None:
    for number in range(2, MOST_HELD + 10):
        connection.hold(number, b"x")
    assert not connection.holds_next(MOST_HELD + 5)
    connection.forget_held()
    connection.hold(2, b"x" * (MOST_HELD_BYTES + 1))
    assert connection.held == 0
