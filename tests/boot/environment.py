"""The boot environment that the tests start: built once for all workers and runs, again when anything in it changes."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.initramfs.packages import Packages

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".venv" / "boot"         # goes with `make clean`
_SOURCES = ("bpscript", "grammar", "images", "pyproject.toml", "tests/boot/environment.py")


def built() -> Path:
    """A folder that `bpscript serve` serves."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = CACHE / f"out-{_key()}"
        if not out.exists():
            for old in CACHE.glob("out-*"):
                shutil.rmtree(old)
            built_with(out)
    return out


def built_with(out: Path, *options: str) -> Path:
    """A folder of a test's own with what `boot build` makes with these options."""
    kernel, modules = kernel_files()
    _build(out, "--kernel", str(kernel), "--modules", str(modules), "--level", "3", "--no-graphics", *options)
    return out


def built_for_arm() -> Path:
    """The same for arm64, with the layout of a Raspberry Pi; its packages are fetched by the builder itself."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock-arm64", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = CACHE / f"arm64-{_key()}"
        if not out.exists():
            for old in CACHE.glob("arm64-*"):
                shutil.rmtree(old)
            firmware = CACHE / "raspi-firmware"         # of Debian's non-free-firmware; here only its names matter
            firmware.mkdir(exist_ok=True)
            for name in ("start4.elf", "fixup4.dat", "bootcode.bin"):
                (firmware / name).write_bytes(name.encode())
            _build(out, "--architecture", "arm64", "--raspberry-pi", str(firmware), "--level", "3")
    return out


def kernel_files() -> tuple[Path, Path]:
    """Debian's kernel and its modules, unpacked once. The test is skipped where there are no packages."""
    try:
        packages = Packages(CACHE / "packages")
        package = packages.kernel(packages.architecture())
    except Exception as error:
        pytest.skip(f"Debian's kernel cannot be had: {error}")
    folder = CACHE / package.stem
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        packages.unpack(package, part)
        part.rename(folder)
    kernel = next((folder / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    return kernel, next(place for place in (folder / "usr/lib/modules" / version, folder / "lib/modules" / version) if place.is_dir())


def served(folder: Path) -> Path:
    """A folder of a test's own with the boot environment in it, for scripts and images beside it."""
    folder.mkdir(parents=True)
    for path in built().iterdir():
        (folder / path.name).hardlink_to(path)
    return folder


def _build(out: Path, *options: str) -> None:
    temporary = out.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "bpscript", "boot", "build", str(temporary), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    temporary.rename(out)


def _key() -> str:
    """Of all that goes in."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _SOURCES:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0{os.stat(path).st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
