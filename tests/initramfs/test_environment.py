"""What is in the initramfs is whole: in it alone, Python imports all of ours, and the programs run."""

import os
import subprocess
from pathlib import Path

import pytest

from bpscript.cli.verbs import VERBS
from bpscript.initramfs import build
from bpscript.initramfs.cpio import Tree
from bpscript.initramfs.modules import Modules
from tests.oracles import run_tool

# Of verbs for hosts, or of extras that workstations have not.
_NOT_THERE = "('rich', 'PIL', 'starlette', 'jinja2', 'prompt_toolkit', 'pytest', 'ldap3', 'pamela', 'smbprotocol', 'lz4', 'sqlite3')"
IMPORT_ALL = f"""
import sys, pkgutil, importlib
sys.path.append("/usr/lib/bpscript")
import bpscript
failed, count = [], 0
for module in pkgutil.walk_packages(bpscript.__path__, "bpscript."):
    if module.name.endswith("__main__"):
        continue
    count += 1
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in {_NOT_THERE}:
            failed.append(f"{{module.name}}: {{error}}")
print(count, failed)
assert count > 200 and not failed
import zlib, bz2, lzma, hashlib, ctypes, cffi, decimal, datetime, zoneinfo, socket, struct, json
from bpscript.filesystems.ext.library import load
print(load())
from bpscript.screen.font import built_in_font
built_in_font()
from bpscript.base.resources import image_bytes
assert len(image_bytes("boot/mbr.bin")) == 440
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first file system as a folder, without kernel modules."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    folder = tmp_path_factory.mktemp("initramfs")

    class NoModules(Modules):
        def __init__(self) -> None:
            self.version = "none"

        def chosen(self, names: object = ()) -> list[object]:   # type: ignore[override]
            return []

    for number, tree in enumerate(build._trees(NoModules(), lambda name: pytest.skip(f"{name} is not on this host"), lambda event: None).values()):
        _unpack(tree, folder, number)
    return folder


def _unpack(tree: Tree, folder: Path, number: int) -> None:
    archive = folder / f"{number}.cpio"
    archive.write_bytes(tree.to_cpio())
    run_tool(["bsdtar", "-xpf", archive, "-C", folder])
    archive.unlink()


def inside(folder: Path, *command: str) -> str:
    done = subprocess.run(["chroot", folder, *command], capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_imports_all_of_ours(unpacked: Path) -> None:
    print(inside(unpacked, "/usr/bin/python3", "-IS", "-c", IMPORT_ALL))


def test_the_programs_run(unpacked: Path) -> None:
    assert "mke2fs" in subprocess.run(["chroot", unpacked, "/usr/sbin/mke2fs", "-V"], capture_output=True, text=True, check=False).stderr
    assert inside(unpacked, "/bin/sh", "-c", "echo $((6*7)); ls /init").split() == ["42", "/init"]
    assert "bpscript " in inside(unpacked, "/usr/bin/bpscript", "--version")


def test_a_script_images_a_disk_in_there(unpacked: Path) -> None:
    """The engine works with what is there: partitions, ext4 by mke2fs, FAT, patches, passwords."""
    (unpacked / "tmp/s.bpb").write_text(
        'Set Linux-FS = "EXT4"\nSetPartitions "LINUX-EXT2:64 BIGDOS:40"\nClean 1\nClean 2\nSet x = "y"\nPatch "s.ref" "{:1}/s"\nCopy "{:1}/s" "{:2}/t"\n'
        'Crypt "justdoit" "Bp" p\nEcho "$p"\nIf exist "{:2}/t" Echo "there"\n'
    )
    (unpacked / "tmp/s.ref").write_text("${x}\n")
    said = inside(unpacked, "/bin/sh", "-c", "cd /tmp && bpscript run s.bpb --disk d.img:128M --keys ''")
    assert said.split() == ["BpR8oiIlRR9bo", "there"]


def test_what_runs_on_servers_says_so_in_a_sentence(unpacked: Path) -> None:
    refused = []
    for verb in VERBS:
        inside(unpacked, "/usr/bin/bpscript", verb.name, "--help")
    for command in (("serve", "/tmp"), ("boot", "build", "/tmp/out"), ("gateway", "--config", "/init"), ("test", "/init"), ("lsp",)):
        done = subprocess.run(["chroot", unpacked, "/usr/bin/bpscript", *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode in {1, 2}, command
        assert "Traceback" not in done.stderr, (command, done.stderr)
        if "which is not here" in done.stderr:
            refused.append(command[0])
            assert "\n  the boot environment has only what workstations need: do this on a server\n" in done.stderr
        print(command, done.stderr)
    assert {"serve", "boot", "test"} <= set(refused), refused


def test_no_path_of_this_host_is_in_our_code(unpacked: Path) -> None:
    """Tracebacks say where a file lies there."""
    own = str(Path(build.__file__).parents[2]).encode()
    assert [path for path in (unpacked / "usr/lib/bpscript/bpscript").rglob("*.pyc") if own in path.read_bytes()] == []
    assert not list((unpacked / "usr/lib").rglob("*.py"))


def test_a_server_that_is_not_there_is_a_sentence_also_without_ssl(unpacked: Path) -> None:
    code = """
import sys
sys.path.append("/usr/lib/bpscript")
from bpscript.base.errors import NetworkError
from bpscript.network.roots import open_root
for url in ("http://127.0.0.1:9/", "https://127.0.0.1:9/"):
    try:
        open_root(url).open("x")
    except NetworkError as error:
        print(error.message)
"""
    first, second = inside(unpacked, "/usr/bin/python3", "-IS", "-c", code).splitlines()
    assert "nobody listens there" in first
    assert "https:// is not possible here" in second
