"""The checks of the model: limits, message rates, exposure, and the judgement of one order. No code of the gateway."""

from __future__ import annotations

from decimal import Decimal, localcontext

from tests.properties.model_orders import (
    BUY,
    COUNTED_WHEN_IDENTIFIED,
    EXACT,
    IDENTITY_TAGS,
    MANDATORY,
    MOVING_PRICE,
    NOT_IN,
    PEGS,
    POSITION_SCOPES,
    QUERIED,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    Wanted,
    has_limit,
    legal_number,
    said_in,
    step_down,
    step_up,
    type_and_time,
)

NOON_S = 12 * 3600  # the run began then
SECOND_NS = 10**9
FIRST_NS = SECOND_NS  # the turn of orders that were never canceled


class Checks:
    """What the model knows, and how it judges an order."""

    def __init__(self, config: dict, limits: dict, instruments: list[dict], now_ns: int) -> None:
        """`config` and `limits` are the mappings of the config files; all sessions are logged on."""
        self.limits = limits
        self.sessions = {s["id"]: s for s in config["sessions"]}
        self.class_of = {strategy: name for name, members in config["classes"].items() for strategy in members}
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
                row.get("sector", ""),
                row.get("asset_class", ""),
            )
        self.orders: list[Order] = []
        self.messages: dict[tuple[str, str], list[int]] = {}
        self.accepted: list[tuple[int, tuple[object, ...], Order]] = []
        self.positions: dict[tuple[str, str, str], Decimal] = {}
        self.unknown: dict[tuple[str, str], Fields] = {}  # fills of no order of ours that are booked, by venue, ExecID
        self.fault = False
        self.began_ns = now_ns
        self.known_since_ns = 0  # after that: what was first sent before may have been forgotten
        self.recovering: set[str] = set()
        self.killed: set[tuple[str, str]] = set()
        self.turns: dict[str, int] = {}  # of venues where cancels wait: those of orders last canceled before it go
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
        window = self.duration(scope, name, "message_window") or SECOND_NS
        slice_ns = -(-window // 16)
        now = self.now_ns // slice_ns
        return sum(1 for t in self.messages.get((scope, name), ()) if t // slice_ns >= now - 16)

    def over_rate(self, entities: dict[str, str]) -> bool:
        for scope, name in entities.items():
            limit = self.limit(scope, name, "max_messages")
            if scope == "venue":
                if not self.has_room(name, for_cancels=False):
                    return True
            elif isinstance(limit, Decimal) and self.in_window(scope, name) > limit:
                return True
        return False

    def has_room(self, venue: str, for_cancels: bool) -> bool:
        """Whether a venue takes one more message: a quarter is left to cancels; of 0 only they pass."""
        limit = self.limit("venue", venue, "max_messages")
        if not isinstance(limit, Decimal) or (limit == 0 and for_cancels):
            return True
        most = limit if for_cancels else limit - max(limit // 4, D(1))
        return self.in_window("venue", venue) < most

    def to_venue(self, venue: str, msg_type: str, fields: dict[int, object]) -> Wanted:
        """A message to a venue, which counts there."""
        self.count_message("venue", venue)
        return venue, msg_type, fields

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
        if entities.get("strategy") in self.class_of:
            entities["class"] = self.class_of[entities["strategy"]]
        return entities, right and "account" in entities

    def find_instrument(self, fields: Fields) -> Instrument | None:
        by_symbol = self.instruments.get(fields.get(55, ""))
        by_security = next(
            (i for i in self.instruments.values() if i.security_id and i.security_id == fields.get(48)), None
        )
        if 55 in fields and 48 in fields:
            return by_symbol if by_symbol is by_security else None
        return by_symbol if 55 in fields else by_security

    def well_formed(self, session: str, fields: Fields) -> bool:
        kind, time_in_force = type_and_time(self.version(session), fields)
        instructions = fields.get(18, "").split()
        return (
            fields[54] in ("1", "2", "5")
            and kind in ("1", "2", "3", "4", "P")
            and time_in_force in ("0", "1", "2", "3", "4", "6", "7")
            and legal_number(fields[38]) is not None
            and (kind not in ("2", "4") or legal_number(fields.get(44)) is not None)
            and (kind != "P" or 44 not in fields or legal_number(fields[44]) is not None)
            and (kind not in ("3", "4") or legal_number(fields.get(99)) is not None)
            and not any(one in MOVING_PRICE for one in instructions)
            and sum(one in PEGS for one in instructions) == (1 if kind == "P" else 0)
            and (kind == "P" or 211 not in fields)
        )

    def can_be_said(self, session: str, venue: str, fields: Fields) -> bool:
        """Whether the FIX version of a venue has words for an order."""
        version = self.version(venue)
        if version == self.version(session):
            return True
        kind = said_in(version, *type_and_time(self.version(session), fields))[40]
        return kind is not None and not set(fields.get(18, "")) & set(NOT_IN[version])

    def route(self, fields: Fields, instrument: Instrument | None) -> str | None:
        venue = fields.get(100, instrument.venue if instrument else "")
        return venue if self.sessions.get(venue, {}).get("role") == "initiator" else None

    @staticmethod
    def time_of(text: str) -> int:
        """A UTCTimestamp (all are of one day) in nanoseconds since the run began."""
        hours, minutes, seconds = text.partition("-")[2].split(":")
        return int((int(hours) * 3600 + int(minutes) * 60 + D(seconds) - NOON_S) * 10**9)

    def age(self, fields: Fields) -> int:
        """Nanoseconds since the oldest time that a message tells, or until the newest if that is more."""
        times = [self.time_of(fields[tag]) for tag in (52, 122, 60) if tag in fields]
        now_ns = self.now_ns - self.began_ns
        return max(now_ns - min(times), max(times) - now_ns)

    def is_stale(self, session: str, fields: Fields, again: bool) -> bool:
        """Whether a message sent again is too old, or of an earlier run."""
        sent_ns = self.time_of(fields.get(122, fields[60]))
        now_ns = self.now_ns - self.began_ns
        longest_ns = self.duration_ns(self.sessions[session].get("max_poss_dup_age", "10s"))
        return again and (sent_ns < self.known_since_ns or abs(now_ns - sent_ns) > longest_ns)

    @staticmethod
    def named(
        session: str, entities: dict[str, str], instrument: Instrument | None, venue: str | None
    ) -> dict[str, str]:
        """All that a new order is in, as far as it says so."""
        named = entities | {"session": session}
        if instrument is not None:
            named |= {"instrument": instrument.symbol} | instrument.groups()
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
        if not self.well_formed(session, fields):
            fired.add("WELL_FORMED")
        instrument = self.find_instrument(fields)
        if instrument is None:
            fired.add("KNOWN_INSTRUMENT")
        if not identified:
            fired.add("IDENTITY")
        venue = order.venue if order else self.route(fields, instrument)
        if instrument is not None and venue is None:
            fired.add("ROUTE")
        elif venue is not None and not self.can_be_said(session, venue, fields):
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
        entities |= {"instrument": instrument.symbol, "session": session, "venue": venue} | instrument.groups()
        kind, time_in_force = type_and_time(self.version(session), fields)
        qty = D(fields[38])
        j = Judgement(
            instrument,
            fields[54],
            kind,
            time_in_force,
            qty,
            D(fields.get(44, "0")) if kind in ("2", "4", "P") else D(0),
            D(fields[99]) if kind in ("3", "4") else D(0),
            (fields.get(18), fields.get(211)) if kind == "P" else (),
            entities,
            qty if order is None else max(D(0), qty + order.restated - order.cum - order.worst()),
            None if order is None else order.accepted,
            self.age(fields),
        )
        with localcontext(EXACT):
            self.check_all(j, opens=order is None or not order.is_open())
            self.check_posture(j, order)
        return j.fired, j

    def check_all(self, j: Judgement, opens: bool) -> None:
        if j.qty % j.instrument.lot:
            j.fired.add("LOT")
        if j.price % j.instrument.tick or j.stop % j.instrument.tick:
            j.fired.add("TICK_SIZE")
        if self.over(j.qty, self.tightest(j, "max_order_qty")):
            j.fired.add("MAX_ORDER_QTY")
        reference, factor = self.usable_reference(j)
        self.check_price(j, reference, factor)
        self.check_position(j)
        if opens:
            for scope, name in j.entities.items():
                limit = self.limit(scope, name, "max_open_orders")
                if isinstance(limit, Decimal) and self.open_orders(scope, name) + 1 > limit:
                    j.fired.add("MAX_OPEN_ORDERS")
        if j.replaces is None:
            windows = [self.duration(s, n, "duplicate_window") for s, n in j.entities.items()]
            longest = max((w for w in windows if w is not None), default=0)
            within = [o for t, same, o in self.accepted if same == self.fingerprint(j) and self.now_ns - t < longest]
            if any(not o.closed or o.cum for o in within):
                j.fired.add("DUPLICATE_ORDER")
        if self.over_rate(j.entities):
            j.fired.add("MAX_MESSAGES")
        ages = [self.duration(s, n, "max_order_age") for s, n in j.entities.items()]
        if any(age is not None and j.age_ns > age for age in ages):
            j.fired.add("MAX_ORDER_AGE")

    @staticmethod
    def fingerprint(j: Judgement) -> tuple[object, ...]:
        return (
            j.entities["account"],
            j.instrument.symbol,
            j.side,
            j.ord_type,
            j.time_in_force,
            j.peg,
            j.qty,
            j.price,
            j.stop,
        )

    @staticmethod
    def pays_more(j: Judgement) -> bool:
        """Whether a replace could trade at a worse price than the order in force."""
        before = j.replaces
        same = before is not None and (j.ord_type, j.price, j.stop) == (before.ord_type, before.price, before.stop)
        if same and j.ord_type != "P":
            return False
        if before is None or not (has_limit(j.ord_type, j.price) and has_limit(before.ord_type, before.price)):
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
        limit = self.duration("instrument", i.symbol, "reference_max_age")
        two_sided = i.bid > 0 and i.ask > 0 and not self.is_wide(j)
        reference = i.reference() if two_sided else i.last
        told_ns = i.quote_ns if two_sided else i.last_ns
        age = None if told_ns is None else self.now_ns - told_ns
        traded = i.last_ns is not None and (limit is None or self.now_ns - i.last_ns <= limit)
        if two_sided and not traded:
            reference = step_down((i.bid + i.ask) / 2, 8) if step_down(i.ask / 2, 8) <= i.bid else D(0)
        if reference > 0 and limit is not None and age is not None and age <= limit:
            return reference, 1
        if has_limit(j.ord_type, j.price) and self.reduces_only(j):
            old = (i.reference() if two_sided else i.last) or i.previous_close
            if old > 0:
                return old, 2
        j.fired.add("REFERENCE_PRICE")
        if i.bid > 0 and i.ask > 0 and self.is_wide(j):
            j.fired.add("MAX_QUOTE_SPREAD")
        return D(0) if age is None else reference, 1

    def is_wide(self, j: Judgement) -> bool:
        """Whether the quote is wider than `max_quote_spread`, in bps of its middle: then it is no reference."""
        i, most = j.instrument, self.tightest(j, "max_quote_spread")
        return isinstance(most, Decimal) and i.ask - i.bid > (i.bid + i.ask) / 2 * most / 10_000

    def check_price(self, j: Judgement, reference: Decimal, factor: int) -> None:
        bps = self.tightest(j, "collar_bps")
        assert isinstance(bps, Decimal)
        d = step_down(reference * bps / 10_000, 8) * factor
        buy = j.side == BUY
        pays = j.price or (j.instrument.ask if buy else j.instrument.bid)
        outside = pays > reference + d if buy else pays < reference - d
        if reference > 0 and pays > 0 and outside:
            j.fired.add("PRICE_COLLAR")
        if j.ord_type == "P" and j.price == 0:
            j.fired.add("PRICE_COLLAR")  # nobody knows where its price goes
        if not buy:
            rests = j.instrument.ask if j.ord_type == "P" else j.instrument.bid
            worst = max(j.price, j.stop, rests, reference)
        elif j.price > 0:
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
