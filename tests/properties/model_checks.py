"""The checks of the model: limits, message rates, exposure, and the judgement of one order. No code of the gateway."""

from __future__ import annotations

from decimal import Decimal, localcontext

from tests.properties.model_orders import (
    BUY,
    COUNTED_WHEN_IDENTIFIED,
    EXACT,
    IDENTITY_TAGS,
    MANDATORY,
    POSITION_SCOPES,
    QUERIED,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    legal_number,
    step_down,
    step_up,
)

NOON_S = 12 * 3600  # the run began then


class Checks:
    """What the model knows, and how it judges an order."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        self.limits = limits
        self.sessions = {s["id"]: s for s in config["sessions"]}
        self.up = dict.fromkeys(self.sessions, True)
        self.now_ns = now_ns
        self.instruments: dict[str, Instrument] = {}
        for row in instruments:
            rate = D(str(config["rates"][row["currency"]]["rate"])) if row.get("currency") else D(1)
            venue = config["routing"]["instruments"].get(row["symbol"], config["routing"]["default"])
            self.instruments[row["symbol"]] = Instrument(
                row["symbol"],
                row.get("security_id", ""),
                D(row["tick"]),
                D(row["lot"]),
                step_up(D(row["multiplier"]) * rate, 8),
                D(row.get("previous_close") or 0),
                venue,
            )
        self.orders: list[Order] = []
        self.messages: dict[tuple[str, str], list[int]] = {}
        self.accepted: list[tuple[int, tuple[object, ...], Order]] = []
        self.positions: dict[tuple[str, str, str], Decimal] = {}
        self.fault = False
        self.began_ns = now_ns
        self.known_since_ns = 0  # after that: what was first sent before may have been forgotten
        self.recovering: set[str] = set()
        self.killed: set[tuple[str, str]] = set()
        self.is_closed = False  # outside the hours of the trading day

    # Limits.

    def limit(self, scope: str, name: str, key: str, symbol: str = "") -> object:
        """The limit of an entity: its own value, else its scope's default; the tighter of that and its pair's."""
        table = {"": self.limits.get(scope, {})} if scope == "firm" else self.limits.get(scope, {})
        found = [table.get(name, {}).get(key, table.get("default", {}).get(key))]
        if symbol:
            pairs = self.limits.get(f"{scope}*instrument", {})
            own = pairs.get(f"{name}*{symbol}", {}).get(key)
            found.append(own if own is not None else pairs.get(f"default*{symbol}", {}).get(key))
        numbers = [D(str(v)) for v in found if v not in (None, "unlimited")]
        if numbers:
            return min(numbers)
        return "unlimited" if "unlimited" in found else None

    def tightest(self, j: Judgement, key: str) -> object:
        """The tightest limit over all scopes of an order; "missing" where it is mandatory and not set."""
        symbol = j.instrument.symbol
        found = {s: self.limit(s, n, key, symbol if s != "instrument" else "") for s, n in j.entities.items()}
        if key in MANDATORY and found[MANDATORY[key]] is None:
            return "missing"
        numbers = [v for v in found.values() if isinstance(v, Decimal)]
        return min(numbers) if numbers else None

    def over(self, value: Decimal, limit: object) -> bool:
        return limit == "missing" or (isinstance(limit, Decimal) and value > limit)

    @staticmethod
    def duration_ns(text: object) -> int:
        number = str(text)
        for unit, scale in (("ms", 10**6), ("s", 10**9), ("m", 60 * 10**9), ("h", 3600 * 10**9)):
            if number.endswith(unit):
                return int(D(number.removesuffix(unit)) * scale)
        raise ValueError(number)

    def duration(self, scope: str, name: str, key: str) -> int | None:
        table = self.limits.get(scope, {}) if scope != "firm" else {"": self.limits.get(scope, {})}
        value = table.get(name, {}).get(key, table.get("default", {}).get(key))
        return None if value is None else self.duration_ns(value)

    # Message rates.

    def count_message(self, scope: str, name: str) -> None:
        self.messages.setdefault((scope, name), []).append(self.now_ns)

    def in_window(self, scope: str, name: str) -> int:
        window = self.duration(scope, name, "message_window")
        if window is None:
            return 0
        slice_ns = -(-window // 16)
        now = self.now_ns // slice_ns
        return sum(1 for t in self.messages.get((scope, name), ()) if t // slice_ns >= now - 16)

    def over_rate(self, entities: dict[str, str]) -> bool:
        for scope, name in entities.items():
            limit = self.limit(scope, name, "max_messages")
            if isinstance(limit, Decimal) and self.in_window(scope, name) > limit:
                return True
        return False

    # Exposure.

    def open_quantity(self, scope: str, name: str, symbol: str) -> tuple[Decimal, Decimal]:
        """Open buys and open sells."""
        total = {True: D(0), False: D(0)}
        for order in self.orders:
            if order.instrument.symbol == symbol and order.entities.get(scope) == name:
                total[order.side == BUY] += order.reserved()
        return total[True], total[False]

    def position(self, scope: str, name: str, symbol: str) -> Decimal:
        return self.positions.get((scope, name, symbol), D(0))

    def open_orders(self, scope: str, name: str) -> int:
        return sum(1 for o in self.orders if o.entities.get(scope) == name and o.is_open())

    def doubts(self, venue: str) -> list[Order]:
        return [o for o in self.orders if o.venue == venue and o.doubt > 0]

    def exposures(self) -> dict[tuple[str, str, str], tuple[Decimal, Decimal, Decimal]]:
        """(position, open buys, open sells) of every scope, entity and instrument where one is not 0."""
        of_orders = {
            (s, o.entities[s], o.instrument.symbol) for o in self.orders for s in POSITION_SCOPES if s in o.entities
        }
        found = {key: (self.position(*key), *self.open_quantity(*key)) for key in of_orders | set(self.positions)}
        return {key: value for key, value in found.items() if any(value)}

    # Orders from an EMS.

    def identity(self, session: str, fields: Fields) -> tuple[dict[str, str], bool]:
        """Entities that the message names, and whether all of them are listed and there is an account."""
        section = self.sessions[session]
        entities = {"firm": ""}
        right = True
        for scope, plural in (
            *(("desk", "desks"), ("account", "accounts"), ("strategy", "strategies")),
            *(("trader", "traders"), ("flow", "flows")),
        ):
            named = fields.get(IDENTITY_TAGS.get(scope, 0))
            if named is not None and named not in section.get(plural, []):
                right = False
            name = named if named is not None else section.get("defaults", {}).get(scope)
            if name is not None:
                entities[scope] = name
        return entities, right and "account" in entities

    def find_instrument(self, fields: Fields) -> Instrument | None:
        by_symbol = self.instruments.get(fields.get(55, ""))
        by_security = next(
            (i for i in self.instruments.values() if i.security_id and i.security_id == fields.get(48)), None
        )
        if 55 in fields and 48 in fields:
            return by_symbol if by_symbol is by_security else None
        return by_symbol if 55 in fields else by_security

    @staticmethod
    def well_formed(fields: Fields) -> bool:
        kind = fields[40]
        return (
            fields[54] in ("1", "2", "5")
            and kind in ("1", "2", "3", "4")
            and fields.get(59, "0") in ("0", "1", "2", "3", "4", "6", "7")
            and legal_number(fields[38]) is not None
            and (kind not in ("2", "4") or legal_number(fields.get(44)) is not None)
            and (kind not in ("3", "4") or legal_number(fields.get(99)) is not None)
        )

    def route(self, fields: Fields, instrument: Instrument | None) -> str | None:
        venue = fields.get(100, instrument.venue if instrument else "")
        return venue if self.sessions.get(venue, {}).get("role") == "initiator" else None

    def is_stale(self, session: str, fields: Fields, again: bool) -> bool:
        """Whether a message sent again (its first sending is all of one day) is too old or of an earlier run."""
        hours, minutes, seconds = fields[60].partition("-")[2].split(":")
        sent_ns = int((int(hours) * 3600 + int(minutes) * 60 + D(seconds) - NOON_S) * 10**9)
        now_ns = self.now_ns - self.began_ns
        longest_ns = self.duration_ns(self.sessions[session].get("max_poss_dup_age", "10s"))
        return again and (sent_ns < self.known_since_ns or now_ns - sent_ns > longest_ns)

    @staticmethod
    def named(
        session: str, entities: dict[str, str], instrument: Instrument | None, venue: str | None
    ) -> dict[str, str]:
        """All that a new order is in, as far as it says so."""
        named = entities | {"session": session}
        if instrument is not None:
            named["instrument"] = instrument.symbol
            if venue is not None:
                named["venue"] = venue
        return named

    def is_killed(self, entities: dict[str, str]) -> bool:
        return any(pair in self.killed for pair in entities.items())

    def is_recovering(self, venue: str, order: Order | None) -> bool:
        """Whether a venue takes no new order, or this order no replace."""
        if order is not None:
            return order.doubt > 0 or venue in self.recovering
        return venue in self.recovering or any(o.doubt != QUERIED for o in self.doubts(venue))

    def version(self, session: str) -> str:
        return self.sessions[session]["begin_string"]

    def judge(
        self, session: str, fields: Fields, stale: bool, order: Order | None
    ) -> tuple[set[str], Judgement | None]:
        """Names of the checks that fire, and the order as judged unless a prerequisite failed."""
        fired = {"FAULT"} if self.fault else set()
        if self.is_closed:
            fired.add("TRADING_DAY")
        entities, identified = self.identity(session, fields)
        if not self.well_formed(fields):
            fired.add("WELL_FORMED")
        instrument = self.find_instrument(fields)
        if instrument is None:
            fired.add("KNOWN_INSTRUMENT")
        if not identified:
            fired.add("IDENTITY")
        venue = order.venue if order else self.route(fields, instrument)
        if instrument is not None and venue is None:
            fired.add("ROUTE")
        elif venue is not None and fields.get(59) == "7" and self.version(session) != self.version(venue):
            fired.add("TRANSLATION")
        if self.is_killed(order.entities if order else self.named(session, entities, instrument, venue)):
            fired.add("KILLED")
        if instrument is not None and venue is not None and not self.up[venue]:
            fired.add("VENUE_DOWN")
        elif instrument is not None and venue is not None and self.is_recovering(venue, order):
            fired.add("RECOVERY")
        if stale:
            fired.add("STALE_ORDER")
        if identified:
            for scope in COUNTED_WHEN_IDENTIFIED:
                if scope in entities:
                    self.count_message(scope, entities[scope])
        if fired or instrument is None or venue is None:
            return fired, None
        entities |= {"instrument": instrument.symbol, "session": session, "venue": venue}
        kind = fields[40]
        qty = D(fields[38])
        j = Judgement(
            instrument,
            fields[54],
            kind,
            qty,
            D(fields[44]) if kind in ("2", "4") else D(0),
            D(fields[99]) if kind in ("3", "4") else D(0),
            entities,
            qty if order is None else max(D(0), qty + order.restated - order.cum - order.worst()),
            None if order is None else order.accepted,
        )
        with localcontext(EXACT):
            self.check_all(j, is_new=order is None)
        return j.fired, j

    def check_all(self, j: Judgement, is_new: bool) -> None:
        if j.qty % j.instrument.lot:
            j.fired.add("LOT")
        if j.price % j.instrument.tick or j.stop % j.instrument.tick:
            j.fired.add("TICK_SIZE")
        if self.over(j.qty, self.tightest(j, "max_order_qty")):
            j.fired.add("MAX_ORDER_QTY")
        reference, factor = self.usable_reference(j)
        self.check_price(j, reference, factor)
        self.check_position(j)
        if is_new:
            for scope, name in j.entities.items():
                limit = self.limit(scope, name, "max_open_orders")
                if isinstance(limit, Decimal) and self.open_orders(scope, name) + 1 > limit:
                    j.fired.add("MAX_OPEN_ORDERS")
            windows = [self.duration(s, n, "duplicate_window") for s, n in j.entities.items()]
            longest = max((w for w in windows if w is not None), default=0)
            if any(same == self.fingerprint(j) and self.now_ns - t < longest for t, same, _ in self.accepted):
                j.fired.add("DUPLICATE_ORDER")
        if self.over_rate(j.entities):
            j.fired.add("MAX_MESSAGES")

    @staticmethod
    def fingerprint(j: Judgement) -> tuple[object, ...]:
        return j.entities["account"], j.instrument.symbol, j.side, j.ord_type, j.qty, j.price, j.stop

    @staticmethod
    def pays_more(j: Judgement) -> bool:
        """Whether a replace could trade at a worse price than the order in force."""
        before = j.replaces
        if before is None or (j.ord_type, before.ord_type) != ("2", "2"):
            return True
        return j.price > before.price if j.side == BUY else j.price < before.price

    def reduces_only(self, j: Judgement) -> bool:
        """Whether an order, or a replace, can only bring its account closer to flat: an exit."""
        if j.added == 0 and not self.pays_more(j):
            return True
        key = ("account", j.entities["account"], j.instrument.symbol)
        buys, sells = self.open_quantity(*key)
        if j.side == BUY:
            return -self.position(*key) - buys - j.added >= 0
        return self.position(*key) - sells - j.added >= 0

    def usable_reference(self, j: Judgement) -> tuple[Decimal, int]:
        """The reference price and the factor of the collar; fires REFERENCE_PRICE if there is none to use."""
        i = j.instrument
        reference = i.reference()
        limit = self.duration("instrument", i.symbol, "reference_max_age")
        two_sided = i.bid > 0 and i.ask > 0
        told_ns = i.quote_ns if two_sided else i.last_ns
        age = None if told_ns is None else self.now_ns - told_ns
        traded = i.last_ns is not None and (limit is None or self.now_ns - i.last_ns <= limit)
        if two_sided and not traded:
            reference = step_down((i.bid + i.ask) / 2, 8) if step_down(i.ask / 2, 8) <= i.bid else D(0)
        if reference > 0 and limit is not None and age is not None and age <= limit:
            return reference, 1
        if j.ord_type == "2" and self.reduces_only(j):
            old = i.reference() or i.previous_close
            if old > 0:
                return old, 2
        j.fired.add("REFERENCE_PRICE")
        return D(0) if age is None else reference, 1

    def check_price(self, j: Judgement, reference: Decimal, factor: int) -> None:
        bps = self.tightest(j, "collar_bps")
        assert isinstance(bps, Decimal)
        d = step_down(reference * bps / 10_000, 8) * factor
        buy = j.side == BUY
        outside = j.price > reference + d if buy else j.price < reference - d
        if reference > 0 and j.ord_type in ("2", "4") and outside:
            j.fired.add("PRICE_COLLAR")
        if not buy:
            worst = max(j.price, j.stop, j.instrument.bid, reference)
        elif j.ord_type in ("2", "4"):
            worst = j.price
        else:
            worst = max(max(j.instrument.ask, reference) + d, j.stop)
        notional = step_up(step_up(j.qty * worst, 4) * j.instrument.value, 4)
        if self.over(notional, self.tightest(j, "max_order_notional")):
            j.fired.add("MAX_ORDER_NOTIONAL")

    def check_position(self, j: Judgement) -> None:
        symbol = j.instrument.symbol
        key, name = ("max_long", "MAX_LONG") if j.side == BUY else ("max_short", "MAX_SHORT")
        for scope in POSITION_SCOPES:
            if scope not in j.entities:
                continue
            entity = j.entities[scope]
            position = self.position(scope, entity, symbol)
            buys, sells = self.open_quantity(scope, entity, symbol)
            before = position + buys if j.side == BUY else sells - position
            limit = self.limit(scope, entity, key, symbol if scope != "instrument" else "")
            if limit is None and scope == MANDATORY[key]:
                j.fired.add(name)
            if isinstance(limit, Decimal) and j.added > 0 and before + j.added > limit:
                j.fired.add(name)
