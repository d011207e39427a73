"""`tidegate replay`: a journal replayed, looked into, and judged again under other limits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from gateway.cli.console import one_line_errors, progress, refuse, tables

if TYPE_CHECKING:
    from gateway.replay.history import History

DIFFERS = 1
SHOWN_DIFFERENCES = 3


app = typer.Typer()


@app.command()
def replay(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="journal folder, or its state folder")],
    until: Annotated[
        str | None,
        typer.Option(
            metavar="SEQUENCE|TIME",
            help="stop after the event whose COMMIT has this number, or at this ISO 8601 time (UTC where it names no "
            "zone), and print the state: open orders, positions, sessions, fault",
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="time line of one order; ID: the EMS's ClOrdID (SESSION:CLORDID where several sessions used it), "
            "our OrderID, or the ClOrdID of a child",
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="why an order or replace was accepted or refused, with all numbers seen; ID as in --order",
        ),
    ] = None,
    with_limits: Annotated[
        Path | None,
        typer.Option("--with", metavar="FILE", help="judge the recorded orders again under this limits.yaml"),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="with --with: write all orders decided otherwise")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="with --with: draw refusals over time and use of limits (needs matplotlib)")
    ] = None,
) -> None:
    """Rebuild every output from a journal and compare it with what was sent; or look into the journal by an option.

    Exit status: 0 when all is equal, 1 when something differs, 2 when the journal or an option cannot be used.
    """
    console = tables()
    chosen = [x for x in (until, order, explain, with_limits) if x is not None]
    if len(chosen) > 1:
        refuse("want one of --until, --order, --explain, --with at a time")
    if with_limits is None and (csv or plot):
        refuse("--csv and --plot: want --with FILE beside them")
    from gateway.replay.history import History

    with one_line_errors():
        history = History(journal)
        if until is not None:
            _print_state(console, history, until)
        elif order is not None:
            _print_order(console, history, order)
        elif explain is not None:
            _print_explanations(console, history, explain)
        elif with_limits is not None:
            _print_what_if(console, history, with_limits, csv, plot)
        else:
            _print_comparison(console, history)


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def _print_comparison(console: Console, history: History) -> None:
    from gateway.replay.compare import compare, differing_events
    from gateway.replay.show import difference_table

    with progress("replaying") as watch:
        comparison = compare(history, watch)
    replayer = comparison.replayer
    console.print(f"{history.folder}: {comparison.segments} segments, from {history.beginning}", soft_wrap=True)
    console.print(
        f"{replayer.events:,} events, {comparison.outputs:,} outputs, {replayer.differences:,} events differ "
        f"({comparison.rate:,.0f} events/s)"
    )
    if replayer.differences:
        for difference in differing_events(history, comparison, SHOWN_DIFFERENCES):
            console.print(difference_table(difference))
        raise typer.Exit(DIFFERS)


def _print_state(console: Console, history: History, until: str) -> None:
    from gateway.replay.history import state_at
    from gateway.replay.show import state_tables

    with progress("replaying") as watch:
        moment = state_at(history, until, watch)
    _print(console, state_tables(moment))


def _print_order(console: Console, history: History, wanted: str) -> None:
    from gateway.replay.explain import find_order
    from gateway.replay.show import order_table

    with progress("searching") as watch:
        found = find_order(history, wanted, watch)
    console.print(order_table(found))


def _print_explanations(console: Console, history: History, wanted: str) -> None:
    from gateway.replay.explain import explain
    from gateway.replay.show import explanation

    with progress("replaying") as watch:
        found = explain(history, wanted, watch)
    for x in found:
        _print(console, explanation(x))
        console.print()


def _print_what_if(console: Console, history: History, limits: Path, csv: Path | None, plot: Path | None) -> None:
    from gateway.replay import show_what_if
    from gateway.replay.what_if import what_if

    if plot is not None:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            refuse("--plot: matplotlib is not installed, want it: pip install matplotlib")
    with progress("judging again") as watch:
        result = what_if(history, limits, watch)
    _print(console, show_what_if.what_if_tables(result))
    if csv is not None:
        show_what_if.write_changes(result, csv)
        console.print(f"{csv}: {len(result.changes):,} orders", soft_wrap=True)
    if plot is not None:
        show_what_if.plot(result, plot)
        console.print(f"{plot}: written", soft_wrap=True)
    if result.differences:
        raise typer.Exit(DIFFERS)
