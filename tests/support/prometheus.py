"""A real Prometheus in a test: PATH's, or that of Debian's package."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from tests.support.journal import wait_for
from tidegate_tools.sim.quickfix_peer import free_port
from tools.build.debian import NotAvailable, find_program

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


def program(name: str) -> Path:
    """Path of prometheus or promtool; skips the test where it cannot be had, which in CI is a failure."""
    try:
        return find_program("prometheus", name)
    except NotAvailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} must be there in CI: {error}")
        pytest.skip(f"{name} is not available: {error}")


class Prometheus:
    """Scrapes one target every 0.4 s, and evaluates rules as often; a context manager."""

    def __init__(self, folder: Path, target: str, rules: dict[str, Any] | None = None) -> None:
        """Keep data in `folder`; `target` is host:port."""
        self._program = program("prometheus")
        self._folder = folder
        self._port = free_port()
        folder.mkdir(exist_ok=True)
        (folder / "rules.yml").write_text(yaml.safe_dump(rules or {"groups": []}))
        job = {"job_name": "tidegate", "static_configs": [{"targets": [target]}]}
        times = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "400ms")
        config = {"global": times, "rule_files": ["rules.yml"], "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        options = {"config.file": self._folder / "prometheus.yml", "storage.tsdb.path": self._folder / "data"}
        options |= {"web.listen-address": f"127.0.0.1:{self._port}", "log.level": "warn"}
        command = [str(self._program), *(f"--{key}={value}" for key, value in options.items())]
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(self._is_ready, "Prometheus", START_TIMEOUT_S)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of each series that an expression gives now; one that is no PromQL fails the test."""
        found = self._get("query", query=expression)["result"]
        return [(x["metric"], float(x["value"][1])) for x in found]

    def value(self, expression: str) -> float | None:
        """The value of an expression that gives one series; None where it gives none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def wait(self, expression: str, wanted: float | Callable[[float | None], bool], timeout_s: float = 30) -> None:
        """Wait until an expression has a value."""
        matches = wanted if callable(wanted) else lambda value: value == wanted
        deadline = time.monotonic() + timeout_s
        while not matches(value := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression}: {value} after {timeout_s} s, want {wanted}"
            time.sleep(0.05)

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
