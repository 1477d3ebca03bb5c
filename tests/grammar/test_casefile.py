"""The notation of the cases, and that a case which ought to fail does fail."""

from pathlib import Path

import pytest

from bpscript.base.errors import ScriptError
from tests.grammar import tables
from tests.grammar.casefile import CASES, Case, CaseError, ExpectedError, parse_cases, read_cases
from tests.grammar.test_cases import judge_disks, judge_error, judge_files, judge_log, judge_variables, run_and_judge


def one(text: str) -> Case:
    (case,) = parse_cases(text, "test.case")
    return case


def test_settings_script_and_expectations_are_told_apart() -> None:
    case = one('name\n@set a-b = "x\\r"\n@disks 20 30\n@file f\n| one\n|\n| two\necho "a"\n=> log "a"\n=> x = "1"\n')
    assert case.name == "name"
    assert case.variables == (("a-b", "x\r"),)
    assert case.disks == (20, 30)
    assert case.files == (("f", b"one\n\ntwo\n"),)
    assert case.script == b'echo "a"\n'
    assert case.expected.log == "a"
    assert case.expected.variables == (("x", "1"),)


def test_an_annotation_is_stripped_and_names_line_and_column() -> None:
    case = one("name\necho\n  bad   ### error@3: bad\n")
    assert case.script == b"echo\n  bad\n"
    assert case.expected.error == ExpectedError(None, 2, 3, "bad")


def test_an_annotation_in_a_file_names_the_file() -> None:
    case = one("name\n@file inc\n| a\n| b ### error: x\ninclude\n")
    assert case.files == (("inc", b"a\nb\n"),)
    assert case.expected.error == ExpectedError("inc", 2, None, "x")


def test_each_makes_a_case_of_every_line() -> None:
    cases = list(parse_cases('name\n@each\nset x = 1 ### x = "1"\n\nset x = 2 ### x = "2"\n', "f"))
    assert [case.script for case in cases] == [b"set x = 1\n", b"set x = 2\n"]
    assert [case.source for case in cases] == ["f:3", "f:5"]
    assert cases[1].expected.variables == (("x", "2"),)


def test_line_ends_and_encoding_are_those_asked_for() -> None:
    case = one('name\n@eol "\\r\\n"\n@encoding cp850\nlog "é"\n=> log "é"\n')
    assert case.script == b'log "\x82"\r\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\necho\n", "expects nothing"),
        ("name\n@nonsense 1\n=> log any\n", "unknown setting @nonsense"),
        ("name\n=> nonsense 1\n", "unknown expectation"),
        ("name\n=> x = \"a\n", "unknown expectation"),
        ("name\n@keys abc\n=> log any\n", "is no quoted text"),
        ("name\na ### error: x\nb ### error: y\n", "one annotation is enough"),
        ("name\n=> error somewhere\n", "expected [FILE:]LINE"),
    ],
)
def test_a_mistake_in_a_case_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(CaseError, match=message.replace("[", "\\[")):
        one(text)


def problems_of(case: Case, error: ScriptError | None = None, log: str = "") -> list[str]:
    return [*judge_error(case, error), *judge_log(case, log)]


def test_a_missing_a_wrong_and_an_unexpected_error_are_noticed() -> None:
    case = one("name\nx ### error@2: fragment\n")
    assert "no error" in problems_of(case)[0]
    assert "1:2" in problems_of(case, ScriptError("a fragment", "case.bpb", 1, 1))[0]
    assert "1:2" in problems_of(case, ScriptError("a fragment", "case.bpb", 2, 2))[0]
    assert "says" in problems_of(case, ScriptError("other words", "case.bpb", 1, 2))[0]
    assert "file" in problems_of(case, ScriptError("a fragment", "other.bpb", 1, 2))[0]
    assert not problems_of(case, ScriptError("a fragment", "some/case.bpb", 1, 2))
    assert "unexpected error" in problems_of(one('name\n=> log ""\n'), ScriptError("x", "case.bpb", 1, 1))[0]


def test_a_wrong_log_a_warning_and_a_boot_are_noticed() -> None:
    case = one('name\n=> log "a"\n')
    assert not problems_of(case, log="a\r\n[note] free\n")
    assert "the log is" in problems_of(case, log="b\n")[0]
    assert "unexpected warning" in problems_of(case, log="a\n[warning] w\n")[0]
    assert "boots" in problems_of(case, log="a\n[boot] poweroff\n")[0]
    assert "no [warning]" in problems_of(one("name\n=> warning disk\n"))[0]
    assert "boots" in problems_of(one("name\n=> boot poweroff\n"))[0]
    assert "lacks" in problems_of(one('name\n=> log contains "x"\n'))[0]
    assert "has" in problems_of(one('name\n=> log lacks "x"\n'), log="x")[0]
    assert "match" in problems_of(one('name\n=> log matches "^x"\n'), log="yx")[0]


def test_a_logged_error_is_a_warning_that_must_be_there() -> None:
    case = one('name\nx ### logged error@1: words\n=> log "a"\n')
    assert not problems_of(case, log="a\n[warning] some/case.bpb:1:1: error: the words\n")
    assert "no logged error" in problems_of(case, log="a\n[warning] case.bpb:1:2: error: the words\n")[0]


def test_wrong_variables_files_and_disk_bytes_are_noticed(tmp_path: Path) -> None:
    case = one('name\n=> x = "1"\n=> undefined y\n=> file f "a"\n=> file g size 2\n=> absent h\n=> bytes 2 ff\n')
    (tmp_path / "f").write_bytes(b"b")
    (tmp_path / "h").write_bytes(b"")
    assert list(judge_variables(case.expected, {"X": "2", "y": ""})) == ["variable x is '2', expected '1'", "variable y is '', expected none"]
    assert len(list(judge_files(case.expected, tmp_path))) == 3
    assert list(judge_disks(case.expected, [tmp_path / "f"])) == ["disk 0 holds  at 2, expected ff"]


def test_the_own_reader_of_tables_sees_partitions(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    table = bytes.fromhex("80000000 06000000 3f000000 00080000".replace(" ", ""))
    image.write_bytes(bytes(446) + table + bytes(48) + b"\x55\xaa")
    assert tables.rows(image) == ["1 6 63s+1 boot"]
    image.write_bytes(bytes(512))
    assert tables.rows(image) == ["no table"]


def test_a_run_that_is_not_as_expected_has_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = one('name\nset x = 1\nlog "a"\n=> log "b"\n=> x = "2"\n')
    found = list(run_and_judge(case, tmp_path, monkeypatch))
    assert len(found) == 2


def test_every_case_file_can_be_read_and_names_are_unique() -> None:
    for path in sorted(path for path in CASES.glob("*/*.case") if path.parent.name != "check"):     # those have a notation of their own
        cases = read_cases(path)
        assert cases, path
        names = [case.source for case in cases]
        assert len(names) == len(set(names)), path
