"""Numbers that files carry: of scopes and of limits, each given once and for ever. Standard library only.

Journals, snapshots, switch files and files of publishers hold these numbers, those of earlier releases too. So none is
ever given to something else, and what is new gets the next one. Tables have room for MAX_SCOPES and MAX_LIMITS, and so
stay as they are when one is added; loops run to SCOPES and LIMITS.
"""

from __future__ import annotations

MAX_SCOPES = 16
MAX_LIMITS = 64

# Scopes: kinds of entity that limits stand at, and the order of an order's `entities`.
SCOPE_NAMES = (
    *("firm", "desk", "account", "strategy", "trader", "flow", "instrument", "session", "venue"),
    *("class", "sector", "asset_class"),
)
SCOPES = len(SCOPE_NAMES)
FIRM, DESK, ACCOUNT, STRATEGY, TRADER, FLOW, INSTRUMENT, SESSION, VENUE, CLASS, SECTOR, ASSET_CLASS = range(SCOPES)
POSITION_SCOPES = (FIRM, DESK, ACCOUNT, STRATEGY, TRADER, FLOW, INSTRUMENT, CLASS)  # keep positions by instrument
IDENTITY_SCOPES = (DESK, ACCOUNT, STRATEGY, TRADER, FLOW)  # taken from the message by the identity map
GROUP_SCOPES = (CLASS, SECTOR, ASSET_CLASS)  # of strategies and of instruments: the settings say who is in which
SENDER_SCOPES = (*IDENTITY_SCOPES, CLASS)  # whose messages are counted once it is known whom one is from

# What a limit does when an order goes beyond one of its values, each no tighter than the one before it in `RISING`:
# refuse, which a limit that is a plain number does; log; log and alert; refuse and halt the entity where it stands.
SEVERITY_NAMES = ("reject", "watch", "warn", "stop")
SEVERITIES = len(SEVERITY_NAMES)
REJECT, WATCH, WARN, STOP = range(SEVERITIES)
RISING = (WATCH, WARN, REJECT, STOP)

# Postures of an entity, each stricter than the one before it; a kill, stricter than all, is a switch in a file.
POSTURE_NAMES = ("normal", "no_new_longs", "reduce_only", "halted")
NORMAL, NO_NEW_LONGS, REDUCE_ONLY, HALTED = range(len(POSTURE_NAMES))

# Limits: their keys in limits.yaml, and what each is measured in. The number of one is its place.
LIMIT_KINDS = {
    "max_order_qty": "quantity",
    "max_order_notional": "money",
    "collar_bps": "bps",
    "max_long": "quantity",
    "max_short": "quantity",
    "max_open_orders": "count",
    "max_messages": "count",
    "message_window": "duration",
    "duplicate_window": "duration",
    "reference_max_age": "duration",
    "max_order_age": "duration",
    "max_quote_spread": "bps",
}
LIMIT_KEYS = tuple(LIMIT_KINDS)
LIMITS = len(LIMIT_KEYS)
(
    MAX_ORDER_QTY,
    MAX_ORDER_NOTIONAL,
    COLLAR_BPS,
    MAX_LONG,
    MAX_SHORT,
    MAX_OPEN_ORDERS,
    MAX_MESSAGES,
    MESSAGE_WINDOW,
    DUPLICATE_WINDOW,
    REFERENCE_MAX_AGE,
    MAX_ORDER_AGE,
    MAX_QUOTE_SPREAD,
) = range(LIMITS)
HIGHER_IS_TIGHTER = (MESSAGE_WINDOW, DUPLICATE_WINDOW)  # of every other limit lower is
