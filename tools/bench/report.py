"""What a benchmark found: a table for the terminal, a JSON file, a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench.core import SYNCED, UNSYNCED, WITHOUT
from tools.bench.relay import QUICKFIX_FILE, QUICKFIX_MEMORY, RAW

RATIO_TO = (RAW, QUICKFIX_MEMORY, QUICKFIX_FILE)
ACCEPTED = (
    (WITHOUT, "no journal"),
    (UNSYNCED, "journal, not synced"),
    (SYNCED, "journal, synced every 10 ms"),
)
PATHS = (
    ("index", "index only"),
    ("validate", "validate only"),
    ("reject", "order refused"),
    ("venue_report", "venue's report"),
    ("single_call_from_python", "one call from Python"),
)


def _case_table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("instruments", justify="right")
    table.add_column("open orders", justify="right")
    return table


def _accepted_table(core: dict[str, Any]) -> Table:
    table = _case_table("Core alone, an order accepted, ns: median / p99 over orders")
    for _, name in ACCEPTED:
        table.add_column(name, justify="right")
    table.add_column("x no journal, by batches", justify="right")
    table.add_column("budget, synced every 10 ms", justify="right")
    for case in core["cases"]:
        each = case["each_order"]
        cells = [f"{each[path]['p50_ns']:,.0f} / {each[path]['p99_ns']:,.0f}" for path, _ in ACCEPTED]
        cells.append(", ".join(f"{case[path]['times_without']:.2f}" for path in (UNSYNCED, SYNCED)))
        budget = case["budget_ns"]
        verdict = "within" if budget is not None and each[SYNCED]["p50_ns"] <= budget else "[red]over[/red]"
        cells.append("none" if budget is None else f"{budget:,} {verdict}")
        table.add_row(f"{case['instruments']:,}", f"{case['open_orders']:,}", *cells)
    touch, one, batch = core["accept_first_touch"], core["before_send"]["each"], core["before_send"]["batch"]
    table.caption = (
        f"no journal, in memory not touched before: {touch['p50_ns']:,.0f} / {touch['p99_ns']:,.0f} ns by batches\n"
        f"synced before send: {one['p50_ns'] / 1e3:,.0f} / {one['p99_ns'] / 1e3:,.0f} µs one by one, "
        f"{batch['p50_ns'] / 1e3:,.1f} / {batch['p99_ns'] / 1e3:,.1f} µs an order in batches of {core['sync_batch']}"
    )
    return table


def _paths_table(core: dict[str, Any]) -> Table:
    table = _case_table("Core alone, ns an event: median / p99 over batches")
    for _, name in PATHS:
        table.add_column(name, justify="right")
    for case in core["cases"]:
        cells = [f"{case[path]['p50_ns']:,.0f} / {case[path]['p99_ns']:,.0f}" for path, _ in PATHS]
        table.add_row(f"{case['instruments']:,}", f"{case['open_orders']:,}", *cells)
    return table


def _journal_table(journal: dict[str, Any]) -> Table:
    replay, recovery = journal["replay"], journal["recovery"]
    table = Table(title=f"Journal of {journal['orders']:,} orders, {journal['bytes'] / 1e9:,.2f} GB, in the page cache")
    table.add_column("what")
    table.add_column("took, s", justify="right")
    table.add_column("events a second", justify="right")
    for key, name in (("read_s", "replay: read"), ("scan_s", "replay: scan"), ("apply_s", "replay: apply")):
        table.add_row(name, f"{replay[key]:.2f}", f"{replay['events'] / replay[key]:,.0f}")
    verdict = "within" if replay["events_per_s"] >= replay["budget"] else "[red]over[/red]"
    budget = f"{replay['events_per_s']:,.0f}; budget {replay['budget']:,} {verdict}"
    table.add_row("replay: all", f"{replay['events'] / replay['events_per_s']:.2f}", budget)
    table.add_row("recovery from the journal alone", f"{recovery['journal_s']:.2f}")
    behind, segments = recovery["segments_behind_snapshot"], recovery["segments"]
    table.add_row(f"recovery from a snapshot and {behind} of {segments} segments", f"{recovery['snapshot_s']:.2f}")
    return table


def _latency_table(summary: dict[str, Any], rates: list[str]) -> Table:
    table = Table(title="One-way latency, µs; ratios to the others in the same round (medians over rounds)")
    for heading in ("through", "msg/s", "p50", "p90", "p99"):
        table.add_column(heading, justify="left" if heading == "through" else "right")
    others = [other for other in RATIO_TO if other in summary]
    for other in others:
        table.add_column(f"p50, p99 x {other}", justify="right")
    for rate in rates:
        for target, row in summary.items():
            latency = row[rate]["latency_us"]
            ratios = [f"{row[rate]['p50_ratio'][other]:.2f}, {row[rate]['p99_ratio'][other]:.2f}" for other in others]
            table.add_row(target, f"{int(rate):,}", *(f"{latency[p]:,.1f}" for p in ("p50", "p90", "p99")), *ratios)
        table.add_section()
    return table


def _throughput_table(wire: dict[str, Any]) -> Table:
    summary = wire["summary"]
    others = [other for other in RATIO_TO if other in summary]
    table = Table(title=f"Throughput, {wire['window']} orders under way")
    table.add_column("through")
    table.add_column("msg/s", justify="right")
    for other in others:
        table.add_column(f"x {other}", justify="right")
    for target, row in summary.items():
        ratios = [f"{row['throughput_ratio'][other]:.3g}" for other in others]
        table.add_row(target, f"{row['messages_per_s']:,.0f}", *ratios)
    return table


def _rates(wire: dict[str, Any]) -> list[str]:
    return [key for key in next(iter(wire["summary"].values())) if key.isdigit()]


def print_tables(results: dict[str, Any], console: Console) -> None:
    """Print the results to a terminal."""
    console.print(_accepted_table(results["core"]))
    console.print(_paths_table(results["core"]))
    if "journal" in results:
        console.print(_journal_table(results["journal"]))
    if "wire" in results:
        console.print(_latency_table(results["wire"]["summary"], _rates(results["wire"])))
        console.print(_throughput_table(results["wire"]))


def write_json(results: dict[str, Any], folder: Path) -> Path:
    """Write everything that was measured; returns the file."""
    path = folder / "bench.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    return path


def write_plot(results: dict[str, Any], folder: Path) -> Path:
    """Draw the results; returns the file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = 3 if "wire" in results else 1
    figure, axes = pyplot.subplots(rows, 1, figsize=(11, 5 * rows), squeeze=False, layout="constrained")
    _plot_core(axes[0][0], results["core"])
    if "wire" in results:
        _plot_latency(axes[1][0], results["wire"])
        _plot_ratios(axes[2][0], results["wire"])
    path = folder / "bench.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _plot_core(axes: Any, core: dict[str, Any]) -> None:
    cases = core["cases"]
    shown = (*ACCEPTED, *PATHS[:-1])
    width = 0.8 / len(shown)
    for k, (path, name) in enumerate(shown):
        places = [n + (k - (len(shown) - 1) / 2) * width for n in range(len(cases))]
        figures = [case["each_order"].get(path, case[path]) for case in cases]
        values = [figure["p50_ns"] / 1e3 for figure in figures]
        drawn = axes.bar(places, values, width, label=name)
        axes.bar_label(drawn, fmt="%.1f", fontsize=8)
        axes.scatter(places, [figure["p99_ns"] / 1e3 for figure in figures], marker="_", color="black", zorder=3)
    for n, case in enumerate(cases):
        if case["budget_ns"] is not None:
            label = "budget for an accepted order, synced every 10 ms" if n == 0 else None
            axes.hlines(case["budget_ns"] / 1e3, n - 0.45, n + 0.45, color="black", linestyle="--", label=label)
    axes.set_xticks(
        range(len(cases)), [f"{c['instruments']:,} instruments\n{c['open_orders']:,} open orders" for c in cases]
    )
    axes.set_yscale("log")
    axes.set_ylabel("µs an event")
    axes.set_title("Core alone (bars: medians; short lines: p99; orders accepted one by one, the rest by batches)")
    axes.legend(ncols=3, fontsize=9)
    axes.set_ylim(top=axes.get_ylim()[1] * 3)


