"""Which cancels go first where a venue takes fewer than wait for it. Kernels only.

Those of orders of which none has gone yet, then those of the orders whose last one went longest ago, within TURN_NS;
whoever asks for them, a kill or an EMS. So every order is asked about before any is asked about again, and none starves
behind others.
"""

from __future__ import annotations

from gateway.core.checks.windows import messages_left
from gateway.core.layout import UNLIMITED
from gateway.jit import kernel

TURN_NS = 1_000_000_000  # no order is asked about twice within it
FIRST_NS = TURN_NS  # the turn of orders of which no cancel has gone


@kernel
def last_cancel_ns(o):
    """When a cancel of an order last went to its venue, its EMS's or the gateway's own; 0: none has."""
    return max(o.cancel_ns, o.cancel_asked_ns)


@kernel
def in_turn(s, o):
    """Whether no other order at its venue is to go before this one."""
    turn_ns = s.sessions[o.venue].turn_ns
    return turn_ns == 0 or last_cancel_ns(o) < turn_ns


@kernel
def takes_cancel(s, o):
    """Whether a cancel of the order's EMS may go to the venue now."""
    left = messages_left(s.entities[s.sessions[o.venue].entity], s.now_ns)
    return left >= UNLIMITED or (left > 0 and in_turn(s, o))


@kernel
def wait_for_turn(s, o):
    """A cancel of the order could not go in this pass over the orders."""
    own = s.sessions[o.venue]
    turn_ns = last_cancel_ns(o) + TURN_NS
    own.next_turn_ns = turn_ns if own.next_turn_ns == 0 else min(own.next_turn_ns, turn_ns)


@kernel
def begin_turns(s):
    """Something more is to be canceled: first the orders of which no cancel has gone."""
    for k in range(s.session_count):
        s.sessions[k].turn_ns = FIRST_NS


@kernel
def next_turns(s):
    """At the end of a pass: (whether those whose turn has come now may find room at once, whether any cancel waits)."""
    at_once = False
    waits = False
    for k in range(s.session_count):
        own = s.sessions[k]
        at_once = at_once or own.next_turn_ns > own.turn_ns > 0
        waits = waits or own.next_turn_ns > 0
        own.turn_ns = own.next_turn_ns
        own.next_turn_ns = 0
    return at_once, waits
