"""A script on the frame buffer of a machine: its picture is there to the pixel, and the keyboard at the screen is heard, in its own layout."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from bpscript.base.resources import image_bytes
from bpscript.screen.canvas import Canvas
from tests.boot import environment
from tests.network.namespaces import patience
from tests.oracles import need
from tests.scripts import run_script

pytestmark = [pytest.mark.qemu, pytest.mark.net]      # a minute and a half

SCRIPT = """InitGraph "800x600"
DrawGif "linux.gif" 100 80
DrawWindow 200 150 300 200 "A window" Yellow
At 12,30 Print "text in it"
GetKey key
Echo "pressed $key"
GetKey key
"""
TYPED = """Include "keymaps/de.bpb"
Input word
Echo "typed $word"
GetKey key
"""
# A German keyboard: y and z, the extra key beside the left Shift key alone and with Shift, @ with the right Alt key and with the left.
KEYS = (("y",), ("shift", "z"), ("less",), ("shift", "less"), ("alt_r", "q"), ("alt", "q"), ("less",), ("q",), ("ret",))
GIVE = "zY<>@@<q"
MODE = 791          # of the kernel's vga=: 1024x768, 16 bits a pixel
CORNER = 112, 84    # of 800x600 in the middle of it


class Monitor:
    """QEMU's machine protocol."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")
        self._file.readline()
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: object) -> None:
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while "return" not in (answer := json.loads(self._file.readline())):
            assert "error" not in answer, answer


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A web server on this host, which the machine sees as 10.0.2.2; its port."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def differing(screen: Image.Image, canvas: Canvas) -> int:
    """How many pixels of a sample are not what the canvas has, within 5 and 6 bits a channel."""
    if screen.size != (1024, 768):
        return 1 << 20
    wrong, pixels = 0, canvas.pixels()
    for y in range(0, 600, 3):
        for x in range(0, 800, 3):
            wanted = canvas.palette.colors[pixels[y * 800 + x]]
            found = screen.getpixel((CORNER[0] + x, CORNER[1] + y))
            assert isinstance(found, tuple)
            wrong += any(abs(int(a) - b) > 8 for a, b in zip(found, wanted, strict=True))
    return wrong


def test_the_frame_buffer_shows_the_script(tmp_path: Path) -> None:
    out = environment.built()
    root = tmp_path / "root"
    root.mkdir()
    (root / "show.bpb").write_text(SCRIPT.removesuffix("GetKey key\n") + TYPED)
    (root / "linux.gif").write_bytes(image_bytes("gallery/linux.gif"))
    canvas = run_script(SCRIPT, keys="xy", files={"linux.gif": image_bytes("gallery/linux.gif")}, graphics=True).screen.canvas
    with served(root) as port:
        command = [
            need("qemu-system-x86_64"), "-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-m", "768", "-machine", "q35", "-nodefaults",
            "-display", "none", "-vga", "std", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n", "-kernel", str(out / "vmlinuz"),
            "-initrd", str(out / "initrd.img"), "-serial", f"file:{tmp_path / 'serial.log'}", "-qmp", f"unix:{tmp_path / 'qmp'},server=on,wait=off",
            "-append", f"console=tty0 console=ttyS0,115200 quiet vga={MODE} nbp.root=http://10.0.2.2:{port}/ nbp.commandline=show",
        ]  # fmt: skip
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as machine:
            try:
                _watch(tmp_path, canvas)
            finally:
                machine.kill()


def _watch(folder: Path, canvas: Canvas) -> None:
    deadline = time.monotonic() + 120 * patience()
    while not (folder / "qmp").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monitor = Monitor(folder / "qmp")
    picture, wrong = folder / "screen.ppm", 1
    while wrong:        # a picture shows what was there when the one before was taken
        monitor.do("screendump", filename=str(picture))
        with Image.open(picture) as screen:
            wrong = differing(screen, canvas)
        assert time.monotonic() < deadline, f"{wrong} pixels differ, see {picture}; the machine says: {_said(folder)}"
        time.sleep(0.5)
    monitor.do("send-key", keys=[{"type": "qcode", "data": "k"}])
    while "pressed k" not in _said(folder):
        assert time.monotonic() < deadline, _said(folder)
        time.sleep(0.1)
    for keys in KEYS:
        monitor.do("send-key", keys=[{"type": "qcode", "data": key} for key in keys])
        time.sleep(0.3)
    while "typed " not in _said(folder):
        assert time.monotonic() < deadline, _said(folder)
        time.sleep(0.1)
    assert f"typed {GIVE}" in _said(folder)
    monitor.do("quit")


def _said(folder: Path) -> str:
    return (folder / "serial.log").read_text(errors="replace")[-2000:]
