"""A slow, obvious model of the gateway's order flow: lists, dictionaries and `decimal`, no code of the gateway.

Each method takes one event and returns what the gateway should send, as (session, MsgType, wanted fields). A wanted
field of None must be absent. The key CHECKS holds the names that Text(58) of a reject must list. The child ClOrdID that
the gateway chose is given back with `sent`.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

from tests.properties.model_orders import (
    BUY,
    CANCEL,
    CHECKS,
    CLOSING,
    COUNTED_WHEN_IDENTIFIED,
    EXACT,
    IDENTITY_TAGS,
    MANDATORY,
    NEW,
    POSITION_SCOPES,
    REPLACE,
    D,
    Fields,
    Instrument,
    Judgement,
    Order,
    Request,
    Wanted,
    legal_number,
    step_down,
    step_up,
)


class Model:
    """The gateway as the documents tell it."""

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
        self.by_id: dict[tuple[str, str], tuple[Order, Request]] = {}
        self.by_child: dict[str, tuple[Order, Request]] = {}
        self.used: set[tuple[str, str]] = set()
        self.messages: dict[tuple[str, str], list[int]] = {}
        self.accepted: list[tuple[int, tuple[object, ...]]] = []
        self.positions: dict[tuple[str, str, str], Decimal] = {}
        self.exec_ids: set[tuple[str, str]] = set()
        self.executions: dict[tuple[str, str], tuple[Order, Decimal]] = {}

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
        return sum(1 for o in self.orders if o.entities.get(scope) == name and o.reserved() > 0)

    def exposures(self) -> dict[tuple[str, str, str], tuple[Decimal, Decimal, Decimal]]:
        """(position, open buys, open sells) of every scope, entity and instrument where one is not 0."""
        found = {}
        for order in self.orders:
            for scope in POSITION_SCOPES:
                if scope in order.entities:
                    key = (scope, order.entities[scope], order.instrument.symbol)
                    found[key] = (self.position(*key), *self.open_quantity(*key))
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

    def judge(
        self, session: str, fields: Fields, stale: bool, order: Order | None
    ) -> tuple[set[str], Judgement | None]:
        """Names of the checks that fire, and the order as judged unless a prerequisite failed."""
        fired = set()
        entities, identified = self.identity(session, fields)
        if not self.well_formed(fields):
            fired.add("WELL_FORMED")
        instrument = self.find_instrument(fields)
        if instrument is None:
            fired.add("KNOWN_INSTRUMENT")
        if not identified:
            fired.add("IDENTITY")
        venue = order.venue if order else self.route(fields, instrument)
        if instrument is not None and (venue is None or self.version(venue) != self.version(session)):
            fired.add("ROUTE")
        if instrument is not None and venue is not None and not self.up[venue]:
            fired.add("VENUE_DOWN")
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
            qty if order is None else max(D(0), qty - order.cum - order.reserved()),
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
            if any(same == self.fingerprint(j) and self.now_ns - t < longest for t, same in self.accepted):
                j.fired.add("DUPLICATE_ORDER")
        if self.over_rate(j.entities):
            j.fired.add("MAX_MESSAGES")

    @staticmethod
    def fingerprint(j: Judgement) -> tuple[object, ...]:
        return j.entities["account"], j.instrument.symbol, j.side, j.ord_type, j.qty, j.price, j.stop

    def reduces_only(self, j: Judgement) -> bool:
        if j.added == 0:
            return True
        key = ("account", j.entities["account"], j.instrument.symbol)
        buys, sells = self.open_quantity(*key)
        if j.side == BUY:
            return -self.position(*key) - buys - j.added >= 0
        return self.position(*key) - sells - j.added >= 0

    def usable_reference(self, j: Judgement) -> tuple[Decimal, int]:
        """The reference price and the factor of the collar; fires REFERENCE_PRICE if there is none to use."""
        reference = j.instrument.reference()
        limit = self.duration("instrument", j.instrument.symbol, "reference_max_age")
        two_sided = j.instrument.bid > 0 and j.instrument.ask > 0
        told_ns = j.instrument.quote_ns if two_sided else j.instrument.last_ns
        age = None if told_ns is None else self.now_ns - told_ns
        if reference > 0 and limit is not None and age is not None and age <= limit:
            return reference, 1
        if j.ord_type == "2" and self.reduces_only(j):
            old = reference or j.instrument.previous_close
            if old > 0:
                return old, 2
        j.fired.add("REFERENCE_PRICE")
        return reference, 1

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

    def version(self, session: str) -> str:
        return self.sessions[session]["begin_string"]

    def arrive(self, session: str) -> None:
        self.count_message("session", session)
        self.count_message("firm", "")

    def new(self, session: str, fields: Fields, stale: bool = False, poss_dup: bool = False) -> list[Wanted]:
        """NewOrderSingle."""
        self.arrive(session)
        cl_ord_id = fields[11]
        seen = (session, cl_ord_id) in self.used
        if seen and (poss_dup or fields.get(97) == "Y"):
            return []
        fired, j = self.judge(session, fields, stale, None)
        if seen:
            fired = fired | {"CL_ORD_ID_REUSE"}
        if "MAX_MESSAGES" not in fired:
            self.used.add((session, cl_ord_id))
        if fired or j is None:
            wanted = {11: cl_ord_id, 37: "NONE", 39: "8", 150: "8", 14: "0", 151: "0", 41: None, CHECKS: fired}
            return [(session, "8", wanted)]
        request = Request(session, NEW, cl_ord_id, j.qty)
        order = Order(session, j.entities["venue"], j.side, j.instrument, j.entities, [request], request, j.qty)
        order.order_id = f"O1-{len(self.orders)}"
        self.orders.append(order)
        self.by_id[session, cl_ord_id] = order, request
        self.accepted.append((self.now_ns, self.fingerprint(j)))
        carried = {tag: fields.get(tag) for tag in (38, 40, 44, 99, 54, 55)}
        return [(order.venue, "D", {**carried, 50: None, 97: None, 116: None})]

    def refuse(
        self, session: str, fields: Fields, response: str, reason: str, order: Order | None, checks=()
    ) -> list[Wanted]:
        """OrderCancelReject of ours."""
        wanted: dict[int, object] = {11: fields[11], 434: response, 102: reason}
        if order is None:
            wanted |= {37: "NONE", 39: "8", 41: fields[41]}
        else:
            wanted |= {37: order.order_id, 39: order.status(self.version(session)), 41: order.accepted.cl_ord_id}
        if checks:
            wanted[CHECKS] = set(checks)
        return [(session, "9", wanted)]

    def replace(self, session: str, fields: Fields) -> list[Wanted]:
        """OrderCancelReplaceRequest."""
        self.arrive(session)
        key = session, fields[11]
        seen = key in self.used
        order, target = self.by_id.get((session, fields[41]), (None, None))
        if seen:
            return self.refuse(session, fields, "2", "6" if self.version(session) == "FIX.4.4" else "2", order)
        if order is None:
            return self.refuse(session, fields, "2", "1", None)
        if order.reserved() == 0:
            return self.refuse(session, fields, "2", "0", order)
        if len(order.pending(REPLACE)) >= 16:
            return self.refuse(session, fields, "2", "3", order)
        if target is not order.accepted and target not in order.pending(REPLACE):
            return self.refuse(session, fields, "2", "2", order)
        fired, j = self.judge(session, fields, False, order)
        if "MAX_MESSAGES" not in fired:
            self.used.add(key)
        if fired or j is None:
            return self.refuse(session, fields, "2", "2", order, fired)
        request = Request(session, REPLACE, fields[11], j.qty)
        order.requests.append(request)
        self.by_id[key] = order, request
        return [(order.venue, "G", {38: fields[38], 40: fields[40], 44: fields.get(44), 41: target.child})]

    def cancel(self, session: str, fields: Fields) -> list[Wanted]:
        """OrderCancelRequest."""
        self.arrive(session)
        key = session, fields[11]
        order, _ = self.by_id.get((session, fields[41]), (None, None))
        if key in self.used:
            return self.refuse(session, fields, "1", "6" if self.version(session) == "FIX.4.4" else "2", order)
        if order is None:
            return self.refuse(session, fields, "1", "1", None)
        if order.reserved() == 0:
            return self.refuse(session, fields, "1", "0", order)
        if not self.up[order.venue]:
            return self.refuse(session, fields, "1", "2", order)
        request = Request(session, CANCEL, fields[11], D(0))
        order.requests.append(request)
        self.used.add(key)
        self.by_id[key] = order, request
        return [(order.venue, "F", {54: order.side, 55: order.instrument.symbol})]

    # Reports from a venue.

    def report(self, venue: str, fields: Fields) -> list[Wanted]:
        """ExecutionReport."""
        if (venue, fields[17]) in self.exec_ids:
            return []
        self.exec_ids.add((venue, fields[17]))
        order, request = self.by_child.get(fields[11], (None, None))
        if order is None or request is None or order.venue != venue:
            return [("", "", {})]
        order.heard = True
        version = self.version(order.session)
        kind = {"1": "F", "2": "F"}.get(fields[150], fields[150])
        kind = {"1": "H", "2": "G"}.get(fields.get(20, "0"), kind)
        wanted: dict[int, object] = {11: order.accepted.cl_ord_id, 41: None, 150: kind}
        before = order.cum
        if kind == "F":
            qty = D(fields[32])
            order.fills += qty
            self.executions[venue, fields[17]] = order, qty
            wanted |= {32: fields[32], 31: fields[31]}
        elif kind in ("H", "G"):
            if (venue, fields[19]) not in self.executions:
                return [("", "", {})]
            _, old = self.executions[venue, fields[19]]
            qty = D(fields[32]) if kind == "G" else D(0)
            self.executions[venue, fields[19]] = order, qty
            order.fills += qty - old
            order.told = max(D(0), order.told + qty - old)
        order.told = max(order.told, D(fields.get(14, "0")))
        self.move(order, order.cum - before)
        if kind in ("0", "D", "F", "5"):
            order.is_acknowledged = True
        if kind in ("6", "E"):
            if request.state == "pending" and request.kind != NEW:
                request.acknowledged = True
            wanted |= {11: request.cl_ord_id, 41: order.accepted.cl_ord_id}
        if kind == "5":
            wanted |= {11: request.cl_ord_id, 41: order.accepted.cl_ord_id}
            request.state = "accepted"
            order.accepted = request
            order.replaced = True
            order.done_for_day = False
            order.qty = request.qty if order.closed else max(request.qty, order.cum)
        if kind in ("0", "D") and D(fields.get(151, "0")) > 0:
            order.closed, order.done_for_day = "", False
        if kind == "3":
            order.done_for_day = True
        if kind in CLOSING:
            order.closed = kind
            if kind == "4" and request.kind == CANCEL and request.state == "pending":
                request.state = "accepted"
                wanted |= {11: request.cl_ord_id, 41: order.accepted.cl_ord_id}
        if version == "FIX.4.2":
            wanted[20] = {"H": "1", "G": "2"}.get(kind, "0")
            if kind in ("H", "G"):
                del wanted[150]
            if kind == "F":
                wanted[150] = "2" if order.base_status(version) == "2" else "1"
        return [(order.session, "8", wanted | self.numbers(order))]

    def move(self, order: Order, change: Decimal) -> None:
        signed = change if order.side == BUY else -change
        for scope in POSITION_SCOPES:
            if scope in order.entities:
                key = (scope, order.entities[scope], order.instrument.symbol)
                self.positions[key] = self.position(*key) + signed

    def numbers(self, order: Order) -> dict[int, object]:
        return {
            37: order.order_id,
            39: order.status(self.version(order.session)),
            14: order.cum,
            151: order.leaves(),
            38: order.qty,
        }

    def cancel_reject(self, venue: str, fields: Fields) -> list[Wanted]:
        """OrderCancelReject of a venue."""
        order, request = self.by_child.get(fields[11], (None, None))
        if order is None or request is None or order.venue != venue or request.state != "pending":
            return [("", "", {})]
        return self.drop_request(order, request)

    def drop_request(self, order: Order, request: Request, reason: str | None = None) -> list[Wanted]:
        request.state = "rejected"
        if request.kind == CANCEL:
            self.used.discard((order.session, request.cl_ord_id))
            self.by_id.pop((order.session, request.cl_ord_id))
        response = "2" if request.kind == REPLACE else "1"
        wanted: dict[int, object] = {11: request.cl_ord_id, 41: order.accepted.cl_ord_id, 37: order.order_id}
        wanted |= {39: order.status(self.version(order.session)), 434: response}
        if reason is not None:
            wanted[102] = reason
        return [(order.session, "9", wanted)]

    def undelivered(self, child: str) -> list[Wanted]:
        """The venue never had a child."""
        order, request = self.by_child[child]
        if request.kind != NEW:
            return self.drop_request(order, request, "2")
        if order.heard:
            return [("", "", {})]
        order.closed = "8"
        wanted = {11: order.accepted.cl_ord_id, 41: None, 150: "8"}
        return [(order.session, "8", wanted | self.numbers(order))]

    def sent(self, child: str) -> None:
        """The request sent on last went out under this ClOrdID."""
        order, request = list(self.by_id.values())[-1]
        request.child = child
        self.by_child[child] = order, request

    # Everything else.

    def quote(self, symbol: str, bid: Decimal, ask: Decimal, last: Decimal) -> None:
        """A quote now; crossed and negative ones are ignored."""
        if min(bid, ask, last) < 0 or (bid > ask > 0):
            return
        instrument = self.instruments[symbol]
        instrument.bid, instrument.ask = bid, ask
        if last > 0:
            instrument.last = last
            instrument.last_ns = self.now_ns
        if max(bid, ask, last) > 0:
            instrument.quote_ns = self.now_ns

    def all_open_orders(self) -> dict[tuple[str, str], int]:
        """Open orders of every entity that ever had one."""
        entities = {(s, n) for o in self.orders for s, n in o.entities.items()}
        return {e: self.open_orders(*e) for e in entities}
