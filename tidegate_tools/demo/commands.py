"""`tidegate demo`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(name="demo", add_completion=False)


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="keep everything up afterwards, for you to connect")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="leave out the pauses that let a person follow")] = False,
) -> None:
    """Run the demonstration: three venues, the gateway, three EMS and a publisher of limits.

    Orders pass and are refused, limits tighten, the kill switch is set; everything is counted and compared.
    """
    from tidegate_tools.demo.run import run_demo

    raise typer.Exit(run_demo(serve, fast))
