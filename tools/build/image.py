"""Run the steps of the Dockerfile in a folder, where there is no Docker engine: `python -m tools.build.image FOLDER`.

FOLDER stands for the root of the image: paths of its own (/build, /opt, /wheels, /var, /etc) are meant below it. FROM,
USER, VOLUME, EXPOSE, ENTRYPOINT and CMD have no counterpart; `useradd` does nothing and `install` changes no owner.
Afterwards the demonstration runs from the environment that was made, outside of the checkout.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = re.compile(r"(?<![\w./$}])/(build|opt|wheels|var|etc)\b")
KEPT = ("PIP_", "SSL_", "HOME", "HTTP_", "HTTPS_", "NO_PROXY")  # how packages are reached
SHIMS = {"useradd": "exit 0", "install": 'exec mkdir -p "${@: -2}"', "python": f'exec {sys._base_executable} "$@"'}  # type: ignore[attr-defined]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instructions of a Dockerfile in order, each with its arguments on one line."""
    whole = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    for line in filter(str.strip, whole.splitlines()):
        name, _, arguments = line.strip().partition(" ")
        yield name, arguments.strip()


def sent() -> list[Path]:
    """Files of the checkout that .dockerignore lets into the build, relative to it."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    wanted = [rule[1:].rstrip("/") for rule in rules if rule.startswith("!")]
    unwanted = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    files = [
        file for name in wanted for file in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
    ]
    inside = [file.relative_to(ROOT) for file in files if file.is_file()]
    return [file for file in inside if not any(fnmatch.fnmatch(part, rule) for part in file.parts for rule in unwanted)]


class Image:
    """The folder in which the steps run, with what they have set so far."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, and the commands that stand for others."""
        self.folder = folder.absolute()
        self.at = self.folder
        shims = self.folder / "shims"
        shims.mkdir(parents=True)
        for name, script in SHIMS.items():
            (shims / name).write_text(f"#!/bin/bash\n{script}\n")
            (shims / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name.upper().startswith(KEPT)}
        self.environment = kept | {"PATH": f"{shims}:/usr/local/bin:/usr/bin:/bin"}

    def below(self, text: str) -> str:
        """The text with paths of the image as paths in the folder."""
        return OWN.sub(lambda match: f"{self.folder}/{match[1]}", text)

    def run(self, command: str, at: Path | None = None) -> None:
        """Run a command of a shell in the image; raises CalledProcessError when it fails."""
        print(f"image: {command[:110]}", flush=True)
        done = ["bash", "-euo", "pipefail", "-c", self.below(command)]
        subprocess.run(done, cwd=at or self.at, env=self.environment, check=True)

    def set(self, arguments: str) -> None:
        """ENV, or ARG without another value."""
        for part in shlex.split(arguments):
            name, _, value = part.partition("=")
            known = re.sub(r"\$\{?(\w+)\}?", lambda match: self.environment.get(match[1], ""), value)
            self.environment[name] = self.below(known)

    def copy(self, arguments: str) -> None:
        """COPY from the checkout; what comes from an earlier stage is there already."""
        if arguments.startswith("--from="):
            return
        *sources, target = arguments.split()
        place = Path(self.below(target)) if target.startswith("/") else self.at / target
        for source in sources:
            for file in sent():
                if source == "." or file.is_relative_to(source):
                    inside = file.relative_to(source) if (ROOT / source).is_dir() else Path(file.name)
                    (place / inside).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / file, place / inside)


def build(folder: Path, given: dict[str, str]) -> Image:
    """Run all steps, with these values of ARG; the environment is in `opt/tidegate`."""
    image = Image(folder)
    for name, arguments in instructions((ROOT / "Dockerfile").read_text()):
        if name == "RUN":
            image.run(arguments)
        elif name == "COPY":
            image.copy(arguments)
        elif name == "WORKDIR":
            image.at = Path(image.below(arguments))
            image.at.mkdir(parents=True, exist_ok=True)
        elif name == "ARG" and (argument := arguments.partition("=")[0]) in given:
            image.environment[argument] = given[argument]
        elif name in ("ARG", "ENV"):
            image.set(arguments)
    return image


def main(folder: str) -> None:
    """Build, look at what is installed, run the demonstration."""
    image = build(Path(folder), {"CAPACITY": "small"})  # what the demonstration takes
    outside = image.folder / "var"
    image.run("! /opt/tidegate/bin/python -c 'import tools' 2> /dev/null", outside)
    image.run("tidegate limits check --config /etc/tidegate/gateway.yaml", outside)
    image.run("tidegate demo --fast", outside)
    print("image: the wheel installs and runs, and the steps of the Dockerfile work")


if __name__ == "__main__":
    main(*sys.argv[1:])
