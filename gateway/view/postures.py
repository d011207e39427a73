"""Postures that are not normal, and exits through a halt, as a running gateway has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from gateway.core import layout as a
from gateway.fix.layout import E8
from gateway.state.memory import State
from gateway.state.names import Names
from gateway.view.figures import Clock, plain

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class PostureView:
    """The posture of an entity that is not normal."""

    where: str
    posture: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ExitView:
    """An exit that is open: how much may still pass, and until when."""

    where: str
    symbol: str
    left: Decimal
    until: datetime


def postures_of(state: State, clock: Clock) -> list[PostureView]:
    """Postures that are not normal, the strictest first."""
    entities = np.array(state.record["entities"][["posture", "posture_ns"]][: len(state.entities)])
    rows = np.flatnonzero((entities["posture"] > a.NORMAL) & (entities["posture"] < len(a.POSTURE_NAMES)))
    rows = rows[np.argsort(-entities["posture"][rows], kind="stable")]
    names = Names(state)
    return [
        PostureView(
            names.place(int(row)) or "?",
            a.POSTURE_NAMES[entities["posture"][row]],
            clock.time(entities["posture_ns"][row]),
        )
        for row in rows
    ]


def exits_of(state: State, clock: Clock) -> list[ExitView]:
    """Exits that are open."""
    names = Names(state)
    exits = np.array(state.record["exits"][: min(int(state.record.exit_count), a.EXITS)])
    return [
        ExitView(
            names.place(int(x["entity"])) or "?",
            str(names.instrument(int(x["instrument"]))),
            Decimal(int(x["left_e8"])) / E8,
            clock.time(x["until_ns"]),
        )
        for x in exits
        if x["left_e8"] > 0
    ]


def posture_tables(postures: list[PostureView], exits: list[ExitView]) -> Iterator[Table]:
    """The same for people, without what is empty."""
    from gateway.view.table import table

    if postures:
        made = table("scope", "posture", "set since (UTC)", title="\npostures")
        for x in postures:
            made.add_row(x.where, x.posture, f"{x.since:%Y-%m-%d %H:%M:%S}")
        yield made
    if exits:
        made = table("scope", "instrument", "left", "until (UTC)", right=("left",), title="\nexits through a halt")
        for e in exits:
            made.add_row(e.where, e.symbol, plain(e.left), f"{e.until:%Y-%m-%d %H:%M:%S}")
        yield made
