"""The list of images: what each is, and what checking finds."""

import os
import random
import threading
import time
from pathlib import Path

import pytest

from bpscript.base.events import Event, Kind
from bpscript.server import shelf as module
from bpscript.server.shelf import Shelf
from tests.cli.images import flip, make_tree, packed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "tree").mkdir()
    packed(make_tree(tmp_path / "tree"), folder / "sub" / "files.imi")
    (folder / "raw.img").write_bytes(random.Random(5).randbytes(10_000))
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.imz").write_bytes((folder / "sub" / "files.imi").read_bytes()[:5000])
    (folder / "link.imz").symlink_to("/etc/passwd")
    return folder


def settled(shelf: Shelf, name: str) -> dict[str, object]:
    for _ in range(200):
        found = next(each for each in shelf.images() if each["name"] == name)
        if found["verified"] not in {"waiting", "checking"}:
            return found
        time.sleep(0.02)
    pytest.fail("it is never done")


def test_what_the_images_are(root: Path) -> None:
    found = {each["name"]: each for each in Shelf(root).images()}
    assert sorted(found) == ["cut.imz", "raw.img", "sub/files.imi"]
    assert (found["sub/files.imi"]["kind"], found["sub/files.imi"]["verified"], found["sub/files.imi"]["signed"]) == ("incremental", "unknown", None)
    assert (found["raw.img"]["kind"], found["raw.img"]["size"]) == ("foreign", 10_000)
    assert found["cut.imz"]["kind"] == "damaged"
    assert "incomplete" in str(found["cut.imz"]["error"])


def test_checking_finds_damage_and_counts_until_the_file_changes(root: Path) -> None:
    events: list[Event] = []
    shelf = Shelf(root, events.append)
    assert shelf.check("sub/files.imi")
    right = settled(shelf, "sub/files.imi")
    assert (right["verified"], right["findings"]) == ("right", [])
    assert right["verified_at"] is not None
    flip(root / "sub" / "files.imi", 3000)
    os.utime(root / "sub" / "files.imi", ns=(1, 1))
    assert settled(shelf, "sub/files.imi")["verified"] == "unknown"
    assert shelf.check("sub/files.imi")
    damaged = settled(shelf, "sub/files.imi")
    assert damaged["verified"] == "damaged"
    assert damaged["findings"]
    assert [event.kind for event in events] == [Kind.NOTE, Kind.WARNING]
    assert not shelf.check("missing.imz")
    assert not shelf.check("../secret.imz")
    shelf.close()
    assert not shelf.check("raw.img")


def test_a_closed_shelf_leaves_no_thread(root: Path) -> None:
    shelf = Shelf(root)
    assert shelf.check("raw.img")
    shelf.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "check"] == []


def test_the_list_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IMAGES", 2)
    monkeypatch.setattr(module, "MAX_DEPTH", 0)
    assert [each["name"] for each in Shelf(root).images()] == ["cut.imz", "raw.img"]
