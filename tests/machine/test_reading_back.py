"""`FullZip` and `IncrZip` read back what they wrote: a source that changed meanwhile leaves the old archive in its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bpscript.api import NewDisk, RunOptions, execute
from bpscript.base.events import Event

MIB = 1 << 20


def run(folder: Path, lines: str, events: Callable[[Event], None]) -> str:
    """The message of the error, "" when the script succeeded."""
    (folder / "s.mrz").write_text(lines)
    result = execute(RunOptions(script=folder / "s.mrz", disks=[NewDisk(folder / "disk.img", 32 * MIB)], root=folder, events=events))
    return "" if result.error is None else result.error.message


def meanwhile(change: Callable[[], object]) -> Callable[[Event], None]:
    """Called once, when the reading back begins."""
    called: list[Event] = []

    def take(event: Event) -> None:
        if event.data.get("task") == "verify" and not called:
            called.append(event)
            change()

    return take


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("contents")
    (tmp_path / "old.imz").write_bytes(b"old")
    return tmp_path


@pytest.mark.parametrize("changed", [False, True], ids=["still", "changed"])
def test_full_zip(place: Path, changed: bool) -> None:
    lines = f'SetPartitions "BIGDOS:20"\nClean 1 "VOL"\nCopy "{place}/tree/file" "{{:1}}/file"\nFullZip "{{:1}}/" "{place}/old.imz"\n'
    message = run(place, lines, meanwhile(lambda: flip(place / "disk.img", MIB + 600)) if changed else lambda event: None)
    if changed:
        assert "differs from its source at bytes 0 to" in message
        assert (place / "old.imz").read_bytes() == b"old"
    else:
        assert message == ""
        assert (place / "old.imz").read_bytes()[:4] == b"\x5b\x2a\x4d\x18"
    assert sorted(path.name for path in place.iterdir()) == ["disk.img", "old.imz", "s.mrz", "tree"]


@pytest.mark.parametrize("changed", [False, True], ids=["still", "changed"])
def test_incr_zip(place: Path, changed: bool) -> None:
    change = meanwhile((place / "tree" / "file").unlink) if changed else lambda event: None
    message = run(place, f'IncrZip "{place}/tree" "{place}/old.imz"\n', change)
    assert message == ('the archive differs from its source at "file"' if changed else "")
    assert ((place / "old.imz").read_bytes() == b"old") is changed
