"""`bpscript test`: cases pass and fail as they should, everything wrong in a file is told with its place, and JUnit has it all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.base.errors import UsageError
from bpscript.cases.reading import read_cases
from bpscript.cases.running import run_case
from bpscript.cli.main import main

SPEC = sorted((Path(__file__).parents[1] / "spec" / "cases").glob("*.toml"))


def failures(folder: Path, text: str) -> list[str]:
    """What is wrong with the one case of a file."""
    file = folder / "case.toml"
    file.write_text(text)
    (case,) = read_cases(file)
    return list(run_case(case).problems)


def test_the_sample_cases_of_the_reference_pass_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", *map(str, SPEC)]) == 0, capsys.readouterr().out


SCRIPT = '''
[[case]]
id = "one"
disks = [64]
files = { f = "text" }
script = """
SetPartitions "BIGDOS:40"
Clean 1
Copy "f" "{:1}/f"
Set x = "value"
Echo "hello"
HdBoot
"""
'''


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ('status = "error"', "the exit status is 0, expected 1"),
        ('boot = "hdboot 0:1"', "the machine booted 'hdboot 0:0', expected 'hdboot 0:1'"),
        ('log = "hullo"', "-hullo\n+hello"),
        ('log_contains = "hullo"', "the log lacks 'hullo'"),
        ('log_excludes = ["hello"]', "the log has 'hello'"),
        ('log_regex = "^h.l{3}o$"', "nothing in the log matches"),
        ('vars = { X = "other" }', "$X is 'value', expected 'other'"),
        ('vars_undefined = ["x"]', "$x is 'value', expected none"),
        ('root_files = { f = "tent" }', "'text', expected 4: 'tent' (they differ from byte 2)"),
        ('root_files_hex = { g = "00" }', '"g" is not there'),
        ('root_absent = ["f"]', '"f" is there, expected none'),
        ('disk_files = { "{:1}/f" = "text\\n" }', "{0:1}/f has 4 bytes 'text', expected 5"),
        ('disk_files_hex = { "{:1}/g" = "00" }', "{0:1}/g is not there"),
        ('disk_files = { "{:2}/f" = "text" }', "disk 0 has no partition 2"),
        ('disk_contains = { "{:1}/f" = ["tex", "tax"] }', "{0:1}/f lacks 'tax'"),
        ('disk_absent = ["{:1}/f"]', "{0:1}/f is there, expected none"),
        ('volumes = { "{:1}" = "FAT32" }', "{0:1}/ holds FAT16, expected FAT32"),
        ("partitions = [[1, 6, 1, 40]]", "[1, 6, False, 40], expected [1, 6, True, 40]"),
        ('partitions = [[1, "BIGDOS", 0, 41]]', "expected [1, 'BIGDOS', False, 41]"),
        ("partitions = [[2, 6, 0, 40]]", "the partitions of disk 0 are [1], expected [2]"),
        ('partition_list = ["BIGDOS:41"]', 'are "BIGDOS:40", expected "BIGDOS:41"'),
        ('image_hex = { "510" = "55bb" }', "disk 0 at byte 510 has 2 bytes"),
        ("max_seconds = 0.001", "it took"),
    ],
)
def test_what_is_not_as_expected_is_told(tmp_path: Path, expect: str, problem: str) -> None:
    found = failures(tmp_path, f"{SCRIPT}expect = {{ {expect} }}\n")
    assert len(found) == 1
    assert problem in found[0]


def test_what_is_as_expected_passes(tmp_path: Path) -> None:
    expect = (
        'boot = "hdboot 0:0", log = "hello\\n[boot] hdboot 0:0", vars = { x = "value" }, vars_undefined = "y", root_files = { f = "text" }, root_absent = ["g"], '
        'disk_files_hex = { "{0:1}f" = "74657874" }, disk_absent = ["{:1}/g", "{:3}"], volumes = { "{:1}" = "fat16" }, partitions = [[1, 6, 0, 40]], '
        'partition_list = "BIGDOS:40", image_hex = { "510" = "55aa" }, max_seconds = 50'
    )
    assert failures(tmp_path, f"{SCRIPT}expect = {{ {expect} }}\n") == []


def test_errors_have_their_place(tmp_path: Path) -> None:
    head = '[[case]]\nid = "e"\nscript = """\nSet x = 1\n  Nonsense\n"""\n'
    assert failures(tmp_path, head + 'expect = { status = "error", line = 2, column = 3, error = "unknown command" }\n') == []
    (found,) = failures(tmp_path, head + 'expect = { status = "error", line = 1 }\n')
    assert found.startswith("the error is at line 2, expected 1: unknown command")
    (found,) = failures(tmp_path, head + 'expect = { status = "error", column = 1 }\n')
    assert "at column 3, expected 1" in found
    (found,) = failures(tmp_path, head + 'expect = { status = "error", file = "include.bpb" }\n')
    assert "expected include.bpb" in found
    (found,) = failures(tmp_path, head + 'expect = { status = "error", error = "no such" }\n')
    assert "expected 'no such' in it" in found
    (found,) = failures(tmp_path, head)
    assert found.startswith("the exit status is 1, expected 0 (")


def test_an_inconsistent_file_system_is_a_failure(tmp_path: Path) -> None:
    """A script may write what it likes into a partition; here into a FAT."""
    image = tmp_path / "damaged.img"
    assert main(["disk", "create", str(image), "64M", "--partitions", "BIGDOS:40", "--format"]) == 0
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    assert main(["disk", "put", str(tmp_path / "big"), f"{image}:1/"]) == 0
    data = bytearray(image.read_bytes())
    reserved = int.from_bytes(data[(1 << 20) + 14 : (1 << 20) + 16], "little")
    start = (1 << 20) + reserved * 512 + 4
    data[start : start + 40] = bytes(40)
    image.write_bytes(data)
    head = f'[[case]]\nid = "d"\ndisks = ["{image.name}"]\nscript = "Echo 1"\n'
    found = failures(tmp_path, head)
    assert found
    assert all(each.startswith("{0:1} is not consistent: ") for each in found)
    assert failures(tmp_path, head + "expect = { check = false }\n") == []
    assert image.read_bytes() == data


def test_a_case_is_given_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "inner.bpb").write_text('Echo "inner"\n')
    (tmp_path / "outer.bpb").write_text('Include "inner.bpb"\nGetDate d\nCopy "inner.bpb" "new"\nEcho "$BOOTP-Host-Name $d $who"\nInput k\n')
    text = """
