"""The gateway of the random histories: four venues, of which one takes no order, two EMSs, tight limits."""

from __future__ import annotations

from decimal import Decimal

from tests.support.core import BASE

D = Decimal
ACCOUNTS = ["ACC1", "ACC2", "ACC3", "ACC4"]
CONFIG = {
    **BASE,
    "identity": {"account": 1, "strategy": 116, "trader": 50},
    "sessions": [
        {
            **{"id": "EMS1", "role": "acceptor", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "EMS1", "listen": "127.0.0.1:1", "accounts": ACCOUNTS},
            **{"strategies": ["MOMO", "ARB"], "traders": ["TOM"], "desks": ["D1"], "defaults": {"desk": "D1"}},
        },
        {
            **{"id": "EMS2", "role": "acceptor", "begin_string": "FIX.4.2", "sender_comp_id": "GW"},
            **{"target_comp_id": "EMS2", "listen": "127.0.0.1:1", "accounts": ACCOUNTS},
            **{"strategies": ["ARB"], "flows": ["AUTO"], "defaults": {"strategy": "ARB", "flow": "AUTO"}},
        },
        {
            **{"id": "XNAS", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "XNAS", "connect": "127.0.0.1:1", "market_data": True},
        },
        {
            **{"id": "XCME", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "XCME", "connect": "127.0.0.1:1", "order_status": False},
        },
        {
            **{"id": "XOLD", "role": "initiator", "begin_string": "FIX.4.2", "sender_comp_id": "GW"},
            **{"target_comp_id": "XOLD", "connect": "127.0.0.1:1", "market_data": True},
        },
        {
            **{"id": "XNIL", "role": "initiator", "begin_string": "FIX.4.4", "sender_comp_id": "GW"},
            **{"target_comp_id": "XNIL", "connect": "127.0.0.1:1"},
        },
    ],
    "routing": {"default": "XNAS", "instruments": {"ESZ6": "XCME", "NQZ6": "XCME", "SPY": "XOLD"}},
    "day": {"zone": "UTC", "end": "22:00", "keep_executions": 2},
    "carry": {"orders": [211]},  # venues take pegged orders
    "rates": {"EUR": {"rate": "1.1", "date": "2026-07-10"}},
}
INSTRUMENTS = [
    {
        "symbol": "AAPL",
        "security_id": "US0378331005",
        "tick": "0.01",
        "lot": "1",
        "multiplier": "1",
        "previous_close": "100",
        "sector": "TECH",
        "asset_class": "STOCK",
    },
    {
        "symbol": "MSFT",
        "security_id": "US5949181045",
        "tick": "0.01",
        "lot": "10",
        "multiplier": "1",
        "previous_close": "200",
        "sector": "TECH",
        "asset_class": "STOCK",
    },
    {"symbol": "ESZ6", "asset_class": "FUTURE", "tick": "0.25", "lot": "1", "multiplier": "5", "currency": "EUR"},
    {"symbol": "NQZ6", "asset_class": "FUTURE", "tick": "0.25", "lot": "1", "multiplier": "2", "previous_close": "300"},
    {
        "symbol": "SPY",
        "security_id": "US78462F1030",
        "tick": "0.05",
        "lot": "10",
        "multiplier": "1",
        "previous_close": "80",
    },
]
FUTURES = ("ESZ6", "NQZ6")
COLUMNS = (
    *("symbol", "security_id", "tick", "lot", "multiplier", "currency", "previous_close"),
    *("sector", "asset_class"),
)
INSTRUMENTS_CSV = "\n".join([",".join(COLUMNS), *(",".join(i.get(c, "") for c in COLUMNS) for i in INSTRUMENTS), ""])
MIDDLE = {"AAPL": D(100), "MSFT": D(200), "ESZ6": D(450), "NQZ6": D(300), "SPY": D(80)}
LIMITS = {
    "firm": {"max_open_orders": 7, "max_messages": 24, "message_window": "1s", "max_long": 1200, "max_short": 1000},
    "account": {
        "default": {
            **{"max_order_qty": 500, "max_order_notional": 60_000, "max_long": 800, "max_short": 600},
            **{"duplicate_window": "300ms"},
        },
        "ACC2": {"max_order_qty": 300, "max_open_orders": 2, "duplicate_window": "1s", "max_order_notional": 45_000},
        "ACC3": {"max_quote_spread": 30, "max_order_age": "700ms", "max_long": 300},
    },
    "account*instrument": {
        "ACC1*ESZ6": {"max_order_qty": 20, "max_long": 30},
        "ACC4*NQZ6": {"max_short": 25},
        "default*MSFT": {"max_short": 200, "max_order_notional": "unlimited"},
    },
    "strategy": {
        "default": {"max_order_qty": 400},
        "MOMO": {"max_short": 250, "max_messages": 7, "message_window": "500ms"},
    },
    "trader": {"TOM": {"max_order_notional": 30_000, "max_long": "unlimited"}},
    "instrument": {
        "default": {"collar_bps": 500, "reference_max_age": "5s"},
        "AAPL": {"max_quote_spread": 120},
        "MSFT": {"max_quote_spread": "unlimited", "collar_bps": 300, "max_open_orders": 3, "max_long": 700},
    },
    "session": {
        "default": {"max_messages": 16, "message_window": "1s", "max_order_age": "2s"},
        "EMS2": {"max_open_orders": 3, "max_order_age": "10m"},
    },
    "class": {"TREND": {"max_order_qty": 380, "max_messages": 9, "max_long": 500}, "default": {"max_open_orders": 4}},
    "class*instrument": {"MAKER*AAPL": {"max_short": 500}},
    "sector": {"TECH": {"max_open_orders": 5, "max_order_notional": 58_000}},
    "asset_class": {"FUTURE": {"max_order_qty": 450}, "default": {"collar_bps": 450}},
    "venue": {
        "XCME": {"max_open_orders": 2},
        "XOLD": {"max_order_qty": 350, "max_messages": 5, "message_window": "3s"},
        "XNAS": {"max_messages": 10, "message_window": "1s"},
        "XNIL": {"max_messages": 0},
    },
}
