"""What a journal's state says, in words that outlive its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.journal.read import Entry, entries, read_segment
from gateway.state.memory import State


def known_of(state: State) -> dict[str, Any]:
    """Positions, open orders, counts, killed entities and limits that were pushed."""
    s = state.record
    names = {row: " ".join((a.SCOPE_NAMES[scope], name)).strip() for (scope, name), row in state.entities.items()}
    symbols = list(state.instruments)
    orders = s.orders[: s.order_count]
    return {
        "positions": {
            f"{names[int(x.entity)]} {symbols[int(x.instrument)]}": [
                int(value) for value in (x.position_e8, x.open_buy_e8, x.open_sell_e8)
            ]
            for x in s.exposures[: s.exposure_count]
            if x.position_e8 or x.open_buy_e8 or x.open_sell_e8
        },
        "orders": [
            [
                bytes(s.requests[o.first].cl_ord_id).rstrip(b"\0").decode(),
                f"{o.run}-{o.number}",
                chr(o.status),
                *(int(value) for value in (o.qty_e8, o.cum_e8, o.counted_open, o.doubt)),
                [names[int(row)] for row in o.entities if row != a.NONE],
            ]
            for o in orders
            if o.number != a.NONE
        ],
        "counts": {name: int(s[name]) for name in ("accepted_orders", "refused_orders", "days", "next_exec", "fault")},
        "killed": sorted(names[row] for row in names if s.entities[row].killed),
        "limits": {
            names[row]: {
                limit.key: int(s.entities[row].limit[limit.index])
                for limit in c.LIMITS
                if s.entities[row].limit[limit.index] != a.UNSET
            }
            for row in names
            if s.entities[row].limit_epoch.any()
        },
    }


def decisions_of(segment: Path) -> list[list[Any]]:
    """Of every order of a segment: whether it was accepted, its quantity, what it came to, and which checks fired at
    which value and bound.
    """
    decided = [x for x in entries(read_segment(segment)) if isinstance(x, Entry) and x.decision is not None]
    return [
        [
            int(x.decision["verdict"]),
            *(int(x.decision[name]) for name in ("qty_e8", "price_e8", "notional_e4", "reference_e8")),
            [[c.CHECKS[int(b["check"])].name, int(b["value"]), int(b["bound"])] for b in x.breaches],
        ]
        for x in decided
    ]
