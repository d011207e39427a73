"""The state of the gateway: every table, as one nested numpy dtype. Read this file first.

All state is one record, so compiled code takes one argument and one mapped file holds everything. Tables have fixed
capacities; a set of capacities is part of the compiled type, so there are a few named ones (`CAPACITIES`).

Units: `_e8` is 10^-8 of a share, contract or price; `_e4` is 10^-4 of the firm's currency; `_ns` is nanoseconds of the
monotonic clock. Links between rows are row numbers; NONE is no row. Text is a fixed array with its length beside it.
Row 0 of `entities` is the firm.

Snapshots of older releases are carried over by column name: a column whose meaning, unit or numbering of values changes
gets another name, and `gateway.state.carry_over` makes it of the old one. Scopes and limits are numbered in
`gateway.vocabulary`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from gateway.fix.layout import DICTIONARY_TABLE, INDEX, MAX_TAG
from gateway.fix.session.layout import LINE
from gateway.vocabulary import *  # noqa: F403
from gateway.vocabulary import MAX_LIMITS, MAX_SCOPES, POSTURE_NAMES, SEVERITIES

FIRM_ROW = 0

NONE = -1
CHILD_ROWS = 2**24  # more than any capacity has requests
NAME_BYTES = 32  # account, strategy, symbol ...
ID_BYTES = 64  # ClOrdID, OrderID, ExecID as others give them
TEXT_BYTES = 1024  # Text(58) that we write; longer is cut
MAX_MESSAGE_BYTES = 8192  # a longer message is refused unread
OUT_BYTES = 65536
OUT_MESSAGES = 64
VERSION_42, VERSION_44, VERSION_50 = 0, 1, 2  # 4.2, 4.4, FIXT 1.1 with 5.0 SP2, which says all as 4.4 does

# Of limits. UNSET takes no part, or blocks where the limit is mandatory; UNLIMITED is always written out by a person.
UNSET = -1
UNLIMITED = 2**62
MAX_CHECKS = 64  # bits of a mask
RATE_SLICES = 17  # 16 slices make up a window, and the one being filled

# How sure we are of an order. UNCONFIRMED: the venue may have said more that we have not read; UNANSWERED: it has said
# all, but nothing of a message of ours; IN_DOUBT: its sequence numbers prove nothing, only itself or a person can say;
# QUERIED: the venue said in passing that it has ended, and is asked; other orders go there meanwhile.
SURE, UNCONFIRMED, UNANSWERED, IN_DOUBT, QUERIED = 0, 1, 2, 3, 4

# Why the gateway itself cancels an order: its switch is set, its EMS is gone, a person said so, its EMS did of it and
# all its others, something that it is in is halted, or may only reduce and it could do more.
BY_KILL, BY_DROP, BY_PERSON, BY_MASS, BY_HALT, BY_REDUCE = 1, 2, 3, 4, 5, 6
QUICK_CANCELS = 5  # of one order, a second apart; those after them come ever later

# What became of the order message of an event.
NOT_DECIDED, ACCEPTED, REFUSED = 0, 1, 2

# States of a pushed limit: in force as pushed (moving there, when that loosens it), or held where it was when its
# publisher went silent, its time ran out or what it pushed was no value; or given back by a person.
VALID, HELD, RELEASED = 1, 2, 3

# What an EMS message came to. IGNORED: nothing, as a copy of one that was seen; PASSED: passed on, or answered.
IGNORED, PASSED, REJECTED = 0, 1, 2
COUNTED_TYPES = 5  # D, F, G, H, others

# States of a request.
REQUEST_PENDING, REQUEST_ACCEPTED, REQUEST_REJECTED = 1, 2, 3

# Bits of the fault word: an output that did not fit, a full table of executions. The others are of earlier releases,
# which blocked the firm for a fill without a readable quantity and for a message that could not be read.
FAULT_OUTPUT_FULL, FAULT_EXECUTIONS_FULL, FAULT_UNREADABLE_FILL, FAULT_UNREADABLE, FAULT_TOO_LARGE = 1, 2, 4, 8, 16

EMS, VENUE_ROLE = 1, 2
MAX_BREACHES = 16

ENTITY = np.dtype(
    [
        ("scope", "i8"),
        ("next", "i8"),  # in its hash chain
        ("name_size", "i8"),
        ("name", "u1", NAME_BYTES),
        ("limit", "i8", MAX_LIMITS),  # in force
        ("killed", "i8"),  # 1: no order of it passes
        ("open_orders", "i8"),
        ("slice", "i8"),  # number of the slice of time being counted
        ("sliced", "i8", RATE_SLICES),  # messages by slice
        ("in_window", "i8"),  # their sum
        ("messages", "i8"),
        ("refused", "i8"),
        ("killed_ns", "i8"),  # when its switch was set
        ("limit_set", "i8", MAX_LIMITS),  # by a person: the envelope of what is pushed
        ("limit_epoch", "i8", MAX_LIMITS),  # of the pushed value in force, 0: none
        ("group", "i8"),  # of a strategy: the entity of its class; NONE: it is in none
        ("posture", "i8"),  # NORMAL to HALTED
        ("posture_ns", "i8"),  # when it was set last
        ("grades", "i8"),  # the first of its limits that do more than refuse; NONE: none does
    ]
)

INSTRUMENT_ROW = np.dtype(
    [
        ("entity", "i8"),
        ("symbol_next", "i8"),
        ("symbol_size", "i8"),
        ("symbol", "u1", NAME_BYTES),
        ("security_next", "i8"),
        ("security_size", "i8"),
        ("security", "u1", NAME_BYTES),
        ("venue", "i8"),  # session row of the default venue, NONE if only ExDestination routes
        ("currency_size", "i8"),
        ("currency", "u1", NAME_BYTES),
        ("lot_e8", "i8"),
        ("tick_e8", "i8"),
        ("value_e8", "i8"),  # money of one point of price for one unit: multiplier x currency rate; 0: no rate, blocks
        ("bid_e8", "i8"),
        ("ask_e8", "i8"),
        ("last_e8", "i8"),
        ("quote_ns", "i8"),  # when bid, ask or last last came; NONE: never
        ("last_ns", "i8"),  # when last came; NONE: never
        ("bid_qty_e8", "i8"),
        ("ask_qty_e8", "i8"),
        ("last_qty_e8", "i8"),
        ("unconfirmed_e8", "i8"),  # price of the last quote if it lay too far off to be believed at once; 0: none
        ("quotes_left_aside", "i8"),
        ("previous_close_e8", "i8"),  # 0: none
        ("sector", "i8"),  # entities, NONE: none
        ("asset_class", "i8"),
    ]
)

SESSION_FIELDS = (
    ("role", "i8"),
    ("version", "i8"),
    ("entity", "i8"),  # scope SESSION for an EMS, VENUE for a venue
    ("up", "i8"),
    ("default", "i8", MAX_SCOPES),  # entity where the message names none; NONE: the message must name one
    ("market_data", "i8"),  # 1: subscribe after logon
    ("subscribed", "i8"),  # instruments before this one have been subscribed to
    ("last_in", "i8"),  # MsgSeqNum(34) of the last message applied, NONE: not known
    ("takes_status", "i8"),  # 1: the venue answers OrderStatusRequest(H)
    ("takes_mass_status", "i8"),  # 1: and OrderMassStatusRequest(AF)
    ("most_status", "i8"),  # OrderStatusRequests(H) that may wait for its answer at one time
    ("status_out", "i8"),  # those that do
    ("status_ns", "i8"),  # when the last of them went
    ("status_refusals", "i8"),  # passes over its orders in doubt, since logon, in which it refused some
    ("status_again", "i8"),  # 1: it has refused some in this pass: another follows
    ("status_refused_ns", "i8"),  # when it was last told that one was refused
    ("numbering", "i8"),  # how often its sequence numbers have begun anew
    ("continued", "i8"),  # 1: sequence numbers of this logon go on from the last one
    ("recovering", "i8"),  # 1: orders of the last run have not been confirmed yet: no new order goes there
    ("doubts", "i8"),  # orders that are not SURE
    ("queried", "i8"),  # of them, those that are QUERIED
    ("since_ns", "i8"),  # when it logged on
    ("told", "i8"),  # 1: an alert has said since then that something is open
    ("asked", "i8"),  # requests before this row have been asked about
    ("review", "i8"),  # the next order of this venue to ask about in passing, NONE: none
    ("reviewed_ns", "i8"),  # when the last such review began
    ("review_due", "i8"),  # 1: another is to begin as soon as it may
    ("unknown_working", "i8"),  # reports that an order works there which is not the gateway's
    ("unknown_working_ns", "i8"),  # when the last of them came
    ("max_poss_dup_age_ns", "i8"),
    ("takes_mass_cancel", "i8"),  # 1: the venue answers OrderMassCancelRequest(q), FIX 4.4
    ("replaces_open", "i8"),  # 1: OrderQty(38) of a replace is what shall be open there, not the total
    ("tells_dont_know", "i8"),  # 1: a fill of an order that is not ours is answered with DontKnowTrade(Q)
    ("market_as_limit", "i8"),  # 1: a market or stop order beyond the collar goes out as a limit order at it
    ("cancel_interval_ns", "i8"),  # least time between two cancels that the gateway sends of its own accord
    ("cancel_due_ns", "i8"),  # when the next of them may go
    ("turn_ns", "i8"),  # while cancels wait for room: those of orders last asked about before this go; 0: none waits
    ("next_turn_ns", "i8"),  # the same, as the pass over the orders that is under way has found it so far
    ("cancels_on_drop", "i8"),  # 1: orders of this EMS are canceled when it is gone, GTC and GTD left
    ("dropped_ns", "i8"),  # since when they are to be canceled; NONE: it is here
    ("list_total", "i8"),  # orders of an OrderMassStatusRequest(AF) of this EMS, and those not told yet
    ("list_left", "i8"),
    ("list_id_size", "i8"),  # its MassStatusReqID(584)
    ("list_id", "u1", ID_BYTES),
    ("counted", "i8", (COUNTED_TYPES, 3)),  # messages of an EMS by type, and IGNORED, PASSED or REJECTED
    ("fired", "i8", 64),  # refused orders by check
    # and `may_use`, one byte for each row of `entities`: 1 where the session may name it
)

ORDER = np.dtype(
    [
        # its place in memory, and its number
        ("run", "i8"),  # in which it was placed; with `number` its OrderID(37)
        ("number", "i8"),  # NONE: a free row
        ("next", "i8"),  # in the list of free rows
        # what it is
        ("instrument", "i8"),
        ("side", "i8"),
        ("status", "i8"),  # OrdStatus(39) without the pending states, which `report.order_status` adds
        ("terms", "i8"),  # how often its terms or its day have changed: a CumQty(14) of before compares with none since
        ("placed_ns", "i8"),
        ("ended_day", "i4"),  # trading day at whose end it was found finished and was kept for its executions; 0: none
        ("listed", "i2"),  # 1: to be told to its EMS, which has asked for all
        ("cancel_refused", "i2"),  # 1 + CxlRejReason(102) of the last own cancel that the venue refused; 0: none
        # the EMS's side: its requests, which hold the terms asked for and the ClOrdIDs
        ("session", "i8"),
        ("first", "i8"),  # the request that placed it
        ("accepted", "i8"),  # request whose terms are in force
        ("pending", "i8"),  # newest request that waits for the venue; others through `older`
        ("replaced", "i8"),
        ("cancel_asked_ns", "i8"),  # when the EMS's last cancel went to the venue
        ("fingerprint", "i8"),
        ("fingerprint_older", "i8"),
        # the venue's side: where it is, and what is not known of it there
        ("venue", "i8"),
        ("doubt", "i8"),  # SURE to QUERIED
        ("asked", "i8"),  # OrderStatusRequests that the venue has not answered
        ("asks", "i8"),  # OrderStatusRequests(H) sent since something that the venue said was not clear
        ("asked_ns", "i8"),  # when the last of them went
        ("canceled_by", "i8"),  # why the gateway itself cancels it: layout.BY_*, 0: it does not
        ("raising", "i8"),  # 1: it is to be canceled, since it could raise a position that may only be reduced
        ("exit_ns", "i8"),  # when it last passed a halt by an exit; 0: never
        ("cancel_tries", "i8"),  # cancels that the gateway has sent of its own accord since then
        ("cancel_ns", "i8"),  # when the last of them went
        ("mass_cancel", "i8"),  # 1 + the request of an OrderMassCancelRequest(q) that waits for its answer; 0: none
        ("venue_order_id_next", "i8"),  # in the hash chain of its OrderID(37) at the venue
        ("venue_order_id_size", "i8"),
        ("venue_order_id", "u1", ID_BYTES),
        # quantities and prices: what was asked for, executed, reported
        ("qty_e8", "i8"),
        ("cum_e8", "i8"),  # executed: the larger of the next two
        ("fills_e8", "i8"),  # sum of the executions seen, net of busts
        ("venue_cum_e8", "i8"),  # highest CumQty(14) the venue has told, net of busts
        ("restated_e8", "i8"),  # what the venue counts less in OrderQty(38) and CumQty(14) than is counted here
        ("doubtful_e8", "i8"),  # part of `cum_e8` that may be fills told twice: open for one side, not sellable
        ("unbooked_e8", "i8"),  # of it, what positions and open quantities have been told of
        ("corrected", "i8"),  # 1 after a bust or correction: an older CumQty(14) may be higher than the truth
        ("avg_px_e8", "i8"),
        ("avg_told", "i8"),  # 1: the venue tells AvgPx(6); else it is computed from the fills seen
        ("traded", "i8"),  # price x quantity of the fills seen: whole part, and the rest in 10^-16
        ("traded_e16", "i8"),
        ("newest_fill", "i8"),  # execution; others through `older_fill`
        # what it counts for, and where
        ("reserved_e8", "i8"),  # open quantity counted in exposures
        ("counted_open", "i8"),  # 1 while counted in open_orders
        ("entities", "i8", MAX_SCOPES),
        ("exposures", "i8", MAX_SCOPES),
    ]
)

REQUEST = np.dtype(
    [
        ("session", "i8"),  # EMS session whose ClOrdID this is
        ("next", "i8"),  # in its hash chain, or in the list of free rows
        ("run", "i8"),  # in which it came; with `child` the child's ClOrdID(11)
        ("child", "i8"),  # use of this row x CHILD_ROWS + row
        ("kind", "i8"),  # NEW_ORDER_SINGLE, ORDER_CANCEL_REPLACE_REQUEST or ORDER_CANCEL_REQUEST
        ("state", "i8"),
        ("acknowledged", "i8"),  # the venue has reported Pending Cancel or Pending Replace for it
        ("order", "i8"),  # NONE: refused before it became one
        ("older", "i8"),  # next older pending request of the order
        ("ours", "i8"),  # 1: a cancel of the gateway's own, of which the EMS knows nothing
        ("qty_e8", "i8"),  # of an order that was refused: 1 + `numbering` of its session then
        ("price_e8", "i8"),
        ("stop_e8", "i8"),
        ("ord_type", "i8"),
        ("time_in_force", "i8"),
        # 1 + the request that a cancel of the EMS names, while it waits for room at its venue; 0: it has been sent
        ("unsent", "i4"),
        ("retired", "i2"),  # 1: of a day that has ended: its ClOrdID is free again, its child still known
        ("capped", "i2"),  # 1: of a market or stop order, which got a limit of the gateway's
        # Of a cancel of the gateway's own: `mass_cancel` of the order when it was sent; NONE: that q has been answered.
        # Of a replace that was refused: 1 + CxlRejReason(102).
        ("answer", "i4"),
        ("cl_ord_id_size", "i8"),
        ("cl_ord_id", "u1", ID_BYTES),
    ]
)

EXECUTION = np.dtype(
    [
        ("venue", "i8"),
        ("next", "i8"),
        ("order", "i8"),  # NONE: of an order we do not know
        ("qty_e8", "i8"),  # 0 after a bust
        ("px_e8", "i8"),
        ("told_cum_e8", "i8"),  # CumQty(14) that came with it, NONE: none
        ("terms", "i8"),  # of the order, when it came
        ("older_fill", "i8"),  # of the same order
        # 1 + row of the instrument, `qty_e8` below zero for a sale: of a multileg order's leg, or a fill of no order of
        # ours; 0: the instrument is the order's
        ("leg", "i8"),
        ("account", "i8"),  # entity that a fill of no order of ours was booked for, NONE: none
        ("unclear_e8", "i8"),  # what is doubtful of it, since a report that may have taken it back was not readable
        ("no_fill", "i8"),  # 1: of a report that is none, whose row may be used again when they become many
        ("corrects", "i8"),  # row of the execution that this one corrects, where the quantity is kept; NONE: none
        ("run", "i8"),  # in which it came; with `number` the ExecID(17) that the EMS saw
        ("number", "i8"),  # 0: no execution
        ("exec_id_size", "i8"),
        ("exec_id", "u1", ID_BYTES),
    ]
)

EXPOSURE = np.dtype(
    [
        ("entity", "i8"),
        ("instrument", "i8"),
        ("next", "i8"),
        ("position_e8", "i8"),
        ("open_buy_e8", "i8"),
        ("open_sell_e8", "i8"),
        ("pair", "i8"),  # row of limits set for this pair, NONE if none
    ]
)

PAIR = np.dtype(
    [
        ("limit", "i8", MAX_LIMITS),
        ("limit_set", "i8", MAX_LIMITS),
        ("limit_epoch", "i8", MAX_LIMITS),
        ("grades", "i8"),  # as of an entity
    ]
)

GRADE = np.dtype(  # the values at which a limit of an entity, or of a pair, watches, warns and stops
    [
        ("limit", "i8"),
        ("next", "i8"),  # of the same entity or pair, NONE: it is the last
        ("value", "i8", SEVERITIES),  # by severity, UNSET: none; that of REJECT stands at the entity or pair
        ("told_ns", "i8", SEVERITIES),  # when an alert last told of it
        ("untold", "i8", SEVERITIES),  # orders since then
    ]
)

SOURCE_TABLE = np.dtype(  # publishers of parameters
    [
        ("name_size", "i8"),
        ("name", "u1", NAME_BYTES),
        ("up", "i8"),  # 1: it is heard
        ("since_ns", "i8"),
        ("pushes", "i8"),
        ("not_taken", "i8"),  # pushes of limits that nobody has set, or for which there is no room
    ]
)
SOURCES = 16

EXIT = np.dtype(  # what a person lets through a halt
    [
        ("entity", "i8"),  # whose orders
        ("instrument", "i8"),
        ("left_e8", "i8"),  # of the quantity that may pass
        ("until_ns", "i8"),
    ]
)
EXITS = 64  # open at one time

PARAMETER_TABLE = np.dtype(  # a pushed limit
    [
        ("source", "i8"),
        ("entity", "i8"),
        ("instrument", "i8"),  # NONE: not of a pair
        ("limit", "i8"),
        ("floor", "i8"),
        ("ceiling", "i8"),  # set by a person
        ("pushed", "i8"),  # the last valid value, as it was pushed
        ("target", "i8"),  # the same within floor and ceiling
        ("effective", "i8"),  # on its way there
        ("moved_ns", "i8"),  # when it last moved
        ("epoch", "i8"),
        ("model", "i8"),
        ("told_ns", "i8"),  # when it was last pushed
        ("expires_ns", "i8"),
        ("state", "i8"),  # VALID, HELD or RELEASED
    ]
)

BREACH = np.dtype(
    [
        ("check", "i8"),
        ("detail", "i8"),  # row of catalogue.DETAILS instead of numbers, NONE: numbers
        ("field", "i8"),  # field of the message that the detail quotes, or NONE
        ("entity", "i8"),  # where the limit stands, or NONE
        ("paired", "i8"),  # 1: at the entity and the instrument together
        ("value", "i8"),
        ("limit", "i8"),  # UNSET: a mandatory limit is missing
    ]
)

MEASURED = np.dtype(  # what a check compared, where least room was left in proportion
    [
        ("entity", "i8"),  # where the limit stands
        ("paired", "i8"),  # 1: at the entity and the instrument together
        ("value", "i8"),  # in the check's unit
        ("bound", "i8"),
    ]
)

GRADED = np.dtype(  # a limit beyond one of whose other values an order is
    [
        ("check", "i8"),
        ("grade", "i8"),  # row
        ("severity", "i8"),
        ("entity", "i8"),
        ("paired", "i8"),
        ("value", "i8"),  # in the check's unit
        ("bound", "i8"),
    ]
)

CANDIDATE = np.dtype(  # the order under judgement
    [
        ("session", "i8"),
        ("venue", "i8"),
        ("kind", "i8"),
        ("order", "i8"),  # the order that a replace changes, NONE for a new one
        ("instrument", "i8"),
        ("side", "i8"),
        ("qty_e8", "i8"),
        ("venue_qty_e8", "i8"),  # OrderQty(38) as its venue reads it
        ("price_e8", "i8"),
        ("stop_e8", "i8"),
        ("ord_type", "i8"),
        ("time_in_force", "i8"),
        ("peg", "i8"),  # hash of the instruction and offset of a pegged order
        ("age_ns", "i8"),  # since it was sent, by the oldest time that it tells, or until the newest
        ("added_e8", "i8"),  # open quantity that accepting it would add
        ("exit", "i8"),  # the exit by which it passes postures, NONE: none
        ("reference_e8", "i8"),  # 0: none usable
        ("reference_age_ns", "i8"),  # NONE: never told
        ("collar_factor", "i8"),
        ("capped_e8", "i8"),  # the limit that a market or stop order gets, 0: none
        ("worst_price_e8", "i8"),
        ("notional_e4", "i8"),  # -1: too large to compute
        ("fingerprint", "i8"),
        ("entities", "i8", MAX_SCOPES),
        ("exposures", "i8", MAX_SCOPES),
        ("limit", "i8", MAX_LIMITS),  # the tightest of all scopes
        ("limit_entity", "i8", MAX_LIMITS),
        ("limit_paired", "i8", MAX_LIMITS),  # 1 when it stands at entity and instrument together
        ("mask", "i8"),  # bit of each check that fired
        ("breach_count", "i8"),
        ("breach", np.dtype((np.record, BREACH)), MAX_BREACHES),
        ("duplicate_ns", "i8"),  # age of the newest equal order that counts, NONE: none is known
        ("graded_count", "i8"),
        ("graded", np.dtype((np.record, GRADED)), MAX_BREACHES),  # the highest severity of each limit
        ("compared", "i8"),  # bit of each check that has compared something
        ("measured", np.dtype((np.record, MEASURED)), MAX_CHECKS),  # by check
    ]
)

REPORT = np.dtype(  # terms of the execution report that is written next
    [
        ("order", "i8"),
        ("cl_ord_id", "i8"),  # requests: ClOrdID(11), and OrigClOrdID(41) or NONE
        ("orig", "i8"),
        ("exec_type", "i8"),
        ("trans_type", "i8"),
        ("last_qty_e8", "i8"),  # LastQty(32), below zero: not of a trade
        ("exec_number", "i8"),  # of ExecID(17)
        ("exec_ref", "i8"),  # row of the execution that ExecRefID(19) names, or NONE
        ("listed", "i8"),  # 1: one of the answers to an OrderMassStatusRequest(AF)
        ("relay", "i8"),  # 1: it passes on the venue's message in hand, 0: its Text(58) is `text`
    ]
)

WORK = np.dtype(  # scratch: nothing in it outlives an event
    [
        ("index", np.dtype((np.record, INDEX))),
        ("idle", "i8"),  # 1: the event changed nothing but the time
        ("alerted", "i8"),  # 1: an alert has told of the report in hand
        ("decision", "i8"),  # NOT_DECIDED, ACCEPTED or REFUSED; then `candidate` says what was seen
        ("request", "i8"),  # the request that was accepted
        ("candidate", np.dtype((np.record, CANDIDATE))),
        ("report", np.dtype((np.record, REPORT))),
        ("text_size", "i8"),
        ("text", "u1", TEXT_BYTES),
    ]
)


@dataclass(frozen=True)
class Capacity:
    """Rows of each table; hash tables are a power of two."""

    orders: int
    requests: int
    executions: int
    entities: int
    instruments: int
    exposures: int
    pairs: int
    sessions: int
    parameters: int  # and as many limits that do more than refuse

    def buckets(self, rows: int) -> int:
        """Size of the hash table for so many rows: the next power of two."""
        return 1 << max(4, (rows - 1).bit_length())


# One record holds all, of which numpy allows less than 2 GiB.
CAPACITIES = {
    "small": Capacity(2_048, 8_192, 8_192, 512, 256, 16_384, 128, 16, 128),
    "standard": Capacity(131_072, 524_288, 524_288, 4_096, 2_048, 262_144, 2_048, 64, 2_048),
    "large": Capacity(1_048_576, 3_000_000, 3_000_000, 32_768, 16_384, 1_048_576, 16_384, 128, 16_384),
}


@functools.cache
def state_dtype(capacity: Capacity) -> np.dtype:
    """The dtype of the whole state for a set of capacities; one record of it is the gateway."""

    def table(row: np.dtype, rows: int) -> tuple[np.dtype, int]:
        return np.dtype((np.record, row)), rows

    def heads(rows: int) -> tuple[str, int]:
        return "i4", capacity.buckets(rows)

    session = np.dtype([*SESSION_FIELDS, ("may_use", "u1", capacity.entities)])
    return np.dtype(
        [
            ("fault", "i8"),  # a broken invariant; anything but 0 blocks every order
            ("run", "i8"),  # number of this start of the gateway: part of every id we give
            ("now_ns", "i8"),
            ("wall_offset_ns", "i8"),  # wall clock minus monotonic clock
            ("started_wall_ns", "i8"),  # wall clock at the first event
            ("time_base_ns", "i8"),  # the gateway's clock minus the machine's monotonic clock
            ("boot", "i8"),  # hash of the machine's boot id
            ("ended", "i8"),  # 1: the last event was STOP
            ("journal_blocked", "i8"),  # 1: the journal cannot take orders
            ("days", "i8"),  # trading days ended
            ("keep_days", "i8"),  # for which executions of finished orders are kept
            ("next_exec", "i8"),
            ("next_order", "i8"),
            ("entity_count", "i8"),
            ("instrument_count", "i8"),
            ("session_count", "i8"),
            ("exposure_count", "i8"),
            ("pair_count", "i8"),
            ("order_count", "i8"),  # rows used once or more
            ("order_free", "i8"),  # first of the rows given back
            ("order_free_count", "i8"),
            ("open_order_count", "i8"),
            ("request_count", "i8"),  # rows used once or more
            ("request_free", "i8"),  # first of the rows given back
            ("request_free_count", "i8"),
            ("execution_count", "i8"),
            ("execution_oldest", "i8"),  # where the search for a row that may be used again goes on
            ("events", "i8"),
            ("accepted_orders", "i8"),
            ("refused_orders", "i8"),
            ("unknown_executions", "i8"),
            ("duplicate_messages", "i8"),
            ("check_fired", "i8", 64),  # by check
            ("killed_count", "i8"),  # entities that are killed
            ("postured", "i8", len(POSTURE_NAMES)),  # entities by posture; NORMAL is not counted
            ("reduces_by_account", "i8"),  # sessions and venues of them that may only reduce: by others' orders too
            ("reduce_due", "i8"),  # 1: a position has changed from outside: what reduced may not reduce any more
            ("exit_count", "i8"),
            ("grade_count", "i8"),
            ("widest_duplicate_ns", "i8"),  # of the windows in which an equal order is watched or warned of
            ("graded_orders", "i8", (MAX_CHECKS, SEVERITIES)),  # orders by check and severity
            ("sweep_row", "i8"),  # the next order to look at for what is to be canceled; NONE: no sweep is under way
            ("sweep_again", "i8"),  # 1: another follows the one that is under way
            ("sweep_due_ns", "i8"),  # when the next one is to begin
            ("sweeps_on", "i8"),  # 1: something may be left to be canceled; 2: soon
            ("unsent_cancels", "i8"),  # of EMSs, that wait for room at their venue
            ("market_closed", "i8"),  # 1: outside the hours of the trading day
            ("parameter_epoch", "i8"),  # of the last parameter applied
            ("parameter_model", "i8"),
            ("parameter_count", "i8"),
            ("loosen_percent", "i8"),  # of its ceiling that a pushed limit may loosen by in a minute
            ("floor_percent", "i8"),  # of its ceiling below which no limit is pushed
            ("source_count", "i8"),
            # Tag that names the entity, 0: none; PARTY_ROLE + role: NoPartyIDs(453).
            ("identity_tag", "i8", MAX_SCOPES),
            ("understood", "u1", MAX_TAG),  # 1: may stand in the body of an order; others could make it another order
            ("carry_order", "u1", MAX_TAG),  # 1: copied from the order to the child order
            ("carry_cancel", "u1", MAX_TAG),  # 1: copied from a cancel to the child cancel
            ("carry_report", "u1", MAX_TAG),  # 1: copied from the venue's report to ours
            ("sessions", *table(session, capacity.sessions)),
            ("lines", *table(LINE, capacity.sessions)),
            ("entities", *table(ENTITY, capacity.entities)),
            ("entity_head", *heads(capacity.entities)),
            ("instruments", *table(INSTRUMENT_ROW, capacity.instruments)),
            ("symbol_head", *heads(capacity.instruments)),
            ("security_head", *heads(capacity.instruments)),
            ("pairs", *table(PAIR, capacity.pairs)),
            ("sources", *table(SOURCE_TABLE, SOURCES)),
            ("exits", *table(EXIT, EXITS)),
            ("grades", *table(GRADE, capacity.parameters)),
            ("ending", "i8", (capacity.instruments, 2)),  # scratch: what is being canceled, buys and sells
            ("parameters", *table(PARAMETER_TABLE, capacity.parameters)),
            ("exposures", *table(EXPOSURE, capacity.exposures)),
            ("exposure_head", *heads(capacity.exposures)),
            ("orders", *table(ORDER, capacity.orders)),
            ("fingerprint_head", *heads(capacity.orders)),
            ("venue_order_id_head", *heads(capacity.orders)),
            ("requests", *table(REQUEST, capacity.requests)),
            ("request_head", *heads(capacity.requests)),
            ("executions", *table(EXECUTION, capacity.executions)),
            ("execution_head", *heads(capacity.executions)),
            ("dictionary", np.dtype((np.record, DICTIONARY_TABLE)), VERSION_50 + 1),
            ("work", np.dtype((np.record, WORK))),
        ]
    )


PARTY_ROLE = 1_000_000


@functools.cache
def record_dtype(dtype: np.dtype) -> np.dtype:
    """The same layout with fields as attributes, in compiled code and in plain Python alike.

    Always the same object: numba takes 8 µs longer over a call with an equal dtype that it has not seen.
    """
    return np.dtype((np.record, dtype))
