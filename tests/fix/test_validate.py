"""Messages that break the dictionary draw a Reject with the reason and the tag of FIX 4.4 volume 2; sound ones pass."""

from __future__ import annotations

import copy
import itertools
from decimal import Decimal

import pytest

from tests.support.core import BASE, LIMITS, Core, Fields

NUMBERS = itertools.count()
STAMP = "20260711-12:00:00.000"
INVALID_TAG, MISSING, NOT_FOR_THIS_MESSAGE, UNDEFINED, NO_VALUE, WRONG_VALUE, WRONG_FORMAT = (
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
)
REPEATED, GROUP_ORDER, GROUP_COUNT = "13", "15", "16"


def order(begin_string: str, extra: str = "", **changes: str | None) -> bytes:
    """An order as bytes: `extra` (| for SOH) stands before the checksum, changes replace or drop fields by tag."""
    fields: dict[str, str | None] = {
        "1": "ACC1",
        "11": f"V{next(NUMBERS)}",
        "21": "1",
        "38": "1",
        "40": "2",
        "44": "100",
    }
    fields |= {"54": "1", "55": "AAPL", "59": "0", "60": STAMP}
    fields |= {tag.removeprefix("t"): value for tag, value in changes.items()}
    body = "".join(f"{tag}={value}|" for tag, value in fields.items() if value is not None)
    head = f"8={begin_string}|9=0|35=D|34=9|49=EMS1|52={STAMP}|56=GW|"
    return f"{head}{body}{extra}10=000|".replace("|", "\x01").encode("latin-1")


@pytest.fixture(scope="module", params=["FIX.4.4", "FIX.4.2"])
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Core:
    return core_of(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def core44(tmp_path_factory: pytest.TempPathFactory) -> Core:
    return core_of("FIX.4.4", tmp_path_factory)


@pytest.fixture(scope="module")
def core42(tmp_path_factory: pytest.TempPathFactory) -> Core:
    return core_of("FIX.4.2", tmp_path_factory)


def core_of(version: str, folders: pytest.TempPathFactory) -> Core:
    config = copy.deepcopy(BASE)
    for session in config["sessions"]:
        session["begin_string"] = version
    limits = copy.deepcopy(LIMITS)
    limits["account"]["default"] |= {"max_long": "unlimited", "max_short": "unlimited"}
    return Core(folders.mktemp("core"), config, limits)


def answer(core: Core, extra: str = "", **changes: str | None) -> tuple[str, str, Fields]:
    (reply,) = core.raw("EMS1", order(core.begin_strings["EMS1"], extra, **changes))
    return reply


def rejected(core: Core, reason: str, tag: str, extra: str = "", **changes: str | None) -> None:
    session, msg_type, fields = answer(core, extra, **changes)
    assert (session, msg_type) == ("EMS1", "3"), (msg_type, fields)
    assert (fields[371], fields[372], fields[373]) == (tag, "D", reason)
    assert fields[45] == str(core._next_seq - 1)


def accepted(core: Core, extra: str = "", **changes: str | None) -> Fields:
    session, msg_type, fields = answer(core, extra, **changes)
    assert (session, msg_type) == ("XNAS", "D"), (msg_type, fields)
    return fields


def test_a_sound_order_passes(core: Core) -> None:
    accepted(core)
    accepted(core, "58=text|")


@pytest.mark.parametrize("tag", ["t11", "t54", "t60", "t40"])
def test_required_field_missing(core: Core, tag: str) -> None:
    rejected(core, MISSING, tag[1:], **{tag: None})


@pytest.mark.parametrize("tag", ["t21", "t55"])
def test_required_field_missing_in_42(core42: Core, tag: str) -> None:
    rejected(core42, MISSING, tag[1:], **{tag: None})


def test_handl_inst_is_optional_in_44(core44: Core) -> None:
    accepted(core44, t21=None)


@pytest.mark.parametrize(("tag", "reason"), [("4999", INVALID_TAG), ("9999", INVALID_TAG), ("123456789", INVALID_TAG)])
def test_tag_that_no_dictionary_knows(core: Core, tag: str, reason: str) -> None:
    rejected(core, reason, tag, f"{tag}=x|")


@pytest.mark.parametrize("field", ["17=E1", "150=0", "41=X", "102=0", "434=1"])
def test_tag_of_another_message(core: Core, field: str) -> None:
    rejected(core, NOT_FOR_THIS_MESSAGE, field.split("=")[0], field + "|")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        *(("t38", v) for v in ("x", "1e3", "+1", "1.2.3", "-", ".", "1,5", " 1", "0x1", "NaN", "--1")),
        *(("t44", v) for v in ("x", "1e2", "1 0", "$1")),
        *(("t60", v) for v in ("now", "20260711", "2026-07-11-12:00:00", "20260711-25:00:00", "20261311-12:00:00")),
        *(
            ("t60", v)
            for v in ("20260711-12:00:00.", "20260711-12:00:00.12x", "20260711 12:00:00", "20260711-12:60:00")
        ),
        ("t54", "11"),
        ("t40", "22"),
        ("t59", "00"),
    ],
)
def test_value_of_wrong_form(core: Core, tag: str, value: str) -> None:
    rejected(core, WRONG_FORMAT, tag[1:], **{tag: value})


