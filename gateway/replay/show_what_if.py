"""What other limits would have decided, for people: tables, a CSV file, a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import RenderableType

from gateway.core import catalogue as c
from gateway.core import layout as a
from gateway.fix import tags as t
from gateway.replay.history import wall_text
from gateway.replay.what_if import WINDOW_LIMITS, Change, WhatIf
from gateway.state.names import SIDES
from gateway.view.figures import fixed
from gateway.view.table import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_CHANGES = 20
BINS = 60
MOST_USED = 2.0  # what uses more of a limit is drawn there
COLUMNS = ("time", "sequence", "session", "cl_ord_id", "message", "symbol", "side", "quantity", "price", "notional")
NOTE = (
    "Every order was judged in the state that was recorded; the history behind it stays as it was: "
    "no other fills, cancels or positions are simulated."
)


def what_if_tables(result: WhatIf) -> Iterator[RenderableType]:
    """Counts by check and entity, and the first orders on which the other limits decide otherwise."""
    changed = ", ".join(limit.key for limit in c.LIMITS if limit.index in result.changed_limits)
    yield f"{result.decided:,} orders and replaces judged again; limits that differ: {changed or 'none'}"
    yield NOTE
    tallies = {
        "refused then": result.refused_then,
        "refused now": result.refused_now,
        "newly refused": result.newly_refused,
        "newly accepted": result.newly_accepted,
    }
    numbers = [column for name in tallies for column in (name, f"{result.currency} {name}")]
    counts = table("check", "limit stands at", *numbers, right=numbers, title="by check and entity")
    for place in sorted({place for tally in tallies.values() for place in tally.count}):
        cells = [(tally.count[place], tally.notional_e4[place]) for tally in tallies.values()]
        counts.add_row(*place, *(text for cell in cells for text in _cells(*cell)))
    counts.add_section()
    totals = [(result.orders[name], result.notional_e4[name]) for name in tallies]
    counts.add_row("orders", "", *(text for cell in totals for text in _cells(*cell)))
    yield counts
    yield "An order that several limits refuse counts at each of them, and once in the last line."
    if result.changes:
        yield _change_table(result.changes)
    if result.snapshot and a.MESSAGE_WINDOW in result.changed_limits:
        yield f"The replay began with {result.snapshot}: in the first message_window after it, counts can be too low"
    if result.differences:
        yield f"{result.differences} events replay to something else than was sent: these results are in doubt"


def _cells(count: int, notional_e4: int) -> tuple[str, str]:
    return (f"{count:,}", fixed(notional_e4, 4)) if count else ("", "")


def _change_table(changes: list[Change]) -> RenderableType:
    made = table(*COLUMNS, "then", "now", right=COLUMNS[-3:], title=f"orders decided otherwise: {len(changes):,}")
    for change in changes[:SHOWN_CHANGES]:
        made.add_row(*_change_cells(change))
    if len(changes) > SHOWN_CHANGES:
        made.caption = f"and {len(changes) - SHOWN_CHANGES:,} more; --csv writes all"
    return made


def _change_cells(x: Change) -> list[str]:
    message = "replace" if x.message_type == t.ORDER_CANCEL_REPLACE_REQUEST else "new"
    numbers = (fixed(x.qty_e8, 8), fixed(x.price_e8, 8) if x.price_e8 else "", fixed(max(x.notional_e4, 0), 4))
    verdicts = ("; ".join(x.then) or "accepted", "; ".join(x.now) or "accepted")
    side = SIDES.get(x.side, "")
    return [
        *(wall_text(x.wall_ns), str(x.sequence), x.session, x.cl_ord_id, message, x.symbol, side),
        *(*numbers, *verdicts),
    ]


def write_changes(result: WhatIf, path: Path) -> None:
    """All orders on which the other limits decide otherwise, as CSV; raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "then", "now"])
        for change in result.changes:
            cells = _change_cells(change)
            writer.writerow([*cells[:7], *(cell.replace(",", "") for cell in cells[7:10]), *cells[10:]])


def plot(result: WhatIf, path: Path) -> None:
    """Draw refusals over time by check, then and now, and how much of each changed limit the orders use.

    Raises ImportError without matplotlib, OSError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    drawn = [limit for limit in sorted(result.changed_limits) if limit not in WINDOW_LIMITS]
    figure = Figure(figsize=(11, 4 * (1 + len(drawn))), layout="constrained")
    axes = figure.subplots(1 + len(drawn), 1, squeeze=False)[:, 0]
    _draw_refusals(axes[0], result)
    for axis, limit in zip(axes[1:], drawn, strict=True):
        _draw_used(axis, result, limit)
    figure.savefig(path)


def _draw_refusals(axis: Axes, result: WhatIf) -> None:
    times = np.array([wall_ns for wall_ns, _, _ in result.refusals], np.int64)
    masks = np.array([[then, now] for _, then, now in result.refusals], np.int64).reshape(-1, 2)
    edges = np.linspace(times.min(), times.max() + 1, BINS + 1).astype(np.int64) if times.size else None
    for check in c.CHECKS:
        fired = masks >> check.id & 1 == 1
        if edges is None or not fired.any():
            continue
        (then, _), (now, _) = (np.histogram(times[fired[:, k]], edges) for k in (0, 1))
        places = edges[:-1].astype("datetime64[ns]")
        (line,) = axis.step(places, now, where="post", label=f"{check.name} now")
        axis.step(places, then, where="post", linestyle="--", color=line.get_color(), label=f"{check.name} then")
    axis.set(title="orders refused, by check", ylabel="orders", xlabel="time (UTC)")
    if times.size:
        axis.legend()


def _draw_used(axis: Axes, result: WhatIf, limit: int) -> None:
    edges = np.linspace(0, MOST_USED, BINS + 1)
    for name, rows in (("then", result.used_then), ("now", result.used_now)):
        used = np.array([row[limit] for row in rows])
        used = np.clip(used[~np.isnan(used)], 0, MOST_USED)
        label = f"{name} ({used.size} orders had a limit)"
        axis.hist(used, edges.tolist(), histtype="step", label=label)
    axis.axvline(1, color="grey", linewidth=1)
    axis.set(title=f"{c.LIMITS[limit].key}: value / limit", ylabel="orders", xlabel="1 is the limit")
    axis.legend()
