"""Whatever write a power cut ends: the old state, the new one, or "not formatted"; and running the script again ends right.

On a file system that is in use (Copy, Patch, IncrUnzip) each file has its old or new contents, nothing else is lost, and the volume is
clean or says that it wants a check. `make test` tries some hundred cuts of each command, `make soak` all.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.partitions.table import read_table
from tests.power.scenes import expect_old_or_new, files, is_valid, live, made, open_kind, partition, run
from tests.power_cuts import Judge, PowerCuts

Property = Callable[[str, object], None]


def budgets(some: int) -> pytest.MarkDecorator:
    """Some cuts always, all of them in soak runs."""
    return pytest.mark.parametrize("most", [some, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "all"])


# By size, a FAT of type 1 is FAT12 below 4.3 MB.
KINDS = {"FAT12": "1:4", "FAT16": "BIGDOS:10", "FAT32": "FAT32:34", "EXT2": "LINUX-EXT2:8", "EXT4": "LINUX-EXT2:8", "SWAP": "LINUX-SWAP:4"}
live_kinds = pytest.mark.parametrize("kind", [
    pytest.param("FAT12", marks=pytest.mark.slow), "FAT16", pytest.param("FAT32", marks=pytest.mark.slow), "EXT2", "EXT4",
])


def disk_size(kind: str) -> int:
    return 40 * MIB if kind == "FAT32" else 14 * MIB


def set_up(kind: str, folder: Path, more: str = "") -> str:
    """Lines that make a partition with files of all kinds on it; some of the files are what later scripts replace."""
    rng = random.Random(3)
    for name, size in {"small": 300, "middle": 20_000, "large": 400_000, "text": 0, "other": 9000, "bigger": 700_000}.items():
        (folder / name).write_bytes(rng.randbytes(size) if size else b"host ${name}\r\n" * 60)
    many = "".join(f'copy "small" "{{:1}}/many/a rather long name {number}"\n' for number in range(24))
    return (
        f'set linux-fs = "{kind if kind.startswith("EXT") else "EXT2"}"\nsetpartitions "{KINDS[kind]}"\nclean 1 "OLD"\n'
        f'mkdir "{{:1}}/many"\nmkdir "{{:1}}/etc"\ncopy "large" "{{:1}}/large"\ncopy "middle" "{{:1}}/etc/middle"\ncopy "text" "{{:1}}/etc/text"\n{many}{more}'
    )


def judge_live(before: BlockDevice, after: BlockDevice) -> Judge:
    old, new = files(partition(before, 1)), files(partition(after, 1))

    def judge(disk: BlockDevice) -> str:
        assert is_valid(disk, 1), "not formatted"
        how, found = live(partition(disk, 1))
        return f"{expect_old_or_new(found, old, new)}, {how}"

    return judge


LIVE = {
    "Copy, new": 'copy "bigger" "{:1}/new file"\n',
    "Copy, same size": 'copy "bigger" "{:1}/large"\ncopy "other" "{:1}/etc/middle"\n',
    "Copy, replaced": 'copy "other" "{:1}/large"\n',
    "Patch": 'set name = "pc7"\npatch "{:1}/etc/text" "{:1}/etc/text"\n',
    "Append": 'append "small" "other" "{:1}/etc/text"\n',
    "XCopy": 'xcopy "{:1}/many" "{:1}/again"\n',
    "MkDir": 'mkdir "{:1}/a/b/c"\n',
    "Delete": 'delete "{:1}/large"\n',
    "DelTree": 'deltree "{:1}/many"\n',
    "IncrUnzip": 'incrunzip "over.imi" "{:1}/"\n',
}

# As a script that may be run again says it: what is to be deleted may be gone.
REPEATABLE = {"Delete": 'if exist "{:1}/large" delete "{:1}/large"\n'}


@budgets(14)
@live_kinds
@pytest.mark.parametrize("name", LIVE)
def test_a_file_system_in_use(name: str, kind: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    before = made(set_up(kind, tmp_path), tmp_path, disk_size(kind))
    assert open_kind(partition(before, 1)) == kind
    if name == "IncrUnzip":
        tree = tmp_path / "tree"
        (tree / "many").mkdir(parents=True)
        (tree / "fresh" / "inner").mkdir(parents=True)
        for number in range(0, 24, 3):
            (tree / "many" / f"a rather long name {number}").write_bytes(bytes([number]) * 3000)
        for number in range(30):
            (tree / "fresh" / "inner" / f"another name that is long {number}").write_bytes(bytes([number]) * 700)
        (tree / "large").write_bytes(b"L" * 500_000)
        run('incrzip "tree" "over.imi"\n', before, tmp_path)
    cuts = PowerCuts(before, lambda disk: run(LIVE[name], disk, tmp_path))
    judge = judge_live(before, cuts.disk())
    again = REPEATABLE.get(name, LIVE[name])
    tried = cuts.check(f"{name}, {kind}", judge, again=lambda disk: run(again, disk, tmp_path), most=most, every=4, final=lambda state: state.startswith("new"))
    record_property("tried", str(tried))


def judge_formatted(before: BlockDevice, after: BlockDevice) -> Judge:
    """Of a partition that is made anew as a whole: old, new, or not formatted."""
    def contents(disk: BlockDevice) -> object:
        return files(partition(disk, 1)) if "LINUX-SWAP" not in read_table(disk).to_list() else partition(disk, 1).read(0, 8192)

    old = contents(before) if is_valid(before, 1) else None
    new = contents(after)

    def judge(disk: BlockDevice) -> str:
        if not is_valid(disk, 1):
            return "not formatted"
        if "LINUX-SWAP" in read_table(disk).to_list():
            found: object = contents(disk)
        else:
            how, found = live(partition(disk, 1))
            assert how == "clean"
        if found == new:
            return "new"
        assert found == old, "neither the old nor the new contents"
        return "old"

    return judge


@budgets(25)
@pytest.mark.parametrize("kind", KINDS)
def test_clean(kind: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    first = set_up(kind, tmp_path) if kind != "SWAP" else f'setpartitions "{KINDS[kind]}"\nclean 1\n'
    before = made(first, tmp_path, disk_size(kind))
    assert kind == "SWAP" or open_kind(partition(before, 1)) == kind
    script = f'set linux-fs = "{kind if kind.startswith("EXT") else "EXT2"}"\nclean 1 "NEW"\n'
    cuts = PowerCuts(before, lambda disk: run(script, disk, tmp_path, "other"))
    tried = cuts.check(f"Clean, {kind}", judge_formatted(before, cuts.disk()), again=lambda disk: run(script, disk, tmp_path, "other"), most=most, every=5)
    record_property("tried", str(tried))


SIZES = {"larger": 3, "smaller": -2}       # MB


@budgets(25)
@pytest.mark.parametrize("how", ["same", "larger", "smaller", "difference"])
@live_kinds
def test_full_unzip(kind: str, how: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    if kind == "FAT32" and how == "smaller":
        pytest.skip("a FAT32 volume cannot be smaller than 33 MB: FAT16 and EXT2 are made smaller")
    (tmp_path / "extra").write_bytes(random.Random(9).randbytes(60_000))
    run(set_up(kind, tmp_path, 'copy "extra" "{:1}/extra"\nfullzip "{:1}/" "new.imz"\n'), made("", tmp_path, disk_size(kind)), tmp_path)
    word, _, size = KINDS[kind].partition(":")
    changed = f"{word}:{int(size) + SIZES.get(how, 0)}"
    lines = set_up(kind, tmp_path, 'copy "other" "{:1}/old"\n').replace(KINDS[kind], changed)
    before = made(lines, tmp_path, disk_size(kind))
    assert open_kind(partition(before, 1)) == kind or how == "larger"
    rewrite = "DIFF" if how == "difference" else "ALL"
    script = f'set rewrite = "{rewrite}"\nfullunzip "new.imz" 1\n'
    cuts = PowerCuts(before, lambda disk: run(script, disk, tmp_path))
    again = script.replace("ALL", "AUTO")
    tried = cuts.check(f"FullUnzip, {how}, {kind}", judge_formatted(before, cuts.disk()), again=lambda disk: run(again, disk, tmp_path), most=most, every=10)
    record_property("tried", str(tried))
