"""The scripts of the gallery run, and show what their pictures in the README show."""

import shutil
from pathlib import Path

import pytest

from bpscript.api import NewDisk, RunOptions, capture, execute
from bpscript.base.events import Event, Kind
from bpscript.screen.canvas import Canvas, Span
from bpscript.screen.display import Display
from bpscript.screen.png import png_bytes
from bpscript.screen.screen import Progress
from tests.golden import Golden
from tests.scripts import NoTime

GALLERY = Path(__file__).parents[2] / "images" / "gallery"
PASSWORDS = "ada:BpR8oiIlRR9bo\n"       # justdoit


class Album:
    """An output that keeps a picture of each time the script waits."""

    def __init__(self) -> None:
        self.pictures: list[bytes] = []
        self.canvas: Canvas | None = None

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        self.canvas = canvas

    def wait(self) -> None:
        assert self.canvas is not None
        self.pictures.append(png_bytes(self.canvas))

    def beep(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A server with the gallery on it."""
    copy = tmp_path / "server"
    shutil.copytree(GALLERY, copy, ignore=shutil.ignore_patterns("*.png", "*.py"))
    return copy


@pytest.fixture
def gallery(request: pytest.FixtureRequest) -> Golden:
    """The pictures that the README shows."""
    return Golden(GALLERY, update=request.config.getoption("--update-golden"))


def test_login(folder: Path, gallery: Golden) -> None:
    (folder / "passwd").write_text(PASSWORDS)
    album = Album()
    options = RunOptions(script=folder / "login.bpb", keys="ada\rwrong\rada\rjustdoit\r3", screen=Display(album), clock=NoTime())
    result = execute(options)
    assert result.error is None
    assert result.log == "login ada\r\nstart 3\r\n"
    gallery.png("login.png", album.pictures[3])         # the second try: its name is typed
    assert len(album.pictures) == 5


def test_login_is_locked_after_three_tries(folder: Path, golden: Golden) -> None:
    (folder / "passwd").write_text(PASSWORDS)
    album = Album()
    result = execute(RunOptions(script=folder / "login.bpb", keys="a\rb\r" * 3, screen=Display(album), clock=NoTime()))
    assert result.booted == "poweroff"
    golden.png("gallery-locked.png", album.pictures[-1])


def test_choice_with_countdown(folder: Path, gallery: Golden) -> None:
    album = Album()
    options = RunOptions(script=folder / "menu.bpb", keys="", screen=Display(album), clock=NoTime(), variables={"BOOTP-Host-Name": "pc-07"})
    result = execute(options)
    assert result.log == "start 2\r\n"
    assert len(album.pictures) == 20
    gallery.png("menu.png", album.pictures[8])      # 12 seconds are left


def test_progress(folder: Path, tmp_path: Path, gallery: Golden, golden: Golden) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "hostname").write_text("model\n")
    capture(tree, folder / "linux.imz")
    album = Album()
    display = Display(album)
    shown: list[bytes] = []

    def look(event: Event) -> None:
        """A real image takes minutes; this one does not even show its window: look at it with figures of a large one."""
        if event.kind is Kind.COMMAND_STARTED and event.data["name"] == "FullUnzip":
            display.show_progress(Progress("restore linux.imz", 2_900 << 20, 4_700 << 20, 41.0, 400, 360))
            shown.append(png_bytes(display.canvas))
            display.show_progress(None)

    options = RunOptions(
        script=folder / "progress.bpb", disks=[NewDisk(tmp_path / "disk.img", 256 << 20)], keys="", screen=display, events=look, clock=NoTime()
    )
    result = execute(options)
    assert (result.error, result.booted) == (None, "hdboot 0:2")
    gallery.png("progress.png", shown[0])
    golden.png("gallery-ready.png", album.pictures[-1])


def test_progress_tells_when_something_went_wrong(folder: Path, tmp_path: Path, golden: Golden) -> None:
    album = Album()
    disk = NewDisk(tmp_path / "disk.img", 256 << 20)
    result = execute(RunOptions(script=folder / "progress.bpb", disks=[disk], keys="xx", screen=Display(album), clock=NoTime()))
    assert "linux.imz" in result.log
    golden.png("gallery-failed.png", album.pictures[-2])
