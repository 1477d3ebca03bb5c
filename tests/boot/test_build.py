"""`bpscript boot build` from Debian's packages: how large it gets, the same bytes twice, and as a user who may nothing."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.base.units import MIB
from tests.boot.environment import CACHE, ROOT, built, kernel_files

pytestmark = pytest.mark.slow

NOBODY = 65534


def test_two_builds_are_the_same_and_small(tmp_path: Path) -> None:
    """With everything from packages, at the usual level; the second one by another user, in other folders, at another time, with other hashes and rights."""
    kernel_files()              # or skip
    reports = []
    for number, seed in enumerate(("1", "2")):
        folder = tmp_path / f"home{number}"
        home = CACHE / "home"
        command = [sys.executable, "-m", "bpscript", "boot", "build", str(folder / "out"), "--json"]
        folder.mkdir()
        if number:
            home = Path(shutil.copytree(home, folder / "cache"))
            command = [*as_nobody(folder), *command]
        environment = {
            **os.environ, "XDG_CACHE_HOME": str(home), "PYTHONHASHSEED": seed, "LANG": "C.UTF-8" if number else "C", "TZ": "UTC-9" if number else "UTC",
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder if number else ROOT, env=environment, umask=0o077 if number else 0o022)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    out = tmp_path / "home0" / "out"
    names = sorted(path.name for path in out.iterdir())
    assert names == ["boot.ipxe", "initrd.img", "ipxe.efi", "memdisk", "undionly.kpxe", "vmlinuz"]
    same, different, wrong = filecmp.cmpfiles(out, tmp_path / "home1" / "out", names, shallow=False)
    assert (sorted(same), different, wrong) == (names, [], [])
    sizes = {each["name"]: each["size"] for each in reports[0]["files"]}
    assert sizes == {path.name: path.stat().st_size for path in out.iterdir()}
    assert sum(part["packed"] for part in reports[0]["parts"]) == sizes["initrd.img"] < 16 * MIB
    for part in reports[0]["parts"]:
        print(f"{part['name']:<12}{part['files']:>6}{part['size']:>12}{part['packed']:>12}")
    print(sizes)


def as_nobody(folder: Path) -> list[str]:
    """The start of a command by a user who has this folder and may read everything; nothing when we are not root, and so a user already."""
    if os.geteuid() != 0:
        return []
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may go to; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_user_without_rights_builds_it_with_debians_python(open_folder: Path) -> None:
    """Nobody, without lists of packages of its own, with another Python of the same version."""
    python = Path("/usr/bin/python3")
    version = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False).stdout.split()
    if os.geteuid() != 0 or version != [str(each) for each in sys.version_info[:2]] or not (Path(f"/usr/lib/python{'.'.join(version)}") / "json").exists():
        pytest.skip("needs root, to be somebody else, and Debian's Python of the same version")
    kernel_files()
    code = open_folder / "code"            # as a wheel is unpacked
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bpscript", code / "bpscript", ignore=ignored)
    shutil.copytree(ROOT / "grammar", code / "bpscript" / "grammar", ignore=ignored)
    shutil.copytree(ROOT / "images", code / "bpscript" / "images", ignore=ignored)
    home = open_folder / "home"
    home.mkdir()
    site = next(path for path in sys.path if path.endswith("site-packages"))
    closed = [parent for parent in (Path(site), *Path(site).parents) if parent.stat().st_mode & 0o005 != 0o005]
    if closed:
        pytest.skip(f"{closed[0]} is closed to others")
    os.chown(home, NOBODY, NOBODY)
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={home}", f"PYTHONPATH={code}:{site}",
         python, "-m", "bpscript", "boot", "build", str(home / "out"), "--level", "1"],
        capture_output=True, text=True, check=False, cwd=home,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "out" / "initrd.img").stat().st_uid == NOBODY
    assert "modules" in done.stdout
    assert "python" in done.stdout


def test_a_user_without_rights_builds_of_given_files_what_root_builds_of_packages(open_folder: Path) -> None:
    """Kernel, modules (a copy of another name), iPXE and firmware in folders of its own: no package is asked for, and each byte is the same."""
    kernel, modules = kernel_files()
    given = open_folder / "given"
    shutil.copytree(modules / "kernel", given / "mods" / "kernel")
    shutil.copyfile(kernel, given / "linux")
    (given / "ipxe").mkdir()
    for name in ("undionly.kpxe", "ipxe.efi", "memdisk"):
        shutil.copyfile(built() / name, given / "ipxe" / name)
    (given / "firmware" / "tigon").mkdir(parents=True)
    (given / "firmware" / "tigon" / "tg3.bin").write_bytes(b"of a Broadcom")
    no_packages = given / "programs"
    no_packages.mkdir()
    for name in ("apt-get", "dpkg", "dpkg-deb"):
        (no_packages / name).write_text(f"#!/bin/sh\necho {name} was asked >&2\nexit 9\n")
        (no_packages / name).chmod(0o755)
    command = [sys.executable, "-m", "bpscript", "boot", "build", str(given / "user"), "--level", "1", "--firmware", str(given / "firmware")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(CACHE / "home")}
    of_files = [*as_nobody(given), *command, "--kernel", str(given / "linux"), "--modules", str(given / "mods"), "--ipxe", str(given / "ipxe")]
    done = subprocess.run(of_files, capture_output=True, text=True, check=False, cwd=given, env={**environment, "PATH": f"{no_packages}:{os.environ['PATH']}", "HOME": str(given)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stat().st_uid for path in (given / "user").iterdir()} == {NOBODY if os.geteuid() == 0 else os.geteuid()}
    command[5] = str(given / "root")
    of_packages = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert of_packages.returncode == 0, of_packages.stdout + of_packages.stderr
    assert done.stdout == of_packages.stdout.replace(command[5], str(given / "user"))
    assert f"kernel {modules.name}; in " in done.stdout         # what its modules say, not what their folder is called
    names = sorted(path.name for path in (given / "root").iterdir())
    same, different, wrong = filecmp.cmpfiles(given / "user", given / "root", names, shallow=False)
    assert (sorted(same), different, wrong) == (names, [], [])
