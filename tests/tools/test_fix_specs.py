from pathlib import Path

import pytest
import quickfix

from gateway.fix.dictionary import load_dictionary
from tools.build.fix_specs import MESSAGES, main

FIX_SPECS = Path(__file__).resolve().parents[2] / "fix_specs"
SESSION_MESSAGES = {"0", "1", "2", "3", "4", "5", "A"}
FIX42_MESSAGES = SESSION_MESSAGES | set("DFG89HQjhfVWXY")
FIX44_MESSAGES = FIX42_MESSAGES | {"q", "r", "AF"}


def stock_dictionary(messages: set[str]) -> str:
    """A miniature FIX 4.4 dictionary in which only the given message types are defined, plus one that is to go."""
    body = "".join(
        f"<message name='Message{msgtype}' msgtype='{msgtype}' msgcat='{category}'>"
        "<field name='Text' required='N'/><component name='Kept' required='N'/></message>"
        for msgtype in sorted(messages)
        for category in ["admin" if msgtype in SESSION_MESSAGES else "app"]
    )
    return f"""<fix type='FIX' major='4' minor='4' servicepack='0'>
      <header><field name='BeginString' required='Y'/></header>
      <trailer><field name='CheckSum' required='Y'/></trailer>
      <messages>{body}
        <message name='News' msgtype='B' msgcat='app'>
          <field name='Headline' required='Y'/><component name='Dropped' required='N'/></message>
      </messages>
      <components>
        <component name='Kept'><component name='Nested' required='N'/></component>
        <component name='Nested'>
          <group name='NoLegs' required='N'><field name='LegPrice' required='Y'/></group>
        </component>
        <component name='Dropped'><field name='URLLink' required='N'/></component>
      </components>
      <fields>
        <field number='8' name='BeginString' type='STRING'/><field number='10' name='CheckSum' type='STRING'/>
        <field number='58' name='Text' type='STRING'><value enum='A' description='FIRST'/></field>
        <field number='148' name='Headline' type='STRING'/><field number='149' name='URLLink' type='STRING'/>
        <field number='555' name='NoLegs' type='NUMINGROUP'/><field number='566' name='LegPrice' type='PRICE'/>
      </fields>
    </fix>"""


def run(stock: Path, out: Path) -> None:
    main(["--stock", str(stock), "--out", str(out)])


@pytest.mark.parametrize(("version", "expected"), [("FIX42", FIX42_MESSAGES), ("FIX44", FIX44_MESSAGES)])
def test_shipped_dictionary_loads_in_quickfix_and_holds_exactly_the_messages(version: str, expected: set[str]) -> None:
    path = FIX_SPECS / f"{version}.xml"
    reference = quickfix.DataDictionary(str(path))
    dictionary = load_dictionary(path)
    assert set(dictionary.messages) == expected
    assert all(reference.isMsgType(msgtype) for msgtype in expected)
    assert not reference.isMsgType("E")


@pytest.mark.parametrize("version", ["FIX42", "FIX44"])
def test_risk_alert_is_optional_in_application_messages_only(version: str) -> None:
    dictionary = load_dictionary(FIX_SPECS / f"{version}.xml")
    assert (dictionary.fields[8011].name, dictionary.fields[8011].type) == ("RiskAlert", "STRING")
    for msgtype, message in dictionary.messages.items():
        assert message.members.fields.get(8011) == (None if msgtype in SESSION_MESSAGES else False)


def test_secondary_ids_of_fix44_are_as_in_the_standard() -> None:
    dictionary = load_dictionary(FIX_SPECS / "FIX44.xml")
    assert (dictionary.fields[526].name, dictionary.fields[526].type) == ("SecondaryClOrdID", "STRING")
    assert (dictionary.fields[527].name, dictionary.fields[527].type) == ("SecondaryExecID", "STRING")
    report = dictionary.messages["8"].members.fields
    assert report[526] is False and report[527] is False
    assert dictionary.messages["D"].members.fields[526] is False


def test_reduces_a_stock_dictionary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stock, out = tmp_path / "STOCK.xml", tmp_path / "OUT.xml"
    stock.write_text(stock_dictionary(set(MESSAGES["FIX.4.4"])))
    run(stock, out)
    assert "24 messages" in capsys.readouterr().out
    dictionary = load_dictionary(out)
    assert set(dictionary.messages) == FIX44_MESSAGES
    assert set(dictionary.fields) == {8, 10, 58, 555, 566, 8011}
    assert dictionary.fields[58].values == ("A",)
    assert dictionary.messages["D"].members.groups[555].delimiter_tag == 566
    assert dictionary.messages["D"].members.fields == {58: False, 8011: False}
    assert dictionary.messages["0"].members.fields == {58: False}
    text = out.read_text()
    assert "Dropped" not in text
    assert "STOCK.xml" in text and str(tmp_path) not in text
    run(stock, out)
    assert out.read_text() == text
    quickfix.DataDictionary(str(out))


def error_of(stock: Path, out: Path) -> str:
    with pytest.raises(SystemExit) as exit_info:
        run(stock, out)
    message = str(exit_info.value)
    assert message.startswith("error: ") and "\n" not in message
    assert str(stock) in message
    return message


def test_names_a_missing_file(tmp_path: Path) -> None:
    assert "cannot be read" in error_of(tmp_path / "absent.xml", tmp_path / "OUT.xml")


def test_names_missing_messages_and_writes_nothing(tmp_path: Path) -> None:
    stock, out = tmp_path / "STOCK.xml", tmp_path / "OUT.xml"
    stock.write_text(stock_dictionary(FIX44_MESSAGES - {"AF", "q"}))
    assert "lacks message type q, AF" in error_of(stock, out)
    assert not out.exists()


def test_refuses_other_versions_and_its_own_output(tmp_path: Path) -> None:
    other = tmp_path / "FIX43.xml"
    other.write_text(stock_dictionary(FIX44_MESSAGES).replace("minor='4'", "minor='3'"))
    assert "version is FIX.4.3, wanted one of FIX.4.2, FIX.4.4" in error_of(other, tmp_path / "OUT.xml")
    assert "already has field 8011" in error_of(FIX_SPECS / "FIX44.xml", tmp_path / "OUT.xml")
