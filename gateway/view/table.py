"""The one look of tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """A table whose long cells are folded, never cut: a cut figure is another figure. The columns named in `right` hold
    numbers.
    """
    made = Table(box=None, title=title, title_justify="left", title_style="bold", header_style="dim", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made
