from collections.abc import Iterator
from pathlib import Path

import pytest
import quickfix

from gateway.fix.dictionary import Dictionary, DictionaryError, Group, Members, load_dictionary, widen

FIX_SPECS = Path(__file__).resolve().parents[2] / "fix_specs"

MINIATURE = """<fix type='FIX' major='4' minor='4' servicepack='0'>
  <header><field name='BeginString' required='Y'/></header>
  <trailer><field name='CheckSum' required='Y'/></trailer>
  <messages>
    <message name='Order' msgtype='D' msgcat='app'>
      <component name='Who' required='N'/><component name='What' required='Y'/>
    </message>
  </messages>
  <components>
    <component name='Who'><field name='Account' required='Y'/></component>
    <component name='What'><field name='Symbol' required='Y'/><field name='Text' required='N'/></component>
  </components>
  <fields>
    <field number='8' name='BeginString' type='STRING'/><field number='10' name='CheckSum' type='STRING'/>
    <field number='1' name='Account' type='STRING'/><field number='55' name='Symbol' type='STRING'/>
    <field number='58' name='Text' type='STRING'/>
  </fields>
</fix>"""


@pytest.fixture(scope="module")
def fix42() -> Dictionary:
    return load_dictionary(FIX_SPECS / "FIX42.xml")


@pytest.fixture(scope="module")
def fix44() -> Dictionary:
    return load_dictionary(FIX_SPECS / "FIX44.xml")


def required(members: Members) -> set[int]:
    return {tag for tag, is_required in members.fields.items() if is_required}


def all_required_flags(fields: dict[int, bool], groups: dict[int, Group]) -> Iterator[bool]:
    yield from fields.values()
    for group in groups.values():
        yield group.required
        yield from all_required_flags(group.fields, group.groups)


def test_new_order_single_of_fix44(fix44: Dictionary) -> None:
    assert fix44.begin_string == "FIX.4.4"
    order = fix44.messages["D"]
    assert (order.name, order.msgtype) == ("NewOrderSingle", "D")
    assert required(order.members) == {11, 54, 60, 40}
    assert {55, 38, 44, 847} <= set(order.members.fields), "members of components are inlined"


def test_new_order_single_of_fix42(fix42: Dictionary) -> None:
    assert fix42.begin_string == "FIX.4.2"
    assert required(fix42.messages["D"].members) == {11, 21, 55, 54, 60, 40}
    assert not {"q", "r", "AF"} & set(fix42.messages)


def test_execution_report_requires_what_the_version_says(fix42: Dictionary, fix44: Dictionary) -> None:
    assert required(fix42.messages["8"].members) == {37, 17, 20, 150, 39, 55, 54, 151, 14, 6}
    assert required(fix44.messages["8"].members) == {37, 17, 150, 39, 54, 151, 14, 6}


def test_fields_carry_type_and_values(fix44: Dictionary) -> None:
    assert fix44.fields[40].name == "OrdType"
    assert fix44.fields[40].type == "CHAR"
    assert {"1", "2", "3", "4"} <= set(fix44.fields[40].values)
    assert fix44.fields[38].type == "QTY" and fix44.fields[38].values == ()


def test_header_and_trailer(fix44: Dictionary) -> None:
    assert list(fix44.header.fields)[:3] == [8, 9, 35]
    assert required(fix44.header) == {8, 9, 35, 49, 56, 34, 52}
    assert fix44.header.groups[627].delimiter_tag == 628
    assert required(fix44.trailer) == {10}


def test_groups_nest(fix44: Dictionary) -> None:
    parties = fix44.messages["D"].members.groups[453]
    assert (parties.count_tag, parties.delimiter_tag, parties.required) == (453, 448, False)
    assert list(parties.fields) == [448, 447, 452]
    sub_ids = parties.groups[802]
    assert (sub_ids.count_tag, sub_ids.delimiter_tag) == (802, 523)
    assert 453 not in fix44.messages["D"].members.fields, "count tags are in groups only"


def test_required_group_of_market_data(fix44: Dictionary) -> None:
    assert fix44.messages["X"].members.groups[268].required
    assert fix44.messages["X"].members.groups[268].fields[279] is True


