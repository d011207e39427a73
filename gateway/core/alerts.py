"""The table of alerts: what a person must hear of. Kernels take the numbers from here, people read the rest.

A journal holds an alert as its number and the bytes that it is about, so a number is given once and for ever; its words
may change. Releases before the table journaled the words themselves, under number 0.
"""

from __future__ import annotations

from typing import NamedTuple

INFO, WARNING, ERROR, CRITICAL = "info", "warning", "error", "critical"


class Alert(NamedTuple):
    """One kind of alert."""

    name: str
    severity: str
    """Level of its log line."""
    text: str
    """What happened, what the gateway made of it, what to do."""


(
    UNREADABLE_MESSAGE,
    REFUSED_BY_SESSION_LAYER,
    NOT_HANDLED,
    REFUSED_BY_EMS,
    UNKNOWN_REPORT,
    UNKNOWN_FILL_BOOKED,
    UNKNOWN_FILL,
    UNKNOWN_FILL_TAKEN_BACK,
    OLD_REPORT,
    UNKNOWN_SIZE,
    LEG_NOT_BOOKED,
    UNKNOWN_THERE,
    FILLS_MISSED,
    DOUBTS_LEFT,
    RESOLVED_BY,
    STILL_OPEN,
    UNKNOWN_BUST,
    UNREADABLE_FILL,
    NO_FILL,
    COUNTED_BEFORE,
    MORE_THAN_CUM,
    OTHER_TERMS,
    OVERFILLED,
    PERHAPS_A_BUST,
    KNOWN_NOW,
    BUST_NOT_TAKEN,
    TABLE_FULL,
    TOO_PRECISE,
    RESTATED_LOWER,
    REPEATED_WITH_MORE,
    NOT_ENDED,
    LOWER_CUM,
    SAME_ORDER_ID,
    BAD_QUOTE,
    PARAMETER_BAD,
    PARAMETER_EXPIRED,
    SOURCE_SILENT,
    SOURCE_BACK,
    PARAMETER_NO_LIMIT,
    PARAMETER_NO_ROOM,
    PARAMETER_RELEASED,
    MORE_LEAVES,
    NO_SUM,
    UNKNOWN_REJECT,
    LATE_UNDELIVERED,
    NO_STATUS,
    PERHAPS_SENT,
    NOT_CANCELED,
    CLOSED_THERE,
    KILL_SET,
    KILL_RELEASED,
    KILL_UNKNOWN,
    CANCEL_ASKED,
    MASS_CANCEL_REFUSED,
    ADJUSTED,
    POSTURE_SET,
    EXIT_SET,
    LIMIT_WATCHED,
    LIMIT_WARNED,
    LIMIT_STOPPED,
    STATUS_REFUSED,
) = range(1, 62)

