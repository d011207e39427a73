"""Write a report as Markdown, or as one HTML file with its plots in it."""

from __future__ import annotations

import base64
import html
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from gateway.audit.report import Report, Section

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}th,td{border-bottom:1px solid #ddd;padding:.25em .8em;"
    "text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}"
)
NOTHING = "None."
NO_PLOTS = "Plots are left out: they need matplotlib (`pip install matplotlib`)."
BINS = 60


def to_markdown(report: Report) -> str:
    """The report as Markdown, without plots."""
    parts = [f"# {report.title}\n"]
    for section in report.sections:
        parts.append(f"\n## {section.heading}\n\n")
        if section.text:
            parts.append(section.text + "\n\n")
        if section.rows:
            parts += [_markdown_row(section.header), _markdown_row(("---",) * len(section.header))]
            parts += map(_markdown_row, section.rows)
        elif section.header:
            parts.append(NOTHING + "\n")
    return "".join(parts)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def to_html(report: Report) -> str:
    """The report as one HTML file; the plots are left out where matplotlib is not installed."""
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(report.title)}</title>']
    parts += [f"<style>{STYLE}</style><h1>{html.escape(report.title)}</h1>"]
    for section in report.sections:
        parts.append(_html_section(section))
    parts.append("<h2>Plots</h2>")
    try:
        plots = _plots(report)
    except ImportError:
        parts.append(f"<p>{NO_PLOTS}</p>")
    else:
        for name, png in plots:
            data = base64.b64encode(png).decode()
            parts.append(f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,{data}"></p>')
        parts.append("" if plots else f"<p>{NOTHING}</p>")
    return "".join(parts) + "</html>\n"


def _html_section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.rows:
        parts.append("<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in section.header) + "</tr>")
        for row in section.rows:
            parts.append("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>")
        parts.append("</table>")
    elif section.header:
        parts.append(f"<p>{NOTHING}</p>")
    return "".join(parts)


def _cell(text: str) -> str:
    number = text.replace(",", "").replace(".", "").removeprefix("-").removesuffix(" %").isdigit()
    return f"<td{' class=n' if number else ''}>{html.escape(text)}</td>"


def _plots(report: Report) -> list[tuple[str, bytes]]:
    """Orders over time, latency, and refusals by check, as PNG; raises ImportError without matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["font.size"] = 9
    plots: list[tuple[str, bytes]] = []

    def keep(name: str, figure: Figure) -> None:
        figure.suptitle(name)
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        plots.append((name, data.getvalue()))

    if report.wall_ns.size:
        figure = Figure((9, 3), layout="constrained")
        axes = figure.add_subplot()
        zone = ZoneInfo(report.zone)
        edges = np.linspace(report.wall_ns.min() / 1e9, report.wall_ns.max() / 1e9 + 1e-3, BINS + 1)
        times = [datetime.fromtimestamp(edge, UTC).astimezone(zone).replace(tzinfo=None) for edge in edges]
        for name, chosen in (("accepted", report.accepted), ("refused", ~report.accepted)):
            axes.stairs(np.histogram(report.wall_ns[chosen] / 1e9, edges)[0], np.array(times), label=name)
        axes.set(xlabel=report.zone, ylabel="orders and replaces")
        axes.legend()
        keep("Orders and replaces over time", figure)

        figure = Figure((9, 3), layout="constrained")
        axes = figure.add_subplot()
        took_us = np.maximum(report.took_ns, 1) / 1000
        axes.hist(took_us, np.geomspace(took_us.min(), took_us.max() * 1.001, BINS).tolist())
        axes.set(xscale="log", xlabel="microseconds", ylabel="orders and replaces")
        keep("Latency in the core", figure)
    if report.fired:
        figure = Figure((9, 0.6 + 0.25 * len(report.fired)), layout="constrained")
        axes = figure.add_subplot()
        names, counts = zip(*reversed(report.fired), strict=True)
        axes.barh(names, counts)
        axes.set(xlabel="orders and replaces refused")
        keep("Checks that fired", figure)
    return plots