def test_member_of_an_optional_component_is_optional(tmp_path: Path) -> None:
    path = tmp_path / "mini.xml"
    path.write_text(MINIATURE)
    assert load_dictionary(path).messages["D"].members.fields == {1: False, 55: True, 58: False}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("<fix type", "<fox type", "not well-formed XML"),
        ("<trailer><field name='CheckSum' required='Y'/></trailer>", "", "no <trailer> section"),
        ("component name='Who' required", "component name='Nobody' required", "component Nobody is used but not"),
        ("<field name='Account' required='Y'/>", "<field name='Acount'/>", "field Acount is used but not defined"),
        ("<field name='Account' required='Y'/>", "<component name='Who'/>", "component Who contains itself"),
        ("<field name='Account' required='Y'/>", "<group name='Text'/>", "group Text is empty"),
        ("<field name='Account' required='Y'/>", "<feild name='Account'/>", "<feild> is no field, group or component"),
        ("number='55'", "number='x55'", "field Symbol has number 'x55', wanted a positive integer"),
        ("number='55'", "number='58'", "field number 58 defined twice"),
        ("number='55' ", "", "<field> Symbol lacks the attribute 'number'"),
        ("msgtype='D' ", "", "<message> Order lacks the attribute 'msgtype'"),
        ("</messages>", "<message name='Other' msgtype='D'/></messages>", "message type D defined twice"),
    ],
)
def test_errors_are_one_line_naming_the_file(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "broken.xml"
    assert old in MINIATURE
    path.write_text(MINIATURE.replace(old, new, 1))
    with pytest.raises(DictionaryError) as error:
        load_dictionary(path)
    assert str(path) in str(error.value) and problem in str(error.value)
    assert "\n" not in str(error.value)


def test_unusable_paths_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match=r"absent\.xml: cannot be read"):
        load_dictionary(tmp_path / "absent.xml")
    (tmp_path / "page.xml").write_text("<html/>")
    with pytest.raises(DictionaryError, match="root element is <html>, wanted <fix>"):
        load_dictionary(tmp_path / "page.xml")
    with pytest.raises(DictionaryError, match="cannot be written"):
        widen(FIX_SPECS / "FIX42.xml", tmp_path / "no_such_folder" / "out.xml")


@pytest.mark.parametrize("version", ["FIX42", "FIX44"])
def test_widen_keeps_members_and_drops_restrictions(version: str, tmp_path: Path) -> None:
    out = tmp_path / "wide.xml"
    widen(FIX_SPECS / f"{version}.xml", out)
    strict, wide = load_dictionary(FIX_SPECS / f"{version}.xml"), load_dictionary(out)
    assert list(wide.fields) == list(strict.fields)
    assert all(field.values == () for field in wide.fields.values())
    assert {msgtype: list(m.members.fields) for msgtype, m in wide.messages.items()} == {
        msgtype: list(m.members.fields) for msgtype, m in strict.messages.items()
    }
    everything = [wide.header, wide.trailer, *(message.members for message in wide.messages.values())]
    assert not any(flag for members in everything for flag in all_required_flags(members.fields, members.groups))


def fix44_message(body: str) -> quickfix.Message:
    """A message with a right length and checksum; `body` uses | for the separator and starts at tag 35."""
    body = body.replace("|", "\x01")
    framed = f"8=FIX.4.4\x019={len(body)}\x01{body}"
    return quickfix.Message(f"{framed}10={sum(framed.encode()) % 256:03d}\x01", False)


def test_quickfix_accepts_an_odd_report_with_the_widened_dictionary_only(tmp_path: Path) -> None:
    out = tmp_path / "wide.xml"
    widen(FIX_SPECS / "FIX44.xml", out)
    strict, wide = quickfix.DataDictionary(str(FIX_SPECS / "FIX44.xml")), quickfix.DataDictionary(str(out))
    header = "35=8|49=VENUE|56=GATE|34=2|52=20240102-10:00:00|"
    odd_type = fix44_message(f"{header}37=1|17=1|150=1|39=5|54=1|151=0|14=1|6=1|")
    missing_fields = fix44_message(f"{header}37=1|17=1|39=5|150=1|")
    regular = fix44_message(f"{header}37=1|17=1|150=F|39=2|54=1|151=0|14=1|6=1|8011=raised|")
    strict.validate(regular)
    for message in (odd_type, missing_fields, regular):
        wide.validate(message)
    with pytest.raises(quickfix.IncorrectTagValue):
        strict.validate(odd_type)
    with pytest.raises(quickfix.RequiredTagMissing):
        strict.validate(missing_fields)
