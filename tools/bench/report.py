"""What a benchmark found: a table for the terminal, a JSON file, a plot."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench.controls import KILLED, PLAIN, PUSHED
from tools.bench.core import SYNCED, UNSYNCED, WITHOUT
from tools.bench.publish import NO_QUOTES
from tools.bench.relay import QUICKFIX_CPP_FILE, QUICKFIX_CPP_MEMORY, RAW
from tools.bench.scale import PLAIN_NAME
from tools.bench.service import BEFORE, NO_LINES

RATIO_TO = (RAW, QUICKFIX_CPP_MEMORY, QUICKFIX_CPP_FILE)
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
    if "compared" in core:
        x = core["compared"]
        spread = f"{min(x['now_ns']):,.0f} to {max(x['now_ns']):,.0f} ns"
        table.caption += f"\n{x['times_before']:.3f} x the other checkout, in a round ({spread}; medians over batches)"
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


def _controls_table(controls: dict[str, Any]) -> Table:
    table = Table(title="Core alone, an order accepted, ns, no journal")
    for heading in ("while", "median", "p99"):
        table.add_column(heading, justify="left" if heading == "while" else "right")
    names = {PLAIN: "nothing is set", KILLED: "the switch of another strategy is set"}
    names[PUSHED] = f"{controls['limits']:,} limits are pushed"
    for path, name in names.items():
        figures = controls["accepted"][path]
        table.add_row(name, f"{figures['p50_ns']:,.0f}", f"{figures['p99_ns']:,.0f}")
    return table


def _sweeps_table(controls: dict[str, Any]) -> Table:
    table = Table(title="Core alone, a kill, µs (medians of each event)")
    for heading in ("of", "KILL event", "SWEEP events", "all events", "longest event"):
        table.add_column(heading, justify="left" if heading == "of" else "right")
    names = {
        "one_by_one": f"{controls['orders']:,} orders, one by one",
        "mass_cancel": f"{controls['orders']:,} orders, one mass cancel",
        "bystanders": f"none of {controls['bystanders']:,} orders",
    }
    for key, name in names.items():
        sweep = controls["sweeps"][key]
        times = [f"{sweep[key] / 1e3:,.0f}" for key in ("all_ns", "longest_ns")]
        table.add_row(name, f"{sweep['kill_ns'] / 1e3:,.0f}", f"{sweep['sweeps']:,}", *times)
    return table


def _kill_table(kill: dict[str, Any]) -> Table:
    table = Table(title=f"Kill of {kill['orders']:,} resting orders, ms from its set time (medians over rounds)")
    for heading in ("by", "first at the venue", "last at the venue", "the kill is x this, in a round"):
        table.add_column(heading, justify="left" if heading == "by" else "right")
    for target, row in kill["summary"].items():
        first = f"{row['first_ms']:,.1f}" if "first_ms" in row else ""
        table.add_row(target, first, f"{row['last_ms']:,.1f}", f"{row['times']:,.2f}")
    table.caption = "the others: the bytes of the cancels through a socket, as many messages through bare relays"
    return table


def _service_table(service: dict[str, Any]) -> Table:
    table = Table(title="The service in Python, processor time, µs")
    table.add_column("what")
    table.add_column("when")
    table.add_column("takes", justify="right")
    check = "verify the switch file, look after publishers"
    rows = (
        *(("look", "look at switches and three publishers", "before each event"),),
        *(("look_at_switches", "of that: switches", "before each event"), ("beat", "heartbeat", "before each event")),
        ("count", "count the latency", "each order message"),
        *(("line", "write its line, in another process", "each order message"), ("check", check, "every 100 ms")),
        ("check_with_switches", f"the same, {service['switches']} switches set", "every 100 ms"),
        ("password_hash", "hash of a password", "first logon"),
    )
    for key, what, when in rows:
        table.add_row(what, when, f"{service['ns'][key] / 1e3:,.2f}")
    return table


def _publish_table(publish: dict[str, Any]) -> Table:
    table = Table(
        title=f"Publishing, µs a change; {publish['limits']:,} limits and {publish['instruments']:,} quotes in use"
    )
    for heading in ("changes", "publisher", "feed", "core and journal", "taken a second"):
        table.add_column(heading, justify="left" if heading == "changes" else "right")
    for what, row in publish["taking"].items():
        times = [f"{row[key] / 1e3:,.1f}" for key in ("publish_ns", "feed_ns", "core_ns")]
        table.add_row(what, *times, f"{row['taken_per_s']:,.0f}")
    return table


def _latency_table(summary: dict[str, Any], rates: list[str], ratio_to: tuple[str, ...] = RATIO_TO) -> Table:
    table = Table(title="One-way latency, µs; ratios to the others in the same round (medians over rounds)")
    for heading in ("through", "msg/s", "p50", "p90", "p99", "p99.9", "p99.99"):
        table.add_column(heading, justify="left" if heading == "through" else "right")
    others = [other for other in ratio_to if other in summary]
    for other in others:
        table.add_column(f"p50, p99 x {other}", justify="right")
    for rate in rates:
        for target, row in summary.items():
            if rate not in row["rates"]:
                table.add_row(target, f"{int(rate):,}", "not carried")
                continue
            at = row["rates"][rate]
            ratios = [
                f"{at['p50_ratio'][other]:.2f}, {at['p99_ratio'][other]:.2f}" if other in at["p50_ratio"] else ""
                for other in others
            ]
            figures = [f"{at['latency_us'][p]:,.1f}" for p in ("p50", "p90", "p99", "p99.9", "p99.99")]
            table.add_row(target, f"{int(rate):,}", *figures, *ratios)
        table.add_section()
    return table


def _throughput_table(wire: dict[str, Any], ratio_to: tuple[str, ...] = RATIO_TO) -> Table:
    summary = wire["summary"]
    others = [other for other in ratio_to if other in summary]
    table = Table(title=f"Flat out, {wire['window']} orders under way; answered: with New and Fill for each order")
    table.add_column("through")
    for heading in ("orders/s", *(f"x {other}" for other in others), "answered, orders/s"):
        table.add_column(heading, justify="right")
    for other in others:
        table.add_column(f"x {other}", justify="right")
    table.add_column("processor time, µs an order: main thread, others, processes", justify="right")
    for target, row in summary.items():
        cells = [f"{row['messages_per_s']:,.0f}", *(f"{row['messages_per_s_ratio'][o]:.3g}" for o in others)]
        is_answered = "answered_per_s" in row
        cells.append(f"{row['answered_per_s']:,.0f}" if is_answered else "")
        cells += [f"{row['answered_per_s_ratio'][o]:.3g}" if is_answered else "" for o in others]
        table.add_row(target, *cells, ", ".join(f"{us:,.1f}" for us in row["cpu_us"].values()))
    return table


def _rates(wire: dict[str, Any]) -> list[str]:
    found = {rate for row in wire["summary"].values() for rate in row["rates"]}
    return sorted(found, key=int)


TABLES: dict[str, tuple[Callable[[dict[str, Any]], Table], ...]] = {
    "core": (_accepted_table, _paths_table),
    "controls": (_controls_table, _sweeps_table),
    "journal": (_journal_table,),
    "kill": (_kill_table,),
    "service": (_service_table,),
    "publish": (_publish_table,),
}
RATIOS = {"wire": RATIO_TO, "scale": (PLAIN_NAME,), "service": (NO_LINES, BEFORE), "publish": (NO_QUOTES,)}


def print_tables(results: dict[str, Any], console: Console) -> None:
    """Print the results to a terminal."""
    for name, tables in TABLES.items():
        for table in tables if name in results else ():
            console.print(table(results[name]))
    for name, ratio_to in RATIOS.items():
        if name in results:
            wire = results[name].get("wire", results[name])
            console.print(_latency_table(wire["summary"], _rates(wire), ratio_to))
            console.print(_throughput_table(wire, ratio_to))


def write_json(results: dict[str, Any], folder: Path) -> Path:
    """Write everything that was measured; returns the file. Results of other benchmarks in it stay."""
    path = folder / "bench.json"
    older = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(older | results, indent=2) + "\n")
    return path


def write_plot(results: dict[str, Any], folder: Path) -> Path | None:
    """Draw the results of the core and the wire; returns the file, None when there are none."""
    plots: list[Callable[[Any], None]] = []
    if "core" in results:
        plots.append(lambda axes: _plot_core(axes, results["core"]))
    if "wire" in results:
        for rate in _rates(results["wire"]):
            plots.append(functools.partial(_plot_latency, wire=results["wire"], rate=rate))
        plots.append(lambda axes: _plot_throughput(axes, results["wire"]))
    if not plots:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(plots), 1, figsize=(11, 5 * len(plots)), squeeze=False, layout="constrained")
    for plot, place in zip(plots, axes[:, 0], strict=True):
        plot(place)
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


def _plot_latency(axes: Any, wire: dict[str, Any], rate: str) -> None:
    for target, row in wire["summary"].items():
        if rate not in row["rates"]:
            continue
        latency = row["rates"][rate]["latency_us"]
        points = [float(p[1:]) for p in latency]
        # Nines on the axis: each step to the right is a rarer message.
        axes.plot([100 / (100 - p) for p in points], list(latency.values()), marker="o", label=target)
    ticks = (50, 75, 90, 99, 99.9, 99.99)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([100 / (100 - p) for p in ticks], [f"{p:g} %" for p in ticks])
    axes.minorticks_off()
    axes.set_xlabel("messages at least as quick")
    axes.set_ylabel("one-way latency, µs")
    axes.set_title(f"EMS socket to venue socket, {int(rate):,} messages a second (medians over rounds)")
    axes.grid(True, alpha=0.3)
    axes.legend()


def _plot_throughput(axes: Any, wire: dict[str, Any]) -> None:
    summary = wire["summary"]
    shown = {"messages_per_s": "one way", "answered_per_s": "with New and Fill for each order"}
    for k, (key, name) in enumerate(shown.items()):
        places = [n + (k - 0.5) * 0.4 for n in range(len(summary))]
        drawn = axes.barh(places, [row.get(key, 0.0) for row in summary.values()], 0.4, label=name)
        axes.bar_label(drawn, fmt="{:,.0f}", fontsize=8)
    axes.set_yticks(range(len(summary)), list(summary))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("orders a second")
    axes.set_title(f"Flat out, {wire['window']} orders under way (medians over rounds)")
    axes.legend()
