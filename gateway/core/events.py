"""Events: the kinds of what the core is told, their values, and the memory in which they come and outputs go."""

from __future__ import annotations

import numpy as np

from gateway.core.layout import ACCOUNT, DESK, FLOW, MAX_MESSAGE_BYTES, OUT_BYTES, OUT_MESSAGES, STRATEGY, TRADER

# Kinds of event.
# UNDELIVERED: a child that its venue never had or refused; UNREAD: a venue's message that the engine had to refuse.
# LOGOUT: its MsgSeqNum is the last that the engine has counted, taken where no message has been applied yet.
# START, STOP: of the process; SYNCED: a venue has answered a TestRequest sent after logon; JOURNAL: it can or cannot
# take orders; RESOLVE: a person says what became of an order in doubt; DAY: end of the trading day; HOURS: it has
# begun, or orders must wait for the next; KILL: a switch was set or released; CANCEL: a person cancels one order;
# CONNECTED: a connection to a venue stands; LOG_OUT: a session is to be logged out; both of the native engine's.
# SWEEP: send the next cancels of what is to be canceled; PARAMETER: a publisher pushed a limit; RELEASE: a person gives
# a pushed limit back; SOURCE: a publisher went silent or came back; ADJUST: a person adds to a position; OPERATE: a
# person disconnects, disables or enables a session of the native engine, or sets its numbers; POSTURE: a person sets
# the posture of an entity; EXIT: a person lets orders that reduce through a halt.
MESSAGE, LOGON, LOGOUT, UNDELIVERED, TICK, QUOTE, CLOCK, UNREAD = 1, 2, 3, 4, 5, 6, 7, 8
START, STOP, SYNCED, JOURNAL, RESOLVE, DAY = 9, 10, 11, 12, 13, 14
HOURS, KILL, CANCEL, SWEEP, PARAMETER, RELEASE, SOURCE, ADJUST = 15, 16, 17, 18, 19, 20, 21, 22
CONNECTED, LOG_OUT, OPERATE, POSTURE, EXIT = 23, 24, 25, 26, 27
LAST_KIND = EXIT
# Values of an OPERATE event: what, and with SET_NUMBERS the MsgSeqNum(34) that comes next and that goes next, 0: as it
# is, and when the session's schedule has begun (seconds since 1970), 0: it is not by its schedule. Its bytes name who
# and why.
OPERATE_WHAT, OPERATE_NEXT_IN, OPERATE_NEXT_OUT, OPERATE_BEGUN = range(4)
DISCONNECT, DISABLE, ENABLE, SET_NUMBERS = range(4)
# Values of a QUOTE event; its time is of the gateway's clock, 0: now.
QUOTE_INSTRUMENT, QUOTE_BID, QUOTE_ASK, QUOTE_LAST, QUOTE_BID_QTY, QUOTE_ASK_QTY, QUOTE_LAST_QTY, QUOTE_TIME = range(8)
# Values of a KILL event: row of the entity, 1 to kill and 0 to release, when the switch was set; its bytes name the
# switch, who set it and why. Of a CANCEL event: row of the order; its bytes name who and why.
KILL_ENTITY, KILL_ON, KILL_SET = 0, 1, 2
# Values of a PARAMETER event; of RELEASE the first four. INSTRUMENT is NONE unless it is a limit of a pair. EXPIRES is
# of the gateway's clock. A value below zero or above UNLIMITED is none: what was in force holds.
(
    PARAMETER_SOURCE,
    PARAMETER_ENTITY,
    PARAMETER_INSTRUMENT,
    PARAMETER_LIMIT,
    PARAMETER_VALUE,
    PARAMETER_EPOCH,
    PARAMETER_MODEL,
    PARAMETER_EXPIRES,
) = range(8)
# Values of a SOURCE event: row of the source, 1 when it is heard and 0 when it has gone silent.
SOURCE_ROW, SOURCE_UP = 0, 1
# Values of an ADJUST event: row of the instrument, quantity with its sign, and the rows of account, desk, strategy,
# trader and flow, NONE where none is named; its bytes name who and why.
ADJUST_INSTRUMENT, ADJUST_BY, ADJUST_ENTITIES = 0, 1, 2
ADJUSTED_SCOPES = (ACCOUNT, DESK, STRATEGY, TRADER, FLOW)
# Values of a POSTURE event: row of the entity and its posture from here on. Of an EXIT event: rows of entity and
# instrument, the quantity that may pass (0: none any more), and until when, of the gateway's clock. Their bytes name
# who and why.
POSTURE_ENTITY, POSTURE_NEW = 0, 1
EXIT_ENTITY, EXIT_INSTRUMENT, EXIT_QUANTITY, EXIT_UNTIL = 0, 1, 2, 3
# Values of a START event, and how the last run ended: stopped, its process died, or the machine went down with it.
START_RUN, START_ENDED, START_BASE, START_WALL_OFFSET, START_BOOT, START_CLEARS_FAULT = 0, 1, 2, 3, 4, 5
STOPPED, CRASHED, REBOOTED = 0, 1, 2
# Value 0 of a LOGON event: whether sequence numbers go on from the last session, so that nothing was missed unnoticed.
CONTINUED, RESET = 0, 1
# Values of a RESOLVE event; its bytes name who resolved it and why.
RESOLVE_ORDER, RESOLVE_VERDICT, RESOLVE_CUM = 0, 1, 2
GONE, WORKING = 1, 2
# Value 0 of a DAY event: what becomes of positions.
POSITIONS_KEPT, POSITIONS_RESET = 0, 1
VALUES = 8

# Value 0 of an UNDELIVERED event: the venue says so, by a Reject or a ResendRequest, or the engine infers it.
SAID, INFERRED = 0, 1

EVENT = np.dtype(
    [
        ("kind", "i8"),
        ("time_ns", "i8"),  # of the gateway's clock: monotonic, and going on across restarts
        ("session", "i8"),
        ("msg_seq_num", "i8"),
        ("poss_dup", "i8"),
        ("start", "i8"),  # of the message in the buffer
        ("length", "i8"),  # of the message; above MAX_MESSAGE_BYTES it was cut
        ("value", "i8", VALUES),  # by kind, see above
    ]
)

# A nested array has no reference count, which an array of its own would have touched in every kernel.
BUFFER = np.dtype([("bytes", "u1", MAX_MESSAGE_BYTES)])

OUTPUT = np.dtype(
    [
        ("session", "i8"),  # NONE: an alert for the log
        ("message_type", "i8"),  # as `gateway.fix.tags.message_type`
        ("start", "i8"),
        ("length", "i8"),
        ("msg_seq_num", "i8"),  # 0: given by the engine
    ]
)

OUT = np.dtype(
    [
        ("count", "i8"),
        ("used", "i8"),
        ("verdict", "i8"),  # of a message of an EMS: layout.IGNORED, PASSED or REJECTED; NONE: not the application's
        ("message", np.dtype((np.record, OUTPUT)), OUT_MESSAGES),
        ("bytes", "u1", OUT_BYTES),
    ]
)
