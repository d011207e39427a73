"""Messages per window: an exact upper bound of a sliding count in constant memory. Kernels only.

A window is cut into 16 slices; the count is that of the slice being filled and the 16 before it, so every message of
the last window is in it, and none older than 17/16 of a window.
"""

from __future__ import annotations

from gateway.core.layout import MAX_MESSAGES, MESSAGE_WINDOW, RATE_SLICES, UNLIMITED, UNSET
from gateway.jit import kernel

DEFAULT_WINDOW_NS = 1_000_000_000
CANCELS_SHARE = 4  # one of so many messages that a venue takes is for cancels


@kernel
def slide(entity, now_ns):
    """Bring an entity's count to now: afterwards `entity.in_window` is how many messages its window holds."""
    window = entity.limit[MESSAGE_WINDOW]
    if window == UNSET:
        window = DEFAULT_WINDOW_NS
    current = now_ns // ((window + RATE_SLICES - 2) // (RATE_SLICES - 1))
    stale = min(current - entity.slice, RATE_SLICES)
    for k in range(stale):
        slot = (current - k) % RATE_SLICES
        entity.in_window -= entity.sliced[slot]
        entity.sliced[slot] = 0
    entity.slice = current


@kernel
def count_message(entity, now_ns):
    """Count one message of an entity, or to a venue; afterwards `entity.in_window` is what MAX_MESSAGES compares."""
    slide(entity, now_ns)
    entity.sliced[entity.slice % RATE_SLICES] += 1
    entity.in_window += 1
    entity.messages += 1


@kernel
def uncount_message(entity):
    """Take the message back that was counted last."""
    entity.sliced[entity.slice % RATE_SLICES] -= 1
    entity.in_window -= 1
    entity.messages -= 1


@kernel
def messages_left(entity, now_ns):
    """How many more messages a venue takes now, by `max_messages` there."""
    most = entity.limit[MAX_MESSAGES]
    if most == UNSET or most >= UNLIMITED or most == 0:
        return UNLIMITED  # with 0 no order goes there, and what rests may still be canceled
    slide(entity, now_ns)
    return most - entity.in_window


@kernel
def room_for_cancels(most):
    """How many of the messages that a venue takes are left to cancels."""
    return max(most // CANCELS_SHARE, 1)


@kernel
def has_room_for_questions(entity, now_ns):
    """Whether a venue takes a question about an order now, and all the cancels that it must."""
    most = entity.limit[MAX_MESSAGES]
    return most <= 0 or most >= UNLIMITED or messages_left(entity, now_ns) > room_for_cancels(most)
