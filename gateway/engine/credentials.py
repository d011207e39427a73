"""Username(553) and Password(554) of Logons: hashes, the check of a Logon, and the password that is sent.

A hash is `scrypt$N$r$p$salt$digest`, the last two in base64. It is meant to cost some 40 ms, since the check runs in
the thread that serves every EMS of a listening port: so of an address no more than one wrong password a second is
tried, and of all no more than TRIES_A_SECOND; once a right one is known no hash is computed any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import stat
import time
from collections import deque
from pathlib import Path

from gateway.config.files import ConfigError
from gateway.config.sections import CredentialsSection, SessionSection

COST, BLOCK, LANES = 2**14, 8, 1
MAX_COST = 2**15
MAX_BLOCK = 16
MAX_LANES = 4
SALT_BYTES, DIGEST_BYTES = 16, 32
MAX_MEMORY = 128 << 20
TRY_EVERY_S = 1.0
TRIES_A_SECOND = 4
UNKNOWN = ""  # address of a peer that has waited for long, or is gone already
PASSWORD = re.compile(r"[ -~]{1,256}")
WANT_PASSWORD = "want 1 to 256 printable ASCII characters"
HASH = re.compile(r"scrypt\$(\d{1,6})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")


def hash_password(password: str) -> str:
    """The hash of a password for `credentials.password_hash`; raises ValueError for one that no Logon can carry."""
    if not PASSWORD.fullmatch(password):
        raise ValueError(f"password: {WANT_PASSWORD}")
    salt = os.urandom(SALT_BYTES)
    digest = _scrypt(password.encode(), salt, COST, BLOCK, LANES, DIGEST_BYTES)
    return "$".join(
        ["scrypt", str(COST), str(BLOCK), str(LANES), *(base64.b64encode(b).decode() for b in (salt, digest))]
    )


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, lanes: int, length: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=lanes, maxmem=MAX_MEMORY, dklen=length)


class Verifier:
    """Judges the Logons of one acceptor session, in one thread at a time."""

    def __init__(self, section: SessionSection, credentials: CredentialsSection) -> None:
        """Raises ConfigError for a hash that `tidegate hash-password` did not print."""
        want = "want what `tidegate hash-password` prints"
        match = HASH.fullmatch(credentials.password_hash or "")
        if match is None:
            raise ConfigError(f"session {section.id}: credentials.password_hash: {want}")
        self._cost, self._block, self._lanes = (int(match[i]) for i in (1, 2, 3))
        try:
            self._salt, self._digest = (base64.b64decode(match[i], validate=True) for i in (4, 5))
        except binascii.Error:
            raise ConfigError(f"session {section.id}: credentials.password_hash: {want}") from None
        within = self._cost <= MAX_COST and 1 <= self._block <= MAX_BLOCK and 1 <= self._lanes <= MAX_LANES
        power = self._cost > 1 and self._cost & (self._cost - 1) == 0
        if not (within and power and len(self._salt) >= 8 and len(self._digest) >= 16):
            raise ConfigError(f"session {section.id}: credentials.password_hash: {want}")
        self._username = credentials.username.encode()
        self._key = os.urandom(32)
        self._right: bytes | None = None  # keyed digest of the password that was right, kept in memory only
        self._wrong_s: dict[str, float] = {}  # when a wrong password may have come from an address
        self._tries_s: deque[float] = deque([-TRY_EVERY_S] * TRIES_A_SECOND, TRIES_A_SECOND)

    def fault(self, logon: bytes, peers: set[str]) -> str:
        """Why a Logon must be refused, "" when its credentials are right; it came from one of the addresses."""
        fields = [field.partition(b"=") for field in logon.split(b"\x01")]
        usernames = [value for tag, _, value in fields if tag == b"553"]
        passwords = [value for tag, _, value in fields if tag == b"554"]
        if len(usernames) != 1 or len(passwords) != 1:
            return "want one Username(553) and one Password(554)"
        if not hmac.compare_digest(usernames[0], self._username):
            return "wrong Username(553)"
        keyed = hmac.digest(self._key, passwords[0], "sha256")
        if self._right is not None:
            return "" if hmac.compare_digest(keyed, self._right) else "wrong Password(554)"
        peers = peers or {UNKNOWN}
        now_s = time.monotonic()
        self._wrong_s = {peer: at_s for peer, at_s in self._wrong_s.items() if now_s - at_s < TRY_EVERY_S}
        if peers <= self._wrong_s.keys() or now_s - self._tries_s[0] < TRY_EVERY_S:
            return f"a wrong Password(554) less than {TRY_EVERY_S:g} s ago, this one was not looked at"
        self._tries_s.append(now_s)
        digest = _scrypt(passwords[0], self._salt, self._cost, self._block, self._lanes, len(self._digest))
        if hmac.compare_digest(digest, self._digest):
            self._right = keyed
            return ""
        self._wrong_s |= dict.fromkeys(peers, time.monotonic())
        return "wrong Password(554)"


def read_password(section: SessionSection, path: Path) -> str:
    """The password that an initiator sends, from a file that only its owner can read; raises ConfigError."""
    where = f"session {section.id}: credentials.password_file: {path}"
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(4096)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise ConfigError(f"{where}: want a file that only its owner can read (chmod 600)")
    password = content.decode("latin-1").removesuffix("\n").removesuffix("\r")
    if not PASSWORD.fullmatch(password):
        raise ConfigError(f"{where}: {WANT_PASSWORD} on one line")
    return password