@pytest.mark.parametrize("field", ["114=X", "110=many", "126=soon", "210=-", "377=1"])
def test_value_of_wrong_form_in_optional_fields(core: Core, field: str) -> None:
    rejected(core, WRONG_FORMAT, field.split("=")[0], field + "|")


@pytest.mark.parametrize(("tag", "value"), [("t54", "Z"), ("t40", "Z"), ("t59", "9"), ("t21", "4"), ("t54", "\xff")])
def test_value_outside_its_enumeration(core: Core, tag: str, value: str) -> None:
    rejected(core, WRONG_VALUE, tag[1:], **{tag: value})


@pytest.mark.parametrize("field", ["18=1 z", "18=1  G", "18= 1", "18=1 ", "22=Z", "201=2"])
def test_value_outside_its_enumeration_in_optional_fields(core44: Core, field: str) -> None:
    rejected(core44, WRONG_VALUE, field.split("=")[0], field + "|")


@pytest.mark.parametrize("field", ["18=1", "18=1 G", "18=G 6 1"])
def test_multiple_values(core: Core, field: str) -> None:
    assert accepted(core, field + "|")[18] == field[3:]


@pytest.mark.parametrize("value", ["100", "100.", "0100", "100.00000000", "00100.5"])
def test_forms_of_decimals_that_pass(core: Core, value: str) -> None:
    assert Decimal(accepted(core, t44=value)[44]) == Decimal(value)


@pytest.mark.parametrize("value", ["20260711-12:00:00", STAMP, "20260711-11:59:60", "20240229-00:00:00.000"])
def test_forms_of_time_stamps_that_pass(core: Core, value: str) -> None:
    accepted(core, t60=value)


@pytest.mark.parametrize("value", ["20260230-12:00:00", "20260431-12:00:00", "20250229-12:00:00"])
def test_days_that_the_calendar_does_not_have(core: Core, value: str) -> None:
    rejected(core, WRONG_FORMAT, "60", t60=value)


@pytest.mark.parametrize(
    "field", ["11=OTHER", "38=2", "44=100", "54=1", "55=AAPL", "1=ACC2", "60=" + STAMP, "58=a|58=b"]
)
def test_repeated_tag(core: Core, field: str) -> None:
    tag = field.split("=")[0]
    session, msg_type, fields = answer(core, field + "|")
    assert (session, msg_type, fields[371]) == ("EMS1", "3", tag)
    assert fields.get(373) == (REPEATED if core.begin_strings["EMS1"] == "FIX.4.4" else fields.get(373))
    assert core.begin_strings["EMS1"] == "FIX.4.4" or int(fields.get(373, "0")) <= 11, "4.2 knows no 373 above 11"


