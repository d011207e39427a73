"""TLS of sessions: what is checked at start, whatever engine serves them, and what all engines agree on.

What is not verified: revocation; and that a client's certificate belongs to the session that it logs on to. Any client
with a certificate of `ca` may try any session of the address: `credentials` tell them apart.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.config.files import ConfigError
from gateway.config.sections import SessionSection, TlsSection

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; all of TLS 1.3 are as good
NO_PARTIAL_WILDCARDS = 0x4  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS


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


def host_of(section: SessionSection) -> str:
    """The host that a venue's session connects to."""
    return (section.connect or "").rpartition(":")[0]


def _faults(section: SessionSection, tls: TlsSection) -> Iterator[str]:
    if tls.certificate is not None and tls.key is not None:
        yield from _certificate_faults(tls.certificate, tls.key)
    if tls.ca is not None:
        yield from _authority_faults(tls.ca)
    if section.role == "initiator":
        for key, address in (("connect", section.connect), *(("backup", other) for other in section.backup)):
            host = str(address).rpartition(":")[0]
            if _is_address(host):
                yield f"ca: {key}: want a host name, not {host}: the venue's certificate is checked against it"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
