"""Publishers beside a gateway that is measured: two of limits, which push now and then, and one of quotes.

python -m tools.bench.publishers FOLDER QUOTES INSTRUMENTS: publishes in FOLDER, so many quotes a second in turn over
the instruments, until standard input closes.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from pathlib import Path

from gateway.params.publisher import ParameterPublisher, QuotePublisher
from tools.bench import config

TURN_S = 0.001  # quotes that are due go out this often
PUSH_EVERY_S = 1.0


def main(folder: Path, quotes: int, instruments: int) -> None:
    """Publish until standard input closes."""
    with contextlib.ExitStack() as stack:
        limits = [stack.enter_context(ParameterPublisher(folder / name)) for name in config.SOURCES]
        prices = stack.enter_context(QuotePublisher(folder / config.QUOTES, instruments))
        begun_s = time.monotonic()
        told, pushed = 0, 0
        while not select.select([sys.stdin], [], [], TURN_S)[0]:
            passed_s = time.monotonic() - begun_s
            due = int(passed_s * quotes)
            for k in range(told, due):
                prices.publish(config.symbol(k % instruments), "99.99", "100.01", "100")
            told = due
            if passed_s >= pushed * PUSH_EVERY_S:
                pushed += 1
                for publisher in limits:
                    publisher.push("max_order_qty", config.MAX_ORDER_QTY - pushed % 2, "account", config.ACCOUNTS[0])
                    publisher.beat()
            prices.beat()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
