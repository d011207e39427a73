"""An EMS and a venue of different FIX versions: every order message and every kind of report, field by field.

Both ends read with strict dictionaries, and the fixture asks afterwards that neither has refused anything.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.acts import exposure, requests
from tests.end_to_end.conftest import FIX_42, FIX_44, Topology, Versions
from tidegate_tools.fix.text import Fields, first, utc_now
from tidegate_tools.sim.exchange import Rules
from tidegate_tools.sim.venue import Liquidity

E8 = 10**8
REFUSED_QUANTITY = "13"
ABSENT = ""
CROSSED = pytest.mark.parametrize(
    "version", [Versions(FIX_42, FIX_44), Versions(FIX_44, FIX_42)], ids=["4.2-to-4.4", "4.4-to-4.2"]
)


def matches(message: Fields, wanted: dict[int, Any]) -> bool:
    return all(first(message, tag) == str(value) for tag, value in wanted.items())


class Talk:
    """A topology whose EMS and venue are told apart by version: `old` says that the EMS is the one on FIX 4.2."""

    def __init__(self, topology: Topology, version: Versions) -> None:
        self.topology = topology
        self.ems, self.venue = topology.ems["EMS1"], topology.venues["XNAS"]
        self.old = version == FIX_42
        self.venue_session = self.venue.config.sessions[0].name

    def of(self, old: object, new: object) -> Any:
        """What an EMS on 4.2, or one on 4.4 sees or says."""
        return old if self.old else new

    def report(self, cl_ord_id: str, **wanted: Any) -> Fields:
        """The report or cancel reject (`t35="9"`) with this ClOrdID(11) and these fields (t39="1" ...), waited for."""
        fields = {11: cl_ord_id, 35: "8", **{int(key[1:]): value for key, value in wanted.items()}}

        def found() -> Fields | None:
            return next((m for m in self.ems.messages if matches(m, fields)), None)

        try:
            return self.ems.wait_for(found, 10)
        except TimeoutError:
            raise AssertionError(f"no report {fields}, but {self.ems.reports(cl_ord_id)}") from None

    def status(self, cl_ord_id: str, exec_type: str, **wanted: Any) -> Fields:
        """A report that is no trade, with what is the same in all of them."""
        trans = self.of("0", ABSENT)
        return self.report(cl_ord_id, **{"t150": exec_type, "t39": exec_type, "t20": trans, "t55": "AAPL"} | wanted)

    def trade(self, cl_ord_id: str, status: str, **wanted: Any) -> Fields:
        """The report of a fill."""
        return self.report(
            cl_ord_id, **{"t150": self.of(status, "F"), "t39": status, "t20": self.of("0", ABSENT)} | wanted
        )

    def child(self, msg_type: str, **wanted: Any) -> Fields:
        """The last request of a type that came to the venue, which has these fields."""
        message = [m for m in requests(self.venue) if first(m, 35) == msg_type][-1]
        fields = {int(key[1:]): str(value) for key, value in wanted.items()}
        assert {tag: first(message, tag) for tag in fields} == fields
        return message

    def emit(
        self, child: str, exec_type: str, ord_status: str, trans: str = "0", extra: Fields | None = None, **change
    ) -> None:
        """Let the venue report of its own accord; `change` is of its order."""

        def send() -> None:
            order = self.venue._exchange.by_cl_ord_id[self.venue_session, child]
            for key, value in change.items():
                setattr(order, key, value)
            found = self.venue._exchange._report(
                order, exec_type, status=ord_status, trans_type=trans, extra=extra or []
            )
            self.venue._emit([found])

        self.venue._call(send)

    def working(self, **fields) -> tuple[str, str]:
        """A working order: its ClOrdID and that of its child."""
        order = self.ems.new_order(**{"symbol": "AAPL", "quantity": 10, "price": "99"} | fields)
        self.status(order, "0")
        return order, first(requests(self.venue)[-1], 11)


@pytest.fixture
def talk(start, version: Versions) -> Talk:
    def refuse(message: Fields) -> str | None:
        return "not today" if first(message, 38) == REFUSED_QUANTITY else None

    rules = Rules(pending_acks=True, reject_rule=refuse)
    return Talk(start(version, venue_options={"rules": rules}), version)


@CROSSED
def test_an_order_from_new_to_canceled(talk: Talk) -> None:
    """New, partial fill, replace and cancel, each acknowledged as pending first."""
    ems, of = talk.ems, talk.of
    said = of([(47, "D")], [(528, "P"), (529, "1 2"), (582, "1")])
    order = ems.new_order(symbol="AAPL", quantity=600, price="100.1", extra=[*said, (18, "1"), (58, "gently")])
    first_fill = talk.trade(order, "1", t31="100.1", t32="200", t14="200", t151="400", t6="100.1", t44="100.1")
    told = {"t11": "C1-0", "t1": "ACC1", "t21": "1", "t38": "600", "t40": "2", "t44": "100.1", "t54": "1", "t59": "0"}
    told |= {"t55": "AAPL", "t18": "1", "t41": ABSENT, "t37": ABSENT}
    of_version = of(
        {"t526": order, "t528": "P", "t529": "1 2", "t47": ABSENT, "t204": ABSENT},
        {"t526": ABSENT, "t528": ABSENT, "t529": ABSENT, "t582": ABSENT, "t47": "D", "t204": "1"},
    )
    talk.child("D", **told, **of_version)
    sent = next(m.fields for m in ems.log if m.sent and first(m.fields, 35) == "D")
    talk.child("D", t60=first(sent, 60))
    there = talk.venue.orders["C1-0"]
    same = {"t37": "O1-0", "t198": there.order_id, "t1": "ACC1", "t54": "1", "t40": "2", "t59": "0", "t41": ABSENT}
    talk.status(order, "A", **same, t38="600", t14="0", t151="600")
    talk.status(order, "0", **same, t38="600", t14="0", t151="600", t6="0")
    talk.trade(order, "1", **same, t527=of(ABSENT, there.executions[0].exec_id))
    assert first(first_fill, 17) not in (ABSENT, there.executions[0].exec_id)

    replace = ems.replace(order, quantity=700, price="100", extra=said)
    chain = same | {"t41": order}
    talk.status(replace, "E", **chain, t14="200")
    talk.status(replace, "5", **chain | {"t39": "1"}, t38="700", t44="100", t14="200", t151="500")
    told |= {"t11": "C1-1", "t41": "C1-0", "t37": there.order_id, "t38": "700", "t44": "100", "t18": ABSENT}
    talk.child("G", **told, **of_version | of({"t526": replace}, {}))

    cancel = ems.cancel(replace)
    chain |= {"t41": replace}
    talk.status(cancel, "6", **chain, t14="200")
    talk.status(cancel, "4", **chain, t38="700", t14="200", t151="0", t6="100.1", t378=ABSENT)
    told = {"t11": "C1-2", "t41": "C1-1", "t37": there.order_id, "t38": "700", "t54": "1", "t55": "AAPL", "t44": ABSENT}
    talk.child("F", **told, t526=ABSENT, t40=ABSENT)
    assert exposure(talk.topology) == (200, 0, 0)

    # HandlInst(21) is required in 4.2 only; 204 becomes 528 in 4.4
    body = [(11, ems.next_cl_ord_id()), (1, "ACC1"), (55, "AAPL"), (54, "1"), (38, "5"), (40, "2"), (44, "99")]
    body += [(60, utc_now()), *of([(21, "1"), (204, "0")], [])]
    ems.send_raw("D", body)
    talk.status(first(body, 11), "0")
    talk.child("D", t21="1", t204=ABSENT, t528=of("A", ABSENT))
    talk.venue.set_liquidity(Liquidity("AAPL", 98 * E8, E8, 99 * E8, 5 * E8))
    talk.trade(first(body, 11), "2", t31="99", t32="5")


@CROSSED
def test_fills_that_are_busted_and_corrected_and_what_ends_by_itself(talk: Talk) -> None:
    """Fill, expiry, correction, bust, done for day, unsolicited cancel and restatement."""
    ems, of = talk.ems, talk.of
    filled = ems.new_order(symbol="AAPL", quantity=50, price="100.1")
    fill = talk.trade(filled, "2", t32="50", t31="100.1", t14="50", t151="0", t38="50")
    expired = ems.new_order(symbol="AAPL", quantity=200, price="100.1", time_in_force="3")
    talk.trade(expired, "1", t32="150", t59="3")
    talk.status(expired, "C", t14="150", t151="0", t59="3", t58="remainder expired")
    talk.child("D", t59="3")

    execution = talk.venue.orders["C1-0"].executions[0]
    executed = [(19, execution.exec_id), (32, "40"), (31, "100")]
    talk.emit("C1-0", of("G", "1"), "1", "2", executed, cum_e8=40 * E8, status="1")
    seen = first(fill, 17)
    corrected = talk.report(filled, t150=of("1", "G"), t20=of("2", ABSENT), t19=seen, t32="40", t31="100", t39="1")
    assert (first(corrected, 14), first(corrected, 151), first(corrected, 37)) == ("40", "10", "O1-0")
    assert exposure(talk.topology) == (190, 10, 0)
    talk.emit("C1-0", of("H", "0"), "0", "1", executed, cum_e8=0, status="0")
    busted = talk.report(filled, t150=of("0", "H"), t20=of("1", ABSENT), t19=seen, t39="0")
    assert (first(busted, 14), first(busted, 151)) == ("0", "50")
    assert exposure(talk.topology) == (150, 50, 0)

    talk.emit("C1-0", "3", "3", quantity_e8=0)
    talk.status(filled, "3", t151="0", t14="0", t37="O1-0")

    order, child = talk.working()
    reason = of("8", "4")  # 8 is none in 4.2
    talk.venue.cancel_unsolicited(talk.venue.orders[child].order_id, reason)
    talk.status(order, "4", t41=ABSENT, t378="4", t151="0", t14="0", t58="unsolicited cancel")
    order, child = talk.working(quantity=90)
    talk.emit(child, "D", "0", extra=[(378, "5"), (58, "reduced")], quantity_e8=60 * E8)
    talk.status(order, "D", t39="0", t38="60", t151="60", t378="5", t58="reduced")


@CROSSED
def test_what_venue_and_gateway_refuse(talk: Talk) -> None:
    ems, of, venue = talk.ems, talk.of, talk.venue
    rejected = ems.new_order(symbol="AAPL", quantity=REFUSED_QUANTITY, price="99")
    ended = {"t14": "0", "t151": "0", "t37": "O1-0"}
    talk.status(rejected, "8", **ended, t103="0", t58="not today")
    stop = [(11, ems.next_cl_ord_id()), (1, "ACC1"), (21, "1"), (55, "AAPL"), (54, "1"), (38, "5"), (60, utc_now())]
    ems.send_raw("D", [*stop, (40, "4"), (44, "101"), (99, "100.5"), (59, "1")])
    talk.status(first(stop, 11), "8", t103="0", t99="100.5", t40="4", t59="1")
    talk.child("D", t40="4", t44="101", t99="100.5", t59="1")

    order, _ = talk.working()
    venue.faults.refuse_cancels = True
    cancel = ems.cancel(order)
    refused = {"t35": "9", "t37": "O1-2", "t41": order, "t39": "0", "t20": ABSENT, "t150": ABSENT}
    talk.report(cancel, **refused, t434="1", t102="2", t58="refused by fault")
    replace = ems.next_cl_ord_id()
    body = [(11, replace), (41, order), (1, "ACC1"), (21, "1"), (55, "AAPL"), (54, "1"), (38, "20"), (60, utc_now())]
    ems.send_raw("G", [*body, (40, "2"), (44, "99"), (59, "3")])
    talk.report(replace, **refused, t434="2", t58="a replace cannot make an order IOC or FOK")
    late = ems.new_order(symbol="AAPL", quantity=5, price="100.1")
    talk.trade(late, "2")
    too_late = ems.cancel(late)
    talk.report(too_late, t35="9", t37="O1-3", t41=late, t39="2", t434="1", t102="0")
    ems.send_raw("F", [(11, "unknown"), (41, "none"), (38, "1"), (54, "1"), (55, "AAPL"), (60, utc_now())])
    talk.report("unknown", t35="9", t37="NONE", t41="none", t39="8", t434="1", t102="1")

    before = len(requests(venue))
    for tag, value in of([(47, "H"), (47, "E")], [(528, "R"), (529, "A")]):
        unsaid = ems.new_order(symbol="AAPL", quantity=5, price="99", extra=[(tag, value)])
        report = talk.report(unsaid, t150="8", t39="8", t37="NONE")
        assert first(report, 58) == f"TRANSLATION cannot be translated to the venue's FIX version: {tag}={value}"
    assert len(requests(venue)) == before


@CROSSED
@pytest.mark.parametrize("limit", [False, True], ids=["market", "limit"])
def test_orders_for_the_close(talk: Talk, limit: bool) -> None:
    """OrdType(40) 5 and B of FIX 4.2 are 1 and 2 with TimeInForce(59) 7 in FIX 4.4, in requests and in reports."""
    ems, of = talk.ems, talk.of
    old, new = {"t40": "B" if limit else "5", "t59": "0"}, {"t40": "2" if limit else "1", "t59": "7"}
    order = ems.next_cl_ord_id()
    said = [(11, order), (1, "ACC1"), (21, "1"), (55, "AAPL"), (54, "1"), (38, "10"), (60, utc_now())]
    price = [(44, "99")] if limit else []
    ems.send_raw("D", [*said, *price, *of([(40, old["t40"])], [(40, new["t40"]), (59, "7")])])
    talk.status(order, "0", **of(old, new), t151="10")
    talk.child("D", **of(new, old))
    cancel = ems.next_cl_ord_id()
    ems.send_raw("F", [(11, cancel), (41, order), (38, "10"), (54, "1"), (55, "AAPL"), (60, utc_now())])
    talk.status(cancel, "4", **of(old, new), t41=order, t151="0")
    assert exposure(talk.topology) == (0, 0, 0)


def test_status_requests_and_orders_that_the_venue_cannot_read(talk: Talk) -> None:
    """H of the EMS; a session reject and a business reject of the venue, which name only a MsgSeqNum. Any versions."""
    ems, of, venue = talk.ems, talk.of, talk.venue
    order, _ = talk.working()
    ems.order_status(order, extra=of([], [(790, "ask1")]))
    status = {"t150": of("0", "I"), "t20": of("3", ABSENT), "t790": of(ABSENT, "ask1")}
    talk.report(order, **status, t39="0", t37="O1-0", t38="10", t151="10", t14="0", t44="99")
    ems.send_raw("H", [(11, "unknown"), (55, "AAPL"), (54, "1")])
    status = {"t150": of("8", "I"), "t20": of("3", ABSENT), "t39": "8", "t37": "NONE", "t103": "5"}
    talk.report("unknown", **status)
    for kind, text in (("3", "session reject by fault"), ("j", "application not available")):
        venue.faults.refuse_orders = kind
        lost = ems.new_order(symbol="AAPL", quantity=20, price="99")
        talk.status(lost, "8", t14="0", t151="0", t103="2", t58=f"the venue refused this message: {text}")
    venue.faults.refuse_orders = ""
    talk.topology.session_rejects_provoked = 1
    talk.working()
    assert exposure(talk.topology) == (0, 20, 0)
