"""Authorities, certificates that they sign, and clients that show them."""

from __future__ import annotations

import functools
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Authority:
    """An authority with its file, and certificates that it signs as files."""

    def __init__(self, folder: Path, authority: trustme.CA | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = authority or trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def sign(self, name: str = "localhost", **more: Any) -> dict[str, str]:
        leaf = self.authority.issue_cert(name, **more)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        leaf.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        return {"certificate": str(certificate), "key": str(key)}


def client(ours: Authority, certificate: dict[str, str] | None = None, **versions: Any) -> Any:
    """How Python's ssl makes a connection secure."""
    context = ssl.create_default_context(cafile=ours.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    for name, version in versions.items():
        setattr(context, name, version)
    if certificate is not None:
        context.load_cert_chain(certificate["certificate"], certificate["key"])
    return functools.partial(context.wrap_socket, server_hostname="localhost")
