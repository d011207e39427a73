"""The Dockerfile and what it takes from the checkout, as `make package` runs it."""

from __future__ import annotations

from pathlib import Path

from tools.build.image import ROOT, instructions, sent


def test_the_build_gets_every_package_of_the_wheel_and_no_other() -> None:
    sources = {file.parts[0] for file in sent()}
    assert {"gateway", "tidegate_tools", "fix_specs", "config", "pyproject.toml", "requirements.lock"} <= sources
    assert not {"tests", "tools", "docs", ".venv"} & sources
    assert not [file for file in sent() if "__pycache__" in file.parts]


def test_instructions_are_taken_apart() -> None:
    text = "# a comment\nFROM a AS b\nRUN one \\\n    && two\n\nENV A=1 \\\n    B=2\n"
    assert list(instructions(text)) == [("FROM", "a AS b"), ("RUN", "one      && two"), ("ENV", "A=1      B=2")]
    names = {name for name, _ in instructions((ROOT / "Dockerfile").read_text())}
    unknown = names - {"FROM", "WORKDIR", "COPY", "RUN", "ARG", "ENV", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert not unknown, f"{Path('Dockerfile')}: `make package` does not know {unknown}"