@pytest.mark.parametrize("tag", ["35", "34", "49", "56", "52", "8", "9"])
def test_repeated_header_tag(core: Core, tag: str) -> None:
    value = {"35": "F", "34": "10", "9": "5", "52": STAMP, "8": "FIX.4.4"}.get(tag, "X")
    session, msg_type, fields = answer(core, f"{tag}={value}|")
    assert (session, msg_type, fields[371]) == ("EMS1", "3", tag)


# Groups of FIX 4.4: 453 NoPartyIDs (448, 447, 452, and 802 NoPartySubIDs: 523, 803), 78 NoAllocs (79 ...)

PARTY = "448=P|447=D|452=1|"


@pytest.mark.parametrize(
    "group",
    [
        "453=1|" + PARTY,
        "453=2|" + PARTY + PARTY,
        "453=3|448=A|448=B|448=C|452=3|",
        "453=1|448=P|452=1|447=D|",
        "453=1|448=P|447=D|452=1|802=1|523=S|803=1|",
        "453=2|448=P|802=2|523=S|803=1|523=T|803=2|448=Q|447=D|452=3|",
        "453=1|" + PARTY + "78=1|79=ACCT|80=1|",
        "78=1|79=ACCT|539=1|524=N|538=1|525=D|80=1|453=1|" + PARTY,
        "78=2|79=A|80=1|79=B|80=2|58=done|",
    ],
)
def test_groups_that_pass(core44: Core, group: str) -> None:
    accepted(core44, group)


@pytest.mark.parametrize(
    ("group", "tag"),
    [
        ("453=2|" + PARTY, "453"),
        ("453=1|" + PARTY + PARTY, "453"),
        ("453=1|58=none|", "453"),
        ("453=9|" + PARTY, "453"),
        ("453=1|448=P|802=2|523=S|803=1|", "802"),
        ("453=1|448=P|802=1|523=S|523=T|803=1|", "802"),
        ("453=2|" + PARTY + "58=between|" + PARTY, "453"),
        ("453=-1|" + PARTY, "453"),
    ],
)
def test_group_with_a_wrong_count(core44: Core, group: str, tag: str) -> None:
    rejected(core44, GROUP_COUNT, tag, group)


@pytest.mark.parametrize(
    "group", ["453=1|447=D|448=P|452=1|", "453=1|452=1|448=P|447=D|", "453=1|448=P|802=1|803=1|523=S|"]
)
def test_group_that_does_not_begin_with_its_first_field(core44: Core, group: str) -> None:
    rejected(core44, GROUP_ORDER, "802" if "802=" in group else "453", group)


@pytest.mark.parametrize("group", ["448=P|", "447=D|", "523=S|", PARTY + "453=1|", "58=x|452=1|"])
def test_member_of_a_group_outside_it(core44: Core, group: str) -> None:
    session, msg_type, fields = answer(core44, group)
    assert (session, msg_type, fields[372]) == ("EMS1", "3", "D")
    assert fields[371] in ("448", "447", "452", "523", "453")


@pytest.mark.parametrize(
    "group",
    [
        "453=1|448=P|447=D|447=C|452=1|",  # twice in one entry
        "453=1|448=P|452=1|452=3|",
        "453=1|" + PARTY + "523=S|",  # member of a group within, without its count
        "453=1|" + PARTY + "79=ACCT|",  # member of another group, without its count
        "453=1|448=P|802=1|523=S|803=1|447=D|803=2|",
        "78=1|79=A|80=1|80=2|",
    ],
)
def test_group_entries_with_stray_or_repeated_members(core44: Core, group: str) -> None:
    session, msg_type, fields = answer(core44, group)
    assert (session, msg_type, fields[372]) == ("EMS1", "3", "D")


@pytest.mark.parametrize("field", ["447=ZZ", "452=x", "452=-", "447=Z"])
def test_values_inside_groups_are_looked_at(core44: Core, field: str) -> None:
    session, msg_type, fields = answer(core44, f"453=1|448=P|{field}|")
    assert (session, msg_type, fields[371]) == ("EMS1", "3", field.split("=")[0])
    assert fields[373] in (WRONG_VALUE, WRONG_FORMAT)


