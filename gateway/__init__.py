"""Tidegate: an inline FIX gateway that checks every order before it reaches a venue."""

import sys
from pathlib import Path

__version__ = "0.1.0"


def shipped(folder: str) -> Path:
    """Path of a data folder that ships with Tidegate: `fix_specs` or `config`.

    In a checkout it lies beside the package, in a wheel's environment under `share/tidegate`.
    Raises FileNotFoundError with one line if it is in neither place.
    """
    places = (Path(__file__).resolve().parent.parent / folder, Path(sys.prefix) / "share" / "tidegate" / folder)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"folder {folder!r} not found: looked for {places[0]} and {places[1]}")
