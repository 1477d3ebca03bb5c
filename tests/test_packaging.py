"""The wheel and the editable install both carry the grammar, the boot code and the type marker."""

import fcntl
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROBE = (
    "from bpscript.base.resources import grammar_text, image_bytes;"
    "assert 'line' in grammar_text('bpbatch.lark'); assert len(image_bytes('boot/mbr.bin')) == 440;"
    "import bpscript, bpscript.cli.main; print(bpscript.__version__)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    with open(ROOT / "pyproject.toml", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # setuptools builds in the checkout, which several workers share
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_data_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "bpscript/py.typed",
        "bpscript/grammar/bpbatch.lark",
        "bpscript/images/boot/mbr.bin",
        "bpscript/images/keymaps/fr-CH.bpb",
        "bpscript/images/gallery/login.bpb",
        "bpscript/images/gallery/dusk.gif",
        "bpscript/screen/font.hex",
        "bpscript/screen/FONT-LICENSE.txt",
        "bpscript/archive/FORMAT.md",
        "bpscript/cli/main.py",
    } <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_every_package_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = {path.parent for path in (ROOT / "bpscript").rglob("*.py")}
    assert [f for f in folders if f"{f.relative_to(ROOT).as_posix()}/__init__.py" not in names] == []


def test_the_wheel_works_when_installed(wheel: Path, tmp_path: Path) -> None:
    """In a virtual environment that sees the dependencies of this one, but not this checkout."""
    venv.create(tmp_path / "v", with_pip=False, symlinks=True)
    site = next((tmp_path / "v" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(next(p for p in sys.path if p.endswith("site-packages")))
    python = tmp_path / "v" / "bin" / "python"
    done = subprocess.run([python, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_editable_install_works_from_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
