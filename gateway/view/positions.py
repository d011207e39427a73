"""Positions of a running gateway, as rows; see `gateway.view.status` for how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from gateway.config.files import ConfigError
from gateway.core import layout as a
from gateway.state.memory import State
from gateway.view.figures import exact, limit_value, name_at, text_of

PERCENT = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class PositionView:
    """What one entity holds of one instrument. `worst_long` is with all open buys filled and no sell, `worst_short` the
    other way round; each is 0 or more. `max_long` and `max_short` are in force for the entity in this instrument, None
    where neither is set; `used_long` and `used_short` are percent of them, 100 as soon as a limit of zero is used.
    `price` is the reference price, `price_of` says which: last, mid, or previous close. `market_value` is in the firm's
    currency, None where no price or no rate is known.
    """

    scope: str
    name: str
    symbol: str
    position: Decimal
    open_buy: Decimal
    open_sell: Decimal
    worst_long: Decimal
    worst_short: Decimal
    max_long: Decimal | None
    max_short: Decimal | None
    used_long: Decimal | None
    used_short: Decimal | None
    price: Decimal | None
    price_of: str
    currency: str
    market_value: Decimal | None

    @property
    def used(self) -> Decimal:
        """The larger of the two shares, 0 where no limit is set."""
        return max(self.used_long or Decimal(0), self.used_short or Decimal(0))


def positions(state: State, scope: str = "account") -> list[PositionView]:
    """Positions and open quantities of the entities of a scope, by name and symbol; raises ConfigError."""
    scopes = [a.SCOPE_NAMES[scope] for scope in a.POSITION_SCOPES]
    if scope not in scopes:
        raise ConfigError(f"--scope {scope}: want one of {', '.join(scopes)}")
    s = state.record
    keys, symbols = list(state.entities), list(state.instruments)
    wanted = np.array([key[0] == scopes.index(scope) for key in keys])
    exposures = s["exposures"][: s.exposure_count]
    found = wanted[exposures["entity"].clip(0, len(keys) - 1)]
    found &= (exposures["position_e8"] != 0) | (exposures["open_buy_e8"] != 0) | (exposures["open_sell_e8"] != 0)
    rows = np.flatnonzero(found)
    views = []
    for x in s.exposures[rows]:
        symbol = name_at(symbols, int(x.instrument))
        if symbol is not None and 0 <= x.entity < len(keys):
            views.append(_view(state, x, scope, keys[int(x.entity)][1], symbol))
    return sorted(views, key=lambda view: (view.name, view.symbol))


def _view(state: State, x: np.record, scope: str, name: str, symbol: str) -> PositionView:
    position_e8, buy_e8, sell_e8 = int(x.position_e8), int(x.open_buy_e8), int(x.open_sell_e8)
    long_e8, short_e8 = max(position_e8 + buy_e8, 0), max(sell_e8 - position_e8, 0)
    max_long, max_short = (_limit_in_force(state, x, limit) for limit in (a.MAX_LONG, a.MAX_SHORT))
    i = state.record.instruments[int(x.instrument)].copy()
    price_e8, price_of = _reference(i)
    return PositionView(
        scope=scope,
        name=name,
        symbol=symbol,
        position=exact(position_e8, 8),
        open_buy=exact(buy_e8, 8),
        open_sell=exact(sell_e8, 8),
        worst_long=exact(long_e8, 8),
        worst_short=exact(short_e8, 8),
        max_long=None if max_long == a.UNSET else limit_value(a.MAX_LONG, max_long),
        max_short=None if max_short == a.UNSET else limit_value(a.MAX_SHORT, max_short),
        used_long=_used(long_e8, max_long),
        used_short=_used(short_e8, max_short),
        price=exact(price_e8, 8) if price_e8 else None,
        price_of=price_of,
        currency=text_of(i.currency, i.currency_size),
        market_value=exact(position_e8 * price_e8 * int(i.value_e8), 24) if price_e8 and i.value_e8 else None,
    )


def _limit_in_force(state: State, x: np.record, limit: int) -> int:
    """The tighter of the entity's limit and that of the pair, UNSET where neither is set."""
    s = state.record
    values = [int(s.entities[int(x.entity)].limit[limit])]
    if 0 <= x.pair < s.pair_count:
        values.append(int(s.pairs[int(x.pair)].limit[limit]))
    return min((value for value in values if value != a.UNSET), default=a.UNSET)


def _used(worst_e8: int, bound: int) -> Decimal | None:
    """Percent of a limit that is used; of a limit of zero 100 as soon as it is used at all."""
    if bound < 0 or bound >= a.UNLIMITED:
        return None
    if bound == 0:
        return Decimal(100 if worst_e8 else 0)
    return (Decimal(worst_e8) * 100 / Decimal(bound)).quantize(PERCENT)


def _reference(i: np.record) -> tuple[int, str]:
    """Price as the checks take it, from last, bid and ask; else the previous close; 0 when there is none."""
    bid, ask, last, close = int(i.bid_e8), int(i.ask_e8), int(i.last_e8), int(i.previous_close_e8)
    if bid > 0 and ask > 0:
        return (min(max(last, bid), ask), "last") if last else ((bid + ask) // 2, "mid")
    if last > 0:
        return last, "last"
    return (close, "previous close") if close > 0 else (0, "")
