"""`tidegate limits`."""

from __future__ import annotations

import typer

from gateway.cli.console import DEFAULT_CONFIG, ConfigOption, one_line_errors, tables

app = typer.Typer(name="limits", no_args_is_help=True, help="Look at limits.")


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List who could not trade for want of a mandatory limit, and the key to set."""
    from gateway.config.limits import missing_limits
    from gateway.config.settings import load_settings
    from gateway.view.table import table

    with one_line_errors():
        missing = missing_limits(load_settings(config))
    if not missing:
        typer.echo("every mandatory limit is set")
        return
    made = table("blocked", "because this is not set")
    for who, key in missing:
        made.add_row(who, key)
    tables().print(made)
    raise typer.Exit(1)