def _plot_latency(axes: Any, wire: dict[str, Any]) -> None:
    rate = _rates(wire)[-1]
    for target, row in wire["summary"].items():
        latency = row[rate]["latency_us"]
        points = [float(p[1:]) for p in latency]
        # Nines on the axis: each step to the right is a rarer message.
        axes.plot([100 / (100 - p) for p in points], list(latency.values()), marker="o", label=target)
    ticks = (50, 75, 90, 99, 99.9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([100 / (100 - p) for p in ticks], [f"{p:g} %" for p in ticks])
    axes.minorticks_off()
    axes.set_xlabel("messages at least as quick")
    axes.set_ylabel("one-way latency, µs")
    axes.set_title(f"EMS socket to venue socket, {int(rate):,} messages a second (medians over rounds)")
    axes.grid(True, alpha=0.3)
    axes.legend()


def _plot_ratios(axes: Any, wire: dict[str, Any]) -> None:
    summary = {target: row for target, row in wire["summary"].items() if target != RAW}
    bars = [(rate, p) for rate in _rates(wire) for p in ("p50", "p99")]
    width = 0.8 / max(len(summary), 1)
    for k, (target, row) in enumerate(summary.items()):
        places = [n + (k - (len(summary) - 1) / 2) * width for n in range(len(bars))]
        drawn = axes.bar(places, [row[rate][f"{p}_ratio"].get(RAW, 0.0) for rate, p in bars], width, label=target)
        axes.bar_label(drawn, fmt="%.1f", fontsize=8)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(range(len(bars)), [f"{p}\n{int(rate):,} msg/s" for rate, p in bars])
    axes.set_ylabel(f"times the latency of {RAW}")
    axes.set_title("Latency against the raw byte relay, ratios taken within a round (medians over rounds)")
    axes.legend()
