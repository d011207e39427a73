"""docs/checks.md says what the code does."""

from tools.build.checks_doc import PATH, checks_doc


def test_the_catalogue_is_as_written() -> None:
    assert PATH.read_text() == checks_doc(), "run python -m tools.build.checks_doc"
