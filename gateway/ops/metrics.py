"""Metrics and health of a running gateway, served over HTTP by a process beside it.

It looks at the gateway's memory (the state and the pulse) at each request and never writes there, so the order path
pays nothing, and a gateway that hangs is told of. `/metrics` is for Prometheus; `/live` and `/ready` answer 200 or 503
and say why in lines. Words are read while the core writes them: numbers of one scrape may be microseconds apart.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from socketserver import TCPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.config.files import ConfigError
from gateway.config.sections import Config, GatewaySection
from gateway.config.settings import Settings, load_settings
from gateway.kill.file import read_switches
from gateway.kill.format import SwitchFault
from gateway.ops.families import Families
from gateway.ops.log import configure_log
from gateway.state.attach import Attached, NoGateway, attach
from gateway.state.memory import State
from gateway.state.names import Names
from gateway.view.health import silence
from gateway.view.status import Status, status

POLL_S = 0.2
BIND_WAIT_S = 5.0  # the process of the gateway before ours may have the address for a moment
MAX_REQUESTS = 8  # at a time; more are not answered
REQUEST_TIMEOUT_S = 5.0
NICENESS = 10

log = structlog.get_logger(process="metrics")


@dataclass(frozen=True)
class Running:
    """A gateway as its memory shows it: its state with the names in it, its pulse (a record of PULSE), and the wall
    clock at its start.
    """

    state: State
    names: Names
    pulse: Any
    since_ns: int

    def status(self, config: Config) -> Status:
        """The gateway as it is now."""
        return status(self.state, self.pulse, config, self.since_ns, time.monotonic_ns())


def source_kinds(settings: Settings) -> list[str]:
    """What each source is, by its row: parameters, quotes, or by_hand where nobody minds its silence."""
    kinds = []
    for kind, sections in (("parameters", settings.config.parameters.sources), ("quotes", settings.config.quotes)):
        kinds += [kind if section.max_silence is not None else "by_hand" for section in sections]
    return kinds


class Watcher:
    """Finds the memory of the gateway that runs now; that of each run is another. Any thread may ask."""

    def __init__(self, gateway: GatewaySection) -> None:
        """Look for the gateway with this section of the config."""
        self._gateway = gateway
        self._lock = threading.Lock()
        self._attached: Attached | None = None
        self._named: tuple[int, ...] = ()
        self._running: Running | None = None

    def running(self) -> Running:
        """The gateway that runs now; raises NoGateway, or ConfigError when its state has another form."""
        with self._lock:
            try:
                return self._look()
            except (ValueError, LookupError) as error:
                raise NoGateway(f"the gateway's names cannot be read: {error}") from None

    def _look(self) -> Running:
        if self._attached is None or not self._attached.is_current():
            self._attached = self._running = None
            attached = attach(self._gateway)
            if attached.pulse is None:
                raise NoGateway(f"the gateway on {self._gateway.state_dir} has no pulse")
            self._attached = attached
        # The number of the run is set after the tables were filled, and names are only ever added.
        s = self._attached.state.record
        named = tuple(int(s[key]) for key in ("entity_count", "instrument_count", "session_count", "run"))
        if self._running is None or named != self._named:
            state = State(self._attached.state.block)
            if (len(state.entities), len(state.instruments)) != named[:2]:
                raise NoGateway("the gateway's names are being written")
            self._running = Running(state, Names(state), self._attached.pulse, self._attached.since_ns)
            self._named = named
        return self._running


class Server(ThreadingHTTPServer):
    """Answers requests in threads of their own, MAX_REQUESTS at a time."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, settings: Settings, address: tuple[str, int]) -> None:
        """Serve at an address what there is to say of the gateway of these settings; raises OSError."""
        self._settings = settings
        self._sources = source_kinds(settings)
        self._watcher = Watcher(settings.config.gateway)
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind, and do not ask for the name of the host, as HTTPServer does: that may take long."""
        TCPServer.server_bind(self)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Serve one connection, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Begin with a connection if there is a place for it."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # there are too many threads on this machine
            self._room.release()
            raise

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Note an error of a connection: its client has gone, or does not read."""
        log.warning("a request was not answered", client=str(client_address), why=str(sys.exception()))

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page."""
        pages = {"/metrics": self._metrics, "/live": self._live, "/ready": self._ready}
        if path not in pages:
            return 404, f"want one of {', '.join(pages)}\n".encode()
        try:
            return pages[path](self._watcher.running())
        except (NoGateway, ConfigError) as error:
            return 503, f"{error}\n".encode()
        except Exception as error:
            log.error("a page could not be made", page=path, exc_info=True)
            return 503, f"the gateway's memory makes no sense: {error}\n".encode()

    def _metrics(self, running: Running) -> tuple[int, bytes]:
        heartbeat_ns, now_ns = int(running.pulse["heartbeat_ns"]), time.monotonic_ns()
        health = {
            "heartbeat_age_seconds": (now_ns - heartbeat_ns) / 1e9 if heartbeat_ns else math.inf,
            "live": float(not silence(heartbeat_ns, now_ns)),
            "ready": float(self._is_ready(running)),
        }
        registry = CollectorRegistry()
        in_advance = self._killed_in_advance(running.state)
        registry.register(Families(running.state, running.names, running.pulse, health, self._sources, in_advance))
        return 200, generate_latest(registry)

    def _is_ready(self, running: Running) -> bool:
        """Whether every order that should be taken is; False where that cannot be read."""
        try:
            return not running.status(self._settings.config).not_ready
        except (ValueError, LookupError, ArithmeticError):
            return False

    def _killed_in_advance(self, state: State) -> list[tuple[int, str]]:
        """Kill switches of names that the gateway does not know; none where they cannot be read: the firm is killed."""
        try:
            switches = read_switches(self._settings.config.gateway.state_dir)
        except SwitchFault:
            return []
        return [switch.key for switch in switches if switch.key not in state.entities]

    def _live(self, running: Running) -> tuple[int, bytes]:
        why = silence(int(running.pulse["heartbeat_ns"]), time.monotonic_ns())
        return _verdict("live", [why] if why else [])

    def _ready(self, running: Running) -> tuple[int, bytes]:
        return _verdict("ready", running.status(self._settings.config).not_ready)


def _verdict(word: str, reasons: list[str]) -> tuple[int, bytes]:
    return (503 if reasons else 200), ("\n".join(reasons or [word]) + "\n").encode()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    timeout = REQUEST_TIMEOUT_S
    server: Server

    def do_GET(self) -> None:
        """Answer a request for a page."""
        path = self.path.partition("?")[0]
        status, body = self.server.answer(path)
        self.send_response(status)
        of_metrics = path == "/metrics" and status == 200
        self.send_header("Content-Type", CONTENT_TYPE_LATEST if of_metrics else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def _bind(settings: Settings, listen: str) -> Server:
    """The server at its address, which may take a moment to be free; raises OSError."""
    host, _, port = listen.rpartition(":")
    deadline = time.monotonic() + BIND_WAIT_S
    while True:
        try:
            return Server(settings, (host, int(port)))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(0)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or the end of the parent; 1: the address cannot be had, 2: the config cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m gateway.ops.metrics", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="main config file of the gateway")
    parser.add_argument("--parent", type=int, required=True, help="process to end with")
    arguments = parser.parse_args(argv)
    configure_log()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the gateway gets it too, and stops us
    os.nice(NICENESS)
    threading.Thread(target=_end_with, args=(arguments.parent,), daemon=True).start()
    try:
        settings = load_settings(arguments.config)
        section = settings.config.metrics
        if section is None:
            raise ConfigError(f"{arguments.config}: metrics.listen: is missing")
        with _bind(settings, section.listen) as server:
            log.info("metrics are served", listen=section.listen)
            server.serve_forever(POLL_S)
    except ConfigError as error:
        log.critical("metrics end", reason=str(error))
        return 2
    except OSError as error:
        log.critical("metrics end", reason=f"{section.listen}: {error}" if section else str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