@pytest.mark.parametrize("group", ["453=0|", "78=0|"])
def test_group_of_no_entries(core44: Core, group: str) -> None:
    """FIX 4.4 volume 1: a count of zero may be sent where the group is optional; nothing of it may follow."""
    session, msg_type, fields = answer(core44, group)
    assert (session, msg_type) == ("XNAS", "D"), fields


def test_group_in_the_header(core44: Core) -> None:
    """NoHops(627) stands in the header of any 4.4 message that passed through a third party."""
    data = order("FIX.4.4").replace(
        b"\x0156=GW\x01", b"\x0156=GW\x01627=1\x01628=HUB\x01629=%s\x01630=5\x01" % STAMP.encode()
    )
    (reply,) = core44.raw("EMS1", data)
    assert reply[:2] == ("XNAS", "D"), reply


@pytest.mark.parametrize(
    "field", ["50=TOM", "57=X", "115=FIRM", "116=TOM", "128=Y", "129=Z", "142=NY", "369=5", "97=Y"]
)
def test_header_fields_pass(core: Core, field: str) -> None:
    data = order(core.begin_strings["EMS1"]).replace(b"\x0156=GW\x01", b"\x0156=GW\x01" + field.encode() + b"\x01")
    (reply,) = core.raw("EMS1", data)
    assert reply[:2] == ("XNAS", "D"), reply
    assert int(field.split("=")[0]) not in reply[2], "header fields do not travel"


@pytest.mark.parametrize("msg_type", ["UX", "ZZZ", "AE"])
def test_messages_that_are_not_of_the_version_are_invalid(core: Core, msg_type: str) -> None:
    version = core.begin_strings["EMS1"]
    (reply,) = core.raw("EMS1", order(version).replace(b"35=D", b"35=" + msg_type.encode()))
    if msg_type == "AE" and version == "FIX.4.4":
        assert reply[:2] == ("EMS1", "j"), "a TradeCaptureReport is of 4.4"
    else:
        assert reply[:2] == ("EMS1", "3") and (reply[2][372], reply[2][373]) == (msg_type, "11")


@pytest.mark.parametrize("msg_type", ["E", "R", "8", "9", "B", "V"])
def test_other_application_messages_are_unsupported(core: Core, msg_type: str) -> None:
    data = order(core.begin_strings["EMS1"]).replace(b"35=D", b"35=" + msg_type.encode())
    (reply,) = core.raw("EMS1", data)
    assert reply[:2] == ("EMS1", "j"), reply
    assert (reply[2][372], reply[2][380]) == (msg_type, "3")
    assert reply[2][45] == str(core._next_seq - 1)


@pytest.mark.parametrize(
    ("msg_type", "fields", "tag"),
    [
        ("F", [(11, "A"), (54, "1"), (55, "AAPL"), (60, STAMP)], "41"),
        ("F", [(41, "X"), (54, "1"), (55, "AAPL"), (60, STAMP)], "11"),
        ("G", [(11, "B"), (21, "1"), (38, "1"), (40, "1"), (54, "1"), (55, "AAPL"), (60, STAMP)], "41"),
        ("G", [(41, "X"), (11, "C"), (21, "1"), (38, "1"), (54, "1"), (55, "AAPL"), (60, STAMP)], "40"),
        ("H", [(54, "1"), (55, "AAPL")], "11"),
        ("H", [(11, "D"), (55, "AAPL")], "54"),
    ],
)
def test_cancels_replaces_and_status_requests_are_held_to_the_dictionary(
    core: Core, msg_type: str, fields: list[tuple[int, str]], tag: str
) -> None:
    (reply,) = core.message("EMS1", msg_type, fields)
    assert reply[:2] == ("EMS1", "3"), reply
    assert (reply[2][371], reply[2][372], reply[2][373]) == (tag, msg_type, MISSING)
