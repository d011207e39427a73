"""What the core sends, judged by QuickFIX's own dictionaries: another engine's word on what is a valid message."""

from __future__ import annotations

import functools

import quickfix as fix

from gateway import shipped
from gateway.core.layout import NONE
from tests.support.core import Core

STAMP = "20260711-12:00:00.000"


@functools.cache
def dictionary(begin_string: str) -> fix.DataDictionary:
    """The strict dictionary of a FIX version."""
    strict = fix.DataDictionary(str(shipped("fix_specs") / f"{begin_string.replace('.', '')}.xml"))
    strict.checkUserDefinedFields(True)
    strict.checkFieldsHaveValues(True)
    return strict


def fault_of(begin_string: str, msg_type: str, body: bytes) -> str:
    """What is wrong with a message, empty when it is valid. `body` is as the core writes it."""
    head = f"35={msg_type}\x0134=1\x0149=GW\x0152={STAMP}\x0156=PEER\x01".encode()
    start = f"8={begin_string}\x019={len(head) + len(body)}\x01".encode()
    total = sum(start + head + body) % 256
    text = (start + head + body).decode("latin-1") + f"10={total:03}\x01"
    try:
        dictionary(begin_string).validate(fix.Message(text, dictionary(begin_string), True))
    except (fix.FIXException, RuntimeError) as error:
        return f"{error}: {text}".replace("\x01", "|")
    return ""


def faults(core: Core, since: int = 0) -> list[str]:
    """What is wrong with all that the core has sent from an event of its log on."""
    names = {row: name for name, row in core.sessions.items()}
    return [
        f"{names[o.session]}: {fault}"
        for _, outputs in core.log[since:]
        for o in outputs
        if o.session != NONE
        if (fault := fault_of(core.begin_strings[names[o.session]], o.message_type, o.body))
    ]
