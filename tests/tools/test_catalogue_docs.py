"""The generated pages of the docs say what the code has."""

from __future__ import annotations

from gateway.core import alerts as al
from tools.build.catalogue_docs import documents


def test_the_docs_are_up_to_date() -> None:
    for path, text in documents().items():
        assert path.read_text() == text, "run python -m tools.build.catalogue_docs"


def test_every_alert_has_a_row_of_its_own() -> None:
    numbers = {value for name, value in vars(al).items() if name.isupper() and isinstance(value, int)}
    assert numbers == set(al.ALERTS)
    assert len({alert.name for alert in al.ALERTS.values()}) == len(numbers)
