"""Scripts of a simulated EMS: lines that people write, and what they make it send."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tidegate_tools.fix.text import Fields

if TYPE_CHECKING:
    from tidegate_tools.sim.ems import Ems

TAGS = {"tif": 59, "type": 40, "execinst": 18}
WANTED = (
    "`buy|sell QTY SYMBOL @ PRICE|market [tif=T] [type=T] [execinst=I] [TAG=VALUE]`, `replace ID [qty=Q] [px=P]`, "
    "`cancel ID`, `cancel all [SYMBOL]`, `status ID`, `status all [SYMBOL]` or `wait [S]`"
)


class Step(NamedTuple):
    """A line of a script: its number from 1, its verb, arguments, and fields of the message."""

    line: int
    verb: str
    arguments: dict[str, str]
    fields: Fields


def parse_line(line: str) -> tuple[str, dict[str, str], Fields]:
    """A script line to its verb, arguments and fields; ValueError says what was wanted.

    `buy 100 AAPL @ 187.50` or `sell 50 MSFT market`, with `tif=3` (TimeInForce), `type=P` (OrdType), `execinst=G,R` and
    any `TAG=VALUE`; `replace LAST qty=80 px=187`, which keeps them, and may change them; `cancel LAST`; `cancel all`
    and `status all` (35=q, AF), of a symbol or of all; `status LAST`; `wait` (until nothing is unanswered) or
    `wait 0.5` (seconds). LAST is the last order; a ClOrdID works too.
    """
    words = line.split()
    options = {key: value for key, equals, value in (word.partition("=") for word in words) if equals}
    fields = [
        (TAGS.get(key) or int(key), value.replace(",", " ") if key == "execinst" else value)
        for key, value in options.items()
        if value and (key in TAGS or (key.isascii() and key.isdigit()))
    ]
    known = {key: value for key, value in options.items() if key in ("qty", "px")}
    is_bare, is_order = not options, len(fields) == len(options)
    match [word for word in words if "=" not in word]:
        case ["buy" | "sell" as side, quantity, symbol, "@", price] if is_order:
            return side, {"quantity": quantity, "symbol": symbol, "price": price}, fields
        case ["buy" | "sell" as side, quantity, symbol, "market"] if is_order:
            return side, {"quantity": quantity, "symbol": symbol}, fields
        case ["replace", target] if options and len(fields) + len(known) == len(options):
            return "replace", {"target": target, **known}, fields
        case ["cancel" | "status" as verb, "all", *symbol] if len(symbol) < 2 and is_bare:
            return f"{verb} all", {"symbol": "".join(symbol)}, []
        case ["cancel" | "status" as verb, target] if is_bare:
            return verb, {"target": target}, []
        case ["wait", *seconds] if len(seconds) < 2 and is_bare:
            return "wait", {"seconds": str(float(seconds[0])) if seconds else ""}, []
    raise ValueError(f"wanted {WANTED}, not {line.strip()!r}")


def parse_script(lines: Iterable[str]) -> Iterator[Step]:
    """The steps of a script, see `parse_line`; blank lines and what follows # are skipped."""
    for number, line in enumerate(lines, 1):
        if text := line.split("#")[0].strip():
            try:
                yield Step(number, *parse_line(text))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


def run_script(ems: Ems, steps: Iterable[Step], timeout: float) -> None:
    """Run the steps of a script."""
    last = ""
    terms: dict[str, dict[int, str]] = {}
    """Fields given for an order beside the usual ones, by its ClOrdIDs: a replace says them again."""
    for step in steps:
        given = step.arguments
        target = last if given.get("target") == "LAST" else given.get("target", "")
        if "target" in given and target not in ems.orders:
            raise ValueError(f"line {step.line}: no such order: {given['target']}")
        if step.verb in ("replace", "cancel", "status"):
            ems.wait_answered(timeout)
            target = ems.order(target).cl_ord_id
        extra = terms.get(target, {}) | dict(step.fields)
        match step.verb:
            case "buy" | "sell" as side:
                last = ems.new_order(
                    symbol=given["symbol"],
                    side="1" if side == "buy" else "2",
                    quantity=given["quantity"],
                    price=given.get("price"),
                    extra=extra.items(),
                )
                terms[last] = extra
            case "replace":
                last = ems.replace(target, quantity=given.get("qty"), price=given.get("px"), extra=extra.items())
                terms[last] = extra
            case "cancel":
                ems.cancel(target)
            case "status":
                ems.order_status(target)
            case "cancel all":
                ems.mass_cancel(given["symbol"])
            case "status all":
                ems.mass_status(given["symbol"])
            case "wait" if given["seconds"]:
                time.sleep(float(given["seconds"]))
            case "wait":
                ems.wait_answered(timeout)
