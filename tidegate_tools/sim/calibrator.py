"""A simulated calibrator: a process that pushes limits in shared memory as a script says, and fails as a script says.

    tidegate sim calibrator /dev/shm/tidegate/volatility                     # then type lines of script
    tidegate sim calibrator /dev/shm/tidegate/volatility --script day.txt

From Python: `with CalibratorProcess(path) as calibrator: calibrator.tell("push max_order_qty 400 account=ALPHA")`.

Each line of the script is answered by a line on stdout. Behind the last line of a file it lives on, and beats, until it
is interrupted; the end of stdin ends it.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

import typer

from gateway.params import store
from gateway.params.publisher import ParameterPublisher, PublisherError
from tidegate_tools.fix.text import input_lines

NONSENSE = {
    "nan": struct.unpack("<q", struct.pack("<d", float("nan")))[0],
    "zero": 0,
    "negative": -1,
    "huge": 2**63 - 1,
}
"""Raw values, where the record has a fixed-point integer. `nan`: the bits of a floating-point NaN."""
VERBS = (
    "push LIMIT VALUE SCOPE[=NAME] [symbol=S] [expires=SECONDS] [model=N]",
    f"nonsense {'|'.join(NONSENSE)} LIMIT SCOPE[=NAME] [symbol=S]",
    "wait SECONDS",
    "stick [SECONDS]",
    "die",
)
ANSWER_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class Calibrator(ParameterPublisher):
    """A publisher that can push nonsense."""

    def push_raw(self, limit: str, value: int, scope: str, name: str = "", symbol: str = "") -> int:
        """Push any 64 bits as a limit's value, unchecked; returns the epoch of the push."""
        epoch = self.epoch + 1
        words = (epoch, time.monotonic_ns(), 0, store.SCOPES[scope], store.LIMITS[limit][0], value, 0, 0)
        self._write(struct.pack(store.PARAMETER_BODY, *words, name.encode(), symbol.encode()))
        return epoch


def run_script(calibrator: Calibrator, lines: Iterable[str], beat_s: float, stay: bool) -> None:
    """Do what the lines say as they come, and beat; with `stay` it goes on behind the last one, for good.

    Raises what the reading of the lines raised, and ValueError or PublisherError for a line that cannot be done.
    """
    inbox: queue.SimpleQueue[str | OSError | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in lines:
                inbox.put(line.split("#")[0].strip())
            inbox.put(None)
        except OSError as error:
            inbox.put(error)

    threading.Thread(target=read, daemon=True).start()
    while True:
        calibrator.beat()
        try:
            line = inbox.get(timeout=beat_s)
        except queue.Empty:
            continue
        if isinstance(line, OSError):
            raise line
        if line is None and not stay:
            return
        if line:
            obey(calibrator, line, beat_s)


def obey(calibrator: Calibrator, line: str, beat_s: float) -> None:
    """Do what a line says (see VERBS), and tell on stdout what was done; raises ValueError or PublisherError."""
    match line.split():
        case ["push", limit, value, scope, *options]:
            kind, _, name = scope.partition("=")
            given = parse_options(options, ("symbol", "expires", "model"))
            expires_s = float(given["expires"]) if "expires" in given else None
            model = int(given.get("model", 0))
            epoch = calibrator.push(limit, value, kind, name, given.get("symbol", ""), expires_s, model)
            print(f"pushed {limit} {value}: epoch {epoch}", flush=True)
        case ["nonsense", what, limit, scope, *options] if what in NONSENSE and limit in store.LIMITS:
            kind, _, name = scope.partition("=")
            symbol = parse_options(options, ("symbol",)).get("symbol", "")
            epoch = calibrator.push_raw(limit, NONSENSE[what], kind, name, symbol)
            print(f"pushed {limit} {what}: epoch {epoch}", flush=True)
        case ["wait", seconds]:
            print(f"waits {seconds} s", flush=True)
            until = time.monotonic() + float(seconds)
            while time.monotonic() < until:
                time.sleep(beat_s)
                calibrator.beat()
        case ["stick", *seconds] if len(seconds) < 2:
            print("sticks", flush=True)
            threading.Event().wait(float(seconds[0]) if seconds else None)
        case ["die"]:
            print("dies", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            raise ValueError(f"wanted one of: {'; '.join(VERBS)}; not {line!r}")


def parse_options(words: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """`key=value` words to a dict; ValueError if one is not known."""
    options = {key: value for key, _, value in (word.partition("=") for word in words)}
    if unknown := set(options) - set(known):
        raise ValueError(f"{', '.join(sorted(unknown))}: want {', '.join(known)}")
    return options


class CalibratorProcess:
    """A calibrator in a process of its own, which is told what to do line by line."""

    def __init__(self, path: Path, beat_s: float = 0.05) -> None:
        self.path, self._beat_s = path, beat_s

    def __enter__(self) -> Self:
        words = ["sim", "calibrator", str(self.path), "--beat", str(self._beat_s)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_TIMEOUT_S)

    def tell(self, line: str) -> str:
        """Give it a line of script and return its answer; raises RuntimeError if it ended instead."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        try:
            answer = self._answers.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            raise TimeoutError(f"the calibrator has not answered in {ANSWER_TIMEOUT_S:g} s") from None
        if not answer:
            raise RuntimeError(f"the calibrator ended with status {self.process.wait()}")
        return answer

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._answers.put(line.strip())
        self._answers.put("")


def run_calibrator(
    file: Annotated[Path, typer.Argument(help="File in shared memory that the gateway's source names.")],
    script: Annotated[str, typer.Option(help=f"File of lines, - for stdin: {'; '.join(VERBS)}.")] = "-",
    beat: Annotated[float, typer.Option(min=0.001, help="Seconds between two heartbeats.")] = 0.05,
) -> None:
    """Push limits as a script says; exit 1 if a line cannot be done."""
    try:
        with Calibrator(file) as calibrator:
            print(f"publishes in {file}", flush=True)
            run_script(calibrator, input_lines(script), beat, stay=script != "-")
    except KeyboardInterrupt:
        return
    except (OSError, ValueError, PublisherError) as error:
        print(f"calibrator: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
