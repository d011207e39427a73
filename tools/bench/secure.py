"""TLS on the load generator's side: a socket whose bytes go through OpenSSL, for Python and for compiled code alike."""

from __future__ import annotations

import ctypes
import functools
import select
import socket
import tempfile
from pathlib import Path
from typing import Any

import trustme

from gateway.config.sections import SessionSection, TlsSection
from gateway.engine.native.libssl import library
from gateway.engine.native.tls import TlsContext

HOST = "localhost"
TIMEOUT_S = 5.0

_folders: list[Any] = []  # it goes with the process


@functools.cache
def authority() -> dict[str, Path]:
    """Files of an authority and of a certificate for this host that it has signed: `ca`, `certificate`, `key`."""
    _folders.append(tempfile.TemporaryDirectory(prefix="tidegate-bench-tls-"))
    folder = Path(_folders[0].name)
    ca = trustme.CA()
    leaf = ca.issue_cert(HOST)
    files = {name: folder / f"{name}.pem" for name in ("ca", "certificate", "key")}
    ca.cert_pem.write_to_path(str(files["ca"]))
    leaf.cert_chain_pems[0].write_to_path(str(files["certificate"]))
    leaf.private_key_pem.write_to_path(str(files["key"]))
    return files


@functools.cache
def _context(serves: bool) -> TlsContext:
    files = authority()
    given = {"certificate": files["certificate"], "key": files["key"]} if serves else {"ca": files["ca"]}
    role = "acceptor" if serves else "initiator"
    return TlsContext(SessionSection.model_construct(id="bench", role=role, tls=TlsSection(**given)))


class Secured:
    """What `RawFixClient` needs of a socket, in TLS; `serves`: the other side connected to us."""

    def __init__(self, connection: socket.socket, serves: bool) -> None:
        """Shake hands; raises TlsError or TimeoutError."""
        self._socket = connection
        self._socket.setblocking(False)
        self._timeout_s: float | None = TIMEOUT_S
        self._tls = _context(serves).secure(connection, HOST)
        assert library is not None
        self._write = library.SSL_write
        self._write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        while not self._tls.shake():
            self._wait(self._tls.wants_to_write)

    @property
    def handle(self) -> int:
        """Address of OpenSSL's SSL."""
        return self._tls.handle

    def _wait(self, to_write: bool = False) -> None:
        here = [self._socket]
        if not any(select.select([] if to_write else here, here if to_write else [], [], self._timeout_s)):
            raise TimeoutError("nothing came in time")

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv` waits."""
        self._timeout_s = seconds

    def recv(self, most: int) -> bytes:
        """What has come; empty when the connection is gone."""
        while (data := self._tls.read(most)) is None:
            self._wait()
        return data

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        while self._write(self.handle, data, len(data)) <= 0:
            self._wait(to_write=True)

    def fileno(self) -> int:
        """Descriptor of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it."""
        self._tls.close()
        self._socket.close()
