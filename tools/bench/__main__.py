"""Run the benchmarks: `python -m tools.bench`."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway import __version__
from tools.bench.core import CorePlan, run_core
from tools.bench.journal import MILLION, JournalPlan, run_journal
from tools.bench.loaded import BenchmarkError
from tools.bench.report import print_tables, write_json, write_plot
from tools.bench.wire import WirePlan, run_wire

SHORT_CORE = replace(CorePlan(), batches=150, single_calls=500, syncs=50)
SHORT_JOURNAL = replace(JournalPlan(), rounds=1)
SHORT_WIRE = replace(WirePlan(), seconds=1.0, rounds=1, throughput_seconds=0.5, throughput_messages=50_000)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "tidegate": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
    }


def run(
    core: CorePlan, journal: JournalPlan | None, wire: WirePlan | None, folder: Path, console: Console
) -> dict[str, Any]:
    """Run the plans with progress, print the tables and write `bench.json` and `bench.png` to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine()}
    steps = len(core.instruments) * len(core.open_orders) + 2
    steps += 3 if journal else 0
    steps += wire.rounds * len(wire.targets) if wire else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=steps, completed=-1)

        def show(text: str) -> None:
            progress.update(task, description=text, advance=1)

        results["core"] = run_core(core, show)
        if journal is not None:
            results["journal"] = run_journal(journal, show)
        if wire is not None:
            results["wire"] = run_wire(wire, show)
    print_tables(results, console)
    for path in (write_json(results, folder), write_plot(results, folder)):
        console.print(f"written: {path}")
    return results


def main(
    short: Annotated[bool, typer.Option("--short", help="Fewer batches and rounds: under two minutes.")] = False,
    core_only: Annotated[bool, typer.Option("--core-only", help="Leave replay, recovery and the wire out.")] = False,
    million: Annotated[bool, typer.Option("--million", help="A journal of a million orders: 2.3 GB in /tmp.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path("bench-results"),
) -> None:
    """Measure the compiled core, without and with a journal, replay and recovery, and the gateway on the wire."""
    core = SHORT_CORE if short else CorePlan()
    journal = MILLION if million else SHORT_JOURNAL if short else JournalPlan()
    wire = SHORT_WIRE if short else WirePlan()
    try:
        console = Console(width=None if sys.stdout.isatty() else 140)
        run(core, None if core_only else journal, None if core_only else wire, out, console)
    except BenchmarkError as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
