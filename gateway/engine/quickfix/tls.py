"""TLS of sessions: what QuickFIX is told, what is checked at start, and what QuickFIX leaves out.

QuickFIX verifies that a certificate was signed by an authority of `ca` and is in force; it wants one of every client of
an acceptor with `ca`. By itself it does not compare the venue's host name, and trusts the authorities of its OpenSSL's
own folder as well as `ca`. That folder was compiled in and lies where others may write. Both are put right here, by
calls to the OpenSSL in QuickFIX's library.

What is not verified: revocation; and that a client's certificate belongs to the session that it logs on to. Any client
with a certificate of `ca` may try any session of the address: `credentials` tell them apart.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import quickfix as fix

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection, TlsSection

PROTOCOLS = "+TLSv1_2 +TLSv1_3"
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; all of TLS 1.3 are as good
REQUIRE = "1"  # SSL_CLIENT_VERIFY_REQUIRE
NO_CONFIG_FILE = 0x80  # OPENSSL_INIT_NO_LOAD_CONFIG
NO_PARTIAL_WILDCARDS = 0x4  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
SERVER = b"ssl_server"  # OpenSSL's name of the parameters by which a client verifies a server

_hosts: list[str] = []  # what OpenSSL compares in this process


def check_tls(sections: list[SessionSection]) -> None:
    """Read the certificates and keys of all sessions; raises ConfigError, one line a fault, for what would not do."""
    faults = []
    first: dict[str, SessionSection] = {}
    for section in sections:
        if section.listen is not None:
            other = first.setdefault(section.listen, section)
            if other.tls != section.tls:
                faults.append(
                    f"sessions {other.id} and {section.id}: listen: both are {section.listen}, but `tls` differs: "
                    "want the same, or another port"
                )
        if section.tls is not None:
            faults += [f"session {section.id}: tls.{fault}" for fault in _faults(section, section.tls)]
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))


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
    hosts = sorted({_host(section) for section in sections if section.tls and section.role == "initiator"})
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


def _host(section: SessionSection) -> str:
    return (section.connect or "").rpartition(":")[0]


def _faults(section: SessionSection, tls: TlsSection) -> Iterator[str]:
    if tls.certificate is not None and tls.key is not None:
        yield from _certificate_faults(tls.certificate, tls.key)
    if tls.ca is not None:
        yield from _authority_faults(tls.ca)
    if section.role == "initiator":
        try:
            ipaddress.ip_address(_host(section))
        except ValueError:
            return
        yield f"ca: connect: want a host name, not {_host(section)}: the venue's certificate is checked against it"


def _certificate_faults(certificate: Path, key: Path) -> Iterator[str]:
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            yield f"{name}: {path}: cannot be read: {error.strerror}"
            return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield f"key: {key}: does not belong to the certificate {certificate}"
        else:
            yield f"certificate, key: {certificate}, {key}: want a certificate and its unencrypted key in PEM"
        return
    begin, end = _validity(ssl.PEM_cert_to_DER_cert(_first_certificate(certificate)))
    now = datetime.now(UTC)
    if now > end:
        yield f"certificate: {certificate}: expired on {end:%Y-%m-%d %H:%M} UTC"
    elif now < begin:
        yield f"certificate: {certificate}: is not valid before {begin:%Y-%m-%d %H:%M} UTC"


def _authority_faults(path: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        yield f"ca: {path}: want certificates of authorities in PEM"
        return
    except OSError as error:
        yield f"ca: {path}: cannot be read: {error.strerror}"
        return
    ends = [ssl.cert_time_to_seconds(str(found["notAfter"])) for found in context.get_ca_certs()]
    if not ends:
        yield f"ca: {path}: holds no certificate of an authority"
    elif max(ends) < time.time():
        yield f"ca: {path}: every certificate in it has expired"


def _first_certificate(path: Path) -> str:
    text = path.read_text("latin-1")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return text[begin:end]


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Begin and end of validity of a certificate in DER (X.509: the fields of TBSCertificate in their order)."""
    [(_, whole)] = _elements(certificate)
    to_be_signed = list(_elements(next(_elements(whole))[1]))
    has_version = to_be_signed[0][0] == 0xA0
    validity = to_be_signed[4 if has_version else 3][1]
    begin, end = (_time(tag, text.decode()) for tag, text in _elements(validity))
    return begin, end


def _time(tag: int, text: str) -> datetime:
    century = "" if tag == 0x18 else "20" if text < "50" else "19"
    return datetime.strptime(century + text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        yield tag, data[at : at + size]
        at += size
