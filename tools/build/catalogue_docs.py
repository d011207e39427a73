"""Write docs/checks.md and docs/alerts.md from their tables: `python -m tools.build.catalogue_docs`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from gateway.core.alerts import ALERTS
from gateway.core.catalogue import CHECKS, LIMITS
from gateway.core.layout import SCOPE_NAMES
from gateway.fix import tags as t
from gateway.fix.dictionary import load_dictionary
from gateway.state.build import CARRIED_FROM_ORDERS, FRAMING, IGNORED_IN_ORDERS, OWN_IN_ORDERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HEAD = """# The check catalogue

For risk officers and those who write limits.yaml. Written by `python -m tools.build.catalogue_docs` from
`gateway/core/catalogue.py`; a test keeps the two equal.

Every new order and every replace runs through all checks in one pass, and the reject names every one that fired. Those
from FAULT to REPLACE_TERMS are prerequisites: when one of them fires the limits are not looked at, except that
CL_ORD_ID_REUSE is reported together with them. Cancels run through none.

An exposure limit (MAX_LONG, MAX_SHORT) fires only when the worst case after the order is over the limit *and* higher
than before it, so an order that reduces a position passes whatever the limit says.
"""
LIMITS_HEAD = """
## Limits

Keys of limits.yaml. A limit stands at a scope (`account:`), for one entity (`ACC1:`) or for all others of the scope
(`default:`), or at a scope together with an instrument (`account*instrument:`, `ACC1*AAPL:`). Of all that are set for
an order **the tightest wins**. What is not set takes no part; what must be set and is not refuses the order and names
the key. `unlimited` is written out. `tidegate limits check` lists who could not trade, and why.

A plain number refuses. A limit that does more has a value for each **severity**, none tighter than the one before:

    max_order_qty: {watch: 2000, warn: 4000, reject: 5000, stop: 50_000}

| severity | an order beyond it |
|---|---|
| `watch` | goes out; the log has `limit_watched`, the decision record where and by how much |
| `warn` | goes out; an alert, `limit_warned` |
| `reject` | is refused |
| `stop` | is refused, and the entity where the limit stands is halted |

A halt is that of `tidegate posture set halted`: working orders are canceled, and nothing passes until a person
releases it. Of each severity counts the entity's own value, else its scope's default; `stop` without `reject` refuses
at the same value. All places where a limit stands watch, warn and stop by themselves, with their own values. Log and
alerts have at most one line a second for a limit and place, which says how many orders there were since the last; the
metric `limit_orders_total` counts all. `message_window` takes one value.

| key | value | what it bounds | may stand at | must be set at | tighter is |
|---|---|---|---|---|---|
"""
FIELDS_HEAD = """
## Fields of an order

What the body of a NewOrderSingle or OrderCancelReplaceRequest may have; any other field is refused (WELL_FORMED), since
it could make another order of it. Besides, the tags of the config's `identity:`; and those that `carry.orders` names,
which are carried.
"""
ALERTS_HEAD = """# Alerts

For risk officers and those who run the gateway. Written by `python -m tools.build.catalogue_docs` from
`gateway/core/alerts.py`; a test keeps the two equal.

An alert is a log line `alert` at the level below. Its key `alert` has the name; `text` has these words, then the order,
the venue and the message that it is about. It is in the journal, in `tidegate replay` and in the audit export too.

The engine adds alerts of its own, at level error, in the log alone, with the session: `gap_stays_open` (a message of a
peer does not come though it was asked for six times: nothing behind it is taken; agree on the numbers and [set
them](operations.md#setting-sequence-numbers)), `peer_does_not_read` (it is cut off), `session_reject` (a peer refuses a
message that cannot be named, or an EMS refuses one of ours: look into it). Over QuickFIX: `ahead_of_a_gap` (too much
waits behind messages that are missing: the session is cut, and logs on again), `not_handed_on` (the session layer
counted a message without handing it on: it is requested again, or the status of its orders is), `session_failed` and
`session_not_made` (a venue's session could not go on, or be made: this is tried again every second).
"""


def checks_doc() -> str:
    """The text of docs/checks.md."""
    lines = [HEAD, "| check | what it compares | limit | 103 | rules |", "|---|---|---|---|---|"]
    for check in CHECKS:
        limit = f"`{check.limit}`" if check.limit else ""
        lines.append(f"| {check.name} | {check.compares} | {limit} | {check.reason} | {check.rules} |")
    text = "\n".join(lines) + "\n" + LIMITS_HEAD
    for limit_row in LIMITS:
        scopes = ", ".join(SCOPE_NAMES[scope] for scope in limit_row.scopes)
        must = "" if limit_row.mandatory_scope is None else SCOPE_NAMES[limit_row.mandatory_scope]
        row = (f"`{limit_row.key}`", limit_row.kind, limit_row.meaning, scopes, must, limit_row.tighter)
        text += f"| {' | '.join(row)} |\n"
    return text + _fields_doc()


def _fields_doc() -> str:
    """Which fields an order may have, and what becomes of them."""
    dictionaries = [load_dictionary(ROOT / "fix_specs" / name) for name in ("FIX44.xml", "FIX42.xml")]

    def named(tag: int) -> str:
        name = next((d.fields[tag].name for d in dictionaries if tag in d.fields), "")
        return f"{name}({tag})" if name else str(tag)

    own = {*OWN_IN_ORDERS, t.ExDestination} - {*FRAMING}
    lists = {
        "read, and written by the gateway": own,
        "carried to the venue as they came": {*CARRIED_FROM_ORDERS} - own,
        "taken, and not passed on": {*IGNORED_IN_ORDERS} - own - {*CARRIED_FROM_ORDERS},
    }
    parts = [FIELDS_HEAD]
    for what, tags in lists.items():
        text = f"**{what[0].upper()}{what[1:]}**: {', '.join(map(named, sorted(tags)))}.\n"
        parts.append(textwrap.fill(text, 120) + "\n")
    return "\n".join(parts)


def alerts_doc() -> str:
    """The text of docs/alerts.md."""
    rows = [f"| `{alert.name}` | {alert.severity} | {alert.text} |" for alert in ALERTS.values()]
    return "\n".join(
        [ALERTS_HEAD, "| alert | level | what happened, and what is done about it |", "|---|---|---|", *rows, ""]
    )


def documents() -> dict[Path, str]:
    """Every file that is written, with its text."""
    return {DOCS / "checks.md": checks_doc(), DOCS / "alerts.md": alerts_doc()}


def main() -> None:
    """Write the files."""
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
