"""What is on the screen is seen before the script waits or works, and waiting costs nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpscript.api import RunOptions, execute
from bpscript.screen.canvas import Canvas, Span
from bpscript.screen.display import Display
from bpscript.screen.memory import ScriptedKeyboard
from bpscript.screen.png import png_bytes
from tests.golden import rgb


class Painted:
    """An output that remembers the text of what was painted last."""

    def __init__(self) -> None:
        self.text = ""

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        self.text = str(canvas)

    def wait(self) -> None:
        pass

    def beep(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_was_drawn_is_seen_before_something_long(tmp_path: Path) -> None:
    """The second Print comes too soon after the first one to be painted by itself."""
    (tmp_path / "x.bpb").write_text('Print "first"\nPrint " second"\nMkDir "{:1}/x"\n')
    output = Painted()
    result = execute(RunOptions(script=tmp_path / "x.bpb", screen=Display(output), keyboard=ScriptedKeyboard("")))
    assert "disk 0" in str(result.error)
    assert output.text == "first second"


def test_a_picture_is_written_whenever_the_script_waits_and_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "x.bpb").write_text('Print "one"\nGetKey\nGetKey\nInput name\nWaitForKey 0\nPrint "three"\nDelay 0\nInitGraph "640x480"\nBeep\n')
    command = [sys.executable, "-m", "bpscript", "run", str(tmp_path / "x.bpb"), "--keys", "xyab\r", "--screen", f"png:{tmp_path / 'out' / 'deep'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pictures = sorted((tmp_path / "out" / "deep").iterdir())
    # GetKey, Input (the cursor shows), WaitForKey, Delay, the end; nothing changed for the second GetKey.
    assert [path.name for path in pictures] == [f"{number:04}.png" for number in range(1, 6)]
    canvas = Canvas()
    canvas.write("one")
    assert rgb(pictures[0].read_bytes()) == rgb(png_bytes(canvas))
    canvas.write("ab\r\n")
    assert rgb(pictures[2].read_bytes()) == rgb(png_bytes(canvas))
    assert rgb(pictures[4].read_bytes())[0] == (640, 480)


def test_wrong_modes_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "x.bpb").write_text("")
    (tmp_path / "file").write_text("")
    for mode, message in (
        ("png", '--screen "png": expected none|'),
        ("vga", '--screen "vga": expected none|'),
        ("none:x", '--screen "none:x": expected none|'),
        (f"png:{tmp_path / 'file'}", "pictures cannot be written there: File exists"),
        (f"framebuffer:{tmp_path / 'fb'}", "the frame buffer cannot be opened: No such file"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "bpscript", "run", str(tmp_path / "x.bpb"), "--screen", mode], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, mode
        assert message in done.stderr


@pytest.mark.parametrize(("wait", "where"), [("Delay 0.1", "x.bpb:4:7: "), ("", "bpscript: ")], ids=["in the script", "at the end"])
def test_a_folder_that_vanishes_is_an_error_in_one_sentence(tmp_path: Path, wait: str, where: str) -> None:
    (tmp_path / "x.bpb").write_text(f'Print "x"\nDelay 0.3\nPrint "y"\n{wait}\n')
    out = tmp_path / "out"
    program = subprocess.Popen(
        [sys.executable, "-m", "bpscript", "run", "x.bpb", "--screen", f"png:{out}"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not (out / "0001.png").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (out / "0001.png").unlink()
    out.rmdir()
    _, errors = program.communicate(timeout=20)
    assert program.returncode == 1
    assert errors.splitlines()[0] == f"{where}error: {out / '0002.png'}: the picture cannot be written: No such file or directory"


def test_waiting_for_a_key_uses_no_processor(tmp_path: Path) -> None:
    """Standard input stays open and silent; the process is looked at from outside."""
    (tmp_path / "x.bpb").write_text('InitGraph\nPrint "waiting"\nGetKey\n')
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bpscript", "run", str(tmp_path / "x.bpb"), "--screen", f"png:{out}"]
    program = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while not (out / "0001.png").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        before = used_ticks(program.pid)
        time.sleep(1)
        assert used_ticks(program.pid) == before
    finally:
        program.communicate(b"x", timeout=20)
    assert program.returncode == 0


def used_ticks(process: int) -> int:
    """Processor time in user and kernel mode, in ticks of usually 10 ms."""
    facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    assert os.sysconf("SC_CLK_TCK") <= 1000
    return int(facts[11]) + int(facts[12])
