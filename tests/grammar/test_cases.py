"""Every language case of grammar/cases, run in this process."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from bpscript import api
from bpscript.base.errors import ScriptError
from tests.grammar import tables
from tests.grammar.casefile import CASES, Case, Expected, ExpectedError, read_cases

MB = 1 << 20
TAGGED = re.compile(r"^\[(note|warning|progress|boot)\] ?(.*)\n?", re.M)
ALL_CASES = [case for path in sorted([*CASES.glob("run/*.case"), *CASES.glob("syntax/*.case")]) for case in read_cases(path)]


def identity(case: Case) -> str:
    """What pytest calls the case: its place and its name."""
    place = case.source.replace(".case", "")
    return f"{place} {case.name}"[:110].encode("ascii", "replace").decode()


@pytest.mark.parametrize("case", ALL_CASES, ids=identity)
def test_a_case_of_the_language(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in case.needs:
        if shutil.which(tool) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{tool} is not installed")
    problems = list(run_and_judge(case, tmp_path, monkeypatch))
    assert not problems, f"{case.source}: {case.name}\n" + case.script.decode("latin-1") + "\n" + "\n".join(problems)


def run_and_judge(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One sentence for everything that is not as the case expects."""
    root = tmp_path / "root"
    root.mkdir()
    for directory in case.directories:
        (root / directory).mkdir(parents=True)
    for name, data in [*case.files, (case.script_name, case.script)]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    disks = []
    for number, size in enumerate(case.disks):
        disk = tmp_path / f"disk{number}.img"
        with disk.open("wb") as file:
            file.truncate(size * MB)
            for on, offset, data in case.disk_bytes:
                if on == number:
                    file.seek(offset)
                    file.write(data)
        disks.append(disk)
    monkeypatch.chdir(root)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if case.clock is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", case.clock)
        monkeypatch.setenv("TZ", "UTC")
    started = monotonic()
    result = api.execute(
        api.RunOptions(
            script=root / case.script_name,
            disks=disks,
            root=root,
            variables=dict(case.variables),
            keys=case.keys,
            seed=case.seed,
            switches=case.switches,
        )
    )
    seconds = monotonic() - started
    yield from judge_error(case, result.error)
    yield from judge_log(case, result.log)
    yield from judge_variables(case.expected, result.variables)
    yield from judge_files(case.expected, root)
    yield from judge_disks(case.expected, disks)
    if case.expected.seconds is not None and not case.expected.seconds[0] <= seconds <= case.expected.seconds[1]:
        yield f"it took {seconds:.2f} s, expected {case.expected.seconds}"


def judge_error(case: Case, error: ScriptError | None) -> Iterator[str]:
    """The error that ended the script, by file, line, column and words."""
    wanted = case.expected.error
    if error is None or wanted is None:
        if error is not None:
            yield f"an unexpected error: {error.explain()}"
        if wanted is not None:
            yield f"no error, expected one in line {wanted.line}: {wanted.fragment}"
        return
    file = wanted.file or case.script_name
    if f"/{error.file}".replace("\\", "/").endswith(f"/{file}") is False:
        yield f"an error in file {error.file}, expected {file}"
    if (error.line, error.column) != (wanted.line, error.column if wanted.column is None else wanted.column):
        yield f"an error at {error.line}:{error.column}, expected {wanted.line}:{wanted.column}\n{error.explain()}"
    if wanted.fragment.lower() not in f"{error.message}\n{error.hint}".lower():
        yield f"the error says \"{error.message}\", expected \"{wanted.fragment}\" in it"
    if "\n" in error.message:
        yield f"the error message has several lines: {error.message!r}"


def judge_log(case: Case, log: str) -> Iterator[str]:
    """What the script logged; the lines of the interpreter (`[note]` ...) are looked at apart."""
    expected = case.expected
    log = log.replace("\r\n", "\n").replace("\r", "")
    tagged = [(found[1], found[2]) for found in TAGGED.finditer(log)]
    log = TAGGED.sub("", log)
    for wanted in expected.logged_errors:
        found = next((each for each in tagged if _is_logged(wanted, case.script_name, *each)), None)
        if found is None:
            yield f"no logged error at line {wanted.line}, column {wanted.column} with \"{wanted.fragment}\" in {tagged}"
        else:
            tagged.remove(found)
    for tag, fragment in expected.tagged:
        if not any(tag == other and fragment.lower() in text.lower() for other, text in tagged):
            yield f"no [{tag}] line with \"{fragment}\" in {tagged}"
    if not any(tag == "warning" for tag, _ in expected.tagged):
        yield from (f"an unexpected warning: {text}" for tag, text in tagged if tag == "warning")
    boots = [text for tag, text in tagged if tag == "boot"]
    if boots != ([] if expected.boot is None else [expected.boot]):
        yield f"boots {boots}, expected {expected.boot}"
    if expected.log is not None and log.rstrip("\n") != expected.log.rstrip("\n"):
        yield f"the log is\n{log}\nexpected\n{expected.log}"
    yield from (f"the log lacks {text!r}:\n{log}" for text in expected.log_contains if text not in log)
    yield from (f"the log has {text!r}:\n{log}" for text in expected.log_lacks if text in log)
    yield from (f"the log does not match {text!r}:\n{log}" for text in expected.log_matches if not re.search(text, log, re.M))


def _is_logged(error: ExpectedError, script_name: str, tag: str, text: str) -> bool:
    """Whether a tagged line is this error, passed over."""
    found = re.match(r"(.*?):(\d+):(\d+): error: (.*)", text)
    if tag != "warning" or found is None or not f"/{found[1]}".endswith(f"/{error.file or script_name}"):
        return False
    place = (int(found[2]), error.column if error.column is None else int(found[3]))
    return place == (error.line, error.column) and error.fragment.lower() in found[4].lower()


def judge_variables(expected: Expected, variables: dict[str, str]) -> Iterator[str]:
    """Variables after the run; their names are compared without regard to case."""
    found = {name.lower(): value for name, value in variables.items()}
    for name, value in expected.variables:
        if found.get(name.lower()) != value:
            yield f"variable {name} is {found.get(name.lower())!r}, expected {value!r}"
    for name in expected.undefined:
        if name.lower() in found:
            yield f"variable {name} is {found[name.lower()]!r}, expected none"


def judge_files(expected: Expected, root: Path) -> Iterator[str]:
    """Files in the root folder after the run."""
    for name, data in expected.files:
        found = (root / name).read_bytes() if (root / name).is_file() else None
        if found != data:
            yield f"file {name} is {found!r}, expected {data!r}"
    for name, size in expected.file_sizes:
        length = (root / name).stat().st_size if (root / name).is_file() else None
        if length != size:
            yield f"file {name} has {length} bytes, expected {size}"
    yield from (f"file {name} exists" for name in expected.absent_files if (root / name).exists())


def judge_disks(expected: Expected, disks: list[Path]) -> Iterator[str]:
    """Partition tables and bytes of the images after the run."""
    for disk, wanted in expected.partitions:
        rows = tables.rows(disks[disk])
        if rows != list(wanted):
            yield "\n  ".join([f"disk {disk} has the partitions", *rows, "expected", *wanted])
    for disk, offset, data in expected.disk_bytes:
        with disks[disk].open("rb") as file:
            file.seek(offset)
            found = file.read(len(data))
        if found != data:
            yield f"disk {disk} holds {found.hex(' ')} at {offset}, expected {data.hex(' ')}"