RECONCILE = "reconcile positions with the venue, and adjust them by `tidegate positions adjust`"
ALERTS = {
    UNREADABLE_MESSAGE: Alert(
        "unreadable_message", ERROR, "message of a venue that cannot be read whole: what can be read counts"
    ),
    REFUSED_BY_SESSION_LAYER: Alert(
        "refused_by_session_layer", ERROR, "message of a venue that the session layer refused: its orders are asked for"
    ),
    NOT_HANDLED: Alert("not_handled", WARNING, "message of a venue that the gateway does not use"),
    REFUSED_BY_EMS: Alert("refused_by_ems", ERROR, "an EMS refuses a message of the gateway"),
    UNKNOWN_REPORT: Alert("unknown_report", ERROR, "report on an order that is not the gateway's, not booked"),
    UNKNOWN_FILL_BOOKED: Alert(
        "unknown_fill_booked",
        ERROR,
        "fill of an order that is not the gateway's: booked for the firm, the instrument and, if that is known, its "
        "Account(1)",
    ),
    UNKNOWN_FILL: Alert(
        "unknown_fill",
        ERROR,
        f"fill of an order that is not the gateway's, not booked: no ExecID(17), known instrument or side; {RECONCILE}",
    ),
    UNKNOWN_FILL_TAKEN_BACK: Alert(
        "unknown_fill_taken_back", ERROR, "bust of a fill of an order that is not the gateway's: taken back"
    ),
    OLD_REPORT: Alert("old_report", WARNING, "resent report on an order that has ended, not booked again"),
    UNKNOWN_SIZE: Alert(
        "unknown_size",
        ERROR,
        f"fill of an order that is not the gateway's, without a readable LastQty(32): not booked; {RECONCILE}",
    ),
    LEG_NOT_BOOKED: Alert(
        "leg_not_booked", ERROR, f"fill of a leg whose instrument or Side(54) is not known: not booked; {RECONCILE}"
    ),
    UNKNOWN_THERE: Alert(
        "unknown_there",
        ERROR,
        "the venue does not know an order that it acknowledged: it stays open; ask the venue, then say what became of "
        "it by `tidegate resolve`",
    ),
    FILLS_MISSED: Alert("fills_missed", ERROR, "an order's status shows fills that were not reported: counted now"),
    DOUBTS_LEFT: Alert(
        "doubts_left",
        ERROR,
        "the venue leaves orders in doubt, see `tidegate resolve`, or does not answer the TestRequest",
    ),
    RESOLVED_BY: Alert("resolved", WARNING, "order resolved by a person"),
    STILL_OPEN: Alert("still_open", WARNING, "day orders are still open at the end of the day: they stay counted"),
    UNKNOWN_BUST: Alert(
        "unknown_bust",
        ERROR,
        f"bust or correction of an execution that is not known, positions are as before; {RECONCILE}",
    ),
    UNREADABLE_FILL: Alert(
        "unreadable_fill",
        ERROR,
        "fill without a readable LastQty(32): counted by CumQty(14) if that can be read; ask the venue",
    ),
    NO_FILL: Alert("no_fill", WARNING, "fill with LastQty(32) of 0: taken as a status"),
    COUNTED_BEFORE: Alert(
        "counted_before", WARNING, "fill that CumQty(14) counts already, under another ExecID(17): not counted again"
    ),
    MORE_THAN_CUM: Alert(
        "more_than_cum",
        ERROR,
        "fills seen are more than CumQty(14): the difference counts as open on both sides until the venue explains it",
    ),
    OTHER_TERMS: Alert(
        "other_terms", ERROR, "fill whose Side(54) or instrument is not that of its order: counted on the order"
    ),
    OVERFILLED: Alert("overfilled", ERROR, "the venue filled more than the order: all of it is counted"),
    PERHAPS_A_BUST: Alert(
        "perhaps_a_bust",
        ERROR,
        "unreadable ExecType(150) with ExecRefID(19): the execution that it names cannot be sold; ask the venue",
    ),
    KNOWN_NOW: Alert(
        "known_now",
        WARNING,
        "fill that was booked as one of an order that is not the gateway's: now counted on its order alone",
    ),
    BUST_NOT_TAKEN: Alert(
        "bust_not_taken",
        ERROR,
        "CumQty(14) still counts what was busted: it cannot be sold until the venue explains it",
    ),
    TABLE_FULL: Alert(
        "table_full", CRITICAL, "the table of executions is full: every order is blocked, a larger capacity is needed"
    ),
    TOO_PRECISE: Alert("too_precise", WARNING, "quantity of more than 8 decimals: rounded up"),
    RESTATED_LOWER: Alert(
        "restated_lower", ERROR, f"restated CumQty(14) is less than what was counted: positions stay; {RECONCILE}"
    ),
    REPEATED_WITH_MORE: Alert(
        "repeated_with_more", ERROR, "repeated report that shows a fill that was not reported: counted now"
    ),
    NOT_ENDED: Alert(
        "not_ended",
        ERROR,
        "report that ends the order, but by LeavesQty(151) or OrdStatus(39) it works: it stays open; ask the venue",
    ),
    LOWER_CUM: Alert(
        "lower_cum",
        ERROR,
        "CumQty(14) is less than what was counted: the difference cannot be sold until the venue explains it",
    ),
    SAME_ORDER_ID: Alert(
        "same_order_id", ERROR, "OrderID(37) is that of another open order at the venue: not kept for this one"
    ),
    BAD_QUOTE: Alert(
        "bad_quote", WARNING, "quote not used: crossed, negative or too far from the last one to be believed at once"
    ),
    PARAMETER_BAD: Alert("parameter_bad", ERROR, "pushed limit is held where it was: not a value that can be used"),
    PARAMETER_EXPIRED: Alert("parameter_expired", WARNING, "pushed limit is held where it was: it has expired"),
    SOURCE_SILENT: Alert(
        "source_silent", ERROR, "publisher is silent: its limits are held where they were, its prices grow old"
    ),
    SOURCE_BACK: Alert("source_back", INFO, "publisher is back"),
    PARAMETER_NO_LIMIT: Alert("parameter_no_limit", ERROR, "pushed limit not taken: no person has set one there"),
    PARAMETER_NO_ROOM: Alert("parameter_no_room", ERROR, "pushed limit not taken: the tables are full"),
    PARAMETER_RELEASED: Alert("parameter_released", WARNING, "pushed limit released"),
    MORE_LEAVES: Alert(
        "more_leaves", ERROR, "LeavesQty(151) is more than was counted as open: the larger quantity counts now"
    ),
    NO_SUM: Alert(
        "no_sum", ERROR, "OrderQty(38), CumQty(14) and LeavesQty(151) do not add up: the larger leaves count"
    ),
    UNKNOWN_REJECT: Alert("unknown_reject", ERROR, "reject of a request that is not the gateway's"),
    LATE_UNDELIVERED: Alert(
        "late_undelivered",
        ERROR,
        "the venue acknowledged an order and now says that it never had it: it stays open; ask the venue",
    ),
    NO_STATUS: Alert(
        "no_status",
        ERROR,
        "the venue does not answer OrderStatusRequest(H): say what became of its orders in doubt by `tidegate resolve`",
    ),
    PERHAPS_SENT: Alert("perhaps_sent", ERROR, "not known whether this was sent: its order is in doubt"),
    NOT_CANCELED: Alert("not_canceled", ERROR, "a cancel of the gateway's own was refused"),
    CLOSED_THERE: Alert(
        "closed_there", ERROR, "the venue says that this order is closed, here it counts as open: the venue is asked"
    ),
    KILL_SET: Alert("kill_set", CRITICAL, "kill switch set"),
    KILL_RELEASED: Alert("kill_released", WARNING, "kill switch released"),
    KILL_UNKNOWN: Alert("kill_unknown", WARNING, "kill switch set in advance: no such name is known"),
    CANCEL_ASKED: Alert("cancel_asked", WARNING, "cancel of an order by a person"),
    MASS_CANCEL_REFUSED: Alert(
        "mass_cancel_refused", ERROR, "the venue refuses to cancel all: orders are canceled one by one"
    ),
    STATUS_REFUSED: Alert(
        "status_refused",
        WARNING,
        "the venue refuses OrderStatusRequest(H) for now: it is asked again, by fewer at a time (`status_requests`)",
    ),
    ADJUSTED: Alert("adjusted", WARNING, "position adjusted by a person"),
    POSTURE_SET: Alert("posture_set", WARNING, "posture set by a person"),
    LIMIT_WATCHED: Alert("limit_watched", INFO, "order beyond the value at which a limit watches"),
    LIMIT_WARNED: Alert("limit_warned", WARNING, "order beyond the value at which a limit warns"),
    LIMIT_STOPPED: Alert("limit_stopped", CRITICAL, "order beyond the value at which a limit stops"),
    EXIT_SET: Alert("exit_set", WARNING, "exit through a halt opened or closed by a person"),
}


def alert_text(number: int, about: bytes) -> bytes:
    """An alert in full: its words, then the bytes that it is about."""
    if number not in ALERTS:
        return about
    text = ALERTS[number].text.encode("ascii")
    return text + b": " + about if about else text
