"""The metric families of a running gateway, read from its memory at each scrape.

No label grows without bound: names are those of the config, and of families with a series for each row of a large table
the SERIES largest values are told; `tidegate_series_left_out` counts the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gateway import __version__
from gateway.core import layout as a
from gateway.core.catalogue import CHECKS, LIMITS
from gateway.core.layout import NONE, QUICK_CANCELS, UNLIMITED, UNSET
from gateway.fix.layout import E8
from gateway.state.memory import State
from gateway.state.names import Names
from gateway.state.pulse import CLOSED, LATENCY_BOUNDS_NS

SERIES = 1_000
MESSAGES = ("new_order", "cancel", "replace", "status", "other")  # as layout.COUNTED_TYPES
VERDICTS = ("ignored", "passed", "rejected")  # as layout.IGNORED, PASSED, REJECTED
ROLES = {a.EMS: "ems", a.VENUE_ROLE: "venue"}
SCALE = {"quantity": E8, "money": 10_000, "bps": 1, "count": 1, "duration": 10**9}
NAMED_SCOPES = (a.FIRM, a.SESSION, a.VENUE)  # of these open orders are told where there are none, too

Rows = Iterable[tuple[tuple[str, ...], float]]


class Families:
    """Collects the families of one scrape, for a CollectorRegistry."""

    def __init__(
        self,
        state: State,
        names: Names,
        pulse: Any,
        health: dict[str, float],
        kinds: list[str],
        in_advance: Iterable[tuple[int, str]] = (),
    ) -> None:
        """`health` has gauges by name, of the gateway as a whole; `kinds` says what each source is, by row;
        `in_advance` has the kill switches (scope, name) of names that the gateway does not know.
        """
        self._s = state.record
        self._names = names
        self._pulse = pulse
        self._health = health
        self._kinds = kinds
        self._in_advance = in_advance
        self._left_out: dict[str, int] = {}

    def describe(self) -> list[Metric]:
        """Nothing is told in advance."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        for part in (self._of_health, self._of_flow, self._of_sessions, self._of_risk, self._of_parameters):
            yield from part()
        yield from self._of_capacity()

    def _gauge(self, name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
        family = GaugeMetricFamily(f"tidegate_{name}", text, labels=labels)
        for values, value in dict(rows).items():
            family.add_metric(values, value)
        return family

    def _counter(self, name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
        family = CounterMetricFamily(f"tidegate_{name}", text, labels=labels)
        for values, value in dict(rows).items():
            family.add_metric(values, value)
        return family

    def _word(self, name: str, text: str, column: str) -> Metric:
        """A gauge that is one column of the state."""
        return self._gauge(name, text, (), [((), float(self._s[column]))])

    def _total(self, name: str, text: str, column: str) -> Metric:
        """A counter that is one column of the state."""
        return self._counter(name, text, (), [((), float(self._s[column]))])

    def _largest(self, name: str, values: np.ndarray) -> list[int]:
        """Rows of the largest values that are not zero, at most SERIES."""
        rows = np.flatnonzero(values)
        if rows.size > SERIES:
            self._left_out[name] = rows.size - SERIES
            rows = rows[np.argsort(-np.abs(values[rows].astype(float)), kind="stable")[:SERIES]]
        return rows.tolist()

    def _table(self, name: str, count: int) -> np.ndarray:
        """The rows of a table that were ever used."""
        table: np.ndarray = self._s[name]
        return table[: min(max(count, 0), table.size)]

    def _place(self, entity: int) -> tuple[str, str]:
        """Labels of an entity: its scope and name."""
        scope, name = self._names.entities[entity]
        return a.SCOPE_NAMES[scope], name

    def _of_health(self) -> Iterator[Metric]:
        build = InfoMetricFamily("tidegate_build", "Version of the gateway.")
        build.add_metric((), {"version": __version__})
        yield build
        texts = {
            "live": "1 when the core's thread was about within the last second, as /live.",
            "ready": "1 when every order that should be taken would be, as /ready.",
            "heartbeat_age_seconds": "Time since the core's thread was last about.",
        }
        for name, value in self._health.items():
            yield self._gauge(name, texts[name], (), [((), value)])
        yield self._word("run_number", "Number of this start of the gateway; part of every id it gives.", "run")
        yield self._word("fault_word", "Bits of broken invariants; anything but 0 blocks every order.", "fault")
        yield self._word("journal_blocked", "1 when the journal takes no orders.", "journal_blocked")
        yield self._word("market_closed", "1 outside the hours of the trading day.", "market_closed")
        yield self._gauge("switch_set", "1 when the kill switch is set.", ("scope", "name"), self._switches())

        texts_of = "Posture that is not normal: 1 no_new_longs, 2 reduce_only, 3 halted."
        yield self._gauge("posture", texts_of, ("scope", "name"), self._postures())

    def _postures(self) -> Rows:
        postures = self._table("entities", int(self._s.entity_count))["posture"]
        for row in self._largest("posture", postures):
            yield self._place(row), float(postures[row])

    def _switches(self) -> Rows:
        killed = self._table("entities", int(self._s.entity_count))["killed"]
        yield self._place(0), float(killed[0])
        for row in self._largest("switch_set", killed):
            yield self._place(row), 1.0
        for scope, name in self._in_advance:
            yield (a.SCOPE_NAMES[scope], name), 1.0

    def _of_flow(self) -> Iterator[Metric]:
        s = self._s
        yield self._total("events_total", "Events that the core has applied.", "events")
        yield self._gauge("inbox_events", "Events that wait for the core.", (), [((), float(self._pulse["waiting"]))])
        sessions = [(name, s.sessions[row]) for row, name in enumerate(self._names.sessions)]
        ems = [(name, own) for name, own in sessions if own.role == a.EMS]
        yield self._counter(
            *("messages_total", "Messages of an EMS by what they came to; ignored: a copy of one seen before."),
            ("session", "type", "verdict"),
            [
                ((name, kind, verdict), float(own.counted[k][v]))
                for name, own in ems
                for k, kind in enumerate(MESSAGES)
                for v, verdict in enumerate(VERDICTS)
            ],
        )
        yield self._counter(
            *("refused_orders_total", "Orders and replaces refused, by each check that refused them."),
            ("session", "check"),
            [((name, check.name), float(own.fired[check.id])) for name, own in ems for check in CHECKS],
        )
        yield self._counter(
            *("limit_orders_total", "Orders beyond the value at which a limit watches, warns or stops, by check."),
            ("check", "severity"),
            self._graded(),
        )
        yield self._counter(
            *("decisions_total", "Orders accepted; orders and replaces refused by one check or more."),
            ("verdict",),
            [(("accepted",), float(s.accepted_orders)), (("refused",), float(s.refused_orders))],
        )
        yield self._word(
            *("unknown_executions", "Fills, busts and corrections of orders that are not known here, not explained."),
            "unknown_executions",
        )
        yield self._total("duplicate_messages_total", "Messages that were copies of others.", "duplicate_messages")
        yield self._latency()

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "tidegate_order_latency_seconds", "Time of an order message from bytes in to bytes out."
        )
        counts = [float(count) for count in np.cumsum(self._pulse["latency_count"])]
        bounds = [str(bound / 1e9) for bound in LATENCY_BOUNDS_NS] + ["+Inf"]
        family.add_metric((), list(zip(bounds, counts, strict=True)), float(self._pulse["latency_sum_ns"]) / 1e9)
        return family

    def _is_closed(self, row: int) -> bool:
        return bytes(self._pulse["why"][row]).decode("ascii", "replace") == CLOSED

    def _graded(self) -> Rows:
        for check in CHECKS:
            for severity in (a.WATCH, a.WARN, a.STOP):
                if count := self._s.graded_orders[check.id, severity]:
                    yield (check.name, a.SEVERITY_NAMES[severity]), float(count)

    def _of_sessions(self) -> Iterator[Metric]:
        sessions = [(name, self._s.sessions[row]) for row, name in enumerate(self._names.sessions)]
        yield self._gauge(
            *("session_up", "1 when the session is logged on.", ("session", "role")),
            [((name, ROLES[int(own.role)]), float(own.up)) for name, own in sessions if int(own.role) in ROLES],
        )
        yield self._gauge(
            *("session_closed", "1 while the session is down by its schedule.", ("session",)),
            [((name,), float(self._is_closed(row))) for row, name in enumerate(self._names.sessions)],
        )
        lines = [(name, self._s.lines[row]) for row, name in enumerate(self._names.sessions)]
        lines = [(name, own) for name, own in lines if own.native == 1]
        yield self._gauge(
            *("session_next_msg_seq_num", "MsgSeqNum that comes next (in), and that goes next (out)."),
            ("session", "direction"),
            [
                ((name, direction), float(number))
                for name, own in lines
                for direction, number in (("in", own.next_in), ("out", own.next_out))
            ],
        )
        yield self._gauge(
            *("session_last_message_timestamp_seconds", "When the peer was last heard, to a second."),
            ("session",),
            [((name,), (own.heard_ns + self._s.wall_offset_ns) / 1e9) for name, own in lines if own.heard_ns > 0],
        )
        for queue, text in (
            ("unsent_bytes", "Bytes written for the peer, which has not taken them yet."),
            ("held_messages", "Messages of the peer that came ahead of a gap."),
        ):
            named = enumerate(self._names.sessions)
            waiting = [
                ((name,), float(self._pulse[queue][row])) for row, name in named if self._s.lines[row].native == 1
            ]
            yield self._gauge(f"session_{queue}", text, ("session",), waiting)
        venues = [(name, own) for name, own in sessions if own.role == a.VENUE_ROLE]
        yield self._gauge(
            *("venue_recovering", "1 while the venue takes no order because those of before are not confirmed."),
            ("venue",),
            [((name,), float(own.recovering)) for name, own in venues],
        )
        yield self._gauge(
            *("orders_in_doubt", "Orders at the venue whose fate is not known; they count at their worst.", ("venue",)),
            [((name,), float(own.doubts)) for name, own in venues],
        )
        canceling, residue = self._own_cancels()
        for name, text, counts in (
            ("orders_being_canceled", "Open orders that the gateway itself cancels.", canceling),
            ("residue_orders", "Those of them that stay open though every cancel was tried: for a person.", residue),
        ):
            rows = [
                ((venue,), float(counts[row]))
                for row, venue in enumerate(self._names.sessions)
                if self._names.roles[row] == a.VENUE_ROLE
            ]
            yield self._gauge(name, text, ("venue",), rows)

    def _own_cancels(self) -> tuple[np.ndarray, np.ndarray]:
        """By session row: open orders that the gateway cancels, and those that it has given up on."""
        size = len(self._names.sessions)
        if self._s.open_order_count <= 0:
            return np.zeros(size), np.zeros(size)
        orders = self._table("orders", int(self._s.order_count))
        orders = orders[np.flatnonzero(orders["canceled_by"])]
        orders = orders[(orders["counted_open"] == 1) & (orders["venue"] >= 0) & (orders["venue"] < size)]
        spent = orders[orders["cancel_tries"] >= QUICK_CANCELS]
        return np.bincount(orders["venue"], minlength=size), np.bincount(spent["venue"], minlength=size)

    def _of_risk(self) -> Iterator[Metric]:
        yield self._gauge(
            *("open_orders", "Open orders of an entity: firm, sessions and venues always, others if they have any."),
            ("scope", "name"),
            self._open_orders(),
        )
        s = self._s
        exposures = self._table("exposures", int(s.exposure_count))
        entities = self._table("entities", int(s.entity_count))
        known = (exposures["entity"] >= 0) & (exposures["entity"] < entities.size)
        known &= (exposures["instrument"] >= 0) & (exposures["instrument"] < len(self._names.instruments))
        exposures = exposures[known]
        exposures = exposures[entities["scope"][exposures["entity"]] == a.ACCOUNT]
        for name, text, column in (
            ("position", "Position in shares or contracts, short below zero.", "position_e8"),
            ("open_buy_quantity", "Quantity of open buy orders.", "open_buy_e8"),
            ("open_sell_quantity", "Quantity of open sell orders.", "open_sell_e8"),
        ):
            rows = exposures[self._largest(name, exposures[column])]
            yield self._gauge(name, text, ("account", "symbol"), self._quantities(rows, column))

    def _open_orders(self) -> Rows:
        entities = self._table("entities", int(self._s.entity_count))
        for row in np.flatnonzero(np.isin(entities["scope"], NAMED_SCOPES)).tolist():
            yield self._place(row), float(entities["open_orders"][row])
        for row in self._largest("open_orders", entities["open_orders"]):
            yield self._place(row), float(entities["open_orders"][row])

    def _quantities(self, exposures: np.ndarray, column: str) -> Rows:
        for x in exposures:
            account = self._names.entities[int(x["entity"])][1]
            yield (account, self._names.instruments[int(x["instrument"])]), int(x[column]) / E8

    def _of_parameters(self) -> Iterator[Metric]:
        s = self._s
        sources = self._table("sources", int(s.source_count))
        named = [(bytes(x["name"][: x["name_size"]]).decode("utf-8", "replace"), x) for x in sources]
        yield self._gauge(
            *(
                "source_up",
                "1 when the publisher is alive; of kind by_hand silence is no fault.",
                ("source", "kind"),
            ),
            [((name, kind), float(x["up"])) for (name, x), kind in zip(named, self._kinds, strict=False)],
        )
        yield self._counter(
            *("source_pushes_total", "What the publisher has pushed.", ("source",)),
            [
                ((name,), float(x["pushes"]))
                for (name, x), kind in zip(named, self._kinds, strict=False)
                if kind != "quotes"
            ],
        )
        yield self._word("parameter_epoch", "Epoch of the last pushed limit that was applied.", "parameter_epoch")
        yield self._word("parameter_model", "Model that it came from.", "parameter_model")
        yield from self._of_pushed([name for name, _ in named])

    def _of_pushed(self, sources: list[str]) -> Iterator[Metric]:
        """Of each pushed limit, in the unit of limits.yaml and in seconds: what holds, and how old it is."""
        now_ns = time.monotonic_ns() + int(self._s.time_base_ns)
        pushed = [x for x in self._table("parameters", int(self._s.parameter_count)) if self._is_known(x, len(sources))]
        if len(pushed) > SERIES:
            self._left_out["limit"] = len(pushed) - SERIES
            pushed = pushed[:SERIES]
        places = [self._pushed_place(x) for x in pushed]
        pair_of = self._pairs() if any(x["instrument"] != NONE for x in pushed) else {}
        for name, text, values in (
            (
                "limit",
                "Pushed limit in force, in the unit of limits.yaml.",
                [self._in_force(x, pair_of) for x in pushed],
            ),
            ("limit_floor", "Below this the limit is not pushed.", [int(x["floor"]) for x in pushed]),
            ("limit_ceiling", "What a person set: above this it is not pushed.", [int(x["ceiling"]) for x in pushed]),
        ):
            rows = [
                (place, in_unit(int(x["limit"]), value))
                for place, x, value in zip(places, pushed, values, strict=True)
                if value != UNSET
            ]
            yield self._gauge(name, text, ("scope", "name", "symbol", "limit"), rows)
        by_source = [(sources[int(x["source"])], *place) for x, place in zip(pushed, places, strict=True)]
        labels = ("source", "scope", "name", "symbol", "limit")
        for name, text, told in (
            (
                "parameter_age_seconds",
                "Time since the limit was last pushed.",
                [(now_ns - x["told_ns"]) / 1e9 for x in pushed],
            ),
            ("parameter_held", "1 when it is held where it was.", [x["state"] == a.HELD for x in pushed]),
        ):
            yield self._gauge(name, text, labels, zip(by_source, map(float, told), strict=True))

    def _is_known(self, x: Any, sources: int) -> bool:
        """Whether a row of `parameters` is in use and names what there is; one may be being written."""
        return (
            x["state"] in (a.VALID, a.HELD)
            and 0 <= x["source"] < sources
            and 0 <= x["entity"] < len(self._names.entities)
            and NONE <= x["instrument"] < len(self._names.instruments)
            and 0 <= x["limit"] < a.LIMITS
        )

    def _pushed_place(self, x: Any) -> tuple[str, str, str, str]:
        symbol = self._names.instrument(int(x["instrument"])) or ""
        return *self._place(int(x["entity"])), symbol, LIMITS[int(x["limit"])].key

    def _pairs(self) -> dict[tuple[int, int], int]:
        """Row of `pairs` by entity and instrument."""
        exposures = self._table("exposures", int(self._s.exposure_count))
        rows = exposures[np.flatnonzero(exposures["pair"] != NONE)]
        return {(int(x["entity"]), int(x["instrument"])): int(x["pair"]) for x in rows}

    def _in_force(self, x: Any, pair_of: dict[tuple[int, int], int]) -> int:
        entity, instrument, limit = int(x["entity"]), int(x["instrument"]), int(x["limit"])
        if instrument == NONE:
            return int(self._s.entities[entity].limit[limit])
        pair = pair_of.get((entity, instrument), NONE)
        return int(self._s.pairs[pair].limit[limit]) if 0 <= pair < self._s.pairs.size else UNSET

    def _of_capacity(self) -> Iterator[Metric]:
        s = self._s
        used = {
            "orders": int(s.order_count) - int(s.order_free_count),
            "requests": int(s.request_count) - int(s.request_free_count),
            "parameters": int(s.parameter_count),
        }
        for table in ("execution", "exposure", "instrument", "pair", "session"):
            used[table + "s"] = int(s[table + "_count"])
        used["entities"] = int(s.entity_count)
        yield self._gauge(
            *("table_used_ratio", "Part of a table that is used; orders are refused when it is full.", ("table",)),
            [((table,), count / s[table].size) for table, count in used.items()],
        )
        yield self._total("trading_days_total", "Trading days ended.", "days")
        yield self._gauge(
            *("series_left_out", "Series of a family that are not shown, because there are too many.", ("family",)),
            [((f"tidegate_{name}",), float(count)) for name, count in self._left_out.items()],
        )


def in_unit(limit: int, value: int) -> float:
    """A limit's value in the unit of limits.yaml, a duration in seconds; unlimited is +Inf."""
    return float("inf") if value >= UNLIMITED else value / SCALE[LIMITS[limit].kind]
