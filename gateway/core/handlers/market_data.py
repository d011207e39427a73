"""Reference prices: quotes of publishers and the market data of venues. Kernels only."""

from __future__ import annotations

from gateway.core import alerts as al
from gateway.core import events as ev
from gateway.core import layout as a
from gateway.core.checks.price import live_reference
from gateway.core.layout import NONE
from gateway.core.messages.alerts import alert
from gateway.core.tables.instruments import find_security, find_symbol, instrument_named
from gateway.fix import tags as t
from gateway.fix.index import find
from gateway.fix.layout import DAY_NS, NO_TIME
from gateway.fix.values import parse_decimal, parse_utc_date, parse_utc_time, parse_utc_timestamp
from gateway.jit import kernel

FAR_OFF = 2  # a price more than so many times the last one, or less than its part, is believed when it is told again
SAME = 10  # and the two differ by less than this part

TELL_EVERY = 1_000  # quotes of an instrument left aside

OLD_NS = 10_000_000_000  # of two prices of a venue the later one is of now, unless it says that it is older than this
BID, OFFER, TRADE = 48, 49, 50  # MDEntryType(269)


@kernel
def _near(one, other):
    """Whether two prices are not too far apart; 0 is none."""
    return one == 0 or other == 0 or (one // FAR_OFF <= other and other // FAR_OFF <= one)


@kernel
def _believable(i, price):
    """Whether a reference price can follow the last one; one far off must be told twice."""
    before = live_reference(i)
    if before == 0:
        before = i.previous_close_e8
    if _near(before, price) or (i.unconfirmed_e8 > 0 and abs(price - i.unconfirmed_e8) <= i.unconfirmed_e8 // SAME):
        i.unconfirmed_e8 = 0
        return True
    i.unconfirmed_e8 = price
    return False


@kernel
def take_quote(s, out, instrument, bid_e8, ask_e8, last_e8, time_ns, last_ns):
    """Take bid, ask and last (0: none) of an instrument as they were at a time, the last trade at one of its own;
    returns whether they were taken.

    A crossed or negative quote, or one too far off, is left aside; the first of so many is told.
    """
    i = s.instruments[instrument]
    absurd = bid_e8 < 0 or ask_e8 < 0 or last_e8 < 0 or (bid_e8 > 0 and ask_e8 > 0 and bid_e8 > ask_e8)
    price = last_e8
    if not absurd and bid_e8 > 0 and ask_e8 > 0:
        price = bid_e8 // 2 + ask_e8 // 2
        if not _near(last_e8, price):
            last_e8 = 0  # the quote is believed, a trade far from it is not
    if absurd or not _believable(i, price):
        i.quotes_left_aside += 1
        if i.quotes_left_aside % TELL_EVERY == 1 and out.count < a.OUT_MESSAGES // 2:
            alert(s, out, al.BAD_QUOTE, i.symbol, 0, i.symbol_size)
        return False
    i.bid_e8 = bid_e8
    i.ask_e8 = ask_e8
    if last_e8 > 0 and (i.last_ns == NONE or last_ns >= i.last_ns):
        i.last_e8 = last_e8
        i.last_ns = last_ns
    if bid_e8 > 0 or ask_e8 > 0:
        i.quote_ns = time_ns
    elif last_e8 > 0:
        i.quote_ns = max(i.quote_ns, last_ns)
    return True


@kernel
def on_quote(s, out, event):
    """A publisher's quote, unless a newer one was taken already."""
    v = event.value
    instrument = v[ev.QUOTE_INSTRUMENT]
    if instrument < 0 or instrument >= s.instrument_count:
        return
    i = s.instruments[instrument]
    time_ns = min(v[ev.QUOTE_TIME], s.now_ns) if v[ev.QUOTE_TIME] > 0 else s.now_ns
    if time_ns < i.quote_ns:
        return
    if take_quote(s, out, instrument, v[ev.QUOTE_BID], v[ev.QUOTE_ASK], v[ev.QUOTE_LAST], time_ns, time_ns):
        i.bid_qty_e8 = v[ev.QUOTE_BID_QTY]
        i.ask_qty_e8 = v[ev.QUOTE_ASK_QTY]
        i.last_qty_e8 = v[ev.QUOTE_LAST_QTY]


@kernel
def _price_of(index, buf, first, last, entry_type, before_e8):
    """Price of the best entry of a type among fields `first` to before `last`; `before_e8` when there is none, 0 when
    it was deleted, below zero when it cannot be read.
    """
    price = before_e8
    found = False
    kind = 0
    deleted = False
    for f in range(first, last):
        tag = index.tag[f]
        if tag == t.MDUpdateAction:
            deleted = int(buf[index.start[f]]) == t.MD_DELETE
        elif tag == t.MDEntryType:
            kind = int(buf[index.start[f]])
            if kind == entry_type and deleted:
                price = 0
        elif tag == t.MDEntryPx and kind == entry_type and not deleted:
            told = parse_decimal(buf, index.start[f], index.length[f])
            if told < 0:
                return told
            if not found or entry_type == TRADE:
                price = told
            else:
                price = max(price, told) if entry_type == BID else min(price, told)
            found = True
    return price


@kernel
def _sent_at(s, index, buf):
    """Wall clock of SendingTime(52); now when it cannot be read, which the session layer has seen to."""
    f = find(index, t.SendingTime)
    sent = parse_utc_timestamp(buf, index.start[f], index.length[f]) if f >= 0 else NO_TIME
    return sent if sent != NO_TIME else s.now_ns + s.wall_offset_ns


@kernel
def _entry_time(date, time, sent):
    """Wall clock of an entry by its MDEntryDate(272) and MDEntryTime(273), NO_TIME where they are not told."""
    if date == NO_TIME and time == NO_TIME:
        return sent
    if date == NO_TIME:
        at = sent - sent % DAY_NS + time
        return at - DAY_NS if at > sent + DAY_NS // 2 else at  # told after midnight
    return date + max(time, 0)


@kernel
def _time_of(s, index, buf, first, last, trades):
    """The gateway's clock at which the oldest of the trades, or of the bids and offers, among the fields was true; NONE
    without any.
    """
    sent = _sent_at(s, index, buf)
    oldest = NO_TIME
    wanted = False
    date = NO_TIME
    time = NO_TIME
    for f in range(first, last + 1):
        tag = index.tag[f] if f < last else t.MDUpdateAction
        if tag == t.MDUpdateAction or tag == t.MDEntryType:
            if wanted:
                told = _entry_time(date, time, sent)
                oldest = told if oldest == NO_TIME else min(oldest, told)
            wanted = False
            date = NO_TIME
            time = NO_TIME
            if tag == t.MDEntryType:
                wanted = (int(buf[index.start[f]]) == TRADE) == trades
        elif tag == t.MDEntryDate:
            date = parse_utc_date(buf, index.start[f], index.length[f])
        elif tag == t.MDEntryTime:
            time = parse_utc_time(buf, index.start[f], index.length[f])
    return NONE if oldest == NO_TIME else s.now_ns - max(s.now_ns + s.wall_offset_ns - oldest, 0)


@kernel
def _takes_back(index, buf, first, last, last_e8):
    """Whether the last trade is deleted: by an entry that tells its price, or none."""
    deleted = False
    kind = 0
    found = False
    for f in range(first, last):
        tag = index.tag[f]
        if tag == t.MDUpdateAction:
            deleted = int(buf[index.start[f]]) == t.MD_DELETE
            kind = 0
        elif tag == t.MDEntryType:
            kind = int(buf[index.start[f]])
            found = found or (deleted and kind == TRADE)
        elif tag == t.MDEntryPx and deleted and kind == TRADE:
            if parse_decimal(buf, index.start[f], index.length[f]) != last_e8:
                found = False
    return found


@kernel
def _take_entries(s, out, buf, venue, instrument, first, last, incremental):
    """Top of book and last trade of one instrument, from the venue that we asked."""
    i = s.instruments[instrument]
    if s.sessions[venue].market_data == 0 or (i.venue != venue and i.venue != NONE):
        return
    index = s.work.index
    bid = _price_of(index, buf, first, last, BID, i.bid_e8 if incremental else 0)
    ask = _price_of(index, buf, first, last, OFFER, i.ask_e8 if incremental else 0)
    trade = _price_of(index, buf, first, last, TRADE, 0)
    if incremental and _takes_back(index, buf, first, last, i.last_e8):
        i.last_e8 = 0
        i.last_ns = NONE
    time_ns = _time_of(s, index, buf, first, last, False)
    last_ns = _time_of(s, index, buf, first, last, True)
    if time_ns == NONE:
        time_ns = max(i.quote_ns, last_ns)  # it tells of trades only: by then bid and offer had not changed
    if time_ns < i.quote_ns and s.now_ns - time_ns > OLD_NS:
        return
    if bid >= 0 and ask >= 0 and trade >= 0:
        take_quote(s, out, instrument, bid, ask, trade, time_ns, last_ns)


@kernel
def _entry_end(index, first):
    """Field after the last of the entry of an incremental refresh that begins at `first`."""
    f = first + 1
    while f < index.count and index.tag[f] != t.MDUpdateAction:
        f += 1
    return f


@kernel
def _named_in(s, buf, first, last, instrument):
    """The instrument that the fields from `first` to before `last` name, NONE for one that is not known, and
    `instrument` where they name none.
    """
    index = s.work.index
    for f in range(first, last):
        if index.tag[f] == t.Symbol or index.tag[f] == t.SecurityID:
            instrument = NONE
    for f in range(first, last):
        found = NONE
        if index.tag[f] == t.Symbol:
            found = find_symbol(s, buf, index.start[f], index.length[f])
        elif index.tag[f] == t.SecurityID:
            found = find_security(s, buf, index.start[f], index.length[f])
        if found != NONE:
            return found
    return instrument


@kernel
def market_data_snapshot(s, out, buf, venue):
    """MarketDataSnapshotFullRefresh(W) of one instrument."""
    instrument = instrument_named(s, s.work.index, buf)
    if instrument != NONE:
        _take_entries(s, out, buf, venue, instrument, 0, s.work.index.count, False)


@kernel
def market_data_incremental(s, out, buf, venue):
    """MarketDataIncrementalRefresh(X): an entry that names no instrument is of that of the entry before it. What is
    told of one instrument in a row is taken at once, since its parts may cross one another.
    """
    index = s.work.index
    instrument = NONE
    first = _entry_end(index, 0)
    at = first
    while at < index.count:
        end = _entry_end(index, at)
        named = _named_in(s, buf, at, end, instrument)
        if named != instrument:
            if instrument != NONE:
                _take_entries(s, out, buf, venue, instrument, first, at, True)
            instrument = named
            first = at
        at = end
    if instrument != NONE:
        _take_entries(s, out, buf, venue, instrument, first, index.count, True)
