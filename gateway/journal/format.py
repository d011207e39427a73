"""The journal's format: segment files of records, each a run of 64-bit words. Read this file to read a journal.

A segment is a SEGMENT_HEAD, then records back to back; the first word that is zero ends it. A record starts with a
HEAD. `length` counts all its bytes (a multiple of 8, the end padded with zeros); `crc` is CRC-32C (RFC 3720) of every
word but its own; `sequence` counts records from 1 through all segments (the SEAL of a segment has its number even when
it could not be written). An event is the run of records from IN to COMMIT: IN is written before anything acts on the
event, COMMIT before anything is sent. An IN without its COMMIT never happened.

A process starts a segment of its own: SETTINGS, then IN of a START event. A closed segment ends with a SEAL.
"""

from __future__ import annotations

import numpy as np

from gateway.core import events as ev
from gateway.core import layout as a

MAGIC = b"TIDEJRNL"
VERSION = 2  # of segments and records; an older release refuses newer ones. `version_1` reads decisions of the first
SEGMENT_BYTES = 64 << 20  # mapped; a segment may be told to use less
SEGMENT_WORDS = SEGMENT_BYTES // 8

SUFFIX, PACKED_SUFFIX = ".journal", ".journal.zst"  # of segment files, named by their number; once compressed
DISK_SUFFIX = ".disk"  # behind the name of a segment that is in memory: its copy on disk

# Kinds of record.
SETTINGS, IN, DECISION, OUT, COMMIT, SEAL = 1, 2, 3, 4, 5, 6
KIND_NAMES = {SETTINGS: "SETTINGS", IN: "IN", DECISION: "DECISION", OUT: "OUT", COMMIT: "COMMIT", SEAL: "SEAL"}

SEGMENT_HEAD = np.dtype(
    [
        ("magic", "S8"),
        ("version", "i8"),
        ("number", "i8"),  # of the segment, from 1
        ("first_sequence", "i8"),  # of its first record
        ("run", "i8"),
        ("created_wall_ns", "i8"),
        ("spare", "i8", 9),
        ("crc", "i8"),  # of the words before
    ]
)
HEAD = np.dtype(
    [("length", "i8"), ("crc", "i8"), ("sequence", "i8"), ("kind", "i4"), ("version", "i4"), ("time_ns", "i8")]
)
HEAD_WORDS = HEAD.itemsize // 8
SEGMENT_HEAD_WORDS = SEGMENT_HEAD.itemsize // 8

