"""TLS of sessions over QuickFIX: what it is told, and what it leaves out.

QuickFIX verifies that a certificate was signed by an authority of `ca` and is in force; it wants one of every client of
an acceptor with `ca`. By itself it does not compare the venue's host name, and trusts the authorities of its OpenSSL's
own folder as well as `ca`. That folder was compiled in and lies where others may write. Both are put right here, by
calls to the OpenSSL in QuickFIX's library.
"""

from __future__ import annotations

import ctypes
import os

import quickfix as fix

from gateway.config.sections import SessionSection
from gateway.engine.tls import CIPHERS, NO_PARTIAL_WILDCARDS, host_of

PROTOCOLS = "+TLSv1_2 +TLSv1_3"
REQUIRE = "1"  # SSL_CLIENT_VERIFY_REQUIRE
NO_CONFIG_FILE = 0x80  # OPENSSL_INIT_NO_LOAD_CONFIG
SERVER = b"ssl_server"  # OpenSSL's name of the parameters by which a client verifies a server

_hosts: list[str] = []  # what OpenSSL compares in this process


def tls_keys(section: SessionSection) -> dict[str, str]:
    """QuickFIX's settings for the defaults of an acceptor or initiator; {} for one without TLS."""
    tls = section.tls
    if tls is None:
        return {}
    side = "Server" if section.role == "acceptor" else "Client"
    keys = {"SSLProtocol": PROTOCOLS, "SSLCipherSuite": CIPHERS}
    if tls.certificate is not None:
        keys |= {f"{side}CertificateFile": str(tls.certificate), f"{side}CertificateKeyFile": str(tls.key)}
    # Of a certificate's file QuickFIX sends the first only; OpenSSL adds intermediate ones that it finds here. Without
    # the verify level no client is asked for one.
    keys["CertificationAuthoritiesFile"] = str(tls.ca or tls.certificate)
    if section.role == "acceptor" and tls.ca is not None:
        keys["CertificateVerifyLevel"] = REQUIRE
    return keys


def make_strict(sections: list[SessionSection]) -> None:
    """Make QuickFIX's OpenSSL trust `ca` only, and compare the host names of venues; before any session starts.

    The names hold for the whole process: a certificate for any TLS venue's name is taken, if it is signed by an
    authority of the session's own `ca`. Raises RuntimeError when the library does not do as it is told.
    """
    if not any(section.tls for section in sections):
        return
    # Both are read when QuickFIX makes its contexts. There is no certificate in /dev/null.
    os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull
    library = ctypes.CDLL(fix._quickfix.__file__)
    for name, result, arguments in (
        ("OPENSSL_init_ssl", ctypes.c_int, [ctypes.c_uint64, ctypes.c_void_p]),
        ("X509_VERIFY_PARAM_lookup", ctypes.c_void_p, [ctypes.c_char_p]),
        ("X509_VERIFY_PARAM_new", ctypes.c_void_p, []),
        ("X509_VERIFY_PARAM_set1", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p]),
        ("X509_VERIFY_PARAM_set1_name", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
        ("X509_VERIFY_PARAM_set_hostflags", None, [ctypes.c_void_p, ctypes.c_uint]),
        ("X509_VERIFY_PARAM_add1_host", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
        ("X509_VERIFY_PARAM_add0_table", ctypes.c_int, [ctypes.c_void_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    _must(library.OPENSSL_init_ssl(NO_CONFIG_FILE, None))
    hosts = sorted({host_of(section) for section in sections if section.tls and section.role == "initiator"})
    if not hosts or hosts == _hosts:
        return
    parameters = library.X509_VERIFY_PARAM_new()
    _must(parameters)
    _must(library.X509_VERIFY_PARAM_set1(parameters, library.X509_VERIFY_PARAM_lookup(SERVER)))
    _must(library.X509_VERIFY_PARAM_set1_name(parameters, SERVER))
    library.X509_VERIFY_PARAM_set_hostflags(parameters, NO_PARTIAL_WILDCARDS)
    for host in hosts:
        _must(library.X509_VERIFY_PARAM_add1_host(parameters, host.encode(), 0))
    _must(library.X509_VERIFY_PARAM_add0_table(parameters))
    _must(library.X509_VERIFY_PARAM_lookup(SERVER) == parameters)
    _hosts[:] = hosts


def _must(done: object) -> None:
    if not done:
        raise RuntimeError("the OpenSSL in QuickFIX's library cannot be made to verify host names")
