"""`tidegate sim`."""

from __future__ import annotations

import typer

from tidegate_tools.sim.calibrator import run_calibrator
from tidegate_tools.sim.ems import run_ems
from tidegate_tools.sim.venue import run_venue

app = typer.Typer(
    name="sim",
    no_args_is_help=True,
    add_completion=False,
    help="Simulate a venue, an EMS or a publisher of limits, to try a gateway with.",
)
app.command("venue")(run_venue)
app.command("ems")(run_ems)
app.command("calibrator")(run_calibrator)