SETTINGS_RECORD = np.dtype([("head", HEAD), ("size", "i8")])  # then zlib-compressed JSON: `Settings.to_json`
IN_RECORD = np.dtype(  # then the message
    [
        ("head", HEAD),
        ("event_kind", "i8"),
        ("session", "i8"),
        ("msg_seq_num", "i8"),
        ("poss_dup", "i8"),
        ("size", "i8"),  # of the message; above MAX_MESSAGE_BYTES only so many were kept
        ("value", "i8", ev.VALUES),
    ]
)
OUT_RECORD = np.dtype(  # then the body
    [
        ("head", HEAD),
        ("session", "i8"),  # NONE: an alert
        ("msg_seq_num", "i8"),  # 0: given by the engine
        ("message_type", "i8"),  # of an alert its number in core.alerts; 0, of earlier releases: its words are the body
        ("size", "i8"),
    ]
)
DECISION_RECORD = np.dtype(  # then the entities, an i8 each, and `finding_count` times FINDING_WORDS
    [
        ("head", HEAD),
        ("verdict", "i8"),  # layout.ACCEPTED or REFUSED
        ("message_type", "i8"),  # D or G
        ("order", "i8"),  # row of the order, NONE where a new one was refused
        ("run", "i8"),  # with `child` the ClOrdID of the child; 0 where refused
        ("child", "i8"),
        ("instrument", "i8"),
        ("venue", "i8"),
        ("side", "i8"),
        ("ord_type", "i8"),
        ("qty_e8", "i8"),
        ("price_e8", "i8"),
        ("stop_e8", "i8"),
        ("added_e8", "i8"),  # open quantity that it would add
        ("notional_e4", "i8"),
        ("reference_e8", "i8"),  # 0: none usable
        ("reference_age_ns", "i8"),  # NONE: never told
        ("collar_bps", "i8"),  # the tightest of all scopes, UNSET or UNLIMITED
        ("collar_factor", "i8"),
        ("mask", "i8"),  # bit of each check that fired
        ("parameter_epoch", "i8"),  # of the pushed parameters in force; 0: none
        ("model", "i8"),  # that made them; 0: none
        ("score_e8", "i8"),
        ("candidate_model", "i8"),  # a model on trial beside the live one; 0: none
        ("candidate_score_e8", "i8"),
        ("candidate_verdict", "i8"),
        ("entity_count", "i8"),  # entities by scope, NONE where there is none
        ("finding_count", "i8"),
    ]
)
# What a check found: those that fired first, in the order of their texts, then of each other check the place where
# least room was left, in proportion. Its first word holds the check in bits 0 to 7, 1 + the row of `catalogue.DETAILS`
# in bits 8 to 23 (0: it has numbers), whether the limit stands at the entity with the instrument in bit 24, whether it
# fired in bit 25, and the severity of what did not refuse in bits 26 and 27; then the row of the entity, the value, and
# the bound.
FINDING_WORDS = 4
DETAIL_BIT, PAIRED_BIT, FIRED_BIT, SEVERITY_BIT = 8, 24, 25, 26
MAX_FINDINGS = 2 * a.MAX_BREACHES + a.MAX_CHECKS
COMMIT_RECORD = np.dtype(
    [
        ("head", HEAD),
        ("outputs", "i4"),
        # What a message of an EMS came to: layout.IGNORED, PASSED or REJECTED; NONE: the application had none of it.
        # Earlier releases have 0 here.
        ("verdict", "i4"),
        ("took_ns", "i8"),  # from IN to COMMIT
        ("handed", "i8"),  # all outputs of events up to this sequence had been given to the engine
        ("fault", "i8"),
    ]
)
SEAL_RECORD = np.dtype(
    [
        ("head", HEAD),
        ("previous", "u1", 32),  # SHA-256 in the SEAL of the segment before; zeros in the first, or where that is lost
        ("digest", "u1", 32),  # SHA-256 of this segment up to here, and of `previous`
    ]
)

# The least that a record of each kind takes, by kind.
SHORTEST = np.array(
    [0] + [d.itemsize for d in (SETTINGS_RECORD, IN_RECORD, DECISION_RECORD, OUT_RECORD, COMMIT_RECORD, SEAL_RECORD)],
    np.int64,
)

# The most that one event can take; a segment with less room is left.
_LARGEST = (
    *(IN_RECORD.itemsize + a.MAX_MESSAGE_BYTES, a.OUT_BYTES + a.OUT_MESSAGES * (OUT_RECORD.itemsize + 8)),
    *(DECISION_RECORD.itemsize + 8 * (a.MAX_SCOPES + MAX_FINDINGS * FINDING_WORDS), COMMIT_RECORD.itemsize + 64),
)
MAX_EVENT_BYTES = sum(_LARGEST)

# The segment in use, mapped: one record, its bytes also as words.
SEGMENT = np.dtype(
    {
        "names": ["words", "bytes"],
        "formats": [("i8", SEGMENT_WORDS), ("u1", SEGMENT_BYTES)],
        "offsets": [0, 0],
        "itemsize": SEGMENT_BYTES,
    }
)
# Where the next record goes; owned by the core's thread.
CURSOR = np.dtype(
    [
        ("used", "i8"),  # bytes of the segment
        ("limit", "i8"),  # bytes that may be used
        ("sequence", "i8"),  # of the last record
        ("committed", "i8"),  # of the last COMMIT
        ("handed", "i8"),  # the last COMMIT whose outputs have all been given to the engine
        ("ended", "i8"),  # bytes of whole events: an event that changes nothing is written, and taken back
        ("clock", "i8", 2),  # scratch of the clock
    ]
)
