"""Reference prices: quotes and the market data of venues. Kernels only."""

from __future__ import annotations

from gateway.core.layout import NONE
from gateway.core.lookup import instrument_named
from gateway.fix import tags as t
from gateway.fix.values import parse_decimal
from gateway.jit import kernel


@kernel
def update_quote(s, instrument, bid_e8, ask_e8, last_e8):
    """Take bid, ask and last (0: none) of an instrument; a crossed or negative quote is left aside."""
    i = s.instruments[instrument]
    if bid_e8 < 0 or ask_e8 < 0 or last_e8 < 0 or (bid_e8 > 0 and ask_e8 > 0 and bid_e8 > ask_e8):
        return
    i.bid_e8 = bid_e8
    i.ask_e8 = ask_e8
    if last_e8 > 0:
        i.last_e8 = last_e8
        i.last_ns = s.now_ns
    if bid_e8 > 0 or ask_e8 > 0 or last_e8 > 0:
        i.quote_ns = s.now_ns


@kernel
def market_data_snapshot(s, buf, venue):
    """MarketDataSnapshotFullRefresh(W): top of book and last trade of one instrument, from the venue that we asked.

    One with a price that cannot be read is left aside.
    """
    index = s.work.index
    instrument = instrument_named(s, index, buf)
    if instrument == NONE or s.sessions[venue].market_data == 0:
        return
    if s.instruments[instrument].venue != venue and s.instruments[instrument].venue != NONE:
        return
    bid = 0
    ask = 0
    last = 0
    entry_type = 0
    for f in range(index.count):
        if index.tag[f] == t.MDEntryType:
            entry_type = int(buf[index.start[f]])
        elif index.tag[f] == t.MDEntryPx:
            price = parse_decimal(buf, index.start[f], index.length[f])
            if price < 0:
                return
            if entry_type == 48:
                bid = max(bid, price)
            elif entry_type == 49:
                ask = price if ask == 0 else min(ask, price)
            elif entry_type == 50:
                last = price
    update_quote(s, instrument, bid, ask, last)
