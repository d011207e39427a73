"""Whether a gateway works: one verdict, which status, metrics, the control socket and the kill command share.

`silence` needs no more than the standard library, so that a kill can ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

STALE_NS = 1_000_000_000  # a core that is alive writes its heartbeat with each event and each tick, every 100 ms


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be. `needs_person`: it does not pass by itself, or somebody must know of it.
    `blocks`: orders that should be taken are refused meanwhile.
    """

    text: str
    needs_person: bool = True
    blocks: bool = True


def silence(heartbeat_ns: int, now_ns: int) -> str:
    """Why nothing that a gateway shows is proven, by its heartbeat and CLOCK_MONOTONIC; empty: its core is alive."""
    if heartbeat_ns == 0:
        return "the gateway shows no heartbeat"
    age_ns = now_ns - heartbeat_ns
    return f"the core has not responded for {age_ns / 1e9:.1f} s" if age_ns > STALE_NS else ""


def fault_text(fault: int) -> str:
    """What a fault word says, empty for none."""
    from gateway.state.names import FAULTS

    return "; ".join(text for bit, text in FAULTS.items() if fault & bit) or ("of an unknown kind" if fault else "")


def unknown_orders(venue: str, reports: int, last: datetime) -> str:
    """That a venue has told, so often, of orders at work there that did not come through the gateway."""
    times = "once" if reports == 1 else f"{reports:,} times, the last"
    return (
        f"{venue} has reported working orders that are not the gateway's, {times} at {last:%Y-%m-%d %H:%M:%S} UTC: "
        "they are neither counted nor canceled, ask the venue"
    )


def not_resent(venues: Iterable[str]) -> str:
    """That these venues may have more of ours than is counted; empty without any."""
    named = list(venues)
    return f"{', '.join(named)} {'has' if len(named) == 1 else 'have'} not yet resent what was missed" if named else ""