[[case]]
id = "all"
script_file = "outer.bpb"
root = "server"
bootp = { Host-Name = "pc7" }
set = { who = "me" }
keys = "k\\r"
clock = 1999-02-03T12:00:00Z
args = ["--set", "late=1"]
expect = { log = "inner\\npc7 99/02/03 me", vars = { k = "k", late = "1" }, root_files = { new = "Echo \\"inner\\"\\n" } }
"""
    assert failures(tmp_path, text) == []
    assert not (tmp_path / "server" / "new").exists(), "the folder beside the case file is not written to"


def test_a_case_that_does_not_end_fails(tmp_path: Path) -> None:
    assert failures(tmp_path, '[[case]]\nid = "loop"\ntimeout = 0.5\nscript = ":a\\nGoto a\\n"\n') == ["it did not end within 0.5 s"]


def test_a_case_that_needs_a_missing_program_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.toml"
    file.write_text('[[case]]\nid = "s"\nneeds = ["no-such-program"]\nscript = ""\n')
    assert main(["test", str(file), "--junit", str(tmp_path / "j.xml")]) == 0
    assert "0 passed, 0 failed, 1 skipped" in capsys.readouterr().out
    assert ElementTree.parse(tmp_path / "j.xml").find(".//skipped") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: there is no case"),
        ("case = 3", '1:1: "case" is a whole number; expected a list'),
        ("[[case]]\nid = 'a'\nscript = ''\nfoo = 1\n", '4:1: there is no key "foo"'),
        ("[[case]]\nid = 'a'\nscrpt = ''\n", '3:1: there is no key "scrpt"'), ("[[case]]\nid = 'a'\n", "1:3: a case has either"),
        ("[[case]]\nid = 'a'\nscript = ''\nscript_file = 'x'\n", "3:1: a case has either"),
        ("[[case]]\nscript = ''\n", '1:3: the case has no "id"'),
        ("[[case]]\nid = 'a'\nscript = ''\n[[case]]\nid = 'a'\nscript = ''\n", '4:1: there is another case "a"'),
        ("[[case]]\nid = 'a'\nscript = ''\ndisks = [0]\n", "4:1: 0 is no disk"),
        ("[[case]]\nid = 'a'\nscript = ''\ndisks = ['none.img']\n", "4:1: 'none.img' is no disk"),
        ("[[case]]\nid = 'a'\nscript = ''\nfiles = { '../x' = '' }\n", '4:1: "../x" is no file below the root'),
        ("[[case]]\nid = 'a'\nscript = ''\nname = '/etc/x'\n", '4:1: "/etc/x" is no file below the root'),
        ("[[case]]\nid = 'a'\nscript = ''\nfiles_hex = { x = 'zz' }\n", '"zz" is not hexadecimal'),
        ("[[case]]\nid = 'a'\nscript = ''\nencoding = 'ebcdicish'\n", 'no encoding "ebcdicish"'),
        ("[[case]]\nid = 'a'\nscript = 'é'\nencoding = 'ascii'\n", '3:1: "é" cannot be written in ascii'),
        ("[[case]]\nid = 'a'\nscript = ''\nroot = 'nowhere'\n", '4:1: "nowhere" is no folder'),
        ("[[case]]\nid = 'a'\nscript = ''\nkeys = 3\n", '4:1: "keys" is a whole number; expected a text'),
        ("[[case]]\nid = 'a'\nscript = ''\nset = { a = 3 }\n", 'the value of "a" is a whole number; expected a text'),
        ("[[case]]\nid = 'a'\nscript = ''\ntimeout = -1\n", "expected a number that is not negative"),
        ("[[case]]\nid = 'a'\nscript = ''\nexpect = { log_regex = '(' }\n", '"(" is no regular expression'),
        ("[[case]]\nid = 'a'\nscript = ''\nexpect = { disk_files = { '{:1}/x' = '' } }\n", "the case has no disk 0"),
        ("[[case]]\nid = 'a'\nscript = ''\ndisks = [1]\nexpect = { disk_absent = ['x'] }\n", '"x" is no place on a disk'),
        ("[[case]]\nid = 'a'\nscript = ''\ndisks = [1]\nexpect = { partitions = [[1]] }\n", "[1] is no row"),
        ("[[case]]\nid = 'a'\nscript = ''\nexpect = { status = 'fine' }\n", '"fine" is no status'),
        ("[[case]]\nid = 'a'\nscript = ''\nexpect = { lgo = '' }\n", 'there is no key "lgo"'),
        ("[[case]\n", "1:7: expected ']]'"),
    ],
)
def test_a_wrong_file_is_refused_at_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_cases(file)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"{file}:")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: f"[[case]]\nid = 'a'\n{text}".encode())))
def test_any_bytes_are_cases_or_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "any.toml"
    file.write_bytes(data)
    try:
        assert read_cases(file)
    except UsageError as error:
        if str(file) not in error.message:
            raise


def test_junit_has_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, report = tmp_path / "two.toml", tmp_path / "report.xml"
    file.write_text("[[case]]\nid = 'good'\nscript = ''\n[[case]]\nid = 'bad'\nscript = 'Echo \"\\033<&\"'\nexpect = { log = 'x' }\n")
    assert main(["test", str(file), "--junit", str(report), "-v"]) == 1
    out = capsys.readouterr().out
    assert f"pass {file}:1: good" in out
    assert f"FAIL {file}:4: bad" in out
    assert "1 passed, 1 failed" in out
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "0")
    assert [(case.get("name"), case.get("line")) for case in suite] == [("good", "1"), ("bad", "4")]
    failure = suite[1].find("failure")
    assert failure is not None
    assert "the log differs" in str(failure.get("message"))


def test_a_failed_case_can_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    file = tmp_path / "k.toml"
    file.write_text("[[case]]\nid = 'k'\ndisks = [1]\nscript = ''\nexpect = { log = 'x' }\n")
    assert main(["test", str(file)]) == 1
    assert list(tmp_path.glob("bpscript-test-*")) == []
    assert main(["test", str(file), "--keep"]) == 1
    (kept,) = tmp_path.glob("bpscript-test-*")
    assert (kept / "disk0.img").stat().st_size == 1 << 20
    assert f"kept in {kept}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml"], "none.toml: cannot be read: No such file"),
        (["good.toml", "-k", "("], '"(" is no regular expression'),
        (["good.toml", "-k", "nothing"], 'no case matches "nothing"'),
        (["good.toml", "--junit", "no/where/f.xml"], "there is no such folder"),
        (["good.toml", "-j", "0"], "'0' is no number of cases"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text("[[case]]\nid = 'g'\nscript = ''\n")
    try:
        status: object = main(["test", *arguments])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_control_c_ends_all_cases_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "slow.toml"
    file.write_text("".join(f"[[case]]\nid = 's{number}'\nscript = 'Delay 30'\n" for number in range(6)))
    (tmp_path / "tmp").mkdir()
    child = subprocess.Popen(
        [sys.executable, "-m", "bpscript", "test", str(file), "-j", "2"], env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while len(list((tmp_path / "tmp").glob("*/root/*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert err.strip().splitlines()[-1] == "bpscript: interrupted"
    assert list((tmp_path / "tmp").iterdir()) == []
