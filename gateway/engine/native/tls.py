"""TLS of the native engine's sessions: contexts by the config, and handshakes. The loop reads and writes from then on.

Each session trusts the authorities of its own `ca` and nobody else, and a venue must prove the name in `connect`.
"""

from __future__ import annotations

import ctypes
import socket
from typing import Any

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection
from gateway.engine.native.libssl import library
from gateway.engine.tls import CIPHERS, NO_PARTIAL_WILDCARDS

# Numbers of OpenSSL's ssl.h.
SET_TLSEXT_HOSTNAME, SET_MIN_PROTO_VERSION, SET_SESS_CACHE_MODE, SET_READ_AHEAD, SET_MODE = 55, 123, 44, 41, 33
TLS1_2 = 0x0303
NO_COMPRESSION, NO_TICKET, NO_RENEGOTIATION = 1 << 17, 1 << 14, 1 << 30
PARTIAL_WRITE, MOVING_WRITE_BUFFER = 1, 2
PEM = 1
VERIFY_PEER, FAIL_IF_NO_CERTIFICATE = 1, 2
ERROR_SSL, WANT_READ, WANT_WRITE = 1, 2, 3
CERTIFICATE_FAULT = "certificate verify failed"


class TlsError(Exception):
    """A handshake that came to nothing, or a connection that is lost; one line with the reason."""


class TlsContext:
    """What the connections of a session, or of a listening address, have in common."""

    def __init__(self, section: SessionSection) -> None:
        """By the `tls` of a session, which `check_tls` has found in order. Raises ConfigError."""
        tls = section.tls
        assert tls is not None
        if library is None:
            raise ConfigError(f"session {section.id}: tls: libssl.so.3 is not on this machine, want engine: quickfix")
        self._section = section
        self._serves = section.role == "acceptor"
        context = library.SSL_CTX_new(library.TLS_server_method() if self._serves else library.TLS_client_method())
        self._context = context
        self._must(context)
        self._must(library.SSL_CTX_ctrl(context, SET_MIN_PROTO_VERSION, TLS1_2, None))
        self._must(library.SSL_CTX_set_cipher_list(context, CIPHERS.encode()))
        library.SSL_CTX_set_options(context, NO_COMPRESSION | NO_TICKET | NO_RENEGOTIATION)
        self._must(library.SSL_CTX_set_num_tickets(context, 0))
        library.SSL_CTX_ctrl(context, SET_SESS_CACHE_MODE, 0, None)
        library.SSL_CTX_ctrl(context, SET_READ_AHEAD, 1, None)  # one system call for a record, not two
        library.SSL_CTX_ctrl(context, SET_MODE, PARTIAL_WRITE | MOVING_WRITE_BUFFER, None)
        if tls.certificate is not None:
            self._must(library.SSL_CTX_use_certificate_chain_file(context, str(tls.certificate).encode()))
            self._must(library.SSL_CTX_use_PrivateKey_file(context, str(tls.key).encode(), PEM))
        if tls.ca is not None:
            path = str(tls.ca).encode()
            self._must(library.SSL_CTX_load_verify_locations(context, path, None))
            if self._serves:
                library.SSL_CTX_set_client_CA_list(context, library.SSL_load_client_CA_file(path))
            library.SSL_CTX_set_verify(context, VERIFY_PEER | (FAIL_IF_NO_CERTIFICATE if self._serves else 0), None)

    def secure(self, sock: socket.socket, host: str = "") -> TlsConnection:
        """Begin TLS on a connection; `host`: of a venue, the name that it must prove."""
        assert library is not None
        handle = library.SSL_new(self._context)
        self._must(handle)
        self._must(library.SSL_set_fd(handle, sock.fileno()))
        if self._serves:
            library.SSL_set_accept_state(handle)
        else:
            library.SSL_set_hostflags(handle, NO_PARTIAL_WILDCARDS)
            self._must(library.SSL_set1_host(handle, host.encode()))
            self._must(library.SSL_ctrl(handle, SET_TLSEXT_HOSTNAME, 0, host.encode()))
            library.SSL_set_connect_state(handle)
        return TlsConnection(handle, library)

    def _must(self, done: object) -> None:
        if not done:
            raise ConfigError(f"session {self._section.id}: tls: OpenSSL refuses it: {_reason(library)}")


class TlsConnection:
    """One connection; one thread at a time may use it."""

    def __init__(self, handle: int, lib: Any) -> None:
        """Of an SSL that nobody else frees."""
        self.handle = handle
        """Address of OpenSSL's SSL, for compiled code."""
        self._library = lib
        self.wants_to_write = False
        """Whether the handshake waits for room to write, not for what the peer says."""

    def shake(self) -> bool:
        """Go on with the handshake; True when it is complete. Raises TlsError."""
        lib = self._library
        self.wants_to_write = False
        lib.ERR_clear_error()
        result = lib.SSL_do_handshake(self.handle)
        if result == 1:
            return True
        error = lib.SSL_get_error(self.handle, result)
        self.wants_to_write = error == WANT_WRITE
        if error in (WANT_READ, WANT_WRITE):
            return False
        reason = _reason(lib)
        if reason == CERTIFICATE_FAULT:
            verified = lib.X509_verify_cert_error_string(lib.SSL_get_verify_result(self.handle))
            reason = f"{CERTIFICATE_FAULT}: {verified.decode()}"
        raise TlsError(reason)

    def read(self, most: int) -> bytes | None:
        """What has come, at most so many bytes; None: nothing yet. Empty when the connection is gone."""
        lib = self._library
        buffer = ctypes.create_string_buffer(most)
        lib.ERR_clear_error()
        got = lib.SSL_read(self.handle, buffer, most)
        if got > 0:
            return buffer.raw[:got]
        return None if lib.SSL_get_error(self.handle, got) in (WANT_READ, WANT_WRITE) else b""

    @property
    def has_pending(self) -> bool:
        """Whether something has been read from the socket that `read` has not given yet."""
        return bool(self._library.SSL_has_pending(self.handle))

    def close(self) -> None:
        """Tell the peer, if there is room for that, and free it; the socket stays open."""
        if self.handle:
            self._library.ERR_clear_error()
            self._library.SSL_shutdown(self.handle)
            self._library.SSL_free(self.handle)
            self.handle = 0


def _reason(lib: Any) -> str:
    """Why OpenSSL's last call in this thread failed."""
    number = lib.ERR_get_error()
    text = lib.ERR_reason_error_string(number) if number else None
    return text.decode() if text else "the connection was lost"
