"""`bpscript check` and `bpscript explain` on the command line."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bpscript.cli.main import main
from bpscript.language.check.codes import RULES
from tests.benchmarks.checking import EXAMPLES
from tests.grammar.test_cases import ALL_CASES


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "a.bpb"
    path.write_text('Echo "$colour"\n\tSetPartitions "FAT32:500 LINUX-EXT:10"\nInclude "inner.bpb"\n')
    (tmp_path / "inner.bpb").write_text('LogFile "none"\n')
    return path


def test_findings_have_a_place_a_caret_and_a_hint(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(script)]) == 1
    assert capsys.readouterr().out == (
        f"{script}:1:7: warning: $colour is never set: it is empty here [BP301]\n"
        '  Echo "$colour"\n'
        "        ^^^^^^^\n"
        "  --set NAME says that the run sets it\n"
        f'{script}:2:27: error: unknown partition type "LINUX-EXT" [BP401]\n'
        '  \tSetPartitions "FAT32:500 LINUX-EXT:10"\n'
        "  \t                         ^^^^^^^^^^^^\n"
        "  did you mean LINUX-EXT2?\n"
        f'{script.parent}/inner.bpb:1:9: warning: there is no file "none" in {script.parent} [BP501]\n'
        '  LogFile "none"\n'
        "          ^^^^^^\n"
    )


def test_warnings_alone_are_no_failure_unless_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bpb"
    path.write_text('Echo "$colour"\n')
    assert main(["check", str(path)]) == 0
    assert main(["check", "--strict", str(path)]) == 1
    assert main(["check", "--strict", "--set", "Colour", str(path)]) == 0
    path.write_text('Echo "hello"\n')
    capsys.readouterr()
    assert main(["check", "--strict", str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_json_has_the_keys_of_the_manual(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(script)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["warnings"]) == (1, 2)
    assert found["findings"][1] == {
        "file": str(script), "line": 2, "column": 27, "end_column": 39, "severity": "error", "code": "BP401", "title": "the partition list is wrong",
        "message": 'unknown partition type "LINUX-EXT"', "hint": "did you mean LINUX-EXT2?",
    }  # fmt: skip
    manual = (Path(__file__).parents[2] / "docs" / "manual.md").read_text()
    assert [key for key in (*found, *found["findings"][0]) if f"`{key}`" not in manual] == []


def test_sarif_is_what_the_schema_of_the_standard_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all scripts that the rules are tested with: every code, odd names of files, columns behind strange letters."""
    scripts = [*EXAMPLES.glob("*.bpb")]
    for number, case in enumerate(ALL_CASES):
        scripts.append(tmp_path / f"{number} \u00fc%20#?.bpb")
        scripts[-1].write_bytes(case.script)
    scripts.append(tmp_path / "\udcff.bpb")       # a name that is no UTF-8
    scripts[-1].write_text("nonsense\n")
    main(["check", "--sarif", *map(str, scripts)])
    log = json.loads(capsys.readouterr().out)
    codes = {result["ruleId"] for result in log["runs"][0]["results"]}
    assert len(codes) > 20
    assert codes == {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    schema = json.loads((Path(__file__).parents[1] / "data" / "sarif" / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    judge = Draft202012Validator(schema)
    assert list(judge.iter_errors(log)) == []
    broken = json.loads(json.dumps(log))
    broken["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert list(judge.iter_errors(broken)), "the judge says nothing"


def test_sarif_has_what_code_hosts_need(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the schema does not say: indices that fit, one rule for each code, addresses that are URIs."""
    assert main(["check", "--sarif", str(script)]) == 1
    log = json.loads(capsys.readouterr().out)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert re.fullmatch(r"[0-9]+(\.[0-9]+){1,3}.*", driver["version"])
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    assert len({rule["id"] for rule in driver["rules"]}) == len(driver["rules"])
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    assert len(run["results"]) == 3
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", place["artifactLocation"]["uri"])
        assert place["region"]["startLine"] >= 1
        assert 1 <= place["region"]["startColumn"] < place["region"]["endColumn"]


def test_a_file_that_two_scripts_include_is_told_once(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = script.with_name("b.bpb")
    other.write_text('Include "inner.bpb"\n')
    main(["check", "--json", str(script), str(other)])
    assert [finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]].count("BP501") == 1


def test_disks_and_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bpb"
    path.write_text('SetPartitions "FAT32:500"\nLogFile "x"\n')
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "x").touch()
    assert main(["check", "--root", str(tmp_path / "root"), "--disk", "600M", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["check", "--root", "http://10.0.0.1/x", "--disk", "100M", str(path)]) == 1
    out = capsys.readouterr().out
    assert "BP402" in out
    assert "BP501" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "none.bpb"], "no such script"),
        (["check", "."], "is a directory"),
        (["check", "a.bpb", "--disk", "many"], "is not a size"),
        (["check", "a.bpb", "--root", "none"], "no such directory"),
        (["check", "a.bpb", "--set", "9x=1"], "is no name of a variable"),
        (["explain", "BP999"], "there is no rule"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.bpb").touch()
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_terminal_does_not_obey_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bpb"
    path.write_bytes(b'Ec\x1b[31mko "\xff"\n')
    main(["check", str(path)])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("code", RULES)
def test_explain_has_a_page_of_every_rule(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code.lower()]) == 0
    assert capsys.readouterr().out.startswith(f"{code}: {RULES[code].title}")


def test_explain_alone_lists_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RULES)
