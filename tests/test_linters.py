"""ruff and mypy are tests like any other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["mypy"]],
    ids=["ruff", "mypy"],
)
def test_the_linter_is_content(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_machine_path_and_no_registry_is_committed() -> None:
    """A clean clone works anywhere: no home folders, no package index hosts."""
    forbidden = ("/home/", "/work/", "/Users/", "pypi.org/simple", "files.pythonhosted", "deb.debian.org", "registry.npmjs")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
    found = []
    for name in filter(None, listed):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or b"\0" in path.read_bytes()[:4096]:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in forbidden if word in text]
    assert found == []
