"""The folder with a Raspberry Pi's serial number comes first, then the root."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.network.tftp.server import TftpServer
from bpscript.server.raspberry import OwnFolders
from tests.oracles import need


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    (folder / "4372ee6a").mkdir(parents=True)
    for name in ("start4.elf", "config.txt", "4372ee6a/config.txt"):
        (folder / name).write_text(f"this is {name}", encoding="ascii")
    (tmp_path / "secret").write_text("secret", encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("4372ee6a/config.txt", None), ("4372ee6a/start4.elf", "start4.elf"), ("4372EE6A//start4.elf", "start4.elf"), ("/4372ee6a/start4.elf", "start4.elf"),
        ("00000000/overlays/x.dtbo", "overlays/x.dtbo"), ("dc-a6-32-00-00-01/start4.elf", "start4.elf"), ("start4.elf", None), ("images/start4.elf", None),
        ("4372ee6a/../../nothing", None), ("4372ee6a/", None), ("4372ee6a/" + "x" * 5000, None), ("4372ee6a/a\0b", None),
    ],
    ids=["own", "root", "upper-case", "slash", "sub-folder", "by-address", "plain", "folder", "out-of-the-root", "folder-itself", "too-long", "nul"],
)
def test_what_a_machine_asks_for_is_found(root: Path, asked: str, served: str | None) -> None:
    assert OwnFolders(root)(asked, "10.0.0.5") == served


@pytest.fixture
def server(root: Path) -> Iterator[TftpServer]:
    made = TftpServer(root, port=0, lookup=OwnFolders(root))
    made.start()
    yield made
    made.stop()
    made.close()


def test_a_tftp_client_gets_its_own_file_or_the_root_one(server: TftpServer, tmp_path: Path) -> None:
    def fetch(name: str) -> str:
        done = subprocess.run([need("curl"), "-sS", "--path-as-is", f"tftp://127.0.0.1:{server.port}/{name}"], capture_output=True, text=True, check=False, timeout=30)
        return done.stdout or done.stderr

    assert fetch("4372ee6a/config.txt") == "this is 4372ee6a/config.txt"
    assert fetch("4372ee6a/start4.elf") == "this is start4.elf"
    assert fetch("00c0ffee/config.txt") == "this is config.txt"
    assert re.search(r"curl: \(6[89]\)", fetch("4372ee6a/none"))
    assert "secret" not in fetch("4372ee6a/../../secret").replace("served", "")
