"""The page of message ladders says what the tests play."""

from __future__ import annotations

from tools.build.appendix_docs import PAGE, document


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == document(), "run python -m tools.build.appendix_docs"
