"""`tidegate audit`: exports for an examiner, proof that they are whole, and the report of a day."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.console import one_line_errors, progress, refuse

FAILED = 1
ZONE = "in the zone of `day.zone` in the settings, else UTC, unless it has an offset (Z is UTC)"

app = typer.Typer(
    name="audit", no_args_is_help=True, help="Export the journal for an examiner, prove an export, report a day."
)

JournalArgument = Annotated[Path, typer.Argument(help="journal folder, or the state folder that holds it")]
DayOption = Annotated[
    str, typer.Option("--day", help="only this day, YYYY-MM-DD, in the zone of `day.zone` in the settings, else UTC")
]


@app.command()
def export(
    journal: JournalArgument,
    out: Annotated[Path, typer.Option("--out", help="folder of the exports; a later one is chained to those in it")],
    day: DayOption = "",
    start: Annotated[str, typer.Option("--from", help=f"only from this ISO time on, 2026-07-11T09:30:00, {ZONE}")] = "",
    end: Annotated[str, typer.Option("--to", help=f"only what is before this ISO time, {ZONE}")] = "",
) -> None:
    """Write decisions, limit changes, controls and executions as Parquet tables with hash chains and a manifest.

    Orders and replaces stand in `decisions` with every figure they were judged on; all settings in `limit_changes`;
    starts, stops, switches, overrides, faults and alerts in `controls`; fills, busts and corrections in `executions`.
    Keep the digest that is printed where nobody can change it: whoever can write to all files of an export can make a
    whole new one, and only the digest or the journal would show it.
    """
    from gateway.audit.export import export as write_export
    from gateway.audit.period import Period

    with one_line_errors(ValueError), progress("export") as watch:
        manifest = write_export(journal, out, Period(day, start, end), watch)
    rows = ", ".join(f"{table.rows} {name}" for name, table in manifest.tables.items())
    of_period = f", {words}" if (words := manifest.period_utc()) else ""
    typer.echo(f"export {manifest.export} in {out}{of_period}: {rows}; digest {manifest.digest}")
    for fault in manifest.journal_faults:
        typer.echo(f"journal: {fault}", err=True)
    if manifest.replay_differences:
        typer.echo(f"{manifest.replay_differences} events are answered otherwise by this release than then", err=True)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="folder of the exports")],
    journal: Annotated[
        Path | None, typer.Option("--journal", help="compare with this journal too, and check its seals")
    ] = None,
) -> None:
    """Prove that no record of an export was removed, added, reordered or changed.

    Follows the hash chains of all tables, the manifests and their chain. With --journal also the seals of its segments,
    that what was exported is still in it, and that it gives the very rows of the export. Lists what is wrong and ends
    with status 1; with 0 when all is well.
    """
    from gateway.audit.verify import verify as verify_exports

    with one_line_errors(ValueError), progress("verify") as watch:
        manifests, faults = verify_exports(folder, journal, watch)
    if faults:
        for fault in faults:
            typer.echo(fault)
        raise typer.Exit(FAILED)
    rows = sum(table.rows for manifest in manifests for table in manifest.tables.values())
    with_what = f" and agree with {journal}" if journal else ""
    count = "1 export" if len(manifests) == 1 else f"{len(manifests)} exports"
    typer.echo(
        f"{folder}: {count}, {rows} rows, up to record {manifests[0].last_sequence}: "
        f"all are whole{with_what}; digest {manifests[0].digest}"
    )


@app.command()
def report(
    journal: JournalArgument,
    day: DayOption = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="file to write, .md or .html (with plots); without it Markdown is printed"),
    ] = None,
) -> None:
    """Post-trade report: orders, checks, fills, positions, how near limits came, latency, and what went wrong."""
    from gateway.audit.period import Period
    from gateway.audit.render import to_html, to_markdown
    from gateway.audit.report import make_report

    if out is not None and out.suffix not in (".md", ".html"):
        refuse(f"--out: want a file that ends in .md or .html, got {out}")
    with one_line_errors(ValueError), progress("report") as watch:
        made = make_report(journal, Period(day), watch)
        text = to_html(made) if out is not None and out.suffix == ".html" else to_markdown(made)
        if out is not None:
            out.write_text(text, "utf-8")
    typer.echo(text if out is None else f"{out}: {made.title}")
