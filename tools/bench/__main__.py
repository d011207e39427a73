"""Run the benchmarks: `python -m tools.bench`, or some of them: `python -m tools.bench kill`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway import __version__
from tools.bench.controls import ControlsPlan, run_controls
from tools.bench.core import CorePlan, run_core
from tools.bench.journal import MILLION, JournalPlan, run_journal
from tools.bench.kill import KillPlan, run_kill
from tools.bench.loaded import BenchmarkError
from tools.bench.publish import PublishPlan, run_publish
from tools.bench.report import print_tables, write_json, write_plot
from tools.bench.scale import ScalePlan, run_scale
from tools.bench.service import ServicePlan, run_service
from tools.bench.wire import WirePlan, run_wire

BENCHMARKS: dict[str, Any] = {
    "core": run_core,
    "controls": run_controls,
    "journal": run_journal,
    "wire": run_wire,
    "scale": run_scale,
    "kill": run_kill,
    "service": run_service,
    "publish": run_publish,
}
PLANS: dict[str, Any] = {
    "core": CorePlan(),
    "controls": ControlsPlan(),
    "journal": JournalPlan(),
    "wire": WirePlan(),
    "scale": ScalePlan(),
    "kill": KillPlan(),
    "service": ServicePlan(),
    "publish": PublishPlan(),
}
BRIEF: dict[str, Any] = {
    "seconds": 1.0,
    "rounds": 1,
    "throughput_seconds": 0.5,
    "answered_messages": 2_000,
    "rest_s": 1.0,
}
SHORT: dict[str, Any] = {
    "core": replace(CorePlan(), batches=150, single_calls=500, syncs=50),
    "controls": replace(ControlsPlan(), batches=40, kills=3),
    "journal": replace(JournalPlan(), rounds=1),
    "wire": replace(WirePlan(), **BRIEF, throughput_messages=50_000),
    "scale": replace(ScalePlan(), wire=replace(ScalePlan().wire, **BRIEF | {"answered_messages": 0})),
    "kill": replace(KillPlan(), rounds=1),
    "service": replace(ServicePlan(), wire=replace(ServicePlan().wire, **BRIEF)),
    "publish": replace(PublishPlan(), wire=replace(PublishPlan().wire, **BRIEF)),
}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "tidegate": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
    }


def run(plans: Mapping[str, Any], folder: Path, console: Console) -> dict[str, Any]:
    """Run the benchmarks of these names by their plans with progress, print the tables, and write `bench.json` and
    `bench.png` to a folder; returns the results by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(plans))

        def show(text: str) -> None:
            progress.update(task, description=text)

        for name, plan in plans.items():
            of = machine()
            results[name] = BENCHMARKS[name](plan, show) | {"machine": of}
            progress.advance(task)
    print_tables(results, console)
    for path in filter(None, (write_json(results, folder), write_plot(results, folder))):
        console.print(f"written: {path}")
    return results


def chosen(names: list[str], short: bool, million: bool, before: Path | None) -> dict[str, Any]:
    """The plans of these benchmarks, of all when none is named; raises ValueError for a name that there is not."""
    for name in names:
        if name not in BENCHMARKS:
            raise ValueError(f"{name}: want one of {', '.join(BENCHMARKS)}")
    plans = {name: plan for name, plan in (SHORT if short else PLANS).items() if name in names or not names}
    if million and "journal" in plans:
        plans["journal"] = MILLION
    for name in {"core", "service"} & plans.keys():
        plans[name] = replace(plans[name], before=before)
    return plans


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(BENCHMARKS)}; all when none is named.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Fewer batches and rounds: a few minutes for all.")] = False,
    million: Annotated[bool, typer.Option("--million", help="A journal of a million orders: 2.3 GB in /tmp.")] = False,
    before: Annotated[
        Path | None,
        typer.Option(help="Another checkout, its kernels compiled, that takes turns in `core` and `service`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path("bench-results"),
) -> None:
    """Measure the gateway.

    core: compiled code alone, without and with a journal. controls: the same with a switch set and limits pushed, and
    the cancels of a kill. journal: replay and recovery. wire: latency and throughput against relays that check nothing.
    scale: that with more sessions, open orders, instruments.
    kill: a kill on the wire. service: what Python does for each order. publish: pushed limits and quotes.
    """
    try:
        console = Console(width=None if sys.stdout.isatty() else 140)
        run(chosen(names or [], short, million, before), out, console)
    except (BenchmarkError, ValueError) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
