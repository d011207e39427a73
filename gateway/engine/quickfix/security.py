"""Who may log on: what the sessions' `tls`, `credentials` and `allow` ask for, put together for QuickFIX.

QuickFIX empties a session's store for a Logon with ResetSeqNumFlag(141) before any callback is asked. So a Logon is
judged when QuickFIX logs it, which comes first of all: the session is disabled for one that is refused, and QuickFIX
then only closes the connection. The stranger gets no answer, and uses up no sequence number of ours.
"""

from __future__ import annotations

from pathlib import Path

import quickfix as fix
import structlog

from gateway.config.sections import SessionSection
from gateway.engine.credentials import Verifier, read_password
from gateway.engine.quickfix.message_log import LOGON, hide_password
from gateway.engine.quickfix.peers import Doorkeeper
from gateway.engine.tls import check_tls

ACCEPTED = "Accepted"  # how QuickFIX's word of a new connection begins

log = structlog.get_logger()


class Security:
    """The guards of all sessions."""

    def __init__(self, sections: list[SessionSection], store: Path) -> None:
        """`store` is QuickFIX's. Raises ConfigError, one line a fault."""
        check_tls(sections)
        self._sections = sections
        self._store = store
        listeners: dict[str, list[SessionSection]] = {}
        for section in sections:
            if section.listen is not None:
                listeners.setdefault(section.listen, []).append(section)
        self._doorkeepers = {listen: Doorkeeper(group) for listen, group in listeners.items()}
        self._verifiers: dict[int, Verifier] = {}
        self._passwords: dict[int, str] = {}
        for row, section in enumerate(sections):
            if section.credentials is None:
                continue
            if section.credentials.password_file is not None:
                self._passwords[row] = read_password(section, section.credentials.password_file)
            else:
                self._verifiers[row] = Verifier(section, section.credentials)
        self._disabled: set[int] = set()  # by a Logon that was refused
        self._admitted: set[int] = set()  # by a Logon that QuickFIX is looking at
        self._stored: set[int] = set()  # sessions in whose store a password may stand

    def tick(self) -> None:
        """Cut strangers in the midst of a handshake, of whom QuickFIX says nothing yet and who hold up everybody else,
        and connections that bring no Logon; and hide the passwords of Logons that were stored and not sent. Raises
        OSError.
        """
        for doorkeeper in self._doorkeepers.values():
            doorkeeper.check()
        for row in list(self._stored):
            self._hide(row)

    def hide_all_stored(self) -> None:
        """Overwrite what a crash left; before the sessions start. Raises OSError."""
        for row in self._passwords:
            self._hide(row)

    def complete_logon(self, row: int, message: fix.Message) -> None:
        """Put Username(553) and Password(554) into a Logon of ours to a venue."""
        credentials = self._sections[row].credentials
        if row in self._passwords and credentials is not None:
            message.setField(553, credentials.username)
            message.setField(554, self._passwords[row])
            self._stored.add(row)

    def refusal(self, row: int) -> str:
        """Why the Logon that QuickFIX hands on must be refused after all, "" when it need not."""
        section = self._sections[row]
        if section.listen is not None and self._doorkeepers[section.listen].check():
            log.warning("logon refused", session=section.id, why="a connection came from where none may come")
            return "not allowed"
        if row in self._verifiers and row not in self._admitted:
            return "not admitted"
        self._admitted.discard(row)
        return ""

    def said(self, text: str) -> None:
        """QuickFIX says something of no session; of a new connection before it reads from it."""
        if text.startswith(ACCEPTED):
            for doorkeeper in self._doorkeepers.values():
                doorkeeper.check()

    def came(self, row: int, text: str) -> None:
        """A message came to a session; QuickFIX has not looked at it yet."""
        if row in self._verifiers and LOGON in text:
            self._judge(row, text)

    def sent(self, row: int, text: str) -> None:
        """A message was stored, and is about to be sent."""
        if row in self._passwords and LOGON in text:
            self._hide(row)
            self._stored.discard(row)

    def _judge(self, row: int, text: str) -> None:
        """A Logon came to a session with credentials."""
        section = self._sections[row]
        session = fix.Session.lookupSession(session_id(section))
        try:
            peers = self._doorkeepers[section.listen].newcomers() if section.listen else set()
            why = self._verifiers[row].fault(text.encode("utf-8", "surrogateescape"), peers)
        except Exception:
            session.logout()
            raise
        if why:
            log.warning("logon refused", session=section.id, why=why)
            self._admitted.discard(row)
            self._disabled.add(row)
            session.logout()
            return
        self._admitted.add(row)
        if row in self._disabled:
            self._disabled.discard(row)
            session.logon()

    def _hide(self, row: int) -> None:
        section = self._sections[row]
        name = f"{section.begin_string}-{section.sender_comp_id}-{section.target_comp_id}.body"
        hide_password(self._store / name)


def session_id(section: SessionSection) -> fix.SessionID:
    """QuickFIX's name of a session."""
    return fix.SessionID(section.begin_string, section.sender_comp_id, section.target_comp_id)
